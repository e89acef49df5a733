/* poll_poll.c: poll. A dense array for the kernel, what belongs to it in a parallel one, and a
 * table from descriptor to place, so that add, mod and del are O(1); wait is O(descriptors), as
 * poll itself is.
 *
 * Does not notice that a descriptor was closed while watched, except by NVAL. */
#include "poller.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "err.h"

#define FIRST_CAP 64
#define NOT_WATCHED SIZE_MAX

struct state {
    struct pollfd *fds; /* n of cap */
    uint64_t *data;     /* in step with fds */
    size_t n;
    size_t cap;
    size_t start;  /* where the next wait begins to look */
    size_t *place; /* descriptor -> index in fds, or NOT_WATCHED */
    size_t n_place;
};

static int init(struct ws_poller *p) {
    p->state = calloc(1, sizeof(struct state));
    return p->state ? 0 : WS_ERR_MEMORY;
}

static void fini(struct ws_poller *p) {
    struct state *s = p->state;
    free(s->fds);
    free(s->data);
    free(s->place);
    free(s);
    p->state = NULL;
}

/* Room for one more descriptor. */
static int reserve(struct state *s) {
    if (s->n < s->cap) return 0;
    if (s->cap > SIZE_MAX / sizeof *s->fds / 2) return WS_ERR_MEMORY;
    size_t cap = s->cap ? s->cap * 2 : FIRST_CAP;
    struct pollfd *fds = realloc(s->fds, cap * sizeof *fds);
    if (!fds) return WS_ERR_MEMORY;
    s->fds = fds;
    uint64_t *data = realloc(s->data, cap * sizeof *data);
    if (!data) return WS_ERR_MEMORY;
    s->data = data;
    s->cap = cap;
    return 0;
}

/* Makes the table long enough for fd. */
static int reserve_place(struct state *s, size_t fd) {
    if (fd < s->n_place) return 0;
    size_t n = s->n_place ? s->n_place : FIRST_CAP;
    while (n <= fd) {
        if (n > SIZE_MAX / sizeof *s->place / 2) return WS_ERR_MEMORY;
        n *= 2;
    }
    size_t *place = realloc(s->place, n * sizeof *place);
    if (!place) return WS_ERR_MEMORY;
    for (size_t i = s->n_place; i < n; i++) place[i] = NOT_WATCHED;
    s->place = place;
    s->n_place = n;
    return 0;
}

static size_t find(const struct state *s, int fd) {
    return fd >= 0 && (size_t)fd < s->n_place ? s->place[fd] : NOT_WATCHED;
}

static void set(struct state *s, size_t at, int fd, uint32_t events, uint64_t data) {
    s->fds[at] = (struct pollfd){.fd = fd, .events = (short)(events & WS_POLL_WANTED)};
    s->data[at] = data;
}

static int add(struct ws_poller *p, int fd, uint32_t events, uint64_t data) {
    struct state *s = p->state;
    if (fd < 0) return WS_ERR_ARGUMENT;
    size_t at = find(s, fd);
    if (at == NOT_WATCHED) {
        if (reserve(s) < 0 || reserve_place(s, (size_t)fd) < 0) return WS_ERR_MEMORY;
        at = s->n++;
        s->place[fd] = at;
    }
    set(s, at, fd, events, data);
    return 0;
}

static int mod(struct ws_poller *p, int fd, uint32_t events, uint64_t data) {
    struct state *s = p->state;
    size_t at = find(s, fd);
    if (at == NOT_WATCHED) return WS_ERR_ARGUMENT;
    set(s, at, fd, events, data);
    return 0;
}

static bool del(struct ws_poller *p, int fd) {
    struct state *s = p->state;
    size_t at = find(s, fd);
    if (at == NOT_WATCHED) return false;
    s->place[fd] = NOT_WATCHED;
    size_t last = --s->n;
    if (at == last) return true;
    s->fds[at] = s->fds[last];
    s->data[at] = s->data[last];
    s->place[s->fds[at].fd] = at;
    return true;
}

static bool has(struct ws_poller *p, int fd) {
    return find(p->state, fd) != NOT_WATCHED;
}

/* Looks from where the last wait stopped, all the way round: so with more ready than n all get
 * their turn. */
static size_t collect(struct state *s, size_t n_ready, struct ws_poller_ready *ready, size_t n) {
    size_t got = 0, at = s->start < s->n ? s->start : 0;
    if (n > n_ready) n = n_ready;
    for (size_t seen = 0; seen < s->n && got < n; seen++) {
        uint32_t events = (uint32_t)s->fds[at].revents & WS_POLL_ALL;
        if (events) ready[got++] = (struct ws_poller_ready){.data = s->data[at], .events = events};
        if (++at == s->n) at = 0;
    }
    s->start = at;
    return got;
}

static int wait_ready(struct ws_poller *p, struct ws_poller_ready *ready, size_t n,
                      int timeout_ms) {
    struct state *s = p->state;
    if (n == 0) return WS_ERR_ARGUMENT;
    if (n > INT_MAX) n = INT_MAX;
    int n_ready = poll(s->fds, (nfds_t)s->n, timeout_ms < 0 ? -1 : timeout_ms);
    if (n_ready < 0) return errno == EINTR ? 0 : WS_ERR_SYSTEM;
    return (int)collect(s, (size_t)n_ready, ready, n);
}

const struct ws_poller_ops ws_poll_poll_ops = {"poll", init, fini, add, mod, del, has, wait_ready};
