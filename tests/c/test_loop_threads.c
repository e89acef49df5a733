/* test_loop_threads.c: other threads send, publish, subscribe, call, close and stop. Runs under the
 * thread sanitizer too. */
#include "rig.h"

#include <poll.h>
#include <semaphore.h>

/* ---- other threads ---- */

struct sender {
    struct rig *rig;
    struct ws_conn *conn;
    int fd;
    int rounds;
    _Atomic bool done;
};

static void read_exactly(int fd, uint8_t *data, size_t len) {
    while (len) {
        ssize_t n = recv(fd, data, len, 0);
        if (n <= 0) {
            check_failures++;
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

/* Two messages, then their echo off the socket: every wake-up that got lost would stop it here. */
static void *send_and_read(void *arg) {
    struct sender *s = arg;
    for (int i = 0; i < s->rounds; i++) {
        uint8_t got[2 * 6];
        char text[8];
        for (int k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%04d", (2 * i + k) % 10000);
            CHECK_EQ(send_text(s->conn, text), WS_SENT);
        }
        read_exactly(s->fd, got, sizeof got);
        for (int k = 0; k < 2; k++) {
            snprintf(text, sizeof text, "%04d", (2 * i + k) % 10000);
            CHECK(memcmp(got + 6 * k, "\x81\x04", 2) == 0 && memcmp(got + 6 * k + 2, text, 4) == 0);
        }
    }
    CHECK_EQ(ws_conn_close(s->conn, 4005, slice("thread"), WS_CLOSE_LOCAL), 0);
    CHECK(!ws_conn_is_open(s->conn));
    CHECK_EQ(send_text(s->conn, "x"), WS_ERR_CLOSED);
    CHECK_EQ(ws_conn_close(s->conn, 4006, slice(""), WS_CLOSE_LOCAL), 0);
    uint8_t frame[10];
    read_exactly(s->fd, frame, sizeof frame);
    CHECK(memcmp(frame, "\x88\x08\x0F\xA5thread", 10) == 0);
    atomic_store(&s->done, true);
    ws_server_stop(s->rig->server); /* wakes the loop a last time */
    return NULL;
}

static void test_server_mailbox(void) {
    struct rig r;
    struct peer p;
    pthread_t thread;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    fcntl(p.fd, F_SETFL, 0);
    struct sender s = {.rig = &r, .conn = ws_server_find(r.server, 1), .fd = p.fd, .rounds = 2000};
    ws_conn_ref(s.conn);
    CHECK_EQ(pthread_create(&thread, NULL, send_and_read, &s), 0);
    while (!atomic_load(&s.done)) rig_wait(&r);
    pthread_join(thread, NULL);
    CHECK_EQ(stats_of(&r).sent, 4000);
    CHECK_EQ(ws_conn_backlog(s.conn), 0);
    ws_conn_unref(s.conn);
    rig_stop(&r);
    CHECK_LINE(r.told, "open1;close1:1006/4005:/thread:local;");
}

static void *send_objects_from_thread(void *arg) {
    struct sender *s = arg;
    int n = 0, sent;
    do sent = send_object(s->rig, s->conn, 50000);
    while (++n < 1000 && (sent == WS_SENT || sent == WS_SENT_OVER));
    CHECK_EQ(sent, WS_SENT_DROPPED); /* the bound holds for the mailbox too */
    CHECK(!ws_conn_is_open(s->conn));
    CHECK_EQ(send_object(s->rig, s->conn, 10), WS_ERR_CLOSED);
    return NULL;
}

/* Objects posted by another thread: applied to a peer that reads late, or posted and never applied,
 * or posted after the end of the loop. */
static void test_server_mailbox_bound(void) {
    for (int how = 0; how < 2; how++) {
        struct rig r;
        struct peer p;
        rig_init(&r, strategy);
        rig_begin(&r);
        peer_open(&r, &p);
        p.quiet = true;
        struct sender s = {.rig = &r, .conn = ws_server_find(r.server, 1)};
        ws_conn_ref(s.conn);
        on_thread(send_objects_from_thread, &s);
        CHECK_EQ(r.n_objects, 21); /* the first that finds 1 MiB there is refused */
        CHECK_EQ(ws_conn_backlog(s.conn), 21 * 50004);
        if (how == 0) {
            UNTIL(&r, p.said.len > 0);
            CHECK_LINE(p.said, "close1013:the backlog is full;");
            rig_settle(&r);
            rig_stop(&r);
            CHECK_LINE(r.told, "open1;close1:1006/1013:/the backlog is full:backlog;");
            ws_conn_unref(s.conn);
        } else {
            ws_loop_end(r.loop);
            ws_conn_unref(s.conn);
            rig_end(&r);
        }
    }
}

static void *stream_from_thread(void *arg) {
    struct ws_conn *c = arg;
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "a1", WS_PART_FIRST), WS_SENT);
    CHECK_EQ(send_part(c, "a2", WS_PART_LAST), WS_SENT);
    return NULL;
}

/* The owner streams while another thread's stream, which has ended, is still in the mailbox: the
 * parts of one may not come between those of the other. */
static void test_server_streams_of_threads(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    rig_open(&r, &p, &c, 1);
    on_thread(stream_from_thread, c);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "b1", WS_PART_FIRST), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(p.said, "text:a1a2;");
    CHECK_EQ(send_part(c, "b2", WS_PART_LAST), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(p.said, "text:a1a2;text:b1b2;");
    rig_stop(&r);
}

/* ---- all of it at once ---- */

enum { CONNS = 10, WORKERS = 4, ROUNDS = 2000, BACKLOG = 16384 };

struct crowd {
    struct rig *rig;
    struct ws_conn *conns[CONNS];
    int fds[CONNS];
    int over_fd;                        /* ends the reader */
    _Atomic int n_done;                 /* workers at their end */
    _Atomic int n_objects, n_lost;      /* taken; published in vain */
    _Atomic int n_calls, n_calls_ended; /* asked for; told as done */
    _Atomic int n_streams;
};

struct worker {
    struct crowd *crowd;
    uint32_t random;
    int id;
    sem_t met; /* the loop has come to a call of this worker's */
};

/* Reads what comes and throws it away: so that the loop waits in earnest, and a wake-up that gets
 * lost would stop the test. */
static void *read_all(void *arg) {
    struct crowd *all = arg;
    struct pollfd fds[CONNS + 1] = {{.fd = all->over_fd, .events = POLLIN}};
    static uint8_t data[65536];
    for (int i = 0; i < CONNS; i++) fds[i + 1] = (struct pollfd){all->fds[i], POLLIN, 0};
    while (poll(fds, CONNS + 1, -1) > 0 && !fds[0].revents)
        for (int i = 1; i <= CONNS; i++)
            if (fds[i].revents && recv(fds[i].fd, data, sizeof data, 0) <= 0) fds[i].fd = -1;
    return NULL;
}

static uint32_t next_random(struct worker *w, uint32_t n) {
    w->random = w->random * 1664525 + 1013904223;
    return (w->random >> 8) % n;
}

static struct ws_slice random_topic(struct worker *w) {
    static const char *const names[] = {"a", "b/1", "b/2", "c"};
    return slice(names[next_random(w, 4)]);
}

/* A payload, small or an object. */
static struct ws_payload random_payload(struct worker *w) {
    static const char text[400] = "text";
    bool is_object = next_random(w, 8) == 0;
    size_t len = is_object ? 5000 : next_random(w, sizeof text);
    struct ws_payload p = {.data = (const uint8_t *)text, .len = len};
    if (is_object) p.data = p.object = calloc(1, len);
    if (next_random(w, 3) == 0) p.key = ws_server_key(w->crowd->rig->server, random_topic(w));
    return p;
}

/* The object is the core's now, or still ours. */
static void settle(struct worker *w, void *object, bool taken) {
    if (!object) return;
    if (taken) atomic_fetch_add(&w->crowd->n_objects, 1);
    else free(object);
}

static void do_send(struct worker *w, struct ws_conn *c) {
    struct ws_payload p = random_payload(w);
    int sent = ws_conn_send(c, &p);
    CHECK(sent == WS_ERR_CLOSED || (sent >= WS_SENT_OVER && sent <= WS_SENT_DROPPED));
    settle(w, p.object, sent == WS_SENT || sent == WS_SENT_OVER);
}

static void do_publish(struct worker *w, struct ws_conn *exclude) {
    struct ws_payload p = random_payload(w);
    void *object = p.object;
    struct ws_slice topic = random_topic(w);
    if (next_random(w, 10) == 0) topic = (struct ws_slice){NULL, 0};
    if (next_random(w, 2)) exclude = NULL;
    ptrdiff_t n = ws_server_publish(w->crowd->rig->server, topic, &p, exclude);
    if (n == WS_ERR_LIMIT) atomic_fetch_add(&w->crowd->n_lost, 1);
    else CHECK(n >= 0 && n <= CONNS);
    settle(w, object, !p.object);
}

static void do_topics(struct worker *w, struct ws_conn *c) {
    struct ws_buf names;
    bool pattern = next_random(w, 4) == 0;
    struct ws_slice topic = pattern ? slice("b/+") : random_topic(w);
    ws_buf_init(&names);
    if (next_random(w, 2)) CHECK(ws_conn_subscribe(c, topic, pattern) != WS_ERR_ARGUMENT);
    else CHECK(ws_conn_unsubscribe(c, topic, pattern) >= 0);
    CHECK_EQ(ws_conn_get_topics(c, &names), 0);
    CHECK_EQ(ws_server_get_topics(w->crowd->rig->server, &names), 0);
    CHECK(ws_server_count_subscribers(w->crowd->rig->server, slice("b/1")) <= CONNS);
    ws_buf_fini(&names);
}

/* Whoever could begin a stream ends it, whatever has become of the connection. */
static void do_stream(struct worker *w, struct ws_conn *c) {
    if (ws_conn_stream_begin(c) < 0) return;
    atomic_fetch_add(&w->crowd->n_streams, 1);
    for (int part = WS_PART_FIRST; part <= WS_PART_LAST; part++) {
        struct ws_payload p = {
            .data = (const uint8_t *)"part", .len = 4, .text = true, .part = (uint8_t)part};
        int sent = ws_conn_send(c, &p);
        CHECK(sent == WS_ERR_CLOSED || sent >= 0);
        if (part == WS_PART_FIRST) do_publish(w, NULL);
    }
}

/* Some are to be made at once, some are cancelled: before, or when they have begun. */
static void do_call(struct worker *w) {
    struct ws_loop *loop = w->crowd->rig->loop;
    struct ws_call *call = ws_call_new(w->crowd);
    uint32_t how = next_random(w, 4);
    CHECK_EQ(ws_loop_call(loop, call, how == 3 ? 1000000 : 0, how == 2), 0);
    if (how > 0) ws_loop_cancel(loop, call);
    atomic_fetch_add(&w->crowd->n_calls, 1);
    ws_call_unref(call);
}

/* Waits for the loop: a wake-up that got lost would stop it here. */
static void meet_loop(struct worker *w) {
    struct ws_call *call = ws_call_new(&w->met);
    CHECK_EQ(ws_loop_call(w->crowd->rig->loop, call, 0, 0), 0);
    while (sem_wait(&w->met) != 0) continue;
    ws_call_unref(call);
}

/* The owner does its part while the others do theirs. */
static void on_call(void *user, void *object, bool called, bool done) {
    struct rig *r = user;
    struct crowd *all = r->crowd;
    if (object != all) {
        CHECK(called && done);
        sem_post(object);
        return;
    }
    if (done) atomic_fetch_add(&all->n_calls_ended, 1);
    if (!called) return;
    struct worker w = {.crowd = all, .random = (uint32_t)atomic_load(&all->n_calls_ended) * 7919};
    do_publish(&w, NULL);
    do_topics(&w, all->conns[next_random(&w, CONNS)]);
    do_send(&w, all->conns[next_random(&w, CONNS)]);
    do_call(&w);
    CHECK(ws_server_count(r->server) <= CONNS);
}

static void do_one(struct worker *w, int round) {
    struct ws_conn *c = w->crowd->conns[next_random(w, CONNS)];
    switch (next_random(w, 10)) {
    case 0: do_topics(w, c); break;
    case 1:
    case 2:
    case 3: do_publish(w, c); break;
    case 4: CHECK(ws_conn_ping(c, round % 2 ? (const uint8_t *)"ping" : NULL, 4) != 7); break;
    case 5: do_stream(w, c); break;
    case 6: do_call(w); break;
    case 7:
        CHECK(ws_conn_backlog(c) <= 100 * BACKLOG);
        CHECK(ws_conn_dropped(c) < 1u << 30 && stats_of(w->crowd->rig).opened == CONNS);
        break;
    default: do_send(w, c);
    }
}

static void *work(void *arg) {
    struct worker *w = arg;
    struct crowd *all = w->crowd;
    for (int i = 0; i < ROUNDS; i++) {
        do_one(w, i);
        if (i % 25 == 0) meet_loop(w);
        /* One for each closes on the way, while the others use it. */
        if (i == ROUNDS / 2)
            CHECK_EQ(ws_conn_close(all->conns[w->id], 4000, slice("done"), WS_CLOSE_LOCAL), 0);
    }
    meet_loop(w);
    if (atomic_fetch_add(&all->n_done, 1) == WORKERS - 1) ws_server_stop(all->rig->server);
    return NULL;
}

static void begin_crowd(struct crowd *all, struct rig *r, struct peer *p) {
    *all = (struct crowd){.rig = r, .over_fd = eventfd(0, EFD_CLOEXEC)};
    r->crowd = all;
    for (int i = 0; i < CONNS; i++) {
        peer_open(r, &p[i]);
        all->fds[i] = p[i].fd;
        all->conns[i] = ws_server_find(r->server, (uint64_t)i + 1);
        ws_conn_ref(all->conns[i]);
        CHECK_EQ(ws_conn_subscribe(all->conns[i], slice("a"), false), 1);
    }
}

/* Every message that a connection lost is counted there and in all. */
static void end_crowd(struct crowd *all) {
    struct rig *r = all->rig;
    uint64_t dropped = 0;
    for (int i = 0; i < r->n_peers; i++) peer_drop(r->peers[i], false);
    UNTIL(r, ws_loop_is_done(r->loop));
    ws_loop_end(r->loop);
    for (int i = 0; i < CONNS; i++) {
        CHECK_EQ(ws_conn_backlog(all->conns[i]), 0);
        dropped += ws_conn_dropped(all->conns[i]);
        ws_conn_unref(all->conns[i]);
    }
    struct ws_stats stats = stats_of(r);
    CHECK_EQ(dropped, stats.dropped_sent + stats.replaced - (uint64_t)all->n_lost);
    CHECK(all->n_streams > 0 && stats.sent > ROUNDS);
}

static void test_server_threads_do_everything(void) {
    for (int policy = WS_BACKLOG_CLOSE; policy <= WS_BACKLOG_DROP_OLDEST; policy++) {
        struct rig r;
        struct peer p[CONNS];
        struct crowd all;
        struct worker workers[WORKERS];
        pthread_t reader, threads[WORKERS];
        rig_init(&r, strategy);
        r.quiet = true;
        r.handlers.on_call = on_call;
        r.options.high_water = BACKLOG / 2;
        r.options.max_backlog = policy == WS_BACKLOG_CLOSE ? 100 * BACKLOG : BACKLOG;
        r.options.backlog_policy = (enum ws_backlog_policy)policy;
        r.options.close_timeout_ms = 50;
        rig_begin(&r);
        begin_crowd(&all, &r, p);
        CHECK_EQ(pthread_create(&reader, NULL, read_all, &all), 0);
        for (int i = 0; i < WORKERS; i++) {
            workers[i] = (struct worker){.crowd = &all, .random = (uint32_t)i, .id = i};
            CHECK_EQ(sem_init(&workers[i].met, 0, 0), 0);
            CHECK_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        while (atomic_load(&all.n_done) < WORKERS) rig_wait(&r);
        for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
        uint64_t one = 1;
        CHECK_EQ(write(all.over_fd, &one, sizeof one), (ssize_t)sizeof one);
        pthread_join(reader, NULL);
        end_crowd(&all);
        close(all.over_fd);
        r.n_objects = all.n_objects;
        rig_end(&r);
        CHECK_EQ(all.n_calls_ended, all.n_calls);
    }
}

static void run_all(void) {
    RUN(test_server_threads_do_everything);
    RUN(test_server_mailbox);
    RUN(test_server_mailbox_bound);
    RUN(test_server_streams_of_threads);
}

int main(void) {
    return run_strategies(run_all);
}
