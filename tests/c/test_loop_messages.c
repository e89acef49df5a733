/* test_loop_messages.c: messages of every length, pings, violations, garbage. */
#include "rig.h"

/* ---- messages ---- */

static void test_server_echo(void) {
    static const size_t lengths[] = {0, 1, 125, 126, 4000, 65535, 65536, 300000};
    struct rig r;
    struct peer p;
    struct line expected = {0};
    uint8_t *data = malloc(300000);
    rig_init(&r, strategy);
    r.echo = r.quiet = true;
    rig_begin(&r);
    peer_open(&r, &p);
    for (size_t i = 0; i < 300000; i++) data[i] = (uint8_t)(i * 37 + i / 256);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        peer_frame(&p, WS_OPCODE_BINARY, data, lengths[i]);
        line_add(&expected, "binary:");
        line_bytes(&expected, data, lengths[i]);
        UNTIL(&r, p.n_messages == (int)i + 1);
    }
    peer_text(&p, "gr\xC3\xBC\xC3\x9F");
    line_add(&expected, "text:gr\xC3\xBC\xC3\x9F;");
    UNTIL(&r, p.n_messages == 9);
    CHECK_LINE(p.said, expected.text);
    CHECK_EQ(stats_of(&r).received, 9);
    CHECK_EQ(stats_of(&r).sent, 9);
    free(data);
    rig_stop(&r);
}

/* Thousands of frames in one segment, of every opcode of a message. */
static void test_server_many_in_one_segment(void) {
    struct rig r;
    struct peer p;
    char text[32];
    rig_init(&r, strategy);
    r.echo = r.quiet = true;
    r.options.high_water = r.options.max_backlog = 1 << 24;
    rig_begin(&r);
    peer_open(&r, &p);
    p.quiet = p.numbered = true;
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "%d.", i);
        peer_text(&p, text);
    }
    UNTIL(&r, p.n_messages == 5000);
    rig_stop(&r);
}

static void test_server_pings(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.echo = true;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "one");
    peer_frame(&p, WS_OPCODE_PING, "a", 1);
    peer_frame(&p, WS_OPCODE_PONG, "x", 1);
    peer_frame(&p, WS_OPCODE_PING, "b", 1); /* each is answered, in order */
    peer_text(&p, "two");
    UNTIL(&r, p.n_messages == 2);
    CHECK_LINE(p.said, "pong:a;pong:b;text:one;text:two;");
    line_clear(&p.said);
    peer_frame(&p, WS_OPCODE_PING, "", 0);
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "pong:;");
    rig_stop(&r);
}

static void check_violation(const char *bytes, size_t len, const char *said, const char *told) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.options.max_message_size = 1000;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "ok");
    peer_put(&p, bytes, len);
    peer_text(&p, "late");
    UNTIL(&r, p.eof || p.reset);
    CHECK(p.eof);
    CHECK_LINE(p.said, said);
    CHECK_LINE(r.told, told);
    rig_stop(&r);
}

static void test_server_violations(void) {
    check_violation("\x81\x01x", 3, "close1002:a client's frame is not masked;",
                    "open1;ascii1:ok;"
                    "close1:1006/1002:/a client's frame is not masked:protocol;");
    check_violation("\x81\x81\0\0\0\0\xFF", 7, "close1007:the text is not UTF-8;",
                    "open1;ascii1:ok;close1:1006/1007:/the text is not UTF-8:protocol;");
    check_violation("\x82\xFE\x03\xE9\0\0\0\0", 8, "close1009:the message is too big;",
                    "open1;ascii1:ok;close1:1006/1009:/the message is too big:limit;");
}

/* Random bytes behind a sound handshake: each peer is turned away, none harms the server. */
static void test_server_garbage(void) {
    struct rig r;
    struct peer p;
    uint64_t state = 1;
    rig_init(&r, strategy);
    r.quiet = true;
    rig_begin(&r);
    for (int i = 0; i < 100; i++) {
        uint8_t data[2000];
        for (size_t k = 0; k < sizeof data; k++) {
            state = state * UINT64_C(6364136223846793005) + 1;
            data[k] = (uint8_t)(state >> 56);
        }
        data[0] = (uint8_t)(0x80 | (data[0] & 3)); /* some get further */
        data[1] |= 0x80;
        peer_open(&r, &p);
        peer_put(&p, data, sizeof data);
        UNTIL(&r, p.out.len == 0);
        rig_settle(&r);
        peer_drop(&p, i % 2);
        UNTIL(&r, r.n_closes == i + 1);
        peer_free(&p);
        r.n_peers = 0;
        line_clear(&r.told);
    }
    CHECK_EQ(stats_of(&r).opened, 100);
    CHECK_EQ(stats_of(&r).closed, 100);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_server_echo);
    RUN(test_server_many_in_one_segment);
    RUN(test_server_pings);
    RUN(test_server_violations);
    RUN(test_server_garbage);
}

int main(void) {
    return run_strategies(run_all);
}
