/* fuzz_http.c: a request's or response's head, from the arriving bytes to the handshake's answer.
 *
 * The reader is fed in chunks and whole: one verdict. A head that it takes is cut into slices,
 * which are looked at one by one, and judged; what is said of its fields is compared with a plain
 * search in its text. What the core itself writes (answer, error page, request) it has to take. */
#include "fuzz.h"

#include "base64.h"
#include "err.h"
#include "handshake.h"

#include <ctype.h>
#include <strings.h>

#define SETTING (FUZZ_PLAN + 2)

/* The key of RFC 6455 section 1.3 and its answer. */
static const uint8_t key[16] = "the sample nonce";
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* What the server speaks. */
#define SUBPROTOCOLS 2
static const struct ws_slice subprotocols[SUBPROTOCOLS] = {{"chat.v2", 7}, {"chat", 4}};

/* ---- the reader ---- */

/* Feeds the head's bytes so far, each time in memory of their number. Returns what the reader says
 * at last. */
static int read_head(struct ws_http_reader *r, const uint8_t *plan, const uint8_t *data,
                     size_t len) {
    struct fuzz_cutter cutter = {.plan = plan, .max_cuts = FUZZ_CUTS};
    size_t at = 0;
    int result = 0;
    do {
        at += fuzz_cut(&cutter, len - at);
        uint8_t *copy = fuzz_copy(data, at);
        result = ws_http_reader_feed(r, copy, at);
        MUST(result <= (int)at && (result <= 0 || result == (int)r->pos));
        MUST(result == ws_http_reader_feed(r, copy, at)); /* it sticks */
        free(copy);
    } while (result == 0 && at < len);
    return result;
}

static void check_status(const struct ws_http_reader *r, int result, size_t len) {
    int s = r->status;
    if (result == 0) MUST(len < r->max_size);
    if (result == WS_ERR_SYNTAX) MUST(s == 400 || s == 505);
    else if (result == WS_ERR_LIMIT) MUST(s == 431 || (s == 414 && r->kind == WS_HTTP_REQUEST));
    else MUST(result >= 0 && s == 0);
    MUST(r->n_headers <= r->max_headers);
    MUST(r->pos <= r->max_size);
}

/* ---- a plain reading ---- */

/* RFC 9110 section 5.6.2. */
static bool is_tchar(uint8_t c) {
    return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_target(uint8_t c) {
    return c > ' ' && c < 0x7F && c != '#';
}

static bool is_text(uint8_t c) {
    return c == '\t' || (c >= ' ' && c != 0x7F);
}

/* Moves *at behind as many bytes of that kind as stand there, and then behind `end`. False if there
 * are less than `least` bytes, or no such end. */
static bool pass(const uint8_t **at, bool (*kind)(uint8_t), size_t least, const char *end) {
    size_t n = 0;
    while (kind((*at)[n])) n++;
    *at += n;
    if (n < least || strncmp((const char *)*at, end, strlen(end)) != 0) return false;
    *at += strlen(end);
    return true;
}

static bool is_digit(uint8_t c) {
    return isdigit(c);
}

static bool is_nothing(uint8_t c) {
    (void)c;
    return false;
}

/* The size of the right head that these bytes begin with, 0 if they do not; a NUL is behind them.
 */
static bool is_version(uint8_t c) {
    return c >= '1' && c <= '9';
}

/* Moves *at behind "HTTP/1.", one digit that is not 0, and `end`. */
static bool pass_version(const uint8_t **at, const char *end) {
    return pass(at, is_nothing, 0, "HTTP/1.") && is_version(**at) && ++*at &&
           pass(at, is_nothing, 0, end);
}

/* The size of the right head that these bytes begin with, 0 if they do not; a NUL is behind them.
 */
static size_t plain_head(enum ws_http_kind kind, const uint8_t *data, uint32_t *n_headers) {
    const uint8_t *at = data;
    if (kind == WS_HTTP_REQUEST) {
        if (!pass(&at, is_tchar, 1, " ") || !pass(&at, is_target, 1, " ")) return 0;
        if (!pass_version(&at, "\r\n")) return 0;
    } else {
        if (!pass_version(&at, " ")) return 0;
        const uint8_t *status = at;
        if (!pass(&at, is_digit, 3, " ") || at - status != 4) return 0;
        if (!pass(&at, is_text, 0, "\r\n")) return 0;
    }
    for (*n_headers = 0; *at != '\r'; ++*n_headers)
        if (!pass(&at, is_tchar, 1, ":") || !pass(&at, is_text, 0, "\r\n")) return 0;
    return at[1] == '\n' ? (size_t)(at - data) + 2 : 0;
}

static void check_plain(const struct ws_http_reader *r, int result, const uint8_t *data,
                        size_t len) {
    uint32_t n = 0;
    uint8_t *copy = calloc(1, len + 1);
    MUST(copy);
    memcpy(copy, data, len);
    size_t size = plain_head((enum ws_http_kind)r->kind, copy, &n);
    bool good = size > 0 && size <= r->max_size && n <= r->max_headers;
    MUST(good ? result == (int)size && r->n_headers == n : result <= 0);
    free(copy);
}

/* ---- a plain search ---- */

/* How many lines of the head begin with the name and a colon; *value is behind the first of them.
 */
static int count_fields(const char *head, size_t size, const char *name, size_t len,
                        const char **value) {
    int n = 0;
    for (const char *at = head; (at = memmem(at, size - (size_t)(at - head), "\r\n", 2));) {
        at += 2;
        if (size - (size_t)(at - head) <= len || at[len] != ':') continue;
        if (strncasecmp(at, name, len) != 0) continue;
        if (n++ == 0 && value) *value = at + len + 1;
    }
    return n;
}

static int count_named(const char *head, size_t size, const char *name) {
    return count_fields(head, size, name, strlen(name), NULL);
}

/* ---- slices ---- */

static void check_inside(struct ws_slice s, const char *head, size_t size) {
    if (s.len == 0) return;
    MUST(s.data >= head && s.len <= size && (size_t)(s.data - head) <= size - s.len);
}

static bool has_any(struct ws_slice s, const char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s.len && memchr(s.data, bytes[i], s.len)) return true;
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static void check_field(const struct ws_http_head *h, const struct ws_http_header *field,
                        const char *head, size_t size) {
    struct ws_slice found = {0};
    const char *value = NULL;
    char *name = calloc(1, field->name.len + 1);
    check_inside(field->name, head, size);
    check_inside(field->value, head, size);
    MUST(field->name.len > 0 && !has_any(field->name, "\0\r\n\t :", 6));
    MUST(!has_any(field->value, "\0\r\n", 3));
    size_t len = field->value.len;
    if (len) MUST(!is_space(field->value.data[0]) && !is_space(field->value.data[len - 1]));

    memcpy(name, field->name.data, field->name.len);
    int n = count_fields(head, size, name, field->name.len, &value);
    MUST(n > 0 && ws_http_head_get(h, name, &found) == (n > 1 ? 2 : 1));
    while (is_space(*value)) value++;
    MUST(found.len == 0 || found.data == value);
    free(name);
}

static void check_slices(const struct ws_http_head *h, const char *head, size_t size,
                         uint32_t n_headers) {
    struct ws_slice rest = h->rest;
    struct ws_http_header field;
    uint32_t n = 0;
    check_inside(h->method, head, size);
    check_inside(h->target, head, size);
    check_inside(h->query, head, size);
    check_inside(h->authority, head, size);
    check_inside(h->rest, head, size);
    if (!ws_slice_is(h->path, "/")) check_inside(h->path, head, size);
    MUST(!has_any(h->target, "\0\r\n\t #", 6));
    if (h->target.len) MUST((h->authority.len == 0) == !!strchr("/*", *h->target.data));
    while (ws_http_head_next(&rest, &field)) {
        if (n++ < 20) check_field(h, &field, head, size);
    }
    MUST(n == n_headers && rest.len == 0);
}

/* ---- what the core writes ---- */

/* Reads a head that has to be right. Returns its size. */
static size_t must_read(struct ws_http_head *h, enum ws_http_kind kind, const char *text,
                        size_t len) {
    struct ws_http_reader r;
    ws_http_reader_init(&r, kind, len, 8);
    int size = ws_http_reader_feed(&r, (const uint8_t *)text, len);
    MUST(size > 0);
    MUST(ws_http_head_parse(h, kind, (const uint8_t *)text, (size_t)size) == 0);
    return (size_t)size;
}

/* The host that was let in: one that names a port names one that there is. */
static void check_host(const struct ws_http_head *head) {
    struct ws_slice host;
    char text[256] = "";
    MUST(ws_http_head_get(head, "host", &host) == 1 && host.len > 0);
    if (host.len >= sizeof text) return;
    memcpy(text, host.data, host.len);
    const char *port = strrchr(text, ':');
    if (port && !strchr(port, ']')) MUST(strtoull(port + 1, NULL, 10) <= 65535);
    MUST(strcspn(text, " \t/?@\\") == host.len);
}

static bool is_chosen(struct ws_slice s, const char *name) {
    return s.len == strlen(name) && memcmp(s.data, name, s.len) == 0;
}

/* Which of ours the lists of the fields name, by a plain walk; the first of ours is to be chosen.
 */
static void check_subprotocol(const struct ws_handshake *h, const struct ws_http_head *head) {
    struct ws_slice rest = head->rest;
    struct ws_http_header field;
    bool offered[SUBPROTOCOLS] = {0};
    while (ws_http_head_next(&rest, &field)) {
        if (!ws_slice_is(field.name, "sec-websocket-protocol")) continue;
        for (size_t from = 0, to; from <= field.value.len; from = to + 1) {
            char token[16] = "";
            size_t n = 0;
            for (to = from; to < field.value.len && field.value.data[to] != ','; to++) {
                char c = field.value.data[to];
                MUST(is_tchar((uint8_t)c) || is_space(c));
                if (!is_space(c) && n < sizeof token - 1) token[n++] = c;
            }
            for (size_t i = 0; i < SUBPROTOCOLS; i++)
                if (strcmp(token, subprotocols[i].data) == 0) offered[i] = true;
        }
    }
    size_t first = offered[0] ? 0 : offered[1] ? 1 : SUBPROTOCOLS;
    if (first == SUBPROTOCOLS) MUST(h->subprotocol.len == 0);
    else MUST(is_chosen(h->subprotocol, subprotocols[first].data));
}

static void check_upgrade(const struct ws_handshake *h, const struct ws_http_head *head,
                          const char *text, size_t size) {
    char answer[WS_HANDSHAKE_ANSWER_MAX];
    struct ws_http_head answered;
    struct ws_slice value;
    const char *detail = NULL;
    uint8_t bytes[18];
    MUST(head->method.len == 3 && memcmp(head->method.data, "GET", 3) == 0);
    MUST(count_named(text, size, "origin") <= 1);
    MUST(count_named(text, size, "transfer-encoding") == 0);
    if (ws_http_head_get(head, "content-length", &value)) MUST(ws_slice_is(value, "0"));
    MUST(ws_http_head_get(head, "sec-websocket-version", &value) == 1 && ws_slice_is(value, "13"));
    MUST(ws_http_head_get(head, "sec-websocket-key", &value) == 1);
    MUST(ws_base64_decode(bytes, value.data, value.len) == 16);
    char written[WS_BASE64_SIZE(16)];
    ws_base64_encode(written, bytes, 16);
    bool canonical = memcmp(written, value.data, value.len) == 0;

    size_t len = ws_handshake_answer(answer, h);
    MUST(must_read(&answered, WS_HTTP_RESPONSE, answer, len) == len);
    /* verify speaks for a client that writes its key in the one right way and offers no
     * subprotocol. */
    struct ws_slice chosen = h->subprotocol;
    int result = ws_handshake_verify(&answered, bytes, &detail);
    MUST(result == (chosen.len || !canonical ? WS_ERR_SYNTAX : 0));
    MUST(ws_http_head_get(&answered, "sec-websocket-protocol", &value) == (chosen.len ? 1 : 0));
    if (chosen.len)
        MUST(value.len == chosen.len && memcmp(value.data, chosen.data, value.len) == 0);
}

static void check_refused(const struct ws_handshake *h) {
    char page[WS_HANDSHAKE_ERROR_MAX];
    struct ws_http_head answered;
    struct ws_slice value;
    int s = h->status;
    MUST(s == 400 || s == 403 || s == 405 || s == 421 || s == 426);
    MUST(h->detail && *h->detail);
    size_t len = ws_handshake_error(page, s, h->detail, false);
    size_t head_len = must_read(&answered, WS_HTTP_RESPONSE, page, len);
    MUST(answered.status == s);
    MUST(ws_http_head_get(&answered, "content-length", &value) == 1);
    MUST((size_t)strtol(value.data, NULL, 10) == len - head_len);
    MUST(ws_handshake_error(page, s, h->detail, true) == head_len);
}

/* A client that asks for this host and target is let in, or told that they cannot be. */
static void check_request(const struct ws_http_head *head) {
    static const struct ws_handshake_rules any = {.origins = {.mode = WS_ALLOW_ANY},
                                                  .hosts = {.mode = WS_ALLOW_ANY}};
    char out[8192], host[256], target[4096];
    struct ws_http_head asked;
    struct ws_handshake h;
    struct ws_slice value;
    if (ws_http_head_get(head, "host", &value) == 0 || value.len >= sizeof host) return;
    if (head->target.len >= sizeof target) return;
    memcpy(host, value.data, value.len);
    host[value.len] = '\0';
    memcpy(target, head->target.data, head->target.len);
    target[head->target.len] = '\0';
    int len = ws_handshake_request(out, sizeof out, host, target, key);
    MUST(len == WS_ERR_ARGUMENT || len == (int)strlen(out));
    if (len < 0) return;
    MUST(must_read(&asked, WS_HTTP_REQUEST, out, (size_t)len) == (size_t)len);
    MUST(ws_slice_is(asked.target, target));
    ws_handshake_check(&h, &asked, &any);
    MUST(h.kind == WS_HANDSHAKE_UPGRADE);
    MUST(memcmp(h.accept, ACCEPT, sizeof h.accept) == 0);
}

/* ---- both roles ---- */

static struct ws_handshake_rules rules_of(uint8_t set) {
    static const struct ws_slice origins[] = {{"https://example.com", 19},
                                              {"http://[::1]:8000", 17}};
    static const struct ws_slice hosts[] = {{"example.com", 11}, {"[::1]:80", 8}, {"a:8000", 6}};
    struct ws_handshake_rules rules = {
        .origins = {.mode = (enum ws_allow)(set % 3), .items = origins, .n = 2},
        .hosts = {.mode = (enum ws_allow)(set / 3 % 3), .items = hosts, .n = 3},
        .subprotocols = {.items = subprotocols, .n = SUBPROTOCOLS},
    };
    return rules;
}

static void check_as_server(const struct ws_http_head *head, const char *text, size_t size,
                            const struct ws_handshake_rules *rules) {
    struct ws_handshake h;
    ws_handshake_check(&h, head, rules);
    if (h.kind != WS_HANDSHAKE_REFUSED) check_host(head);
    switch (h.kind) {
    case WS_HANDSHAKE_UPGRADE:
        check_upgrade(&h, head, text, size);
        check_subprotocol(&h, head);
        break;
    case WS_HANDSHAKE_PLAIN: MUST(count_named(text, size, "transfer-encoding") == 0); break;
    case WS_HANDSHAKE_REFUSED: check_refused(&h); break;
    }
    check_request(head);
}

static void check_as_client(const struct ws_http_head *head, const char *text, size_t size) {
    const char *detail = NULL;
    int result = ws_handshake_verify(head, key, &detail);
    MUST(head->status >= 0 && head->status <= 999);
    MUST(result == 0 || (result == WS_ERR_SYNTAX && detail && *detail));
    if (result < 0) return;
    MUST(head->status == 101 && memmem(text, size, ACCEPT, sizeof ACCEPT - 1));
    MUST(count_named(text, size, "sec-websocket-accept") == 1);
    MUST(count_named(text, size, "sec-websocket-extensions") == 0);
    MUST(count_named(text, size, "sec-websocket-protocol") == 0);
}

static void check_head(const struct ws_http_reader *r, const uint8_t *data, size_t size,
                       const struct ws_handshake_rules *rules) {
    struct ws_http_head head;
    uint8_t *copy = fuzz_copy(data, size);
    const char *text = (const char *)copy;
    enum ws_http_kind kind = (enum ws_http_kind)r->kind;
    int result = ws_http_head_parse(&head, kind, copy, size);
    MUST(result == 0 || (result == WS_ERR_SYNTAX && kind == WS_HTTP_REQUEST));
    if (result == 0) {
        check_slices(&head, text, size, r->n_headers);
        if (kind == WS_HTTP_REQUEST) check_as_server(&head, text, size, rules);
        else check_as_client(&head, text, size);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t max_sizes[] = {8192, 4096, 512, 100, 40, 17, 1, 0};
    static const uint32_t max_headers[] = {64, 8, 3, 0};
    if (size < SETTING) return 0;
    uint8_t set = data[FUZZ_PLAN];
    enum ws_http_kind kind = set & 1 ? WS_HTTP_RESPONSE : WS_HTTP_REQUEST;
    struct ws_handshake_rules rules = rules_of(data[FUZZ_PLAN + 1]);
    struct ws_http_reader whole, chunks;
    ws_http_reader_init(&whole, kind, max_sizes[set >> 1 & 7], max_headers[set >> 4 & 3]);
    chunks = whole;
    const uint8_t *bytes = data + SETTING;
    size_t len = size - SETTING;

    int result = read_head(&whole, NULL, bytes, len);
    check_status(&whole, result, len);
    check_plain(&whole, result, bytes, len);
    MUST(result == read_head(&chunks, data, bytes, len));
    MUST(whole.status == chunks.status && whole.n_headers == chunks.n_headers);
    MUST(whole.pos == chunks.pos);
    if (result > 0) check_head(&whole, bytes, (size_t)result, &rules);
    return 0;
}
