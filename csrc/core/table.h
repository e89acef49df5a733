/* table.h: a hash table: a set of nodes in their owners' structs, in chains by hash.
 *
 * Knows no keys: the caller hashes them (with a key of its own, where peers choose them, so that
 * the bits are even), walks the chain and compares. */
#ifndef WS_TABLE_H
#define WS_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct ws_table_node {
    struct ws_table_node *chain;
    uint64_t hash;
};

/* Zeroed memory is an empty table. */
struct ws_table {
    struct ws_table_node **buckets; /* owned, the nodes borrowed */
    size_t n_buckets, n;
};

/* Adds a node; it stays where it is until it is out again. 0 or WS_ERR_MEMORY. */
int ws_table_add(struct ws_table *t, struct ws_table_node *node, uint64_t hash);
/* Takes a node out that is in. */
void ws_table_del(struct ws_table *t, struct ws_table_node *node);
/* The chain in which a node of that hash stands, if there is one, among others; NULL: none. */
static inline struct ws_table_node *ws_table_chain(const struct ws_table *t, uint64_t hash) {
    return t->n_buckets ? t->buckets[hash & (t->n_buckets - 1)] : NULL;
}
/* All nodes in no order: NULL gives the first, the last gives NULL. */
struct ws_table_node *ws_table_next(const struct ws_table *t, const struct ws_table_node *after);
/* The nodes stay their owners'. */
void ws_table_fini(struct ws_table *t);

#endif
