/* table.c: a hash table with chains. See table.h. */
#include "table.h"

#include "err.h"

#include <stdlib.h>

#define FIRST_BUCKETS 16

static struct ws_table_node **bucket_of(const struct ws_table *t, uint64_t hash) {
    return &t->buckets[hash & (t->n_buckets - 1)];
}

static void link_node(struct ws_table *t, struct ws_table_node *node) {
    struct ws_table_node **bucket = bucket_of(t, node->hash);
    node->chain = *bucket;
    *bucket = node;
}

static int grow(struct ws_table *t) {
    struct ws_table_node **old = t->buckets;
    size_t n_old = t->n_buckets, n = n_old ? n_old * 2 : FIRST_BUCKETS;
    struct ws_table_node **buckets = calloc(n, sizeof *buckets);
    if (!buckets) return WS_ERR_MEMORY;
    t->buckets = buckets;
    t->n_buckets = n;
    for (size_t i = 0; i < n_old; i++) {
        while (old[i]) {
            struct ws_table_node *node = old[i];
            old[i] = node->chain;
            link_node(t, node);
        }
    }
    free(old);
    return 0;
}

int ws_table_add(struct ws_table *t, struct ws_table_node *node, uint64_t hash) {
    /* A table that cannot grow any more still serves, with longer chains. */
    if (t->n >= t->n_buckets && grow(t) < 0 && !t->n_buckets) return WS_ERR_MEMORY;
    node->hash = hash;
    link_node(t, node);
    t->n++;
    return 0;
}

void ws_table_del(struct ws_table *t, struct ws_table_node *node) {
    struct ws_table_node **link = bucket_of(t, node->hash);
    while (*link != node) link = &(*link)->chain;
    *link = node->chain;
    t->n--;
}

struct ws_table_node *ws_table_next(const struct ws_table *t, const struct ws_table_node *after) {
    if (after && after->chain) return after->chain;
    size_t i = after ? (after->hash & (t->n_buckets - 1)) + 1 : 0;
    while (i < t->n_buckets && !t->buckets[i]) i++;
    return i < t->n_buckets ? t->buckets[i] : NULL;
}

void ws_table_fini(struct ws_table *t) {
    free(t->buckets);
    *t = (struct ws_table){0};
}
