/* proto.c: the WebSocket state machine. See proto.h; what goes out is built here, but queued and
 * sent elsewhere. */
#include "proto.h"

#include "bytes.h"
#include "err.h"
#include "mask.h"

#include <stdlib.h>
#include <string.h>

enum state {
    STATE_HEADER,  /* between frames, or inside a frame header */
    STATE_PAYLOAD, /* inside a data frame */
    STATE_CONTROL, /* inside a control frame */
    STATE_AWAIT,   /* WS_PROTO_BUFFER was told, the answer is awaited */
    STATE_DIRECT,  /* a large message goes into the caller's memory */
    STATE_SKIP,    /* a large message is thrown away */
    STATE_ENDED,   /* nothing is read any more */
};

struct ws_proto_partial {
    struct ws_buf message;  /* payload of the message in progress */
    struct ws_buf inflated; /* compressed: what it says */
    uint8_t *direct;        /* borrowed: where the next byte of a large message goes; before the
                               answer: what has come */
    uint64_t frame_left;    /* payload bytes of the frame in progress still to come */
    uint64_t
        message_len; /* payload bytes of the message in progress announced so far, all its frames */
    uint32_t key;    /* turned to the next payload byte of the frame in progress */
    uint32_t n_fragments;
    uint8_t opcode;       /* of the message in progress, 0 if none */
    uint8_t frame_opcode; /* of the frame in progress */
    bool fin;             /* of the frame in progress */
    bool is_shown;        /* the last event points into control */
    bool head_masked;     /* AWAIT: what has come is still masked */
    bool compressed;      /* the message in progress: payload and message_len are as it came */
    bool inflates;        /* and it is inflated as it comes */
    struct ws_utf8 utf8;  /* of the text message in progress */
    uint8_t header_len;
    uint8_t control_len;
    uint8_t header[WS_FRAME_HEADER_MAX];
    uint8_t control[WS_CONTROL_MAX];
};

void ws_proto_init(struct ws_proto *p, enum ws_role role, enum ws_simd simd,
                   size_t max_message_size, uint32_t max_fragments) {
    memset(p, 0, sizeof *p);
    p->role = (uint8_t)role;
    p->simd = (uint8_t)simd;
    p->max_message_size = max_message_size;
    p->max_fragments = max_fragments;
    p->state = STATE_HEADER;
}

static void free_partial(struct ws_proto *p) {
    if (!p->partial) return;
    ws_buf_fini(&p->partial->message);
    ws_buf_fini(&p->partial->inflated);
    free(p->partial);
    p->partial = NULL;
}

void ws_proto_set_deflate(struct ws_proto *p, struct ws_deflate *deflate) {
    p->deflate = deflate;
}

void ws_proto_fini(struct ws_proto *p) {
    free_partial(p);
    p->state = STATE_ENDED;
    p->ended = true;
}

static bool need_partial(struct ws_proto *p) {
    if (!p->partial) p->partial = calloc(1, sizeof *p->partial);
    return p->partial != NULL;
}

/* An idle peer owns nothing, unless the event just told does still need it. */
static void leave_partial(struct ws_proto *p) {
    const struct ws_proto_partial *part = p->partial;
    if (!part || (p->state != STATE_HEADER && p->state != STATE_ENDED)) return;
    if (!part->opcode && !part->header_len && !part->is_shown) free_partial(p);
}

/* Ends reading for good; the first reason stays. */
static void end(struct ws_proto *p) {
    p->state = STATE_ENDED;
    p->ended = true;
    free_partial(p);
    if (p->deflate) ws_deflate_end_reading(p->deflate);
}

static void fail(struct ws_proto *p, struct ws_proto_event *ev, uint16_t code, const char *why) {
    end(p);
    ev->kind = WS_PROTO_FAIL;
    ev->code = code;
    ev->data = (uint8_t *)(uintptr_t)why; /* read only, as proto.h says */
    ev->len = strlen(why);
}

bool ws_proto_code_is_valid(unsigned code) {
    /* 7.4.1: 1004, 1005, 1006 and 1015 are never on the wire; IANA has since added
     * 1012-1014. 7.4.2: 0-999 are not used, 1000-2999 are for the protocol, 3000-4999 for everybody
     * else. */
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

void ws_proto_end(struct ws_proto *p) {
    end(p);
}

bool ws_proto_is_amid(const struct ws_proto *p) {
    if (p->ended) return false;
    return p->state != STATE_HEADER ||
           (p->partial && (p->partial->opcode || p->partial->header_len));
}

/* ---- frame headers ---- */

/* 5.2: RSV "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
 * RFC 7692 6: permessage-deflate has RSV1 say that the message is compressed, on its first frame
 * only: "An endpoint MUST NOT set the "Per-Message Compressed" bit of control frames and non-first
 * fragments of a data message." */
static bool may_reserve(const struct ws_proto *p, uint8_t first) {
    uint8_t opcode = first & 0x0F;
    if (!(first & 0x70)) return true;
    return p->deflate && (first & 0x70) == WS_FRAME_RSV1 &&
           (opcode == WS_OPCODE_TEXT || opcode == WS_OPCODE_BINARY);
}

/* The rules that the first two bytes of a frame can break. True if they are kept. */
static bool judge_start(struct ws_proto *p, uint8_t first, uint8_t second,
                        struct ws_proto_event *ev) {
    uint8_t opcode = first & 0x0F;
    bool has_begun = p->partial->opcode != 0;
    bool masked = (second & 0x80) != 0;

    if (!may_reserve(p, first)) {
        fail(p, ev, 1002, "a reserved bit is set");
        return false;
    }
    /* 5.1: "The server MUST close the connection upon receiving a frame that is not masked"; "A
     * client MUST close a connection if it detects a masked frame." */
    if (masked != (p->role == WS_ROLE_SERVER)) {
        fail(p, ev, 1002, masked ? "a server's frame is masked" : "a client's frame is not masked");
        return false;
    }
    const char *fault = ws_frame_fault(first, second);
    if (fault) {
        fail(p, ev, 1002, fault);
    } else if (!ws_frame_is_control(opcode)) {
        /* 5.4: fragments "MUST NOT be interleaved" and continue a message that has begun. */
        if (opcode == WS_OPCODE_CONTINUATION && !has_begun)
            fail(p, ev, 1002, "nothing to continue");
        else if (opcode != WS_OPCODE_CONTINUATION && has_begun)
            fail(p, ev, 1002, "the last message is not finished");
    }
    return ev->kind == WS_PROTO_NONE;
}

/* Payload bytes that a message may have. What cannot be compressed gets a little longer by it: five
 * bytes for each block, of which some compressors make small ones. */
static uint64_t payload_max(const struct ws_proto *p) {
    uint64_t max = p->max_message_size;
    bool is_longer = p->partial->compressed && max < UINT64_MAX / 2;
    return is_longer ? max + max / 256 + 64 : max;
}

static void begin_data(struct ws_proto *p, const struct ws_frame *f, struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    if (f->opcode != WS_OPCODE_CONTINUATION) {
        part->opcode = f->opcode;
        part->message_len = 0;
        part->n_fragments = 0;
        part->compressed = f->rsv != 0;
        part->inflates = false;
        ws_utf8_init(&part->utf8);
    }
    if (part->n_fragments < UINT32_MAX) part->n_fragments++;
    if (f->len > payload_max(p) - part->message_len) {
        fail(p, ev, 1009, "the message is too big");
    } else if (part->n_fragments > p->max_fragments) {
        fail(p, ev, 1009, "the message has too many fragments");
    } else {
        part->message_len += f->len;
        p->state = STATE_PAYLOAD;
    }
}

static void begin_frame(struct ws_proto *p, const struct ws_frame *f, struct ws_proto_event *ev) {
    p->partial->fin = f->fin;
    p->partial->key = f->key;
    p->partial->frame_left = f->len;
    p->partial->frame_opcode = f->opcode;
    if (ws_frame_is_control(f->opcode)) p->state = STATE_CONTROL;
    else begin_data(p, f, ev);
}

/* A header that arrives in pieces: its first bytes wait in the partial. */
static ptrdiff_t feed_split_header(struct ws_proto *p, const uint8_t *data, size_t len,
                                   struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    size_t have = part->header_len, room = sizeof part->header - have;
    size_t take = len < room ? len : room;
    struct ws_frame f;

    memcpy(part->header + have, data, take);
    if (have + take >= 2 && !judge_start(p, part->header[0], part->header[1], ev))
        return (ptrdiff_t)take;
    int n = ws_frame_parse(&f, part->header, have + take);
    if (n < 0) {
        fail(p, ev, 1002, "the length is not minimal or out of range");
        return (ptrdiff_t)take;
    }
    if (n == 0) {
        part->header_len = (uint8_t)(have + take);
        return (ptrdiff_t)take;
    }
    part->header_len = 0;
    begin_frame(p, &f, ev);
    return (ptrdiff_t)((size_t)n - have);
}

static ptrdiff_t feed_header(struct ws_proto *p, const uint8_t *data, size_t len,
                             struct ws_proto_event *ev) {
    struct ws_frame f;
    if (len < 2 || p->partial->header_len) return feed_split_header(p, data, len, ev);
    if (!judge_start(p, data[0], data[1], ev)) return (ptrdiff_t)len;
    int n = ws_frame_parse(&f, data, len);
    if (n == 0) return feed_split_header(p, data, len, ev);
    if (n < 0) fail(p, ev, 1002, "the length is not minimal or out of range");
    else begin_frame(p, &f, ev);
    return n < 0 ? (ptrdiff_t)len : n;
}

/* ---- control frames ---- */

static void close_event(struct ws_proto *p, uint8_t *data, size_t len, struct ws_proto_event *ev) {
    uint16_t code = 1005; /* 7.1.5: no code in the frame */
    if (len == 1) {
        fail(p, ev, 1002,
             "the close frame is cut short"); /* 5.5.1: the body starts with a 2-byte code */
        return;
    }
    if (len >= 2) {
        code = ws_bytes_get16(data);
        data += 2;
        len -= 2;
        if (!ws_proto_code_is_valid(code)) {
            fail(p, ev, 1002, "the close code is invalid");
            return;
        }
    }
    if (!ws_utf8_is_valid(p->simd, data, len)) {
        fail(p, ev, 1007, "the close reason is not UTF-8"); /* 5.5.1 and 8.1 */
        return;
    }
    /* 5.5.1: whoever has sent a Close frame sends no more data frames: nothing behind it is read.
     * The partial (which may hold this payload) stays until fini. */
    p->state = STATE_ENDED;
    p->ended = true;
    if (p->deflate) ws_deflate_end_reading(p->deflate);
    ev->kind = WS_PROTO_CLOSE;
    ev->code = code;
    ev->data = data;
    ev->len = len;
}

static void control_event(struct ws_proto *p, uint8_t *data, size_t len,
                          struct ws_proto_event *ev) {
    uint8_t opcode = p->partial->frame_opcode;
    p->state = STATE_HEADER;
    if (opcode == WS_OPCODE_CLOSE) {
        close_event(p, data, len, ev);
        return;
    }
    ev->kind = opcode == WS_OPCODE_PING ? WS_PROTO_PING : WS_PROTO_PONG;
    ev->data = data;
    ev->len = len;
}

static ptrdiff_t feed_control(struct ws_proto *p, uint8_t *data, size_t len,
                              struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    size_t take = len < part->frame_left ? len : (size_t)part->frame_left;
    part->key = ws_mask_apply(p->simd, data, data, take, part->key);
    part->frame_left -= take;
    if (part->frame_left == 0 && !part->control_len) {
        control_event(p, data, take, ev); /* whole, in place */
        return (ptrdiff_t)take;
    }
    if (take) memcpy(part->control + part->control_len, data, take);
    part->control_len = (uint8_t)(part->control_len + take);
    if (part->frame_left == 0) {
        size_t whole = part->control_len;
        part->control_len = 0;
        part->is_shown = true;
        control_event(p, part->control, whole, ev);
    }
    return (ptrdiff_t)take;
}

/* ---- messages ---- */

static size_t message_have(const struct ws_proto_partial *part) {
    /* message_len <= max_message_size, a size_t */
    return (size_t)(part->message_len - part->frame_left);
}

static void tell_message(struct ws_proto_event *ev, uint8_t *data, size_t len, bool text,
                         const struct ws_utf8 *utf8) {
    ev->kind = WS_PROTO_MESSAGE;
    ev->text = text;
    ev->ascii = text && utf8->ascii;
    ev->data = data;
    ev->len = len;
}

static void fail_cut(struct ws_proto *p, struct ws_proto_event *ev) {
    fail(p, ev, 1007, "the text ends inside a character");
}

/* The last byte of the message has come. data NULL: it is in the caller's memory. */
static void message_event(struct ws_proto *p, uint8_t *data, bool owned,
                          struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    bool text = part->opcode == WS_OPCODE_TEXT;
    if (text && !ws_utf8_is_complete(&part->utf8)) {
        if (owned) free(data);
        fail_cut(p, ev);
        return;
    }
    tell_message(ev, data, (size_t)part->message_len, text, &part->utf8);
    ev->owned = owned;
    part->opcode = 0;
    p->state = STATE_HEADER;
}

/* Unmasks and validates n bytes that continue the frame. False: not UTF-8 (8.1: "MUST _Fail the
 * WebSocket Connection_", here at the first byte that shows it). */
static bool take_payload(struct ws_proto *p, uint8_t *data, size_t n, struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    if (p->role == WS_ROLE_SERVER) part->key = ws_mask_apply(p->simd, data, data, n, part->key);
    part->frame_left -= n;
    if (part->opcode == WS_OPCODE_TEXT && ws_utf8_feed(p->simd, &part->utf8, data, n) < 0) {
        fail(p, ev, 1007, "the text is not UTF-8");
        return false;
    }
    return true;
}

/* Whether n bytes that are all of a binary message can be unmasked while they are copied to where
 * they stay: one pass less. Text is validated first, so it is unmasked first. */
static bool may_leave_mask(const struct ws_proto *p, size_t n) {
    return p->leaves_mask && n >= WS_PROTO_MASKED_MIN;
}

static void leave_mask(struct ws_proto_event *ev, uint32_t key) {
    ev->masked = true;
    ev->key = key;
}

/* An incomplete message: keeps what has come, or asks for memory for all of it once enough has
 * come. */
static int collect(struct ws_proto *p, uint8_t *data, size_t n, struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    bool whole = part->fin && part->n_fragments == 1; /* one frame: its length is the message's */
    bool ask = whole && part->frame_left && message_have(part) >= WS_PROTO_DIRECT_MIN;

    if (n && !(ask && part->message.len == 0)) {
        if (ws_buf_append(&part->message, data, n) < 0) return WS_ERR_MEMORY;
        data = part->message.data;
    }
    if (ask) {
        part->direct = data;
        part->head_masked = false;
        p->state = STATE_AWAIT;
        ev->kind = WS_PROTO_BUFFER;
        ev->text = part->opcode == WS_OPCODE_TEXT;
        ev->data = data;
        ev->len = (size_t)part->message_len;
    }
    return 0;
}

/* The first bytes of a binary message that goes into the caller's memory: they are unmasked on
 * their way there. */
static bool awaits_masked(struct ws_proto *p, uint8_t *data, size_t n, struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    bool whole = part->fin && part->n_fragments == 1 && n < part->frame_left;
    if (!whole || n < WS_PROTO_DIRECT_MIN || part->opcode != WS_OPCODE_BINARY || message_have(part))
        return false;
    part->frame_left -= n;
    part->direct = data;
    part->head_masked = true;
    p->state = STATE_AWAIT;
    ev->kind = WS_PROTO_BUFFER;
    ev->len = (size_t)part->message_len;
    return true;
}

/* ---- compressed messages (RFC 7692) ---- */

/* Inflates n bytes of the message, and validates what they say. False: told, or *err is set. */
static bool inflate_some(struct ws_proto *p, const uint8_t *data, size_t n, bool last,
                         struct ws_proto_event *ev, int *err) {
    struct ws_proto_partial *part = p->partial;
    struct ws_buf *out = &part->inflated;
    size_t before = out->len;
    int result = ws_deflate_read(p->deflate, data, n, last, out, p->max_message_size);
    if (result == WS_ERR_MEMORY) *err = WS_ERR_MEMORY;
    else if (result == WS_ERR_LIMIT) fail(p, ev, 1009, "the message is too big");
    /* RFC 7692 has no code for this; RFC 6455 7.4.1: 1007 is for "data within a message that was
     * not consistent with the type of the message". */
    else if (result < 0) fail(p, ev, 1007, "the compressed data is broken");
    if (result < 0) return false;
    bool is_text = part->opcode == WS_OPCODE_TEXT && out->len > before;
    if (is_text && ws_utf8_feed(p->simd, &part->utf8, out->data + before, out->len - before) < 0) {
        fail(p, ev, 1007, "the text is not UTF-8");
        return false;
    }
    return true;
}

/* The last of a compressed message has come; empty: any address will do for no bytes. */
static void inflated_event(struct ws_proto *p, uint8_t *empty, struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    part->message_len = part->inflated.len;
    bool owned = part->inflated.len > 0;
    ws_buf_fini(&part->message);
    message_event(p, owned ? ws_buf_take(&part->inflated) : empty, owned, ev);
    ev->inflated = true;
}

/* A message that is long already is inflated as it comes, from here on, if that can be: what was
 * collected goes first. */
static bool begin_inflating(struct ws_proto *p, struct ws_proto_event *ev, int *err) {
    struct ws_proto_partial *part = p->partial;
    if (part->message.len < WS_DEFLATE_BORROW_MIN || !ws_deflate_borrow(p->deflate)) return true;
    part->inflates = true;
    bool good = inflate_some(p, part->message.data, part->message.len, false, ev, err);
    if (good) ws_buf_fini(&part->message);
    return good;
}

/* Not part of its caller: what plain messages pass stays small. */
__attribute__((noinline)) static ptrdiff_t feed_compressed(struct ws_proto *p, uint8_t *data,
                                                           size_t len, struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    size_t take = len < part->frame_left ? len : (size_t)part->frame_left;
    if (p->role == WS_ROLE_SERVER) part->key = ws_mask_apply(p->simd, data, data, take, part->key);
    part->frame_left -= take;
    bool last = part->frame_left == 0 && part->fin, good;
    bool at_once = part->inflates || (last && part->message.len == 0); /* needs not be kept */
    int err = at_once ? 0 : ws_buf_append(&part->message, data, take);
    if (err < 0) return err;
    if (at_once) good = inflate_some(p, data, take, last, ev, &err);
    else if (last) good = inflate_some(p, part->message.data, part->message.len, true, ev, &err);
    else good = begin_inflating(p, ev, &err);
    if (good && last) inflated_event(p, data, ev);
    else if (good && part->frame_left == 0) p->state = STATE_HEADER;
    return err < 0 ? err : (ptrdiff_t)take;
}

/* ---- plain ones ---- */

static ptrdiff_t feed_payload(struct ws_proto *p, uint8_t *data, size_t len,
                              struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    if (part->compressed) return feed_compressed(p, data, len, ev);
    size_t take = len < part->frame_left ? len : (size_t)part->frame_left;
    bool is_binary = part->opcode == WS_OPCODE_BINARY;
    if (take == part->message_len && part->fin && is_binary && may_leave_mask(p, take)) {
        part->frame_left = 0;
        message_event(p, data, false, ev);
        leave_mask(ev, part->key);
        return (ptrdiff_t)take;
    }
    if (awaits_masked(p, data, take, ev)) return (ptrdiff_t)take;
    if (!take_payload(p, data, take, ev)) return (ptrdiff_t)take;

    bool last = part->frame_left == 0 && part->fin;
    if (last && take == part->message_len) {
        message_event(p, data, false, ev); /* whole, in place */
        return (ptrdiff_t)take;
    }
    if (collect(p, data, take, ev) < 0) return WS_ERR_MEMORY;
    if (last) message_event(p, ws_buf_take(&part->message), true, ev);
    else if (part->frame_left == 0) p->state = STATE_HEADER;
    return (ptrdiff_t)take;
}

/* ---- large messages ---- */

void ws_proto_direct(struct ws_proto *p, uint8_t *into) {
    struct ws_proto_partial *part = p->partial;
    if (p->state != STATE_AWAIT) return;
    size_t have = message_have(part);
    if (part->head_masked) part->key = ws_mask_apply(p->simd, into, part->direct, have, part->key);
    else memcpy(into, part->direct, have);
    part->head_masked = false;
    part->direct = into + have;
    p->state = STATE_DIRECT;
    ws_buf_fini(&part->message);
}

void ws_proto_skip(struct ws_proto *p) {
    if (p->state != STATE_AWAIT && p->state != STATE_DIRECT) return;
    p->partial->direct = NULL;
    p->state = STATE_SKIP;
    ws_buf_fini(&p->partial->message);
}

size_t ws_proto_direct_room(const struct ws_proto *p, uint8_t **at) {
    if (p->state != STATE_DIRECT) return 0;
    *at = p->partial->direct;
    return (size_t)p->partial->frame_left;
}

/* Like ws_proto_direct_feed, in state DIRECT. */
static void take_direct(struct ws_proto *p, size_t n, struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    if (!take_payload(p, part->direct, n, ev)) return;
    part->direct += n;
    if (part->frame_left) return;
    part->direct = NULL;
    message_event(p, NULL, false, ev);
}

int ws_proto_direct_feed(struct ws_proto *p, size_t n, struct ws_proto_event *ev) {
    memset(ev, 0, sizeof *ev);
    if (p->state != STATE_DIRECT || n > p->partial->frame_left) return WS_ERR_ARGUMENT;
    take_direct(p, n, ev);
    leave_partial(p);
    return 0;
}

static ptrdiff_t feed_direct(struct ws_proto *p, const uint8_t *data, size_t len,
                             struct ws_proto_event *ev) {
    struct ws_proto_partial *part = p->partial;
    size_t take = len < part->frame_left ? len : (size_t)part->frame_left;
    memcpy(part->direct, data, take);
    take_direct(p, take, ev);
    return (ptrdiff_t)take;
}

static ptrdiff_t feed_skip(struct ws_proto *p, size_t len) {
    struct ws_proto_partial *part = p->partial;
    size_t take = len < part->frame_left ? len : (size_t)part->frame_left;
    part->frame_left -= take;
    if (part->frame_left == 0) {
        part->opcode = 0;
        p->state = STATE_HEADER;
    }
    return (ptrdiff_t)take;
}

/* ---- in ---- */

/* What nearly every message is: one frame of at most 64 KiB, all there. Returns its length; 0: it
 * is something else, or breaks a rule: nothing is taken, and the long way will tell. */
static size_t feed_whole(struct ws_proto *p, uint8_t *data, size_t len, struct ws_proto_event *ev) {
    size_t header = 2 + sizeof(uint32_t);
    struct ws_utf8 utf8;
    bool between = p->state == STATE_HEADER && !p->partial && p->max_fragments > 0;
    if (!between || p->role != WS_ROLE_SERVER || len < header) return 0;
    bool text = data[0] == (0x80 | WS_OPCODE_TEXT);
    if (!text && data[0] != (0x80 | WS_OPCODE_BINARY)) return 0;
    if (data[1] < 0x80) return 0; /* not masked */
    size_t payload = data[1] & 0x7F;
    if (payload > WS_CONTROL_MAX) {
        header += 2;
        if (payload > WS_CONTROL_MAX + 1 || len < header) return 0;
        payload = ws_bytes_get16(data + 2);
        if (payload <= WS_CONTROL_MAX) return 0; /* not the shortest way to say it */
    }
    if (payload > len - header || payload > p->max_message_size) return 0;
    uint8_t *at = data + header;
    uint32_t key = ws_bytes_load32(at - sizeof key);
    ws_utf8_init(&utf8);
    if (!text && may_leave_mask(p, payload)) {
        tell_message(ev, at, payload, false, &utf8);
        leave_mask(ev, key);
        return header + payload;
    }
    ws_mask_apply(p->simd, at, at, payload, key);
    if (text && ws_utf8_feed(p->simd, &utf8, at, payload) < 0)
        fail(p, ev, 1007, "the text is not UTF-8");
    else if (text && !ws_utf8_is_complete(&utf8)) fail_cut(p, ev);
    else tell_message(ev, at, payload, text, &utf8);
    return header + payload;
}

/* The same for all that comes. A frame begins with the partial, so it is there in all states that
 * follow. */
static ptrdiff_t feed_step(struct ws_proto *p, uint8_t *data, size_t len,
                           struct ws_proto_event *ev) {
    switch ((enum state)p->state) {
    case STATE_HEADER: return need_partial(p) ? feed_header(p, data, len, ev) : WS_ERR_MEMORY;
    case STATE_PAYLOAD: return feed_payload(p, data, len, ev);
    case STATE_CONTROL: return feed_control(p, data, len, ev);
    case STATE_DIRECT: return feed_direct(p, data, len, ev);
    case STATE_SKIP: return feed_skip(p, len);
    case STATE_AWAIT:
    case STATE_ENDED: break;
    }
    return 0;
}

/* Whether there is something to do. An empty frame ends with its header: then one step is due
 * although no input is left. */
static bool is_due(const struct ws_proto *p, size_t left) {
    if (p->state == STATE_AWAIT || p->state == STATE_ENDED) return false;
    return left > 0 || ((p->state == STATE_PAYLOAD || p->state == STATE_CONTROL) &&
                        p->partial->frame_left == 0);
}

ptrdiff_t ws_proto_feed(struct ws_proto *p, uint8_t *data, size_t len, struct ws_proto_event *ev) {
    *ev = (struct ws_proto_event){0};
    size_t used = feed_whole(p, data, len, ev);
    if (used) return (ptrdiff_t)used;
    if (p->partial) p->partial->is_shown = false;
    while (ev->kind == WS_PROTO_NONE && is_due(p, len - used)) {
        ptrdiff_t n = feed_step(p, data + used, len - used, ev);
        if (n < 0) {
            end(p);
            return n;
        }
        used += (size_t)n;
    }
    leave_partial(p);
    return (ptrdiff_t)used;
}

/* ---- out ---- */

size_t ws_proto_frame_size(const struct ws_proto *p, size_t len) {
    return ws_frame_header_size(len, p->role == WS_ROLE_CLIENT) + len;
}

size_t ws_proto_frame_write(const struct ws_proto *p, uint8_t *out, uint8_t opcode,
                            const uint8_t *data, size_t len, uint32_t key) {
    return ws_proto_fragment_write(p, out, opcode, true, data, len, key);
}

size_t ws_proto_fragment_write(const struct ws_proto *p, uint8_t *out, uint8_t opcode, bool fin,
                               const uint8_t *data, size_t len, uint32_t key) {
    bool client = p->role == WS_ROLE_CLIENT; /* 5.1: a client masks all frames, a server none */
    struct ws_frame f = {
        .fin = fin, .masked = client, .opcode = opcode, .key = client ? key : 0, .len = len};
    size_t header = ws_frame_write(out, &f);
    if (f.masked) ws_mask_apply(p->simd, out + header, data, len, key);
    else if (len) memcpy(out + header, data, len);
    return header + len;
}

size_t ws_proto_close_payload(uint8_t out[WS_CONTROL_MAX], uint16_t code, const char *reason,
                              size_t reason_len) {
    if (code == 1005) return 0;
    if (reason_len > WS_CONTROL_MAX - 2) reason_len = WS_CONTROL_MAX - 2;
    ws_bytes_put16(out, code);
    if (reason_len) memcpy(out + 2, reason, reason_len);
    return 2 + reason_len;
}
