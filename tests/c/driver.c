/* driver.c: the core's parsers and writers as flat functions for ctypes (tests/core.py).
 *
 * Judges only whether a parser keeps its header's contract; what it finds, the caller is told. */
#include "err.h"
#include "handshake.h"
#include "http.h"
#include "proto.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct ws_frame) == 16, "tests/core.py has the same structure");

/* Input comes in n pieces: the first ends before data + ends[0], and so on. */
struct driver_input {
    const uint8_t *data;
    const size_t *ends;
    size_t n;
};

enum { BROKEN_CONTRACT = -100 };

/* ---- frames ---- */

/* The bytes are valid until the function returns. */
typedef void (*driver_event)(int kind, int text, int ascii, unsigned code, const uint8_t *data,
                             size_t len);

struct stream {
    struct ws_proto proto;
    driver_event tell;
    bool room;     /* read large messages straight into their memory */
    size_t size;   /* of the whole stream */
    uint8_t *into; /* a large message's memory */
};

static int take_event(struct stream *s, const struct ws_proto_event *ev) {
    if (ev->kind == WS_PROTO_BUFFER) {
        /* No more is ever written than the stream has, whatever a header announces. */
        s->into = malloc(ev->len < s->size ? ev->len : s->size);
        if (!s->into) return WS_ERR_MEMORY;
        ws_proto_direct(&s->proto, s->into);
    } else if (ev->kind != WS_PROTO_NONE) {
        const uint8_t *data = ev->kind == WS_PROTO_MESSAGE && !ev->data ? s->into : ev->data;
        s->tell((int)ev->kind, ev->text, ev->ascii, ev->code, data, ev->len);
        if (ev->owned) free(ev->data);
        if (ev->kind == WS_PROTO_MESSAGE) free(s->into), s->into = NULL;
    }
    return 0;
}

/* As a connection feeds: at once, or what it can into the room of a large message. */
static ptrdiff_t feed_some(struct stream *s, uint8_t *data, size_t len, struct ws_proto_event *ev) {
    uint8_t *at;
    size_t room = s->room ? ws_proto_direct_room(&s->proto, &at) : 0;
    if (room == 0) return ws_proto_feed(&s->proto, data, len, ev);
    if (len > room) len = room;
    memcpy(at, data, len);
    int err = ws_proto_direct_feed(&s->proto, len, ev);
    return err < 0 ? err : (ptrdiff_t)len;
}

/* One piece, in memory of exactly its size that is gone afterwards. */
static int feed_piece(struct stream *s, const uint8_t *piece, size_t len) {
    uint8_t *copy = malloc(len ? len : 1);
    int err = copy ? 0 : WS_ERR_MEMORY;
    if (copy && len) memcpy(copy, piece, len);
    for (size_t at = 0; err == 0 && at < len;) {
        struct ws_proto_event ev;
        ptrdiff_t n = feed_some(s, copy + at, len - at, &ev);
        if (n < 0) err = (int)n;
        else if ((size_t)n > len - at) err = BROKEN_CONTRACT;
        else if (n == 0 && ev.kind == WS_PROTO_NONE) {
            if (!s->proto.ended) err = BROKEN_CONTRACT;
            break;
        } else {
            at += (size_t)n;
            err = take_event(s, &ev);
        }
    }
    free(copy);
    return err;
}

/* Feeds a peer of that role. 0, an enum ws_err or BROKEN_CONTRACT. */
int driver_feed(int role, int simd, int room, const struct driver_input *in, driver_event tell) {
    struct stream s = {.tell = tell, .room = room != 0, .size = in->n ? in->ends[in->n - 1] : 0};
    int err = 0;
    ws_proto_init(&s.proto, (enum ws_role)role, (enum ws_simd)simd, SIZE_MAX, UINT32_MAX);
    for (size_t i = 0, at = 0; i < in->n && err == 0; at = in->ends[i++])
        err = feed_piece(&s, in->data + at, in->ends[i] - at);
    ws_proto_fini(&s.proto);
    free(s.into);
    return err;
}

/* Writes a frame of such a peer; without out it tells the size only. */
size_t driver_write(int role, int simd, int opcode, int fin, const uint8_t *data, size_t len,
                    uint32_t key, uint8_t *out) {
    struct ws_proto p;
    ws_proto_init(&p, (enum ws_role)role, (enum ws_simd)simd, 0, 0);
    return out ? ws_proto_fragment_write(&p, out, (uint8_t)opcode, fin != 0, data, len, key)
               : ws_proto_frame_size(&p, len);
}

/* ---- request heads ---- */

struct driver_verdict {
    int size;   /* of the head; 0: more is needed */
    int status; /* to refuse it with; 0: it is not refused */
    int upgrade;
    size_t pos;         /* how far the reader came */
    const char *detail; /* of the handshake's refusal, or NULL */
    struct ws_slice subprotocol;
    char accept[WS_HANDSHAKE_ACCEPT_SIZE + 1];
};

/* First the method and the target, then a name and a value for each field. */
typedef void (*driver_pair)(const char *a, size_t a_len, const char *b, size_t b_len);

/* From any origin, to any host, with two subprotocols. 0, or BROKEN_CONTRACT. */
int driver_head(const struct driver_input *in, struct driver_verdict *v, driver_pair tell) {
    static const struct ws_slice names[] = {{"superchat", 9}, {"chat", 4}};
    const struct ws_handshake_rules rules = {.origins = {.mode = WS_ALLOW_ANY},
                                             .subprotocols = {names, 2}};
    struct ws_http_reader r;
    struct ws_http_head head;
    struct ws_handshake h;
    int size = 0;
    ws_http_reader_init(&r, WS_HTTP_REQUEST, SIZE_MAX, UINT32_MAX);
    for (size_t i = 0; i < in->n && size == 0; i++)
        size = ws_http_reader_feed(&r, in->data, in->ends[i]);
    *v = (struct driver_verdict){.size = size > 0 ? size : 0, .status = r.status, .pos = r.pos};
    if (size <= 0) return (size == 0) == (r.status == 0) ? 0 : BROKEN_CONTRACT;
    if (ws_http_head_parse(&head, WS_HTTP_REQUEST, in->data, (size_t)size) < 0) {
        v->status = 400;
        return 0;
    }
    tell(head.method.data, head.method.len, head.target.data, head.target.len);
    struct ws_http_header field;
    for (struct ws_slice at = head.rest; ws_http_head_next(&at, &field);)
        tell(field.name.data, field.name.len, field.value.data, field.value.len);
    ws_handshake_check(&h, &head, &rules);
    if (h.kind == WS_HANDSHAKE_REFUSED) v->status = h.status, v->detail = h.detail;
    v->upgrade = h.kind == WS_HANDSHAKE_UPGRADE;
    v->subprotocol = h.subprotocol;
    memcpy(v->accept, h.accept, sizeof h.accept);
    return 0;
}
