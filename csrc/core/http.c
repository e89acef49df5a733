/* http.c: the strict HTTP/1.1 head: the reader that scans it and the parser that cuts it.
 *
 * Does not read bodies, does not decode the target, does not judge what a field means: framing and
 * upgrade are the handshake's business. Recipients may be lenient in several places of RFC 9112
 * (bare LF, a leading empty line, obs-fold); this one never is, since what two parsers read
 * differently is how requests are smuggled. */
#include "http.h"

#include "err.h"

#include <limits.h>
#include <string.h>

/* -- the reader ---------------------------------------------------------------------- */

enum {
    TOKEN = 1,  /* tchar of RFC 9110 5.6.2: method, field name */
    TARGET = 2, /* visible ASCII without '#' */
    TEXT = 4,   /* field value, reason phrase: visible ASCII, SP, HTAB, obs-text */
    DIGIT = 8,
};

static const uint8_t classes[256] = {
    0,  0,  0,  0,  0,  0,  0,  0,  0,  4,  0, 0, 0, 0, 0, 0, /* HTAB */
    0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, 0, 0, 0, 0, 0, /**/
    4,  7,  6,  5,  7,  7,  7,  7,  6,  6,  7, 7, 6, 7, 7, 6, /* SP ! " # $ % & ' ( ) * + , - . / */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 6, 6, 6, 6, 6, 6, /* 0-9 : ; < = > ? */
    6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7, 7, 7, 7, 7, 7, /* @ A-O */
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7, 6, 6, 6, 7, 7, /* P-Z [ \ ] ^ _ */
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7, 7, 7, 7, 7, 7, /* ` a-o */
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7, 6, 7, 6, 7, 0, /* p-z { | } ~ DEL */
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4, /* from here: obs-text */
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4, /**/
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4, /**/
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4, /**/
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4, /**/
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4, /**/
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4, /**/
    4,  4,  4,  4,  4,  4,  4,  4,  4,  4,  4, 4, 4, 4, 4, 4,
};

/* The states of the start line come first: LINE_LF is the last of them. */
enum state {
    METHOD_FIRST,
    METHOD_MORE,
    TARGET_FIRST,
    TARGET_MORE,
    VERSION,
    STATUS_SP,
    STATUS_1,
    STATUS_2,
    STATUS_3,
    REASON_SP,
    REASON,
    LINE_CR,
    LINE_LF,
    FIELD_FIRST,
    NAME,
    VALUE,
    FIELD_LF,
    HEAD_LF,
    DONE,
    FAILED,
};

/* What a state accepts: any number of characters of the class `run`, then either the character
 * `end`, or one of the class `one`; everything else is an error. 0 stands for none, which is safe
 * since NUL is refused everywhere. */
struct rule {
    uint8_t run;
    uint8_t end, end_next;
    uint8_t one, one_next;
};

static const struct rule rules[] = {
    [METHOD_FIRST] = {.one = TOKEN, .one_next = METHOD_MORE},
    [METHOD_MORE] = {.run = TOKEN, .end = ' ', .end_next = TARGET_FIRST},
    [TARGET_FIRST] = {.one = TARGET, .one_next = TARGET_MORE},
    [TARGET_MORE] = {.run = TARGET, .end = ' ', .end_next = VERSION},
    [VERSION] = {0}, /* read by version_step */
    /* RFC 9112 4: "A server MUST send the space that separates the status-code from the
     * reason-phrase even when the reason-phrase is absent". */
    [STATUS_SP] = {.end = ' ', .end_next = STATUS_1},
    [STATUS_1] = {.one = DIGIT, .one_next = STATUS_2},
    [STATUS_2] = {.one = DIGIT, .one_next = STATUS_3},
    [STATUS_3] = {.one = DIGIT, .one_next = REASON_SP},
    [REASON_SP] = {.end = ' ', .end_next = REASON},
    [REASON] = {.run = TEXT, .end = '\r', .end_next = LINE_LF},
    [LINE_CR] = {.end = '\r', .end_next = LINE_LF},
    [LINE_LF] = {.end = '\n', .end_next = FIELD_FIRST},
    /* RFC 9112 5.2: "A server that receives an obs-fold in a request message [...] MUST either
     * reject the message by sending a 400 [...]": no space here. */
    [FIELD_FIRST] = {.end = '\r', .end_next = HEAD_LF, .one = TOKEN, .one_next = NAME},
    /* RFC 9112 5.1: "A server MUST reject, with a response status code of 400 (Bad Request), any
     * received request message that contains whitespace between a header field name and colon." */
    [NAME] = {.run = TOKEN, .end = ':', .end_next = VALUE},
    [VALUE] = {.run = TEXT, .end = '\r', .end_next = FIELD_LF},
    [FIELD_LF] = {.end = '\n', .end_next = FIELD_FIRST},
    [HEAD_LF] = {.end = '\n', .end_next = DONE},
};

void ws_http_reader_init(struct ws_http_reader *r, enum ws_http_kind kind, size_t max_size,
                         uint32_t max_headers) {
    /* The size of a head is returned as an int. */
    if (max_size > INT_MAX) max_size = INT_MAX;
    *r = (struct ws_http_reader){
        .max_size = max_size,
        .max_headers = max_headers,
        .state = kind == WS_HTTP_REQUEST ? METHOD_FIRST : VERSION,
        .kind = (uint8_t)kind,
    };
}

static int failure(const struct ws_http_reader *r) {
    return r->status == 414 || r->status == 431 ? WS_ERR_LIMIT : WS_ERR_SYNTAX;
}

static int fail(struct ws_http_reader *r, uint16_t status) {
    r->state = FAILED;
    r->status = status;
    return failure(r);
}

/* RFC 9112 2.3: "HTTP-version is case-sensitive." A later minor version reads as ours (RFC 6455
 * 4.2.1: "An HTTP/1.1 or higher GET request"; RFC 9110 2.5: it SHOULD be processed "as if it were
 * in the highest minor version [...] to which the recipient is conformant"). Another digit is
 * another version of the protocol, anything else is no HTTP at all. Returns 0, 400 or 505. */
static uint16_t version_step(struct ws_http_reader *r, uint8_t c) {
    static const char version[] = "HTTP/1.1";
    bool digit = (classes[c] & DIGIT) != 0, minor = r->version_at == 7;
    if (c != (uint8_t)version[r->version_at] && !(minor && digit && c > '1'))
        return digit && (minor || r->version_at == 5) ? 505 : 400;
    if (version[++r->version_at] == '\0')
        r->state = r->kind == WS_HTTP_REQUEST ? LINE_CR : STATUS_SP;
    return 0;
}

/* The byte behind a run: moves to the next state. Returns 0 or the status to fail with. */
static uint16_t step(struct ws_http_reader *r, uint8_t c) {
    const struct rule *rule = &rules[r->state];
    if (r->state == VERSION) return version_step(r, c);
    if (c == rule->end && c != 0) {
        r->state = rule->end_next;
        return 0;
    }
    if (!(classes[c] & rule->one)) return 400;
    if (r->state == FIELD_FIRST) {
        if (r->n_headers == r->max_headers) return 431;
        r->n_headers++;
    }
    r->state = rule->one_next;
    return 0;
}

int ws_http_reader_feed(struct ws_http_reader *r, const uint8_t *data, size_t len) {
    if (r->state == FAILED) return failure(r);
    size_t end = len < r->max_size ? len : r->max_size;
    size_t pos = r->pos;
    while (pos < end && r->state != DONE) {
        uint8_t run = rules[r->state].run;
        while (pos < end && (classes[data[pos]] & run)) pos++;
        if (pos == end) break;
        uint16_t status = step(r, data[pos]);
        if (status) {
            r->pos = pos;
            return fail(r, status);
        }
        pos++;
    }
    r->pos = pos;
    if (r->state == DONE) return (int)pos;
    if (pos < r->max_size) return 0;
    /* RFC 9112 3: "A server that receives a request-target longer than any URI it wishes to parse
     * MUST respond with a 414 (URI Too Long) status code". */
    return fail(r, r->kind == WS_HTTP_REQUEST && r->state <= LINE_LF ? 414 : 431);
}

/* -- slices -------------------------------------------------------------------------- */

static struct ws_slice slice(const char *from, const char *to) {
    return (struct ws_slice){.data = from, .len = (size_t)(to - from)};
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool ws_slice_same(struct ws_slice a, struct ws_slice b) {
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i])) return false;
    return true;
}

bool ws_slice_is(struct ws_slice s, const char *text) {
    return ws_slice_same(s, (struct ws_slice){.data = text, .len = strlen(text)});
}

struct ws_slice ws_slice_trim(struct ws_slice s) {
    const char *from = s.data, *to = s.data + s.len;
    while (from < to && (*from == ' ' || *from == '\t')) from++;
    while (from < to && (to[-1] == ' ' || to[-1] == '\t')) to--;
    return slice(from, to);
}

bool ws_slice_is_token(struct ws_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (!(classes[(uint8_t)s.data[i]] & TOKEN)) return false;
    return s.len > 0;
}

/* Takes what stands before the character c off the front of `at`, and c too. False without c. */
static bool cut(struct ws_slice *at, char c, struct ws_slice *out) {
    const char *end = at->data + at->len;
    const char *mark = at->len ? memchr(at->data, c, at->len) : NULL; /* data may be NULL then */
    if (!mark) return false;
    *out = slice(at->data, mark);
    *at = slice(mark + 1, end);
    return true;
}

/* -- the head ------------------------------------------------------------------------ */

/* Moves `at` behind the scheme of an absolute-form target. The WebSocket schemes are no request
 * targets of HTTP, but some clients write their URL as it is. */
static bool skip_scheme(struct ws_slice *at) {
    static const char schemes[][9] = {"http://", "https://", "ws://", "wss://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        size_t n = strlen(schemes[i]);
        if (at->len < n || !ws_slice_is((struct ws_slice){at->data, n}, schemes[i])) continue;
        at->data += n;
        at->len -= n;
        return true;
    }
    return false;
}

static int cut_target(struct ws_http_head *head) {
    struct ws_slice at = head->target;
    const char *end = at.data + at.len;
    head->authority = slice(end, end);
    head->query = slice(end, end);
    if (ws_slice_is(at, "*")) {
        head->path = at;
        return 0;
    }
    if (at.len == 0 || at.data[0] != '/') {
        if (!skip_scheme(&at)) return WS_ERR_SYNTAX;
        const char *stop = at.data;
        while (stop < end && *stop != '/' && *stop != '?') stop++;
        head->authority = slice(at.data, stop);
        /* RFC 9110 4.2.1: "A recipient that processes such a URI reference [with an empty host
         * identifier] MUST reject it as invalid." */
        if (head->authority.len == 0) return WS_ERR_SYNTAX;
        at = slice(stop, end);
    }
    if (cut(&at, '?', &head->path)) head->query = at;
    else head->path = at;
    if (head->path.len == 0) head->path = (struct ws_slice){.data = "/", .len = 1};
    return 0;
}

int ws_http_head_parse(struct ws_http_head *head, enum ws_http_kind kind, const uint8_t *data,
                       size_t size) {
    struct ws_slice at = {.data = (const char *)data, .len = size}, line;
    struct ws_slice none = {.data = at.data, .len = 0};
    *head = (struct ws_http_head){
        .method = none, .target = none, .path = none, .query = none, .authority = none};
    /* The reader saw to it that each CR is followed by LF and that the last line is empty. */
    if (!cut(&at, '\n', &line) || at.len < 2) return WS_ERR_SYNTAX;
    head->rest = (struct ws_slice){.data = at.data, .len = at.len - 2};
    if (kind == WS_HTTP_REQUEST) {
        if (!cut(&line, ' ', &head->method) || !cut(&line, ' ', &head->target))
            return WS_ERR_SYNTAX;
        return cut_target(head);
    }
    if (!cut(&line, ' ', &none) || line.len < 3) return WS_ERR_SYNTAX;
    for (int i = 0; i < 3; i++) head->status = head->status * 10 + (line.data[i] - '0');
    return 0;
}

bool ws_http_head_next(struct ws_slice *at, struct ws_http_header *out) {
    struct ws_slice line;
    if (!cut(at, '\n', &line) || line.len == 0) return false;
    line.len--; /* the CR */
    if (!cut(&line, ':', &out->name)) return false;
    out->value = ws_slice_trim(line);
    return true;
}

int ws_http_head_get(const struct ws_http_head *head, const char *name, struct ws_slice *out) {
    struct ws_slice at = head->rest;
    struct ws_http_header field;
    int found = 0;
    while (found < 2 && ws_http_head_next(&at, &field)) {
        if (!ws_slice_is(field.name, name)) continue;
        if (found == 0) *out = field.value;
        found++;
    }
    return found;
}

/* RFC 9110 5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list
 * elements". */
static bool list_has(struct ws_slice list, const char *token) {
    struct ws_slice item;
    while (cut(&list, ',', &item))
        if (ws_slice_is(ws_slice_trim(item), token)) return true;
    return ws_slice_is(ws_slice_trim(list), token);
}

bool ws_http_head_has_token(const struct ws_http_head *head, const char *name, const char *token) {
    struct ws_slice at = head->rest;
    struct ws_http_header field;
    while (ws_http_head_next(&at, &field))
        if (ws_slice_is(field.name, name) && list_has(field.value, token)) return true;
    return false;
}
