/* test_loop_policy.c: what becomes of messages to peers that do not read: backlog_policy, and keys.
 */
#include "audience.h"

static int send_key(struct rig *r, struct ws_conn *c, const char *text, const char *key) {
    struct ws_payload p = {.data = (const uint8_t *)text,
                           .len = strlen(text),
                           .text = true,
                           .key = ws_server_key(r->server, slice(key))};
    return ws_conn_send(c, &p);
}

/* ---- policies ---- */

/* Nobody is told to slow down: the policy alone acts. */
static void begin_policy(struct rig *r, struct peer *p, struct ws_conn **c, int n,
                         enum ws_backlog_policy policy) {
    rig_init(r, strategy);
    r->options.max_backlog = BACKLOG;
    r->options.high_water = 1 << 20;
    r->options.backlog_policy = policy;
    begin(r, p, c, n);
}

/* The oldest make room: the sealed first one stays, and pings. What comes is whole and in order. */
static void test_drop_oldest(void) {
    enum { N = 3000, SIZE = 1000 };
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    begin_policy(&r, &p, &c, 1, WS_BACKLOG_DROP_OLDEST);
    p.deaf = p.quiet = p.ascending = true;
    p.last = -1;
    for (int i = 0; i < N; i++) {
        CHECK_EQ(send_number(c, i, SIZE), WS_SENT);
        if (i % 1000 == 999) {
            char text[8];
            int n = snprintf(text, sizeof text, "%d", i);
            CHECK_EQ(ws_conn_ping(c, (const uint8_t *)text, (size_t)n), WS_SENT);
        }
        CHECK(ws_conn_backlog(c) <= BACKLOG + SIZE + 4);
        if (i % 7 == 0) rig_turn(&r);
    }
    CHECK(ws_conn_dropped(c) > 0);
    CHECK(ws_conn_backlog(c) > BACKLOG / 2);
    p.deaf = false;
    UNTIL(&r, p.n_messages + (int)ws_conn_dropped(c) == N && ws_conn_backlog(c) == 0);
    CHECK_EQ(p.last, N - 1);
    CHECK_EQ(p.n_bytes, SIZE * (size_t)p.n_messages);
    CHECK_LINE(p.said, "ping:999;ping:1999;ping:2999;");
    CHECK_EQ(stats_of(&r).sent, N);
    CHECK_EQ(stats_of(&r).dropped_sent, ws_conn_dropped(c));
    rig_stop(&r);
}

/* A sealed message longer than the bound: nothing can be dropped, so the newest is. */
static void test_drop_oldest_sealed(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    r.options.max_backlog = BACKLOG;
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    begin(&r, &p, &c, 1);
    subscribe(c, "t");
    block(&r, &p, c);
    p.numbered = true;
    CHECK_EQ(send_number(c, 9, 10), WS_SENT_DROPPED);
    CHECK_EQ(publish(&r, "t", "9"), 1);
    CHECK_EQ(ws_conn_dropped(c), 2);
    CHECK(ws_conn_is_open(c));
    p.deaf = false;
    UNTIL(&r, p.n_messages == 1);
    UNTIL(&r, ws_conn_backlog(c) == 0);
    CHECK_EQ(p.n_bytes, HUGE_SIZE);
    CHECK_EQ(send_number(c, 1, 10), WS_SENT);
    UNTIL(&r, p.n_messages == 2);
    CHECK_EQ(stats_of(&r).dropped_sent, 2);
    rig_stop(&r);
}

/* A run of messages that the kernel takes in part, amid a tick: only the one that it has begun is
 * sealed. The others are dropped with the close, and none that has gone is counted. */
static void test_close_amid_a_run(void) {
    enum { SIZE = 1000 };
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    int n = 0;
    begin_policy(&r, &p, &c, 1, WS_BACKLOG_CLOSE);
    ws_conn_ref(c);
    p.deaf = p.ascending = p.quiet = true;
    p.last = -1;
    for (; n < 50; n++) CHECK_EQ(send_number(c, n, SIZE), WS_SENT);
    rig_settle(&r);
    CHECK_EQ(ws_conn_backlog(c), 0);
    while (n < 10000 && send_number(c, n, SIZE) == WS_SENT) n++;
    CHECK(n < 10000 && !ws_conn_is_open(c));
    CHECK(ws_conn_backlog(c) <= 4 + SIZE + 4 + strlen("the backlog is full"));
    uint64_t dropped = ws_conn_dropped(c);
    p.deaf = false;
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "close1013:the backlog is full;");
    CHECK_EQ(p.n_messages + (int)dropped, n + 1);
    CHECK_EQ(p.last, p.n_messages - 1);
    CHECK_EQ(stats_of(&r).dropped_sent, dropped);
    ws_conn_unref(c);
    rig_stop(&r);
}

static void *ping_in_vain(void *arg) {
    struct script *s = arg;
    CHECK_EQ(ws_conn_ping(s->c[0], (const uint8_t *)"p", 1), WS_SENT_DROPPED);
    return NULL;
}

/* What was taken comes; what was not is counted, if it was a message. */
static void test_drop_newest(void) {
    enum { SIZE = 1000 };
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    struct script s = {&r, &c};
    int n = 0;
    begin_policy(&r, &p, &c, 1, WS_BACKLOG_DROP_NEWEST);
    subscribe(c, "t");
    p.deaf = p.quiet = p.numbered = true;
    while (n < 100000 && send_number(c, n, SIZE) == WS_SENT) {
        if (++n % 7 == 0) rig_turn(&r);
    }
    CHECK(ws_conn_backlog(c) > BACKLOG / 2);
    CHECK_EQ(send_number(c, 0, SIZE), WS_SENT_DROPPED);
    CHECK_EQ(publish(&r, "t", "0"), 1);
    ping_in_vain(&s);
    on_thread(ping_in_vain, &s);
    CHECK_EQ(ws_conn_dropped(c), 3);
    p.deaf = false;
    UNTIL(&r, p.n_messages == n);
    CHECK_EQ(send_number(c, n, SIZE), WS_SENT);
    UNTIL(&r, p.n_messages == n + 1);
    CHECK_EQ(stats_of(&r).sent, n + 1);
    CHECK_EQ(stats_of(&r).dropped_sent, 3);
    rig_stop(&r);
}

/* The parts of a stream are never dropped, what waits behind them is; a stream that grows over the
 * bound closes. */
static void test_drop_behind_a_stream(void) {
    enum { N = 500, SIZE = 1000 };
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    begin_policy(&r, &p, &c, 1, WS_BACKLOG_DROP_OLDEST);
    p.ascending = true;
    p.last = -2;
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "-1 a ", WS_PART_FIRST), WS_SENT);
    for (int i = 0; i < N; i++) CHECK_EQ(send_number(c, i, SIZE), WS_SENT);
    CHECK(ws_conn_backlog(c) <= BACKLOG + SIZE + 4);
    CHECK_EQ(send_part(c, "stream", WS_PART_LAST), WS_SENT);
    uint64_t dropped = ws_conn_dropped(c);
    CHECK(dropped > N / 2 && dropped < N);
    UNTIL(&r, p.n_messages == 1 + N - (int)dropped);
    CHECK_EQ(strncmp(p.said.text, "text:-1 a stream;", 17), 0);
    CHECK_EQ(p.last, N - 1);
    CHECK_EQ(stats_of(&r).dropped_sent, dropped);
    CHECK_EQ(ws_conn_dropped(c), dropped);

    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "first", WS_PART_FIRST), WS_SENT);
    rig_settle(&r);
    p.deaf = true;
    char *part = malloc(BACKLOG + 1);
    memset(part, 'p', BACKLOG);
    part[BACKLOG] = '\0';
    int sent = WS_SENT;
    for (int i = 0; i < 1000 && sent == WS_SENT; i++) {
        sent = send_part(c, part, WS_PART_MORE);
        rig_turn(&r);
    }
    free(part);
    CHECK_EQ(sent, WS_SENT_DROPPED);
    CHECK(!ws_conn_is_open(c));
    rig_stop(&r);
}

static void *post_numbers(void *arg) {
    struct script *s = arg;
    for (int i = 40; i < 80; i++) CHECK_EQ(send_number(s->c[0], i, 1000), WS_SENT);
    return NULL;
}

/* Before the policy acts the kernel is asked: a peer that reads loses nothing, though more than
 * the bound came together from two threads. */
static void test_drop_oldest_not_of_a_peer_that_reads(void) {
    struct rig r;
    struct peer p[2];
    struct ws_conn *c[2];
    struct script s = {&r, c};
    begin_policy(&r, p, c, 2, WS_BACKLOG_DROP_OLDEST);
    subscribe(c[1], "t");
    p[0].quiet = p[0].numbered = true;
    for (int i = 0; i < 40; i++) CHECK_EQ(send_number(c[0], i, 1000), WS_SENT);
    on_thread(post_numbers, &s);
    CHECK_EQ(publish(&r, "t", "takes what was posted"), 1);
    UNTIL(&r, p[0].n_messages == 80);
    CHECK_EQ(ws_conn_dropped(c[0]), 0);
    rig_stop(&r);
}

static void *post_three(void *arg) {
    struct script *s = arg;
    for (int i = 0; i < 3; i++) CHECK_EQ(send_number(s->c[0], i, 1000), WS_SENT);
    return NULL;
}

/* Messages that come too late for a connection that closes cost none of those that came in time. */
static void test_drop_oldest_not_for_what_comes_late(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    struct script s = {&r, &c};
    int n = 0;
    begin_policy(&r, &p, &c, 1, WS_BACKLOG_DROP_OLDEST);
    ws_conn_ref(c);
    p.deaf = p.quiet = p.ascending = true;
    p.last = -1;
    for (; n < 100000 && ws_conn_dropped(c) == 0; n++) {
        CHECK_EQ(send_number(c, n, 1000), WS_SENT);
        rig_turn(&r);
    }
    uint64_t dropped = ws_conn_dropped(c);
    on_thread(post_three, &s);
    CHECK_EQ(ws_conn_close(c, 4000, slice(""), WS_CLOSE_LOCAL), 0);
    rig_settle(&r);
    CHECK_EQ(ws_conn_dropped(c), dropped + 3);
    p.deaf = false;
    UNTIL(&r, p.said.len > 0);
    CHECK_LINE(p.said, "close4000:;");
    CHECK_EQ(p.n_messages, n - (int)dropped);
    CHECK_EQ(p.last, n - 1);
    ws_conn_unref(c);
    rig_stop(&r);
}

/* ---- keys ---- */

/* A reader that keeps up sees every message; one that is blocked gets of each key the last, in the
 * place of the first. A sealed message is not replaced. */
static void test_keys(void) {
    struct rig r;
    struct peer p[2];
    struct ws_conn *c[2];
    rig_init(&r, strategy);
    r.options.max_backlog = 2 * HUGE_SIZE;
    begin(&r, p, c, 2);
    for (int i = 0; i < 2; i++) subscribe(c[i], "t");
    CHECK_EQ(publish_key(&r, "t", "a0", "a", NULL), 2);
    CHECK_EQ(publish_key(&r, "t", "a1", "a", NULL), 2);
    CHECK_EQ(publish_key(&r, "t", "a2", "a", NULL), 2);
    CHECK_EQ(send_key(&r, c[0], "a3", "a"), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(p[0].said, "text:a0;text:a1;text:a2;text:a3;");
    CHECK_LINE(p[1].said, "text:a0;text:a1;text:a2;");
    line_clear(&p[1].said);

    p[1].deaf = true;
    char *huge = malloc(HUGE_SIZE);
    memset(huge, 'h', HUGE_SIZE);
    struct ws_payload sealed = {.data = (uint8_t *)huge,
                                .len = HUGE_SIZE,
                                .text = true,
                                .key = ws_server_key(r.server, slice("a"))};
    CHECK_EQ(ws_conn_send(c[1], &sealed), WS_SENT_OVER);
    free(huge);
    rig_settle(&r);
    size_t before = ws_conn_backlog(c[1]);
    for (int i = 0; i < 1000; i++) {
        char text[16];
        for (const char *key = "abc"; *key; key++) {
            char one[2] = {*key, '\0'};
            snprintf(text, sizeof text, "%c%04d", *key, i);
            CHECK_EQ(publish_key(&r, "t", text, one, NULL), 2);
            p[0].quiet = true;
        }
        if (i == 500) CHECK_EQ(publish(&r, "t", "none"), 2);
        if (i % 100 == 0) rig_turn(&r);
    }
    CHECK_EQ(send_key(&r, c[1], "b last", "b"), WS_SENT_OVER);
    CHECK_EQ(ws_conn_ping(c[1], (const uint8_t *)"p", 1), WS_SENT);
    CHECK_EQ(ws_conn_backlog(c[1]) - before, 2 * 7 + 8 + 6 + 3);
    CHECK_EQ(ws_conn_dropped(c[1]), 2998);
    CHECK_EQ(stats_of(&r).replaced, 2998);
    CHECK_EQ(stats_of(&r).dropped_sent, 0);
    p[1].deaf = false;
    UNTIL(&r, ws_conn_backlog(c[1]) == 0);
    rig_settle(&r);
    char *behind = strchr(p[1].said.text, ';');
    CHECK(behind && strcmp(behind, ";ping:p;text:a0999;text:b last;text:c0999;text:none;") == 0);
    CHECK_EQ(p[0].n_messages, 4 + 3001);
    rig_stop(&r);
}

/* Behind a stream keys do the same, also once they stand in the one queue again. */
static void test_keys_behind_a_stream(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    r.options.max_backlog = 2 * HUGE_SIZE;
    begin(&r, &p, &c, 1);
    subscribe(c, "t");
    CHECK_EQ(publish_key(&r, "t", "a0", "a", NULL), 1);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "one ", WS_PART_FIRST), WS_SENT);
    CHECK_EQ(publish_key(&r, "t", "a1", "a", NULL), 1); /* not in the place of a0 */
    CHECK_EQ(publish_key(&r, "t", "b1", "b", NULL), 1);
    CHECK_EQ(publish(&r, "t", "none"), 1);
    rig_settle(&r);
    CHECK_EQ(send_key(&r, c, "a2", "a"), WS_SENT);
    CHECK_EQ(publish_key(&r, "t", "b2", "b", NULL), 1);
    CHECK_EQ(publish_key(&r, "t", "c1", "c", NULL), 1);
    CHECK_EQ(send_part(c, "stream", WS_PART_LAST), WS_SENT);
    CHECK_EQ(publish_key(&r, "t", "c2", "c", NULL), 1); /* it keeps up: all of them */
    rig_settle(&r);
    CHECK_LINE(p.said, "text:a0;text:one stream;text:a2;text:b2;text:none;text:c1;text:c2;");
    CHECK_EQ(stats_of(&r).replaced, 2);

    CHECK_EQ(ws_conn_stream_begin(c), 0);
    block(&r, &p, c);
    CHECK_EQ(send_part(c, "two ", WS_PART_FIRST), WS_SENT_OVER);
    CHECK_EQ(publish_key(&r, "t", "a3", "a", NULL), 1);
    CHECK_EQ(send_part(c, "streams", WS_PART_LAST), WS_SENT_OVER);
    CHECK_EQ(publish_key(&r, "t", "b4", "b", NULL), 1);
    CHECK_EQ(publish_key(&r, "t", "a4", "a", NULL), 1); /* in the place of a3 */
    CHECK_EQ(stats_of(&r).replaced, 3);
    line_clear(&p.said);
    p.deaf = p.quiet = false;
    UNTIL(&r, p.n_messages == 11);
    char *behind = strchr(p.said.text, ';');
    CHECK(behind && strcmp(behind, ";text:two streams;text:a4;text:b4;") == 0);
    rig_stop(&r);
}

/* A message that would wait behind a stream does not take the place of one that stands before it:
 * at the bound it is refused. */
static void test_keys_at_the_bound_behind_a_stream(void) {
    enum { MAX = 2 * HUGE_SIZE };
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    r.options.max_backlog = MAX;
    r.options.backlog_policy = WS_BACKLOG_DROP_NEWEST;
    begin(&r, &p, &c, 1);
    block(&r, &p, c);
    char *text = malloc(MAX);
    memset(text, 't', MAX);
    text[BACKLOG] = '\0';
    CHECK_EQ(send_key(&r, c, text, "a"), WS_SENT_OVER);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    text[BACKLOG] = 't';
    text[MAX - ws_conn_backlog(c)] = '\0'; /* without the one before the stream there is room */
    CHECK_EQ(send_part(c, text, WS_PART_FIRST), WS_SENT_OVER);
    free(text);
    size_t before = ws_conn_backlog(c);
    CHECK(before >= MAX && before < MAX + BACKLOG / 2);
    CHECK_EQ(send_key(&r, c, "behind it", "a"), WS_SENT_DROPPED);
    CHECK_EQ(ws_conn_backlog(c), before);
    CHECK_EQ(ws_conn_dropped(c), 1);
    CHECK_EQ(stats_of(&r).replaced, 0);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_drop_oldest);
    RUN(test_drop_oldest_sealed);
    RUN(test_close_amid_a_run);
    RUN(test_drop_newest);
    RUN(test_drop_behind_a_stream);
    RUN(test_drop_oldest_not_of_a_peer_that_reads);
    RUN(test_drop_oldest_not_for_what_comes_late);
    RUN(test_keys);
    RUN(test_keys_behind_a_stream);
    RUN(test_keys_at_the_bound_behind_a_stream);
}

int main(void) {
    return run_strategies(run_all);
}
