/* load_frame.c: writes a client's frame headers, reads a server's, masks. It knows bytes only and
 * does NOT judge: which frame may come when is said in load_answer.c. */
#include "load_frame.h"

#include <string.h>

size_t frame_head_write(uint8_t *p, uint8_t opcode, size_t len, const uint8_t key[4]) {
    size_t n = 2;
    p[0] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        p[1] = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        p[1] = 0x80 | 126;
        p[n++] = (uint8_t)(len >> 8);
        p[n++] = (uint8_t)len;
    } else {
        p[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) p[n++] = (uint8_t)((uint64_t)len >> shift);
    }
    memcpy(p + n, key, 4);
    return n + 4;
}

/* The lengths below 126 stand in the header's second byte itself. */
size_t frame_length_bytes(uint8_t second) {
    return (second & 0x7f) == 127 ? 8 : (second & 0x7f) == 126 ? 2 : 0;
}

uint64_t frame_length_get(const uint8_t *head) {
    size_t n = frame_length_bytes(head[1]);
    uint64_t len = n == 0 ? head[1] & 0x7f : 0;
    for (size_t i = 0; i < n; i++) len = len << 8 | head[2 + i];
    return len;
}

static void mask_turn(uint8_t key[4], size_t n) {
    uint8_t old[4];
    memcpy(old, key, 4);
    for (size_t i = 0; i < 4; i++) key[i] = old[(n + i) & 3];
}

void frame_mask_copy(uint8_t *to, const uint8_t *from, size_t n, uint8_t key[4]) {
    uint64_t wide, word;
    size_t i = 0;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++) to[i] = from[i] ^ key[i & 3];
    if (n & 3) mask_turn(key, n);
}
