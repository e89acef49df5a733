/* queue.c: the output queue of a connection. See queue.h. */
#include "queue.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 8

static bool is_borrowed(const struct ws_queue_entry *e) {
    return !e->msg && !e->lasting;
}

void ws_queue_sink_unref(struct ws_queue_sink *sink, struct ws_msg *m) {
    struct ws_msg *last = ws_msg_unref(m);
    if (!last) return;
    last->next = sink->first;
    sink->first = last;
    sink->bytes += last->len;
}

/* Gives up an entry's bytes. */
static void drop(struct ws_queue *q, const struct ws_queue_entry *e, struct ws_queue_sink *sink) {
    if (is_borrowed(e)) q->n_borrowed--;
    ws_queue_sink_unref(sink, e->msg);
}

static void free_entries(struct ws_queue *q) {
    free(q->entries);
    q->entries = NULL;
    q->head = q->cap = 0;
}

/* Room for one more behind the last. */
static int reserve(struct ws_queue *q) {
    if (q->head + q->n < q->cap) return 0;
    if (q->head >
        q->cap / 2) { /* enough room in front: moving is cheaper than growing, and happens seldom */
        memmove(q->entries, q->entries + q->head, q->n * sizeof *q->entries);
        q->head = 0;
        return 0;
    }
    if (q->cap > UINT32_MAX / 2 / sizeof *q->entries) return WS_ERR_MEMORY;
    uint32_t cap = q->cap ? q->cap * 2 : FIRST_CAP;
    struct ws_queue_entry *entries = realloc(q->entries, cap * sizeof *entries);
    if (!entries) return WS_ERR_MEMORY;
    q->entries = entries;
    q->cap = cap;
    return 0;
}

static int insert(struct ws_queue *q, uint32_t at, const struct ws_queue_entry *entry) {
    if (reserve(q) < 0) return WS_ERR_MEMORY;
    struct ws_queue_entry *place = q->entries + q->head + at;
    if (at < q->n) memmove(place + 1, place, (q->n - at) * sizeof *place);
    *place = *entry;
    q->n++;
    q->bytes += entry->len;
    if (is_borrowed(entry)) q->n_borrowed++;
    return 0;
}

int ws_queue_push(struct ws_queue *q, const struct ws_queue_entry *entry) {
    return insert(q, q->n, entry);
}

int ws_queue_push_next(struct ws_queue *q, const struct ws_queue_entry *entry,
                       struct ws_queue_sink *sink) {
    uint32_t at = q->sent ? 1 : 0;
    for (; at < q->n && q->entries[q->head + at].kind != WS_QUEUE_MESSAGE; at++) {
        struct ws_queue_entry *there = &q->entries[q->head + at];
        if (there->kind != WS_QUEUE_PONG || entry->kind != WS_QUEUE_PONG) continue;
        q->bytes = q->bytes - there->len + entry->len;
        drop(q, there, sink);
        *there = *entry;
        if (is_borrowed(entry)) q->n_borrowed++;
        return 0;
    }
    return insert(q, at, entry);
}

int ws_queue_append(struct ws_queue *q, struct ws_queue *from) {
    for (uint32_t i = 0; i < from->n; i++) {
        if (insert(q, q->n, &from->entries[from->head + i]) == 0) continue;
        for (; i > 0; i--) { /* the last of them is off again first */
            const struct ws_queue_entry *e = &q->entries[q->head + --q->n];
            q->bytes -= e->len;
            if (is_borrowed(e)) q->n_borrowed--;
        }
        return WS_ERR_MEMORY;
    }
    from->n = from->n_borrowed = 0;
    from->bytes = 0;
    free_entries(from);
    return 0;
}

/* Adds one piece without its first `skip` bytes. False if there is no room. */
static bool add_piece(struct iovec *iov, int *n, int max, const uint8_t *data, size_t len,
                      size_t skip) {
    if (skip >= len) return true;
    data += skip;
    len -= skip;
    if (*n > 0 && (uint8_t *)iov[*n - 1].iov_base + iov[*n - 1].iov_len == data) {
        iov[*n - 1].iov_len += len;
        return true;
    }
    if (*n == max) return false;
    iov[*n].iov_base = (void *)(uintptr_t)data; /* writev does not write to it */
    iov[*n].iov_len = len;
    (*n)++;
    return true;
}

int ws_queue_gather(const struct ws_queue *q, struct iovec *iov, int max, size_t *total) {
    int n = 0;
    size_t skip = q->sent;
    for (uint32_t i = 0; i < q->n; i++) {
        const struct ws_queue_entry *e = &q->entries[q->head + i];
        const struct ws_msg *m = e->msg;
        if (m && m->header_len) {
            if (!add_piece(iov, &n, max, m->header, m->header_len, skip)) break;
            skip = skip > m->header_len ? skip - m->header_len : 0;
        }
        /* A shared block without header may hold several frames: the entry says which bytes are its
         * own. */
        const uint8_t *data = m && m->header_len ? m->data : e->data;
        size_t len = m && m->header_len ? m->len : e->len;
        if (!add_piece(iov, &n, max, data, len, skip)) break;
        skip = 0;
    }
    *total = 0;
    for (int i = 0; i < n; i++) *total += iov[i].iov_len;
    return n;
}

size_t ws_queue_consume(struct ws_queue *q, size_t n, struct ws_queue_sink *sink) {
    size_t done = 0;
    q->bytes -= n;
    n += q->sent;
    while (q->n && n >= q->entries[q->head].len) {
        const struct ws_queue_entry *e = &q->entries[q->head];
        n -= e->len;
        drop(q, e, sink);
        q->head++;
        q->n--;
        done++;
    }
    q->sent = n;
    if (q->n == 0) free_entries(q);
    return done;
}

int ws_queue_settle(struct ws_queue *q) {
    size_t need = 0;
    if (!q->n_borrowed) return 0;
    for (uint32_t i = 0; i < q->n; i++) {
        const struct ws_queue_entry *e = &q->entries[q->head + i];
        if (is_borrowed(e)) need += e->len;
    }
    struct ws_msg *block = ws_msg_new(need);
    if (!block) return WS_ERR_MEMORY;
    uint8_t *to = block->bytes;
    for (uint32_t i = 0; i < q->n; i++) {
        struct ws_queue_entry *e = &q->entries[q->head + i];
        if (!is_borrowed(e)) continue;
        memcpy(to, e->data, e->len);
        e->data = to;
        e->msg = block;
        ws_msg_ref(block);
        to += e->len;
    }
    q->n_borrowed = 0;
    ws_msg_unref(
        block); /* the reference of ws_msg_new; the entries hold theirs, and there is no object */
    return 0;
}

size_t ws_queue_discard(struct ws_queue *q, struct ws_queue_sink *sink) {
    uint32_t kept = 0;
    size_t dropped = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        struct ws_queue_entry e = q->entries[q->head + i];
        bool sealed = i == 0 && q->sent > 0;
        if (sealed || e.kind != WS_QUEUE_MESSAGE) {
            q->entries[q->head + kept++] = e;
            continue;
        }
        q->bytes -= e.len;
        drop(q, &e, sink);
        dropped++;
    }
    q->n = kept;
    if (q->n == 0) free_entries(q);
    return dropped;
}

size_t ws_queue_clear(struct ws_queue *q, struct ws_queue_sink *sink) {
    size_t dropped = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        const struct ws_queue_entry *e = &q->entries[q->head + i];
        if (e->kind == WS_QUEUE_MESSAGE) dropped++;
        drop(q, e, sink);
    }
    q->n = 0;
    q->bytes = q->sent = 0;
    free_entries(q);
    return dropped;
}
