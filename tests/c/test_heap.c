/* test_heap.c: the next one is always first, whatever is added and taken out. */
#include "heap.h"

#include "check.h"

enum { N = 500 };

static struct ws_heap_node nodes[N];
static uint64_t random_state = 1;

static uint32_t random_next(uint32_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

static void test_heap_order(void) {
    struct ws_heap h = {0};
    static const uint64_t due[] = {5, 3, 9, 3, 1, 9, 3};
    static const int order[] = {4, 1, 3, 6, 0, 2, 5}; /* those of one time as they were added */
    CHECK(ws_heap_first(&h) == NULL);
    for (int i = 0; i < 7; i++) CHECK_EQ(ws_heap_add(&h, &nodes[i], due[i]), 0);
    for (int i = 0; i < 7; i++) {
        struct ws_heap_node *first = ws_heap_first(&h);
        CHECK_EQ(first - nodes, order[i]);
        CHECK(ws_heap_has(first));
        ws_heap_del(&h, first);
        CHECK(!ws_heap_has(first));
        ws_heap_del(&h, first); /* not in: left alone */
    }
    CHECK(ws_heap_first(&h) == NULL);
    ws_heap_fini(&h);
}

/* Against a look at every node. */
static const struct ws_heap_node *least(void) {
    const struct ws_heap_node *found = NULL;
    for (int i = 0; i < N; i++) {
        if (!ws_heap_has(&nodes[i])) continue;
        if (!found || nodes[i].due_ms < found->due_ms ||
            (nodes[i].due_ms == found->due_ms && nodes[i].order < found->order))
            found = &nodes[i];
    }
    return found;
}

static void test_heap_random(void) {
    struct ws_heap h = {0};
    memset(nodes, 0, sizeof nodes);
    size_t in = 0;
    for (int step = 0; step < 20000; step++) {
        struct ws_heap_node *node = &nodes[random_next(N)];
        if (ws_heap_has(node)) {
            ws_heap_del(&h, node);
            in--;
        } else {
            CHECK_EQ(ws_heap_add(&h, node, random_next(100)), 0);
            in++;
        }
        CHECK_EQ(h.n, in);
        CHECK(ws_heap_first(&h) == least());
    }
    ws_heap_fini(&h);
}

int main(void) {
    RUN(test_heap_order);
    RUN(test_heap_random);
    return check_done();
}
