/* loop.c: the iteration. flush, wait, read and parse here; dispatch.c calls the handlers. See ws.h
 * for the order. Inside another loop: loop_embed.c; how it ends: loop_end.c. */
#include "loop.h"

#include "call.h"
#include "guest.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>

#define WAKE_SLOT 0xFFFFFFFFu
#define WATCH_SLOT 0xFFFFFFFEu
#define NO_SLOT 0x7FFFFFFFu
#define UNWATCHED WS_POLL_ERR /* as a connection's interest: the poller does not have it */
#define SELECT_RESERVE 32     /* descriptors below FD_SETSIZE that are not connections */

/* ---- life ---- */

/* Names of topics come from peers: none shall know where they fall. */
static struct ws_siphash_key random_key(void) {
    struct ws_siphash_key key;
    if (getrandom(&key, sizeof key, GRND_NONBLOCK) != (ssize_t)sizeof key)
        key = (struct ws_siphash_key){ws_tick_read_ns(), (uintptr_t)&key};
    return key;
}

void ws_loop_init(struct ws_loop *l) {
    l->free_slot = NO_SLOT;
    l->spare_fd = l->watch_fd = l->timer_fd = -1;
    l->tick.wake.read_fd = l->tick.wake.write_fd = -1;
    l->tick.abandoned = &l->abandoned;
    ws_mailbox_init(&l->tick.mailbox);
    pthread_mutex_init(&l->tick.topics_lock, NULL);
    ws_topics_init(&l->tick.topics, random_key());
}

/* One descriptor a connection: 90 % of what the process may have, unless the user says otherwise.
 */
static uint32_t connections_limit(const struct ws_options *o, bool is_select) {
    struct rlimit limit;
    uint64_t n = o->max_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        if (limit.rlim_cur != limit.rlim_max) {
            rlim_t soft = limit.rlim_cur;
            limit.rlim_cur = limit.rlim_max;
            if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = soft;
        }
        if (!n)
            n = limit.rlim_cur == RLIM_INFINITY ? UINT32_MAX / 2
                                                : (uint64_t)limit.rlim_cur / 10 * 9;
    } else if (!n) {
        n = 1024;
    }
    if (is_select && n > FD_SETSIZE - SELECT_RESERVE) n = FD_SETSIZE - SELECT_RESERVE;
    return n > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)n;
}

static int begin(struct ws_loop *l) {
    struct ws_tick *t = &l->tick;
    int err = ws_tick_init(t);
    if (err < 0) return err;
    if ((err = ws_wake_init(&t->wake)) < 0) return err;
    if ((err = ws_poller_init(&l->poller, t->options->strategy)) < 0) return err;
    l->has_poller = true;
    l->max_connections = connections_limit(t->options, l->poller.ops == &ws_poll_select_ops);
    if ((err = l->poller.ops->add(&l->poller, t->wake.read_fd, WS_POLL_IN, WAKE_SLOT)) < 0)
        return err;
    for (int i = 0; i < l->n_listeners; i++) {
        if ((err = ws_sock_listen(l->listeners[i].fd, l->listen_backlog)) < 0) return err;
        ws_sock_set_user_timeout(l->listeners[i].fd, t->options->stall_timeout_ms);
    }
    if ((err = ws_accept_arm(l)) < 0) return err;
    l->spare_fd = ws_sock_spare();
    return 0;
}

int ws_loop_begin(struct ws_loop *l, char why[256]) {
    if (atomic_load(&l->begun)) {
        snprintf(why, 256, "a server runs once");
        return WS_ERR_ARGUMENT;
    }
    atomic_store(&l->tick.owner, (uintptr_t)pthread_self());
    int err = begin(l);
    if (err < 0) {
        char cause[128];
        const char *text =
            err == WS_ERR_SYSTEM ? strerror_r(errno, cause, sizeof cause) : ws_err_text(err);
        snprintf(why, 256, "cannot start the loop: %s", text);
        return err;
    }
    atomic_store(&l->begun, true); /* from here on stop() wakes it */
    ws_wake_signal(&l->tick.wake); /* calls may wait in the mailbox already */
    return 0;
}

const char *ws_loop_strategy(const struct ws_loop *l) {
    return l->has_poller ? l->poller.ops->name : "";
}

bool ws_loop_is_owner(const struct ws_loop *l) {
    return ws_tick_is_owner(&l->tick);
}

int ws_loop_watch(struct ws_loop *l, int fd) {
    if (l->watch_fd >= 0) l->poller.ops->del(&l->poller, l->watch_fd);
    l->watch_fd = -1;
    if (fd < 0) return 0;
    int err = l->poller.ops->add(&l->poller, fd, WS_POLL_IN, WATCH_SLOT);
    if (err == 0) l->watch_fd = fd;
    return err;
}

/* ---- slots ---- */

static uint64_t data_of(const struct ws_conn *c) {
    return c->node.id << 32 | c->slot;
}

static struct ws_slot free_slot(uint32_t next) {
    return (struct ws_slot){(uintptr_t)next << 1 | 1};
}

static uint32_t next_free_slot(struct ws_slot slot) {
    return (uint32_t)(slot.at >> 1);
}

static int grow_slots(struct ws_loop *l) {
    if (l->n_slots >= NO_SLOT / 2) return WS_ERR_LIMIT;
    uint32_t n = l->n_slots ? l->n_slots * 2 : 64;
    struct ws_slot *slots = malloc(n * sizeof *slots), *old = l->slots;
    if (!slots) return WS_ERR_MEMORY;
    if (old) memcpy(slots, old, l->n_slots * sizeof *slots);
    for (uint32_t i = l->n_slots; i < n; i++) slots[i] = free_slot(i + 1 < n ? i + 1 : NO_SLOT);
    /* In this order: a child that another thread forks meanwhile finds an array that is whole. */
    atomic_signal_fence(memory_order_seq_cst);
    l->slots = slots;
    atomic_signal_fence(memory_order_seq_cst);
    l->free_slot = l->n_slots;
    l->n_slots = n;
    free(old);
    return 0;
}

int ws_loop_add(struct ws_loop *l, struct ws_conn *c) {
    if (l->free_slot == NO_SLOT) {
        int err = grow_slots(l);
        if (err < 0) return err;
    }
    struct ws_slot *slot = &l->slots[l->free_slot];
    c->slot = l->free_slot;
    if (l->n_guests) ws_guest_lose(l, c->fd);
    int err = l->poller.ops->add(&l->poller, c->fd, WS_POLL_IN, data_of(c));
    if (err < 0) return err;
    l->free_slot = next_free_slot(*slot);
    slot->at = (uintptr_t)c;
    c->interest = WS_POLL_IN;
    l->n_conns++;
    return 0;
}

static int move_all(struct ws_loop *l, struct ws_poller *to) {
    int err = to->ops->add(to, l->tick.wake.read_fd, WS_POLL_IN, WAKE_SLOT);
    if (err == 0 && l->watch_fd >= 0) err = to->ops->add(to, l->watch_fd, WS_POLL_IN, WATCH_SLOT);
    for (uint32_t i = 0; err == 0 && i < l->n_slots; i++) {
        struct ws_conn *c = ws_loop_conn_at(l, i);
        if (c && c->interest != UNWATCHED) err = to->ops->add(to, c->fd, c->interest, data_of(c));
    }
    if (err == 0) err = ws_accept_move(l, to);
    return err < 0 ? err : ws_guest_move(l, to);
}

/* Without memory or descriptors for it the old one stays: the next event of a ghost tries again. */
void ws_loop_renew_poller(struct ws_loop *l) {
    struct ws_poller fresh;
    if (l->timer_fd >= 0) return; /* another loop waits for this one's descriptor */
    if (ws_poller_init(&fresh, l->tick.options->strategy) < 0) return;
    if (move_all(l, &fresh) == 0) {
        struct ws_poller old = l->poller;
        l->poller = fresh;
        l->is_haunted = false;
        fresh = old;
    }
    ws_poller_fini(&fresh);
}

static struct ws_conn *conn_of(const struct ws_loop *l, uint64_t data) {
    uint32_t i = (uint32_t)data;
    struct ws_conn *c = i < l->n_slots ? ws_loop_conn_at(l, i) : NULL;
    return c && data_of(c) == data ? c : NULL;
}

static void remove_conn(struct ws_loop *l, struct ws_conn *c) {
    /* Before the descriptor is closed: its number may be used again at once. */
    if (c->interest != UNWATCHED) l->poller.ops->del(&l->poller, c->fd);
    l->slots[c->slot] = free_slot(l->free_slot);
    l->free_slot = c->slot;
    l->n_conns--;
    ws_conn_bury(c);
}

/* ---- flush ---- */

static int watch(struct ws_loop *l, struct ws_conn *c, uint32_t events) {
    const struct ws_poller_ops *ops = l->poller.ops;
    if (events == UNWATCHED) {
        ops->del(&l->poller, c->fd);
        return 0;
    }
    if (c->interest == UNWATCHED) return ops->add(&l->poller, c->fd, events, data_of(c));
    return ops->mod(&l->poller, c->fd, events, data_of(c));
}

static void watch_conn(struct ws_loop *l, struct ws_conn *c) {
    uint32_t events = ws_conn_interest(c);
    /* The lane is taken up in this tick, and until then nothing is read: it is not worth telling
     * the poller twice. */
    if (c->marks & WS_CONN_READY && ws_conn_lane(c)) events |= c->interest & WS_POLL_IN;
    /* That it is broken would be told in each wait, until a handler is done that may take long. */
    if (!events && c->broken && c->busy) events = UNWATCHED;
    if (c->state == WS_CONN_DEAD || events == c->interest) return;
    if (watch(l, c, events) < 0) ws_conn_gone(c, WS_CLOSE_RESET);
    else c->interest = events & 15u;
    ws_conn_hold(c, !(events & WS_POLL_IN));
}

void ws_loop_flush(struct ws_loop *l) {
    struct ws_conn *c = l->tick.touched;
    l->tick.touched = NULL;
    while (c) {
        struct ws_conn *next = c->next_touched;
        c->is_touched = false;
        ws_conn_flush(c);
        watch_conn(l, c);
        c = next;
    }
    l->tick.out.used = 0;
}

/* ---- marks ---- */

/* Takes that mark off all that have it, and acts on each. */
static void act_on_marked(struct ws_loop *l, enum ws_conn_mark mark,
                          void (*act)(struct ws_loop *l, struct ws_conn *c)) {
    struct ws_conn *c = l->tick.marked;
    l->tick.marked = NULL;
    while (c) {
        struct ws_conn *next = c->next_marked;
        uint8_t marks = c->marks;
        c->marks = 0;
        ws_conn_mark(c, marks & (uint8_t)~mark);
        if (marks & mark) act(l, c);
        c = next;
    }
}

/* The tick's end: the dead leave the poller, and their descriptors are closed. One that still
 * stands in a list waits for the next. */
static void bury(struct ws_loop *l, struct ws_conn *c) {
    if (c->is_touched || c->marks) ws_conn_mark(c, WS_CONN_GIVEN_UP);
    else remove_conn(l, c);
}

/* ---- wait ---- */

int ws_loop_wait_ms(const struct ws_loop *l) {
    const struct ws_tick *t = &l->tick;
    if (t->batch.n || t->touched || t->marked || t->released.bytes > WS_TICK_RELEASE_MAX) return 0;
    int wheel_ms = ws_timer_wheel_wait_ms(&t->wheel, t->now_ms), call_ms = ws_call_wait_ms(t);
    if (wheel_ms < 0 || call_ms < 0) return wheel_ms < 0 ? call_ms : wheel_ms;
    return wheel_ms < call_ms ? wheel_ms : call_ms;
}

static void wait_ready(struct ws_loop *l, bool may_wait) {
    ws_tick_read_clock(&l->tick); /* handlers may have run for long since the last look */
    l->ready_at = 0;
    l->ready_n = l->poller.ops->wait(&l->poller, l->ready, WS_LOOP_READY_MAX,
                                     may_wait ? ws_loop_wait_ms(l) : 0);
    ws_tick_read_clock(&l->tick);
    if (l->ready_n < 0) { /* no memory in the kernel, say: try again, but do not spin */
        l->ready_n = 0;
        ws_tick_log(&l->tick, WS_LINE_SYSTEM, WS_LOG_ERROR,
                    "waiting for sockets failed; trying again");
        poll(NULL, 0, 10);
    }
}

/* ---- read ---- */

static void apply(struct ws_loop *l, struct ws_mail *mail) {
    switch ((enum ws_mail_kind)mail->kind) {
    case WS_MAIL_SEND:
    case WS_MAIL_PING:
    case WS_MAIL_DONE:
    case WS_MAIL_DRAIN:
    case WS_MAIL_CLOSE:
        ws_conn_apply(mail->conn, mail);
        ws_conn_unref(mail->conn);
        break;
    case WS_MAIL_PUBLISH: ws_publish_apply(l, mail); break;
    case WS_MAIL_CALL:
    case WS_MAIL_CANCEL: ws_call_apply(l, mail); break;
    case WS_MAIL_REGISTER:
    case WS_MAIL_UNREGISTER: ws_guest_apply(l, mail); break;
    }
}

/* Messages that other threads could not post are counted there, and told here. */
static void tell_lost(struct ws_loop *l) {
    uint64_t lost = atomic_load_explicit(&l->tick.counters->lost_published, memory_order_relaxed);
    if (lost == l->told_lost) return;
    ws_tick_log(
        &l->tick, WS_LINE_PUBLISH, WS_LOG_WARNING,
        "%llu messages that other threads published were dropped: the loop does not keep up",
        (unsigned long long)(lost - l->told_lost));
    l->told_lost = lost;
}

void ws_loop_take_mail(struct ws_loop *l) {
    struct ws_mail *mail = ws_mailbox_take(&l->tick.mailbox);
    while (mail) {
        struct ws_mail *next = mail->next;
        apply(l, mail);
        free(mail);
        mail = next;
    }
    tell_lost(l);
}

static void resume(struct ws_loop *l, struct ws_conn *c) {
    (void)l;
    if (c->state != WS_CONN_DEAD) ws_conn_resume(c);
}

static void serve_conn(struct ws_conn *c, uint32_t events) {
    if (c->state == WS_CONN_DEAD) return;
    if (events & (WS_POLL_OUT | WS_POLL_BROKEN)) ws_conn_touch(c);
    if (events & WS_POLL_BROKEN && c->state == WS_CONN_ANSWERING) ws_conn_die(c);
    else if (events & WS_POLL_BROKEN && !(ws_conn_interest(c) & WS_POLL_IN)) ws_conn_hangup(c);
    else if (events & (WS_POLL_IN | WS_POLL_BROKEN)) ws_conn_read(c);
}

static void serve_one(struct ws_loop *l, const struct ws_poller_ready *r) {
    uint32_t slot = (uint32_t)r->data;
    if (slot < WS_GUEST_SLOT) {
        struct ws_conn *c = conn_of(l, r->data);
        if (c) serve_conn(c, r->events);
    } else if (slot < WS_LISTENER_SLOT) {
        ws_guest_ready(l, r);
    } else if (slot == WAKE_SLOT) {
        /* In this order: mail posted after the take finds the mailbox empty and signals anew. */
        ws_wake_drain(l->tick.wake.read_fd);
        ws_loop_take_mail(l);
    } else if (slot == WS_TIMER_SLOT) {
        ws_wake_drain(l->timer_fd);
        l->timer_ms = 0;
    } else if (slot == WATCH_SLOT) {
        /* Readable with nothing to read is its end, and would be readable for ever. */
        if (!ws_wake_drain(l->watch_fd)) ws_loop_watch(l, -1);
        l->watch_told = true;
    } else if ((int)(slot - WS_LISTENER_SLOT) < l->n_listeners) {
        ws_accept_ready(l, &l->listeners[slot - WS_LISTENER_SLOT]);
    }
}

static bool has_room(const struct ws_tick *t) {
    return t->in.cap - t->in.used >= WS_TICK_READ_MAX && t->batch.n < WS_TICK_EVENTS_MAX &&
           t->inflated < WS_TICK_INFLATED_MAX;
}

/* All sockets of one wait are served before the next wait; when the arena or the batch is full the
 * handlers go first. */
static void serve(struct ws_loop *l) {
    const struct ws_tick *t = &l->tick;
    while (l->ready_at < l->ready_n) {
        if (!has_room(t)) return;
        serve_one(l, &l->ready[l->ready_at++]);
    }
}

/* ---- time ---- */

static void on_due(void *ctx, struct ws_timer *timer) {
    struct ws_loop *l = ctx;
    if (timer == &l->accept_timer) {
        if (ws_accept_arm(l) < 0) ws_timer_arm(&l->tick.wheel, timer, l->tick.now_ms, 1000);
    } else if (timer == &l->shutdown_timer) {
        ws_loop_cut_conns(l);
    } else if (timer == &l->deflate_timer) {
        ws_deflate_pool_sweep(&l->tick.deflate);
    } else {
        ws_conn_mark((struct ws_conn *)(void *)((char *)timer - offsetof(struct ws_conn, timer)),
                     WS_CONN_OVERDUE);
    }
}

/* Gives up who was overdue before this read pass, then marks who is overdue now. Each is read once
 * more first, since one wait tells of so many descriptors only: a handler that blocked the loop
 * does not kill peers whose bytes were waiting all along. */
static void expire_conn(struct ws_loop *l, struct ws_conn *c) {
    if (!has_room(&l->tick)) {
        ws_conn_mark(c, WS_CONN_OVERDUE); /* the handlers go first */
        return;
    }
    bool was_full = ws_conn_is_due(c) && ws_conn_read(c);
    ws_conn_expire(c, was_full);
}

static void expire(struct ws_loop *l) {
    act_on_marked(l, WS_CONN_OVERDUE, expire_conn);
    ws_timer_wheel_advance(&l->tick.wheel, l->tick.now_ms, on_due, l);
    ws_call_expire(&l->tick);
}

/* Peers that have codecs of their own do not keep them for ever. */
static void arm_sweep(struct ws_loop *l) {
    struct ws_tick *t = &l->tick;
    if (t->deflate.first && !ws_timer_is_armed(&l->deflate_timer))
        ws_timer_arm(&t->wheel, &l->deflate_timer, t->now_ms, WS_DEFLATE_IDLE_MS);
}

/* What waits in connections may leave no room for what the sockets have: once for each wait, so
 * that all who were told of are served before it goes on. */
static void read_all(struct ws_loop *l, bool may_wait) {
    if (l->ready_at == l->ready_n) {
        wait_ready(l, may_wait);
        act_on_marked(l, WS_CONN_READY, resume);
    }
    serve(l);
    if (l->ready_at == l->ready_n) expire(l);
}

/* ---- the iteration ---- */

static int io(struct ws_loop *l, bool may_wait) {
    struct ws_tick *t = &l->tick;
    t->resting = false;
    if (atomic_load_explicit(&l->abandoned, memory_order_relaxed)) return 0;
    if (atomic_load(&l->stop_asked) && !l->stopping) ws_loop_begin_stop(l);
    if (l->cut_asked) {
        l->cut_asked = false;
        ws_loop_cut_conns(l);
    }
    if (!t->batch.n) t->in.used = 0;
    ws_loop_flush(l);
    act_on_marked(l, WS_CONN_GIVEN_UP, bury);
    if (ws_loop_is_done(l)) return 0;
    arm_sweep(l);
    read_all(l, may_wait);
    bool told = l->watch_told;
    l->watch_told = false;
    return told || t->batch.n || t->released.bytes > WS_TICK_RELEASE_MAX;
}

int ws_loop_io(struct ws_loop *l) {
    return io(l, true);
}

int ws_loop_poll(struct ws_loop *l) {
    return io(l, false);
}

void ws_loop_dispatch(struct ws_loop *l) {
    ws_dispatch_batch(&l->tick);
}
