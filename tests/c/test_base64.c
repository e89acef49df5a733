/* test_base64.c: RFC 4648's vectors, and everything that is no spelling of a value. */
#include "base64.h"

#include "check.h"
#include "err.h"

#include <limits.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Both ways, with input and output ending at a page's end. */
static void check_pair(const void *data, size_t len, const char *text) {
    size_t text_len = strlen(text);
    CHECK_EQ(WS_BASE64_SIZE(len), text_len);
    struct check_page pages[4];
    uint8_t none[300] = {0};
    uint8_t *in = check_page_copy(&pages[0], data, len);
    char *out = (char *)check_page_copy(&pages[1], none, text_len);
    CHECK_EQ(ws_base64_encode(out, in, len), text_len);
    CHECK(memcmp(out, text, text_len) == 0);

    char *back_in = (char *)check_page_copy(&pages[2], text, text_len);
    uint8_t back[300];
    CHECK_EQ(ws_base64_decode(back, back_in, text_len), len);
    CHECK(memcmp(back, data, len) == 0);
    uint8_t *room = check_page_copy(&pages[3], none, text_len / 4 * 3);
    CHECK_EQ(ws_base64_decode(room, back_in, text_len), len);
    for (int i = 0; i < 4; i++) check_page_free(&pages[i]);
}

static int decode(const char *text) {
    uint8_t out[64];
    return ws_base64_decode(out, text, strlen(text));
}

static void test_base64_rfc4648_vectors(void) {
    check_pair("", 0, "");
    check_pair("f", 1, "Zg==");
    check_pair("fo", 2, "Zm8=");
    check_pair("foo", 3, "Zm9v");
    check_pair("foob", 4, "Zm9vYg==");
    check_pair("fooba", 5, "Zm9vYmE=");
    check_pair("foobar", 6, "Zm9vYmFy");
}

static void test_base64_rfc6455_values(void) {
    check_pair("the sample nonce", 16, "dGhlIHNhbXBsZSBub25jZQ==");
    check_pair("\xB3\x7A\x4F\x2C\xC0\x62\x4F\x16\x90\xF6\x46\x06\xCF\x38\x59\x45\xB2\xBE"
               "\xC4\xEA",
               20, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_base64_whole_alphabet(void) {
    uint8_t data[48];
    CHECK_EQ(ws_base64_decode(data, alphabet, 64), 48);
    CHECK(memcmp(data, "\x00\x10\x83\x10\x51\x87", 6) == 0);
    CHECK(memcmp(data + 42, "\xE3\x9E\xBB\xF3\xDF\xBF", 6) == 0);
    check_pair(data, 48, alphabet);
    check_pair("\xFF\xFF\xFF", 3, "////");
    check_pair("\xFB\xEF\xBE", 3, "++++");
    check_pair("\0\0\0", 3, "AAAA");
    check_pair("\0", 1, "AA==");
}

static void test_base64_no_nul_written(void) {
    char out[9];
    memset(out, '#', sizeof(out));
    CHECK_EQ(ws_base64_encode(out, (const uint8_t *)"fooba", 5), 8);
    CHECK_EQ(out[8], '#');
}

static void test_base64_round_trip(void) {
    uint8_t data[200], back[202];
    char text[WS_BASE64_SIZE(200)];
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * 89 + 17);
    for (size_t len = 0; len <= sizeof(data); len++) {
        size_t n = ws_base64_encode(text, data, len);
        CHECK_EQ(n, (len + 2) / 3 * 4);
        CHECK_EQ(ws_base64_decode(back, text, n), len);
        CHECK(memcmp(back, data, len) == 0);
    }
}

static void test_base64_lengths(void) {
    const char *text = "Zm9vYmFyZm9v";
    for (size_t len = 0; len <= 12; len++) {
        uint8_t out[9];
        CHECK_EQ(ws_base64_decode(out, text, len), len % 4 ? WS_ERR_SYNTAX : (int)(len / 4 * 3));
    }
    uint8_t out[1];
    CHECK_EQ(ws_base64_decode(out, NULL, 0), 0);
    CHECK_EQ(ws_base64_decode(out, text, (size_t)INT_MAX + 1), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_base64_decode(out, text, SIZE_MAX), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_base64_decode(out, text, SIZE_MAX - 3), WS_ERR_ARGUMENT);
}

/* Every byte at every place of two groups. */
static void test_base64_every_character(void) {
    for (int at = 0; at < 8; at++) {
        for (int c = 0; c < 256; c++) {
            uint8_t out[6];
            char text[8];
            memcpy(text, "AAAAAAAA", 8);
            text[at] = (char)c;
            int expected = c != 0 && strchr(alphabet, c) ? 6 : WS_ERR_SYNTAX;
            if (at == 7 && c == '=') expected = 5;
            CHECK_EQ(ws_base64_decode(out, text, 8), expected);
        }
    }
}

static void test_base64_padding_elsewhere(void) {
    CHECK_EQ(decode("="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("===="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("A==="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("=AAA"), WS_ERR_SYNTAX);
    CHECK_EQ(decode("A=AA"), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AA=A"), WS_ERR_SYNTAX);
    CHECK_EQ(decode("A=A="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("=A=="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AA==AAAA"), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AAA=AAAA"), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AA==AA=="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AAAA===="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AAAA="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AA="), WS_ERR_SYNTAX);
    CHECK_EQ(decode("AA"), WS_ERR_SYNTAX);
}

static void test_base64_foreign_characters(void) {
    CHECK_EQ(decode("Zm9-"), WS_ERR_SYNTAX); /* the alphabet for URLs */
    CHECK_EQ(decode("Zm9_"), WS_ERR_SYNTAX);
    CHECK_EQ(decode("Zm9 "), WS_ERR_SYNTAX);
    CHECK_EQ(decode("Zm9v\r\n\r\n"), WS_ERR_SYNTAX);
    CHECK_EQ(decode(" Zm9vAAA"), WS_ERR_SYNTAX);
}

/* Bits behind the data: of all last groups, each value has 16 or 4 spellings. */
static void test_base64_pad_bits(void) {
    for (int a = 0; a < 64; a++) {
        for (int b = 0; b < 64; b++) {
            uint8_t out[3];
            char text[5] = {alphabet[a], alphabet[b], '=', '=', 0};
            CHECK_EQ(ws_base64_decode(out, text, 4), 1);
            CHECK_EQ(out[0], a << 2 | b >> 4);
            for (int c = 0; c < 64; c++) {
                text[2] = alphabet[c];
                int n = ws_base64_decode(out, text, 4);
                CHECK_EQ(n == 2 ? out[1] : n, (b << 4 | c >> 2) & 0xFF);
            }
        }
    }
}

/* RFC 6455 4.1: "if the randomly selected value was the sequence of bytes 0x01 [...] 0x10, the
 * value of the header field would be "AQIDBAUGBwgJCgsMDQ4PEC=="": its last character stands for
 * more bits than the sixteenth byte has. */
static void test_base64_example_key(void) {
    uint8_t out[18];
    CHECK_EQ(ws_base64_decode(out, "AQIDBAUGBwgJCgsMDQ4PEC==", 24), 16);
    for (int i = 0; i < 16; i++) CHECK_EQ(out[i], i + 1);
}

int main(void) {
    RUN(test_base64_rfc4648_vectors);
    RUN(test_base64_rfc6455_values);
    RUN(test_base64_whole_alphabet);
    RUN(test_base64_no_nul_written);
    RUN(test_base64_round_trip);
    RUN(test_base64_lengths);
    RUN(test_base64_every_character);
    RUN(test_base64_padding_elsewhere);
    RUN(test_base64_foreign_characters);
    RUN(test_base64_pad_bits);
    RUN(test_base64_example_key);
    return check_done();
}
