/* deflate.h: permessage-deflate (RFC 7692 section 7.2) over zlib: payloads in, payloads out. The
 * one place where anything is compressed or decompressed.
 *
 * Without context takeover messages are independent of each other, and the codecs of a pool serve
 * all peers of a loop. With it a peer has codecs of its own, made when they are first needed and
 * given back when they were idle: a compressor begins anew then, which its reader need not know;
 * of a decompressor the window is kept. */
#ifndef WS_DEFLATE_H
#define WS_DEFLATE_H

#include "buf.h"
#include "extension.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a compressed message that are collected before a decompressor is borrowed for it. */
#define WS_DEFLATE_BORROW_MIN 65536u
/* Decompressors that are lent at a time: each may hold a message that grows. */
#define WS_DEFLATE_LENT_MAX 32u
/* Idle for so long, a peer gives its codecs back. */
#define WS_DEFLATE_IDLE_MS 10000u

struct ws_codec;
struct ws_deflate;

struct ws_deflate_pool {
    uint8_t level;        /* 1 to 9 */
    uint8_t memory_level; /* 1 to 9 */
    uint32_t n_lent;
    struct ws_codec *writers[WS_DEFLATE_BITS_MAX + 1]; /* owned, by the bits of their window */
    struct ws_codec *reader;                           /* owned: of whole messages */
    struct ws_codec *spare;                            /* owned: a list of readers to be lent */
    struct ws_deflate *first, *last; /* peers with codecs of their own, the longest idle first */
    struct ws_buf scratch;           /* of those who write: theirs until they return */
    uint64_t now_ms;                 /* the caller's clock */
    uint64_t n_compressed;           /* payloads that were compressed */
};

void ws_deflate_pool_init(struct ws_deflate_pool *pool, uint8_t level, uint8_t memory_level);
/* When no peer is left. */
void ws_deflate_pool_fini(struct ws_deflate_pool *pool);
/* Nobody uses scratch any more: it is not kept if it is large. */
void ws_deflate_pool_tidy(struct ws_deflate_pool *pool);
/* Takes the codecs of peers that were idle for WS_DEFLATE_IDLE_MS. Returns the milliseconds until
 * the next may be, or -1: no peer has any. */
int64_t ws_deflate_pool_sweep(struct ws_deflate_pool *pool);

/* One peer's side; the pool is borrowed. NULL: out of memory. */
struct ws_deflate *ws_deflate_new(struct ws_deflate_pool *pool,
                                  const struct ws_deflate_terms *terms, bool is_server);
void ws_deflate_free(struct ws_deflate *d); /* may be NULL */
/* Gives up all that it has of codecs: it is only asked for its terms any more, and may outlive the
 * pool. */
void ws_deflate_end(struct ws_deflate *d);

/* ---- reading ---- */

/* Whether a message in pieces may be decompressed as they come: a peer without takeover borrows a
 * decompressor until the message's end, and one with takeover uses its own, which counts with those
 * that are lent. False: they are to be collected. */
bool ws_deflate_borrow(struct ws_deflate *d);
/* Decompresses payload and appends to out, which never gets longer than max: a piece of a message
 * for which a decompressor was borrowed, or all of one; last: it ends here. 0; WS_ERR_LIMIT: it is
 * longer than max, out is full; WS_ERR_SYNTAX: this is not DEFLATE, or it is cut short;
 * WS_ERR_MEMORY. After an error nothing more may be read. */
int ws_deflate_read(struct ws_deflate *d, const uint8_t *data, size_t len, bool last,
                    struct ws_buf *out, size_t max);
/* Nothing more is read: gives up what that takes. */
void ws_deflate_end_reading(struct ws_deflate *d);

/* ---- writing ---- */

/* Compresses the payload of one frame and appends to out; last: the message ends here. What is not
 * the first of a message goes on where the one before ended. 0, or WS_ERR_MEMORY: nothing was
 * appended; the message can be sent as it is if this was its first payload, else no more of it can
 * be sent. */
int ws_deflate_write(struct ws_deflate *d, const uint8_t *data, size_t len, bool last,
                     struct ws_buf *out);
/* Whether a message has begun that is compressed, and is not at its end. */
bool ws_deflate_is_amid(const struct ws_deflate *d);
/* Compresses a message by itself, for everybody with a window of that size. As above. */
int ws_deflate_write_alone(struct ws_deflate_pool *pool, uint8_t bits, const uint8_t *data,
                           size_t len, struct ws_buf *out);
/* The peer was sent something compressed elsewhere: what follows does not refer to what went
 * before. */
void ws_deflate_forget(struct ws_deflate *d);
/* Of the window behind what is written. */
uint8_t ws_deflate_bits(const struct ws_deflate *d);
/* Whether what is written refers to what was written before. */
bool ws_deflate_takes_over(const struct ws_deflate *d);
/* What was agreed on; names_... are true of windows that are not the largest. Any thread. */
void ws_deflate_get_terms(const struct ws_deflate *d, struct ws_deflate_terms *terms);
struct ws_deflate_pool *ws_deflate_pool_of(const struct ws_deflate *d);

#endif
