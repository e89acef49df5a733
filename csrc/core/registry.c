/* registry.c: open connections by id. See registry.h. Ids are counted up, so their low bits are
 * hash enough. */
#include "registry.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 16

static struct ws_registry_node **bucket_of(const struct ws_registry *r, uint64_t id) {
    return &r->buckets[id & (r->n_buckets - 1)];
}

static int grow(struct ws_registry *r) {
    size_t n = r->n_buckets ? r->n_buckets * 2 : FIRST_BUCKETS;
    struct ws_registry_node **buckets = calloc(n, sizeof(struct ws_registry_node *));
    if (!buckets) return WS_ERR_MEMORY;
    free(r->buckets);
    r->buckets = buckets;
    r->n_buckets = n;
    for (struct ws_registry_node *node = r->first; node; node = node->next) {
        struct ws_registry_node **b = bucket_of(r, node->id);
        node->chain = *b;
        *b = node;
    }
    return 0;
}

int ws_registry_add(struct ws_registry *r, struct ws_registry_node *node) {
    /* A table that cannot grow any more still serves, with longer chains. */
    if (r->n >= r->n_buckets && grow(r) < 0 && !r->n_buckets) return WS_ERR_MEMORY;
    struct ws_registry_node **b = bucket_of(r, node->id);
    node->chain = *b;
    *b = node;
    node->next = NULL;
    node->prev = r->last;
    if (r->last) r->last->next = node;
    else r->first = node;
    r->last = node;
    r->n++;
    return 0;
}

void ws_registry_del(struct ws_registry *r, struct ws_registry_node *node) {
    struct ws_registry_node **b = bucket_of(r, node->id);
    while (*b != node) b = &(*b)->chain;
    *b = node->chain;
    if (node->prev) node->prev->next = node->next;
    else r->first = node->next;
    if (node->next) node->next->prev = node->prev;
    else r->last = node->prev;
    node->chain = node->prev = node->next = NULL;
    r->n--;
}

struct ws_registry_node *ws_registry_find(const struct ws_registry *r, uint64_t id) {
    if (!r->n) return NULL;
    struct ws_registry_node *node = *bucket_of(r, id);
    while (node && node->id != id) node = node->chain;
    return node;
}

void ws_registry_fini(struct ws_registry *r) {
    free(r->buckets);
    memset(r, 0, sizeof *r);
}
