/* test_batch.c: events in order, and who owns their bytes. */
#include "batch.h"

#include "check.h"

static void test_batch_order(void) {
    struct ws_batch b = {0};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 1000; i++) {
            struct ws_event ev = {.kind = WS_EVENT_MESSAGE, .len = i, .code = (uint16_t)i};
            CHECK_EQ(ws_batch_push(&b, &ev), 0);
        }
        CHECK_EQ(b.n, 1000);
        for (size_t i = 0; i < 1000; i++) CHECK(b.events[i].len == i && b.events[i].code == i);
        struct ws_event *kept = b.events;
        ws_batch_reset(&b);
        CHECK_EQ(b.n, 0);
        CHECK(b.events == kept); /* for the next tick */
    }
    ws_batch_fini(&b);
    CHECK(b.events == NULL && b.n == 0 && b.cap == 0);
    ws_batch_fini(&b);
}

static void test_batch_large_memory_is_not_kept(void) {
    struct ws_batch b = {0};
    struct ws_event ev = {.kind = WS_EVENT_MESSAGE};
    for (size_t i = 0; i < 100000; i++) CHECK_EQ(ws_batch_push(&b, &ev), 0);
    ws_batch_reset(&b);
    CHECK(b.events == NULL && b.cap == 0);
    CHECK_EQ(ws_batch_push(&b, &ev), 0);
    ws_batch_fini(&b);
}

static void test_batch_push_borrows(void) {
    struct ws_batch b = {0};
    uint8_t data[3] = "abc";
    struct ws_event ev = {.kind = WS_EVENT_MESSAGE, .data = data, .len = 3, .text = true};
    CHECK_EQ(ws_batch_push(&b, &ev), 0);
    CHECK(b.events[0].data == data && !b.events[0].owned && b.events[0].text);
    ws_batch_fini(&b);
}

static void test_batch_push_owned(void) {
    struct ws_batch b = {0};
    uint8_t data[3] = "abc", object[1];
    struct ws_event borrowed = {.kind = WS_EVENT_MESSAGE, .data = data, .len = 3, .ascii = true};
    struct ws_event owned = {.kind = WS_EVENT_CLOSE, .data = malloc(2), .len = 2, .owned = true};
    struct ws_event held = {.kind = WS_EVENT_MESSAGE, .data = object, .len = 1, .object = object};
    struct ws_event empty = {.kind = WS_EVENT_MESSAGE, .data = data, .len = 0};
    CHECK_EQ(ws_batch_push_owned(&b, &borrowed), 0);
    CHECK_EQ(ws_batch_push_owned(&b, &owned), 0);
    CHECK_EQ(ws_batch_push_owned(&b, &held), 0);
    CHECK_EQ(ws_batch_push_owned(&b, &empty), 0);
    memset(data, '?', sizeof data);
    CHECK(b.events[0].data != data && b.events[0].owned && b.events[0].ascii);
    CHECK(memcmp(b.events[0].data, "abc", 3) == 0);
    CHECK(b.events[1].data == owned.data && b.events[1].owned); /* taken, not copied again */
    CHECK(b.events[2].data == object && b.events[2].object == object && !b.events[2].owned);
    CHECK(!b.events[3].owned && b.events[3].len == 0);
    CHECK(!borrowed.owned); /* the caller's event is left alone */
    free(b.events[0].data);
    free(b.events[1].data);
    ws_batch_fini(&b);
}

int main(void) {
    RUN(test_batch_order);
    RUN(test_batch_large_memory_is_not_kept);
    RUN(test_batch_push_borrows);
    RUN(test_batch_push_owned);
    return check_done();
}
