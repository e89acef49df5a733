/* ws.h: the public face of the core: a WebSocket server as a plain C library.
 *
 * A server has listeners, pages, options and one loop. The caller turns the loop:
 *
 *     if (ws_loop_begin(loop, why) == 0)
 *         while (!ws_loop_is_done(loop))
 *             if (ws_loop_io(loop)) ws_loop_dispatch(loop);
 *     ws_loop_end(loop);
 *
 * ws_loop_io flushes, waits, reads and parses, and calls nobody; ws_loop_dispatch calls the
 * handlers for what was read and makes no system call on a connection (but to write where a backlog
 * policy is about to act). So whoever holds a lock for the handlers' sake (Python's GIL) needs it
 * in ws_loop_dispatch only.
 *
 * Threads. The thread that called ws_loop_begin owns the loop. A prototype below is marked
 *   [direct]    owner thread only, in a handler or between io and dispatch
 *   [mailbox]   any thread; on the owner thread applied at once, elsewhere posted to the loop
 *   [snapshot]  any thread; reads atomics
 * "Any thread" in words: it acts at once wherever it is called, under a lock or by atomics.
 *
 * Lifetime. Nothing is freed inside a handler: any handler may close any connection or stop the
 * server. A connection is counted: the loop holds one reference from accept until the connection
 * has left it, the caller takes others with ws_conn_ref. The memory of a connection may outlive its
 * loop's run, but not its server. */
#ifndef WS_H
#define WS_H

#include "buf.h" /* struct ws_buf, for lists of names */
#include "bytes.h"
#include "err.h"
#include "handshake.h" /* struct ws_allow_list; brings http.h, for ws_conn_get_head */
#include "poller.h"    /* enum ws_strategy */
#include "sock.h"      /* struct ws_address */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_server;
struct ws_loop;
struct ws_conn;

/* ---- options ---- */

/* What happens when max_backlog is reached. A policy drops whole messages that are not sealed,
 * never a control frame or a part of a stream. */
enum ws_backlog_policy {
    WS_BACKLOG_CLOSE,       /* close with 1013 */
    WS_BACKLOG_DROP_NEWEST, /* the message that is sent */
    WS_BACKLOG_DROP_OLDEST, /* those that wait longest, as many as it takes */
};

struct ws_options {
    size_t max_message_size;       /* bytes, over all fragments: 1009 */
    uint32_t max_fragments;        /* to a message: 1009; 0: no bound */
    size_t max_header_size;        /* bytes of the request head: 431, 414 */
    uint32_t max_headers;          /* fields of the request head: 431 */
    uint32_t handshake_timeout_ms; /* 0: none */
    uint32_t close_timeout_ms;     /* 0: none */
    uint32_t shutdown_timeout_ms;  /* 0: none */
    uint32_t message_timeout_ms;   /* from a message's first byte to its last: 1008; 0: none */
    uint32_t ping_interval_ms;     /* of silence, after which a ping is sent; 0: none */
    uint32_t ping_timeout_ms;      /* of silence after that ping: 1011; 0: none */
    uint32_t idle_timeout_ms;      /* without a message either way: 1001; 0: none */
    uint32_t stall_timeout_ms;     /* without a byte of the backlog taken: the end; 0: none */
    uint32_t control_rate;         /* pings and pongs a second: 1008; 0: any */
    uint32_t message_rate;         /* messages a second: 1008, or reading pauses; 0: any */
    uint64_t byte_rate;            /* bytes read a second: the same; at most 2^40; 0: any */
    bool rate_pauses;              /* over message_rate or byte_rate reading pauses */
    bool drop_headers;             /* the request's header fields are kept until on_open ends */
    size_t high_water;             /* bytes queued: reading pauses, ws_conn_send tells */
    size_t max_backlog;            /* bytes queued: the policy acts; 0: no bound */
    enum ws_backlog_policy backlog_policy;
    uint32_t max_queue;       /* events that wait for a busy connection: then reading pauses */
    uint32_t max_topics;      /* subscriptions of a connection; 0: no bound */
    uint32_t max_connections; /* 0: 90 % of the hard RLIMIT_NOFILE */
    int listen_backlog;
    enum ws_strategy strategy;
    struct ws_allow_list origins;
    struct ws_allow_list hosts;
    struct ws_names subprotocols;    /* that the server speaks, the one it likes best first */
    struct ws_deflate_rules deflate; /* permessage-deflate (RFC 7692) */
    uint8_t deflate_level;           /* 1 to 9: time for size */
    uint8_t deflate_memory_level;    /* 1 to 9: memory for time and size */
    size_t deflate_threshold;        /* bytes of a message from which on it is compressed */
};

/* Fills in the defaults. */
void ws_options_init(struct ws_options *o);

/* ---- what the handlers get ---- */

/* If object is not NULL, data is inside this object of new_buffer's, and the handler takes it. */
struct ws_message {
    const uint8_t *data; /* valid until the handler returns */
    size_t len;
    bool text;   /* UTF-8, validated; else binary */
    bool ascii;  /* text, and every byte below 0x80 */
    bool masked; /* only if handlers.takes_masked is set: data is as it was on the wire, masked with
                    key; ws_message_copy gives the bytes */
    uint32_t key;
    void *object;
};

/* Copies the message's bytes, len of them, wherever they are and without their mask. */
void ws_message_copy(const struct ws_conn *c, const struct ws_message *message, uint8_t *to);
/* Takes the mask off where the bytes lie, and returns them; once for a message, and instead of
 * ws_message_copy. */
const uint8_t *ws_message_unmask(const struct ws_conn *c, const struct ws_message *message);

/* Why a connection ended. The order is that of ws_close_kind_name. */
enum ws_close_kind {
    WS_CLOSE_NONE, /* it has not ended */
    WS_CLOSE_PEER,
    WS_CLOSE_LOCAL,
    WS_CLOSE_ERROR, /* a handler failed, or memory did not suffice */
    WS_CLOSE_EOF,
    WS_CLOSE_RESET,
    WS_CLOSE_PROTOCOL,
    WS_CLOSE_LIMIT,
    WS_CLOSE_BACKLOG,
    WS_CLOSE_SHUTDOWN,
    WS_CLOSE_PING_TIMEOUT,
    WS_CLOSE_IDLE,
    WS_CLOSE_STALL,
};

/* "peer", "local", "error", "eof", "reset", "protocol", "limit", "backlog", "shutdown",
 * "ping-timeout", "idle", "stall"; NULL for NONE. */
const char *ws_close_kind_name(enum ws_close_kind kind);
/* Of a connection that failed, by the code that it is closed with. */
static inline enum ws_close_kind ws_close_kind_of_failure(uint16_t code) {
    if (code == 1008 || code == 1009) return WS_CLOSE_LIMIT;
    return code == 1011 ? WS_CLOSE_ERROR : WS_CLOSE_PROTOCOL;
}

#define WS_CLOSE_REASON_MAX 123
#define WS_PING_MAX 125

struct ws_close {
    uint16_t code; /* the peer's code; 1005 if its close frame was empty; 1006 if there was none */
    uint16_t sent_code;     /* of our close frame; 0 if none was queued, 1005 if it is empty */
    struct ws_slice reason; /* UTF-8; valid as long as the connection */
    struct ws_slice sent_reason;
    enum ws_close_kind kind;
};

/* Levels as in Python's logging. */
enum ws_log { WS_LOG_DEBUG = 10, WS_LOG_INFO = 20, WS_LOG_WARNING = 30, WS_LOG_ERROR = 40 };

/* Every function is called from ws_loop_dispatch, on the owner thread; release also from
 * ws_loop_end and ws_server_free. Each on_… may be NULL. new_buffer and release come together:
 * without them a message that would need memory of theirs ends its connection with 1011, and
 * ws_payload.object may not be used. */
struct ws_handlers {
    /* A request may be answered otherwise than with 101, or with 426 or 404 if it asks for no
     * upgrade and there is no page: ws_conn_answer has to follow, here or later. Only if
     * ws_server_want asked for it. The connection is not open. */
    void (*on_request)(void *user, struct ws_conn *conn);
    void (*on_open)(void *user, struct ws_conn *conn);
    void (*on_message)(void *user, struct ws_conn *conn, const struct ws_message *message);
    /* Once for each on_open, last. Whatever the caller keeps for the connection (ws_conn_set_user)
     * is given up here or later by itself. */
    void (*on_close)(void *user, struct ws_conn *conn, const struct ws_close *close);
    /* The queue fell to half of high_water or less after ws_conn_send had returned WS_SENT_OVER. */
    void (*on_drain)(void *user, struct ws_conn *conn);
    /* The same after ws_conn_await_drain, also if the connection is busy; or it was closed. */
    void (*on_drained)(void *user, struct ws_conn *conn);
    /* A pong came, after ws_conn_await_pongs, also if the connection is busy; is_own: that of the
     * last ping of the core's. */
    void (*on_ponged)(void *user, struct ws_conn *conn, struct ws_slice data, bool is_own);
    /* A busy connection has come to its end: on_close will follow when it is busy no more. code and
     * reason are the peer's, 1006 if there are none. */
    void (*on_gone)(void *user, struct ws_conn *conn, uint16_t code, struct ws_slice reason);
    /* A ping came, and is answered; a pong came. Only if ws_server_want asked for them. */
    void (*on_ping)(void *user, struct ws_conn *conn, struct ws_slice data);
    void (*on_pong)(void *user, struct ws_conn *conn, struct ws_slice data);
    /* The time of a call has come (ws_loop_call); object is its own. done: that is the last time,
     * or was, if called is false: it was cancelled, or the run is over. */
    void (*on_call)(void *user, void *object, bool called, bool done);
    /* A descriptor of ws_loop_register is ready; object is its own, events are enum ws_poll, or-ed.
     * NVAL: it was closed, or could not be waited for, and leaves the loop behind this call, if it
     * has not. 0: it has left by itself, or the run is over; that is the last time. */
    void (*on_guest)(void *user, void *object, uint32_t events);
    /* A line for the log: printable ASCII, anything else in it is a question mark. */
    void (*on_log)(void *user, enum ws_log level, struct ws_slice line);
    /* An object with room for len bytes that a large message is received into, and where the bytes
     * start. NULL: out of memory (the connection is closed with 1011). It comes back by
     * ws_message.object or by release, exactly once. */
    void *(*new_buffer)(void *user, size_t len, bool text, uint8_t **data);
    /* Gives back an object of new_buffer or of ws_payload.object. */
    void (*release)(void *user, void *object);
    /* on_message copies with ws_message_copy: large binary messages come masked, and are unmasked
     * in the same pass. */
    bool takes_masked;
};

/* ---- server ---- */

/* Copies options, lists included, and handlers; opens nothing. NULL: out of memory. */
struct ws_server *ws_server_new(const struct ws_options *options,
                                const struct ws_handlers *handlers, void *user);
/* Closes what is open without ceremony and frees everything. Not while the loop runs;
 * handlers.release is called for objects still held. */
void ws_server_free(struct ws_server *s);

/* Reserves the address; connections are taken from ws_loop_begin on. Either one, once (again:
 * WS_ERR_ARGUMENT). 0, WS_ERR_SYSTEM (errno), WS_ERR_RESOLVE, WS_ERR_MEMORY; why (room 256) names
 * the address and the cause in words. [direct] */
int ws_server_bind_tcp(struct ws_server *s, const char *host, uint16_t port, char why[256]);
int ws_server_bind_unix(struct ws_server *s, const char *path, char why[256]);
/* The TCP port bound, also when port 0 was asked for; 0 for a Unix socket. [snapshot] */
uint16_t ws_server_get_port(const struct ws_server *s);

/* A fixed answer to GET and HEAD for a path (exact, before '?'). `fields` are further header lines,
 * each with CRLF, checked by the caller; content_type too. Copies everything; a second call with
 * the same path replaces the page. Before ws_loop_begin only: WS_ERR_ARGUMENT later; WS_ERR_MEMORY.
 */
int ws_server_page(struct ws_server *s, struct ws_slice path, struct ws_slice body,
                   struct ws_slice content_type, struct ws_slice fields);

/* Stops: no more accepts, every connection is closed with 1001, the loop is done when all have
 * ended or at shutdown_timeout. Before begin: the loop is done at once. Again: nothing. [mailbox;
 * also from a signal handler] */
void ws_server_stop(struct ws_server *s);
/* Whether it was asked to stop. [snapshot] */
bool ws_server_is_stopping(const struct ws_server *s);
/* Lines below this level are not made; at first WS_LOG_WARNING. Any thread. */
void ws_server_set_log_level(struct ws_server *s, int level);
/* Which of on_ping, on_pong and on_request are called; at first none, since each costs an event of
 * the batch, or a wait. Any thread. */
enum ws_want { WS_WANT_PING = 1, WS_WANT_PONG = 2, WS_WANT_REQUEST = 4 };
void ws_server_want(struct ws_server *s, unsigned want);

/* Counters since the start. [snapshot] */
struct ws_stats {
    uint64_t accepted; /* connections taken from a listener */
    uint64_t shed;     /* answered 503: max_connections, or no descriptors or memory (those were not
                          accepted) */
    uint64_t refused;  /* handshakes answered with an error, time-outs included */
    uint64_t opened;   /* handshakes answered with 101 */
    uint64_t closed;   /* of those, ended */
    uint64_t received; /* messages for on_message, also if there is none */
    uint64_t sent;     /* messages queued */
    uint64_t dropped_received; /* messages that came after a local close */
    uint64_t dropped_sent; /* messages to a peer that had gone, refused at max_backlog, or discarded
                              with a queue */
    uint64_t replaced;     /* messages in whose place a newer one of the same key went */
    uint64_t received_compressed; /* messages that came compressed */
    uint64_t sent_compressed;     /* messages that went out compressed, to each receiver */
    uint64_t compressions;        /* payloads compressed, also in vain: once for many receivers */
    uint64_t suppressed_lines;    /* log lines over the rate limit */
};
void ws_server_get_stats(const struct ws_server *s, struct ws_stats *out);

/* In the child after fork(): closes the inherited descriptors raw (no epoll_ctl, no shutdown); the
 * loop is done, every connection is closed for its users, no handler is called. */
void ws_server_abandon(struct ws_server *s);

/* Whether all of it is UTF-8 (RFC 3629), as a text payload has to be. [snapshot] */
bool ws_server_is_utf8(const struct ws_server *s, const uint8_t *data, size_t len);

/* Open connections: from the start of on_open to the local close or the start of on_close, as
 * ws_conn_is_open says. The count is a [snapshot]; the set is [direct]: it changes in dispatch
 * only, so a lock that dispatch holds makes it safe elsewhere. */
size_t ws_server_count(const struct ws_server *s);
struct ws_conn *ws_server_find(const struct ws_server *s, uint64_t id); /* borrowed, or NULL */
/* Iterates in order of opening: NULL gives the first, the last gives NULL. Without open_only also
 * those that are closed and whose on_close is still to come. */
struct ws_conn *ws_server_next(const struct ws_server *s, const struct ws_conn *after,
                               bool open_only);

/* ---- loop ---- */

struct ws_loop *ws_server_loop(struct ws_server *s);
/* Makes the calling thread the owner, opens poller, mailbox and listeners, and raises the process's
 * soft RLIMIT_NOFILE to the hard one. 0 or an error (why: room 256), after which ws_loop_end is to
 * be called too. Once: again is WS_ERR_ARGUMENT, and changes nothing. */
int ws_loop_begin(struct ws_loop *l, char why[256]);
/* Name of the strategy in use ("epoll" …), after begin. */
const char *ws_loop_strategy(const struct ws_loop *l);
/* A descriptor of the caller's that ends a wait when it is readable; the loop empties it and
 * ws_loop_io returns 1, so that ws_loop_dispatch's caller may look. -1: none. After begin. 0 or the
 * poller's error. [direct] */
int ws_loop_watch(struct ws_loop *l, int fd);
/* Flush, wait, read, parse. 1 if ws_loop_dispatch has something to do, else 0. [direct] */
int ws_loop_io(struct ws_loop *l);
/* Calls the handlers for the batch. [direct] */
void ws_loop_dispatch(struct ws_loop *l);
/* For a caller that has a loop of its own, with the strategy epoll: after begin, a descriptor that
 * is readable when the loop has something to do. WS_ERR_ARGUMENT with another strategy,
 * WS_ERR_SYSTEM. From then on the caller does, on the owner thread, when it is readable:
 *     if (ws_loop_poll(loop)) ws_loop_dispatch(loop);
 *     ws_loop_rest(loop);
 * [direct] */
int ws_loop_embed(struct ws_loop *l);
/* As ws_loop_io, but does not wait. [direct] */
int ws_loop_poll(struct ws_loop *l);
/* Writes what the handlers have sent, and sees to it that the descriptor becomes readable when it
 * is time, or when somebody makes work. [direct] */
void ws_loop_rest(struct ws_loop *l);
/* Whether this is the thread that called ws_loop_begin. Any thread. */
bool ws_loop_is_owner(const struct ws_loop *l);
/* Stops without waiting for anybody: every connection ends in the next dispatch. [direct] */
void ws_loop_cut(struct ws_loop *l);
/* Asked to stop, every connection has ended, and nobody keeps it. [direct] */
bool ws_loop_is_done(const struct ws_loop *l);
/* Somebody goes on who is to be heard before the loop is done: it is not, until let_go was called
 * as often, or until shutdown_timeout. More often is nothing. [direct] */
void ws_loop_keep(struct ws_loop *l);
void ws_loop_let_go(struct ws_loop *l);
/* Closes what is left. [direct] */
void ws_loop_end(struct ws_loop *l);

/* ---- calls ---- */

/* Something to be done on the owner thread, counted. */
struct ws_call;

/* object is the caller's; it is what on_call gets. NULL: out of memory. */
struct ws_call *ws_call_new(void *object);
void ws_call_unref(struct ws_call *call);
/* No on_call from here on, but that the call is done. With the lock that dispatch holds. */
void ws_call_detach(struct ws_call *call);
/* Has on_call called, once after delay_ms (0: in the next iteration), or every every_ms (> 0) from
 * then on, until on_call is told that it is done. Once for a call. 0 or WS_ERR_MEMORY. [mailbox;
 * also before ws_loop_begin] */
int ws_loop_call(struct ws_loop *l, struct ws_call *call, uint64_t delay_ms, uint64_t every_ms);
/* Not called any more. If it waits for its time, it is done (on_call tells) at once on the owner
 * thread; elsewhere, and if it is in the mailbox, in a later dispatch. Again: nothing. [mailbox] */
void ws_loop_cancel(struct ws_loop *l, struct ws_call *call);

/* ---- other descriptors on the loop ---- */

/* A descriptor of the caller's, counted. It stays the caller's, and is to be unregistered before it
 * is closed. */
struct ws_guest;

/* object is the caller's; it is what on_guest gets. NULL: out of memory. */
struct ws_guest *ws_guest_new(int fd, void *object);
void ws_guest_unref(struct ws_guest *guest);
/* No on_guest from here on. With the lock that dispatch holds. */
void ws_guest_detach(struct ws_guest *guest);
/* Has on_guest called, level-triggered, once an iteration while one of the events (IN, PRI, OUT) is
 * there, or an error or a hang-up. Of one that is registered it changes the events. 0;
 * WS_ERR_SYSTEM: EBADF, it is not open, EPERM, it is a regular file, or what epoll_ctl says;
 * WS_ERR_LIMIT: too large for select; WS_ERR_ARGUMENT: the loop watches it already, it is a
 * connection's; WS_ERR_CLOSED: in a forked child; WS_ERR_MEMORY. What the poller says reaches other
 * threads than the owner's by on_guest, as NVAL. [mailbox; also before ws_loop_begin] */
int ws_loop_register(struct ws_loop *l, struct ws_guest *guest, uint32_t events);
/* Ends that; what was read of it in this iteration is not told any more. On another thread than the
 * owner detach it too, or on_guest may still be called. Of one that has left it does nothing. 0 or
 * WS_ERR_MEMORY. [mailbox] */
int ws_loop_unregister(struct ws_loop *l, struct ws_guest *guest);

/* ---- connection ---- */

/* A message sent in fragments (RFC 6455 section 5.4): FIRST, any number of MORE, LAST. */
enum ws_part { WS_PART_WHOLE, WS_PART_FIRST, WS_PART_MORE, WS_PART_LAST };

/* Whether a message is compressed, if permessage-deflate was agreed on. A choice for secrets that
 * stand beside what others may write: from sizes those may be guessed (RFC 7692 section 8). */
enum ws_compress {
    WS_COMPRESS_LONG, /* from deflate_threshold on; what is sent in parts always */
    WS_COMPRESS_ALWAYS,
    WS_COMPRESS_NEVER,
};

/* What ws_conn_send may be given. */
struct ws_payload {
    const uint8_t *data;
    size_t len;
    bool text;        /* else binary */
    uint8_t part;     /* enum ws_part */
    uint8_t compress; /* enum ws_compress; of parts the FIRST decides */
    bool placed;      /* data was written into ws_server_room's room, in this handler */
    uint64_t key; /* of ws_server_key; while the peer is slow a newer message replaces an older one
                   * of the same key, in its place; 0: none. Whole messages only */
    void *object; /* not NULL: data stays valid while this is held; sent from there without a copy.
                     NULL: data is copied */
};

enum ws_sent {
    WS_SENT_OVER = 0, /* queued; the queue is above high_water: slow down */
    WS_SENT = 1,      /* queued */
    WS_SENT_DROPPED =
        2, /* not queued: the peer has gone, or the backlog's bound was reached; counted */
};

/* Queues one message. An enum ws_sent, WS_ERR_CLOSED or WS_ERR_MEMORY. The object is taken if the
 * result is WS_SENT or WS_SENT_OVER, else it stays the caller's. [mailbox] */
int ws_conn_send(struct ws_conn *c, const struct ws_payload *payload);
/* Room for the payload of one message that is to be sent in this handler, inside its outgoing
 * frame: what is written there is not copied again, if its receiver takes it at once. NULL
 * elsewhere than on the owner thread, if len is large, and if there is none left. [direct] */
uint8_t *ws_server_room(struct ws_server *s, size_t len);
/* Who sends parts begins the stream and is then the only one that does, until its LAST part; whole
 * messages sent meanwhile go out behind that. 0, WS_ERR_ARGUMENT (a stream is open), WS_ERR_CLOSED.
 * One that cannot send its LAST part has to close the connection, or to break the stream. [mailbox]
 */
int ws_conn_stream_begin(struct ws_conn *c);
/* Ends the stream of a connection that is lost. is_amid: a part of it was sent, so that nothing but
 * a close frame can follow, and the connection stays lost. [mailbox] */
void ws_conn_stream_break(struct ws_conn *c, bool is_amid);
/* Queues a ping at the next frame boundary (RFC 6455 section 5.5.2). data NULL: 8 bytes of the
 * core's, whose pong gives ws_conn_get_latency_us; else len is at most 125. An enum ws_sent,
 * WS_ERR_CLOSED or WS_ERR_MEMORY. [mailbox] */
int ws_conn_ping(struct ws_conn *c, const uint8_t *data, size_t len);
/* Queues a close frame behind what was sent before and ends the connection's open state. The code
 * is one that may be sent (ws_close_code_is_sendable), reason is UTF-8 of at most 123 bytes: the
 * caller has checked both. 0, also for a second close; WS_ERR_MEMORY (still open; not for a kind
 * other than LOCAL). [mailbox] */
int ws_conn_close(struct ws_conn *c, uint16_t code, struct ws_slice reason,
                  enum ws_close_kind kind);
/* RFC 6455 section 7.4: 1000-1003, 1007-1014, 3000-4999. */
bool ws_close_code_is_sendable(int code);

/* Answers a request of on_request: with len bytes of HTTP, of which HEAD gets head_len, and the end
 * of the connection; status is for the log. NULL: as if there were no on_request. 0, WS_ERR_CLOSED
 * (the peer has gone, or it was answered) or WS_ERR_MEMORY. [direct] */
int ws_conn_answer(struct ws_conn *c, int status, const char *data, size_t head_len, size_t len);

/* The handler that is called goes on after it has returned (a task, a thread): what comes next to
 * this connection waits for ws_conn_end_busy, and reading pauses when more than max_queue of it
 * waits. Until shutdown_timeout at most. answers: whether it may answer what the peer has sent: see
 * ws_conn_is_lost. [direct, in a handler of the connection] */
void ws_conn_begin_busy(struct ws_conn *c, bool answers);
/* 0 or WS_ERR_MEMORY. On one that is not busy: nothing. [mailbox] */
int ws_conn_end_busy(struct ws_conn *c);
/* Asks for on_drained. False: the connection is closed, or not over high_water. If the peer has
 * gone its end is told instead. [direct] */
bool ws_conn_await_drain(struct ws_conn *c);
/* Whether on_ponged is called for every pong from now on. [direct] */
void ws_conn_await_pongs(struct ws_conn *c, bool await);

uint64_t ws_conn_id(const struct ws_conn *c); /* [snapshot] */
/* Messages to it that were dropped or replaced by a policy or a key. [snapshot] */
uint64_t ws_conn_dropped(const struct ws_conn *c);
bool ws_conn_is_open(const struct ws_conn *c); /* [snapshot] */
/* Whether the peer has closed or gone while a handler went on, for which on_close waits. [snapshot]
 */
bool ws_conn_is_leaving(const struct ws_conn *c);
/* Whether that handler is to send no more: one that answers (ws_conn_begin_busy) once the peer
 * takes nothing more, and after close_timeout; any other at once. It would send for ever, so it has
 * to be told; what others send is taken or dropped as ever. [snapshot] */
bool ws_conn_is_lost(const struct ws_conn *c);
/* Bytes queued, posted ones included; of what is still to be compressed, as it is. [snapshot] */
size_t ws_conn_backlog(const struct ws_conn *c);
/* [snapshot; direct with drop_headers] */
void ws_conn_get_address(const struct ws_conn *c, struct ws_address *out);
/* Microseconds between the last ping of the core's that was answered and its pong; -1: none was.
 * [snapshot] */
int64_t ws_conn_get_latency_us(const struct ws_conn *c);
/* The subprotocol agreed on; len 0: none. Valid as long as the server. [snapshot] */
struct ws_slice ws_conn_get_subprotocol(const struct ws_conn *c);
/* Whether permessage-deflate was agreed on, and to which terms. [snapshot] */
bool ws_conn_get_deflate(const struct ws_conn *c, struct ws_deflate_terms *terms);
/* The request head, exact, as ws_http_head_parse takes it; valid as long as the connection. With
 * drop_headers only its start line is left when on_open has ended, when the rest becomes invalid.
 * [snapshot; direct with drop_headers] */
struct ws_slice ws_conn_get_head(const struct ws_conn *c);
/* True from the start of on_close on, when nothing of it changes any more. Before: false, and
 * sent_code, sent_reason and kind are those of the first local close, if there was one. [snapshot]
 */
bool ws_conn_get_close(const struct ws_conn *c, struct ws_close *out);

/* The caller's own pointer, NULL at first; the core never looks at it. [direct] */
void *ws_conn_get_user(const struct ws_conn *c);
void ws_conn_set_user(struct ws_conn *c, void *user);
/* What ws_server_new was given. Any thread. */
void *ws_conn_get_server_user(const struct ws_conn *c);

/* Counted references. Any thread. */
void ws_conn_ref(struct ws_conn *c);
void ws_conn_unref(struct ws_conn *c);

/* ---- topics ---- */

/* Subscribes to a topic, or to all that a pattern matches (topic.h). 1: subscribed, 0: it was
 * before, WS_ERR_ARGUMENT: not a name, WS_ERR_LIMIT: max_topics, WS_ERR_CLOSED, WS_ERR_MEMORY. Any
 * thread; counts from now on. A connection that closes leaves all its topics. */
int ws_conn_subscribe(struct ws_conn *c, struct ws_slice name, bool pattern);
/* 1: unsubscribed, 0: it was not subscribed. Any thread. */
int ws_conn_unsubscribe(struct ws_conn *c, struct ws_slice name, bool pattern);
/* Appends to out, for each subscription: a byte 1 if it is a pattern, a byte for the length of the
 * name, the name. 0 or WS_ERR_MEMORY. Any thread. */
int ws_conn_get_topics(struct ws_conn *c, struct ws_buf *out);
/* Appends to out, for each topic and pattern: 8 bytes with the number of its subscribers (in the
 * machine's order), then as above. 0 or WS_ERR_MEMORY. Any thread. */
int ws_server_get_topics(struct ws_server *s, struct ws_buf *out);
/* How many a message to that name is for, patterns included; or WS_ERR_ARGUMENT, WS_ERR_MEMORY. Any
 * thread. */
ptrdiff_t ws_server_count_subscribers(struct ws_server *s, struct ws_slice name);

/* Queues one message, encoded once, for all subscribers of a topic at this moment but exclude (may
 * be NULL); with a name whose data is NULL for all open connections. Returns how many those are; or
 * WS_ERR_ARGUMENT (not a name), WS_ERR_MEMORY, WS_ERR_LIMIT (posted by another thread, and too much
 * is posted already: dropped and counted). payload->object is NULL afterwards if it was taken.
 * [mailbox] */
ptrdiff_t ws_server_publish(struct ws_server *s, struct ws_slice name, struct ws_payload *payload,
                            const struct ws_conn *exclude);
/* A key for ws_payload: never 0. Two names share one by chance only, which nobody can arrange. */
uint64_t ws_server_key(const struct ws_server *s, struct ws_slice name);

#endif
