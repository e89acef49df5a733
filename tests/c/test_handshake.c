/* test_handshake.c: the opening handshake, both roles. */
#include "check.h"
#include "err.h"
#include "handshake.h"
#include "http.h"

#include <stdbool.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="                  /* RFC 6455 1.3 */
#define KEY_BYTES ((const uint8_t *)"the sample nonce") /* the same, decoded */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define LINE "GET /chat HTTP/1.1\r\n"
#define HOST "Host: a.example:8000\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY_FIELD "Sec-WebSocket-Key: " KEY "\r\n"
#define REST UPGRADE VERSION KEY_FIELD

static const struct ws_handshake_rules default_rules;

static bool slice_equals(struct ws_slice s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

/* Reads and parses a head that must be one; returns its size. */
static size_t parse(struct ws_http_head *head, enum ws_http_kind kind, const char *text,
                    size_t len) {
    struct ws_http_reader r;
    ws_http_reader_init(&r, kind, 8192, 64);
    int size = ws_http_reader_feed(&r, (const uint8_t *)text, len);
    CHECK(size > 0);
    if (size <= 0) {
        fprintf(stderr, "  in: %.*s\n", (int)len, text);
        exit(1);
    }
    CHECK_EQ(ws_http_head_parse(head, kind, (const uint8_t *)text, (size_t)size), 0);
    return (size_t)size;
}

/* The head at the very end of a page. */
static struct ws_handshake judge_with(const char *text, const struct ws_handshake_rules *rules) {
    struct check_page page;
    struct ws_http_head head;
    struct ws_handshake h;
    size_t len = strlen(text);
    const char *copy = (const char *)check_page_copy(&page, text, len);
    CHECK_EQ(parse(&head, WS_HTTP_REQUEST, copy, len), len);
    memset(&h, 0xA5, sizeof h);
    ws_handshake_check(&h, &head, rules);
    check_page_free(&page);
    return h;
}

static struct ws_handshake judge(const char *text) {
    return judge_with(text, &default_rules);
}

/* 101 for a valid upgrade, 200 for a plain request, else the status it is refused with. */
static int verdict_with(const char *text, const struct ws_handshake_rules *rules) {
    struct ws_handshake h = judge_with(text, rules);
    switch (h.kind) {
    case WS_HANDSHAKE_UPGRADE: return 101;
    case WS_HANDSHAKE_PLAIN: return 200;
    default: return h.detail && strlen(h.detail) > 0 ? h.status : -1;
    }
}

static int verdict(const char *text) {
    return verdict_with(text, &default_rules);
}

/* -- the check ----------------------------------------------------------------------- */

static void test_rfc_sample(void) {
    struct ws_handshake h = judge("GET /chat HTTP/1.1\r\n"
                                  "Host: server.example.com\r\n"
                                  "Upgrade: websocket\r\n"
                                  "Connection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Sec-WebSocket-Protocol: chat, superchat\r\n"
                                  "Sec-WebSocket-Version: 13\r\n"
                                  "Origin: http://server.example.com\r\n"
                                  "\r\n");
    CHECK_EQ(h.kind, WS_HANDSHAKE_UPGRADE);
    CHECK(memcmp(h.accept, ACCEPT, WS_HANDSHAKE_ACCEPT_SIZE) == 0);
    char accept[WS_HANDSHAKE_ACCEPT_SIZE];
    CHECK_EQ(ws_handshake_accept(accept, KEY, strlen(KEY)), 0);
    CHECK(memcmp(accept, ACCEPT, sizeof accept) == 0);
}

static void test_field_names_and_tokens(void) {
    CHECK_EQ(verdict(LINE "hOST:a\r\nuPGRADE:WEBSOCKET\r\nCONNECTION:keep-alive,UPGRADE\r\n"
                          "sec-websocket-key:" KEY "\r\nSEC-WEBSOCKET-VERSION:\t13 \r\n\r\n"),
             101);
    CHECK_EQ(verdict(LINE HOST VERSION KEY_FIELD "Upgrade: foo, , WebSocket\r\n"
                                                 "Connection: ,\t,Upgrade ,\r\n\r\n"),
             101);
    CHECK_EQ(verdict(LINE HOST VERSION KEY_FIELD "Upgrade: foo\r\nUpgrade: websocket\r\n"
                                                 "Connection: close\r\n"
                                                 "Connection: upgrade\r\n\r\n"),
             101);
    /* Substrings are no tokens. */
    CHECK_EQ(verdict(LINE HOST VERSION KEY_FIELD "Upgrade: websockets\r\n"
                                                 "Connection: Upgrade\r\n\r\n"),
             200);
    CHECK_EQ(verdict(LINE HOST VERSION KEY_FIELD "Upgrade: websocket\r\n"
                                                 "Connection: not-upgrade\r\n\r\n"),
             400);
}

static void test_each_field_missing(void) {
    CHECK_EQ(verdict(LINE HOST REST "\r\n"), 101);
    CHECK_EQ(verdict(LINE REST "\r\n"), 400);
    CHECK_EQ(verdict(LINE HOST VERSION KEY_FIELD "\r\n"), 200);
    CHECK_EQ(verdict(LINE HOST "Connection: Upgrade\r\n" VERSION KEY_FIELD "\r\n"), 200);
    CHECK_EQ(verdict(LINE HOST "Upgrade: websocket\r\n" VERSION KEY_FIELD "\r\n"), 400);
    CHECK_EQ(verdict(LINE HOST UPGRADE KEY_FIELD "\r\n"), 426);
    CHECK_EQ(verdict(LINE HOST UPGRADE VERSION "\r\n"), 400);
}

static void test_each_field_twice(void) {
    CHECK_EQ(verdict(LINE HOST HOST REST "\r\n"), 400);
    CHECK_EQ(verdict(LINE HOST REST VERSION "\r\n"), 426);
    CHECK_EQ(verdict(LINE HOST REST "Sec-WebSocket-Version: 8\r\n\r\n"), 426);
    CHECK_EQ(verdict(LINE HOST REST KEY_FIELD "\r\n"), 400);
    CHECK_EQ(verdict(LINE HOST REST "Origin: http://a.example:8000\r\n"
                                    "Origin: http://a.example:8000\r\n\r\n"),
             400);
    /* Even where any origin may in. */
    struct ws_handshake_rules any = {.origins = {.mode = WS_ALLOW_ANY}};
    CHECK_EQ(verdict_with(LINE HOST REST "Origin: null\r\nOrigin: null\r\n\r\n", &any), 400);
    /* Lists may come in several fields. */
    CHECK_EQ(verdict(LINE HOST REST UPGRADE "\r\n"), 101);
}

static void test_methods(void) {
    CHECK_EQ(verdict("POST / HTTP/1.1\r\n" HOST REST "\r\n"), 405);
    CHECK_EQ(verdict("HEAD / HTTP/1.1\r\n" HOST REST "\r\n"), 405);
    CHECK_EQ(verdict("get / HTTP/1.1\r\n" HOST REST "\r\n"), 405);
    CHECK_EQ(verdict("GETS / HTTP/1.1\r\n" HOST REST "\r\n"), 405);
    CHECK_EQ(verdict("GET / HTTP/1.1\r\n" HOST "\r\n"), 200);
    CHECK_EQ(verdict("HEAD / HTTP/1.1\r\n" HOST "\r\n"), 200);
    CHECK_EQ(verdict("GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\n\r\n"), 200);
    CHECK_EQ(verdict("POST / HTTP/1.1\r\n" HOST "\r\n"), 405);
    CHECK_EQ(verdict("head / HTTP/1.1\r\n" HOST "\r\n"), 405);
    CHECK_EQ(verdict("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), 405);
}

static void test_versions(void) {
    static const char *const refused[] = {"",     "12",    "8",         "0",   "14",
                                          "013",  "13, 8", "13 13",     "1 3", "+13",
                                          "13.0", "255",   "4294967309"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char text[256];
        snprintf(text, sizeof text, LINE HOST UPGRADE KEY_FIELD "Sec-WebSocket-Version: %s\r\n\r\n",
                 refused[i]);
        CHECK_EQ(verdict(text), 426);
    }
}

static void test_keys(void) {
    static const char *const refused[] = {
        "",
        "AAAA",
        "AAAAAAAAAAAAAAAAAAAA",             /* 15 bytes */
        "AAAAAAAAAAAAAAAAAAAAAAA=",         /* 17 bytes */
        "AAAAAAAAAAAAAAAAAAAAAAAA",         /* 18 bytes */
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", /* 22 bytes */
        "dGhlIHNhbXBsZSBub25jZQ",           /* no padding */
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBs=SBub25jZQ==",
        "dGhlIHNhbXBsZSBub25-ZQ==", /* the other alphabet */
        "dGhlIHNhbXBs ZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    };
    char text[256];
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        snprintf(text, sizeof text, LINE HOST UPGRADE VERSION "Sec-WebSocket-Key: %s\r\n\r\n",
                 refused[i]);
        CHECK_EQ(verdict(text), 400);
    }
    CHECK_EQ(verdict(LINE HOST UPGRADE VERSION
                     "Sec-WebSocket-Key:  \t AAAAAAAAAAAAAAAAAAAAAA== \r\n\r\n"),
             101);
    CHECK_EQ(
        verdict(LINE HOST UPGRADE VERSION "Sec-WebSocket-Key: +/+/+/+/+/+/+/+/+/+/+w==\r\n\r\n"),
        101);
    /* The example of RFC 6455 4.1, with bits behind the data. */
    CHECK_EQ(
        verdict(LINE HOST UPGRADE VERSION "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n\r\n"),
        101);
}

static void test_smuggling_refused(void) {
    static const char *const bodies[] = {
        "Content-Length: 1\r\n",
        "Content-Length: 44\r\n",
        "content-length: 00\r\n",
        "Content-Length: +0\r\n",
        "Content-Length: -1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 0, 0\r\n",
        "Content-Length: 0x0\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nCONTENT-LENGTH: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "transfer-encoding:\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    };
    static const char *const starts[] = {
        LINE HOST REST,
        LINE HOST,
        "HEAD / HTTP/1.1\r\n" HOST,
        "POST / HTTP/1.1\r\n" HOST,
    };
    char text[512];
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        for (size_t j = 0; j < sizeof starts / sizeof *starts; j++) {
            snprintf(text, sizeof text, "%s%s\r\n", starts[j], bodies[i]);
            CHECK_EQ(verdict(text), 400);
        }
    CHECK_EQ(verdict(LINE HOST REST "Content-Length: 0\r\n\r\n"), 101);
    CHECK_EQ(verdict(LINE HOST "Content-Length: 0\r\n\r\n"), 200);
}

/* Each fault hides those behind it. */
static void test_order_of_the_checks(void) {
    struct ws_slice name = {.data = "b.example", .len = 9};
    struct ws_handshake_rules rules = {.hosts = {WS_ALLOW_LIST, &name, 1}};
#define TO(host) " / HTTP/1.1\r\nHost: " host "\r\n"
#define ASKS "Upgrade: websocket\r\n"
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {"POST" TO("b.example:x") ASKS "Content-Length: 1\r\n", 400},
        {"POST" TO("c.example") ASKS "Content-Length: 1\r\n", 421},
        {"POST" TO("b.example") ASKS "Content-Length: 1\r\n", 405},
        {"POST" TO("b.example") "Content-Length: 1\r\n", 400},
        {"GET" TO("b.example") ASKS "Content-Length: 1\r\n", 400},
        {"GET" TO("b.example") ASKS, 400},
        {"GET" TO("b.example") UPGRADE "Origin: null\r\n", 426},
        {"GET" TO("b.example") UPGRADE VERSION "Origin: null\r\n", 400},
        {"GET" TO("b.example") REST "Origin: null\r\n", 403},
        {"GET" TO("b.example") REST, 101},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s\r\n", cases[i].fields);
        CHECK_EQ(verdict_with(text, &rules), cases[i].status);
    }
}

/* -- hosts --------------------------------------------------------------------------- */

static int verdict_of_host(const char *host, const struct ws_handshake_rules *rules) {
    char text[512];
    snprintf(text, sizeof text, LINE "Host: %s\r\n" REST "\r\n", host);
    return verdict_with(text, rules);
}

static void test_host_grammar(void) {
    static const char *const good[] = {
        "a",
        "a.example",
        "A.Example.",
        "a:0",
        "a:80",
        "a:00080",
        "a:65535",
        "a:",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:8000",
        "[::1]:",
        "[2001:DB8::1]",
        "[::ffff:127.0.0.1]",
        "a_b",
        "xn--caf-dma.example",
        "%41.example",
        "a~!$&'()*+,;=b",
    };
    static const char *const bad[] = {
        "",
        ":80",
        "a:65536",
        "a:99999999999999999999",
        "a:8a",
        "a:-1",
        "a:+1",
        "a: 80",
        "a:80:80",
        "user@a",
        "user:pass@a",
        "a/b",
        "a?b",
        "a#b",
        "a b",
        "a, b",
        "a\tb",
        "http://a",
        "::1",
        "[::1",
        "[]",
        "[::1]]",
        "[::1]a",
        "[::1]80",
        "[::1%25lo]",
        "[v1.a]",
        "[a]",
        "[127.0.0.1]",
        "[::1]:65536",
        "[:::1]",
        "[12345::]",
        "%4",
        "%",
        "%zz",
        "caf\xc3\xa9",
        "a\\b",
        "a\"b",
        "<a>",
        "a^b",
        "a`b",
        "{a}",
        "a|b",
        "]",
        "a]",
        "a[::1]",
        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_EQ(verdict_of_host(good[i], &default_rules), 101);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(verdict_of_host(bad[i], &default_rules), 400);
}

static void test_host_list(void) {
    static const struct ws_slice items[] = {
        {"localhost", 9}, {"[::1]", 5},         {"A.example:8000", 14}, {"b.example:443", 13},
        {"c.example", 9}, {"d.example:80", 12}, {"not a host/", 11},    {NULL, 0},
    };
    struct ws_handshake_rules rules = {
        .hosts = {WS_ALLOW_LIST, items, sizeof items / sizeof *items}};
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {"localhost", 101},     {"LocalHost:8000", 101}, {"localhost:1", 101},
        {"localhost.", 421},    {"localhos", 421},       {"localhost.evil.example", 421},
        {"[::1]", 101},         {"[::1]:8000", 101},     {"[::2]", 421},
        {"127.0.0.1", 421},     {"a.EXAMPLE:8000", 101}, {"a.example:8001", 421},
        {"a.example", 421},     {"b.example", 101},      {"b.example:443", 101},
        {"b.example:80", 421},  {"evil.example", 421},   {"c.example:", 101},
        {"not a host/", 400},   {"xlocalhost", 421},     {"d.example", 101},
        {"d.example:443", 421},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQ(verdict_of_host(cases[i].host, &rules), cases[i].status);
    /* Plain requests are guarded as well: DNS rebinding would read pages. */
    CHECK_EQ(verdict_with(LINE "Host: evil.example\r\n\r\n", &rules), 421);
    struct ws_handshake h = judge_with(LINE "Host: evil.example\r\n\r\n", &rules);
    CHECK(strstr(h.detail, "hosts=") != NULL);
    /* An item that ends in half an escape, at the end of a page. */
    struct check_page page;
    struct ws_slice item = {.data = (const char *)check_page_copy(&page, "a%4", 3), .len = 3};
    rules.hosts = (struct ws_allow_list){WS_ALLOW_LIST, &item, 1};
    CHECK_EQ(verdict_of_host("a%41", &rules), 421);
    check_page_free(&page);
    rules.hosts.n = 0;
    CHECK_EQ(verdict_of_host("localhost", &rules), 421);
    rules.hosts.mode = WS_ALLOW_ANY;
    CHECK_EQ(verdict_of_host("evil.example", &rules), 101);
}

static void test_absolute_form(void) {
    static const struct ws_slice items[] = {{"a.example", 9}};
    struct ws_handshake_rules rules = {.hosts = {WS_ALLOW_LIST, items, 1}};
#define ABSOLUTE(authority) "GET ws://" authority "/chat HTTP/1.1\r\n"
    CHECK_EQ(verdict_with(ABSOLUTE("a.example:81") "Host: b.example\r\n" REST "\r\n", &rules), 101);
    CHECK_EQ(verdict_with(ABSOLUTE("b.example") "Host: a.example\r\n" REST "\r\n", &rules), 421);
    CHECK_EQ(verdict_with(ABSOLUTE("a.example") REST "\r\n", &rules), 400);
    CHECK_EQ(verdict_with(ABSOLUTE("a.example") "Host: a/b\r\n" REST "\r\n", &rules), 400);
    CHECK_EQ(verdict_with(ABSOLUTE("u@a.example") "Host: a.example\r\n" REST "\r\n", &rules), 400);
    CHECK_EQ(verdict_with(ABSOLUTE("a.example:x") "Host: a.example\r\n" REST "\r\n", &rules), 400);
    /* The origin is compared with the authority, too. */
    CHECK_EQ(verdict_with(ABSOLUTE("a.example") "Host: b.example\r\n" REST
                                                "Origin: http://a.example\r\n\r\n",
                          &rules),
             101);
    CHECK_EQ(verdict_with(ABSOLUTE("a.example") "Host: b.example\r\n" REST
                                                "Origin: http://b.example\r\n\r\n",
                          &rules),
             403);
}

/* -- origins ------------------------------------------------------------------------- */

static int verdict_of_origin(const char *host, const char *origin,
                             const struct ws_handshake_rules *rules) {
    char text[512];
    snprintf(text, sizeof text, LINE "Host: %s\r\n" REST "Origin: %s\r\n\r\n", host, origin);
    return verdict_with(text, rules);
}

static void test_same_origin(void) {
    static const char *const good[][2] = {
        {"a.example", "http://a.example"},
        {"a.example", "https://a.example"},
        {"A.example", "HTTP://a.EXAMPLE"},
        {"a.example", "http://a.example:80"},
        {"a.example:80", "http://a.example"},
        {"a.example", "https://a.example:443"},
        {"a.example:443", "https://a.example"},
        {"a.example:8000", "http://a.example:8000"},
        {"a.example:8000", "https://a.example:8000"},
        {"[::1]:8000", "http://[::1]:8000"},
        {"127.0.0.1", "http://127.0.0.1"},
    };
    static const char *const bad[][2] = {
        {"a.example", "http://b.example"},
        {"a.example", "http://a.example:8000"},
        {"a.example:8000", "http://a.example"},
        {"a.example:443", "http://a.example"},
        {"a.example:80", "https://a.example"},
        {"a.example", "http://a.example:443"},
        {"a.example", "http://a.example."},
        {"a.example", "http://sub.a.example"},
        {"a.example", "http://a.example.evil.example"},
        {"a.example", "http://evil.example/a.example"},
        {"a.example", "http://a.exampl"},
        {"a.example", "http://xa.example"},
        {"a.example", "null"},
        {"a.example", "NULL"},
        {"a.example", ""},
        {"a.example", "*"},
        {"a.example", "a.example"},
        {"a.example", "//a.example"},
        {"a.example", "http:a.example"},
        {"a.example", "http:/a.example"},
        {"a.example", "http//a.example"},
        {"a.example", "http://"},
        {"a.example", "://a.example"},
        {"a.example", "http://a.example/"},
        {"a.example", "http://a.example?"},
        {"a.example", "http://user@a.example"},
        {"a.example", "http://a.example@evil.example"},
        {"a.example", "http://a.example:80@evil.example"},
        {"a.example", "http://a.example, http://a.example"},
        {"a.example", "http://a.example http://a.example"},
        {"a.example", "http://a.example:99999"},
        {"a.example", "http://a.example:80x"},
        {"a.example", "ftp://a.example"},
        {"a.example", "ws://a.example"},
        {"a.example", "httpx://a.example"},
        {"a.example", "file://"},
        {"a.example", "chrome-extension://a.example"},
        {"[::1]", "http://::1"},
        {"localhost", "http://127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK_EQ(verdict_of_origin(good[i][0], good[i][1], &default_rules), 101);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(verdict_of_origin(bad[i][0], bad[i][1], &default_rules), 403);
    struct ws_handshake h = judge(LINE HOST REST "Origin: http://evil.example\r\n\r\n");
    CHECK(strstr(h.detail, "origins=") != NULL);
    /* A plain request is not judged by its origin. */
    CHECK_EQ(verdict(LINE HOST "Origin: http://evil.example\r\n\r\n"), 200);
}

static void test_origin_list(void) {
    static const struct ws_slice items[] = {
        {"http://a.example", 16},
        {"https://B.example:443", 21},
        {"http://c.example:8000", 21},
        {"chrome-extension://abcdef", 25},
        {"null", 4},
        {"garbage", 7},
        {NULL, 0},
    };
    struct ws_handshake_rules rules = {
        .origins = {WS_ALLOW_LIST, items, sizeof items / sizeof *items}};
    static const struct {
        const char *origin;
        int status;
    } cases[] = {
        {"http://a.example", 101},
        {"HTTP://A.EXAMPLE:80", 101},
        {"https://a.example", 403},
        {"http://a.example:443", 403},
        {"http://a.example:8000", 403},
        {"http://a.example.", 403},
        {"https://b.example", 101},
        {"https://b.example:443", 101},
        {"http://b.example:443", 403},
        {"http://b.example", 403},
        {"http://c.example:8000", 101},
        {"http://c.example", 403},
        {"chrome-extension://abcdef", 101},
        {"chrome-extension://abcdeg", 403},
        {"moz-extension://abcdef", 403},
        {"null", 403},
        {"garbage", 403},
        {"", 403},
        {"http://host.example", 403},
        {"http://a.example/", 403},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_EQ(verdict_of_origin("host.example", cases[i].origin, &rules), cases[i].status);
    CHECK_EQ(verdict_with(LINE HOST REST "\r\n", &rules), 101); /* no browser */
    rules.origins.n = 0;
    CHECK_EQ(verdict_of_origin("host.example", "http://host.example", &rules), 403);
    rules.origins.mode = WS_ALLOW_ANY;
    CHECK_EQ(verdict_of_origin("host.example", "null", &rules), 101);
    CHECK_EQ(verdict_of_origin("host.example", "http://evil.example", &rules), 101);
}

/* -- answers ------------------------------------------------------------------------- */

static void test_answer(void) {
    char out[WS_HANDSHAKE_ANSWER_MAX];
    struct ws_http_head head;
    struct ws_handshake h = judge(LINE HOST REST "\r\n");
    size_t len = ws_handshake_answer(out, &h);
    static const char expected[] = "HTTP/1.1 101 Switching Protocols\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Accept: " ACCEPT "\r\n"
                                   "\r\n";
    CHECK_EQ(len, sizeof expected - 1);
    CHECK(memcmp(out, expected, len) == 0);
    CHECK_EQ(parse(&head, WS_HTTP_RESPONSE, out, len), len);
    CHECK_EQ(head.status, 101);
}

/* Parses an error answer; returns the body. */
static struct ws_slice parse_error(struct ws_http_head *head, const char *out, size_t len) {
    struct ws_slice value;
    size_t size = parse(head, WS_HTTP_RESPONSE, out, len);
    CHECK(ws_http_head_has_token(head, "Connection", "close"));
    CHECK_EQ(ws_http_head_get(head, "Content-Type", &value), 1);
    CHECK(slice_equals(value, "text/plain; charset=utf-8"));
    return (struct ws_slice){.data = out + size, .len = len - size};
}

static size_t content_length(const struct ws_http_head *head) {
    struct ws_slice value = {.data = "", .len = 0};
    CHECK_EQ(ws_http_head_get(head, "Content-Length", &value), 1);
    size_t n = 0;
    for (size_t i = 0; i < value.len; i++) n = n * 10 + (size_t)(value.data[i] - '0');
    return n;
}

static void test_error_answers(void) {
    static const int statuses[] = {400, 403, 404, 405, 408, 414, 421, 426,
                                   429, 431, 500, 501, 503, 505, 599};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        char out[WS_HANDSHAKE_ERROR_MAX], bare[WS_HANDSHAKE_ERROR_MAX];
        struct ws_http_head head;
        struct ws_slice value;
        int status = statuses[i];
        size_t len = ws_handshake_error(out, status, "So it is.", false);
        struct ws_slice body = parse_error(&head, out, len);
        CHECK_EQ(head.status, status);
        CHECK(slice_equals(body, "So it is.\n"));
        CHECK_EQ(content_length(&head), body.len);
        CHECK_EQ(ws_http_head_get(&head, "Allow", &value), status == 405);
        CHECK(status != 405 || slice_equals(value, "GET, HEAD"));
        CHECK_EQ(ws_http_head_get(&head, "Upgrade", &value), status == 426);
        CHECK(status != 426 || slice_equals(value, "websocket"));
        CHECK_EQ(ws_http_head_has_token(&head, "Connection", "upgrade"), status == 426);
        CHECK_EQ(ws_http_head_get(&head, "Sec-WebSocket-Version", &value), status == 426);
        CHECK(status != 426 || slice_equals(value, "13"));
        CHECK_EQ(ws_http_head_get(&head, "Retry-After", &value), status == 503);
        /* RFC 9110 9.3.2: a HEAD has the fields of the GET, and no content. */
        CHECK_EQ(ws_handshake_error(bare, status, "So it is.", true), len - body.len);
        CHECK(memcmp(bare, out, len - body.len) == 0);
    }
}

static void test_error_answer_is_exact(void) {
    char out[WS_HANDSHAKE_ERROR_MAX];
    static const char expected[] = "HTTP/1.1 400 Bad Request\r\n"
                                   "Content-Type: text/plain; charset=utf-8\r\n"
                                   "Content-Length: 6\r\n"
                                   "Connection: close\r\n"
                                   "\r\n"
                                   "Oops.\n";
    CHECK_EQ(ws_handshake_error(out, 400, "Oops.", false), sizeof expected - 1);
    CHECK(memcmp(out, expected, sizeof expected - 1) == 0);
}

static void test_error_details_are_cut(void) {
    char detail[600];
    static const int statuses[] = {405, 426, 431, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        for (size_t n = 250; n <= 260; n++) {
            char out[WS_HANDSHAKE_ERROR_MAX];
            struct ws_http_head head;
            memset(detail, 'x', n);
            detail[n] = '\0';
            size_t len = ws_handshake_error(out, statuses[i], detail, false);
            struct ws_slice body = parse_error(&head, out, len);
            CHECK_EQ(body.len, (n < 256 ? n : 256) + 1);
            CHECK_EQ(content_length(&head), body.len);
            CHECK_EQ(body.data[body.len - 1], '\n');
        }
    }
    /* Not inside a character. */
    char out[WS_HANDSHAKE_ERROR_MAX];
    struct ws_http_head head;
    memset(detail, 'x', 599);
    detail[599] = '\0';
    memcpy(detail + 254, "\xe2\x82\xac", 3);
    struct ws_slice body = parse_error(&head, out, ws_handshake_error(out, 400, detail, false));
    CHECK_EQ(body.len, 254 + 1);
    memcpy(detail + 253, "\xe2\x82\xacx", 4);
    body = parse_error(&head, out, ws_handshake_error(out, 400, detail, false));
    CHECK_EQ(body.len, 256 + 1);
}

static void test_error_defaults(void) {
    char out[WS_HANDSHAKE_ERROR_MAX];
    struct ws_http_head head;
    CHECK(slice_equals(parse_error(&head, out, ws_handshake_error(out, 404, NULL, false)),
                       "Not Found\n"));
    CHECK(slice_equals(parse_error(&head, out, ws_handshake_error(out, 404, "", false)), "\n"));
    static const int odd[] = {-1, 0, 99, 1000, 2147483647};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        parse_error(&head, out, ws_handshake_error(out, odd[i], "x", false));
        CHECK_EQ(head.status, 500);
    }
}

static void test_phrases(void) {
    CHECK(strcmp(ws_handshake_phrase(101), "Switching Protocols") == 0);
    CHECK(strcmp(ws_handshake_phrase(421), "Misdirected Request") == 0);
    CHECK(strcmp(ws_handshake_phrase(426), "Upgrade Required") == 0);
    CHECK(strcmp(ws_handshake_phrase(431), "Request Header Fields Too Large") == 0);
    CHECK(strcmp(ws_handshake_phrase(599), "Error") == 0);
    CHECK(strcmp(ws_handshake_phrase(-1), "Error") == 0);
    int known = 0; /* of RFC 9110 and 6585 */
    for (int status = 100; status < 600; status++) {
        const char *phrase = ws_handshake_phrase(status);
        if (strcmp(phrase, "Error") == 0) continue;
        known++;
        CHECK(phrase[0] >= 'A' && phrase[0] <= 'Z');
        for (const char *p = phrase; *p; p++) CHECK(*p >= ' ' && *p <= 'z');
    }
    CHECK_EQ(known, 47);
}

/* -- the client ---------------------------------------------------------------------- */

static void test_request(void) {
    char out[512];
    static const char expected[] = "GET /chat?a=1 HTTP/1.1\r\n"
                                   "Host: a.example:8000\r\n"
                                   "Upgrade: websocket\r\n"
                                   "Connection: Upgrade\r\n"
                                   "Sec-WebSocket-Key: " KEY "\r\n"
                                   "Sec-WebSocket-Version: 13\r\n"
                                   "\r\n";
    int len = ws_handshake_request(out, sizeof out, "a.example:8000", "/chat?a=1", KEY_BYTES);
    CHECK_EQ(len, sizeof expected - 1);
    CHECK(memcmp(out, expected, sizeof expected) == 0);
    CHECK_EQ(ws_handshake_request(out, sizeof expected, "a.example:8000", "/chat?a=1", KEY_BYTES),
             sizeof expected - 1);
    for (size_t cap = 0; cap < sizeof expected; cap++) {
        char *room = malloc(cap + !cap);
        CHECK_EQ(ws_handshake_request(room, cap, "a.example:8000", "/chat?a=1", KEY_BYTES),
                 WS_ERR_ARGUMENT);
        free(room);
    }
}

static void test_request_splitting_refused(void) {
    char out[512];
    static const char *const hosts[] = {"",   "a\r\nX: y",   "a\n", "a b", "u@a",
                                        "a/", "caf\xc3\xa9", "a:x", "::1", "http://a"};
    static const char *const targets[] = {"",     "chat",         "http://a/", "*",
                                          "/a b", "/a\r\nX: y",   "/\n",       "/\t",
                                          "/a#b", "/caf\xc3\xa9", "/\x7f"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        CHECK_EQ(ws_handshake_request(out, sizeof out, hosts[i], "/", KEY_BYTES), WS_ERR_ARGUMENT);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
        CHECK_EQ(ws_handshake_request(out, sizeof out, "a", targets[i], KEY_BYTES),
                 WS_ERR_ARGUMENT);
}

/* The client verifies a response of that status line and fields; returns what it says of it. */
static int verify(const char *text, const char **detail) {
    struct check_page page;
    struct ws_http_head head;
    size_t len = strlen(text);
    const char *copy = (const char *)check_page_copy(&page, text, len);
    *detail = NULL;
    CHECK_EQ(parse(&head, WS_HTTP_RESPONSE, copy, len), len);
    int result = ws_handshake_verify(&head, KEY_BYTES, detail);
    check_page_free(&page);
    return result;
}

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT_FIELD "Sec-WebSocket-Accept: " ACCEPT "\r\n"

static void test_verify(void) {
    const char *detail;
    CHECK_EQ(verify(SWITCHING UPGRADE ACCEPT_FIELD "\r\n", &detail), 0);
    CHECK_EQ(verify("HTTP/1.1 101 \r\nupgrade:WebSocket\r\nCONNECTION: x, ,UPGRADE\r\n"
                    "sec-websocket-accept:\t" ACCEPT " \r\nServer: x\r\n\r\n",
                    &detail),
             0);
    static const struct {
        const char *text, *word; /* the word is in the detail */
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n" UPGRADE ACCEPT_FIELD "\r\n", "101"},
        {"HTTP/1.1 403 Forbidden\r\n\r\n", "101"},
        {SWITCHING "Connection: Upgrade\r\n" ACCEPT_FIELD "\r\n", "Upgrade"},
        {SWITCHING "Upgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT_FIELD "\r\n", "Upgrade"},
        {SWITCHING "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n" ACCEPT_FIELD "\r\n",
         "Upgrade"},
        {SWITCHING UPGRADE "Upgrade: websocket\r\n" ACCEPT_FIELD "\r\n", "Upgrade"},
        {SWITCHING "Upgrade: websocket\r\n" ACCEPT_FIELD "\r\n", "Connection"},
        {SWITCHING "Upgrade: websocket\r\nConnection: close\r\n" ACCEPT_FIELD "\r\n", "Connection"},
        {SWITCHING UPGRADE "\r\n", "exactly one"},
        {SWITCHING UPGRADE ACCEPT_FIELD ACCEPT_FIELD "\r\n", "exactly one"},
        {SWITCHING UPGRADE "Sec-WebSocket-Accept:\r\n\r\n", "wrong"},
        {SWITCHING UPGRADE "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n\r\n", "wrong"},
        {SWITCHING UPGRADE "Sec-WebSocket-Accept: " KEY "\r\n\r\n", "wrong"},
        {SWITCHING UPGRADE "Sec-WebSocket-Accept: " ACCEPT "=\r\n\r\n", "wrong"},
        {SWITCHING UPGRADE ACCEPT_FIELD "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
         "extension"},
        {SWITCHING UPGRADE ACCEPT_FIELD "Sec-WebSocket-Protocol: chat\r\n\r\n", "subprotocol"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_EQ(verify(cases[i].text, &detail), WS_ERR_SYNTAX);
        CHECK(detail && strstr(detail, cases[i].word));
    }
}

static int verify_offer(const char *fields, const struct ws_names *offered,
                        struct ws_slice *agreed) {
    char text[512];
    struct ws_http_head head;
    const char *detail = NULL;
    int len = snprintf(text, sizeof text, SWITCHING UPGRADE ACCEPT_FIELD "%s\r\n", fields);
    parse(&head, WS_HTTP_RESPONSE, text, (size_t)len);
    int result = ws_handshake_verify_offer(&head, KEY_BYTES, offered, agreed, &detail);
    CHECK_EQ(result < 0, detail != NULL);
    return result;
}

/* RFC 6455 4.1 item 6: one of those that were offered, or none. */
static void test_verify_offer(void) {
    static const struct ws_slice items[] = {{"chat", 4}, {"superchat", 9}};
    const struct ws_names offered = {items, 2}, none = {NULL, 0};
    struct ws_slice agreed;
    CHECK_EQ(verify_offer("", &offered, &agreed), 0);
    CHECK_EQ(agreed.len, 0);
    CHECK_EQ(verify_offer("sec-websocket-protocol:superchat\r\n", &offered, &agreed), 0);
    CHECK(agreed.data == items[1].data && agreed.len == 9);
    static const char *const refused[] = {
        "Sec-WebSocket-Protocol: x\r\n",
        "Sec-WebSocket-Protocol: CHAT\r\n",
        "Sec-WebSocket-Protocol:\r\n",
        "Sec-WebSocket-Protocol: chat, superchat\r\n",
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CHECK_EQ(verify_offer(refused[i], &offered, &agreed), WS_ERR_SYNTAX);
        CHECK_EQ(verify_offer(refused[i], &none, &agreed), WS_ERR_SYNTAX);
    }
}

static void test_round_trip(void) {
    for (unsigned seed = 0; seed < 256; seed++) {
        uint8_t key[16];
        char request[512], answer[WS_HANDSHAKE_ANSWER_MAX];
        struct ws_http_head head;
        struct ws_handshake h;
        const char *detail = NULL;
        for (unsigned i = 0; i < 16; i++) key[i] = (uint8_t)(seed * 31 + i * 17);
        int len = ws_handshake_request(request, sizeof request, "[::1]:8000", "/x", key);
        CHECK(len > 0);
        CHECK_EQ(parse(&head, WS_HTTP_REQUEST, request, (size_t)len), len);
        ws_handshake_check(&h, &head, &default_rules);
        CHECK_EQ(h.kind, WS_HANDSHAKE_UPGRADE);
        size_t size = ws_handshake_answer(answer, &h);
        CHECK_EQ(parse(&head, WS_HTTP_RESPONSE, answer, size), size);
        CHECK_EQ(ws_handshake_verify(&head, key, &detail), 0);
        /* Another key's answer is refused. */
        key[seed % 16] ^= 1;
        CHECK_EQ(ws_handshake_verify(&head, key, &detail), WS_ERR_SYNTAX);
    }
}

/* ---- reading ---- */

/* The result of reading text in two pieces, the second of which is up against a page's end. */
static int read_cut(struct ws_handshake *h, struct ws_http_head *head, const char *text,
                    size_t cut) {
    struct ws_http_reader r;
    struct check_page page;
    size_t len = strlen(text);
    const uint8_t *copy = check_page_copy(&page, text, len);
    ws_http_reader_init(&r, WS_HTTP_REQUEST, 8192, 64);
    CHECK_EQ(ws_handshake_read(h, head, &r, &default_rules, copy, cut), 0);
    int size = ws_handshake_read(h, head, &r, &default_rules, copy, len);
    check_page_free(&page);
    return size;
}

static void test_read_upgrade(void) {
    const char *text = LINE HOST REST "\r\n";
    for (size_t cut = 0; cut < strlen(text); cut++) {
        struct ws_handshake h;
        struct ws_http_head head;
        CHECK_EQ(read_cut(&h, &head, text, cut), strlen(text));
        CHECK_EQ(h.kind, WS_HANDSHAKE_UPGRADE);
        CHECK(memcmp(h.accept, ACCEPT, sizeof h.accept) == 0);
        CHECK_EQ(head.method.len, 3);
    }
}

static void check_read(const char *text, int expected, const char *detail, size_t method_len) {
    struct ws_handshake h;
    struct ws_http_head head;
    int size = read_cut(&h, &head, text, 0);
    CHECK_EQ(size < 0, method_len == 0);
    CHECK_EQ(h.kind, WS_HANDSHAKE_REFUSED);
    CHECK_EQ(h.status, expected);
    CHECK(strcmp(h.detail, detail) == 0);
    CHECK_EQ(head.method.len, method_len);
}

static void test_read_refused(void) {
    char line[9000];
    check_read("garbage\r\n", 400, "this is not HTTP", 0);
    check_read("GET / HTTP/1.0\r\n", 505, "HTTP/1.1 is needed", 0);
    check_read("GET / HTTP/1.1\r\n\r\n", 400, "The Host field is missing.", 3);
    check_read("HEAD here HTTP/1.1\r\n" HOST "\r\n", 400, "the request target is malformed", 4);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    memcpy(line, "GET /", 5);
    check_read(line, 414, "the request line is too long", 0);
    memcpy(line, LINE "X: ", strlen(LINE "X: "));
    check_read(line, 431, "the request head is too large", 0);
}

static void test_key_is_valid(void) {
    static const char *const wrong[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQ =",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZA-=",
    };
    CHECK(ws_handshake_key_is_valid((struct ws_slice){KEY, strlen(KEY)}));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(!ws_handshake_key_is_valid((struct ws_slice){wrong[i], strlen(wrong[i])}));
}

int main(void) {
    RUN(test_rfc_sample);
    RUN(test_field_names_and_tokens);
    RUN(test_each_field_missing);
    RUN(test_each_field_twice);
    RUN(test_methods);
    RUN(test_versions);
    RUN(test_keys);
    RUN(test_smuggling_refused);
    RUN(test_order_of_the_checks);
    RUN(test_host_grammar);
    RUN(test_host_list);
    RUN(test_absolute_form);
    RUN(test_same_origin);
    RUN(test_origin_list);
    RUN(test_answer);
    RUN(test_error_answers);
    RUN(test_error_answer_is_exact);
    RUN(test_error_details_are_cut);
    RUN(test_error_defaults);
    RUN(test_phrases);
    RUN(test_request);
    RUN(test_request_splitting_refused);
    RUN(test_verify);
    RUN(test_verify_offer);
    RUN(test_round_trip);
    RUN(test_read_upgrade);
    RUN(test_read_refused);
    RUN(test_key_is_valid);
    return check_done();
}
