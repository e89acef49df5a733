/* test_proto_limits.c: limits, and large messages received into the caller's memory. */
#include "trial.h"

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
    CHECK_EQ(ws_proto_direct_room(&t.proto, &at), 10);
    CHECK(at == into + MIN);
    CHECK_EQ(ws_proto_direct_feed(&t.proto, 11, &ev), WS_ERR_ARGUMENT);
    memcpy(at, b.data + b.len - 10, 10);
    CHECK_EQ(ws_proto_direct_feed(&t.proto, 10, &ev), 0);
    CHECK_EQ(ev.kind, WS_PROTO_MESSAGE);
    CHECK(ev.data == NULL && !ev.owned && ev.len == MIN + 10);
    CHECK(memcmp(into, data, sizeof data) == 0);
    CHECK(t.proto.partial == NULL);
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

/* Only of a binary message that is large, in one frame and all there is the mask left. */
static void test_proto_leaves_mask(void) {
    static const size_t lengths[] = {WS_PROTO_MASKED_MIN - 1, WS_PROTO_MASKED_MIN, 65535, 65536};
    uint8_t *data = malloc(65536);
    memset(data, 'm', 65536);
    for (int text = 0; text < 2; text++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
            struct trial t = trial_for(WS_ROLE_SERVER);
            struct ws_buf b = {0};
            char line[64];
            t.leaves_mask = true;
            begin(&t);
            note_message(&t, text, text, data, lengths[i]);
            note(&t, "ping:p;");
            memcpy(line, t.line, sizeof line);
            put_frame(&b, t.role, FIN | (text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY), data,
                      lengths[i]);
            size_t whole = b.len;
            put_text(&b, t.role, FIN | WS_OPCODE_PING, "p");
            for (size_t at = whole - 2; at <= whole + 2; at++) {
                feed_in_two(&t, &b, at, line);
                CHECK_EQ(t.n_masked, !text && i > 0 && at >= whole);
            }
            feed_bytewise(&t, &b, line);
            CHECK_EQ(t.n_masked, 0);
            t.leaves_mask = false;
            feed_in_two(&t, &b, b.len, line);
            CHECK_EQ(t.n_masked, 0);
            ws_buf_fini(&b);
        }
    free(data);
}

int main(void) {
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
    RUN(test_proto_leaves_mask);
    return check_done();
}
