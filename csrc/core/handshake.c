/* handshake.c: the opening handshake of RFC 6455 section 4: is this head a valid upgrade, may this
 * host and origin in, what to answer; and the client's two halves, the request and the check of the
 * answer.
 *
 * Reads no socket and no clock, makes no random bytes, and negotiates no extension. */
#include "handshake.h"

#include "base64.h"
#include "err.h"
#include "sha1.h"

#include <arpa/inet.h> /* inet_pton, for its grammar of IPv6 addresses */
#include <stdio.h>
#include <string.h>

/* -- hosts and origins ------------------------------------------------------------------------- */

enum { NO_PORT = -1 };

/* host [ ":" port ], as Host has it. */
struct authority {
    struct ws_slice host; /* with the brackets of an IPv6 address */
    int port;             /* or NO_PORT */
};

struct origin {
    struct ws_slice scheme;
    struct authority at; /* its port is filled in for http and https */
};

static struct ws_slice text_slice(const char *text) {
    return (struct ws_slice){.data = text, .len = strlen(text)};
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* RFC 3986 3.2.2: reg-name = *( unreserved / pct-encoded / sub-delims ), which an IPv4 address
 * matches too; RFC 9110 4.2.1 does not let it be empty. */
static bool is_reg_name(struct ws_slice s) {
    static const char marks[] = "-._~!$&'()*+,;=";
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (is_letter(c) || is_digit(c) || memchr(marks, c, sizeof marks - 1)) continue;
        if (c != '%' || s.len - i < 3 || !is_hex(s.data[i + 1]) || !is_hex(s.data[i + 2]))
            return false;
        i += 2;
    }
    return s.len > 0;
}

/* Without brackets. A zone has no place in a URI: "%" is refused. */
static bool is_ipv6(struct ws_slice s) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    if (s.len == 0 || s.len >= sizeof text) return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* Reads what follows a host: nothing, or ":" and digits. RFC 3986 3.2.3: "port = *DIGIT", so a
 * colon alone is no port. */
static bool parse_port(int *port, const char *at, const char *end) {
    *port = NO_PORT;
    if (at == end) return true;
    if (*at++ != ':') return false;
    if (at == end) return true;
    int value = 0;
    for (; at < end; at++) {
        if (!is_digit(*at)) return false;
        value = value * 10 + (*at - '0');
        if (value > 65535) return false;
    }
    *port = value;
    return true;
}

static bool parse_authority(struct authority *a, struct ws_slice text) {
    if (text.len == 0) return false;
    const char *at = text.data, *end = at + text.len, *stop;
    if (*at == '[') {
        stop = memchr(at, ']', text.len);
        if (!stop) return false;
        struct ws_slice inner = {.data = at + 1, .len = (size_t)(stop - at) - 1};
        if (!is_ipv6(inner)) return false;
        stop++;
        a->host = (struct ws_slice){.data = at, .len = (size_t)(stop - at)};
    } else {
        stop = memchr(at, ':', text.len);
        if (!stop) stop = end;
        a->host = (struct ws_slice){.data = at, .len = (size_t)(stop - at)};
        if (!is_reg_name(a->host)) return false;
    }
    return parse_port(&a->port, stop, end);
}

/* Of the schemes that a page can come from; others have none. */
static int default_port(struct ws_slice scheme) {
    if (ws_slice_is(scheme, "http")) return 80;
    if (ws_slice_is(scheme, "https")) return 443;
    return NO_PORT;
}

/* RFC 6454 6.2: scheme "://" host [ ":" port ]. No path, no userinfo, not "null". */
static bool parse_origin(struct origin *o, struct ws_slice text) {
    const char *colon = text.len ? memchr(text.data, ':', text.len) : NULL;
    if (!colon) return false;
    o->scheme = (struct ws_slice){.data = text.data, .len = (size_t)(colon - text.data)};
    size_t rest = text.len - o->scheme.len;
    if (rest < 3 || memcmp(colon, "://", 3) != 0) return false;
    /* RFC 3986 3.1: scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) */
    if (o->scheme.len == 0 || !is_letter(*text.data)) return false;
    for (const char *c = text.data; c < colon; c++)
        if (!is_letter(*c) && !is_digit(*c) && !memchr("+-.", *c, 3)) return false;
    if (!parse_authority(&o->at, (struct ws_slice){.data = colon + 3, .len = rest - 3}))
        return false;
    if (o->at.port == NO_PORT) o->at.port = default_port(o->scheme);
    return true;
}

static bool host_allowed(const struct ws_allow_list *hosts, const struct authority *host) {
    if (hosts->mode != WS_ALLOW_LIST) return true;
    for (size_t i = 0; i < hosts->n; i++) {
        struct authority item;
        if (!parse_authority(&item, hosts->items[i])) continue;
        if (!ws_slice_same(item.host, host->host)) continue;
        if (item.port == NO_PORT || item.port == host->port) return true;
        /* Whether TLS lies beneath is not known here, so that either default port is meant. */
        if (host->port == NO_PORT && (item.port == 80 || item.port == 443)) return true;
    }
    return false;
}

static bool same_origin(const struct origin *o, const struct authority *host) {
    int port = default_port(o->scheme);
    if (port == NO_PORT) return false;
    if (host->port != NO_PORT) port = host->port;
    return o->at.port == port && ws_slice_same(o->at.host, host->host);
}

static bool origin_allowed(const struct ws_allow_list *origins, struct ws_slice text,
                           const struct authority *host) {
    struct origin o, item;
    if (origins->mode == WS_ALLOW_ANY) return true;
    if (!parse_origin(&o, text)) return false;
    if (origins->mode == WS_ALLOW_DEFAULT) return same_origin(&o, host);
    for (size_t i = 0; i < origins->n; i++) {
        if (parse_origin(&item, origins->items[i]) && item.at.port == o.at.port &&
            ws_slice_same(item.scheme, o.scheme) && ws_slice_same(item.at.host, o.at.host))
            return true;
    }
    return false;
}

/* -- the server's check ------------------------------------------------------------------------ */

/* Returns false, so that a check can end with it. */
static bool refuse(struct ws_handshake *h, int status, const char *detail) {
    h->kind = WS_HANDSHAKE_REFUSED;
    h->status = status;
    h->detail = detail;
    return false;
}

static bool check_host(struct ws_handshake *h, const struct ws_http_head *head,
                       const struct ws_allow_list *hosts, struct authority *host) {
    struct ws_slice field;
    /* RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
     * request message that lacks a Host header field and to any request message that contains more
     * than one Host header field line or a Host header field with an invalid field value." */
    int found = ws_http_head_get(head, "Host", &field);
    if (found == 0) return refuse(h, 400, "The Host field is missing.");
    if (found > 1) return refuse(h, 400, "There is more than one Host field.");
    if (!parse_authority(host, field)) return refuse(h, 400, "The Host field is malformed.");
    /* RFC 9112 3.2.2: "When an origin server receives a request with an absolute-form of
     * request-target, the origin server MUST ignore the received Host header field (if any) and
     * instead use the host information of the request-target." */
    if (head->authority.len > 0 && !parse_authority(host, head->authority))
        return refuse(h, 400, "The host of the request target is malformed.");
    if (!host_allowed(hosts, host))
        return refuse(h, 421,
                      "This server does not answer for that host; the option hosts= lists those "
                      "it answers for.");
    return true;
}

/* What stands behind the head of an upgrade is frames, what stands behind that of another request
 * is another request: a body that one party sees and the next does not is request smuggling, so
 * nobody may announce one. */
static bool check_no_body(struct ws_handshake *h, const struct ws_http_head *head) {
    struct ws_slice value;
    if (ws_http_head_get(head, "Transfer-Encoding", &value) != 0)
        return refuse(h, 400, "A request body is not accepted: Transfer-Encoding.");
    int found = ws_http_head_get(head, "Content-Length", &value);
    if (found > 1 || (found == 1 && !ws_slice_is(value, "0")))
        return refuse(h, 400, "A request body is not accepted: Content-Length.");
    return true;
}

/* RFC 9110 9.1: "The method token is case-sensitive". */
static bool method_is(const struct ws_http_head *head, const char *method) {
    size_t len = strlen(method);
    return head->method.len == len && memcmp(head->method.data, method, len) == 0;
}

static void check_plain(struct ws_handshake *h, const struct ws_http_head *head) {
    if (!check_no_body(h, head)) return;
    if (!method_is(head, "GET") && !method_is(head, "HEAD"))
        refuse(h, 405, "Only GET and HEAD are served here.");
    else h->kind = WS_HANDSHAKE_PLAIN;
}

/* RFC 6455 4.2.1, the numbered list. Leaves the key in *key. */
static bool check_upgrade(struct ws_handshake *h, const struct ws_http_head *head,
                          struct ws_slice *key) {
    struct ws_slice version;
    if (!method_is(head, "GET")) return refuse(h, 405, "A WebSocket handshake is a GET request.");
    /* RFC 9112 3.2.4: "The "asterisk-form" of request-target is only used for a server-wide OPTIONS
     * request". It names no resource that a connection could be to. */
    if (ws_slice_is(head->path, "*")) return refuse(h, 400, "The request target is \"*\".");
    if (!check_no_body(h, head)) return false;
    if (!ws_http_head_has_token(head, "Connection", "upgrade"))
        return refuse(h, 400, "The Connection field does not say \"Upgrade\".");
    /* 4.2.2: "If this version does not match a version understood by the server, the server MUST
     * abort the WebSocket handshake described in this section and instead send an appropriate HTTP
     * error code (such as 426 Upgrade Required) and a |Sec-WebSocket-Version| header field". */
    if (ws_http_head_get(head, "Sec-WebSocket-Version", &version) != 1 ||
        !ws_slice_is(version, "13"))
        return refuse(h, 426, "Only WebSocket version 13 is spoken here.");
    /* 4.2.1 item 5: "A |Sec-WebSocket-Key| header field with a base64-encoded value that, when
     * decoded, is 16 bytes in length." 11.3.1: it "MUST NOT appear more than once". */
    if (ws_http_head_get(head, "Sec-WebSocket-Key", key) != 1)
        return refuse(h, 400, "There is not exactly one Sec-WebSocket-Key field.");
    if (!ws_handshake_key_is_valid(*key))
        return refuse(h, 400, "The Sec-WebSocket-Key is not 16 bytes in base64.");
    return true;
}

/* Cuts the first element off a comma-separated list. */
static struct ws_slice cut_element(struct ws_slice *list) {
    const char *comma = list->len ? memchr(list->data, ',', list->len) : NULL;
    size_t len = comma ? (size_t)(comma - list->data) : list->len;
    struct ws_slice element = ws_slice_trim((struct ws_slice){list->data, len});
    list->data += comma ? len + 1 : len;
    list->len -= comma ? len + 1 : len;
    return element;
}

/* The index of ours that it is, if that is below best, else best. */
static size_t prefer(const struct ws_names *ours, struct ws_slice token, size_t best) {
    for (size_t i = 0; i < best; i++) {
        const struct ws_slice *own = &ours->items[i];
        if (own->len == token.len && memcmp(own->data, token.data, token.len) == 0) return i;
    }
    return best;
}

/* 4.2.2 item 5: "If the server does not agree to any of the client's requested subprotocols, the
 * only acceptable value is null", that is no field. The server's order decides. */
static bool agree_subprotocol(struct ws_handshake *h, const struct ws_http_head *head,
                              const struct ws_names *ours) {
    struct ws_slice at = head->rest;
    struct ws_http_header field;
    size_t best = ours->n;
    while (ws_http_head_next(&at, &field)) {
        if (!ws_slice_is(field.name, "Sec-WebSocket-Protocol")) continue;
        /* 4.1 item 10: elements "MUST be non-empty strings with characters in the range U+0021 to
         * U+007E not including separator characters"; 11.3.4: the field may come several times.
         * RFC 9110 5.6.1.2 has empty elements ignored. */
        while (field.value.len) {
            struct ws_slice token = cut_element(&field.value);
            if (token.len && !ws_slice_is_token(token))
                return refuse(h, 400, "Sec-WebSocket-Protocol is not a list of tokens.");
            if (token.len) best = prefer(ours, token, best);
        }
    }
    if (best < ours->n) h->subprotocol = ours->items[best];
    return true;
}

/* RFC 6455 9.1: a recipient of what does not conform to the grammar "MUST immediately _Fail the
 * WebSocket Connection_". */
static bool agree_extensions(struct ws_handshake *h, const struct ws_http_head *head,
                             const struct ws_deflate_rules *rules) {
    int agreed = ws_extension_agree(&h->deflate, head, rules);
    if (agreed < 0) return refuse(h, 400, "Sec-WebSocket-Extensions is not a list of extensions.");
    h->has_deflate = agreed != 0;
    return true;
}

static bool check_origin(struct ws_handshake *h, const struct ws_http_head *head,
                         const struct ws_allow_list *origins, const struct authority *host) {
    struct ws_slice origin;
    int found = ws_http_head_get(head, "Origin", &origin);
    /* RFC 6455 4.2.1 item 7: "A connection attempt lacking this header field SHOULD NOT be
     * interpreted as coming from a browser client." */
    if (found == 0) return true;
    if (found > 1) return refuse(h, 400, "There is more than one Origin field.");
    /* 4.2.2: "If the server does not wish to accept this connection, it MUST return an appropriate
     * HTTP error code (e.g., 403 Forbidden)". */
    if (!origin_allowed(origins, origin, host))
        return refuse(h, 403,
                      "Pages of that origin may not connect; the option origins= lists those that "
                      "may.");
    return true;
}

void ws_handshake_check(struct ws_handshake *h, const struct ws_http_head *head,
                        const struct ws_handshake_rules *rules) {
    struct authority host;
    struct ws_slice key;
    memset(h, 0, sizeof *h);
    if (!check_host(h, head, &rules->hosts, &host)) return;
    if (!ws_http_head_has_token(head, "Upgrade", "websocket")) {
        check_plain(h, head);
        return;
    }
    if (!check_upgrade(h, head, &key)) return;
    if (!agree_subprotocol(h, head, &rules->subprotocols)) return;
    if (!agree_extensions(h, head, &rules->deflate)) return;
    if (!check_origin(h, head, &rules->origins, &host)) return;
    if (ws_handshake_accept(h->accept, key.data, key.len) < 0) {
        refuse(h, 500, "The server could not compute Sec-WebSocket-Accept.");
        return;
    }
    h->kind = WS_HANDSHAKE_UPGRADE;
}

static const char *reader_detail(int status) {
    switch (status) {
    case 414: return "the request line is too long";
    case 431: return "the request head is too large";
    case 505: return "HTTP/1.1 is needed";
    default: return "this is not HTTP";
    }
}

int ws_handshake_read(struct ws_handshake *h, struct ws_http_head *head,
                      struct ws_http_reader *reader, const struct ws_handshake_rules *rules,
                      const uint8_t *data, size_t len) {
    int size = ws_http_reader_feed(reader, data, len);
    if (size == 0) return 0;
    memset(h, 0, sizeof *h);
    memset(head, 0, sizeof *head);
    if (size < 0) refuse(h, reader->status, reader_detail(reader->status));
    else if (ws_http_head_parse(head, WS_HTTP_REQUEST, data, (size_t)size) < 0)
        refuse(h, 400, "the request target is malformed");
    else ws_handshake_check(h, head, rules);
    return size;
}

bool ws_handshake_key_is_valid(struct ws_slice key) {
    uint8_t bytes[18];
    return key.len == 24 && ws_base64_decode(bytes, key.data, key.len) == 16;
}

int ws_handshake_accept(char out[WS_HANDSHAKE_ACCEPT_SIZE], const char *key, size_t len) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t digest[WS_SHA1_SIZE];
    int err = ws_sha1_digest(digest, key, len, guid, sizeof guid - 1);
    if (err < 0) return err;
    ws_base64_encode(out, digest, sizeof digest);
    return 0;
}

/* -- the server's answers ---------------------------------------------------------------------- */

/* What snprintf wrote of what it would have written. */
static size_t written(int n, size_t cap) {
    if (n < 0) return 0;
    return (size_t)n < cap ? (size_t)n : cap - 1;
}

size_t ws_handshake_answer(char out[WS_HANDSHAKE_ANSWER_MAX], const struct ws_handshake *h) {
    int named = (int)h->subprotocol.len; /* at most WS_SUBPROTOCOL_MAX */
    char extension[WS_EXTENSION_MAX] = "";
    if (h->has_deflate) ws_extension_answer(extension, &h->deflate);
    int n = snprintf(out, WS_HANDSHAKE_ANSWER_MAX,
                     "HTTP/1.1 101 Switching Protocols\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %.*s\r\n"
                     "%s%.*s%s"
                     "%s%s%s"
                     "\r\n",
                     WS_HANDSHAKE_ACCEPT_SIZE, h->accept, named ? "Sec-WebSocket-Protocol: " : "",
                     named, named ? h->subprotocol.data : "", named ? "\r\n" : "",
                     h->has_deflate ? "Sec-WebSocket-Extensions: " : "", extension,
                     h->has_deflate ? "\r\n" : "");
    return written(n, WS_HANDSHAKE_ANSWER_MAX);
}

/* The fields that a status asks for, Connection among them. */
static const char *status_fields(int status) {
    switch (status) {
    /* RFC 9110 15.5.6: "The origin server MUST generate an Allow header field in a 405
     * response". */
    case 405: return "Connection: close\r\nAllow: GET, HEAD\r\n";
    /* RFC 9110 15.5.22: "The server MUST send an Upgrade header field in a 426 response"; 7.8: "A
     * sender of Upgrade MUST also send an "Upgrade" connection option". */
    case 426:
        return "Connection: close, Upgrade\r\n"
               "Upgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\n";
    case 503: return "Connection: close\r\nRetry-After: 5\r\n";
    default: return "Connection: close\r\n";
    }
}

/* The length of text, at most max, not ending inside a UTF-8 sequence. */
static size_t cut_length(const char *text, size_t max) {
    size_t len = strnlen(text, max + 1);
    if (len <= max) return len;
    for (len = max; len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80; len--) continue;
    return len;
}

size_t ws_handshake_error(char out[WS_HANDSHAKE_ERROR_MAX], int status, const char *detail,
                          bool head_only) {
    if (status < 100 || status > 999) status = 500;
    const char *phrase = ws_handshake_phrase(status);
    if (!detail) detail = phrase;
    size_t len = cut_length(detail, 256);
    int n = snprintf(out, WS_HANDSHAKE_ERROR_MAX,
                     "HTTP/1.1 %d %s\r\n"
                     "Content-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: %zu\r\n"
                     "%s"
                     "\r\n"
                     "%.*s%s",
                     status, phrase, len + 1, status_fields(status), head_only ? 0 : (int)len,
                     detail, head_only ? "" : "\n");
    return written(n, WS_HANDSHAKE_ERROR_MAX);
}

const char *ws_handshake_phrase(int status) {
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
    }
}

/* -- the client -------------------------------------------------------------------------------- */

/* RFC 6455 4.1: the Request-URI is what the resource name says: "/" first, no fragment. */
static bool target_valid(const char *target) {
    if (*target != '/') return false;
    for (const char *c = target; *c; c++)
        if (*c <= 0x20 || *c >= 0x7F || *c == '#') return false;
    return true;
}

int ws_handshake_request(char *out, size_t cap, const char *host, const char *target,
                         const uint8_t key[16]) {
    struct authority authority;
    char text[WS_BASE64_SIZE(16)];
    if (!parse_authority(&authority, text_slice(host)) || !target_valid(target))
        return WS_ERR_ARGUMENT;
    ws_base64_encode(text, key, 16);
    int n = snprintf(out, cap,
                     "GET %s HTTP/1.1\r\n"
                     "Host: %s\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Key: %.*s\r\n"
                     "Sec-WebSocket-Version: 13\r\n"
                     "\r\n",
                     target, host, (int)sizeof text, text);
    if (n < 0 || (size_t)n >= cap) return WS_ERR_ARGUMENT;
    return n;
}

static int reject(const char **detail, const char *text) {
    *detail = text;
    return WS_ERR_SYNTAX;
}

/* Item 6: a subprotocol "that was not present in the client's handshake" fails the connection. */
static int verify_subprotocol(const struct ws_http_head *head, const struct ws_names *offered,
                              struct ws_slice *agreed, const char **detail) {
    struct ws_slice value;
    int found = ws_http_head_get(head, "Sec-WebSocket-Protocol", &value);
    if (found == 0) return 0;
    size_t i = found == 1 ? prefer(offered, value, offered->n) : offered->n;
    if (i == offered->n)
        return reject(detail, "the answer names a subprotocol that was not offered");
    *agreed = offered->items[i];
    return 0;
}

int ws_handshake_verify(const struct ws_http_head *head, const uint8_t key[16],
                        const char **detail) {
    static const struct ws_names none;
    struct ws_slice agreed;
    return ws_handshake_verify_offer(head, key, &none, &agreed, detail);
}

/* RFC 6455 4.1, "Once the client's opening handshake has been sent": items 1 to 6. */
int ws_handshake_verify_offer(const struct ws_http_head *head, const uint8_t key[16],
                              const struct ws_names *offered, struct ws_slice *agreed,
                              const char **detail) {
    char text[WS_BASE64_SIZE(16)], accept[WS_HANDSHAKE_ACCEPT_SIZE];
    struct ws_slice value;
    if (head->status != 101) return reject(detail, "the status of the answer is not 101");
    if (ws_http_head_get(head, "Upgrade", &value) != 1 || !ws_slice_is(value, "websocket"))
        return reject(detail, "the Upgrade field of the answer is not \"websocket\"");
    if (!ws_http_head_has_token(head, "Connection", "upgrade"))
        return reject(detail, "the Connection field of the answer does not say \"Upgrade\"");
    if (ws_http_head_get(head, "Sec-WebSocket-Accept", &value) != 1)
        return reject(detail, "the answer has not exactly one Sec-WebSocket-Accept field");
    ws_base64_encode(text, key, 16);
    int err = ws_handshake_accept(accept, text, sizeof text);
    if (err < 0) {
        *detail = "Sec-WebSocket-Accept could not be computed";
        return err;
    }
    if (value.len != sizeof accept || memcmp(value.data, accept, sizeof accept) != 0)
        return reject(detail, "the Sec-WebSocket-Accept of the answer is wrong");
    *agreed = (struct ws_slice){"", 0};
    /* Item 5: an extension "that was not present in the client's handshake". */
    if (ws_http_head_get(head, "Sec-WebSocket-Extensions", &value) != 0)
        return reject(detail, "the answer names an extension that was not offered");
    return verify_subprotocol(head, offered, agreed, detail);
}
