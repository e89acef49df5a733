/* test_bytes.c: byte order, in every position and with the top bits set. */
#include "bytes.h"

#include "check.h"

static void test_bytes_get16(void) {
    const uint8_t data[] = {0x12, 0x34, 0xFE, 0xDC};
    CHECK_EQ(ws_bytes_get16(data), 0x1234);
    CHECK_EQ(ws_bytes_get16(data + 1), 0x34FE);
    CHECK_EQ(ws_bytes_get16(data + 2), 0xFEDC);
}

static void test_bytes_get64(void) {
    const uint8_t data[] = {0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10, 0x0F};
    CHECK(ws_bytes_get64(data) == 0xFEDCBA9876543210u);
    CHECK(ws_bytes_get64(data + 1) == 0xDCBA98765432100Fu);
}

static void test_bytes_put16(void) {
    uint8_t out[4] = {9, 9, 9, 9};
    ws_bytes_put16(out + 1, 0xFE01);
    CHECK(memcmp(out, "\x09\xFE\x01\x09", 4) == 0);
    ws_bytes_put16(out + 1, 0);
    CHECK(memcmp(out, "\x09\x00\x00\x09", 4) == 0);
}

static void test_bytes_put64(void) {
    uint8_t out[10];
    memset(out, 9, sizeof(out));
    ws_bytes_put64(out + 1, 0xFEDCBA9876543210u);
    CHECK(memcmp(out, "\x09\xFE\xDC\xBA\x98\x76\x54\x32\x10\x09", 10) == 0);
}

static void test_bytes_32(void) {
    const uint8_t data[] = {0xFE, 0xDC, 0xBA, 0x98, 0x76};
    uint8_t out[6];
    CHECK(ws_bytes_get32(data) == 0xFEDCBA98u);
    CHECK(ws_bytes_get32(data + 1) == 0xDCBA9876u);
    memset(out, 9, sizeof(out));
    ws_bytes_put32(out + 1, 0xFEDCBA98u);
    CHECK(memcmp(out, "\x09\xFE\xDC\xBA\x98\x09", 6) == 0);
}

/* Each width in each order: the same bytes, forwards and backwards. */
static void test_bytes_width(void) {
    static const unsigned widths[] = {1, 2, 4, 8};
    for (size_t i = 0; i < 4; i++) {
        unsigned width = widths[i];
        uint64_t v = 0xF1E2D3C4B5A69788u >> (64 - width * 8);
        uint8_t big[9], little[9];
        memset(big, 9, sizeof big);
        memset(little, 9, sizeof little);
        ws_bytes_put(big, width, true, v);
        ws_bytes_put(little, width, false, v);
        CHECK_EQ(big[0], 0xF1);
        CHECK_EQ(big[width], 9);
        CHECK_EQ(little[width], 9);
        for (unsigned k = 0; k < width; k++) CHECK_EQ(big[k], little[width - 1 - k]);
        CHECK(ws_bytes_get(big, width, true) == v);
        CHECK(ws_bytes_get(little, width, false) == v);
    }
}

static void test_bytes_round_trip(void) {
    uint8_t out[8];
    for (int bit = 0; bit < 64; bit++) {
        for (int less = 0; less < 2; less++) {
            uint64_t v = ((uint64_t)1 << bit) - (uint64_t)less;
            ws_bytes_put64(out, v);
            CHECK(ws_bytes_get64(out) == v);
            ws_bytes_put16(out, (uint16_t)v);
            CHECK_EQ(ws_bytes_get16(out), (uint16_t)v);
        }
    }
}

static void test_bytes_memory_order(void) {
    const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    uint8_t out[9] = {0};
    ws_bytes_store64(out + 1, ws_bytes_load64(data));
    CHECK(memcmp(out + 1, data, 8) == 0);
    CHECK_EQ(out[0], 0);
    memset(out, 0, sizeof(out));
    ws_bytes_store32(out + 1, ws_bytes_load32(data + 1));
    CHECK(memcmp(out, "\0\2\3\4\5\0\0\0\0", 9) == 0);
}

static void test_bytes_turn32(void) {
    const uint8_t data[] = {0x81, 0xC2, 0xE3, 0xF4};
    for (size_t n = 0; n < 20; n++) {
        uint8_t out[4];
        ws_bytes_store32(out, ws_bytes_turn32(ws_bytes_load32(data), n));
        for (size_t i = 0; i < 4; i++) CHECK_EQ(out[i], data[(i + n) % 4]);
    }
    uint32_t v = ws_bytes_load32(data);
    CHECK_EQ(ws_bytes_turn32(v, SIZE_MAX), ws_bytes_turn32(v, 3));
}

static void test_bytes_page_end(void) {
    struct check_page page;
    uint8_t *p = check_page_copy(&page, "\x80\x01\x02\x03\x04\x05\x06\x07", 8);
    CHECK(ws_bytes_get64(p) == 0x8001020304050607u);
    CHECK_EQ(ws_bytes_get16(p + 6), 0x0607);
    ws_bytes_store64(p, ws_bytes_load64(p));
    ws_bytes_store32(p + 4, ws_bytes_load32(p + 4));
    ws_bytes_put16(p + 6, 0x0908);
    ws_bytes_put64(p, ws_bytes_get64(p));
    CHECK(memcmp(p, "\x80\x01\x02\x03\x04\x05\x09\x08", 8) == 0);
    check_page_free(&page);
}

int main(void) {
    RUN(test_bytes_get16);
    RUN(test_bytes_get64);
    RUN(test_bytes_put16);
    RUN(test_bytes_put64);
    RUN(test_bytes_32);
    RUN(test_bytes_width);
    RUN(test_bytes_round_trip);
    RUN(test_bytes_memory_order);
    RUN(test_bytes_turn32);
    RUN(test_bytes_page_end);
    return check_done();
}
