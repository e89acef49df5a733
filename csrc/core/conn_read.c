/* conn_read.c: what a connection reads: first the request's head, which is conn_open.c's, then
 * frames; and when it is to be read. */
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes read in a turn into the memory of a large message. If it is less than many messages have,
 * more of them are under way at once, each in its own memory: more than the caches hold. */
#define DIRECT_MAX (1024u * 1024)
/* Bytes read between messages where the last one was large: what is read of the next before there
 * is memory for it has to be copied. */
#define HEAD_MAX (2u * WS_PROTO_DIRECT_MIN)

/* ---- frames ---- */

/* Each ping is answered, as long as the peer takes the pongs. RFC 6455 section 5.5.3: of several an
 * endpoint may answer "only the most recently processed". */
static void keep_pong(struct ws_conn *c, const struct ws_proto_event *ev) {
    uint8_t frame[WS_FRAME_HEADER_MAX + WS_CONTROL_MAX];
    if (c->state != WS_CONN_OPEN || c->broken) return;
    struct ws_work *w = ws_conn_need_work(c);
    if (w && c->blocked) w->pongs.len = 0;
    size_t len = ws_proto_frame_write(&c->proto, frame, WS_OPCODE_PONG, ev->data, ev->len, 0);
    if (!w || ws_buf_append(&w->pongs, frame, len) < 0)
        return; /* a ping without a pong is the least that can go wrong now */
    ws_conn_touch(c);
}

static void close_or_fail_event(struct ws_conn *c, const struct ws_proto_event *pe) {
    struct ws_event ev = {.kind = pe->kind == WS_PROTO_CLOSE ? WS_EVENT_CLOSE : WS_EVENT_FAIL,
                          .code = pe->code,
                          .data = pe->data,
                          .len = pe->len};
    if (pe->kind == WS_PROTO_CLOSE &&
        pe->len) { /* its bytes are the parser's: they may go with the next feed */
        ev.data = malloc(pe->len);
        ev.owned = true;
        if (!ev.data) {
            ev.owned = false;
            ev.len = 0;
        } else {
            memcpy(ev.data, pe->data, pe->len);
        }
    }
    ws_conn_event(c, &ev);
}

void ws_conn_fail(struct ws_conn *c, uint16_t code, const char *why) {
    struct ws_proto_event ev = {.kind = WS_PROTO_FAIL,
                                .code = code,
                                .data = (uint8_t *)(uintptr_t)why, /* only read */
                                .len = strlen(why)};
    ws_proto_end(&c->proto);
    close_or_fail_event(c, &ev);
}

static void take_pong(struct ws_conn *c, const struct ws_proto_event *pe) {
    struct ws_event ev = {.kind = WS_EVENT_PONGED, .code = ws_conn_take_pong(c, pe->data, pe->len)};
    if (c->awaits_pongs && ws_conn_keep(c, &ev, pe->data, pe->len)) ws_conn_event(c, &ev);
}

/* A ping is answered here; whoever asked for it gets to see it, and pongs. */
static void take_control(struct ws_conn *c, const struct ws_proto_event *pe) {
    bool is_ping = pe->kind == WS_PROTO_PING;
    uint32_t wanted = atomic_load_explicit(c->tick->wanted, memory_order_relaxed);
    struct ws_event ev = {.kind = is_ping ? WS_EVENT_PING : WS_EVENT_PONG};
    if (!ws_conn_allow_control(c)) {
        ws_conn_fail(c, 1008, "too many control frames (control_rate)");
        return;
    }
    if (is_ping) keep_pong(c, pe);
    else take_pong(c, pe);
    if (!(wanted & (is_ping ? WS_WANT_PING : WS_WANT_PONG))) return;
    if (ws_conn_keep(c, &ev, pe->data, pe->len)) ws_conn_event(c, &ev);
}

static void take_message(struct ws_conn *c, const struct ws_proto_event *pe) {
    struct ws_event ev = {.kind = WS_EVENT_MESSAGE,
                          .data = pe->data,
                          .len = pe->len,
                          .text = pe->text,
                          .ascii = pe->ascii,
                          .owned = pe->owned,
                          .masked = pe->masked,
                          .key = pe->key};
    if (!ws_conn_allow_message(c)) {
        if (pe->owned) free(pe->data);
        ws_conn_fail(c, 1008, "too many messages (message_rate)");
        return;
    }
    if (pe->inflated) ws_count(&c->tick->counters->received_compressed, 1);
    if (pe->data) {
        c->expects_large = false;
    } else {
        ev.object = c->work->object;
        ev.data = c->work->object_data;
        c->work->object = NULL;
    }
    ws_conn_event(c, &ev);
    if (c->work) ws_conn_tidy(c);
}

static void take_event(struct ws_conn *c, const struct ws_proto_event *pe) {
    struct ws_event ev = {.kind = WS_EVENT_BUFFER, .len = pe->len, .text = pe->text};
    switch (pe->kind) {
    case WS_PROTO_NONE: break;
    case WS_PROTO_MESSAGE: take_message(c, pe); break;
    case WS_PROTO_PING:
    case WS_PROTO_PONG:
        take_control(c, pe); /* 5.5.3: "A response to an unsolicited Pong frame is not expected." */
        break;
    case WS_PROTO_BUFFER:
        c->awaits_buffer = true;
        c->expects_large = pe->len > WS_TICK_READ_MAX;
        ws_conn_event(c, &ev);
        break;
    case WS_PROTO_CLOSE:
    case WS_PROTO_FAIL: close_or_fail_event(c, pe); break;
    }
}

static void out_of_memory(struct ws_conn *c) {
    struct ws_proto_event ev = {.kind = WS_PROTO_FAIL, .code = 1011};
    close_or_fail_event(c, &ev);
}

/* Messages that came compressed are larger than what was read: their peer gets no more into a batch
 * than others may, and all peers no more than fits. The rest waits for the next. False: there is
 * still room. */
__attribute__((noinline)) static bool put_off(struct ws_conn *c, size_t inflated,
                                              const uint8_t *rest, size_t len) {
    if (inflated < WS_TICK_READ_MAX && c->tick->inflated < WS_TICK_INFLATED_MAX) return false;
    if (!len || c->proto.ended) return true;
    struct ws_work *w = ws_conn_need_work(c);
    if (!w || ws_buf_append(&w->pending, rest, len) < 0) out_of_memory(c);
    else ws_conn_make_ready(c);
    return true;
}

static void feed_frames(struct ws_conn *c, uint8_t *data, size_t len) {
    size_t inflated = 0;
    while (len && !c->proto.ended && !c->must_end) { /* behind a lost event all is void */
        struct ws_proto_event ev;
        ptrdiff_t n = ws_proto_feed(&c->proto, data, len, &ev);
        if (n < 0) {
            out_of_memory(c);
            return;
        }
        data += n;
        len -= (size_t)n;
        take_event(c, &ev);
        if (!ev.inflated) continue;
        inflated += ev.len;
        c->tick->inflated += ev.len;
        if (put_off(c, inflated, data, len)) break;
    }
    ws_conn_note_read(c);
}

/* Bytes count before they are parsed, whatever they turn out to be. */
static bool may_take(struct ws_conn *c, size_t n) {
    if (c->proto.ended || ws_conn_allow_bytes(c, n)) return true;
    ws_conn_fail(c, 1008, "too many bytes (byte_rate)");
    return false;
}

/* ---- reading ---- */

static void linger_read(struct ws_conn *c, size_t n) {
    /* A WebSocket peer owes us its FIN, and close_timeout bounds the wait. Behind an error answer
     * it may still send a little. */
    if (c->opened) return;
    if (n >= c->work->linger_left) ws_conn_die(c);
    else c->work->linger_left -= (uint32_t)n;
}

static void took(struct ws_conn *c, uint8_t *data, size_t n) {
    switch ((enum ws_conn_state)c->state) {
    case WS_CONN_HEAD: ws_conn_feed_head(c, data, n); break;
    case WS_CONN_OPEN:
    case WS_CONN_CLOSING:
        if (may_take(c, n)) feed_frames(c, data, n);
        break;
    case WS_CONN_LINGER: linger_read(c, n); break;
    case WS_CONN_ANSWERING:
    case WS_CONN_DEAD: break;
    }
}

static void read_failed(struct ws_conn *c, ssize_t n) {
    if (n == 0) {
        ws_conn_gone(c, c->was_reset ? WS_CLOSE_RESET : WS_CLOSE_EOF);
    } else if (errno == ETIMEDOUT) { /* TCP_USER_TIMEOUT, which is stall_timeout, or keepalive */
        c->broken = true;
        ws_conn_gone(c, WS_CLOSE_STALL);
    } else if (errno != EAGAIN && errno != EWOULDBLOCK) {
        c->broken = true;
        ws_conn_gone(c, WS_CLOSE_RESET);
    }
}

/* The rest of a large message straight into its object, and what follows it into the arena: one
 * system call. */
static bool read_direct(struct ws_conn *c, uint8_t *at, size_t room) {
    struct ws_arena *in = &c->tick->in;
    struct iovec iov[2] = {{.iov_base = at, .iov_len = room < DIRECT_MAX ? room : DIRECT_MAX}};
    int pieces = 1;
    size_t max = iov[0].iov_len;
    if (room < WS_TICK_READ_MAX) {
        iov[1].iov_base = in->data + in->used;
        iov[1].iov_len = WS_TICK_READ_MAX - room;
        pieces = 2;
        max = WS_TICK_READ_MAX;
    }
    ssize_t n = ws_sock_readv(c->fd, iov, pieces);
    if (n <= 0) {
        read_failed(c, n);
        return false;
    }
    size_t direct = (size_t)n < room ? (size_t)n : room, behind = (size_t)n - direct;
    struct ws_proto_event ev;
    if (!may_take(c, (size_t)n)) return false;
    ws_proto_direct_feed(&c->proto, direct,
                         &ev); /* cannot fail: it has asked for at least this much */
    take_event(c, &ev);
    if (behind) feed_frames(c, ws_arena_take(in, behind), behind);
    else ws_conn_note_read(c);
    return (size_t)n == max;
}

bool ws_conn_read(struct ws_conn *c) {
    struct ws_arena *in = &c->tick->in;
    uint8_t *at;
    if (!(ws_conn_interest(c) & WS_POLL_IN))
        return false; /* it was given up or paused since the wait */
    size_t room = c->state == WS_CONN_OPEN || c->state == WS_CONN_CLOSING
                      ? ws_proto_direct_room(&c->proto, &at)
                      : 0;
    if (room) return read_direct(c, at, room);
    at = in->data + in->used; /* the loop has made sure that READ_MAX fits */
    size_t max = c->expects_large ? HEAD_MAX : WS_TICK_READ_MAX;
    ssize_t n = ws_sock_read(c->fd, at, max);
    if (n <= 0) {
        read_failed(c, n);
        return false;
    }
    size_t events = c->tick->batch.n;
    in->used += (size_t)n;
    took(c, at, (size_t)n);
    if (c->tick->batch.n == events) in->used = (size_t)(at - in->data); /* nothing points there */
    return (size_t)n == max;
}

void ws_conn_resume(struct ws_conn *c) {
    if (c->must_end) {
        enum ws_close_kind kind = c->must_end;
        c->must_end = WS_CLOSE_NONE;
        ws_conn_end(c, kind);
        return;
    }
    if (ws_conn_lane(c) && !c->busy && (!c->paused || c->state != WS_CONN_OPEN)) {
        struct ws_event ev = {.kind = WS_EVENT_LANE};
        ws_conn_event(c, &ev);
    }
    size_t len = ws_conn_pending(c);
    /* Behind what stands in the lane; the flush tells when that is empty. */
    if (len && !ws_conn_lane(c) && (c->state == WS_CONN_OPEN || c->state == WS_CONN_CLOSING)) {
        bool is_full = c->tick->inflated >= WS_TICK_INFLATED_MAX;
        uint8_t *data = is_full ? NULL : ws_arena_take(&c->tick->in, len);
        if (!data) { /* no room in this tick */
            ws_conn_make_ready(c);
            return;
        }
        memcpy(data, c->work->pending.data, len);
        ws_buf_fini(&c->work->pending);
        feed_frames(c, data, len);
    }
    ws_conn_touch(c); /* it may be read again */
}

/* What has come goes on first. Behind a handler that is not done some more may wait: so its pings
 * are answered meanwhile, and its end is seen. */
static bool waits(const struct ws_conn *c) {
    if (!c->work) return false;
    const struct ws_batch *lane = c->work->lane;
    size_t max = c->busy ? c->tick->options->max_queue : 0;
    if (c->busy && c->broken) max = SIZE_MAX; /* the poller tells of it until it is read */
    return (lane && lane->n - lane->head > max) || c->work->pending.len;
}

uint32_t ws_conn_interest(const struct ws_conn *c) {
    uint32_t events = ws_queue_n(&c->queue) && !c->broken ? WS_POLL_OUT : 0;
    bool in = false;
    switch ((enum ws_conn_state)c->state) {
    case WS_CONN_HEAD:
    case WS_CONN_LINGER: in = true; break;
    case WS_CONN_OPEN:
        in = !c->paused && !c->throttled && !waits(c) && !c->awaits_buffer && !c->proto.ended;
        break;
    case WS_CONN_CLOSING: in = !waits(c) && !c->awaits_buffer && !c->proto.ended; break;
    case WS_CONN_ANSWERING:
    case WS_CONN_DEAD: break;
    }
    return in && !c->eof ? events | WS_POLL_IN : events;
}
