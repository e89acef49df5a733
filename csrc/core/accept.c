/* accept.c: listeners of a loop: taking connections, and turning them away when there is no room.
 */
#include "loop.h"

#include <errno.h>
#include <string.h>

#define ACCEPTS_A_TURN 128
#define FAILURES_MAX 16
#define REST_MS                                                                                    \
    100 /* without descriptors or memory: long enough not to spin, short enough to recover */

/* The poller's data for listener i. */
static uint64_t data_of(int i) {
    return WS_LISTENER_SLOT + (uint32_t)i;
}

int ws_accept_arm(struct ws_loop *l) {
    for (int i = 0; i < l->n_listeners; i++) {
        struct ws_listener *listener = &l->listeners[i];
        if (listener->fd < 0 || listener->armed) continue;
        int err = l->poller.ops->add(&l->poller, listener->fd, WS_POLL_IN, data_of(i));
        if (err < 0) return err;
        listener->armed = true;
    }
    return 0;
}

int ws_accept_move(const struct ws_loop *l, struct ws_poller *to) {
    int err = 0;
    for (int i = 0; err == 0 && i < l->n_listeners; i++) {
        const struct ws_listener *listener = &l->listeners[i];
        if (listener->armed) err = to->ops->add(to, listener->fd, WS_POLL_IN, data_of(i));
    }
    return err;
}

static void disarm(struct ws_loop *l) {
    for (int i = 0; i < l->n_listeners; i++) {
        struct ws_listener *listener = &l->listeners[i];
        if (!listener->armed) continue;
        l->poller.ops->del(&l->poller, listener->fd);
        listener->armed = false;
    }
}

void ws_accept_close(struct ws_loop *l) {
    if (l->has_poller) disarm(l);
    ws_timer_disarm(&l->tick.wheel, &l->accept_timer);
    for (int i = 0; i < l->n_listeners; i++) {
        ws_sock_close(l->listeners[i].fd);
        l->listeners[i].fd = -1;
    }
    if (l->unix_path && l->n_listeners) ws_sock_unlink(l->unix_path, l->unix_dev, l->unix_ino);
    l->n_listeners = 0;
}

/* Answers 503 on a socket that gets no connection, and closes it. What the peer has sent so far is
 * read first, because closing over unread bytes sends a reset, which can overtake the answer. */
static void shed(struct ws_loop *l, int fd, const char *why) {
    char answer[WS_HANDSHAKE_ERROR_MAX], unread[4096];
    struct iovec iov = {.iov_base = answer, .iov_len = ws_handshake_error(answer, 503, why, false)};
    ws_count(&l->tick.counters->shed, 1);
    ws_tick_log(&l->tick, WS_LINE_SHED, WS_LOG_WARNING, "connection refused with 503: %s", why);
    if (ws_sock_writev(fd, &iov, 1) > 0) ws_sock_shutdown(fd);
    for (int i = 0; i < 4 && ws_sock_read(fd, unread, sizeof unread) > 0; i++) continue;
    ws_sock_close(fd);
}

static void rest(struct ws_loop *l) {
    char cause[128];
    ws_tick_log(&l->tick, WS_LINE_SYSTEM, WS_LOG_ERROR, "cannot accept, resting for %d ms: %s",
                REST_MS, strerror_r(errno, cause, sizeof cause));
    disarm(l);
    ws_timer_arm(&l->tick.wheel, &l->accept_timer, l->tick.now_ms, REST_MS);
}

/* No descriptor is left: the spare one makes room for one accept, so that the peer gets an answer
 * instead of silence. Then the listeners rest, because a level-triggered poller would report them
 * again at once. */
static void shed_with_spare(struct ws_loop *l, struct ws_listener *listener) {
    struct ws_address peer;
    int cause = errno;
    if (l->spare_fd >= 0) {
        ws_sock_close(l->spare_fd);
        int fd = ws_sock_accept(listener->fd, &peer);
        if (fd >= 0) shed(l, fd, "the server has no free descriptors");
        l->spare_fd = ws_sock_spare();
    }
    errno = cause;
    rest(l);
}

static void take(struct ws_loop *l, int fd, const struct ws_address *peer) {
    ws_count(&l->tick.counters->accepted, 1);
    if (l->n_conns >= l->max_connections) {
        shed(l, fd, "the server has its maximum of connections (max_connections)");
        return;
    }
    struct ws_conn *c = ws_conn_new(&l->tick, fd, peer);
    int err = c ? ws_loop_add(l, c) : WS_ERR_MEMORY;
    if (err == 0) return;
    if (c) {
        c->fd = -1; /* shed closes it */
        ws_conn_bury(c);
    }
    shed(l, fd,
         err == WS_ERR_LIMIT ? "the select strategy takes no descriptor of this size (FD_SETSIZE)"
                             : "the server has no memory left");
}

void ws_accept_ready(struct ws_loop *l, struct ws_listener *listener) {
    int failures = 0;
    for (int i = 0; i < ACCEPTS_A_TURN && listener->armed; i++) {
        struct ws_address peer;
        int fd = ws_sock_accept(listener->fd, &peer);
        if (fd >= 0) {
            take(l, fd, &peer);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            shed_with_spare(l, listener);
            return;
        }
        /* accept(2): an error of a connection that is gone already is no reason to stop; one that
         * stays is the listener's. */
        if (++failures == FAILURES_MAX) {
            rest(l);
            return;
        }
    }
}
