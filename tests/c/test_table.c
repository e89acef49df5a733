/* test_table.c: nodes are found and met by an iteration, through growth and removals anywhere. */
#include "table.h"

#include "check.h"

enum { N = 1000 };

struct item {
    struct ws_table_node node; /* first */
    int seen;
};

static struct item items[N];

/* So that some share a hash, and some only a chain. */
static uint64_t hash_of(int i) {
    return (uint64_t)(i / 2) * 0x100000001u;
}

static int find(const struct ws_table *t, int i) {
    int n = 0;
    for (struct ws_table_node *node = ws_table_chain(t, hash_of(i)); node; node = node->chain)
        n += node == &items[i].node && node->hash == hash_of(i);
    return n;
}

/* The table holds exactly the nodes marked, each once. */
static void check_all(const struct ws_table *t, const uint8_t in[N]) {
    size_t n = 0, met = 0;
    for (int i = 0; i < N; i++) {
        items[i].seen = 0;
        CHECK_EQ(find(t, i), in[i]);
        n += in[i];
    }
    struct ws_table_node *node = NULL;
    while ((node = ws_table_next(t, node))) {
        ((struct item *)(void *)node)->seen++;
        met++;
    }
    for (int i = 0; i < N; i++) CHECK_EQ(items[i].seen, in[i]);
    CHECK_EQ(met, n);
    CHECK_EQ(t->n, n);
}

static void test_table(void) {
    static uint8_t in[N];
    struct ws_table t = {0};
    check_all(&t, in);
    for (int i = 0; i < N; i++) {
        CHECK_EQ(ws_table_add(&t, &items[i].node, hash_of(i)), 0);
        in[i] = 1;
        if (i % 50 == 0 || i == N - 1) check_all(&t, in);
    }
    /* In an order that has nothing to do with that of the chains. */
    for (int i = 0, at = 0; i < N; i++, at = (at + 617) % N) {
        ws_table_del(&t, &items[at].node);
        in[at] = 0;
        if (i % 50 == 0 || i == N - 1) check_all(&t, in);
        if (i % 3) continue;
        CHECK_EQ(ws_table_add(&t, &items[at].node, hash_of(at)), 0); /* and back */
        in[at] = 1;
        check_all(&t, in);
        ws_table_del(&t, &items[at].node);
        in[at] = 0;
    }
    CHECK_EQ(t.n, 0);
    ws_table_fini(&t);
    CHECK(t.buckets == NULL);
}

int main(void) {
    RUN(test_table);
    return check_done();
}
