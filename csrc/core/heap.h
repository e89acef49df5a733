/* heap.h: calls that are due at a time, the next one first: a binary heap of nodes in their owners'
 * structs, exact to the millisecond. (Protocol time-outs, of which there are many and which are
 * mostly put off, stand in timer.h's wheel.)
 *
 * No clock in here: the caller passes milliseconds of one monotonic clock. */
#ifndef WS_HEAP_H
#define WS_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeroed memory is a node that stands in no heap. */
struct ws_heap_node {
    uint64_t due_ms;
    uint64_t order; /* of two that are due together the one added first comes first */
    size_t at;      /* its place, counted from 1; 0: none */
};

/* Zeroed memory is an empty heap. */
struct ws_heap {
    struct ws_heap_node **nodes; /* owned, the nodes borrowed */
    size_t n, cap;
    uint64_t last_order;
};

/* Adds a node that stands in no heap; it stays where it is until it is out again. 0 or
 * WS_ERR_MEMORY. */
int ws_heap_add(struct ws_heap *h, struct ws_heap_node *node, uint64_t due_ms);
/* Takes it out, wherever it stands; one that is not in is left alone. */
void ws_heap_del(struct ws_heap *h, struct ws_heap_node *node);
/* The next one (borrowed), or NULL. */
static inline struct ws_heap_node *ws_heap_first(const struct ws_heap *h) {
    return h->n ? h->nodes[0] : NULL;
}
static inline bool ws_heap_has(const struct ws_heap_node *node) {
    return node->at > 0;
}
void ws_heap_fini(struct ws_heap *h);

#endif
