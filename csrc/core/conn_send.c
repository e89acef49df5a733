/* conn_send.c: what users send: messages, whole or in parts, and pings; on the owner thread at
 * once, from others through the mailbox. Writing it: conn_write.c. */
#include "conn.h"

#include <stdlib.h>
#include <string.h>

#define ENTRY_COST 96 /* bytes of a queue's entry and its block, about */
/* The same for what another thread has posted, in part only: a burst of ten thousands while the
 * loop waits for its turn says nothing of the peer. */
#define POSTED_COST 16

/* ---- the queue ---- */

static void count_conn_dropped(struct ws_conn *c, size_t n) {
    atomic_fetch_add_explicit(&c->dropped, n, memory_order_relaxed);
}

size_t ws_conn_cost(const struct ws_conn *c) {
    const struct ws_queue *behind = ws_conn_behind(c);
    size_t cost =
        ws_queue_bytes(&c->queue) + (c->blocked ? (size_t)ws_queue_n(&c->queue) * ENTRY_COST : 0);
    if (behind) cost += ws_queue_bytes(behind) + (size_t)ws_queue_n(behind) * ENTRY_COST;
    return cost;
}

void ws_conn_note_queue(struct ws_conn *c) {
    const struct ws_queue *behind = ws_conn_behind(c);
    size_t bytes = ws_queue_bytes(&c->queue) + (behind ? ws_queue_bytes(behind) : 0);
    atomic_store_explicit(&c->backlog, bytes, memory_order_relaxed);
    atomic_store_explicit(&c->cost, ws_conn_cost(c), memory_order_relaxed);
}

static int pushed(struct ws_conn *c, int err) {
    if (err < 0) return err;
    ws_conn_note_queue(c);
    ws_conn_touch(c);
    return 0;
}

int ws_conn_push(struct ws_conn *c, const struct ws_queue_entry *e) {
    ws_queue_lend(&c->queue, &c->tick->released);
    return pushed(c, ws_queue_push(&c->queue, e));
}

/* A message in the arena, for a peer that takes it in this tick, most likely. */
static int push_borrowed(struct ws_conn *c, const uint8_t *data, size_t len) {
    ws_queue_lend(&c->queue, &c->tick->released);
    return pushed(c, ws_queue_push_borrowed(&c->queue, data, len));
}

/* Messages that were queued and will not be written. */
static void count_dropped(struct ws_conn *c, size_t n) {
    if (n) ws_count(&c->tick->counters->dropped_sent, n);
    if (n) count_conn_dropped(c, n);
    ws_conn_note_queue(c);
}

void ws_conn_drop_behind(struct ws_conn *c) {
    struct ws_queue *behind = ws_conn_behind(c);
    if (!behind) return;
    size_t n = ws_queue_clear(behind, &c->tick->released);
    free(behind);
    c->work->behind = NULL;
    count_dropped(c, n);
}

void ws_conn_drop_queue(struct ws_conn *c) {
    ws_conn_drop_behind(c);
    count_dropped(c, ws_queue_clear(&c->queue, &c->tick->released));
}

size_t ws_conn_discard(struct ws_conn *c) {
    size_t behind = ws_conn_behind(c) ? ws_queue_n(ws_conn_behind(c)) : 0;
    ws_conn_drop_behind(c);
    size_t n = ws_queue_discard(&c->queue, &c->tick->released);
    count_dropped(c, n);
    return n + behind;
}

bool ws_conn_is_over(const struct ws_conn *c) {
    return ws_conn_cost(c) > c->tick->options->high_water;
}

static bool is_full(const struct ws_conn *c, size_t bytes) {
    return c->tick->options->max_backlog && bytes >= c->tick->options->max_backlog;
}

int ws_conn_send_http(struct ws_conn *c, const uint8_t *data, size_t len, bool lasting) {
    struct ws_queue_entry e = {.data = data, .len = len, .kind = WS_QUEUE_HTTP, .lasting = lasting};
    if (!lasting) {
        e.msg = ws_msg_new(len);
        if (!e.msg) return WS_ERR_MEMORY;
        memcpy(e.msg->bytes, data, len);
        e.data = e.msg->bytes;
    }
    int err = ws_conn_push(c, &e);
    if (err < 0) ws_msg_unref(e.msg);
    return err;
}

/* Whoever keeps up sees every message: only what waits for a slow peer gives way to what is newer.
 */
static bool replace(struct ws_conn *c, struct ws_queue *q, const struct ws_queue_entry *e) {
    bool waits = c->blocked || c->in_stream;
    if (!e->key || !waits || ws_queue_replace(q, e, &c->tick->released) == 0) return false;
    ws_count(&c->tick->counters->replaced, 1);
    count_conn_dropped(c, 1);
    ws_conn_note_queue(c);
    return true;
}

/* ---- streams ---- */

/* RFC 6455 section 5.4: fragments of one message "MUST NOT be interleaved between the fragments of
 * another message". So whole messages wait for the end of the one that is sent in parts. */
static int push_behind(struct ws_conn *c, const struct ws_queue_entry *e) {
    struct ws_work *w = ws_conn_need_work(c);
    if (w && !w->behind) w->behind = calloc(1, sizeof *w->behind);
    if (!w || !w->behind) return WS_ERR_MEMORY;
    if (replace(c, w->behind, e)) return 0;
    ws_queue_lend(w->behind, &c->tick->released);
    if (ws_queue_push(w->behind, e) < 0) return WS_ERR_MEMORY;
    ws_conn_note_queue(c);
    return 0;
}

/* A part or a whole message goes to its place. */
static int push_message(struct ws_conn *c, const struct ws_queue_entry *e, uint8_t part) {
    if (part == WS_PART_WHOLE && c->in_stream) return push_behind(c, e);
    if (replace(c, &c->queue, e)) return 0;
    int err = ws_conn_push(c, e);
    if (err < 0 || part == WS_PART_WHOLE) return err;
    c->in_stream = part != WS_PART_LAST;
    if (c->in_stream || !ws_conn_behind(c)) return 0;
    /* Without memory they wait on, and the next stream's end tries again, or the close drops them.
     */
    if (ws_queue_append(&c->queue, c->work->behind, &c->tick->released) < 0) return 0;
    free(c->work->behind);
    c->work->behind = NULL;
    ws_conn_note_queue(c);
    return 0;
}

int ws_conn_stream_begin(struct ws_conn *c) {
    if (!ws_conn_is_open(c)) return WS_ERR_CLOSED;
    uint8_t is = WS_CONN_STREAM_NONE;
    if (atomic_compare_exchange_strong(&c->streaming, &is, WS_CONN_STREAM_OPEN)) return 0;
    return is == WS_CONN_STREAM_BROKEN ? WS_ERR_CLOSED : WS_ERR_ARGUMENT;
}

void ws_conn_stream_break(struct ws_conn *c, bool is_amid) {
    atomic_store(&c->streaming, is_amid ? WS_CONN_STREAM_BROKEN : WS_CONN_STREAM_NONE);
}

/* ---- messages ---- */

static uint8_t opcode_of(const struct ws_payload *p) {
    if (p->part == WS_PART_MORE || p->part == WS_PART_LAST) return WS_OPCODE_CONTINUATION;
    return p->text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY;
}

static bool is_final(uint8_t part) {
    return part == WS_PART_WHOLE || part == WS_PART_LAST;
}

/* A message, or a part, is on its way. */
static void note_sent(struct ws_conn *c, uint8_t part) {
    c->active_ms = (uint32_t)c->tick->now_ms;
    if (is_final(part)) ws_count(&c->tick->counters->sent, 1);
}

size_t ws_conn_frame_size(const struct ws_payload *p) {
    return ws_frame_header_size(p->len, false) + p->len;
}

static size_t write_header(uint8_t *out, const struct ws_payload *p) {
    struct ws_frame f = {.fin = is_final(p->part), .opcode = opcode_of(p), .len = p->len};
    return ws_frame_write(out, &f);
}

/* RFC 6455 section 5.1: "A server MUST NOT mask any frames that it sends to the client." So a frame
 * is the same for everybody. */
void ws_conn_write_frame(uint8_t *out, const struct ws_payload *p) {
    uint8_t *payload = out + write_header(out, p);
    if (p->len && p->data != payload) memcpy(payload, p->data, p->len);
}

/* In the arena, with the header's place in front. */
uint8_t *ws_conn_room(struct ws_tick *t, size_t len) {
    size_t header = ws_frame_header_size(len, false);
    if (!ws_tick_is_owner(t) || len > WS_CONN_SMALL_MAX - header) return NULL;
    uint8_t *frame = ws_arena_take(&t->out, header + len);
    return frame ? frame + header : NULL;
}

uint8_t *ws_conn_take_frame(struct ws_tick *t, const struct ws_payload *p) {
    size_t size = ws_conn_frame_size(p);
    if (p->placed) return (uint8_t *)(uintptr_t)p->data - (size - p->len);
    bool is_small = size <= WS_CONN_SMALL_MAX && !p->object;
    return is_small ? ws_arena_take(&t->out, size) : NULL;
}

/* A block with the whole frame. NULL: out of memory. */
struct ws_msg *ws_conn_encode(const struct ws_payload *p) {
    if (p->object) {
        uint8_t header[WS_FRAME_HEADER_MAX];
        return ws_msg_new_object(p->object, p->data, p->len, header, write_header(header, p));
    }
    struct ws_msg *m = ws_msg_new(ws_conn_frame_size(p));
    if (m) ws_conn_write_frame(m->bytes, p);
    return m;
}

static uint8_t kind_of(uint8_t part) {
    if (part == WS_PART_WHOLE) return WS_QUEUE_MESSAGE;
    return part == WS_PART_LAST ? WS_QUEUE_LAST : WS_QUEUE_PART;
}

/* A message with a key, a part, or what is not in the arena (at is NULL): in a block then. */
static int queue_entry(struct ws_conn *c, const struct ws_payload *p, size_t size,
                       const uint8_t *at) {
    struct ws_queue_entry e = {.data = at,
                               .len = size,
                               .key = p->key,
                               .kind = kind_of(p->part),
                               .deflate = ws_conn_wants_deflate(c, p->compress, p->part, size)};
    if (!at) {
        e.msg = ws_conn_encode(p);
        if (!e.msg) return WS_ERR_MEMORY;
        e.data = e.msg->data;
    }
    int err = push_message(c, &e, p->part);
    if (err < 0 && e.msg) ws_msg_free(e.msg); /* the object stays the caller's */
    return err;
}

static int queue_message(struct ws_conn *c, const struct ws_payload *p) {
    size_t size = ws_conn_frame_size(p);
    /* What outlives the tick would have to be copied out of the arena again at its end; an object
     * is held by a block. */
    uint8_t *at = !c->blocked && !c->in_stream ? ws_conn_take_frame(c->tick, p) : NULL;
    if (at) ws_conn_write_frame(at, p);
    bool is_plain = at && !p->key && p->part == WS_PART_WHOLE && !c->proto.deflate;
    int err = is_plain ? push_borrowed(c, at, size) : queue_entry(c, p, size, at);
    if (err < 0) return err;
    note_sent(c, p->part);
    return 0;
}

static size_t posted_cost(const struct ws_conn *c) {
    return atomic_load_explicit(&c->posted, memory_order_relaxed) +
           POSTED_COST * (size_t)atomic_load_explicit(&c->n_posted, memory_order_relaxed);
}

/* beside: what counts with the queue. */
static bool has_room(const struct ws_conn *c, size_t beside) {
    return !is_full(c, ws_conn_cost(c) + beside);
}

/* With a key it may take the place of an older one: then the queue is not longer for it. */
static bool has_old_place(struct ws_conn *c, size_t beside, uint64_t key) {
    if (!key || !(c->blocked || c->in_stream)) return false;
    struct ws_queue *q = c->in_stream ? ws_conn_behind(c) : &c->queue; /* where it would stand */
    size_t old = q ? ws_queue_replaceable(q, key) : 0;
    return old && !is_full(c, ws_conn_cost(c) + beside - old);
}

/* Makes room at the cost of what waits longest. */
static void drop_oldest(struct ws_conn *c, size_t beside) {
    struct ws_queue_sink *sink = &c->tick->released;
    struct ws_queue *behind = ws_conn_behind(c);
    size_t n = 0;
    if (ws_queue_settle(&c->queue) < 0) return; /* no memory to tell the messages apart */
    while (!has_room(c, beside) && (ws_queue_drop_oldest(&c->queue, sink) ||
                                    (behind && ws_queue_drop_oldest(behind, sink))))
        n++;
    count_dropped(c, n);
}

/* The bound is reached. Before the policy acts: perhaps the kernel takes it now. */
static void make_room(struct ws_conn *c, size_t beside) {
    ws_conn_write(c);
    if (c->tick->options->backlog_policy == WS_BACKLOG_DROP_OLDEST) drop_oldest(c, beside);
}

/* Whether another frame may be queued. If the bound was reached the policy has acted. */
static bool has_place(struct ws_conn *c, size_t beside, uint8_t part, uint64_t key) {
    enum ws_backlog_policy policy = c->tick->options->backlog_policy;
    if (has_room(c, beside) || has_old_place(c, beside, key)) return true;
    make_room(c, beside);
    if (has_room(c, beside)) return true;
    /* A part cannot be left out, and may not make the queue grow for ever either. */
    if (policy == WS_BACKLOG_CLOSE || part != WS_PART_WHOLE) ws_conn_close_for(c, WS_CLOSE_BACKLOG);
    return false;
}

/* Whether the peer still takes something. */
static bool is_there(const struct ws_conn *c) {
    return c->state == WS_CONN_OPEN && !c->broken && !c->eof;
}

static int send_here(struct ws_conn *c, const struct ws_payload *p) {
    /* In dispatch, where objects may be released: a handler that sends much frees as it goes. */
    if (c->tick->released.bytes > WS_TICK_RELEASE_MAX) ws_tick_give_back(c->tick);
    if (!is_there(c) || !has_place(c, posted_cost(c), p->part, p->key)) {
        c->wants_drain = true;
        count_dropped(c, 1);
        return WS_SENT_DROPPED;
    }
    int err = queue_message(c, p);
    if (err < 0) return err;
    if (!ws_conn_is_over(c)) return WS_SENT;
    c->wants_drain = true;
    return WS_SENT_OVER;
}

/* ---- messages for many ---- */

static struct ws_msg *shared_msg(struct ws_shared *s) {
    if (!s->msg && s->payload) s->msg = ws_conn_encode(s->payload);
    return s->msg;
}

/* Who takes it at once reads it from the arena; who may keep it shares a block of its size, and who
 * gets it compressed shares that with the block. Not inlined: what takes the short way is spared
 * the entry. */
__attribute__((noinline)) static int deliver_entry(struct ws_conn *c, struct ws_shared *s) {
    struct ws_queue_entry e = {.len = s->len, .key = s->key, .kind = WS_QUEUE_MESSAGE};
    e.deflate = e.shared = ws_conn_wants_deflate(c, s->compress, WS_PART_WHOLE, s->len);
    if (s->at && !c->blocked && !c->in_stream && !e.deflate) {
        e.data = s->at;
    } else if ((e.msg = shared_msg(s))) {
        e.data = e.msg->data;
        ws_msg_ref(e.msg);
    }
    int err = e.data ? push_message(c, &e, WS_PART_WHOLE) : WS_ERR_MEMORY;
    if (err < 0) ws_queue_sink_unref(&c->tick->released, e.msg);
    return err;
}

void ws_conn_deliver(struct ws_conn *c, struct ws_shared *s) {
    /* A close that another thread has posted goes behind what it published before: is_open says
     * nothing of that. */
    if (!is_there(c) || !has_place(c, posted_cost(c), WS_PART_WHOLE, s->key)) {
        count_dropped(c, 1);
        return;
    }
    bool is_plain = s->at && !s->key && !c->blocked && !c->in_stream && !c->proto.deflate;
    int err = is_plain ? push_borrowed(c, s->at, s->len) : deliver_entry(c, s);
    if (err < 0) count_dropped(c, 1);
    else note_sent(c, WS_PART_WHOLE);
}

/* ---- pings ---- */

static int queue_ping(struct ws_conn *c, struct ws_msg *m) {
    struct ws_queue_entry e = {
        .data = m->data, .len = ws_msg_size(m), .msg = m, .kind = WS_QUEUE_CONTROL};
    ws_queue_lend(&c->queue, &c->tick->released);
    if (ws_queue_push_next(&c->queue, &e, &c->tick->released) < 0) return WS_ERR_MEMORY;
    ws_conn_note_queue(c);
    ws_conn_touch(c);
    return 0;
}

static struct ws_msg *encode_ping(const struct ws_conn *c, const uint8_t *data, size_t len) {
    struct ws_msg *m = ws_msg_new(ws_proto_frame_size(&c->proto, len));
    if (m) ws_proto_frame_write(&c->proto, m->bytes, WS_OPCODE_PING, data, len, 0);
    return m;
}

static int ping_here(struct ws_conn *c, struct ws_msg *m) {
    if (!is_there(c) || (m && !has_place(c, posted_cost(c), WS_PART_WHOLE, 0)))
        return WS_SENT_DROPPED;
    if (m) return queue_ping(c, m) < 0 ? WS_ERR_MEMORY : WS_SENT;
    c->wants_ping = true;
    ws_conn_touch(c);
    return WS_SENT;
}

/* ---- other threads ---- */

struct ws_mail *ws_conn_new_mail(struct ws_conn *c, enum ws_mail_kind kind) {
    struct ws_mail *mail = calloc(1, sizeof *mail);
    if (!mail) return NULL;
    ws_conn_ref(c);
    mail->conn = c;
    mail->kind = (uint8_t)kind;
    return mail;
}

/* Publishes the close here, so that is_open is False at once. */
int ws_conn_post_close(struct ws_conn *c, const struct ws_closing *closing) {
    struct ws_mail *mail = ws_conn_new_mail(c, WS_MAIL_CLOSE);
    if (mail && ws_conn_set_closing(c, closing)) {
        ws_tick_post(c->tick, mail);
        return 0;
    }
    ws_conn_drop_closing(closing);
    if (!mail) return WS_ERR_MEMORY;
    ws_conn_unref(c); /* the mail's reference */
    free(mail);
    return 0;
}

static void take_back_posted(struct ws_conn *c, size_t size) {
    atomic_fetch_sub_explicit(&c->posted, size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&c->n_posted, 1, memory_order_relaxed);
}

/* What only gives way to something in the queue, where its owner does it: then what stands there is
 * no reason to refuse it here. */
static bool is_judged_late(const struct ws_conn *c, uint8_t part, uint64_t key) {
    if (part != WS_PART_WHOLE) return false;
    return key || c->tick->options->backlog_policy == WS_BACKLOG_DROP_OLDEST;
}

/* A sender that was told to slow down waits for on_drain, from whichever thread. */
static void ask_for_drain(struct ws_conn *c) {
    if (atomic_exchange(&c->drain_posted, true)) return;
    struct ws_mail *mail = ws_conn_new_mail(c, WS_MAIL_DRAIN);
    if (mail) ws_tick_post(c->tick, mail);
    else atomic_store(&c->drain_posted, false);
}

/* What is posted counts in the backlog from here on, so that a mailbox is bounded. Returns an enum
 * ws_sent or WS_ERR_MEMORY; it is taken back unless it is WS_SENT or WS_SENT_OVER. */
static int reserve_posted(struct ws_conn *c, enum ws_mail_kind kind, size_t size, uint8_t part,
                          uint64_t key) {
    enum ws_backlog_policy policy = c->tick->options->backlog_policy;
    size_t posted = atomic_fetch_add_explicit(&c->posted, size, memory_order_relaxed);
    posted +=
        POSTED_COST * (size_t)atomic_fetch_add_explicit(&c->n_posted, 1, memory_order_relaxed);
    size_t before = posted + atomic_load_explicit(&c->cost, memory_order_relaxed);
    bool late = kind == WS_MAIL_SEND && is_judged_late(c, part, key);
    if (late ? ws_tick_take_room(c->tick, size) : !is_full(c, before))
        return before + size > c->tick->options->high_water ? WS_SENT_OVER : WS_SENT;
    take_back_posted(c, size);
    if (kind == WS_MAIL_SEND) { /* a ping is no message */
        atomic_fetch_add_explicit(&c->tick->counters->dropped_posted, 1, memory_order_relaxed);
        count_conn_dropped(c, 1);
    }
    if (late || (policy != WS_BACKLOG_CLOSE && part == WS_PART_WHOLE)) {
        ask_for_drain(c);
        return WS_SENT_DROPPED;
    }
    /* Without memory for it the next send tries again. */
    int err = ws_conn_post_close(c, ws_conn_fixed_closing(WS_CLOSE_BACKLOG));
    return err < 0 ? err : WS_SENT_DROPPED;
}

static int post_msg(struct ws_conn *c, enum ws_mail_kind kind, struct ws_msg *msg, uint8_t part,
                    uint64_t key, uint8_t compress) {
    size_t size = msg ? ws_msg_size(msg) : 0;
    int sent = msg ? reserve_posted(c, kind, size, part, key) : WS_SENT;
    if (sent != WS_SENT && sent != WS_SENT_OVER) return sent;
    struct ws_mail *mail = ws_conn_new_mail(c, kind);
    if (!mail) {
        if (msg) take_back_posted(c, size);
        if (kind == WS_MAIL_SEND && is_judged_late(c, part, key)) ws_tick_give_room(c->tick, size);
        return WS_ERR_MEMORY;
    }
    mail->msg = msg;
    mail->part = part;
    mail->key = key;
    mail->compress = compress;
    if (part != WS_PART_WHOLE) atomic_fetch_add_explicit(&c->posted_parts, 1, memory_order_relaxed);
    mail->over = sent == WS_SENT_OVER; /* the mail is the owner's once it is posted */
    ws_tick_post(c->tick, mail);
    return sent;
}

static int post_message(struct ws_conn *c, const struct ws_payload *p) {
    struct ws_msg *msg = ws_conn_encode(p);
    if (!msg) return WS_ERR_MEMORY;
    int sent = post_msg(c, WS_MAIL_SEND, msg, p->part, p->key, p->compress);
    if (sent != WS_SENT && sent != WS_SENT_OVER) ws_msg_free(msg); /* not what it holds */
    return sent;
}

static int post_ping(struct ws_conn *c, const uint8_t *data, size_t len) {
    struct ws_msg *msg = data ? encode_ping(c, data, len) : NULL;
    if (data && !msg) return WS_ERR_MEMORY;
    /* One that carries nothing of the caller's is enough, however many are asked for. */
    if (!data && atomic_exchange(&c->ping_posted, true)) return WS_SENT;
    int sent = post_msg(c, WS_MAIL_PING, msg, WS_PART_WHOLE, 0, WS_COMPRESS_NEVER);
    if (!data && sent < 0) atomic_store(&c->ping_posted, false);
    if (sent != WS_SENT && sent != WS_SENT_OVER) ws_msg_unref(msg);
    return sent;
}

static void apply_message(struct ws_conn *c, struct ws_mail *mail) {
    size_t size = ws_msg_size(mail->msg);
    struct ws_queue_entry e = {.data = mail->msg->data,
                               .len = size,
                               .msg = mail->msg,
                               .key = mail->key,
                               .kind = kind_of(mail->part),
                               .deflate =
                                   ws_conn_wants_deflate(c, mail->compress, mail->part, size)};
    take_back_posted(c, size);
    if (mail->part != WS_PART_WHOLE)
        atomic_fetch_sub_explicit(&c->posted_parts, 1, memory_order_relaxed);
    if (mail->over) c->wants_drain = true;
    bool has_way = is_there(c);
    if (is_judged_late(c, mail->part, mail->key)) {
        ws_tick_give_room(c->tick, size);
        /* What is posted behind it does not count: a peer that keeps up loses nothing to a large
         * message that comes next. */
        has_way = has_way && has_place(c, 0, mail->part, mail->key);
    }
    if (has_way && push_message(c, &e, mail->part) == 0) {
        note_sent(c, mail->part);
        return;
    }
    /* A message with a hole in it is worse than none. */
    if (is_there(c) && mail->part != WS_PART_WHOLE) ws_conn_close_for(c, WS_CLOSE_ERROR);
    /* The peer has gone, or we closed before: the sender could not know. */
    ws_queue_sink_unref(&c->tick->released, mail->msg);
    count_dropped(c, 1);
}

static void apply_ping(struct ws_conn *c, struct ws_mail *mail) {
    if (mail->msg) take_back_posted(c, ws_msg_size(mail->msg));
    else atomic_store(&c->ping_posted, false);
    int sent =
        is_there(c) ? mail->msg ? queue_ping(c, mail->msg) : ping_here(c, NULL) : WS_SENT_DROPPED;
    if (sent == WS_SENT_DROPPED || sent < 0) ws_msg_unref(mail->msg);
}

void ws_conn_apply(struct ws_conn *c, struct ws_mail *mail) {
    switch ((enum ws_mail_kind)mail->kind) {
    case WS_MAIL_SEND: apply_message(c, mail); break;
    case WS_MAIL_PING: apply_ping(c, mail); break;
    case WS_MAIL_DONE: ws_conn_apply_done(c); break;
    case WS_MAIL_DRAIN:
        atomic_store(&c->drain_posted, false);
        c->wants_drain = true;
        ws_conn_touch(c);
        break;
    case WS_MAIL_CLOSE:
        if (c->state == WS_CONN_OPEN) ws_conn_close_here(c);
        break;
    case WS_MAIL_PUBLISH:
    case WS_MAIL_CALL:
    case WS_MAIL_CANCEL:
    case WS_MAIL_REGISTER:
    case WS_MAIL_UNREGISTER: break; /* the loop's */
    }
}

/* ---- what users ask ---- */

uint64_t ws_conn_dropped(const struct ws_conn *c) {
    return atomic_load_explicit(&c->dropped, memory_order_relaxed);
}

/* Another thread's stream may have ended while its parts are still in the mailbox: those of the
 * owner's stream queue up behind them. */
static bool may_send_here(const struct ws_conn *c, uint8_t part) {
    if (!ws_tick_is_owner(c->tick)) return false;
    return part == WS_PART_WHOLE ||
           atomic_load_explicit(&c->posted_parts, memory_order_relaxed) == 0;
}

int ws_conn_send(struct ws_conn *c, const struct ws_payload *payload) {
    if (!ws_conn_is_open(c)) return WS_ERR_CLOSED;
    int sent = may_send_here(c, payload->part) ? send_here(c, payload) : post_message(c, payload);
    /* The next one may begin, whatever became of this one: if it was dropped, the connection ends.
     */
    if (payload->part == WS_PART_LAST && sent >= 0)
        atomic_store(&c->streaming, WS_CONN_STREAM_NONE);
    return sent;
}

int ws_conn_ping(struct ws_conn *c, const uint8_t *data, size_t len) {
    if (!ws_conn_is_open(c)) return WS_ERR_CLOSED;
    if (!ws_tick_is_owner(c->tick)) return post_ping(c, data, len);
    struct ws_msg *m = data ? encode_ping(c, data, len) : NULL;
    if (data && !m) return WS_ERR_MEMORY;
    int sent = ping_here(c, m);
    if (sent != WS_SENT) ws_msg_unref(m);
    return sent;
}
