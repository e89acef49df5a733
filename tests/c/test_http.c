/* test_http.c: the HTTP head reader and parser. */
#include "check.h"
#include "err.h"
#include "http.h"

#include <limits.h>
#include <stdbool.h>

#define ROOMY 65536
#define LINE "GET / HTTP/1.1\r\n" /* 16 bytes */

static bool slice_equals(struct ws_slice s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* What a reader came to. */
struct outcome {
    int result;
    int status;
    size_t pos;
    uint32_t n_headers;
};

static struct outcome outcome_of(const struct ws_http_reader *r, int result) {
    return (struct outcome){
        .result = result, .status = r->status, .pos = r->pos, .n_headers = r->n_headers};
}

static bool same_outcome(struct outcome a, struct outcome b) {
    return a.result == b.result && a.status == b.status && a.pos == b.pos &&
           a.n_headers == b.n_headers;
}

struct limits {
    size_t max_size;
    uint32_t max_headers;
};

static struct outcome read_whole(enum ws_http_kind kind, const void *data, size_t len,
                                 struct limits limits) {
    struct check_page page;
    struct ws_http_reader r;
    const uint8_t *copy = check_page_copy(&page, data, len);
    ws_http_reader_init(&r, kind, limits.max_size, limits.max_headers);
    struct outcome o = outcome_of(&r, ws_http_reader_feed(&r, copy, len));
    /* The result sticks. */
    CHECK(same_outcome(o, outcome_of(&r, ws_http_reader_feed(&r, copy, len))));
    check_page_free(&page);
    return o;
}

/* In two parts; the first ends at a page's end, so that a look behind it would crash. */
static struct outcome read_split(enum ws_http_kind kind, const void *data, size_t len, size_t at,
                                 struct limits limits) {
    struct check_page page;
    struct ws_http_reader r;
    ws_http_reader_init(&r, kind, limits.max_size, limits.max_headers);
    uint8_t *copy = check_page_copy(&page, data, at);
    int result = ws_http_reader_feed(&r, copy, at);
    CHECK(r.pos <= at);
    check_page_free(&page);
    copy = check_page_copy(&page, data, len);
    if (result == 0) result = ws_http_reader_feed(&r, copy, len);
    check_page_free(&page);
    return outcome_of(&r, result);
}

/* One byte a call. What has not arrived reads as NUL, and what was scanned is overwritten by NUL: a
 * reader that looks ahead or back, or at a byte twice, fails. */
static struct outcome read_bytes(enum ws_http_kind kind, const void *data, size_t len,
                                 struct limits limits) {
    struct ws_http_reader r;
    uint8_t *copy = calloc(len + 1, 1);
    int result = 0;
    ws_http_reader_init(&r, kind, limits.max_size, limits.max_headers);
    for (size_t i = 0; i < len && result == 0; i++) {
        copy[i] = ((const uint8_t *)data)[i];
        CHECK_EQ(r.pos, i);
        result = ws_http_reader_feed(&r, copy, i + 1);
        copy[i] = 0;
        if (result == 0) CHECK_EQ(r.pos, i + 1);
    }
    free(copy);
    return outcome_of(&r, result);
}

/* Reads in every way, which must all come to the same. */
static struct outcome read_within(enum ws_http_kind kind, const void *data, size_t len,
                                  struct limits limits) {
    struct outcome o = read_whole(kind, data, len, limits);
    CHECK(same_outcome(o, read_bytes(kind, data, len, limits)));
    for (size_t at = 0; at <= len; at++)
        CHECK(same_outcome(o, read_split(kind, data, len, at, limits)));
    return o;
}

static struct outcome read_text(enum ws_http_kind kind, const char *text) {
    return read_within(kind, text, strlen(text), (struct limits){ROOMY, 64});
}

/* Refused with that status at the byte `at`, and not before it. */
static void check_refused(enum ws_http_kind kind, const void *data, size_t len, int status,
                          size_t at) {
    struct outcome o = read_within(kind, data, len, (struct limits){ROOMY, 64});
    CHECK_EQ(o.result, WS_ERR_SYNTAX);
    CHECK_EQ(o.status, status);
    CHECK_EQ(o.pos, at);
    if (o.status != status || o.pos != at) fprintf(stderr, "  in: %.60s\n", (const char *)data);
}

static void check_request_refused(const char *text, int status, size_t at) {
    check_refused(WS_HTTP_REQUEST, text, strlen(text), status, at);
}

static const char sample[] = "GET /chat?a=1&b HTTP/1.1\r\n"
                             "Host: server.example.com\r\n"
                             "Upgrade: websocket\r\n"
                             "Connection:Upgrade\r\n"
                             "Empty:\r\n"
                             "X-Odd: \t caf\xc3\xa9\ttab \t \r\n"
                             "!#$%&'*+-.^_`|~09azAZ: all token characters\r\n"
                             "\r\n";

static void test_request_read(void) {
    struct outcome o = read_text(WS_HTTP_REQUEST, sample);
    CHECK_EQ(o.result, sizeof sample - 1);
    CHECK_EQ(o.pos, sizeof sample - 1);
    CHECK_EQ(o.status, 0);
    CHECK_EQ(o.n_headers, 6);
    CHECK_EQ(read_text(WS_HTTP_REQUEST, "G / HTTP/1.1\r\n\r\n").result, 16);
}

static void test_every_prefix_needs_more(void) {
    for (size_t len = 0; len < sizeof sample - 1; len++) {
        struct outcome o = read_whole(WS_HTTP_REQUEST, sample, len, (struct limits){ROOMY, 64});
        CHECK_EQ(o.result, 0);
        CHECK_EQ(o.pos, len);
    }
}

static void test_bytes_behind_the_head(void) {
    /* Frames, or a second request: not looked at. */
    static const char text[] = LINE "Host: a\r\n\r\n\x81\x85\0\r\nGET / HTTP/1.1\r\n\r\n";
    struct outcome o =
        read_within(WS_HTTP_REQUEST, text, sizeof text - 1, (struct limits){ROOMY, 64});
    CHECK_EQ(o.result, 27);
    CHECK_EQ(o.pos, 27);
    CHECK_EQ(o.n_headers, 1);
}

static void test_response_read(void) {
    struct ws_http_head head;
    static const char text[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    struct outcome o = read_text(WS_HTTP_RESPONSE, text);
    CHECK_EQ(o.result, sizeof text - 1);
    CHECK_EQ(ws_http_head_parse(&head, WS_HTTP_RESPONSE, (const uint8_t *)text, sizeof text - 1),
             0);
    CHECK_EQ(head.status, 101);
    CHECK_EQ(head.method.len, 0);
    CHECK_EQ(head.target.len, 0);
    CHECK_EQ(head.rest.len, strlen("Upgrade: websocket\r\n"));
    /* An empty reason phrase, and one of bytes that are no ASCII. */
    CHECK_EQ(read_text(WS_HTTP_RESPONSE, "HTTP/1.1 404 \r\n\r\n").result, 17);
    CHECK_EQ(read_text(WS_HTTP_RESPONSE, "HTTP/1.1 404 \xe9\t!\r\n\r\n").result, 20);
}

static void test_response_refused(void) {
    static const struct {
        const char *text;
        int status;
        size_t at;
    } cases[] = {
        {"HTTP/1.1 101\r\n\r\n", 400, 12},   {"HTTP/1.1 1x1 A\r\n\r\n", 400, 10},
        {"HTTP/1.1 10 A\r\n\r\n", 400, 11},  {"HTTP/1.1 1010 A\r\n\r\n", 400, 12},
        {"HTTP/1.1  101 A\r\n\r\n", 400, 9}, {"HTTP/1.0 101 A\r\n\r\n", 505, 7},
        {"HTTP/2 101 A\r\n\r\n", 505, 5},    {"GET / HTTP/1.1\r\n\r\n", 400, 0},
        {"HTTP/1.1 200 A\n\n", 400, 14},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(WS_HTTP_RESPONSE, cases[i].text, strlen(cases[i].text), cases[i].status,
                      cases[i].at);
    check_refused(WS_HTTP_RESPONSE, "HTTP/1.1 200 A\0\r\n\r\n", 19, 400, 14);
}

static void test_request_line_refused(void) {
    check_request_refused("\r\nGET / HTTP/1.1\r\n\r\n", 400, 0);
    check_request_refused("\nGET / HTTP/1.1\r\n\r\n", 400, 0);
    check_request_refused(" GET / HTTP/1.1\r\n\r\n", 400, 0);
    check_request_refused("G(T / HTTP/1.1\r\n\r\n", 400, 1);
    check_request_refused("GET\t/ HTTP/1.1\r\n\r\n", 400, 3);
    check_request_refused("GET\r\n\r\n", 400, 3);
    check_request_refused("GET  / HTTP/1.1\r\n\r\n", 400, 4);
    check_request_refused("GET /\r\n\r\n", 400, 5); /* HTTP/0.9 */
    check_request_refused("GET /  HTTP/1.1\r\n\r\n", 400, 6);
    check_request_refused("GET /a#b HTTP/1.1\r\n\r\n", 400, 6);
    check_request_refused("GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n", 400, 8);
    check_request_refused("GET /\x7f HTTP/1.1\r\n\r\n", 400, 5);
    check_request_refused("GET / HTTP/1.1 \r\n\r\n", 400, 14);
    check_request_refused("GET / HTTP/1.1\n\n", 400, 14);
    check_request_refused("GET / HTTP/1.1\r\r\n\r\n", 400, 15);
    check_request_refused("GET / HTTP/1.1\rHost: a\r\n\r\n", 400, 15);
}

static void test_version_refused(void) {
    check_request_refused("GET / HTTP/1.0\r\n\r\n", 505, 13);
    check_request_refused("GET / HTTP/0.9\r\n\r\n", 505, 11);
    check_request_refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 11);
    check_request_refused("GET / HTTP/3\r\n\r\n", 505, 11);
    check_request_refused("GET / http/1.1\r\n\r\n", 400, 6);
    check_request_refused("GET / HTTP/x.1\r\n\r\n", 400, 11);
    check_request_refused("GET / HTTP/1,1\r\n\r\n", 400, 12);
    check_request_refused("GET / HTTP/11.1\r\n\r\n", 400, 12);
    check_request_refused("GET / HTTP/1.10\r\n\r\n", 400, 14);
    check_request_refused("GET / HTTP/1.x\r\n\r\n", 400, 13);
    check_request_refused("GET / SIP/2.0\r\n\r\n", 400, 6);
}

/* RFC 6455 4.2.1: "An HTTP/1.1 or higher GET request". */
static void test_later_minor_versions(void) {
    for (char minor = '1'; minor <= '9'; minor++) {
        char request[] = "GET / HTTP/1.1\r\n\r\n", response[] = "HTTP/1.1 101 A\r\n\r\n";
        request[13] = response[7] = minor;
        CHECK_EQ(read_text(WS_HTTP_REQUEST, request).result, 18);
        CHECK_EQ(read_text(WS_HTTP_RESPONSE, response).result, 18);
    }
    check_request_refused("GET / HTTP/1.:\r\n\r\n", 400, 13);
    check_request_refused("GET / HTTP/2.2\r\n\r\n", 505, 11);
    check_request_refused("GET / HTTP/1.22\r\n\r\n", 400, 14);
}

static void test_lenient_grammar_refused(void) {
    check_request_refused(LINE "Host: a\n\n", 400, 23);           /* bare LF */
    check_request_refused(LINE "Host: a\r\n\n", 400, 25);         /* bare LF ends the head */
    check_request_refused(LINE "Host: a\r\r\n\r\n", 400, 24);     /* bare CR */
    check_request_refused(LINE "Host: a\rb\r\n\r\n", 400, 24);    /* bare CR in a value */
    check_request_refused(LINE "Host: a\r\n\rX: b\r\n", 400, 26); /* bare CR for the empty line */
    check_request_refused(LINE "A: b\r\n c\r\n\r\n", 400, 22);    /* obs-fold */
    check_request_refused(LINE "A: b\r\n\tc\r\n\r\n", 400, 22);   /* obs-fold */
    check_request_refused(LINE " A: b\r\n\r\n", 400, 16);         /* space before the first field */
    check_request_refused(LINE "Host : a\r\n\r\n", 400, 20);      /* space before the colon */
    check_request_refused(LINE "Host\t: a\r\n\r\n", 400, 20);
    check_request_refused(LINE ": a\r\n\r\n", 400, 16);      /* empty name */
    check_request_refused(LINE "Host\r\n\r\n", 400, 20);     /* no colon */
    check_request_refused(LINE "Ho(st: a\r\n\r\n", 400, 18); /* no token */
    check_request_refused(LINE "H\xc3\xb6st: a\r\n\r\n", 400, 17);
    check_request_refused(LINE "A: b\x7f\r\n\r\n", 400, 20); /* control characters */
    check_request_refused(LINE "A: b\x1b[31m\r\n\r\n", 400, 20);
    check_refused(WS_HTTP_REQUEST, LINE "A: b\0c\r\n\r\n", 26, 400, 20); /* NUL */
    check_refused(WS_HTTP_REQUEST, LINE "A\0: b\r\n\r\n", 25, 400, 17);
    check_refused(WS_HTTP_REQUEST, LINE "\0: b\r\n\r\n", 24, 400, 16);
    check_refused(WS_HTTP_REQUEST, "GET /\0 HTTP/1.1\r\n\r\n", 19, 400, 5);
    check_refused(WS_HTTP_REQUEST, "\0GET / HTTP/1.1\r\n\r\n", 19, 400, 0);
}

/* Every byte at every kind of place is either taken or refused there, as the grammar says. */
static void test_every_byte_value(void) {
    static const char token_marks[] = "!#$%&'*+-.^_`|~";
    for (int c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool token = alnum || (c && strchr(token_marks, c));
        bool target = c > 0x20 && c < 0x7f && c != '#';
        bool text = c == '\t' || (c >= 0x20 && c != 0x7f);
        char in_method[] = "G?", in_target[] = "GET /?", in_name[] = LINE "A?",
             in_value[] = LINE "A: ?";
        struct {
            char *head;
            size_t len;
            bool taken;
        } places[] = {
            {in_method, sizeof in_method - 1, token || c == ' '},
            {in_target, sizeof in_target - 1, target || c == ' '},
            {in_name, sizeof in_name - 1, token || c == ':'},
            {in_value, sizeof in_value - 1, text || c == '\r'},
        };
        for (size_t i = 0; i < 4; i++) {
            places[i].head[places[i].len - 1] = (char)c;
            struct outcome o = read_whole(WS_HTTP_REQUEST, places[i].head, places[i].len,
                                          (struct limits){ROOMY, 64});
            CHECK_EQ(o.result, places[i].taken ? 0 : WS_ERR_SYNTAX);
            CHECK_EQ(o.pos, places[i].taken ? places[i].len : places[i].len - 1);
            CHECK_EQ(o.status, places[i].taken ? 0 : 400);
        }
    }
}

static void test_other_protocols_refused(void) {
    /* A TLS ClientHello, SSLv2, SSH's banner, garbage: at the first impossible byte. */
    check_refused(WS_HTTP_REQUEST, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11, 400, 0);
    check_refused(WS_HTTP_REQUEST, "\x80\x2e\x01\x03\x01", 5, 400, 0);
    check_refused(WS_HTTP_REQUEST, "SSH-2.0-OpenSSH_9.2\r\n", 21, 400, 19);
    check_refused(WS_HTTP_REQUEST, "\xff\xfe\xfd\xfc", 4, 400, 0);
}

static void test_head_size_limit(void) {
    static const char text[] = LINE "Host: a\r\n\r\n"; /* 27 bytes */
    size_t len = sizeof text - 1;
    CHECK_EQ(read_within(WS_HTTP_REQUEST, text, len, (struct limits){27, 64}).result, 27);
    for (size_t max = 0; max < len; max++) {
        struct outcome o = read_within(WS_HTTP_REQUEST, text, len, (struct limits){max, 64});
        CHECK_EQ(o.result, WS_ERR_LIMIT);
        /* The request line is 16 bytes: 414 until it has ended, 431 from then on. */
        CHECK_EQ(o.status, max < 16 ? 414 : 431);
        CHECK_EQ(o.pos, max);
    }
    /* The limit is known with its last byte: the next need not arrive. */
    CHECK_EQ(read_within(WS_HTTP_REQUEST, text, 20, (struct limits){20, 64}).result, WS_ERR_LIMIT);
    CHECK_EQ(read_within(WS_HTTP_REQUEST, text, 20, (struct limits){21, 64}).result, 0);
    /* A byte behind the limit is not judged, one before it is. */
    CHECK_EQ(read_within(WS_HTTP_REQUEST, "GET /\0", 6, (struct limits){5, 64}).status, 414);
    CHECK_EQ(read_within(WS_HTTP_REQUEST, "GET /\0", 6, (struct limits){6, 64}).status, 400);
    CHECK_EQ(read_within(WS_HTTP_RESPONSE, "HTTP/1.1 200 OK", 15, (struct limits){12, 64}).status,
             431);
    struct ws_http_reader r;
    ws_http_reader_init(&r, WS_HTTP_REQUEST, SIZE_MAX, 1);
    CHECK_EQ(r.max_size, INT_MAX);
}

static void test_header_number_limit(void) {
    static const char text[] = LINE "A: b\r\nC: d\r\nE: f\r\n\r\n";
    size_t len = sizeof text - 1;
    CHECK_EQ(read_within(WS_HTTP_REQUEST, text, len, (struct limits){ROOMY, 3}).result, len);
    for (uint32_t max = 0; max < 3; max++) {
        struct outcome o = read_within(WS_HTTP_REQUEST, text, len, (struct limits){ROOMY, max});
        CHECK_EQ(o.result, WS_ERR_LIMIT);
        CHECK_EQ(o.status, 431);
        CHECK_EQ(o.pos, 16 + 6 * max); /* the first byte of the field too many */
        CHECK_EQ(o.n_headers, max);
    }
    CHECK_EQ(read_text(WS_HTTP_REQUEST, LINE "\r\n").n_headers, 0);
    CHECK_EQ(read_within(WS_HTTP_REQUEST, LINE "\r\n", 18, (struct limits){ROOMY, 0}).result, 18);
}

/* read_bytes proves that each call looks at the new byte only: linear work. */
static void test_long_head_is_linear(void) {
    size_t len = 100000;
    char *text = malloc(len);
    memset(text, 'a', len);
    memcpy(text, LINE "X: ", 19);
    memcpy(text + len - 4, "\r\n\r\n", 4);
    struct outcome o = read_bytes(WS_HTTP_REQUEST, text, len, (struct limits){len, 64});
    CHECK_EQ(o.result, len);
    CHECK_EQ(o.pos, len);
    o = read_bytes(WS_HTTP_REQUEST, text, len, (struct limits){len - 1, 64});
    CHECK_EQ(o.result, WS_ERR_LIMIT);
    CHECK_EQ(o.status, 431);
    memset(text, 'a', len);
    memcpy(text, "GET /", 5);
    o = read_bytes(WS_HTTP_REQUEST, text, len, (struct limits){len, 64});
    CHECK_EQ(o.status, 414);
    free(text);
}

/* -- the parser ---------------------------------------------------------------------- */

static int parse(struct ws_http_head *head, const char *text) {
    size_t len = strlen(text);
    CHECK_EQ(read_text(WS_HTTP_REQUEST, text).result, len);
    return ws_http_head_parse(head, WS_HTTP_REQUEST, (const uint8_t *)text, len);
}

static void test_head_parsed(void) {
    struct check_page page;
    struct ws_http_head head;
    struct ws_http_header field;
    size_t len = sizeof sample - 1;
    const uint8_t *copy = check_page_copy(&page, sample, len);
    CHECK_EQ(ws_http_head_parse(&head, WS_HTTP_REQUEST, copy, len), 0);
    CHECK(slice_equals(head.method, "GET"));
    CHECK(slice_equals(head.target, "/chat?a=1&b"));
    CHECK(slice_equals(head.path, "/chat"));
    CHECK(slice_equals(head.query, "a=1&b"));
    CHECK(slice_equals(head.authority, ""));
    static const char *const expected[][2] = {
        {"Host", "server.example.com"}, {"Upgrade", "websocket"},
        {"Connection", "Upgrade"},      {"Empty", ""},
        {"X-Odd", "caf\xc3\xa9\ttab"},  {"!#$%&'*+-.^_`|~09azAZ", "all token characters"},
    };
    struct ws_slice at = head.rest;
    for (size_t i = 0; i < 6; i++) {
        CHECK(ws_http_head_next(&at, &field));
        CHECK(slice_equals(field.name, expected[i][0]));
        CHECK(slice_equals(field.value, expected[i][1]));
    }
    CHECK(!ws_http_head_next(&at, &field));
    CHECK(!ws_http_head_next(&at, &field));
    check_page_free(&page);
}

static void test_head_without_fields(void) {
    struct ws_http_head head;
    struct ws_http_header field;
    struct ws_slice value;
    CHECK_EQ(parse(&head, LINE "\r\n"), 0);
    CHECK_EQ(head.rest.len, 0);
    CHECK(!ws_http_head_next(&head.rest, &field));
    CHECK_EQ(ws_http_head_get(&head, "Host", &value), 0);
    CHECK(!ws_http_head_has_token(&head, "Upgrade", "websocket"));
}

static void test_targets(void) {
    static const struct {
        const char *target, *path, *query, *authority;
    } cases[] = {
        {"/", "/", "", ""},
        {"/?", "/", "", ""},
        {"/a/b?c?d", "/a/b", "c?d", ""},
        {"//evil.example/x", "//evil.example/x", "", ""},
        {"/http://a/", "/http://a/", "", ""},
        {"*", "*", "", ""},
        {"http://a.example/x?y", "/x", "y", "a.example"},
        {"HTTP://a.example:81", "/", "", "a.example:81"},
        {"ws://a.example?q=/", "/", "q=/", "a.example"},
        {"https://[::1]:443/", "/", "", "[::1]:443"},
        {"wss://user@a/?", "/", "", "user@a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        struct ws_http_head head;
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n\r\n", cases[i].target);
        CHECK_EQ(parse(&head, text), 0);
        CHECK(slice_equals(head.target, cases[i].target));
        CHECK(slice_equals(head.path, cases[i].path));
        CHECK(slice_equals(head.query, cases[i].query));
        CHECK(slice_equals(head.authority, cases[i].authority));
    }
    static const char *const refused[] = {
        "a.example:443",
        "chat",
        "?a",
        "*?a",
        "**",
        "http:/a",
        "http://",
        "http:///x",
        "ws://?x",
        "ftp://a/x",
        "javascript:alert(1)",
        "http",
        "\\x",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[128];
        struct ws_http_head head;
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n\r\n", refused[i]);
        CHECK_EQ(parse(&head, text), WS_ERR_SYNTAX);
    }
}

static void test_get(void) {
    struct ws_http_head head;
    struct ws_slice value;
    CHECK_EQ(parse(&head, LINE "HOST: a\r\nx-one: 1\r\n"
                               "X-Two: 2\r\nx-tWO:3\r\nX-TWO: 4\r\n\r\n"),
             0);
    CHECK_EQ(ws_http_head_get(&head, "Host", &value), 1);
    CHECK(slice_equals(value, "a"));
    CHECK_EQ(ws_http_head_get(&head, "X-One", &value), 1);
    CHECK(slice_equals(value, "1"));
    CHECK_EQ(ws_http_head_get(&head, "X-Two", &value), 2);
    CHECK(slice_equals(value, "2"));
    /* No prefix, no extension of a name. */
    CHECK_EQ(ws_http_head_get(&head, "X-Tw", &value), 0);
    CHECK_EQ(ws_http_head_get(&head, "X-Two2", &value), 0);
    CHECK_EQ(ws_http_head_get(&head, "", &value), 0);
}

static void test_tokens(void) {
    static const struct {
        const char *fields;
        bool has;
    } cases[] = {
        {"Upgrade: websocket\r\n", true},
        {"UPGRADE:WebSocket\r\n", true},
        {"Upgrade: foo, , WebSocket\r\n", true},
        {"Upgrade: ,,websocket,,\r\n", true},
        {"Upgrade: \t,\t websocket \t, h2c\r\n", true},
        {"Upgrade: h2c\r\nUpgrade: websocket\r\n", true},
        {"Upgrade: websocket\r\nUpgrade: h2c\r\n", true},
        {"Upgrade:\r\nUpgrade: ,\r\n", false},
        {"Upgrade: websockets\r\n", false},
        {"Upgrade: xwebsocket\r\n", false},
        {"Upgrade: web socket\r\n", false},
        {"Upgrade: websocket/13\r\n", false},
        {"Upgrade: \"websocket\"\r\n", false},
        {"Upgrade: not-websocket, websocket-not\r\n", false},
        {"Upgrade: h2c websocket\r\n", false},
        {"Upgrade: websocke\r\n", false},
        {"X-Upgrade: websocket\r\n", false},
        {"Upgrad: websocket\r\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        struct ws_http_head head;
        snprintf(text, sizeof text, LINE "%s\r\n", cases[i].fields);
        CHECK_EQ(parse(&head, text), 0);
        CHECK_EQ(ws_http_head_has_token(&head, "Upgrade", "websocket"), cases[i].has);
    }
}

static void test_slices(void) {
    struct ws_slice s = {.data = "AbZ@[", .len = 5};
    CHECK(ws_slice_is(s, "aBz@["));
    CHECK(!ws_slice_is(s, "aBz@{")); /* only letters have a case: '[' is not '{' */
    CHECK(!ws_slice_is(s, "aBz`["));
    CHECK(!ws_slice_is(s, "aBz@"));
    CHECK(!ws_slice_is(s, "aBz@[a"));
    CHECK(ws_slice_is((struct ws_slice){.data = "", .len = 0}, ""));
    CHECK(!ws_slice_is((struct ws_slice){.data = "a\0b", .len = 3}, "a"));
    CHECK(!ws_slice_same((struct ws_slice){.data = "\xc3", .len = 1},
                         (struct ws_slice){.data = "\xe3", .len = 1}));
}

/* What was never cut: memory of zeros. */
static void test_no_head(void) {
    struct ws_http_head head = {0};
    struct ws_http_header field;
    struct ws_slice at = head.rest, value;
    CHECK(!ws_http_head_next(&at, &field));
    CHECK_EQ(ws_http_head_get(&head, "Host", &value), 0);
    CHECK(!ws_http_head_has_token(&head, "Upgrade", "websocket"));
    CHECK(!ws_slice_is(head.method, "HEAD"));
}

int main(void) {
    RUN(test_request_read);
    RUN(test_every_prefix_needs_more);
    RUN(test_bytes_behind_the_head);
    RUN(test_response_read);
    RUN(test_response_refused);
    RUN(test_request_line_refused);
    RUN(test_version_refused);
    RUN(test_later_minor_versions);
    RUN(test_lenient_grammar_refused);
    RUN(test_every_byte_value);
    RUN(test_other_protocols_refused);
    RUN(test_head_size_limit);
    RUN(test_header_number_limit);
    RUN(test_long_head_is_linear);
    RUN(test_head_parsed);
    RUN(test_head_without_fields);
    RUN(test_targets);
    RUN(test_get);
    RUN(test_tokens);
    RUN(test_slices);
    RUN(test_no_head);
    return check_done();
}
