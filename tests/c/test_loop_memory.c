/* test_loop_memory.c: memory does not suffice. A run with connections of every kind is repeated
 * with its first allocation failing, its second, and so on until it needs no more: nothing crashes
 * or leaks, no message is lost without an end, every on_open has its on_close, and the server goes
 * on. Only the server's allocations fail, not those of the peers. */
#include "armed.h"

/* ---- allocations that fail ---- */

/* wrap: malloc calloc realloc ws_loop_io ws_loop_dispatch */

static long n_allocations; /* since fail_from */
static long fail_first;    /* the number of the first that fails, 0: none */
static long fail_count;    /* how many fail from there on */

static bool must_fail(void) {
    if (!is_armed || !fail_first) return false;
    n_allocations++;
    return n_allocations >= fail_first && n_allocations < fail_first + fail_count;
}

void *__wrap_malloc(size_t size) {
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    return must_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
    return must_fail() ? NULL : __real_realloc(p, size);
}

static void fail_from(long first, long count) {
    n_allocations = 0;
    fail_first = first;
    fail_count = count;
}

/* Whether the run came as far as the failure. */
static bool has_failed(void) {
    return fail_first && n_allocations >= fail_first;
}

/* The sanitizer's count of bytes in use; absent in a build without it. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void) {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

/* ---- the handlers ---- */

#define IDS_MAX 64
#define ANSWER_SIZE 3000
#define OBJECT_SIZE 400000

struct counts {
    int opens[IDS_MAX], closes[IDS_MAX];
    int next[IDS_MAX]; /* the number of the message that is due */
    int n_lines;
    int n_calls, n_calls_ended;
};

static struct counts counts;

/* All but the first, whose peer counts its messages. */
static void subscribe(struct ws_conn *c) {
    static const char *const topics[] = {"t", "a/+/b", "#"};
    for (int i = 0; i < 3 && ws_conn_id(c) > 1; i++) {
        int done = ws_conn_subscribe(c, slice(topics[i]), i > 0);
        CHECK(done == 1 || done == WS_ERR_MEMORY);
    }
}

static void count_open(struct rig *r, struct ws_conn *c) {
    (void)r;
    counts.opens[ws_conn_id(c)]++;
    CHECK(counts.closes[ws_conn_id(c)] == 0);
    subscribe(c);
}

static void count_close(struct rig *r, struct ws_conn *c) {
    struct ws_close close;
    (void)r;
    counts.closes[ws_conn_id(c)]++;
    CHECK(ws_conn_get_close(c, &close));
    line_clear(&r->told);
}

static void count_line(void *user, enum ws_log level, struct ws_slice line) {
    (void)user;
    CHECK(level >= WS_LOG_DEBUG && line.len > 0);
    counts.n_lines++;
}

static void count_call(void *user, void *object, bool called, bool done) {
    (void)user;
    (void)called;
    CHECK(object == &counts);
    counts.n_calls_ended += done;
}

/* At once, again and again, later; two of them are cancelled. */
static void call_some(struct rig *r) {
    for (int i = 0; i < 3; i++) {
        struct ws_call *call = ws_call_new(&counts);
        if (!call) continue;
        if (ws_loop_call(r->loop, call, i == 2 ? 1000 : 0, i == 1) == 0) {
            counts.n_calls++;
            if (i > 0) ws_loop_cancel(r->loop, call);
        }
        ws_call_unref(call);
    }
}

/* Small ones and objects, with and without a key, to a topic and to patterns. */
static void publish_some(struct rig *r, const struct ws_conn *exclude) {
    static const uint8_t bytes[5000];
    for (int i = 0; i < 4; i++) {
        void *object = i % 2 ? __real_malloc(1) : NULL;
        struct ws_payload p = {.data = bytes, .len = i % 2 ? sizeof bytes : 300, .object = object};
        if (i >= 2) p.key = ws_server_key(r->server, slice("key"));
        ptrdiff_t n = ws_server_publish(r->server, slice(i == 3 ? "a/x/b" : "t"), &p, exclude);
        CHECK(n >= 0 || n == WS_ERR_MEMORY);
        if (object && !p.object) r->n_objects++;
        else free(object);
    }
}

static void answer_number(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    char text[ANSWER_SIZE];
    int number = counts.next[ws_conn_id(c)]++;
    CHECK_EQ(strtol((const char *)m->data, NULL, 10), number); /* no gap */
    memset(text, '.', sizeof text);
    CHECK(snprintf(text, 16, "%d ", number) > 0);
    struct ws_payload p = {.data = (uint8_t *)text, .len = sizeof text, .text = true};
    /* Without the answer the peer's count would have a gap. */
    if (ws_conn_send(c, &p) == WS_ERR_MEMORY)
        CHECK_EQ(ws_conn_close(c, 1011, slice("no memory"), WS_CLOSE_ERROR), 0);
    (void)r;
}

static void answer_object(struct rig *r, struct ws_conn *c) {
    static const uint8_t bytes[OBJECT_SIZE];
    void *object = __real_malloc(1); /* ours does not fail */
    struct ws_payload p = {.data = bytes, .len = sizeof bytes, .object = object};
    int sent = ws_conn_send(c, &p);
    if (sent == WS_SENT || sent == WS_SENT_OVER) r->n_objects++;
    else free(object);
}

static void answer(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    switch (m->data[0]) {
    case 'L': break; /* a large one */
    case 'o':
        answer_object(r, c);
        publish_some(r, NULL);
        call_some(r);
        break;
    case 'c': /* open still if memory does not suffice */
        if (ws_conn_close(c, 4000, slice("done"), WS_CLOSE_LOCAL) < 0) CHECK(ws_conn_is_open(c));
        else CHECK(!ws_conn_is_open(c));
        break;
    default: answer_number(r, c, m);
    }
}

/* ---- the run ---- */

enum { TALKER, PIECES, PAGE, BAD, LATE, LARGE_ONE, POSTED, RUN_PEERS };

static void turns(struct rig *r, int n) {
    for (int i = 0; i < n; i++) rig_turn(r);
}

static void *post_from_thread(void *arg) {
    struct rig *r = arg;
    struct ws_conn *c;
    is_armed = true;
    for (c = ws_server_next(r->server, NULL, true); c; c = ws_server_next(r->server, c, true)) {
        struct ws_payload p = {.data = (const uint8_t *)"posted", .len = 6, .text = true};
        int sent = ws_conn_send(c, &p);
        CHECK(sent == WS_SENT || sent == WS_SENT_OVER || sent == WS_ERR_MEMORY);
        publish_some(r, c);
        call_some(r);
        int closed = ws_conn_close(c, 4001, slice("thread"), WS_CLOSE_LOCAL);
        CHECK(closed == 0 || closed == WS_ERR_MEMORY);
        CHECK_EQ(ws_conn_is_open(c), closed != 0);
    }
    is_armed = false;
    return NULL;
}

static void put_numbers(struct peer *p, int from, int to) {
    char text[16];
    for (int i = from; i < to; i++) {
        snprintf(text, sizeof text, "%d?", i);
        peer_text(p, text);
    }
}

static void begin_peers(struct rig *r, struct peer *p) {
    for (int i = 0; i < RUN_PEERS; i++) peer_connect(r, &p[i], i == LATE);
    p[TALKER].quiet = p[TALKER].numbered = p[LATE].quiet = true;
    for (int i = 0; i < RUN_PEERS; i++) {
        if (i == PIECES) peer_put(&p[i], PEER_REQUEST, 30);
        else if (i == PAGE) peer_say(&p[i], "GET /page HTTP/1.1\r\n" HOST "\r\n");
        else if (i == BAD) peer_say(&p[i], "BAD\r\n\r\n");
        else peer_say(&p[i], PEER_REQUEST);
    }
    put_numbers(&p[TALKER], 0, 2); /* behind the head */
    turns(r, 6);
    peer_put(&p[PIECES], PEER_REQUEST + 30, 50);
    turns(r, 3);
    peer_say(&p[PIECES], PEER_REQUEST + 80);
    put_numbers(&p[PIECES], 0, 1);
    turns(r, 6);
}

static void talk(struct rig *r, struct peer *p) {
    uint8_t *data = malloc(LARGE);
    memset(data, 'L', LARGE);
    peer_frame(&p[TALKER], WS_OPCODE_PING, "ping", 4);
    put_numbers(&p[TALKER], 2, 40);
    peer_put(&p[TALKER], "\x01\x81\0\0\0\0004", 7); /* "4" and "0 ": a message in two fragments */
    turns(r, 3);
    peer_put(&p[TALKER], "\x80\x82\0\0\0\0000?", 8);
    p[LATE].deaf = true;
    for (int i = 0; i < 2; i++) peer_text(&p[LATE], "o"); /* more than the kernel keeps */
    put_numbers(&p[LATE], 0, 100);
    peer_close_frame(&p[LATE], 4002, "late");
    peer_text(&p[LARGE_ONE], "o");
    peer_frame(&p[LARGE_ONE], WS_OPCODE_BINARY, data, LARGE);
    peer_text(&p[LARGE_ONE], "Lo");
    peer_frame(&p[PIECES], WS_OPCODE_TEXT, data, 20000); /* collected, and cut in its middle */
    p[PIECES].out.len -= 5000;
    turns(r, 12);
    free(data);
    peer_text(&p[LARGE_ONE], "c");
    turns(r, 4);
    peer_drop(&p[PIECES], true);
    p[LATE].deaf = false;
    turns(r, 20);
    peer_close_frame(&p[TALKER], 4003, "that was all");
    turns(r, 4);
}

/* Everything that connections do; however it goes, each comes to its end. */
static void run_once(enum ws_strategy s, long first, long count) {
    struct rig r;
    struct peer p[RUN_PEERS], last;
    memset(&counts, 0, sizeof counts);
    rig_init(&r, s);
    r.quiet = true;
    r.act = answer;
    r.act_open = count_open;
    r.act_close = count_close;
    r.handlers.on_log = count_line;
    r.handlers.on_call = count_call;
    r.options.high_water = 16384;
    rig_bind_unix(&r);
    ws_server_set_log_level(r.server, WS_LOG_DEBUG);
    CHECK_EQ(ws_server_page(r.server, slice("/page"), slice("body"), slice("t"), slice("")), 0);
    rig_begin(&r);

    fail_from(first, count);
    begin_peers(&r, p);
    talk(&r, p);
    p[TALKER].numbered = false;
    on_thread(post_from_thread, &r);
    turns(&r, 6);
    first = fail_first; /* the rest is not to fail */
    fail_first = 0;

    peer_open(&r, &last);
    put_numbers(&last, 0, 1);
    UNTIL(&r, last.n_messages == 1);
    fail_first = first;
    for (int i = 0; i < r.n_peers; i++) peer_drop(r.peers[i], i % 2);
    ws_server_stop(r.server);
    UNTIL(&r, ws_loop_is_done(r.loop));
    CHECK_EQ(ws_server_count(r.server), 0);
    for (int i = 0; i < IDS_MAX; i++) {
        CHECK(counts.opens[i] <= 1);
        CHECK_EQ(counts.opens[i], counts.closes[i]);
    }
    CHECK_EQ(stats_of(&r).opened, stats_of(&r).closed);
    CHECK_EQ(ws_server_count_subscribers(r.server, slice("t")), 0);
    rig_end(&r);
    CHECK_EQ(counts.n_calls_ended, counts.n_calls);
}

static void walk(enum ws_strategy s, long count) {
    int before = check_failures;
    run_once(s, 0, 0); /* what is made once for the process is there from now on */
    size_t bytes = allocated();
    for (long first = 1; check_failures == before; first++) {
        run_once(s, first, count);
        CHECK_EQ(allocated(), bytes);
        if (check_failures != before) fprintf(stderr, "allocation %ld\n", first);
        if (!has_failed()) {
            CHECK(first > 200); /* the run is none if it needs less */
            return;
        }
    }
}

static void test_memory_one_fails(void) {
    walk(strategy, 1);
}

static void test_memory_several_fail(void) {
    walk(strategy, 5);
}

/* ---- before the run ---- */

/* A server with all that it may have, as far as memory goes. True if it could be made. */
static bool make_server(enum ws_strategy s) {
    struct ws_slice allowed[] = {{"example.com", 11}, {"localhost", 9}};
    struct ws_allow_list list = {.mode = WS_ALLOW_LIST, .items = allowed, .n = 2};
    struct ws_handlers handlers = {0};
    struct ws_options options;
    char why[256] = "", path[64];
    int n_fds = count_fds();
    ws_options_init(&options);
    options.origins = list;
    snprintf(path, sizeof path, "/tmp/wspy-memory-%ld.sock", (long)getpid());
    options.strategy = s;
    for (int tcp = 0; tcp < 2; tcp++) {
        int err = WS_ERR_MEMORY;
        options.hosts = tcp ? (struct ws_allow_list){0} : list;
        is_armed = true;
        struct ws_server *server = ws_server_new(&options, &handlers, NULL);
        if (server)
            err = tcp ? ws_server_bind_tcp(server, "127.0.0.1", 0, why)
                      : ws_server_bind_unix(server, path, why);
        if (err == 0)
            err = ws_server_page(server, slice("/"), slice("body"), slice("t"), slice(""));
        if (err == 0) err = ws_loop_begin(ws_server_loop(server), why);
        is_armed = false;
        if (err < 0 && why[0]) CHECK(strstr(why, ": out of memory") != NULL);
        ws_server_free(server);
        CHECK_EQ(count_fds(), n_fds);
        CHECK(err == 0 || err == WS_ERR_MEMORY);
        CHECK_EQ(err < 0, has_failed());
        if (err < 0) return false;
    }
    return true;
}

static void test_memory_server(void) {
    int before = check_failures;
    long first = 1;
    fail_from(0, 0);
    CHECK(make_server(strategy));
    size_t bytes = allocated();
    do {
        CHECK_EQ(allocated(), bytes);
        fail_from(first++, 1);
    } while (!make_server(strategy) && check_failures == before);
    CHECK(first > 12);
    fail_from(0, 0);
}

static void run_all(void) {
    RUN(test_memory_server);
    RUN(test_memory_one_fails);
    RUN(test_memory_several_fail);
}

int main(void) {
    return run_strategies(run_all);
}
