/* load_frame.h: the bytes of a frame, RFC 6455 section 5.2: headers and masking. */
#ifndef LOAD_FRAME_H
#define LOAD_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum { OP_CONT = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

enum { FRAME_RSV1 = 0x40 /* of the first byte: a compressed message begins, RFC 7692 */ };

enum {
    FRAME_HEAD_CAP = 14, /* a client's header, at most */
    CONTROL_CAP = 125,   /* payload of a control frame, at most */
};

/* Writes a client's header of a final frame, its mask included; gives its length. The opcode may
 * have FRAME_RSV1 with it. */
size_t frame_head_write(uint8_t *p, uint8_t opcode, size_t len, const uint8_t key[4]);

/* How many bytes of length follow a header's second byte. */
size_t frame_length_bytes(uint8_t second);

/* The payload length in a server's whole header. */
uint64_t frame_length_get(const uint8_t *head);

/* Copies n bytes masked, and turns the key to the byte after them. */
void frame_mask_copy(uint8_t *to, const uint8_t *from, size_t n, uint8_t key[4]);

#endif
