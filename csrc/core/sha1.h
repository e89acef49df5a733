/* sha1.h: SHA-1 over OpenSSL's EVP, one shot. For the handshake only; it protects nothing. */
#ifndef WS_SHA1_H
#define WS_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define WS_SHA1_SIZE 20

/* The digest of a followed by b (either may be NULL if its length is 0). 0, or WS_ERR_SYSTEM (errno
 * ENOTSUP) if the OpenSSL in use has no SHA-1, or WS_ERR_MEMORY. OpenSSL's error queue is left as
 * it was. */
int ws_sha1_digest(uint8_t out[WS_SHA1_SIZE], const void *a, size_t a_len, const void *b,
                   size_t b_len);

#endif
