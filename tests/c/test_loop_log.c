/* test_loop_log.c: the lines that the server writes, word by word, and what it refuses. */
#include "rig.h"

static void tell_line(void *user, enum ws_log level, struct ws_slice line) {
    struct rig *r = user;
    line_add(&r->told, "%d:%.*s;", level, (int)line.len, line.data);
}

/* Over a Unix socket, so that every peer has the same address. */
static void begin_logging(struct rig *r, int level) {
    rig_bind_unix(r);
    r->quiet = true;
    ws_server_set_log_level(r->server, level);
    rig_begin(r);
}

static void init_logging(struct rig *r) {
    rig_init(r, strategy);
    r->handlers.on_log = tell_line;
}

#define UPGRADE                                                                                    \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " PEER_KEY                    \
    "\r\nSec-WebSocket-Version: "

/* One request is refused: the line says what the answer says. */
static void check_refusal(struct rig *r, const char *request, int status) {
    struct peer p;
    struct line expected = {0};
    char start[32];
    line_clear(&r->told);
    peer_connect(r, &p, false);
    peer_say(&p, request);
    UNTIL(r, p.eof || p.reset);
    snprintf(start, sizeof start, "HTTP/1.1 %d ", status);
    CHECK(peer_answer_starts(&p, start));
    const char *body = memmem(p.head.data, p.head.len, "\r\n\r\n", 4);
    CHECK(body != NULL);
    if (body) {
        int len = (int)(p.head.len - (size_t)(body + 4 - (const char *)p.head.data)) - 1;
        CHECK(len > 10);
        line_add(&expected, "20:unix refused with %d: %.*s;", status, len, body + 4);
        CHECK_LINE(r->told, expected.text);
    }
    peer_free(&p);
    r->n_peers = 0;
    rig_settle(r);
}

static void test_log_refusals(void) {
    static char longer[9000];
    struct rig r;
    init_logging(&r);
    begin_logging(&r, WS_LOG_INFO);
    memset(longer, 'x', sizeof longer - 1);
    memcpy(longer, "GET /", 5);
    check_refusal(&r, "\x16\x03\x01 garbage", 400);
    check_refusal(&r, "GET nowhere HTTP/1.1\r\n" HOST "\r\n", 400);
    check_refusal(
        &r, "GET / HTTP/1.1\r\n" HOST UPGRADE "13\r\nOrigin: https://evil.example\r\n\r\n", 403);
    check_refusal(&r, "POST / HTTP/1.1\r\n" HOST "\r\n", 405);
    check_refusal(&r, longer, 414);
    check_refusal(&r, "GET / HTTP/1.1\r\n" HOST "\r\n", 426);
    check_refusal(&r, "GET / HTTP/1.1\r\n" HOST UPGRADE "8\r\n\r\n", 426);
    memcpy(longer, "GET / HTTP/1.1\r\nA: ", 19);
    check_refusal(&r, longer, 431);
    check_refusal(&r, "GET / HTTP/1.0\r\n\r\n", 505);
    CHECK_EQ(stats_of(&r).refused, 9);
    CHECK_EQ(stats_of(&r).suppressed_lines, 0);
    rig_stop(&r);
}

/* Where there are pages, another path is not found; a foreign name is not ours. */
static void test_log_refusals_with_pages(void) {
    struct ws_slice own = {"127.0.0.1", 9};
    struct rig r;
    init_logging(&r);
    r.options.hosts = (struct ws_allow_list){.mode = WS_ALLOW_LIST, .items = &own, .n = 1};
    rig_bind_unix(&r);
    CHECK_EQ(ws_server_page(r.server, slice("/"), slice("x"), slice("t"), slice("")), 0);
    ws_server_set_log_level(r.server, WS_LOG_INFO);
    rig_begin(&r);
    check_refusal(&r, "GET /other HTTP/1.1\r\n" HOST "\r\n", 404);
    check_refusal(&r, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421);
    rig_stop(&r);
}

static void test_log_levels(void) {
    static const int levels[] = {WS_LOG_DEBUG, WS_LOG_INFO, WS_LOG_WARNING, 100};
    for (int i = 0; i < 4; i++) {
        struct rig r;
        struct peer p;
        init_logging(&r);
        begin_logging(&r, levels[i]);
        peer_open(&r, &p);
        peer_put(&p, "\x81\x01x", 3);
        UNTIL(&r, p.eof);
        rig_settle(&r);
        /* A line that is made while the batch is dispatched comes behind what stands in it. */
        CHECK_LINE(r.told,
                   i < 2 ? "open1;close1:1006/1002:/a client's frame is not masked:protocol;"
                           "20:connection 1 closed with 1002: a client's frame is not masked;"
                         : "open1;close1:1006/1002:/a client's frame is not masked:protocol;");
        CHECK_EQ(stats_of(&r).suppressed_lines, 0);
        rig_stop(&r);
    }
}

static void test_log_shed(void) {
    struct rig r;
    struct peer p, q;
    init_logging(&r);
    r.options.max_connections = 1;
    begin_logging(&r, WS_LOG_WARNING);
    peer_open(&r, &p);
    peer_connect(&r, &q, false);
    UNTIL(&r, q.eof);
    rig_settle(&r);
    CHECK_LINE(r.told, "open1;30:connection refused with 503: the server has its maximum of "
                       "connections (max_connections);");
    rig_stop(&r);
}

static void flood(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static const uint8_t data[50000];
    struct ws_payload p = {.data = data, .len = sizeof data};
    int sent;
    (void)r;
    (void)m;
    do sent = ws_conn_send(c, &p);
    while (sent == WS_SENT || sent == WS_SENT_OVER);
    CHECK_EQ(sent, WS_SENT_DROPPED);
}

static void test_log_backlog(void) {
    struct rig r;
    struct peer p;
    char expected[128];
    init_logging(&r);
    r.act = flood;
    begin_logging(&r, WS_LOG_WARNING);
    peer_open(&r, &p);
    p.deaf = true;
    peer_text(&p, "go");
    UNTIL(&r, r.n_messages == 1);
    rig_settle(&r);
    /* One was refused, the others were discarded with the queue. */
    snprintf(
        expected, sizeof expected,
        "open1;30:connection 1 closed with 1013: its backlog reached max_backlog, %llu messages "
        "dropped;",
        (unsigned long long)stats_of(&r).dropped_sent - 1);
    CHECK_LINE(r.told, expected);
    CHECK(stats_of(&r).dropped_sent > 15);
    rig_stop(&r);
}

/* Ten lines of a kind in a second; the others are counted. */
static void test_log_rate(void) {
    struct rig r;
    struct peer p;
    init_logging(&r);
    begin_logging(&r, WS_LOG_INFO);
    size_t n = 0;
    for (int i = 0; i < 25; i++) {
        line_clear(&r.told);
        peer_connect(&r, &p, false);
        peer_say(&p, "BAD\r\n\r\n");
        UNTIL(&r, p.eof);
        peer_free(&p);
        r.n_peers = 0;
        rig_settle(&r);
        n += r.told.len > 0;
    }
    CHECK_EQ(stats_of(&r).refused, 25);
    CHECK_EQ(n + stats_of(&r).suppressed_lines, 25);
    CHECK(n >= 10); /* more if the clock's second changed meanwhile */
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_log_refusals);
    RUN(test_log_refusals_with_pages);
    RUN(test_log_levels);
    RUN(test_log_shed);
    RUN(test_log_backlog);
    RUN(test_log_rate);
}

int main(void) {
    return run_strategies(run_all);
}
