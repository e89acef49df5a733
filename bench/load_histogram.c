/* load_histogram.c: counts nanoseconds in buckets of even relative width. It keeps no single value
 * but the largest, so a quantile is right to within half a bucket. */
#include "load_histogram.h"

#include <stddef.h>

enum { IN_OCTAVE = 1 << HISTOGRAM_BITS };

static size_t slot_of(uint64_t ns) {
    if (ns < IN_OCTAVE) return (size_t)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HISTOGRAM_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_BITS) + (size_t)((ns >> shift) & (IN_OCTAVE - 1));
}

/* The middle of a slot. */
static double slot_value(size_t slot) {
    if (slot < IN_OCTAVE) return (double)slot;
    unsigned shift = (unsigned)(slot >> HISTOGRAM_BITS) - 1;
    uint64_t low = ((slot & (IN_OCTAVE - 1)) | IN_OCTAVE) << shift;
    return (double)low + (double)(1ULL << shift) / 2.0;
}

void histogram_add(struct histogram *h, uint64_t ns) {
    h->n++;
    h->slots[slot_of(ns)]++;
    if (ns > h->max_ns) h->max_ns = ns;
}

double histogram_quantile_us(const struct histogram *h, double q) {
    double max = (double)h->max_ns;
    uint64_t rank = (uint64_t)(q * (double)h->n), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += h->slots[i];
        if (seen > rank) return (slot_value(i) < max ? slot_value(i) : max) / 1e3;
    }
    return max / 1e3;
}
