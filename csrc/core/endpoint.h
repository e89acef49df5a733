/* endpoint.h: one end of a WebSocket connection without a socket: opening handshake, messages,
 * closing handshake, and the bytes that are to be sent, in either role.
 *
 * For people who own their sockets; the server's connections (conn.h) have queues, clocks and
 * handlers of their own around the same parts. The caller feeds what it has read, asks for events
 * until there are none, and then writes what has gathered:
 *
 *     ws_endpoint_receive(e, data, len);
 *     while (ws_endpoint_next(e, &ev)) act on ev
 *     out = ws_endpoint_output(e), n = write(fd, out->data, out->len), ws_buf_consume(out, n)
 *
 * Events are told in a row, so a message may be acted on when a close frame behind it has been read
 * already. What is sent in answer goes out nevertheless: the close frame that ends our side is
 * written by ws_endpoint_output, behind it.
 *
 * Nothing here waits, and no clock is read: time-outs are the caller's. Its only system call is for
 * random bytes, in the client's role. */
#ifndef WS_ENDPOINT_H
#define WS_ENDPOINT_H

#include "buf.h"
#include "entropy.h"
#include "handshake.h"
#include "http.h"
#include "proto.h"
#include "ws.h" /* enum ws_close_kind */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_endpoint_options {
    enum ws_role role;
    size_t max_message_size; /* as those of struct ws_options */
    uint32_t max_fragments;
    size_t max_header_size;
    uint32_t max_headers;
    /* Server: who may come in. Client: its subprotocols are those that it offers. Borrowed, with
     * all that it points to, as long as the endpoint. */
    struct ws_handshake_rules rules;
    bool asks; /* server: REQUEST is told, and ws_endpoint_accept or ws_endpoint_reject awaited */
    /* Client, borrowed until init returns: what the Host field says, the target in origin-form,
     * and further header lines, each with CRLF, checked by the caller. */
    const char *host;
    const char *target;
    struct ws_slice fields;
};

enum ws_endpoint_state {
    WS_ENDPOINT_CONNECTING, /* the opening handshake is not done */
    WS_ENDPOINT_ASKED,      /* REQUEST was told, the caller's word is awaited */
    WS_ENDPOINT_OPEN,
    WS_ENDPOINT_CLOSING, /* our close frame is written, the peer's awaited */
    WS_ENDPOINT_CLOSED,  /* nothing is read any more */
};

enum ws_endpoint_kind {
    WS_ENDPOINT_NONE,
    WS_ENDPOINT_REQUEST,  /* head */
    WS_ENDPOINT_OPENED,   /* head: of the request (server) or the response (client) */
    WS_ENDPOINT_REJECTED, /* status, detail; client: head, status 0 if there was none. The last
                             event */
    WS_ENDPOINT_MESSAGE,  /* data, len, text, ascii */
    WS_ENDPOINT_PING,     /* data, len; the pong is written */
    WS_ENDPOINT_PONG,     /* data, len */
    WS_ENDPOINT_CLOSE,    /* code, data, len, close_kind as in struct ws_close. The last event */
};

/* What it points to is valid until the next call that feeds or asks. */
struct ws_endpoint_event {
    enum ws_endpoint_kind kind;
    bool text;
    bool ascii;
    uint16_t code;
    enum ws_close_kind close_kind;
    int status;
    const char *detail; /* static */
    const uint8_t *data;
    size_t len;
    struct ws_http_head head; /* empty if there is none */
    struct ws_slice raw;      /* its bytes, as ws_http_head_parse takes them */
};

struct ws_endpoint {
    struct ws_endpoint_options options;
    struct ws_proto proto;
    struct ws_http_reader reader;
    struct ws_handshake handshake; /* server: of the request that was let in */
    struct ws_slice subprotocol;   /* the one agreed on; empty: none */
    struct ws_buf in;              /* what has come */
    size_t in_at;                  /* what is before it has been read */
    size_t head_len;               /* of the accepted head, which is read once OPENED is told */
    uint8_t *large;                /* owned: memory of a large message that is under way */
    uint8_t *told;                 /* owned: of the event that was told last */
    struct ws_buf out;             /* what is to be sent, but for a close frame that is due */
    uint8_t state;                 /* enum ws_endpoint_state */
    uint8_t close_kind;
    bool tells_open; /* OPENED is the next event */
    bool close_due;  /* a close frame of ours is to be written: the last that is */
    bool clean;      /* both close frames are there */
    bool eof;
    bool sending; /* a message of ours is under way in fragments */
    bool sends_text;
    uint16_t sent_code; /* of our close frame, also if it is due; 0: none, 1005: it is empty */
    uint8_t sent_len;
    char sent_reason[WS_CLOSE_REASON_MAX];
    uint8_t key[16]; /* client: of the opening handshake */
    struct ws_entropy entropy;
};

/* A client writes its request. 0; WS_ERR_ARGUMENT: host or target hold what may not stand there;
 * WS_ERR_MEMORY, WS_ERR_SYSTEM (no random bytes). fini is to be called in every case. */
int ws_endpoint_init(struct ws_endpoint *e, const struct ws_endpoint_options *options);
void ws_endpoint_fini(struct ws_endpoint *e);

/* Takes a copy of what was read. Thrown away once nothing is read any more. 0 or WS_ERR_MEMORY
 * (nothing taken). */
int ws_endpoint_receive(struct ws_endpoint *e, const uint8_t *data, size_t len);
/* The peer's side of the stream has ended: CLOSE is told once what has come is read. */
void ws_endpoint_receive_eof(struct ws_endpoint *e);
/* The next event; false: there is none until more is fed. A peer that breaks a rule, or for whom
 * there is no memory, gets the close frame or the error answer that the server would send, and the
 * last event. */
bool ws_endpoint_next(struct ws_endpoint *e, struct ws_endpoint_event *ev);

/* State ASKED. `fields` as in the options. 0, WS_ERR_ARGUMENT (another state), WS_ERR_MEMORY. After
 * accept the next event is OPENED; after reject there is none. */
int ws_endpoint_accept(struct ws_endpoint *e, struct ws_slice fields);
int ws_endpoint_reject(struct ws_endpoint *e, int status, const char *detail,
                       struct ws_slice fields);

/* All that is to be sent: the caller's to empty. Nothing can be sent behind it if it ends with a
 * close frame. */
struct ws_buf *ws_endpoint_output(struct ws_endpoint *e);
/* Each of the next three queues something. 0; WS_ERR_ARGUMENT: not open yet; WS_ERR_CLOSED: a close
 * frame was written; WS_ERR_MEMORY; WS_ERR_SYSTEM (no random bytes). */
/* A message, or with fin false a part of one, which those that follow continue until one with fin
 * true. They are of one kind, text or not: else WS_ERR_ARGUMENT. */
int ws_endpoint_send(struct ws_endpoint *e, bool text, bool fin, const uint8_t *data, size_t len);
/* len is at most 125. */
int ws_endpoint_ping(struct ws_endpoint *e, const uint8_t *data, size_t len);
/* Code and reason as in ws_conn_close. Again, or once the peer has closed: 0, nothing is done. */
int ws_endpoint_close(struct ws_endpoint *e, uint16_t code, struct ws_slice reason);
/* Ends for a reason of the caller's, with 1011 where it can be sent; the kind is ERROR. There is no
 * further event. */
void ws_endpoint_abort(struct ws_endpoint *e);

/* Whether the caller is to close its socket once all output is written. RFC 6455 section 7.1.1: the
 * server closes first, the client after it, or after a time of its choice. */
bool ws_endpoint_should_close(const struct ws_endpoint *e);

#endif
