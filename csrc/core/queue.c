/* queue.c: the output queue of a connection. See queue.h. */
#include "queue.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 8

static bool is_borrowed(const struct ws_queue_entry *e) {
    return !e->msg && !e->lasting;
}

/* Parts are no messages: the last one stands for all of them. */
static bool ends_message(const struct ws_queue_entry *e) {
    return e->kind == WS_QUEUE_MESSAGE || e->kind == WS_QUEUE_LAST;
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

/* ---- keys ---- */

/* Open addressing; an entry is found by its place among all that ever stood in the queue, so that
 * what is written, and moves in memory, need not be told. What is stale is recognized. */
struct ws_queue_keys {
    uint32_t base; /* added to a place in entries[] */
    uint32_t n, cap;
    struct ws_queue_key {
        uint64_t key; /* 0: free */
        uint32_t at;
    } keys[];
};

static void drop_keys(struct ws_queue *q) {
    free(q->keys);
    q->keys = NULL;
}

static struct ws_queue_key *find_key(struct ws_queue_keys *k, uint64_t key) {
    uint32_t i = (uint32_t)key & (k->cap - 1);
    while (k->keys[i].key && k->keys[i].key != key) i = (i + 1) & (k->cap - 1);
    return &k->keys[i];
}

static struct ws_queue_keys *new_keys(const struct ws_queue *q) {
    size_t cap = 16;
    while (cap < (size_t)q->n * 4) cap *= 2;
    if (cap > UINT32_MAX / 2) return NULL;
    struct ws_queue_keys *k = calloc(1, sizeof *k + cap * sizeof *k->keys);
    if (!k) return NULL;
    k->cap = (uint32_t)cap;
    return k;
}

static void note_key(struct ws_queue *q, uint64_t key, uint32_t place) {
    struct ws_queue_keys *k = q->keys;
    struct ws_queue_key *found = find_key(k, key);
    if (!found->key) k->n++;
    *found = (struct ws_queue_key){key, place + k->base};
    if (k->n * 2 > k->cap) drop_keys(q); /* full, of stale ones too: made anew when it is needed */
}

static void make_keys(struct ws_queue *q) {
    q->keys = new_keys(q);
    for (uint32_t i = 0; i < q->n && q->keys; i++) {
        const struct ws_queue_entry *e = &q->entries[q->head + i];
        if (e->key) note_key(q, e->key, q->head + i);
    }
}

/* The newest entry of that key which may be replaced, or NULL. */
static struct ws_queue_entry *find_replaceable(struct ws_queue *q, uint64_t key) {
    if (!q->keys) make_keys(q);
    if (!q->keys) return NULL;
    const struct ws_queue_key *found = find_key(q->keys, key);
    uint32_t i = found->at - q->keys->base - q->head;
    if (!found->key || i >= q->n || (i == 0 && q->sent)) return NULL;
    struct ws_queue_entry *e = &q->entries[q->head + i];
    return e->key == key ? e : NULL;
}

size_t ws_queue_replaceable(struct ws_queue *q, uint64_t key) {
    const struct ws_queue_entry *there = find_replaceable(q, key);
    return there ? there->len : 0;
}

int ws_queue_replace(struct ws_queue *q, const struct ws_queue_entry *entry,
                     struct ws_queue_sink *sink) {
    struct ws_queue_entry *there = find_replaceable(q, entry->key);
    if (!there) return 0;
    q->bytes = q->bytes - there->len + entry->len;
    drop(q, there, sink);
    *there = *entry;
    if (is_borrowed(entry)) q->n_borrowed++;
    return 1;
}

/* ---- entries ---- */

static void free_entries(struct ws_queue *q) {
    drop_keys(q);
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
        if (q->keys) q->keys->base += q->head;
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

static void put(struct ws_queue *q, uint32_t at, const struct ws_queue_entry *entry) {
    q->entries[q->head + at] = *entry;
    q->n++;
    q->bytes += entry->len;
    if (is_borrowed(entry)) q->n_borrowed++;
}

/* Near the front the few in front move, if there is room: the many behind stay where they are. */
static int insert(struct ws_queue *q, uint32_t at, const struct ws_queue_entry *entry) {
    if (q->head) {
        struct ws_queue_entry *first = q->entries + q->head;
        if (at) memmove(first - 1, first, at * sizeof *first);
        q->head--;
    } else {
        if (reserve(q) < 0) return WS_ERR_MEMORY;
        struct ws_queue_entry *first = q->entries + q->head;
        if (at < q->n) memmove(first + at + 1, first + at, (q->n - at) * sizeof *first);
        drop_keys(q);
    }
    put(q, at, entry);
    return 0;
}

int ws_queue_push(struct ws_queue *q, const struct ws_queue_entry *entry) {
    if (reserve(q) < 0) return WS_ERR_MEMORY;
    put(q, q->n, entry);
    if (q->keys && entry->key) note_key(q, entry->key, q->head + q->n - 1);
    return 0;
}

int ws_queue_push_next(struct ws_queue *q, const struct ws_queue_entry *entry,
                       struct ws_queue_sink *sink) {
    uint32_t at = q->sent ? 1 : 0;
    for (; at < q->n && q->entries[q->head + at].kind >= WS_QUEUE_CONTROL; at++) {
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
        if (ws_queue_push(q, &from->entries[from->head + i]) == 0) continue;
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
        if (sealed || e.kind >= WS_QUEUE_CONTROL) {
            q->entries[q->head + kept++] = e;
            continue;
        }
        q->bytes -= e.len;
        drop(q, &e, sink);
        if (ends_message(&e)) dropped++;
    }
    q->n = kept;
    drop_keys(q);
    if (q->n == 0) free_entries(q);
    return dropped;
}

bool ws_queue_drop_oldest(struct ws_queue *q, struct ws_queue_sink *sink) {
    struct ws_queue_entry *first = q->entries + q->head;
    uint32_t at = q->sent ? 1 : 0;
    while (at < q->n && first[at].kind != WS_QUEUE_MESSAGE) at++;
    if (at == q->n) return false;
    q->bytes -= first[at].len;
    drop(q, &first[at], sink);
    /* What stays in front of it moves up: nobody behind it does. */
    if (at) memmove(first + 1, first, at * sizeof *first);
    q->head++;
    if (--q->n == 0) free_entries(q);
    return true;
}

size_t ws_queue_clear(struct ws_queue *q, struct ws_queue_sink *sink) {
    size_t dropped = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        const struct ws_queue_entry *e = &q->entries[q->head + i];
        if (ends_message(e)) dropped++;
        drop(q, e, sink);
    }
    q->n = 0;
    q->bytes = q->sent = 0;
    free_entries(q);
    return dropped;
}
