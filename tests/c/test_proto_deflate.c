/* test_proto_deflate.c: compressed messages (RFC 7692) in the state machine. */
#include "trial.h"

#define RSV1 0x40
#define TEXT (FIN | WS_OPCODE_TEXT)
#define BINARY (FIN | WS_OPCODE_BINARY)

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00" /* RFC 7692 7.2.3.1 */
#define HELLO_LEN 7
#define AGAIN "\xf2\x00\x11\x00\x00" /* 7.2.3.2: refers to the Hello before */
#define AGAIN_LEN 5

static const struct ws_deflate_terms alone = {15, 15, true, true, false, false};
static const struct ws_deflate_terms together = {15, 15, false, false, false, false};
static const struct ws_deflate_terms *const all_terms[] = {&alone, &together};

static struct trial trial_with(int role, const struct ws_deflate_terms *terms) {
    struct trial t = trial_for((enum ws_role)role);
    t.terms = terms;
    return t;
}

/* For each role, with takeover and without. */
#define FOR_ALL(r, terms)                                                                          \
    for (int r = 0; r < ROLES; r++)                                                                \
        for (int i_ = 0; i_ < 2; i_++)                                                             \
            for (const struct ws_deflate_terms *terms = all_terms[i_]; terms; terms = NULL)

/* What a peer makes of a message by itself. */
static struct ws_buf compress(const void *data, size_t len) {
    struct ws_deflate_pool pool;
    struct ws_buf out = {0};
    ws_deflate_pool_init(&pool, 6, 8);
    if (ws_deflate_write_alone(&pool, 15, data, len, &out) < 0) exit(2);
    ws_deflate_pool_fini(&pool);
    return out;
}

static void put_compressed(struct ws_buf *b, int role, unsigned first, const void *data,
                           size_t len) {
    struct ws_buf payload = compress(data, len);
    put_frame(b, (enum ws_role)role, first | RSV1, payload.data, payload.len);
    ws_buf_fini(&payload);
}

/* Bytes that do not compress. */
static void fill_random(uint8_t *data, size_t len) {
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(random_next() >> 8);
}

static void exact_line(char line[64], const char *kind, const uint8_t *data, size_t len) {
    snprintf(line, 64, "%s:%zu#%08x;", kind, len, (unsigned)hash(data, len));
}

/* ---- messages ---- */

static void test_deflate_whole(void) {
    FOR_ALL(r, terms) {
        struct ws_buf b = {0};
        put_frame(&b, r, TEXT | RSV1, HELLO, HELLO_LEN);
        put_text(&b, r, TEXT, "not compressed");
        put_frame(&b, r, BINARY | RSV1, HELLO, HELLO_LEN);
        put_frame(&b, r, TEXT | RSV1, "", 0);
        put_frame(&b, r, TEXT | RSV1, "\x00", 1);
        put_compressed(&b, r, TEXT,
                       "Gr\xc3\xbc\xc3\x9f"
                       "e",
                       8);
        check(trial_with(r, terms), &b,
              "ascii:Hello;ascii:not compressed;binary:Hello;ascii:;ascii:;text:Gr\xc3\xbc\xc3\x9f"
              "e;");
    }
}

static void test_deflate_takeover(void) {
    for (int r = 0; r < ROLES; r++) {
        struct ws_buf b = {0};
        put_frame(&b, r, TEXT | RSV1, HELLO, HELLO_LEN);
        put_text(&b, r, TEXT, "not in the window");
        put_frame(&b, r, TEXT | RSV1, AGAIN, AGAIN_LEN);
        check(trial_with(r, &together), &b, "ascii:Hello;ascii:not in the window;ascii:Hello;");
        put_frame(&b, r, TEXT | RSV1, HELLO, HELLO_LEN);
        put_frame(&b, r, TEXT | RSV1, AGAIN, AGAIN_LEN);
        check(trial_with(r, &alone), &b, "ascii:Hello;fail1007;");
    }
}

static void test_deflate_fragments(void) {
    FOR_ALL(r, terms) {
        struct ws_buf b = {0};
        put_frame(&b, r, WS_OPCODE_TEXT | RSV1, HELLO, 3);
        put_text(&b, r, FIN | WS_OPCODE_PING, "amid");
        put_frame(&b, r, WS_OPCODE_CONTINUATION, "", 0);
        put_frame(&b, r, WS_OPCODE_CONTINUATION, HELLO + 3, 4);
        put_text(&b, r, FIN | WS_OPCODE_PONG, "");
        put_frame(&b, r, FIN | WS_OPCODE_CONTINUATION, "", 0);
        put_frame(&b, r, WS_OPCODE_BINARY | RSV1, "", 0);
        put_frame(&b, r, FIN | WS_OPCODE_CONTINUATION, HELLO, HELLO_LEN);
        put_text(&b, r, WS_OPCODE_TEXT, "pl");
        put_text(&b, r, FIN | WS_OPCODE_CONTINUATION, "ain");
        check(trial_with(r, terms), &b, "ping:amid;pong:;ascii:Hello;binary:Hello;ascii:plain;");
    }
}

/* A message longer than what is collected: it is inflated as it comes. */
static void test_deflate_long(void) {
    static uint8_t data[200000];
    char line[64];
    fill_random(data, sizeof data);
    exact_line(line, "binary", data, sizeof data);
    struct ws_buf payload = compress(data, sizeof data);
    CHECK(payload.len > 2 * WS_DEFLATE_BORROW_MIN);
    FOR_ALL(r, terms) {
        struct trial t = trial_with(r, terms);
        struct ws_buf b = {0};
        for (size_t at = 0, n; at < payload.len; at += n) {
            n = payload.len - at < 30000 ? payload.len - at : 30000;
            unsigned opcode = at ? WS_OPCODE_CONTINUATION : WS_OPCODE_BINARY | RSV1;
            put_frame(&b, r, (at + n == payload.len ? FIN : 0) | opcode, payload.data + at, n);
        }
        begin(&t);
        feed(&t, b.data, b.len * 2 / 3);
        CHECK_EQ(t.pool.n_lent, 1);
        CHECK_EQ(t.pool.first != NULL, true);
        feed(&t, b.data + b.len * 2 / 3, b.len - b.len * 2 / 3);
        expect(&t, line, "long", 0);
        CHECK_EQ(t.pool.n_lent, 0);
        CHECK_EQ(t.n_buffers, 0); /* that is for what is as long as its frame */
        finish(&t);
        t.leaves_mask = true;
        feed_in_two(&t, &b, 100000, line);
        feed_bytewise(&t, &b, line);
        ws_buf_fini(&b);
        put_frame(&b, r, BINARY | RSV1, payload.data, payload.len);
        feed_in_two(&t, &b, b.len, line);
        feed_in_two(&t, &b, 100000, line);
        feed_bytewise(&t, &b, line);
        ws_buf_fini(&b);
    }
    ws_buf_fini(&payload);
}

/* Nothing is lent any more: it is collected to its end. */
static void test_deflate_none_to_lend(void) {
    static uint8_t data[200000];
    char line[64];
    fill_random(data, sizeof data);
    exact_line(line, "binary", data, sizeof data);
    FOR_ALL(r, terms) {
        struct trial t = trial_with(r, terms);
        struct ws_buf b = {0};
        put_compressed(&b, r, BINARY, data, sizeof data);
        begin(&t);
        t.pool.n_lent = WS_DEFLATE_LENT_MAX;
        feed(&t, b.data, b.len - 1);
        CHECK(!t.pool.first);
        feed(&t, b.data + b.len - 1, 1);
        expect(&t, line, "collected", 0);
        t.pool.n_lent = 0;
        finish(&t);
        ws_buf_fini(&b);
    }
}

/* ---- violations ---- */

/* 6: RSV1 is for the first frame of a message; the other two bits are nobody's. */
static void test_deflate_reserved_bits(void) {
    FOR_ALL(r, terms) {
        for (unsigned rsv = 0; rsv < 8; rsv++) {
            static const unsigned first[] = {TEXT,
                                             BINARY,
                                             WS_OPCODE_TEXT,
                                             FIN | WS_OPCODE_PING,
                                             FIN | WS_OPCODE_PONG,
                                             FIN | WS_OPCODE_CLOSE};
            for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
                struct ws_buf b = {0};
                static const char *const good[] = {"ascii:;", "binary:;", "",
                                                   "ping:;",  "pong:;",   "close1005:;"};
                bool is_good = rsv == 0 || (rsv == 4 && i < 3);
                put_frame(&b, r, first[i] | rsv << 4, "", 0);
                check(trial_with(r, terms), &b, is_good ? good[i] : "fail1002;");
                put_frame(&b, r, first[i] | rsv << 4, "", 0);
                check(trial_with(r, NULL), &b, rsv == 0 ? good[i] : "fail1002;");
            }
            struct ws_buf b = {0};
            put_frame(&b, r, WS_OPCODE_TEXT | RSV1, HELLO, 3);
            put_frame(&b, r, FIN | rsv << 4, HELLO + 3, 4);
            check(trial_with(r, terms), &b, rsv ? "fail1002;" : "ascii:Hello;");
        }
    }
}

static void test_deflate_broken(void) {
    FOR_ALL(r, terms) {
        struct ws_buf b = {0};
        put_frame(&b, r, TEXT | RSV1, HELLO, HELLO_LEN - 1);
        put_text(&b, r, TEXT, "void");
        check(trial_with(r, terms), &b, "fail1007;");
        put_frame(&b, r, BINARY | RSV1, "\x07", 1);
        check(trial_with(r, terms), &b, "fail1007;");
        put_frame(&b, r, WS_OPCODE_BINARY | RSV1, "\x00\x05\x00", 3);
        put_frame(&b, r, FIN, "\xfa\xfeHello\x00", 8);
        check(trial_with(r, terms), &b, "fail1007;");
    }
}

/* The text is looked at, not what came. */
static void test_deflate_utf8(void) {
    FOR_ALL(r, terms) {
        struct ws_buf b = {0};
        put_compressed(&b, r, TEXT, "a\xff", 2);
        check(trial_with(r, terms), &b, "fail1007;");
        put_compressed(&b, r, TEXT, "\xc3\xbc\xc3", 3);
        check(trial_with(r, terms), &b, "fail1007;");
        put_compressed(&b, r, BINARY, "\xc3\xbc\xc3", 3);
        check(trial_with(r, terms), &b, "binary:\xc3\xbc\xc3;");
    }
}

/* A long text that is wrong is told before its end. */
static void test_deflate_utf8_early(void) {
    static uint8_t data[300000];
    fill_random(data, sizeof data);
    for (size_t i = 0; i < sizeof data; i++) data[i] &= 0x7F;
    data[50000] = 0xFF;
    FOR_ALL(r, terms) {
        struct trial t = trial_with(r, terms);
        struct ws_buf b = {0};
        put_compressed(&b, r, TEXT, data, sizeof data);
        begin(&t);
        feed(&t, b.data, 80000);
        feed(&t, b.data + 80000, 1);
        expect(&t, "fail1007;", "early", 0);
        CHECK_EQ(t.pool.n_lent, 0);
        finish(&t);
        ws_buf_fini(&b);
    }
}

/* ---- limits ---- */

static void test_deflate_size(void) {
    uint8_t data[1001];
    char exact[64], line[96];
    memset(data, 'd', sizeof data);
    exact_line(exact, "binary", data, 1000);
    snprintf(line, sizeof line, "%sfail1009;", exact);
    FOR_ALL(r, terms) {
        struct trial t = trial_with(r, terms);
        struct ws_buf b = {0};
        t.max_size = 1000;
        put_compressed(&b, r, BINARY, data, 1000);
        put_compressed(&b, r, BINARY, data, 1001);
        check(t, &b, line);
    }
}

/* What does not compress is a little longer compressed than it is: that is no reason to refuse it.
 */
static void test_deflate_size_of_noise(void) {
    static uint8_t data[100000];
    char line[64];
    fill_random(data, sizeof data);
    exact_line(line, "binary", data, sizeof data);
    FOR_ALL(r, terms) {
        struct trial t = trial_with(r, terms);
        struct ws_buf b = {0};
        t.max_size = sizeof data;
        put_compressed(&b, r, BINARY, data, sizeof data);
        CHECK(b.len > sizeof data + 20);
        feed_in_two(&t, &b, b.len, line);
        feed_in_two(&t, &b, 70000, line);
        t.max_size--;
        feed_in_two(&t, &b, b.len, "fail1009;");
        feed_in_two(&t, &b, 70000, "fail1009;");
        t.max_size = sizeof data / 2; /* told by what is announced */
        feed_in_two(&t, &b, 14, "fail1009;");
        ws_buf_fini(&b);
    }
}

static void test_deflate_fragments_limit(void) {
    FOR_ALL(r, terms) {
        struct trial t = trial_with(r, terms);
        struct ws_buf b = {0};
        t.max_fragments = 2;
        put_frame(&b, r, WS_OPCODE_TEXT | RSV1, HELLO, 3);
        put_frame(&b, r, FIN, HELLO + 3, 4);
        put_frame(&b, r, WS_OPCODE_TEXT | RSV1, HELLO, 3);
        put_frame(&b, r, 0, HELLO + 3, 1);
        put_frame(&b, r, FIN, HELLO + 4, 3);
        check(t, &b, "ascii:Hello;fail1009;");
    }
}

/* A gigabyte of zeros in a thousand fragments, with pings between them: of it all no more than a
 * message may have is ever in memory, and a piece of what came. */
static void test_deflate_bomb(void) {
    static uint8_t zeros[1 << 20];
    struct ws_buf first = {0}, payload = {0};
    struct ws_deflate_pool pool;
    ws_deflate_pool_init(&pool, 9, 9);
    struct ws_deflate *d = ws_deflate_new(&pool, &together, false);
    CHECK_EQ(ws_deflate_write(d, zeros, 1, false, &first), 0);
    CHECK_EQ(ws_deflate_write(d, zeros, sizeof zeros, false, &payload), 0);
    ws_deflate_free(d);
    ws_deflate_pool_fini(&pool);
    FOR_ALL(r, terms) {
        struct trial t = trial_with(r, terms);
        struct ws_buf b = {0};
        put_frame(&b, r, WS_OPCODE_BINARY | RSV1, first.data, first.len);
        for (int i = 0; i < 1024; i++) {
            put_frame(&b, r, WS_OPCODE_CONTINUATION, payload.data, payload.len);
            if (i < 8) put_frame(&b, r, FIN | WS_OPCODE_PING, "", 0);
        }
        t.max_size = 1 << 22;
        begin(&t);
        size_t before = allocated(), most = 0;
        for (size_t at = 0; at < b.len && !t.proto.ended; at += 1000) {
            feed(&t, b.data + at, b.len - at < 1000 ? b.len - at : 1000);
            if (allocated() - before > most) most = allocated() - before;
        }
        CHECK(strstr(t.line, "fail1009;"));
        CHECK(t.fed < 150000);
        CHECK(most < t.max_size + (1 << 18));
        finish(&t);
        ws_buf_fini(&b);
    }
    ws_buf_fini(&first);
    ws_buf_fini(&payload);
}

int main(void) {
    RUN(test_deflate_whole);
    RUN(test_deflate_takeover);
    RUN(test_deflate_fragments);
    RUN(test_deflate_long);
    RUN(test_deflate_none_to_lend);
    RUN(test_deflate_reserved_bits);
    RUN(test_deflate_broken);
    RUN(test_deflate_utf8);
    RUN(test_deflate_utf8_early);
    RUN(test_deflate_size);
    RUN(test_deflate_size_of_noise);
    RUN(test_deflate_fragments_limit);
    RUN(test_deflate_bomb);
    return check_done();
}
