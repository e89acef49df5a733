/* load_handshake.c: clients that connect, send the request, wait for the whole 101, hang up, and
 * begin again. They hang up with a reset (SO_LINGER 0): it leaves nothing in TIME_WAIT, so that the
 * 28,000 ports of the one client address do not run out. It does NOT send a frame. */
#include "load_handshake.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_base.h"
#include "load_dial.h"
#include "load_histogram.h"
#include "load_process.h"
#include "load_report.h"

enum { EVENTS = 512 };

struct caller {
    size_t id;
    int fd; /* -1: it waits for nothing */
    uint64_t began_ns;
    bool asked; /* the request is sent */
    size_t len;
    char text[RESPONSE_CAP + 1];
};

struct handshakes {
    const struct options *opt;
    struct sockaddr_in to;
    int epoll;
    uint64_t rng;
    struct caller *callers; /* owns */
    uint64_t begun, swept_ns;
    bool measuring, done;
    uint64_t made; /* in the measured time */
    struct histogram latency;
    struct reading begin, end;
};

/* ---- a caller ---- */

static int caller_fail(const struct caller *c, const char *what) {
    return fail("connection %zu: %s: %s", c->id, what, strerror(errno));
}

/* On the loopback interface the connection mostly stands when connect() returns, so the request
 * goes out without a wait; else EPOLLOUT comes. */
static int caller_ask(struct handshakes *h, struct caller *c) {
    char request[REQUEST_CAP];
    int n = request_write(request, h->opt, &h->rng);
    if (n < 0) return -1;
    ssize_t k = send(c->fd, request, (size_t)n, MSG_NOSIGNAL);
    if (k < 0 && errno == EAGAIN) return 0;
    if (k != n) return caller_fail(c, "cannot send the handshake");
    c->asked = true;
    return 0;
}

static int caller_begin(struct handshakes *h, struct caller *c) {
    static const struct linger reset = {.l_onoff = 1};
    struct epoll_event ev = {.data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) return caller_fail(c, "socket");
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    h->begun++;
    c->began_ns = now_ns();
    c->asked = false;
    c->len = 0;
    if (connect(c->fd, (const struct sockaddr *)&h->to, sizeof h->to) < 0 && errno != EINPROGRESS)
        return caller_fail(c, "cannot connect");
    if (caller_ask(h, c) < 0) return -1;
    ev.events = c->asked ? EPOLLIN : EPOLLOUT;
    return epoll_ctl(h->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0 ? caller_fail(c, "epoll_ctl") : 0;
}

static void caller_end(struct caller *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

/* Whether another handshake may begin. */
static bool may_begin(const struct handshakes *h) {
    return !h->done && (h->opt->messages == 0 || h->begun < h->opt->messages);
}

static int caller_read(struct handshakes *h, struct caller *c) {
    ssize_t k = recv(c->fd, c->text + c->len, RESPONSE_CAP - c->len, 0);
    if (k < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    if (k < 0) return caller_fail(c, "no whole handshake response");
    if (k == 0) return fail("connection %zu: no whole handshake response: end of data", c->id);
    c->len += (size_t)k;
    c->text[c->len] = '\0';
    int head = response_check(c->text, h->opt, c->id);
    if (head <= 0) return head;
    caller_end(c);
    if (h->measuring) {
        h->made++;
        histogram_add(&h->latency, now_ns() - c->began_ns);
    }
    return may_begin(h) ? caller_begin(h, c) : 0;
}

static int caller_event(struct handshakes *h, struct caller *c) {
    if (c->asked) return caller_read(h, c);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (caller_ask(h, c) < 0) return -1;
    if (!c->asked) return 0;
    return epoll_ctl(h->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0 ? caller_fail(c, "epoll_ctl") : 0;
}

/* ---- the run ---- */

/* Once a second: a handshake that lasts too long ends the run. */
static int stall_sweep(struct handshakes *h, uint64_t now) {
    if (now - h->swept_ns < NS) return 0;
    h->swept_ns = now;
    for (size_t i = 0; i < h->opt->connections; i++) {
        const struct caller *c = &h->callers[i];
        if (c->fd >= 0 && now > c->began_ns && now - c->began_ns > STALL_S * NS)
            return fail("connection %zu: no whole handshake response in %d s", c->id, STALL_S);
    }
    return 0;
}

static int phase_step(struct handshakes *h, uint64_t from, uint64_t now) {
    const struct options *o = h->opt;
    if (!h->measuring && (double)(now - from) >= o->warmup * 1e9) {
        h->measuring = true;
        if (reading_take(o->pid, now, &h->begin) < 0) return -1;
    }
    if (!h->measuring) return 0;
    h->done =
        o->messages ? h->made >= o->messages : (double)(now - h->begin.ns) >= o->seconds * 1e9;
    return h->done ? reading_take(o->pid, now, &h->end) : 0;
}

static int run(struct handshakes *h) {
    struct epoll_event events[EVENTS];
    uint64_t from = now_ns();
    h->swept_ns = from;
    if (phase_step(h, from, from) < 0) return -1;
    for (size_t i = 0; i < h->opt->connections && may_begin(h); i++)
        if (caller_begin(h, &h->callers[i]) < 0) return -1;
    while (!h->done) {
        int n = epoll_wait(h->epoll, events, EVENTS, 50);
        if (n < 0 && errno != EINTR) return fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            if (caller_event(h, events[i].data.ptr) < 0) return -1;
        uint64_t now = now_ns();
        if (phase_step(h, from, now) < 0 || stall_sweep(h, now) < 0) return -1;
    }
    return 0;
}

static int handshakes_init(struct handshakes *h, const struct options *o) {
    h->opt = o;
    h->to = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(o->port), .sin_addr = o->addr};
    if (getrandom(&h->rng, sizeof h->rng, 0) < 0) return fail("getrandom: %s", strerror(errno));
    h->rng |= 1;
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll < 0) return fail("epoll_create1: %s", strerror(errno));
    h->callers = calloc(o->connections, sizeof *h->callers);
    if (!h->callers) return fail("out of memory");
    for (size_t i = 0; i < o->connections; i++) h->callers[i] = (struct caller){.id = i, .fd = -1};
    return 0;
}

int handshakes_run(const struct options *o) {
    struct handshakes *h = calloc(1, sizeof *h);
    int status = 1;
    if (!h) return fail("out of memory") < 0;
    h->epoll = -1;
    if (handshakes_init(h, o) == 0 && run(h) == 0) {
        struct result result = {.opt = o,
                                .noun = "handshakes",
                                .latency = &h->latency,
                                .received = h->made,
                                .begin = &h->begin,
                                .end = &h->end};
        report_write(&result);
        status = 0;
    }
    for (size_t i = 0; h->callers && i < o->connections; i++) caller_end(&h->callers[i]);
    if (h->epoll >= 0) close(h->epoll);
    free(h->callers);
    free(h);
    return status;
}
