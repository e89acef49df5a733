/* test_tick.c: what a loop's connections share: arenas, log lines with their levels and rate limit,
 * the release list. */
#include "tick.h"

#include "check.h"

struct setting {
    struct ws_tick tick;
    struct ws_counters counters;
    struct ws_handlers handlers;
    _Atomic int log_level;
    int n_released;
    struct ws_options options;
};

static void set_up(struct setting *s, int level) {
    memset(s, 0, sizeof *s);
    atomic_init(&s->log_level, level);
    s->tick.counters = &s->counters;
    s->tick.log_level = &s->log_level;
    s->tick.handlers = &s->handlers;
    s->tick.user = s;
    s->tick.options = &s->options;
    CHECK_EQ(ws_tick_init(&s->tick), 0);
}

static void tear_down(struct setting *s) {
    for (size_t i = 0; i < s->tick.batch.n; i++) free(s->tick.batch.events[i].data);
    ws_tick_fini(&s->tick);
}

static void check_log(const struct ws_event *ev, int level, const char *text) {
    CHECK_EQ(ev->kind, WS_EVENT_LOG);
    CHECK_EQ(ev->code, level);
    CHECK(ev->owned && !ev->conn);
    CHECK_EQ(ev->len, strlen(text));
    CHECK(ev->len == strlen(text) && memcmp(ev->data, text, ev->len) == 0);
}

static void test_tick_arena(void) {
    struct setting s;
    set_up(&s, WS_LOG_WARNING);
    struct ws_arena *a = &s.tick.out;
    CHECK_EQ(s.tick.in.cap, WS_TICK_ARENA_IN);
    CHECK_EQ(a->cap, WS_TICK_ARENA_OUT);
    CHECK(ws_arena_take(a, 10) == a->data && ws_arena_take(a, 0) == a->data + 10);
    CHECK(ws_arena_take(a, a->cap) == NULL && ws_arena_take(a, SIZE_MAX) == NULL);
    CHECK(ws_arena_take(a, a->cap - 10) == a->data + 10 && ws_arena_take(a, 1) == NULL);
    tear_down(&s);
}

static void test_tick_log_levels(void) {
    struct setting s;
    set_up(&s, WS_LOG_WARNING);
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_DEBUG, "debug");
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_INFO, "info");
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_WARNING, "number %d", 1);
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_ERROR, "number %d", 2);
    atomic_store(&s.log_level, WS_LOG_INFO);
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_DEBUG, "debug");
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_INFO, "number %d", 3);
    CHECK_EQ(s.tick.batch.n, 3);
    check_log(&s.tick.batch.events[0], WS_LOG_WARNING, "number 1");
    check_log(&s.tick.batch.events[1], WS_LOG_ERROR, "number 2");
    check_log(&s.tick.batch.events[2], WS_LOG_INFO, "number 3");
    CHECK_EQ(s.counters.suppressed_lines, 0); /* what is not made is not suppressed */
    tear_down(&s);
}

/* Ten a second of each kind; the clock is the loop's, and a new second begins with its number. */
static void test_tick_log_rate(void) {
    struct setting s;
    set_up(&s, WS_LOG_DEBUG);
    s.tick.now_ms = 5000;
    for (int i = 0; i < 13; i++) ws_tick_log(&s.tick, WS_LINE_SHED, WS_LOG_INFO, "shed %d", i);
    CHECK_EQ(s.tick.batch.n, 10);
    CHECK_EQ(s.counters.suppressed_lines, 3);
    check_log(&s.tick.batch.events[9], WS_LOG_INFO, "shed 9");
    for (int i = 0; i < 11; i++) ws_tick_log(&s.tick, WS_LINE_SYSTEM, WS_LOG_ERROR, "system");
    CHECK_EQ(s.tick.batch.n, 20);
    CHECK_EQ(s.counters.suppressed_lines, 4);
    s.tick.now_ms = 5999;
    ws_tick_log(&s.tick, WS_LINE_SHED, WS_LOG_INFO, "too many");
    ws_tick_log(&s.tick, WS_LINE_PROTOCOL, WS_LOG_INFO, "another kind");
    CHECK_EQ(s.counters.suppressed_lines, 5);
    s.tick.now_ms = 6000;
    for (int i = 0; i < 11; i++) ws_tick_log(&s.tick, WS_LINE_SHED, WS_LOG_INFO, "anew %d", i);
    CHECK_EQ(s.tick.batch.n, 31);
    CHECK_EQ(s.counters.suppressed_lines, 6);
    check_log(&s.tick.batch.events[20], WS_LOG_INFO, "another kind");
    check_log(&s.tick.batch.events[30], WS_LOG_INFO, "anew 9");
    tear_down(&s);
}

/* A line moves no cursor, begins no other line, and is no longer than 511 bytes. */
static void test_tick_log_text(void) {
    struct setting s;
    char all[257], shown[257], longer[600];
    set_up(&s, WS_LOG_DEBUG);
    for (int i = 1; i < 256; i++) {
        all[i - 1] = (char)i;
        shown[i - 1] = (char)(i >= 0x20 && i < 0x7F ? i : '?');
    }
    all[255] = shown[255] = '\0';
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_INFO, "%s", all);
    check_log(&s.tick.batch.events[0], WS_LOG_INFO, shown);
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ws_tick_log(&s.tick, WS_LINE_REFUSED, WS_LOG_INFO, "%s", longer);
    longer[511] = '\0';
    check_log(&s.tick.batch.events[1], WS_LOG_INFO, longer);
    tear_down(&s);
}

static void put_object(struct setting *s, int number) {
    static const uint8_t header[2] = {0x82, 0};
    int *object = malloc(sizeof *object);
    *object = number;
    struct ws_msg *m = ws_msg_new_object(object, (const uint8_t *)object, 0, header, sizeof header);
    ws_queue_sink_unref(&s->tick.released, m);
}

static void release(void *user, void *object) {
    struct setting *s = user;
    int number = *(int *)object;
    s->n_released++;
    if (number > 0) put_object(s, number - 1);
    free(object);
}

/* Giving back may release more: that is given back too, each once. */
static void test_tick_give_back(void) {
    struct setting s;
    set_up(&s, WS_LOG_WARNING);
    s.handlers.release = release;
    ws_tick_give_back(&s.tick);
    CHECK_EQ(s.n_released, 0);
    put_object(&s, 0);
    put_object(&s, 3);
    CHECK_EQ(s.n_released, 0);
    ws_tick_give_back(&s.tick);
    CHECK_EQ(s.n_released, 5);
    CHECK(s.tick.released.first == NULL && s.tick.released.bytes == 0);
    tear_down(&s);
}

int main(void) {
    RUN(test_tick_arena);
    RUN(test_tick_log_levels);
    RUN(test_tick_log_rate);
    RUN(test_tick_log_text);
    RUN(test_tick_give_back);
    return check_done();
}
