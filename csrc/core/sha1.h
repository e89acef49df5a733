/* sha1.h: SHA-1 over OpenSSL's EVP, bytes in pieces or in one shot. It protects nothing: for the
 * handshake, and for those who have to speak with what is old.
 *
 * OpenSSL's error queue is left as it was. A WS_ERR_SYSTEM has errno ENOTSUP: the OpenSSL in use
 * has no SHA-1. */
#ifndef WS_SHA1_H
#define WS_SHA1_H

#include <stddef.h>
#include <stdint.h>

#define WS_SHA1_SIZE 20  /* bytes of a digest */
#define WS_SHA1_BLOCK 64 /* bytes that the algorithm takes at a time */

/* Bytes so far. Of one thread at a time. */
struct ws_sha1 {
    struct evp_md_ctx_st *ctx; /* owned; NULL: nothing to give up */
};

/* No bytes yet. 0, WS_ERR_MEMORY or WS_ERR_SYSTEM; nothing but fini may follow an error. */
int ws_sha1_init(struct ws_sha1 *s);
/* As many as from has; s is not initialized before. Results as for init, half as expensive. */
int ws_sha1_copy(struct ws_sha1 *s, const struct ws_sha1 *from);
void ws_sha1_fini(struct ws_sha1 *s);
void ws_sha1_update(struct ws_sha1 *s, const void *data, size_t len);
/* The digest so far. 0, WS_ERR_MEMORY or WS_ERR_SYSTEM. */
int ws_sha1_get(const struct ws_sha1 *s, uint8_t out[WS_SHA1_SIZE]);

/* The digest of a followed by b (either may be NULL if its length is 0). 0, WS_ERR_MEMORY or
 * WS_ERR_SYSTEM. */
int ws_sha1_digest(uint8_t out[WS_SHA1_SIZE], const void *a, size_t a_len, const void *b,
                   size_t b_len);

#endif
