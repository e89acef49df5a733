/* test_proto.c: messages and control frames, in and out. The rest: test_proto_*.c. */
#include "trial.h"

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

/* ---- what the caller asks and says ---- */

static void check_amid(struct trial *t, struct ws_buf *b, size_t n, bool expected) {
    static size_t at;
    if (n == 0) at = 0;
    feed(t, b->data + at, n);
    at += n;
    CHECK_EQ(ws_proto_is_amid(&t->proto), expected);
}

static void test_proto_is_amid(void) {
    struct trial t = trial_for(WS_ROLE_SERVER);
    struct ws_buf b = {0};
    begin(&t);
    put_text(&b, t.role, WS_OPCODE_TEXT, "ab");               /* 8 bytes, not final */
    put_text(&b, t.role, FIN | WS_OPCODE_PING, "p");          /* 7 */
    put_text(&b, t.role, FIN | WS_OPCODE_CONTINUATION, "cd"); /* 8 */
    put_text(&b, t.role, FIN | WS_OPCODE_PONG, "");           /* 6 */
    check_amid(&t, &b, 0, false);
    check_amid(&t, &b, 1, true); /* a part of a header */
    check_amid(&t, &b, 6, true);
    check_amid(&t, &b, 1, true); /* between fragments */
    check_amid(&t, &b, 7, true);
    check_amid(&t, &b, 8, false);
    check_amid(&t, &b, 5, true); /* a part of a control frame's header */
    check_amid(&t, &b, 1, false);
    finish(&t);
    ws_buf_fini(&b);
}

static void test_proto_end(void) {
    struct trial t = trial_for(WS_ROLE_SERVER);
    struct ws_buf b = {0};
    begin(&t);
    put_text(&b, t.role, WS_OPCODE_TEXT, "ab");
    feed(&t, b.data, 7);
    ws_proto_end(&t.proto);
    CHECK(t.proto.ended && !ws_proto_is_amid(&t.proto));
    CHECK(t.proto.partial == NULL);
    feed(&t, b.data + 7, b.len - 7);
    CHECK_EQ(t.fed, 7);
    finish(&t);
    ws_buf_fini(&b);
}

/* Fragments that one side writes are the other's message. */
static void test_proto_fragment_write(void) {
    static const char *const parts[] = {"", "one ", "two", ""};
    for (int role = 0; role < ROLES; role++) {
        struct trial receiver = trial_for((enum ws_role)role);
        struct trial sender = trial_for((enum ws_role)(1 - role));
        uint8_t out[64];
        begin(&receiver);
        begin(&sender);
        for (int i = 0; i < 4; i++) {
            uint8_t opcode = i ? WS_OPCODE_CONTINUATION : WS_OPCODE_TEXT;
            size_t len = strlen(parts[i]);
            size_t n = ws_proto_fragment_write(&sender.proto, out, opcode, i == 3,
                                               (const uint8_t *)parts[i], len, 0x01020304);
            CHECK_EQ(n, ws_proto_frame_size(&sender.proto, len));
            CHECK_EQ(out[0], (i == 3 ? 0x80 : 0) | opcode);
            feed(&receiver, out, n);
        }
        expect(&receiver, "ascii:one two;", "role", (size_t)role);
        finish(&receiver);
        finish(&sender);
    }
}

int main(void) {
    RUN(test_proto_is_amid);
    RUN(test_proto_end);
    RUN(test_proto_fragment_write);
    RUN(test_proto_messages);
    RUN(test_proto_lengths);
    RUN(test_proto_fragments);
    RUN(test_proto_empty_fragments);
    RUN(test_proto_control);
    RUN(test_proto_control_between_fragments);
    RUN(test_proto_close);
    RUN(test_proto_nothing_after_the_end);
    RUN(test_proto_fini_anywhere);
    RUN(test_proto_idle_owns_nothing);
    RUN(test_proto_frame_write);
    RUN(test_proto_close_payload);
    RUN(test_proto_round_trip);
    return check_done();
}
