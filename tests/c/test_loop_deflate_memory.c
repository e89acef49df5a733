/* test_loop_deflate_memory.c: memory does not suffice amid compression. A run is repeated with its
 * first allocation failing, its second, and so on: nothing crashes or leaks, and what a peer gets
 * it can read. zlib's own allocations do not fail here. */
#include "armed.h"
#include "deflating.h"

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

static void put_text(struct peer *p, size_t times) {
    struct ws_buf data = {0};
    for (size_t i = 0; i < times; i++) CHECK_EQ(ws_buf_append(&data, TEXT, strlen(TEXT)), 0);
    deflating_put_text(p, data.data, data.len);
    ws_buf_fini(&data);
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
    struct rig r;
    deflating_init(&r, terms);
    r.quiet = true;
    r.act = answer;
    rig_begin(&r);
    n_allocations = 0;
    fail_at = at;
    for (int i = 0; i < PEERS; i++) {
        deflating_connect(&r, &p[i], terms);
        turns(&r, 6);
        put_text(&p[i], 1);
        put_text(&p[i], 300);
        turns(&r, 6);
        put_text(&p[i], 20);
    }
    turns(&r, 10);
    fail_at = fail_at && n_allocations >= fail_at ? fail_at : 0; /* whether it came to that */
    for (int i = 0; i < PEERS; i++) {
        CHECK(!strstr(p[i].said.text, "fail"));
        deflating_drop(&p[i]);
    }
    deflating_end(&r);
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
    walk(&alone);
}

static void test_deflate_memory_together(void) {
    walk(&together);
}

static void run_all(void) {
    RUN(test_deflate_memory_alone);
    RUN(test_deflate_memory_together);
}

int main(void) {
    return run_strategies(run_all);
}
