/* fuzz_conn.c: connections of a whole server, over Unix sockets, in one thread.
 *
 * A stream of bytes is sent in chunks with a turn of the loop for each, and once more whole, to a
 * server that waits with another strategy. The handlers are told the same, and the client reads the
 * same, but for pings and pongs: they stand anywhere between frames, and some pings need no pong.
 * Each connection ends with its stream. */
#include "fuzz.h"

#include "proto.h"
#include "ws.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SETTING (FUZZ_PLAN + 2 + FUZZ_STRETCHES)
#define STRATEGIES 3
/* More than it takes to end any connection. */
#define TURNS_MAX 20000
#define FOR_LONG 600000
/* A turn is slow. */
#define CUTS 40

#define REQUEST                                                                                    \
    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"               \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define ANSWER "HTTP/1.1 101 "

/* What a message is answered with in place of an echo, and how often at most: more than the kernel
 * keeps for a peer that does not read. */
#define LARGE 32768
#define LARGE_MAX 16

/* How the handlers and the client behave. */
struct manners {
    int n_answers;   /* to each message */
    bool large;      /* LARGE bytes in place of the message */
    bool by_object;  /* sent from memory of the handler's, without a copy */
    int close_at;    /* the message at which the handler closes, from 1; 0: none */
    bool open_sends; /* on_open */
    bool open_closes;
    bool no_memory; /* for large messages */
    bool deaf;      /* the client reads when all is sent, or when it cannot send */
    bool abrupt;    /* it goes without reading to the end */
    bool in_parts;  /* answers are sent as a stream; one that closes leaves it open */
    bool pings;     /* after each message */
    bool topics;    /* messages are names to subscribe to, and published there */
};

static struct manners manners_of(const uint8_t set[2]) {
    return (struct manners){
        .n_answers = set[0] & 3,
        .large = set[0] & 4,
        .by_object = set[0] & 8,
        .close_at = (set[0] >> 4 & 3) % 3,
        .open_closes = (set[0] >> 4 & 3) == 3,
        .open_sends = set[0] & 64,
        .no_memory = set[0] & 128,
        .deaf = set[1] & 8,
        .abrupt = set[1] & 16,
        .in_parts = set[1] & 32,
        .pings = set[1] & 64,
        .topics = set[1] & 128,
    };
}

/* ---- the server ---- */

struct host {
    struct ws_server *server;
    struct ws_loop *loop;
    struct sockaddr_un at;
    int nudge; /* ends every wait at once */
    struct manners manners;
    int n_messages, n_opened, n_closed, n_large;
    bool is_over;  /* on_drain is due */
    int n_objects; /* made, and not given back; of all inputs */
    bool is_short; /* of memory: a large message was refused */
    struct ws_buf told;
};

__attribute__((format(printf, 2, 3))) static void tell(struct ws_buf *to, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    MUST(n >= 0 && (size_t)n < sizeof text && ws_buf_append(to, text, (size_t)n) == 0);
}

static void tell_bytes(struct ws_buf *to, const void *data, size_t len) {
    const uint8_t *bytes = data;
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < len; i++) sum = (sum ^ bytes[i]) * 1099511628211u;
    tell(to, "%zu bytes %llx\n", len, (unsigned long long)sum);
}

static void say_part(struct host *h, struct ws_conn *c, const uint8_t *data, size_t len, bool text,
                     enum ws_part part) {
    struct ws_payload p = {.data = data, .len = len, .text = text, .part = (uint8_t)part};
    bool open = ws_conn_is_open(c);
    if (h->manners.by_object) {
        p.data = p.object = fuzz_copy(data, len);
        h->n_objects++;
    }
    int sent = ws_conn_send(c, &p);
    if (sent == WS_SENT_OVER) h->is_over = true;
    else MUST(open ? sent == WS_SENT || sent == WS_SENT_DROPPED : sent == WS_ERR_CLOSED);
    if (!p.object || sent == WS_SENT || sent == WS_SENT_OVER) return;
    free(p.object);
    h->n_objects--;
}

static void say(struct host *h, struct ws_conn *c, const uint8_t *data, size_t len, bool text) {
    say_part(h, c, data, len, text, WS_PART_WHOLE);
}

/* A message is a name, or a pattern if it is binary, and is published to the name. */
static void publish(struct host *h, struct ws_conn *c, const struct ws_message *m) {
    struct ws_slice name = {(const char *)m->data, m->len};
    struct ws_payload p = {.data = m->data, .len = m->len, .text = m->text};
    int result = ws_conn_subscribe(c, name, !m->text);
    ptrdiff_t n = ws_server_count_subscribers(h->server, name);
    MUST(result == 0 || result == 1 || result == WS_ERR_ARGUMENT || result == WS_ERR_LIMIT);
    MUST(n == 0 || n == 1 || n == WS_ERR_ARGUMENT);
    if (m->text && result >= 0) MUST(n == 1);
    MUST(ws_server_publish(h->server, name, &p, NULL) == n);
    tell(&h->told, "topic %d %d\n", result, (int)n);
    if (h->n_messages % 3) return;
    int left = ws_conn_unsubscribe(c, name, !m->text);
    MUST(result >= 0 ? left == 1 : left <= 0);
}

static void ping(struct ws_conn *c, const uint8_t *data, size_t len) {
    MUST(ws_conn_ping(c, data, len < WS_PING_MAX ? len : WS_PING_MAX) >= 0);
}

/* In three fragments, with a whole message that has to wait for the last. The first two are empty
 * or short: text may be cut anywhere. */
static void say_in_parts(struct host *h, struct ws_conn *c, const struct ws_message *m, bool ends) {
    size_t n = m->len < 3 ? m->len : 3;
    if (ws_conn_stream_begin(c) < 0) return; /* closed, or the last one was left open */
    say_part(h, c, m->data, 0, m->text, WS_PART_FIRST);
    say(h, c, (const uint8_t *)"behind", 6, true);
    say_part(h, c, m->data, n, m->text, WS_PART_MORE);
    if (ends) say_part(h, c, m->data + n, m->len - n, m->text, WS_PART_LAST);
}

static void hang_up(struct host *h, struct ws_conn *c) {
    struct ws_slice reason = {"enough", 6};
    MUST(ws_conn_close(c, 4000, reason, WS_CLOSE_LOCAL) == 0 && !ws_conn_is_open(c));
    say(h, c, (const uint8_t *)"late", 4, true);
}

static void on_open(void *user, struct ws_conn *c) {
    struct host *h = user;
    struct ws_slice head = ws_conn_get_head(c);
    h->n_opened++;
    MUST(ws_conn_is_open(c) && ws_server_find(h->server, ws_conn_id(c)) == c);
    tell(&h->told, "open ");
    tell_bytes(&h->told, head.data, head.len);
    if (h->manners.open_sends) say(h, c, (const uint8_t *)"hello", 5, true);
    if (h->manners.open_closes) hang_up(h, c);
}

static void answer(struct host *h, struct ws_conn *c, const struct ws_message *m) {
    static const uint8_t large[LARGE];
    bool closes = h->n_messages == h->manners.close_at;
    if (h->manners.in_parts) say_in_parts(h, c, m, !closes);
    else if (!h->manners.large) say(h, c, m->data, m->len, m->text);
    else if (h->n_large++ < LARGE_MAX) say(h, c, large, sizeof large, false);
}

static void on_copied(struct host *h, struct ws_conn *c, const struct ws_message *m) {
    int n = ++h->n_messages;
    MUST(h->n_opened == 1 && h->n_closed == 0 && (!m->ascii || m->text) && ws_conn_is_open(c));
    tell(&h->told, "%s ", m->text ? m->ascii ? "ascii" : "text" : "binary");
    tell_bytes(&h->told, m->data, m->len);
    for (int i = 0; i < h->manners.n_answers; i++) answer(h, c, m);
    if (h->manners.topics) publish(h, c, m);
    if (h->manners.pings) ping(c, m->data, m->len);
    if (n == h->manners.close_at) hang_up(h, c);
}

static void on_message(void *user, struct ws_conn *c, const struct ws_message *m) {
    struct host *h = user;
    struct ws_message copied = *m;
    uint8_t *copy = malloc(m->len + 1);
    MUST(copy);
    ws_message_copy(c, m, copy);
    copied.data = copy;
    on_copied(h, c, &copied);
    free(copy);
    if (!m->object) return;
    free(m->object);
    h->n_objects--;
}

static void on_close(void *user, struct ws_conn *c, const struct ws_close *close) {
    struct host *h = user;
    MUST(h->n_opened == 1 && h->n_closed++ == 0 && !ws_conn_is_open(c));
    tell(&h->told, "close %u %u %s ", close->code, close->sent_code,
         ws_close_kind_name(close->kind));
    tell_bytes(&h->told, close->reason.data, close->reason.len);
    tell_bytes(&h->told, close->sent_reason.data, close->sent_reason.len);
}

static void on_ping(void *user, struct ws_conn *c, struct ws_slice data) {
    struct host *h = user;
    MUST(h->n_opened == 1 && h->n_closed == 0 && ws_conn_is_open(c));
    tell(&h->told, "ping ");
    tell_bytes(&h->told, data.data, data.len);
}

static void on_pong(void *user, struct ws_conn *c, struct ws_slice data) {
    struct host *h = user;
    MUST(h->n_opened == 1 && h->n_closed == 0 && ws_conn_is_open(c));
    tell(&h->told, "pong ");
    tell_bytes(&h->told, data.data, data.len);
}

/* When it comes depends on what the kernel takes. */
static void on_drain(void *user, struct ws_conn *c) {
    struct host *h = user;
    MUST(h->is_over && h->n_opened == 1 && h->n_closed == 0 && ws_conn_is_open(c));
    h->is_over = false;
}

static void *new_buffer(void *user, size_t len, bool text, uint8_t **data) {
    struct host *h = user;
    (void)text;
    h->is_short |= h->manners.no_memory;
    *data = h->is_short ? NULL : malloc(len);
    if (*data) h->n_objects++;
    return *data;
}

static void release(void *user, void *object) {
    struct host *h = user;
    free(object);
    h->n_objects--;
}

static void begin(struct host *h, enum ws_strategy strategy) {
    static const struct ws_handlers handlers = {.on_open = on_open,
                                                .on_message = on_message,
                                                .on_close = on_close,
                                                .on_drain = on_drain,
                                                .on_ping = on_ping,
                                                .on_pong = on_pong,
                                                .new_buffer = new_buffer,
                                                .release = release,
                                                .takes_masked = true};
    struct ws_options options;
    char why[256];
    ws_options_init(&options);
    options.strategy = strategy;
    /* Time plays no part, however slow the machine. */
    options.handshake_timeout_ms = options.close_timeout_ms = FOR_LONG;
    options.message_timeout_ms = options.stall_timeout_ms = FOR_LONG;
    options.ping_interval_ms = options.idle_timeout_ms = FOR_LONG;
    options.control_rate = 0;
    options.max_message_size = 50000;
    options.max_fragments = 50;
    options.max_header_size = 2048;
    options.max_headers = 16;
    options.high_water = 10000;
    options.max_backlog = 0;
    options.max_topics = 10;
    options.max_connections = 10;
    h->server = ws_server_new(&options, &handlers, h);
    MUST(h->server);
    ws_server_set_log_level(h->server, 100);
    ws_server_want(h->server, WS_WANT_PING | WS_WANT_PONG);
    h->at.sun_family = AF_UNIX;
    snprintf(h->at.sun_path, sizeof h->at.sun_path, "/tmp/wspy-fuzz-%ld-%d.sock", (long)getpid(),
             (int)strategy);
    struct ws_slice path = {"/page", 5}, page = {"a page", 6}, type = {"text/plain", 10};
    struct ws_slice fields = {"X: y\r\n", 6};
    MUST(ws_server_page(h->server, path, page, type, fields) == 0);
    MUST(ws_server_bind_unix(h->server, h->at.sun_path, why) == 0);
    h->loop = ws_server_loop(h->server);
    MUST(ws_loop_begin(h->loop, why) == 0);
    h->nudge = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(ws_loop_watch(h->loop, h->nudge) == 0);
}

static struct host hosts[STRATEGIES];

static void end_all(void) {
    for (int i = 0; i < STRATEGIES; i++) {
        if (!hosts[i].server) continue;
        ws_loop_end(hosts[i].loop);
        ws_server_free(hosts[i].server);
        MUST(hosts[i].n_objects == 0);
        ws_buf_fini(&hosts[i].told);
        close(hosts[i].nudge);
    }
}

/* One server for each strategy, for all inputs. */
static struct host *host_of(unsigned code) {
    static const enum ws_strategy strategies[] = {WS_STRATEGY_EPOLL, WS_STRATEGY_POLL,
                                                  WS_STRATEGY_SELECT};
    static bool registered;
    struct host *h = &hosts[code % STRATEGIES];
    if (!registered) MUST(atexit(end_all) == 0);
    registered = true;
    if (!h->server) begin(h, strategies[code % STRATEGIES]);
    return h;
}

/* ---- the client ---- */

struct client {
    int fd;
    bool deaf;         /* reads nothing */
    bool over;         /* nothing more comes from the server */
    size_t sent;       /* of the stream */
    struct ws_buf got; /* from the server */
};

static void connect_to(struct client *c, const struct host *h) {
    memset(c, 0, sizeof *c);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(c->fd >= 0 && connect(c->fd, (const struct sockaddr *)&h->at, sizeof h->at) == 0);
    MUST(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0);
}

static void receive(struct client *c) {
    uint8_t data[16384];
    while (!c->over && !c->deaf) {
        ssize_t n = recv(c->fd, data, sizeof data, 0);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) c->over = true;
        else MUST(ws_buf_append(&c->got, data, (size_t)n) == 0);
    }
}

static void turn(struct host *h, struct client *c) {
    uint64_t one = 1;
    MUST(write(h->nudge, &one, sizeof one) == sizeof one);
    if (ws_loop_io(h->loop)) ws_loop_dispatch(h->loop);
    receive(c);
}

/* Up to a place in the stream, or as far as the server reads. */
static void send_up_to(struct host *h, struct client *c, const struct ws_buf *stream, size_t to) {
    for (int turns = 0; c->sent < to; turns++) {
        ssize_t n = send(c->fd, stream->data + c->sent, to - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) return;
        if (n > 0) c->sent += (size_t)n;
        else c->deaf = false; /* the server waits for it to read */
        if (c->sent < to) turn(h, c);
        MUST(turns < TURNS_MAX);
    }
}

/* What is before `uncut` is sent at once. */
static void run(struct host *h, struct client *c, struct manners manners, const uint8_t *plan,
                const struct ws_buf *stream, size_t uncut) {
    struct fuzz_cutter cutter = {.plan = plan, .max_cuts = CUTS};
    h->manners = manners;
    h->n_messages = h->n_opened = h->n_closed = h->n_large = 0;
    h->is_over = h->is_short = false;
    h->told.len = 0;
    connect_to(c, h);
    c->deaf = manners.deaf;
    for (size_t at = uncut;; at += fuzz_cut(&cutter, stream->len - at)) {
        send_up_to(h, c, stream, at);
        turn(h, c);
        if (at == stream->len) break;
    }
    c->deaf = false;
    shutdown(c->fd, SHUT_WR);
    for (int turns = 0; !c->over && !manners.abrupt; turns++) {
        turn(h, c);
        MUST(turns < TURNS_MAX);
    }
    close(c->fd);
    c->over = true;
    for (int turns = 0; turns == 0 || h->n_opened > h->n_closed; turns++) {
        turn(h, c);
        MUST(turns < TURNS_MAX);
    }
    struct ws_stats stats;
    ws_server_get_stats(h->server, &stats);
    MUST(stats.opened == stats.closed && h->n_opened == h->n_closed);
    MUST(ws_server_count(h->server) == 0);
}

/* ---- what the server said ---- */

/* The head as it is, messages and close frames. What the server says is right by its own rules. */
static void read_frames(struct ws_buf *said, const struct client *c) {
    struct ws_proto proto;
    struct ws_proto_event ev;
    uint8_t *end = c->got.len ? memmem(c->got.data, c->got.len, "\r\n\r\n", 4) : NULL;
    if (!end || memcmp(c->got.data, ANSWER, sizeof ANSWER - 1) != 0) {
        tell_bytes(said, c->got.data, c->got.len);
        return;
    }
    size_t at = (size_t)(end - c->got.data) + 4;
    tell_bytes(said, c->got.data, at);
    ws_proto_init(&proto, WS_ROLE_CLIENT, WS_SIMD_PORTABLE, SIZE_MAX, 3);
    while (at < c->got.len) {
        ptrdiff_t n = ws_proto_feed(&proto, c->got.data + at, c->got.len - at, &ev);
        MUST(n > 0 && ev.kind != WS_PROTO_FAIL && ev.kind != WS_PROTO_BUFFER);
        at += (size_t)n;
        if (ev.kind != WS_PROTO_MESSAGE && ev.kind != WS_PROTO_CLOSE) continue;
        tell(said, "%d %d %u ", (int)ev.kind, ev.text, ev.code);
        tell_bytes(said, ev.data, ev.len);
        if (ev.owned) free(ev.data);
    }
    ws_proto_fini(&proto);
}

static void must_be_same(const char *what, const struct ws_buf *chunks,
                         const struct ws_buf *whole) {
    if (chunks->len == whole->len &&
        (chunks->len == 0 || memcmp(chunks->data, whole->data, chunks->len) == 0))
        return;
    fprintf(stderr, "%s in chunks:\n%.*s\nwhole:\n%.*s\n", what, (int)chunks->len,
            (char *)chunks->data, (int)whole->len, (char *)whole->data);
    abort();
}

/* ---- the input ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTING) return 0;
    const uint8_t *set = data + FUZZ_PLAN;
    struct ws_buf stream = {0}, said[2] = {0};
    struct client chunks, whole;
    struct manners manners = manners_of(set);
    struct host *first = host_of(set[1] >> 1 & 3), *second = host_of((set[1] >> 1 & 3) + 1);
    if (set[1] & 1) MUST(ws_buf_append(&stream, REQUEST, sizeof REQUEST - 1) == 0);
    size_t uncut = stream.len;
    fuzz_stretch(&stream, data + SETTING, size - SETTING, set + 2);

    run(first, &chunks, manners, data, &stream, uncut);
    run(second, &whole, manners, NULL, &stream, 0);
    read_frames(&said[0], &chunks);
    read_frames(&said[1], &whole);
    /* A message that comes whole needs no memory. Who goes without a word is told of when a write
     * fails or when a read ends, whatever is first. */
    if (!first->is_short && !second->is_short && !manners.abrupt) {
        must_be_same("told", &first->told, &second->told);
        must_be_same("said", &said[0], &said[1]);
    }
    for (int i = 0; i < 2; i++) ws_buf_fini(&said[i]);
    ws_buf_fini(&chunks.got);
    ws_buf_fini(&whole.got);
    ws_buf_fini(&stream);
    return 0;
}
