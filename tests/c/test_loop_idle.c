/* test_loop_idle.c: what a connection that does nothing takes of memory, to the byte: one block of
 * its own, and what is kept of the request's head. It is the same again after whatever it did. */
#include "armed.h"

#include "conn.h"

#include <malloc.h>

/* ---- bytes that the server has ---- */

/* wrap: malloc calloc realloc free ws_loop_io ws_loop_dispatch */

static size_t n_bytes;

void __real_free(void *p);

static void *count(void *p) {
    if (is_armed && p) n_bytes += malloc_usable_size(p);
    return p;
}

static void forget(void *p) {
    if (is_armed && p) n_bytes -= malloc_usable_size(p);
}

void *__wrap_malloc(size_t size) {
    return count(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size) {
    return count(__real_calloc(n, size));
}

void *__wrap_realloc(void *p, size_t size) {
    forget(p);
    return count(__real_realloc(p, size));
}

void __wrap_free(void *p) {
    forget(p);
    __real_free(p);
}

/* What a block of that size counts: more than it where malloc rounds up. */
static size_t block(size_t size) {
    void *p = __real_malloc(size);
    size_t usable = malloc_usable_size(p);
    __real_free(p);
    return usable;
}

/* ---- idle ---- */

/* The loop's tables grow by doubling: not while the last of these come. */
enum { FIRST_PEERS = 4, LAST_PEERS = 12, ALL_PEERS = FIRST_PEERS + LAST_PEERS };

/* Of an IPv4 address: port and IP. */
enum { ADDRESS_SIZE = 6 };

static void open_with(struct rig *r, struct peer *p, const char *request) {
    peer_connect(r, p, false);
    peer_say(p, request);
    UNTIL(r, p->upgraded);
}

/* more: what each takes besides its own block and the head. */
static void check_idle(bool drop_headers, const char *request, size_t more) {
    static struct peer peers[ALL_PEERS];
    struct rig r;
    rig_init(&r, strategy);
    r.options.drop_headers = drop_headers;
    r.options.deflate.enabled = true;
    rig_begin(&r);
    for (int i = 0; i < FIRST_PEERS; i++) open_with(&r, &peers[i], request);
    rig_settle(&r);
    size_t before = n_bytes;
    for (int i = FIRST_PEERS; i < ALL_PEERS; i++) open_with(&r, &peers[i], request);
    rig_settle(&r);
    struct ws_slice head = ws_conn_get_head(ws_server_find(r.server, ALL_PEERS));
    if (drop_headers) CHECK(ws_slice_is(head, "GET /chat HTTP/1.1\r\n\r\n"));
    else CHECK(ws_slice_is(head, request));
    CHECK_EQ(n_bytes - before,
             LAST_PEERS * (block(sizeof(struct ws_conn)) + block(head.len + ADDRESS_SIZE) + more));
    rig_end(&r);
}

static void test_idle_with_headers(void) {
    check_idle(false, PEER_REQUEST, 0);
}

static void test_idle_without_headers(void) {
    check_idle(true, PEER_REQUEST, 0);
}

/* One that compresses has another block: with what malloc keeps for itself 64 bytes. */
static void test_idle_deflate(void) {
    char request[512];
    size_t line = strlen(PEER_REQUEST) - 2;
    snprintf(request, sizeof request, "%.*sSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
             (int)line, PEER_REQUEST);
    check_idle(false, request, 64 - sizeof(size_t));
    check_idle(true, request, 64 - sizeof(size_t));
}

static void go_on(struct rig *r, struct ws_conn *c) {
    (void)r;
    ws_conn_begin_busy(c, true);
}

/* A handler of the opening that goes on has the headers until it is done. */
static void test_idle_headers_while_busy(void) {
    struct peer p;
    struct ws_conn *c;
    struct rig r;
    rig_init(&r, strategy);
    r.options.drop_headers = true;
    r.act_open = go_on;
    rig_open(&r, &p, &c, 1);
    CHECK(ws_slice_is(ws_conn_get_head(c), PEER_REQUEST));
    ws_conn_end_busy(c);
    CHECK(ws_slice_is(ws_conn_get_head(c), "GET /chat HTTP/1.1\r\n\r\n"));
    ws_conn_begin_busy(c, true);
    ws_conn_end_busy(c);
    CHECK(ws_slice_is(ws_conn_get_head(c), "GET /chat HTTP/1.1\r\n\r\n"));
    rig_end(&r);
}

/* ---- idle again ---- */

static void stream_some(struct ws_conn *c) {
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    send_part(c, "one", WS_PART_FIRST);
    send_text(c, "behind");
    send_part(c, "two", WS_PART_LAST);
}

static void act(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static const uint8_t bytes[5000];
    struct ws_payload large = {.data = bytes, .len = sizeof bytes};
    (void)r;
    switch (m->data[0]) {
    case 'a': /* over high_water: what follows waits in the lane */ ws_conn_send(c, &large); break;
    case 's': stream_some(c); break;
    case 't':
        CHECK_EQ(ws_conn_subscribe(c, slice("a/+"), true), 1);
        CHECK_EQ(ws_conn_unsubscribe(c, slice("a/+"), true), 1);
        break;
    case 'p': CHECK_EQ(ws_conn_ping(c, NULL, 0), WS_SENT); break;
    default: break;
    }
}

/* All that makes a connection take more for a while. Behind its request, so that it waits for the
 * answer. */
static void do_all(struct rig *r, struct peer *p) {
    static uint8_t large[LARGE] = "L";
    int released = r->n_released, messages = r->n_messages;
    peer_connect(r, p, false);
    p->quiet = true;
    peer_put(p, PEER_REQUEST, 60);
    rig_settle(r);
    peer_say(p, PEER_REQUEST + 60);
    peer_text(p, "a"), peer_text(p, "b"), peer_text(p, "a"), peer_text(p, "b");
    peer_frame(p, WS_OPCODE_PING, "ping", 4);
    UNTIL(r, r->n_messages == messages + 4);
    peer_text(p, "s"), peer_text(p, "t"), peer_text(p, "p");
    UNTIL(r, p->n_messages == 4 && p->n_pings == 1);
    peer_put(p, "\x01\x81\0\0\0\0f", 7); /* a message in two fragments */
    rig_settle(r);
    peer_put(p, "\x80\x81\0\0\0\0g", 7);
    peer_put(p, "\x8A\x84\0\0\0\0po", 8); /* a control frame in two pieces */
    rig_settle(r);
    peer_put(p, "ng", 2);
    peer_frame(p, WS_OPCODE_BINARY, large, sizeof large);
    UNTIL(r, r->n_released == released + 1);
    peer_text(p, "z");
    UNTIL(r, r->n_messages == messages + 10);
    rig_settle(r);
}

static void test_idle_again(void) {
    static struct peer first, second, last;
    struct rig r;
    rig_init(&r, strategy);
    r.quiet = true;
    r.act = act;
    r.options.high_water = 4000;
    r.options.control_rate = 0;
    rig_begin(&r);
    size_t before = n_bytes;
    peer_open(&r, &first);
    do_all(&r, &second); /* the loop's own tables grow */
    size_t one = block(sizeof(struct ws_conn)) + block(strlen(PEER_REQUEST) + ADDRESS_SIZE);
    CHECK(n_bytes >= before + 2 * one);
    before = n_bytes;
    do_all(&r, &last);
    one += block(sizeof(struct ws_rates)); /* it was pinged */
    CHECK_EQ(n_bytes - before, one);
    before = n_bytes;
    for (int i = 0; i < 2; i++) peer_close_frame(i ? &last : &second, 1000, "that is all");
    UNTIL(&r, r.n_closes == 2 && last.eof && second.eof);
    peer_drop(&second, false);
    peer_drop(&last, false);
    rig_settle(&r);
    CHECK_EQ(before - n_bytes, 2 * one);
    rig_end(&r);
}

static void run_all(void) {
    RUN(test_idle_with_headers);
    RUN(test_idle_without_headers);
    RUN(test_idle_deflate);
    RUN(test_idle_headers_while_busy);
    RUN(test_idle_again);
}

int main(void) {
    return run_strategies(run_all);
}
