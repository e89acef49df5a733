/* load_deflate.h: permessage-deflate, RFC 7692, as a client that keeps no context in either
 * direction. */
#ifndef LOAD_DEFLATE_H
#define LOAD_DEFLATE_H

#include <stddef.h>
#include <stdint.h>

enum { PACKS = 256 /* messages of a run; then they come again */ };

/* A line of the request's head. */
#define DEFLATE_OFFER                                                                              \
    "Sec-WebSocket-Extensions: permessage-deflate; "                                               \
    "server_no_context_takeover; client_no_context_takeover\r\n"

/* A message, and what it is on the wire. */
struct pack {
    const uint8_t *text; /* borrows from the pool */
    size_t len;
    uint8_t *bytes; /* owns; compressed once, for all times it is sent */
    size_t n;
    uint8_t *answer; /* owns; of answer_cap bytes: what the server sent last that inflated to it */
    size_t answer_n, answer_cap;
};

struct deflate {
    struct pack packs[PACKS];
    void *inflater;    /* owns; zlib's stream */
    uint8_t *buf;      /* owns; room for the longest message and a byte */
    size_t answer_cap; /* the longest answer that is taken */
};

/* Whether a response's head agrees on what was offered. Gives 0, or -1 after it said what is
 * wrong. */
int deflate_agreed(const char *head, size_t id);

/* Compresses; each text and len has to be there. Gives 0, or -1 after it said why; deflate_fini is
 * right after both. */
int deflate_init(struct deflate *d, size_t longest);
void deflate_fini(struct deflate *d);

/* Writes JSON-like text, the same each time: records with keys that repeat, and values. */
void deflate_text(uint8_t *p, size_t n);

/* The server's compressed answer to a message. Gives NULL if it inflates to the text, else what is
 * wrong. Bytes that were right before are not inflated again: without a context they mean the
 * same. */
const char *deflate_check(struct deflate *d, struct pack *pack, const uint8_t *bytes, size_t n);

#endif
