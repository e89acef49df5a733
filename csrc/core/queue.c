/* queue.c: the output queue of a connection. See queue.h. */
#include "queue.h"

#include "err.h"
#include "frame.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 8
#define SPARE_MAX (128u * 1024) /* bytes of tables that are kept for the next queues */

static bool is_borrowed(const struct ws_queue_entry *e) {
    return !e->msg && !e->lasting;
}

/* Parts are no messages: the last one stands for all of them. */
static size_t count_messages(const struct ws_queue_entry *e) {
    return e->kind == WS_QUEUE_MESSAGE || e->kind == WS_QUEUE_LAST ? 1 + (size_t)e->n_more : 0;
}

void ws_queue_sink_unref(struct ws_queue_sink *sink, struct ws_msg *m) {
    struct ws_msg *last = ws_msg_unref(m);
    if (!last) return;
    last->next = sink->first;
    sink->first = last;
    sink->bytes += last->len;
}

/* Gives up an entry's bytes. */
static void drop(struct ws_queue_table *t, const struct ws_queue_entry *e,
                 struct ws_queue_sink *sink) {
    if (is_borrowed(e)) t->n_borrowed--;
    ws_queue_sink_unref(sink, e->msg);
}

/* Entries in front that nothing may be done to. */
static uint32_t count_sealed(const struct ws_queue_table *t) {
    return t->n_sealed ? t->n_sealed : t->sent > 0;
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

static void drop_keys(struct ws_queue_table *t) {
    free(t->keys);
    t->keys = NULL;
}

static struct ws_queue_key *find_key(struct ws_queue_keys *k, uint64_t key) {
    uint32_t i = (uint32_t)key & (k->cap - 1);
    while (k->keys[i].key && k->keys[i].key != key) i = (i + 1) & (k->cap - 1);
    return &k->keys[i];
}

static struct ws_queue_keys *new_keys(const struct ws_queue_table *t) {
    size_t cap = 16;
    while (cap < (size_t)t->n * 4) cap *= 2;
    if (cap > UINT32_MAX / 2) return NULL;
    struct ws_queue_keys *k = calloc(1, sizeof *k + cap * sizeof *k->keys);
    if (!k) return NULL;
    k->cap = (uint32_t)cap;
    return k;
}

static void note_key(struct ws_queue_table *t, uint64_t key, uint32_t place) {
    struct ws_queue_keys *k = t->keys;
    struct ws_queue_key *found = find_key(k, key);
    if (!found->key) k->n++;
    *found = (struct ws_queue_key){key, place + k->base};
    if (k->n * 2 > k->cap) drop_keys(t); /* full, of stale ones too: made anew when it is needed */
}

static void make_keys(struct ws_queue_table *t) {
    t->keys = new_keys(t);
    for (uint32_t i = 0; i < t->n && t->keys; i++) {
        const struct ws_queue_entry *e = &t->entries[t->head + i];
        if (e->key) note_key(t, e->key, t->head + i);
    }
}

/* The newest entry of that key which may be replaced, or NULL. */
static struct ws_queue_entry *find_replaceable(struct ws_queue_table *t, uint64_t key) {
    if (!t) return NULL;
    if (!t->keys) make_keys(t);
    if (!t->keys) return NULL;
    const struct ws_queue_key *found = find_key(t->keys, key);
    uint32_t i = found->at - t->keys->base - t->head;
    if (!found->key || i >= t->n || i < count_sealed(t)) return NULL;
    struct ws_queue_entry *e = &t->entries[t->head + i];
    return e->key == key ? e : NULL;
}

size_t ws_queue_replaceable(struct ws_queue *q, uint64_t key) {
    const struct ws_queue_entry *there = find_replaceable(q->table, key);
    return there ? there->len : 0;
}

/* Another entry in the place of one. */
static void exchange(struct ws_queue_table *t, struct ws_queue_entry *there,
                     const struct ws_queue_entry *entry, struct ws_queue_sink *sink) {
    t->bytes = t->bytes - there->len + entry->len;
    drop(t, there, sink);
    *there = *entry;
    if (is_borrowed(entry)) t->n_borrowed++;
}

int ws_queue_replace(struct ws_queue *q, const struct ws_queue_entry *entry,
                     struct ws_queue_sink *sink) {
    struct ws_queue_entry *there = find_replaceable(q->table, entry->key);
    if (!there) return 0;
    exchange(q->table, there, entry, sink);
    return 1;
}

/* ---- entries ---- */

static size_t size_of(uint32_t cap) {
    return sizeof(struct ws_queue_table) + cap * sizeof(struct ws_queue_entry);
}

/* The table of an empty queue: to be used again, while it is warm in the cache. */
static void free_table(struct ws_queue *q, struct ws_queue_sink *sink) {
    struct ws_queue_table *t = q->table;
    q->table = NULL;
    drop_keys(t);
    if (sink->spare_bytes + size_of(t->cap) > SPARE_MAX) {
        free(t);
        return;
    }
    t->sent = t->bytes = 0;
    t->head = t->n = t->n_sealed = 0;
    t->next = sink->spare;
    sink->spare = t;
    sink->spare_bytes += size_of(t->cap);
}

void ws_queue_sink_fini(struct ws_queue_sink *sink) {
    while (sink->spare) {
        struct ws_queue_table *t = sink->spare;
        sink->spare = t->next;
        free(t);
    }
    sink->spare_bytes = 0;
}

static int new_table(struct ws_queue *q) {
    q->table = malloc(size_of(FIRST_CAP));
    if (!q->table) return WS_ERR_MEMORY;
    memset(q->table, 0, sizeof *q->table);
    q->table->cap = FIRST_CAP;
    return 0;
}

static int grow(struct ws_queue *q, uint32_t cap) {
    struct ws_queue_table *t = realloc(q->table, size_of(cap));
    if (!t) return WS_ERR_MEMORY;
    t->cap = cap;
    q->table = t;
    return 0;
}

/* Room for `more` behind the last, of a queue that has a table. */
static int widen(struct ws_queue *q, uint32_t more) {
    struct ws_queue_table *t = q->table;
    if (more <= t->cap - t->head - t->n) return 0;
    if (t->head > t->cap / 2 && more <= t->cap - t->n) { /* enough room in front: moving is cheaper
                                                            than growing, and happens seldom */
        memmove(t->entries, t->entries + t->head, t->n * sizeof *t->entries);
        if (t->keys) t->keys->base += t->head;
        t->head = 0;
        return 0;
    }
    uint64_t cap = t->cap;
    while (cap < (uint64_t)t->head + t->n + more) cap *= 2;
    return cap > UINT32_MAX / sizeof *t->entries ? WS_ERR_MEMORY : grow(q, (uint32_t)cap);
}

static int reserve(struct ws_queue *q, uint32_t more) {
    if (!q->table && new_table(q) < 0) return WS_ERR_MEMORY;
    return widen(q, more);
}

static void put(struct ws_queue_table *t, uint32_t at, const struct ws_queue_entry *entry) {
    t->entries[t->head + at] = *entry;
    t->n++;
    t->bytes += entry->len;
    if (is_borrowed(entry)) t->n_borrowed++;
}

/* Near the front the few in front move, if there is room: the many behind stay where they are. */
static int insert(struct ws_queue *q, uint32_t at, const struct ws_queue_entry *entry) {
    struct ws_queue_table *t = q->table;
    if (t && t->head) {
        struct ws_queue_entry *first = t->entries + t->head;
        if (at) memmove(first - 1, first, at * sizeof *first);
        t->head--;
    } else {
        if (reserve(q, 1) < 0) return WS_ERR_MEMORY;
        t = q->table;
        struct ws_queue_entry *first = t->entries + t->head;
        if (at < t->n) memmove(first + at + 1, first + at, (t->n - at) * sizeof *first);
        drop_keys(t);
    }
    put(t, at, entry);
    if (at < t->n_sealed) t->n_sealed++;
    return 0;
}

int ws_queue_push(struct ws_queue *q, const struct ws_queue_entry *entry) {
    if (reserve(q, 1) < 0) return WS_ERR_MEMORY;
    struct ws_queue_table *t = q->table;
    put(t, t->n, entry);
    if (t->keys && entry->key) note_key(t, entry->key, t->head + t->n - 1);
    return 0;
}

int ws_queue_push_next(struct ws_queue *q, const struct ws_queue_entry *entry,
                       struct ws_queue_sink *sink) {
    struct ws_queue_table *t = q->table;
    uint32_t at = t && t->sent ? 1 : 0;
    for (; at < ws_queue_n(q) && t->entries[t->head + at].kind >= WS_QUEUE_CONTROL; at++) {
        struct ws_queue_entry *there = &t->entries[t->head + at];
        if (there->kind != WS_QUEUE_PONG || entry->kind != WS_QUEUE_PONG) continue;
        exchange(t, there, entry, sink);
        return 0;
    }
    return insert(q, at, entry);
}

int ws_queue_append(struct ws_queue *q, struct ws_queue *from, struct ws_queue_sink *sink) {
    struct ws_queue_table *more = from->table;
    if (!more) return 0;
    if (reserve(q, more->n) < 0) return WS_ERR_MEMORY;
    for (uint32_t i = 0; i < more->n; i++) ws_queue_push(q, &more->entries[more->head + i]);
    more->n_borrowed = 0;
    free_table(from, sink);
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
    const struct ws_queue_table *t = q->table;
    int n = 0;
    *total = 0;
    if (!t) return 0;
    size_t skip = t->sent;
    uint32_t n_ready = t->n_sealed ? t->n_sealed : t->n;
    for (uint32_t i = 0; i < n_ready; i++) {
        const struct ws_queue_entry *e = &t->entries[t->head + i];
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
    for (int i = 0; i < n; i++) *total += iov[i].iov_len;
    return n;
}

size_t ws_queue_consume(struct ws_queue *q, size_t n, struct ws_queue_sink *sink) {
    struct ws_queue_table *t = q->table;
    size_t done = 0;
    if (!t) return 0;
    t->bytes -= n;
    n += t->sent;
    while (t->n && n >= t->entries[t->head].len) {
        const struct ws_queue_entry *e = &t->entries[t->head];
        n -= e->len;
        drop(t, e, sink);
        t->head++;
        t->n--;
        if (t->n_sealed) t->n_sealed--;
        done++;
    }
    t->sent = n;
    if (t->n == 0) free_table(q, sink);
    return done;
}

/* ---- sealing ---- */

const struct ws_queue_entry *ws_queue_unsealed(const struct ws_queue *q) {
    const struct ws_queue_table *t = q->table;
    if (!t || t->n_sealed == t->n || t->n_sealed >= WS_QUEUE_SEALED_MAX) return NULL;
    return t->entries + t->head + t->n_sealed;
}

size_t ws_queue_sealed_bytes(const struct ws_queue *q) {
    const struct ws_queue_table *t = q->table;
    size_t bytes = 0;
    if (!t) return 0;
    for (uint32_t i = 0; i < t->n_sealed; i++) bytes += t->entries[t->head + i].len;
    return bytes;
}

void ws_queue_seal(struct ws_queue *q, struct ws_msg *msg, struct ws_queue_sink *sink) {
    struct ws_queue_table *t = q->table;
    struct ws_queue_entry *there = &t->entries[t->head + t->n_sealed], e = *there;
    t->n_sealed++;
    if (!msg) return;
    e.msg = msg;
    e.data = msg->data;
    e.len = ws_msg_size(msg);
    e.lasting = e.shared = false;
    exchange(t, there, &e, sink);
}

/* ---- settling ---- */

/* Gives each message of an entry one of its own, from `to` on. */
static void split(struct ws_queue_entry *to, struct ws_queue_entry e) {
    uint32_t n = e.n_more + 1;
    const uint8_t *end = e.data + e.len;
    e.n_more = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct ws_frame f = {0};
        if (n > 1) e.len = (size_t)ws_frame_parse(&f, e.data, (size_t)(end - e.data)) + f.len;
        to[i] = e;
        e.data += e.len;
    }
}

/* From the last to the first, so that none is overwritten before it has moved. */
static void split_all(struct ws_queue_table *t, uint32_t n_more) {
    uint32_t to = t->n + n_more;
    if (!n_more) return;
    drop_keys(t);
    for (uint32_t i = t->n; i > 0; i--) {
        struct ws_queue_entry *first = t->entries + t->head, e = first[i - 1];
        to -= e.n_more + 1;
        split(first + to, e);
        t->n_borrowed += e.n_more;
    }
    t->n += n_more;
    while (t->sent >= t->entries[t->head].len) { /* these of the first have gone */
        t->sent -= t->entries[t->head++].len;
        t->n--;
        t->n_borrowed--;
    }
}

int ws_queue_settle(struct ws_queue *q) {
    size_t need = 0;
    uint32_t n_more = 0;
    if (!q->table || !q->table->n_borrowed) return 0;
    for (uint32_t i = 0; i < q->table->n; i++) {
        const struct ws_queue_entry *e = &q->table->entries[q->table->head + i];
        if (is_borrowed(e)) need += e->len;
        n_more += e->n_more;
    }
    struct ws_msg *block = ws_msg_new(need);
    if (!block || (n_more && widen(q, n_more) < 0)) {
        ws_msg_unref(block);
        return WS_ERR_MEMORY;
    }
    struct ws_queue_table *t = q->table;
    split_all(t, n_more);
    uint8_t *to = block->bytes;
    for (uint32_t i = 0; i < t->n; i++) {
        struct ws_queue_entry *e = &t->entries[t->head + i];
        if (!is_borrowed(e)) continue;
        memcpy(to, e->data, e->len);
        e->data = to;
        e->msg = block;
        ws_msg_ref(block);
        to += e->len;
    }
    t->n_borrowed = 0;
    ws_msg_unref(
        block); /* the reference of ws_msg_new; the entries hold theirs, and there is no object */
    return 0;
}

/* ---- dropping ---- */

size_t ws_queue_discard(struct ws_queue *q, struct ws_queue_sink *sink) {
    struct ws_queue_table *t = q->table;
    uint32_t kept = 0;
    size_t dropped = 0;
    if (!t) return 0;
    uint32_t n_sealed = count_sealed(t);
    for (uint32_t i = 0; i < t->n; i++) {
        struct ws_queue_entry e = t->entries[t->head + i];
        if (i < n_sealed || e.kind >= WS_QUEUE_CONTROL) {
            t->entries[t->head + kept++] = e;
            continue;
        }
        t->bytes -= e.len;
        drop(t, &e, sink);
        dropped += count_messages(&e);
    }
    t->n = kept;
    drop_keys(t);
    if (t->n == 0) free_table(q, sink);
    return dropped;
}

bool ws_queue_drop_oldest(struct ws_queue *q, struct ws_queue_sink *sink) {
    struct ws_queue_table *t = q->table;
    if (!t) return false;
    struct ws_queue_entry *first = t->entries + t->head;
    uint32_t at = count_sealed(t);
    while (at < t->n && first[at].kind != WS_QUEUE_MESSAGE) at++;
    if (at == t->n) return false;
    t->bytes -= first[at].len;
    drop(t, &first[at], sink);
    /* What stays in front of it moves up: nobody behind it does. */
    if (at) memmove(first + 1, first, at * sizeof *first);
    t->head++;
    if (--t->n == 0) free_table(q, sink);
    return true;
}

size_t ws_queue_clear(struct ws_queue *q, struct ws_queue_sink *sink) {
    struct ws_queue_table *t = q->table;
    size_t dropped = 0;
    if (!t) return 0;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct ws_queue_entry *e = &t->entries[t->head + i];
        dropped += count_messages(e);
        drop(t, e, sink);
    }
    free_table(q, sink);
    return dropped;
}
