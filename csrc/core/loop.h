/* loop.h: one thread's loop: listeners, accept, slots, iteration. Its public functions stand in
 * ws.h. */
#ifndef WS_LOOP_H
#define WS_LOOP_H

#include "conn.h"
#include "poller.h"

#define WS_LISTENERS_MAX 8
#define WS_LISTENER_SLOT 0xFFFFFF00u /* of the first listener; see WS_GUEST_SLOT */
#define WS_GUEST_SLOT 0x80000000u    /* of the first guest; the others lie between the two */
#define WS_TIMER_SLOT 0xFFFFFFFDu    /* of timer_fd; loop.c has two more of this kind */
#define WS_LOOP_READY_MAX 512        /* descriptors told by one wait */

/* What the poller's data names, with the connection's id, so that an event for a connection given
 * up in the same tick, or for the descriptor's next user, is recognized. */
struct ws_slot {
    uintptr_t at; /* a connection, with the loop's reference; or, odd, the next free slot */
};

struct ws_listener {
    int fd; /* -1: closed */
    struct ws_address address;
    bool armed;
};

struct ws_loop {
    struct ws_tick tick;
    struct ws_poller poller;
    struct ws_slot *slots; /* owned */
    uint32_t n_slots, free_slot, n_conns, max_connections;

    struct ws_listener listeners[WS_LISTENERS_MAX];
    int n_listeners;
    char *unix_path; /* owned; NULL for TCP */
    uint64_t unix_dev, unix_ino;
    int listen_backlog;
    int spare_fd;      /* kept back for EMFILE */
    int watch_fd;      /* the caller's */
    int timer_fd;      /* inside another loop: readable when it is time; -1: not so */
    uint64_t timer_ms; /* when that is; 0: not set */
    bool watch_told;
    struct ws_guest **guests; /* owned; by place, NULL where it is free */
    uint32_t guests_cap, n_guests, last_guest;
    bool is_haunted;    /* the poller may report a guest that has left, again and again */
    uint64_t told_lost; /* of counters.lost_published, in the log */

    struct ws_poller_ready ready[WS_LOOP_READY_MAX];
    int ready_at, ready_n;
    struct ws_timer accept_timer, shutdown_timer, deflate_timer;
    bool stopping, cut_asked, was_cut, has_poller, has_ended;
    uint32_t n_kept; /* ws_loop_keep less ws_loop_let_go */
    bool
        is_orphan; /* abandoned on another thread than the owner, who may have been amid anything */
    _Atomic bool begun, stop_asked, abandoned;
};

/* Of zeroed memory. */
void ws_loop_init(struct ws_loop *l);

/* ---- accept.c ---- */

/* Puts the listeners into the poller. 0 or an error. */
int ws_accept_arm(struct ws_loop *l);
/* Gives a new poller the listeners that the old one has. 0 or an error. */
int ws_accept_move(const struct ws_loop *l, struct ws_poller *to);
void ws_accept_close(struct ws_loop *l);
/* Takes connections from a listener, a bounded number in a turn. */
void ws_accept_ready(struct ws_loop *l, struct ws_listener *listener);

/* ---- publish.c ---- */

/* Applies mail with a message for many; takes its block. */
void ws_publish_apply(struct ws_loop *l, struct ws_mail *mail);

/* ---- loop.c ---- */

/* Applies what other threads have posted, in order. Owner thread, in dispatch too. */
void ws_loop_take_mail(struct ws_loop *l);
/* Gives a connection a slot and the poller its descriptor. 0, or an error (nothing kept). */
int ws_loop_add(struct ws_loop *l, struct ws_conn *c);
/* Makes the poller anew, with all that it watches. */
void ws_loop_renew_poller(struct ws_loop *l);
/* The connection in a slot below n_slots; NULL: none. */
static inline struct ws_conn *ws_loop_conn_at(const struct ws_loop *l, uint32_t i) {
    uintptr_t at = l->slots[i].at;
    return at & 1 ? NULL : (struct ws_conn *)at;
}
/* Writes what was queued. */
void ws_loop_flush(struct ws_loop *l);
/* How long nothing is due: 0 if there is work, -1 for ever. */
int ws_loop_wait_ms(const struct ws_loop *l);

/* ---- loop_end.c ---- */

/* Asks it to stop. Any thread, signal handlers. */
void ws_loop_stop(struct ws_loop *l);
/* Begins to: says goodbye to everybody. Once. */
void ws_loop_begin_stop(struct ws_loop *l);
/* Whoever is still there has had the time of it. */
void ws_loop_cut_conns(struct ws_loop *l);
/* In a forked child. */
void ws_loop_abandon(struct ws_loop *l);
/* Frees what ws_loop_end leaves for late callers on other threads. */
void ws_loop_fini(struct ws_loop *l);

#endif
