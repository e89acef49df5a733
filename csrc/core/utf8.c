/* utf8.c: incremental UTF-8 validation.
 *
 * Decodes nothing: it says whether bytes are UTF-8, not which code points they are. Runs of ASCII
 * are skipped by vectors; all else goes through an automaton, one step for each byte. */
#include "utf8.h"

#include "bytes.h"
#include "err.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

#define HIGH_BITS 0x8080808080808080u
/* Bytes that go through the automaton before ASCII is looked for again. */
#define STRIDE 64

/* The automaton is the grammar of RFC 3629 section 4:
 *
 *   UTF8-1 = %x00-7F
 *   UTF8-2 = %xC2-DF UTF8-tail
 *   UTF8-3 = %xE0 %xA0-BF UTF8-tail / %xE1-EC 2( UTF8-tail ) /
 *            %xED %x80-9F UTF8-tail / %xEE-EF 2( UTF8-tail )
 *   UTF8-4 = %xF0 %x90-BF 2( UTF8-tail ) / %xF1-F3 3( UTF8-tail ) /
 *            %xF4 %x80-8F 2( UTF8-tail )
 *   UTF8-tail = %x80-BF
 *
 * A state is what may come next. Its value is its place, in bits, in a row of the transition table,
 * so that a step is one shift and the table's loads do not wait for the state before. */
enum {
    START = 0,     /* a code point begins */
    TAIL1 = 6,     /* one tail */
    TAIL2 = 12,    /* two tails */
    TAIL3 = 18,    /* three tails */
    AFTER_E0 = 24, /* A0-BF and one tail: less were overlong */
    AFTER_ED = 30, /* 80-9F and one tail: more were a surrogate */
    AFTER_F0 = 36, /* 90-BF and two tails: less were overlong */
    AFTER_F4 = 42, /* 80-8F and two tails: more were above U+10FFFF */
    BAD = 48,      /* nothing makes it right any more */
};

/* Bytes that the grammar never tells apart. */
enum { ASCII, T80, T90, TA0, NEVER, LEAD2, E0, LEAD3, ED, F0, LEAD4, F4, CLASSES };

#define X4(c) c, c, c, c
#define X16(c) X4(c), X4(c), X4(c), X4(c)
#define X64(c) X16(c), X16(c), X16(c), X16(c)

static const uint8_t classes[256] = {
    X64(ASCII), X64(ASCII),                                             /* 00-7F */
    X16(T80),   X16(T90),   X16(TA0),   X16(TA0),                       /* 80-BF */
    NEVER,      NEVER,      LEAD2,      LEAD2,    X4(LEAD2),            /* C0-C7 */
    X4(LEAD2),  X4(LEAD2),  X16(LEAD2),                                 /* C8-DF */
    E0,         LEAD3,      LEAD3,      LEAD3,    X4(LEAD3),            /* E0-E7 */
    X4(LEAD3),  LEAD3,      ED,         LEAD3,    LEAD3,                /* E8-EF */
    F0,         LEAD4,      LEAD4,      LEAD4,                          /* F0-F3 */
    F4,         NEVER,      NEVER,      NEVER,    X4(NEVER), X4(NEVER), /* F4-FF */
};

/* The states that follow, in the order of the states above. */
#define ROW(start, tail1, tail2, tail3, e0, ed, f0, f4)                                            \
    ((uint64_t)(start) << START | (uint64_t)(tail1) << TAIL1 | (uint64_t)(tail2) << TAIL2 |        \
     (uint64_t)(tail3) << TAIL3 | (uint64_t)(e0) << AFTER_E0 | (uint64_t)(ed) << AFTER_ED |        \
     (uint64_t)(f0) << AFTER_F0 | (uint64_t)(f4) << AFTER_F4 | (uint64_t)BAD << BAD)
#define LEAD(start) ROW(start, BAD, BAD, BAD, BAD, BAD, BAD, BAD)

static const uint64_t rows[CLASSES] = {
    [ASCII] = LEAD(START),
    [T80] = ROW(BAD, START, TAIL1, TAIL2, BAD, TAIL1, BAD, TAIL2),
    [T90] = ROW(BAD, START, TAIL1, TAIL2, BAD, TAIL1, TAIL2, BAD),
    [TA0] = ROW(BAD, START, TAIL1, TAIL2, TAIL1, BAD, TAIL2, BAD),
    [NEVER] = LEAD(BAD),
    [LEAD2] = LEAD(TAIL1),
    [E0] = LEAD(AFTER_E0),
    [LEAD3] = LEAD(TAIL2),
    [ED] = LEAD(AFTER_ED),
    [F0] = LEAD(AFTER_F0),
    [LEAD4] = LEAD(TAIL3),
    [F4] = LEAD(AFTER_F4),
};

static uint8_t walk(uint8_t from, const uint8_t *data, size_t len) {
    uint64_t state = from;
    for (size_t i = 0; i < len; i++) state = rows[classes[data[i]]] >> (state & 63);
    return state & 63;
}

/* How many of the first bytes are ASCII. */
typedef size_t ascii_fn(const uint8_t *data, size_t len);

static size_t ascii_portable(const uint8_t *data, size_t len) {
    size_t i = 0;
    for (; len - i >= 32; i += 32) {
        uint64_t any = ws_bytes_load64(data + i) | ws_bytes_load64(data + i + 8) |
                       ws_bytes_load64(data + i + 16) | ws_bytes_load64(data + i + 24);
        if (any & HIGH_BITS) break;
    }
    while (len - i >= 8 && !(ws_bytes_load64(data + i) & HIGH_BITS)) i += 8;
    while (i < len && data[i] < 0x80) i++;
    return i;
}

#ifdef __x86_64__

#define LOAD128(p) _mm_loadu_si128((const __m128i *)(p))
#define LOAD256(p) _mm256_loadu_si256((const __m256i *)(p))

/* Both look at the last bytes with a word that ends where they end: the bytes it sees a second time
 * are known to be ASCII. */

__attribute__((target("sse2"))) static size_t ascii_sse2(const uint8_t *data, size_t len) {
    if (len < 16) return ascii_portable(data, len);
    size_t i = 0;
    for (; len - i >= 64; i += 64) {
        __m128i ab = _mm_or_si128(LOAD128(data + i), LOAD128(data + i + 16));
        __m128i cd = _mm_or_si128(LOAD128(data + i + 32), LOAD128(data + i + 48));
        if (_mm_movemask_epi8(_mm_or_si128(ab, cd))) break;
    }
    for (; len - i >= 16; i += 16) {
        int high = _mm_movemask_epi8(LOAD128(data + i));
        if (high) return i + (size_t)__builtin_ctz((unsigned)high);
    }
    int high = _mm_movemask_epi8(LOAD128(data + len - 16));
    return high ? len - 16 + (size_t)__builtin_ctz((unsigned)high) : len;
}

__attribute__((target("avx2"))) static size_t ascii_avx2(const uint8_t *data, size_t len) {
    if (len < 32) return ascii_sse2(data, len);
    size_t i = 0;
    for (; len - i >= 128; i += 128) {
        __m256i ab = _mm256_or_si256(LOAD256(data + i), LOAD256(data + i + 32));
        __m256i cd = _mm256_or_si256(LOAD256(data + i + 64), LOAD256(data + i + 96));
        if (_mm256_movemask_epi8(_mm256_or_si256(ab, cd))) break;
    }
    for (; len - i >= 32; i += 32) {
        int high = _mm256_movemask_epi8(LOAD256(data + i));
        if (high) return i + (size_t)__builtin_ctz((unsigned)high);
    }
    int high = _mm256_movemask_epi8(LOAD256(data + len - 32));
    return high ? len - 32 + (size_t)__builtin_ctz((unsigned)high) : len;
}

#endif

static ascii_fn *const variants[WS_SIMD_LEVELS] = {
    [WS_SIMD_PORTABLE] = ascii_portable,
#ifdef __x86_64__
    [WS_SIMD_SSE2] = ascii_sse2,
    [WS_SIMD_AVX2] = ascii_avx2,
#else
    [WS_SIMD_SSE2] = ascii_portable,
    [WS_SIMD_AVX2] = ascii_portable,
#endif
};

/* Whether 4 to 16 bytes are all ASCII: two words that may overlap. */
static inline bool is_short_ascii(const uint8_t *data, size_t len) {
    uint64_t any;
    if (len >= 8) {
        any = ws_bytes_load64(data) | ws_bytes_load64(data + len - 8);
    } else {
        any = ws_bytes_load32(data) | ws_bytes_load32(data + len - 4);
    }
    return !(any & HIGH_BITS);
}

void ws_utf8_init(struct ws_utf8 *u) {
    u->state = START;
    u->ascii = true;
}

int ws_utf8_feed(enum ws_simd simd, struct ws_utf8 *u, const uint8_t *data, size_t len) {
    if (u->state == START && len >= 4 && len <= 16 && is_short_ascii(data, len)) return 0;
    while (len > 0) {
        if (u->state == START) {
            size_t n = variants[simd](data, len);
            if (n == len) return 0;
            data += n;
            len -= n;
        }
        /* here the next byte is not ASCII, or an earlier one was not */
        u->ascii = false;
        size_t n = len < STRIDE ? len : STRIDE;
        u->state = walk(u->state, data, n);
        if (u->state == BAD) return WS_ERR_SYNTAX;
        data += n;
        len -= n;
    }
    return 0;
}

bool ws_utf8_is_complete(const struct ws_utf8 *u) {
    return u->state == START;
}

bool ws_utf8_is_valid(enum ws_simd simd, const uint8_t *data, size_t len) {
    struct ws_utf8 u;
    ws_utf8_init(&u);
    return ws_utf8_feed(simd, &u, data, len) == 0 && ws_utf8_is_complete(&u);
}
