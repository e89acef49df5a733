/* load_messages.c: a message is a slice of one pool of random bytes. Each of a series begins one
 * byte further than the one before, so that its bytes carry its number (modulo POOL_SHIFTS): a
 * server that loses, doubles or swaps messages cannot send the right bytes. Compressed ones are
 * slices of one text, PACK_SHIFT bytes apart, and there are fewer (PACKS), because each is
 * compressed before the run. */
#include "load_messages.h"

#include <stdlib.h>

#include "load_base.h"
#include "load_frame.h"

enum {
    POOL_SHIFTS = 4096, /* a message starts at one of so many places of the pool */
    PACK_SHIFT = 101,
};

static void pool_fill(struct messages *m, size_t n, bool text) {
    uint64_t rng = 0x243f6a8885a308d3ULL;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = rng_next(&rng);
        m->pool[i] = (uint8_t)(text ? 32 + (r >> 40) % 95 : r >> 56);
    }
}

/* base to the power of n. */
static double power(double base, unsigned n) {
    double result = 1.0;
    for (; n; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

/* Fills the quantiles of a log-uniform distribution over size_min..size_max. One is added to all
 * sizes on the way so that the range may begin at 0; bisection finds the step without libm. */
static void sizes_fill(struct messages *m, size_t size_min, size_t size_max) {
    double from = (double)size_min + 1.0, ratio = ((double)size_max + 1.0) / from;
    double low = 1.0, high = ratio;
    for (int i = 0; i < 200; i++) {
        double mid = (low + high) / 2.0;
        if (power(mid, SIZE_STEPS - 1) < ratio) low = mid;
        else high = mid;
    }
    for (unsigned i = 0; i < SIZE_STEPS; i++)
        m->sizes[i] = min_size((size_t)(from * power(low, i) - 0.5), size_max);
    m->sizes[0] = size_min;
    m->sizes[SIZE_STEPS - 1] = size_max;
}

static int packs_init(struct messages *m, const struct options *o) {
    struct series sizes = messages_series(0);
    m->deflate = calloc(1, sizeof *m->deflate);
    m->pool = malloc(o->size_max + PACKS * PACK_SHIFT);
    if (!m->deflate || !m->pool) return fail("out of memory");
    deflate_text(m->pool, o->size_max + PACKS * PACK_SHIFT);
    for (size_t i = 0; i < PACKS; i++) {
        struct pack *pack = &m->deflate->packs[i];
        pack->text = m->pool + i * PACK_SHIFT;
        pack->len = m->sizes[(rng_next(&sizes.rng) >> 32) % SIZE_STEPS];
    }
    return deflate_init(m->deflate, o->size_max);
}

int messages_init(struct messages *m, const struct options *o) {
    sizes_fill(m, o->size_min, o->size_max);
    if (o->deflate) return packs_init(m, o);
    m->pool = malloc(o->size_max + POOL_SHIFTS);
    if (!m->pool) return fail("out of memory");
    pool_fill(m, o->size_max + POOL_SHIFTS, o->opcode == OP_TEXT);
    return 0;
}

void messages_fini(struct messages *m) {
    if (m->deflate) deflate_fini(m->deflate);
    free(m->deflate);
    free(m->pool);
}

struct series messages_series(size_t id) {
    struct series s = {.rng = (id + 1) * 0x9e3779b97f4a7c15ULL};
    for (int i = 0; i < 8; i++) /* neighbouring seeds begin alike */
        s.place = rng_next(&s.rng) >> 32;
    return s;
}

const uint8_t *messages_next(const struct messages *m, struct series *s, size_t *len,
                             struct pack **pack) {
    *pack = m->deflate ? &m->deflate->packs[s->place++ % PACKS] : NULL;
    if (*pack) {
        *len = (*pack)->len;
        return (*pack)->text;
    }
    *len = m->sizes[(rng_next(&s->rng) >> 32) % SIZE_STEPS];
    return m->pool + s->place++ % POOL_SHIFTS;
}
