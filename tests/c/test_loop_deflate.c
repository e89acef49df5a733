/* test_loop_deflate.c: compressed messages (RFC 7692) over real sockets with each strategy: what a
 * batch takes, what is given back, what is compressed once. */
#include "loop.h"

#include "deflating.h"

#include <time.h>

/* wrap: clock_gettime */

int __real_clock_gettime(clockid_t id, struct timespec *now);

static time_t seconds_ahead;

int __wrap_clock_gettime(clockid_t id, struct timespec *now) {
    int result = __real_clock_gettime(id, now);
    now->tv_sec += seconds_ahead;
    return result;
}

/* Opens a peer that speaks it, with what was agreed on. */
static void open_deflating(struct rig *r, struct peer *p, const struct ws_deflate_terms *terms) {
    deflating_connect(r, p, terms);
    UNTIL(r, p->upgraded);
}

static uint64_t compressions(const struct rig *r) {
    return stats_of(r).compressions;
}

/* ---- what is given back ---- */

#define LINE "What was said before is what is said again: 0123456789abcdefghijklmnopqrstuvwxyz."

static void test_deflate_given_back(void) {
    static struct peer p;
    struct rig r;
    deflating_init(&r, &together);
    r.echo = true;
    rig_begin(&r);
    struct ws_deflate_pool *pool = &r.loop->tick.deflate;
    open_deflating(&r, &p, &together);
    CHECK(!pool->first);
    for (int i = 0; i < 3; i++) {
        deflating_put_text(&p, LINE, strlen(LINE));
        UNTIL(&r, p.n_messages == i + 1);
        CHECK(pool->first != NULL);
        seconds_ahead += WS_DEFLATE_IDLE_MS / 2000;
        rig_settle(&r);
        CHECK(pool->first != NULL);
        seconds_ahead += WS_DEFLATE_IDLE_MS / 1000 * 2;
        UNTIL(&r, !pool->first);
    }
    CHECK_LINE(p.said, "text:81#88a07133;text:81#88a07133;text:81#88a07133;");
    deflating_drop(&p);
    deflating_end(&r);
}

/* One that is gone has no codecs, and still tells what was agreed on. */
static void test_deflate_gone(void) {
    static struct peer p;
    struct ws_deflate_terms terms;
    struct rig r;
    deflating_init(&r, &together);
    rig_begin(&r);
    struct ws_deflate_pool *pool = &r.loop->tick.deflate;
    open_deflating(&r, &p, &together);
    struct ws_conn *c = ws_server_find(r.server, 1);
    ws_conn_ref(c);
    deflating_put_text(&p, LINE, strlen(LINE));
    UNTIL(&r, r.n_messages == 1 && pool->first);
    deflating_drop(&p);
    UNTIL(&r, r.n_closes == 1);
    rig_settle(&r);
    CHECK(!pool->first && !pool->n_lent);
    CHECK(ws_conn_get_deflate(c, &terms));
    CHECK(terms.server_bits == 15 && !terms.server_no_takeover && !terms.client_no_takeover);
    ws_conn_unref(c);
    deflating_end(&r);
}

/* ---- what a batch takes ---- */

enum { SIZE = 1000000, N = 40 };

static size_t most;

static void note_inflated(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)c;
    CHECK_EQ(m->len, SIZE);
    if (r->loop->tick.inflated > most) most = r->loop->tick.inflated;
}

/* Forty kilobytes that say forty megabytes: one peer gets one of them into a batch, ten peers no
 * more than eight megabytes. */
static void check_batch(int n_peers, size_t bound) {
    static struct peer peers[10];
    static uint8_t zeros[SIZE];
    struct rig r;
    deflating_init(&r, &alone);
    r.quiet = true;
    r.act = note_inflated;
    most = 0;
    rig_begin(&r);
    for (int i = 0; i < n_peers; i++) open_deflating(&r, &peers[i], &alone);
    for (int i = 0; i < n_peers; i++)
        for (int j = 0; j < N / n_peers; j++) deflating_put_text(&peers[i], zeros, sizeof zeros);
    UNTIL(&r, r.n_messages == N);
    CHECK(most >= SIZE && most <= bound);
    CHECK_EQ(stats_of(&r).received_compressed, N);
    for (int i = 0; i < n_peers; i++) deflating_drop(&peers[i]);
    deflating_end(&r);
}

static void test_deflate_batch_of_one(void) {
    check_batch(1, SIZE);
}

static void test_deflate_batch_of_all(void) {
    check_batch(10, WS_TICK_INFLATED_MAX + SIZE);
}

/* Who answers a peer that reads nothing has no more of what it sent in memory than before: what was
 * put off waits behind the lane. */
static void test_deflate_put_off_behind_the_lane(void) {
    static struct peer p;
    static uint8_t zeros[SIZE];
    struct rig r;
    deflating_init(&r, &alone);
    r.options.high_water = 1000;
    r.options.max_backlog = 0;
    r.options.deflate_threshold = SIZE_MAX / 2; /* the answers go plain */
    r.quiet = true;
    r.echo = true;
    rig_begin(&r);
    open_deflating(&r, &p, &alone);
    p.deaf = p.quiet = true;
    for (int i = 0; i < 20; i++) deflating_put_text(&p, zeros, sizeof zeros);
    rig_settle(&r);
    int n = r.n_messages;
    CHECK(n >= 1 && n < 20);
    struct ws_conn *c = ws_server_find(r.server, 1);
    CHECK(ws_conn_pending(c) > 0);
    CHECK(!ws_conn_lane(c) || ws_conn_lane(c)->n - ws_conn_lane(c)->head <= 1);
    p.deaf = false;
    UNTIL(&r, p.n_messages == 20);
    CHECK_EQ(p.n_bytes, 20 * (size_t)SIZE);
    CHECK_EQ(ws_conn_pending(c), 0);
    deflating_drop(&p);
    deflating_end(&r);
}

/* Peers that have sent much more than fits into a batch do not hold up one that sends little: they
 * wait behind it, once each has had its turn. */
static int n_before; /* messages that went before the little one */

static void note_little(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)c;
    if (m->len == 6) n_before = r->n_messages - 1;
}

static void test_deflate_little_beside_much(void) {
    enum { BOMBERS = 12, EACH = 12 };
    static struct peer peers[BOMBERS], honest;
    static uint8_t zeros[SIZE];
    struct rig r;
    deflating_init(&r, &alone);
    r.quiet = true;
    r.act = note_little;
    n_before = -1;
    rig_begin(&r);
    for (int i = 0; i < BOMBERS; i++) open_deflating(&r, &peers[i], &alone);
    open_deflating(&r, &honest, &alone);
    for (int i = 0; i < BOMBERS; i++) {
        for (int j = 0; j < EACH; j++) deflating_put_text(&peers[i], zeros, sizeof zeros);
        peer_pump(&peers[i]); /* all that they send is there before the first turn */
        CHECK_EQ(peers[i].out.len, 0);
    }
    peer_text(&honest, "little");
    peer_pump(&honest);
    UNTIL(&r, n_before >= 0);
    /* A turn of each, and one of those that wait. */
    CHECK(n_before >= 1 && n_before <= BOMBERS + (int)(WS_TICK_INFLATED_MAX / SIZE + 1));
    UNTIL(&r, r.n_messages == BOMBERS * EACH + 1);
    for (int i = 0; i < BOMBERS; i++) deflating_drop(&peers[i]);
    deflating_drop(&honest);
    deflating_end(&r);
}

/* ---- what is sent ---- */

static void test_deflate_published_once(void) {
    static struct peer peers[4];
    static uint8_t data[20000];
    struct rig r;
    struct ws_payload small = {.data = (const uint8_t *)LINE, .len = strlen(LINE), .text = true};
    struct ws_payload large = {.data = data, .len = sizeof data};
    struct ws_slice all = {NULL, 0};
    deflating_init(&r, &together);
    rig_begin(&r);
    for (int i = 0; i < 3; i++) open_deflating(&r, &peers[i], &together);
    peer_open(&r, &peers[3]);
    for (int i = 0; i < 3; i++) {
        uint64_t before = compressions(&r);
        CHECK_EQ(ws_server_publish(r.server, all, i ? &large : &small, NULL), 4);
        for (int j = 0; j < 4; j++) UNTIL(&r, peers[j].n_messages == 2 * i + 1);
        CHECK_EQ(compressions(&r) - before, 1);
        for (uint64_t id = 1; id <= 4; id++)
            CHECK_EQ(ws_conn_send(ws_server_find(r.server, id), &small), WS_SENT);
        for (int j = 0; j < 4; j++) UNTIL(&r, peers[j].n_messages == 2 * i + 2);
        CHECK_EQ(compressions(&r) - before, 1 + 3);
    }
    CHECK_EQ(stats_of(&r).sent_compressed, 3 * 3 + 3 * 3);
    for (int j = 1; j < 4; j++) CHECK_LINE(peers[j].said, peers[0].said.text);
    for (int j = 0; j < 3; j++) deflating_drop(&peers[j]);
    deflating_end(&r);
}

static void test_deflate_choice(void) {
    static struct peer p;
    struct rig r;
    struct ws_payload m = {.data = (const uint8_t *)LINE, .len = strlen(LINE), .text = true};
    deflating_init(&r, &alone);
    r.options.deflate_threshold = strlen(LINE) + 1;
    rig_begin(&r);
    open_deflating(&r, &p, &alone);
    struct ws_conn *c = ws_server_find(r.server, 1);
    static const uint8_t choices[] = {WS_COMPRESS_LONG, WS_COMPRESS_NEVER, WS_COMPRESS_ALWAYS};
    for (int i = 0; i < 3; i++) {
        m.compress = choices[i];
        CHECK_EQ(ws_conn_send(c, &m), WS_SENT);
        UNTIL(&r, p.n_messages == i + 1);
        CHECK_EQ(compressions(&r), i == 2);
    }
    deflating_drop(&p);
    deflating_end(&r);
}

/* A peer that reads nothing: nearly all that waits for it may still give way, though it is to be
 * compressed. */
static void check_policy(const struct ws_deflate_terms *terms, bool keyed) {
    enum { N = 3000, LEN = 400, BACKLOG = 16 * 1024 };
    static struct peer p;
    struct rig r;
    char text[LEN];
    struct ws_payload m = {.data = (const uint8_t *)text, .len = LEN, .text = true};
    deflating_init(&r, terms);
    r.options.max_backlog = BACKLOG;
    r.options.high_water = 1 << 20;
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    rig_bind_unix(&r);
    rig_begin(&r);
    open_deflating(&r, &p, terms);
    struct ws_conn *c = ws_server_find(r.server, 1);
    if (keyed) m.key = ws_server_key(r.server, slice("a"));
    p.deaf = p.quiet = p.ascending = true;
    p.last = -1;
    uint32_t state = 1;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < LEN; j++) { /* it hardly gets shorter */
            state = state * 1664525 + 1013904223;
            text[j] = (char)('!' + (state >> 24) % 90);
        }
        text[snprintf(text, 16, "%d ", i)] = '.';
        CHECK_EQ(ws_conn_send(c, &m), WS_SENT);
        if (i % 7 == 0) rig_turn(&r);
    }
    /* With a key: those that were sealed, and the newest. */
    CHECK(keyed ? ws_conn_backlog(c) < BACKLOG / 2 : ws_conn_backlog(c) > BACKLOG / 2);
    p.deaf = false;
    UNTIL(&r, p.n_messages + (int)ws_conn_dropped(c) == N && ws_conn_backlog(c) == 0);
    CHECK(ws_conn_dropped(c) > 0 && stats_of(&r).sent_compressed > 0);
    CHECK_EQ(p.last, N - 1);
    CHECK_LINE(p.said, "");
    deflating_drop(&p);
    deflating_end(&r);
}

static void test_deflate_drop_oldest(void) {
    check_policy(&alone, false);
    check_policy(&together, false);
}

static void test_deflate_keys(void) {
    check_policy(&alone, true);
    check_policy(&together, true);
}

static void run_all(void) {
    RUN(test_deflate_given_back);
    RUN(test_deflate_gone);
    RUN(test_deflate_batch_of_one);
    RUN(test_deflate_batch_of_all);
    RUN(test_deflate_put_off_behind_the_lane);
    RUN(test_deflate_little_beside_much);
    RUN(test_deflate_published_once);
    RUN(test_deflate_choice);
    RUN(test_deflate_drop_oldest);
    RUN(test_deflate_keys);
}

int main(void) {
    return run_strategies(run_all);
}
