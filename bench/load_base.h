/* load_base.h: what every file of the load generator uses: clock, random numbers, complaints. */
#ifndef LOAD_BASE_H
#define LOAD_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NS 1000000000ULL /* nanoseconds in a second */

static inline uint64_t clock_ns(clockid_t id) {
    struct timespec t = {0};
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

/* Marsaglia's xorshift; the state is never 0. Callers use the better high bits. */
static inline uint64_t rng_next(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

static inline size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Writes one line to stderr; gives -1, so that callers can return it. */
__attribute__((format(printf, 1, 2))) int fail(const char *format, ...);

#endif
