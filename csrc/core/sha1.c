/* sha1.c: SHA-1 over OpenSSL's EVP.
 *
 * Keeps no digest object between calls: that would be mutable static data. The look-up it saves is
 * small beside the rest of a handshake. */
#include "sha1.h"

#include "err.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* What failed here would else be found in this thread's queue by the next call of TLS, and end a
 * connection that has nothing to do with it. */
static int result(int ok) {
    ERR_pop_to_mark();
    if (ok) return 0;
    errno = ENOTSUP;
    return WS_ERR_SYSTEM;
}

int ws_sha1_init(struct ws_sha1 *s) {
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx) return WS_ERR_MEMORY;
    ERR_set_mark();
    return result(EVP_DigestInit_ex(s->ctx, EVP_sha1(), NULL));
}

static int copy(struct ws_sha1 *s, const struct ws_sha1 *from) {
    return EVP_MD_CTX_copy_ex(s->ctx, from->ctx);
}

int ws_sha1_copy(struct ws_sha1 *s, const struct ws_sha1 *from) {
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx) return WS_ERR_MEMORY;
    ERR_set_mark();
    return result(copy(s, from));
}

void ws_sha1_fini(struct ws_sha1 *s) {
    EVP_MD_CTX_free(s->ctx);
    s->ctx = NULL;
}

void ws_sha1_update(struct ws_sha1 *s, const void *data, size_t len) {
    /* Adds to what lies in the context. It fails where there is none, or one that is finished. */
    if (len) EVP_DigestUpdate(s->ctx, data, len);
}

int ws_sha1_get(const struct ws_sha1 *s, uint8_t out[WS_SHA1_SIZE]) {
    struct ws_sha1 end = {.ctx = EVP_MD_CTX_new()};
    if (!end.ctx) return WS_ERR_MEMORY;
    ERR_set_mark();
    int err = result(copy(&end, s) && EVP_DigestFinal_ex(end.ctx, out, NULL));
    ws_sha1_fini(&end);
    return err;
}

static int run(EVP_MD_CTX *ctx, uint8_t *out, const void *a, size_t a_len, const void *b,
               size_t b_len) {
    if (!EVP_DigestInit_ex(ctx, EVP_sha1(), NULL)) return 0;
    if (a_len && !EVP_DigestUpdate(ctx, a, a_len)) return 0;
    if (b_len && !EVP_DigestUpdate(ctx, b, b_len)) return 0;
    return EVP_DigestFinal_ex(ctx, out, NULL);
}

int ws_sha1_digest(uint8_t out[WS_SHA1_SIZE], const void *a, size_t a_len, const void *b,
                   size_t b_len) {
    struct ws_sha1 s = {.ctx = EVP_MD_CTX_new()};
    if (!s.ctx) return WS_ERR_MEMORY;
    ERR_set_mark();
    int err = result(run(s.ctx, out, a, a_len, b, b_len));
    ws_sha1_fini(&s);
    return err;
}
