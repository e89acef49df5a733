/* guest.h: descriptors of the caller's on the loop: what ws_loop_register is given. Not read,
 * written or closed here: their events become events of the batch.
 *
 * The poller's data is a place in the loop's table and a number used once, and so is the event's: a
 * guest that has left in the same tick gets nothing more, and neither does the next one with its
 * descriptor. */
#ifndef WS_GUEST_H
#define WS_GUEST_H

#include "loop.h"

struct ws_guest {
    _Atomic uint32_t refs;
    _Atomic uint32_t wanted; /* enum ws_poll, or-ed */
    int fd;
    uint32_t n_hung;        /* calls in a row that told of an end or an error */
    uint32_t place, number; /* in the loop's table */
    bool is_in;             /* the table has it, and a reference */
    bool is_lost;           /* the poller does not have it, and will not: it was closed, or never
                             * fit */
    void *object;           /* the caller's; NULL: detached. Under the lock that dispatch holds */
};

/* Applies mail of a guest; takes its reference. */
void ws_guest_apply(struct ws_loop *l, struct ws_mail *mail);
/* The poller's news of one. */
void ws_guest_ready(struct ws_loop *l, const struct ws_poller_ready *r);
/* The loop is about to watch a connection with this descriptor: whose it was has closed it. */
void ws_guest_lose(struct ws_loop *l, int fd);
/* The event of a guest. */
void ws_guest_dispatch(struct ws_tick *t, const struct ws_event *ev);
/* It will not be called any more: tells so. Takes the reference. */
void ws_guest_finish(struct ws_tick *t, struct ws_guest *guest);
/* Gives a new poller those that the old one had. 0 or an error. */
int ws_guest_move(struct ws_loop *l, struct ws_poller *to);
/* The run is over: finishes all. */
void ws_guest_finish_all(struct ws_loop *l);

#endif
