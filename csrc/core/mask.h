/* mask.h: XOR masking of payload bytes (RFC 6455 section 5.3). */
#ifndef WS_MASK_H
#define WS_MASK_H

#include "simd.h"

#include <stddef.h>
#include <stdint.h>

/* Writes src XOR key to dst, len bytes. dst may equal src; otherwise they must not overlap. `key`
 * holds the four key bytes in memory order (memcpy from the wire). Returns the key turned so that
 * it fits the byte that follows: masking in pieces gives the same bytes as masking whole. No
 * alignment is needed; nothing outside [dst, dst+len) is written and nothing outside [src, src+len)
 * is read. */
uint32_t ws_mask_apply(enum ws_simd simd, uint8_t *dst, const uint8_t *src, size_t len,
                       uint32_t key);

#endif
