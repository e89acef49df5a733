/* siphash.c: SipHash-2-4. See siphash.h. */
#include "siphash.h"

#include "bytes.h"

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned n) {
    return x << n | x >> (64 - n);
}

static void round_once(struct state *s) {
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static void take_word(struct state *s, uint64_t word) {
    s->v3 ^= word;
    round_once(s);
    round_once(s);
    s->v0 ^= word;
}

uint64_t ws_siphash(const struct ws_siphash_key *key, const void *data, size_t len) {
    struct state s = {
        key->k0 ^ UINT64_C(0x736f6d6570736575), key->k1 ^ UINT64_C(0x646f72616e646f6d),
        key->k0 ^ UINT64_C(0x6c7967656e657261), key->k1 ^ UINT64_C(0x7465646279746573)};
    const uint8_t *p = data;
    uint64_t last = (uint64_t)(len & 0xFF) << 56;
    for (size_t i = 0; i < len / 8; i++) take_word(&s, ws_bytes_little64(p + i * 8));
    for (size_t i = 0; i < len % 8; i++) last |= (uint64_t)p[len / 8 * 8 + i] << 8 * i;
    take_word(&s, last);
    s.v2 ^= 0xFF;
    for (int i = 0; i < 4; i++) round_once(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
