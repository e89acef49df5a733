/* test_loop_backlog.c: peers that read late or never: the lane, on_drain, max_backlog. */
#include "rig.h"
#include "tick.h"

/* ---- back-pressure ---- */

#define ANSWER_SIZE 32768
#define MUCH (1024u * 1024) /* more than the kernel keeps of a Unix socket */

static size_t highest_backlog;

static void answer_at_length(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static char text[ANSWER_SIZE];
    struct ws_payload p = {.data = (uint8_t *)text, .len = sizeof text, .text = true};
    memset(text, '.', sizeof text);
    CHECK_EQ(snprintf(text, 9, "%08d", r->n_messages - 1), 8);
    CHECK_EQ(strtol((const char *)m->data, NULL, 10), r->n_messages - 1);
    int sent = ws_conn_send(c, &p);
    CHECK(sent == WS_SENT || sent == WS_SENT_OVER);
    CHECK_EQ(sent == WS_SENT_OVER, ws_conn_backlog(c) > r->options.high_water);
    if (ws_conn_backlog(c) > highest_backlog) highest_backlog = ws_conn_backlog(c);
}

static void ask_deafly(struct peer *p, int from, int to) {
    char text[16];
    p->deaf = true;
    for (int i = from; i < to; i++) {
        snprintf(text, sizeof text, "%d?", i);
        peer_text(p, text);
    }
}

/* A peer sends questions and reads late: the server stops reading, the answers keep their order,
 * nothing overflows, on_drain comes behind all that waited, and the close frame is the last of all.
 */
static void test_server_lane_and_drain(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.quiet = true;
    r.act = answer_at_length;
    r.options.high_water = 64 * 1024;
    r.options.max_backlog = 160 * 1024;
    highest_backlog = 0;
    rig_begin(&r);
    peer_connect(&r, &p, true);
    peer_say(&p, PEER_REQUEST);
    UNTIL(&r, p.upgraded);
    p.quiet = p.numbered = true;
    ask_deafly(&p, 0, 300);
    UNTIL(&r, p.out.len == 0);
    rig_settle(&r);
    CHECK(r.n_messages < 300);
    CHECK_EQ(r.n_drains, 0);
    p.deaf = false;
    UNTIL(&r, r.n_drains > 0);
    CHECK_EQ(r.n_messages, 300);
    UNTIL(&r, p.n_messages == 300);
    ask_deafly(&p, 300, 600);
    peer_close_frame(&p, 1000, "bye");
    UNTIL(&r, p.out.len == 0);
    rig_settle(&r);
    CHECK(r.n_messages < 600);
    p.deaf = false;
    UNTIL(&r, p.eof);
    CHECK_EQ(p.n_messages, 600);
    CHECK_EQ(r.n_messages, 600);
    CHECK_LINE(p.said, "close1000:;");
    CHECK_LINE(r.told, "open1;close1:1000/1000:bye/:peer;");
    CHECK(highest_backlog > 64 * 1024 && highest_backlog <= 64 * 1024 + ANSWER_SIZE + 4);
    rig_stop(&r);
}

/* Like it, but the peer resets, half-closes, or the server is stopped, while events wait. */
static void test_server_end_in_the_lane(void) {
    for (int how = 0; how < 4; how++) {
        struct rig r;
        struct peer p;
        char text[16];
        rig_init(&r, strategy);
        r.quiet = true;
        r.act = answer_at_length;
        r.options.high_water = 64 * 1024;
        rig_begin(&r);
        peer_connect(&r, &p, true);
        peer_say(&p, PEER_REQUEST);
        UNTIL(&r, p.upgraded);
        p.deaf = p.quiet = p.numbered = true;
        for (int i = 0; i < 300; i++) {
            snprintf(text, sizeof text, "%d?", i);
            peer_text(&p, text);
        }
        UNTIL(&r, p.out.len == 0);
        rig_settle(&r);
        if (how == 0) {
            peer_drop(&p, true);
            r.act = NULL;
            UNTIL(&r, r.n_closes == 1);
            CHECK_LINE(r.told, "open1;close1:1006/0:/:reset;");
            rig_stop(&r);
        } else if (how == 1) {
            shutdown(p.fd, SHUT_WR);
            rig_settle(&r);
            p.deaf = false; /* what was asked before is answered, as far as the queue was not cut */
            UNTIL(&r, r.n_closes == 1);
            CHECK_LINE(r.told, "open1;close1:1006/0:/:eof;");
            rig_stop(&r);
        } else if (how == 2) {
            ws_server_stop(r.server);
            rig_settle(&r);
            p.deaf = false;
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close1001:;");
            CHECK_EQ(p.n_messages, r.n_messages);
            rig_stop(&r);
        } else {
            rig_end(&r); /* without ceremony */
        }
    }
}

/* Messages of 1000 bytes to the first connection, and as many others to the second. */
static void send_to_both(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    struct ws_conn *a = ws_server_find(r->server, 1);
    (void)m;
    for (int i = 0; i < 100; i++) {
        char text[1001];
        int n = snprintf(text, sizeof text, "%d ", 100 * (r->n_messages - 1) + i);
        memset(text + n, 'a', sizeof text - 1 - (size_t)n);
        text[1000] = '\0';
        CHECK(send_text(a, text) >= WS_SENT_OVER);
    }
    for (int i = 0; i < 100; i++) {
        char text[1001];
        memset(text, 'b', 1000);
        text[1000] = '\0';
        CHECK(send_text(c, text) == WS_SENT);
    }
}

/* What the kernel does not take outlives the tick, whatever others write after it. */
static void test_server_late_reader_among_others(void) {
    enum { ROUNDS = 100 }; /* 10 MB: more than the kernel keeps for a socket */
    struct rig r;
    struct peer a, b;
    rig_init(&r, strategy);
    r.quiet = true;
    r.act = send_to_both;
    r.options.high_water = r.options.max_backlog = 1 << 25;
    rig_begin(&r);
    peer_connect(&r, &a, true);
    peer_say(&a, PEER_REQUEST);
    UNTIL(&r, a.upgraded);
    peer_open(&r, &b);
    a.quiet = a.numbered = a.deaf = b.quiet = true;
    for (int i = 1; i <= ROUNDS; i++) {
        peer_text(&b, "go");
        UNTIL(&r, b.n_messages == 100 * i);
    }
    CHECK(ws_conn_backlog(ws_server_find(r.server, 1)) > 0);
    a.deaf = false;
    UNTIL(&r, a.n_messages == 100 * ROUNDS);
    CHECK_EQ(a.n_bytes, 100000 * ROUNDS);
    CHECK_EQ(ws_conn_backlog(ws_server_find(r.server, 1)), 0);
    rig_stop(&r);
}

static void flood(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static char text[ANSWER_SIZE];
    struct ws_payload p = {.data = (uint8_t *)text, .len = sizeof text, .text = true};
    int n = 0, sent;
    (void)m;
    memset(text, '.', sizeof text);
    do {
        CHECK_EQ(snprintf(text, 9, "%08d", n++), 8);
        sent = ws_conn_send(c, &p);
    } while (n < 10000 && (sent == WS_SENT || sent == WS_SENT_OVER));
    CHECK_EQ(sent, WS_SENT_DROPPED);
    CHECK(!ws_conn_is_open(c));
    CHECK(ws_conn_backlog(c) <= ANSWER_SIZE + 200); /* what is sealed, and the close frame */
    CHECK_EQ(send_text(c, "x"), WS_ERR_CLOSED);
    CHECK_EQ(stats_of(r).sent, n - 1);
}

static void test_server_max_backlog(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.act = flood;
    r.options.max_backlog = 512 * 1024;
    rig_begin(&r);
    peer_connect(&r, &p, true);
    peer_say(&p, PEER_REQUEST);
    UNTIL(&r, p.upgraded);
    p.deaf = p.quiet = p.numbered = true;
    peer_text(&p, "go");
    UNTIL(&r, r.n_messages == 1);
    rig_settle(&r);
    CHECK_LINE(r.told, "open1;ascii1:go;");
    p.deaf = false;
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "close1013:the backlog is full;");
    struct ws_stats stats = stats_of(&r);
    CHECK_EQ(stats.sent - stats.dropped_sent + 1, p.n_messages); /* one was never queued */
    peer_close_frame(&p, 1013, "");
    UNTIL(&r, p.eof);
    CHECK_LINE(r.told, "open1;ascii1:go;close1:1013/1013:/the backlog is full:backlog;");
    CHECK_EQ(r.n_drains, 0);
    rig_stop(&r);
}

/* A peer that pings and does not read: no reading over high_water, so that what waits is at most
 * what one read asked for. */
static void test_server_ping_flood(void) {
    struct rig r;
    struct peer p;
    uint8_t payload[125] = {0};
    rig_init(&r, strategy);
    r.options.high_water = 1000;
    r.options.control_rate = 0;
    rig_bind_unix(&r);
    rig_begin(&r);
    peer_open(&r, &p);
    p.deaf = true;
    struct ws_conn *c = ws_server_find(r.server, 1);
    size_t most = 0;
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < 100; k++) peer_frame(&p, WS_OPCODE_PING, payload, sizeof payload);
        rig_turn(&r);
        if (ws_conn_backlog(c) > most) most = ws_conn_backlog(c);
    }
    CHECK(most > 1000);
    CHECK(most <= 1000 + WS_TICK_READ_MAX);
    CHECK(p.out.len > 0);
    rig_stop(&r);
}

static void answer_with_much(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    struct ws_payload p = {.data = calloc(1, MUCH), .len = MUCH};
    (void)m;
    p.object = (void *)(uintptr_t)p.data;
    r->n_objects++;
    CHECK(ws_conn_send(c, &p) >= 0);
}

/* While the kernel takes nothing, only the latest ping is answered. */
static void test_server_pings_behind_much(void) {
    struct rig r;
    struct peer p;
    char text[16];
    rig_init(&r, strategy);
    r.act = answer_with_much;
    r.options.high_water = r.options.max_backlog = 2 * MUCH;
    rig_bind_unix(&r);
    rig_begin(&r);
    peer_open(&r, &p);
    p.deaf = p.quiet = true;
    peer_text(&p, "go");
    UNTIL(&r, r.n_messages == 1);
    rig_settle(&r);
    struct ws_conn *c = ws_server_find(r.server, 1);
    size_t before = ws_conn_backlog(c);
    CHECK(before > 0);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%d", i);
        peer_frame(&p, WS_OPCODE_PING, text, strlen(text));
        if (i % 10 == 9) rig_turn(&r);
    }
    UNTIL(&r, p.out.len == 0);
    rig_settle(&r);
    CHECK_EQ(ws_conn_backlog(c), before + 4);
    p.deaf = false;
    UNTIL(&r, p.n_messages == 1 && p.said.len > 0);
    CHECK_EQ(p.n_bytes, MUCH);
    CHECK_LINE(p.said, "pong:99;");
    rig_stop(&r);
}

static void answer_at_length_or_not(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static const uint8_t data[ANSWER_SIZE];
    struct ws_payload p = {.data = data, .len = sizeof data};
    int sent = ws_conn_send(c, &p);
    (void)m;
    CHECK(sent == WS_SENT || sent == WS_SENT_OVER || sent == WS_SENT_DROPPED);
    (void)r;
}

/* A close waits behind a peer that does not read, and for close_timeout only. */
static void test_server_close_in_the_lane_times_out(void) {
    struct rig r;
    struct peer p;
    char text[16];
    rig_init(&r, strategy);
    r.quiet = true;
    r.act = answer_at_length_or_not;
    r.options.high_water = 64 * 1024;
    r.options.close_timeout_ms = 1;
    rig_bind_unix(&r);
    rig_begin(&r);
    peer_open(&r, &p);
    p.deaf = true;
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%d?", i);
        peer_text(&p, text);
    }
    peer_close_frame(&p, 1000, "bye");
    UNTIL(&r, p.out.len == 0);
    WAIT_FOR(&r, r.n_closes == 1);
    CHECK_EQ(r.n_messages, 100); /* what had come before is told, though no answer gets through */
    CHECK_LINE(r.told, "open1;close1:1000/0:bye/:peer;");
    CHECK(stats_of(&r).dropped_sent > 0);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_server_lane_and_drain);
    RUN(test_server_end_in_the_lane);
    RUN(test_server_close_in_the_lane_times_out);
    RUN(test_server_late_reader_among_others);
    RUN(test_server_max_backlog);
    RUN(test_server_ping_flood);
    RUN(test_server_pings_behind_much);
}

int main(void) {
    return run_strategies(run_all);
}
