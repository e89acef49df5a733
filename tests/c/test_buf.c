/* test_buf.c: growth, its limits, consume and take. */
#include "buf.h"

#include "check.h"
#include "err.h"

/* So that an allocation no machine can serve returns NULL, as it does without the sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

/* Hides a value from the compiler, which warns of sizes that cannot be. */
static size_t opaque(size_t n) {
    volatile size_t v = n;
    return v;
}

static void test_buf_empty_owns_nothing(void) {
    struct ws_buf b;
    memset(&b, 0xFF, sizeof(b));
    ws_buf_init(&b);
    CHECK(b.data == NULL);
    CHECK_EQ(b.len, 0);
    CHECK_EQ(b.cap, 0);
    CHECK_EQ(ws_buf_reserve(&b, 0), 0);
    CHECK_EQ(ws_buf_append(&b, NULL, 0), 0);
    ws_buf_consume(&b, 0);
    CHECK(b.data == NULL);
    CHECK(ws_buf_take(&b) == NULL);
    ws_buf_fini(&b);
    ws_buf_fini(&b);
}

static void test_buf_append_every_length(void) {
    uint8_t data[300];
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * 7 + 1);
    for (size_t len = 0; len <= sizeof(data); len++) {
        struct check_page page;
        uint8_t *p = check_page_copy(&page, data, len);
        struct ws_buf b;
        ws_buf_init(&b);
        CHECK_EQ(ws_buf_append(&b, p, len), 0);
        CHECK_EQ(ws_buf_append(&b, p, len), 0);
        CHECK_EQ(b.len, 2 * len);
        CHECK(b.cap >= b.len);
        if (len) CHECK(memcmp(b.data, data, len) == 0 && memcmp(b.data + len, data, len) == 0);
        ws_buf_fini(&b);
        CHECK(b.data == NULL && b.len == 0 && b.cap == 0);
        check_page_free(&page);
    }
}

static void test_buf_grows_geometrically(void) {
    struct ws_buf b;
    ws_buf_init(&b);
    int moves = 0;
    for (size_t i = 0; i < 100000; i++) {
        size_t cap = b.cap;
        uint8_t c = (uint8_t)(i ^ i >> 8);
        CHECK_EQ(ws_buf_append(&b, &c, 1), 0);
        if (b.cap != cap) {
            moves++;
            if (cap) CHECK_EQ(b.cap, 2 * cap);
        }
    }
    CHECK_EQ(b.len, 100000);
    CHECK_EQ(moves, 12); /* 64, 128 ... 131072 */
    int wrong = 0;
    for (size_t i = 0; i < b.len; i++) wrong += b.data[i] != (uint8_t)(i ^ i >> 8);
    CHECK_EQ(wrong, 0);
    ws_buf_fini(&b);
}

static void test_buf_reserve_gives_room(void) {
    struct ws_buf b;
    ws_buf_init(&b);
    CHECK_EQ(ws_buf_append(&b, "abc", 3), 0);
    CHECK_EQ(ws_buf_reserve(&b, 5000), 0);
    CHECK_EQ(b.len, 3);
    CHECK_EQ(b.cap, 5003); /* more than twice: exactly what is needed */
    memset(b.data + b.len, 'x', 5000);
    uint8_t *data = b.data;
    CHECK_EQ(ws_buf_reserve(&b, 5000), 0);
    CHECK(b.data == data); /* room that is there is not made again */
    CHECK_EQ(b.cap, 5003);
    CHECK_EQ(ws_buf_reserve(&b, 5001), 0);
    CHECK_EQ(b.cap, 10006);
    CHECK(memcmp(b.data, "abcxxx", 6) == 0);
    ws_buf_fini(&b);
}

/* The buffer holds "abcde" and refuses to grow by `more`, whoever asks. */
static void check_refused(size_t more) {
    struct ws_buf b;
    ws_buf_init(&b);
    CHECK_EQ(ws_buf_append(&b, "abcde", 5), 0);
    struct ws_buf before = b;
    CHECK_EQ(ws_buf_reserve(&b, opaque(more)), WS_ERR_MEMORY);
    CHECK_EQ(ws_buf_append(&b, "f", opaque(more)), WS_ERR_MEMORY);
    CHECK(b.data == before.data && b.len == before.len && b.cap == before.cap);
    CHECK(memcmp(b.data, "abcde", 5) == 0);
    ws_buf_fini(&b);
}

static void test_buf_refuses_impossible_sizes(void) {
    check_refused(SIZE_MAX);
    check_refused(SIZE_MAX - 4); /* len + more is 0 */
    check_refused(SIZE_MAX - 5);
    check_refused(SIZE_MAX - 63);
    check_refused(SIZE_MAX / 2 + 1);
    check_refused(SIZE_MAX / 2);
    check_refused(SIZE_MAX / 2 - 4);
    check_refused(SIZE_MAX / 2 - 5); /* allowed by arithmetic, not by the machine */
    check_refused(SIZE_MAX / 4);
}

static void test_buf_refuses_when_empty(void) {
    struct ws_buf b;
    ws_buf_init(&b);
    CHECK_EQ(ws_buf_reserve(&b, opaque(SIZE_MAX)), WS_ERR_MEMORY);
    CHECK_EQ(ws_buf_reserve(&b, opaque(SIZE_MAX / 2)), WS_ERR_MEMORY);
    CHECK(b.data == NULL && b.len == 0 && b.cap == 0);
}

static void test_buf_capacity_does_not_overflow(void) {
    /* buffers of sizes that no test can own: only the arithmetic runs, data is never followed */
    static const size_t caps[] = {SIZE_MAX / 2, SIZE_MAX / 2 - 1, SIZE_MAX / 4 + 1, SIZE_MAX / 4};
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        struct ws_buf b = {malloc(1), opaque(caps[i]), opaque(caps[i])};
        uint8_t *data = b.data;
        CHECK_EQ(ws_buf_reserve(&b, 0), 0);
        CHECK_EQ(ws_buf_reserve(&b, 1), WS_ERR_MEMORY);
        CHECK_EQ(ws_buf_reserve(&b, opaque(SIZE_MAX)), WS_ERR_MEMORY);
        CHECK(b.data == data);
        CHECK(b.len == caps[i] && b.cap == caps[i]);
        ws_buf_fini(&b);
    }
}

static void test_buf_consume_every_count(void) {
    uint8_t data[100];
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i + 1);
    for (size_t n = 0; n <= sizeof(data); n++) {
        struct ws_buf b;
        ws_buf_init(&b);
        CHECK_EQ(ws_buf_append(&b, data, sizeof(data)), 0);
        size_t cap = b.cap;
        ws_buf_consume(&b, n);
        CHECK_EQ(b.len, sizeof(data) - n);
        CHECK_EQ(b.cap, cap);
        CHECK(memcmp(b.data, data + n, sizeof(data) - n) == 0);
        CHECK_EQ(ws_buf_append(&b, data, 3), 0);
        CHECK_EQ(b.len, sizeof(data) - n + 3);
        CHECK(memcmp(b.data + b.len - 3, data, 3) == 0);
        ws_buf_fini(&b);
    }
}

static void test_buf_consume_byte_by_byte(void) {
    struct ws_buf b;
    ws_buf_init(&b);
    CHECK_EQ(ws_buf_append(&b, "abcdef", 6), 0);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(b.data[0], 'a' + i);
        ws_buf_consume(&b, 1);
        CHECK_EQ(b.len, 5 - i);
    }
    ws_buf_consume(&b, 0);
    CHECK_EQ(b.len, 0);
    ws_buf_fini(&b);
}

static void test_buf_take(void) {
    struct ws_buf b;
    ws_buf_init(&b);
    CHECK_EQ(ws_buf_append(&b, "payload", 7), 0);
    uint8_t *expected = b.data;
    uint8_t *data = ws_buf_take(&b);
    CHECK(data == expected);
    CHECK(memcmp(data, "payload", 7) == 0);
    CHECK(b.data == NULL && b.len == 0 && b.cap == 0);
    CHECK_EQ(ws_buf_append(&b, "next", 4), 0); /* usable again, in memory of its own */
    CHECK(b.data != data);
    CHECK(memcmp(data, "payload", 7) == 0);
    ws_buf_fini(&b);
    free(data);
}

static void test_buf_take_with_room_but_no_bytes(void) {
    struct ws_buf b;
    ws_buf_init(&b);
    CHECK_EQ(ws_buf_reserve(&b, 10), 0);
    uint8_t *data = ws_buf_take(&b);
    CHECK(data != NULL);
    free(data);
    ws_buf_fini(&b);
}

int main(void) {
    RUN(test_buf_empty_owns_nothing);
    RUN(test_buf_append_every_length);
    RUN(test_buf_grows_geometrically);
    RUN(test_buf_reserve_gives_room);
    RUN(test_buf_refuses_impossible_sizes);
    RUN(test_buf_refuses_when_empty);
    RUN(test_buf_capacity_does_not_overflow);
    RUN(test_buf_consume_every_count);
    RUN(test_buf_consume_byte_by_byte);
    RUN(test_buf_take);
    RUN(test_buf_take_with_room_but_no_bytes);
    return check_done();
}
