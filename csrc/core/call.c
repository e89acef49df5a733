/* call.c: calls at a time. See call.h. A call is in one place at a time, which has a reference: a
 * mail, the heap, an event. */
#include "call.h"

#include "loop.h"

#include <limits.h>
#include <stdlib.h>

static struct ws_call *call_of(struct ws_heap_node *node) {
    return (struct ws_call *)(void *)node;
}

struct ws_call *ws_call_new(void *object) {
    struct ws_call *call = calloc(1, sizeof *call);
    if (!call) return NULL;
    atomic_init(&call->refs, 1);
    call->object = object;
    return call;
}

static void ref(struct ws_call *call) {
    atomic_fetch_add_explicit(&call->refs, 1, memory_order_relaxed);
}

void ws_call_unref(struct ws_call *call) {
    if (call && atomic_fetch_sub_explicit(&call->refs, 1, memory_order_acq_rel) == 1) free(call);
}

void ws_call_detach(struct ws_call *call) {
    call->object = NULL;
}

static bool is_cancelled(const struct ws_call *call) {
    return atomic_load_explicit(&call->cancelled, memory_order_relaxed);
}

static void tell(struct ws_tick *t, struct ws_call *call, bool called, bool done) {
    if (call->object && t->handlers->on_call)
        t->handlers->on_call(t->user, call->object, called, done);
}

void ws_call_finish(struct ws_tick *t, struct ws_call *call) {
    tell(t, call, false, true);
    ws_call_unref(call);
}

/* Takes it out of the heap and puts it in for another time: where one went out there is room. */
static void move_to(struct ws_tick *t, struct ws_call *call, uint64_t due_ms) {
    ws_heap_del(&t->calls, &call->node);
    ws_heap_add(&t->calls, &call->node, due_ms);
}

/* ---- adding and cancelling ---- */

static struct ws_mail *new_mail(struct ws_call *call, enum ws_mail_kind kind) {
    struct ws_mail *mail = calloc(1, sizeof *mail);
    if (!mail) return NULL;
    ref(call);
    mail->call = call;
    mail->kind = (uint8_t)kind;
    return mail;
}

int ws_loop_call(struct ws_loop *l, struct ws_call *call, uint64_t delay_ms, uint64_t every_ms) {
    struct ws_tick *t = &l->tick;
    uint64_t now_ms = (ws_tick_read_ns() + 999999) / 1000000; /* rounded up: never early */
    uint64_t due_ms = delay_ms ? now_ms + delay_ms : 0;
    call->every_ms = every_ms;
    /* What is due at once takes the way through the mailbox even here: it is for the next
     * iteration, or a call that calls for itself would never let this one end. */
    if (delay_ms && ws_tick_is_owner(t)) {
        if (ws_heap_add(&t->calls, &call->node, due_ms) < 0) return WS_ERR_MEMORY;
        ref(call);
        ws_tick_rouse(t); /* it may be the next one due */
        return 0;
    }
    struct ws_mail *mail = new_mail(call, WS_MAIL_CALL);
    if (!mail) return WS_ERR_MEMORY;
    mail->due_ms = due_ms;
    ws_tick_post(t, mail);
    return 0;
}

void ws_loop_cancel(struct ws_loop *l, struct ws_call *call) {
    struct ws_tick *t = &l->tick;
    if (atomic_exchange(&call->cancelled, true)) return;
    if (ws_tick_is_owner(t)) {
        if (!ws_heap_has(&call->node)) return; /* its mail or event will see it */
        ws_heap_del(&t->calls, &call->node);
        ws_call_finish(t, call);
        return;
    }
    struct ws_mail *mail = new_mail(call, WS_MAIL_CANCEL);
    if (mail) ws_tick_post(t, mail); /* else it is done when its time comes */
}

void ws_call_apply(struct ws_loop *l, struct ws_mail *mail) {
    struct ws_tick *t = &l->tick;
    struct ws_call *call = mail->call;
    if (mail->kind == WS_MAIL_CANCEL) {
        if (ws_heap_has(&call->node)) move_to(t, call, 0); /* dispatch finishes it */
        ws_call_unref(call);                               /* the mail's */
        return;
    }
    /* What is due goes by the heap too: a message to a topic has mail applied amid dispatch, whose
     * batch would not end if a call that calls for itself stood in it again at once. */
    struct ws_event ev = {.kind = WS_EVENT_CALL, .call = call};
    if (ws_heap_add(&t->calls, &call->node, is_cancelled(call) ? 0 : mail->due_ms) < 0 &&
        ws_batch_push(&t->batch, &ev) < 0) /* without memory too early rather than never */
        ws_call_unref(call);
}

/* ---- their time ---- */

void ws_call_expire(struct ws_tick *t) {
    struct ws_heap_node *first;
    while (t->batch.n < WS_TICK_EVENTS_MAX && (first = ws_heap_first(&t->calls)) != NULL &&
           first->due_ms <= t->now_ms) {
        struct ws_event ev = {.kind = WS_EVENT_CALL, .call = call_of(first)};
        if (ws_batch_push(&t->batch, &ev) == 0) ws_heap_del(&t->calls, first);
        else move_to(t, call_of(first), t->now_ms + 1); /* no memory: another try */
    }
}

int ws_call_wait_ms(const struct ws_tick *t) {
    const struct ws_heap_node *first = ws_heap_first(&t->calls);
    if (!first) return -1;
    if (first->due_ms <= t->now_ms) return 0;
    uint64_t left_ms = first->due_ms - t->now_ms;
    return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

void ws_call_dispatch(struct ws_tick *t, struct ws_call *call) {
    bool again = call->every_ms > 0;
    if (is_cancelled(call)) {
        ws_call_finish(t, call);
        return;
    }
    tell(t, call, true, !again);
    if (!again) {
        ws_call_unref(call);
        return;
    }
    /* At its own pace; what a call that took too long has missed is left out. */
    uint64_t due_ms = call->node.due_ms + call->every_ms, now_ms = ws_tick_read_ns() / 1000000;
    if (due_ms <= now_ms) due_ms = now_ms + call->every_ms - (now_ms - due_ms) % call->every_ms;
    if (is_cancelled(call) || ws_heap_add(&t->calls, &call->node, due_ms) < 0)
        ws_call_finish(t, call);
}

void ws_call_finish_all(struct ws_tick *t) {
    struct ws_heap_node *first;
    while ((first = ws_heap_first(&t->calls)) != NULL) {
        ws_heap_del(&t->calls, first);
        ws_call_finish(t, call_of(first));
    }
}
