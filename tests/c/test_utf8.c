/* test_utf8.c: validation against a judge that reasons about code points instead of bytes. */
#include "utf8.h"

#include "check.h"
#include "err.h"

/* --- the judge ------------------------------------------------------------------------------ */

/* The bytes so far of one code point, as the range of values that they can still become. */
struct judge {
    uint32_t low, high; /* with the missing bits all 0, all 1 */
    int missing;
    uint32_t first, last; /* what a form of this length may encode */
};

/* 1: right so far; 0: nothing makes it right. */
static int judge_byte(struct judge *j, uint8_t c) {
    if (j->missing == 0) {
        if (c < 0x80) *j = (struct judge){c, c, 0, 0, 0x7F};
        else if (c >> 5 == 0x6) *j = (struct judge){c & 0x1F, c & 0x1F, 1, 0x80, 0x7FF};
        else if (c >> 4 == 0xE) *j = (struct judge){c & 0xF, c & 0xF, 2, 0x800, 0xFFFF};
        else if (c >> 3 == 0x1E) *j = (struct judge){c & 0x7, c & 0x7, 3, 0x10000, 0x10FFFF};
        else return 0;
    } else {
        if (c >> 6 != 0x2) return 0;
        j->low = j->high = j->low << 6 | (c & 0x3F);
        j->missing--;
    }
    uint32_t low = j->low << 6 * j->missing;
    uint32_t high = low | ((1u << 6 * j->missing) - 1);
    if (low < j->first) low = j->first;
    if (high > j->last) high = j->last;
    if (low >= 0xD800 && low <= 0xDFFF) low = 0xE000;
    return low <= high;
}

/* The number of bytes up to and with the first impossible one, or 0; *complete: ends between code
 * points. */
static size_t judge_all(const uint8_t *data, size_t len, int *complete) {
    struct judge j = {0};
    for (size_t i = 0; i < len; i++)
        if (!judge_byte(&j, data[i])) return i + 1;
    *complete = j.missing == 0;
    return 0;
}

static size_t encode(uint8_t out[4], uint32_t cp) {
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, cp >>= 6) out[i] = (uint8_t)(0x80 | (cp & 0x3F));
    out[0] = (uint8_t)(0xF00u >> n | cp);
    return n;
}

/* --- ways to feed --------------------------------------------------------------------------- */

static int feed_whole(enum ws_simd level, const void *data, size_t len, struct ws_utf8 *u) {
    ws_utf8_init(u);
    return ws_utf8_feed(level, u, data, len);
}

/* Fed a byte at a time: the number of bytes up to and with the one that was refused, or 0. */
static size_t feed_bytes(enum ws_simd level, const uint8_t *data, size_t len, struct ws_utf8 *u) {
    ws_utf8_init(u);
    for (size_t i = 0; i < len; i++)
        if (ws_utf8_feed(level, u, data + i, 1) < 0) return i + 1;
    return 0;
}

/* One string, whole, at a page's end, byte by byte and split everywhere, on every level. */
static void check_string(const void *bytes, size_t len) {
    struct check_page page;
    uint8_t *data = check_page_copy(&page, bytes, len);
    int complete = 0, ascii = 1;
    size_t bad = judge_all(data, len, &complete);
    for (size_t i = 0; i < len; i++) ascii &= data[i] < 0x80;
    for (int l = 0; l < WS_SIMD_LEVELS; l++) {
        enum ws_simd level = (enum ws_simd)l;
        struct ws_utf8 u;
        if (!ws_simd_has(level)) continue;
        CHECK_EQ(ws_utf8_is_valid(level, data, len), !bad && complete);
        CHECK_EQ(feed_whole(level, data, len, &u), bad ? WS_ERR_SYNTAX : 0);
        if (!bad) CHECK_EQ(ws_utf8_is_complete(&u), complete);
        if (!bad) CHECK_EQ(u.ascii, ascii);
        CHECK_EQ(feed_bytes(level, data, len, &u), bad);
        if (!bad) CHECK_EQ(ws_utf8_is_complete(&u), complete);
        if (!bad) CHECK_EQ(u.ascii, ascii);
        for (size_t cut = 0; cut <= len; cut++) {
            int first = feed_whole(level, data, cut, &u);
            CHECK_EQ(first, bad && bad <= cut ? WS_ERR_SYNTAX : 0);
            if (first < 0) continue;
            CHECK_EQ(ws_utf8_feed(level, &u, data + cut, len - cut), bad ? WS_ERR_SYNTAX : 0);
            if (!bad) CHECK_EQ(ws_utf8_is_complete(&u), complete);
            if (!bad) CHECK_EQ(u.ascii, ascii);
        }
    }
    check_page_free(&page);
}

/* `bytes` is refused at its last byte and not before. */
static void check_refused_at_last(const char *bytes, size_t len) {
    struct ws_utf8 u;
    CHECK_EQ(feed_bytes(WS_SIMD_PORTABLE, (const uint8_t *)bytes, len, &u), len);
    check_string(bytes, len);
}

/* --- tests ---------------------------------------------------------------------------------- */

static void test_utf8_every_code_point(void) {
    int wrong = 0;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        uint8_t data[4];
        size_t len = encode(data, cp);
        struct ws_utf8 u;
        wrong += feed_whole(WS_SIMD_PORTABLE, data, len, &u) != 0;
        wrong += !ws_utf8_is_complete(&u);
        wrong += u.ascii != (cp < 0x80);
        /* its parts are right so far, but not complete */
        ws_utf8_init(&u);
        for (size_t i = 0; i < len; i++) {
            wrong += ws_utf8_feed(WS_SIMD_PORTABLE, &u, data + i, 1) != 0;
            wrong += ws_utf8_is_complete(&u) != (i + 1 == len);
        }
    }
    CHECK_EQ(wrong, 0);
}

static void test_utf8_every_surrogate(void) {
    for (uint32_t cp = 0xD800; cp <= 0xDFFF; cp++) {
        uint8_t data[4];
        struct ws_utf8 u;
        CHECK_EQ(encode(data, cp), 3);
        CHECK_EQ(feed_whole(WS_SIMD_PORTABLE, data, 3, &u), WS_ERR_SYNTAX);
        CHECK_EQ(feed_bytes(WS_SIMD_PORTABLE, data, 3, &u), 2);
    }
    check_string("\xED\xA0\x80\xED\xB0\x80", 6); /* a pair, as CESU-8 writes it */
}

static void test_utf8_every_overlong(void) {
    int wrong = 0;
    struct ws_utf8 u;
    for (uint32_t cp = 0; cp < 0x10000; cp++) {
        uint8_t t1 = (uint8_t)(0x80 | (cp & 0x3F));
        uint8_t t2 = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
        uint8_t t3 = (uint8_t)(0x80 | cp >> 12);
        uint8_t four[] = {0xF0, t3, t2, t1};
        wrong += feed_bytes(WS_SIMD_PORTABLE, four, 4, &u) != 2;
        wrong += feed_whole(WS_SIMD_PORTABLE, four, 4, &u) != WS_ERR_SYNTAX;
        if (cp >= 0x800) continue;
        uint8_t three[] = {0xE0, t2, t1};
        wrong += feed_bytes(WS_SIMD_PORTABLE, three, 3, &u) != 2;
        wrong += feed_whole(WS_SIMD_PORTABLE, three, 3, &u) != WS_ERR_SYNTAX;
        if (cp >= 0x80) continue;
        uint8_t two[] = {(uint8_t)(0xC0 | cp >> 6), t1};
        wrong += feed_bytes(WS_SIMD_PORTABLE, two, 2, &u) != 1;
        wrong += feed_whole(WS_SIMD_PORTABLE, two, 2, &u) != WS_ERR_SYNTAX;
    }
    CHECK_EQ(wrong, 0);
}

static void test_utf8_above_10ffff(void) {
    int wrong = 0;
    struct ws_utf8 u;
    for (uint32_t cp = 0x110000; cp < 0x200000; cp++) {
        uint8_t data[4];
        encode(data, cp);
        wrong += feed_bytes(WS_SIMD_PORTABLE, data, 4, &u) != (data[0] == 0xF4 ? 2 : 1);
        wrong += feed_whole(WS_SIMD_PORTABLE, data, 4, &u) != WS_ERR_SYNTAX;
    }
    CHECK_EQ(wrong, 0);
    check_refused_at_last("\xF4\x90", 2);
    check_refused_at_last("\xF5", 1);
    check_refused_at_last("\xF8", 1); /* forms of five and six bytes */
    check_refused_at_last("\xFC", 1);
    check_refused_at_last("\xFE", 1);
    check_refused_at_last("\xFF", 1);
}

static void test_utf8_one_and_two_bytes(void) {
    for (unsigned a = 0; a < 256; a++) {
        uint8_t data[2] = {(uint8_t)a, 0};
        check_string(data, 1);
    }
    int wrong = 0;
    for (unsigned v = 0; v < 65536; v++) {
        const uint8_t data[2] = {(uint8_t)(v >> 8), (uint8_t)v};
        struct ws_utf8 u;
        int complete = 0;
        size_t bad = judge_all(data, 2, &complete);
        wrong += feed_whole(WS_SIMD_PORTABLE, data, 2, &u) != (bad ? WS_ERR_SYNTAX : 0);
        if (!bad) wrong += ws_utf8_is_complete(&u) != complete;
        if (!bad) wrong += u.ascii != ((data[0] | data[1]) < 0x80);
        wrong += feed_bytes(WS_SIMD_PORTABLE, data, 2, &u) != bad;
    }
    CHECK_EQ(wrong, 0);
}

static void test_utf8_three_bytes(void) {
    int wrong = 0;
    for (unsigned v = 0; v < 65536; v++) {
        uint8_t data[3] = {(uint8_t)(v >> 8), (uint8_t)v, 0};
        struct judge so_far = {0};
        int right = judge_byte(&so_far, data[0]) && judge_byte(&so_far, data[1]);
        struct ws_utf8 begun;
        int begun_right = feed_whole(WS_SIMD_PORTABLE, data, 2, &begun) == 0;
        wrong += begun_right != right;
        for (unsigned c = 0; c < 256; c++) {
            data[2] = (uint8_t)c;
            struct judge j = so_far;
            struct ws_utf8 whole, last = begun;
            int expected = right && judge_byte(&j, data[2]);
            wrong += (feed_whole(WS_SIMD_PORTABLE, data, 3, &whole) == 0) != expected;
            if (expected) wrong += ws_utf8_is_complete(&whole) != (j.missing == 0);
            if (begun_right)
                wrong += (ws_utf8_feed(WS_SIMD_PORTABLE, &last, data + 2, 1) == 0) != expected;
        }
    }
    CHECK_EQ(wrong, 0);
}

/* All heads of four bytes with the tails' edges. */
static void test_utf8_four_bytes(void) {
    static const uint8_t edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F,
                                    0xA0, 0xBF, 0xC0, 0xE0, 0xFF};
    const size_t n = sizeof(edges);
    int wrong = 0;
    for (unsigned a = 0xE0; a < 256; a++) {
        for (size_t i = 0; i < n * n * n; i++) {
            const uint8_t data[4] = {(uint8_t)a, edges[i / n / n], edges[i / n % n], edges[i % n]};
            struct ws_utf8 u;
            int complete = 0;
            size_t bad = judge_all(data, 4, &complete);
            wrong += feed_whole(WS_SIMD_PORTABLE, data, 4, &u) != (bad ? WS_ERR_SYNTAX : 0);
            if (!bad) wrong += ws_utf8_is_complete(&u) != complete;
            wrong += feed_bytes(WS_SIMD_PORTABLE, data, 4, &u) != bad;
        }
    }
    CHECK_EQ(wrong, 0);
}

static void test_utf8_fails_at_first_byte(void) {
    check_refused_at_last("\x80", 1);
    check_refused_at_last("\xC0", 1);
    check_refused_at_last("\xC1", 1);
    check_refused_at_last("\xC2\x7F", 2);
    check_refused_at_last("\xC2\xC0", 2);
    check_refused_at_last("\xE0\x9F", 2);
    check_refused_at_last("\xE0\xA0\x7F", 3);
    check_refused_at_last("\xED\xA0", 2);
    check_refused_at_last("\xE1\x41", 2);
    check_refused_at_last("\xF0\x8F", 2);
    check_refused_at_last("\xF0\x90\x80\x41", 4);
    check_refused_at_last("\xF4\x8F\xBF\xC0", 4);
    check_refused_at_last("ab\xE6\xBC\xA2\xFF", 6);
    check_refused_at_last("\xE6\xBC\xA2\xA2", 4);
    check_refused_at_last("\xF0\x9F\x98\x80\x80", 5);
}

static void test_utf8_mixed_text(void) {
    static const char text[] =
        "wspy \xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5 and a long run of ASCII, "
        "longer than any vector, \xF0\x9F\x98\x80 then \xE6\xBC\xA2\xE5\xAD\x97\xE6\xBC\xA2"
        "\xE5\xAD\x97\xE6\xBC\xA2\xE5\xAD\x97 and the edges \xED\x9F\xBF\xEE\x80\x80\xF4\x8F"
        "\xBF\xBF\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xF0\x90\x80\x80 end";
    check_string(text, sizeof(text) - 1);
    for (size_t len = 0; len < sizeof(text); len++) check_string(text, len);
}

static void test_utf8_empty(void) {
    struct ws_utf8 u;
    CHECK_EQ(feed_whole(WS_SIMD_PORTABLE, NULL, 0, &u), 0);
    CHECK(ws_utf8_is_complete(&u));
    CHECK(ws_utf8_is_valid(WS_SIMD_PORTABLE, NULL, 0));
    CHECK(u.ascii);
    CHECK_EQ(u.state, 0);
    CHECK_EQ(ws_utf8_feed(WS_SIMD_PORTABLE, &u, (const uint8_t *)"\xE6", 1), 0);
    CHECK_EQ(ws_utf8_feed(WS_SIMD_PORTABLE, &u, NULL, 0), 0);
    CHECK(!ws_utf8_is_complete(&u));
    CHECK(!u.ascii);
}

/* A run that is begun in the middle of a code point: ASCII there is an error. */
static void test_utf8_ascii_in_a_code_point(void) {
    uint8_t ascii[300];
    memset(ascii, 'a', sizeof(ascii));
    for (int l = 0; l < WS_SIMD_LEVELS; l++) {
        if (!ws_simd_has((enum ws_simd)l)) continue;
        for (size_t len = 1; len <= sizeof(ascii); len++) {
            struct ws_utf8 u;
            CHECK_EQ(feed_whole((enum ws_simd)l, "\xC3", 1, &u), 0);
            CHECK_EQ(ws_utf8_feed((enum ws_simd)l, &u, ascii, len), WS_ERR_SYNTAX);
        }
    }
}

/* Runs of ASCII of every length with `odd` at every position, at a page's end, on one level. */
static void check_runs(enum ws_simd level, const char *odd, size_t odd_len, int right) {
    if (!ws_simd_has(level)) return;
    uint8_t data[320];
    int wrong = 0;
    for (size_t len = odd_len; len <= 300; len++) {
        struct check_page page;
        memset(data, 'a', len);
        uint8_t *p = check_page_copy(&page, data, len);
        struct ws_utf8 u;
        wrong += feed_whole(level, p, len, &u) != 0 || !u.ascii || !ws_utf8_is_complete(&u);
        for (size_t at = 0; at + odd_len <= len; at++) {
            memcpy(p + at, odd, odd_len);
            int got = feed_whole(level, p, len, &u);
            wrong += got != (right ? 0 : WS_ERR_SYNTAX);
            if (right) wrong += u.ascii || !ws_utf8_is_complete(&u);
            memset(p + at, 'a', odd_len);
        }
        check_page_free(&page);
    }
    CHECK_EQ(wrong, 0);
}

static void check_level(enum ws_simd level) {
    check_runs(level, "\x80", 1, 0);
    check_runs(level, "\xFF", 1, 0);
    check_runs(level,
               "\xC3"
               "a",
               2, 0);
    check_runs(level, "\xC3\xA9", 2, 1);
    check_runs(level, "\xF0\x9F\x98\x80", 4, 1);
    check_runs(level, "\xED\xA0\x80", 3, 0);
}

static void test_utf8_long_runs_portable(void) {
    check_level(WS_SIMD_PORTABLE);
}

static void test_utf8_long_runs_sse2(void) {
    check_level(WS_SIMD_SSE2);
}

static void test_utf8_long_runs_avx2(void) {
    check_level(WS_SIMD_AVX2);
}

/* Blocks of exactly len bytes: the sanitizer sees a byte read too early as well as one too late. */
static void test_utf8_exact_blocks(void) {
    for (size_t len = 1; len <= 300; len++) {
        uint8_t *data = malloc(len);
        memset(data, 'z', len);
        for (int l = 0; l < WS_SIMD_LEVELS; l++) {
            struct ws_utf8 u;
            if (!ws_simd_has((enum ws_simd)l)) continue;
            CHECK_EQ(feed_whole((enum ws_simd)l, data, len, &u), 0);
        }
        free(data);
    }
}

/* Random strings made of whole code points, then with one byte changed, against the judge. */
static void test_utf8_random(void) {
    uint32_t x = 2463534242u;
    for (int round = 0; round < 300; round++) {
        static const uint32_t above[] = {0x80, 0x800, 0x10000, 0x110000};
        uint8_t data[200];
        size_t len = 0;
        while (len < sizeof(data) - 4) {
            x ^= x << 13, x ^= x >> 17, x ^= x << 5;
            uint32_t cp = (x >> 3) % above[x & 3];
            if (cp >= 0xD800 && cp <= 0xDFFF) cp -= 0x800;
            len += encode(data + len, cp);
            if (x >> 28 == 0) break;
        }
        check_string(data, len);
        data[(x >> 8) % len] = (uint8_t)(x >> 20);
        check_string(data, len);
    }
}

int main(void) {
    RUN(test_utf8_every_code_point);
    RUN(test_utf8_every_surrogate);
    RUN(test_utf8_every_overlong);
    RUN(test_utf8_above_10ffff);
    RUN(test_utf8_one_and_two_bytes);
    RUN(test_utf8_three_bytes);
    RUN(test_utf8_four_bytes);
    RUN(test_utf8_fails_at_first_byte);
    RUN(test_utf8_mixed_text);
    RUN(test_utf8_empty);
    RUN(test_utf8_ascii_in_a_code_point);
    RUN(test_utf8_long_runs_portable);
    RUN(test_utf8_long_runs_sse2);
    RUN(test_utf8_long_runs_avx2);
    RUN(test_utf8_exact_blocks);
    RUN(test_utf8_random);
    return check_done();
}
