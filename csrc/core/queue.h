/* queue.h: what waits to be written to one connection: frames in order, one entry a frame.
 *
 * Knows no socket: gather shows what to write, consume is told what was written. An entry's bytes
 * live in a counted block (msg.h), or are borrowed: from the loop's arena until the tick ends
 * (ws_queue_settle copies what is left by then), or from memory that outlives the queue. Borrowed
 * messages that lie side by side are one entry until they are settled, since the kernel takes
 * nearly all of them at once. An empty queue is a NULL pointer. */
#ifndef WS_QUEUE_H
#define WS_QUEUE_H

#include "msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum ws_queue_kind {
    WS_QUEUE_MESSAGE, /* a message of the application's, whole */
    WS_QUEUE_PART,    /* a part of one: policies leave it alone, or its peer would see a hole */
    WS_QUEUE_LAST,    /* the last part: with it a message is dropped, as with MESSAGE */
    WS_QUEUE_CONTROL, /* a control frame: policies leave it alone */
    WS_QUEUE_PONG,    /* the same; a newer one replaces it (RFC 6455 section 5.5.3) */
    WS_QUEUE_HTTP,    /* the handshake's answer: nothing goes before it either */
};

struct ws_queue_entry {
    const uint8_t *data; /* unless msg: len bytes */
    size_t len;          /* on the wire, header included */
    struct ws_msg *msg;  /* owns one reference, or NULL */
    uint64_t key;        /* of a MESSAGE that a newer one of the same key may replace; 0: none */
    uint32_t n_more;     /* borrowed messages behind the first, in the same entry */
    uint8_t kind;
    bool lasting; /* msg is NULL: data outlives the queue */
    bool deflate; /* a message or a part that is to be compressed when it is sealed */
    bool shared;  /* msg is this one message, for many */
};

/* Where the newest entry of each key stands: there only while messages with keys wait. */
struct ws_queue_keys;

struct ws_queue_table {
    struct ws_queue_table *next; /* of the spare ones */
    struct ws_queue_keys *keys;  /* owned, or NULL */
    size_t sent;                 /* bytes of the first entry that were written: it is sealed */
    size_t bytes;                /* still to write */
    uint32_t head, n, cap;
    uint32_t n_borrowed; /* entries that the end of the tick would leave without bytes */
    uint32_t n_sealed;   /* entries in front that ws_queue_seal was called for */
    struct ws_queue_entry entries[]; /* the queue is entries[head .. head + n) */
};

struct ws_queue {
    struct ws_queue_table *table; /* owned; NULL: empty */
};

static inline uint32_t ws_queue_n(const struct ws_queue *q) {
    return q->table ? q->table->n : 0;
}
static inline size_t ws_queue_bytes(const struct ws_queue *q) {
    return q->table ? q->table->bytes : 0;
}

/* What queues give up. The loop has one. */
struct ws_queue_sink {
    struct ws_msg *first; /* blocks whose object is still to be released: a list linked by next */
    size_t bytes;         /* held by them */
    struct ws_queue_table *spare; /* owned: for the next queues */
    size_t spare_bytes;
};

/* Gives a queue that is empty one of the spare tables, if there is one: the next push needs no
 * memory then. */
static inline void ws_queue_lend(struct ws_queue *q, struct ws_queue_sink *sink) {
    if (q->table || !sink->spare) return;
    q->table = sink->spare;
    sink->spare = q->table->next;
    sink->spare_bytes -= sizeof *q->table + q->table->cap * sizeof *q->table->entries;
}
/* Frees the spare tables. */
void ws_queue_sink_fini(struct ws_queue_sink *sink);

/* Gives up a reference; a block that is then nobody's but holds an object goes to the sink. */
void ws_queue_sink_unref(struct ws_queue_sink *sink, struct ws_msg *m);

/* Appends; takes entry->msg. 0, or WS_ERR_MEMORY (nothing taken). */
int ws_queue_push(struct ws_queue *q, const struct ws_queue_entry *entry);
/* Appends a message that is borrowed. */
static inline int ws_queue_push_borrowed(struct ws_queue *q, const uint8_t *data, size_t len) {
    struct ws_queue_table *t = q->table;
    if (t && t->n) {
        struct ws_queue_entry *last = &t->entries[t->head + t->n - 1];
        bool joins = last->data + last->len == data && last->kind == WS_QUEUE_MESSAGE &&
                     !last->msg && !last->lasting && !last->key;
        if (joins) {
            last->len += len;
            last->n_more++;
            t->bytes += len;
            return 0;
        }
    }
    struct ws_queue_entry e = {.data = data, .len = len, .kind = WS_QUEUE_MESSAGE};
    return ws_queue_push(q, &e);
}
/* Puts a message in the place of the newest one with its key, if one waits that is not sealed; both
 * are unlike 0. 1: replaced (takes entry->msg), 0: there is none, or no memory to look for it. */
int ws_queue_replace(struct ws_queue *q, const struct ws_queue_entry *entry,
                     struct ws_queue_sink *sink);
/* Bytes of the message that replace would drop; 0: there is none. */
size_t ws_queue_replaceable(struct ws_queue *q, uint64_t key);
/* Puts a control frame at the next frame boundary: before every message that is not sealed, behind
 * HTTP and the control frames that wait there. A pong replaces one of those. Like push. */
int ws_queue_push_next(struct ws_queue *q, const struct ws_queue_entry *entry,
                       struct ws_queue_sink *sink);
/* Moves everything of `from` behind it. 0, or WS_ERR_MEMORY (nothing moved). */
int ws_queue_append(struct ws_queue *q, struct ws_queue *from, struct ws_queue_sink *sink);
/* The queue of a connection that compresses: there an entry is sealed before it is written, and
 * none holds several messages. The first that is not sealed; NULL: there is none, or enough are. */
#define WS_QUEUE_SEALED_MAX 1024
const struct ws_queue_entry *ws_queue_unsealed(const struct ws_queue *q);
/* Whether some are, and the bytes of those. */
static inline bool ws_queue_has_sealed(const struct ws_queue *q) {
    return q->table && q->table->n_sealed;
}
size_t ws_queue_sealed_bytes(const struct ws_queue *q);
/* Seals that entry: policies leave it alone from now on, and no other goes before it but control
 * frames. msg, if not NULL, takes its place (taken). */
void ws_queue_seal(struct ws_queue *q, struct ws_msg *msg, struct ws_queue_sink *sink);
/* Fills at most max pieces (max >= 2), neighbours in memory made one; if some are sealed then only
 * of those. Returns their number; *total their bytes. */
int ws_queue_gather(const struct ws_queue *q, struct iovec *iov, int max, size_t *total);
/* n bytes were written, n <= bytes. Returns how many entries were finished by it. */
size_t ws_queue_consume(struct ws_queue *q, size_t n, struct ws_queue_sink *sink);
/* Copies borrowed bytes into a block, so that the arena may be reused, and gives each message an
 * entry of its own. 0 or WS_ERR_MEMORY (queue unchanged). */
int ws_queue_settle(struct ws_queue *q);
/* Drops the messages and parts that are not sealed; control frames stay. Returns the number of
 * messages. */
size_t ws_queue_discard(struct ws_queue *q, struct ws_queue_sink *sink);
/* Drops the oldest whole message that is not sealed; of a queue that is settled. False: there is
 * none. */
bool ws_queue_drop_oldest(struct ws_queue *q, struct ws_queue_sink *sink);
/* Drops everything and frees the memory. Returns the number of messages dropped. */
size_t ws_queue_clear(struct ws_queue *q, struct ws_queue_sink *sink);

#endif
