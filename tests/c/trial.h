/* trial.h: what the programs share that test the state machine, in both roles. A scenario is a
 * stream of bytes and the events it must give, written as a line of text; it is fed whole, cut in
 * two at every byte, one byte at a time and at a mapped page's end, and the line is the same each
 * time. */
#ifndef TRIAL_H
#define TRIAL_H

#include "mask.h"
#include "proto.h"

#include "check.h"
#include "err.h"

#include <stdarg.h>

#define FIN 0x80
#define ROLES 2

enum answer { ANSWER_DIRECT, ANSWER_ROOM, ANSWER_SKIP };

/* What a proto under test was told, and what it told. */
struct trial {
    enum ws_role role;
    enum ws_simd simd;
    size_t max_size;
    uint32_t max_fragments;
    enum answer answer;
    bool page; /* pieces end at a mapped page's end */
    bool leaves_mask;
    const struct ws_deflate_terms *terms; /* NULL: permessage-deflate was not agreed on */

    struct ws_proto proto;
    struct ws_deflate_pool pool;
    uint8_t *into; /* a large message's memory */
    bool is_text;  /* the one that it was asked for */
    int n_buffers; /* BUFFER events */
    int n_masked;  /* messages whose mask was left */
    size_t fed;    /* bytes consumed */
    char line[4096];
    size_t line_len;
};

static uint64_t random_state;

static inline uint32_t random_next(void) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33);
}

/* The sanitizer's count of bytes in use; absent in a build without it. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static inline size_t allocated(void) {
    return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0;
}

/* ---- scenarios ---- */

static inline void put(struct ws_buf *b, const void *data, size_t len) {
    if (ws_buf_append(b, data, len) < 0) exit(2);
}

/* A frame's header, written without the help of frame.c; the key is never zero. */
static inline void put_header(struct ws_buf *b, bool masked, unsigned first, uint64_t len,
                              const uint8_t key[4]) {
    uint8_t h[14] = {(uint8_t)first};
    size_t n = 2, extra = len < 126 ? 0 : len < 65536 ? 2 : 8;
    h[1] = (uint8_t)((masked ? 0x80 : 0) | (extra == 0 ? len : extra == 2 ? 126 : 127));
    for (size_t i = 0; i < extra; i++) h[n++] = (uint8_t)(len >> 8 * (extra - 1 - i));
    if (masked) memcpy(h + n, key, 4), n += 4;
    put(b, h, n);
}

static inline void put_frame(struct ws_buf *b, enum ws_role to, unsigned first, const void *data,
                             size_t len) {
    bool masked = to == WS_ROLE_SERVER;
    uint8_t key[4];
    for (int i = 0; i < 4; i++) key[i] = (uint8_t)(random_next() | 1);
    put_header(b, masked, first, len, key);
    size_t at = b->len;
    put(b, data, len);
    for (size_t i = 0; masked && i < len; i++) b->data[at + i] ^= key[i & 3];
}

static inline void put_text(struct ws_buf *b, enum ws_role to, unsigned first, const char *text) {
    put_frame(b, to, first, text, strlen(text));
}

static inline struct trial trial_for(enum ws_role role) {
    return (struct trial){
        .role = role, .simd = ws_simd_detect(), .max_size = 1 << 20, .max_fragments = 1000};
}

/* ---- events as text ---- */

__attribute__((format(printf, 2, 3))) static inline void note(struct trial *t, const char *format,
                                                              ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->line + t->line_len, sizeof t->line - t->line_len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof t->line - t->line_len) exit(2);
    t->line_len += (size_t)n;
}

static inline uint32_t hash(const uint8_t *data, size_t len) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++) h = (h ^ data[i]) * 16777619u;
    return h;
}

static inline void note_bytes(struct trial *t, const uint8_t *data, size_t len) {
    if (len <= 40) note(t, "%.*s;", (int)len, (const char *)data);
    else note(t, "%zu#%08x;", len, (unsigned)hash(data, len));
}

static inline void note_message(struct trial *t, bool text, bool ascii, const uint8_t *data,
                                size_t len) {
    note(t, "%s:", text ? ascii ? "ascii" : "text" : "binary");
    note_bytes(t, data, len);
}

static inline void take_message(struct trial *t, const struct ws_proto_event *ev) {
    CHECK(ev->data != NULL || t->into != NULL);
    CHECK(!ev->ascii || ev->text);
    if (!ev->data) CHECK_EQ(ev->text, t->is_text); /* what was asked for */
    if (ev->masked) {
        CHECK(ev->data && !ev->text && !ev->owned && t->leaves_mask);
        ws_mask_apply(t->simd, ev->data, ev->data, ev->len, ev->key);
        t->n_masked++;
    }
    note_message(t, ev->text, ev->ascii, ev->data ? ev->data : t->into, ev->len);
    if (ev->owned) free(ev->data);
    CHECK(t->proto.partial == NULL); /* an idle peer owns no buffer */
    free(t->into);
    t->into = NULL;
}

static inline void take_buffer(struct trial *t, const struct ws_proto_event *ev) {
    t->n_buffers++;
    CHECK(ev->len > WS_PROTO_DIRECT_MIN);
    t->is_text = ev->text;
    if (t->answer == ANSWER_SKIP) {
        ws_proto_skip(&t->proto);
        return;
    }
    t->into = malloc(ev->len);
    ws_proto_direct(&t->proto, t->into);
}

static inline void take_event(struct trial *t, const struct ws_proto_event *ev) {
    switch (ev->kind) {
    case WS_PROTO_NONE: break;
    case WS_PROTO_MESSAGE: take_message(t, ev); break;
    case WS_PROTO_PING: note(t, "ping:"), note_bytes(t, ev->data, ev->len); break;
    case WS_PROTO_PONG: note(t, "pong:"), note_bytes(t, ev->data, ev->len); break;
    case WS_PROTO_CLOSE: note(t, "close%u:", ev->code), note_bytes(t, ev->data, ev->len); break;
    case WS_PROTO_BUFFER: take_buffer(t, ev); break;
    case WS_PROTO_FAIL:
        CHECK(ev->len > 0 && !ev->owned);
        note(t, "fail%u;", ev->code);
        break;
    }
}

/* ---- feeding ---- */

static inline void begin(struct trial *t) {
    ws_proto_init(&t->proto, t->role, t->simd, t->max_size, t->max_fragments);
    t->proto.leaves_mask = t->leaves_mask;
    if (t->terms) {
        ws_deflate_pool_init(&t->pool, 6, 8);
        ws_proto_set_deflate(&t->proto,
                             ws_deflate_new(&t->pool, t->terms, t->role == WS_ROLE_SERVER));
    }
    t->n_masked = 0;
    t->into = NULL;
    t->n_buffers = 0;
    t->line_len = 0;
    t->line[0] = '\0';
    t->fed = 0;
}

static inline void finish(struct trial *t) {
    ws_proto_fini(&t->proto);
    CHECK(t->proto.partial == NULL);
    if (t->terms) {
        ws_deflate_free(t->proto.deflate);
        CHECK(!t->pool.n_lent && !t->pool.first);
        ws_deflate_pool_fini(&t->pool);
    }
    free(t->into);
    t->into = NULL;
}

/* Bytes read straight into the message's memory. */
static inline size_t feed_room(struct trial *t, const uint8_t *data, size_t len) {
    struct ws_proto_event ev;
    uint8_t *at;
    size_t room = ws_proto_direct_room(&t->proto, &at);
    if (len > room) len = room;
    if (len == 0) return 0;
    memcpy(at, data, len);
    CHECK_EQ(ws_proto_direct_feed(&t->proto, len, &ev), 0);
    take_event(t, &ev);
    return len;
}

static inline void feed_at(struct trial *t, uint8_t *data, size_t len) {
    while (len) {
        struct ws_proto_event ev;
        size_t direct = t->answer == ANSWER_ROOM ? feed_room(t, data, len) : 0;
        ptrdiff_t n = direct ? (ptrdiff_t)direct : ws_proto_feed(&t->proto, data, len, &ev);
        if (!direct) {
            CHECK(n >= 0 && (size_t)n <= len);
            if (n < 0) return;
            take_event(t, &ev);
            if (n == 0 && ev.kind == WS_PROTO_NONE) {
                CHECK(t->proto.ended);
                return;
            }
        }
        t->fed += (size_t)n;
        data += n;
        len -= (size_t)n;
    }
}

/* One piece, in memory of exactly its size that is gone afterwards. */
static inline void feed(struct trial *t, const uint8_t *data, size_t len) {
    struct check_page page;
    uint8_t *copy = t->page ? check_page_copy(&page, data, len) : malloc(len ? len : 1);
    if (!t->page && len) memcpy(copy, data, len);
    feed_at(t, copy, len);
    if (t->page) check_page_free(&page);
    else free(copy);
}

static inline void expect(const struct trial *t, const char *line, const char *how, size_t at) {
    if (strcmp(t->line, line) == 0) return;
    fprintf(stderr, "role %d, %s at %zu: %s, not %s\n", t->role, how, at, t->line, line);
    check_failures++;
}

static inline void feed_in_two(struct trial *t, const struct ws_buf *b, size_t at,
                               const char *line) {
    begin(t);
    feed(t, b->data, at);
    feed(t, b->data + at, b->len - at);
    expect(t, line, "cut", at);
    finish(t);
}

static inline void feed_bytewise(struct trial *t, const struct ws_buf *b, const char *line) {
    begin(t);
    for (size_t i = 0; i < b->len; i++) feed(t, b->data + i, 1);
    expect(t, line, "bytewise", 0);
    finish(t);
}

/* All the ways to feed the scenario; frees it. */
static inline void check(struct trial t, struct ws_buf *b, const char *line) {
    for (int simd = 0; simd < WS_SIMD_LEVELS; simd++) {
        if (!ws_simd_has((enum ws_simd)simd)) continue;
        t.simd = (enum ws_simd)simd;
        t.page = false;
        feed_in_two(&t, b, b->len, line);
        for (size_t at = 1; at < b->len; at++) feed_in_two(&t, b, at, line);
        feed_bytewise(&t, b, line);
        t.page = true;
        feed_in_two(&t, b, b->len, line);
        feed_in_two(&t, b, b->len / 2, line);
    }
    ws_buf_fini(b);
}

/* A scenario that is only fed whole, bytewise and cut near its ends and its middle. */
static inline void check_long(struct trial t, struct ws_buf *b, const char *line) {
    for (size_t at = 1; at <= b->len; at++) {
        feed_in_two(&t, b, at, line);
        if (at == 40 && b->len > 120) at = b->len / 2 - 20;
        if (at == b->len / 2 + 20 && b->len > 120) at = b->len - 20;
    }
    feed_bytewise(&t, b, line);
    t.page = true;
    feed_in_two(&t, b, b->len, line);
    ws_buf_fini(b);
}

#endif
