/* bytes.h: byte order and slices. The one place where the code knows about endianness.
 *
 * Reads and writes are unaligned-safe; compilers turn them into one load or store and a byte swap
 * (written out in full, because gcc does not see it in a loop). */
#ifndef WS_BYTES_H
#define WS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes: valid as long as the memory they point into. Not NUL-terminated. */
struct ws_slice {
    const char *data;
    size_t len;
};

static inline uint16_t ws_bytes_get16(const uint8_t *p) {
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t ws_bytes_get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t ws_bytes_get64(const uint8_t *p) {
    return (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 |
           (uint64_t)p[3] << 32 | (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 |
           (uint64_t)p[6] << 8 | p[7];
}

/* The same of little-endian bytes. */
static inline uint16_t ws_bytes_little16(const uint8_t *p) {
    return (uint16_t)((unsigned)p[1] << 8 | p[0]);
}

static inline uint32_t ws_bytes_little32(const uint8_t *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t ws_bytes_little64(const uint8_t *p) {
    return (uint64_t)p[7] << 56 | (uint64_t)p[6] << 48 | (uint64_t)p[5] << 40 |
           (uint64_t)p[4] << 32 | (uint64_t)p[3] << 24 | (uint64_t)p[2] << 16 |
           (uint64_t)p[1] << 8 | p[0];
}

static inline void ws_bytes_put16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static inline void ws_bytes_put32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline void ws_bytes_put64(uint8_t *p, uint64_t v) {
    p[0] = (uint8_t)(v >> 56);
    p[1] = (uint8_t)(v >> 48);
    p[2] = (uint8_t)(v >> 40);
    p[3] = (uint8_t)(v >> 32);
    p[4] = (uint8_t)(v >> 24);
    p[5] = (uint8_t)(v >> 16);
    p[6] = (uint8_t)(v >> 8);
    p[7] = (uint8_t)v;
}

/* The same as little-endian bytes. */
static inline void ws_bytes_put_little16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void ws_bytes_put_little32(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

static inline void ws_bytes_put_little64(uint8_t *p, uint64_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
    p[4] = (uint8_t)(v >> 32);
    p[5] = (uint8_t)(v >> 40);
    p[6] = (uint8_t)(v >> 48);
    p[7] = (uint8_t)(v >> 56);
}

/* A number of 1, 2, 4 or 8 bytes in either order, and the writing of its low bytes. */
static inline uint64_t ws_bytes_get(const uint8_t *p, unsigned width, bool big) {
    switch (width) {
    case 1: return *p;
    case 2: return big ? ws_bytes_get16(p) : ws_bytes_little16(p);
    case 4: return big ? ws_bytes_get32(p) : ws_bytes_little32(p);
    default: return big ? ws_bytes_get64(p) : ws_bytes_little64(p);
    }
}

static inline void ws_bytes_put(uint8_t *p, unsigned width, bool big, uint64_t v) {
    switch (width) {
    case 1: *p = (uint8_t)v; break;
    case 2: (big ? ws_bytes_put16 : ws_bytes_put_little16)(p, (uint16_t)v); break;
    case 4: (big ? ws_bytes_put32 : ws_bytes_put_little32)(p, (uint32_t)v); break;
    default: (big ? ws_bytes_put64 : ws_bytes_put_little64)(p, v); break;
    }
}

/* Four bytes, eight bytes as they lie in memory, for code to which their order does not matter. */
static inline uint32_t ws_bytes_load32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t ws_bytes_load64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline void ws_bytes_store32(uint8_t *p, uint32_t v) {
    memcpy(p, &v, sizeof(v));
}

static inline void ws_bytes_store64(uint8_t *p, uint64_t v) {
    memcpy(p, &v, sizeof(v));
}

/* Four bytes in memory order, turned so that byte n modulo 4 comes first. */
static inline uint32_t ws_bytes_turn32(uint32_t v, size_t n) {
    unsigned left = (unsigned)(n & 3) * 8;
    unsigned right = (32 - left) & 31;
    if (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) return v >> left | v << right;
    return v << left | v >> right;
}

#endif
