/* rig.h: what the programs share that test the whole core over real sockets, in one thread, with
 * every poll strategy: the rig of peer.h with a few handlers, requests and ways to wait. Who was
 * told what stands in two lines of text: the server's handlers (rig.told, "close1:PEER'S/OURS:its
 * reason/our reason:kind") and the client (peer.said). */
#ifndef RIG_H
#define RIG_H

#include "err.h"

#include "peer.h"

#include <pthread.h>

static enum ws_strategy strategy;

static inline struct ws_slice slice(const char *text) {
    return (struct ws_slice){text, strlen(text)};
}

static inline int send_text(struct ws_conn *c, const char *text) {
    struct ws_payload p = {.data = (const uint8_t *)text, .len = strlen(text), .text = true};
    return ws_conn_send(c, &p);
}

static inline int send_part(struct ws_conn *c, const char *text, enum ws_part part) {
    struct ws_payload p = {
        .data = (const uint8_t *)text, .len = strlen(text), .text = true, .part = (uint8_t)part};
    return ws_conn_send(c, &p);
}

static inline struct ws_stats stats_of(const struct rig *r) {
    struct ws_stats stats;
    ws_server_get_stats(r->server, &stats);
    return stats;
}

/* A Unix socket instead of TCP: every peer has the same address, and the kernel keeps less, so that
 * a late reader is soon felt. */
static inline void rig_bind_unix(struct rig *r) {
    char why[256];
    struct sockaddr_un *un = (struct sockaddr_un *)&r->at;
    un->sun_family = AF_UNIX;
    r->at_len = sizeof *un;
    snprintf(un->sun_path, sizeof un->sun_path, "/tmp/wspy-test-%ld.sock", (long)getpid());
    r->server = ws_server_new(&r->options, &r->handlers, r);
    r->loop = ws_server_loop(r->server);
    CHECK_EQ(ws_server_bind_unix(r->server, un->sun_path, why), 0);
}

/* Begins and opens n peers; c is their connections in the server, borrowed. */
static inline void rig_open(struct rig *r, struct peer *p, struct ws_conn **c, int n) {
    rig_begin(r);
    for (int i = 0; i < n; i++) {
        peer_open(r, &p[i]);
        c[i] = ws_server_find(r->server, (uint64_t)i + 1);
    }
}

/* Runs it on another thread while the loop stands still: all that it asks for is posted. */
static inline void on_thread(void *(*work)(void *), void *arg) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, work, arg), 0);
    pthread_join(thread, NULL);
}

/* Runs the tests once with each strategy. */
static inline int run_strategies(void (*run_all)(void)) {
    static const enum ws_strategy strategies[] = {WS_STRATEGY_SELECT, WS_STRATEGY_POLL,
                                                  WS_STRATEGY_EPOLL};
    for (int i = 0; i < 3; i++) {
        strategy = strategies[i];
        run_all();
    }
    return check_done();
}

/* For time-outs: the poller is waited for, a few turns are enough. */
#define WAIT_FOR(r, cond)                                                                          \
    do {                                                                                           \
        for (int waits = 0; !(cond) && waits < 60; waits++) rig_wait(r);                           \
        CHECK(cond);                                                                               \
    } while (0)

/* ---- requests ---- */

#define HOST "Host: 127.0.0.1\r\n"

/* Sends a request, turns until the server has said all, and checks the answer. */
static inline void check_http(struct rig *r, const char *request, const char *start, bool whole) {
    struct peer p;
    peer_connect(r, &p, false);
    peer_say(&p, request);
    UNTIL(r, p.eof || p.reset);
    CHECK(p.eof);
    if (!(whole ? peer_answer_is(&p, start) : peer_answer_starts(&p, start))) {
        fprintf(stderr, "%.60s\n -> %.*s\n", request, (int)p.head.len, (char *)p.head.data);
        check_failures++;
    }
    peer_free(&p);
    r->n_peers = 0;
    rig_settle(r);
}

/* ---- handlers ---- */

static inline void close_self(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    struct ws_close close;
    size_t count = ws_server_count(r->server);
    (void)m;
    CHECK(ws_server_find(r->server, ws_conn_id(c)) == c);
    CHECK(send_text(c, "before") == WS_SENT);
    CHECK_EQ(ws_conn_close(c, 4000, slice("done"), WS_CLOSE_LOCAL), 0);
    CHECK(!ws_conn_is_open(c));
    CHECK(ws_server_find(r->server, ws_conn_id(c)) == NULL);
    CHECK_EQ(ws_server_count(r->server), count - 1);
    CHECK(!ws_conn_get_close(c, &close));
    CHECK(close.sent_code == 4000 && close.kind == WS_CLOSE_LOCAL && close.code == 1006);
    CHECK_EQ(send_text(c, "after"), WS_ERR_CLOSED);
    CHECK_EQ(ws_conn_close(c, 4999, slice("again"), WS_CLOSE_ERROR), 0);
}

static inline void close_on_open(struct rig *r, struct ws_conn *c) {
    (void)r;
    CHECK_EQ(ws_conn_close(c, 1000, slice(""), WS_CLOSE_LOCAL), 0);
}

/* ---- large messages, objects ---- */

#define LARGE 300000

/* The first part of a large message, as far as the server asks for memory. */
static inline void begin_large(struct rig *r, struct peer *p, struct ws_buf *rest, uint8_t opcode) {
    uint8_t *data = malloc(LARGE);
    memset(data, 'L', LARGE);
    peer_frame(p, opcode, data, LARGE);
    *rest = (struct ws_buf){0};
    if (ws_buf_append(rest, p->out.data + 20000, p->out.len - 20000) < 0) exit(2);
    p->out.len = 20000;
    UNTIL(r, r->n_objects == 1);
    free(data);
}

static inline int send_object(struct rig *r, struct ws_conn *c, size_t len) {
    uint8_t *object = malloc(len);
    memset(object, 'O', len);
    struct ws_payload p = {.data = object, .len = len, .text = true, .object = object};
    int sent = ws_conn_send(c, &p);
    if (sent == WS_SENT || sent == WS_SENT_OVER) r->n_objects++;
    else free(object); /* it stayed ours */
    return sent;
}

#endif
