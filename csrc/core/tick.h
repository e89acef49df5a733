/* tick.h: what all connections of one loop share: the arenas, the batch and the lists of one
 * iteration, and the loop's clock, wheel and mailbox. The loop owns it; connections borrow it. So
 * conn.c needs to know nothing of the loop. */
#ifndef WS_TICK_H
#define WS_TICK_H

#include "batch.h"
#include "deflate.h"
#include "heap.h"
#include "mailbox.h"
#include "page.h"
#include "queue.h"
#include "registry.h"
#include "simd.h"
#include "sock.h"
#include "timer.h"
#include "topic.h"
#include "ws.h"

#include <pthread.h>
#include <stdatomic.h>

#define WS_TICK_READ_MAX                                                                           \
    (256u * 1024) /* bytes read from a connection in a turn, so that none starves */
#define WS_TICK_ARENA_IN (1024u * 1024)
#define WS_TICK_ARENA_OUT (256u * 1024)
#define WS_TICK_EVENTS_MAX 16384u /* events after which the batch is dispatched first */
#define WS_TICK_INFLATED_MAX (8u * 1024 * 1024) /* bytes of inflated messages after which it is */
#define WS_TICK_POSTED_MAX                                                                         \
    (16u * 1024 * 1024) /* bytes of messages to topics, or with keys, that wait in the mailbox */
#define WS_TICK_RELEASE_MAX                                                                        \
    (1024u * 1024) /* bytes held by the release list that force a dispatch */

/* Memory that is given out front to back and taken back all at once. */
struct ws_arena {
    uint8_t *data; /* owned */
    size_t used, cap;
};

/* len bytes, or NULL if they do not fit. */
static inline uint8_t *ws_arena_take(struct ws_arena *a, size_t len) {
    if (len > a->cap - a->used) return NULL;
    uint8_t *p = a->data + a->used;
    a->used += len;
    return p;
}

/* Counters that only the owner thread changes and any thread reads: no locked instruction is
 * needed. */
typedef _Atomic uint64_t ws_counter;

static inline void ws_count(ws_counter *c, uint64_t n) {
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

struct ws_counters {
    ws_counter accepted, shed, refused, opened, closed, received, sent, dropped_received,
        dropped_sent, replaced, received_compressed, sent_compressed, compressions,
        suppressed_lines;
    /* Refused on other threads, changed by atomic addition: messages to a connection, to many. */
    ws_counter dropped_posted, lost_published;
};

/* Kinds of log lines, each with its own rate limit. */
enum ws_line {
    WS_LINE_SHED,
    WS_LINE_REFUSED,
    WS_LINE_PROTOCOL,
    WS_LINE_BACKLOG,
    WS_LINE_TIME,
    WS_LINE_PUBLISH,
    WS_LINE_SYSTEM,
    WS_LINES,
};

struct ws_tick {
    /* borrowed from the server, constant while the loop runs */
    const struct ws_options *options;
    const struct ws_handlers *handlers;
    void *user;
    const struct ws_handshake_rules *rules;
    const struct ws_pages *pages;
    struct ws_counters *counters;
    _Atomic int *log_level;
    const _Atomic uint32_t *wanted; /* enum ws_want, or-ed */
    const _Atomic bool *abandoned;  /* in a forked child: no handler is called any more */
    uint64_t *last_id;
    enum ws_simd simd;

    _Atomic uintptr_t owner; /* the thread of ws_loop_begin; 0 before and after */
    struct ws_mailbox mailbox;
    struct ws_wake wake;
    _Atomic size_t posted; /* what messages in the mailbox take of memory, if only the loop knows
                              what becomes of them */

    pthread_mutex_t topics_lock; /* of topics, of every connection's subscriber, of the order in
                                    which threads publish */
    uint32_t n_holds;            /* how often the owner thread has it; the owner's */
    struct ws_topics topics;

    uint64_t now_ms;
    uint64_t random; /* state of ws_tick_random */
    uint64_t salt;   /* of the core's pings, so that nobody reads this machine's clock there */
    struct ws_timer_wheel wheel;
    struct ws_arena in, out;
    size_t inflated; /* bytes of messages in the batch that came compressed */
    struct ws_deflate_pool deflate;
    struct ws_batch batch;
    struct ws_heap calls; /* that wait for their time */
    struct ws_registry registry;
    _Atomic size_t n_open; /* connections of the registry that nobody has closed yet */

    struct ws_conn *touched; /* to be flushed; linked by next_touched */
    struct ws_conn *marked;  /* something else is to be done, as their marks say; linked by
                                next_marked */

    bool resting; /* inside another loop, between two steps: who makes work wakes it */

    struct ws_queue_sink released; /* objects to be given back in the next dispatch */

    uint64_t line_second; /* of the rate limit */
    uint8_t n_lines[WS_LINES];
};

/* What must be in place before connections come: arenas, clock, wheel. 0 or WS_ERR_MEMORY; fini in
 * any case. */
int ws_tick_init(struct ws_tick *t);
void ws_tick_fini(struct ws_tick *t);
void ws_tick_read_clock(struct ws_tick *t);
/* The same clock, read now: nanoseconds. */
uint64_t ws_tick_read_ns(void);
/* Spreads time-outs; no secret comes from it. */
uint32_t ws_tick_random(struct ws_tick *t);
static inline bool ws_tick_is_owner(const struct ws_tick *t) {
    return atomic_load_explicit(&t->owner, memory_order_relaxed) == (uintptr_t)pthread_self();
}
/* Takes and gives the lock of the topics, on any thread. The owner may take it again. */
void ws_tick_lock_topics(struct ws_tick *t);
void ws_tick_unlock_topics(struct ws_tick *t);
/* Takes room in the mailbox for a message of len bytes, and gives it back: its memory is bounded
 * for the whole loop. False: there is none. Any thread. */
bool ws_tick_take_room(struct ws_tick *t, size_t len);
void ws_tick_give_room(struct ws_tick *t, size_t len);
/* Posts mail (taken) and wakes the owner if it is the first. Any thread. */
void ws_tick_post(struct ws_tick *t, struct ws_mail *mail);
/* There is work for the next iteration: an owner that sleeps in another loop is woken, once. What
 * makes it reads the clock, which has stood still meanwhile. */
static inline void ws_tick_rouse(struct ws_tick *t) {
    if (!t->resting) return;
    t->resting = false;
    ws_tick_read_clock(t);
    ws_wake_signal(&t->wake);
}
/* Gives everything on the release list back. In dispatch. */
void ws_tick_give_back(struct ws_tick *t);
/* Makes a log line as an event of the batch: 10 a second for each kind, the rest is counted.
 * printf-like. */
__attribute__((format(printf, 4, 5))) void ws_tick_log(struct ws_tick *t, enum ws_line kind,
                                                       enum ws_log level, const char *format, ...);

#endif
