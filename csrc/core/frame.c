/* frame.c: one frame header, read and written.
 *
 * Judges the encoding of the length and nothing else: reserved bits, opcodes, masking and the size
 * of control frames depend on the role, the extensions and the message, which proto.c knows. */
#include "frame.h"

#include "bytes.h"
#include "err.h"

#define LEN16 126 /* two bytes of length follow */
#define LEN64 127 /* eight bytes of length follow */

#define BIT_FIN 0x80
#define BIT_MASK 0x80

/* The two parse functions take the header from its start, of which `len` bytes are there, set
 * *payload and return the bytes up to the length's end, 0 for more, or an error. */

static int parse_len16(uint64_t *payload, const uint8_t *data, size_t len) {
    if (len < 4) return 0;
    *payload = ws_bytes_get16(data + 2);
    /* RFC 6455 section 5.2: "in all cases, the minimal number of bytes MUST be used to encode the
     * length, for example, the length of a 124-byte-long string can't be encoded as the sequence
     * 126, 0, 124." */
    return *payload < LEN16 ? WS_ERR_SYNTAX : 4;
}

static int parse_len64(uint64_t *payload, const uint8_t *data, size_t len) {
    /* "a 64-bit unsigned integer (the most significant bit MUST be 0)" */
    if (len > 2 && data[2] & 0x80) return WS_ERR_SYNTAX;
    /* The minimal number of bytes again: six zero bytes leave two, which LEN16 would have held. */
    if (len >= 8 && ws_bytes_get16(data + 2) == 0 && ws_bytes_load32(data + 4) == 0) {
        return WS_ERR_SYNTAX;
    }
    if (len < 10) return 0;
    *payload = ws_bytes_get64(data + 2);
    return 10;
}

int ws_frame_parse(struct ws_frame *f, const uint8_t *data, size_t len) {
    if (len < 2) return 0;
    uint64_t payload = data[1] & 0x7F;
    int size = 2;
    if (payload == LEN16) {
        size = parse_len16(&payload, data, len);
    } else if (payload == LEN64) {
        size = parse_len64(&payload, data, len);
    }
    if (size <= 0) return size;

    bool masked = (data[1] & BIT_MASK) != 0;
    uint32_t key = 0;
    if (masked) {
        if (len - (size_t)size < sizeof(key)) return 0;
        key = ws_bytes_load32(data + size);
        size += (int)sizeof(key);
    }
    f->fin = (data[0] & BIT_FIN) != 0;
    f->masked = masked;
    f->rsv = data[0] >> 4 & 0x7;
    f->opcode = data[0] & 0xF;
    f->key = key;
    f->len = payload;
    return size;
}

const char *ws_frame_fault(uint8_t first, uint8_t second) {
    uint8_t opcode = first & 0xF;
    /* 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket
     * Connection_." */
    if (opcode > (ws_frame_is_control(opcode) ? WS_OPCODE_PONG : WS_OPCODE_BINARY))
        return "the opcode is reserved";
    if (!ws_frame_is_control(opcode)) return NULL;
    /* 5.5: control frames "MUST have a payload length of 125 bytes or less and MUST NOT be
     * fragmented." */
    if (!(first & BIT_FIN)) return "a control frame is fragmented";
    if ((second & 0x7F) > WS_CONTROL_MAX) return "a control frame is longer than 125 bytes";
    return NULL;
}

size_t ws_frame_header_need(const uint8_t *data, size_t len) {
    if (len < 2) return 2;
    uint8_t first = data[1] & 0x7F;
    uint64_t least = first == LEN64 ? (uint64_t)UINT16_MAX + 1 : first;
    return ws_frame_header_size(least, (data[1] & BIT_MASK) != 0);
}

size_t ws_frame_header_size(uint64_t len, bool masked) {
    size_t size = len < LEN16 ? 2 : len <= UINT16_MAX ? 4 : 10;
    return masked ? size + sizeof(uint32_t) : size;
}

size_t ws_frame_write(uint8_t out[WS_FRAME_HEADER_MAX], const struct ws_frame *f) {
    uint8_t mask = f->masked ? BIT_MASK : 0;
    size_t size = 2;
    out[0] = (uint8_t)((f->fin ? BIT_FIN : 0) | (f->rsv & 0x7) << 4 | (f->opcode & 0xF));
    if (f->len < LEN16) {
        out[1] = (uint8_t)(mask | f->len);
    } else if (f->len <= UINT16_MAX) {
        out[1] = mask | LEN16;
        ws_bytes_put16(out + 2, (uint16_t)f->len);
        size = 4;
    } else {
        out[1] = mask | LEN64;
        ws_bytes_put64(out + 2, f->len);
        size = 10;
    }
    if (f->masked) {
        ws_bytes_store32(out + size, f->key);
        size += sizeof(f->key);
    }
    return size;
}
