/* poller.h: one interface for select, poll and epoll. Level-triggered with every strategy.
 *
 * The poller never dereferences `data`; callers put a slot and a generation there, not a pointer,
 * since an event may be reported for a descriptor that was given up in the same tick. */
#ifndef WS_POLLER_H
#define WS_POLLER_H

#include <stddef.h>
#include <stdint.h>

enum ws_poll {
    WS_POLL_IN = 1,
    WS_POLL_OUT = 2,
    /* Reported only: error or hang-up, asked for or not. select cannot tell: it reports IN or OUT,
     * and HUP just for a descriptor that was closed while watched (once; then it asks no more). */
    WS_POLL_HUP = 4,
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
     * if fd is too large for the strategy, WS_ERR_MEMORY, or WS_ERR_SYSTEM. With events 0 it is
     * only kept known: HUP may be reported, nothing else. */
    int (*add)(struct ws_poller *p, int fd, uint32_t events, uint64_t data);
    /* 0, or WS_ERR_ARGUMENT for a descriptor that is not watched. */
    int (*mod)(struct ws_poller *p, int fd, uint32_t events, uint64_t data);
    /* Before the descriptor is closed; an unknown fd is left alone. */
    void (*del)(struct ws_poller *p, int fd);
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

#endif
