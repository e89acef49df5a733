/* frame.h: one frame header (RFC 6455 section 5.2): parse, write.
 *
 * Knows nothing of messages or roles. */
#ifndef WS_FRAME_H
#define WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_FRAME_HEADER_MAX 14
#define WS_FRAME_RSV1 0x40 /* in the first byte */
#define WS_CONTROL_MAX 125 /* payload bytes of a control frame (section 5.5) */

enum ws_opcode {
    WS_OPCODE_CONTINUATION = 0x0,
    WS_OPCODE_TEXT = 0x1,
    WS_OPCODE_BINARY = 0x2,
    WS_OPCODE_CLOSE = 0x8,
    WS_OPCODE_PING = 0x9,
    WS_OPCODE_PONG = 0xA,
};

struct ws_frame {
    bool fin;
    bool masked;
    uint8_t rsv;    /* RSV1 is 4, RSV2 is 2, RSV3 is 1 */
    uint8_t opcode; /* any value of four bits: judging it is not this file's work */
    uint32_t key;   /* the four key bytes in memory order; 0 if not masked */
    uint64_t len;   /* payload bytes, below 2^63 */
};

/* Reads one header. Returns its size (2 to 14), 0 if more bytes are needed, or WS_ERR_SYNTAX: a
 * length that is not encoded in the fewest bytes, or with the highest bit set. Errors are told as
 * soon as the bytes show them. *f is written only when a size is returned. */
int ws_frame_parse(struct ws_frame *f, const uint8_t *data, size_t len);
/* What of section 5 the first two bytes of a frame break that breaks it on every connection, in
 * words (static): a reserved opcode, a control frame that is fragmented or too long. NULL: nothing.
 */
const char *ws_frame_fault(uint8_t first, uint8_t second);
/* Bytes of the header that begins like this, as far as it tells: 2 while there are fewer. */
size_t ws_frame_header_need(const uint8_t *data, size_t len);
/* Bytes of the header of such a frame. */
size_t ws_frame_header_size(uint64_t len, bool masked);
/* Writes the header (fewest length bytes; the key if masked). Returns its size. */
size_t ws_frame_write(uint8_t out[WS_FRAME_HEADER_MAX], const struct ws_frame *f);

static inline bool ws_frame_is_control(uint8_t opcode) {
    return (opcode & 0x8) != 0;
}

#endif
