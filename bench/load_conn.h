/* load_conn.h: a client's connection, and what all connections of a run share. */
#ifndef LOAD_CONN_H
#define LOAD_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_frame.h"
#include "load_histogram.h"
#include "load_messages.h"
#include "load_options.h"
#include "load_pace.h"
#include "load_room.h"

enum { READ_CAP = 256 * 1024 /* bytes one read may bring */ };

enum phase { WARMUP, MEASURE, DRAIN };

struct traffic {
    const struct options *opt;
    int epoll;
    size_t out_cap;    /* bytes one connection prepares ahead of its socket */
    uint8_t *read_buf; /* owns; READ_CAP bytes */
    struct messages messages;
    uint64_t key_rng;

    struct pace pace;

    enum phase phase;
    uint64_t from_ns; /* when the measured time began */
    uint64_t unsent;  /* messages that may still be started, or become due */
    uint64_t inflight, mismatches;
    uint64_t received;        /* messages in MEASURE, each as often as somebody received it */
    uint64_t compressed;      /* of these */
    uint64_t payload;         /* their bytes, as they came */
    struct histogram latency; /* one value for each message that the last one received in MEASURE,
                               * or that was due then */
    struct histogram late;    /* how long after its time one went out */
};

struct conn {
    size_t id;
    int fd;
    struct room *room; /* borrows */
    bool wants_out;
    uint64_t last_ns; /* when a byte last moved */

    uint8_t *out; /* owns; out_cap bytes */
    size_t out_pos, out_len;
    const uint8_t *body; /* rest of the message being sent, in the pool */
    size_t body_left;
    uint8_t key[4]; /* mask of that message, turned to its next byte */

    uint64_t received; /* messages */
    uint8_t head[10];
    size_t head_len, head_need;
    uint8_t opcode;
    bool fin, in_message, wrong;
    uint64_t payload_left;
    const uint8_t *expect; /* rest of the message that is due, in the pool */
    size_t expect_left;
    struct pack *pack; /* borrows; of that message, if it comes compressed */
    uint8_t *packed;   /* owns; its bytes so far */
    size_t packed_len;
    uint64_t came; /* bytes of it, compressed or not */
    uint8_t control[CONTROL_CAP];
    size_t control_len;
    uint8_t pong[CONTROL_CAP];
    size_t pong_len;
    bool pong_due;
};

/* All calls that give an int: 0, or -1 after it was said why the run has failed. */

/* Connects, shakes hands and joins the epoll. conn_fini is right after both results. */
int conn_init(struct traffic *t, struct conn *c, size_t id, struct room *room);
void conn_fini(struct conn *c);

/* Reads what epoll's events allow, and sends what is due then, in the room too. EPOLLOUT alone
 * starts the first messages. */
int conn_event(struct traffic *t, struct conn *c, uint32_t events);

/* fail() with the connection's number. */
__attribute__((format(printf, 2, 3))) int conn_fail(const struct conn *c, const char *format, ...);

/* load_answer.c: bytes that the server sent, in pieces of any size. */
int answer_feed(struct traffic *t, struct conn *c, const uint8_t *p, size_t n, uint64_t now);

#endif
