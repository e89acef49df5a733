/* msg.h: a reference-counted immutable block: one encoded frame, or several, shared by every queue
 * it stands in.
 *
 * A frame is either copied into the block, or its header is and its payload stays in an object of
 * the caller's, which the block holds. References may be taken and given up on any thread; who
 * gives up the last one of a block with an object gets the block back, since releasing an object
 * may need a lock that the giver does not hold. */
#ifndef WS_MSG_H
#define WS_MSG_H

#include "frame.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct ws_msg_packs;

struct ws_msg {
    _Atomic uint32_t refs;
    uint8_t header_len; /* 0: the payload stands in bytes, with its header */
    uint8_t header[WS_FRAME_HEADER_MAX];
    size_t len;          /* of data */
    const uint8_t *data; /* bytes, or inside object */
    void *object;        /* held for data's sake, or NULL */
    union {
        _Atomic(struct ws_msg_packs *) packs; /* owned, NULL until ws_msg_pack made it */
        struct ws_msg *next; /* in the release list, once nobody refers to it any more */
    };
    uint8_t bytes[];
};

/* A block of len bytes, to be filled in before it is shared; the caller owns the one reference.
 * NULL: out of memory. */
struct ws_msg *ws_msg_new(size_t len);
/* A block that holds `object` (taken) and shows data of it behind a header (copied). NULL: out of
 * memory (object not taken). */
struct ws_msg *ws_msg_new_object(void *object, const uint8_t *data, size_t len,
                                 const uint8_t *header, size_t header_len);
void ws_msg_ref(struct ws_msg *m);
/* Gives up a reference; m may be NULL. If it was the last one: a block without an object is freed;
 * one that holds an object is returned, and the caller releases the object and then calls
 * ws_msg_free. Else NULL. */
struct ws_msg *ws_msg_unref(struct ws_msg *m);
void ws_msg_free(struct ws_msg *m);
/* The block's message encoded otherwise, in the way of that number (below WS_MSG_WAYS): made by the
 * first who asks, for all. A reference of the caller's, or NULL: make gave NULL. Any thread; make
 * runs under the block's own lock. */
#define WS_MSG_WAYS 16
struct ws_msg *ws_msg_pack(struct ws_msg *m, unsigned way,
                           struct ws_msg *(*make)(void *ctx, const struct ws_msg *m), void *ctx);
/* Bytes on the wire. */
static inline size_t ws_msg_size(const struct ws_msg *m) {
    return m->header_len + m->len;
}

#endif
