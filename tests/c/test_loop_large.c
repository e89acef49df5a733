/* test_loop_large.c: large messages received into the handlers' memory, objects sent by reference.
 */
#include "rig.h"

/* ---- reads ---- */

/* wrap: ws_sock_read ws_sock_readv */

#define READS_MAX 100

/* What the server asked the kernel for, in bytes, where something had come. */
static size_t asked[READS_MAX];
static int n_asked;

ssize_t __real_ws_sock_read(int fd, void *data, size_t len);
ssize_t __real_ws_sock_readv(int fd, const struct iovec *iov, int n);

static void note_read(size_t len, ssize_t got) {
    if (got > 0 && n_asked < READS_MAX) asked[n_asked++] = len;
}

ssize_t __wrap_ws_sock_read(int fd, void *data, size_t len) {
    ssize_t got = __real_ws_sock_read(fd, data, len);
    note_read(len, got);
    return got;
}

ssize_t __wrap_ws_sock_readv(int fd, const struct iovec *iov, int n) {
    ssize_t got = __real_ws_sock_readv(fd, iov, n);
    note_read(n == 2 ? iov[0].iov_len + iov[1].iov_len : iov[0].iov_len, got);
    return got;
}

/* Sends a message; returns what the server's first read of it asked for. */
static size_t first_read(struct rig *r, struct peer *p, const uint8_t *data, size_t len) {
    int before = p->n_messages;
    n_asked = 0;
    peer_frame(p, WS_OPCODE_BINARY, data, len);
    UNTIL(r, p->n_messages == before + 1);
    CHECK(n_asked > 0 && n_asked < READS_MAX);
    return asked[0];
}

/* ---- large messages ---- */

static void test_server_large_message(void) {
    for (int binary = 0; binary < 2; binary++) {
        struct rig r;
        struct peer p;
        struct ws_buf rest;
        rig_init(&r, strategy);
        r.quiet = r.echo = true;
        rig_begin(&r);
        peer_open(&r, &p);
        begin_large(&r, &p, &rest, binary ? WS_OPCODE_BINARY : WS_OPCODE_TEXT);
        while (rest.len) { /* in pieces, the last with a message behind it */
            size_t n = rest.len < 70001 ? rest.len : 70001;
            peer_put(&p, rest.data, n);
            ws_buf_consume(&rest, n);
            if (!rest.len) peer_text(&p, "small");
            UNTIL(&r, p.out.len == 0);
            rig_turn(&r);
        }
        UNTIL(&r, p.n_messages == 2);
        CHECK_EQ(p.n_bytes, LARGE + 5);
        CHECK_EQ(r.n_objects, 1);
        CHECK_EQ(r.n_released, 1);
        struct line expected = {0};
        char *data = malloc(LARGE);
        memset(data, 'L', LARGE);
        line_add(&expected, binary ? "binary:" : "text:");
        line_bytes(&expected, data, LARGE);
        line_add(&expected, "text:small;");
        CHECK_LINE(p.said, expected.text);
        free(data);
        ws_buf_fini(&rest);
        rig_stop(&r);
    }
}

static void close_first(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)m;
    (void)c;
    CHECK_EQ(ws_conn_close(ws_server_find(r->server, 1), 4000, slice(""), WS_CLOSE_LOCAL), 0);
}

/* A large message that never ends: by reset, by EOF, by a violation in it, by another connection's
 * handler, by a stop, without ceremony. Its memory is given back once (rig_end counts). */
static void test_server_large_message_cut(void) {
    for (int how = 0; how < 6; how++) {
        struct rig r;
        struct peer p, q;
        struct ws_buf rest;
        rig_init(&r, strategy);
        r.act = close_first;
        rig_begin(&r);
        peer_open(&r, &p);
        peer_open(&r, &q);
        begin_large(&r, &p, &rest, WS_OPCODE_TEXT);
        if (how < 2) {
            peer_drop(&p, how == 0);
        } else if (how == 2) {
            rest.data[5] ^= 0xFF;
            peer_put(&p, rest.data, 10);
        } else if (how == 3) { /* what still comes of it is thrown away */
            peer_text(&q, "close it");
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close4000:;");
            peer_put(&p, rest.data, rest.len);
            peer_close_frame(&p, 4000, "");
        } else if (how == 4) {
            ws_server_stop(r.server);
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close1001:;");
            peer_drop(&p, false);
        }
        static const char *const told[] = {"close1:1006/0:/:reset;", "close1:1006/0:/:eof;",
                                           "close1:1006/1007:/the text is not UTF-8:protocol;",
                                           "ascii2:close it;close1:4000/4000:/:local;",
                                           "close1:1006/1001:/:shutdown;"};
        if (how < 5) {
            UNTIL(&r, r.n_closes == 1);
            CHECK_EQ(r.n_released, 1);
            CHECK(strncmp(r.told.text, "open1;open2;", 12) == 0);
            if (strcmp(r.told.text + 12, told[how]) != 0) {
                fprintf(stderr, "how %d: %s\n", how, r.told.text);
                check_failures++;
            }
            rig_stop(&r);
        } else {
            rig_end(&r);
        }
        CHECK_EQ(r.n_objects, 1);
        ws_buf_fini(&rest);
    }
}

/* The memory is asked for, but a message before it in the batch makes the handler close: it is not
 * made. Or it cannot be made, or there is nobody to ask: 1011. */
static void test_server_large_message_refused(void) {
    for (int no_memory = 0; no_memory < 3; no_memory++) {
        struct rig r;
        struct peer p;
        uint8_t *data = calloc(1, LARGE);
        rig_init(&r, strategy);
        r.no_memory = no_memory == 1;
        if (no_memory == 2) r.handlers.new_buffer = NULL;
        r.act = no_memory ? NULL : close_self;
        rig_begin(&r);
        peer_open(&r, &p);
        peer_text(&p, "first");
        peer_frame(&p, WS_OPCODE_BINARY, data, LARGE);
        peer_close_frame(&p, 4000, "");
        if (no_memory) {
            UNTIL(&r, p.said.len > 0 || p.reset);
            CHECK_LINE(p.said, "close1011:;");
            CHECK_LINE(r.told, "open1;ascii1:first;close1:1006/1011:/:error;");
        } else {
            UNTIL(&r, p.eof);
            CHECK_LINE(r.told, "open1;ascii1:first;close1:4000/4000:/done:local;");
        }
        CHECK_EQ(r.n_objects, 0);
        free(data);
        rig_stop(&r);
    }
}

/* Behind a large message little is read before there is memory for the next one; then much at once.
 */
static void test_server_large_message_reads(void) {
    enum { SIZE = 3000000, READ = 256 * 1024, HEAD = 32 * 1024, DIRECT = 1024 * 1024 };
    struct rig r;
    struct peer p;
    uint8_t *data = calloc(1, SIZE);
    rig_init(&r, strategy);
    r.quiet = r.echo = true;
    r.options.max_message_size = SIZE;
    rig_begin(&r);
    peer_open(&r, &p);
    p.quiet = true;
    CHECK_EQ(first_read(&r, &p, data, READ), READ);
    CHECK_EQ(first_read(&r, &p, data, SIZE), READ);
    CHECK_EQ(first_read(&r, &p, data, SIZE), HEAD);
    int at = 1;
    while (at < n_asked && asked[at] == HEAD) at++; /* too little had come */
    CHECK_EQ(asked[at], DIRECT);                    /* the rest is more than that */
    CHECK_EQ(first_read(&r, &p, data, 10), HEAD);
    CHECK_EQ(first_read(&r, &p, data, SIZE), READ);
    CHECK_EQ(r.n_objects, r.n_released);
    free(data);
    rig_stop(&r);
}

/* Copies the message, checks that it is one of send_masked's, in order, and answers with much. */
static void take_masked(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    uint8_t *copy = malloc(m->len);
    ws_message_copy(c, m, copy);
    CHECK_EQ(m->masked, m->len >= 4096);
    for (size_t i = 0; i < m->len; i++) {
        if (copy[i] == (uint8_t)('a' + r->n_messages)) continue;
        CHECK_EQ(copy[i], 'a' + r->n_messages);
        break;
    }
    free(copy);
    CHECK(send_object(r, c, 1000000) >= WS_SENT_OVER);
}

/* A handler that copies gets large messages masked, also those that have waited in the lane. */
static void test_server_masked(void) {
    struct rig r;
    struct peer p;
    uint8_t data[5000];
    rig_init(&r, strategy);
    r.quiet = true;
    r.handlers.takes_masked = true;
    r.act = take_masked;
    rig_begin(&r);
    peer_open(&r, &p);
    p.quiet = true;
    for (int i = 1; i <= 10; i++) { /* each of another letter and another mask */
        memset(data, 'a' + i, sizeof data);
        peer_frame(&p, WS_OPCODE_BINARY, data, i % 2 ? 5000 : 4095);
    }
    UNTIL(&r, p.n_messages == 10);
    CHECK_EQ(r.n_messages, 10);
    rig_stop(&r);
}

/* ---- objects by reference ---- */

static void send_objects(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)m;
    for (size_t i = 0; i < 5; i++) CHECK(send_object(r, c, 100000 + i) >= WS_SENT_OVER);
}

static void test_server_objects(void) {
    for (int how = 0; how < 4; how++) {
        struct rig r;
        struct peer p;
        rig_init(&r, strategy);
        r.act = send_objects;
        rig_begin(&r);
        peer_connect(&r, &p, true);
        peer_say(&p, PEER_REQUEST);
        UNTIL(&r, p.upgraded);
        p.quiet = true;
        p.deaf = how > 0;
        peer_text(&p, "go");
        UNTIL(&r, r.n_objects == 5);
        if (how == 0) { /* all of them arrive */
            UNTIL(&r, p.n_messages == 5);
            CHECK_EQ(p.n_bytes, 500010);
            peer_text(&p, "again"); /* and are given back in a dispatch at the latest */
            UNTIL(&r, r.n_objects == 10 && r.n_released >= 5);
            rig_stop(&r);
        } else if (how == 1) { /* they wait in the queue when the peer goes */
            peer_drop(&p, true);
            UNTIL(&r, r.n_closes == 1);
            rig_stop(&r);
        } else if (how == 2) {
            rig_end(&r);
        } else { /* a flood: what is not taken stays the sender's */
            struct ws_conn *c = ws_server_find(r.server, 1);
            int sent, n = 0;
            do sent = send_object(&r, c, 200000);
            while (sent >= 0 && sent != WS_SENT_DROPPED && n++ < 1000);
            CHECK_EQ(sent, WS_SENT_DROPPED);
            CHECK_EQ(send_object(&r, c, 10), WS_ERR_CLOSED);
            rig_stop(&r);
        }
    }
}

static void send_small_object(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)m;
    CHECK_EQ(send_object(r, c, 10), WS_SENT);
}

/* Taken and given back as the large ones are (rig_end counts), although a copy would be cheap. */
static void test_server_small_object(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.act = send_small_object;
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "go");
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "text:OOOOOOOOOO;");
    CHECK_EQ(r.n_objects, 1);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_server_large_message);
    RUN(test_server_large_message_cut);
    RUN(test_server_large_message_refused);
    RUN(test_server_large_message_reads);
    RUN(test_server_masked);
    RUN(test_server_objects);
    RUN(test_server_small_object);
}

int main(void) {
    return run_strategies(run_all);
}
