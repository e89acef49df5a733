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

int main(void) {
    RUN(test_msg_block);
    RUN(test_msg_empty);
    RUN(test_msg_too_large);
    RUN(test_msg_object);
    RUN(test_msg_threads);
    return check_done();
}
