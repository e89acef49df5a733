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
    struct ws_buf message; /* payload of the message in progress */
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
    free(p->partial);
    p->partial = NULL;
}

void ws_proto_fini(struct ws_proto *p) {
    free_partial(p);
    p->state = STATE_ENDED;
    p->ended = true;
}

static struct ws_proto_partial *need_partial(struct ws_proto *p) {
    if (!p->partial) p->partial = calloc(1, sizeof *p->partial);
    return p->partial;
}

/* Ends reading for good; the first reason stays. */
static void end(struct ws_proto *p) {
    p->state = STATE_ENDED;
    p->ended = true;
    free_partial(p);
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
    return p->state != STATE_HEADER || p->opcode || (p->partial && p->partial->header_len);
}

/* ---- frame headers ---- */

/* The rules that the first two bytes of a frame can break. True if they are kept. */
static bool judge_start(struct ws_proto *p, uint8_t first, uint8_t second,
                        struct ws_proto_event *ev) {
    uint8_t opcode = first & 0x0F;
    bool fin = (first & 0x80) != 0, masked = (second & 0x80) != 0;

    /* 5.2: RSV "MUST be 0 unless an extension is negotiated that defines meanings for non-zero
     * values." */
    if (first & 0x70) {
        fail(p, ev, 1002, "a reserved bit is set");
        return false;
    }
    /* 5.1: "The server MUST close the connection upon receiving a frame that is not masked"; "A
     * client MUST close a connection if it detects a masked frame." */
    if (masked != (p->role == WS_ROLE_SERVER)) {
        fail(p, ev, 1002, masked ? "a server's frame is masked" : "a client's frame is not masked");
        return false;
    }
    if (ws_frame_is_control(opcode)) {
        /* 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket
         * Connection_." */
        if (opcode > WS_OPCODE_PONG) fail(p, ev, 1002, "the opcode is reserved");
        /* 5.5: control frames "MUST have a payload length of 125 bytes or less and MUST NOT be
         * fragmented." */
        else if (!fin) fail(p, ev, 1002, "a control frame is fragmented");
        else if ((second & 0x7F) > WS_CONTROL_MAX)
            fail(p, ev, 1002, "a control frame is longer than 125 bytes");
    } else {
        if (opcode > WS_OPCODE_BINARY) fail(p, ev, 1002, "the opcode is reserved");
        /* 5.4: fragments "MUST NOT be interleaved" and continue a message that has begun. */
        else if (opcode == WS_OPCODE_CONTINUATION && !p->opcode)
            fail(p, ev, 1002, "nothing to continue");
        else if (opcode != WS_OPCODE_CONTINUATION && p->opcode)
            fail(p, ev, 1002, "the last message is not finished");
    }
    return ev->kind == WS_PROTO_NONE;
}

static void begin_data(struct ws_proto *p, const struct ws_frame *f, struct ws_proto_event *ev) {
    if (f->opcode != WS_OPCODE_CONTINUATION) {
        p->opcode = f->opcode;
        p->message_len = 0;
        p->n_fragments = 0;
        ws_utf8_init(&p->utf8);
    }
    if (p->n_fragments < UINT32_MAX) p->n_fragments++;
    if (f->len > p->max_message_size - p->message_len) {
        fail(p, ev, 1009, "the message is too big");
    } else if (p->n_fragments > p->max_fragments) {
        fail(p, ev, 1009, "the message has too many fragments");
    } else {
        p->message_len += f->len;
        p->state = STATE_PAYLOAD;
    }
}

static void begin_frame(struct ws_proto *p, const struct ws_frame *f, struct ws_proto_event *ev) {
    p->fin = f->fin;
    p->key = f->key;
    p->frame_left = f->len;
    p->frame_opcode = f->opcode;
    if (ws_frame_is_control(f->opcode)) p->state = STATE_CONTROL;
    else begin_data(p, f, ev);
}

/* A header that arrives in pieces: its first bytes wait in the partial. */
static ptrdiff_t feed_split_header(struct ws_proto *p, const uint8_t *data, size_t len,
                                   struct ws_proto_event *ev) {
    struct ws_proto_partial *part = need_partial(p);
    if (!part) return WS_ERR_MEMORY;
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
    if (!part->message.cap) free_partial(p);
    begin_frame(p, &f, ev);
    return (ptrdiff_t)((size_t)n - have);
}

static ptrdiff_t feed_header(struct ws_proto *p, const uint8_t *data, size_t len,
                             struct ws_proto_event *ev) {
    struct ws_frame f;
    if (len < 2 || (p->partial && p->partial->header_len))
        return feed_split_header(p, data, len, ev);
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
    ev->kind = WS_PROTO_CLOSE;
    ev->code = code;
    ev->data = data;
    ev->len = len;
}

static void control_event(struct ws_proto *p, uint8_t *data, size_t len,
                          struct ws_proto_event *ev) {
    p->state = STATE_HEADER;
    if (p->frame_opcode == WS_OPCODE_CLOSE) {
        close_event(p, data, len, ev);
        return;
    }
    ev->kind = p->frame_opcode == WS_OPCODE_PING ? WS_PROTO_PING : WS_PROTO_PONG;
    ev->data = data;
    ev->len = len;
}

static ptrdiff_t feed_control(struct ws_proto *p, uint8_t *data, size_t len,
                              struct ws_proto_event *ev) {
    size_t take = len < p->frame_left ? len : (size_t)p->frame_left;
    p->key = ws_mask_apply(p->simd, data, data, take, p->key);
    p->frame_left -= take;
    if (p->frame_left == 0 && !(p->partial && p->partial->control_len)) {
        control_event(p, data, take, ev); /* whole, in place */
        return (ptrdiff_t)take;
    }
    struct ws_proto_partial *part = need_partial(p);
    if (!part) return WS_ERR_MEMORY;
    if (take) memcpy(part->control + part->control_len, data, take);
    part->control_len = (uint8_t)(part->control_len + take);
    if (p->frame_left == 0) {
        size_t whole = part->control_len;
        part->control_len = 0;
        control_event(p, part->control, whole, ev);
    }
    return (ptrdiff_t)take;
}

/* ---- messages ---- */

static size_t message_have(const struct ws_proto *p) {
    return (size_t)(p->message_len - p->frame_left); /* message_len <= max_message_size, a size_t */
}

/* The last byte of the message has come. data NULL: it is in the caller's memory. */
static void message_event(struct ws_proto *p, uint8_t *data, bool owned,
                          struct ws_proto_event *ev) {
    bool text = p->opcode == WS_OPCODE_TEXT;
    if (text && !ws_utf8_is_complete(&p->utf8)) {
        if (owned) free(data);
        fail(p, ev, 1007, "the text ends inside a character");
        return;
    }
    ev->kind = WS_PROTO_MESSAGE;
    ev->text = text;
    ev->ascii = text && p->utf8.ascii;
    ev->owned = owned;
    ev->data = data;
    ev->len = (size_t)p->message_len;
    p->opcode = 0;
    p->state = STATE_HEADER;
}

/* Unmasks and validates n bytes that continue the frame. False: not UTF-8 (8.1: "MUST _Fail the
 * WebSocket Connection_", here at the first byte that shows it). */
static bool take_payload(struct ws_proto *p, uint8_t *data, size_t n, struct ws_proto_event *ev) {
    if (p->role == WS_ROLE_SERVER) p->key = ws_mask_apply(p->simd, data, data, n, p->key);
    p->frame_left -= n;
    if (p->opcode == WS_OPCODE_TEXT && ws_utf8_feed(p->simd, &p->utf8, data, n) < 0) {
        fail(p, ev, 1007, "the text is not UTF-8");
        return false;
    }
    return true;
}

/* An incomplete message: keeps what has come, or asks for memory for all of it once enough has
 * come. */
static int collect(struct ws_proto *p, uint8_t *data, size_t n, struct ws_proto_event *ev) {
    bool whole = p->fin && p->n_fragments == 1; /* one frame: its length is the message's */
    bool ask = whole && p->frame_left && message_have(p) >= WS_PROTO_DIRECT_MIN;
    bool fresh = !p->partial || p->partial->message.len == 0;

    if (n && !(ask && fresh)) {
        struct ws_proto_partial *part = need_partial(p);
        if (!part || ws_buf_append(&part->message, data, n) < 0) return WS_ERR_MEMORY;
        data = part->message.data;
    }
    if (ask) {
        p->direct = data;
        p->state = STATE_AWAIT;
        ev->kind = WS_PROTO_BUFFER;
        ev->text = p->opcode == WS_OPCODE_TEXT;
        ev->data = data;
        ev->len = (size_t)p->message_len;
    }
    return 0;
}

static ptrdiff_t feed_payload(struct ws_proto *p, uint8_t *data, size_t len,
                              struct ws_proto_event *ev) {
    size_t take = len < p->frame_left ? len : (size_t)p->frame_left;
    if (!take_payload(p, data, take, ev)) return (ptrdiff_t)take;

    bool last = p->frame_left == 0 && p->fin;
    if (last && take == p->message_len) {
        message_event(p, data, false, ev); /* whole, in place: the common case */
        return (ptrdiff_t)take;
    }
    if (collect(p, data, take, ev) < 0) return WS_ERR_MEMORY;
    if (last) {
        uint8_t *whole = ws_buf_take(&p->partial->message);
        free_partial(p);
        message_event(p, whole, true, ev);
    } else if (p->frame_left == 0) {
        p->state = STATE_HEADER;
    }
    return (ptrdiff_t)take;
}

/* ---- large messages ---- */

void ws_proto_direct(struct ws_proto *p, uint8_t *into) {
    if (p->state != STATE_AWAIT) return;
    size_t have = message_have(p);
    memcpy(into, p->direct, have);
    p->direct = into + have;
    p->state = STATE_DIRECT;
    free_partial(p);
}

void ws_proto_skip(struct ws_proto *p) {
    if (p->state != STATE_AWAIT && p->state != STATE_DIRECT) return;
    p->direct = NULL;
    p->state = STATE_SKIP;
    free_partial(p);
}

size_t ws_proto_direct_room(const struct ws_proto *p, uint8_t **at) {
    if (p->state != STATE_DIRECT) return 0;
    *at = p->direct;
    return (size_t)p->frame_left;
}

int ws_proto_direct_feed(struct ws_proto *p, size_t n, struct ws_proto_event *ev) {
    memset(ev, 0, sizeof *ev);
    if (p->state != STATE_DIRECT || n > p->frame_left) return WS_ERR_ARGUMENT;
    if (!take_payload(p, p->direct, n, ev)) return 0;
    p->direct += n;
    if (p->frame_left == 0) {
        p->direct = NULL;
        message_event(p, NULL, false, ev);
    }
    return 0;
}

static ptrdiff_t feed_direct(struct ws_proto *p, const uint8_t *data, size_t len,
                             struct ws_proto_event *ev) {
    size_t take = len < p->frame_left ? len : (size_t)p->frame_left;
    memcpy(p->direct, data, take);
    int err = ws_proto_direct_feed(p, take, ev);
    return err < 0 ? err : (ptrdiff_t)take;
}

static ptrdiff_t feed_skip(struct ws_proto *p, size_t len) {
    size_t take = len < p->frame_left ? len : (size_t)p->frame_left;
    p->frame_left -= take;
    if (p->frame_left == 0) {
        p->opcode = 0;
        p->state = STATE_HEADER;
    }
    return (ptrdiff_t)take;
}

/* ---- in ---- */

/* What nearly every message is: one frame of at most 64 KiB, all there. Returns its length; 0: it
 * is something else, or breaks a rule: nothing is taken, and the long way will tell. */
static size_t feed_whole(struct ws_proto *p, uint8_t *data, size_t len, struct ws_proto_event *ev) {
    bool between = p->state == STATE_HEADER && !p->opcode && !p->partial;
    size_t header = 2 + sizeof p->key;
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
    ws_mask_apply(p->simd, at, at, payload, ws_bytes_load32(at - sizeof p->key));
    p->message_len = payload;
    p->opcode = text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY;
    if (text) {
        ws_utf8_init(&p->utf8);
        if (ws_utf8_feed(p->simd, &p->utf8, at, payload) < 0) {
            fail(p, ev, 1007, "the text is not UTF-8");
            return header + payload;
        }
    }
    message_event(p, at, false, ev);
    return header + payload;
}

ptrdiff_t ws_proto_feed(struct ws_proto *p, uint8_t *data, size_t len, struct ws_proto_event *ev) {
    *ev = (struct ws_proto_event){0};
    size_t used = feed_whole(p, data, len, ev);
    if (used) return (ptrdiff_t)used;
    /* The last event may have pointed into the partial; an idle peer owns no buffer. */
    if (p->state == STATE_HEADER && p->partial && !p->partial->header_len &&
        !p->partial->message.cap)
        free_partial(p);
    /* An empty frame ends with its header: then one step is due although no input is left. */
    while (ev->kind == WS_PROTO_NONE) {
        uint8_t *at = data + used;
        size_t left = len - used;
        bool due = left > 0 ||
                   (p->frame_left == 0 && (p->state == STATE_PAYLOAD || p->state == STATE_CONTROL));
        ptrdiff_t n;

        if (!due) break;
        switch ((enum state)p->state) {
        case STATE_HEADER: n = feed_header(p, at, left, ev); break;
        case STATE_PAYLOAD: n = feed_payload(p, at, left, ev); break;
        case STATE_CONTROL: n = feed_control(p, at, left, ev); break;
        case STATE_DIRECT: n = feed_direct(p, at, left, ev); break;
        case STATE_SKIP: n = feed_skip(p, left); break;
        case STATE_AWAIT:
        case STATE_ENDED:
        default: return (ptrdiff_t)used;
        }
        if (n < 0) {
            end(p);
            return n;
        }
        used += (size_t)n;
    }
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
