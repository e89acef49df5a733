/* utf8.h: incremental UTF-8 validation (RFC 3629), failing at the first impossible byte. */
#ifndef WS_UTF8_H
#define WS_UTF8_H

#include "simd.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_utf8 {
    uint8_t state; /* 0: between code points */
    bool ascii;    /* every byte so far was below 0x80 */
};

void ws_utf8_init(struct ws_utf8 *u);
/* Feeds len bytes. 0: right so far; WS_ERR_SYNTAX: no continuation can make it valid (overlong
 * forms, surrogates and values above U+10FFFF are refused at the first byte that shows it). After
 * an error the state is not to be used. */
int ws_utf8_feed(enum ws_simd simd, struct ws_utf8 *u, const uint8_t *data, size_t len);
/* True if the bytes so far end at a code point's end. */
bool ws_utf8_is_complete(const struct ws_utf8 *u);
/* Whether all of it is UTF-8: the three above in one. */
bool ws_utf8_is_valid(enum ws_simd simd, const uint8_t *data, size_t len);

#endif
