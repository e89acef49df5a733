/* test_half.c: each half there and back, and every pair's middle, which is rounded to even. */
#include "half.h"

#include "err.h"

#include "check.h"

#include <math.h>
#include <stdbool.h>

static uint16_t put(double v) {
    uint16_t half = 0xDEAD;
    CHECK_EQ(ws_half_put(v, &half), 0);
    return half;
}

/* The double next to a positive one, on the side of step. */
static double beside(double v, int step) {
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits += step;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void test_half_known(void) {
    CHECK(ws_half_get(0x3C00) == 1.0);
    CHECK(ws_half_get(0xC000) == -2.0);
    CHECK(ws_half_get(0x7BFF) == 65504.0);
    CHECK(ws_half_get(0x0400) == 0x1p-14);
    CHECK(ws_half_get(0x0001) == 0x1p-24);
    CHECK(ws_half_get(0x7C00) == (double)INFINITY);
    CHECK(ws_half_get(0xFC00) == -(double)INFINITY);
    CHECK(signbit(ws_half_get(0x8000)));
    CHECK_EQ(put((double)INFINITY), 0x7C00);
    CHECK_EQ(put(-(double)INFINITY), 0xFC00);
    CHECK_EQ(put(-0.0), 0x8000);
}

static void test_half_round_trip(void) {
    for (unsigned half = 0; half < 0x10000; half++) {
        double v = ws_half_get((uint16_t)half);
        bool is_nan = (half & 0x7C00) == 0x7C00 && (half & 0x3FF);
        CHECK_EQ((bool)isnan(v), is_nan);
        CHECK_EQ((bool)signbit(v), half >> 15);
        CHECK_EQ(put(v), is_nan ? (half & 0x8000) | 0x7E00 : half);
    }
}

/* Between each half and the next: the middle goes to the even one, what is just beside it to the
 * nearer one. */
static void test_half_rounds_to_even(void) {
    for (unsigned half = 0; half < 0x7BFF; half++) {
        double low = ws_half_get((uint16_t)half), high = ws_half_get((uint16_t)(half + 1));
        double middle = (low + high) / 2;
        CHECK_EQ(put(middle), half & 1 ? half + 1 : half);
        CHECK_EQ(put(-middle), 0x8000 | (half & 1 ? half + 1 : half));
        CHECK_EQ(put(beside(middle, -1)), half);
        CHECK_EQ(put(beside(middle, 1)), half + 1);
    }
}

static void test_half_too_large(void) {
    static const double large[] = {65520.0, 65536.0, 1e300, 0x1.fffffffffffffp1023};
    uint16_t half = 0xDEAD;
    CHECK_EQ(put(beside(65520.0, -1)), 0x7BFF);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        CHECK_EQ(ws_half_put(large[i], &half), WS_ERR_LIMIT);
        CHECK_EQ(ws_half_put(-large[i], &half), WS_ERR_LIMIT);
    }
    CHECK_EQ(half, 0xDEAD);
}

static void test_half_too_small(void) {
    CHECK_EQ(put(0x1p-25), 0);
    CHECK_EQ(put(beside(0x1p-25, 1)), 1);
    CHECK_EQ(put(0x1p-26), 0);
    CHECK_EQ(put(0x1p-1074), 0);
    CHECK_EQ(put(-0x1p-1074), 0x8000);
}

int main(void) {
    RUN(test_half_known);
    RUN(test_half_round_trip);
    RUN(test_half_rounds_to_even);
    RUN(test_half_too_large);
    RUN(test_half_too_small);
    return check_done();
}
