/* loop_embed.c: a loop inside another one: a descriptor to wait for, and what makes it readable.
 * The iteration is that of loop.c. */
#include "loop.h"

int ws_loop_embed(struct ws_loop *l) {
    if (!l->has_poller || l->poller.fd < 0) return WS_ERR_ARGUMENT; /* no begin, or no epoll */
    if (l->timer_fd < 0) {
        l->timer_fd = ws_sock_timer();
        if (l->timer_fd < 0) return WS_ERR_SYSTEM;
        int err = l->poller.ops->add(&l->poller, l->timer_fd, WS_POLL_IN, WS_TIMER_SLOT);
        if (err < 0) return err;
    }
    return l->poller.fd;
}

/* One that is set earlier than need be ends a step too many, and costs no system call now. */
static void set_timer(struct ws_loop *l, uint64_t due_ms) {
    if (l->timer_ms && l->timer_ms <= due_ms) return;
    if (ws_sock_set_timer(l->timer_fd, due_ms) == 0) l->timer_ms = due_ms;
}

void ws_loop_rest(struct ws_loop *l) {
    struct ws_tick *t = &l->tick;
    if (atomic_load_explicit(&l->abandoned, memory_order_relaxed) || l->timer_fd < 0) return;
    ws_loop_flush(l);
    /* Asked by another thread behind the look at the flag, whose wake-up was taken with the rest.
     */
    bool must_stop = atomic_load(&l->stop_asked) && !l->stopping;
    int left_ms = must_stop || l->ready_at < l->ready_n ? 0 : ws_loop_wait_ms(l);
    if (left_ms == 0) ws_wake_signal(&t->wake);
    else if (left_ms > 0) set_timer(l, t->now_ms + (uint64_t)left_ms);
    t->resting = left_ms != 0;
}
