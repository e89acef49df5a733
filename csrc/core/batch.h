/* batch.h: what the loop has read and the handlers have not seen yet: events in order.
 *
 * The loop has one batch a tick. A connection's lane, where its events wait while it is over its
 * high-water mark, is a batch too; there every event owns its bytes. */
#ifndef WS_BATCH_H
#define WS_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_conn;
struct ws_call;

enum ws_event_kind {
    /* What handlers see in order. */
    WS_EVENT_OPEN,    /* data: the 101 answer; code: 1 if no upgrade is asked for */
    WS_EVENT_MESSAGE, /* data, len, text, ascii; object if it was received into one */
    WS_EVENT_PING,    /* data, len */
    WS_EVENT_PONG,    /* data, len */
    WS_EVENT_CLOSE,   /* the peer's close frame: code, data: reason */
    WS_EVENT_FAIL,    /* the peer broke a rule: code to close with, data: reason */
    WS_EVENT_END,     /* the connection is over; code: enum ws_close_kind */
    /* What they do not. */
    WS_EVENT_BUFFER, /* len: memory asked for, text: for what */
    WS_EVENT_LANE,   /* the lane may go on */
    WS_EVENT_DRAIN,  /* the queue is short again */
    /* For who waits for them, whatever waits before. */
    WS_EVENT_DRAINED, /* the queue is short again */
    WS_EVENT_PONGED,  /* data, len: of a pong; code: 1 if it is that of our last ping */
    WS_EVENT_GONE,    /* a close stands in the lane, behind a handler that is not done: code; data:
                         reason */
    WS_EVENT_LOG,     /* code: level, data: a line; conn is NULL */
    WS_EVENT_CALL,    /* call; conn is NULL */
    WS_EVENT_GUEST,   /* key and len: which one; code: enum ws_poll; conn is NULL */
};

struct ws_event {
    struct ws_conn *conn; /* borrowed: a connection outlives its events */
    uint8_t *data;
    size_t len;
    void *object;         /* owned */
    struct ws_call *call; /* owned: a reference */
    uint32_t key;
    uint16_t code;
    uint8_t kind;
    bool text : 1;
    bool ascii : 1;
    bool owned : 1;  /* data is to be freed with the event */
    bool masked : 1; /* data is still masked with key, as the event of the parser says */
};

struct ws_batch {
    struct ws_event *events; /* owned */
    size_t n, cap;
    size_t head; /* a lane's: the first event that still waits */
};

/* Makes room for one more. 0 or WS_ERR_MEMORY. */
int ws_batch_grow(struct ws_batch *b);
/* Appends a copy of the event; what it owns is taken. 0 or WS_ERR_MEMORY (nothing taken). */
static inline int ws_batch_push(struct ws_batch *b, const struct ws_event *ev) {
    int err = b->n == b->cap ? ws_batch_grow(b) : 0;
    if (err == 0) b->events[b->n++] = *ev;
    return err;
}
/* Like push, but bytes that the event borrows are copied first. */
int ws_batch_push_owned(struct ws_batch *b, const struct ws_event *ev);
/* Empties it without a look at what the events own; keeps its memory for the next tick unless it is
 * large. */
void ws_batch_reset(struct ws_batch *b);
/* A lane, empty; ws_batch_free frees it, whatever its events own apart. NULL: out of memory. */
struct ws_batch *ws_batch_new(void);
void ws_batch_free(struct ws_batch *b);
/* For a batch in storage of the caller's. */
void ws_batch_fini(struct ws_batch *b);

#endif
