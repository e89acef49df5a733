/* entropy.h: bytes of the system's secure source, fetched many at a time: a client's frames need
 * four each (RFC 6455 section 5.3). */
#ifndef WS_ENTROPY_H
#define WS_ENTROPY_H

#include <stddef.h>
#include <stdint.h>

#define WS_ENTROPY_SIZE 256

/* Zeroed memory is an empty one. */
struct ws_entropy {
    size_t left; /* the last so many of bytes are fresh; those before are wiped */
    uint8_t bytes[WS_ENTROPY_SIZE];
};

/* Writes n bytes that nobody has had before to out, n <= WS_ENTROPY_SIZE. 0, or WS_ERR_SYSTEM
 * (errno says why), after which out is not to be used. */
int ws_entropy_take(struct ws_entropy *e, void *out, size_t n);

#endif
