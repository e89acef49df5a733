/* call.h: something to be done on the owner thread at a time: what ws_loop_call is given. */
#ifndef WS_CALL_H
#define WS_CALL_H

#include "heap.h"
#include "tick.h"

struct ws_call {
    struct ws_heap_node node; /* first: the heap's node is the call */
    _Atomic uint32_t refs;
    _Atomic bool cancelled;
    void *object; /* the caller's; NULL: detached. Under the lock that dispatch holds */
    uint64_t every_ms;
};

/* Applies mail of a call; takes its reference. */
void ws_call_apply(struct ws_loop *l, struct ws_mail *mail);
/* Calls whose time has come become events of the batch. */
void ws_call_expire(struct ws_tick *t);
/* Milliseconds until the next one, as ws_timer_wheel_wait_ms says it. */
int ws_call_wait_ms(const struct ws_tick *t);
/* The event of a call: calls it, and arms it anew if it is to come again. Takes the reference. */
void ws_call_dispatch(struct ws_tick *t, struct ws_call *call);
/* It will not be called any more: tells so. Takes the reference. */
void ws_call_finish(struct ws_tick *t, struct ws_call *call);
/* The run is over: finishes all that wait. */
void ws_call_finish_all(struct ws_tick *t);

#endif
