/* load_dial.h: the opening handshake, RFC 6455 section 4: the client's request, the server's
 * response. */
#ifndef LOAD_DIAL_H
#define LOAD_DIAL_H

#include <stddef.h>
#include <stdint.h>

#include "load_options.h"

enum {
    REQUEST_CAP = 2048,
    RESPONSE_CAP = 8192, /* the response's head, at most */
    STALL_S = 10,        /* so long a server may be silent */
};

/* A connection that is open, and what came with the response. */
struct greeting {
    int fd; /* owns until the caller takes it */
    char text[RESPONSE_CAP + 1];
    size_t len, head_len;
};

/* Connects and sends the request, blocking. Gives 0, or -1 after it said why; g->fd is -1 or the
 * caller's to close after both. */
int dial_begin(const struct options *o, uint64_t *rng, size_t id, struct greeting *g);

/* Reads the response, blocking, with the same two results. */
int dial_end(struct greeting *g, const struct options *o, size_t id);

/* The steps of it, for those who do not block. */

/* Writes a request with a key of its own; gives its length, or -1 after it said why. */
int request_write(char text[REQUEST_CAP], const struct options *o, uint64_t *rng);

/* Looks at the bytes so far, which end in '\0'. Gives the length of the whole head, 0 if its end
 * has not come, or -1 after it said what else it is than a 101 that agrees on what was offered. */
int response_check(const char *text, const struct options *o, size_t id);

#endif
