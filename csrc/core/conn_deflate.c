/* conn_deflate.c: messages that are compressed on their way out (RFC 7692): when they are sealed,
 * in the order of the queue, right before they are written. Until then they are as they were sent,
 * for policies and keys; the codecs: deflate.c. */
#include "conn.h"

#include <string.h>

/* Bytes that are sealed ahead of the kernel: what is behind them may still give way. Where little
 * may wait that is most of it. */
#define AHEAD_MAX (64u * 1024)

static size_t ahead_max(const struct ws_conn *c) {
    size_t quarter = c->tick->options->max_backlog / 4;
    return quarter && quarter < AHEAD_MAX ? quarter : AHEAD_MAX;
}

bool ws_conn_wants_deflate(const struct ws_conn *c, uint8_t compress, uint8_t part, size_t size) {
    if (!c->proto.deflate) return false;
    /* What became of the first part is known when it is sealed. */
    if (part == WS_PART_MORE || part == WS_PART_LAST) return true;
    if (compress != WS_COMPRESS_LONG || part == WS_PART_FIRST) return compress != WS_COMPRESS_NEVER;
    size_t threshold = c->tick->options->deflate_threshold;
    return size >= ws_frame_header_size(threshold, false) + threshold;
}

/* A frame cut into what its header says and its payload. */
struct cut {
    struct ws_frame frame;
    const uint8_t *payload;
    size_t len;
};

static struct cut cut_frame(const struct ws_msg *m, const uint8_t *data, size_t size) {
    struct cut cut;
    bool apart = m && m->header_len;
    const uint8_t *header = apart ? m->header : data;
    int n = ws_frame_parse(&cut.frame, header, apart ? m->header_len : size);
    cut.payload = apart ? m->data : data + n;
    cut.len = (size_t)cut.frame.len;
    return cut;
}

/* A block with that frame around a compressed payload. RFC 7692 6: the first frame of the message
 * has RSV1. NULL: out of memory. */
static struct ws_msg *wrap(const struct ws_frame *frame, const struct ws_buf *payload) {
    struct ws_frame f = {.fin = frame->fin,
                         .rsv = frame->opcode == WS_OPCODE_CONTINUATION ? 0 : 4,
                         .opcode = frame->opcode,
                         .len = payload->len};
    struct ws_msg *m = ws_msg_new(ws_frame_header_size(f.len, false) + payload->len);
    if (!m) return NULL;
    size_t header = ws_frame_write(m->bytes, &f);
    if (payload->len) memcpy(m->bytes + header, payload->data, payload->len);
    return m;
}

/* ---- messages for many ---- */

struct pack {
    struct ws_deflate_pool *pool;
    uint8_t bits;
};

/* NULL: it goes out as it is, since that is not longer, or since there is no memory. */
static struct ws_msg *make_pack(void *ctx, const struct ws_msg *m) {
    const struct pack *p = ctx;
    struct ws_buf *out = &p->pool->scratch;
    struct cut cut = cut_frame(m, m->data, m->len);
    out->len = 0;
    bool gains = ws_deflate_write_alone(p->pool, p->bits, cut.payload, cut.len, out) == 0 &&
                 out->len < cut.len;
    return gains ? wrap(&cut.frame, out) : NULL;
}

/* All that agreed on the same window share it. The message behind it does not refer to what went
 * before: the peer has another window now. */
static struct ws_msg *seal_shared(struct ws_deflate *d, struct ws_msg *m) {
    struct pack p = {ws_deflate_pool_of(d), ws_deflate_bits(d)};
    struct ws_msg *msg = ws_msg_pack(m, p.bits, make_pack, &p);
    if (msg && ws_deflate_takes_over(d)) ws_deflate_forget(d);
    return msg;
}

/* ---- messages for one ---- */

/* *msg is NULL: it goes out as it is. False: what has begun compressed cannot go on. */
static bool seal_own(struct ws_deflate *d, const struct ws_queue_entry *e, struct ws_msg **msg) {
    struct ws_buf *out = &ws_deflate_pool_of(d)->scratch;
    struct cut cut = cut_frame(e->msg, e->data, e->len);
    bool begins = cut.frame.opcode != WS_OPCODE_CONTINUATION;
    bool alone = begins && cut.frame.fin && !ws_deflate_takes_over(d);
    if (!begins && !ws_deflate_is_amid(d)) return true; /* its first part is not compressed */
    out->len = 0;
    if (ws_deflate_write(d, cut.payload, cut.len, cut.frame.fin, out) < 0) return begins;
    if (alone && out->len >= cut.len) return true;
    *msg = wrap(&cut.frame, out);
    if (*msg) return true;
    ws_deflate_forget(d); /* it is lost */
    return begins && cut.frame.fin;
}

/* ---- sealing ---- */

/* *ahead grows by the bytes that it has then. */
static bool seal_one(struct ws_conn *c, const struct ws_queue_entry *e, size_t *ahead) {
    struct ws_deflate *d = c->proto.deflate;
    struct ws_counters *counters = c->tick->counters;
    struct ws_msg *msg = NULL;
    bool is_message = e->kind == WS_QUEUE_MESSAGE || e->kind == WS_QUEUE_LAST;
    if (e->deflate && e->shared) msg = seal_shared(d, e->msg);
    else if (e->deflate && !seal_own(d, e, &msg)) return false;
    if (msg && is_message) ws_count(&counters->sent_compressed, 1);
    *ahead += msg ? ws_msg_size(msg) : e->len;
    ws_queue_seal(&c->queue, msg, &c->tick->released);
    return true;
}

bool ws_conn_seal(struct ws_conn *c) {
    struct ws_deflate_pool *pool = ws_deflate_pool_of(c->proto.deflate);
    const struct ws_queue_entry *e;
    size_t ahead = ws_queue_sealed_bytes(&c->queue), max = ahead_max(c);
    bool good = true;
    while (good && ahead < max && (e = ws_queue_unsealed(&c->queue))) good = seal_one(c, e, &ahead);
    ws_deflate_pool_tidy(pool);
    atomic_store_explicit(&c->tick->counters->compressions, pool->n_compressed,
                          memory_order_relaxed);
    return good;
}
