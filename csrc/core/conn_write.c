/* conn_write.c: what is queued goes to the kernel, and what follows from that: FIN, drain, pause.
 * Pings and pongs are made here, at the last moment. */
#include "conn.h"

#include <errno.h>
#include <string.h>

#define PIECES_MAX 64 /* of one system call */

/* Control frames at the next frame boundary: not stuck behind a long queue, and before a close
 * frame. */
static void queue_control(struct ws_conn *c, enum ws_queue_kind kind, const uint8_t *frames,
                          size_t len) {
    struct ws_msg *m = ws_msg_new(len);
    struct ws_queue_entry e = {.len = len, .msg = m, .kind = (uint8_t)kind};
    if (!m) return; /* a ping or pong less is the least that can go wrong now */
    memcpy(m->bytes, frames, len);
    e.data = m->bytes;
    ws_queue_lend(&c->queue, &c->tick->released);
    if (ws_queue_push_next(&c->queue, &e, &c->tick->released) < 0) ws_msg_unref(m);
}

/* The pongs of a turn are one entry. */
static void queue_pongs(struct ws_conn *c) {
    struct ws_buf *pongs = &c->work->pongs;
    queue_control(c, WS_QUEUE_PONG, pongs->data, pongs->len);
    ws_buf_fini(pongs);
}

static void queue_ping(struct ws_conn *c) {
    uint8_t payload[8], frame[WS_FRAME_HEADER_MAX + sizeof payload];
    ws_conn_make_ping(c, payload);
    size_t len = ws_proto_frame_write(&c->proto, frame, WS_OPCODE_PING, payload, sizeof payload, 0);
    queue_control(c, WS_QUEUE_CONTROL, frame, len);
    c->wants_ping = false;
}

static void write_failed(struct ws_conn *c) {
    c->broken = true;
    if (errno != EPIPE && errno != ECONNRESET) {
        /* The kernel's trouble: no read would ever tell. */
        ws_conn_gone(c, errno == ETIMEDOUT ? WS_CLOSE_STALL : WS_CLOSE_RESET);
        return;
    }
    /* What the peer sent before it went is still read, then EOF ends it. EPIPE: its FIN was first;
     * after a reset the read will tell a mere end. One that only takes nothing more may send for
     * close_timeout still. */
    c->was_reset = errno == ECONNRESET;
    if (!c->has_deadline) ws_conn_arm_close(c);
}

void ws_conn_write(struct ws_conn *c) {
    struct iovec iov[PIECES_MAX];
    bool was_blocked = c->blocked, moved = false;
    c->blocked = false;
    while (ws_queue_n(&c->queue) && !c->broken) {
        size_t total;
        /* What was sealed before goes first: while the kernel takes nothing no more is. */
        bool seals = c->proto.deflate && (moved || !ws_queue_has_sealed(&c->queue));
        if (seals && !ws_conn_seal(c)) {
            c->broken = true;
            ws_conn_gone(c, WS_CLOSE_ERROR);
            break;
        }
        int n = ws_queue_gather(&c->queue, iov, PIECES_MAX, &total);
        ssize_t done = ws_sock_writev(c->fd, iov, n);
        if (done < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                c->blocked = true;
            } else {
                write_failed(c);
            }
            break;
        }
        moved = true;
        ws_queue_consume(&c->queue, (size_t)done, &c->tick->released);
        if ((size_t)done < total) { /* full: asking again now would only tell EAGAIN */
            c->blocked = true;
            break;
        }
    }
    /* What is left outlives the tick, and a run that has gone in part has to be told apart: what
     * was sealed, what is dropped, what each costs. Without memory the flush tries again. */
    if (c->blocked) ws_queue_settle(&c->queue);
    if (c->blocked || was_blocked) ws_conn_note_write(c, was_blocked, moved);
    /* A peer that takes what is queued keeps its time to take the rest, of which there may be no
     * end while a handler goes on. */
    bool is_endless = c->busy && ws_conn_is_leaving(c) && !ws_conn_is_lost(c);
    if (moved && c->has_deadline && !is_endless) ws_conn_arm_close(c);
    if (c->broken) ws_conn_drop_queue(c);
    ws_conn_note_queue(c);
}

static void tell_drained(struct ws_conn *c) {
    struct ws_event ev = {.kind = WS_EVENT_DRAINED};
    c->awaits_drain = false;
    ws_conn_event(c, &ev);
}

/* What follows from the length of the queue. */
static void judge_backlog(struct ws_conn *c) {
    const struct ws_options *o = c->tick->options;
    /* Who may queue less than high_water waits for room, too. */
    bool is_lower = o->max_backlog && o->max_backlog < o->high_water;
    size_t low = (is_lower ? o->max_backlog : o->high_water) / 2;
    if (c->state != WS_CONN_OPEN) {
        c->paused = false;
        if (c->awaits_drain) tell_drained(c); /* there is nothing to wait for any more */
    } else if (ws_conn_is_over(c)) {
        c->paused = true;
    } else if (ws_conn_cost(c) <= low) {
        c->paused = false;
        /* What waits goes first: who refills the queue at each drain would never hear the peer. */
        if (c->awaits_drain && !c->broken && !c->eof) tell_drained(c);
        if (c->wants_drain && !ws_conn_lane(c) && !c->busy && !c->broken && !c->eof) {
            struct ws_event ev = {.kind = WS_EVENT_DRAIN};
            c->wants_drain = false;
            ws_conn_event(c, &ev);
        }
    }
    bool is_read = c->state == WS_CONN_OPEN || c->state == WS_CONN_CLOSING;
    bool waits = ws_conn_lane(c) ? !c->busy : is_read && ws_conn_pending(c);
    if (waits && !c->paused) ws_conn_make_ready(c);
}

void ws_conn_flush(struct ws_conn *c) {
    if (c->state == WS_CONN_DEAD) return;
    if (c->work && c->work->pongs.len && c->state == WS_CONN_OPEN) queue_pongs(c);
    if (c->wants_ping && c->state == WS_CONN_OPEN) queue_ping(c);
    ws_conn_write(c);
    /* The arena is given out anew in the next tick. */
    if (ws_queue_settle(&c->queue) < 0) {
        c->broken = true;
        ws_conn_drop_queue(c);
        ws_conn_gone(c, WS_CLOSE_ERROR);
    }
    if (c->state == WS_CONN_LINGER && !ws_queue_n(&c->queue) && !c->shut) {
        c->shut = true;
        if (c->eof) ws_conn_die(c);
        else ws_sock_shutdown(c->fd);
    }
    judge_backlog(c);
    if (c->work) ws_conn_tidy(c);
}
