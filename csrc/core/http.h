/* http.h: a strict HTTP/1.1 head (RFC 9112), request or response: incremental, bounded, allocates
 * nothing.
 *
 * Two steps. The reader scans arriving bytes, each once, and says where the head ends or why it is
 * refused. The parser then cuts a head that the reader accepted into slices. Neither knows
 * WebSocket; bodies are not read. */
#ifndef WS_HTTP_H
#define WS_HTTP_H

#include "bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_http_kind { WS_HTTP_REQUEST, WS_HTTP_RESPONSE };

struct ws_http_reader {
    size_t pos;           /* bytes already scanned; after a grammar error the refused byte */
    size_t max_size;      /* bytes of the whole head, the empty line included */
    uint32_t max_headers; /* header fields */
    uint32_t n_headers;
    uint16_t status; /* after an error: the status to answer with */
    uint8_t state;
    uint8_t kind;       /* enum ws_http_kind */
    uint8_t version_at; /* characters of "HTTP/1.1" matched so far */
};

/* max_size over INT_MAX counts as INT_MAX. */
void ws_http_reader_init(struct ws_http_reader *r, enum ws_http_kind kind, size_t max_size,
                         uint32_t max_headers);
/* `data` is the head from its first byte, len bytes so far; earlier calls have seen a prefix of it.
 * Returns the size of the head (> 0; bytes behind it are not looked at), 0 if more is needed, or
 * WS_ERR_SYNTAX / WS_ERR_LIMIT with r->status: 400 grammar, 414 request line over the limit, 431
 * head or number of fields over the limit, 505 version. Errors are told at the first byte that
 * shows them; a head that has not ended with its byte max_size is over the limit. The result
 * sticks, an error as well as the size. Refused: bare CR or LF, NUL and other control characters
 * (HTAB in values is allowed), obs-fold, space before the colon, an empty name, a leading empty
 * line, HTTP versions below 1.1 and from 2 on (HTTP/1.0 reads as 505; 1.2 to 1.9 read as 1.1), a
 * target with '#'. Bytes >= 0x80 in a value or a reason phrase are allowed (obs-text), elsewhere
 * not. */
int ws_http_reader_feed(struct ws_http_reader *r, const uint8_t *data, size_t len);

struct ws_http_header {
    struct ws_slice name;
    struct ws_slice value; /* without surrounding spaces and tabs */
};

/* A head cut into slices, which point into the head's bytes (an empty one may point anywhere). */
struct ws_http_head {
    struct ws_slice method; /* requests */
    struct ws_slice target;
    struct ws_slice path;      /* of the target, before '?'; for absolute-form without scheme and
                                * authority, "/" (static) if empty */
    struct ws_slice query;     /* behind '?', without it; empty if there is none */
    struct ws_slice authority; /* of an absolute-form target, else empty */
    int status;                /* responses */
    struct ws_slice rest;      /* the header lines, each with its CRLF: for ws_http_head_next */
};

/* Cuts the start line of an accepted head. 0, or WS_ERR_SYNTAX if the target is none of origin-form
 * ("/..."), absolute-form (scheme http, https, ws or wss, with a non-empty authority) or "*". */
int ws_http_head_parse(struct ws_http_head *head, enum ws_http_kind kind, const uint8_t *data,
                       size_t size);
/* Iterates: `at` starts as head->rest and is moved behind the field read. True while there is
 * one. */
bool ws_http_head_next(struct ws_slice *at, struct ws_http_header *out);
/* The only field of that name (case-insensitive): 1 found, 0 none, 2 more than one (out is the
 * first). */
int ws_http_head_get(const struct ws_http_head *head, const char *name, struct ws_slice *out);
/* Whether any field of that name, read as a comma-separated list, has that token
 * (case-insensitive). For lists of plain tokens: knows no quoted strings. */
bool ws_http_head_has_token(const struct ws_http_head *head, const char *name, const char *token);

/* ASCII case-insensitive comparisons, with a C string and of two slices. */
bool ws_slice_is(struct ws_slice s, const char *text);
bool ws_slice_same(struct ws_slice a, struct ws_slice b);
/* Without surrounding spaces and tabs. */
struct ws_slice ws_slice_trim(struct ws_slice s);
/* A token of RFC 9110 section 5.6.2: not empty, no separators, visible ASCII. */
bool ws_slice_is_token(struct ws_slice s);

#endif
