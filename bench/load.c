/* load.c: a load generator for WebSocket servers (Linux, libc and zlib, one thread, epoll).
 *
 * It opens N connections. From a server that echoes, each wants back what it sent, with D messages
 * in flight on each. From one that broadcasts, every connection wants each message that the first
 * one sent; D are in flight in all, and one is until the last connection has it. At a fixed rate
 * messages go out when they are due, answered or not, and their time counts from then.
 *
 * Every byte that comes is compared with what was sent. No message is stored for that: each is a
 * slice of one pool of random bytes, another than the one before. So a lost, doubled, swapped or
 * damaged message shows, at the price of one memcmp.
 *
 * It does NOT speak TLS, resolve names or verify Sec-WebSocket-Accept. Without a
 * rate the loop is closed: its latencies are those of a server as busy as D allows.
 *
 * This file has the run with messages; load_conn.c sends, load_answer.c checks, load_report.c
 * tells. Others are load_handshake.c and load_idle.c.
 *
 * Exit status: 0 all messages right, 1 a wrong message or a failed run, 2 wrong usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_base.h"
#include "load_conn.h"
#include "load_dial.h"
#include "load_handshake.h"
#include "load_idle.h"
#include "load_process.h"
#include "load_report.h"
#include "load_room.h"

enum {
    WRITE_CAP = 128 * 1024, /* bytes one connection prepares ahead of its socket */
    EVENTS = 512,
    JOIN_MS = 200, /* a server may let a connection into its room a moment after the handshake */
};

struct load {
    struct options opt;
    struct traffic traffic;
    struct conn *conns; /* owns */
    struct room *rooms; /* owns */
    size_t n_conns, n_rooms;
    uint64_t measure_ns, swept_ns;
    struct reading begin, end;
};

/* ---- the run ---- */

static int measure_begin(struct load *l, uint64_t now) {
    struct traffic *t = &l->traffic;
    t->phase = MEASURE;
    t->from_ns = now;
    if (l->opt.messages)
        t->unsent = l->opt.messages > t->inflight ? l->opt.messages - t->inflight : 0;
    return reading_take(l->opt.pid, now, &l->begin);
}

static int measure_end(struct load *l, uint64_t now) {
    l->traffic.phase = DRAIN;
    l->traffic.unsent = 0;
    return reading_take(l->opt.pid, now, &l->end);
}

static int phase_step(struct load *l, uint64_t now) {
    const struct traffic *t = &l->traffic;
    if (t->phase == WARMUP && now >= l->measure_ns && measure_begin(l, now) < 0) return -1;
    if (t->phase != MEASURE) return 0;
    bool over = l->opt.messages ? t->unsent == 0 && t->inflight == 0
                                : (double)(now - l->begin.ns) >= l->opt.seconds * 1e9;
    return over ? measure_end(l, now) : 0;
}

/* Once a second: a connection on which nothing has moved for STALL_S is given up. */
static int stall_sweep(struct load *l, uint64_t now) {
    if (now - l->swept_ns < NS) return 0;
    l->swept_ns = now;
    for (size_t i = 0; i < l->n_conns; i++) {
        const struct conn *c = &l->conns[i];
        uint64_t due = c->room->sent - c->received;
        if (due > 0 && now > c->last_ns && now - c->last_ns > STALL_S * NS)
            return conn_fail(c,
                             "the server stalled: no byte for %d s, %" PRIu64
                             " messages in flight, %" PRIu64 " received so far",
                             STALL_S, due, c->received);
    }
    return 0;
}

/* At a fixed rate: sends what has become due. */
static int pace_step(struct load *l, uint64_t now) {
    struct traffic *t = &l->traffic;
    while (t->unsent > 0 && pace_next(&t->pace, now)) {
        struct room *room = &l->rooms[(t->pace.due - 1) % l->n_rooms];
        room->due++;
        t->unsent--;
        if (conn_event(t, room->sender, EPOLLOUT) < 0) return -1;
    }
    return 0;
}

static int run(struct load *l) {
    struct traffic *t = &l->traffic;
    bool paced = t->pace.interval_ns > 0;
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns();
    l->measure_ns = now + (uint64_t)(l->opt.warmup * 1e9);
    l->swept_ns = t->pace.start_ns = now;
    t->unsent = UINT64_MAX;
    if (phase_step(l, now) < 0) return -1;
    for (size_t i = 0; i < l->n_conns; i++) {
        l->conns[i].last_ns = now;
        if (conn_event(t, &l->conns[i], EPOLLOUT) < 0) return -1;
    }
    while (t->phase != DRAIN || t->inflight > 0) {
        /* A sleep would end too late: at a fixed rate we keep the CPU busy. */
        int n = epoll_wait(t->epoll, events, EVENTS, paced ? 0 : 50);
        if (n < 0 && errno != EINTR) return fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            if (conn_event(t, events[i].data.ptr, events[i].events) < 0) return -1;
        now = now_ns();
        if (paced && pace_step(l, now) < 0) return -1;
        if (phase_step(l, now) < 0 || stall_sweep(l, now) < 0) return -1;
    }
    return 0;
}

/* Says goodbye and waits a second in all for the servers to hang up, so that they neither log
 * a broken connection nor do this work in somebody else's turn. */
static void conns_close(struct load *l) {
    static const uint8_t bye[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    uint64_t deadline = now_ns() + NS;
    for (size_t i = 0; i < l->n_conns; i++)
        if (send(l->conns[i].fd, bye, sizeof bye, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) deadline = 0;
    for (size_t i = 0; i < l->n_conns; i++) {
        struct pollfd p = {.fd = l->conns[i].fd, .events = POLLIN};
        for (;;) {
            uint64_t now = now_ns();
            int wait = now < deadline ? (int)((deadline - now) / 1000000) : 0;
            if (poll(&p, 1, wait) <= 0 ||
                recv(p.fd, l->traffic.read_buf, READ_CAP, MSG_DONTWAIT) <= 0)
                break;
        }
    }
}

/* ---- the report ---- */

static void report(const struct load *l) {
    struct result result = {.opt = &l->opt,
                            .noun = l->opt.broadcast ? "deliveries" : "messages",
                            .latency = &l->traffic.latency,
                            .late = l->opt.rate > 0 ? &l->traffic.late : NULL,
                            .received = l->traffic.received,
                            .compressed = l->traffic.compressed,
                            .payload = l->traffic.payload,
                            .mismatches = l->traffic.mismatches,
                            .begin = &l->begin,
                            .end = &l->end};
    report_write(&result);
}

/* ---- start and end ---- */

static void files_allow(void) {
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int traffic_init(struct traffic *t, const struct options *o) {
    size_t frames;
    t->opt = o;
    /* All that may be in flight goes out in one write, unless that is a lot; a pong always fits. */
    frames = o->size_max < WRITE_CAP ? o->depth * (o->size_max + FRAME_HEAD_CAP) : WRITE_CAP;
    t->out_cap = min_size(frames + FRAME_HEAD_CAP + CONTROL_CAP, WRITE_CAP);
    if (getrandom(&t->key_rng, sizeof t->key_rng, 0) < 0)
        return fail("getrandom: %s", strerror(errno));
    t->key_rng |= 1;
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (t->epoll < 0) return fail("epoll_create1: %s", strerror(errno));
    t->read_buf = malloc(READ_CAP);
    if (!t->read_buf) return fail("out of memory");
    return messages_init(&t->messages, o);
}

static void traffic_fini(struct traffic *t) {
    if (t->epoll >= 0) close(t->epoll);
    messages_fini(&t->messages);
    free(t->read_buf);
}

static int rooms_init(struct load *l) {
    size_t n = l->opt.broadcast ? 1 : l->opt.connections, members = l->opt.connections / n;
    l->rooms = calloc(n, sizeof *l->rooms);
    if (!l->rooms) return fail("out of memory");
    while (l->n_rooms < n) {
        size_t id = l->n_rooms++;
        if (room_init(&l->rooms[id], id, &l->conns[id], members, l->opt.depth) < 0) return -1;
    }
    return 0;
}

static int load_init(struct load *l) {
    if (traffic_init(&l->traffic, &l->opt) < 0) return -1;
    l->conns = calloc(l->opt.connections, sizeof *l->conns);
    if (!l->conns) return fail("out of memory");
    if (rooms_init(l) < 0) return -1;
    if (l->opt.rate > 0)
        l->traffic.pace = (struct pace){.interval_ns = 1e9 / l->opt.rate, .rooms = l->n_rooms};
    while (l->n_conns < l->opt.connections) {
        size_t id = l->n_conns++;
        struct room *room = &l->rooms[l->opt.broadcast ? 0 : id];
        if (conn_init(&l->traffic, &l->conns[id], id, room) < 0) return -1;
    }
    if (l->opt.broadcast) poll(NULL, 0, JOIN_MS);
    return 0;
}

static void load_free(struct load *l) {
    for (size_t i = 0; i < l->n_conns; i++) conn_fini(&l->conns[i]);
    for (size_t i = 0; i < l->n_rooms; i++) room_fini(&l->rooms[i]);
    free(l->conns);
    free(l->rooms);
    traffic_fini(&l->traffic);
    free(l);
}

static int messages_run(const struct options *o) {
    struct load *l = calloc(1, sizeof *l);
    int status = 1;
    if (!l) return fail("out of memory") < 0;
    l->opt = *o;
    l->traffic.epoll = -1;
    if (load_init(l) == 0 && run(l) == 0) {
        report(l);
        conns_close(l);
        status = l->traffic.mismatches > 0;
    }
    load_free(l);
    return status;
}

int main(int argc, char **argv) {
    struct options o;
    if (options_parse(&o, argc, argv) < 0) {
        options_explain();
        return 2;
    }
    files_allow();
    return o.idle ? idle_run(&o) : o.handshakes ? handshakes_run(&o) : messages_run(&o);
}
