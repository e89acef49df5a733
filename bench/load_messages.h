/* load_messages.h: the messages that are sent and have to come back. */
#ifndef LOAD_MESSAGES_H
#define LOAD_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_deflate.h"
#include "load_options.h"

enum { SIZE_STEPS = 1024 /* quantiles of the log-uniform size distribution */ };

struct messages {
    uint8_t *pool;           /* owns */
    struct deflate *deflate; /* owns; NULL: they go plain */
    size_t sizes[SIZE_STEPS];
};

/* Gives 0, or -1 after it said why; messages_fini is right after both. */
int messages_init(struct messages *m, const struct options *o);
void messages_fini(struct messages *m);

/* Which message comes next. */
struct series {
    uint64_t rng;
    uint64_t place; /* in the pool: it counts the messages */
};

/* The beginning of one; equal ids give equal ones. */
struct series messages_series(size_t id);

/* The next message, borrowed from the pool, and its compressed form; NULL: there is none. */
const uint8_t *messages_next(const struct messages *m, struct series *s, size_t *len,
                             struct pack **pack);

#endif
