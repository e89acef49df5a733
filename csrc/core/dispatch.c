/* dispatch.c: the events of a tick, in order, to the handlers: the one place where the rules of a
 * connection's end and of its lane meet. */
#include "conn.h"

#include "call.h"
#include "guest.h"

#include <stdlib.h>

void ws_dispatch_drop(struct ws_tick *t, struct ws_event *ev) {
    if (ev->owned) free(ev->data);
    if (ev->object) t->handlers->release(t->user, ev->object);
    if (ev->call) ws_call_finish(t, ev->call);
    ev->owned = false;
    ev->object = NULL;
    ev->call = NULL;
}

/* ---- the lane ---- */

/* A connection over its high-water mark takes no more events: the rest of its batch waits, so that
 * a handler that only answers never reaches max_backlog. What waits once keeps all that follows
 * behind it. */
static bool must_wait(const struct ws_conn *c, const struct ws_event *ev) {
    if (ev->kind >= WS_EVENT_BUFFER) return false; /* no handler sees them in order */
    if (c->gap || c->busy || ws_conn_lane(c)) return true;
    return ev->kind == WS_EVENT_MESSAGE && c->state == WS_CONN_OPEN && ws_conn_is_over(c);
}

static void wait_in_lane(struct ws_conn *c, struct ws_event *ev) {
    if (c->gap && ev->kind != WS_EVENT_END) return; /* something before it was lost */
    /* Nothing more comes after these, and nobody may wait for ever behind a peer that does not
     * read: at the end of the stream the queue is void, before a close the peer has close_timeout
     * to take it. */
    if (ev->kind == WS_EVENT_END) ws_conn_hangup(c);
    else if (ev->kind == WS_EVENT_CLOSE || ev->kind == WS_EVENT_FAIL) ws_conn_arm_close(c);
    if (c->busy && ev->kind >= WS_EVENT_CLOSE) ws_conn_tell_gone(c, ev);
    struct ws_work *w = ws_conn_need_work(c);
    if (w && !w->lane) w->lane = ws_batch_new();
    if (w && w->lane && ws_batch_push_owned(w->lane, ev) == 0) {
        ev->owned = false; /* the lane's now */
        ev->object = NULL;
    } else { /* a gap in the order is worse than an end */
        c->gap = c->eof = true;
        c->must_end = WS_CLOSE_ERROR;
        ws_conn_make_ready(c);
    }
    ws_conn_touch(c); /* the flush decides when it goes on */
}

/* ---- the end ---- */

/* on_close, once; the connection is closed for its users from the start of it. */
static void tell_close(struct ws_conn *c) {
    struct ws_tick *t = c->tick;
    struct ws_close close;
    if (ws_conn_is_told(c) || !c->opened) return;
    ws_conn_end_open(c);
    atomic_store_explicit(&c->told, WS_CONN_TOLD, memory_order_release);
    ws_conn_get_close(c, &close);
    if (t->handlers->on_close) t->handlers->on_close(t->user, c, &close);
    ws_registry_del(&t->registry, &c->node);
    ws_count(&t->counters->closed, 1);
    if (c->work && c->work->object) { /* a large message that never came to its end */
        t->handlers->release(t->user, c->work->object);
        c->work->object = NULL;
    }
}

static void on_peer_close(struct ws_conn *c, const struct ws_event *ev) {
    ws_conn_set_kind(c, WS_CLOSE_PEER);
    /* RFC 6455 section 5.5.1: "When sending a Close frame in response, the endpoint typically echos
     * the status code it received." Not sent if ours went first. */
    ws_conn_send_close(c, ev->code, (struct ws_slice){"", 0});
    c->code = ev->code;
    ws_conn_keep_reason(c, (struct ws_slice){(const char *)ev->data, ev->len});
    ws_conn_linger(c);
    tell_close(c);
}

static void on_fail(struct ws_conn *c, const struct ws_event *ev) {
    struct ws_slice why = {(const char *)ev->data, ev->len};
    ws_conn_set_kind(c, ws_close_kind_of_failure(ev->code));
    ws_tick_log(c->tick, WS_LINE_PROTOCOL, WS_LOG_INFO, "connection %llu closed with %u: %.*s",
                (unsigned long long)c->node.id, ev->code, (int)why.len, why.data ? why.data : "");
    ws_conn_send_close(c, ev->code, why);
    ws_conn_linger(c);
    tell_close(c);
}

static void on_end(struct ws_conn *c, const struct ws_event *ev) {
    if (ev->code != WS_CLOSE_NONE) ws_conn_set_kind(c, (enum ws_close_kind)ev->code);
    ws_conn_drop_queue(c);
    ws_conn_die(c);
    tell_close(c);
}

/* ---- events ---- */

static void on_lane(struct ws_conn *c);

/* Whether the request is put to the caller first. The event waits in the lane for the answer. */
static bool ask(struct ws_conn *c, struct ws_event *ev) {
    struct ws_tick *t = c->tick;
    bool wanted = atomic_load_explicit(t->wanted, memory_order_relaxed) & WS_WANT_REQUEST;
    if (c->work->was_asked || !wanted || !t->handlers->on_request) return false;
    c->work->was_asked = c->work->awaits_answer = c->busy = true;
    wait_in_lane(c, ev);
    t->handlers->on_request(t->user, c);
    if (!c->busy && c->state == WS_CONN_ANSWERING) on_lane(c);
    return true;
}

static void on_open(struct ws_conn *c, struct ws_event *ev) {
    struct ws_tick *t = c->tick;
    if (c->state != WS_CONN_ANSWERING || ask(c, ev)) return;
    if (ev->code) {
        ws_conn_refuse_plain(c);
        return;
    }
    if (ws_conn_send_http(c, ev->data, ev->len, false) < 0 ||
        ws_registry_add(&t->registry, &c->node) < 0) {
        ws_conn_die(c);
        return;
    }
    c->state = WS_CONN_OPEN;
    c->opened = true;
    ws_conn_begin_open(c);
    ws_conn_begin_times(c);
    ws_count(&t->counters->opened, 1);
    if (ws_conn_pending(c)) ws_conn_make_ready(c);
    if (t->handlers->on_open) t->handlers->on_open(t->user, c);
    if (t->options->drop_headers && !c->busy) ws_conn_forget_headers(c); /* else when it ends */
}

static void on_message(struct ws_conn *c, struct ws_event *ev) {
    struct ws_tick *t = c->tick;
    struct ws_message m = {.data = ev->data,
                           .len = ev->len,
                           .text = ev->text,
                           .ascii = ev->ascii,
                           .masked = ev->masked,
                           .key = ev->key,
                           .object = ev->object};
    if (c->state != WS_CONN_OPEN || !ws_conn_is_open(c)) {
        ws_count(&t->counters->dropped_received, 1); /* a local close came first */
        return;
    }
    ws_count(&t->counters->received, 1);
    if (!t->handlers->on_message) return;
    ev->object = NULL; /* the handler's */
    t->handlers->on_message(t->user, c, &m);
}

static void on_control(struct ws_conn *c, const struct ws_event *ev) {
    struct ws_tick *t = c->tick;
    struct ws_slice data = {(const char *)ev->data, ev->len};
    if (!ws_conn_is_open(c)) return;
    if (ev->kind == WS_EVENT_PING && t->handlers->on_ping) t->handlers->on_ping(t->user, c, data);
    if (ev->kind == WS_EVENT_PONG && t->handlers->on_pong) t->handlers->on_pong(t->user, c, data);
}

static void on_buffer(struct ws_conn *c, const struct ws_event *ev) {
    struct ws_tick *t = c->tick;
    struct ws_event failed = {.kind = WS_EVENT_FAIL, .conn = c, .code = 1011};
    c->awaits_buffer = false;
    ws_conn_touch(c); /* to be read again */
    if (c->proto.ended) return;
    if (c->state != WS_CONN_OPEN || !ws_conn_is_open(c)) {
        ws_proto_skip(&c->proto);
        ws_count(&t->counters->dropped_received, 1);
        return;
    }
    struct ws_work *w = ws_conn_need_work(c);
    if (w && t->handlers->new_buffer)
        w->object = t->handlers->new_buffer(t->user, ev->len, ev->text, &w->object_data);
    if (w && w->object) {
        ws_proto_direct(&c->proto, w->object_data);
    } else {
        ws_proto_skip(&c->proto);
        ws_conn_event(c, &failed); /* behind what waits, like any other violation */
    }
}

static void on_drain(struct ws_conn *c) {
    struct ws_tick *t = c->tick;
    if (ws_conn_is_open(c) && t->handlers->on_drain) t->handlers->on_drain(t->user, c);
}

static void on_drained(struct ws_conn *c) {
    struct ws_tick *t = c->tick;
    if (t->handlers->on_drained) t->handlers->on_drained(t->user, c);
}

static void on_ponged(struct ws_conn *c, const struct ws_event *ev) {
    struct ws_slice data = {(const char *)ev->data, ev->len};
    if (c->tick->handlers->on_ponged)
        c->tick->handlers->on_ponged(c->tick->user, c, data, ev->code != 0);
}

static void on_gone(struct ws_conn *c, const struct ws_event *ev) {
    struct ws_slice reason = {(const char *)ev->data, ev->len};
    if (c->tick->handlers->on_gone) c->tick->handlers->on_gone(c->tick->user, c, ev->code, reason);
}

static void handle(struct ws_conn *c, struct ws_event *ev) {
    if (c->state == WS_CONN_DEAD) return;
    /* Once on_close has been called only the end of the socket is of interest. */
    if (ws_conn_is_told(c) && ev->kind != WS_EVENT_END) return;
    switch ((enum ws_event_kind)ev->kind) {
    case WS_EVENT_OPEN: on_open(c, ev); break;
    case WS_EVENT_MESSAGE: on_message(c, ev); break;
    case WS_EVENT_PING:
    case WS_EVENT_PONG: on_control(c, ev); break;
    case WS_EVENT_BUFFER: on_buffer(c, ev); break;
    case WS_EVENT_CLOSE: on_peer_close(c, ev); break;
    case WS_EVENT_FAIL: on_fail(c, ev); break;
    case WS_EVENT_END: on_end(c, ev); break;
    case WS_EVENT_DRAIN: on_drain(c); break;
    case WS_EVENT_DRAINED: on_drained(c); break;
    case WS_EVENT_PONGED: on_ponged(c, ev); break;
    case WS_EVENT_GONE: on_gone(c, ev); break;
    case WS_EVENT_LANE:
    case WS_EVENT_LOG:
    case WS_EVENT_CALL:
    case WS_EVENT_GUEST: break;
    }
}

static bool is_abandoned(const struct ws_tick *t) {
    return atomic_load_explicit(t->abandoned, memory_order_relaxed);
}

/* What waited goes on, until the queue is too long again. */
static void on_lane(struct ws_conn *c) {
    struct ws_batch *lane = ws_conn_lane(c);
    while (lane && lane->head < lane->n && !is_abandoned(c->tick)) {
        if (c->busy || (c->state == WS_CONN_OPEN && ws_conn_is_over(c))) break;
        struct ws_event ev = lane->events[lane->head++];
        handle(c, &ev);
        ws_dispatch_drop(c->tick, &ev);
    }
    if (lane && lane->head == lane->n) {
        ws_batch_free(lane);
        c->work->lane = NULL;
    }
    ws_conn_touch(c);
}

static void on_log(struct ws_tick *t, const struct ws_event *ev) {
    struct ws_slice line = {(const char *)ev->data, ev->len};
    if (t->handlers->on_log) t->handlers->on_log(t->user, (enum ws_log)ev->code, line);
}

static void on_call(struct ws_tick *t, struct ws_event *ev) {
    struct ws_call *call = ev->call;
    ev->call = NULL; /* it goes where it goes next */
    ws_call_dispatch(t, call);
}

/* An event of no connection. */
static void dispatch_loops(struct ws_tick *t, struct ws_event *ev) {
    if (ev->kind == WS_EVENT_LOG) on_log(t, ev);
    else if (ev->kind == WS_EVENT_CALL) on_call(t, ev);
    else ws_guest_dispatch(t, ev);
}

static void dispatch_one(struct ws_tick *t, struct ws_event *ev) {
    if (!ev->conn) dispatch_loops(t, ev);
    else if (ev->kind == WS_EVENT_LANE) on_lane(ev->conn);
    else if (must_wait(ev->conn, ev)) wait_in_lane(ev->conn, ev);
    else handle(ev->conn, ev);
}

void ws_dispatch_batch(struct ws_tick *t) {
    ws_tick_give_back(t);
    /* The batch may grow while it is dispatched (a log line, a failure): events are copied out and
     * the length is read anew. */
    for (size_t i = 0; i < t->batch.n; i++) {
        struct ws_event ev = t->batch.events[i];
        if (!is_abandoned(t)) dispatch_one(t, &ev);
        ws_dispatch_drop(t, &ev);
    }
    ws_batch_reset(&t->batch);
    t->in.used = t->inflated = 0;
}
