/* test_publish.c: messages for many: who gets what, in which order, when connections leave or close
 * amid a publish; and that every object comes back once. What policies and keys do with them:
 * test_loop_policy.c. Threads that do all of it at once: test_loop_threads.c. */
#include "loop.h"

#include "audience.h"

#include <sys/wait.h>

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

/* Whoever is left out is open, or has closed already, or its peer has: the others are all the
 * others. */
static void test_publish_exclude(void) {
    for (int how = 0; how < 3; how++) {
        struct rig r;
        struct peer p[2];
        struct ws_conn *c[2];
        struct script s = {&r, c};
        rig_init(&r, strategy);
        begin(&r, p, c, 2);
        ws_conn_ref(c[0]);
        if (how == 1) CHECK_EQ(ws_conn_close(c[0], 1000, slice(""), WS_CLOSE_LOCAL), 0);
        if (how == 2) {
            peer_close_frame(&p[0], 1000, "");
            UNTIL(&r, r.n_closes == 1);
        }
        on_thread(post_but_to_one, &s);
        UNTIL(&r, p[1].n_messages == 1);
        CHECK_EQ(publish_key(&r, NULL, "again", NULL, c[0]), 1);
        rig_settle(&r);
        CHECK_LINE(p[0].said, how ? "close1000:;" : "");
        CHECK_LINE(p[1].said, "text:to the other;text:again;");
        ws_conn_unref(c[0]);
        rig_stop(&r);
    }
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

static int most_objects;

static void publish_objects(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)m;
    CHECK_EQ(ws_conn_subscribe(c, slice("topic"), false), 1);
    for (int i = 0; i < 200; i++) {
        size_t len = 100000;
        uint8_t *object = malloc(len);
        memset(object, 'O', len);
        struct ws_payload p = {.data = object, .len = len, .object = object};
        CHECK_EQ(ws_server_publish(r->server, slice("topic"), &p, NULL), 1);
        CHECK(p.object == NULL);
        r->n_objects++;
        int held = r->n_objects - r->n_released;
        if (held > most_objects) most_objects = held;
    }
}

/* A handler that publishes for long: what a policy drops is released meanwhile. */
static void test_publish_releases_as_it_goes(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.options.backlog_policy = WS_BACKLOG_DROP_OLDEST;
    r.act = publish_objects;
    rig_begin(&r);
    peer_open(&r, &p);
    p.quiet = true;
    most_objects = 0;
    peer_text(&p, "go");
    UNTIL(&r, r.n_messages == 1);
    CHECK(most_objects < 40); /* a MiB that waits for the peer, one for the release */
    rig_stop(&r);
}

/* ---- the end ---- */

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

static void in_child(struct rig *r) {
    struct ws_tick *t = &r->loop->tick;
    struct ws_event torn = {.kind = WS_EVENT_LOG, .data = (uint8_t *)16, .owned = true};
    CHECK_EQ(ws_batch_push(&t->batch, &torn), 0); /* as it may look while the owner writes it */
    ws_server_abandon(r->server);
    CHECK(!t->topics.names.buckets && !t->n_holds && !ws_server_find(r->server, 1));
    CHECK_EQ(pthread_mutex_trylock(&t->topics_lock), 0);
    pthread_mutex_unlock(&t->topics_lock);
    ws_server_free(r->server);
}

static void *fork_from_thread(void *arg) {
    struct rig *r = arg;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        in_child(r);
        _exit(check_failures ? 1 : 0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    return NULL;
}

/* Forked by another thread while the owner, which the child does not have, has the topics in hand.
 */
static void test_fork_amid_publish(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    rig_open(&r, &p, &c, 1);
    subscribe(c, "topic");
    ws_tick_lock_topics(&r.loop->tick);
    on_thread(fork_from_thread, &r);
    ws_tick_unlock_topics(&r.loop->tick);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_publish_receivers);
    RUN(test_publish_more_than_the_arena);
    RUN(test_publish_posted);
    RUN(test_publish_exclude);
    RUN(test_publish_posted_bound);
    RUN(test_publish_posted_small);
    RUN(test_publish_closes_one);
    RUN(test_publish_before_a_close);
    RUN(test_publish_before_a_stop);
    RUN(test_publish_to_the_gone);
    RUN(test_publish_objects);
    RUN(test_publish_releases_as_it_goes);
    RUN(test_publish_never_applied);
    RUN(test_fork_amid_publish);
}

int main(void) {
    return run_strategies(run_all);
}
