/* handshake.h: is this head a valid upgrade, and what to answer (RFC 6455 section 4), both roles.
 *
 * Knows no socket. Order of the checks and their statuses are those of ws_handshake_check's
 * comment. */
#ifndef WS_HANDSHAKE_H
#define WS_HANDSHAKE_H

#include "bytes.h"
#include "extension.h"
#include "http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which origins or hosts are let in. */
enum ws_allow { WS_ALLOW_DEFAULT, WS_ALLOW_ANY, WS_ALLOW_LIST };

struct ws_allow_list {
    enum ws_allow mode;
    const struct ws_slice *items; /* WS_ALLOW_LIST: borrowed, n of them */
    size_t n;
};

struct ws_names {
    const struct ws_slice *items; /* borrowed, n of them */
    size_t n;
};

struct ws_handshake_rules {
    /* DEFAULT: same origin (scheme http or https, host and port equal to the Host field, default
     * ports of the origin's scheme filled in); no Origin field is let in. LIST: each an origin
     * "scheme://host[:port]"; no Origin field is let in too. Neither lets "null" in. */
    struct ws_allow_list origins;
    /* DEFAULT: any. LIST: host names with or without port (without: any port; a Host field without
     * port matches 80 and 443), brackets for IPv6, compared case-insensitively. The server fills in
     * names of this machine where it is bound to a loopback address. */
    struct ws_allow_list hosts;
    /* Subprotocols, tokens of at most WS_SUBPROTOCOL_MAX bytes, the one liked best first. */
    struct ws_names subprotocols;
    struct ws_deflate_rules deflate;
};

#define WS_SUBPROTOCOL_MAX 128

enum ws_handshake_kind {
    WS_HANDSHAKE_UPGRADE, /* a valid opening handshake; accept is filled */
    WS_HANDSHAKE_PLAIN,   /* a well-formed GET or HEAD without upgrade: a page, or 404, or 426 */
    WS_HANDSHAKE_REFUSED, /* answer status with detail */
};

#define WS_HANDSHAKE_ACCEPT_SIZE 28

struct ws_handshake {
    enum ws_handshake_kind kind;
    int status;         /* REFUSED: 400, 403, 405, 421, 426, 500 */
    const char *detail; /* REFUSED: one sentence for a person, static; tells which option lets it in
                         * (403, 421) */
    char accept[WS_HANDSHAKE_ACCEPT_SIZE]; /* UPGRADE: the value of Sec-WebSocket-Accept */
    struct ws_slice subprotocol; /* UPGRADE: one of the rules', or empty: none was agreed on */
    bool has_deflate;            /* UPGRADE: permessage-deflate was agreed on, to these terms */
    struct ws_deflate_terms deflate;
};

/* Judges a request head. In this order: exactly one well-formed Host field (400; for an
 * absolute-form target the authority rules, Host must still be there); Host allowed (421); asks it
 * for an upgrade, that is: has Upgrade the token "websocket"? If not: a body announced
 * (Content-Length other than a single 0, any Transfer-Encoding) is 400, a method other than GET and
 * HEAD is 405, else PLAIN. If so: method GET (405), no body announced (400), Connection has the
 * token "upgrade" (400), Sec-WebSocket-Version exactly one "13" (426), exactly one
 * Sec-WebSocket-Key that is 16 bytes in base64 (400), Sec-WebSocket-Protocol a list of tokens
 * (400), Sec-WebSocket-Extensions a list of extensions (400; looked at if the rules have one),
 * Origin allowed (403; two Origin fields: 400). The subprotocol is the first of the rules' that was
 * offered. */
void ws_handshake_check(struct ws_handshake *h, const struct ws_http_head *head,
                        const struct ws_handshake_rules *rules);

/* Reads a request from its first byte, len bytes of it so far, and judges it: the reader (see
 * ws_http_reader_feed), the parser and the check above in turn. Returns the size of the head (> 0),
 * 0 if more is needed (*h and *head are void then), or the reader's error. Both errors and heads
 * that are refused are REFUSED in *h. After an error of the reader *head is empty. */
int ws_handshake_read(struct ws_handshake *h, struct ws_http_head *head,
                      struct ws_http_reader *reader, const struct ws_handshake_rules *rules,
                      const uint8_t *data, size_t len);

/* 4.2.1 item 5: is it 16 bytes in base64? */
bool ws_handshake_key_is_valid(struct ws_slice key);
/* The detail of the 426 for a PLAIN request where nothing else is served. */
#define WS_HANDSHAKE_NEEDED "a WebSocket handshake is needed here"

/* Writes Sec-WebSocket-Accept for a key. 0 or an error of ws_sha1_digest. */
int ws_handshake_accept(char out[WS_HANDSHAKE_ACCEPT_SIZE], const char *key, size_t len);

/* The 101 answer to an UPGRADE. Returns its size; room: WS_HANDSHAKE_ANSWER_MAX. */
#define WS_HANDSHAKE_ANSWER_MAX 512
size_t ws_handshake_answer(char out[WS_HANDSHAKE_ANSWER_MAX], const struct ws_handshake *h);

/* An error answer for status (100..999, else 500) with a plain-text body (detail, the phrase if
 * NULL, and a newline), Connection: close, and what the status needs (405 Allow, 426 Upgrade and
 * Sec-WebSocket-Version: 13, 503 Retry-After). head_only: no body, same fields. Returns its size;
 * room: WS_HANDSHAKE_ERROR_MAX (details longer than 256 bytes are cut). */
#define WS_HANDSHAKE_ERROR_MAX 640
size_t ws_handshake_error(char out[WS_HANDSHAKE_ERROR_MAX], int status, const char *detail,
                          bool head_only);
/* The reason phrase of RFC 9110 or 6585 for a status, "Error" for one it does not know. */
const char *ws_handshake_phrase(int status);

/* Client role. Writes a request and a NUL into out; key is 16 random bytes of the caller's. host is
 * what the Host field shall say, target is in origin-form. Returns the size without the NUL, or
 * WS_ERR_ARGUMENT if host or target hold characters that may not stand there or the request does
 * not fit in cap. */
int ws_handshake_request(char *out, size_t cap, const char *host, const char *target,
                         const uint8_t key[16]);
/* Client role: is this response the right answer to that key? 0, or WS_ERR_SYNTAX or an error of
 * ws_sha1_digest with *detail in words (static). Checked: 101, Upgrade, Connection, exactly one
 * Sec-WebSocket-Accept of the right value, no extension and no subprotocol (none was offered). */
int ws_handshake_verify(const struct ws_http_head *head, const uint8_t key[16],
                        const char **detail);
/* The same for a request that offered these subprotocols (it named no extension either): one that
 * the answer agrees on is in *agreed, as it stands in the list; empty: none. */
int ws_handshake_verify_offer(const struct ws_http_head *head, const uint8_t key[16],
                              const struct ws_names *offered, struct ws_slice *agreed,
                              const char **detail);

#endif
