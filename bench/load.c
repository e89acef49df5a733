/* load.c: a load generator for WebSocket echo servers (Linux, libc only, one thread, epoll).
 *
 * It opens N connections, keeps D messages in flight on each, and compares every byte that comes
 * back with what was sent. What it sends is never stored: message k of a connection is a slice of
 * one pool of random bytes, chosen by the connection's own generator, and a second generator with
 * the same seed says what the k-th answer has to be. So a lost, doubled, swapped or damaged answer
 * shows, at the price of one memcmp.
 *
 * It does NOT speak TLS or compression, resolve names, verify Sec-WebSocket-Accept, or send
 * at a fixed rate: the loop is closed, so its latencies are those of a server as busy as D allows.
 *
 * This file has the run and its report; load_conn.c sends, load_answer.c checks.
 *
 * Exit status: 0 all answers right, 1 a wrong answer or a failed run, 2 wrong usage.
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
#include "load_process.h"

enum {
    WRITE_CAP = 128 * 1024, /* bytes one connection prepares ahead of its socket */
    EVENTS = 512,
};

/* At the beginning or the end of the measured time. */
struct reading {
    uint64_t ns;
    struct usage server;
    double own;
};

struct load {
    struct options opt;
    struct traffic traffic;
    struct conn *conns; /* owns */
    size_t n_conns;
    uint64_t measure_ns, swept_ns;
    struct reading begin, end;
};

/* ---- the run ---- */

static int reading_take(const struct load *l, struct reading *r, uint64_t now) {
    r->ns = now;
    r->own = process_own_seconds();
    return l->opt.pid ? process_usage(l->opt.pid, &r->server) : 0;
}

static int measure_begin(struct load *l, uint64_t now) {
    struct traffic *t = &l->traffic;
    t->phase = MEASURE;
    if (l->opt.messages)
        t->unsent = l->opt.messages > t->inflight ? l->opt.messages - t->inflight : 0;
    return reading_take(l, &l->begin, now);
}

static int measure_end(struct load *l, uint64_t now) {
    l->traffic.phase = DRAIN;
    l->traffic.unsent = 0;
    return reading_take(l, &l->end, now);
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
        if (c->inflight > 0 && now > c->last_ns && now - c->last_ns > STALL_S * NS)
            return conn_fail(c,
                             "the server stalled: no byte for %d s, %zu messages in flight, "
                             "%" PRIu64 " answers so far",
                             STALL_S, c->inflight, c->answers);
    }
    return 0;
}

static int run(struct load *l) {
    struct traffic *t = &l->traffic;
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns();
    l->measure_ns = now + (uint64_t)(l->opt.warmup * 1e9);
    l->swept_ns = now;
    t->unsent = UINT64_MAX;
    if (phase_step(l, now) < 0) return -1;
    for (size_t i = 0; i < l->n_conns; i++) {
        l->conns[i].last_ns = now;
        if (conn_event(t, &l->conns[i], EPOLLOUT) < 0) return -1;
    }
    while (t->phase != DRAIN || t->inflight > 0) {
        int n = epoll_wait(t->epoll, events, EVENTS, 50);
        if (n < 0 && errno != EINTR) return fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            if (conn_event(t, events[i].data.ptr, events[i].events) < 0) return -1;
        now = now_ns();
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

/* What the server's CPU did between the readings. The parts of user and system are measured in
 * coarse ticks; here they divide the exact total, so that they add up to it. */
static struct usage server_usage(const struct load *l) {
    const struct usage *from = &l->begin.server, *to = &l->end.server;
    double user = to->user - from->user, system = to->system - from->system;
    double total = to->total - from->total, ticks = user + system;
    if (ticks > 0) {
        user *= total / ticks;
        system *= total / ticks;
    }
    return (struct usage){user, system, total};
}

static void report_json(const struct load *l, double seconds, double own) {
    const struct options *o = &l->opt;
    const struct histogram *h = &l->traffic.latency;
    struct usage cpu = server_usage(l);
    double n = (double)h->n;
    printf("{\"connections\": %zu, \"depth\": %zu, \"size_min\": %zu, \"size_max\": %zu, "
           "\"opcode\": \"%s\", \"seconds\": %.6f, \"messages\": %" PRIu64 ", "
           "\"messages_per_second\": %.1f, \"mismatches\": %" PRIu64 ", ",
           o->connections, o->depth, o->size_min, o->size_max,
           o->opcode == OP_TEXT ? "text" : "binary", seconds, h->n, n / seconds,
           l->traffic.mismatches);
    printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           histogram_quantile_us(h, 0.50), histogram_quantile_us(h, 0.90),
           histogram_quantile_us(h, 0.99), (double)h->max_ns / 1e3);
    if (o->pid)
        printf("\"server_user_s\": %.6f, \"server_system_s\": %.6f, \"server_cpu_s\": %.6f, ",
               cpu.user, cpu.system, cpu.total);
    if (o->pid && h->n > 0)
        printf("\"server_user_us_per_message\": %.3f, \"server_system_us_per_message\": %.3f, ",
               cpu.user * 1e6 / n, cpu.system * 1e6 / n);
    if (o->pid && cpu.total > 0) printf("\"messages_per_cpu_second\": %.1f, ", n / cpu.total);
    printf("\"load_cpu\": %.4f}\n", own);
}

static void report_text(const struct load *l, double seconds, double own) {
    const struct histogram *h = &l->traffic.latency;
    struct usage cpu = server_usage(l);
    double n = (double)h->n;
    printf("messages     %" PRIu64 " in %.3f s\n", h->n, seconds);
    printf("messages/s   %.0f\n", n / seconds);
    printf("latency us   p50 %.1f  p90 %.1f  p99 %.1f  max %.1f\n", histogram_quantile_us(h, 0.50),
           histogram_quantile_us(h, 0.90), histogram_quantile_us(h, 0.99), (double)h->max_ns / 1e3);
    if (l->opt.pid)
        printf("server CPU   %.3f s (user %.2f, system %.2f), %.0f %%\n", cpu.total, cpu.user,
               cpu.system, 100 * cpu.total / seconds);
    if (l->opt.pid && h->n > 0)
        printf("  a message  %.2f us (user %.2f, system %.2f)\n", cpu.total * 1e6 / n,
               cpu.user * 1e6 / n, cpu.system * 1e6 / n);
    if (l->opt.pid && cpu.total > 0)
        printf("messages per server-CPU-second  %.0f\n", n / cpu.total);
    printf("load CPU     %.0f %%%s\n", 100 * own,
           own > 0.9 ? "  (the load generator is the bottleneck)" : "");
    printf("mismatches   %" PRIu64 "\n", l->traffic.mismatches);
}

static void report(const struct load *l) {
    double seconds = (double)(l->end.ns - l->begin.ns) / 1e9;
    if (seconds <= 0) seconds = 1e-9;
    double own = (l->end.own - l->begin.own) / seconds;
    (l->opt.json ? report_json : report_text)(l, seconds, own);
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
    return messages_init(&t->messages, o->size_min, o->size_max, o->opcode == OP_TEXT);
}

static void traffic_fini(struct traffic *t) {
    if (t->epoll >= 0) close(t->epoll);
    messages_fini(&t->messages);
    free(t->read_buf);
}

static int load_init(struct load *l) {
    files_allow();
    if (traffic_init(&l->traffic, &l->opt) < 0) return -1;
    l->conns = calloc(l->opt.connections, sizeof *l->conns);
    if (!l->conns) return fail("out of memory");
    while (l->n_conns < l->opt.connections) {
        size_t id = l->n_conns++;
        if (conn_init(&l->traffic, &l->conns[id], id) < 0) return -1;
    }
    return 0;
}

static void load_free(struct load *l) {
    for (size_t i = 0; i < l->n_conns; i++) conn_fini(&l->conns[i]);
    free(l->conns);
    traffic_fini(&l->traffic);
    free(l);
}

int main(int argc, char **argv) {
    struct load *l = calloc(1, sizeof *l);
    int status = 1;
    if (!l) {
        fail("out of memory");
        return status;
    }
    l->traffic.epoll = -1;
    if (options_parse(&l->opt, argc, argv) < 0) {
        options_explain();
        status = 2;
    } else if (load_init(l) == 0 && run(l) == 0) {
        report(l);
        conns_close(l);
        status = l->traffic.mismatches > 0;
    }
    load_free(l);
    return status;
}
