/* siphash.h: SipHash-2-4 (Aumasson and Bernstein, 2012): a hash that nobody can aim at without its
 * key, so that names chosen by peers do not all fall into one bucket. */
#ifndef WS_SIPHASH_H
#define WS_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

struct ws_siphash_key {
    uint64_t k0, k1;
};

uint64_t ws_siphash(const struct ws_siphash_key *key, const void *data, size_t len);

#endif
