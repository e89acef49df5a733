/* load_conn.c: keeps as many messages in flight as it may, or sends those that are due, and reads
 * the socket. What the bytes read mean is said in load_answer.c. */
#include "load_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_base.h"
#include "load_dial.h"

int conn_fail(const struct conn *c, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail("connection %zu: %s", c->id, text);
}

/* ---- sending ---- */

/* A header with a fresh mask, which is left in key. */
static void head_put(struct traffic *t, struct conn *c, uint8_t opcode, size_t len,
                     uint8_t key[4]) {
    uint32_t mask = (uint32_t)(rng_next(&t->key_rng) >> 32);
    memcpy(key, &mask, 4);
    c->out_len += frame_head_write(c->out + c->out_len, opcode, len, key);
}

static void pong_put(struct traffic *t, struct conn *c) {
    uint8_t key[4];
    head_put(t, c, OP_PONG, c->pong_len, key);
    frame_mask_copy(c->out + c->out_len, c->pong, c->pong_len, key);
    c->out_len += c->pong_len;
    c->pong_due = false;
}

static void message_start(struct traffic *t, struct conn *c, uint64_t now) {
    bool paced = t->pace.interval_ns > 0;
    uint64_t ns = paced ? pace_due_ns(&t->pace, c->room->id, c->room->sent) : now;
    const struct letter *letter = room_send(c->room, &t->messages, ns);
    if (paced && t->phase != WARMUP && ns >= t->from_ns) histogram_add(&t->late, now - ns);
    c->body = letter->pack ? letter->pack->bytes : letter->data;
    c->body_left = letter->pack ? letter->pack->n : letter->len;
    head_put(t, c, t->opt->opcode | (letter->pack ? FRAME_RSV1 : 0), c->body_left, c->key);
    t->inflight++;
    if (!paced) t->unsent--;
}

static bool may_start(const struct traffic *t, const struct conn *c) {
    const struct room *r = c->room;
    bool more = t->pace.interval_ns > 0 ? r->sent < r->due : t->unsent > 0;
    return r->sender == c && more && room_has_place(r);
}

/* Prepares what may be sent now and fits; a large message goes through in pieces. */
static void out_fill(struct traffic *t, struct conn *c, uint64_t now) {
    for (;;) {
        size_t room = t->out_cap - c->out_len, n = min_size(c->body_left, room);
        if (n > 0) {
            frame_mask_copy(c->out + c->out_len, c->body, n, c->key);
            c->body += n;
            c->body_left -= n;
            c->out_len += n;
            room -= n;
        }
        if (c->body_left > 0) return;
        if (c->pong_due && room >= FRAME_HEAD_CAP + CONTROL_CAP) {
            pong_put(t, c);
            continue;
        }
        if (!may_start(t, c) || room < FRAME_HEAD_CAP) return;
        message_start(t, c, now);
    }
}

static int want_out(struct traffic *t, struct conn *c, bool wants) {
    struct epoll_event ev = {.events = EPOLLIN | (wants ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    if (c->wants_out == wants) return 0;
    c->wants_out = wants;
    if (epoll_ctl(t->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0)
        return conn_fail(c, "epoll_ctl: %s", strerror(errno));
    return 0;
}

/* Sends until nothing is due or the socket is full. On a broken connection *broken is errno:
 * the close frame that explains it may still lie unread. */
static int conn_flush(struct traffic *t, struct conn *c, int *broken) {
    uint64_t now = now_ns();
    for (;;) {
        if (c->out_pos == c->out_len) {
            c->out_pos = c->out_len = 0;
            out_fill(t, c, now);
            if (c->out_len == 0) return want_out(t, c, false);
        }
        ssize_t n = send(c->fd, c->out + c->out_pos, c->out_len - c->out_pos, MSG_NOSIGNAL);
        if (n >= 0) {
            c->out_pos += (size_t)n;
            c->last_ns = now;
        } else if (errno == EAGAIN) {
            return want_out(t, c, true);
        } else if (errno != EINTR) {
            *broken = errno;
            return 0;
        }
    }
}

/* ---- events ---- */

/* One read: what is left in the socket shows again in the next wait. */
static int conn_read(struct traffic *t, struct conn *c) {
    ssize_t n = recv(c->fd, t->read_buf, READ_CAP, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : conn_fail(c, "read: %s", strerror(errno));
    if (n == 0)
        return conn_fail(c,
                         "the server closed the connection without a close frame (1006), "
                         "%" PRIu64 " messages in flight",
                         c->room->sent - c->received);
    c->last_ns = now_ns();
    return answer_feed(t, c, t->read_buf, (size_t)n, c->last_ns);
}

static int conn_write(struct traffic *t, struct conn *c) {
    int broken = 0;
    if (conn_flush(t, c, &broken) < 0) return -1;
    if (broken) return conn_read(t, c) < 0 ? -1 : conn_fail(c, "write: %s", strerror(broken));
    return 0;
}

int conn_event(struct traffic *t, struct conn *c, uint32_t events) {
    struct conn *sender = c->room->sender;
    if ((events & ~(uint32_t)EPOLLOUT) && conn_read(t, c) < 0) return -1;
    if (conn_write(t, c) < 0) return -1;
    /* The last member to receive a message makes place for the next. */
    return sender != c && may_start(t, sender) ? conn_write(t, sender) : 0;
}

/* ---- opening ---- */

static int conn_open(struct traffic *t, struct conn *c) {
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    struct greeting g;
    int status = dial_begin(t->opt, &t->key_rng, c->id, &g);
    c->fd = g.fd;
    if (status < 0 || dial_end(&g, t->opt, c->id) < 0) return -1;
    /* Frames may have come with the response. */
    if (answer_feed(t, c, (const uint8_t *)g.text + g.head_len, g.len - g.head_len, now_ns()) < 0)
        return -1;
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(t->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        return conn_fail(c, "epoll: %s", strerror(errno));
    return 0;
}

int conn_init(struct traffic *t, struct conn *c, size_t id, struct room *room) {
    *c = (struct conn){.id = id, .fd = -1, .room = room, .head_need = 2};
    c->out = malloc(t->out_cap);
    if (!c->out) return fail("out of memory");
    return conn_open(t, c);
}

void conn_fini(struct conn *c) {
    if (c->fd >= 0) close(c->fd);
    free(c->out);
    free(c->packed);
}
