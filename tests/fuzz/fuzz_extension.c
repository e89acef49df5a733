/* fuzz_extension.c: offers of extensions and their answers, in both roles, against a plain reading
 * that cuts a list into lexemes first. The input is the value of a field; a line feed begins
 * another field. */
#include "fuzz.h"

#include "err.h"
#include "extension.h"

#define SETTING 1

/* ---- a plain reading ---- */

enum { END = 'E', TOKEN = 'T', STRING = 'S', WRONG = 'W' }; /* or the separator itself */

struct lexeme {
    int kind;
    char text[24]; /* what a longer one begins with */
    size_t len;
};

static bool is_token_char(char c) {
    return c > ' ' && c < 127 && !strchr("()<>@,;:\\\"/[]?={}", c);
}

static struct lexeme lex(const char **at, const char *end) {
    struct lexeme l = {.kind = END};
    while (*at < end && (**at == ' ' || **at == '\t')) (*at)++;
    if (*at == end) return l;
    char c = *(*at)++;
    if (strchr(",;=", c) && c) {
        l.kind = c;
    } else if (c == '"') {
        bool is_closed = false, is_good = true;
        for (; *at < end && !is_closed; (*at)++) {
            char q = **at;
            if (q == '"') {
                is_closed = true;
                continue;
            }
            if (q == '\\' && ++*at < end) q = **at;
            else if (q == '\\') break;
            is_good = is_good && is_token_char(q);
            if (l.len < sizeof l.text - 1) l.text[l.len] = q;
            l.len++;
        }
        l.kind = is_closed && is_good && l.len ? STRING : WRONG;
    } else if (is_token_char(c)) {
        l.kind = TOKEN;
        for (--*at; *at < end && is_token_char(**at); (*at)++, l.len++)
            if (l.len < sizeof l.text - 1) l.text[l.len] = **at;
    } else {
        l.kind = WRONG;
    }
    return l;
}

struct plain {
    bool malformed;
    int n;      /* extensions */
    int chosen; /* the first that the rules take, -1: none */
    int own[4]; /* its parameters: -1 not there, else the value, 0: none */
};

static const char *const names[] = {"server_no_context_takeover", "client_no_context_takeover",
                                    "server_max_window_bits", "client_max_window_bits"};

static int number(const struct lexeme *l) {
    char text[16];
    for (int i = 8; i <= 15; i++) {
        snprintf(text, sizeof text, "%d", i);
        if (l->len == strlen(text) && memcmp(l->text, text, l->len) == 0) return i;
    }
    return -2;
}

/* The name is longer than the text of a lexeme: compared where it stands. */
static int find_name(const char *start, size_t len) {
    for (int i = 0; i < 4; i++)
        if (strlen(names[i]) == len && memcmp(names[i], start, len) == 0) return i;
    return -1;
}

/* A parameter, behind its semicolon. Gives the lexeme behind it. */
static struct lexeme plain_param(int own[4], bool *good, const char **at, const char *end) {
    struct lexeme wrong = {.kind = WRONG}, value = {.kind = END}, name = lex(at, end);
    if (name.kind != TOKEN) return wrong;
    int which = find_name(*at - name.len, name.len);
    struct lexeme next = lex(at, end);
    if (next.kind == '=') {
        value = lex(at, end);
        if (value.kind != TOKEN && value.kind != STRING) return wrong;
        next = lex(at, end);
    }
    int v = value.kind == END ? 0 : number(&value);
    if (which < 0 || own[which] >= 0 || v < 0) *good = false;
    else own[which] = v;
    if (which >= 0 && which < 2 && value.kind != END) *good = false;
    if (which == 2 && v <= 0) *good = false;
    return next;
}

/* An extension, whose name was just read. Gives the lexeme behind it. */
static struct lexeme plain_extension(struct plain *p, size_t name_len, const char **at,
                                     const char *end) {
    int own[4] = {-1, -1, -1, -1};
    bool good = name_len == 18 && memcmp(*at - 18, "permessage-deflate", 18) == 0;
    struct lexeme l = lex(at, end);
    while (l.kind == ';') l = plain_param(own, &good, at, end);
    if (good && own[2] != 8 && p->chosen < 0) {
        p->chosen = p->n;
        memcpy(p->own, own, sizeof own);
    }
    p->n++;
    return l;
}

/* A list behind its name's field; each element is nothing or an extension. */
static void plain_read(struct plain *p, const char *at, const char *end) {
    for (;;) {
        struct lexeme l = lex(&at, end);
        if (l.kind == TOKEN) l = plain_extension(p, l.len, &at, end);
        if (l.kind == END) return;
        if (l.kind != ',') {
            p->malformed = true;
            return;
        }
    }
}

static int least(int a, int b) {
    return a < b ? a : b;
}

static void plain_answer(char *out, const struct plain *p, const struct ws_deflate_rules *rules) {
    bool client_alone = rules->client_no_takeover || p->own[1] >= 0;
    int server = least(rules->window_bits, p->own[2] > 0 ? p->own[2] : 15);
    int n = sprintf(out, "permessage-deflate");
    if (rules->server_no_takeover || p->own[0] >= 0)
        n += sprintf(out + n, "; server_no_context_takeover");
    if (client_alone) n += sprintf(out + n, "; client_no_context_takeover");
    if (p->own[2] > 0 || server < 15) n += sprintf(out + n, "; server_max_window_bits=%d", server);
    if (p->own[3] >= 0 && !client_alone)
        sprintf(out + n, "; client_max_window_bits=%d",
                least(rules->window_bits, p->own[3] ? p->own[3] : 15));
}

/* ---- both roles ---- */

static void check_offer(const struct ws_http_head *head, const struct ws_deflate_rules *rules,
                        const struct plain *plain) {
    struct ws_deflate_terms terms;
    char text[WS_EXTENSION_MAX], expected[WS_EXTENSION_MAX];
    int agreed = ws_extension_agree(&terms, head, rules);
    MUST(agreed == (plain->malformed ? WS_ERR_SYNTAX : plain->chosen >= 0));
    if (agreed <= 0) return;
    MUST(ws_extension_answer(text, &terms) == strlen(text));
    plain_answer(expected, plain, rules);
    MUST(strcmp(text, expected) == 0);
    MUST(terms.server_bits >= 9 && terms.server_bits <= rules->window_bits);
    MUST(terms.client_bits >= 8 && terms.client_bits <= 15);
}

static void check_answer(const struct ws_http_head *head, const struct ws_deflate_rules *rules,
                         const struct plain *plain) {
    struct ws_deflate_terms terms;
    const char *detail = NULL;
    int result = ws_extension_verify(&terms, head, rules, &detail);
    MUST(result == 0 || result == 1 || (result == WS_ERR_SYNTAX && detail && *detail));
    if (plain->malformed || plain->n > 1) MUST(result == WS_ERR_SYNTAX);
    else MUST((result == 0) == (plain->n == 0));
    if (result != 1) return;
    MUST(terms.server_bits >= 8 && terms.server_bits <= rules->window_bits);
    MUST(terms.client_bits >= 9 && terms.client_bits <= rules->window_bits);
    if (rules->server_no_takeover) MUST(terms.server_no_takeover);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTING || size > 1000) return 0;
    struct ws_deflate_rules rules = {.enabled = true,
                                     .server_no_takeover = data[0] & 1,
                                     .client_no_takeover = data[0] & 2,
                                     .window_bits = (uint8_t)(9 + (data[0] >> 2) % 7)};
    struct plain plain = {.chosen = -1};
    struct ws_buf lines = {0};
    const char *at = (const char *)data + SETTING, *end = (const char *)data + size;
    while (at <= end) {
        const char *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!stop) stop = end;
        MUST(ws_buf_append(&lines, "Sec-WebSocket-Extensions: ", 26) == 0);
        size_t from = lines.len;
        MUST(ws_buf_append(&lines, at, (size_t)(stop - at)) == 0);
        for (size_t i = from; i < lines.len; i++) /* what the reader of heads lets through */
            if ((lines.data[i] < ' ' && lines.data[i] != '\t') || lines.data[i] == 127)
                lines.data[i] = '?';
        if (!plain.malformed)
            plain_read(&plain, (char *)lines.data + from, (char *)lines.data + lines.len);
        MUST(ws_buf_append(&lines, "\r\n", 2) == 0);
        at = stop + 1;
    }
    uint8_t *copy = fuzz_copy(lines.data, lines.len);
    struct ws_http_head head = {.rest = {(const char *)copy, lines.len}};
    check_offer(&head, &rules, &plain);
    check_answer(&head, &rules, &plain);
    free(copy);
    ws_buf_fini(&lines);
    return 0;
}
