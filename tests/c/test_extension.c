/* test_extension.c: offers of permessage-deflate and their answers, both roles. */
#include "check.h"
#include "err.h"
#include "extension.h"

#include <stdbool.h>

#define FIELD "Sec-WebSocket-Extensions: "
#define NO_S "; server_no_context_takeover"
#define NO_C "; client_no_context_takeover"
#define S_BITS "; server_max_window_bits"
#define C_BITS "; client_max_window_bits"
#define PD "permessage-deflate"

static const struct ws_deflate_rules full = {.enabled = true, .window_bits = 15};
static const struct ws_deflate_rules usual = {true, true, true, 12};
static const struct ws_deflate_rules small = {.enabled = true, .window_bits = 10};
static const struct ws_deflate_rules off = {.window_bits = 12};

struct head_page {
    struct check_page page;
    struct ws_http_head head;
};

/* A head with these field lines, at the very end of a page; status NULL: a request. */
static void make_head(struct head_page *p, bool is_answer, const char *lines) {
    char text[2048];
    const char *start = is_answer ? "HTTP/1.1 101 Switching Protocols" : "GET / HTTP/1.1";
    int len = snprintf(text, sizeof text, "%s\r\n%s\r\n", start, lines);
    uint8_t *copy = check_page_copy(&p->page, text, (size_t)len);
    CHECK_EQ(ws_http_head_parse(&p->head, is_answer ? WS_HTTP_RESPONSE : WS_HTTP_REQUEST, copy,
                                (size_t)len),
             0);
}

/* The answer to an offer: its text, "" if none is agreed on, "malformed". */
static const char *answer_lines(const char *lines, const struct ws_deflate_rules *rules) {
    static char text[WS_EXTENSION_MAX];
    struct ws_deflate_terms terms;
    struct head_page p;
    make_head(&p, false, lines);
    int agreed = ws_extension_agree(&terms, &p.head, rules);
    check_page_free(&p.page);
    if (agreed == WS_ERR_SYNTAX) return "malformed";
    if (agreed == 0) return "";
    CHECK_EQ(agreed, 1);
    CHECK_EQ(ws_extension_answer(text, &terms), strlen(text));
    return text;
}

static const char *answer(const char *value, const struct ws_deflate_rules *rules) {
    char lines[1024];
    snprintf(lines, sizeof lines, FIELD "%s\r\n", value);
    return answer_lines(lines, rules);
}

struct row {
    const char *value, *answer;
};

#define CHECK_ROWS(rows, rules)                                                                    \
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) check_row(&(rows)[i], &(rules))

static void check_row(const struct row *row, const struct ws_deflate_rules *rules) {
    const char *got = answer(row->value, rules);
    if (strcmp(got, row->answer) == 0) return;
    fprintf(stderr, "  %s\n  gives %s\n  not %s\n", row->value, got, row->answer);
    CHECK(!"the answer is another");
}

/* ---- the server ---- */

static void test_legal_offers(void) {
    static const struct row rows[] = {
        {PD, PD},
        {PD NO_S, PD NO_S},
        {PD NO_C, PD NO_C},
        {PD NO_C NO_S, PD NO_S NO_C},
        {PD S_BITS "=15", PD S_BITS "=15"},
        {PD S_BITS "=9", PD S_BITS "=9"},
        {PD S_BITS "=10" C_BITS, PD S_BITS "=10" C_BITS "=15"},
        {PD C_BITS, PD C_BITS "=15"},
        {PD C_BITS "=8", PD C_BITS "=8"},
        {PD C_BITS "=15", PD C_BITS "=15"},
        {PD C_BITS "=11" NO_C, PD NO_C}, /* one inflater serves them all: nothing is asked for */
        {PD S_BITS "=\"12\"", PD S_BITS "=12"},
        {PD S_BITS "=\"1\\2\"", PD S_BITS "=12"},
        {PD ";server_max_window_bits=12;client_max_window_bits", PD S_BITS "=12" C_BITS "=15"},
        {PD " ;\tserver_max_window_bits = 12 ", PD S_BITS "=12"},
    };
    CHECK_ROWS(rows, full);
}

static void test_rules(void) {
    static const struct row with_usual[] = {
        {PD, PD NO_S NO_C S_BITS "=12"},
        {PD C_BITS, PD NO_S NO_C S_BITS "=12"}, /* what browsers offer */
        {PD S_BITS "=15" C_BITS "=15", PD NO_S NO_C S_BITS "=12"},
        {PD S_BITS "=9", PD NO_S NO_C S_BITS "=9"},
        {PD S_BITS "=8", ""},
    };
    static const struct row with_small[] = {
        {PD, PD S_BITS "=10"},
        {PD C_BITS, PD S_BITS "=10" C_BITS "=10"},
        {PD C_BITS "=9", PD S_BITS "=10" C_BITS "=9"},
        {PD C_BITS "=12", PD S_BITS "=10" C_BITS "=10"},
    };
    CHECK_ROWS(with_usual, usual);
    CHECK_ROWS(with_small, small);
    CHECK(strcmp(answer(PD, &off), "") == 0);
    CHECK(strcmp(answer("a=b=c", &off), "") == 0); /* nobody looks */
}

/* 7.1: each of these "MUST decline". What follows is looked at by itself. */
static void test_declined_offers(void) {
    static const char *const wrong[] = {
        NO_S "=1",
        NO_S "=\"x\"",
        NO_C "=true",
        NO_S NO_S,
        NO_C NO_S NO_C,
        S_BITS,
        S_BITS "=8",
        S_BITS "=7",
        S_BITS "=16",
        S_BITS "=0",
        S_BITS "=-1",
        S_BITS "=+9",
        S_BITS "=08",
        S_BITS "=010",
        S_BITS "=999",
        S_BITS "=1",
        S_BITS "=12.0",
        S_BITS "=1 ;x",
        S_BITS "=0x9",
        S_BITS "=\"08\"",
        S_BITS "=99999999999999999999",
        S_BITS "=9" S_BITS "=9",
        C_BITS "=7",
        C_BITS "=16",
        C_BITS "=-1",
        C_BITS "=08",
        C_BITS C_BITS,
        C_BITS "=9" C_BITS,
        "; unknown",
        "; unknown=1",
        "; Server_no_context_takeover",
        C_BITS "=\"150\"",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char value[256];
        snprintf(value, sizeof value, PD "%s", wrong[i]);
        struct row alone = {value, ""};
        check_row(&alone, &full);
        snprintf(value, sizeof value, PD "%s, " PD NO_S, wrong[i]);
        struct row behind = {value, PD NO_S};
        check_row(&behind, &full);
        snprintf(value, sizeof value, PD NO_C ", " PD "%s", wrong[i]);
        struct row before = {value, PD NO_C};
        check_row(&before, &full);
    }
}

static void test_other_extensions(void) {
    static const struct row rows[] = {
        {"x-webkit-deflate-frame", ""},
        {"permessage-bzip2; level=9, " PD, PD},
        {"foo; a=\"b\"; a=\"c\", bar, " PD NO_S ", baz", PD NO_S},
        {"permessage-deflate2, xpermessage-deflate", ""},
        {"Permessage-Deflate", ""},
        {", ,, " PD ",,", PD},
        {"", ""},
        {",", ""},
    };
    CHECK_ROWS(rows, full);
    CHECK(strcmp(answer_lines("Host: a\r\n", &full), "") == 0);
    CHECK(strcmp(answer_lines(FIELD "foo\r\nHost: a\r\n"
                                    "sec-websocket-extensions:" PD "; bar, " PD NO_S "\r\n" FIELD PD
                                    "\r\n",
                              &full),
                 PD NO_S) == 0);
}

/* RFC 6455 9.1: what "does not conform to the ABNF" fails the connection, wherever it stands. */
static void test_malformed(void) {
    static const struct row rows[] = {
        {"=", "malformed"},
        {PD ";", "malformed"},
        {PD "; =9", "malformed"},
        {PD S_BITS "=", "malformed"},
        {PD S_BITS "=\"\"", "malformed"},
        {PD S_BITS "=\"9", "malformed"},
        {PD S_BITS "=\"9\\", "malformed"},
        {PD S_BITS "=\"9 9\"", "malformed"},
        {PD S_BITS "=\"9\"9", "malformed"},
        {PD S_BITS "=9=9", "malformed"},
        {PD " " PD, "malformed"},
        {PD "/1", "malformed"},
        {PD ", foo; a=\"b,c\"", "malformed"},
        {PD ", \"foo\"", "malformed"},
        {PD "; \xC3\xA9", "malformed"},
    };
    CHECK_ROWS(rows, full);
}

/* ---- the client ---- */

static const char *offer(const struct ws_deflate_rules *rules) {
    static char text[WS_EXTENSION_MAX];
    CHECK_EQ(ws_extension_offer(text, rules), strlen(text));
    return text;
}

/* 1, 0, or WS_ERR_SYNTAX with words. */
static int verify(const char *value, const struct ws_deflate_rules *rules,
                  struct ws_deflate_terms *terms) {
    char lines[512] = "";
    const char *detail = NULL;
    struct head_page p;
    if (value) snprintf(lines, sizeof lines, FIELD "%s\r\n", value);
    make_head(&p, true, lines);
    int result = ws_extension_verify(terms, &p.head, rules, &detail);
    check_page_free(&p.page);
    CHECK_EQ(result == WS_ERR_SYNTAX, detail && strlen(detail) > 0);
    return result;
}

static void test_offer(void) {
    CHECK(strcmp(offer(&full), PD C_BITS) == 0);
    CHECK(strcmp(offer(&usual), PD NO_S NO_C S_BITS "=12" C_BITS "=12") == 0);
    CHECK(strcmp(offer(&small), PD S_BITS "=10" C_BITS "=10") == 0);
}

static void test_answers(void) {
    struct ws_deflate_terms t;
    CHECK_EQ(verify(NULL, &full, &t), 0);
    CHECK_EQ(verify(NULL, &off, &t), 0);
    CHECK_EQ(verify(PD, &full, &t), 1);
    CHECK(t.server_bits == 15 && t.client_bits == 15);
    CHECK(!t.server_no_takeover && !t.client_no_takeover);
    CHECK_EQ(verify(PD NO_S NO_C S_BITS "=9" C_BITS "=\"10\"", &full, &t), 1);
    CHECK(t.server_bits == 9 && t.client_bits == 10);
    CHECK(t.server_no_takeover && t.client_no_takeover);
    CHECK_EQ(verify(PD S_BITS "=8", &full, &t), 1); /* read, it can be */
    CHECK_EQ(t.server_bits, 8);
    CHECK_EQ(verify(PD NO_S S_BITS "=12", &usual, &t), 1);
    CHECK(t.client_bits == 12 && t.client_no_takeover);
}

static void test_wrong_answers(void) {
    static const char *const to_full[] = {
        "foo",          PD ", foo",   PD ", " PD,   PD C_BITS,         PD C_BITS "=8",
        PD "; x",       PD NO_S NO_S, PD NO_S "=1", PD S_BITS,         PD S_BITS "=16",
        PD S_BITS "=7", PD ";",       "=",          PD C_BITS "=\"\"", PD C_BITS "=16",
    };
    static const char *const to_usual[] = {
        PD, PD S_BITS "=12", PD NO_S, PD NO_S S_BITS "=13", PD NO_S S_BITS "=12" C_BITS "=13",
    };
    struct ws_deflate_terms t;
    for (size_t i = 0; i < sizeof to_full / sizeof *to_full; i++)
        CHECK_EQ(verify(to_full[i], &full, &t), WS_ERR_SYNTAX);
    for (size_t i = 0; i < sizeof to_usual / sizeof *to_usual; i++)
        CHECK_EQ(verify(to_usual[i], &usual, &t), WS_ERR_SYNTAX);
    CHECK_EQ(verify(PD, &off, &t), WS_ERR_SYNTAX);
}

/* What one role offers the other answers, and the first takes the answer: both have the same. */
static void test_both_roles(void) {
    for (int i = 0; i < 8 * 7 * 7; i++) {
        struct ws_deflate_rules client = {true, i & 1, i & 2, (uint8_t)(9 + i / 8 % 7)};
        struct ws_deflate_rules server = {true, i & 4, i & 2, (uint8_t)(9 + i / 56)};
        struct ws_deflate_terms at_server, at_client;
        char text[WS_EXTENSION_MAX], lines[256];
        struct head_page p;
        ws_extension_offer(text, &client);
        snprintf(lines, sizeof lines, FIELD "%s\r\n", text);
        make_head(&p, false, lines);
        CHECK_EQ(ws_extension_agree(&at_server, &p.head, &server), 1);
        check_page_free(&p.page);
        ws_extension_answer(text, &at_server);
        CHECK_EQ(verify(text, &client, &at_client), 1);
        CHECK_EQ(at_client.server_bits, at_server.server_bits);
        CHECK(at_client.client_bits <= at_server.client_bits);
        CHECK_EQ(at_client.server_no_takeover, at_server.server_no_takeover);
        CHECK_EQ(at_client.client_no_takeover, at_server.client_no_takeover);
    }
}

int main(void) {
    RUN(test_legal_offers);
    RUN(test_rules);
    RUN(test_declined_offers);
    RUN(test_other_extensions);
    RUN(test_malformed);
    RUN(test_offer);
    RUN(test_answers);
    RUN(test_wrong_answers);
    RUN(test_both_roles);
    return check_done();
}
