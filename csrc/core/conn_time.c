/* conn_time.c: the deadlines of a connection: which one is next, and what happens when it has
 * passed.
 *
 * One timer serves all deadlines. What puts one off (bytes that come, say) only notes the time; the
 * timer finds out when it fires, so that traffic arms nothing. */
#include "conn.h"

enum due {
    DUE_NONE,
    DUE_STATE,   /* handshake, closing handshake, lingering */
    DUE_STALL,   /* the peer takes nothing */
    DUE_MESSAGE, /* a message takes too long */
    DUE_PONG,    /* nothing came after our ping */
    DUE_PING,    /* nothing came: is it still there? */
    DUE_IDLE,    /* no message came or went */
    DUE_RESUME,  /* it was over its rate, and may be read again */
};

struct next {
    enum due due;
    int32_t left_ms; /* 0 or less: it has passed */
};

static uint32_t now_of(const struct ws_conn *c) {
    return (uint32_t)c->tick->now_ms;
}

/* The one that was due first comes first, so that none is put off for ever by another. */
static void consider(struct next *next, const struct ws_conn *c, enum due due, uint32_t at_ms) {
    int32_t left_ms = (int32_t)(at_ms - now_of(c)); /* modulo 2^32 */
    if (next->due != DUE_NONE && next->left_ms <= left_ms) return;
    next->due = due;
    next->left_ms = left_ms;
}

/* Deadlines of a peer that is read: what it sent has been seen. */
static void consider_peer(struct next *next, const struct ws_conn *c) {
    const struct ws_options *o = c->tick->options;
    if (c->amid && o->message_timeout_ms)
        consider(next, c, DUE_MESSAGE, c->began_ms + o->message_timeout_ms);
    if (c->blocked) return; /* it gets no ping; stall_timeout is its deadline */
    if (c->awaits_pong && o->ping_timeout_ms)
        consider(next, c, DUE_PONG, c->pinged_ms + o->ping_timeout_ms);
    else if (c->ping_after_ms)
        consider(next, c, DUE_PING,
                 (c->awaits_pong ? c->pinged_ms : c->heard_ms) + c->ping_after_ms);
    if (o->idle_timeout_ms) consider(next, c, DUE_IDLE, c->active_ms + o->idle_timeout_ms);
}

static struct next next_due(const struct ws_conn *c) {
    const struct ws_options *o = c->tick->options;
    struct next next = {DUE_NONE, 0};
    if (c->has_deadline) consider(&next, c, DUE_STATE, c->until_ms);
    if (c->blocked && o->stall_timeout_ms)
        consider(&next, c, DUE_STALL, c->moved_ms + o->stall_timeout_ms);
    if (c->throttled) consider(&next, c, DUE_RESUME, c->rates->resume_ms);
    if (c->state == WS_CONN_OPEN && !c->is_held) consider_peer(&next, c);
    return next;
}

bool ws_conn_is_due(const struct ws_conn *c) {
    struct next next = next_due(c);
    return next.due != DUE_NONE && next.left_ms <= 0;
}

void ws_conn_rearm(struct ws_conn *c) {
    struct next next = next_due(c);
    if (next.due == DUE_NONE || c->state == WS_CONN_DEAD) return;
    uint64_t left_ms = next.left_ms > 0 ? (uint64_t)next.left_ms : 0;
    ws_timer_arm_by(&c->tick->wheel, &c->timer, c->tick->now_ms, left_ms);
}

void ws_conn_deadline(struct ws_conn *c, uint32_t delay_ms) {
    struct ws_tick *t = c->tick;
    c->has_deadline = delay_ms > 0;
    if (delay_ms) {
        ws_tick_read_clock(t); /* handlers may have run for long since the last look */
        c->until_ms = now_of(c) + delay_ms;
    } else {
        ws_timer_disarm(&t->wheel, &c->timer);
    }
    ws_conn_rearm(c);
}

void ws_conn_begin_times(struct ws_conn *c) {
    struct ws_tick *t = c->tick;
    uint32_t interval = t->options->ping_interval_ms;
    ws_tick_read_clock(t);
    c->heard_ms = c->active_ms = now_of(c);
    /* Up to a quarter earlier, so that those who came together are not pinged together. */
    uint64_t jitter = (uint64_t)(interval / 4) * ws_tick_random(t) >> 32;
    c->ping_after_ms = interval - (uint32_t)jitter;
    ws_conn_rearm(c);
}

/* ---- what puts deadlines off ---- */

void ws_conn_note_read(struct ws_conn *c) {
    bool was_awaited = c->awaits_pong;
    c->heard_ms = now_of(c);
    c->awaits_pong = false;
    if (was_awaited) ws_conn_rearm(c); /* the next ping may be due before the pong was */
    bool amid = ws_proto_is_amid(&c->proto);
    if (amid == c->amid) return;
    c->amid = amid;
    if (!amid) return;
    c->began_ms = now_of(c);
    if (c->tick->options->message_timeout_ms) ws_conn_rearm(c);
}

/* A clock stood still for the end of a pause: from the last time it was set, if that was amid it.
 */
static void put_off(uint32_t *at_ms, uint32_t pause_ms, uint32_t now_ms) {
    *at_ms += pause_ms;
    if ((int32_t)(*at_ms - now_ms) > 0) *at_ms = now_ms;
}

void ws_conn_hold(struct ws_conn *c, bool held) {
    if (held == c->is_held) return;
    c->is_held = held;
    if (held) {
        c->held_ms = now_of(c);
        return;
    }
    uint32_t now_ms = now_of(c), pause_ms = now_ms - c->held_ms;
    put_off(&c->heard_ms, pause_ms, now_ms);
    put_off(&c->active_ms, pause_ms, now_ms);
    put_off(&c->began_ms, pause_ms, now_ms);
    if (!c->blocked) put_off(&c->pinged_ms, pause_ms, now_ms); /* else it is moved_ms */
    ws_conn_rearm(c);
}

void ws_conn_note_write(struct ws_conn *c, bool was_blocked, bool moved) {
    if (moved || !was_blocked) c->moved_ms = now_of(c);
    if (c->blocked == was_blocked) return;
    if (!c->blocked) c->pinged_ms = now_of(c); /* our ping may have stood in the queue */
    ws_conn_rearm(c);
}

/* ---- pings ---- */

void ws_conn_make_ping(struct ws_conn *c, uint8_t payload[8]) {
    struct ws_rates *r = ws_conn_need_rates(c); /* without: its pong says nothing */
    uint64_t now_ns = ws_tick_read_ns();
    if (r) r->ping_ns = now_ns;
    ws_bytes_put64(payload, now_ns ^ c->tick->salt);
}

bool ws_conn_take_pong(struct ws_conn *c, const uint8_t *data, size_t len) {
    struct ws_rates *r = c->rates;
    if (len != 8 || !r || !r->ping_ns) return false;
    if ((ws_bytes_get64(data) ^ c->tick->salt) != r->ping_ns) return false;
    uint64_t us = (ws_tick_read_ns() - r->ping_ns) / 1000;
    uint32_t latency = us < WS_LATENCY_NONE ? (uint32_t)us : WS_LATENCY_NONE - 1;
    r->ping_ns = 0; /* the same pong again says nothing */
    atomic_store_explicit(&c->latency_us, latency, memory_order_relaxed);
    return true;
}

int64_t ws_conn_get_latency_us(const struct ws_conn *c) {
    uint32_t us = atomic_load_explicit(&c->latency_us, memory_order_relaxed);
    return us == WS_LATENCY_NONE ? -1 : (int64_t)us;
}

/* ---- the end of patience ---- */

/* A handler may have kept us from seeing that the peer takes something again: true if it does. */
static bool takes_more(struct ws_conn *c) {
    size_t before = ws_queue_bytes(&c->queue);
    if (c->blocked) ws_conn_write(c); /* puts off what is due, if it does */
    return ws_queue_bytes(&c->queue) < before;
}

static void on_state_due(struct ws_conn *c) {
    /* A handler that sends for ever behind the peer's close frame is to end, and the frame to be
     * answered. */
    if (ws_conn_is_leaving(c) && ws_conn_lose(c)) {
        ws_conn_arm_close(c);
        return;
    }
    if (takes_more(c)) return;
    c->has_deadline = false;
    switch ((enum ws_conn_state)c->state) {
    case WS_CONN_HEAD: ws_conn_refuse_late(c); break;
    case WS_CONN_CLOSING:
        if (!c->proto.ended && !c->eof) ws_conn_end(c, WS_CLOSE_NONE);
        break;
    case WS_CONN_LINGER: ws_conn_die(c); break;
    case WS_CONN_OPEN:
        /* It takes nothing more, and sends no end either. */
        if (c->broken && !c->proto.ended && !c->eof) ws_conn_end(c, WS_CLOSE_RESET);
        /* Its end waits in the lane, and it takes nothing that would free the way. */
        else ws_conn_hangup(c);
        break;
    case WS_CONN_ANSWERING:
    case WS_CONN_DEAD: break;
    }
}

static void on_stall(struct ws_conn *c) {
    if (takes_more(c) || !c->blocked) return;
    ws_conn_gone(c, WS_CLOSE_STALL);
    ws_conn_hangup(c);
}

static void on_ping_due(struct ws_conn *c) {
    c->wants_ping = c->awaits_pong = true;
    c->pinged_ms = now_of(c);
    ws_conn_touch(c);
}

static void close_and_log(struct ws_conn *c, enum ws_close_kind kind) {
    struct ws_slice why = ws_conn_fixed_closing(kind)->reason;
    if (!ws_conn_is_open(c)) return; /* another thread's close is on its way */
    ws_tick_log(c->tick, WS_LINE_TIME, WS_LOG_INFO, "connection %llu closed: %.*s",
                (unsigned long long)c->node.id, (int)why.len, why.data);
    ws_conn_close_for(c, kind);
}

void ws_conn_expire(struct ws_conn *c, bool was_full) {
    struct next next = next_due(c);
    if (c->state == WS_CONN_DEAD) return;
    if (next.due != DUE_NONE && next.left_ms <= 0) {
        switch (next.due) {
        case DUE_NONE: break;
        case DUE_STATE: on_state_due(c); break;
        case DUE_STALL: on_stall(c); break;
        case DUE_MESSAGE:
            /* What lies unread came in time, for all we know. */
            if (!was_full) ws_conn_fail(c, 1008, "the message took too long");
            break;
        case DUE_PONG: close_and_log(c, WS_CLOSE_PING_TIMEOUT); break;
        case DUE_PING: on_ping_due(c); break;
        case DUE_IDLE: close_and_log(c, WS_CLOSE_IDLE); break;
        case DUE_RESUME:
            c->throttled = false;
            ws_conn_touch(c);
            break;
        }
    }
    ws_conn_rearm(c);
}
