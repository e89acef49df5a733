/* load_histogram.h: latencies, counted in log-linear buckets. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_BITS = 7, /* 128 buckets an octave: a bucket is at most 0.8 % wide */
    HISTOGRAM_SLOTS = 64 << HISTOGRAM_BITS,
};

/* All zero is an empty one. */
struct histogram {
    uint64_t n, max_ns;
    uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *h, uint64_t ns);

/* The value below which q (0 to 1) of all values lie, in microseconds; 0 if there are none. */
double histogram_quantile_us(const struct histogram *h, double q);

#endif
