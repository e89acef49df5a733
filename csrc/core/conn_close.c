/* conn_close.c: how a connection closes: the first close, of whichever thread, and what it leads
 * to: the close frame, the time that the peer has, the wait for the peer's end. What handlers are
 * told: dispatch.c. */
#include "conn.h"

#include <stdlib.h>
#include <string.h>

#define LINGER_DEFAULT                                                                             \
    5000 /* ms, where close_timeout is off: a refused request is no closing handshake */

/* ---- the first close ---- */

static const struct ws_closing closing_backlog = {
    1013, WS_CLOSE_BACKLOG, true, {"the backlog is full", 19}};
static const struct ws_closing closing_error = {1011, WS_CLOSE_ERROR, true, {"", 0}};
/* RFC 6455 section 7.4.1: 1001 is for "a server going down". */
static const struct ws_closing closing_shutdown = {1001, WS_CLOSE_SHUTDOWN, true, {"", 0}};
static const struct ws_closing closing_ping = {
    1011, WS_CLOSE_PING_TIMEOUT, true, {"keepalive timeout", 17}};
static const struct ws_closing closing_idle = {1001, WS_CLOSE_IDLE, true, {"idle timeout", 12}};
/* Not open for another cause than a close of ours. */
static const struct ws_closing closing_none = {0, WS_CLOSE_NONE, true, {"", 0}};

const struct ws_closing *ws_conn_fixed_closing(enum ws_close_kind kind) {
    switch (kind) {
    case WS_CLOSE_BACKLOG: return &closing_backlog;
    case WS_CLOSE_SHUTDOWN: return &closing_shutdown;
    case WS_CLOSE_PING_TIMEOUT: return &closing_ping;
    case WS_CLOSE_IDLE: return &closing_idle;
    default: return &closing_error;
    }
}

/* NULL: out of memory; what the server closes for itself needs none. */
static const struct ws_closing *new_closing(uint16_t code, struct ws_slice reason,
                                            enum ws_close_kind kind) {
    if (reason.len > WS_CLOSE_REASON_MAX) reason.len = WS_CLOSE_REASON_MAX;
    struct ws_closing *closing = malloc(sizeof *closing + reason.len);
    if (!closing) return kind == WS_CLOSE_LOCAL ? NULL : ws_conn_fixed_closing(kind);
    char *bytes = (char *)(closing + 1);
    if (reason.len) memcpy(bytes, reason.data, reason.len);
    closing->code = code;
    closing->kind = (uint8_t)kind;
    closing->lasting = false;
    closing->reason = (struct ws_slice){bytes, reason.len};
    return closing;
}

void ws_conn_drop_closing(const struct ws_closing *closing) {
    if (closing && !closing->lasting) free((void *)(uintptr_t)closing); /* ours since new_closing */
}

bool ws_conn_set_closing(struct ws_conn *c, const struct ws_closing *closing) {
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
    ws_conn_set_closing(c, &closing_none);
    ws_conn_leave(c);
}

void ws_conn_free_closing(struct ws_conn *c) {
    ws_conn_drop_closing(atomic_load(&c->closing));
}

bool ws_conn_is_open(const struct ws_conn *c) {
    return atomic_load_explicit(&c->closing, memory_order_acquire) == NULL;
}

/* ---- what users ask ---- */

bool ws_close_code_is_sendable(int code) {
    return code >= 0 && ws_proto_code_is_valid((unsigned)code);
}

int ws_conn_close(struct ws_conn *c, uint16_t code, struct ws_slice reason,
                  enum ws_close_kind kind) {
    if (!ws_conn_is_open(c)) return 0;
    const struct ws_closing *closing = new_closing(code, reason, kind);
    if (!closing) return WS_ERR_MEMORY;
    if (!ws_tick_is_owner(c->tick)) return ws_conn_post_close(c, closing);
    if (ws_conn_set_closing(c, closing)) ws_conn_close_here(c);
    else ws_conn_drop_closing(closing);
    return 0;
}

void ws_conn_close_for(struct ws_conn *c, enum ws_close_kind kind) {
    if (ws_conn_set_closing(c, ws_conn_fixed_closing(kind))) ws_conn_close_here(c);
}

/* ---- the end ---- */

/* Neither is longer than WS_CLOSE_REASON_MAX. Without memory they are forgotten. */
static void keep_words(struct ws_conn *c, struct ws_slice sent, struct ws_slice reason) {
    struct ws_words *words =
        sent.len + reason.len ? malloc(sizeof *words + sent.len + reason.len) : NULL;
    if (!words) return;
    words->sent_len = (uint8_t)sent.len;
    words->len = (uint8_t)reason.len;
    if (sent.len) memcpy(words->bytes, sent.data, sent.len);
    if (reason.len) memcpy(words->bytes + sent.len, reason.data, reason.len);
    free(c->words);
    c->words = words;
}

void ws_conn_keep_reason(struct ws_conn *c, struct ws_slice reason) {
    struct ws_slice sent = {"", 0};
    if (!reason.len) return;
    if (c->words) sent = (struct ws_slice){c->words->bytes, c->words->sent_len};
    keep_words(c, sent, reason);
}

void ws_conn_send_close(struct ws_conn *c, uint16_t code, struct ws_slice reason) {
    uint8_t payload[WS_CONTROL_MAX];
    if (c->sent_code || c->broken)
        return;             /* RFC 6455 section 5.5.1: one close frame, nothing behind it */
    ws_conn_drop_behind(c); /* a stream that was not finished keeps them from the wire */
    if (reason.len > WS_CLOSE_REASON_MAX) reason.len = WS_CLOSE_REASON_MAX;
    size_t len = ws_proto_close_payload(payload, code, reason.data, reason.len);
    struct ws_msg *m = ws_msg_new(ws_proto_frame_size(&c->proto, len));
    struct ws_queue_entry e = {.msg = m, .kind = WS_QUEUE_CONTROL};
    if (m) {
        e.data = m->bytes;
        e.len = ws_proto_frame_write(&c->proto, m->bytes, WS_OPCODE_CLOSE, payload, len, 0);
    }
    if (!m || ws_conn_push(c, &e) < 0) {
        /* No memory for a close frame: the peer will see the end of the stream. */
        ws_msg_unref(m);
        c->broken = true;
        ws_conn_touch(c);
        return;
    }
    c->sent_code = code;
    keep_words(c, reason, (struct ws_slice){"", 0});
}

/* close_timeout bounds a closing handshake, and with it whatever else is on its way out. */
void ws_conn_arm_close(struct ws_conn *c) {
    uint32_t delay = c->tick->options->close_timeout_ms;
    ws_conn_deadline(c, delay || (c->opened && !c->broken) ? delay : LINGER_DEFAULT);
}

/* The bound was reached: the policy "close" throws away what is not sealed and ends the connection.
 */
static void overflow(struct ws_conn *c) {
    size_t dropped = ws_conn_discard(c);
    ws_tick_log(
        c->tick, WS_LINE_BACKLOG, WS_LOG_WARNING,
        "connection %llu closed with 1013: its backlog reached max_backlog, %zu messages dropped",
        (unsigned long long)c->node.id, dropped);
}

/* What was sent before goes first, what the peer still sends is dropped. */
void ws_conn_close_here(struct ws_conn *c) {
    const struct ws_closing *closing = atomic_load(&c->closing);
    ws_conn_leave(c);
    if (closing->kind == WS_CLOSE_BACKLOG) overflow(c);
    ws_conn_set_kind(c, closing->kind);
    ws_conn_send_close(c, closing->code, closing->reason);
    c->state = WS_CONN_CLOSING;
    c->paused = false;
    if (!c->awaits_buffer) ws_proto_skip(&c->proto); /* else dispatch answers the BUFFER event */
    if (ws_conn_lane(c)) ws_conn_make_ready(c);
    ws_conn_arm_close(c);
    ws_conn_touch(c);
}

void ws_conn_linger(struct ws_conn *c) {
    c->state = WS_CONN_LINGER;
    ws_conn_arm_close(c);
    ws_conn_touch(c);
}
