/* conn.h: one connection: socket, handshake, protocol, output queue, back-pressure.
 *
 * Several files share this struct: conn.c (life), conn_open.c (the opening handshake), conn_read.c
 * (reading), conn_send.c (what users send), conn_deflate.c (compressing it), conn_write.c
 * (writing), conn_topic.c (topics), conn_close.c (closing), conn_time.c (deadlines), conn_rate.c
 * (rates), conn_busy.c (handlers that go on) and dispatch.c (events to handlers). The loop is the
 * only one that tells them what the poller saw, and the only one that talks to the poller. */
#ifndef WS_CONN_H
#define WS_CONN_H

#include "http.h"
#include "proto.h"
#include "rate.h"
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

/* What came of a connection lately; only one that is limited, or sends or gets control frames, has
 * it. */
struct ws_rates {
    struct ws_rate control, messages, bytes;
    uint64_t ping_ns;   /* our last ping went, and its pong has not come; else 0 */
    uint32_t resume_ms; /* throttled: when it may be read again */
};

/* What a connection has that is amid something: most are not, so it is a block of its own. */
struct ws_work {
    struct ws_buf pending;   /* HEAD: the head so far; later: bytes behind the head */
    struct ws_buf pongs;     /* frames that answer the pings of this turn */
    struct ws_queue *behind; /* owned: messages that wait for the stream's end, NULL if none do */
    struct ws_batch *lane;   /* owned: events that wait, NULL if none do */
    void *object;            /* owned: memory that a large message is received into */
    uint8_t *object_data;
    /* Until it is open. */
    struct ws_http_reader reader;
    struct ws_address address;
    uint32_t linger_left; /* bytes an error answer's peer may still send */
    bool was_asked;       /* on_request was called */
    bool awaits_answer;   /* and ws_conn_answer is due */
};

/* What the close frames said: ours, then the peer's. */
struct ws_words {
    uint8_t sent_len, len;
    char bytes[];
};

/* Lists of the tick that a connection may stand in, or-ed. */
enum ws_conn_mark {
    WS_CONN_READY = 1,   /* holds bytes or events from before */
    WS_CONN_OVERDUE = 2, /* its deadline has come */
    WS_CONN_GIVEN_UP = 4 /* to be buried at the tick's end */
};

/* What users know of the end. A handler that goes on is to see that the peer leaves, since on_close
 * waits for it. */
enum ws_conn_told {
    WS_CONN_UNTOLD,
    WS_CONN_LEAVES, /* the peer's close waits for the handler, which may answer still */
    WS_CONN_LOST,   /* the handler goes on, but can send no more */
    WS_CONN_TOLD    /* on_close was called: what it said stays */
};

/* The message that somebody sends in parts. */
enum ws_conn_stream {
    WS_CONN_STREAM_NONE,
    WS_CONN_STREAM_OPEN,
    WS_CONN_STREAM_BROKEN /* its end never comes, and nothing else can be sent behind it */
};

/* Memory counts here: there may be a million of these that do nothing. What every message needs
 * comes first. */
struct ws_conn {
    struct ws_registry_node node; /* first: the registry's node is the connection */
    struct ws_tick *tick;
    void *user;
    _Atomic(const struct ws_closing *)
        closing; /* NULL: open. The first close of any thread stays */
    uint32_t slot;
    int fd;

    uint8_t state;
    uint8_t close_kind;     /* enum ws_close_kind: the first cause stays */
    uint8_t interest : 4;   /* what the poller watches for; the loop's */
    uint8_t must_end : 4;   /* enum ws_close_kind: an END event that found no memory, to be tried
                               again */
    uint8_t marks : 3;      /* enum ws_conn_mark, or-ed */
    bool is_touched : 1;    /* stands in that list of the tick */
    bool opened : 1;        /* on_open was called */
    bool eof : 1;           /* nothing more comes from the peer */
    bool broken : 1;        /* the peer takes nothing more */
    bool was_reset : 1;     /* a write told it, so that the read that follows sees a mere end */
    bool shut : 1;          /* our FIN is sent */
    bool blocked : 1;       /* the kernel took less than there was */
    bool paused : 1;        /* over high_water after a flush: not read */
    bool wants_drain : 1;   /* ws_conn_send told WS_SENT_OVER: on_drain is due */
    bool awaits_buffer : 1; /* a BUFFER event stands in the batch */
    bool gap : 1;          /* an event found no place in the lane: none behind it but END is told */
    bool has_deadline : 1; /* until_ms counts */
    bool amid : 1;         /* a frame or a message has begun, at began_ms, and is not whole */
    bool awaits_pong : 1;  /* we pinged at pinged_ms, and nothing has come since */
    bool wants_ping : 1;   /* a ping of the core's is due at the next flush */
    bool throttled : 1;    /* over its rate: not read until resume_ms */
    bool is_held : 1;      /* not read since held_ms, for whatever reason */
    bool in_stream : 1;    /* a FIRST part was queued, its LAST was not */
    bool expects_large : 1;    /* the last message was too large for one read */
    bool busy : 1;             /* a handler has returned and is not done: events wait in the lane */
    bool answers : 1;          /* busy: the handler may answer what the peer has sent */
    bool awaits_drain : 1;     /* on_drained is due */
    bool awaits_pongs : 1;     /* on_ponged is called for each */
    uint16_t subprotocol : 14; /* which of the options', counted from 1; 0: none */
    /* From here on other threads write: not in one word with the above, which is read as one. */
    _Atomic uint8_t told;      /* enum ws_conn_told; the owner writes it */
    _Atomic uint8_t streaming; /* enum ws_conn_stream */
    _Atomic bool ping_posted;  /* a ping of the core's is in the mailbox */
    _Atomic bool drain_posted; /* a DRAIN is in the mailbox */
    _Atomic uint32_t refs;

    struct ws_proto proto;
    struct ws_queue queue;
    struct ws_work *work;   /* owned, NULL while there is none */
    struct ws_rates *rates; /* owned, NULL if not needed yet */
    struct ws_conn *next_touched, *next_marked;
    _Atomic size_t backlog;        /* bytes queued, for other threads */
    _Atomic size_t cost;           /* what the queue takes of memory, for other threads */
    _Atomic size_t posted;         /* bytes in the mailbox */
    _Atomic uint64_t dropped;      /* messages dropped or replaced */
    _Atomic uint32_t n_posted;     /* messages and pings in the mailbox */
    _Atomic uint32_t posted_parts; /* of streams, in the mailbox */

    /* Milliseconds of the tick's clock, modulo 2^32: time-outs are shorter than half of it. */
    uint32_t heard_ms;  /* the last bytes came */
    uint32_t active_ms; /* the last message came or went */
    uint32_t until_ms;  /* of the handshake, of closing or lingering, as the state says */
    uint32_t began_ms, held_ms;
    union {
        uint32_t pinged_ms;
        uint32_t moved_ms; /* blocked: the peer took bytes of the queue, or it began to wait. It is
                              not pinged then */
    };
    uint32_t ping_after_ms;      /* of silence: ping_interval, a little less for everybody */
    _Atomic uint32_t latency_us; /* WS_LATENCY_NONE: not known */
    struct ws_timer timer; /* of the deadline that is next, or of one that was put off since */

    struct ws_subscriber subscriber; /* under the tick's topics_lock */
    uint8_t *head;          /* owned: the request head, and the address behind it, packed */
    struct ws_words *words; /* owned, NULL if there were none */
    uint32_t head_len : 27; /* at most WS_CONN_HEAD_MAX */
    uint32_t family : 5;    /* of the address */
    uint16_t code, sent_code;
};

static inline struct ws_conn *ws_conn_of_node(struct ws_registry_node *node) {
    return (struct ws_conn *)(void *)node;
}

/* Whether on_close was called. Any thread. */
static inline bool ws_conn_is_told(const struct ws_conn *c) {
    return atomic_load_explicit(&c->told, memory_order_acquire) == WS_CONN_TOLD;
}

/* Events that wait, messages that wait for a stream's end: NULL if none do. */
static inline struct ws_batch *ws_conn_lane(const struct ws_conn *c) {
    return c->work ? c->work->lane : NULL;
}
static inline struct ws_queue *ws_conn_behind(const struct ws_conn *c) {
    return c->work ? c->work->behind : NULL;
}
/* Bytes behind the head that wait, once it is open. */
static inline size_t ws_conn_pending(const struct ws_conn *c) {
    return c->work ? c->work->pending.len : 0;
}

/* ---- conn.c: life ---- */

/* The longest request head that is taken, whatever max_header_size says. */
#define WS_CONN_HEAD_MAX ((1u << 27) - 1)

/* A connection for a descriptor just accepted (taken); the caller owns the one reference. NULL: out
 * of memory (fd not taken). */
struct ws_conn *ws_conn_new(struct ws_tick *t, int fd, const struct ws_address *address);
/* The loop lets go at a tick's end: closes the descriptor (-1: somebody else does) and gives up its
 * reference. */
void ws_conn_bury(struct ws_conn *c);
/* Hung up while it was not to be read: what is queued is void, what has come is still read. */
void ws_conn_hangup(struct ws_conn *c);
/* The socket is of no use any more, and no read would tell. */
void ws_conn_gone(struct ws_conn *c, enum ws_close_kind kind);
/* What it is amid of: made if there is none yet. NULL: out of memory. */
struct ws_work *ws_conn_need_work(struct ws_conn *c);
/* Gives that up if it is amid of nothing, once it is open. */
void ws_conn_tidy(struct ws_conn *c);
/* Gives up the events that wait. */
void ws_conn_drop_lane(struct ws_conn *c);
/* Puts it into a list of the tick, once. */
void ws_conn_touch(struct ws_conn *c);
void ws_conn_mark(struct ws_conn *c, uint8_t marks);
static inline void ws_conn_make_ready(struct ws_conn *c) {
    ws_conn_mark(c, WS_CONN_READY);
}
/* Marks it dead: no event follows. */
void ws_conn_die(struct ws_conn *c);
/* Appends an event of this connection; if there is no memory the connection will end. Takes what
 * the event owns either way. */
void ws_conn_event(struct ws_conn *c, const struct ws_event *ev);
/* Remembers why it ends, unless it knows already. */
void ws_conn_set_kind(struct ws_conn *c, enum ws_close_kind kind);
/* Queues END. */
void ws_conn_end(struct ws_conn *c, enum ws_close_kind kind);
/* Bytes that an event may keep until it is dispatched, copied into the arena or a block that the
 * event owns. False: out of memory. */
bool ws_conn_keep(struct ws_conn *c, struct ws_event *ev, const void *data, size_t len);

/* ---- conn_open.c: the opening handshake ---- */

/* Bytes of the request's head, and perhaps some behind it. */
void ws_conn_feed_head(struct ws_conn *c, const uint8_t *data, size_t len);
/* The request did not come in time. */
void ws_conn_refuse_late(struct ws_conn *c);
/* A request without upgrade that nobody has answered: 404 or 426. */
void ws_conn_refuse_plain(struct ws_conn *c);
/* Keeps the first len bytes of the request head, and an empty line behind them if they are not all.
 * The address stays. False: out of memory, nothing was done. */
bool ws_conn_keep_head(struct ws_conn *c, const uint8_t *head, size_t len, bool whole);
/* Frees the request's header fields; its start line stays. */
void ws_conn_forget_headers(struct ws_conn *c);

/* ---- conn_read.c: reading ---- */

/* The descriptor has something to read, or hung up. Reads once and parses; events go to the tick's
 * batch. True: there was as much as one read takes, and more may wait. */
bool ws_conn_read(struct ws_conn *c);
/* Takes up what waited: lane, bytes behind the handshake. For connections in the tick's ready list.
 */
void ws_conn_resume(struct ws_conn *c);
/* What the poller should watch for: enum ws_poll, or-ed. */
uint32_t ws_conn_interest(const struct ws_conn *c);
/* Ends what the peer sends: it broke a rule, said in words that last. */
void ws_conn_fail(struct ws_conn *c, uint16_t code, const char *why);

/* ---- conn_time.c: deadlines ---- */

#define WS_LATENCY_NONE UINT32_MAX

/* It is open from now on: the clocks of silence and activity start. */
void ws_conn_begin_times(struct ws_conn *c);
/* Sets the deadline of its state; 0: none. */
void ws_conn_deadline(struct ws_conn *c, uint32_t delay_ms);
/* Makes sure that the timer fires for the next deadline. What comes later than before needs no
 * call. */
void ws_conn_rearm(struct ws_conn *c);
/* Whether a deadline has passed. */
bool ws_conn_is_due(const struct ws_conn *c);
/* Acts on a deadline that has passed, if a full read pass changed nothing. was_full: the read that
 * went before left bytes unread. */
void ws_conn_expire(struct ws_conn *c, bool was_full);
/* Reading begins or ends: what waits unread does not count as silence. */
void ws_conn_hold(struct ws_conn *c, bool held);
/* Bytes came, and have been parsed. */
void ws_conn_note_read(struct ws_conn *c);
/* A write is over; was_blocked: before it. moved: the peer took something of what was there. */
void ws_conn_note_write(struct ws_conn *c, bool was_blocked, bool moved);
/* A pong came. Whether it is that of our last ping. */
bool ws_conn_take_pong(struct ws_conn *c, const uint8_t *data, size_t len);
/* The payload of a ping that goes now. */
void ws_conn_make_ping(struct ws_conn *c, uint8_t payload[8]);

/* ---- conn_rate.c: how much may come in a second ---- */

/* Made if there are none yet. NULL: out of memory. */
struct ws_rates *ws_conn_need_rates(struct ws_conn *c);
/* A message came (which counts in message_rate), a control frame, bytes. False: too many. */
bool ws_conn_allow_message(struct ws_conn *c);
bool ws_conn_allow_control(struct ws_conn *c);
bool ws_conn_allow_bytes(struct ws_conn *c, size_t n);

/* ---- conn_send.c: what users send ---- */

/* Appends to the queue; takes entry->msg. 0 or WS_ERR_MEMORY. */
int ws_conn_push(struct ws_conn *c, const struct ws_queue_entry *entry);
/* What the queue takes of memory: small frames that wait for a blocked peer cost more than their
 * bytes. */
size_t ws_conn_cost(const struct ws_conn *c);
/* The queue has changed: tells other threads. */
void ws_conn_note_queue(struct ws_conn *c);
/* One message for many: what its receivers share. */
struct ws_shared {
    const struct ws_payload *payload; /* NULL: msg is there already */
    struct ws_msg
        *msg; /* one reference, NULL until it is needed (a slow receiver, a large message) */
    const uint8_t *at; /* the frame in the arena until the tick ends, or NULL */
    size_t len;        /* of the frame */
    uint64_t key;
    uint8_t compress; /* enum ws_compress */
};
/* Queues a shared message, or does what the policy says. Owner thread. */
void ws_conn_deliver(struct ws_conn *c, struct ws_shared *shared);
/* Frames up to this size go into the arena, neighbours into one piece. */
#define WS_CONN_SMALL_MAX 4096
/* The frame of a payload, a server's: its size, and the writing of it. */
size_t ws_conn_frame_size(const struct ws_payload *p);
void ws_conn_write_frame(uint8_t *out, const struct ws_payload *p);
/* Where in the arena the frame is, or is to be written: NULL if it is large or in an object, or if
 * there is no room. */
uint8_t *ws_conn_take_frame(struct ws_tick *t, const struct ws_payload *p);
/* As ws_server_room. */
uint8_t *ws_conn_room(struct ws_tick *t, size_t len);
/* A block with that frame; holds payload->object. NULL: out of memory. */
struct ws_msg *ws_conn_encode(const struct ws_payload *p);
/* Mail to this connection, which it holds; NULL: out of memory. */
struct ws_mail *ws_conn_new_mail(struct ws_conn *c, enum ws_mail_kind kind);
/* Applies one mail; takes its block. */
void ws_conn_apply(struct ws_conn *c, struct ws_mail *mail);
/* Has the owner carry out the close that was published, from another thread. 0 or WS_ERR_MEMORY
 * (nothing was published). Takes closing. */
int ws_conn_post_close(struct ws_conn *c, const struct ws_closing *closing);
/* Queues bytes of HTTP: copied, or lasting. 0 or WS_ERR_MEMORY. */
int ws_conn_send_http(struct ws_conn *c, const uint8_t *data, size_t len, bool lasting);
/* Whether the queue is above high_water, the cost of many small frames included. */
bool ws_conn_is_over(const struct ws_conn *c);
/* Throws the queue away: the peer takes nothing more. */
void ws_conn_drop_queue(struct ws_conn *c);
/* Throws away what is not sealed, and tells how many messages that were; control frames stay. */
size_t ws_conn_discard(struct ws_conn *c);
/* Throws away the messages that wait for a stream's end. */
void ws_conn_drop_behind(struct ws_conn *c);

/* ---- conn_deflate.c: compressing ---- */

/* Whether a message of that frame size, or a part, is to be compressed when it is sealed. */
bool ws_conn_wants_deflate(const struct ws_conn *c, uint8_t compress, uint8_t part, size_t size);
/* Seals what is to be written next, if permessage-deflate was agreed on. False: a message cannot be
 * brought to its end. */
__attribute__((noinline)) bool ws_conn_seal(struct ws_conn *c);

/* ---- conn_write.c: writing ---- */

/* Writes what is queued as far as the kernel takes it, with what follows from it (FIN, drain,
 * pause). */
void ws_conn_flush(struct ws_conn *c);
/* Writes until the queue is empty or the kernel is full. */
void ws_conn_write(struct ws_conn *c);

/* ---- conn_topic.c: its topics ---- */

/* Leaves them all. */
void ws_conn_leave(struct ws_conn *c);

/* ---- conn_busy.c: handlers that go on; see ws.h ---- */

/* Its end waits in the lane: who waits for this connection in its handler would wait for ever. */
void ws_conn_tell_gone(struct ws_conn *c, const struct ws_event *ev);
/* If a handler goes on it can send no more from now on. Whether it could until now. */
bool ws_conn_lose(struct ws_conn *c);
/* The handler is done. */
void ws_conn_apply_done(struct ws_conn *c);

/* ---- conn_close.c: closing ---- */

/* Queues a close frame, and remembers what it said. */
void ws_conn_send_close(struct ws_conn *c, uint16_t code, struct ws_slice reason);
/* Remembers what the peer's said. */
void ws_conn_keep_reason(struct ws_conn *c, struct ws_slice reason);
/* All is said: goes to LINGER. */
void ws_conn_linger(struct ws_conn *c);
/* Open from here on, or closed for its users from here on; the second does nothing if a close came
 * first. */
void ws_conn_begin_open(struct ws_conn *c);
void ws_conn_end_open(struct ws_conn *c);
/* Closes an open connection of the owner's for a reason of the server's own: ERROR and PING_TIMEOUT
 * 1011, BACKLOG 1013, SHUTDOWN and IDLE 1001. Needs no memory. */
void ws_conn_close_for(struct ws_conn *c, enum ws_close_kind kind);
/* Not open yet; and at the very end: frees what the first close left. */
void ws_conn_init_closing(struct ws_conn *c);
void ws_conn_free_closing(struct ws_conn *c);
/* What the server says when it closes for a reason of its own. */
const struct ws_closing *ws_conn_fixed_closing(enum ws_close_kind kind);
/* True if it was open: of several threads that close, one is the first, and what it says stays. */
bool ws_conn_set_closing(struct ws_conn *c, const struct ws_closing *closing);
void ws_conn_drop_closing(const struct ws_closing *closing);
/* Carries out the close that was published. */
void ws_conn_close_here(struct ws_conn *c);
/* From now on the peer has close_timeout to take what is queued and to end. */
void ws_conn_arm_close(struct ws_conn *c);

/* ---- dispatch.c ---- */

/* Calls the handlers for every event of the batch and empties it. */
void ws_dispatch_batch(struct ws_tick *t);
/* Gives up what an event owns without a look at it. */
void ws_dispatch_drop(struct ws_tick *t, struct ws_event *ev);

#endif
