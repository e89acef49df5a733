/* test_publish.c: messages for many, and what the policies and keys do with them: who gets what,
 * in which order, when connections leave or close amid a publish; and that every object comes back
 * once. Threads that do all of it at once: test_loop_threads.c. */
#include "rig.h"

#include <pthread.h>

#define BACKLOG (64 * 1024)  /* max_backlog of the tests of policies */
#define HUGE_SIZE (1u << 20) /* of a message: more than the kernel takes of it */

static struct ws_slice name_of(const char *topic) {
    return topic ? slice(topic) : (struct ws_slice){NULL, 0}; /* NULL: everybody */
}

static ptrdiff_t publish_key(struct rig *r, const char *topic, const char *text, const char *key,
                             const struct ws_conn *exclude) {
    struct ws_payload p = {.data = (const uint8_t *)text, .len = strlen(text), .text = true};
    if (key) p.key = ws_server_key(r->server, slice(key));
    return ws_server_publish(r->server, name_of(topic), &p, exclude);
}

static ptrdiff_t publish(struct rig *r, const char *topic, const char *text) {
    return publish_key(r, topic, text, NULL, NULL);
}

static int send_key(struct rig *r, struct ws_conn *c, const char *text, const char *key) {
    struct ws_payload p = {.data = (const uint8_t *)text,
                           .len = strlen(text),
                           .text = true,
                           .key = ws_server_key(r->server, slice(key))};
    return ws_conn_send(c, &p);
}

static int send_part(struct ws_conn *c, const char *text, enum ws_part part) {
    struct ws_payload p = {
        .data = (const uint8_t *)text, .len = strlen(text), .text = true, .part = (uint8_t)part};
    return ws_conn_send(c, &p);
}

/* A message of len bytes that begins with its number. */
static int send_number(struct ws_conn *c, int number, size_t len) {
    char *text = malloc(len + 1);
    memset(text, '.', len);
    text[snprintf(text, 16, "%d ", number)] = '.';
    struct ws_payload p = {.data = (uint8_t *)text, .len = len, .text = true};
    int sent = ws_conn_send(c, &p);
    free(text);
    return sent;
}

static void subscribe(struct ws_conn *c, const char *topic) {
    CHECK_EQ(ws_conn_subscribe(c, slice(topic), false), 1);
}

/* Opens peers, and says who they are in the server. */
static void begin(struct rig *r, struct peer *p, struct ws_conn **c, int n) {
    rig_bind_unix(r); /* the kernel keeps little */
    rig_begin(r);
    for (int i = 0; i < n; i++) {
        peer_open(r, &p[i]);
        c[i] = ws_server_find(r->server, (uint64_t)i + 1);
    }
}

/* Runs it on another thread while the loop stands still: all of it is posted. */
static void on_thread(void *(*work)(void *), void *arg) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, work, arg), 0);
    pthread_join(thread, NULL);
}

/* The peer reads nothing from here on, and the kernel is full. */
static void block(struct rig *r, struct peer *p, struct ws_conn *c) {
    p->deaf = p->quiet = true;
    CHECK_EQ(send_number(c, 0, HUGE_SIZE), WS_SENT_OVER);
    rig_settle(r);
    CHECK(ws_conn_backlog(c) > BACKLOG);
}

/* ---- who gets what ---- */

static void test_publish_receivers(void) {
    struct rig r;
    struct peer p[4];
    struct ws_conn *c[4];
    rig_init(&r, strategy);
    begin(&r, p, c, 4);
    CHECK_EQ(publish(&r, "a", "nobody"), 0);
    subscribe(c[0], "a");
    subscribe(c[1], "a");
    subscribe(c[1], "b");
    CHECK_EQ(ws_conn_subscribe(c[1], slice("+"), true), 1);
    CHECK_EQ(ws_conn_subscribe(c[2], slice("#"), true), 1);
    CHECK_EQ(publish(&r, "a", "to a"), 3); /* once, however many match */
    CHECK_EQ(publish_key(&r, "a", "not to 1", NULL, c[1]), 2);
    CHECK_EQ(publish_key(&r, "a", "not to 3", NULL, c[3]), 3); /* who would not get it anyway */
    CHECK_EQ(publish(&r, NULL, "to all"), 4);
    CHECK_EQ(publish_key(&r, NULL, "to the others", NULL, c[0]), 3);
    CHECK_EQ(publish(&r, "", "no name"), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_conn_unsubscribe(c[1], slice("+"), true), 1);
    CHECK_EQ(ws_conn_unsubscribe(c[1], slice("a"), false), 1);
    CHECK_EQ(publish(&r, "a", "to a again"), 2);
    rig_settle(&r);
    CHECK_LINE(p[0].said, "text:to a;text:not to 1;text:not to 3;text:to all;text:to a again;");
    CHECK_LINE(p[1].said, "text:to a;text:not to 3;text:to all;text:to the others;");
    CHECK_LINE(p[2].said, "text:to a;text:not to 1;text:not to 3;text:to all;text:to the others;"
                          "text:to a again;");
    CHECK_LINE(p[3].said, "text:to all;text:to the others;");
    CHECK_EQ(stats_of(&r).sent, 17);
    CHECK_EQ(stats_of(&r).dropped_sent, 0);
    rig_stop(&r);
}

/* More in a tick than the arena holds: frames that find no room there are blocks. */
static void test_publish_more_than_the_arena(void) {
    enum { N = 400 };
    struct rig r;
    struct peer p[2];
    struct ws_conn *c[2];
    char text[2001];
    rig_init(&r, strategy);
    r.options.high_water = r.options.max_backlog = 1 << 24;
    begin(&r, p, c, 2);
    for (int i = 0; i < 2; i++) {
        subscribe(c[i], "t");
        p[i].quiet = p[i].numbered = true;
    }
    memset(text, '.', sizeof text - 1);
    text[2000] = '\0';
    for (int i = 0; i < N; i++) {
        text[snprintf(text, 16, "%d ", i)] = '.';
        CHECK_EQ(publish(&r, "t", text), 2);
    }
    UNTIL(&r, p[0].n_messages == N && p[1].n_messages == N);
    CHECK_EQ(p[0].n_bytes, 2000 * N);
    rig_stop(&r);
}

/* ---- other threads ---- */

struct script {
    struct rig *rig;
    struct ws_conn **c;
};

static void *post_mixed(void *arg) {
    struct script *s = arg;
    CHECK_EQ(publish(s->rig, "t", "1"), 2);
    CHECK_EQ(send_text(s->c[0], "2"), WS_SENT);
    CHECK_EQ(publish_key(s->rig, "t", "3", NULL, s->c[1]), 1);
    CHECK_EQ(publish(s->rig, NULL, "4"), 3);
    CHECK_EQ(publish_key(s->rig, NULL, "5", NULL, s->c[0]), 2);
    CHECK_EQ(publish(s->rig, "nobody's", "6"), 0);
    CHECK_EQ(ws_conn_subscribe(s->c[2], slice("t"), false), 1);
    CHECK_EQ(publish(s->rig, "t", "7"), 3);
    CHECK_EQ(ws_conn_unsubscribe(s->c[1], slice("t"), false), 1);
    CHECK_EQ(publish(s->rig, "t", "8"), 2);
    return NULL;
}

/* What a thread has posted goes before what the owner publishes later. A subscription counts from
 * the moment it is made: not for what was published before; and one that has ended, at once. */
static void test_publish_posted(void) {
    struct rig r;
    struct peer p[3];
    struct ws_conn *c[3];
    struct script s = {&r, c};
    rig_init(&r, strategy);
    begin(&r, p, c, 3);
    subscribe(c[0], "t");
    subscribe(c[1], "t");
    on_thread(post_mixed, &s);
    CHECK_EQ(publish(&r, "t", "9"), 2);
    rig_settle(&r);
    CHECK_LINE(p[0].said, "text:1;text:2;text:3;text:4;text:7;text:8;text:9;");
    CHECK_LINE(p[1].said, "text:4;text:5;"); /* it had left when 1 and 7 were to be delivered */
    CHECK_LINE(p[2].said, "text:4;text:5;text:7;text:8;text:9;");
    rig_stop(&r);
}

static void *post_but_to_one(void *arg) {
    struct script *s = arg;
    CHECK_EQ(publish_key(s->rig, NULL, "to the other", NULL, s->c[0]), 1);
    return NULL;
}

/* Whoever is left out has closed already: the others are all the others. */
static void test_publish_exclude_the_closed(void) {
    struct rig r;
    struct peer p[2];
    struct ws_conn *c[2];
    struct script s = {&r, c};
    rig_init(&r, strategy);
    begin(&r, p, c, 2);
    ws_conn_ref(c[0]);
    CHECK_EQ(ws_conn_close(c[0], 4000, slice(""), WS_CLOSE_LOCAL), 0);
    on_thread(post_but_to_one, &s);
    UNTIL(&r, p[1].n_messages == 1);
    CHECK_EQ(publish_key(&r, NULL, "again", NULL, c[0]), 1);
    rig_settle(&r);
    CHECK_LINE(p[0].said, "close4000:;");
    CHECK_LINE(p[1].said, "text:to the other;text:again;");
    ws_conn_unref(c[0]);
    rig_stop(&r);
}

static void *post_many(void *arg) {
    struct script *s = arg;
    static uint8_t data[1 << 20];
    struct ws_payload p = {.data = data, .len = sizeof data};
    for (int i = 0; i < 16; i++)
        CHECK_EQ(ws_server_publish(s->rig->server, slice("t"), &p, NULL), 1);
    CHECK_EQ(ws_server_publish(s->rig->server, slice("t"), &p, NULL), WS_ERR_LIMIT);
    CHECK_EQ(publish(s->rig, "t", "small"), WS_ERR_LIMIT);
    return NULL;
}

/* What threads publish is bounded too, and what does not fit is counted. */
static void test_publish_posted_bound(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    struct script s = {&r, &c};
    rig_init(&r, strategy);
    r.options.max_backlog = 0;
    r.options.high_water = 1 << 30;
    begin(&r, &p, &c, 1);
    p.quiet = true;
    subscribe(c, "t");
    on_thread(post_many, &s);
    CHECK_EQ(stats_of(&r).dropped_sent, 2);
    UNTIL(&r, p.n_messages == 16);
    on_thread(post_many, &s); /* all of the room is there again */
    UNTIL(&r, p.n_messages == 32);
    CHECK_EQ(stats_of(&r).dropped_sent, 4);
    CHECK_EQ(ws_conn_dropped(c), 0);
    rig_stop(&r);
}

static void *post_small(void *arg) {
    struct script *s = arg;
    ptrdiff_t n;
    int sent = 0;
    while ((n = publish(s->rig, "t", "x")) == 1) sent++;
    CHECK_EQ(n, WS_ERR_LIMIT);
    CHECK(sent > 50000 && sent < 100000); /* about two hundred bytes each */
    return NULL;
}

/* Small messages count with the memory that they take. */
static void test_publish_posted_small(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    struct script s = {&r, &c};
    rig_init(&r, strategy);
    r.options.max_backlog = 0;
    begin(&r, &p, &c, 1);
    p.quiet = true;
    subscribe(c, "t");
    on_thread(post_small, &s);
    UNTIL(&r, p.n_messages == (int)stats_of(&r).sent && p.n_messages > 0);
    CHECK(p.n_messages > 50000);
    rig_stop(&r);
}

/* ---- leaving amid a publish ---- */

/* One of three is full, and the policy closes it while the message goes round. */
static void test_publish_closes_one(void) {
    static const char *const topics[] = {"t", "t/below", NULL};
    for (int how = 0; how < 3; how++) {
        struct rig r;
        struct peer p[3];
        struct ws_conn *c[3];
        rig_init(&r, strategy);
        r.options.max_backlog = BACKLOG;
        begin(&r, p, c, 3);
        for (int i = 0; i < 3; i++) {
            subscribe(c[i], "t");
            /* What it has besides, it leaves amid the visit. */
            CHECK_EQ(ws_conn_subscribe(c[i], slice("#"), true), 1);
            CHECK_EQ(ws_conn_subscribe(c[i], slice("t/#"), true), 1);
        }
        block(&r, &p[1], c[1]);
        CHECK_EQ(publish(&r, topics[how], "all or two"), 3);
        CHECK(!ws_conn_is_open(c[1]));
        CHECK_EQ(ws_server_count_subscribers(r.server, slice("t")), 2);
        CHECK_EQ(publish(&r, topics[how], "two"), 2);
        rig_settle(&r);
        CHECK_LINE(p[0].said, "text:all or two;text:two;");
        CHECK_LINE(p[2].said, "text:all or two;text:two;");
        CHECK_EQ(stats_of(&r).dropped_sent, 1);
        p[1].deaf = false;
        UNTIL(&r, p[1].said.len > 0);
        CHECK_LINE(p[1].said, "close1013:the backlog is full;");
        CHECK_EQ(p[1].n_messages, 1); /* what was sealed is whole */
        rig_stop(&r);
    }
}

static void *publish_and_close(void *arg) {
    struct script *s = arg;
    CHECK_EQ(publish(s->rig, "t", "bye"), 3);
    CHECK_EQ(publish(s->rig, NULL, "bye all"), 3);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(ws_conn_close(s->c[i], 4000, slice(""), WS_CLOSE_LOCAL), 0);
    CHECK_EQ(publish(s->rig, "t", "behind"), 3); /* they have not left yet */
    CHECK_EQ(publish(s->rig, NULL, "behind all"), 1);
    return NULL;
}

/* A close on another thread goes behind what that thread published before, as behind what it
 * sent. */
static void test_publish_before_a_close(void) {
    struct rig r;
    struct peer p[3];
    struct ws_conn *c[3];
    struct script s = {&r, c};
    rig_init(&r, strategy);
    begin(&r, p, c, 3);
    for (int i = 0; i < 3; i++) subscribe(c[i], "t");
    on_thread(publish_and_close, &s);
    CHECK_EQ(publish(&r, "t", "last"), 1);
    rig_settle(&r);
    for (int i = 0; i < 2; i++) CHECK_LINE(p[i].said, "text:bye;text:bye all;close4000:;");
    CHECK_LINE(p[2].said, "text:bye;text:bye all;text:behind;text:behind all;text:last;");
    CHECK_EQ(stats_of(&r).dropped_sent, 0);
    rig_stop(&r);
}

static void *publish_and_stop(void *arg) {
    struct script *s = arg;
    CHECK_EQ(publish(s->rig, NULL, "bye all"), 2);
    CHECK_EQ(send_text(s->c[0], "bye"), WS_SENT);
    ws_server_stop(s->rig->server);
    return NULL;
}

/* So does a stop. */
static void test_publish_before_a_stop(void) {
    struct rig r;
    struct peer p[2];
    struct ws_conn *c[2];
    struct script s = {&r, c};
    rig_init(&r, strategy);
    begin(&r, p, c, 2);
    on_thread(publish_and_stop, &s);
    rig_settle(&r);
    CHECK_LINE(p[0].said, "text:bye all;text:bye;close1001:;");
    CHECK_LINE(p[1].said, "text:bye all;close1001:;");
    CHECK_EQ(stats_of(&r).dropped_sent, 0);
    rig_stop(&r);
}

/* Peers that went without a word, and of which a publish is the first to learn. */
static void test_publish_to_the_gone(void) {
    struct rig r;
    struct peer p[4];
    struct ws_conn *c[4];
    rig_init(&r, strategy);
    r.options.max_backlog = BACKLOG;
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    begin(&r, p, c, 4);
    for (int i = 0; i < 4; i++) {
        subscribe(c[i], "t");
        ws_conn_ref(c[i]);
    }
    for (int i = 0; i < 3; i++) block(&r, &p[i], c[i]);
    for (int i = 0; i < 3; i++) peer_drop(&p[i], i > 0);
    /* No turn between: the write that a policy tries finds out, within the visit. */
    for (int i = 0; i < 200; i++) {
        char text[1024];
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        CHECK_EQ(publish(&r, i % 2 ? "t" : NULL, text), 4);
    }
    UNTIL(&r, r.n_closes == 3);
    UNTIL(&r, p[3].n_messages == 200);
    CHECK_EQ(publish(&r, "t", "x"), 1);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(ws_conn_dropped(c[i]), i < 3 ? 201 : 0);
        ws_conn_unref(c[i]);
    }
    CHECK_EQ(stats_of(&r).dropped_sent, 603);
    rig_stop(&r);
}

/* ---- policies ---- */

/* The oldest make room: the sealed first one stays, and pings. What comes is whole and in order. */
static void test_drop_oldest(void) {
    enum { N = 3000, SIZE = 1000 };
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    r.options.max_backlog = BACKLOG;
    r.options.high_water = 1 << 20;
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    begin(&r, &p, &c, 1);
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
    rig_init(&r, strategy);
    r.options.max_backlog = BACKLOG;
    r.options.high_water = 1 << 20;
    r.options.backlog_policy = WS_BACKLOG_DROP_NEWEST;
    begin(&r, &p, &c, 1);
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
    rig_init(&r, strategy);
    r.options.max_backlog = BACKLOG;
    r.options.high_water = 1 << 20;
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    begin(&r, &p, &c, 1);
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
    rig_init(&r, strategy);
    r.options.max_backlog = BACKLOG;
    r.options.high_water = 1 << 20;
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    begin(&r, p, c, 2);
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
    rig_init(&r, strategy);
    r.options.max_backlog = BACKLOG;
    r.options.high_water = 1 << 20;
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    begin(&r, &p, &c, 1);
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

/* ---- objects ---- */

/* Publishes an object; whether it was taken. */
static bool publish_object(struct rig *r, const char *topic, size_t len, const char *key,
                           const struct ws_conn *exclude, ptrdiff_t expected) {
    uint8_t *object = malloc(len);
    memset(object, 'O', len);
    struct ws_payload p = {.data = object, .len = len, .text = true, .object = object};
    if (key) p.key = ws_server_key(r->server, slice(key));
    CHECK_EQ(ws_server_publish(r->server, name_of(topic), &p, exclude), expected);
    if (p.object) free(object);
    else r->n_objects++;
    return !p.object;
}

static void *post_objects(void *arg) {
    struct script *s = arg;
    CHECK(publish_object(s->rig, "t", 50000, NULL, NULL, 3));
    CHECK(!publish_object(s->rig, "nobody's", 50000, NULL, NULL, 0));
    CHECK(publish_object(s->rig, "t", 20000, "k", s->c[2], 2));
    CHECK(publish_object(s->rig, NULL, 20000, "k", NULL, 3));
    int sent = send_object(s->rig, s->c[0], 20000);
    CHECK(sent == WS_SENT || sent == WS_SENT_OVER || sent == WS_SENT_DROPPED);
    return NULL;
}

/* Objects that are shared, replaced, dropped, discarded, excluded: rig_end counts them. */
static void test_publish_objects(void) {
    for (int policy = WS_BACKLOG_CLOSE; policy <= WS_BACKLOG_DROP_OLDEST; policy++) {
        struct rig r;
        struct peer p[3];
        struct ws_conn *c[3];
        struct script s = {&r, c};
        rig_init(&r, strategy);
        r.options.max_backlog = 2 * HUGE_SIZE;
        r.options.backlog_policy = (enum ws_backlog_policy)policy;
        begin(&r, p, c, 3);
        for (int i = 0; i < 3; i++) {
            p[i].quiet = true;
            subscribe(c[i], "t");
        }
        CHECK(!publish_object(&r, "nobody's", 50000, NULL, NULL, 0));
        CHECK(publish_object(&r, "t", 50000, NULL, NULL, 3));
        CHECK(publish_object(&r, "t", 100, NULL, c[0], 2)); /* a small one is one all the same */
        on_thread(post_objects, &s);
        UNTIL(&r, p[0].n_messages == 5 && p[1].n_messages == 5 && p[2].n_messages == 4);
        block(&r, &p[0], c[0]);
        for (int i = 0; i < 60; i++) {
            publish_object(&r, "t", 50000, i % 2 ? "k" : NULL, NULL, ws_conn_is_open(c[0]) ? 3 : 2);
            if (i % 20 == 0) on_thread(post_objects, &s);
            rig_turn(&r);
            if (i % 20 == 10) UNTIL(&r, ws_conn_backlog(c[1]) == 0 && ws_conn_backlog(c[2]) == 0);
            if (!ws_conn_is_open(c[0])) break;
        }
        CHECK(ws_conn_dropped(c[0]) > 0);
        CHECK_EQ(ws_conn_is_open(c[0]), policy != WS_BACKLOG_CLOSE);
        CHECK_EQ(ws_conn_dropped(c[1]) + ws_conn_dropped(c[2]), 0);
        rig_stop(&r);
    }
}

static void *post_everything(void *arg) {
    struct script *s = arg;
    struct ws_call *calls[2];
    CHECK(publish_object(s->rig, "t", 50000, NULL, NULL, 1));
    CHECK(publish_object(s->rig, NULL, 50000, NULL, NULL, 1));
    CHECK_EQ(send_object(s->rig, s->c[0], 50000), WS_SENT);
    CHECK_EQ(publish(s->rig, "t", "text"), 1);
    CHECK_EQ(ws_conn_ping(s->c[0], NULL, 0), WS_SENT);
    CHECK_EQ(ws_conn_ping(s->c[0], (const uint8_t *)"data", 4), WS_SENT);
    for (int i = 0; i < 2; i++) {
        calls[i] = ws_call_new(s);
        CHECK_EQ(ws_loop_call(s->rig->loop, calls[i], 0, 0), 0);
        if (i) ws_loop_cancel(s->rig->loop, calls[i]);
        ws_call_unref(calls[i]);
    }
    CHECK_EQ(ws_conn_close(s->c[0], 1000, slice(""), WS_CLOSE_LOCAL), 0);
    return NULL;
}

/* Posted and never applied: the run ends first, or the server goes. */
static void test_publish_never_applied(void) {
    for (int how = 0; how < 2; how++) {
        struct rig r;
        struct peer p;
        struct ws_conn *c;
        struct script s = {&r, &c};
        rig_init(&r, strategy);
        begin(&r, &p, &c, 1);
        subscribe(c, "t");
        ws_conn_ref(c);
        on_thread(post_everything, &s);
        if (how == 0) {
            ws_loop_end(r.loop);
            CHECK_EQ(ws_conn_subscribe(c, slice("u"), false), WS_ERR_CLOSED);
            CHECK(!publish_object(&r, "t", 50000, NULL, NULL, 0));
            CHECK(!publish_object(&r, NULL, 50000, NULL, NULL, 0));
        }
        ws_conn_unref(c);
        rig_end(&r);
    }
}

static void run_all(void) {
    RUN(test_publish_receivers);
    RUN(test_publish_more_than_the_arena);
    RUN(test_publish_posted);
    RUN(test_publish_exclude_the_closed);
    RUN(test_publish_posted_bound);
    RUN(test_publish_posted_small);
    RUN(test_publish_closes_one);
    RUN(test_publish_before_a_close);
    RUN(test_publish_before_a_stop);
    RUN(test_publish_to_the_gone);
    RUN(test_drop_oldest);
    RUN(test_drop_oldest_sealed);
    RUN(test_drop_newest);
    RUN(test_drop_behind_a_stream);
    RUN(test_drop_oldest_not_of_a_peer_that_reads);
    RUN(test_drop_oldest_not_for_what_comes_late);
    RUN(test_keys);
    RUN(test_keys_behind_a_stream);
    RUN(test_publish_objects);
    RUN(test_publish_never_applied);
}

int main(void) {
    return run_strategies(run_all);
}
