/* test_endpoint.c: both ends without sockets: a client and a server against each other, and each
 * against bytes that its other end may not send. What an endpoint tells is a line of text, and it
 * is the same whether its input comes whole, cut in two at every byte, or byte by byte. */
/* wrap: malloc calloc realloc */
#include "endpoint.h"

#include "check.h"
#include "err.h"

#include <stdarg.h>

/* ---- memory that fails ---- */

static int fail_at; /* that allocation, counted from 1, and all behind it; 0: none */
static int n_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool may_allocate(void) {
    return ++n_allocations < fail_at || fail_at == 0;
}

void *__wrap_malloc(size_t size) {
    return may_allocate() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t n, size_t size) {
    return may_allocate() ? __real_calloc(n, size) : NULL;
}

void *__wrap_realloc(void *p, size_t size) {
    return may_allocate() ? __real_realloc(p, size) : NULL;
}

/* ---- an endpoint and what it told ---- */

struct side {
    struct ws_endpoint own;
    char line[4096];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void note(struct side *s, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s->line + s->len, sizeof s->line - s->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof s->line - s->len) exit(2);
    s->len += (size_t)n;
}

static void note_data(struct side *s, const char *name, const uint8_t *data, size_t len) {
    if (len <= 40) {
        note(s, "%s:%.*s;", name, (int)len, (const char *)data);
        return;
    }
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++) h = (h ^ data[i]) * 16777619u;
    note(s, "%s:%zu#%08x;", name, len, (unsigned)h);
}

static void note_event(struct side *s, const struct ws_endpoint_event *ev) {
    struct ws_slice agreed = s->own.subprotocol, path = ev->head.path;
    switch (ev->kind) {
    case WS_ENDPOINT_NONE: CHECK(false); break;
    case WS_ENDPOINT_REQUEST: note(s, "request %.*s;", (int)path.len, path.data); break;
    case WS_ENDPOINT_OPENED:
        if (ev->head.status) note(s, "open %d", ev->head.status);
        else note(s, "open %.*s", (int)path.len, path.data);
        note(s, "(%.*s);", (int)agreed.len, agreed.data);
        break;
    case WS_ENDPOINT_REJECTED: note(s, "rejected %d %s;", ev->status, ev->detail); break;
    case WS_ENDPOINT_MESSAGE:
        note_data(s, ev->ascii ? "ascii" : ev->text ? "text" : "binary", ev->data, ev->len);
        break;
    case WS_ENDPOINT_PING: note_data(s, "ping", ev->data, ev->len); break;
    case WS_ENDPOINT_PONG: note_data(s, "pong", ev->data, ev->len); break;
    case WS_ENDPOINT_CLOSE:
        note(s, "%s %u %.*s;", ws_close_kind_name(ev->close_kind), ev->code, (int)ev->len,
             ev->data ? (const char *)ev->data : "");
        break;
    }
}

static void drain(struct side *s) {
    struct ws_endpoint_event ev;
    while (ws_endpoint_next(&s->own, &ev)) note_event(s, &ev);
    CHECK_EQ(ev.kind, WS_ENDPOINT_NONE);
    CHECK(s->own.told == NULL);
    if (s->own.state >= WS_ENDPOINT_OPEN) CHECK(s->own.in.data == NULL); /* nothing waits */
}

/* Bytes whose last one stands at the end of what may be read, and which stay as they are. */
static void feed(struct side *s, const void *data, size_t len) {
    uint8_t *copy = __real_malloc(len ? len : 1);
    if (!copy) exit(2);
    memcpy(copy, data, len);
    if (ws_endpoint_receive(&s->own, copy, len) < 0) note(s, "no memory;");
    CHECK(memcmp(copy, data, len) == 0);
    free(copy);
    drain(s);
}

static struct ws_endpoint_options options_of(enum ws_role role) {
    return (struct ws_endpoint_options){.role = role,
                                        .max_message_size = 1 << 20,
                                        .max_fragments = 1000,
                                        .max_header_size = 8192,
                                        .max_headers = 64,
                                        .fields = {"", 0},
                                        .host = "a.example",
                                        .target = "/chat?a=1"};
}

static void begin(struct side *s, const struct ws_endpoint_options *options) {
    memset(s, 0, sizeof *s);
    CHECK_EQ(ws_endpoint_init(&s->own, options), 0);
}

/* Moves what `from` has written to `to`, in pieces of at most `piece` bytes. */
static void carry(struct side *from, struct side *to, size_t piece) {
    struct ws_buf *out = ws_endpoint_output(&from->own);
    while (out->len) {
        size_t n = out->len < piece ? out->len : piece;
        feed(to, out->data, n);
        ws_buf_consume(out, n);
    }
}

static void carry_all(struct side *a, struct side *b, size_t piece) {
    while (ws_endpoint_output(&a->own)->len || ws_endpoint_output(&b->own)->len) {
        carry(a, b, piece);
        carry(b, a, piece);
    }
}

static void check_line(struct side *s, const char *expected) {
    if (strcmp(s->line, expected) != 0) {
        fprintf(stderr, "told: %s\nnot:  %s\n", s->line, expected);
        CHECK(false);
    }
    s->len = 0;
    s->line[0] = '\0';
}

struct pair {
    struct side client, server;
};

static void end_pair(struct pair *p) {
    ws_endpoint_fini(&p->client.own);
    ws_endpoint_fini(&p->server.own);
}

static void open_pair(struct pair *p, size_t piece) {
    struct ws_endpoint_options client = options_of(WS_ROLE_CLIENT),
                               server = options_of(WS_ROLE_SERVER);
    begin(&p->client, &client);
    begin(&p->server, &server);
    carry_all(&p->client, &p->server, piece);
    check_line(&p->client, "open 101();");
    check_line(&p->server, "open /chat();");
    CHECK_EQ(p->client.own.state, WS_ENDPOINT_OPEN);
    CHECK_EQ(p->server.own.state, WS_ENDPOINT_OPEN);
}

static const size_t pieces[] = {1, 2, 3, 7, 1000, SIZE_MAX};
#define EACH_PIECE(piece)                                                                          \
    for (const size_t *piece = pieces; piece < pieces + sizeof pieces / sizeof *pieces; piece++)

static void send_text(struct side *s, const char *text) {
    CHECK_EQ(ws_endpoint_send(&s->own, true, true, (const uint8_t *)text, strlen(text)), 0);
}

static struct ws_slice slice_of(const char *text) {
    return (struct ws_slice){text, strlen(text)};
}

/* ---- both against each other ---- */

static void test_endpoint_talk(void) {
    EACH_PIECE(piece) {
        struct pair p;
        open_pair(&p, *piece);
        struct side *sides[] = {&p.client, &p.server};
        for (int i = 0; i < 2; i++) {
            struct side *from = sides[i], *to = sides[1 - i];
            send_text(from, "hello");
            send_text(from, "gr\xC3\xBC\xC3\x9F dich");
            send_text(from, "");
            CHECK_EQ(ws_endpoint_send(&from->own, false, true, (const uint8_t *)"\xFF\x01", 2), 0);
            CHECK_EQ(ws_endpoint_ping(&from->own, (const uint8_t *)"p", 1), 0);
            carry_all(from, to, *piece);
            check_line(to,
                       "ascii:hello;text:gr\xC3\xBC\xC3\x9F dich;ascii:;binary:\xFF\x01;ping:p;");
            check_line(from, "pong:p;");
        }
        end_pair(&p);
    }
}

static void test_endpoint_fragments(void) {
    EACH_PIECE(piece) {
        struct pair p;
        open_pair(&p, *piece);
        struct ws_endpoint *client = &p.client.own;
        CHECK_EQ(ws_endpoint_send(client, true, false, (const uint8_t *)"one ", 4), 0);
        CHECK_EQ(ws_endpoint_send(client, true, false, (const uint8_t *)"", 0), 0);
        CHECK_EQ(ws_endpoint_send(client, false, true, (const uint8_t *)"x", 1), WS_ERR_ARGUMENT);
        CHECK_EQ(ws_endpoint_ping(client, NULL, 0), 0);
        CHECK_EQ(ws_endpoint_send(client, true, true, (const uint8_t *)"two", 3), 0);
        CHECK_EQ(ws_endpoint_send(client, false, true, (const uint8_t *)"x", 1), 0);
        carry_all(&p.client, &p.server, *piece);
        check_line(&p.server, "ping:;ascii:one two;binary:x;");
        check_line(&p.client, "pong:;");
        end_pair(&p);
    }
}

static void test_endpoint_large(void) {
    size_t len = 300000;
    uint8_t *data = malloc(len);
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(i * 31 + i / 256);
    static const size_t large_pieces[] = {977, 4096, 65536, SIZE_MAX};
    for (size_t i = 0; i < 4; i++) {
        struct pair p;
        struct side expected = {0};
        note_data(&expected, "binary", data, len);
        note_data(&expected, "binary", data, len);
        open_pair(&p, SIZE_MAX);
        for (int n = 0; n < 2; n++) {
            CHECK_EQ(ws_endpoint_send(&p.client.own, false, true, data, len), 0);
            CHECK_EQ(ws_endpoint_send(&p.server.own, false, true, data, len), 0);
        }
        carry_all(&p.client, &p.server, large_pieces[i]);
        check_line(&p.server, expected.line);
        check_line(&p.client, expected.line);
        CHECK(p.server.own.large == NULL);
        end_pair(&p);
    }
    free(data);
}

/* RFC 6455 section 5.3: the key is fresh for each frame. 1000 of four bytes: two that are equal are
 * one case in 8600, so two times. */
static void test_endpoint_masks(void) {
    struct pair p;
    uint32_t keys[1000];
    open_pair(&p, SIZE_MAX);
    int equal = 0;
    for (int i = 0; i < 1000; i++) {
        send_text(&p.client, "");
        CHECK_EQ(p.client.own.out.len, 6);
        CHECK_EQ(p.client.own.out.data[1], 0x80);
        memcpy(&keys[i], p.client.own.out.data + 2, 4);
        for (int j = 0; j < i; j++) equal += keys[i] == keys[j];
        ws_buf_consume(&p.client.own.out, 6);
    }
    CHECK(equal < 2);
    send_text(&p.server, "");
    CHECK_EQ(p.server.own.out.len, 2); /* a server masks nothing */
    end_pair(&p);
}

/* ---- the closing handshake ---- */

static void test_endpoint_client_closes(void) {
    EACH_PIECE(piece) {
        struct pair p;
        open_pair(&p, *piece);
        CHECK_EQ(ws_endpoint_close(&p.client.own, 3000, slice_of("bye")), 0);
        CHECK_EQ(ws_endpoint_close(&p.client.own, 3001, slice_of("again")), 0); /* nothing */
        CHECK_EQ(p.client.own.state, WS_ENDPOINT_CLOSING);
        CHECK_EQ(ws_endpoint_send(&p.client.own, true, true, NULL, 0), WS_ERR_CLOSED);
        CHECK_EQ(ws_endpoint_ping(&p.client.own, NULL, 0), WS_ERR_CLOSED);
        send_text(&p.server, "crossing"); /* on its way when the close frame comes */
        CHECK_EQ(ws_endpoint_ping(&p.server.own, (const uint8_t *)"x", 1), 0);
        carry(&p.server, &p.client, *piece);
        CHECK(!ws_endpoint_should_close(&p.server.own));
        carry_all(&p.client, &p.server, *piece);
        check_line(&p.server, "peer 3000 bye;");
        check_line(&p.client, "ascii:crossing;ping:x;local 3000 ;");
        CHECK_EQ(p.client.own.sent_code, 3000);
        CHECK_EQ(p.server.own.sent_code, 3000);
        CHECK(ws_endpoint_should_close(&p.server.own));
        CHECK(!ws_endpoint_should_close(&p.client.own)); /* the server goes first */
        ws_endpoint_receive_eof(&p.client.own);
        drain(&p.client);
        CHECK(ws_endpoint_should_close(&p.client.own));
        check_line(&p.client, "");
        end_pair(&p);
    }
}

static void test_endpoint_server_closes(void) {
    struct pair p;
    open_pair(&p, SIZE_MAX);
    CHECK_EQ(ws_endpoint_close(&p.server.own, 1001, slice_of("")), 0);
    CHECK_EQ(ws_endpoint_close(&p.client.own, 4000, slice_of("at once")), 0);
    CHECK(!ws_endpoint_should_close(&p.server.own));
    carry_all(&p.server, &p.client, SIZE_MAX);
    check_line(&p.server, "local 4000 at once;");
    check_line(&p.client, "local 1001 ;");
    CHECK(ws_endpoint_should_close(&p.server.own));
    CHECK(!ws_endpoint_should_close(&p.client.own));
    CHECK_EQ(ws_endpoint_close(&p.server.own, 1000, slice_of("")), 0);
    CHECK_EQ(p.server.own.out.len, 0);
    end_pair(&p);
}

/* What a message behind which the peer closes is answered with goes out before our close frame. */
static void test_endpoint_last_answer(void) {
    static const uint8_t input[] = "\x81\x82\0\0\0\0hi\x88\x82\0\0\0\0\x0F\xA0";
    struct pair p;
    struct ws_endpoint_event ev;
    struct ws_endpoint *server = &p.server.own;
    open_pair(&p, SIZE_MAX);
    CHECK_EQ(ws_endpoint_receive(server, input, sizeof input - 1), 0);
    CHECK(ws_endpoint_next(server, &ev) && ev.kind == WS_ENDPOINT_MESSAGE);
    CHECK(ws_endpoint_next(server, &ev) && ev.kind == WS_ENDPOINT_CLOSE);
    CHECK(!ws_endpoint_next(server, &ev));
    CHECK(ws_endpoint_should_close(server));
    send_text(&p.server, "hi");
    CHECK_EQ(ws_endpoint_close(server, 1000, slice_of("late")), 0); /* nothing */
    struct ws_buf *out = ws_endpoint_output(server);
    CHECK(out->len == 8 && memcmp(out->data, "\x81\x02hi\x88\x02\x0F\xA0", 8) == 0);
    CHECK_EQ(ws_endpoint_send(server, true, true, NULL, 0), WS_ERR_CLOSED);
    CHECK_EQ(ws_endpoint_output(server)->len, 8);
    end_pair(&p);
}

static void test_endpoint_eof(void) {
    struct pair p;
    open_pair(&p, SIZE_MAX);
    feed(&p.server, "\x81", 1);
    ws_endpoint_receive_eof(&p.server.own);
    CHECK_EQ(ws_endpoint_close(&p.client.own, 1000, slice_of("")), 0);
    ws_endpoint_receive_eof(&p.client.own);
    drain(&p.server);
    drain(&p.client);
    check_line(&p.server, "eof 1006 ;");
    check_line(&p.client, "local 1006 ;");
    CHECK(ws_endpoint_should_close(&p.client.own));
    CHECK_EQ(p.server.own.sent_code, 0);
    CHECK_EQ(p.server.own.out.len, 0);
    feed(&p.server, "\x81\x80", 2); /* behind the end: nothing */
    check_line(&p.server, "");
    end_pair(&p);

    struct ws_endpoint_options options = options_of(WS_ROLE_CLIENT);
    begin(&p.client, &options);
    CHECK_EQ(ws_endpoint_send(&p.client.own, true, true, NULL, 0), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_endpoint_close(&p.client.own, 1000, slice_of("")), WS_ERR_ARGUMENT);
    feed(&p.client, "HTTP/1.1 1", 10);
    ws_endpoint_receive_eof(&p.client.own);
    drain(&p.client);
    check_line(&p.client, "eof 1006 ;");
    ws_endpoint_fini(&p.client.own);
}

static void test_endpoint_abort(void) {
    struct pair p;
    open_pair(&p, SIZE_MAX);
    ws_endpoint_abort(&p.server.own);
    ws_endpoint_abort(&p.server.own);
    CHECK_EQ(p.server.own.sent_code, 1011);
    CHECK(ws_endpoint_should_close(&p.server.own));
    carry_all(&p.server, &p.client, SIZE_MAX);
    check_line(&p.client, "peer 1011 ;");
    check_line(&p.server, "");
    end_pair(&p);
}

/* ---- what a peer may not send ---- */

struct violation {
    const char *bytes;
    size_t len;
    uint16_t code;
    const char *told;
};

#define ROW(bytes, code, told) {bytes, sizeof(bytes) - 1, code, told}

/* A key of zeros: the payload stands as it is. */
static const struct violation to_server[] = {
    ROW("\x81\x05hello", 1002, "protocol 1006 ;"),                       /* not masked */
    ROW("\x91\x80\0\0\0\0", 1002, "protocol 1006 ;"),                    /* a reserved bit */
    ROW("\x83\x80\0\0\0\0", 1002, "protocol 1006 ;"),                    /* the opcode */
    ROW("\x80\x80\0\0\0\0", 1002, "protocol 1006 ;"),                    /* nothing to continue */
    ROW("\x81\x81\0\0\0\0\xFF", 1007, "protocol 1006 ;"),                /* not UTF-8 */
    ROW("\x82\xFF\0\0\0\0\x7F\0\0\0\0\0\0\0", 1009, "limit 1006 ;"),     /* too big */
    ROW("\x88\x81\0\0\0\0x", 1002, "protocol 1006 ;"),                   /* half a code */
    ROW("\x88\x82\0\0\0\0\x03\xED", 1002, "protocol 1006 ;"),            /* 1005 on the wire */
    ROW("\x88\x80\0\0\0\0\x81\x80", 1005, "peer 1005 ;"),                /* empty, and void bytes */
    ROW("\x88\x84\0\0\0\0\x03\xE8ok\x81", 1000, "peer 1000 ok;"),        /* right */
    ROW("\x89\x81\0\0\0\0p\x89\xFE", 1002, "ping:p;protocol 1006 ;"),    /* a long ping */
    ROW("\x81\x82\0\0\0\0hi\xC1\x80", 1002, "ascii:hi;protocol 1006 ;"), /* behind a message */
};

static const struct violation to_client[] = {
    ROW("\x81\x80\0\0\0\0", 1002, "protocol 1006 ;"), /* masked */
    ROW("\x88\x02\x03\xE8\x81\x05", 1000, "peer 1000 ;"),
    ROW("\x82\x7F\0\0\0\0\0\x10\0\x01", 1009, "limit 1006 ;"),
    ROW("\x01\x01x\x81\x01y", 1002, "protocol 1006 ;"), /* the last message is not finished */
    ROW("\x82\x7E\0\x7D", 1002, "protocol 1006 ;"),     /* a length that is not minimal */
};

static void violate(const struct violation *v, enum ws_role role, size_t cut, size_t piece) {
    struct pair p;
    open_pair(&p, SIZE_MAX);
    struct side *s = role == WS_ROLE_SERVER ? &p.server : &p.client;
    feed(s, v->bytes, cut);
    for (size_t at = cut; at < v->len; at += piece)
        feed(s, v->bytes + at, v->len - at < piece ? v->len - at : piece);
    check_line(s, v->told);
    CHECK_EQ(s->own.sent_code, v->code);
    CHECK_EQ(s->own.state, WS_ENDPOINT_CLOSED);
    ws_endpoint_output(&s->own);
    bool clean = strstr(v->told, "peer") != NULL;
    CHECK_EQ(ws_endpoint_should_close(&s->own), role == WS_ROLE_SERVER || !clean);
    CHECK((s->own.sent_len > 0) == !clean); /* words for a person */
    CHECK_EQ(ws_endpoint_send(&s->own, true, true, NULL, 0), WS_ERR_CLOSED);
    end_pair(&p);
}

static void test_endpoint_violations(void) {
    for (int role = 0; role < 2; role++) {
        const struct violation *rows = role == WS_ROLE_SERVER ? to_server : to_client;
        size_t n = role == WS_ROLE_SERVER ? sizeof to_server / sizeof *to_server
                                          : sizeof to_client / sizeof *to_client;
        for (size_t i = 0; i < n; i++) {
            violate(&rows[i], (enum ws_role)role, 0, 1);
            for (size_t cut = 0; cut <= rows[i].len; cut++)
                violate(&rows[i], (enum ws_role)role, cut, SIZE_MAX);
        }
    }
}

/* ---- the server's opening handshake ---- */

#define UPGRADE                                                                                    \
    "Host: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                             \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

static bool out_is(const struct side *s, const char *text) {
    return s->own.out.len == strlen(text) && memcmp(s->own.out.data, text, strlen(text)) == 0;
}

static bool out_has(const struct side *s, const char *text) {
    return memmem(s->own.out.data, s->own.out.len, text, strlen(text)) != NULL;
}

/* What a request is told as, in every cut. The answer has `answer` in it. */
static void request(const char *text, const char *told, const char *answer) {
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) {
        struct ws_endpoint_options options = options_of(WS_ROLE_SERVER);
        struct side s;
        begin(&s, &options);
        feed(&s, text, cut);
        feed(&s, text + cut, len - cut);
        check_line(&s, told);
        CHECK(out_has(&s, answer));
        ws_endpoint_fini(&s.own);
    }
}

static void test_endpoint_requests(void) {
    request("GET /x?y HTTP/1.1\r\n" UPGRADE "\r\n", "open /x();", ACCEPT);
    request("GET /x HTTP/1.1\r\n" UPGRADE "\r\n\x81\x82"
            "0000"
            "XY",
            "open /x();ascii:hi;", ACCEPT);
    request("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET",
            "rejected 426 a WebSocket handshake is needed here;", "HTTP/1.1 426 ");
    request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "rejected 426 a WebSocket handshake is needed here;",
            "Sec-WebSocket-Version: 13\r\n\r\n");
    request("GET / HTTP/1.1\r\n\r\n", "rejected 400 The Host field is missing.;", "HTTP/1.1 400 ");
    request("GET a HTTP/1.1\r\nHost: a\r\n\r\n", "rejected 400 the request target is malformed;",
            "HTTP/1.1 400 ");
    request("\x16\x03\x01", "rejected 400 this is not HTTP;", "HTTP/1.1 400 ");
    request("GET / HTTP/1.0\r\n", "rejected 505 HTTP/1.1 is needed;", "HTTP/1.1 505 ");
    request(
        "GET / HTTP/1.1\r\n" UPGRADE "Origin: http://b.example\r\n\r\n",
        "rejected 403 Pages of that origin may not connect; the option origins= lists those that "
        "may.;",
        "HTTP/1.1 403 ");
}

static void test_endpoint_asks(void) {
    static const char text[] = "GET /x HTTP/1.1\r\n" UPGRADE "\r\n\x81\x82"
                               "0000"
                               "XY";
    struct ws_endpoint_options options = options_of(WS_ROLE_SERVER);
    options.asks = true;
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct side s;
        begin(&s, &options);
        CHECK_EQ(ws_endpoint_accept(&s.own, slice_of("")), WS_ERR_ARGUMENT);
        feed(&s, text, cut);
        feed(&s, text + cut, sizeof text - 1 - cut);
        check_line(&s, "request /x;");
        CHECK_EQ(s.own.out.len, 0);
        CHECK_EQ(s.own.state, WS_ENDPOINT_ASKED);
        CHECK_EQ(ws_endpoint_send(&s.own, true, true, NULL, 0), WS_ERR_ARGUMENT);
        CHECK_EQ(ws_endpoint_accept(&s.own, slice_of("X: y\r\n")), 0);
        CHECK(out_is(&s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\n" ACCEPT "X: y\r\n\r\n"));
        CHECK_EQ(ws_endpoint_accept(&s.own, slice_of("")), WS_ERR_ARGUMENT);
        drain(&s);
        check_line(&s, "open /x();ascii:hi;");
        ws_endpoint_fini(&s.own);
    }
}

static void test_endpoint_rejects(void) {
    static const char text[] = "GET /x HTTP/1.1\r\n" UPGRADE "\r\n\x81\x82";
    struct ws_endpoint_options options = options_of(WS_ROLE_SERVER);
    struct side s;
    options.asks = true;
    begin(&s, &options);
    feed(&s, text, sizeof text - 1);
    CHECK_EQ(ws_endpoint_reject(&s.own, 401, "who?", slice_of("A: b\r\n")), 0);
    CHECK_EQ(ws_endpoint_reject(&s.own, 401, "who?", slice_of("")), WS_ERR_ARGUMENT);
    CHECK(out_is(&s, "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain; charset=utf-8\r\n"
                     "Content-Length: 5\r\nConnection: close\r\nA: b\r\n\r\nwho?\n"));
    drain(&s);
    check_line(&s, "request /x;");
    CHECK(ws_endpoint_should_close(&s.own));
    ws_endpoint_fini(&s.own);

    begin(&s, &options); /* and one that goes before it is answered */
    feed(&s, text, sizeof text - 1);
    ws_endpoint_receive_eof(&s.own);
    drain(&s);
    check_line(&s, "request /x;eof 1006 ;");
    ws_endpoint_fini(&s.own);
}

/* ---- the client's opening handshake ---- */

static void respond(const char *text, const char *told) {
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) {
        struct ws_endpoint_options options = options_of(WS_ROLE_CLIENT);
        struct side s;
        begin(&s, &options);
        memcpy(s.own.key, "the sample nonce", 16);
        feed(&s, text, cut);
        feed(&s, text + cut, len - cut);
        check_line(&s, told);
        ws_endpoint_fini(&s.own);
    }
}

#define ANSWER "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" ACCEPT

static void test_endpoint_responses(void) {
    respond(ANSWER "\r\n", "open 101();");
    respond(ANSWER "\r\n\x81\x02hi", "open 101();ascii:hi;");
    respond("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\n" ANSWER "\r\n\x81\x02hi",
            "open 101();ascii:hi;");
    respond("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
            "rejected 403 the status of the answer is not 101;");
    respond("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
            "rejected 101 the Sec-WebSocket-Accept of the answer is wrong;");
    respond(ANSWER "Sec-WebSocket-Protocol: chat\r\n\r\n",
            "rejected 101 the answer names a subprotocol that was not offered;");
    respond("SSH-2.0-x\r\n", "rejected 0 the answer is not HTTP;");
    respond("HTTP/2.0 200 x\r\n", "rejected 0 the answer is not HTTP/1.1;");
}

static void test_endpoint_response_limits(void) {
    struct ws_endpoint_options options = options_of(WS_ROLE_CLIENT);
    struct side s;
    options.max_header_size = 100;
    begin(&s, &options);
    for (int i = 0; i < 1000; i++) feed(&s, "HTTP/1.1 102 x\r\n\r\n", 18);
    CHECK(s.own.in.len <= 18); /* they may go on for ever, but gather nothing */
    check_line(&s, "");
    feed(&s, ANSWER, sizeof ANSWER - 1);
    check_line(&s, "rejected 0 the head of the answer is too large;");
    CHECK(ws_endpoint_should_close(&s.own));
    ws_endpoint_fini(&s.own);
}

static void test_endpoint_subprotocols(void) {
    static const struct ws_slice ours[] = {{"b", 1}, {"a", 1}}, theirs[] = {{"c", 1}, {"a", 1}};
    struct ws_endpoint_options client = options_of(WS_ROLE_CLIENT),
                               server = options_of(WS_ROLE_SERVER);
    struct pair p;
    client.rules.subprotocols = (struct ws_names){theirs, 2};
    client.fields = slice_of("Origin: http://a.example\r\n");
    server.rules.subprotocols = (struct ws_names){ours, 2};
    begin(&p.client, &client);
    begin(&p.server, &server);
    CHECK(out_has(&p.client, "GET /chat?a=1 HTTP/1.1\r\nHost: a.example\r\n"));
    CHECK(out_has(&p.client, "Sec-WebSocket-Protocol: c, a\r\nOrigin: http://a.example\r\n\r\n"));
    carry_all(&p.client, &p.server, 1);
    check_line(&p.server, "open /chat(a);");
    check_line(&p.client, "open 101(a);");
    end_pair(&p);
}

static void test_endpoint_bad_url(void) {
    struct ws_endpoint_options options = options_of(WS_ROLE_CLIENT);
    struct ws_endpoint own;
    options.target = "chat";
    CHECK_EQ(ws_endpoint_init(&own, &options), WS_ERR_ARGUMENT);
    ws_endpoint_fini(&own);
    options.target = "/";
    options.host = "a b";
    CHECK_EQ(ws_endpoint_init(&own, &options), WS_ERR_ARGUMENT);
    ws_endpoint_fini(&own);
}

/* ---- whatever comes ---- */

static uint64_t random_state = 6455;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

/* A head and some frames, most of them right, with some bytes that are not what they were. */
static size_t make_stream(uint8_t *out, enum ws_role to) {
    static const uint8_t opcodes[] = {0x81, 0x82, 0x89, 0x8A, 0x01, 0x00, 0x80, 0x88};
    const char *head = to == WS_ROLE_SERVER ? "GET /x HTTP/1.1\r\n" UPGRADE "\r\n" : ANSWER "\r\n";
    size_t len = strlen(head), n_frames = random_below(8);
    memcpy(out, head, len);
    for (size_t i = 0; i < n_frames; i++) {
        uint8_t size = (uint8_t)random_below(20);
        out[len++] = opcodes[random_below(random_below(4) ? 4 : sizeof opcodes)];
        out[len++] = to == WS_ROLE_SERVER ? 0x80 | size : size;
        for (int k = 0; to == WS_ROLE_SERVER && k < 4; k++) out[len++] = 0; /* the key */
        for (int k = 0; k < size; k++) out[len++] = (uint8_t)('a' + random_below(26));
    }
    for (uint32_t n = random_below(4) ? 0 : random_below(4); n; n--)
        out[random_below((uint32_t)len)] = (uint8_t)random_below(256);
    return len;
}

/* Fed in pieces of at most `most` bytes of random length, then the end of the stream. */
static void run(struct side *s, enum ws_role role, const uint8_t *data, size_t len, uint32_t most) {
    struct ws_endpoint_options options = options_of(role);
    begin(s, &options);
    memcpy(s->own.key, "the sample nonce", 16);
    for (size_t n; len; data += n, len -= n) {
        n = 1 + random_below(most);
        if (n > len) n = len;
        feed(s, data, n);
    }
    ws_endpoint_receive_eof(&s->own);
    drain(s);
    note(s, "%zu bytes, %u", ws_endpoint_output(&s->own)->len, s->own.sent_code);
    CHECK_EQ(s->own.state, WS_ENDPOINT_CLOSED);
    CHECK(ws_endpoint_should_close(&s->own));
}

/* The same is told and sent, however it is cut; and there is one end. */
static void test_endpoint_random(void) {
    static struct side whole, cut; /* too large for a stack */
    uint8_t stream[1024];
    int n_open = 0, n_rejected = 0, n_closed = 0;
    for (int i = 0; i < 4000; i++) {
        enum ws_role role = i % 2 ? WS_ROLE_CLIENT : WS_ROLE_SERVER;
        size_t len = make_stream(stream, role);
        run(&whole, role, stream, len, UINT32_MAX);
        run(&cut, role, stream, len, 1 + random_below(40));
        check_line(&cut, whole.line);
        n_open += strncmp(whole.line, "open", 4) == 0;
        n_rejected += strncmp(whole.line, "rejected", 8) == 0;
        n_closed += whole.own.sent_code != 0;
        ws_endpoint_fini(&whole.own);
        ws_endpoint_fini(&cut.own);
    }
    CHECK(n_open > 2000 && n_rejected > 20 && n_closed > 200); /* each of them is tried */
}

/* ---- without memory ---- */

/* A connection's whole life with one allocation that fails, whichever it is: each side comes to an
 * end or does all of it, and nothing leaks. */
static void test_endpoint_without_memory(void) {
    size_t len = 40000;
    uint8_t *data = calloc(1, len);
    int done = 0;
    for (int n = 1; !done && n < 200; n++) {
        struct pair p;
        memset(&p, 0, sizeof p);
        struct ws_endpoint_options client = options_of(WS_ROLE_CLIENT),
                                   server = options_of(WS_ROLE_SERVER);
        n_allocations = 0;
        fail_at = n;
        bool begun = ws_endpoint_init(&p.client.own, &client) == 0 &&
                     ws_endpoint_init(&p.server.own, &server) == 0;
        if (begun) {
            carry_all(&p.client, &p.server, 30);
            ws_endpoint_send(&p.client.own, false, true, data, len);
            ws_endpoint_send(&p.client.own, true, false, data, 10);
            ws_endpoint_send(&p.client.own, true, true, data, 10);
            ws_endpoint_ping(&p.client.own, data, 125);
            carry_all(&p.client, &p.server, 20000);
            ws_endpoint_close(&p.server.own, 1000, slice_of("bye"));
            carry_all(&p.client, &p.server, 3);
        }
        done = n_allocations < n;
        fail_at = 0;
        end_pair(&p);
    }
    CHECK(done);
    free(data);
}

int main(void) {
    RUN(test_endpoint_talk);
    RUN(test_endpoint_fragments);
    RUN(test_endpoint_large);
    RUN(test_endpoint_masks);
    RUN(test_endpoint_client_closes);
    RUN(test_endpoint_server_closes);
    RUN(test_endpoint_last_answer);
    RUN(test_endpoint_eof);
    RUN(test_endpoint_abort);
    RUN(test_endpoint_violations);
    RUN(test_endpoint_requests);
    RUN(test_endpoint_asks);
    RUN(test_endpoint_rejects);
    RUN(test_endpoint_responses);
    RUN(test_endpoint_response_limits);
    RUN(test_endpoint_subprotocols);
    RUN(test_endpoint_bad_url);
    RUN(test_endpoint_random);
    RUN(test_endpoint_without_memory);
    return check_done();
}
