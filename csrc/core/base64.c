/* base64.c: base64 with padding (RFC 4648 section 4), both ways.
 *
 * Written for keys of a few bytes: no line breaks, no URL alphabet, no hurry. */
#include "base64.h"

#include "err.h"

#include <limits.h>

static const char alphabet[64] = {
    'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P',
    'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'a', 'b', 'c', 'd', 'e', 'f',
    'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't', 'u', 'v',
    'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '+', '/',
};

/* The six bits of a character, or -1. */
static int char_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    if (c == '/') return 63;
    return -1;
}

size_t ws_base64_encode(char *out, const uint8_t *data, size_t len) {
    char *p = out;
    for (; len >= 3; len -= 3, data += 3) {
        unsigned v = (unsigned)data[0] << 16 | (unsigned)data[1] << 8 | data[2];
        *p++ = alphabet[v >> 18];
        *p++ = alphabet[v >> 12 & 63];
        *p++ = alphabet[v >> 6 & 63];
        *p++ = alphabet[v & 63];
    }
    if (len > 0) {
        unsigned v = (unsigned)data[0] << 16 | (len == 2 ? (unsigned)data[1] << 8 : 0);
        *p++ = alphabet[v >> 18];
        *p++ = alphabet[v >> 12 & 63];
        *p++ = len == 2 ? alphabet[v >> 6 & 63] : '=';
        *p++ = '=';
    }
    return (size_t)(p - out);
}

/* Four characters of which the last `pad` are padding. Returns the bytes written, or
 * WS_ERR_SYNTAX. */
static int decode_four(uint8_t *out, const char *text, int pad) {
    unsigned v = 0;
    for (int i = 0; i < 4 - pad; i++) {
        /* RFC 4648 section 3.3: "Implementations MUST reject the encoded data if it contains
         * characters outside the base alphabet": '=' before the end is one of them. */
        int bits = char_value(text[i]);
        if (bits < 0) return WS_ERR_SYNTAX;
        v |= (unsigned)bits << (18 - 6 * i);
    }
    int n = 3 - pad;
    /* Section 3.5 lets a decoder reject "an encoding if the pad bits have not been set to zero".
     * This one does not: the example key of RFC 6455 section 4.1 is such a value, and clients send
     * it. */
    for (int i = 0; i < n; i++) out[i] = (uint8_t)(v >> (16 - 8 * i));
    return n;
}

int ws_base64_decode(uint8_t *out, const char *text, size_t len) {
    if (len > INT_MAX) return WS_ERR_ARGUMENT;
    if (len % 4 != 0) return WS_ERR_SYNTAX;
    int done = 0;
    for (size_t i = 0; i < len; i += 4) {
        int pad = 0;
        if (i + 4 == len && text[i + 3] == '=') pad = text[i + 2] == '=' ? 2 : 1;
        int n = decode_four(out + done, text + i, pad);
        if (n < 0) return n;
        done += n;
    }
    return done;
}
