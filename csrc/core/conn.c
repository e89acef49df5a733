/* conn.c: a connection's life: making, lists, events, the end; and what users ask of it. Its other
 * rooms: conn.h. */
#include "conn.h"

#include "mask.h"

#include <stdlib.h>
#include <string.h>

#define LINGER_MAX (64u * 1024) /* bytes read and thrown away behind an error answer */

/* Of an idle connection this is the most: malloc adds 8 bytes and rounds up to 16. */
_Static_assert(sizeof(struct ws_conn) <= 280, "struct ws_conn has grown");

/* ---- life ---- */

struct ws_conn *ws_conn_new(struct ws_tick *t, int fd, const struct ws_address *address) {
    struct ws_conn *c = calloc(1, sizeof *c);
    struct ws_work *work = c ? ws_conn_need_work(c) : NULL;
    if (!work) {
        free(c);
        return NULL;
    }
    size_t max = t->options->max_header_size;
    ws_http_reader_init(&work->reader, WS_HTTP_REQUEST,
                        max < WS_CONN_HEAD_MAX ? max : WS_CONN_HEAD_MAX, t->options->max_headers);
    work->address = *address;
    work->linger_left = LINGER_MAX;
    c->tick = t;
    c->fd = fd;
    c->family = address->family & 31u;
    c->node.id = ++*t->last_id;
    c->state = WS_CONN_HEAD;
    c->code = 1006;
    atomic_init(&c->latency_us, WS_LATENCY_NONE);
    atomic_init(&c->refs, 1);
    ws_conn_init_closing(c);
    ws_conn_deadline(c, t->options->handshake_timeout_ms);
    return c;
}

void ws_conn_ref(struct ws_conn *c) {
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void ws_conn_unref(struct ws_conn *c) {
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
    ws_conn_free_closing(c);
    free(c->head);
    free(c->words);
    ws_deflate_free(c->proto.deflate);
    free(c);
}

struct ws_work *ws_conn_need_work(struct ws_conn *c) {
    if (!c->work) c->work = calloc(1, sizeof *c->work);
    return c->work;
}

void ws_conn_tidy(struct ws_conn *c) {
    const struct ws_work *w = c->work;
    if (!w || !c->opened || w->pending.cap || w->pongs.cap || w->behind || w->lane || w->object)
        return;
    free(c->work);
    c->work = NULL;
}

void ws_conn_drop_lane(struct ws_conn *c) {
    struct ws_batch *lane = ws_conn_lane(c);
    if (!lane) return;
    for (size_t i = lane->head; i < lane->n; i++) ws_dispatch_drop(c->tick, &lane->events[i]);
    ws_batch_free(lane);
    c->work->lane = NULL;
}

static void free_work(struct ws_conn *c) {
    struct ws_tick *t = c->tick;
    struct ws_work *w = c->work;
    if (!w) return;
    ws_buf_fini(&w->pending);
    ws_buf_fini(&w->pongs);
    ws_conn_drop_lane(c);
    if (w->object) {
        struct ws_event ev = {.object = w->object};
        ws_dispatch_drop(t, &ev);
    }
    free(w);
    c->work = NULL;
}

/* What only a living connection needs. Objects were released in dispatch, before on_close returned;
 * only a run that breaks off leaves some, and ends with the caller's lock held. The head, the
 * address and the close's words stay for those who hold a reference. */
static void free_working_memory(struct ws_conn *c) {
    ws_conn_drop_queue(c);
    ws_proto_fini(&c->proto);
    if (c->proto.deflate) ws_deflate_end(c->proto.deflate); /* what was agreed on stays */
    c->throttled = false;                                   /* resume_ms goes with the rates */
    free(c->rates);
    c->rates = NULL;
    free_work(c);
}

void ws_conn_bury(struct ws_conn *c) {
    ws_timer_disarm(&c->tick->wheel, &c->timer);
    free_working_memory(c);
    ws_conn_end_open(c);
    ws_sock_close(c->fd);
    c->fd = -1;
    ws_conn_unref(c);
}

void ws_conn_die(struct ws_conn *c) {
    c->state = WS_CONN_DEAD;
    ws_conn_mark(c, WS_CONN_GIVEN_UP);
}

void ws_conn_touch(struct ws_conn *c) {
    if (c->is_touched) return;
    c->is_touched = true;
    c->next_touched = c->tick->touched;
    c->tick->touched = c;
    ws_tick_rouse(c->tick);
}

/* All that is rarer shares a list: it stands there while it has a mark. */
void ws_conn_mark(struct ws_conn *c, uint8_t marks) {
    if (!c->marks && marks) {
        c->next_marked = c->tick->marked;
        c->tick->marked = c;
        ws_tick_rouse(c->tick);
    }
    c->marks = (c->marks | marks) & 7u;
}

void ws_conn_set_kind(struct ws_conn *c, enum ws_close_kind kind) {
    if (c->close_kind == WS_CLOSE_NONE) c->close_kind = (uint8_t)kind;
}

/* ---- events ---- */

void ws_conn_event(struct ws_conn *c, const struct ws_event *ev) {
    struct ws_batch *b = &c->tick->batch;
    if (ws_batch_push(b, ev) == 0) {
        b->events[b->n - 1].conn = c;
        return;
    }
    if (ev->owned) free(ev->data);
    if (ev->object) c->work->object = ev->object; /* where it was; released with the connection */
    c->eof = true; /* what is lost cannot be skipped: nothing more is read */
    c->must_end = WS_CLOSE_ERROR;
    ws_conn_make_ready(c);
}

void ws_conn_end(struct ws_conn *c, enum ws_close_kind kind) {
    struct ws_event ev = {.kind = WS_EVENT_END, .code = (uint16_t)kind};
    c->eof = true;
    ws_conn_event(c, &ev);
    ws_conn_touch(c); /* it is not to be watched any more */
}

bool ws_conn_keep(struct ws_conn *c, struct ws_event *ev, const void *data, size_t len) {
    ev->data = ws_arena_take(&c->tick->in, len);
    ev->owned = !ev->data;
    if (ev->owned) ev->data = malloc(len ? len : 1);
    if (!ev->data) {
        ev->owned = false;
        return false;
    }
    if (len) memcpy(ev->data, data, len);
    ev->len = len;
    return true;
}

/* The peer has ended its side, or the socket is broken. */
void ws_conn_gone(struct ws_conn *c, enum ws_close_kind kind) {
    if (c->eof || c->state == WS_CONN_DEAD) return;
    if (c->state == WS_CONN_OPEN || c->state == WS_CONN_CLOSING) {
        ws_conn_end(c, kind);
    } else if (c->state == WS_CONN_LINGER && ws_queue_n(&c->queue) && !c->broken) {
        c->eof = true; /* a peer that only ended its sending side still gets the answer */
        ws_conn_touch(c);
    } else {
        ws_conn_die(c);
    }
}

void ws_conn_hangup(struct ws_conn *c) {
    c->broken = true;
    ws_conn_lose(c);
    c->paused = c->throttled = false; /* the end is seen by reading, and told again until it is */
    ws_conn_drop_queue(c);
    ws_conn_touch(c);
}

/* ---- what users ask ---- */

uint64_t ws_conn_id(const struct ws_conn *c) {
    return c->node.id;
}

size_t ws_conn_backlog(const struct ws_conn *c) {
    return atomic_load_explicit(&c->backlog, memory_order_relaxed) +
           atomic_load_explicit(&c->posted, memory_order_relaxed);
}

void ws_conn_get_address(const struct ws_conn *c, struct ws_address *out) {
    if (c->head) ws_address_unpack(out, c->family, c->head + c->head_len);
    else *out = c->work ? c->work->address : (struct ws_address){0};
}

struct ws_slice ws_conn_get_head(const struct ws_conn *c) {
    return (struct ws_slice){.data = (const char *)c->head, .len = c->head_len};
}

/* After on_close has begun nothing of this changes any more; before, only what the first close said
 * is for all to see. */
bool ws_conn_get_close(const struct ws_conn *c, struct ws_close *out) {
    const struct ws_closing *closing = atomic_load_explicit(&c->closing, memory_order_acquire);
    *out = (struct ws_close){.code = 1006, .reason = {"", 0}, .sent_reason = {"", 0}};
    if (ws_conn_is_told(c)) {
        out->code = c->code;
        out->sent_code = c->sent_code;
        if (c->words) {
            out->sent_reason = (struct ws_slice){c->words->bytes, c->words->sent_len};
            out->reason = (struct ws_slice){c->words->bytes + c->words->sent_len, c->words->len};
        }
        out->kind = (enum ws_close_kind)c->close_kind;
        return true;
    }
    if (closing) {
        out->sent_code = closing->code;
        out->sent_reason = closing->reason;
        out->kind = (enum ws_close_kind)closing->kind;
    }
    return false;
}

struct ws_slice ws_conn_get_subprotocol(const struct ws_conn *c) {
    if (!c->subprotocol) return (struct ws_slice){"", 0};
    return c->tick->rules->subprotocols.items[c->subprotocol - 1];
}

bool ws_conn_get_deflate(const struct ws_conn *c, struct ws_deflate_terms *terms) {
    if (!c->proto.deflate) return false;
    ws_deflate_get_terms(c->proto.deflate, terms);
    return true;
}

void *ws_conn_get_user(const struct ws_conn *c) {
    return c->user;
}

void ws_conn_set_user(struct ws_conn *c, void *user) {
    c->user = user;
}

void *ws_conn_get_server_user(const struct ws_conn *c) {
    return c->tick->user;
}

void ws_message_copy(const struct ws_conn *c, const struct ws_message *message, uint8_t *to) {
    if (message->masked)
        ws_mask_apply(c->tick->simd, to, message->data, message->len, message->key);
    else if (message->len) memcpy(to, message->data, message->len);
}

const uint8_t *ws_message_unmask(const struct ws_conn *c, const struct ws_message *message) {
    uint8_t *data = (uint8_t *)(uintptr_t)message->data; /* the loop's, which writes there too */
    if (message->masked) ws_mask_apply(c->tick->simd, data, data, message->len, message->key);
    return data;
}
