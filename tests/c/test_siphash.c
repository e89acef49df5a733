/* test_siphash.c: the vectors of the paper's appendix and of its reference implementation, and
 * bytes at a page's end. */
#include "siphash.h"

#include "check.h"

/* Key 00 01 ... 0f, as two little-endian words. */
static const struct ws_siphash_key key = {UINT64_C(0x0706050403020100),
                                          UINT64_C(0x0f0e0d0c0b0a0908)};

static void test_siphash_vectors(void) {
    uint8_t data[64];
    for (int i = 0; i < 64; i++) data[i] = (uint8_t)i;
    CHECK(ws_siphash(&key, data, 0) == UINT64_C(0x726fdb47dd0e0e31));
    CHECK(ws_siphash(&key, data, 1) == UINT64_C(0x74f839c593dc67fd));
    CHECK(ws_siphash(&key, data, 8) == UINT64_C(0x93f5f5799a932462));
    CHECK(ws_siphash(&key, data, 15) == UINT64_C(0xa129ca6149be45e5)); /* the paper's */
}

static void test_siphash_page_end(void) {
    uint8_t data[40];
    memset(data, 'x', sizeof data);
    for (size_t len = 0; len <= sizeof data; len++) {
        struct check_page page;
        uint8_t *copy = check_page_copy(&page, data, len);
        CHECK(ws_siphash(&key, copy, len) == ws_siphash(&key, data, len));
        check_page_free(&page);
    }
}

/* Every bit of the input and of the key counts. */
static void test_siphash_differs(void) {
    uint8_t data[20] = {0};
    uint64_t plain = ws_siphash(&key, data, sizeof data);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(ws_siphash(&key, data, sizeof data) != plain);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    struct ws_siphash_key other = key;
    other.k1 ^= 1;
    CHECK(ws_siphash(&other, data, sizeof data) != plain);
    CHECK(ws_siphash(&key, data, 19) != plain);
}

int main(void) {
    RUN(test_siphash_vectors);
    RUN(test_siphash_page_end);
    RUN(test_siphash_differs);
    return check_done();
}
