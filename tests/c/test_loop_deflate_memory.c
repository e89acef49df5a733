/* test_loop_deflate_memory.c: memory does not suffice amid compression. A run is repeated with its
 * first allocation failing, its second, and so on: nothing crashes or leaks, and what a peer gets
 * it can read. zlib's own allocations do not fail here. */
#include "armed.h"

/* wrap: malloc calloc realloc ws_loop_io ws_loop_dispatch */

static long n_allocations, fail_at; /* 0: none fails */

static bool must_fail(void) {
    return is_armed && fail_at && ++n_allocations == fail_at;
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

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void) {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

#define TEXT "What was said before is what is said again: 0123456789abcdefghijklmnopqrstuvwxyz."
#define PEERS 3

static struct ws_deflate_pool client_pool;

static void deflate_text(struct peer *p, size_t times) {
    struct ws_buf data = {0}, payload = {0}, frame = {0};
    for (size_t i = 0; i < times; i++) CHECK_EQ(ws_buf_append(&data, TEXT, strlen(TEXT)), 0);
    CHECK_EQ(ws_deflate_write(p->proto.deflate, data.data, data.len, true, &payload), 0);
    CHECK_EQ(ws_buf_reserve(&frame, ws_proto_frame_size(&p->proto, payload.len)), 0);
    frame.len = ws_proto_frame_write(&p->proto, frame.data, WS_OPCODE_TEXT, payload.data,
                                     payload.len, 0x01020304);
    frame.data[0] |= WS_FRAME_RSV1;
    peer_put(p, frame.data, frame.len);
    ws_buf_fini(&data), ws_buf_fini(&payload), ws_buf_fini(&frame);
}

/* An echo, a message for all, and one in parts. */
static void answer(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    struct ws_payload p = {.data = m->data, .len = m->len, .text = true};
    CHECK(m->len % strlen(TEXT) == 0 && memcmp(m->data, TEXT, strlen(TEXT)) == 0);
    ws_conn_send(c, &p);
    ws_server_publish(r->server, (struct ws_slice){NULL, 0}, &p, NULL);
    if (ws_conn_stream_begin(c) < 0) return;
    static const uint8_t parts[] = {WS_PART_FIRST, WS_PART_MORE, WS_PART_LAST};
    for (int i = 0; i < 3; i++) {
        p.part = parts[i];
        if (ws_conn_send(c, &p) >= 0) continue;
        ws_conn_close(c, 1011, (struct ws_slice){"", 0}, WS_CLOSE_ERROR);
        return;
    }
}

static void turns(struct rig *r, int n) {
    for (int i = 0; i < n; i++) rig_turn(r);
}

static void run_once(const struct ws_deflate_terms *terms, long at) {
    static struct peer p[PEERS];
    char request[512];
    struct rig r;
    rig_init(&r, strategy);
    ws_deflate_pool_init(&client_pool, 6, 8);
    r.options.deflate =
        (struct ws_deflate_rules){true, terms->server_no_takeover, terms->client_no_takeover, 15};
    r.options.deflate_threshold = 0;
    r.quiet = true;
    r.act = answer;
    rig_begin(&r);
    snprintf(request, sizeof request, "%.*sSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
             (int)strlen(PEER_REQUEST) - 2, PEER_REQUEST);
    n_allocations = 0;
    fail_at = at;
    for (int i = 0; i < PEERS; i++) {
        peer_connect(&r, &p[i], false);
        ws_proto_set_deflate(&p[i].proto, ws_deflate_new(&client_pool, terms, false));
        peer_say(&p[i], request);
        turns(&r, 6);
        deflate_text(&p[i], 1);
        deflate_text(&p[i], 300);
        turns(&r, 6);
        deflate_text(&p[i], 20);
    }
    turns(&r, 10);
    fail_at = fail_at && n_allocations >= fail_at ? fail_at : 0; /* whether it came to that */
    for (int i = 0; i < PEERS; i++) {
        CHECK(!strstr(p[i].said.text, "fail"));
        peer_drop(&p[i], false);
        ws_deflate_free(p[i].proto.deflate);
        p[i].proto.deflate = NULL;
    }
    rig_end(&r);
    ws_deflate_pool_fini(&client_pool);
}

static void walk(const struct ws_deflate_terms *terms) {
    int before = check_failures;
    run_once(terms, 0);
    size_t bytes = allocated();
    for (long at = 1; check_failures == before; at++) {
        run_once(terms, at);
        CHECK_EQ(allocated(), bytes);
        if (check_failures != before) fprintf(stderr, "allocation %ld\n", at);
        if (!fail_at) {
            CHECK(at > 60); /* the run is none if it needs less */
            return;
        }
    }
}

static void test_deflate_memory_alone(void) {
    static const struct ws_deflate_terms terms = {15, 15, true, true, false, false};
    walk(&terms);
}

static void test_deflate_memory_together(void) {
    static const struct ws_deflate_terms terms = {15, 15, false, false, false, false};
    walk(&terms);
}

static void run_all(void) {
    RUN(test_deflate_memory_alone);
    RUN(test_deflate_memory_together);
}

int main(void) {
    return run_strategies(run_all);
}
