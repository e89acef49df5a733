/* rate.h: a token bucket as one number: how much may come in a second, with bursts of a second's
 * worth.
 *
 * No clock in here: the caller passes milliseconds of one monotonic clock. */
#ifndef WS_RATE_H
#define WS_RATE_H

#include <stdint.h>

/* Zeroed memory is a full bucket. */
struct ws_rate {
    uint64_t full_ns; /* when it is full again */
};

/* Takes n tokens (at most 2^33) of a bucket that holds per_second (> 0) and gets as many each
 * second. 0 if they were there; else they are owed, and it is the milliseconds (rounded up) until
 * that is made good. */
uint64_t ws_rate_take(struct ws_rate *r, uint64_t now_ms, uint64_t n, uint64_t per_second);

#endif
