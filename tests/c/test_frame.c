/* test_frame.c: headers whole, in prefixes, at a page's end, at every boundary of the length. */
#include "frame.h"

#include "check.h"
#include "err.h"

static const uint8_t key_bytes[4] = {0x37, 0xFA, 0x21, 0x3D};

static uint32_t key_value(void) {
    uint32_t key;
    memcpy(&key, key_bytes, sizeof(key));
    return key;
}

static int is_same(const struct ws_frame *a, const struct ws_frame *b) {
    return a->fin == b->fin && a->masked == b->masked && a->rsv == b->rsv &&
           a->opcode == b->opcode && a->key == b->key && a->len == b->len;
}

/* Parses with the bytes ending at a page's end; *f must stay as it was unless a size comes back. */
static int parse_at_page_end(struct ws_frame *f, const uint8_t *data, size_t len) {
    struct check_page page;
    uint8_t *p = check_page_copy(&page, data, len);
    struct ws_frame before;
    memset(f, 0x5A, sizeof(*f));
    memcpy((void *)&before, f, sizeof(before));
    int size = ws_frame_parse(f, p, len);
    if (size <= 0) CHECK(memcmp((void *)f, (void *)&before, sizeof(before)) == 0);
    check_page_free(&page);
    return size;
}

/* The header of `size` bytes reads as `expected`, asks for more at every shorter prefix and looks
 * at nothing behind its end. */
static void check_parse(const uint8_t *data, int size, const struct ws_frame *expected) {
    struct ws_frame f;
    for (int len = 0; len < size; len++) CHECK_EQ(parse_at_page_end(&f, data, (size_t)len), 0);
    CHECK_EQ(parse_at_page_end(&f, data, (size_t)size), size);
    CHECK(is_same(&f, expected));
    for (int fill = 0; fill < 256; fill += 255) {
        uint8_t longer[WS_FRAME_HEADER_MAX + 20];
        memset(longer, fill, sizeof(longer));
        memcpy(longer, data, (size_t)size);
        CHECK_EQ(ws_frame_parse(&f, longer, sizeof(longer)), size);
        CHECK(is_same(&f, expected));
    }
}

/* Wrong from byte `at` on: more is asked for up to there, then it is refused for good. */
static void check_refused(const uint8_t *data, size_t len, size_t at) {
    struct ws_frame f;
    for (size_t n = 0; n <= len; n++)
        CHECK_EQ(parse_at_page_end(&f, data, n), n <= at ? 0 : WS_ERR_SYNTAX);
}

static void check_length(uint64_t len, const char *bytes, int n) {
    for (int masked = 0; masked < 2; masked++) {
        struct ws_frame f = {.fin = true, .opcode = WS_OPCODE_BINARY, .len = len};
        uint8_t expected[WS_FRAME_HEADER_MAX] = {0x82}, out[WS_FRAME_HEADER_MAX + 1];
        memcpy(expected + 1, bytes, (size_t)n);
        int size = 1 + n;
        if (masked) {
            f.masked = true;
            f.key = key_value();
            expected[1] |= 0x80;
            memcpy(expected + size, key_bytes, 4);
            size += 4;
        }
        memset(out, 0xA5, sizeof(out));
        CHECK_EQ(ws_frame_write(out, &f), size);
        CHECK(memcmp(out, expected, (size_t)size) == 0);
        for (int i = size; i < (int)sizeof(out); i++) CHECK_EQ(out[i], 0xA5);
        check_parse(expected, size, &f);
    }
}

static void test_frame_lengths(void) {
    check_length(0, "\x00", 1);
    check_length(1, "\x01", 1);
    check_length(124, "\x7C", 1);
    check_length(125, "\x7D", 1);
    check_length(126, "\x7E\x00\x7E", 3);
    check_length(127, "\x7E\x00\x7F", 3);
    check_length(128, "\x7E\x00\x80", 3);
    check_length(255, "\x7E\x00\xFF", 3);
    check_length(256, "\x7E\x01\x00", 3);
    check_length(65535, "\x7E\xFF\xFF", 3);
    check_length(65536, "\x7F\x00\x00\x00\x00\x00\x01\x00\x00", 9);
    check_length(0x7FFFFFFF, "\x7F\x00\x00\x00\x00\x7F\xFF\xFF\xFF", 9);
    check_length(0x80000000, "\x7F\x00\x00\x00\x00\x80\x00\x00\x00", 9);
    check_length(0xFFFFFFFF, "\x7F\x00\x00\x00\x00\xFF\xFF\xFF\xFF", 9);
    check_length(0x100000000, "\x7F\x00\x00\x00\x01\x00\x00\x00\x00", 9);
    check_length(0x123456789ABCDEF0, "\x7F\x12\x34\x56\x78\x9A\xBC\xDE\xF0", 9);
    check_length(0x7FFFFFFFFFFFFFFF, "\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9);
}

static void test_frame_every_short_length(void) {
    for (uint64_t len = 0; len < 70000; len++) {
        struct ws_frame f = {.fin = true, .opcode = WS_OPCODE_TEXT, .len = len}, back;
        uint8_t out[WS_FRAME_HEADER_MAX];
        int size = len < 126 ? 2 : len < 65536 ? 4 : 10;
        if (ws_frame_write(out, &f) != (size_t)size) CHECK(!"size");
        if (ws_frame_parse(&back, out, (size_t)size) != size) CHECK(!"parse");
        if (!is_same(&f, &back)) CHECK(!"same");
    }
}

static void test_frame_powers_of_two(void) {
    for (int bit = 0; bit < 63; bit++) {
        for (int less = 0; less < 2; less++) {
            struct ws_frame f = {.masked = true, .key = key_value(), .opcode = 1}, back;
            uint8_t out[WS_FRAME_HEADER_MAX];
            f.len = ((uint64_t)1 << bit) - (uint64_t)less;
            size_t size = ws_frame_write(out, &f);
            CHECK_EQ(ws_frame_parse(&back, out, size), size);
            CHECK(is_same(&f, &back));
        }
    }
}

static void test_frame_highest_bit(void) {
    const uint8_t sign[] = {0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 0};
    const uint8_t sign_small[] = {0x82, 0x7F, 0x80, 0, 0, 0, 0, 0, 0, 5};
    const uint8_t all[] = {0x82, 0xFF, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4};
    check_refused(sign, sizeof(sign), 2);
    check_refused(sign_small, sizeof(sign_small), 2);
    check_refused(all, sizeof(all), 2);
}

static void test_frame_not_minimal_16(void) {
    for (unsigned len = 0; len < 126; len++) {
        for (unsigned mask = 0; mask < 256; mask += 128) {
            const uint8_t data[] = {0x81, (uint8_t)(mask | 126), 0, (uint8_t)len, 9, 9, 9, 9, 9};
            check_refused(data, sizeof(data), 3);
        }
    }
}

static void test_frame_not_minimal_64(void) {
    const unsigned lens[] = {0, 1, 125, 126, 127, 255, 256, 32768, 65535};
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        for (unsigned mask = 0; mask < 256; mask += 128) {
            const uint8_t data[] = {
                0x81,
                (uint8_t)(mask | 127),
                0,
                0,
                0,
                0,
                0,
                0,
                (uint8_t)(lens[i] >> 8),
                (uint8_t)lens[i],
                9,
                9,
                9,
                9,
            };
            check_refused(data, sizeof(data), 7); /* six zero bytes say enough */
        }
    }
}

/* One bit anywhere in the upper six bytes makes the long form the right one, except the highest. */
static void test_frame_every_high_bit(void) {
    for (int bit = 16; bit < 64; bit++) {
        uint8_t data[10] = {0x82, 0x7F};
        data[9 - bit / 8] = (uint8_t)(1u << bit % 8);
        struct ws_frame f = {.fin = true, .opcode = 2, .len = (uint64_t)1 << bit};
        if (bit < 63) {
            check_parse(data, 10, &f);
        } else {
            check_refused(data, 10, 2);
        }
    }
}

static void test_frame_first_byte(void) {
    for (unsigned first = 0; first < 256; first++) {
        struct ws_frame f = {
            .fin = first >= 128,
            .rsv = (uint8_t)(first / 16 % 8),
            .opcode = (uint8_t)(first % 16),
            .len = 5,
        };
        const uint8_t data[] = {(uint8_t)first, 5};
        uint8_t out[WS_FRAME_HEADER_MAX];
        check_parse(data, 2, &f);
        CHECK_EQ(ws_frame_write(out, &f), 2);
        CHECK(memcmp(out, data, 2) == 0);
    }
    struct ws_frame f;
    CHECK_EQ(ws_frame_parse(&f, (const uint8_t *)"\xC1\x00", 2), 2);
    CHECK_EQ(f.rsv, 4); /* RSV1 alone */
    CHECK_EQ(ws_frame_parse(&f, (const uint8_t *)"\x91\x00", 2), 2);
    CHECK_EQ(f.rsv, 1); /* RSV3 alone */
}

static void test_frame_second_byte(void) {
    for (unsigned second = 0; second < 256; second++) {
        uint8_t data[WS_FRAME_HEADER_MAX] = {0x82, (uint8_t)second, 1, 2, 3, 4, 5, 6, 7, 8, 9};
        struct ws_frame f;
        unsigned len = second % 128;
        int size = 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (second >= 128 ? 4 : 0);
        CHECK_EQ(ws_frame_parse(&f, data, sizeof(data)), size);
        CHECK_EQ(f.masked, second >= 128);
        CHECK_EQ(f.len, len == 126 ? 0x0102 : len == 127 ? 0x0102030405060708 : len);
        if (second < 128) CHECK_EQ(f.key, 0);
        else CHECK(memcmp(&f.key, data + size - 4, 4) == 0);
    }
}

static void test_frame_rfc_examples(void) {
    /* RFC 6455 section 5.7 */
    struct ws_frame hello = {.fin = true, .opcode = WS_OPCODE_TEXT, .len = 5};
    check_parse((const uint8_t *)"\x81\x05", 2, &hello);
    struct ws_frame masked = hello;
    masked.masked = true;
    masked.key = key_value();
    check_parse((const uint8_t *)"\x81\x85\x37\xfa\x21\x3d", 6, &masked);
    struct ws_frame first = {.opcode = WS_OPCODE_TEXT, .len = 3};
    check_parse((const uint8_t *)"\x01\x03", 2, &first);
    struct ws_frame rest = {.fin = true, .opcode = WS_OPCODE_CONTINUATION, .len = 2};
    check_parse((const uint8_t *)"\x80\x02", 2, &rest);
    struct ws_frame ping = {.fin = true, .opcode = WS_OPCODE_PING, .len = 5};
    check_parse((const uint8_t *)"\x89\x05", 2, &ping);
    struct ws_frame pong = masked;
    pong.opcode = WS_OPCODE_PONG;
    check_parse((const uint8_t *)"\x8a\x85\x37\xfa\x21\x3d", 6, &pong);
    struct ws_frame small = {.fin = true, .opcode = WS_OPCODE_BINARY, .len = 256};
    check_parse((const uint8_t *)"\x82\x7E\x01\x00", 4, &small);
    struct ws_frame large = {.fin = true, .opcode = WS_OPCODE_BINARY, .len = 65536};
    check_parse((const uint8_t *)"\x82\x7F\0\0\0\0\0\1\0\0", 10, &large);
}

static void test_frame_key_not_written_unmasked(void) {
    struct ws_frame f = {.fin = true, .opcode = 1, .key = key_value(), .len = 1};
    uint8_t out[WS_FRAME_HEADER_MAX];
    memset(out, 0xA5, sizeof(out));
    CHECK_EQ(ws_frame_write(out, &f), 2);
    CHECK_EQ(out[1], 1);
    CHECK_EQ(out[2], 0xA5);
}

static void test_frame_is_control(void) {
    for (uint8_t opcode = 0; opcode < 16; opcode++)
        CHECK_EQ(ws_frame_is_control(opcode), opcode >= 8);
}

/* Every pair of first bytes: section 5.2 has six opcodes, 5.5 bounds control frames. */
static void test_frame_faults(void) {
    for (unsigned first = 0; first < 256; first++) {
        unsigned opcode = first % 16;
        bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
        for (unsigned second = 0; second < 256; second++) {
            const char *why = ws_frame_fault((uint8_t)first, (uint8_t)second), *expected = NULL;
            if (!known) expected = "the opcode is reserved";
            else if (opcode >= 8 && first < 128) expected = "a control frame is fragmented";
            else if (opcode >= 8 && second % 128 > 125)
                expected = "a control frame is longer than 125 bytes";
            CHECK_EQ(!why, !expected);
            if (why && expected) CHECK(strcmp(why, expected) == 0);
        }
    }
}

/* However many bytes of a header are there, it is told to need no more than it has, and who gives
 * it so many always comes to its end. */
static void test_frame_header_need(void) {
    CHECK_EQ(ws_frame_header_need(NULL, 0), 2);
    for (unsigned second = 0; second < 256; second++) {
        const uint8_t data[WS_FRAME_HEADER_MAX] = {0x82, (uint8_t)second, 1, 2, 3};
        struct ws_frame f;
        int size = ws_frame_parse(&f, data, sizeof(data));
        CHECK_EQ(ws_frame_header_need(data, 1), 2);
        for (size_t len = 2; len < sizeof(data); len++)
            CHECK_EQ(ws_frame_header_need(data, len), size);
    }
}

int main(void) {
    RUN(test_frame_lengths);
    RUN(test_frame_every_short_length);
    RUN(test_frame_powers_of_two);
    RUN(test_frame_highest_bit);
    RUN(test_frame_not_minimal_16);
    RUN(test_frame_not_minimal_64);
    RUN(test_frame_every_high_bit);
    RUN(test_frame_first_byte);
    RUN(test_frame_second_byte);
    RUN(test_frame_rfc_examples);
    RUN(test_frame_key_not_written_unmasked);
    RUN(test_frame_is_control);
    RUN(test_frame_faults);
    RUN(test_frame_header_need);
    return check_done();
}
