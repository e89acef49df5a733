/* registry.h: the open connections, by id and in order of opening. Intrusive; changes in dispatch
 * only. */
#ifndef WS_REGISTRY_H
#define WS_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

/* In the connection's struct. */
struct ws_registry_node {
    uint64_t id;
    struct ws_registry_node *chain;       /* the next one in the bucket */
    struct ws_registry_node *prev, *next; /* in order of opening */
};

struct ws_registry {
    struct ws_registry_node **buckets; /* owned; NULL while empty */
    size_t n_buckets;                  /* a power of two */
    size_t n;
    struct ws_registry_node *first, *last;
};

/* Adds a node whose id is set and new. 0 or WS_ERR_MEMORY. */
int ws_registry_add(struct ws_registry *r, struct ws_registry_node *node);
void ws_registry_del(struct ws_registry *r, struct ws_registry_node *node);
struct ws_registry_node *ws_registry_find(const struct ws_registry *r, uint64_t id);
/* Frees the buckets; the nodes are their owners'. */
void ws_registry_fini(struct ws_registry *r);

#endif
