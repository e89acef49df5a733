/* sha1.c: SHA-1 over OpenSSL's EVP.
 *
 * Keeps no digest object between calls: that would be mutable static data. The look-up it saves is
 * small beside the rest of a handshake. */
#include "sha1.h"

#include "err.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>

static int run(EVP_MD_CTX *ctx, uint8_t *out, const void *a, size_t a_len, const void *b,
               size_t b_len) {
    if (!EVP_DigestInit_ex(ctx, EVP_sha1(), NULL)) return 0;
    if (a_len && !EVP_DigestUpdate(ctx, a, a_len)) return 0;
    if (b_len && !EVP_DigestUpdate(ctx, b, b_len)) return 0;
    return EVP_DigestFinal_ex(ctx, out, NULL);
}

int ws_sha1_digest(uint8_t out[WS_SHA1_SIZE], const void *a, size_t a_len, const void *b,
                   size_t b_len) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx) return WS_ERR_MEMORY;
    /* What failed here would else be found in this thread's queue by the next call of TLS, and end
     * a connection that has nothing to do with it. */
    ERR_set_mark();
    int ok = run(ctx, out, a, a_len, b, b_len);
    ERR_pop_to_mark();
    EVP_MD_CTX_free(ctx);
    if (ok) return 0;
    errno = ENOTSUP;
    return WS_ERR_SYSTEM;
}
