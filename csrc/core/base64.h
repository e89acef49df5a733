/* base64.h: base64 as the handshake needs it (RFC 4648 section 4, with padding). */
#ifndef WS_BASE64_H
#define WS_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that ws_base64_encode writes for len bytes of input, without a NUL (it writes none). */
#define WS_BASE64_SIZE(len) (((len) + 2) / 3 * 4)

/* Writes WS_BASE64_SIZE(len) characters to out and returns their number. */
size_t ws_base64_encode(char *out, const uint8_t *data, size_t len);
/* Decodes into out (room: len / 4 * 3). Returns the number of bytes, or WS_ERR_SYNTAX: a length
 * that is no multiple of four, characters outside the alphabet, padding elsewhere than at the end.
 * Bits behind the data are not looked at. A length over INT_MAX is WS_ERR_ARGUMENT. After an error
 * out holds nothing of use. */
int ws_base64_decode(uint8_t *out, const char *text, size_t len);

#endif
