/* test_sha1.c: RFC 3174's vectors, the RFC 6455 example, bytes in pieces, and a library
 * without SHA-1. */
#include "sha1.h"

#include "check.h"
#include "err.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/opensslv.h>

static void check_digest(const void *a, size_t a_len, const void *b, size_t b_len,
                         const char *expected) {
    uint8_t out[WS_SHA1_SIZE + 1];
    char hex[2 * WS_SHA1_SIZE + 1];
    memset(out, 0xA5, sizeof(out));
    CHECK_EQ(ws_sha1_digest(out, a, a_len, b, b_len), 0);
    for (size_t i = 0; i < WS_SHA1_SIZE; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
    CHECK(strcmp(hex, expected) == 0);
    CHECK_EQ(out[WS_SHA1_SIZE], 0xA5);
}

static void test_sha1_rfc3174_vectors(void) {
    const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    check_digest("abc", 3, NULL, 0, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_digest(two, 56, NULL, 0, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");

    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    check_digest(million, 1000000, NULL, 0, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    check_digest(million, 1, million, 999999, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    free(million);

    char eighty[640];
    for (size_t i = 0; i < sizeof(eighty); i++) eighty[i] = "01234567"[i % 8];
    check_digest(eighty, 640, NULL, 0, "dea356a2cddd90c7a7ecedc5ebb563934f460452");
}

static void test_sha1_nothing(void) {
    check_digest(NULL, 0, NULL, 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    check_digest("", 0, "", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

static void test_sha1_accept_key(void) {
    /* RFC 6455 section 1.3 */
    check_digest("dGhlIHNhbXBsZSBub25jZQ==", 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36,
                 "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

static void test_sha1_every_split(void) {
    const char *text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    for (size_t cut = 0; cut <= 56; cut++) {
        struct check_page a, b;
        uint8_t *first = check_page_copy(&a, text, cut);
        uint8_t *second = check_page_copy(&b, text + cut, 56 - cut);
        check_digest(first, cut, second, 56 - cut, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        check_page_free(&a);
        check_page_free(&b);
    }
    check_digest(NULL, 0, "abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

/* ---- in pieces ---- */

static void check_hex(const uint8_t digest[WS_SHA1_SIZE], const char *expected) {
    char hex[2 * WS_SHA1_SIZE + 1];
    for (size_t i = 0; i < WS_SHA1_SIZE; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    CHECK(strcmp(hex, expected) == 0);
}

/* The digest so far, by way of a copy, which is thrown away. */
static void check_get(const struct ws_sha1 *s, const char *expected) {
    uint8_t out[WS_SHA1_SIZE + 1];
    memset(out, 0xA5, sizeof(out));
    CHECK_EQ(ws_sha1_get(s, out), 0);
    check_hex(out, expected);
    CHECK_EQ(out[WS_SHA1_SIZE], 0xA5);
}

static void test_sha1_pieces(void) {
    struct ws_sha1 s;
    CHECK_EQ(ws_sha1_init(&s), 0);
    check_get(&s, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    ws_sha1_update(&s, NULL, 0);
    ws_sha1_update(&s, "ab", 2);
    check_get(&s, "da23614e02469a0d7c7bd1bdab5c9c474b1904dc");
    ws_sha1_update(&s, "c", 1);
    check_get(&s, "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_get(&s, "a9993e364706816aba3e25717850c26c9cd0d89d"); /* as often as one likes */
    ws_sha1_fini(&s);
    ws_sha1_fini(&s); /* there is nothing left to give up */
}

/* Pieces of every length, each up against a page that may not be touched. */
static void test_sha1_pieces_of_every_length(void) {
    char eighty[640];
    for (size_t i = 0; i < sizeof(eighty); i++) eighty[i] = "01234567"[i % 8];
    for (size_t piece = 1; piece <= 2 * WS_SHA1_BLOCK + 1; piece++) {
        struct ws_sha1 s;
        CHECK_EQ(ws_sha1_init(&s), 0);
        for (size_t at = 0; at < sizeof(eighty); at += piece) {
            struct check_page page;
            size_t len = sizeof(eighty) - at < piece ? sizeof(eighty) - at : piece;
            ws_sha1_update(&s, check_page_copy(&page, eighty + at, len), len);
            check_page_free(&page);
        }
        check_get(&s, "dea356a2cddd90c7a7ecedc5ebb563934f460452");
        ws_sha1_fini(&s);
    }
}

static void test_sha1_copies_go_their_own_way(void) {
    struct ws_sha1 s, copy;
    CHECK_EQ(ws_sha1_init(&s), 0);
    ws_sha1_update(&s, "ab", 2);
    CHECK_EQ(ws_sha1_copy(&copy, &s), 0);
    ws_sha1_update(&copy, "c", 1);
    check_get(&s, "da23614e02469a0d7c7bd1bdab5c9c474b1904dc");
    check_get(&copy, "a9993e364706816aba3e25717850c26c9cd0d89d");
    ws_sha1_fini(&s);
    check_get(&copy, "a9993e364706816aba3e25717850c26c9cd0d89d");
    ws_sha1_fini(&copy);
}

/* What failed earlier in this thread is left in OpenSSL's queue, what fails here is not. */
static void test_sha1_leaves_error_queue(void) {
    uint8_t out[WS_SHA1_SIZE];
    ERR_clear_error();
    ERR_put_error(ERR_LIB_USER, 0, 77, "test", 1);
    unsigned long before = ERR_peek_last_error();
    CHECK_EQ(ws_sha1_digest(out, "abc", 3, NULL, 0), 0);
    CHECK(ERR_peek_last_error() == before);
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    CHECK_EQ(EVP_set_default_properties(NULL, "provider=nobody"), 1);
    errno = 0;
    CHECK_EQ(ws_sha1_digest(out, "abc", 3, NULL, 0), WS_ERR_SYSTEM);
    CHECK_EQ(errno, ENOTSUP);
    CHECK(ERR_peek_last_error() == before);
    struct ws_sha1 s;
    CHECK_EQ(ws_sha1_init(&s), WS_ERR_SYSTEM);
    ws_sha1_fini(&s);
    CHECK(ERR_peek_last_error() == before);
    CHECK_EQ(EVP_set_default_properties(NULL, ""), 1);
    CHECK_EQ(ws_sha1_digest(out, "abc", 3, NULL, 0), 0);
#endif
    CHECK(ERR_get_error() == before);
    CHECK_EQ(ERR_get_error(), 0);
}

int main(void) {
    RUN(test_sha1_rfc3174_vectors);
    RUN(test_sha1_nothing);
    RUN(test_sha1_accept_key);
    RUN(test_sha1_every_split);
    RUN(test_sha1_pieces);
    RUN(test_sha1_pieces_of_every_length);
    RUN(test_sha1_copies_go_their_own_way);
    RUN(test_sha1_leaves_error_queue);
    return check_done();
}
