/* fuzz_deflate.c: compressed messages in the state machine (RFC 7692).
 *
 * The input is a stream of frames, fed whole, in chunks, and in chunks without a decompressor to
 * borrow: the events are the same. No message is longer than it may be, and each that was told is
 * compressed by the other role, in frames of the setting's sizes, and read again. */
#include "fuzz.h"

#include "err.h"
#include "proto.h"

#define SETTING (FUZZ_PLAN + 2 + FUZZ_STRETCHES)
#define EVENTS_MAX 200
#define SIZE_MAX_OF(set) ((size_t)1 << (4 + ((set) >> 3 & 7) * 2)) /* 16 bytes to 256 KiB */

struct run {
    struct ws_proto proto;
    struct ws_deflate_pool pool;
    struct ws_buf log; /* kind, code, len and bytes of each event */
    int n_events;
    size_t max;
    uint8_t *into; /* memory for a large message that comes plain */
};

static void note(struct run *r, const struct ws_proto_event *ev) {
    uint64_t head[3] = {ev->kind, ev->code, ev->kind == WS_PROTO_FAIL ? 0 : ev->len};
    MUST(ws_buf_append(&r->log, head, sizeof head) == 0);
    if (ev->kind != WS_PROTO_FAIL) MUST(ws_buf_append(&r->log, ev->data, ev->len) == 0);
    r->n_events++;
}

static struct ws_deflate_terms terms_of(uint8_t set) {
    uint8_t bits = (uint8_t)(9 + (set >> 1 & 3) * 2);
    bool alone = set & 1;
    return (struct ws_deflate_terms){bits, bits, alone, alone, false, false};
}

static void begin(struct run *r, enum ws_role role, uint8_t set, size_t max, bool no_loans) {
    struct ws_deflate_terms terms = terms_of(set);
    memset(r, 0, sizeof *r);
    ws_deflate_pool_init(&r->pool, 1, 1);
    if (no_loans) r->pool.n_lent = WS_DEFLATE_LENT_MAX;
    r->max = max;
    ws_proto_init(&r->proto, role, ws_simd_detect(), max, 1000);
    struct ws_deflate *d = ws_deflate_new(&r->pool, &terms, role == WS_ROLE_SERVER);
    MUST(d != NULL);
    ws_proto_set_deflate(&r->proto, d);
}

static void end(struct run *r, bool no_loans) {
    ws_proto_fini(&r->proto);
    free(r->into);
    ws_deflate_free(r->proto.deflate);
    MUST(r->pool.n_lent == (no_loans ? WS_DEFLATE_LENT_MAX : 0));
    MUST(!r->pool.first && !r->pool.last);
    ws_deflate_pool_fini(&r->pool);
}

static void take(struct run *r, struct ws_proto_event *ev) {
    switch (ev->kind) {
    case WS_PROTO_NONE: return;
    case WS_PROTO_BUFFER:
        MUST(!r->into && (r->into = malloc(ev->len)) != NULL);
        ws_proto_direct(&r->proto, r->into);
        return;
    case WS_PROTO_MESSAGE:
        MUST(ev->len <= r->max);
        if (!ev->data) {
            ev->data = r->into;
            ev->owned = true;
            r->into = NULL;
        }
        MUST(ev->data != NULL);
        if (ev->text) MUST(ws_utf8_is_valid(WS_SIMD_PORTABLE, ev->data, ev->len));
        break;
    case WS_PROTO_FAIL: MUST(ev->code == 1002 || ev->code == 1007 || ev->code == 1009); break;
    default: break;
    }
    note(r, ev);
    if (ev->owned) free(ev->data);
}

static void feed(struct run *r, const uint8_t *data, size_t len, const uint8_t *plan) {
    struct fuzz_cutter cutter = {.plan = plan, .max_cuts = FUZZ_CUTS};
    for (size_t at = 0; at < len && r->n_events < EVENTS_MAX;) {
        size_t n = fuzz_cut(&cutter, len - at);
        uint8_t *chunk = fuzz_copy(data + at, n);
        for (size_t used = 0; used < n && !r->proto.ended && r->n_events < EVENTS_MAX;) {
            struct ws_proto_event ev;
            ptrdiff_t took = ws_proto_feed(&r->proto, chunk + used, n - used, &ev);
            MUST(took >= 0 && (size_t)took <= n - used);
            take(r, &ev);
            used += (size_t)took;
        }
        free(chunk);
        at += n;
    }
}

static void same(const struct run *a, const struct run *b) {
    size_t len = a->log.len < b->log.len ? a->log.len : b->log.len;
    if (a->n_events < EVENTS_MAX && b->n_events < EVENTS_MAX) MUST(a->log.len == b->log.len);
    MUST(len == 0 || memcmp(a->log.data, b->log.data, len) == 0);
}

/* ---- and back ---- */

/* A message in frames of these sizes, as the other role sends it. */
static void put_message(struct ws_buf *out, struct ws_proto *from, const uint8_t *data, size_t len,
                        const uint8_t *plan) {
    struct fuzz_cutter cutter = {.plan = plan, .max_cuts = 20};
    for (size_t at = 0, first = 1;; first = 0) {
        size_t n = fuzz_cut(&cutter, len - at);
        bool last = at + n == len;
        struct ws_buf payload = {0};
        MUST(ws_deflate_write(from->deflate, data + at, n, last, &payload) == 0);
        MUST(ws_deflate_is_amid(from->deflate) == !last);
        MUST(ws_buf_reserve(out, ws_proto_frame_size(from, payload.len)) == 0);
        uint8_t *frame = out->data + out->len;
        out->len += ws_proto_fragment_write(from, frame, first ? WS_OPCODE_BINARY : 0, last,
                                            payload.data, payload.len, 0x5A5A5A5A);
        if (first) *frame |= WS_FRAME_RSV1;
        ws_buf_fini(&payload);
        at += n;
        if (last) return;
    }
}

/* All messages of the log. */
static void check_back(const struct run *told, enum ws_role role, uint8_t set,
                       const uint8_t *plan) {
    struct run from, to;
    struct ws_buf stream = {0}, expected = {0};
    begin(&from, role, set, told->max, false);
    begin(&to, role == WS_ROLE_SERVER ? WS_ROLE_CLIENT : WS_ROLE_SERVER, set, told->max, false);
    for (size_t at = 0; at < told->log.len;) {
        uint64_t head[3];
        memcpy(head, told->log.data + at, sizeof head);
        const uint8_t *data = told->log.data + at + sizeof head;
        at += sizeof head + head[2];
        if (head[0] != WS_PROTO_MESSAGE) continue;
        MUST(ws_buf_append(&expected, head, sizeof head) == 0);
        MUST(ws_buf_append(&expected, data, head[2]) == 0);
        put_message(&stream, &from.proto, data, head[2], plan);
    }
    feed(&to, stream.data, stream.len, NULL);
    MUST(to.log.len == expected.len);
    MUST(expected.len == 0 || memcmp(to.log.data, expected.data, expected.len) == 0);
    ws_buf_fini(&stream);
    ws_buf_fini(&expected);
    ws_buf_fini(&to.log);
    end(&from, false);
    end(&to, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTING) return 0;
    const uint8_t *plan = data, *set = data + FUZZ_PLAN;
    enum ws_role role = set[1] & 1 ? WS_ROLE_SERVER : WS_ROLE_CLIENT;
    struct ws_buf stream = {0};
    fuzz_stretch(&stream, data + SETTING, size - SETTING, set + 2);
    struct run runs[3];
    for (int i = 0; i < 3; i++) {
        begin(&runs[i], role, set[0], SIZE_MAX_OF(set[0]), i == 2);
        feed(&runs[i], stream.data, stream.len, i ? plan : NULL);
        end(&runs[i], i == 2);
        if (i) same(&runs[0], &runs[i]);
    }
    check_back(&runs[0], role, set[0], plan);
    for (int i = 0; i < 3; i++) ws_buf_fini(&runs[i].log);
    ws_buf_fini(&stream);
    return 0;
}
