/* peer.h: a server and its clients in one thread, for rig.h. The rig turns the server's
 * loop by hand; a peer is a non-blocking client socket. Both write down what they were told as a
 * line of text, which the tests compare. Nothing waits for time: a turn does what is ready and
 * returns. */
#ifndef PEER_H
#define PEER_H

#include "proto.h"
#include "ws.h"

#include "check.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PEERS_MAX 16
#define TURNS_MAX 400000 /* after which a test has failed: minutes of them, all busy */

#define PEER_KEY "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 section 1.3, with its answer */
#define PEER_REQUEST                                                                               \
    "GET /chat HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"       \
    "Sec-WebSocket-Key: " PEER_KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define PEER_ANSWER                                                                                \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/* ---- lines ---- */

struct line {
    char text[16384];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static inline void line_add(struct line *l,
                                                                  const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(l->text + l->len, sizeof l->text - l->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof l->text - l->len) {
        fprintf(stderr, "line_add: the line is full\n");
        exit(2);
    }
    l->len += (size_t)n;
}

static inline void line_clear(struct line *l) {
    l->len = 0;
    l->text[0] = '\0';
}

/* Short bytes as they are, long ones by length and hash. */
static inline void line_bytes(struct line *l, const void *data, size_t len) {
    uint32_t h = 2166136261u;
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) h = (h ^ p[i]) * 16777619u;
    if (len <= 40) line_add(l, "%.*s;", (int)len, (const char *)data);
    else line_add(l, "%zu#%08x;", len, (unsigned)h);
}

static inline void check_line(const struct line *l, const char *expected, const char *file,
                              int at) {
    if (strcmp(l->text, expected) == 0) return;
    fprintf(stderr, "%s:%d: %s\n    and not %s\n", file, at, l->text, expected);
    check_failures++;
}
#define CHECK_LINE(line, expected) check_line(&(line), (expected), __FILE__, __LINE__)

/* ---- the server ---- */

struct peer;
struct crowd; /* a test's own */

struct rig {
    struct ws_options options;
    struct ws_handlers handlers;
    struct ws_server *server;
    struct ws_loop *loop;
    struct sockaddr_storage at;
    socklen_t at_len;
    int nudge_fd; /* ends every wait at once */
    struct line told;
    bool quiet; /* messages are counted only */
    bool echo;
    void (*act)(struct rig *r, struct ws_conn *c, const struct ws_message *m); /* in on_message */
    void (*act_open)(struct rig *r, struct ws_conn *c);
    void (*act_close)(struct rig *r, struct ws_conn *c);
    void (*act_drain)(struct rig *r, struct ws_conn *c);
    int n_messages, n_drains, n_closes;
    int n_objects, n_released; /* objects made, and given back or taken by the test */
    bool no_memory;            /* new_buffer fails */
    struct peer *peers[PEERS_MAX];
    int n_peers;
    struct crowd *crowd;
    int n_fds; /* at the start */
};

static inline int count_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d) exit(2);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static inline void rig_release(void *user, void *object) {
    struct rig *r = user;
    r->n_released++;
    free(object);
}

static inline void *rig_new_buffer(void *user, size_t len, bool text, uint8_t **data) {
    struct rig *r = user;
    (void)text;
    *data = r->no_memory ? NULL : malloc(len);
    if (*data) r->n_objects++;
    return *data;
}

static inline void rig_on_open(void *user, struct ws_conn *c) {
    struct rig *r = user;
    line_add(&r->told, "open%llu;", (unsigned long long)ws_conn_id(c));
    CHECK(ws_conn_is_open(c));
    if (r->act_open) r->act_open(r, c);
}

static inline void rig_on_message(void *user, struct ws_conn *c, const struct ws_message *m) {
    struct rig *r = user;
    r->n_messages++;
    if (!r->quiet) {
        const char *kind = m->text ? m->ascii ? "ascii" : "text" : "binary";
        line_add(&r->told, "%s%llu:", kind, (unsigned long long)ws_conn_id(c));
        line_bytes(&r->told, m->data, m->len);
    }
    if (r->act) r->act(r, c, m);
    if (r->echo) {
        struct ws_payload p = {.data = m->data, .len = m->len, .text = m->text};
        CHECK(ws_conn_send(c, &p) >= 0);
    }
    if (m->object) rig_release(r, m->object);
}

static inline void rig_on_close(void *user, struct ws_conn *c, const struct ws_close *close) {
    struct rig *r = user;
    r->n_closes++;
    CHECK(!ws_conn_is_open(c));
    line_add(&r->told, "close%llu:%u/%u:%.*s/%.*s:%s;", (unsigned long long)ws_conn_id(c),
             close->code, close->sent_code, (int)close->reason.len, close->reason.data,
             (int)close->sent_reason.len, close->sent_reason.data, ws_close_kind_name(close->kind));
    if (r->act_close) r->act_close(r, c);
}

static inline void rig_on_drain(void *user, struct ws_conn *c) {
    struct rig *r = user;
    r->n_drains++;
    if (!r->quiet) line_add(&r->told, "drain%llu;", (unsigned long long)ws_conn_id(c));
    if (r->act_drain) r->act_drain(r, c);
}

static inline void rig_on_ping(void *user, struct ws_conn *c, struct ws_slice data) {
    struct rig *r = user;
    line_add(&r->told, "ping%llu:", (unsigned long long)ws_conn_id(c));
    line_bytes(&r->told, data.data, data.len);
}

static inline void rig_on_pong(void *user, struct ws_conn *c, struct ws_slice data) {
    struct rig *r = user;
    line_add(&r->told, "pong%llu:", (unsigned long long)ws_conn_id(c));
    line_bytes(&r->told, data.data, data.len);
}

/* Options and handlers, to be changed before rig_begin. */
static inline void rig_init(struct rig *r, enum ws_strategy strategy) {
    memset(r, 0, sizeof *r);
    r->n_fds = count_fds();
    ws_options_init(&r->options);
    r->options.strategy = strategy;
    r->options.max_connections = 100;
    r->handlers = (struct ws_handlers){.on_open = rig_on_open,
                                       .on_message = rig_on_message,
                                       .on_close = rig_on_close,
                                       .on_drain = rig_on_drain,
                                       .on_ping = rig_on_ping,
                                       .on_pong = rig_on_pong,
                                       .new_buffer = rig_new_buffer,
                                       .release = rig_release};
}

static inline void rig_bind(struct rig *r) {
    char why[256];
    struct sockaddr_in *in = (struct sockaddr_in *)&r->at;
    r->server = ws_server_new(&r->options, &r->handlers, r);
    r->loop = ws_server_loop(r->server);
    ws_server_set_log_level(r->server, 100);
    if (ws_server_bind_tcp(r->server, "127.0.0.1", 0, why) < 0) {
        fprintf(stderr, "%s\n", why);
        exit(2);
    }
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons(ws_server_get_port(r->server));
    r->at_len = sizeof *in;
}

static inline void rig_begin(struct rig *r) {
    char why[256];
    if (!r->server) rig_bind(r);
    if (ws_loop_begin(r->loop, why) < 0) {
        fprintf(stderr, "%s\n", why);
        exit(2);
    }
    r->nudge_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK_EQ(ws_loop_watch(r->loop, r->nudge_fd), 0);
}

/* One turn that may wait for the poller. */
static inline void rig_wait(struct rig *r) {
    if (ws_loop_io(r->loop)) ws_loop_dispatch(r->loop);
}

/* ---- clients ---- */

struct peer {
    int fd;
    bool deaf; /* reads nothing */
    bool upgraded, eof, reset;
    struct ws_proto proto;
    struct ws_buf head; /* the answer's head; all of it if it is not 101 */
    struct ws_buf out;  /* not taken by the kernel yet */
    struct line said;   /* by the server */
    bool mute;          /* answers no ping */
    int n_pings;        /* of 8 bytes, the server's own, which are counted and not said */
    bool quiet;         /* messages are counted only */
    bool numbered;      /* each message begins with its number */
    bool ascending;     /* each message begins with a number, higher than the one before */
    long last;          /* that number */
    int n_messages;
    size_t n_bytes; /* of messages */
    uint8_t *into;  /* a large message's memory */
};

static inline void peer_take_message(struct peer *p, const struct ws_proto_event *ev) {
    const uint8_t *data = ev->data ? ev->data : p->into;
    if (p->numbered) CHECK_EQ(strtol((const char *)data, NULL, 10), p->n_messages);
    if (p->ascending) {
        long number = strtol((const char *)data, NULL, 10);
        CHECK(number > p->last);
        p->last = number;
    }
    p->n_messages++;
    p->n_bytes += ev->len;
    if (!p->quiet) {
        line_add(&p->said, "%s:", ev->text ? "text" : "binary");
        line_bytes(&p->said, data, ev->len);
    }
    if (ev->owned) free(ev->data);
    free(p->into);
    p->into = NULL;
}

static inline void peer_frame(struct peer *p, uint8_t opcode, const void *data, size_t len) {
    uint32_t key = 0x5EED5EED;
    if (ws_buf_reserve(&p->out, ws_proto_frame_size(&p->proto, len)) < 0) exit(2);
    p->out.len += ws_proto_frame_write(&p->proto, p->out.data + p->out.len, opcode, data, len, key);
}

static inline void peer_take_ping(struct peer *p, const struct ws_proto_event *ev) {
    if (ev->len == 8) {
        p->n_pings++;
    } else {
        line_add(&p->said, "ping:");
        line_bytes(&p->said, ev->data, ev->len);
    }
    if (!p->mute) peer_frame(p, WS_OPCODE_PONG, ev->data, ev->len);
}

static inline void peer_take(struct peer *p, const struct ws_proto_event *ev) {
    switch (ev->kind) {
    case WS_PROTO_NONE: break;
    case WS_PROTO_MESSAGE: peer_take_message(p, ev); break;
    case WS_PROTO_PING: peer_take_ping(p, ev); break;
    case WS_PROTO_PONG: line_add(&p->said, "pong:"), line_bytes(&p->said, ev->data, ev->len); break;
    case WS_PROTO_CLOSE:
        line_add(&p->said, "close%u:", ev->code);
        line_bytes(&p->said, ev->data, ev->len);
        break;
    case WS_PROTO_BUFFER:
        p->into = malloc(ev->len);
        ws_proto_direct(&p->proto, p->into);
        break;
    case WS_PROTO_FAIL: line_add(&p->said, "fail%u;", ev->code); break;
    }
}

static inline void peer_parse(struct peer *p, uint8_t *data, size_t len) {
    if (!p->upgraded) {
        static const char start[] = "HTTP/1.1 101 ";
        if (ws_buf_append(&p->head, data, len) < 0) exit(2);
        uint8_t *end = memmem(p->head.data, p->head.len, "\r\n\r\n", 4);
        if (!end || memcmp(p->head.data, start, sizeof start - 1) != 0) return;
        size_t size = (size_t)(end - p->head.data) + 4;
        p->upgraded = true;
        data += len - (p->head.len - size);
        len = p->head.len - size;
        p->head.len = size;
    }
    while (len) {
        struct ws_proto_event ev;
        ptrdiff_t n = ws_proto_feed(&p->proto, data, len, &ev);
        if (n < 0 || (n == 0 && ev.kind == WS_PROTO_NONE)) {
            line_add(&p->said, "late%zu;", len); /* bytes behind a close frame */
            return;
        }
        peer_take(p, &ev);
        data += n;
        len -= (size_t)n;
    }
}

/* Writes what is left to write and reads what has come. */
static inline void peer_pump(struct peer *p) {
    uint8_t data[65536];
    if (p->fd < 0) return;
    while (p->out.len) {
        ssize_t n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) p->out.len = 0; /* the server has gone: reading tells */
        if (n <= 0) break;
        ws_buf_consume(&p->out, (size_t)n);
    }
    while (!p->deaf && !p->eof && !p->reset) {
        ssize_t n = recv(p->fd, data, sizeof data, 0);
        if (n == 0) p->eof = true;
        else if (n < 0 && errno != EAGAIN) p->reset = true;
        else if (n < 0) break;
        else peer_parse(p, data, (size_t)n);
    }
}

static inline void rig_turn(struct rig *r) {
    uint64_t one = 1;
    for (int i = 0; i < r->n_peers; i++) peer_pump(r->peers[i]);
    if (write(r->nudge_fd, &one, sizeof one) < 0) exit(2);
    rig_wait(r);
    for (int i = 0; i < r->n_peers; i++) peer_pump(r->peers[i]);
}

/* Turns until it is so. */
#define UNTIL(r, cond)                                                                             \
    do {                                                                                           \
        for (int turns = 0; !(cond) && turns < TURNS_MAX; turns++) rig_turn(r);                    \
        CHECK(cond);                                                                               \
    } while (0)

/* Lets everything happen that is on its way: as many turns as no chain of events is long. */
static inline void rig_settle(struct rig *r) {
    for (int i = 0; i < 30; i++) rig_turn(r);
}

/* Connects (the kernel takes part in the handshake, no turn is needed). small: short buffers, so
 * that a peer that does not read is soon felt. */
static inline void peer_connect(struct rig *r, struct peer *p, bool small) {
    int on = 1, size = 4096;
    memset(p, 0, sizeof *p);
    p->fd = socket(r->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (small) setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&r->at, r->at_len) != 0) {
        perror("connect");
        exit(2);
    }
    if (r->at.ss_family == AF_INET) setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(p->fd, F_SETFL, O_NONBLOCK);
    ws_proto_init(&p->proto, WS_ROLE_CLIENT, ws_simd_detect(), SIZE_MAX, UINT32_MAX);
    r->peers[r->n_peers++] = p;
}

static inline void peer_put(struct peer *p, const void *data, size_t len) {
    if (ws_buf_append(&p->out, data, len) < 0) exit(2);
}

static inline void peer_say(struct peer *p, const char *text) {
    peer_put(p, text, strlen(text));
}

static inline void peer_text(struct peer *p, const char *text) {
    peer_frame(p, WS_OPCODE_TEXT, text, strlen(text));
}

static inline void peer_close_frame(struct peer *p, uint16_t code, const char *reason) {
    uint8_t payload[125];
    size_t len = ws_proto_close_payload(payload, code, reason, strlen(reason));
    peer_frame(p, WS_OPCODE_CLOSE, payload, len);
}

static inline void peer_open(struct rig *r, struct peer *p) {
    peer_connect(r, p, false);
    peer_say(p, PEER_REQUEST);
    UNTIL(r, p->upgraded);
}

/* Closes the socket: with a FIN, or with a reset. */
static inline void peer_drop(struct peer *p, bool reset) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (p->fd < 0) return;
    if (reset) setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(p->fd);
    p->fd = -1;
}

static inline void peer_free(struct peer *p) {
    peer_drop(p, false);
    ws_proto_fini(&p->proto);
    ws_buf_fini(&p->head);
    ws_buf_fini(&p->out);
    free(p->into);
    p->into = NULL;
}

static inline bool peer_answer_is(const struct peer *p, const char *text) {
    return p->head.len == strlen(text) && memcmp(p->head.data, text, p->head.len) == 0;
}

static inline bool peer_answer_starts(const struct peer *p, const char *text) {
    return p->head.len >= strlen(text) && memcmp(p->head.data, text, strlen(text)) == 0;
}

/* ---- the end ---- */

/* Ends loop and peers however they stand; nothing may be left: no object, no descriptor. */
static inline void rig_end(struct rig *r) {
    for (int i = 0; i < r->n_peers; i++) peer_free(r->peers[i]);
    ws_loop_end(r->loop);
    ws_server_free(r->server);
    if (r->nudge_fd) close(r->nudge_fd);
    CHECK_EQ(r->n_released, r->n_objects);
    CHECK_EQ(count_fds(), r->n_fds);
}

/* Stops the server and turns until it is done; the peers hang up instead of closing. */
static inline void rig_stop(struct rig *r) {
    for (int i = 0; i < r->n_peers; i++) peer_drop(r->peers[i], false);
    ws_server_stop(r->server);
    UNTIL(r, ws_loop_is_done(r->loop));
    rig_end(r);
}

#endif
