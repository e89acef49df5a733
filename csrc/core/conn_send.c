/* conn_send.c: what a connection queues, writes and says last. Reading: conn.c. */
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_MAX 4096 /* frames up to this go into the arena, neighbours into one piece */
#define PIECES_MAX 64  /* of one system call */
#define ENTRY_COST 96  /* bytes of a queue's entry and its block, about */
#define LINGER_DEFAULT                                                                             \
    5000 /* ms, where close_timeout is off: a refused request is no closing handshake */

/* What the queue takes of memory: small frames that wait for a blocked peer cost more than their
 * bytes. */
static size_t cost(const struct ws_conn *c) {
    return c->queue.bytes + (c->blocked ? (size_t)c->queue.n * ENTRY_COST : 0);
}

/* For other threads. */
static void set_backlog(struct ws_conn *c) {
    atomic_store_explicit(&c->backlog, c->queue.bytes, memory_order_relaxed);
    atomic_store_explicit(&c->cost, cost(c), memory_order_relaxed);
}

static int push(struct ws_conn *c, const struct ws_queue_entry *e) {
    int err = ws_queue_push(&c->queue, e);
    if (err < 0) return err;
    set_backlog(c);
    ws_conn_touch(c);
    return 0;
}

void ws_conn_drop_queue(struct ws_conn *c) {
    size_t n = ws_queue_clear(&c->queue, &c->tick->released);
    if (n) ws_count(&c->tick->counters->dropped_sent, n);
    set_backlog(c);
}

/* ---- the first close ---- */

static const struct ws_closing closing_backlog = {
    1013, WS_CLOSE_BACKLOG, true, {"the backlog is full", 19}};
static const struct ws_closing closing_error = {1011, WS_CLOSE_ERROR, true, {"", 0}};
/* RFC 6455 section 7.4.1: 1001 is for "a server going down". */
static const struct ws_closing closing_shutdown = {1001, WS_CLOSE_SHUTDOWN, true, {"", 0}};
/* Not open for another cause than a close of ours. */
static const struct ws_closing closing_none = {0, WS_CLOSE_NONE, true, {"", 0}};

static const struct ws_closing *fixed_closing(enum ws_close_kind kind) {
    return kind == WS_CLOSE_BACKLOG    ? &closing_backlog
           : kind == WS_CLOSE_SHUTDOWN ? &closing_shutdown
                                       : &closing_error;
}

/* NULL: out of memory; what the server closes for itself needs none. */
static const struct ws_closing *new_closing(uint16_t code, struct ws_slice reason,
                                            enum ws_close_kind kind) {
    if (reason.len > WS_CLOSE_REASON_MAX) reason.len = WS_CLOSE_REASON_MAX;
    struct ws_closing *closing = malloc(sizeof *closing + reason.len);
    if (!closing) return kind == WS_CLOSE_LOCAL ? NULL : fixed_closing(kind);
    char *bytes = (char *)(closing + 1);
    if (reason.len) memcpy(bytes, reason.data, reason.len);
    closing->code = code;
    closing->kind = (uint8_t)kind;
    closing->lasting = false;
    closing->reason = (struct ws_slice){bytes, reason.len};
    return closing;
}

static void drop_closing(const struct ws_closing *closing) {
    if (closing && !closing->lasting) free((void *)(uintptr_t)closing); /* ours since new_closing */
}

/* True if it was open: of several threads that close, one is the first, and what it says stays. */
static bool publish(struct ws_conn *c, const struct ws_closing *closing) {
    const struct ws_closing *open = NULL;
    if (!atomic_compare_exchange_strong(&c->closing, &open, closing)) return false;
    atomic_fetch_sub_explicit(&c->tick->n_open, 1, memory_order_relaxed);
    return true;
}

void ws_conn_init_closing(struct ws_conn *c) {
    atomic_init(&c->closing, &closing_none);
}

void ws_conn_begin_open(struct ws_conn *c) {
    atomic_store(&c->closing, NULL);
    atomic_fetch_add_explicit(&c->tick->n_open, 1, memory_order_relaxed);
}

void ws_conn_end_open(struct ws_conn *c) {
    publish(c, &closing_none);
}

void ws_conn_free_closing(struct ws_conn *c) {
    drop_closing(atomic_load(&c->closing));
}

bool ws_conn_is_open(const struct ws_conn *c) {
    return atomic_load_explicit(&c->closing, memory_order_acquire) == NULL;
}

/* ---- messages ---- */

static uint8_t opcode_of(const struct ws_payload *p) {
    return p->text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY;
}

/* A block with the whole frame. NULL: out of memory. */
static struct ws_msg *encode(const struct ws_conn *c, const struct ws_payload *p) {
    size_t size = ws_proto_frame_size(&c->proto, p->len);
    if (p->object) {
        uint8_t header[WS_FRAME_HEADER_MAX];
        struct ws_frame f = {.fin = true, .opcode = opcode_of(p), .len = p->len};
        return ws_msg_new_object(p->object, p->data, p->len, header, ws_frame_write(header, &f));
    }
    struct ws_msg *m = ws_msg_new(size);
    if (m) ws_proto_frame_write(&c->proto, m->bytes, opcode_of(p), p->data, p->len, 0);
    return m;
}

static int queue_message(struct ws_conn *c, const struct ws_payload *p) {
    size_t size = ws_proto_frame_size(&c->proto, p->len);
    struct ws_queue_entry e = {.len = size, .kind = WS_QUEUE_MESSAGE};
    /* A blocked connection's bytes would have to be copied out of the arena again at the tick's
     * end. */
    uint8_t *at = size <= SMALL_MAX && !c->blocked ? ws_arena_take(&c->tick->out, size) : NULL;
    if (at) {
        ws_proto_frame_write(&c->proto, at, opcode_of(p), p->data, p->len, 0);
        e.data = at;
    } else {
        e.msg = encode(c, p);
        if (!e.msg) return WS_ERR_MEMORY;
        e.data = e.msg->data;
    }
    if (push(c, &e) < 0) {
        if (e.msg) ws_msg_free(e.msg); /* the object stays the caller's */
        return WS_ERR_MEMORY;
    }
    ws_count(&c->tick->counters->sent, 1);
    return 0;
}

bool ws_conn_is_over(const struct ws_conn *c) {
    return cost(c) > c->tick->options->high_water;
}

static bool is_full(const struct ws_conn *c, size_t bytes) {
    return c->tick->options->max_backlog && bytes >= c->tick->options->max_backlog;
}

static void write_queue(struct ws_conn *c);
static void close_here(struct ws_conn *c);

/* The bound was reached: the policy "close" throws away what is not sealed and ends the connection.
 */
static void overflow(struct ws_conn *c) {
    size_t n = ws_queue_discard(&c->queue, &c->tick->released);
    ws_count(&c->tick->counters->dropped_sent, n);
    set_backlog(c);
    ws_tick_log(
        c->tick, WS_LINE_BACKLOG, WS_LOG_WARNING,
        "connection %llu closed with 1013: its backlog reached max_backlog, %zu messages dropped",
        (unsigned long long)c->node.id, n);
}

static int send_here(struct ws_conn *c, const struct ws_payload *p) {
    if (c->state != WS_CONN_OPEN || c->broken || c->eof) {
        ws_count(&c->tick->counters->dropped_sent, 1);
        return WS_SENT_DROPPED;
    }
    size_t posted = atomic_load_explicit(&c->posted, memory_order_relaxed);
    if (is_full(c, cost(c) + posted)) {
        write_queue(c); /* before the policy acts: perhaps the kernel takes it now */
        /* In dispatch, where objects may be released: a handler that sends much frees as it goes.
         */
        if (c->tick->released.bytes > WS_TICK_RELEASE_MAX) ws_tick_give_back(c->tick);
        if (is_full(c, cost(c) + posted)) {
            ws_conn_close_for(c, WS_CLOSE_BACKLOG);
            ws_count(&c->tick->counters->dropped_sent, 1);
            return WS_SENT_DROPPED;
        }
    }
    int err = queue_message(c, p);
    if (err < 0) return err;
    if (!ws_conn_is_over(c)) return WS_SENT;
    c->wants_drain = true;
    return WS_SENT_OVER;
}

/* ---- other threads ---- */

static struct ws_mail *new_mail(struct ws_conn *c, enum ws_mail_kind kind) {
    struct ws_mail *mail = calloc(1, sizeof *mail);
    if (!mail) return NULL;
    ws_conn_ref(c);
    mail->conn = c;
    mail->kind = (uint8_t)kind;
    return mail;
}

static void post(struct ws_conn *c, struct ws_mail *mail) {
    if (ws_mailbox_post(&c->tick->mailbox, mail)) ws_wake_signal(&c->tick->wake);
}

/* Publishes the close here, so that is_open is False at once, and has the owner carry it out. Takes
 * closing. */
static int post_close(struct ws_conn *c, const struct ws_closing *closing) {
    struct ws_mail *mail = new_mail(c, WS_MAIL_CLOSE);
    if (mail && publish(c, closing)) {
        post(c, mail);
        return 0;
    }
    drop_closing(closing);
    if (!mail) return WS_ERR_MEMORY;
    ws_conn_unref(c); /* the mail's reference */
    free(mail);
    return 0;
}

/* The payload counts in the backlog from here on, so that a mailbox is bounded. */
static int post_message(struct ws_conn *c, const struct ws_payload *p) {
    size_t size = ws_proto_frame_size(&c->proto, p->len);
    size_t before = atomic_fetch_add_explicit(&c->posted, size, memory_order_relaxed) +
                    atomic_load_explicit(&c->cost, memory_order_relaxed);
    int result = WS_SENT_DROPPED;
    if (is_full(c, before)) {
        atomic_fetch_add_explicit(&c->tick->counters->dropped_posted, 1, memory_order_relaxed);
        if (post_close(c, &closing_backlog) < 0)
            result = WS_ERR_MEMORY; /* the next send tries again */
        goto refused;
    }
    result = WS_ERR_MEMORY;
    struct ws_msg *msg = encode(c, p);
    struct ws_mail *mail = msg ? new_mail(c, WS_MAIL_SEND) : NULL;
    if (!mail) {
        if (msg) ws_msg_free(msg);
        goto refused;
    }
    mail->msg = msg;
    bool over = before + size > c->tick->options->high_water;
    mail->over = over; /* the mail is the owner's once it is posted */
    post(c, mail);
    return over ? WS_SENT_OVER : WS_SENT;

refused:
    atomic_fetch_sub_explicit(&c->posted, size, memory_order_relaxed);
    return result;
}

static void apply_message(struct ws_conn *c, struct ws_mail *mail) {
    size_t size = ws_msg_size(mail->msg);
    struct ws_queue_entry e = {
        .data = mail->msg->data, .len = size, .msg = mail->msg, .kind = WS_QUEUE_MESSAGE};
    atomic_fetch_sub_explicit(&c->posted, size, memory_order_relaxed);
    if (mail->over) c->wants_drain = true;
    if (c->state == WS_CONN_OPEN && !c->broken && !c->eof && push(c, &e) == 0) {
        ws_count(&c->tick->counters->sent, 1);
        return;
    }
    /* The peer has gone, or we closed before: the sender could not know. */
    ws_queue_sink_unref(&c->tick->released, mail->msg);
    ws_count(&c->tick->counters->dropped_sent, 1);
}

void ws_conn_apply(struct ws_conn *c, struct ws_mail *mail) {
    if (mail->kind == WS_MAIL_SEND) {
        apply_message(c, mail);
    } else if (c->state == WS_CONN_OPEN) {
        close_here(c);
    }
}

/* ---- what users ask ---- */

int ws_conn_send(struct ws_conn *c, const struct ws_payload *payload) {
    if (!ws_conn_is_open(c)) return WS_ERR_CLOSED;
    return ws_tick_is_owner(c->tick) ? send_here(c, payload) : post_message(c, payload);
}

bool ws_close_code_is_sendable(int code) {
    return code >= 0 && ws_proto_code_is_valid((unsigned)code);
}

int ws_conn_close(struct ws_conn *c, uint16_t code, struct ws_slice reason,
                  enum ws_close_kind kind) {
    if (!ws_conn_is_open(c)) return 0;
    const struct ws_closing *closing = new_closing(code, reason, kind);
    if (!closing) return WS_ERR_MEMORY;
    if (!ws_tick_is_owner(c->tick)) return post_close(c, closing);
    if (publish(c, closing)) close_here(c);
    else drop_closing(closing);
    return 0;
}

void ws_conn_close_for(struct ws_conn *c, enum ws_close_kind kind) {
    if (publish(c, fixed_closing(kind))) close_here(c);
}

/* ---- the end ---- */

static char *copy_words(struct ws_slice words, uint8_t *len) {
    char *copy = words.len ? malloc(words.len) : NULL;
    if (copy) memcpy(copy, words.data, words.len);
    *len = copy ? (uint8_t)words.len : 0;
    return copy;
}

void ws_conn_send_close(struct ws_conn *c, uint16_t code, struct ws_slice reason) {
    uint8_t payload[WS_CONTROL_MAX];
    if (c->sent_code || c->broken)
        return; /* RFC 6455 section 5.5.1: one close frame, nothing behind it */
    if (reason.len > WS_CLOSE_REASON_MAX) reason.len = WS_CLOSE_REASON_MAX;
    size_t len = ws_proto_close_payload(payload, code, reason.data, reason.len);
    struct ws_msg *m = ws_msg_new(ws_proto_frame_size(&c->proto, len));
    struct ws_queue_entry e = {.msg = m, .kind = WS_QUEUE_CONTROL};
    if (m) {
        e.data = m->bytes;
        e.len = ws_proto_frame_write(&c->proto, m->bytes, WS_OPCODE_CLOSE, payload, len, 0);
    }
    if (!m || push(c, &e) <
                  0) { /* no memory for a close frame: the peer will see the end of the stream */
        ws_msg_unref(m);
        c->broken = true;
        ws_conn_touch(c);
        return;
    }
    c->sent_code = code;
    c->sent_reason = copy_words(reason, &c->sent_reason_len);
}

/* close_timeout bounds a closing handshake, and with it whatever else is on its way out. */
void ws_conn_arm_close(struct ws_conn *c) {
    uint32_t delay = c->tick->options->close_timeout_ms;
    ws_conn_deadline(c, delay || (c->opened && !c->broken) ? delay : LINGER_DEFAULT);
}

/* Carries out the close that was published: what was sent before goes first, what the peer still
 * sends is dropped. */
static void close_here(struct ws_conn *c) {
    const struct ws_closing *closing = atomic_load(&c->closing);
    if (closing->kind == WS_CLOSE_BACKLOG) overflow(c);
    ws_conn_set_kind(c, closing->kind);
    ws_conn_send_close(c, closing->code, closing->reason);
    c->state = WS_CONN_CLOSING;
    c->paused = false;
    if (!c->awaits_buffer) ws_proto_skip(&c->proto); /* else dispatch answers the BUFFER event */
    if (c->lane) ws_conn_make_ready(c);
    ws_conn_arm_close(c);
    ws_conn_touch(c);
}

void ws_conn_linger(struct ws_conn *c) {
    c->state = WS_CONN_LINGER;
    ws_conn_arm_close(c);
    ws_conn_touch(c);
}

int ws_conn_send_http(struct ws_conn *c, const uint8_t *data, size_t len, bool lasting) {
    struct ws_queue_entry e = {.data = data, .len = len, .kind = WS_QUEUE_HTTP, .lasting = lasting};
    if (!lasting) {
        e.msg = ws_msg_new(len);
        if (!e.msg) return WS_ERR_MEMORY;
        memcpy(e.msg->bytes, data, len);
        e.data = e.msg->bytes;
    }
    int err = push(c, &e);
    if (err < 0) ws_msg_unref(e.msg);
    return err;
}

/* ---- writing ---- */

static void queue_pong(struct ws_conn *c) {
    size_t len = c->pong[0];
    struct ws_msg *m = ws_msg_new(ws_proto_frame_size(&c->proto, len));
    struct ws_queue_entry e = {.msg = m, .kind = WS_QUEUE_PONG};
    if (m) {
        e.data = m->bytes;
        e.len = ws_proto_frame_write(&c->proto, m->bytes, WS_OPCODE_PONG, c->pong + 1, len, 0);
        /* At the next frame boundary: not stuck behind a long queue, and before a close frame. */
        if (ws_queue_push_next(&c->queue, &e, &c->tick->released) < 0) ws_msg_unref(m);
    }
    free(c->pong);
    c->pong = NULL;
}

static void write_failed(struct ws_conn *c) {
    c->broken = true;
    if (errno != EPIPE && errno != ECONNRESET) {
        ws_conn_gone(c, WS_CLOSE_RESET); /* the kernel's trouble: no read would ever tell */
        return;
    }
    /* What the peer sent before it went is still read, then EOF ends it. EPIPE: its FIN was first;
     * after a reset the read will tell a mere end. One that only takes nothing more may send for
     * close_timeout still. */
    c->was_reset = errno == ECONNRESET;
    if (!ws_timer_is_armed(&c->timer)) ws_conn_arm_close(c);
}

/* Writes until the queue is empty or the kernel is full. */
static void write_queue(struct ws_conn *c) {
    struct iovec iov[PIECES_MAX];
    size_t before = c->queue.bytes;
    c->blocked = false;
    while (c->queue.n && !c->broken) {
        size_t total;
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
        ws_queue_consume(&c->queue, (size_t)done, &c->tick->released);
        if ((size_t)done < total) { /* full: asking again now would only tell EAGAIN */
            c->blocked = true;
            break;
        }
    }
    /* A peer that takes what is queued keeps its time to take the rest. */
    bool is_timed = ws_timer_is_armed(&c->timer) || c->is_overdue;
    if (c->queue.bytes < before && is_timed) ws_conn_arm_close(c);
    if (c->broken) ws_conn_drop_queue(c);
    set_backlog(c);
}

/* What follows from the length of the queue. */
static void judge_backlog(struct ws_conn *c) {
    size_t low = c->tick->options->high_water / 2;
    if (c->state != WS_CONN_OPEN) {
        c->paused = false;
    } else if (ws_conn_is_over(c)) {
        c->paused = true;
    } else if (cost(c) <= low) {
        c->paused = false;
        if (c->wants_drain && !c->broken && !c->eof) {
            struct ws_event ev = {.kind = WS_EVENT_DRAIN};
            c->wants_drain = false;
            ws_conn_event(c, &ev);
        }
    }
    if (c->lane && !c->paused) ws_conn_make_ready(c);
}

void ws_conn_flush(struct ws_conn *c) {
    if (c->state == WS_CONN_DEAD) return;
    if (c->pong && c->state == WS_CONN_OPEN) queue_pong(c);
    write_queue(c);
    /* The arena is given out anew in the next tick. */
    if (ws_queue_settle(&c->queue) < 0) {
        c->broken = true;
        ws_conn_drop_queue(c);
        ws_conn_gone(c, WS_CLOSE_ERROR);
    }
    if (c->state == WS_CONN_LINGER && !c->queue.n && !c->shut) {
        c->shut = true;
        if (c->eof) ws_conn_die(c);
        else ws_sock_shutdown(c->fd);
    }
    judge_backlog(c);
}
