/* test_proto_violations.c: what breaks the protocol, at the byte that does. */
#include "trial.h"

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

int main(void) {
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
    return check_done();
}
