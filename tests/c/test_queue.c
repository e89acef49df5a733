/* test_queue.c: the output queue against a model: what gather shows, byte for byte, after pushes,
 * partial writes, control frames at frame boundaries, settling and discarding. */
#include "queue.h"

#include "check.h"

#define PIECES 64

static uint64_t random_state;

static uint32_t random_next(uint32_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

/* Everything that is to be written, as one string, through pieces of at most `max`. */
static size_t read_all(const struct ws_queue *q, int max, uint8_t *out) {
    struct iovec iov[PIECES];
    size_t total, sum = 0;
    int n = ws_queue_gather(q, iov, max, &total);
    CHECK(n <= max);
    for (int i = 0; i < n; i++) {
        CHECK(iov[i].iov_len > 0);
        memcpy(out + sum, iov[i].iov_base, iov[i].iov_len);
        sum += iov[i].iov_len;
    }
    CHECK_EQ(total, sum);
    return sum;
}

static void check_bytes(const struct ws_queue *q, const char *expected) {
    uint8_t out[4096];
    CHECK_EQ(ws_queue_bytes(q), strlen(expected));
    size_t n = read_all(q, PIECES, out);
    if (n == strlen(expected) && memcmp(out, expected, n) == 0) return;
    fprintf(stderr, "the queue is \"%.*s\", not \"%s\"\n", (int)n, (char *)out, expected);
    check_failures++;
}

static void push_lasting(struct ws_queue *q, const char *text, enum ws_queue_kind kind) {
    struct ws_queue_entry e = {
        .data = (const uint8_t *)text, .len = strlen(text), .lasting = true, .kind = (uint8_t)kind};
    CHECK_EQ(ws_queue_push(q, &e), 0);
}

static struct ws_queue_entry block_entry(const char *text, enum ws_queue_kind kind) {
    struct ws_queue_entry e = {.len = strlen(text), .kind = (uint8_t)kind};
    e.msg = ws_msg_new(e.len);
    memcpy(e.msg->bytes, text, e.len);
    e.data = e.msg->data;
    return e;
}

static void push_block(struct ws_queue *q, const char *text, enum ws_queue_kind kind) {
    struct ws_queue_entry e = block_entry(text, kind);
    CHECK_EQ(ws_queue_push(q, &e), 0);
}

static void push_next(struct ws_queue *q, const char *text, enum ws_queue_kind kind) {
    struct ws_queue_sink sink = {0};
    struct ws_queue_entry e = block_entry(text, kind);
    CHECK_EQ(ws_queue_push_next(q, &e, &sink), 0);
    CHECK(sink.first == NULL);
    ws_queue_sink_fini(&sink);
}

/* The payload is the object; header and payload lie apart. */
static void push_object(struct ws_queue *q, const char *header, char *object) {
    struct ws_queue_entry e = {.len = strlen(header) + strlen(object), .kind = WS_QUEUE_MESSAGE};
    e.msg = ws_msg_new_object(object, (uint8_t *)object, strlen(object), (const uint8_t *)header,
                              strlen(header));
    e.data = e.msg->data;
    CHECK_EQ(ws_queue_push(q, &e), 0);
}

static size_t free_sink(struct ws_queue_sink *sink) {
    size_t n = 0;
    while (sink->first) {
        struct ws_msg *m = sink->first;
        sink->first = m->next;
        CHECK(m->object != NULL);
        ws_msg_free(m);
        n++;
    }
    sink->bytes = 0;
    ws_queue_sink_fini(sink);
    return n;
}

static void check_empty(const struct ws_queue *q) {
    CHECK(q->table == NULL && ws_queue_n(q) == 0 && ws_queue_bytes(q) == 0);
}

static void test_queue_empty(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    check_bytes(&q, "");
    CHECK_EQ(ws_queue_consume(&q, 0, &sink), 0);
    CHECK_EQ(ws_queue_settle(&q), 0);
    CHECK_EQ(ws_queue_discard(&q, &sink), 0);
    CHECK_EQ(ws_queue_clear(&q, &sink), 0);
    check_empty(&q);
    ws_queue_sink_fini(&sink);
}

static void test_queue_partial_writes(void) {
    for (size_t step = 1; step <= 15; step++) {
        struct ws_queue q = {0};
        struct ws_queue_sink sink = {0};
        char object[] = "OBJECT", all[] = "onetwoHHOBJECTxend";
        push_lasting(&q, "one", WS_QUEUE_MESSAGE);
        push_block(&q, "two", WS_QUEUE_MESSAGE);
        push_object(&q, "HH", object);
        push_block(&q, "x", WS_QUEUE_MESSAGE);
        push_lasting(&q, "end", WS_QUEUE_CONTROL);
        size_t at = 0, frames = 0;
        while (at < strlen(all)) {
            check_bytes(&q, all + at);
            size_t n = strlen(all) - at < step ? strlen(all) - at : step;
            frames += ws_queue_consume(&q, n, &sink);
            at += n;
            size_t whole = (at >= 3) + (at >= 6) + (at >= 14) + (at >= 15) + (at >= 18);
            CHECK_EQ(frames, whole);
        }
        check_empty(&q);
        CHECK_EQ(sink.bytes, 6);
        CHECK_EQ(free_sink(&sink), 1);
    }
}

/* With few pieces the rest comes later; neighbours in memory are one piece. */
static void test_queue_gather_pieces(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    struct iovec iov[PIECES];
    size_t total;
    char object[] = "OBJECT";
    static const char arena[] = "abcdefghi";
    for (int i = 0; i < 3; i++) {
        struct ws_queue_entry e = {
            .data = (const uint8_t *)arena + 3 * i, .len = 3, .lasting = true};
        CHECK_EQ(ws_queue_push(&q, &e), 0);
    }
    push_object(&q, "H1", object);
    push_object(&q, "H2", object);
    CHECK_EQ(ws_queue_gather(&q, iov, PIECES, &total), 5);
    CHECK_EQ(iov[0].iov_len, 9);
    CHECK_EQ(total, 25);
    CHECK_EQ(ws_queue_gather(&q, iov, 2, &total), 2);
    CHECK_EQ(total, 11);
    CHECK_EQ(ws_queue_consume(&q, 12, &sink), 3); /* into the object */
    CHECK_EQ(ws_queue_gather(&q, iov, 2, &total), 2);
    CHECK_EQ(total, 7);
    CHECK(memcmp(iov[0].iov_base, "BJECT", 5) == 0 && memcmp(iov[1].iov_base, "H2", 2) == 0);
    CHECK_EQ(ws_queue_clear(&q, &sink), 2);
    CHECK_EQ(free_sink(&sink), 2);
}

/* Several frames in one shared block: each entry shows its own bytes. */
static void test_queue_shared_block(void) {
    struct ws_queue q = {0}, other = {0};
    struct ws_queue_sink sink = {0};
    struct ws_msg *m = ws_msg_new(6);
    memcpy(m->bytes, "aabbcc", 6);
    for (size_t i = 0; i < 3; i++) {
        struct ws_queue_entry e = {.data = m->bytes + 2 * i, .len = 2, .msg = m};
        ws_msg_ref(m);
        CHECK_EQ(ws_queue_push(i == 1 ? &other : &q, &e), 0);
    }
    CHECK(ws_msg_unref(m) == NULL);
    check_bytes(&q, "aacc");
    check_bytes(&other, "bb");
    CHECK_EQ(ws_queue_consume(&q, 4, &sink), 2);
    check_bytes(&other, "bb");
    CHECK_EQ(ws_queue_clear(&other, &sink), 1);
    CHECK(sink.first == NULL);
    ws_queue_sink_fini(&sink);
}

static void test_queue_push_next(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    push_next(&q, "[p]", WS_QUEUE_CONTROL);
    push_block(&q, "first", WS_QUEUE_MESSAGE);
    push_block(&q, "second", WS_QUEUE_MESSAGE);
    check_bytes(&q, "[p]firstsecond");
    CHECK_EQ(ws_queue_consume(&q, 3, &sink), 1);
    push_next(&q, "[q]", WS_QUEUE_CONTROL); /* nothing is sealed */
    check_bytes(&q, "[q]firstsecond");
    CHECK_EQ(ws_queue_consume(&q, 5, &sink), 1);
    push_next(&q, "[r]", WS_QUEUE_CONTROL); /* "fi" is written: behind "first" */
    check_bytes(&q, "rst[r]second");
    CHECK_EQ(ws_queue_consume(&q, 12, &sink), 3);
    check_empty(&q);
    ws_queue_sink_fini(&sink);
}

static void test_queue_pong(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    push_block(&q, "101", WS_QUEUE_HTTP);
    push_block(&q, "message", WS_QUEUE_MESSAGE);
    push_next(&q, "(a)", WS_QUEUE_PONG); /* never before the handshake's answer */
    check_bytes(&q, "101(a)message");
    push_next(&q, "(bb)", WS_QUEUE_PONG); /* the newer one is enough */
    check_bytes(&q, "101(bb)message");
    CHECK_EQ(ws_queue_bytes(&q), 14);
    CHECK_EQ(ws_queue_consume(&q, 4, &sink), 1);
    push_next(&q, "(c)", WS_QUEUE_PONG); /* "(" is written: that one is sealed */
    check_bytes(&q, "bb)(c)message");
    CHECK_EQ(ws_queue_consume(&q, 13, &sink), 3);
    check_empty(&q);
    ws_queue_sink_fini(&sink);
}

/* Borrowed bytes survive their arena, also those of a frame that is half written. */
static void test_queue_settle(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    char arena[] = "onetwothree", object[] = "OBJ";
    static const size_t lengths[] = {3, 3, 5};
    size_t at = 0;
    for (int i = 0; i < 3; i++) {
        struct ws_queue_entry e = {.data = (uint8_t *)arena + at, .len = lengths[i]};
        at += lengths[i];
        CHECK_EQ(ws_queue_push(&q, &e), 0);
        if (i == 1) push_object(&q, "H", object);
    }
    push_lasting(&q, "!", WS_QUEUE_CONTROL);
    CHECK_EQ(q.table->n_borrowed, 3);
    CHECK_EQ(ws_queue_consume(&q, 4, &sink), 1);
    CHECK_EQ(q.table->n_borrowed, 2);
    CHECK_EQ(ws_queue_settle(&q), 0);
    CHECK_EQ(q.table->n_borrowed, 0);
    memset(arena, '?', sizeof arena);
    check_bytes(&q, "woHOBJthree!");
    CHECK_EQ(ws_queue_settle(&q), 0);
    CHECK_EQ(ws_queue_consume(&q, 12, &sink), 4);
    check_empty(&q);
    CHECK_EQ(free_sink(&sink), 1);
}

static void test_queue_discard(void) {
    for (size_t sent = 0; sent < 2; sent++) {
        struct ws_queue q = {0};
        struct ws_queue_sink sink = {0};
        char object[] = "OBJ", arena[] = "borrowed";
        struct ws_queue_entry e = {.data = (uint8_t *)arena, .len = 8};
        push_block(&q, "first", WS_QUEUE_MESSAGE);
        push_block(&q, "[c]", WS_QUEUE_CONTROL);
        push_object(&q, "H", object);
        e.kind = WS_QUEUE_PART; /* with its last part a message goes, and is counted */
        CHECK_EQ(ws_queue_push(&q, &e), 0);
        push_block(&q, "last", WS_QUEUE_LAST);
        push_lasting(&q, "[d]", WS_QUEUE_CONTROL);
        CHECK_EQ(ws_queue_consume(&q, sent, &sink), 0);
        CHECK_EQ(ws_queue_discard(&q, &sink), 3 - sent);
        CHECK_EQ(q.table->n_borrowed, 0);
        check_bytes(&q, sent ? "irst[c][d]" : "[c][d]"); /* what is sealed goes out whole */
        CHECK_EQ(ws_queue_discard(&q, &sink), 0);
        push_block(&q, "part", WS_QUEUE_PART);
        push_block(&q, "new", WS_QUEUE_LAST);
        check_bytes(&q, sent ? "irst[c][d]partnew" : "[c][d]partnew");
        CHECK_EQ(ws_queue_clear(&q, &sink), 1 + sent);
        check_empty(&q);
        CHECK_EQ(sink.bytes, 3);
        CHECK_EQ(free_sink(&sink), 1);
    }
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    push_block(&q, "only", WS_QUEUE_MESSAGE);
    CHECK_EQ(ws_queue_discard(&q, &sink), 1);
    check_empty(&q);
    ws_queue_sink_fini(&sink);
}

/* ---- borrowed messages side by side ---- */

#define FRAMES 12

/* Frames of a server as they lie in the arena, with the places where each begins. */
static size_t write_frames(uint8_t *arena, size_t starts[FRAMES + 1]) {
    static const size_t lens[FRAMES] = {0, 1, 5, 125, 126, 3, 0, 0, 200, 7, 1, 2};
    size_t at = 0;
    for (size_t i = 0; i < FRAMES; i++) {
        struct ws_frame f = {.fin = true, .opcode = 1 + i % 2, .len = lens[i]};
        starts[i] = at;
        at += ws_frame_write(arena + at, &f);
        memset(arena + at, 'a' + (int)i, lens[i]);
        at += lens[i];
    }
    return starts[FRAMES] = at;
}

static void push_frames(struct ws_queue *q, const uint8_t *arena, const size_t *starts) {
    for (size_t i = 0; i < FRAMES; i++)
        CHECK_EQ(ws_queue_push_borrowed(q, arena + starts[i], starts[i + 1] - starts[i]), 0);
    CHECK_EQ(ws_queue_n(q), 1);
}

static void check_rest(const struct ws_queue *q, const char *front, const uint8_t *rest,
                       size_t len) {
    static uint8_t out[4096];
    size_t n = read_all(q, PIECES, out);
    CHECK_EQ(ws_queue_bytes(q), n);
    CHECK_EQ(n, strlen(front) + len);
    CHECK(memcmp(out, front, strlen(front)) == 0);
    CHECK(memcmp(out + strlen(front), rest, len) == 0);
}

/* Whatever the kernel has taken of it, what is left is settled as a message an entry, so that
 * policies find them. A ping that went before stays before. */
static void test_queue_borrowed(void) {
    static uint8_t arena[1024], copy[1024];
    size_t starts[FRAMES + 1], all = write_frames(arena, starts);
    memcpy(copy, arena, all);
    for (size_t gone = 0; gone <= all; gone++) {
        struct ws_queue q = {0};
        struct ws_queue_sink sink = {0};
        size_t left = 0, sealed = 0, next = all;
        for (size_t i = FRAMES; i > 0; i--) {
            if (gone < starts[i]) left++;
            sealed = sealed || (gone > starts[i - 1] && gone < starts[i]);
            if (starts[i - 1] >= gone) next = starts[i - 1];
        }
        push_frames(&q, arena, starts);
        CHECK_EQ(ws_queue_consume(&q, gone, &sink), gone == all);
        push_block(&q, "tail", WS_QUEUE_MESSAGE);
        CHECK_EQ(ws_queue_settle(&q), 0);
        memset(arena, 0, sizeof arena);
        CHECK_EQ(ws_queue_n(&q), left + 1);
        CHECK_EQ(q.table->n_borrowed, 0);
        memcpy(arena, copy, all);
        memcpy(arena + all, "tail", 4);
        check_rest(&q, "", arena + gone, all + 4 - gone);
        if (left > sealed) { /* the first that is whole goes */
            size_t i = FRAMES - (left - sealed);
            CHECK_EQ(starts[i], next);
            CHECK(ws_queue_drop_oldest(&q, &sink));
            CHECK_EQ(ws_queue_bytes(&q), all + 4 - gone - (starts[i + 1] - starts[i]));
        }
        CHECK_EQ(ws_queue_discard(&q, &sink), left + 1 - sealed - (left > sealed));
        CHECK_EQ(ws_queue_clear(&q, &sink), sealed);
        check_empty(&q);
        CHECK_EQ(free_sink(&sink), 0);
    }
}

/* What is not plain does not join; what is dropped before it is settled is counted. */
static void test_queue_borrowed_apart(void) {
    static uint8_t arena[1024];
    size_t starts[FRAMES + 1], all = write_frames(arena, starts);
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    push_lasting(&q, "[c]", WS_QUEUE_CONTROL);
    struct ws_queue_entry e = {.data = arena, .len = starts[1], .key = 1};
    CHECK_EQ(ws_queue_push(&q, &e), 0);
    CHECK_EQ(ws_queue_push_borrowed(&q, arena + starts[1], starts[2] - starts[1]), 0);
    CHECK_EQ(ws_queue_push_borrowed(&q, arena + starts[2], starts[3] - starts[2]), 0);
    CHECK_EQ(ws_queue_push_borrowed(&q, arena + starts[4], starts[5] - starts[4]), 0);
    CHECK_EQ(ws_queue_n(&q), 4);
    CHECK_EQ(q.table->n_borrowed, 3);
    CHECK_EQ(ws_queue_bytes(&q), 3 + starts[3] + starts[5] - starts[4]);
    CHECK_EQ(ws_queue_discard(&q, &sink), 4);
    check_bytes(&q, "[c]");
    CHECK_EQ(ws_queue_clear(&q, &sink), 0);
    push_frames(&q, arena, starts);
    check_rest(&q, "", arena, all);
    CHECK_EQ(ws_queue_clear(&q, &sink), FRAMES);
    check_empty(&q);
    CHECK_EQ(free_sink(&sink), 0);
}

/* The next queue gets the table of the last one, grown or not; a bound holds. */
static void test_queue_spare_tables(void) {
    enum { QUEUES = 1000 };
    static struct ws_queue queues[QUEUES];
    struct ws_queue_sink sink = {0};
    for (size_t i = 0; i < QUEUES; i++) {
        ws_queue_lend(&queues[i], &sink);
        push_lasting(&queues[i], "x", WS_QUEUE_MESSAGE);
    }
    const struct ws_queue_table *last = NULL;
    for (size_t i = 0; i < QUEUES; i++) {
        size_t before = sink.spare_bytes;
        const struct ws_queue_table *table = queues[i].table;
        CHECK_EQ(ws_queue_consume(&queues[i], 1, &sink), 1);
        check_empty(&queues[i]);
        if (sink.spare_bytes > before) last = table;
    }
    CHECK(sink.spare_bytes > 0 && sink.spare_bytes <= 128 * 1024);
    struct ws_queue q = {0};
    ws_queue_lend(&q, &sink);
    CHECK(q.table == last);
    push_lasting(&q, "again", WS_QUEUE_MESSAGE);
    check_bytes(&q, "again");
    CHECK_EQ(ws_queue_clear(&q, &sink), 1);
    CHECK_EQ(free_sink(&sink), 0);
    CHECK_EQ(sink.spare_bytes, 0);
}

/* ---- keys ---- */

static void push_key(struct ws_queue *q, const char *text, uint64_t key, bool replaces) {
    struct ws_queue_sink sink = {0};
    struct ws_queue_entry e = block_entry(text, WS_QUEUE_MESSAGE);
    e.key = key;
    int replaced = ws_queue_replace(q, &e, &sink);
    CHECK_EQ(replaced, replaces);
    if (!replaced) CHECK_EQ(ws_queue_push(q, &e), 0);
    CHECK(sink.first == NULL);
    ws_queue_sink_fini(&sink);
}

static void test_queue_keys(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    push_key(&q, "a1", 1, false);
    push_key(&q, "b1", 2, false);
    CHECK_EQ(ws_queue_replaceable(&q, 1), 2);
    CHECK_EQ(ws_queue_replaceable(&q, 3), 0);
    push_key(&q, "a22", 1, true); /* in the place of the old one */
    check_bytes(&q, "a22b1");
    CHECK_EQ(ws_queue_consume(&q, 1, &sink), 0);
    CHECK_EQ(ws_queue_replaceable(&q, 1), 0);
    push_key(&q, "a3", 1, false); /* "a" is written: that one is sealed */
    push_key(&q, "a4", 1, true);
    check_bytes(&q, "22b1a4");
    push_next(&q, "[p]", WS_QUEUE_CONTROL);
    push_key(&q, "b2", 2, true);
    check_bytes(&q, "22[p]b2a4");
    CHECK_EQ(ws_queue_consume(&q, 7, &sink), 3);
    push_next(&q, "[q]", WS_QUEUE_CONTROL);
    push_key(&q, "b3", 2, false);
    push_key(&q, "a5", 1, true);
    check_bytes(&q, "[q]a5b3");
    CHECK_EQ(ws_queue_discard(&q, &sink), 2);
    push_key(&q, "a6", 1, false);
    check_bytes(&q, "[q]a6");
    CHECK_EQ(ws_queue_clear(&q, &sink), 1);
    check_empty(&q);
    ws_queue_sink_fini(&sink);
}

static void test_queue_drop_oldest(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    CHECK(!ws_queue_drop_oldest(&q, &sink));
    push_block(&q, "[a]", WS_QUEUE_CONTROL);
    push_block(&q, "<part>", WS_QUEUE_PART);
    push_block(&q, "one", WS_QUEUE_MESSAGE);
    push_key(&q, "two", 7, false);
    push_block(&q, "[b]", WS_QUEUE_CONTROL);
    push_key(&q, "three", 8, false);
    CHECK_EQ(ws_queue_consume(&q, 1, &sink), 0);
    CHECK(ws_queue_drop_oldest(&q, &sink));
    check_bytes(&q, "a]<part>two[b]three");
    push_key(&q, "TWO", 7, true);
    CHECK(ws_queue_drop_oldest(&q, &sink));
    push_key(&q, "THREE", 8, true);
    check_bytes(&q, "a]<part>[b]THREE");
    CHECK(ws_queue_drop_oldest(&q, &sink));
    CHECK(!ws_queue_drop_oldest(&q, &sink));
    check_bytes(&q, "a]<part>[b]");
    CHECK_EQ(ws_queue_consume(&q, 11, &sink), 3);
    check_empty(&q);
    push_block(&q, "only", WS_QUEUE_MESSAGE);
    CHECK(ws_queue_drop_oldest(&q, &sink));
    check_empty(&q);
    push_block(&q, "sealed", WS_QUEUE_MESSAGE);
    CHECK_EQ(ws_queue_consume(&q, 1, &sink), 0);
    CHECK(!ws_queue_drop_oldest(&q, &sink));
    CHECK_EQ(ws_queue_clear(&q, &sink), 1);
    ws_queue_sink_fini(&sink);
}

/* Keys come and go by the thousand while the queue moves: the last of each key is the one written
 * last, order stands for each key, and the index does not grow with what was. */
/* ---- sealing ---- */

static void seal(struct ws_queue *q, const char *text) {
    struct ws_queue_sink sink = {0};
    CHECK(ws_queue_unsealed(q) != NULL);
    ws_queue_seal(q, text ? block_entry(text, WS_QUEUE_MESSAGE).msg : NULL, &sink);
    CHECK(sink.first == NULL);
    ws_queue_sink_fini(&sink);
}

/* What is to be written, of a queue that holds more. */
static void check_ready(const struct ws_queue *q, const char *expected) {
    uint8_t out[4096];
    size_t n = read_all(q, PIECES, out);
    CHECK(n == strlen(expected) && memcmp(out, expected, n) == 0);
}

static void test_queue_seal(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    CHECK(ws_queue_unsealed(&q) == NULL);
    CHECK_EQ(ws_queue_sealed_bytes(&q), 0);
    push_block(&q, "first;", WS_QUEUE_MESSAGE);
    push_lasting(&q, "second;", WS_QUEUE_MESSAGE);
    push_block(&q, "third;", WS_QUEUE_MESSAGE);
    CHECK_EQ(ws_queue_unsealed(&q)->len, 6);
    seal(&q, "1;");
    check_ready(&q, "1;");
    CHECK_EQ(ws_queue_bytes(&q), 2 + 7 + 6);
    CHECK_EQ(ws_queue_unsealed(&q)->len, 7);
    seal(&q, NULL); /* as it is */
    check_ready(&q, "1;second;");
    CHECK_EQ(ws_queue_sealed_bytes(&q), 9);
    CHECK_EQ(ws_queue_consume(&q, 5, &sink), 1);
    check_ready(&q, "ond;");
    CHECK_EQ(ws_queue_consume(&q, 4, &sink), 1);
    CHECK_EQ(ws_queue_sealed_bytes(&q), 0);
    seal(&q, "3");
    check_ready(&q, "3");
    CHECK(ws_queue_unsealed(&q) == NULL);
    CHECK_EQ(ws_queue_consume(&q, 1, &sink), 1);
    CHECK_EQ(ws_queue_n(&q), 0);
    ws_queue_sink_fini(&sink);
}

/* Nothing is dropped or replaced that is sealed; control frames go between. */
static void test_queue_sealed_stays(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    struct ws_queue_entry key = block_entry("new;", WS_QUEUE_MESSAGE);
    key.key = 7;
    for (int i = 0; i < 4; i++) {
        struct ws_queue_entry e = block_entry("old;", WS_QUEUE_MESSAGE);
        e.key = i < 2 ? 7 : 8;
        CHECK_EQ(ws_queue_push(&q, &e), 0);
    }
    seal(&q, "a;");
    seal(&q, "b;");
    CHECK_EQ(ws_queue_replaceable(&q, 7), 0);
    CHECK_EQ(ws_queue_replaceable(&q, 8), 4);
    CHECK_EQ(ws_queue_replace(&q, &key, &sink), 0);
    CHECK_EQ(ws_queue_push(&q, &key), 0);
    push_next(&q, "ping;", WS_QUEUE_CONTROL);
    check_ready(&q, "ping;a;b;");
    CHECK_EQ(ws_queue_consume(&q, 6, &sink), 1); /* one byte of a */
    push_next(&q, "pong;", WS_QUEUE_PONG);
    check_ready(&q, ";pong;b;");
    CHECK(ws_queue_drop_oldest(&q, &sink));
    CHECK_EQ(ws_queue_discard(&q, &sink), 2);
    check_ready(&q, ";pong;b;");
    CHECK_EQ(ws_queue_bytes(&q), 8);
    CHECK(!ws_queue_drop_oldest(&q, &sink));
    CHECK_EQ(ws_queue_clear(&q, &sink), 2);
    ws_queue_sink_fini(&sink);
}

/* An object's reference is given up where its message is compressed. */
static void test_queue_seal_object(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    char object[] = "payload";
    push_object(&q, "h;", object);
    ws_queue_seal(&q, block_entry("short", WS_QUEUE_MESSAGE).msg, &sink);
    CHECK(sink.first && sink.first->object == object);
    ws_msg_free(sink.first);
    check_ready(&q, "short");
    CHECK_EQ(ws_queue_clear(&q, &sink), 1);
    ws_queue_sink_fini(&sink);
}

static void test_queue_sealed_max(void) {
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    for (int i = 0; i < WS_QUEUE_SEALED_MAX + 5; i++) push_lasting(&q, "x", WS_QUEUE_MESSAGE);
    int n = 0;
    for (; ws_queue_unsealed(&q); n++) ws_queue_seal(&q, NULL, &sink);
    CHECK_EQ(n, WS_QUEUE_SEALED_MAX);
    CHECK_EQ(ws_queue_sealed_bytes(&q), WS_QUEUE_SEALED_MAX);
    CHECK_EQ(ws_queue_consume(&q, 3, &sink), 3);
    CHECK(ws_queue_unsealed(&q) != NULL);
    ws_queue_clear(&q, &sink);
    ws_queue_sink_fini(&sink);
}

static void test_queue_keys_random(void) {
    enum { KEYS = 300 };
    static int newest[KEYS], written[KEYS];
    struct ws_queue q = {0};
    struct ws_queue_sink sink = {0};
    random_state = 3;
    memset(newest, 0, sizeof newest);
    memset(written, 0, sizeof written);
    for (int step = 1; step < 60000 || ws_queue_n(&q); step++) {
        uint32_t key = random_next(KEYS), what = random_next(10);
        if (step < 60000 && what < 7) {
            struct ws_queue_entry e = {.len = sizeof(int) * 2, .kind = WS_QUEUE_MESSAGE};
            int values[] = {(int)key, step};
            e.msg = ws_msg_new(e.len);
            memcpy(e.msg->bytes, values, e.len);
            e.data = e.msg->data;
            e.key = key + 1;
            newest[key] = step;
            if (!ws_queue_replace(&q, &e, &sink)) CHECK_EQ(ws_queue_push(&q, &e), 0);
            CHECK(ws_queue_n(&q) <= KEYS + 1);
        } else if (what == 7) {
            struct ws_queue_entry e = block_entry("--------", WS_QUEUE_CONTROL);
            CHECK_EQ(ws_queue_push_next(&q, &e, &sink), 0);
        } else if (ws_queue_n(&q)) { /* one frame, in two pieces */
            int values[2];
            const struct ws_queue_entry *first = &q.table->entries[q.table->head];
            memcpy(values, first->data, sizeof values);
            if (first->kind == WS_QUEUE_MESSAGE) {
                CHECK(values[1] > written[values[0]]);
                written[values[0]] = values[1];
            }
            ws_queue_consume(&q, 3, &sink);
            ws_queue_consume(&q, 5, &sink);
        }
    }
    for (int i = 0; i < KEYS; i++) CHECK_EQ(written[i], newest[i]);
    check_empty(&q);
    ws_queue_sink_fini(&sink);
}

/* Thousands of entries through a queue that grows, moves and shrinks; the model is a string. */
static void test_queue_random(void) {
    enum { ROOM = 1 << 20 };
    char *model = malloc(ROOM), *out = malloc(ROOM);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct ws_queue q = {0};
        struct ws_queue_sink sink = {0};
        size_t from = 0, to = 0, wrong = 0;
        random_state = seed;
        for (int step = 0; step < 4000; step++) {
            if (random_next(100) < (step % 800 < 400 ? 65u : 40u)) {
                char text[16];
                int len = snprintf(text, sizeof text, "%d.%u;", step, random_next(1000));
                push_block(&q, text, WS_QUEUE_MESSAGE);
                memcpy(model + to, text, (size_t)len);
                to += (size_t)len;
            } else {
                struct iovec iov[PIECES];
                size_t total;
                ws_queue_gather(&q, iov, 2 + (int)random_next(PIECES - 2), &total);
                size_t n = total ? random_next((uint32_t)total + 1) : 0;
                ws_queue_consume(&q, n, &sink);
                from += n;
            }
            size_t n = read_all(&q, PIECES, (uint8_t *)out);
            wrong += ws_queue_bytes(&q) != to - from || n > ws_queue_bytes(&q) ||
                     memcmp(out, model + from, n) != 0;
            wrong += ws_queue_n(&q) == 0 && q.table != NULL;
        }
        CHECK_EQ(wrong, 0);
        ws_queue_clear(&q, &sink);
        check_empty(&q);
        ws_queue_sink_fini(&sink);
    }
    free(model);
    free(out);
}

int main(void) {
    RUN(test_queue_empty);
    RUN(test_queue_partial_writes);
    RUN(test_queue_gather_pieces);
    RUN(test_queue_shared_block);
    RUN(test_queue_push_next);
    RUN(test_queue_pong);
    RUN(test_queue_settle);
    RUN(test_queue_discard);
    RUN(test_queue_borrowed);
    RUN(test_queue_borrowed_apart);
    RUN(test_queue_spare_tables);
    RUN(test_queue_keys);
    RUN(test_queue_drop_oldest);
    RUN(test_queue_seal);
    RUN(test_queue_sealed_stays);
    RUN(test_queue_seal_object);
    RUN(test_queue_sealed_max);
    RUN(test_queue_keys_random);
    RUN(test_queue_random);
    return check_done();
}
