/* heap.c: a binary heap. See heap.h. */
#include "heap.h"

#include "err.h"

#include <stdlib.h>

#define FIRST_CAP 16

static bool is_before(const struct ws_heap_node *a, const struct ws_heap_node *b) {
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void place(struct ws_heap *h, size_t i, struct ws_heap_node *node) {
    h->nodes[i] = node;
    node->at = i + 1;
}

static void move_up(struct ws_heap *h, size_t i, struct ws_heap_node *node) {
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!is_before(node, h->nodes[parent])) break;
        place(h, i, h->nodes[parent]);
        i = parent;
    }
    place(h, i, node);
}

static void move_down(struct ws_heap *h, size_t i, struct ws_heap_node *node) {
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n) break;
        if (child + 1 < h->n && is_before(h->nodes[child + 1], h->nodes[child])) child++;
        if (!is_before(h->nodes[child], node)) break;
        place(h, i, h->nodes[child]);
        i = child;
    }
    place(h, i, node);
}

int ws_heap_add(struct ws_heap *h, struct ws_heap_node *node, uint64_t due_ms) {
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : FIRST_CAP;
        if (cap > SIZE_MAX / sizeof(struct ws_heap_node *)) return WS_ERR_MEMORY;
        struct ws_heap_node **nodes = realloc(h->nodes, cap * sizeof *nodes);
        if (!nodes) return WS_ERR_MEMORY;
        h->nodes = nodes;
        h->cap = cap;
    }
    node->due_ms = due_ms;
    node->order = ++h->last_order;
    move_up(h, h->n++, node);
    return 0;
}

void ws_heap_del(struct ws_heap *h, struct ws_heap_node *node) {
    if (!node->at) return;
    size_t i = node->at - 1;
    struct ws_heap_node *last = h->nodes[--h->n];
    node->at = 0;
    if (last == node) return;
    if (i > 0 && is_before(last, h->nodes[(i - 1) / 2])) move_up(h, i, last);
    else move_down(h, i, last);
}

void ws_heap_fini(struct ws_heap *h) {
    free(h->nodes);
    *h = (struct ws_heap){0};
}
