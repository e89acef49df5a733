/* rate.c: a token bucket. See rate.h. */
#include "rate.h"

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)

uint64_t ws_rate_take(struct ws_rate *r, uint64_t now_ms, uint64_t n, uint64_t per_second) {
    uint64_t now_ns = now_ms * MS_NS;
    if (r->full_ns < now_ns) r->full_ns = now_ns;
    r->full_ns += n * SECOND_NS / per_second;
    uint64_t missing_ns = r->full_ns - now_ns;
    return missing_ns > SECOND_NS ? (missing_ns - SECOND_NS + MS_NS - 1) / MS_NS : 0;
}
