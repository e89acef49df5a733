/* poller.h: one interface for select, poll and epoll. Level-triggered with every strategy.
 *
 * The poller never dereferences `data`; callers put a slot and a generation there, not a pointer,
 * since an event may be reported for a descriptor that was given up in the same tick. */
#ifndef WS_POLLER_H
#define WS_POLLER_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of poll(2), which epoll shares: nothing is translated where the kernel reports. */
enum ws_poll {
    WS_POLL_IN = POLLIN,
    WS_POLL_PRI = POLLPRI,
    WS_POLL_OUT = POLLOUT,
    /* Reported only, asked for or not. select cannot tell the first two: it reports IN or OUT.
     * epoll never reports NVAL: it forgets a descriptor that is closed. select reports it once for
     * one that was closed while watched, and then asks no more; poll each time. */
    WS_POLL_ERR = POLLERR,
    WS_POLL_HUP = POLLHUP,
    WS_POLL_NVAL = POLLNVAL,
    WS_POLL_WANTED = POLLIN | POLLPRI | POLLOUT, /* what may be asked for */
    WS_POLL_BROKEN = POLLERR | POLLHUP | POLLNVAL,
    WS_POLL_ALL = WS_POLL_WANTED | WS_POLL_BROKEN,
};

enum ws_strategy { WS_STRATEGY_AUTO, WS_STRATEGY_SELECT, WS_STRATEGY_POLL, WS_STRATEGY_EPOLL };

struct ws_poller_ready {
    uint64_t data;
    uint32_t events; /* enum ws_poll, or-ed */
};

struct ws_poller;

/* A strategy: one const table in one file. A negative fd is WS_ERR_ARGUMENT. */
struct ws_poller_ops {
    const char *name;
    /* Sets p->state and p->fd. 0, WS_ERR_MEMORY or WS_ERR_SYSTEM. */
    int (*init)(struct ws_poller *p);
    /* Closes what it owns, watches nothing. */
    void (*fini)(struct ws_poller *p);
    /* Watches fd; one that is watched already is changed (its number was reused). 0, WS_ERR_LIMIT
     * if fd is too large for the strategy, WS_ERR_MEMORY, or WS_ERR_SYSTEM (epoll: EPERM for a
     * regular file, EBADF). With events 0 it is only kept known: of what is broken it may be told,
     * of nothing else. */
    int (*add)(struct ws_poller *p, int fd, uint32_t events, uint64_t data);
    /* 0, or WS_ERR_ARGUMENT for a descriptor that is not watched. */
    int (*mod)(struct ws_poller *p, int fd, uint32_t events, uint64_t data);
    /* Before the descriptor is closed. False: it was not watched, or is closed. Then epoll may go
     * on reporting it, if another process or a dup(2) still has the file, and only an epoll made
     * anew does not. */
    bool (*del)(struct ws_poller *p, int fd);
    /* Whether it is watched. */
    bool (*has)(struct ws_poller *p, int fd);
    /* Waits up to timeout_ms (negative: for ever) and fills at most n entries, n > 0. Returns their
     * number, 0 on time-out or EINTR, or WS_ERR_SYSTEM. What did not fit is reported by the next
     * waits, before what was reported already. */
    int (*wait)(struct ws_poller *p, struct ws_poller_ready *ready, size_t n, int timeout_ms);
};

struct ws_poller {
    const struct ws_poller_ops *ops;
    void *state; /* owned by the strategy */
    int fd;      /* the epoll descriptor, -1 with the others */
};

extern const struct ws_poller_ops ws_poll_select_ops;
extern const struct ws_poller_ops ws_poll_poll_ops;
extern const struct ws_poller_ops ws_poll_epoll_ops; /* Linux only */

/* Makes a poller; AUTO is epoll, else poll. 0 or the strategy's error (then nothing is left to
 * fini). WS_ERR_ARGUMENT: a strategy this system does not have. */
int ws_poller_init(struct ws_poller *p, enum ws_strategy strategy);
void ws_poller_fini(struct ws_poller *p);
/* Whether a descriptor is one that can be waited for: 0, or WS_ERR_SYSTEM with EBADF if it is not
 * open, EPERM for a regular file or a directory, which is always ready. */
int ws_poller_check(int fd);
/* What poll(2) says of one descriptor now, enum ws_poll or-ed: for select, which tells less. */
uint32_t ws_poller_look(int fd, uint32_t events);

#endif
