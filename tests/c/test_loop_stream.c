/* test_loop_stream.c: messages sent in parts, what waits behind them, and the server's own pings.
 */
#include "rig.h"

static int ping(struct ws_conn *c, const char *data) {
    return ws_conn_ping(c, (const uint8_t *)data, strlen(data));
}

static void open_both(struct rig *r, struct peer *p, struct ws_conn **c) {
    rig_init(r, strategy);
    rig_open(r, p, c, 1);
}

static void test_stream_orders(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    open_both(&r, &p, &c);
    CHECK_EQ(send_text(c, "before"), WS_SENT);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(ws_conn_stream_begin(c), WS_ERR_ARGUMENT);
    CHECK_EQ(send_text(c, "not yet begun"), WS_SENT);
    CHECK_EQ(send_part(c, "one ", WS_PART_FIRST), WS_SENT);
    CHECK_EQ(send_text(c, "behind"), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(p.said, "text:before;text:not yet begun;");
    CHECK(ws_conn_backlog(c) > 0);
    CHECK_EQ(send_part(c, "two ", WS_PART_MORE), WS_SENT);
    CHECK_EQ(ping(c, "now"), WS_SENT);
    CHECK_EQ(send_text(c, "behind too"), WS_SENT);
    UNTIL(&r, strstr(p.said.text, "ping:now;"));
    CHECK_EQ(send_part(c, "three", WS_PART_LAST), WS_SENT);
    CHECK_EQ(ws_conn_stream_begin(c), 0); /* the next one may begin */
    CHECK_EQ(send_part(c, "", WS_PART_FIRST), WS_SENT);
    CHECK_EQ(send_part(c, "", WS_PART_LAST), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(p.said, "text:before;text:not yet begun;ping:now;text:one two three;text:behind;"
                       "text:behind too;text:;");
    CHECK_EQ(ws_conn_backlog(c), 0);
    CHECK_EQ(stats_of(&r).sent, 6);
    rig_stop(&r);
}

/* A close, of either side, comes before what waited, which is counted. */
static void test_stream_closed(void) {
    for (int ours = 0; ours < 2; ours++) {
        struct rig r;
        struct peer p;
        struct ws_conn *c;
        open_both(&r, &p, &c);
        ws_conn_ref(c);
        CHECK_EQ(ws_conn_stream_begin(c), 0);
        CHECK_EQ(send_part(c, "one", WS_PART_FIRST), WS_SENT);
        CHECK_EQ(send_text(c, "behind"), WS_SENT);
        CHECK_EQ(send_text(c, "behind"), WS_SENT);
        if (ours) {
            CHECK_EQ(ws_conn_close(c, 1011, slice("broken off"), WS_CLOSE_ERROR), 0);
            CHECK_EQ(send_part(c, "two", WS_PART_MORE), WS_ERR_CLOSED);
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close1011:broken off;");
            peer_close_frame(&p, 1011, "");
        } else {
            peer_close_frame(&p, 4000, "enough");
        }
        UNTIL(&r, p.eof);
        CHECK_EQ(send_part(c, "two", WS_PART_LAST), WS_ERR_CLOSED);
        CHECK_EQ(ws_conn_stream_begin(c), WS_ERR_CLOSED);
        CHECK_EQ(ws_conn_backlog(c), 0);
        CHECK_EQ(stats_of(&r).dropped_sent, 2);
        ws_conn_unref(c);
        rig_stop(&r);
    }
}

/* What waits behind a stream counts: it is bounded like everything else. */
static void test_stream_backlog(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    int n = 0;
    rig_init(&r, strategy);
    r.options.max_backlog = 100000;
    r.options.high_water = 1000;
    rig_begin(&r);
    peer_open(&r, &p);
    c = ws_server_find(r.server, 1);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "first", WS_PART_FIRST), WS_SENT);
    int sent = WS_SENT;
    for (; sent != WS_SENT_DROPPED && n < 10000; n++) {
        sent = send_text(c, "behind");
        rig_turn(&r); /* it is not a lack of writing */
    }
    CHECK(n > 500 && n < 1200); /* about a hundred bytes each */
    CHECK_EQ(ws_conn_close(c, 1000, slice(""), WS_CLOSE_LOCAL), 0);
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "close1013:the backlog is full;");
    CHECK_EQ(stats_of(&r).dropped_sent, n);
    rig_stop(&r);
}

/* Parts of objects, and a stream that the run's end cuts. */
static void test_stream_objects(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    open_both(&r, &p, &c);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    for (int part = WS_PART_FIRST; part <= WS_PART_LAST; part++) {
        uint8_t *object = malloc(50000);
        memset(object, 'o', 50000);
        struct ws_payload payload = {
            .data = object, .len = 50000, .text = true, .object = object, .part = (uint8_t)part};
        CHECK_EQ(ws_conn_send(c, &payload), WS_SENT);
        r.n_objects++;
        rig_turn(&r);
    }
    UNTIL(&r, p.n_messages == 1);
    CHECK_EQ(p.n_bytes, 150000);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "cut", WS_PART_FIRST), WS_SENT);
    CHECK_EQ(send_object(&r, c, 20000), WS_SENT);
    rig_end(&r);
}

/* ---- pings ---- */

static void test_pings(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    char long_one[WS_PING_MAX + 1];
    memset(long_one, 'l', WS_PING_MAX);
    long_one[WS_PING_MAX] = 0;
    open_both(&r, &p, &c);
    ws_server_want(r.server, WS_WANT_PING | WS_WANT_PONG);
    CHECK_EQ(send_text(c, "last"), WS_SENT);
    CHECK_EQ(ping(c, "a"), WS_SENT);
    CHECK_EQ(ping(c, ""), WS_SENT);
    CHECK_EQ(ping(c, "c"), WS_SENT);
    UNTIL(&r, strstr(p.said.text, "text:last;"));
    CHECK_LINE(p.said, "ping:a;ping:;ping:c;text:last;");
    peer_frame(&p, WS_OPCODE_PING, "mine", 4);
    peer_frame(&p, WS_OPCODE_PONG, "unsolicited", 11);
    peer_text(&p, "m");
    UNTIL(&r, r.n_messages == 1);
    CHECK_LINE(r.told, "open1;pong1:a;pong1:;pong1:c;ping1:mine;pong1:unsolicited;ascii1:m;");
    line_clear(&p.said);
    CHECK_EQ(ping(c, long_one), WS_SENT);
    UNTIL(&r, p.said.len > 0);
    CHECK_EQ(ws_conn_close(c, 1000, slice(""), WS_CLOSE_LOCAL), 0);
    CHECK_EQ(ping(c, "late"), WS_ERR_CLOSED);
    rig_stop(&r);
}

static void test_ping_latency(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    open_both(&r, &p, &c);
    CHECK_EQ(ws_conn_ping(c, NULL, 0), WS_SENT);
    CHECK_EQ(ws_conn_ping(c, NULL, 0), WS_SENT); /* of one tick: one */
    UNTIL(&r, ws_conn_get_latency_us(c) >= 0);
    CHECK_EQ(p.n_pings, 1);
    int64_t latency = ws_conn_get_latency_us(c);
    peer_frame(&p, WS_OPCODE_PONG, "8 bytes.", 8); /* somebody else's */
    peer_text(&p, "m");
    UNTIL(&r, r.n_messages == 1);
    CHECK_EQ(ws_conn_get_latency_us(c), latency);
    rig_stop(&r);
}

/* An object that is small enough to be copied is taken all the same. */
static void test_small_object(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    open_both(&r, &p, &c);
    CHECK_EQ(send_object(&r, c, 10), WS_SENT);
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "text:OOOOOOOOOO;");
    rig_stop(&r); /* released once, as it checks */
}

static void run_all(void) {
    RUN(test_stream_orders);
    RUN(test_stream_closed);
    RUN(test_stream_backlog);
    RUN(test_stream_objects);
    RUN(test_pings);
    RUN(test_ping_latency);
    RUN(test_small_object);
}

int main(void) {
    return run_strategies(run_all);
}
