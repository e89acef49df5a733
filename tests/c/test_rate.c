/* test_rate.c: a bucket that holds a second's worth and gets as much each second. */
#include "rate.h"

#include "check.h"

static void test_burst_then_steady(void) {
    struct ws_rate r = {0};
    uint64_t now = 1000000;
    for (int i = 0; i < 100; i++) CHECK_EQ(ws_rate_take(&r, now, 1, 100), 0);
    CHECK_EQ(ws_rate_take(&r, now, 1, 100), 10); /* the 101st is owed */
    CHECK_EQ(ws_rate_take(&r, now + 10, 1, 100), 10);
    CHECK_EQ(ws_rate_take(&r, now + 29, 1, 100), 1);
    CHECK_EQ(ws_rate_take(&r, now + 40, 1, 100), 0);
}

static void test_refills(void) {
    struct ws_rate r = {0};
    for (int second = 1; second < 50; second++)
        for (int i = 0; i < 7; i++) CHECK_EQ(ws_rate_take(&r, (uint64_t)second * 1000, 1, 7), 0);
    /* A long rest fills it once, not more often. */
    for (int i = 0; i < 7; i++) CHECK_EQ(ws_rate_take(&r, 900000, 1, 7), 0);
    CHECK_EQ(ws_rate_take(&r, 900000, 1, 7), 143);
}

static void test_more_than_a_second(void) {
    struct ws_rate r = {0};
    CHECK_EQ(ws_rate_take(&r, 5, 1000, 1000), 0);
    CHECK_EQ(ws_rate_take(&r, 5, 3000, 1000), 3000);
    CHECK_EQ(ws_rate_take(&r, 3005, 0, 1000), 0);
    CHECK_EQ(ws_rate_take(&r, 3005, 1, 1000), 1);
}

static void test_extremes(void) {
    struct ws_rate r = {0};
    CHECK_EQ(ws_rate_take(&r, 1, 1, 1), 0);
    CHECK_EQ(ws_rate_take(&r, 1, 1, 1), 1000);
    r = (struct ws_rate){0};
    /* Fractions of a nanosecond are the peer's. */
    CHECK_EQ(ws_rate_take(&r, 1, 262144, UINT64_C(1) << 40), 0);
    r = (struct ws_rate){0};
    CHECK_EQ(ws_rate_take(&r, 1, UINT64_C(1) << 33, 1000000), 8588935);
}

int main(void) {
    RUN(test_burst_then_steady);
    RUN(test_refills);
    RUN(test_more_than_a_second);
    RUN(test_extremes);
    return check_done();
}
