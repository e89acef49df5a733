/* test_server.c: the whole core over real sockets, in one thread, with every poll strategy. Who was
 * told what stands in two lines of text: the server's handlers (rig.told, "close1:PEER'S/OURS:its
 * reason/our reason:kind") and the client (peer.said). */
#include "peer.h"

#include "err.h"

#include <pthread.h>
#include <sys/resource.h>

static enum ws_strategy strategy;

static struct ws_slice slice(const char *text) {
    return (struct ws_slice){text, strlen(text)};
}

static int send_text(struct ws_conn *c, const char *text) {
    struct ws_payload p = {.data = (const uint8_t *)text, .len = strlen(text), .text = true};
    return ws_conn_send(c, &p);
}

static struct ws_stats stats_of(const struct rig *r) {
    struct ws_stats stats;
    ws_server_get_stats(r->server, &stats);
    return stats;
}

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

/* Sends a request, turns until the server has said all, and checks the answer. */
static void check_http(struct rig *r, const char *request, const char *start, bool whole) {
    struct peer p;
    peer_connect(r, &p, false);
    peer_say(&p, request);
    UNTIL(r, p.eof || p.reset);
    CHECK(p.eof);
    if (!(whole ? peer_answer_is(&p, start) : peer_answer_starts(&p, start))) {
        fprintf(stderr, "%.60s\n -> %.*s\n", request, (int)p.head.len, (char *)p.head.data);
        check_failures++;
    }
    peer_free(&p);
    r->n_peers = 0;
    rig_settle(r);
}

#define HOST "Host: 127.0.0.1\r\n"

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

/* ---- messages ---- */

static void test_server_echo(void) {
    static const size_t lengths[] = {0, 1, 125, 126, 4000, 65535, 65536, 300000};
    struct rig r;
    struct peer p;
    struct line expected = {0};
    uint8_t *data = malloc(300000);
    rig_init(&r, strategy);
    r.echo = r.quiet = true;
    rig_begin(&r);
    peer_open(&r, &p);
    for (size_t i = 0; i < 300000; i++) data[i] = (uint8_t)(i * 37 + i / 256);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        peer_frame(&p, WS_OPCODE_BINARY, data, lengths[i]);
        line_add(&expected, "binary:");
        line_bytes(&expected, data, lengths[i]);
        UNTIL(&r, p.n_messages == (int)i + 1);
    }
    peer_text(&p, "gr\xC3\xBC\xC3\x9F");
    line_add(&expected, "text:gr\xC3\xBC\xC3\x9F;");
    UNTIL(&r, p.n_messages == 9);
    CHECK_LINE(p.said, expected.text);
    CHECK_EQ(stats_of(&r).received, 9);
    CHECK_EQ(stats_of(&r).sent, 9);
    free(data);
    rig_stop(&r);
}

/* Thousands of frames in one segment, of every opcode of a message. */
static void test_server_many_in_one_segment(void) {
    struct rig r;
    struct peer p;
    char text[32];
    rig_init(&r, strategy);
    r.echo = r.quiet = true;
    r.options.high_water = r.options.max_backlog = 1 << 24;
    rig_begin(&r);
    peer_open(&r, &p);
    p.quiet = p.numbered = true;
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "%d.", i);
        peer_text(&p, text);
    }
    UNTIL(&r, p.n_messages == 5000);
    rig_stop(&r);
}

static void test_server_pings(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.echo = true;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "one");
    peer_frame(&p, WS_OPCODE_PING, "a", 1);
    peer_frame(&p, WS_OPCODE_PONG, "x", 1);
    peer_frame(&p, WS_OPCODE_PING, "b", 1); /* only the latest of a segment is answered */
    peer_text(&p, "two");
    UNTIL(&r, p.n_messages == 2);
    CHECK_LINE(p.said, "pong:b;text:one;text:two;");
    line_clear(&p.said);
    peer_frame(&p, WS_OPCODE_PING, "", 0);
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "pong:;");
    rig_stop(&r);
}

static void check_violation(const char *bytes, size_t len, const char *said, const char *told) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.options.max_message_size = 1000;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "ok");
    peer_put(&p, bytes, len);
    peer_text(&p, "late");
    UNTIL(&r, p.eof || p.reset);
    CHECK(p.eof);
    CHECK_LINE(p.said, said);
    CHECK_LINE(r.told, told);
    rig_stop(&r);
}

static void test_server_violations(void) {
    check_violation("\x81\x01x", 3, "close1002:a client's frame is not masked;",
                    "open1;ascii1:ok;"
                    "close1:1006/1002:/a client's frame is not masked:protocol;");
    check_violation("\x81\x81\0\0\0\0\xFF", 7, "close1007:the text is not UTF-8;",
                    "open1;ascii1:ok;close1:1006/1007:/the text is not UTF-8:protocol;");
    check_violation("\x82\xFE\x03\xE9\0\0\0\0", 8, "close1009:the message is too big;",
                    "open1;ascii1:ok;close1:1006/1009:/the message is too big:limit;");
}

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

static void close_self(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    struct ws_close close;
    size_t count = ws_server_count(r->server);
    (void)m;
    CHECK(ws_server_find(r->server, ws_conn_id(c)) == c);
    CHECK(send_text(c, "before") == WS_SENT);
    CHECK_EQ(ws_conn_close(c, 4000, slice("done"), WS_CLOSE_LOCAL), 0);
    CHECK(!ws_conn_is_open(c));
    CHECK(ws_server_find(r->server, ws_conn_id(c)) == NULL);
    CHECK_EQ(ws_server_count(r->server), count - 1);
    CHECK(!ws_conn_get_close(c, &close));
    CHECK(close.sent_code == 4000 && close.kind == WS_CLOSE_LOCAL && close.code == 1006);
    CHECK_EQ(send_text(c, "after"), WS_ERR_CLOSED);
    CHECK_EQ(ws_conn_close(c, 4999, slice("again"), WS_CLOSE_ERROR), 0);
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

/* ---- handlers that close ---- */

static void close_on_open(struct rig *r, struct ws_conn *c) {
    (void)r;
    CHECK_EQ(ws_conn_close(c, 1000, slice(""), WS_CLOSE_LOCAL), 0);
}

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

/* ---- back-pressure ---- */

#define ANSWER_SIZE 32768

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

/* A peer sends questions and reads late: the server stops reading, the answers keep their order,
 * nothing overflows, on_drain comes, and the close frame is the last of all. */
static void test_server_lane_and_drain(void) {
    struct rig r;
    struct peer p;
    char text[16];
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
    p.deaf = p.quiet = p.numbered = true;
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "%d?", i);
        peer_text(&p, text);
    }
    peer_close_frame(&p, 1000, "bye");
    UNTIL(&r, p.out.len == 0);
    rig_settle(&r);
    CHECK(r.n_messages < 300);
    p.deaf = false;
    UNTIL(&r, p.eof);
    CHECK_EQ(p.n_messages, 300);
    CHECK_EQ(r.n_messages, 300);
    CHECK_LINE(p.said, "close1000:;");
    CHECK_LINE(r.told, "open1;close1:1000/1000:bye/:peer;");
    CHECK(r.n_drains > 0);
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

/* A peer that pings and does not read: one pong a turn, and no reading over high_water. */
static void test_server_ping_flood(void) {
    struct rig r;
    struct peer p;
    uint8_t payload[125] = {0};
    rig_init(&r, strategy);
    r.options.high_water = 1000;
    rig_begin(&r);
    peer_connect(&r, &p, true);
    peer_say(&p, PEER_REQUEST);
    UNTIL(&r, p.upgraded);
    p.deaf = true;
    struct ws_conn *c = ws_server_find(r.server, 1);
    size_t most = 0;
    for (int i = 0; i < 3000; i++) {
        peer_frame(&p, WS_OPCODE_PING, payload, sizeof payload);
        rig_turn(&r);
        if (ws_conn_backlog(c) > most) most = ws_conn_backlog(c);
    }
    CHECK(most <= 1000 + 127);
    rig_stop(&r);
}

/* ---- large messages ---- */

#define LARGE 300000

/* The first part of a large message, as far as the server asks for memory. */
static void begin_large(struct rig *r, struct peer *p, struct ws_buf *rest, uint8_t opcode) {
    uint8_t *data = malloc(LARGE);
    memset(data, 'L', LARGE);
    peer_frame(p, opcode, data, LARGE);
    *rest = (struct ws_buf){0};
    if (ws_buf_append(rest, p->out.data + 20000, p->out.len - 20000) < 0) exit(2);
    p->out.len = 20000;
    UNTIL(r, r->n_objects == 1);
    free(data);
}

static void test_server_large_message(void) {
    for (int binary = 0; binary < 2; binary++) {
        struct rig r;
        struct peer p;
        struct ws_buf rest;
        rig_init(&r, strategy);
        r.quiet = r.echo = true;
        rig_begin(&r);
        peer_open(&r, &p);
        begin_large(&r, &p, &rest, binary ? WS_OPCODE_BINARY : WS_OPCODE_TEXT);
        while (rest.len) { /* in pieces, the last with a message behind it */
            size_t n = rest.len < 70001 ? rest.len : 70001;
            peer_put(&p, rest.data, n);
            ws_buf_consume(&rest, n);
            if (!rest.len) peer_text(&p, "small");
            UNTIL(&r, p.out.len == 0);
            rig_turn(&r);
        }
        UNTIL(&r, p.n_messages == 2);
        CHECK_EQ(p.n_bytes, LARGE + 5);
        CHECK_EQ(r.n_objects, 1);
        CHECK_EQ(r.n_released, 1);
        struct line expected = {0};
        char *data = malloc(LARGE);
        memset(data, 'L', LARGE);
        line_add(&expected, binary ? "binary:" : "text:");
        line_bytes(&expected, data, LARGE);
        line_add(&expected, "text:small;");
        CHECK_LINE(p.said, expected.text);
        free(data);
        ws_buf_fini(&rest);
        rig_stop(&r);
    }
}

static void close_first(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)m;
    (void)c;
    CHECK_EQ(ws_conn_close(ws_server_find(r->server, 1), 4000, slice(""), WS_CLOSE_LOCAL), 0);
}

/* A large message that never ends: by reset, by EOF, by a violation in it, by another connection's
 * handler, by a stop, without ceremony. Its memory is given back once (rig_end counts). */
static void test_server_large_message_cut(void) {
    for (int how = 0; how < 6; how++) {
        struct rig r;
        struct peer p, q;
        struct ws_buf rest;
        rig_init(&r, strategy);
        r.act = close_first;
        rig_begin(&r);
        peer_open(&r, &p);
        peer_open(&r, &q);
        begin_large(&r, &p, &rest, WS_OPCODE_TEXT);
        if (how < 2) {
            peer_drop(&p, how == 0);
        } else if (how == 2) {
            rest.data[5] ^= 0xFF;
            peer_put(&p, rest.data, 10);
        } else if (how == 3) { /* what still comes of it is thrown away */
            peer_text(&q, "close it");
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close4000:;");
            peer_put(&p, rest.data, rest.len);
            peer_close_frame(&p, 4000, "");
        } else if (how == 4) {
            ws_server_stop(r.server);
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close1001:;");
            peer_drop(&p, false);
        }
        static const char *const told[] = {"close1:1006/0:/:reset;", "close1:1006/0:/:eof;",
                                           "close1:1006/1007:/the text is not UTF-8:protocol;",
                                           "ascii2:close it;close1:4000/4000:/:local;",
                                           "close1:1006/1001:/:shutdown;"};
        if (how < 5) {
            UNTIL(&r, r.n_closes == 1);
            CHECK_EQ(r.n_released, 1);
            CHECK(strncmp(r.told.text, "open1;open2;", 12) == 0);
            if (strcmp(r.told.text + 12, told[how]) != 0) {
                fprintf(stderr, "how %d: %s\n", how, r.told.text);
                check_failures++;
            }
            rig_stop(&r);
        } else {
            rig_end(&r);
        }
        CHECK_EQ(r.n_objects, 1);
        ws_buf_fini(&rest);
    }
}

/* The memory is asked for, but a message before it in the batch makes the handler close: it is not
 * made. Or it cannot be made, or there is nobody to ask: 1011. */
static void test_server_large_message_refused(void) {
    for (int no_memory = 0; no_memory < 3; no_memory++) {
        struct rig r;
        struct peer p;
        uint8_t *data = calloc(1, LARGE);
        rig_init(&r, strategy);
        r.no_memory = no_memory == 1;
        if (no_memory == 2) r.handlers.new_buffer = NULL;
        r.act = no_memory ? NULL : close_self;
        rig_begin(&r);
        peer_open(&r, &p);
        peer_text(&p, "first");
        peer_frame(&p, WS_OPCODE_BINARY, data, LARGE);
        peer_close_frame(&p, 4000, "");
        if (no_memory) {
            UNTIL(&r, p.said.len > 0 || p.reset);
            CHECK_LINE(p.said, "close1011:;");
            CHECK_LINE(r.told, "open1;ascii1:first;close1:1006/1011:/:error;");
        } else {
            UNTIL(&r, p.eof);
            CHECK_LINE(r.told, "open1;ascii1:first;close1:4000/4000:/done:local;");
        }
        CHECK_EQ(r.n_objects, 0);
        free(data);
        rig_stop(&r);
    }
}

/* ---- objects by reference ---- */

static int send_object(struct rig *r, struct ws_conn *c, size_t len) {
    uint8_t *object = malloc(len);
    memset(object, 'O', len);
    struct ws_payload p = {.data = object, .len = len, .text = true, .object = object};
    int sent = ws_conn_send(c, &p);
    if (sent == WS_SENT || sent == WS_SENT_OVER) r->n_objects++;
    else free(object); /* it stayed ours */
    return sent;
}

static void send_objects(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)m;
    for (size_t i = 0; i < 5; i++) CHECK(send_object(r, c, 100000 + i) >= WS_SENT_OVER);
}

static void test_server_objects(void) {
    for (int how = 0; how < 4; how++) {
        struct rig r;
        struct peer p;
        rig_init(&r, strategy);
        r.act = send_objects;
        rig_begin(&r);
        peer_connect(&r, &p, true);
        peer_say(&p, PEER_REQUEST);
        UNTIL(&r, p.upgraded);
        p.quiet = true;
        p.deaf = how > 0;
        peer_text(&p, "go");
        UNTIL(&r, r.n_objects == 5);
        if (how == 0) { /* all of them arrive */
            UNTIL(&r, p.n_messages == 5);
            CHECK_EQ(p.n_bytes, 500010);
            peer_text(&p, "again"); /* and are given back in a dispatch at the latest */
            UNTIL(&r, r.n_objects == 10 && r.n_released >= 5);
            rig_stop(&r);
        } else if (how == 1) { /* they wait in the queue when the peer goes */
            peer_drop(&p, true);
            UNTIL(&r, r.n_closes == 1);
            rig_stop(&r);
        } else if (how == 2) {
            rig_end(&r);
        } else { /* a flood: what is not taken stays the sender's */
            struct ws_conn *c = ws_server_find(r.server, 1);
            int sent, n = 0;
            do sent = send_object(&r, c, 200000);
            while (sent >= 0 && sent != WS_SENT_DROPPED && n++ < 1000);
            CHECK_EQ(sent, WS_SENT_DROPPED);
            CHECK_EQ(send_object(&r, c, 10), WS_ERR_CLOSED);
            rig_stop(&r);
        }
    }
}

/* ---- time-outs: the poller is waited for, a few turns are enough ---- */

#define WAIT_FOR(r, cond)                                                                          \
    do {                                                                                           \
        for (int waits = 0; !(cond) && waits < 60; waits++) rig_wait(r);                           \
        CHECK(cond);                                                                               \
    } while (0)

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

/* ---- other threads ---- */

struct sender {
    struct rig *rig;
    struct ws_conn *conn;
    int fd;
    int rounds;
    _Atomic bool done;
};

static void read_exactly(int fd, uint8_t *data, size_t len) {
    while (len) {
        ssize_t n = recv(fd, data, len, 0);
        if (n <= 0) {
            check_failures++;
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

/* Two messages, then their echo off the socket: every wake-up that got lost would stop it here. */
static void *send_and_read(void *arg) {
    struct sender *s = arg;
    for (int i = 0; i < s->rounds; i++) {
        uint8_t got[2 * 6];
        char text[8];
        for (int k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%04d", (2 * i + k) % 10000);
            CHECK_EQ(send_text(s->conn, text), WS_SENT);
        }
        read_exactly(s->fd, got, sizeof got);
        for (int k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%04d", (2 * i + k) % 10000);
            CHECK(memcmp(got + 6 * k, "\x81\x04", 2) == 0 && memcmp(got + 6 * k + 2, text, 4) == 0);
        }
    }
    CHECK_EQ(ws_conn_close(s->conn, 4005, slice("thread"), WS_CLOSE_LOCAL), 0);
    CHECK(!ws_conn_is_open(s->conn));
    CHECK_EQ(send_text(s->conn, "x"), WS_ERR_CLOSED);
    CHECK_EQ(ws_conn_close(s->conn, 4006, slice(""), WS_CLOSE_LOCAL), 0);
    uint8_t frame[10];
    read_exactly(s->fd, frame, sizeof frame);
    CHECK(memcmp(frame, "\x88\x08\x0F\xA5thread", 10) == 0);
    atomic_store(&s->done, true);
    ws_server_stop(s->rig->server); /* wakes the loop a last time */
    return NULL;
}

static void test_server_mailbox(void) {
    struct rig r;
    struct peer p;
    pthread_t thread;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    fcntl(p.fd, F_SETFL, 0);
    struct sender s = {.rig = &r, .conn = ws_server_find(r.server, 1), .fd = p.fd, .rounds = 2000};
    ws_conn_ref(s.conn);
    CHECK_EQ(pthread_create(&thread, NULL, send_and_read, &s), 0);
    while (!atomic_load(&s.done)) rig_wait(&r);
    pthread_join(thread, NULL);
    CHECK_EQ(stats_of(&r).sent, 4000);
    CHECK_EQ(ws_conn_backlog(s.conn), 0);
    ws_conn_unref(s.conn);
    rig_stop(&r);
    CHECK_LINE(r.told, "open1;close1:1006/4005:/thread:local;");
}

static void *send_objects_from_thread(void *arg) {
    struct sender *s = arg;
    int n = 0, sent;
    do sent = send_object(s->rig, s->conn, 50000);
    while (++n < 1000 && (sent == WS_SENT || sent == WS_SENT_OVER));
    CHECK_EQ(sent, WS_SENT_DROPPED); /* the bound holds for the mailbox too */
    CHECK(!ws_conn_is_open(s->conn));
    CHECK_EQ(send_object(s->rig, s->conn, 10), WS_ERR_CLOSED);
    return NULL;
}

/* Objects posted by another thread: applied to a peer that reads late, or posted and never applied,
 * or posted after the end of the loop. */
static void test_server_mailbox_bound(void) {
    for (int how = 0; how < 2; how++) {
        struct rig r;
        struct peer p;
        pthread_t thread;
        rig_init(&r, strategy);
        rig_begin(&r);
        peer_open(&r, &p);
        p.quiet = true;
        struct sender s = {.rig = &r, .conn = ws_server_find(r.server, 1)};
        ws_conn_ref(s.conn);
        CHECK_EQ(pthread_create(&thread, NULL, send_objects_from_thread, &s), 0);
        pthread_join(thread, NULL); /* the loop did not turn: everything waits in the mailbox */
        CHECK_EQ(r.n_objects, 21);  /* the first that finds 1 MiB there is refused */
        CHECK_EQ(ws_conn_backlog(s.conn), 21 * 50004);
        if (how == 0) {
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close1013:the backlog is full;");
            rig_settle(&r);
            rig_stop(&r);
            CHECK_LINE(r.told, "open1;close1:1006/1013:/the backlog is full:backlog;");
            ws_conn_unref(s.conn);
        } else {
            ws_loop_end(r.loop);
            ws_conn_unref(s.conn);
            rig_end(&r);
        }
    }
}

/* ---- other addresses, other ends ---- */

static void test_server_unix(void) {
    struct rig r;
    struct peer p;
    char why[256];
    struct sockaddr_un *un = (struct sockaddr_un *)&r.at;
    rig_init(&r, strategy);
    r.echo = true;
    r.server = ws_server_new(&r.options, &r.handlers, &r);
    r.loop = ws_server_loop(r.server);
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path, sizeof un->sun_path, "/tmp/wspy-test-%ld.sock", (long)getpid());
    r.at_len = sizeof *un;
    CHECK_EQ(ws_server_bind_unix(r.server, un->sun_path, why), 0);
    CHECK_EQ(ws_server_bind_unix(r.server, "/tmp/other", why), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_server_get_port(r.server), 0);
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "local");
    UNTIL(&r, p.n_messages == 1);
    CHECK_LINE(p.said, "text:local;");
    CHECK_EQ(access(un->sun_path, F_OK), 0);
    rig_stop(&r);
    CHECK_EQ(access(un->sun_path, F_OK), -1);
}

static void test_server_bind_errors(void) {
    struct rig r;
    char why[256], expected[64];
    rig_init(&r, strategy);
    rig_bind(&r);
    uint16_t port = ws_server_get_port(r.server);
    CHECK(port != 0);
    struct ws_server *other = ws_server_new(&r.options, &r.handlers, &r);
    rig_begin(&r);
    CHECK_EQ(ws_server_bind_tcp(other, "127.0.0.1", port, why), WS_ERR_SYSTEM);
    snprintf(expected, sizeof expected, "cannot listen on 127.0.0.1:%u: ", port);
    CHECK(strncmp(why, expected, strlen(expected)) == 0);
    CHECK_EQ(ws_server_bind_unix(other, "/nonexistent/dir/s", why), WS_ERR_SYSTEM);
    CHECK(strncmp(why, "cannot listen on /nonexistent/dir/s: ", 37) == 0);
    ws_server_free(other);
    rig_stop(&r);
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

/* Random bytes behind a sound handshake: each peer is turned away, none harms the server. */
static void test_server_garbage(void) {
    struct rig r;
    struct peer p;
    uint64_t state = 1;
    rig_init(&r, strategy);
    r.quiet = true;
    rig_begin(&r);
    for (int i = 0; i < 100; i++) {
        uint8_t data[2000];
        for (size_t k = 0; k < sizeof data; k++) {
            state = state * UINT64_C(6364136223846793005) + 1;
            data[k] = (uint8_t)(state >> 56);
        }
        data[0] = (uint8_t)(0x80 | (data[0] & 3)); /* some get further */
        data[1] |= 0x80;
        peer_open(&r, &p);
        peer_put(&p, data, sizeof data);
        UNTIL(&r, p.out.len == 0);
        rig_settle(&r);
        peer_drop(&p, i % 2);
        UNTIL(&r, r.n_closes == i + 1);
        peer_free(&p);
        r.n_peers = 0;
        line_clear(&r.told);
    }
    CHECK_EQ(stats_of(&r).opened, 100);
    CHECK_EQ(stats_of(&r).closed, 100);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_server_handshake_cut_anywhere);
    RUN(test_server_head_is_kept);
    RUN(test_server_pages);
    RUN(test_server_page_to_half_closed_peer);
    RUN(test_server_upgrade_refused);
    RUN(test_server_refused_peer_goes_on);
    RUN(test_server_max_connections);
    RUN(test_server_echo);
    RUN(test_server_many_in_one_segment);
    RUN(test_server_pings);
    RUN(test_server_violations);
    RUN(test_server_peer_closes);
    RUN(test_server_closes_first);
    RUN(test_server_both_close);
    RUN(test_server_closed_without_close_frame);
    RUN(test_server_eof_in_a_message);
    RUN(test_server_stop);
    RUN(test_server_stop_before_begin);
    RUN(test_server_never_begun);
    RUN(test_server_end_with_open_connections);
    RUN(test_server_on_open_closes);
    RUN(test_server_handler_closes_all);
    RUN(test_server_on_close_closes);
    RUN(test_server_lane_and_drain);
    RUN(test_server_end_in_the_lane);
    RUN(test_server_late_reader_among_others);
    RUN(test_server_max_backlog);
    RUN(test_server_ping_flood);
    RUN(test_server_large_message);
    RUN(test_server_large_message_cut);
    RUN(test_server_large_message_refused);
    RUN(test_server_objects);
    RUN(test_server_handshake_timeout);
    RUN(test_server_close_timeout);
    RUN(test_server_linger_timeout);
    RUN(test_server_shutdown_timeout);
    RUN(test_server_mailbox);
    RUN(test_server_mailbox_bound);
    RUN(test_server_unix);
    RUN(test_server_bind_errors);
    RUN(test_server_abandon);
    RUN(test_server_garbage);
}

int main(void) {
    static const enum ws_strategy strategies[] = {WS_STRATEGY_SELECT, WS_STRATEGY_POLL,
                                                  WS_STRATEGY_EPOLL};
    for (int i = 0; i < 3; i++) {
        strategy = strategies[i];
        run_all();
    }
    return check_done();
}
