/* poll_epoll.c: epoll, level-triggered. The kernel keeps the table of descriptors and serves the
 * ready ones in turn, so nothing is kept here but a buffer. Empty where there is no epoll. */
#include "poller.h"

#ifdef __linux__

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "err.h"

_Static_assert((int)WS_POLL_IN == (int)EPOLLIN && (int)WS_POLL_PRI == (int)EPOLLPRI &&
                   (int)WS_POLL_OUT == (int)EPOLLOUT && (int)WS_POLL_ERR == (int)EPOLLERR &&
                   (int)WS_POLL_HUP == (int)EPOLLHUP,
               "epoll has other numbers than poll");

#define BATCH 512 /* one wait reports no more than this */

struct state {
    struct epoll_event events[BATCH];
};

static int init(struct ws_poller *p) {
    struct state *s = malloc(sizeof *s);
    if (!s) return WS_ERR_MEMORY;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) {
        int saved = errno;
        free(s);
        errno = saved;
        return WS_ERR_SYSTEM;
    }
    p->state = s;
    p->fd = fd;
    return 0;
}

static void fini(struct ws_poller *p) {
    close(p->fd);
    free(p->state);
    p->state = NULL;
    p->fd = -1;
}

static int control(const struct ws_poller *p, int op, int fd, uint32_t events, uint64_t data) {
    struct epoll_event e = {.events = events & WS_POLL_WANTED, .data.u64 = data};
    return epoll_ctl(p->fd, op, fd, &e);
}

static int add(struct ws_poller *p, int fd, uint32_t events, uint64_t data) {
    if (fd < 0) return WS_ERR_ARGUMENT;
    if (control(p, EPOLL_CTL_ADD, fd, events, data) == 0) return 0;
    if (errno == EEXIST && control(p, EPOLL_CTL_MOD, fd, events, data) == 0) return 0;
    return errno == ENOMEM ? WS_ERR_MEMORY : WS_ERR_SYSTEM;
}

static int mod(struct ws_poller *p, int fd, uint32_t events, uint64_t data) {
    if (control(p, EPOLL_CTL_MOD, fd, events, data) == 0) return 0;
    return errno == ENOENT || errno == EBADF ? WS_ERR_ARGUMENT : WS_ERR_SYSTEM;
}

static bool del(struct ws_poller *p, int fd) {
    /* Linux before 2.6.9 wanted an event here, so one is passed. */
    return control(p, EPOLL_CTL_DEL, fd, 0, 0) == 0;
}

static bool has(struct ws_poller *p, int fd) {
    if (control(p, EPOLL_CTL_ADD, fd, 0, 0) < 0) return errno == EEXIST;
    control(p, EPOLL_CTL_DEL, fd, 0, 0);
    return false;
}

static int wait_ready(struct ws_poller *p, struct ws_poller_ready *ready, size_t n,
                      int timeout_ms) {
    struct state *s = p->state;
    if (n == 0) return WS_ERR_ARGUMENT;
    int got = epoll_wait(p->fd, s->events, n < BATCH ? (int)n : BATCH, timeout_ms);
    if (got < 0) return errno == EINTR ? 0 : WS_ERR_SYSTEM;
    for (int i = 0; i < got; i++) {
        ready[i].data = s->events[i].data.u64;
        ready[i].events = s->events[i].events & WS_POLL_ALL;
    }
    return got;
}

const struct ws_poller_ops ws_poll_epoll_ops = {"epoll", init, fini, add,
                                                mod,     del,  has,  wait_ready};

#endif
