/* test_mask.c: every level that can run here against a loop of bytes, and what simd.c says. */
#include "mask.h"

#include "check.h"

#define LEN_MAX 300
#define OFFSETS 32
#define GUARD 0xA5

static const uint8_t key_bytes[4] = {0x37, 0xFA, 0x21, 0x80};

static uint32_t key_at(size_t phase) {
    uint8_t k[4];
    uint32_t key;
    for (size_t i = 0; i < 4; i++) k[i] = key_bytes[(phase + i) % 4];
    memcpy(&key, k, sizeof(key));
    return key;
}

static void mask_naive(uint8_t *dst, const uint8_t *src, size_t len, size_t phase) {
    for (size_t i = 0; i < len; i++) dst[i] = src[i] ^ key_bytes[(phase + i) % 4];
}

static void fill(uint8_t *data, size_t len) {
    uint32_t x = 12345;
    for (size_t i = 0; i < len; i++) {
        x = x * 1103515245u + 12345u;
        data[i] = (uint8_t)(x >> 16);
    }
}

/* One call at one place: the bytes, the returned key, and nothing touched around the bytes. */
static int is_right(enum ws_simd level, size_t len, size_t offset, size_t phase, int in_place) {
    enum { ROOM = LEN_MAX + 2 * OFFSETS + 32 };
    uint8_t dst[ROOM] __attribute__((aligned(64)));
    uint8_t src[ROOM] __attribute__((aligned(64)));
    uint8_t expected[ROOM], untouched[ROOM];
    size_t from = in_place ? offset : (offset * 7 + 3) % OFFSETS;

    memset(dst, GUARD, ROOM);
    memset(expected, GUARD, ROOM);
    fill(src, ROOM);
    memcpy(untouched, src, ROOM);
    mask_naive(expected + offset, src + from, len, phase);
    if (in_place) memcpy(dst + offset, src + from, len);
    uint8_t *in = in_place ? dst + offset : src + from;
    uint32_t next = ws_mask_apply(level, dst + offset, in, len, key_at(phase));
    return next == key_at(phase + len) && memcmp(dst, expected, ROOM) == 0 &&
           memcmp(src, untouched, ROOM) == 0;
}

static void check_everywhere(enum ws_simd level) {
    if (!ws_simd_has(level)) return;
    int wrong = 0;
    for (size_t len = 0; len <= LEN_MAX; len++)
        for (size_t offset = 0; offset < OFFSETS; offset++)
            for (size_t phase = 0; phase < 4; phase++)
                for (int in_place = 0; in_place < 2; in_place++)
                    wrong += !is_right(level, len, offset, phase, in_place);
    CHECK_EQ(wrong, 0);
}

static void test_mask_everywhere_portable(void) {
    check_everywhere(WS_SIMD_PORTABLE);
}

static void test_mask_everywhere_sse2(void) {
    check_everywhere(WS_SIMD_SSE2);
}

static void test_mask_everywhere_avx2(void) {
    check_everywhere(WS_SIMD_AVX2);
}

static void test_mask_rfc_example(void) {
    /* RFC 6455 section 5.7: "A single-frame masked text message", "Hello" */
    const uint8_t wire[] = {0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58};
    for (int level = 0; level < WS_SIMD_LEVELS; level++) {
        if (!ws_simd_has((enum ws_simd)level)) continue;
        uint32_t key;
        uint8_t out[5];
        memcpy(&key, wire, 4);
        uint32_t next = ws_mask_apply((enum ws_simd)level, out, wire + 4, 5, key);
        CHECK(memcmp(out, "Hello", 5) == 0);
        CHECK(memcmp(&next, "\xFA\x21\x3D\x37", 4) == 0);
    }
}

static void test_mask_nothing(void) {
    for (int level = 0; level < WS_SIMD_LEVELS; level++) {
        if (!ws_simd_has((enum ws_simd)level)) continue;
        CHECK_EQ(ws_mask_apply((enum ws_simd)level, NULL, NULL, 0, key_at(1)), key_at(1));
    }
}

static void test_mask_page_end(void) {
    uint8_t data[LEN_MAX], expected[LEN_MAX];
    fill(data, sizeof(data));
    mask_naive(expected, data, sizeof(data), 0);
    for (size_t len = 0; len <= LEN_MAX; len++) {
        struct check_page from, to;
        uint8_t *src = check_page_copy(&from, data, len);
        uint8_t *dst = check_page_copy(&to, data, len);
        for (int level = 0; level < WS_SIMD_LEVELS; level++) {
            if (!ws_simd_has((enum ws_simd)level)) continue;
            memset(dst, 0, len);
            ws_mask_apply((enum ws_simd)level, dst, src, len, key_at(0));
            CHECK(memcmp(dst, expected, len) == 0);
            ws_mask_apply((enum ws_simd)level, dst, dst, len, key_at(0));
            CHECK(memcmp(dst, data, len) == 0);
        }
        check_page_free(&from);
        check_page_free(&to);
    }
}

/* Blocks of exactly len bytes: the sanitizer sees a byte too early as well as one too late. */
static void test_mask_exact_blocks(void) {
    uint8_t data[LEN_MAX], expected[LEN_MAX];
    fill(data, sizeof(data));
    mask_naive(expected, data, sizeof(data), 0);
    for (size_t len = 1; len <= LEN_MAX; len++) {
        uint8_t *src = malloc(len), *dst = malloc(len);
        memcpy(src, data, len);
        for (int level = 0; level < WS_SIMD_LEVELS; level++) {
            if (!ws_simd_has((enum ws_simd)level)) continue;
            memset(dst, 0, len);
            ws_mask_apply((enum ws_simd)level, dst, src, len, key_at(0));
            CHECK(memcmp(dst, expected, len) == 0);
        }
        free(src);
        free(dst);
    }
}

static void test_mask_every_split(void) {
    enum { LEN = 200 };
    uint8_t data[LEN], expected[LEN], out[LEN];
    fill(data, LEN);
    mask_naive(expected, data, LEN, 2);
    for (int level = 0; level < WS_SIMD_LEVELS; level++) {
        if (!ws_simd_has((enum ws_simd)level)) continue;
        for (size_t cut = 0; cut <= LEN; cut++) {
            memcpy(out, data, LEN);
            uint32_t key = ws_mask_apply((enum ws_simd)level, out, out, cut, key_at(2));
            key = ws_mask_apply((enum ws_simd)level, out + cut, out + cut, LEN - cut, key);
            CHECK_EQ(key, key_at(2 + LEN));
            CHECK(memcmp(out, expected, LEN) == 0);
        }
    }
}

static void test_mask_pieces_of_every_size(void) {
    enum { LEN = 700 };
    uint8_t data[LEN], expected[LEN], out[LEN];
    fill(data, LEN);
    mask_naive(expected, data, LEN, 1);
    for (int level = 0; level < WS_SIMD_LEVELS; level++) {
        if (!ws_simd_has((enum ws_simd)level)) continue;
        for (size_t piece = 1; piece <= 160; piece++) { /* 1: a byte at a time */
            memset(out, 0, LEN);
            uint32_t key = key_at(1);
            for (size_t at = 0; at < LEN; at += piece) {
                size_t n = LEN - at < piece ? LEN - at : piece;
                key = ws_mask_apply((enum ws_simd)level, out + at, data + at, n, key);
            }
            CHECK(memcmp(out, expected, LEN) == 0);
        }
    }
}

static void test_mask_large(void) {
    enum { LEN = 1 << 20 };
    uint8_t *data = malloc(LEN + 1), *expected = malloc(LEN), *out = malloc(LEN);
    fill(data, LEN + 1);
    mask_naive(expected, data + 1, LEN, 3);
    for (int level = 0; level < WS_SIMD_LEVELS; level++) {
        if (!ws_simd_has((enum ws_simd)level)) continue;
        CHECK_EQ(ws_mask_apply((enum ws_simd)level, out, data + 1, LEN, key_at(3)), key_at(3));
        CHECK(memcmp(out, expected, LEN) == 0);
        CHECK_EQ(ws_mask_apply((enum ws_simd)level, out, out, LEN - 5, key_at(3)), key_at(2));
        CHECK(memcmp(out, data + 1, LEN - 5) == 0);
        CHECK(memcmp(out + LEN - 5, expected + LEN - 5, 5) == 0);
    }
    free(data);
    free(expected);
    free(out);
}

static void test_simd_levels(void) {
    CHECK_EQ(ws_simd_has(WS_SIMD_PORTABLE), 1);
    CHECK_EQ(ws_simd_has(WS_SIMD_LEVELS), 0);
    CHECK_EQ(ws_simd_has((enum ws_simd)1000), 0);
    enum ws_simd best = ws_simd_detect();
    CHECK_EQ(ws_simd_has(best), 1);
    for (int level = 0; level < WS_SIMD_LEVELS; level++)
        CHECK_EQ(ws_simd_has((enum ws_simd)level), level <= (int)best);
#ifdef __x86_64__
    CHECK_EQ(ws_simd_has(WS_SIMD_SSE2), 1);
    CHECK_EQ(ws_simd_has(WS_SIMD_AVX2), __builtin_cpu_supports("avx2") != 0);
#endif
}

int main(void) {
    RUN(test_mask_everywhere_portable);
    RUN(test_mask_everywhere_sse2);
    RUN(test_mask_everywhere_avx2);
    RUN(test_mask_rfc_example);
    RUN(test_mask_nothing);
    RUN(test_mask_page_end);
    RUN(test_mask_exact_blocks);
    RUN(test_mask_every_split);
    RUN(test_mask_pieces_of_every_size);
    RUN(test_mask_large);
    RUN(test_simd_levels);
    return check_done();
}
