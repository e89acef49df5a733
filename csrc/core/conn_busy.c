/* conn_busy.c: a connection whose handler has returned and is not done, and what such a handler may
 * wait for. What comes meanwhile waits in the lane: dispatch.c, which also tells what is asked for
 * here. */
#include "conn.h"

static enum ws_conn_told told_of(const struct ws_conn *c) {
    return atomic_load_explicit(&c->told, memory_order_acquire);
}

static void set_told(struct ws_conn *c, enum ws_conn_told told) {
    atomic_store_explicit(&c->told, (uint8_t)told, memory_order_release);
}

bool ws_conn_lose(struct ws_conn *c) {
    if (!c->opened || !c->busy || told_of(c) >= WS_CONN_LOST) return false;
    set_told(c, WS_CONN_LOST);
    return true;
}

bool ws_conn_is_lost(const struct ws_conn *c) {
    return told_of(c) == WS_CONN_LOST;
}

bool ws_conn_is_leaving(const struct ws_conn *c) {
    enum ws_conn_told told = told_of(c);
    return told == WS_CONN_LEAVES || told == WS_CONN_LOST;
}

void ws_conn_tell_gone(struct ws_conn *c, const struct ws_event *ev) {
    if (c->opened && told_of(c) == WS_CONN_UNTOLD) set_told(c, WS_CONN_LEAVES);
    if (!c->answers) ws_conn_lose(c);
    struct ws_event gone = {.kind = WS_EVENT_GONE, .code = 1006};
    if (ev->kind == WS_EVENT_CLOSE) gone.code = ev->code;
    if (ev->kind == WS_EVENT_CLOSE && !ws_conn_keep(c, &gone, ev->data, ev->len)) return;
    ws_conn_event(c, &gone);
}

/* A close that waited for another reason waits for the handler from now on. */
void ws_conn_begin_busy(struct ws_conn *c, bool answers) {
    const struct ws_batch *lane = ws_conn_lane(c);
    if (c->state == WS_CONN_DEAD || c->busy) return;
    c->busy = true;
    c->answers = answers;
    if (c->broken) ws_conn_lose(c);
    for (size_t i = lane ? lane->head : 0; lane && i < lane->n; i++) {
        if (lane->events[i].kind < WS_EVENT_CLOSE) continue;
        ws_conn_tell_gone(c, &lane->events[i]);
        if (c->has_deadline) ws_conn_arm_close(c); /* each handler has that time: they are few */
        return;
    }
}

void ws_conn_apply_done(struct ws_conn *c) {
    if (!c->busy) return; /* cut: it may have left the loop */
    c->busy = false;
    bool can_send = atomic_load(&c->streaming) != WS_CONN_STREAM_BROKEN;
    if (can_send && ws_conn_is_lost(c)) set_told(c, WS_CONN_LEAVES); /* the next may answer again */
    if (c->state == WS_CONN_DEAD) return;
    if (c->tick->options->drop_headers) ws_conn_forget_headers(c); /* of on_open */
    ws_conn_touch(c); /* the flush takes up what waits */
}

int ws_conn_end_busy(struct ws_conn *c) {
    if (ws_tick_is_owner(c->tick)) {
        ws_conn_apply_done(c);
        return 0;
    }
    struct ws_mail *mail = ws_conn_new_mail(c, WS_MAIL_DONE);
    if (!mail) return WS_ERR_MEMORY;
    ws_tick_post(c->tick, mail);
    return 0;
}

void ws_conn_await_pongs(struct ws_conn *c, bool await) {
    c->awaits_pongs = await;
}

bool ws_conn_await_drain(struct ws_conn *c) {
    /* Of a peer that has gone nothing drains, and its end is told soon. */
    if (!ws_conn_is_open(c) || !(ws_conn_is_over(c) || c->broken || c->eof)) return false;
    c->awaits_drain = true;
    return true;
}
