/* test_proto.c: the state machine in both roles. A scenario is a stream of bytes and the events it
 * must give, written as a line of text; it is fed whole, cut in two at every byte, one byte at a
 * time and at a mapped page's end, and the line is the same each time. */
#include "proto.h"

#include "check.h"
#include "err.h"

#include <stdarg.h>

#define FIN 0x80
#define ROLES 2

enum answer { ANSWER_DIRECT, ANSWER_ROOM, ANSWER_SKIP };

/* What a proto under test was told, and what it told. */
struct trial {
    enum ws_role role;
    enum ws_simd simd;
    size_t max_size;
    uint32_t max_fragments;
    enum answer answer;
    bool page; /* pieces end at a mapped page's end */

    struct ws_proto proto;
    uint8_t *into; /* a large message's memory */
    int n_buffers; /* BUFFER events */
    size_t fed;    /* bytes consumed */
    char line[4096];
    size_t line_len;
};

static uint64_t random_state;

static uint32_t random_next(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33);
}

/* The sanitizer's count of bytes in use; absent in a build without it. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void) {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

/* ---- scenarios ---- */

static void put(struct ws_buf *b, const void *data, size_t len) {
    if (ws_buf_append(b, data, len) < 0) exit(2);
}

/* A frame's header, written without the help of frame.c; the key is never zero. */
static void put_header(struct ws_buf *b, bool masked, unsigned first, uint64_t len,
                       const uint8_t key[4]) {
    uint8_t h[14] = {(uint8_t)first};
    size_t n = 2, extra = len < 126 ? 0 : len < 65536 ? 2 : 8;
    h[1] = (uint8_t)((masked ? 0x80 : 0) | (extra == 0 ? len : extra == 2 ? 126 : 127));
    for (size_t i = 0; i < extra; i++) h[n++] = (uint8_t)(len >> 8 * (extra - 1 - i));
    if (masked) memcpy(h + n, key, 4), n += 4;
    put(b, h, n);
}

static void put_frame(struct ws_buf *b, enum ws_role to, unsigned first, const void *data,
                      size_t len) {
    bool masked = to == WS_ROLE_SERVER;
    uint8_t key[4];
    for (int i = 0; i < 4; i++) key[i] = (uint8_t)(random_next() | 1);
    put_header(b, masked, first, len, key);
    size_t at = b->len;
    put(b, data, len);
    for (size_t i = 0; masked && i < len; i++) b->data[at + i] ^= key[i & 3];
}

static void put_text(struct ws_buf *b, enum ws_role to, unsigned first, const char *text) {
    put_frame(b, to, first, text, strlen(text));
}

static struct trial trial_for(enum ws_role role) {
    return (struct trial){
        .role = role, .simd = ws_simd_detect(), .max_size = 1 << 20, .max_fragments = 1000};
}

/* ---- events as text ---- */

__attribute__((format(printf, 2, 3))) static void note(struct trial *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->line + t->line_len, sizeof t->line - t->line_len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof t->line - t->line_len) exit(2);
    t->line_len += (size_t)n;
}

static uint32_t hash(const uint8_t *data, size_t len) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++) h = (h ^ data[i]) * 16777619u;
    return h;
}

static void note_bytes(struct trial *t, const uint8_t *data, size_t len) {
    if (len <= 40) note(t, "%.*s;", (int)len, (const char *)data);
    else note(t, "%zu#%08x;", len, (unsigned)hash(data, len));
}

static void note_message(struct trial *t, bool text, bool ascii, const uint8_t *data, size_t len) {
    note(t, "%s:", text ? ascii ? "ascii" : "text" : "binary");
    note_bytes(t, data, len);
}

static void take_message(struct trial *t, const struct ws_proto_event *ev) {
    CHECK(ev->data != NULL || t->into != NULL);
    CHECK(!ev->ascii || ev->text);
    note_message(t, ev->text, ev->ascii, ev->data ? ev->data : t->into, ev->len);
    if (ev->owned) free(ev->data);
    CHECK(t->proto.partial == NULL); /* an idle peer owns no buffer */
    free(t->into);
    t->into = NULL;
}

static void take_buffer(struct trial *t, const struct ws_proto_event *ev) {
    t->n_buffers++;
    CHECK(ev->len > WS_PROTO_DIRECT_MIN);
    CHECK_EQ(ev->text, t->proto.opcode == WS_OPCODE_TEXT);
    if (t->answer == ANSWER_SKIP) {
        ws_proto_skip(&t->proto);
        return;
    }
    t->into = malloc(ev->len);
    ws_proto_direct(&t->proto, t->into);
}

static void take_event(struct trial *t, const struct ws_proto_event *ev) {
    switch (ev->kind) {
    case WS_PROTO_NONE: break;
    case WS_PROTO_MESSAGE: take_message(t, ev); break;
    case WS_PROTO_PING: note(t, "ping:"), note_bytes(t, ev->data, ev->len); break;
    case WS_PROTO_PONG: note(t, "pong:"), note_bytes(t, ev->data, ev->len); break;
    case WS_PROTO_CLOSE: note(t, "close%u:", ev->code), note_bytes(t, ev->data, ev->len); break;
    case WS_PROTO_BUFFER: take_buffer(t, ev); break;
    case WS_PROTO_FAIL:
        CHECK(ev->len > 0 && !ev->owned);
        note(t, "fail%u;", ev->code);
        break;
    }
}

/* ---- feeding ---- */

static void begin(struct trial *t) {
    ws_proto_init(&t->proto, t->role, t->simd, t->max_size, t->max_fragments);
    t->into = NULL;
    t->n_buffers = 0;
    t->line_len = 0;
    t->line[0] = '\0';
    t->fed = 0;
}

static void finish(struct trial *t) {
    ws_proto_fini(&t->proto);
    CHECK(t->proto.partial == NULL);
    free(t->into);
    t->into = NULL;
}

/* Bytes read straight into the message's memory. */
static size_t feed_room(struct trial *t, const uint8_t *data, size_t len) {
    struct ws_proto_event ev;
    uint8_t *at;
    size_t room = ws_proto_direct_room(&t->proto, &at);
    if (len > room) len = room;
    if (len == 0) return 0;
    memcpy(at, data, len);
    CHECK_EQ(ws_proto_direct_feed(&t->proto, len, &ev), 0);
    take_event(t, &ev);
    return len;
}

static void feed_at(struct trial *t, uint8_t *data, size_t len) {
    while (len) {
        struct ws_proto_event ev;
        size_t direct = t->answer == ANSWER_ROOM ? feed_room(t, data, len) : 0;
        ptrdiff_t n = direct ? (ptrdiff_t)direct : ws_proto_feed(&t->proto, data, len, &ev);
        if (!direct) {
            CHECK(n >= 0 && (size_t)n <= len);
            if (n < 0) return;
            take_event(t, &ev);
            if (n == 0 && ev.kind == WS_PROTO_NONE) {
                CHECK(t->proto.ended);
                return;
            }
        }
        t->fed += (size_t)n;
        data += n;
        len -= (size_t)n;
    }
}

/* One piece, in memory of exactly its size that is gone afterwards. */
static void feed(struct trial *t, const uint8_t *data, size_t len) {
    struct check_page page;
    uint8_t *copy = t->page ? check_page_copy(&page, data, len) : malloc(len ? len : 1);
    if (!t->page && len) memcpy(copy, data, len);
    feed_at(t, copy, len);
    if (t->page) check_page_free(&page);
    else free(copy);
}

static void expect(const struct trial *t, const char *line, const char *how, size_t at) {
    if (strcmp(t->line, line) == 0) return;
    fprintf(stderr, "role %d, %s at %zu: %s, not %s\n", t->role, how, at, t->line, line);
    check_failures++;
}

static void feed_in_two(struct trial *t, const struct ws_buf *b, size_t at, const char *line) {
    begin(t);
    feed(t, b->data, at);
    feed(t, b->data + at, b->len - at);
    expect(t, line, "cut", at);
    finish(t);
}

static void feed_bytewise(struct trial *t, const struct ws_buf *b, const char *line) {
    begin(t);
    for (size_t i = 0; i < b->len; i++) feed(t, b->data + i, 1);
    expect(t, line, "bytewise", 0);
    finish(t);
}

/* All the ways to feed the scenario; frees it. */
static void check(struct trial t, struct ws_buf *b, const char *line) {
    for (int simd = 0; simd < WS_SIMD_LEVELS; simd++) {
        if (!ws_simd_has((enum ws_simd)simd)) continue;
        t.simd = (enum ws_simd)simd;
        t.page = false;
        feed_in_two(&t, b, b->len, line);
        for (size_t at = 1; at < b->len; at++) feed_in_two(&t, b, at, line);
        feed_bytewise(&t, b, line);
        t.page = true;
        feed_in_two(&t, b, b->len, line);
        feed_in_two(&t, b, b->len / 2, line);
    }
    ws_buf_fini(b);
}

/* A scenario that is only fed whole, bytewise and cut near its ends and its middle. */
static void check_long(struct trial t, struct ws_buf *b, const char *line) {
    for (size_t at = 1; at <= b->len; at++) {
        feed_in_two(&t, b, at, line);
        if (at == 40 && b->len > 120) at = b->len / 2 - 20;
        if (at == b->len / 2 + 20 && b->len > 120) at = b->len - 20;
    }
    feed_bytewise(&t, b, line);
    t.page = true;
    feed_in_two(&t, b, b->len, line);
    ws_buf_fini(b);
}

/* ---- messages ---- */

static void test_proto_messages(void) {
    for (int r = 0; r < ROLES; r++) {
        struct ws_buf b = {0};
        put_text(&b, r, FIN | WS_OPCODE_TEXT, "hello");
        put_text(&b, r, FIN | WS_OPCODE_BINARY, "\xFF\xFE");
        put_text(&b, r, FIN | WS_OPCODE_TEXT, "gr\xC3\xBC\xC3\x9F dich");
        put_text(&b, r, FIN | WS_OPCODE_TEXT, "");
        put_text(&b, r, FIN | WS_OPCODE_BINARY, "");
        put_text(&b, r, FIN | WS_OPCODE_TEXT, "\xF0\x9F\x98\x80");
        check(trial_for(r), &b,
              "ascii:hello;binary:\xFF\xFE;text:gr\xC3\xBC\xC3\x9F dich;ascii:;binary:;"
              "text:\xF0\x9F\x98\x80;");
    }
}

static void test_proto_lengths(void) {
    static const size_t lengths[] = {124, 125, 126, 127, 255, 256, 65535, 65536, 65537};
    uint8_t *data = malloc(65537);
    for (size_t i = 0; i < 65537; i++) data[i] = (uint8_t)(i * 31 + i / 256);
    for (int r = 0; r < ROLES; r++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct trial t = trial_for(r);
            struct ws_buf b = {0};
            put_frame(&b, r, FIN | WS_OPCODE_BINARY, data, lengths[i]);
            begin(&t);
            note_message(&t, false, false, data, lengths[i]);
            char line[64];
            memcpy(line, t.line, sizeof line);
            check_long(t, &b, line);
        }
    free(data);
}

static void test_proto_fragments(void) {
    for (int r = 0; r < ROLES; r++) {
        struct ws_buf b = {0};
        put_text(&b, r, WS_OPCODE_TEXT, "one ");
        put_text(&b, r, WS_OPCODE_CONTINUATION, "two ");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "three");
        put_text(&b, r, WS_OPCODE_BINARY, "x");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "\xFFy");
        check(trial_for(r), &b, "ascii:one two three;binary:x\xFFy;");

        put_text(&b, r, WS_OPCODE_TEXT, "a\xF0\x9F"); /* a character over three frames */
        put_text(&b, r, WS_OPCODE_CONTINUATION, "\x98");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "\x80z");
        check(trial_for(r), &b, "text:a\xF0\x9F\x98\x80z;");
    }
}

static void test_proto_empty_fragments(void) {
    for (int r = 0; r < ROLES; r++) {
        struct ws_buf b = {0};
        put_text(&b, r, WS_OPCODE_TEXT, "");
        put_text(&b, r, WS_OPCODE_CONTINUATION, "");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "");
        put_text(&b, r, WS_OPCODE_TEXT, "");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "last");
        put_text(&b, r, WS_OPCODE_TEXT, "first");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "");
        put_text(&b, r, WS_OPCODE_BINARY, "");
        put_text(&b, r, WS_OPCODE_CONTINUATION, "mid");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "");
        check(trial_for(r), &b, "ascii:;ascii:last;ascii:first;binary:mid;");
    }
}

/* ---- control frames ---- */

static void test_proto_control(void) {
    char full[126];
    memset(full, 'p', 125);
    full[125] = '\0';
    for (int r = 0; r < ROLES; r++) {
        struct ws_buf b = {0};
        put_text(&b, r, FIN | WS_OPCODE_PING, "");
        put_text(&b, r, FIN | WS_OPCODE_PONG, "");
        put_text(&b, r, FIN | WS_OPCODE_PING, "1");
        put_text(&b, r, FIN | WS_OPCODE_PONG, "22");
        put_text(&b, r, FIN | WS_OPCODE_PING, full);
        put_text(&b, r, FIN | WS_OPCODE_TEXT, "end");
        char line[128];
        snprintf(line, sizeof line, "ping:;pong:;ping:1;pong:22;ping:125#%08x;ascii:end;",
                 (unsigned)hash((const uint8_t *)full, 125));
        check(trial_for(r), &b, line);
    }
}

static void test_proto_control_between_fragments(void) {
    for (int r = 0; r < ROLES; r++) {
        struct ws_buf b = {0};
        put_text(&b, r, FIN | WS_OPCODE_PING, "0");
        put_text(&b, r, WS_OPCODE_TEXT, "a\xC3");
        put_text(&b, r, FIN | WS_OPCODE_PING, "\xFF");
        put_text(&b, r, WS_OPCODE_CONTINUATION, "\xA9");
        put_text(&b, r, FIN | WS_OPCODE_PONG, "");
        put_text(&b, r, FIN | WS_OPCODE_PING, "2");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "c");
        check(trial_for(r), &b,
              "ping:0;ping:\xFF;pong:;ping:2;text:a\xC3\xA9"
              "c;");

        put_text(&b, r, WS_OPCODE_TEXT, "never ends");
        put_text(&b, r, FIN | WS_OPCODE_CLOSE, "\x03\xE8");
        check(trial_for(r), &b, "close1000:;");
    }
}

static void test_proto_close(void) {
    char full[126] = "\x0F\xA0";
    memset(full + 2, 'r', 123);
    char line[64];
    snprintf(line, sizeof line, "close4000:123#%08x;",
             (unsigned)hash((const uint8_t *)full + 2, 123));
    for (int r = 0; r < ROLES; r++) {
        struct ws_buf b = {0};
        put_text(&b, r, FIN | WS_OPCODE_CLOSE, "");
        put_text(&b, r, FIN | WS_OPCODE_TEXT, "nobody reads this");
        check(trial_for(r), &b, "close1005:;");
        put_text(&b, r, FIN | WS_OPCODE_CLOSE, "\x03\xE9gr\xC3\xBC\xC3\x9F");
        put_text(&b, r, FIN | WS_OPCODE_CLOSE, "\x03\xE9");
        check(trial_for(r), &b, "close1001:gr\xC3\xBC\xC3\x9F;");
        put_frame(&b, r, FIN | WS_OPCODE_CLOSE, full, 125);
        check(trial_for(r), &b, line);
    }
}

/* ---- violations ---- */

/* One violating frame behind a sound message; whatever follows it is not read. */
static void check_violation(int r, unsigned first, const char *payload, size_t len,
                            const char *expected) {
    struct ws_buf b = {0};
    char line[64];
    put_text(&b, r, FIN | WS_OPCODE_TEXT, "ok");
    put_frame(&b, r, first, payload, len);
    put_text(&b, r, FIN | WS_OPCODE_TEXT, "late");
    snprintf(line, sizeof line, "ascii:ok;%s", expected);
    check(trial_for(r), &b, line);
}

static void test_proto_reserved_bits(void) {
    static const uint8_t opcodes[] = {0x1, 0x2, 0x8, 0x9, 0xA};
    for (int r = 0; r < ROLES; r++)
        for (unsigned rsv = 1; rsv < 8; rsv++)
            for (size_t i = 0; i < sizeof opcodes; i++)
                check_violation(r, FIN | rsv << 4 | opcodes[i], "", 0, "fail1002;");
}

static void test_proto_reserved_opcodes(void) {
    for (int r = 0; r < ROLES; r++)
        for (unsigned opcode = 0; opcode < 16; opcode++) {
            if (opcode < 3 || (opcode >= 8 && opcode <= 10)) continue;
            check_violation(r, FIN | opcode, "x", 1, "fail1002;");
            check_violation(r, opcode, "x", 1, "fail1002;");
        }
}

static void test_proto_masking(void) {
    static const uint8_t opcodes[] = {0x1, 0x2, 0x8, 0x9, 0xA};
    for (int r = 0; r < ROLES; r++)
        for (size_t i = 0; i < sizeof opcodes; i++)
            for (size_t len = 0; len <= 3; len += 3) {
                struct ws_buf b = {0}; /* as if to the other role */
                put_frame(&b, r == WS_ROLE_SERVER ? WS_ROLE_CLIENT : WS_ROLE_SERVER,
                          FIN | opcodes[i], "abc", len);
                check(trial_for(r), &b, "fail1002;");
            }
}

static void test_proto_control_violations(void) {
    char big[200] = "";
    for (int r = 0; r < ROLES; r++)
        for (unsigned opcode = WS_OPCODE_CLOSE; opcode <= WS_OPCODE_PONG; opcode++) {
            check_violation(r, opcode, "", 0, "fail1002;"); /* fragmented */
            check_violation(r, opcode, "abc", 3, "fail1002;");
            check_violation(r, FIN | opcode, big, 126, "fail1002;");
            check_violation(r, FIN | opcode, big, 200, "fail1002;");
        }
}

static void test_proto_fragment_violations(void) {
    for (int r = 0; r < ROLES; r++) {
        check_violation(r, FIN | WS_OPCODE_CONTINUATION, "", 0, "fail1002;");
        check_violation(r, WS_OPCODE_CONTINUATION, "x", 1, "fail1002;");
        for (unsigned opcode = WS_OPCODE_TEXT; opcode <= WS_OPCODE_BINARY; opcode++)
            for (unsigned fin = 0; fin <= FIN; fin += FIN) {
                struct ws_buf b = {0};
                put_text(&b, r, WS_OPCODE_TEXT, "one");
                put_text(&b, r, FIN | WS_OPCODE_PING, "p");
                put_text(&b, r, fin | opcode, "two");
                check(trial_for(r), &b, "ping:p;fail1002;");
            }
    }
}

static void test_proto_lengths_not_minimal(void) {
    static const struct {
        const char *bytes; /* behind the first byte; the mask bit is added */
        size_t len;
    } rows[] = {
        {"\x7E\x00\x00", 3},
        {"\x7E\x00\x7D", 3},
        {"\x7F\x00\x00\x00\x00\x00\x00\x00\x05", 9},
        {"\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF", 9},
        {"\x7F\x80\x00\x00\x00\x00\x00\x00\x00", 9},
        {"\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 9},
    };
    for (int r = 0; r < ROLES; r++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct ws_buf b = {0};
            put(&b, "\x82", 1);
            put(&b, rows[i].bytes, rows[i].len);
            if (r == WS_ROLE_SERVER) b.data[1] |= 0x80;
            check(trial_for(r), &b, "fail1002;");
        }
}

/* RFC 6455 section 7.4 and the IANA registry, written down apart from the code. */
static bool code_may_be_sent(unsigned code) {
    if (code < 1000 || code > 4999) return false;
    if (code >= 3000) return true;
    switch (code) {
    case 1000:
    case 1001:
    case 1002:
    case 1003:
    case 1007:
    case 1008:
    case 1009:
    case 1010:
    case 1011:
    case 1012:
    case 1013:
    case 1014: return true;
    default: return false;
    }
}

static void test_proto_close_codes(void) {
    for (int r = 0; r < ROLES; r++)
        for (unsigned code = 0; code <= 65535; code = code == 5000 ? 65535 : code + 1) {
            struct trial t = trial_for(r);
            struct ws_buf b = {0};
            uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
            char line[32];
            CHECK_EQ(ws_proto_code_is_valid(code), code_may_be_sent(code));
            put_frame(&b, r, FIN | WS_OPCODE_CLOSE, payload, 2);
            snprintf(line, sizeof line, code_may_be_sent(code) ? "close%u:;" : "fail1002;", code);
            feed_in_two(&t, &b, b.len, line);
            feed_bytewise(&t, &b, line);
            ws_buf_fini(&b);
        }
}

static void test_proto_close_violations(void) {
    for (int r = 0; r < ROLES; r++) {
        check_violation(r, FIN | WS_OPCODE_CLOSE, "\x03", 1, "fail1002;");
        check_violation(r, FIN | WS_OPCODE_CLOSE, "\x03\xE8\xFF", 3, "fail1007;");
        check_violation(r, FIN | WS_OPCODE_CLOSE,
                        "\x03\xE8"
                        "a\xC3",
                        4, "fail1007;");
        check_violation(r, FIN | WS_OPCODE_CLOSE, "\x03\xE8\xED\xA0\x80", 5, "fail1007;");
    }
}

/* ---- UTF-8 ---- */

static void test_proto_utf8(void) {
    for (int r = 0; r < ROLES; r++) {
        check_violation(r, FIN | WS_OPCODE_TEXT, "a\xFF", 2, "fail1007;");
        check_violation(r, FIN | WS_OPCODE_TEXT, "a\xC3", 2, "fail1007;"); /* cut at the end */
        check_violation(r, FIN | WS_OPCODE_TEXT, "\xF0\x9F\x98", 3, "fail1007;");
        struct ws_buf b = {0};
        put_text(&b, r, WS_OPCODE_TEXT, "\xC3"); /* no continuation byte follows */
        put_text(&b, r, WS_OPCODE_CONTINUATION, "");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "(");
        check(trial_for(r), &b, "fail1007;");
        put_text(&b, r, WS_OPCODE_TEXT, "\xC3");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "");
        check(trial_for(r), &b, "fail1007;");
    }
}

/* The byte that makes the text impossible is refused at once, long before the frame's end. */
static void check_fail_fast(int r, unsigned fin, const char *text, size_t bad) {
    struct trial t = trial_for(r);
    struct ws_buf b = {0};
    char payload[300];
    memset(payload, 'x', sizeof payload);
    memcpy(payload, text, strlen(text));
    put_frame(&b, r, fin | WS_OPCODE_TEXT, payload, sizeof payload);
    size_t header = b.len - sizeof payload;
    begin(&t);
    for (size_t i = 0; i < header + bad; i++) feed(&t, b.data + i, 1);
    expect(&t, "", "before the bad byte", bad);
    feed(&t, b.data + header + bad, 1);
    expect(&t, "fail1007;", "bad byte", bad);
    finish(&t);
    ws_buf_fini(&b);
}

static void test_proto_utf8_fails_fast(void) {
    for (int r = 0; r < ROLES; r++)
        for (unsigned fin = 0; fin <= FIN; fin += FIN) {
            check_fail_fast(r, fin, "abc\xC0", 3);
            check_fail_fast(r, fin, "\x80", 0);
            check_fail_fast(r, fin, "a\xE0\x80", 2);
            check_fail_fast(r, fin, "a\xED\xA0", 2);
            check_fail_fast(r, fin, "\xF4\x90", 1);
            check_fail_fast(r, fin, "\xF5", 0);
            check_fail_fast(r, fin, "\xCE\xBA\xE1\xBD\xB9\xED\xA0\x80", 6);
            check_fail_fast(r, fin, "\xF0\x9F\x98(", 3);
        }
}

/* ---- limits ---- */

static void test_proto_message_size(void) {
    char data[200];
    memset(data, 'd', sizeof data);
    for (int r = 0; r < ROLES; r++) {
        struct trial t = trial_for(r);
        struct ws_buf b = {0};
        char line[64], exact[32];
        snprintf(exact, sizeof exact, "binary:100#%08x;",
                 (unsigned)hash((const uint8_t *)data, 100));
        t.max_size = 100;
        put_frame(&b, r, FIN | WS_OPCODE_BINARY, data, 100);
        put_frame(&b, r, FIN | WS_OPCODE_BINARY, data, 101);
        snprintf(line, sizeof line, "%sfail1009;", exact);
        check(t, &b, line);

        put_frame(&b, r, WS_OPCODE_BINARY, data, 60);
        put_frame(&b, r, WS_OPCODE_CONTINUATION, data, 40);
        put_frame(&b, r, FIN | WS_OPCODE_CONTINUATION, data, 0);
        put_frame(&b, r, WS_OPCODE_BINARY, data, 60);
        put_frame(&b, r, FIN | WS_OPCODE_CONTINUATION, data, 41);
        check(t, &b, line);

        t.max_size = 0;
        put_frame(&b, r, FIN | WS_OPCODE_TEXT, "", 0);
        put_frame(&b, r, FIN | WS_OPCODE_PING, "pings do not count", 18);
        put_frame(&b, r, FIN | WS_OPCODE_TEXT, "x", 1);
        check(t, &b, "ascii:;ping:pings do not count;fail1009;");
    }
}

static void test_proto_announced_sizes(void) {
    static const uint64_t sizes[] = {UINT64_C(1) << 31, UINT64_C(1) << 32, UINT64_C(1) << 40,
                                     (UINT64_C(1) << 62) + 1, INT64_MAX};
    static const uint8_t key[4] = {1, 2, 3, 4};
    for (int r = 0; r < ROLES; r++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            struct ws_buf b = {0};
            put_header(&b, r == WS_ROLE_SERVER, FIN | WS_OPCODE_BINARY, sizes[i], key);
            check(trial_for(r), &b, "fail1009;");
            put_text(&b, r, WS_OPCODE_BINARY, "abc"); /* the sum does not overflow either */
            put_header(&b, r == WS_ROLE_SERVER, FIN, sizes[i], key);
            check(trial_for(r), &b, "fail1009;");
        }
}

/* A size that is allowed is not paid for in advance: memory grows with what came. */
static void test_proto_memory_follows_bytes(void) {
    static const uint8_t key[4] = {0};
    uint8_t zeros[64] = {0};
    for (int r = 0; r < ROLES; r++) {
        struct trial t = trial_for(r);
        struct ws_buf b = {0};
        t.max_size = SIZE_MAX;
        put_header(&b, r == WS_ROLE_SERVER, FIN | WS_OPCODE_BINARY, INT64_MAX, key);
        begin(&t);
        size_t before = allocated();
        feed(&t, b.data, b.len);
        for (int i = 0; i < 16; i++) feed(&t, zeros, sizeof zeros);
        CHECK(allocated() - before <= 8 * 1024);
        CHECK(t.proto.partial != NULL);
        expect(&t, "", "huge", 0);
        finish(&t);
        CHECK_EQ(allocated(), before);
        ws_buf_fini(&b);
    }
}

static void test_proto_max_fragments(void) {
    for (int r = 0; r < ROLES; r++) {
        struct trial t = trial_for(r);
        struct ws_buf b = {0};
        t.max_fragments = 3;
        for (int message = 0; message < 2; message++) { /* counted anew for each message */
            put_text(&b, r, WS_OPCODE_TEXT, "a");
            put_text(&b, r, WS_OPCODE_CONTINUATION, "b");
            put_text(&b, r, FIN | WS_OPCODE_PING, "");
            put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "c");
        }
        put_text(&b, r, WS_OPCODE_TEXT, "");
        put_text(&b, r, WS_OPCODE_CONTINUATION, "");
        put_text(&b, r, WS_OPCODE_CONTINUATION, "");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "");
        check(t, &b, "ping:;ascii:abc;ping:;ascii:abc;fail1009;");
        t.max_fragments = 1;
        put_text(&b, r, FIN | WS_OPCODE_TEXT, "whole");
        put_text(&b, r, WS_OPCODE_TEXT, "in two");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "");
        check(t, &b, "ascii:whole;fail1009;");
    }
}

/* ---- large messages ---- */

#define MIN WS_PROTO_DIRECT_MIN

/* A large message cut at one place: BUFFER is told only if enough has come and some is missing. */
static void check_direct(struct trial t, const uint8_t *data, size_t len, unsigned opcode,
                         const char *line) {
    struct ws_buf b = {0};
    put_frame(&b, t.role, FIN | opcode, data, len);
    size_t header = b.len - len, whole = b.len;
    bool fails = strncmp(line, "fail", 4) == 0; /* perhaps before so much has come */
    put_text(&b, t.role, FIN | WS_OPCODE_TEXT, "next");
    for (size_t at = 1; at <= b.len; at++) {
        if (at == header + 20) at = header + MIN - 20;
        if (at == header + MIN + 20 && whole > at + 20) at = whole - 20;
        if (at > b.len) break;
        feed_in_two(&t, &b, at, line);
        if (!fails) CHECK_EQ(t.n_buffers, at >= header + MIN && at < whole);
    }
    t.page = true;
    feed_in_two(&t, &b, header + MIN, line);
    t.page = false;
    feed_bytewise(&t, &b, line);
    if (!fails) CHECK_EQ(t.n_buffers, len > MIN);
    ws_buf_fini(&b);
}

static void test_proto_direct(void) {
    static const size_t lengths[] = {MIN - 1, MIN, MIN + 1, MIN + 7, 2 * MIN, 70000};
    uint8_t *data = malloc(70000);
    for (size_t i = 0; i < 70000; i++) data[i] = (uint8_t)(i * 131 + i / 251);
    for (int r = 0; r < ROLES; r++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            for (int answer = ANSWER_DIRECT; answer <= ANSWER_ROOM; answer++) {
                struct trial t = trial_for(r);
                t.answer = (enum answer)answer;
                begin(&t);
                note_message(&t, false, false, data, lengths[i]);
                note(&t, "ascii:next;");
                char line[64];
                memcpy(line, t.line, sizeof line);
                check_direct(t, data, lengths[i], WS_OPCODE_BINARY, line);
            }
    free(data);
}

static void test_proto_direct_text(void) {
    enum { LEN = 2 * MIN };
    static const size_t places[] = {0, 5, MIN - 2, MIN - 1, MIN, MIN + 3, LEN - 2};
    uint8_t *data = malloc(LEN);
    for (int answer = ANSWER_DIRECT; answer <= ANSWER_ROOM; answer++)
        for (size_t i = 0; i <= sizeof places / sizeof *places; i++) {
            struct trial t = trial_for(WS_ROLE_SERVER);
            bool ascii = i == sizeof places / sizeof *places;
            t.answer = (enum answer)answer;
            memset(data, 't', LEN);
            if (!ascii) memcpy(data + places[i], "\xC3\xA9", 2);
            begin(&t);
            note_message(&t, true, ascii, data, LEN);
            note(&t, "ascii:next;");
            char line[64];
            memcpy(line, t.line, sizeof line);
            check_direct(t, data, LEN, WS_OPCODE_TEXT, line);

            if (ascii) data[LEN - 1] = 0xC3; /* the character is cut */
            else data[places[i] + 1] = 0xFF;
            check_direct(t, data, LEN, WS_OPCODE_TEXT, "fail1007;");
        }
    free(data);
}

/* A message that is not wanted gives no event where BUFFER was told, and what follows is read. */
static void test_proto_direct_skip(void) {
    enum { LEN = 2 * MIN };
    uint8_t *data = malloc(LEN);
    memset(data, 's', LEN);
    for (int r = 0; r < ROLES; r++)
        for (size_t cut = MIN; cut < LEN; cut += MIN / 2 - 1) {
            struct trial t = trial_for(r);
            struct ws_buf b = {0};
            t.answer = ANSWER_SKIP;
            put_text(&b, r, FIN | WS_OPCODE_TEXT, "before");
            put_frame(&b, r, FIN | WS_OPCODE_TEXT, data, LEN);
            size_t at = b.len - LEN + cut;
            put_text(&b, r, FIN | WS_OPCODE_PING, "p");
            put_text(&b, r, FIN | WS_OPCODE_TEXT, "after");
            feed_in_two(&t, &b, at, "ascii:before;ping:p;ascii:after;");
            feed_bytewise(&t, &b, "ascii:before;ping:p;ascii:after;");
            ws_buf_fini(&b);
        }
    free(data);
}

/* A large message in fragments is collected: its whole size is not known. */
static void test_proto_direct_not_for_fragments(void) {
    uint8_t *data = malloc(MIN);
    memset(data, 'f', MIN);
    for (int r = 0; r < ROLES; r++) {
        struct trial t = trial_for(r);
        struct ws_buf b = {0};
        for (int i = 0; i < 4; i++)
            put_frame(&b, r, (i == 3 ? FIN : 0) | (i ? WS_OPCODE_CONTINUATION : WS_OPCODE_TEXT),
                      data, MIN);
        uint8_t *all = malloc(4 * MIN);
        memset(all, 'f', 4 * MIN);
        begin(&t);
        note_message(&t, true, true, all, 4 * MIN);
        char line[64];
        memcpy(line, t.line, sizeof line);
        feed_in_two(&t, &b, b.len - 5, line);
        CHECK_EQ(t.n_buffers, 0);
        feed_bytewise(&t, &b, line);
        CHECK_EQ(t.n_buffers, 0);
        free(all);
        ws_buf_fini(&b);
    }
    free(data);
}

static void test_proto_direct_contract(void) {
    struct trial t = trial_for(WS_ROLE_SERVER);
    struct ws_buf b = {0};
    struct ws_proto_event ev;
    uint8_t data[MIN + 10] = {0}, into[MIN + 10], *at = NULL;
    put_frame(&b, WS_ROLE_SERVER, FIN | WS_OPCODE_BINARY, data, sizeof data);
    begin(&t);
    ws_proto_direct(&t.proto, into); /* nothing was asked: nothing happens */
    ws_proto_skip(&t.proto);
    CHECK_EQ(ws_proto_direct_room(&t.proto, &at), 0);
    CHECK_EQ(ws_proto_direct_feed(&t.proto, 1, &ev), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_proto_feed(&t.proto, b.data, b.len - 10, &ev), b.len - 10);
    CHECK_EQ(ev.kind, WS_PROTO_BUFFER);
    CHECK_EQ(ev.len, MIN + 10);
    CHECK_EQ(ws_proto_feed(&t.proto, b.data, 1, &ev), 0); /* the answer is awaited */
    CHECK_EQ(ev.kind, WS_PROTO_NONE);
    CHECK_EQ(ws_proto_direct_room(&t.proto, &at), 0);
    ws_proto_direct(&t.proto, into);
    CHECK(t.proto.partial == NULL);
    CHECK_EQ(ws_proto_direct_room(&t.proto, &at), 10);
    CHECK(at == into + MIN);
    CHECK_EQ(ws_proto_direct_feed(&t.proto, 11, &ev), WS_ERR_ARGUMENT);
    memcpy(at, b.data + b.len - 10, 10);
    CHECK_EQ(ws_proto_direct_feed(&t.proto, 10, &ev), 0);
    CHECK_EQ(ev.kind, WS_PROTO_MESSAGE);
    CHECK(ev.data == NULL && !ev.owned && ev.len == MIN + 10);
    CHECK(memcmp(into, data, sizeof data) == 0);
    CHECK_EQ(ws_proto_direct_room(&t.proto, &at), 0);
    finish(&t);
    ws_buf_fini(&b);
}

/* Skipping is also the answer to a close in the middle of it. */
static void test_proto_direct_then_skip(void) {
    struct trial t = trial_for(WS_ROLE_SERVER);
    struct ws_buf b = {0};
    uint8_t data[MIN + 100] = {0};
    put_frame(&b, WS_ROLE_SERVER, FIN | WS_OPCODE_BINARY, data, sizeof data);
    size_t size = b.len;
    put_text(&b, WS_ROLE_SERVER, FIN | WS_OPCODE_CLOSE, "\x03\xE8");
    begin(&t);
    feed(&t, b.data, size - 50);
    CHECK_EQ(t.n_buffers, 1);
    ws_proto_skip(&t.proto);
    free(t.into);
    t.into = NULL;
    feed(&t, b.data + size - 50, b.len - size + 50);
    expect(&t, "close1000:;", "skip", 0);
    finish(&t);
    ws_buf_fini(&b);
}

/* ---- the end, and what is kept ---- */

static void check_ended(struct trial *t) {
    struct ws_proto_event ev;
    struct ws_buf b = {0};
    put_text(&b, t->role, FIN | WS_OPCODE_TEXT, "late");
    CHECK(t->proto.ended);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(ws_proto_feed(&t->proto, b.data, b.len, &ev), 0);
        CHECK_EQ(ev.kind, WS_PROTO_NONE);
    }
    ws_buf_fini(&b);
}

static void test_proto_nothing_after_the_end(void) {
    static const unsigned lasts[] = {FIN | WS_OPCODE_CLOSE, FIN | 0x3, FIN | 0x71};
    for (int r = 0; r < ROLES; r++)
        for (size_t i = 0; i < 3; i++) {
            struct trial t = trial_for(r);
            struct ws_buf b = {0};
            put_text(&b, r, WS_OPCODE_TEXT, "unfinished");
            put_text(&b, r, lasts[i], "");
            begin(&t);
            feed(&t, b.data, b.len);
            expect(&t, i == 0 ? "close1005:;" : "fail1002;", "last", i);
            check_ended(&t);
            finish(&t);
            check_ended(&t); /* fini may come first */
            ws_buf_fini(&b);
        }
}

/* Wherever a connection stops, fini frees what was kept (the leak checker watches). */
static void test_proto_fini_anywhere(void) {
    struct ws_buf b = {0};
    uint8_t data[300] = {0};
    put_frame(&b, WS_ROLE_SERVER, WS_OPCODE_BINARY, data, sizeof data);
    put_text(&b, WS_ROLE_SERVER, FIN | WS_OPCODE_PING, "abcdef");
    put_text(&b, WS_ROLE_SERVER, WS_OPCODE_CONTINUATION, "more");
    for (size_t at = 0; at <= b.len; at++) {
        struct trial t = trial_for(WS_ROLE_SERVER);
        begin(&t);
        feed(&t, b.data, at / 2);
        feed(&t, b.data + at / 2, at - at / 2);
        finish(&t);
    }
    ws_buf_fini(&b);
}

/* A ping in pieces shows its payload in kept memory, which the next feed gives up. */
static void test_proto_idle_owns_nothing(void) {
    struct trial t = trial_for(WS_ROLE_SERVER);
    struct ws_proto_event ev;
    struct ws_buf b = {0};
    put_text(&b, WS_ROLE_SERVER, FIN | WS_OPCODE_PING, "abcdef");
    begin(&t);
    CHECK(t.proto.partial == NULL);
    feed(&t, b.data, 1);
    CHECK(t.proto.partial != NULL);
    feed(&t, b.data + 1, b.len - 1);
    CHECK(t.proto.partial == NULL); /* only its header came in pieces */
    size_t size = b.len;
    put_text(&b, WS_ROLE_SERVER, FIN | WS_OPCODE_PING, "gh");
    feed(&t, b.data + size, b.len - size - 1);
    CHECK(t.proto.partial != NULL);
    feed(&t, b.data + b.len - 1, 1);
    expect(&t, "ping:abcdef;ping:gh;", "pings", 0);
    CHECK_EQ(ws_proto_feed(&t.proto, b.data, 0, &ev), 0);
    CHECK_EQ(ev.kind, WS_PROTO_NONE);
    CHECK(t.proto.partial == NULL);
    finish(&t);
    ws_buf_fini(&b);
}

/* ---- out ---- */

static void test_proto_frame_write(void) {
    static const struct {
        size_t len, header;
    } rows[] = {{0, 2}, {1, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {70000, 10}};
    uint8_t *data = malloc(70000), *out = malloc(70015);
    memset(data, 0x5A, 70000);
    for (int r = 0; r < ROLES; r++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct trial t = trial_for(r);
            size_t size = rows[i].header + (r == WS_ROLE_CLIENT ? 4 : 0) + rows[i].len;
            uint32_t key;
            memcpy(&key, "\x11\x22\x33\x44", 4);
            begin(&t);
            out[size] = 0xEE;
            CHECK_EQ(ws_proto_frame_size(&t.proto, rows[i].len), size);
            CHECK_EQ(ws_proto_frame_write(&t.proto, out, WS_OPCODE_BINARY, data, rows[i].len, key),
                     size);
            CHECK_EQ(out[0], 0x82);
            CHECK_EQ(out[1] >> 7, r == WS_ROLE_CLIENT);
            CHECK_EQ(out[size], 0xEE);
            size_t wrong = 0;
            for (size_t k = 0; k < rows[i].len; k++)
                wrong += out[size - rows[i].len + k] !=
                         (r == WS_ROLE_CLIENT ? 0x5A ^ (0x11 * (k % 4 + 1)) : 0x5A);
            CHECK_EQ(wrong, 0);
            finish(&t);
        }
    free(data);
    free(out);
}

static void test_proto_close_payload(void) {
    uint8_t out[125];
    char reason[200];
    memset(reason, 'r', sizeof reason);
    CHECK_EQ(ws_proto_close_payload(out, 1005, reason, 5), 0);
    CHECK_EQ(ws_proto_close_payload(out, 1000, NULL, 0), 2);
    CHECK(memcmp(out, "\x03\xE8", 2) == 0);
    CHECK_EQ(ws_proto_close_payload(out, 4999, "bye", 3), 5);
    CHECK(memcmp(out,
                 "\x13\x87"
                 "bye",
                 5) == 0);
    CHECK_EQ(ws_proto_close_payload(out, 1001, reason, 123), 125);
    CHECK_EQ(ws_proto_close_payload(out, 1001, reason, 124), 125);
    CHECK_EQ(out[124], 'r');
}

/* ---- both ends ---- */

/* A random message or control frame to `b`, and what must come of it to `expected`. */
static void put_random(struct ws_buf *b, const struct ws_proto *from, struct trial *expected,
                       uint8_t *data) {
    static const size_t bounds[] = {0, 1, 125, 126, 127, 1000, 65535, 65536, 100000};
    size_t len = random_next() % (bounds[random_next() % 9] + 1);
    bool text = random_next() % 2, control = random_next() % 4 == 0;
    if (control) len %= 126;
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(text ? 'a' + random_next() % 26 : random_next());
    uint8_t opcode = control ? (text ? WS_OPCODE_PING : WS_OPCODE_PONG)
                             : (text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY);
    if (ws_buf_reserve(b, ws_proto_frame_size(from, len)) < 0) exit(2);
    b->len += ws_proto_frame_write(from, b->data + b->len, opcode, data, len, random_next());
    if (control) note(expected, text ? "ping:" : "pong:"), note_bytes(expected, data, len);
    else note_message(expected, text, text, data, len);
}

static void test_proto_round_trip(void) {
    uint8_t *data = malloc(100001);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct trial receiver = trial_for(seed % 2 ? WS_ROLE_SERVER : WS_ROLE_CLIENT);
        struct trial sender = trial_for(seed % 2 ? WS_ROLE_CLIENT : WS_ROLE_SERVER);
        struct trial *expected = calloc(1, sizeof *expected);
        struct ws_buf b = {0};
        random_state = seed;
        receiver.answer = seed % 3 ? ANSWER_DIRECT : ANSWER_ROOM;
        begin(&receiver);
        begin(&sender);
        for (int i = 0; i < 20; i++) put_random(&b, &sender.proto, expected, data);
        size_t largest = seed % 5 ? 30000 : 20;
        for (size_t at = 0, n; at < b.len; at += n) {
            n = 1 + random_next() % largest;
            if (n > b.len - at) n = b.len - at;
            feed(&receiver, b.data + at, n);
        }
        expect(&receiver, expected->line, "seed", (size_t)seed);
        CHECK_EQ(receiver.fed, b.len);
        finish(&receiver);
        finish(&sender);
        free(expected);
        ws_buf_fini(&b);
    }
    free(data);
}

int main(void) {
    RUN(test_proto_messages);
    RUN(test_proto_lengths);
    RUN(test_proto_fragments);
    RUN(test_proto_empty_fragments);
    RUN(test_proto_control);
    RUN(test_proto_control_between_fragments);
    RUN(test_proto_close);
    RUN(test_proto_reserved_bits);
    RUN(test_proto_reserved_opcodes);
    RUN(test_proto_masking);
    RUN(test_proto_control_violations);
    RUN(test_proto_fragment_violations);
    RUN(test_proto_lengths_not_minimal);
    RUN(test_proto_close_codes);
    RUN(test_proto_close_violations);
    RUN(test_proto_utf8);
    RUN(test_proto_utf8_fails_fast);
    RUN(test_proto_message_size);
    RUN(test_proto_announced_sizes);
    RUN(test_proto_memory_follows_bytes);
    RUN(test_proto_max_fragments);
    RUN(test_proto_direct);
    RUN(test_proto_direct_text);
    RUN(test_proto_direct_skip);
    RUN(test_proto_direct_not_for_fragments);
    RUN(test_proto_direct_contract);
    RUN(test_proto_direct_then_skip);
    RUN(test_proto_nothing_after_the_end);
    RUN(test_proto_fini_anywhere);
    RUN(test_proto_idle_owns_nothing);
    RUN(test_proto_frame_write);
    RUN(test_proto_close_payload);
    RUN(test_proto_round_trip);
    return check_done();
}
