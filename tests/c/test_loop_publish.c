/* test_loop_publish.c: messages for many, where threads, objects and processes meet. */
#include "loop.h"

#include "rig.h"

#include <pthread.h>
#include <sys/wait.h>

struct broadcast {
    struct rig *rig;
    const struct ws_conn *exclude;
    ptrdiff_t n;
};

static void *broadcast_from_thread(void *arg) {
    struct broadcast *b = arg;
    struct ws_payload p = {.data = (const uint8_t *)"all", .len = 3, .text = true};
    b->n = ws_server_publish(b->rig->server, (struct ws_slice){NULL, 0}, &p, b->exclude);
    return NULL;
}

/* From another thread, but for one that has left already: the others get it. */
static void test_broadcast_without_one_that_left(void) {
    struct rig r;
    struct peer p, q;
    pthread_t thread;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    peer_open(&r, &q);
    struct ws_conn *c = ws_server_find(r.server, 1);
    ws_conn_ref(c);
    struct broadcast b = {.rig = &r, .exclude = c};
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, broadcast_from_thread, &b), 0);
        pthread_join(thread, NULL);
        CHECK_EQ(b.n, 1);
        rig_settle(&r);
        if (i > 0) break;
        peer_close_frame(&p, 1000, "");
        UNTIL(&r, r.n_closes == 1);
    }
    CHECK_LINE(p.said, "close1000:;");
    CHECK_LINE(q.said, "text:all;text:all;");
    ws_conn_unref(c);
    rig_stop(&r);
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
    pthread_t thread;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    CHECK_EQ(ws_conn_subscribe(ws_server_find(r.server, 1), slice("topic"), false), 1);
    ws_tick_lock_topics(&r.loop->tick);
    CHECK_EQ(pthread_create(&thread, NULL, fork_from_thread, &r), 0);
    pthread_join(thread, NULL);
    ws_tick_unlock_topics(&r.loop->tick);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_broadcast_without_one_that_left);
    RUN(test_publish_releases_as_it_goes);
    RUN(test_fork_amid_publish);
}

int main(void) {
    return run_strategies(run_all);
}
