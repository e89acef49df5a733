/* conn.h: one connection: socket, handshake, protocol, output queue, back-pressure.
 *
 * Three files share this struct: conn.c (life, reading), conn_send.c (queueing, writing, closing)
 * and dispatch.c (events to handlers). The loop is the only one that tells them what the poller
 * saw, and the only one that talks to the poller. */
#ifndef WS_CONN_H
#define WS_CONN_H

#include "http.h"
#include "proto.h"
#include "tick.h"

enum ws_conn_state {
    WS_CONN_HEAD,      /* the request head is read */
    WS_CONN_ANSWERING, /* the handshake stands in the batch; bytes behind it wait */
    WS_CONN_OPEN,
    WS_CONN_CLOSING, /* our close frame is queued, the peer's is awaited */
    WS_CONN_LINGER,  /* all is said: write the queue, then FIN, then read and discard until EOF */
    WS_CONN_DEAD,    /* given up at the tick's end */
};

/* What the first close says. Published with one exchange, so that every thread sees the same close,
 * or none. */
struct ws_closing {
    uint16_t code;
    uint8_t kind; /* enum ws_close_kind */
    bool lasting; /* static; else owned by the connection, the reason's bytes behind it */
    struct ws_slice reason;
};

struct ws_conn {
    struct ws_registry_node node; /* first: the registry's node is the connection */
    struct ws_tick *tick;
    void *user;
    _Atomic uint32_t refs;
    int fd;
    uint32_t slot;

    uint8_t state;
    uint8_t interest;   /* what the poller watches for; the loop's */
    uint8_t close_kind; /* enum ws_close_kind: the first cause stays */
    uint8_t must_end; /* enum ws_close_kind: an END event that found no memory, to be tried again */
    bool opened : 1;  /* on_open was called */
    bool eof : 1;     /* nothing more comes from the peer */
    bool broken : 1;  /* the peer takes nothing more */
    bool was_reset : 1;     /* a write told it, so that the read that follows sees a mere end */
    bool shut : 1;          /* our FIN is sent */
    bool blocked : 1;       /* the kernel took less than there was */
    bool paused : 1;        /* over high_water after a flush: not read */
    bool wants_drain : 1;   /* ws_conn_send told WS_SENT_OVER: on_drain is due */
    bool awaits_buffer : 1; /* a BUFFER event stands in the batch */
    bool gap : 1; /* an event found no place in the lane: none behind it but END is told */
    bool is_touched : 1, is_ready : 1, is_overdue : 1,
        is_dead : 1;   /* stands in that list of the tick */
    _Atomic bool told; /* on_close was called: what it said stays */
    _Atomic(const struct ws_closing *)
        closing; /* NULL: open. The first close of any thread stays */

    _Atomic size_t backlog; /* queue.bytes, for other threads */
    _Atomic size_t cost;    /* what the queue takes of memory, for other threads */
    _Atomic size_t posted;  /* bytes in the mailbox */

    struct ws_conn *next_touched, *next_ready, *next_overdue, *next_dead;
    struct ws_timer timer; /* handshake, close or linger time-out, as the state says */
    struct ws_queue queue;
    struct ws_proto proto;
    struct ws_batch *lane;         /* owned: events that wait, NULL if none do */
    struct ws_buf pending;         /* HEAD: the head so far; later: bytes behind the head */
    struct ws_http_reader *reader; /* owned, HEAD only */
    void *object;                  /* owned: memory that a large message is received into */
    uint8_t *object_data;
    uint8_t *pong; /* owned: payload of the latest ping, its length in the first byte; NULL if none
                      waits */

    struct ws_address address;
    uint8_t *head; /* owned: the request head */
    uint32_t head_len;
    uint32_t linger_left; /* bytes an error answer's peer may still send */
    uint16_t code, sent_code;
    uint8_t reason_len, sent_reason_len;
    char *reason, *sent_reason; /* owned, NULL if empty */
};

static inline struct ws_conn *ws_conn_of_node(struct ws_registry_node *node) {
    return (struct ws_conn *)(void *)node;
}

/* ---- conn.c: life, reading ---- */

/* A connection for a descriptor just accepted (taken); the caller owns the one reference. NULL: out
 * of memory (fd not taken). */
struct ws_conn *ws_conn_new(struct ws_tick *t, int fd, const struct ws_address *address);
/* The loop lets go at a tick's end: closes the descriptor (-1: somebody else does) and gives up its
 * reference. */
void ws_conn_bury(struct ws_conn *c);
/* The descriptor has something to read, or hung up. Reads once and parses; events go to the tick's
 * batch. */
void ws_conn_read(struct ws_conn *c);
/* Hung up while it was not to be read: what is queued is void, what has come is still read. */
void ws_conn_hangup(struct ws_conn *c);
/* The socket is of no use any more, and no read would tell. */
void ws_conn_gone(struct ws_conn *c, enum ws_close_kind kind);
/* Takes up what waited: lane, bytes behind the handshake. For connections in the tick's ready list.
 */
void ws_conn_resume(struct ws_conn *c);
/* The deadline passed and a full read pass changed nothing. */
void ws_conn_give_up(struct ws_conn *c);
/* What the poller should watch for: enum ws_poll, or-ed. */
uint32_t ws_conn_interest(const struct ws_conn *c);
/* Puts it into a list of the tick, once. */
void ws_conn_touch(struct ws_conn *c);
void ws_conn_make_ready(struct ws_conn *c);
void ws_conn_mark_overdue(struct ws_conn *c);
/* Marks it dead: no event follows. */
void ws_conn_die(struct ws_conn *c);
/* Appends an event of this connection; if there is no memory the connection will end. Takes what
 * the event owns either way. */
void ws_conn_event(struct ws_conn *c, const struct ws_event *ev);
/* Queues END. */
void ws_conn_end(struct ws_conn *c, enum ws_close_kind kind);
/* (Re)arms its timer; 0 disarms. */
void ws_conn_deadline(struct ws_conn *c, uint32_t delay_ms);

/* ---- conn_send.c: queueing, writing, closing ---- */

/* Writes what is queued as far as the kernel takes it, with what follows from it (FIN, drain,
 * pause). */
void ws_conn_flush(struct ws_conn *c);
/* Applies one mail; takes its block. */
void ws_conn_apply(struct ws_conn *c, struct ws_mail *mail);
/* Queues bytes of HTTP: copied, or lasting. 0 or WS_ERR_MEMORY. */
int ws_conn_send_http(struct ws_conn *c, const uint8_t *data, size_t len, bool lasting);
/* Queues a close frame, and remembers what it said. */
void ws_conn_send_close(struct ws_conn *c, uint16_t code, struct ws_slice reason);
/* All is said: goes to LINGER. */
void ws_conn_linger(struct ws_conn *c);
/* Throws the queue away: the peer takes nothing more. */
void ws_conn_drop_queue(struct ws_conn *c);
/* Open from here on, or closed for its users from here on; the second does nothing if a close came
 * first. */
void ws_conn_begin_open(struct ws_conn *c);
void ws_conn_end_open(struct ws_conn *c);
/* Closes an open connection of the owner's for a reason of the server's own: ERROR 1011, BACKLOG
 * 1013, SHUTDOWN 1001. Needs no memory. */
void ws_conn_close_for(struct ws_conn *c, enum ws_close_kind kind);
/* Not open yet; and at the very end: frees what the first close left. */
void ws_conn_init_closing(struct ws_conn *c);
void ws_conn_free_closing(struct ws_conn *c);
/* Whether the queue is above high_water, the cost of many small frames included. */
bool ws_conn_is_over(const struct ws_conn *c);
/* From now on the peer has close_timeout to take what is queued and to end. */
void ws_conn_arm_close(struct ws_conn *c);
/* Remembers why it ends, unless it knows already. */
void ws_conn_set_kind(struct ws_conn *c, enum ws_close_kind kind);

/* ---- dispatch.c ---- */

/* Calls the handlers for every event of the batch and empties it. */
void ws_dispatch_batch(struct ws_tick *t);
/* Gives up what an event owns without a look at it. */
void ws_dispatch_drop(struct ws_tick *t, struct ws_event *ev);

#endif
