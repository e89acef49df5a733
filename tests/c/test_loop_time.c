/* test_loop_time.c: time-outs and rates of open connections, over real sockets with each strategy.
 */
#include "conn.h"

#include "rig.h"

/* No pings but where a test is about them, and a close that nobody answers is soon over. */
static void rig_quick(struct rig *r) {
    rig_init(r, strategy);
    r->options.ping_interval_ms = r->options.ping_timeout_ms = 0;
    r->options.close_timeout_ms = 100;
}

static void rig_pings(struct rig *r, uint32_t interval_ms, uint32_t timeout_ms) {
    rig_quick(r);
    r->options.ping_interval_ms = interval_ms;
    r->options.ping_timeout_ms = timeout_ms;
}

/* ---- keepalive ---- */

static void test_server_ping_answered(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_pings(&r, 100, 100);
    rig_open(&r, &p, &c, 1);
    CHECK_EQ(ws_conn_get_latency_us(c), -1);
    UNTIL(&r, p.n_pings >= 3);
    UNTIL(&r, ws_conn_get_latency_us(c) >= 0);
    CHECK(ws_conn_get_latency_us(c) < 10000000);
    CHECK_LINE(r.told, "open1;"); /* nobody wanted to see pongs */
    CHECK_LINE(p.said, "");
    rig_stop(&r);
}

static void test_server_ping_not_answered(void) {
    struct rig r;
    struct peer p;
    rig_pings(&r, 100, 100);
    rig_begin(&r);
    peer_open(&r, &p);
    p.mute = true;
    UNTIL(&r, p.said.len > 0);
    CHECK_EQ(p.n_pings, 1);
    CHECK_LINE(p.said, "close1011:keepalive timeout;");
    UNTIL(&r, r.n_closes == 1); /* after close_timeout: it answers nothing at all */
    CHECK_LINE(r.told, "open1;close1:1006/1011:/keepalive timeout:ping-timeout;");
    rig_stop(&r);
}

/* A peer that sends is there, whatever it sends: it gets no ping, or is forgiven its pong. */
static void test_server_no_ping_for_the_busy(void) {
    struct rig r;
    struct peer p, idle;
    rig_pings(&r, 300, 600); /* long, for the two not to be held up by so much */
    r.quiet = true;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_open(&r, &idle);
    p.mute = true;
    for (int before = -1; idle.n_pings < 4;) {
        if (p.n_pings != before || r.n_messages % 2) peer_text(&p, "I am");
        before = p.n_pings;
        peer_text(&p, "here");
        rig_turn(&r);
        rig_wait(&r);
    }
    CHECK_EQ(p.n_pings, 0);
    CHECK_LINE(p.said, "");
    CHECK_EQ(r.n_closes, 0);
    rig_stop(&r);
}

/* The wait for a pong may be longer than the time to the next ping. */
static void test_server_ping_interval_is_kept(void) {
    struct rig r;
    struct peer p;
    rig_pings(&r, 100, 1000000);
    rig_begin(&r);
    peer_open(&r, &p);
    UNTIL(&r, p.n_pings >= 3);
    rig_stop(&r);
}

/* ---- messages that take too long ---- */

static void test_server_message_timeout(void) {
    static const char *const beginnings[] = {
        "\x81",                             /* half a header */
        "\x81\x85\1\2\3\4",                 /* a header */
        "\x81\x85\1\2\3\4\x60",             /* a byte of the payload */
        "\x01\x81\1\2\3\4\x60",             /* the first fragment */
        "\x01\x81\1\2\3\4\x60\x89\x80\1\2", /* a ping in it is no part of it, nor its end */
    };
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        struct rig r;
        struct peer p;
        rig_quick(&r);
        r.options.message_timeout_ms = 100;
        rig_begin(&r);
        peer_open(&r, &p);
        peer_text(&p, "whole");
        peer_put(&p, beginnings[i], strlen(beginnings[i]));
        UNTIL(&r, p.eof);
        CHECK_LINE(p.said, "close1008:the message took too long;");
        CHECK_LINE(r.told, "open1;ascii1:whole;close1:1006/1008:/the message took too long:limit;");
        rig_stop(&r);
    }
}

#define EMPTY(first) first "\x80\1\2\3\4"

/* Fragments that keep coming do not put it off; a message that ends does. */
static void test_server_message_timeout_is_total(void) {
    struct rig r;
    struct peer p, q;
    rig_quick(&r);
    r.options.message_timeout_ms = 300;
    r.quiet = true;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_open(&r, &q);
    peer_put(&p, EMPTY("\x01"), 6);
    peer_put(&q, EMPTY("\x01"), 6);
    while (r.n_closes == 0) {
        peer_put(&p, EMPTY("\x00"), 6);
        peer_put(&q, EMPTY("\x80") EMPTY("\x01"), 12); /* ends one, begins the next */
        UNTIL(&r, p.out.len == 0 && q.out.len == 0);
        rig_wait(&r);
    }
    CHECK(strstr(r.told.text, "close1:1006/1008") != NULL);
    CHECK(strstr(r.told.text, "close2") == NULL);
    rig_stop(&r);
}

/* ---- idle and stalled peers ---- */

static void test_server_idle(void) {
    struct rig r;
    struct peer p;
    rig_quick(&r);
    r.options.idle_timeout_ms = 300;
    r.options.ping_interval_ms = 100; /* pings are no messages */
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "hello");
    UNTIL(&r, p.said.len > 0);
    CHECK(p.n_pings >= 1);
    CHECK_LINE(p.said, "close1001:idle timeout;");
    peer_close_frame(&p, 1001, "");
    UNTIL(&r, p.eof);
    CHECK_LINE(r.told, "open1;ascii1:hello;close1:1001/1001:/idle timeout:idle;");
    rig_stop(&r);
}

static void send_much(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static uint8_t data[1 << 20];
    struct ws_payload p = {.data = data, .len = sizeof data};
    (void)r;
    (void)m;
    CHECK(ws_conn_send(c, &p) >= 0);
}

static void test_server_stall(void) {
    struct rig r;
    struct peer p;
    rig_quick(&r);
    r.options.stall_timeout_ms = 300;
    r.options.max_backlog = 0;
    r.act = send_much;
    rig_bind_unix(&r);
    rig_begin(&r);
    peer_open(&r, &p);
    p.quiet = true;
    for (int i = 0; i < 4; i++) peer_text(&p, "more");
    UNTIL(&r, p.n_messages == 4); /* one that reads is left alone */
    p.deaf = true;
    peer_text(&p, "more");
    UNTIL(&r, r.n_messages == 5);
    WAIT_FOR(&r, r.n_closes == 1);
    CHECK(strstr(r.told.text, "close1:1006/0:/:stall;") != NULL);
    CHECK_EQ(stats_of(&r).dropped_sent, 1);
    rig_stop(&r);
}

/* ---- rates ---- */

static void test_server_control_rate(void) {
    struct rig r;
    struct peer p;
    rig_quick(&r);
    r.options.control_rate = 50;
    rig_begin(&r);
    peer_open(&r, &p);
    for (int i = 0; i < 25; i++) {
        peer_frame(&p, WS_OPCODE_PING, "", 0);
        peer_frame(&p, WS_OPCODE_PONG, "x", 1);
    }
    peer_text(&p, "fine");
    UNTIL(&r, r.n_messages == 1);
    for (int i = 0; i < 100; i++) peer_frame(&p, WS_OPCODE_PONG, "x", 1);
    peer_text(&p, "lost");
    UNTIL(&r, p.eof);
    CHECK(strstr(p.said.text, "close1008:too many control frames (control_rate);") != NULL);
    CHECK_LINE(r.told, "open1;ascii1:fine;close1:1006/1008:/too many control frames "
                       "(control_rate):limit;");
    rig_stop(&r);
}

static void test_server_message_rate(void) {
    struct rig r;
    struct peer p;
    rig_quick(&r);
    r.options.message_rate = 10;
    r.quiet = true;
    rig_begin(&r);
    peer_open(&r, &p);
    for (int i = 0; i < 30; i++) peer_text(&p, "m");
    UNTIL(&r, p.eof);
    CHECK(r.n_messages >= 10 && r.n_messages < 30);
    CHECK_LINE(p.said, "close1008:too many messages (message_rate);");
    rig_stop(&r);
}

static void test_server_byte_rate(void) {
    struct rig r;
    struct peer p;
    char text[2000];
    memset(text, 'b', sizeof text);
    rig_quick(&r);
    r.options.byte_rate = 10000;
    r.quiet = true;
    rig_begin(&r);
    peer_open(&r, &p);
    for (int i = 0; i < 20; i++) peer_frame(&p, WS_OPCODE_TEXT, text, sizeof text);
    UNTIL(&r, p.eof || p.reset);
    CHECK(r.n_messages < 20);
    CHECK(strstr(r.told.text, "close1:1006/1008:/too many bytes (byte_rate):limit;") != NULL);
    rig_stop(&r);
}

/* Over its rate it is read later, and nothing is lost; time-outs stand still meanwhile. */
static void test_server_rate_pauses(void) {
    for (int bytes = 0; bytes < 2; bytes++) {
        struct rig r;
        struct peer p, q;
        rig_quick(&r);
        r.options.message_rate = bytes ? 0 : 20;
        r.options.byte_rate = bytes ? 200 : 0;
        r.options.rate_pauses = true;
        r.options.message_timeout_ms = 200;
        r.quiet = true;
        rig_begin(&r);
        peer_open(&r, &p);
        peer_open(&r, &q);
        for (int i = 0; i < 24; i++) peer_text(&p, "1234"); /* 10 bytes each */
        peer_put(&p, "\x81", 1);                            /* begun, and finished below */
        UNTIL(&r, r.n_messages == 24);
        peer_put(&p, "\x80\1\2\3\4", 5);
        peer_text(&p, "last");
        /* The other one is served at once. */
        peer_text(&q, "q");
        UNTIL(&r, r.n_messages == 25);
        UNTIL(&r, p.out.len == 0);
        WAIT_FOR(&r, r.n_messages == 27);
        CHECK_LINE(p.said, "");
        CHECK_EQ(r.n_closes, 0);
        rig_stop(&r);
    }
}

/* One that hangs up while it is over its rate is gone, and does not keep the loop busy until it may
 * be read again. (select does not tell.) */
static void test_server_reset_amid_pause(void) {
    static const char big[3000] = {0};
    struct rig r;
    struct peer p;
    if (strategy == WS_STRATEGY_SELECT) return;
    rig_quick(&r);
    r.options.byte_rate = 1;
    r.options.rate_pauses = true;
    r.quiet = true;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_frame(&p, WS_OPCODE_BINARY, big, sizeof big);
    UNTIL(&r, r.n_messages == 1);
    rig_settle(&r); /* it is not read any more */
    peer_drop(&p, true);
    WAIT_FOR(&r, r.n_closes == 1);
    rig_stop(&r);
}

/* ---- clocks ---- */

/* The clocks stand still while a peer is not read; what happens meanwhile is not put off. */
static void test_server_clocks_amid_pause(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_quick(&r);
    rig_open(&r, &p, &c, 1);
    struct ws_tick *t = c->tick;
    uint64_t now_ms = t->now_ms;
    uint32_t heard_ms = c->heard_ms;
    ws_conn_hold(c, true);
    t->now_ms += 10000;
    c->active_ms = (uint32_t)t->now_ms; /* a message was sent */
    t->now_ms += 5;
    ws_conn_hold(c, false);
    CHECK_EQ(c->heard_ms - heard_ms, 10005);
    CHECK_EQ((uint32_t)t->now_ms - c->active_ms, 0);
    t->now_ms = now_ms;
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_server_ping_answered);
    RUN(test_server_ping_not_answered);
    RUN(test_server_no_ping_for_the_busy);
    RUN(test_server_ping_interval_is_kept);
    RUN(test_server_message_timeout);
    RUN(test_server_message_timeout_is_total);
    RUN(test_server_idle);
    RUN(test_server_stall);
    RUN(test_server_control_rate);
    RUN(test_server_message_rate);
    RUN(test_server_byte_rate);
    RUN(test_server_rate_pauses);
    RUN(test_server_reset_amid_pause);
    RUN(test_server_clocks_amid_pause);
}

int main(void) {
    return run_strategies(run_all);
}
