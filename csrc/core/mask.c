/* mask.c: XOR masking of payload bytes.
 *
 * Knows no frames: where a payload starts and which part of it comes now is the caller's business.
 *
 * The last word of each width may overlap the words before it. It is then read before any word is
 * written, because in place the bytes under the overlap are masked by then, and written last. */
#include "mask.h"

#include "bytes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* From here on a variant's set-up is cheaper than the words of mask_short. */
#define SHORT 32

/* Masks len >= SHORT bytes. `next` is the key turned for the byte behind the last and, as widths
 * are multiples of four, for the last word too. */
typedef void mask_fn(uint8_t *dst, const uint8_t *src, size_t len, uint32_t key, uint32_t next);

static inline uint64_t key_twice(uint32_t key) {
    return (uint64_t)key << 32 | key;
}

static inline void mask_bytes(uint8_t *dst, const uint8_t *src, size_t len, uint32_t key) {
    uint8_t k[4];
    ws_bytes_store32(k, key);
    for (size_t i = 0; i < len; i++) dst[i] = src[i] ^ k[i & 3];
}

/* Fewer than SHORT bytes. Most messages of a chat or a game end here: no call, no loop. */
static inline void mask_short(uint8_t *dst, const uint8_t *src, size_t len, uint32_t key,
                              uint32_t next) {
    if (len >= 8) {
        uint64_t k = key_twice(key), last_k = key_twice(next);
        uint64_t first = ws_bytes_load64(src) ^ k;
        uint64_t last = ws_bytes_load64(src + len - 8) ^ last_k;
        if (len > 16) {
            uint64_t second = ws_bytes_load64(src + 8) ^ k;
            uint64_t third = ws_bytes_load64(src + len - 16) ^ last_k;
            ws_bytes_store64(dst + 8, second);
            ws_bytes_store64(dst + len - 16, third);
        }
        ws_bytes_store64(dst, first);
        ws_bytes_store64(dst + len - 8, last);
    } else if (len >= 4) {
        uint32_t first = ws_bytes_load32(src) ^ key;
        uint32_t last = ws_bytes_load32(src + len - 4) ^ next;
        ws_bytes_store32(dst, first);
        ws_bytes_store32(dst + len - 4, last);
    } else {
        mask_bytes(dst, src, len, key);
    }
}

static void mask_portable(uint8_t *dst, const uint8_t *src, size_t len, uint32_t key,
                          uint32_t next) {
    uint64_t k = key_twice(key);
    uint64_t last = ws_bytes_load64(src + len - 8) ^ key_twice(next);
    size_t i = 0;
    for (; len - i >= 32; i += 32) {
        uint64_t a = ws_bytes_load64(src + i) ^ k;
        uint64_t b = ws_bytes_load64(src + i + 8) ^ k;
        uint64_t c = ws_bytes_load64(src + i + 16) ^ k;
        uint64_t d = ws_bytes_load64(src + i + 24) ^ k;
        ws_bytes_store64(dst + i, a);
        ws_bytes_store64(dst + i + 8, b);
        ws_bytes_store64(dst + i + 16, c);
        ws_bytes_store64(dst + i + 24, d);
    }
    for (; len - i > 8; i += 8) ws_bytes_store64(dst + i, ws_bytes_load64(src + i) ^ k);
    ws_bytes_store64(dst + len - 8, last);
}

#ifdef __x86_64__

#define LOAD128(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE128(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define LOAD256(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE256(p, v) _mm256_storeu_si256((__m256i *)(p), v)

__attribute__((target("sse2"))) static void mask_sse2(uint8_t *dst, const uint8_t *src, size_t len,
                                                      uint32_t key, uint32_t next) {
    __m128i k = _mm_set1_epi32((int)key);
    __m128i last = _mm_xor_si128(LOAD128(src + len - 16), _mm_set1_epi32((int)next));
    size_t i = 0;
    for (; len - i >= 64; i += 64) {
        __m128i a = _mm_xor_si128(LOAD128(src + i), k);
        __m128i b = _mm_xor_si128(LOAD128(src + i + 16), k);
        __m128i c = _mm_xor_si128(LOAD128(src + i + 32), k);
        __m128i d = _mm_xor_si128(LOAD128(src + i + 48), k);
        STORE128(dst + i, a);
        STORE128(dst + i + 16, b);
        STORE128(dst + i + 32, c);
        STORE128(dst + i + 48, d);
    }
    for (; len - i > 16; i += 16) STORE128(dst + i, _mm_xor_si128(LOAD128(src + i), k));
    STORE128(dst + len - 16, last);
}

__attribute__((target("avx2"))) static void mask_avx2(uint8_t *dst, const uint8_t *src, size_t len,
                                                      uint32_t key, uint32_t next) {
    __m256i k = _mm256_set1_epi32((int)key);
    __m256i last = _mm256_xor_si256(LOAD256(src + len - 32), _mm256_set1_epi32((int)next));
    size_t i = 0;
    for (; len - i >= 128; i += 128) {
        __m256i a = _mm256_xor_si256(LOAD256(src + i), k);
        __m256i b = _mm256_xor_si256(LOAD256(src + i + 32), k);
        __m256i c = _mm256_xor_si256(LOAD256(src + i + 64), k);
        __m256i d = _mm256_xor_si256(LOAD256(src + i + 96), k);
        STORE256(dst + i, a);
        STORE256(dst + i + 32, b);
        STORE256(dst + i + 64, c);
        STORE256(dst + i + 96, d);
    }
    for (; len - i > 32; i += 32) STORE256(dst + i, _mm256_xor_si256(LOAD256(src + i), k));
    STORE256(dst + len - 32, last);
}

#endif

static mask_fn *const variants[WS_SIMD_LEVELS] = {
    [WS_SIMD_PORTABLE] = mask_portable,
#ifdef __x86_64__
    [WS_SIMD_SSE2] = mask_sse2,
    [WS_SIMD_AVX2] = mask_avx2,
#else
    [WS_SIMD_SSE2] = mask_portable,
    [WS_SIMD_AVX2] = mask_portable,
#endif
};

uint32_t ws_mask_apply(enum ws_simd simd, uint8_t *dst, const uint8_t *src, size_t len,
                       uint32_t key) {
    /* "Octet i of the transformed data is the XOR of octet i of the original data with octet at
     * index i modulo 4 of the masking key": the byte behind these continues at len modulo 4. */
    uint32_t next = ws_bytes_turn32(key, len);
    if (len < SHORT) {
        mask_short(dst, src, len, key, next);
    } else {
        variants[simd](dst, src, len, key, next);
    }
    return next;
}
