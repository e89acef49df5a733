/* poll_select.c: select. Everything is indexed by descriptor, in arrays of FD_SETSIZE.
 *
 * A descriptor of FD_SETSIZE or more never gets near an fd_set: FD_SET would write past its end.
 * select cannot tell an error or a hang-up from readiness, so neither is reported. */
#include "poller.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/select.h>

#include "err.h"

struct state {
    fd_set in;
    fd_set out;
    fd_set pri;
    int n_pri; /* descriptors in it: mostly none, and the kernel is not asked for it */
    uint64_t data[FD_SETSIZE];
    bool watched[FD_SETSIZE];
    int end;   /* above every watched descriptor */
    int start; /* where the next wait begins to look */
};

static int init(struct ws_poller *p) {
    struct state *s = calloc(1, sizeof *s);
    if (!s) return WS_ERR_MEMORY;
    FD_ZERO(&s->in);
    FD_ZERO(&s->out);
    FD_ZERO(&s->pri);
    p->state = s;
    return 0;
}

static void fini(struct ws_poller *p) {
    free(p->state);
    p->state = NULL;
}

static bool is_watched(const struct state *s, int fd) {
    return fd >= 0 && fd < FD_SETSIZE && s->watched[fd];
}

static void want(struct state *s, int fd, uint32_t events) {
    if (events & WS_POLL_IN) FD_SET(fd, &s->in);
    else FD_CLR(fd, &s->in);
    if (events & WS_POLL_OUT) FD_SET(fd, &s->out);
    else FD_CLR(fd, &s->out);
    if (FD_ISSET(fd, &s->pri)) s->n_pri--;
    FD_CLR(fd, &s->pri);
    if (!(events & WS_POLL_PRI)) return;
    FD_SET(fd, &s->pri);
    s->n_pri++;
}

static int add(struct ws_poller *p, int fd, uint32_t events, uint64_t data) {
    struct state *s = p->state;
    if (fd < 0) return WS_ERR_ARGUMENT;
    if (fd >= FD_SETSIZE) return WS_ERR_LIMIT;
    want(s, fd, events);
    s->data[fd] = data;
    s->watched[fd] = true;
    if (s->end <= fd) s->end = fd + 1;
    return 0;
}

static int mod(struct ws_poller *p, int fd, uint32_t events, uint64_t data) {
    struct state *s = p->state;
    if (!is_watched(s, fd)) return WS_ERR_ARGUMENT;
    want(s, fd, events);
    s->data[fd] = data;
    return 0;
}

static bool del(struct ws_poller *p, int fd) {
    struct state *s = p->state;
    if (!is_watched(s, fd)) return false;
    want(s, fd, 0);
    s->watched[fd] = false;
    while (s->end > 0 && !s->watched[s->end - 1]) s->end--;
    return true;
}

static bool has(struct ws_poller *p, int fd) {
    return is_watched(p->state, fd);
}

/* Looks from where the last wait stopped, all the way round: so with more ready than n all get
 * their turn. */
static size_t collect(struct state *s, const fd_set *in, const fd_set *out, const fd_set *pri,
                      struct ws_poller_ready *ready, size_t n) {
    size_t got = 0;
    int fd = s->start < s->end ? s->start : 0;
    for (int seen = 0; seen < s->end && got < n; seen++) {
        uint32_t events = FD_ISSET(fd, in) ? WS_POLL_IN : 0;
        if (FD_ISSET(fd, out)) events |= WS_POLL_OUT;
        if (pri && FD_ISSET(fd, pri)) events |= WS_POLL_PRI;
        if (events) ready[got++] = (struct ws_poller_ready){.data = s->data[fd], .events = events};
        if (++fd == s->end) fd = 0;
    }
    s->start = fd;
    return got;
}

/* EBADF: somebody closed watched descriptors, and select says not which, nor anything of the
 * others. Reports them and asks for them no more, or every wait from now on would end here and the
 * others would never be served. */
static size_t collect_closed(struct state *s, struct ws_poller_ready *ready, size_t n) {
    size_t got = 0;
    for (int fd = 0; fd < s->end && got < n; fd++) {
        if (!FD_ISSET(fd, &s->in) && !FD_ISSET(fd, &s->out) && !FD_ISSET(fd, &s->pri)) continue;
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
        ready[got++] = (struct ws_poller_ready){.data = s->data[fd], .events = WS_POLL_NVAL};
        want(s, fd, 0);
    }
    return got;
}

static int wait_ready(struct ws_poller *p, struct ws_poller_ready *ready, size_t n,
                      int timeout_ms) {
    struct state *s = p->state;
    if (n == 0) return WS_ERR_ARGUMENT;
    fd_set in = s->in, out = s->out, pri, *with_pri = s->n_pri ? &pri : NULL;
    if (with_pri) pri = s->pri;
    struct timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int n_ready = select(s->end, &in, &out, with_pri, timeout_ms < 0 ? NULL : &timeout);
    if (n_ready < 0 && errno == EBADF) return (int)collect_closed(s, ready, n);
    if (n_ready < 0) return errno == EINTR ? 0 : WS_ERR_SYSTEM;
    /* n_ready counts bits, not descriptors: no end to stop the search at, only 0 is of use. */
    return n_ready == 0 ? 0 : (int)collect(s, &in, &out, with_pri, ready, n);
}

const struct ws_poller_ops ws_poll_select_ops = {"select", init, fini, add,
                                                 mod,      del,  has,  wait_ready};
