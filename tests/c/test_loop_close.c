/* test_loop_close.c: who closes, and what the handlers are told of it. */
#include "rig.h"

/* ---- closing ---- */

static void test_server_peer_closes(void) {
    struct rig r;
    struct peer p, q;
    rig_init(&r, strategy);
    r.echo = true;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "last");
    peer_close_frame(&p, 4001, "bye");
    peer_text(&p, "behind a close frame");
    UNTIL(&r, p.eof);
    CHECK_LINE(p.said, "text:last;close4001:;");
    peer_open(&r, &q);
    peer_close_frame(&q, 1005, "");
    UNTIL(&r, q.eof);
    CHECK_LINE(q.said, "close1005:;");
    CHECK_LINE(r.told, "open1;ascii1:last;close1:4001/4001:bye/:peer;"
                       "open2;close2:1005/1005:/:peer;");
    rig_stop(&r);
}

static void test_server_closes_first(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.act = close_self;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "please");
    peer_text(&p, "dropped");
    UNTIL(&r, p.said.len > 12);
    CHECK_LINE(p.said, "text:before;close4000:done;");
    CHECK_LINE(r.told, "open1;ascii1:please;"); /* the peer's close frame is awaited */
    CHECK(!p.eof);
    CHECK_EQ(stats_of(&r).dropped_received, 1);
    peer_text(&p, "dropped too");
    peer_close_frame(&p, 4000, "ok");
    UNTIL(&r, p.eof);
    CHECK_LINE(r.told, "open1;ascii1:please;close1:4000/4000:ok/done:local;");
    CHECK_EQ(stats_of(&r).dropped_received, 2);
    CHECK_LINE(p.said, "text:before;close4000:done;");
    rig_stop(&r);
}

static void test_server_both_close(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.act = close_self;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "please");
    peer_close_frame(&p, 1001, "me too"); /* in the same batch */
    UNTIL(&r, p.eof);
    CHECK_LINE(p.said, "text:before;close4000:done;");
    CHECK_LINE(r.told, "open1;ascii1:please;close1:1001/4000:me too/done:local;");
    rig_stop(&r);
}

static void test_server_closed_without_close_frame(void) {
    for (int reset = 0; reset < 2; reset++) {
        struct rig r;
        struct peer p, q;
        rig_init(&r, strategy);
        r.act = NULL;
        rig_begin(&r);
        peer_open(&r, &p);
        peer_text(&p, "last");
        UNTIL(&r, r.n_messages == 1);
        peer_drop(&p, reset);
        UNTIL(&r, r.n_closes == 1);
        CHECK_LINE(r.told, reset ? "open1;ascii1:last;close1:1006/0:/:reset;"
                                 : "open1;ascii1:last;close1:1006/0:/:eof;");
        line_clear(&r.told);
        r.act = close_self; /* after a local close */
        peer_open(&r, &q);
        peer_text(&q, "x");
        UNTIL(&r, q.said.len > 12);
        peer_drop(&q, reset);
        UNTIL(&r, r.n_closes == 2);
        CHECK_LINE(r.told, "open2;ascii2:x;close2:1006/4000:/done:local;");
        rig_stop(&r);
    }
}

/* Half a message, then the end: no message. */
static void test_server_eof_in_a_message(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "whole");
    peer_text(&p, "in half");
    p.out.len -= 3;
    UNTIL(&r, p.out.len == 0);
    shutdown(p.fd, SHUT_WR);
    UNTIL(&r, p.eof || p.reset);
    CHECK_LINE(r.told, "open1;ascii1:whole;close1:1006/0:/:eof;");
    rig_stop(&r);
}

/* ---- handlers that close ---- */

static void test_server_on_open_closes(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.act_open = close_on_open;
    rig_begin(&r);
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    peer_text(&p, "in the same segment");
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "close1000:;");
    peer_close_frame(&p, 1000, "");
    UNTIL(&r, p.eof);
    CHECK_LINE(r.told, "open1;close1:1000/1000:/:local;");
    CHECK_EQ(stats_of(&r).dropped_received, 1);
    rig_stop(&r);
}

static void close_all(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)c;
    if (m->len && m->data[0] == 's') ws_server_stop(r->server);
    struct ws_conn *next, *one = ws_server_next(r->server, NULL, true);
    for (; one; one = next) {
        next = ws_server_next(r->server, one, true);
        CHECK_EQ(ws_conn_close(one, 4002, slice("all"), WS_CLOSE_LOCAL), 0);
    }
}

/* One handler closes every connection, of which some have events in the same batch; then the same
 * while the server stops. */
static void test_server_handler_closes_all(void) {
    for (int stop = 0; stop < 2; stop++) {
        struct rig r;
        struct peer p[4];
        rig_init(&r, strategy);
        r.act = close_all;
        rig_begin(&r);
        for (int i = 0; i < 4; i++) peer_open(&r, &p[i]);
        for (int i = 0; i < 4; i++) peer_text(&p[i], stop ? "stop" : "go");
        for (int i = 0; i < 4; i++) UNTIL(&r, p[i].said.len > 0);
        for (int i = 0; i < 4; i++) {
            CHECK_LINE(p[i].said, "close4002:all;");
            peer_close_frame(&p[i], 4002, "");
            UNTIL(&r, p[i].eof);
        }
        CHECK_EQ(r.n_messages, 1);
        CHECK_EQ(r.n_closes, 4);
        CHECK_EQ(stats_of(&r).dropped_received, 3);
        rig_stop(&r);
    }
}

static void meddle(struct rig *r, struct ws_conn *c) {
    CHECK_EQ(send_text(c, "no"), WS_ERR_CLOSED);
    CHECK_EQ(ws_conn_close(c, 1000, slice(""), WS_CLOSE_LOCAL), 0);
    CHECK(ws_server_find(r->server, ws_conn_id(c)) == NULL); /* it is not open any more */
    CHECK_EQ(ws_server_count(r->server), ws_conn_id(c) == 1 ? 1 : 0);
    struct ws_conn *other = ws_server_find(r->server, 2);
    if (other && other != c)
        CHECK_EQ(ws_conn_close(other, 4003, slice("follow"), WS_CLOSE_ERROR), 0);
}

/* on_close closes itself, which does nothing, and another connection. */
static void test_server_on_close_closes(void) {
    struct rig r;
    struct peer p, q;
    rig_init(&r, strategy);
    r.act_close = meddle;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_open(&r, &q);
    peer_drop(&p, true);
    UNTIL(&r, q.said.len > 0);
    CHECK_LINE(q.said, "close4003:follow;");
    peer_drop(&q, false);
    UNTIL(&r, r.n_closes == 2);
    CHECK_LINE(r.told, "open1;open2;close1:1006/0:/:reset;close2:1006/4003:/follow:error;");
    rig_stop(&r);
}

/* ---- what users ask ---- */

static void test_server_close_names(void) {
    static const char *const names[] = {"peer",     "local",        "error", "eof",
                                        "reset",    "protocol",     "limit", "backlog",
                                        "shutdown", "ping-timeout", "idle",  "stall"};
    CHECK(ws_close_kind_name(WS_CLOSE_NONE) == NULL);
    for (int i = 0; i < 12; i++)
        CHECK(strcmp(ws_close_kind_name((enum ws_close_kind)(WS_CLOSE_PEER + i)), names[i]) == 0);
    CHECK(ws_close_kind_name((enum ws_close_kind)(WS_CLOSE_STALL + 1)) == NULL);
}

/* RFC 6455 section 7.4: which codes may stand in a close frame. */
static void test_server_close_codes(void) {
    int n = 0;
    for (int code = -10; code < 70000; code++) {
        bool may = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                   (code >= 3000 && code <= 4999);
        CHECK_EQ(ws_close_code_is_sendable(code), may);
        n += may;
    }
    CHECK_EQ(n, 2012);
}

static void remember(struct rig *r, struct ws_conn *c) {
    CHECK(ws_conn_get_user(c) == NULL);
    ws_conn_set_user(c, r);
}

static void test_server_user_pointer(void) {
    struct rig r;
    struct peer p;
    struct ws_close close;
    rig_init(&r, strategy);
    r.act_open = remember;
    rig_begin(&r);
    peer_open(&r, &p);
    struct ws_conn *c = ws_server_find(r.server, 1);
    ws_conn_ref(c);
    CHECK(!ws_conn_get_close(c, &close));
    CHECK(close.kind == WS_CLOSE_NONE && close.code == 1006 && close.sent_code == 0);
    peer_close_frame(&p, 3333, "why");
    UNTIL(&r, p.eof);
    peer_drop(&p, false);
    rig_settle(&r); /* it has left the loop */
    CHECK(ws_conn_get_user(c) == &r);
    CHECK(ws_conn_get_close(c, &close));
    CHECK(close.kind == WS_CLOSE_PEER && close.code == 3333 && close.sent_code == 3333);
    CHECK(close.reason.len == 3 && memcmp(close.reason.data, "why", 3) == 0);
    CHECK_EQ(close.sent_reason.len, 0);
    ws_conn_unref(c);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_server_peer_closes);
    RUN(test_server_closes_first);
    RUN(test_server_both_close);
    RUN(test_server_closed_without_close_frame);
    RUN(test_server_eof_in_a_message);
    RUN(test_server_on_open_closes);
    RUN(test_server_handler_closes_all);
    RUN(test_server_on_close_closes);
    RUN(test_server_close_names);
    RUN(test_server_close_codes);
    RUN(test_server_user_pointer);
}

int main(void) {
    return run_strategies(run_all);
}
