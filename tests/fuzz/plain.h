/* plain.h: frame headers and UTF-8 read in plain words, byte by byte, without a thought for speed:
 * what the targets compare the core with. Shares no code and no method with it. */
#ifndef PLAIN_H
#define PLAIN_H

#include "err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- a frame's header: by the lengths that the bytes so far may become ---- */

static inline uint64_t plain_big_endian(const uint8_t *data, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) value = value << 8 | data[i];
    return value;
}

/* The header's size, 0 if it goes on, or WS_ERR_SYNTAX. *payload is the length that it announces if
 * a size is returned. */
static inline int plain_frame(const uint8_t *data, size_t len, uint64_t *payload) {
    if (len < 2) return 0;
    size_t code = data[1] & 127;
    size_t extra = code < 126 ? 0 : code == 126 ? 2 : 8;
    size_t have = len - 2 < extra ? len - 2 : extra;
    uint64_t least = code, greatest = code;
    if (extra) {
        size_t bits = 8 * (extra - have);
        least = have ? plain_big_endian(data + 2, have) << bits : 0;
        greatest = bits == 64 ? UINT64_MAX : least | ((UINT64_C(1) << bits) - 1);
        if (least > INT64_MAX || greatest < (extra == 2 ? 126 : 65536)) return WS_ERR_SYNTAX;
    }
    size_t size = 2 + extra + (data[1] & 128 ? 4 : 0);
    *payload = least;
    return len < size ? 0 : (int)size;
}

/* ---- UTF-8: by the code points that the bytes so far may become ---- */

struct plain_utf8 {
    bool wrong;     /* nothing makes it right any more */
    bool not_ascii; /* some byte so far */
    int n;          /* bytes of the code point in progress */
    int missing;
    uint32_t value; /* of those that have come */
};

/* Whether there is a code point from least to greatest that has to be written in n bytes. */
static inline bool plain_any_code_point(uint32_t least, uint32_t greatest, int n) {
    static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000, 0x110000};
    if (least < first[n]) least = first[n];
    if (greatest >= first[n + 1]) greatest = first[n + 1] - 1;
    /* None of the surrogates, which lie together. */
    if (least >= 0xD800 && least <= 0xDFFF) least = 0xE000;
    if (greatest >= 0xD800 && greatest <= 0xDFFF) greatest = 0xD7FF;
    return least <= greatest;
}

/* A code point's first byte: how many it has, and the bits of its value. */
static inline void plain_utf8_lead(struct plain_utf8 *u, uint8_t byte) {
    u->n = byte < 0x80 ? 1 : byte < 0xC0 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
    if (u->n == 0 || byte >= 0xF8) {
        u->wrong = true;
        return;
    }
    u->value = u->n == 1 ? byte : byte & (0x7Fu >> u->n);
    u->missing = u->n - 1;
}

/* Starts with all zeroes. */
static inline void plain_utf8_feed(struct plain_utf8 *u, uint8_t byte) {
    if (u->wrong) return;
    if (byte >= 0x80) u->not_ascii = true;
    if (u->missing == 0) {
        plain_utf8_lead(u, byte);
    } else if ((byte & 0xC0) == 0x80) {
        u->value = u->value << 6 | (byte & 0x3F);
        u->missing--;
    } else {
        u->wrong = true;
    }
    if (u->wrong) return;
    uint32_t least = u->value << 6 * u->missing;
    u->wrong = !plain_any_code_point(least, least + (1u << 6 * u->missing) - 1, u->n);
}

#endif
