/* mailbox.h: what other threads ask of a loop: a queue of many producers and one consumer,
 * lock-free (C11 atomics).
 *
 * A list that producers push to with one compare-and-exchange and the owner takes whole with one
 * exchange. Wakes nobody: post says when a wake-up is due. */
#ifndef WS_MAILBOX_H
#define WS_MAILBOX_H

#include "bytes.h"
#include "msg.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ws_conn;
struct ws_call;
struct ws_guest;

#define WS_MAIL_COST 200 /* bytes of a mail and its block, about */

enum ws_mail_kind {
    WS_MAIL_SEND,
    WS_MAIL_PING,       /* msg: the frame, or NULL: one of the core's */
    WS_MAIL_DONE,       /* the handler that made the connection busy is done */
    WS_MAIL_DRAIN,      /* a message was dropped here: on_drain is due once there is room */
    WS_MAIL_CLOSE,      /* what it says stands in the connection */
    WS_MAIL_PUBLISH,    /* msg to topic; NULL data: to everybody */
    WS_MAIL_CALL,       /* call, due_ms */
    WS_MAIL_CANCEL,     /* call */
    WS_MAIL_REGISTER,   /* guest; what is asked of it stands there */
    WS_MAIL_UNREGISTER, /* guest */
};

struct ws_mail {
    struct ws_mail *next;
    struct ws_conn *conn;   /* owns one reference; NULL: it is for the loop */
    struct ws_msg *msg;     /* SEND, PING, PUBLISH: owns one reference; may be NULL */
    struct ws_call *call;   /* CALL, CANCEL: owns one reference */
    struct ws_guest *guest; /* REGISTER, UNREGISTER: owns one reference */
    uint64_t key;           /* SEND, PUBLISH: of the message */
    uint64_t sequence;      /* PUBLISH: of the message */
    uint64_t exclude;       /* PUBLISH: id of a connection that does not get it, or 0 */
    uint64_t due_ms;        /* CALL: 0: at once */
    struct ws_slice topic;  /* PUBLISH: behind the mail */
    uint8_t kind;
    uint8_t part;     /* SEND: enum ws_part */
    uint8_t compress; /* SEND, PUBLISH: enum ws_compress */
    bool over;        /* SEND: the sender was told WS_SENT_OVER, and waits for on_drain */
};

struct ws_mailbox {
    _Atomic(struct ws_mail *) newest;
};

void ws_mailbox_init(struct ws_mailbox *b);
/* Posts mail (taken). True if the mailbox was empty before: then the owner is to be woken. Any
 * thread. */
bool ws_mailbox_post(struct ws_mailbox *b, struct ws_mail *mail);
/* Takes everything, linked by next in the order of posting; NULL if there is nothing. Owner thread.
 */
struct ws_mail *ws_mailbox_take(struct ws_mailbox *b);

#endif
