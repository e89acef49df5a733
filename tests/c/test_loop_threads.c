/* test_loop_threads.c: other threads send, publish, subscribe, call, close and stop. Runs under the
 * thread sanitizer too. */
#include "rig.h"

#include <poll.h>
#include <pthread.h>
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
        pthread_t thread;
        rig_init(&r, strategy);
        rig_begin(&r);
        peer_open(&r, &p);
        p.quiet = true;
        struct sender s = {.rig = &r, .conn = ws_server_find(r.server, 1)};
        ws_conn_ref(s.conn);
        CHECK_EQ(pthread_create(&thread, NULL, send_objects_from_thread, &s), 0);
        pthread_join(thread, NULL); /* the loop did not turn: everything waits in the mailbox */
        CHECK_EQ(r.n_objects, 21);  /* the first that finds 1 MiB there is refused */
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

static int send_part(struct ws_conn *c, const char *text, enum ws_part part) {
    struct ws_payload p = {
        .data = (const uint8_t *)text, .len = strlen(text), .text = true, .part = (uint8_t)part};
    return ws_conn_send(c, &p);
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
    pthread_t thread;
    rig_init(&r, strategy);
    rig_begin(&r);
    peer_open(&r, &p);
    struct ws_conn *c = ws_server_find(r.server, 1);
    CHECK_EQ(pthread_create(&thread, NULL, stream_from_thread, c), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    CHECK_EQ(send_part(c, "b1", WS_PART_FIRST), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(p.said, "text:a1a2;");
    CHECK_EQ(send_part(c, "b2", WS_PART_LAST), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(p.said, "text:a1a2;text:b1b2;");
    rig_stop(&r);
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
