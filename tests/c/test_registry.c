/* test_registry.c: nodes by id and in order of opening, through growth and removals anywhere. */
#include "registry.h"

#include "check.h"

enum { N = 1000 };

static struct ws_registry_node nodes[N];

/* The list holds exactly the nodes marked, in order, forwards and backwards, and find agrees. */
static void check_all(const struct ws_registry *r, const uint8_t in[N]) {
    struct ws_registry_node *at = r->first, *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < N; i++) {
        CHECK(ws_registry_find(r, nodes[i].id) == (in[i] ? &nodes[i] : NULL));
        if (!in[i]) continue;
        CHECK(at == &nodes[i]);
        if (at != &nodes[i]) return;
        CHECK(at->prev == last);
        last = at;
        at = at->next;
        n++;
    }
    CHECK(at == NULL);
    CHECK(r->last == last);
    CHECK_EQ(r->n, n);
}

static void test_registry_empty(void) {
    struct ws_registry r = {0};
    CHECK(ws_registry_find(&r, 1) == NULL);
    CHECK(r.first == NULL && r.last == NULL && r.n == 0);
    ws_registry_fini(&r);
}

static void test_registry_one(void) {
    struct ws_registry r = {0};
    struct ws_registry_node node = {.id = UINT64_MAX};
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(ws_registry_add(&r, &node), 0);
        CHECK(ws_registry_find(&r, UINT64_MAX) == &node);
        CHECK(ws_registry_find(&r, 15) == NULL); /* the same bucket */
        CHECK(r.first == &node && r.last == &node && node.next == NULL && node.prev == NULL);
        ws_registry_del(&r, &node);
        CHECK(ws_registry_find(&r, UINT64_MAX) == NULL);
        CHECK(r.first == NULL && r.last == NULL && r.n == 0);
    }
    ws_registry_fini(&r);
}

/* step spreads the ids: 1 is how they come, 4096 puts all of them into one bucket. */
static void grow_and_shrink(uint64_t step) {
    struct ws_registry r = {0};
    uint8_t in[N] = {0};
    for (size_t i = 0; i < N; i++) nodes[i] = (struct ws_registry_node){.id = (i + 1) * step};
    for (size_t i = 0; i < N; i++) {
        CHECK_EQ(ws_registry_add(&r, &nodes[i]), 0);
        in[i] = 1;
        if (i < 40 || i % 97 == 0) check_all(&r, in);
    }
    check_all(&r, in);
    CHECK(r.n_buckets >= N && (r.n_buckets & (r.n_buckets - 1)) == 0);
    for (size_t k = 0; k < N; k++) { /* 7919 is prime: every node once, all over the list */
        size_t i = k * 7919 % N;
        ws_registry_del(&r, &nodes[i]);
        in[i] = 0;
        CHECK(nodes[i].next == NULL && nodes[i].prev == NULL && nodes[i].chain == NULL);
        if (k % 97 == 0 || k > N - 20) check_all(&r, in);
    }
    CHECK_EQ(r.n, 0);
    ws_registry_fini(&r);
    CHECK(r.buckets == NULL && r.first == NULL);
}

static void test_registry_grows_and_shrinks(void) {
    grow_and_shrink(1);
    grow_and_shrink(3);
    grow_and_shrink(4096);
    grow_and_shrink(UINT64_C(1) << 50);
}

int main(void) {
    RUN(test_registry_empty);
    RUN(test_registry_one);
    RUN(test_registry_grows_and_shrinks);
    return check_done();
}
