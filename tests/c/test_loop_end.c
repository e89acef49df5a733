/* test_loop_end.c: stopping, ending without ceremony, and time-outs. */
#include "rig.h"

/* ---- stopping ---- */

static void test_server_stop(void) {
    struct rig r;
    struct peer p[4];
    rig_init(&r, strategy);
    rig_begin(&r);
    for (int i = 0; i < 3; i++) peer_open(&r, &p[i]);
    peer_connect(&r, &p[3], false); /* in the middle of its handshake */
    peer_say(&p[3], "GET / HTT");
    UNTIL(&r, p[3].out.len == 0);
    rig_settle(&r);
    ws_server_stop(r.server);
    ws_server_stop(r.server);
    for (int i = 0; i < 3; i++) {
        UNTIL(&r, p[i].said.len > 0);
        CHECK_LINE(p[i].said, "close1001:;");
        CHECK(!ws_loop_is_done(r.loop));
        peer_close_frame(&p[i], 1001, "");
        UNTIL(&r, p[i].eof);
        peer_drop(&p[i], false);
    }
    UNTIL(&r, p[3].eof || p[3].reset);
    UNTIL(&r, ws_loop_is_done(r.loop));
    CHECK_LINE(r.told, "open1;open2;open3;close1:1001/1001:/:shutdown;"
                       "close2:1001/1001:/:shutdown;close3:1001/1001:/:shutdown;");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&r.at, r.at_len), -1);
    CHECK_EQ(errno, ECONNREFUSED);
    close(fd);
    rig_end(&r);
}

static void test_server_stop_before_begin(void) {
    struct rig r;
    char why[256];
    rig_init(&r, strategy);
    rig_bind(&r);
    ws_server_stop(r.server);
    rig_begin(&r);
    for (int i = 0; i < 3 && !ws_loop_is_done(r.loop); i++) rig_wait(&r);
    CHECK(ws_loop_is_done(r.loop));
    CHECK_EQ(ws_loop_begin(r.loop, why), WS_ERR_ARGUMENT);
    rig_end(&r);
}

static void test_server_never_begun(void) {
    struct rig r;
    rig_init(&r, strategy);
    rig_bind(&r);
    ws_server_free(r.server);
    CHECK_EQ(count_fds(), r.n_fds);
}

/* Ended without ceremony, in every state a connection can be in. */
static void test_server_end_with_open_connections(void) {
    struct rig r;
    struct peer p[4];
    rig_init(&r, strategy);
    r.act = close_self;
    rig_begin(&r);
    for (int i = 0; i < 3; i++) peer_open(&r, &p[i]);
    peer_connect(&r, &p[3], false);
    peer_say(&p[3], "GET ");
    peer_text(&p[0], "x");
    peer_text(&p[1], "half a message");
    p[1].out.len -= 3;
    UNTIL(&r, p[0].said.len > 12 && p[1].out.len == 0 && p[3].out.len == 0);
    struct ws_conn *c = ws_server_find(r.server, 3);
    ws_conn_ref(c);
    ws_loop_end(r.loop);
    CHECK_EQ(ws_server_count(r.server), 0);
    CHECK(!ws_conn_is_open(c));
    CHECK_EQ(send_text(c, "too late"), WS_ERR_CLOSED);
    CHECK_EQ(ws_conn_id(c), 3);
    ws_conn_unref(c);
    rig_end(&r);
}

/* Somebody goes on: the loop is not done before. */
static void test_server_keep(void) {
    struct rig r;
    rig_init(&r, strategy);
    rig_begin(&r);
    ws_loop_keep(r.loop);
    ws_loop_keep(r.loop);
    ws_server_stop(r.server);
    rig_settle(&r);
    CHECK(!ws_loop_is_done(r.loop));
    ws_loop_let_go(r.loop);
    rig_settle(&r);
    CHECK(!ws_loop_is_done(r.loop));
    ws_loop_let_go(r.loop);
    CHECK(ws_loop_is_done(r.loop));
    rig_end(&r);
}

/* ... and who lets go without having kept it changes nothing. */
static void test_server_let_go_once_more(void) {
    struct rig r;
    rig_init(&r, strategy);
    rig_begin(&r);
    ws_loop_let_go(r.loop);
    ws_server_stop(r.server);
    rig_settle(&r);
    CHECK(ws_loop_is_done(r.loop));
    rig_end(&r);
}

/* ... but until shutdown_timeout only, also who begins behind it. */
static void test_server_keep_timeout(void) {
    struct rig r;
    rig_init(&r, strategy);
    r.options.shutdown_timeout_ms = 1;
    rig_begin(&r);
    ws_loop_keep(r.loop);
    ws_server_stop(r.server);
    WAIT_FOR(&r, ws_loop_is_done(r.loop));
    ws_loop_keep(r.loop);
    CHECK(ws_loop_is_done(r.loop));
    rig_end(&r);
}

/* As in a forked child: the descriptors are closed raw, nobody is told. */
static void test_server_abandon(void) {
    struct rig r;
    struct peer p, q;
    struct ws_buf rest;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    peer_open(&r, &q);
    begin_large(&r, &p, &rest, WS_OPCODE_BINARY);
    struct ws_conn *c = ws_server_find(r.server, 2);
    ws_conn_ref(c);
    ws_server_abandon(r.server);
    CHECK(ws_loop_is_done(r.loop));
    CHECK(!ws_conn_is_open(c));
    CHECK_EQ(ws_loop_io(r.loop), 0);
    CHECK_EQ(r.n_closes, 0);
    ws_conn_unref(c);
    ws_buf_fini(&rest);
    rig_end(&r);
}

/* ---- time-outs: the poller is waited for, a few turns are enough ---- */

static void test_server_handshake_timeout(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.options.handshake_timeout_ms = r.options.close_timeout_ms = 1;
    rig_begin(&r);
    peer_connect(&r, &p, false);
    peer_say(&p, "GET / HTTP/1.1\r\n");
    peer_pump(&p);
    WAIT_FOR(&r, stats_of(&r).refused == 1);
    UNTIL(&r, p.eof);
    CHECK(peer_answer_starts(&p, "HTTP/1.1 408 Request Timeout\r\n"));
    rig_stop(&r);
}

static void test_server_close_timeout(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.act_open = close_on_open;
    r.options.close_timeout_ms = 1;
    rig_begin(&r);
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    peer_pump(&p);
    WAIT_FOR(&r, r.n_closes == 1); /* the peer never answers the close frame */
    UNTIL(&r, p.eof);
    CHECK_LINE(p.said, "close1000:;");
    CHECK_LINE(r.told, "open1;close1:1006/1000:/:local;");
    rig_stop(&r);
}

/* Behind both close frames the server waits for the peer's FIN, but not for ever. */
static void test_server_linger_timeout(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.options.close_timeout_ms = 1;
    r.options.shutdown_timeout_ms = 0; /* that one does not help */
    rig_begin(&r);
    peer_open(&r, &p);
    peer_close_frame(&p, 1000, "");
    UNTIL(&r, p.eof);
    ws_server_stop(r.server);
    WAIT_FOR(&r, ws_loop_is_done(r.loop)); /* its own end of the socket is open still */
    rig_end(&r);
}

static void test_server_shutdown_timeout(void) {
    struct rig r;
    struct peer p, q;
    rig_init(&r, strategy);
    r.options.close_timeout_ms = 1000000;
    r.options.shutdown_timeout_ms = 1;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_connect(&r, &q, false); /* lingers: its answer was given, its FIN never comes */
    peer_say(&q, "BAD\r\n\r\n");
    UNTIL(&r, q.eof);
    ws_server_stop(r.server);
    WAIT_FOR(&r, ws_loop_is_done(r.loop));
    CHECK_LINE(r.told, "open1;close1:1006/1001:/:shutdown;");
    rig_end(&r);
}

static void run_all(void) {
    RUN(test_server_stop);
    RUN(test_server_stop_before_begin);
    RUN(test_server_never_begun);
    RUN(test_server_end_with_open_connections);
    RUN(test_server_keep);
    RUN(test_server_let_go_once_more);
    RUN(test_server_keep_timeout);
    RUN(test_server_handshake_timeout);
    RUN(test_server_close_timeout);
    RUN(test_server_linger_timeout);
    RUN(test_server_shutdown_timeout);
    RUN(test_server_abandon);
}

int main(void) {
    return run_strategies(run_all);
}
