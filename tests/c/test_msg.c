/* test_msg.c: counted blocks: who gets the block back, and that none is lost (the leak checker
 * watches). */
#include "msg.h"

#include "check.h"

#include <pthread.h>

static void test_msg_block(void) {
    struct ws_msg *m = ws_msg_new(5);
    CHECK(m != NULL && m->data == m->bytes && m->object == NULL && m->next == NULL);
    CHECK_EQ(m->header_len, 0);
    CHECK_EQ(ws_msg_size(m), 5);
    memcpy(m->bytes, "hello", 5);
    ws_msg_ref(m);
    ws_msg_ref(m);
    CHECK(ws_msg_unref(m) == NULL);
    CHECK(ws_msg_unref(m) == NULL);
    CHECK(memcmp(m->data, "hello", 5) == 0); /* the last reference still holds it */
    CHECK(ws_msg_unref(m) == NULL);
    CHECK(ws_msg_unref(NULL) == NULL);
}

static void test_msg_empty(void) {
    struct ws_msg *m = ws_msg_new(0);
    CHECK(m != NULL);
    CHECK_EQ(ws_msg_size(m), 0);
    CHECK(ws_msg_unref(m) == NULL);
}

static void test_msg_too_large(void) {
    volatile size_t huge = SIZE_MAX;
    CHECK(ws_msg_new(huge) == NULL);
    CHECK(ws_msg_new(huge - sizeof(struct ws_msg) + 1) == NULL);
}

/* The last one to let go gets the block, and gives the object back itself. */
static void test_msg_object(void) {
    static const uint8_t header[WS_FRAME_HEADER_MAX] = {0x82, 3};
    uint8_t object[8] = "xabcx";
    for (size_t header_len = 2; header_len <= WS_FRAME_HEADER_MAX; header_len += 6) {
        struct ws_msg *m = ws_msg_new_object(object, object + 1, 3, header, header_len);
        CHECK(m != NULL && m->object == object && m->data == object + 1);
        CHECK_EQ(m->header_len, header_len);
        CHECK_EQ(ws_msg_size(m), 3 + header_len);
        CHECK(memcmp(m->header, header, header_len) == 0);
        ws_msg_ref(m);
        CHECK(ws_msg_unref(m) == NULL);
        CHECK(ws_msg_unref(m) == m);
        CHECK(m->object == object);
        ws_msg_free(m);
    }
}

enum { THREADS = 4, TURNS = 20000 };

struct shared {
    struct ws_msg *msg;
    _Atomic int n_last;
};

static void *ref_and_unref(void *arg) {
    struct shared *s = arg;
    for (int i = 0; i < TURNS; i++) {
        ws_msg_ref(s->msg);
        if (ws_msg_unref(s->msg)) atomic_fetch_add(&s->n_last, 1);
    }
    if (ws_msg_unref(s->msg)) atomic_fetch_add(&s->n_last, 1);
    return NULL;
}

static void test_msg_threads(void) {
    uint8_t object[1] = {0}, header[2] = {0};
    pthread_t threads[THREADS];
    struct shared s = {.msg = ws_msg_new_object(object, object, 1, header, 2)};
    for (int i = 1; i < THREADS; i++) ws_msg_ref(s.msg);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, ref_and_unref, &s), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK_EQ(s.n_last, 1); /* exactly one of them was the last */
    ws_msg_free(s.msg);
}

/* ---- another encoding ---- */

static _Atomic int n_made;

/* Of an empty block there is none. */
static struct ws_msg *make_upper(void *ctx, const struct ws_msg *m) {
    n_made++;
    if (!m->len) return NULL;
    struct ws_msg *pack = ws_msg_new(m->len);
    for (size_t i = 0; i < m->len; i++) pack->bytes[i] = (uint8_t)(m->data[i] - *(int *)ctx);
    return pack;
}

static void test_msg_pack(void) {
    int one = 32, other = 0;
    struct ws_msg *m = ws_msg_new(2), *empty = ws_msg_new(0);
    memcpy(m->bytes, "hi", 2);
    n_made = 0;
    struct ws_msg *pack = ws_msg_pack(m, 9, make_upper, &one);
    CHECK(pack && memcmp(pack->data, "HI", 2) == 0);
    CHECK(ws_msg_pack(m, 9, make_upper, &other) == pack); /* it is there */
    CHECK_EQ(n_made, 1);
    struct ws_msg *second = ws_msg_pack(m, 15, make_upper, &other);
    CHECK(second && second != pack && memcmp(second->data, "hi", 2) == 0);
    CHECK_EQ(n_made, 2);
    for (int i = 0; i < 2; i++) CHECK(ws_msg_pack(empty, 9, make_upper, &one) == NULL);
    CHECK_EQ(n_made, 3); /* asked once only */
    CHECK(ws_msg_unref(m) == NULL);
    CHECK(memcmp(pack->data, "HI", 2) == 0); /* those who have it keep it */
    ws_msg_unref(pack);
    ws_msg_unref(pack);
    ws_msg_unref(second);
    ws_msg_unref(empty);
}

/* The last one to let go of a block with an object: what was made of it is gone by then. */
static void test_msg_pack_of_object(void) {
    uint8_t object[] = "abc", header[2] = {0};
    int one = 32;
    struct ws_msg *m = ws_msg_new_object(object, object, 3, header, 2);
    ws_msg_unref(ws_msg_pack(m, 0, make_upper, &one));
    CHECK(ws_msg_unref(m) == m);
    CHECK(m->object == object && m->next == NULL);
    ws_msg_free(m);
}

static void *pack_all(void *arg) {
    int one = 32;
    for (unsigned way = 0; way < WS_MSG_WAYS; way++) {
        struct ws_msg *pack = ws_msg_pack(arg, way, make_upper, &one);
        CHECK(pack && pack->data[0] == 'X');
        ws_msg_unref(pack);
    }
    return NULL;
}

static void test_msg_pack_threads(void) {
    for (int turn = 0; turn < 200; turn++) {
        pthread_t threads[THREADS];
        struct ws_msg *m = ws_msg_new(1);
        m->bytes[0] = 'x';
        n_made = 0;
        for (int i = 0; i < THREADS; i++)
            CHECK_EQ(pthread_create(&threads[i], NULL, pack_all, m), 0);
        for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
        CHECK_EQ(n_made, WS_MSG_WAYS);
        ws_msg_unref(m);
    }
}

int main(void) {
    RUN(test_msg_block);
    RUN(test_msg_empty);
    RUN(test_msg_too_large);
    RUN(test_msg_object);
    RUN(test_msg_threads);
    RUN(test_msg_pack);
    RUN(test_msg_pack_of_object);
    RUN(test_msg_pack_threads);
    return check_done();
}
