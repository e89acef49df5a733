/* load_answer.c: reads the server's frames and compares every message with the one that is due.
 * It stores nothing but control frames and compressed messages, and does NOT stop at a wrong
 * answer: those are counted. A frame that breaks RFC 6455 ends the run. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "load_base.h"
#include "load_conn.h"

enum { COMPLAINTS = 5 /* wrong answers described one by one; the rest are counted */ };

/* ---- messages ---- */

static void complain(struct traffic *t, const struct conn *c, const char *what) {
    if (t->mismatches++ < COMPLAINTS) conn_fail(c, "message %" PRIu64 ": %s", c->received, what);
}

/* Marks the message as wrong, once, and says what was seen first. */
static void answer_wrong(struct traffic *t, struct conn *c, const char *what) {
    if (!c->wrong) complain(t, c, what);
    c->wrong = true;
}

static int message_begin(struct traffic *t, struct conn *c, uint8_t opcode, bool packed) {
    const struct letter *due = room_due(c->room, c->received);
    if (!due) return conn_fail(c, "a message came that was not due");
    c->in_message = true;
    c->wrong = false;
    c->expect = due->data;
    c->expect_left = due->len;
    c->came = 0;
    c->pack = packed ? due->pack : NULL;
    c->packed_len = 0;
    if (c->pack && !c->packed) c->packed = malloc(t->messages.deflate->answer_cap);
    if (c->pack && !c->packed) return fail("out of memory");
    if (opcode != t->opt->opcode)
        answer_wrong(t, c, opcode == OP_TEXT ? "text instead of binary" : "binary instead of text");
    return 0;
}

/* A compressed message is judged when it is whole. */
static void packed_end(struct traffic *t, struct conn *c) {
    const char *what = deflate_check(t->messages.deflate, c->pack, c->packed, c->packed_len);
    if (what) answer_wrong(t, c, what);
    c->expect_left = 0;
}

static void message_end(struct traffic *t, struct conn *c, uint64_t now) {
    if (c->pack) packed_end(t, c);
    if (c->expect_left > 0) answer_wrong(t, c, "shorter than what was sent");
    const struct letter *last = room_receive(c->room, c->received++);
    c->in_message = false;
    if (t->phase == MEASURE) {
        t->received++;
        t->compressed += c->pack != NULL;
        t->payload += c->came;
    }
    if (!last) return;
    t->inflight--;
    /* At a fixed rate those count that were due in the measured time, however late they come. */
    if (t->pace.interval_ns > 0 ? t->phase != WARMUP && last->sent_ns >= t->from_ns
                                : t->phase == MEASURE)
        histogram_add(&t->latency, now > last->sent_ns ? now - last->sent_ns : 0);
}

/* ---- frames ---- */

static int frame_begin(struct traffic *t, struct conn *c) {
    uint64_t len = frame_length_get(c->head);
    c->opcode = c->head[0] & 0x0f;
    c->fin = c->head[0] & 0x80;
    c->payload_left = len;
    /* RFC 6455, 5.2: "MUST be 0 unless an extension is negotiated"; RFC 7692, 6: in the first frame
     * of a message. */
    bool packed = t->opt->deflate && (c->head[0] & FRAME_RSV1) &&
                  (c->opcode == OP_TEXT || c->opcode == OP_BINARY);
    if (c->head[0] & (packed ? 0x30 : 0x70))
        return conn_fail(c, "a frame with reserved bits set (first byte 0x%02x)", c->head[0]);
    /* 5.1: "A server MUST NOT mask any frames that it sends to the client." */
    if (c->head[1] & 0x80) return conn_fail(c, "a masked frame");
    /* 5.2: "the minimal number of bytes MUST be used to encode the length" */
    if ((c->head_need == 4 && len < 126) || (c->head_need == 10 && (len < 65536 || len >> 63)))
        return conn_fail(c, "a length of %" PRIu64 " in the wrong form", len);
    if (c->opcode >= OP_CLOSE) {
        if (c->opcode > OP_PONG) return conn_fail(c, "reserved opcode %d", c->opcode);
        /* 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT
         * be fragmented." */
        if (!c->fin || len > CONTROL_CAP)
            return conn_fail(c, "a control frame that is fragmented or too long");
        c->control_len = 0;
        return 0;
    }
    if (c->opcode > OP_BINARY) return conn_fail(c, "reserved opcode %d", c->opcode);
    if (c->in_message != (c->opcode == OP_CONT))
        return conn_fail(c, c->in_message ? "a new message inside a fragmented one"
                                          : "a continuation of nothing");
    return c->opcode == OP_CONT ? 0 : message_begin(t, c, c->opcode, packed);
}

static void frame_data(struct traffic *t, struct conn *c, const uint8_t *p, size_t n) {
    if (c->opcode >= OP_CLOSE) {
        memcpy(c->control + c->control_len, p, n);
        c->control_len += n;
        return;
    }
    c->came += n;
    if (c->pack) {
        size_t room = t->messages.deflate->answer_cap - c->packed_len;
        if (n > room) answer_wrong(t, c, "longer than what was sent");
        memcpy(c->packed + c->packed_len, p, min_size(n, room));
        c->packed_len += min_size(n, room);
        return;
    }
    if (n > c->expect_left) answer_wrong(t, c, "longer than what was sent");
    size_t known = min_size(n, c->expect_left);
    if (memcmp(p, c->expect, known) != 0) answer_wrong(t, c, "other bytes than what was sent");
    c->expect += known;
    c->expect_left -= known;
}

static int frame_end(struct traffic *t, struct conn *c, uint64_t now) {
    c->head_len = 0;
    c->head_need = 2;
    if (c->opcode == OP_PING) {
        memcpy(c->pong, c->control, c->control_len);
        c->pong_len = c->control_len;
        c->pong_due = true;
    } else if (c->opcode == OP_CLOSE) {
        int code = c->control_len < 2 ? 1005 : c->control[0] << 8 | c->control[1];
        int len = c->control_len < 2 ? 0 : (int)c->control_len - 2;
        return conn_fail(c, "closed by the server with code %d%s%.*s", code, len ? ": " : "", len,
                         (const char *)c->control + 2);
    } else if (c->opcode < OP_CLOSE && c->fin) {
        message_end(t, c, now);
    }
    return 0;
}

int answer_feed(struct traffic *t, struct conn *c, const uint8_t *p, size_t n, uint64_t now) {
    while (n > 0) {
        if (c->head_len < c->head_need) {
            c->head[c->head_len++] = *p++;
            n--;
            if (c->head_len == 2) c->head_need += frame_length_bytes(c->head[1]);
            if (c->head_len < c->head_need) continue;
            if (frame_begin(t, c) < 0) return -1;
        }
        size_t k = c->payload_left < n ? (size_t)c->payload_left : n;
        frame_data(t, c, p, k);
        p += k;
        n -= k;
        c->payload_left -= k;
        if (c->payload_left == 0 && frame_end(t, c, now) < 0) return -1;
    }
    return 0;
}
