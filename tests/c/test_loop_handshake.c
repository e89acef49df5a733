/* test_loop_handshake.c: what a connection says first: the handshake, refusals, pages. */
#include "rig.h"

/* ---- handshake ---- */

/* The request and a frame behind it, cut at every byte: the same answer and echo. */
static void test_server_handshake_cut_anywhere(void) {
    struct rig r;
    struct ws_buf all = {0};
    rig_init(&r, strategy);
    r.echo = r.quiet = true;
    rig_begin(&r);
    struct peer p = {.fd = -1};
    peer_say(&p, PEER_REQUEST);
    p.proto.role = WS_ROLE_CLIENT;
    peer_text(&p, "behind");
    all = p.out;
    for (size_t at = 1; at <= all.len; at++) {
        peer_connect(&r, &p, false);
        peer_put(&p, all.data, at);
        UNTIL(&r, p.out.len == 0);
        for (int i = 0; i < 3; i++) rig_turn(&r);
        peer_put(&p, all.data + at, all.len - at);
        UNTIL(&r, p.n_messages == 1);
        CHECK(peer_answer_is(&p, PEER_ANSWER));
        CHECK_LINE(p.said, "text:behind;");
        peer_free(&p);
        r.n_peers = 0;
        UNTIL(&r, ws_server_count(r.server) == 0);
        line_clear(&r.told);
    }
    CHECK_EQ(stats_of(&r).opened, all.len);
    CHECK_EQ(stats_of(&r).closed, all.len);
    CHECK_EQ(stats_of(&r).refused, 0);
    ws_buf_fini(&all);
    rig_stop(&r);
}

static void test_server_head_is_kept(void) {
    struct rig r;
    struct peer p;
    struct ws_address address;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    struct ws_conn *c = ws_server_find(r.server, 1);
    CHECK(c != NULL && ws_server_next(r.server, NULL, true) == c &&
          ws_server_next(r.server, c, true) == NULL);
    struct ws_slice head = ws_conn_get_head(c);
    CHECK(head.len == strlen(PEER_REQUEST) && memcmp(head.data, PEER_REQUEST, head.len) == 0);
    ws_conn_get_address(c, &address);
    CHECK(ws_address_is_loopback(&address));
    ws_conn_ref(c);
    peer_drop(&p, false);
    UNTIL(&r, r.n_closes == 1);
    rig_settle(&r); /* the connection has left the loop: what is kept for who holds a reference */
    head = ws_conn_get_head(c);
    CHECK(head.len == strlen(PEER_REQUEST) && memcmp(head.data, PEER_REQUEST, head.len) == 0);
    CHECK(ws_server_find(r.server, 1) == NULL);
    ws_conn_unref(c);
    rig_stop(&r);
}

/* ---- HTTP ---- */

static void test_server_pages(void) {
    struct rig r;
    char big[9000];
    rig_init(&r, strategy);
    rig_bind(&r);
    CHECK_EQ(ws_server_page(r.server, slice("/"), slice("<p>hi"), slice("text/html"),
                            slice("X-A: b\r\n")),
             0);
    CHECK_EQ(ws_server_page(r.server, slice("/a.js"), slice("old"), slice("x"), slice("")), 0);
    CHECK_EQ(ws_server_page(r.server, slice("/a.js"), slice("1"), slice("t/j"), slice("")), 0);
    rig_begin(&r);
    CHECK_EQ(ws_server_page(r.server, slice("/late"), slice(""), slice(""), slice("")),
             WS_ERR_ARGUMENT);
#define HEAD_ROOT                                                                                  \
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nConnection: close\r\n"     \
    "X-A: b\r\n\r\n"
    check_http(&r, "GET / HTTP/1.1\r\n" HOST "\r\n", HEAD_ROOT "<p>hi", true);
    check_http(&r, "GET /?a=b HTTP/1.1\r\n" HOST "\r\n", HEAD_ROOT "<p>hi", true);
    check_http(&r, "HEAD / HTTP/1.1\r\n" HOST "\r\n", HEAD_ROOT, true);
    check_http(&r, "GET /a.js HTTP/1.1\r\n" HOST "\r\n",
               "HTTP/1.1 200 OK\r\nContent-Type: t/j\r\nContent-Length: 1\r\n"
               "Connection: close\r\n\r\n1",
               true);
    check_http(&r, "GET /b HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 404 Not Found\r\n", false);
    check_http(&r, "HEAD /b HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 404 Not Found\r\n", false);
    check_http(&r, "POST / HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 405 ", false);
    check_http(&r, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421 ", false);
    check_http(&r, "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ", false);
    check_http(&r, "\x16\x03\x01 garbage", "HTTP/1.1 400 ", false);
    check_http(&r, "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 505 ", false);
    check_http(&r, "GET nowhere HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400 ", false);
    memset(big, 'x', sizeof big);
    memcpy(big, "GET /", 5);
    big[sizeof big - 1] = '\0';
    check_http(&r, big, "HTTP/1.1 414 ", false);
    memcpy(big, "GET / HTTP/1.1\r\nA: ", 19);
    check_http(&r, big, "HTTP/1.1 431 ", false);
    CHECK_EQ(stats_of(&r).refused, 10);
    CHECK_LINE(r.told, "");
    rig_stop(&r);
}

/* A peer that ends its side behind its request still gets the whole answer, however late it reads;
 * then nothing is waited for, and its place is free. */
static void test_server_page_to_half_closed_peer(void) {
    enum { BODY = 8000000 };
    struct rig r;
    struct peer p, q;
    char *body = malloc(BODY);
    memset(body, 'b', BODY);
    rig_init(&r, strategy);
    r.options.max_connections = 1;
    rig_bind(&r);
    CHECK_EQ(
        ws_server_page(r.server, slice("/"), (struct ws_slice){body, BODY}, slice("t"), slice("")),
        0);
    rig_begin(&r);
    peer_connect(&r, &p, true);
    p.deaf = true;
    peer_say(&p, "GET / HTTP/1.1\r\n" HOST "\r\n");
    UNTIL(&r, p.out.len == 0);
    shutdown(p.fd, SHUT_WR);
    rig_settle(&r);
    p.deaf = false;
    UNTIL(&r, p.eof || p.reset);
    CHECK(p.eof);
    CHECK(p.head.len > BODY && memcmp(p.head.data + p.head.len - BODY, body, BODY) == 0);
    rig_settle(&r);
    peer_open(&r, &q);
    CHECK_EQ(stats_of(&r).shed, 0);
    free(body);
    rig_stop(&r);
}

static void test_server_upgrade_refused(void) {
    static const char version[] =
        "GET / HTTP/1.1\r\n" HOST
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " PEER_KEY
        "\r\nSec-WebSocket-Version: 8\r\n\r\n";
    static const char origin[] =
        "GET / HTTP/1.1\r\n" HOST
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " PEER_KEY
        "\r\nSec-WebSocket-Version: 13\r\nOrigin: https://evil.example\r\n\r\n";
    struct rig r;
    rig_init(&r, strategy);
    rig_begin(&r);
    check_http(&r, "GET / HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 426 Upgrade Required\r\n", false);
    check_http(&r, version, "HTTP/1.1 426 ", false);
    check_http(&r, origin, "HTTP/1.1 403 Forbidden\r\n", false);
    CHECK_EQ(stats_of(&r).refused, 3);
    CHECK_EQ(stats_of(&r).opened, 0);
    rig_stop(&r);
}

/* What follows a refused request is thrown away, 64 KiB of it at most. */
static void test_server_refused_peer_goes_on(void) {
    struct rig r;
    struct peer p;
    char more[8192];
    rig_init(&r, strategy);
    rig_begin(&r);
    memset(more, 'G', sizeof more);
    peer_connect(&r, &p, false);
    peer_say(&p, "BAD\r\n\r\n");
    for (int i = 0; i < 7; i++) peer_put(&p, more, sizeof more);
    UNTIL(&r, p.eof);
    CHECK(peer_answer_starts(&p, "HTTP/1.1 400 "));
    p.eof = false; /* its end of the socket is still open */
    for (int i = 0; i < 20; i++) peer_put(&p, more, sizeof more);
    p.deaf = true;
    UNTIL(&r, p.out.len == 0); /* a reset ends the sending at the latest */
    UNTIL(&r, send(p.fd, "x", 1, MSG_NOSIGNAL) < 0);
    CHECK_EQ(stats_of(&r).refused, 1);
    rig_stop(&r);
}

/* A little more from a refused peer, then its end: the server goes without a reset. */
static void test_server_refused_peer_ends(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.options.max_connections = 1;
    rig_begin(&r);
    peer_connect(&r, &p, false);
    peer_say(&p, "BAD\r\n\r\n");
    UNTIL(&r, p.eof);
    for (int i = 0; i < 3; i++) {
        peer_say(&p, "more");
        UNTIL(&r, p.out.len == 0);
        rig_settle(&r);
    }
    shutdown(p.fd, SHUT_WR);
    rig_settle(&r);
    int error = 0;
    socklen_t len = sizeof error;
    CHECK_EQ(getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    CHECK_EQ(error, 0);
    struct peer q;
    peer_open(&r, &q); /* its place is free */
    CHECK_EQ(stats_of(&r).shed, 0);
    rig_stop(&r);
}

static void test_server_max_connections(void) {
    struct rig r;
    struct peer a, b, c;
    rig_init(&r, strategy);
    r.options.max_connections = 1;
    rig_begin(&r);
    peer_open(&r, &a);
    peer_connect(&r, &b, false);
    UNTIL(&r, b.eof);
    CHECK(peer_answer_starts(&b, "HTTP/1.1 503 Service Unavailable\r\n"));
    CHECK(memmem(b.head.data, b.head.len, "\r\nRetry-After: ", 15) != NULL);
    CHECK_EQ(stats_of(&r).shed, 1);
    peer_drop(&a, false);
    UNTIL(&r, r.n_closes == 1);
    rig_settle(&r);
    peer_open(&r, &c); /* there is room again */
    CHECK_LINE(r.told, "open1;close1:1006/0:/:eof;open2;");
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_server_handshake_cut_anywhere);
    RUN(test_server_head_is_kept);
    RUN(test_server_pages);
    RUN(test_server_page_to_half_closed_peer);
    RUN(test_server_upgrade_refused);
    RUN(test_server_refused_peer_goes_on);
    RUN(test_server_refused_peer_ends);
    RUN(test_server_max_connections);
}

int main(void) {
    return run_strategies(run_all);
}
