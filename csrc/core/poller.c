/* poller.c: chooses a strategy. All the rest is in the strategies' own files. */
#include "poller.h"

#include <errno.h>
#include <sys/stat.h>

#include "err.h"

#define STRATEGIES (WS_STRATEGY_EPOLL + 1)

static const struct ws_poller_ops *const strategies[STRATEGIES] = {
    [WS_STRATEGY_SELECT] = &ws_poll_select_ops,
    [WS_STRATEGY_POLL] = &ws_poll_poll_ops,
#ifdef __linux__
    [WS_STRATEGY_EPOLL] = &ws_poll_epoll_ops,
#endif
};

static int init_with(struct ws_poller *p, enum ws_strategy strategy) {
    *p = (struct ws_poller){.ops = strategies[strategy], .fd = -1};
    if (!p->ops) return WS_ERR_ARGUMENT;
    int err = p->ops->init(p);
    if (err < 0) *p = (struct ws_poller){.fd = -1};
    return err;
}

/* Whether this system has no epoll at all: another kernel, an emulation, a sandbox that forbids the
 * call. An epoll that only failed this time (no memory, no descriptors) is an error: poll in its
 * place would be slow without a word. */
static int lacks_epoll(int err) {
    return err == WS_ERR_ARGUMENT || (err == WS_ERR_SYSTEM && (errno == ENOSYS || errno == EPERM));
}

int ws_poller_init(struct ws_poller *p, enum ws_strategy strategy) {
    if ((unsigned)strategy >= STRATEGIES) return WS_ERR_ARGUMENT;
    if (strategy != WS_STRATEGY_AUTO) return init_with(p, strategy);
    int err = init_with(p, WS_STRATEGY_EPOLL);
    return lacks_epoll(err) ? init_with(p, WS_STRATEGY_POLL) : err;
}

int ws_poller_check(int fd) {
    struct stat status;
    if (fstat(fd, &status) < 0) return WS_ERR_SYSTEM;
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return 0;
    errno = EPERM; /* as epoll says */
    return WS_ERR_SYSTEM;
}

uint32_t ws_poller_look(int fd, uint32_t events) {
    struct pollfd one = {.fd = fd, .events = (short)(events & WS_POLL_WANTED)};
    return poll(&one, 1, 0) > 0 ? (uint32_t)one.revents & WS_POLL_ALL : 0;
}

void ws_poller_fini(struct ws_poller *p) {
    if (p->ops) p->ops->fini(p);
    *p = (struct ws_poller){.fd = -1};
}
