/* fuzz.h: what the fuzz targets share. A target is one function that libFuzzer calls with bytes of
 * its making (`make fuzz`), and replay.c with those of the corpus (tests/test_fuzz.py). It feeds
 * them to the core and ends the process where the core does not do what it says.
 *
 * The bytes of an input begin with its setting: how the rest is cut into chunks, and what the
 * target lets be set. An input shorter than its setting is none. */
#ifndef FUZZ_H
#define FUZZ_H

#include "buf.h"
#include "bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert: it is there in every build, and libFuzzer keeps the input of a process that aborts.
 */
#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, __LINE__, __func__, #cond);       \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* ---- chunks ---- */

/* Bytes of the setting that say how the rest is cut. */
#define FUZZ_PLAN 4
/* Cuts that are many enough, so that no input takes long. */
#define FUZZ_CUTS 200

struct fuzz_cutter {
    const uint8_t *plan; /* NULL: no cuts */
    size_t max_cuts;     /* after which what is left is one chunk */
    size_t n_cuts;
};

/* How many of the `left` bytes are the next chunk; 0 is a chunk too. The lengths of the plan take
 * turns: up to 127 bytes as they are, from there in steps of 128. */
static inline size_t fuzz_cut(struct fuzz_cutter *c, size_t left) {
    if (!c->plan || c->n_cuts == c->max_cuts) return left;
    size_t code = c->plan[c->n_cuts++ % FUZZ_PLAN];
    size_t len = code < 128 ? code : (code - 127) * 128;
    return len < left ? len : left;
}

/* A copy in memory of exactly its size, to be freed. */
static inline uint8_t *fuzz_copy(const void *data, size_t len) {
    uint8_t *copy = malloc(len);
    MUST(copy || len == 0);
    if (len) memcpy(copy, data, len);
    return copy;
}

/* ---- long streams ---- */

/* Bytes of the setting that say what of the rest is repeated. */
#define FUZZ_STRETCHES 6
/* More bytes than a stream has. */
#define FUZZ_STREAM_MAX (1 << 20)

/* How often four bytes are repeated. Half of the codes make more of them than a message needs for
 * BUFFER, only one more than a length of 16 bits holds: a long stream takes long. */
static inline size_t fuzz_repeats(uint8_t code) {
    if (code < 128) return code;
    return code < 255 ? 4096 + (code - 128) * (size_t)8 : 16384;
}

/* Short inputs make large messages: at two places four bytes are repeated. */
static inline void fuzz_stretch(struct ws_buf *stream, const uint8_t *data, size_t len,
                                const uint8_t *set) {
    size_t from = 0;
    for (int i = 0; i < 2; i++) {
        size_t at = (size_t)ws_bytes_get16(set + 3 * i);
        size_t times = fuzz_repeats(set[3 * i + 2]);
        if (times == 0 || at < from || at > len || len - at < 4) continue;
        MUST(ws_buf_append(stream, data + from, at - from) == 0);
        MUST(ws_buf_reserve(stream, 4 * times) == 0);
        for (; times; times--, stream->len += 4) memcpy(stream->data + stream->len, data + at, 4);
        from = at;
    }
    MUST(ws_buf_append(stream, data + from, len - from) == 0 && stream->len < FUZZ_STREAM_MAX);
}

#endif
