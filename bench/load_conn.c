/* load_conn.c: opens a connection, keeps as many messages in flight as it may, reads its socket.
 * What the bytes read mean is said in load_answer.c. It does NOT verify Sec-WebSocket-Accept. */
#include "load_conn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_base.h"

enum { HEAD_CAP = 8192 /* the server's handshake response, at most */ };

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
    const struct letter *letter = room_send(c->room, &t->messages, now);
    c->body = letter->data;
    c->body_left = letter->len;
    head_put(t, c, t->opt->opcode, c->body_left, c->key);
    t->inflight++;
    t->unsent--;
}

static bool may_start(const struct traffic *t, const struct conn *c) {
    return c->room->sender == c && t->unsent > 0 && room_has_place(c->room);
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

/* 16 random bytes in base64: 21 digits of any value, one with four 0 bits at its end, padding. */
static void key_make(uint64_t *rng, char key[25]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 22; i++) key[i] = digits[(rng_next(rng) >> 58) & (i < 21 ? 0x3fu : 0x30u)];
    memcpy(key + 22, "==", 3);
}

static int request_send(struct traffic *t, struct conn *c) {
    char text[2048], key[25];
    key_make(&t->key_rng, key);
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n",
                     t->opt->path, t->opt->host, t->opt->port, key);
    if (n < 0 || (size_t)n >= sizeof text) return conn_fail(c, "the path is too long");
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        return conn_fail(c, "cannot send the handshake: %s", strerror(errno));
    return 0;
}

/* Reads the response's head; frames that came with it go to the parser. */
static int response_read(struct traffic *t, struct conn *c) {
    char text[HEAD_CAP + 1];
    size_t n = 0;
    char *end = NULL;
    uint64_t deadline = now_ns() + STALL_S * NS;
    while (!end) {
        if (now_ns() > deadline)
            return conn_fail(c, "no whole handshake response in %d s", STALL_S);
        ssize_t k = n < HEAD_CAP ? recv(c->fd, text + n, HEAD_CAP - n, 0) : 0;
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0)
            return conn_fail(c, "no whole handshake response: %s",
                             k == 0            ? "end of data"
                             : errno == EAGAIN ? "timed out"
                                               : strerror(errno));
        n += (size_t)k;
        text[n] = '\0';
        end = strstr(text, "\r\n\r\n");
    }
    if (strncmp(text, "HTTP/1.1 101 ", 13) != 0)
        return conn_fail(c, "the handshake was answered by: %.*s", (int)strcspn(text, "\r\n"),
                         text);
    size_t head = (size_t)(end - text) + 4;
    return answer_feed(t, c, (const uint8_t *)text + head, n - head, now_ns());
}

static int conn_open(struct traffic *t, struct conn *c) {
    const struct options *o = t->opt;
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(o->port), .sin_addr = o->addr};
    struct timeval patience = {.tv_sec = STALL_S};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return conn_fail(c, "socket: %s", strerror(errno));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (const struct sockaddr *)&to, sizeof to) < 0)
        return conn_fail(c, "cannot connect to %s:%u: %s", o->host, o->port, strerror(errno));
    if (request_send(t, c) < 0 || response_read(t, c) < 0) return -1;
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
}
