/* extension.h: Sec-WebSocket-Extensions (RFC 6455 section 9.1), both roles: what is offered and
 * what is answered. The one extension that is spoken here is permessage-deflate (RFC 7692 section
 * 7.1).
 *
 * Text only: compressing is the work of deflate.c. */
#ifndef WS_EXTENSION_H
#define WS_EXTENSION_H

#include "http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* zlib has no window of 8 bits for what it writes without a header of its own. */
#define WS_DEFLATE_BITS_MIN 9
#define WS_DEFLATE_BITS_MAX 15

/* What one side wants. */
struct ws_deflate_rules {
    bool enabled;
    bool server_no_takeover; /* each message of the server's is compressed by itself */
    bool client_no_takeover; /* each of the client's */
    uint8_t window_bits;     /* 9 to 15: the largest window, as its logarithm */
};

/* What both have agreed on. */
struct ws_deflate_terms {
    uint8_t server_bits; /* of the window behind what the server sends, 9 to 15 */
    uint8_t client_bits; /* behind what the client sends, 8 to 15 */
    bool server_no_takeover, client_no_takeover;
    bool names_server_bits, names_client_bits; /* the answer says so */
};

/* Server role: takes the first offer of permessage-deflate in the head that can be met. An offer
 * with a parameter that is unknown, given twice or out of range, or with server_max_window_bits=8,
 * is declined (RFC 7692 section 7.1), and so is every other extension. 1: *terms is filled; 0:
 * nothing was agreed on; WS_ERR_SYNTAX: a field is not a list of extensions. */
int ws_extension_agree(struct ws_deflate_terms *terms, const struct ws_http_head *head,
                       const struct ws_deflate_rules *rules);
/* The value of the field that answers it, NUL-terminated. Returns its length. */
#define WS_EXTENSION_MAX 160
size_t ws_extension_answer(char out[WS_EXTENSION_MAX], const struct ws_deflate_terms *terms);

/* Client role: the value of the field that offers what the rules say. Returns its length. */
size_t ws_extension_offer(char out[WS_EXTENSION_MAX], const struct ws_deflate_rules *rules);
/* Client role: is the head's answer one to that offer? 1: *terms is filled; 0: the server speaks no
 * extension; WS_ERR_SYNTAX with *detail in words (static): the connection is to be failed. */
int ws_extension_verify(struct ws_deflate_terms *terms, const struct ws_http_head *head,
                        const struct ws_deflate_rules *rules, const char **detail);

#endif
