/* extension.c: offers of extensions and their answers. See extension.h. */
#include "extension.h"

#include "err.h"

#include <stdio.h>
#include <string.h>

/* Parameters of permessage-deflate, in an offer or an answer (RFC 7692 section 7.1). */
enum { SERVER_NO_TAKEOVER, CLIENT_NO_TAKEOVER, SERVER_BITS, CLIENT_BITS, PARAMS };

static const char *const param_names[PARAMS] = {
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
};

struct offer {
    bool is_deflate; /* it names permessage-deflate */
    bool is_wrong;   /* and has a parameter that it may not have */
    bool has[PARAMS];
    uint8_t bits[PARAMS]; /* 8 to 15; 0: no value was given */
};

struct param {
    struct ws_slice name;
    bool has_value;
    char value[3]; /* its beginning */
    size_t len;    /* of all of it */
};

/* ---- the grammar of RFC 6455 section 9.1 ----
 *
 * extension-list = 1#extension
 * extension = extension-token *( ";" extension-param )
 * extension-param = token [ "=" (token | quoted-string) ]
 *
 * It is that of RFC 2616, which lets white space stand between any two of these. */

static bool is_slice(struct ws_slice s, const char *text) {
    return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static void skip(struct ws_slice *at, size_t n) {
    at->data += n;
    at->len -= n;
}

static void skip_space(struct ws_slice *at) {
    while (at->len && (*at->data == ' ' || *at->data == '\t')) skip(at, 1);
}

/* Takes that character, with the space around it. */
static bool take(struct ws_slice *at, char wanted) {
    skip_space(at);
    if (!at->len || *at->data != wanted) return false;
    skip(at, 1);
    skip_space(at);
    return true;
}

static bool take_token(struct ws_slice *at, struct ws_slice *token) {
    *token = (struct ws_slice){at->data, 0};
    while (token->len < at->len && ws_slice_is_token((struct ws_slice){at->data + token->len, 1}))
        token->len++;
    skip(at, token->len);
    return token->len > 0;
}

/* "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST
 * conform to the 'token' ABNF." Behind its first quote. */
static bool take_quoted(struct ws_slice *at, struct param *p) {
    for (; at->len && *at->data != '"'; skip(at, 1), p->len++) {
        if (*at->data == '\\') skip(at, 1);
        if (!at->len || !ws_slice_is_token((struct ws_slice){at->data, 1})) return false;
        if (p->len < sizeof p->value) p->value[p->len] = *at->data;
    }
    if (!at->len) return false;
    skip(at, 1);
    return p->len > 0;
}

static bool take_value(struct ws_slice *at, struct param *p) {
    struct ws_slice token;
    p->has_value = true;
    if (at->len && *at->data == '"') {
        skip(at, 1);
        return take_quoted(at, p);
    }
    if (!take_token(at, &token)) return false;
    memcpy(p->value, token.data, token.len < sizeof p->value ? token.len : sizeof p->value);
    p->len = token.len;
    return true;
}

static bool take_param(struct ws_slice *at, struct param *p) {
    *p = (struct param){0};
    return take_token(at, &p->name) && (!take(at, '=') || take_value(at, p));
}

/* ---- the parameters of RFC 7692 section 7.1 ---- */

/* "a decimal integer without leading zeroes between 8 to 15, inclusive"; 0: it is none. */
static uint8_t window_bits(const struct param *p) {
    const char *v = p->value;
    if (p->len == 1 && (v[0] == '8' || v[0] == '9')) return (uint8_t)(v[0] - '0');
    if (p->len == 2 && v[0] == '1' && v[1] >= '0' && v[1] <= '5') return (uint8_t)(10 + v[1] - '0');
    return 0;
}

/* 7.1: declined is an offer that has "an extension parameter that is not defined for use in an
 * offer", one "with an invalid value", or "multiple extension parameters with the same name". The
 * same three fail an answer. */
static void note_param(struct offer *o, const struct param *p) {
    int i = 0;
    while (i < PARAMS && !is_slice(p->name, param_names[i])) i++;
    if (i == PARAMS || o->has[i]) {
        o->is_wrong = true;
        return;
    }
    o->has[i] = true;
    /* 7.1.1: no_context_takeover "has no value"; 7.1.2.2: client_max_window_bits may have one. */
    if (i >= SERVER_BITS) o->bits[i] = window_bits(p);
    bool wrong = i < SERVER_BITS ? p->has_value : !o->bits[i];
    if (wrong && !(i == CLIENT_BITS && !p->has_value)) o->is_wrong = true;
}

/* One extension with its parameters. False: it breaks the grammar. */
static bool take_offer(struct ws_slice *at, struct offer *o) {
    struct ws_slice name;
    struct param p;
    *o = (struct offer){0};
    if (!take_token(at, &name)) return false;
    o->is_deflate = is_slice(name, "permessage-deflate");
    while (take(at, ';')) {
        if (!take_param(at, &p)) return false;
        if (o->is_deflate) note_param(o, &p);
    }
    return true;
}

/* Calls visit for each extension of all the fields. False: they break the grammar. */
static bool visit_all(const struct ws_http_head *head, void (*visit)(void *, const struct offer *),
                      void *ctx) {
    struct ws_slice at = head->rest;
    struct ws_http_header field;
    struct offer o;
    while (ws_http_head_next(&at, &field)) {
        if (!ws_slice_is(field.name, "Sec-WebSocket-Extensions")) continue;
        struct ws_slice list = field.value;
        do {
            skip_space(&list);
            /* RFC 9110 5.6.1.2 has empty elements ignored. */
            if (!list.len || *list.data == ',') continue;
            if (!take_offer(&list, &o)) return false;
            visit(ctx, &o);
        } while (take(&list, ','));
        if (list.len) return false;
    }
    return true;
}

/* ---- the server ---- */

struct choice {
    struct ws_deflate_terms *terms;
    const struct ws_deflate_rules *rules;
    bool is_made;
};

static uint8_t least(uint8_t a, uint8_t b) {
    return a < b ? a : b;
}

/* 7.1.2.1: the server "accepts" server_max_window_bits with "the same or smaller value", and may
 * name one that was not asked for. 7.1.2.2: client_max_window_bits may be answered only if it was
 * offered, with a value not larger; a smaller window than the client's own is asked for where we
 * have to keep one between its messages. */
static bool meet(struct ws_deflate_terms *t, const struct offer *o,
                 const struct ws_deflate_rules *rules) {
    *t = (struct ws_deflate_terms){.server_bits = rules->window_bits,
                                   .client_bits = WS_DEFLATE_BITS_MAX};
    if (o->has[SERVER_BITS]) t->server_bits = least(t->server_bits, o->bits[SERVER_BITS]);
    if (t->server_bits < WS_DEFLATE_BITS_MIN) return false;
    t->names_server_bits = o->has[SERVER_BITS] || t->server_bits < WS_DEFLATE_BITS_MAX;
    t->server_no_takeover = rules->server_no_takeover || o->has[SERVER_NO_TAKEOVER];
    t->client_no_takeover = rules->client_no_takeover || o->has[CLIENT_NO_TAKEOVER];
    uint8_t offered = o->bits[CLIENT_BITS] ? o->bits[CLIENT_BITS] : WS_DEFLATE_BITS_MAX;
    if (o->has[CLIENT_BITS] && !t->client_no_takeover) {
        t->client_bits = least(offered, rules->window_bits);
        t->names_client_bits = true;
    }
    return true;
}

static void choose(void *ctx, const struct offer *o) {
    struct choice *c = ctx;
    if (c->is_made || !o->is_deflate || o->is_wrong) return;
    c->is_made = meet(c->terms, o, c->rules);
}

int ws_extension_agree(struct ws_deflate_terms *terms, const struct ws_http_head *head,
                       const struct ws_deflate_rules *rules) {
    struct choice c = {.terms = terms, .rules = rules};
    if (!rules->enabled) return 0;
    if (!visit_all(head, choose, &c)) return WS_ERR_SYNTAX;
    return c.is_made;
}

/* ---- texts ---- */

/* What snprintf wrote; all of it fits in WS_EXTENSION_MAX. */
static size_t length(int n) {
    return n > 0 ? (size_t)n : 0;
}

size_t ws_extension_answer(char out[WS_EXTENSION_MAX], const struct ws_deflate_terms *t) {
    char server[32] = "", client[32] = "";
    if (t->names_server_bits)
        snprintf(server, sizeof server, "; server_max_window_bits=%u", t->server_bits);
    if (t->names_client_bits)
        snprintf(client, sizeof client, "; client_max_window_bits=%u", t->client_bits);
    return length(snprintf(out, WS_EXTENSION_MAX, "permessage-deflate%s%s%s%s",
                           t->server_no_takeover ? "; server_no_context_takeover" : "",
                           t->client_no_takeover ? "; client_no_context_takeover" : "", server,
                           client));
}

/* 7.1.2.2: client_max_window_bits without a value says that the client can do what the server
 * names; ours is never larger than window_bits. */
size_t ws_extension_offer(char out[WS_EXTENSION_MAX], const struct ws_deflate_rules *rules) {
    char server[32] = "", client[32] = "; client_max_window_bits";
    if (rules->window_bits < WS_DEFLATE_BITS_MAX) {
        snprintf(server, sizeof server, "; server_max_window_bits=%u", rules->window_bits);
        snprintf(client, sizeof client, "; client_max_window_bits=%u", rules->window_bits);
    }
    return length(snprintf(out, WS_EXTENSION_MAX, "permessage-deflate%s%s%s%s",
                           rules->server_no_takeover ? "; server_no_context_takeover" : "",
                           rules->client_no_takeover ? "; client_no_context_takeover" : "", server,
                           client));
}

/* ---- the client ---- */

struct answer {
    struct offer offer; /* the last */
    uint32_t n;
};

static void note_answer(void *ctx, const struct offer *o) {
    struct answer *a = ctx;
    a->offer = *o;
    a->n++;
}

static int reject(const char **detail, const char *text) {
    *detail = text;
    return WS_ERR_SYNTAX;
}

/* 7.1: what the client has to fail the connection for. NULL: nothing. */
static const char *judge_answer(const struct offer *o, const struct ws_deflate_rules *rules) {
    if (!o->is_deflate) return "the answer names an extension that was not offered";
    /* 7.1.2.2: in an answer the parameter has a value. */
    if (o->is_wrong || (o->has[CLIENT_BITS] && !o->bits[CLIENT_BITS]))
        return "a parameter of permessage-deflate in the answer is unknown, wrong or there twice";
    /* 7.1.1.1 and 7.1.2.1: a server that accepts the offer includes what it asks for. */
    if (rules->server_no_takeover && !o->has[SERVER_NO_TAKEOVER])
        return "the answer leaves server_no_context_takeover out";
    uint8_t server = o->has[SERVER_BITS] ? o->bits[SERVER_BITS] : WS_DEFLATE_BITS_MAX;
    if (server > rules->window_bits) return "the server's window is larger than was asked for";
    if (o->has[CLIENT_BITS] && o->bits[CLIENT_BITS] > rules->window_bits)
        return "client_max_window_bits of the answer is larger than was offered";
    if (o->has[CLIENT_BITS] && o->bits[CLIENT_BITS] < WS_DEFLATE_BITS_MIN)
        return "a window of 8 bits cannot be had here";
    return NULL;
}

int ws_extension_verify(struct ws_deflate_terms *terms, const struct ws_http_head *head,
                        const struct ws_deflate_rules *rules, const char **detail) {
    struct answer a = {.n = 0};
    const struct offer *o = &a.offer;
    if (!visit_all(head, note_answer, &a))
        return reject(detail, "the Sec-WebSocket-Extensions of the answer is malformed");
    if (a.n == 0) return 0;
    if (a.n > 1 || !rules->enabled)
        return reject(detail, "the answer names an extension that was not offered");
    const char *wrong = judge_answer(o, rules);
    if (wrong) return reject(detail, wrong);
    *terms = (struct ws_deflate_terms){
        .server_bits = o->has[SERVER_BITS] ? o->bits[SERVER_BITS] : WS_DEFLATE_BITS_MAX,
        .client_bits = o->has[CLIENT_BITS] ? o->bits[CLIENT_BITS] : rules->window_bits,
        .server_no_takeover = o->has[SERVER_NO_TAKEOVER],
        .client_no_takeover = o->has[CLIENT_NO_TAKEOVER] || rules->client_no_takeover,
        .names_server_bits = o->has[SERVER_BITS],
        .names_client_bits = o->has[CLIENT_BITS],
    };
    return 1;
}
