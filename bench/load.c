/* load.c: a load generator for WebSocket echo servers (Linux, libc only, one thread, epoll).
 *
 * It opens N connections, keeps D messages in flight on each, and compares every byte that comes
 * back with what was sent. What it sends is never stored: message k of a connection is a slice of
 * one pool of random bytes, chosen by the connection's own generator, and a second generator with
 * the same seed says what the k-th answer has to be. So a lost, doubled, swapped or damaged answer
 * shows, at the price of one memcmp.
 *
 * It does NOT speak TLS or compression, resolve names, verify Sec-WebSocket-Accept, or send
 * at a fixed rate: the loop is closed, so its latencies are those of a server as busy as D allows.
 *
 * Exit status: 0 all answers right, 1 a wrong answer or a failed run, 2 wrong usage.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    POOL_SHIFTS = 4096,        /* a message starts at one of so many places of the pool */
    SIZE_STEPS = 1024,         /* quantiles of the log-uniform size distribution */
    READ_CAP = 256 * 1024,     /* bytes one read may bring */
    WRITE_CAP = 128 * 1024,    /* bytes one connection prepares ahead of its socket */
    EVENTS = 512,
    HEAD_CAP = 8192,           /* the server's handshake response, at most */
    CONTROL_CAP = 125,         /* payload of a control frame, at most */
    HIST_BITS = 7,             /* 128 buckets an octave: a bucket is at most 0.8 % wide */
    HIST_SLOTS = 64 << HIST_BITS,
    COMPLAINTS = 5,            /* wrong answers described one by one; the rest are counted */
    STALL_S = 10,
};

#define NS 1000000000ULL

enum { OP_CONT = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

struct options {
    struct in_addr addr;
    const char *host, *path;
    uint16_t port;
    size_t connections, depth, size_min, size_max;
    uint8_t opcode;
    double seconds, warmup;
    uint64_t messages;         /* 0: run by the clock */
    pid_t pid;
    bool json;
};

/* CPU seconds used so far. */
struct usage {
    double user, system, total, own;
};

struct conn {
    size_t id;
    int fd;
    bool wants_out;
    uint64_t last_ns;          /* when a byte last moved */

    uint64_t tx_rng;
    size_t credit;             /* messages it may start */
    uint8_t *out;              /* owns; out_cap bytes */
    size_t out_pos, out_len;
    const uint8_t *body;       /* rest of the message being sent, in the pool */
    size_t body_left;
    uint8_t key[4];            /* mask of that message, turned to its next byte */

    uint64_t rx_rng;
    uint64_t answers;
    uint8_t head[10];
    size_t head_len, head_need;
    uint8_t opcode;
    bool fin, in_message, wrong;
    uint64_t payload_left;
    const uint8_t *expect;     /* rest of the answer that is due, in the pool */
    size_t expect_left;
    uint8_t control[CONTROL_CAP];
    size_t control_len;
    uint8_t pong[CONTROL_CAP];
    size_t pong_len;
    bool pong_due;

    uint64_t *sent_at;         /* owns; a ring of depth send times */
    size_t sent_head, inflight;
};

enum phase { WARMUP, MEASURE, DRAIN };

struct load {
    struct options opt;
    int epoll;
    struct conn *conns;
    size_t n_conns, out_cap;
    uint8_t *pool, *read_buf;
    size_t sizes[SIZE_STEPS];
    uint64_t key_rng;

    enum phase phase;
    uint64_t measure_ns, begin_ns, end_ns, swept_ns;
    uint64_t unsent;           /* messages that may still be started */
    uint64_t inflight, messages, mismatches;
    struct usage begin, end;
    uint64_t max_ns;
    uint64_t hist[HIST_SLOTS];
};

/* ---- small things ---- */

static uint64_t clock_ns(clockid_t id) {
    struct timespec t = {0};
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

static uint64_t now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

/* Marsaglia's xorshift; the state is never 0. Callers use the better high bits. */
static uint64_t rng_next(uint64_t *state) {
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

__attribute__((format(printf, 2, 3)))
static int fail(const struct conn *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    if (c)
        fprintf(stderr, "connection %zu: ", c->id);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return -1;
}

/* ---- histogram: log-linear, values in nanoseconds ---- */

static size_t hist_slot(uint64_t ns) {
    if (ns >> HIST_BITS == 0)
        return (size_t)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HIST_BITS;
    return ((size_t)(shift + 1) << HIST_BITS) + (size_t)((ns >> shift) & ((1u << HIST_BITS) - 1));
}

/* The middle of a slot. */
static double hist_value(size_t slot) {
    if (slot >> HIST_BITS == 0)
        return (double)slot;
    unsigned shift = (unsigned)(slot >> HIST_BITS) - 1;
    uint64_t low = ((slot & ((1u << HIST_BITS) - 1)) | (1u << HIST_BITS)) << shift;
    return (double)low + (double)(1ULL << shift) / 2.0;
}

static double hist_quantile_us(const struct load *l, double q) {
    double max = (double)l->max_ns;
    uint64_t rank = (uint64_t)(q * (double)l->messages), seen = 0;
    for (size_t i = 0; i < HIST_SLOTS; i++) {
        seen += l->hist[i];
        if (seen > rank)
            return (hist_value(i) < max ? hist_value(i) : max) / 1e3;
    }
    return max / 1e3;
}

/* ---- CPU use ---- */

/* The user and system seconds of /proc/PID/stat come in ticks of 10 ms; the process's CPU clock
 * counts the same time in nanoseconds, so the total is taken from there. Both cover all threads. */
static int usage_read(pid_t pid, struct usage *u) {
    char path[64], text[1024];
    clockid_t id;
    uint64_t user = 0, system = 0;
    *u = (struct usage){.own = (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9};
    if (pid == 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = '\0';
    /* The second field is the program's name in brackets and may hold anything, brackets too. */
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %" SCNu64 " %" SCNu64,
                        &user, &system) != 2)
        return fail(NULL, "cannot read %s", path);
    double tick = (double)sysconf(_SC_CLK_TCK);
    u->user = (double)user / tick;
    u->system = (double)system / tick;
    u->total = clock_getcpuclockid(pid, &id) == 0 ? (double)clock_ns(id) / 1e9
                                                  : u->user + u->system;
    return 0;
}

/* ---- messages ---- */

/* base to the power of n. */
static double power(double base, unsigned n) {
    double result = 1.0;
    for (; n; n >>= 1, base *= base)
        if (n & 1)
            result *= base;
    return result;
}

/* Fills the quantiles of a log-uniform distribution over size_min..size_max. One is added to all
 * sizes on the way so that the range may begin at 0; bisection finds the step without libm. */
static void sizes_init(struct load *l) {
    double from = (double)l->opt.size_min + 1.0, ratio = ((double)l->opt.size_max + 1.0) / from;
    double low = 1.0, high = ratio;
    for (int i = 0; i < 200; i++) {
        double mid = (low + high) / 2.0;
        if (power(mid, SIZE_STEPS - 1) < ratio)
            low = mid;
        else
            high = mid;
    }
    for (unsigned i = 0; i < SIZE_STEPS; i++) {
        size_t size = (size_t)(from * power(low, i) - 0.5);
        l->sizes[i] = size < l->opt.size_max ? size : l->opt.size_max;
    }
    l->sizes[0] = l->opt.size_min;
    l->sizes[SIZE_STEPS - 1] = l->opt.size_max;
}

/* Which message comes next: the same for the same generator, whether sending or checking. */
static const uint8_t *message_next(const struct load *l, uint64_t *rng, size_t *len) {
    uint64_t r = rng_next(rng);
    *len = l->sizes[(r >> 32) % SIZE_STEPS];
    return l->pool + (r >> 48) % POOL_SHIFTS;
}

static void mask_turn(uint8_t key[4], size_t n) {
    uint8_t old[4];
    memcpy(old, key, 4);
    for (size_t i = 0; i < 4; i++)
        key[i] = old[(n + i) & 3];
}

/* Copies n bytes masked, and turns the key to the byte after them. */
static void mask_copy(uint8_t *to, const uint8_t *from, size_t n, uint8_t key[4]) {
    uint64_t wide, word;
    size_t i = 0;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++)
        to[i] = from[i] ^ key[i & 3];
    if (n & 3)
        mask_turn(key, n);
}

/* Writes a client's frame header (at most 14 bytes) with a fresh mask; gives its length. */
static size_t head_write(struct load *l, uint8_t *p, uint8_t opcode, size_t len, uint8_t key[4]) {
    size_t n = 2;
    uint32_t mask = (uint32_t)(rng_next(&l->key_rng) >> 32);
    p[0] = (uint8_t)(0x80 | opcode);
    if (len < 126) {
        p[1] = (uint8_t)(0x80 | len);
    } else if (len < 65536) {
        p[1] = 0x80 | 126;
        p[n++] = (uint8_t)(len >> 8);
        p[n++] = (uint8_t)len;
    } else {
        p[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            p[n++] = (uint8_t)((uint64_t)len >> shift);
    }
    memcpy(key, &mask, 4);
    memcpy(p + n, key, 4);
    return n + 4;
}

/* ---- sending ---- */

static void pong_write(struct load *l, struct conn *c) {
    uint8_t key[4];
    c->out_len += head_write(l, c->out + c->out_len, OP_PONG, c->pong_len, key);
    mask_copy(c->out + c->out_len, c->pong, c->pong_len, key);
    c->out_len += c->pong_len;
    c->pong_due = false;
}

/* Prepares what may be sent now and fits; a large message goes through in pieces. */
static void out_fill(struct load *l, struct conn *c, uint64_t now) {
    for (;;) {
        size_t room = l->out_cap - c->out_len, n = min_size(c->body_left, room);
        if (n > 0) {
            mask_copy(c->out + c->out_len, c->body, n, c->key);
            c->body += n;
            c->body_left -= n;
            c->out_len += n;
            room -= n;
        }
        if (c->body_left > 0)
            return;
        if (c->pong_due && room >= 14 + CONTROL_CAP) {
            pong_write(l, c);
            continue;
        }
        if (c->credit == 0 || l->unsent == 0 || room < 14)
            return;
        c->body = message_next(l, &c->tx_rng, &c->body_left);
        c->out_len += head_write(l, c->out + c->out_len, l->opt.opcode, c->body_left, c->key);
        size_t slot = c->sent_head + c->inflight;
        c->sent_at[slot < l->opt.depth ? slot : slot - l->opt.depth] = now;
        c->credit--;
        c->inflight++;
        l->inflight++;
        l->unsent--;
    }
}

static int want_out(struct load *l, struct conn *c, bool wants) {
    struct epoll_event ev = {.events = EPOLLIN | (wants ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    if (c->wants_out == wants)
        return 0;
    c->wants_out = wants;
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0)
        return fail(c, "epoll_ctl: %s", strerror(errno));
    return 0;
}

/* Sends until nothing is due or the socket is full. On a broken connection *broken is errno:
 * the close frame that explains it may still lie unread. */
static int conn_flush(struct load *l, struct conn *c, int *broken) {
    uint64_t now = now_ns();
    for (;;) {
        if (c->out_pos == c->out_len) {
            c->out_pos = c->out_len = 0;
            out_fill(l, c, now);
            if (c->out_len == 0)
                return want_out(l, c, false);
        }
        ssize_t n = send(c->fd, c->out + c->out_pos, c->out_len - c->out_pos, MSG_NOSIGNAL);
        if (n >= 0) {
            c->out_pos += (size_t)n;
            c->last_ns = now;
        } else if (errno == EAGAIN) {
            return want_out(l, c, true);
        } else if (errno != EINTR) {
            *broken = errno;
            return 0;
        }
    }
}

/* ---- receiving ---- */

static void complain(struct load *l, const struct conn *c, const char *what) {
    if (l->mismatches++ < COMPLAINTS)
        fail(c, "answer %" PRIu64 ": %s", c->answers, what);
}

/* Marks the answer as wrong, once, and says what was seen first. */
static void answer_wrong(struct load *l, struct conn *c, const char *what) {
    if (!c->wrong)
        complain(l, c, what);
    c->wrong = true;
}

static int message_begin(struct load *l, struct conn *c, uint8_t opcode) {
    if (c->inflight == 0)
        return fail(c, "a message came that answers nothing");
    c->in_message = true;
    c->wrong = false;
    c->expect = message_next(l, &c->rx_rng, &c->expect_left);
    if (opcode != l->opt.opcode)
        answer_wrong(l, c, opcode == OP_TEXT ? "text instead of binary" : "binary instead of text");
    return 0;
}

static void message_end(struct load *l, struct conn *c, uint64_t now) {
    uint64_t sent = c->sent_at[c->sent_head];
    if (c->expect_left > 0)
        answer_wrong(l, c, "shorter than what was sent");
    if (++c->sent_head == l->opt.depth)
        c->sent_head = 0;
    c->in_message = false;
    c->answers++;
    c->credit++;
    c->inflight--;
    l->inflight--;
    if (l->phase == MEASURE) {
        uint64_t ns = now > sent ? now - sent : 0;
        l->messages++;
        l->hist[hist_slot(ns)]++;
        if (ns > l->max_ns)
            l->max_ns = ns;
    }
}

/* The sizes below 126 stand in the header's second byte itself. */
static size_t length_bytes(uint8_t second) {
    return (second & 0x7f) == 127 ? 8 : (second & 0x7f) == 126 ? 2 : 0;
}

static uint64_t length_get(const uint8_t *head) {
    size_t n = length_bytes(head[1]);
    uint64_t len = n == 0 ? head[1] & 0x7f : 0;
    for (size_t i = 0; i < n; i++)
        len = len << 8 | head[2 + i];
    return len;
}

static int frame_begin(struct load *l, struct conn *c) {
    uint64_t len = length_get(c->head);
    c->opcode = c->head[0] & 0x0f;
    c->fin = c->head[0] & 0x80;
    c->payload_left = len;
    /* RFC 6455, 5.2: "MUST be 0 unless an extension is negotiated"; none was offered. */
    if (c->head[0] & 0x70)
        return fail(c, "a frame with reserved bits set (first byte 0x%02x)", c->head[0]);
    /* 5.1: "A server MUST NOT mask any frames that it sends to the client." */
    if (c->head[1] & 0x80)
        return fail(c, "a masked frame");
    /* 5.2: "the minimal number of bytes MUST be used to encode the length" */
    if ((c->head_need == 4 && len < 126) || (c->head_need == 10 && (len < 65536 || len >> 63)))
        return fail(c, "a length of %" PRIu64 " in the wrong form", len);
    if (c->opcode >= OP_CLOSE) {
        if (c->opcode > OP_PONG)
            return fail(c, "reserved opcode %d", c->opcode);
        /* 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT
         * be fragmented." */
        if (!c->fin || len > CONTROL_CAP)
            return fail(c, "a control frame that is fragmented or too long");
        c->control_len = 0;
        return 0;
    }
    if (c->opcode > OP_BINARY)
        return fail(c, "reserved opcode %d", c->opcode);
    if (c->in_message != (c->opcode == OP_CONT))
        return fail(c, c->in_message ? "a new message inside a fragmented one"
                                     : "a continuation of nothing");
    return c->opcode == OP_CONT ? 0 : message_begin(l, c, c->opcode);
}

static void frame_data(struct load *l, struct conn *c, const uint8_t *p, size_t n) {
    if (c->opcode >= OP_CLOSE) {
        memcpy(c->control + c->control_len, p, n);
        c->control_len += n;
        return;
    }
    if (n > c->expect_left)
        answer_wrong(l, c, "longer than what was sent");
    size_t known = min_size(n, c->expect_left);
    if (memcmp(p, c->expect, known) != 0)
        answer_wrong(l, c, "other bytes than what was sent");
    c->expect += known;
    c->expect_left -= known;
}

static int frame_end(struct load *l, struct conn *c, uint64_t now) {
    c->head_len = 0;
    c->head_need = 2;
    if (c->opcode == OP_PING) {
        memcpy(c->pong, c->control, c->control_len);
        c->pong_len = c->control_len;
        c->pong_due = true;
    } else if (c->opcode == OP_CLOSE) {
        int code = c->control_len < 2 ? 1005 : c->control[0] << 8 | c->control[1];
        int len = c->control_len < 2 ? 0 : (int)c->control_len - 2;
        return fail(c, "closed by the server with code %d%s%.*s", code, len ? ": " : "", len,
                    (const char *)c->control + 2);
    } else if (c->opcode < OP_CLOSE && c->fin) {
        message_end(l, c, now);
    }
    return 0;
}

static int conn_feed(struct load *l, struct conn *c, const uint8_t *p, size_t n, uint64_t now) {
    while (n > 0) {
        if (c->head_len < c->head_need) {
            c->head[c->head_len++] = *p++;
            n--;
            if (c->head_len == 2)
                c->head_need += length_bytes(c->head[1]);
            if (c->head_len < c->head_need)
                continue;
            if (frame_begin(l, c) < 0)
                return -1;
        }
        size_t k = c->payload_left < n ? (size_t)c->payload_left : n;
        frame_data(l, c, p, k);
        p += k;
        n -= k;
        c->payload_left -= k;
        if (c->payload_left == 0 && frame_end(l, c, now) < 0)
            return -1;
    }
    return 0;
}

/* One read: what is left in the socket shows again in the next wait. */
static int conn_read(struct load *l, struct conn *c) {
    ssize_t n = recv(c->fd, l->read_buf, READ_CAP, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : fail(c, "read: %s", strerror(errno));
    if (n == 0)
        return fail(c, "the server closed the connection without a close frame (1006), "
                    "%zu messages in flight", c->inflight);
    c->last_ns = now_ns();
    return conn_feed(l, c, l->read_buf, (size_t)n, c->last_ns);
}

static int conn_event(struct load *l, struct conn *c, uint32_t events) {
    int broken = 0;
    if ((events & ~(uint32_t)EPOLLOUT) && conn_read(l, c) < 0)
        return -1;
    if (conn_flush(l, c, &broken) < 0)
        return -1;
    if (broken)
        return conn_read(l, c) < 0 ? -1 : fail(c, "write: %s", strerror(broken));
    return 0;
}

/* ---- opening and closing ---- */

/* 16 random bytes in base64: 21 digits of any value, one with four 0 bits at its end, padding. */
static void key_make(uint64_t *rng, char key[25]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 22; i++)
        key[i] = digits[(rng_next(rng) >> 58) & (i < 21 ? 0x3fu : 0x30u)];
    memcpy(key + 22, "==", 3);
}

static int request_send(struct load *l, struct conn *c) {
    char text[2048], key[25];
    key_make(&l->key_rng, key);
    int n = snprintf(text, sizeof text,
                     "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n",
                     l->opt.path, l->opt.host, l->opt.port, key);
    if (n < 0 || (size_t)n >= sizeof text)
        return fail(c, "the path is too long");
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n)
        return fail(c, "cannot send the handshake: %s", strerror(errno));
    return 0;
}

/* Reads the response's head; frames that came with it go to the parser. */
static int response_read(struct load *l, struct conn *c) {
    char text[HEAD_CAP + 1];
    size_t n = 0;
    char *end = NULL;
    uint64_t deadline = now_ns() + STALL_S * NS;
    while (!end) {
        if (now_ns() > deadline)
            return fail(c, "no whole handshake response in %d s", STALL_S);
        ssize_t k = n < HEAD_CAP ? recv(c->fd, text + n, HEAD_CAP - n, 0) : 0;
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return fail(c, "no whole handshake response: %s",
                        k == 0 ? "end of data" : errno == EAGAIN ? "timed out" : strerror(errno));
        n += (size_t)k;
        text[n] = '\0';
        end = strstr(text, "\r\n\r\n");
    }
    if (strncmp(text, "HTTP/1.1 101 ", 13) != 0)
        return fail(c, "the handshake was answered by: %.*s", (int)strcspn(text, "\r\n"), text);
    size_t head = (size_t)(end - text) + 4;
    return conn_feed(l, c, (const uint8_t *)text + head, n - head, now_ns());
}

static int conn_open(struct load *l, struct conn *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(l->opt.port),
                             .sin_addr = l->opt.addr};
    struct timeval patience = {.tv_sec = STALL_S};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return fail(c, "socket: %s", strerror(errno));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (const struct sockaddr *)&to, sizeof to) < 0)
        return fail(c, "cannot connect to %s:%u: %s", l->opt.host, l->opt.port, strerror(errno));
    if (request_send(l, c) < 0 || response_read(l, c) < 0)
        return -1;
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        return fail(c, "epoll: %s", strerror(errno));
    return 0;
}

static int conn_init(struct load *l, struct conn *c, size_t id) {
    *c = (struct conn){.id = id, .fd = -1, .head_need = 2, .credit = l->opt.depth};
    c->tx_rng = c->rx_rng = (id + 1) * 0x9e3779b97f4a7c15ULL;
    for (int i = 0; i < 8; i++) /* neighbouring seeds begin alike */
        c->rx_rng = c->tx_rng = rng_next(&c->tx_rng);
    c->out = malloc(l->out_cap);
    c->sent_at = calloc(l->opt.depth, sizeof *c->sent_at);
    if (!c->out || !c->sent_at)
        return fail(NULL, "out of memory");
    return conn_open(l, c);
}

/* Says goodbye and waits a second in all for the servers to hang up, so that they neither log
 * a broken connection nor do this work in somebody else's turn. */
static void conns_close(struct load *l) {
    static const uint8_t bye[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8};
    uint64_t deadline = now_ns() + NS;
    for (size_t i = 0; i < l->n_conns; i++)
        if (send(l->conns[i].fd, bye, sizeof bye, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            deadline = 0;
    for (size_t i = 0; i < l->n_conns; i++) {
        struct pollfd p = {.fd = l->conns[i].fd, .events = POLLIN};
        for (;;) {
            uint64_t now = now_ns();
            int wait = now < deadline ? (int)((deadline - now) / 1000000) : 0;
            if (poll(&p, 1, wait) <= 0 || recv(p.fd, l->read_buf, READ_CAP, MSG_DONTWAIT) <= 0)
                break;
        }
    }
}

/* ---- the run ---- */

static int measure_begin(struct load *l, uint64_t now) {
    l->phase = MEASURE;
    l->begin_ns = now;
    if (l->opt.messages)
        l->unsent = l->opt.messages > l->inflight ? l->opt.messages - l->inflight : 0;
    return usage_read(l->opt.pid, &l->begin);
}

static int measure_end(struct load *l, uint64_t now) {
    l->phase = DRAIN;
    l->end_ns = now;
    l->unsent = 0;
    return usage_read(l->opt.pid, &l->end);
}

static int phase_step(struct load *l, uint64_t now) {
    if (l->phase == WARMUP && now >= l->measure_ns && measure_begin(l, now) < 0)
        return -1;
    if (l->phase != MEASURE)
        return 0;
    bool over = l->opt.messages ? l->unsent == 0 && l->inflight == 0
                                : (double)(now - l->begin_ns) >= l->opt.seconds * 1e9;
    return over ? measure_end(l, now) : 0;
}

/* Once a second: a connection on which nothing has moved for STALL_S is given up. */
static int stall_sweep(struct load *l, uint64_t now) {
    if (now - l->swept_ns < NS)
        return 0;
    l->swept_ns = now;
    for (size_t i = 0; i < l->n_conns; i++) {
        const struct conn *c = &l->conns[i];
        if (c->inflight > 0 && now > c->last_ns && now - c->last_ns > STALL_S * NS)
            return fail(c, "the server stalled: no byte for %d s, %zu messages in flight, "
                        "%" PRIu64 " answers so far", STALL_S, c->inflight, c->answers);
    }
    return 0;
}

static int run(struct load *l) {
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns();
    l->measure_ns = now + (uint64_t)(l->opt.warmup * 1e9);
    l->swept_ns = now;
    l->unsent = UINT64_MAX;
    if (phase_step(l, now) < 0)
        return -1;
    for (size_t i = 0; i < l->n_conns; i++) {
        l->conns[i].last_ns = now;
        if (conn_event(l, &l->conns[i], EPOLLOUT) < 0)
            return -1;
    }
    while (l->phase != DRAIN || l->inflight > 0) {
        int n = epoll_wait(l->epoll, events, EVENTS, 50);
        if (n < 0 && errno != EINTR)
            return fail(NULL, "epoll_wait: %s", strerror(errno));
        for (int i = 0; i < n; i++)
            if (conn_event(l, events[i].data.ptr, events[i].events) < 0)
                return -1;
        now = now_ns();
        if (phase_step(l, now) < 0 || stall_sweep(l, now) < 0)
            return -1;
    }
    return 0;
}

/* ---- the report ---- */

static void report_json(const struct load *l, double seconds, double own) {
    const struct options *o = &l->opt;
    double cpu = l->end.total - l->begin.total;
    printf("{\"connections\": %zu, \"depth\": %zu, \"size_min\": %zu, \"size_max\": %zu, "
           "\"opcode\": \"%s\", \"seconds\": %.6f, \"messages\": %" PRIu64 ", "
           "\"messages_per_second\": %.1f, \"mismatches\": %" PRIu64 ", ",
           o->connections, o->depth, o->size_min, o->size_max,
           o->opcode == OP_TEXT ? "text" : "binary", seconds, l->messages,
           (double)l->messages / seconds, l->mismatches);
    printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, ",
           hist_quantile_us(l, 0.50), hist_quantile_us(l, 0.90), hist_quantile_us(l, 0.99),
           (double)l->max_ns / 1e3);
    if (o->pid)
        printf("\"server_user_s\": %.2f, \"server_system_s\": %.2f, \"server_cpu_s\": %.6f, ",
               l->end.user - l->begin.user, l->end.system - l->begin.system, cpu);
    if (o->pid && cpu > 0)
        printf("\"messages_per_cpu_second\": %.1f, ", (double)l->messages / cpu);
    printf("\"load_cpu\": %.4f}\n", own);
}

static void report_text(const struct load *l, double seconds, double own) {
    double cpu = l->end.total - l->begin.total;
    printf("messages     %" PRIu64 " in %.3f s\n", l->messages, seconds);
    printf("messages/s   %.0f\n", (double)l->messages / seconds);
    printf("latency us   p50 %.1f  p90 %.1f  p99 %.1f  max %.1f\n", hist_quantile_us(l, 0.50),
           hist_quantile_us(l, 0.90), hist_quantile_us(l, 0.99), (double)l->max_ns / 1e3);
    if (l->opt.pid) {
        printf("server CPU   %.3f s (user %.2f, system %.2f), %.0f %%\n", cpu,
               l->end.user - l->begin.user, l->end.system - l->begin.system, 100 * cpu / seconds);
        if (cpu > 0)
            printf("messages per server-CPU-second  %.0f\n", (double)l->messages / cpu);
    }
    printf("load CPU     %.0f %%%s\n", 100 * own,
           own > 0.9 ? "  (the load generator is the bottleneck)" : "");
    printf("mismatches   %" PRIu64 "\n", l->mismatches);
}

static void report(const struct load *l) {
    double seconds = (double)(l->end_ns - l->begin_ns) / 1e9;
    if (seconds <= 0)
        seconds = 1e-9;
    double own = (l->end.own - l->begin.own) / seconds;
    (l->opt.json ? report_json : report_text)(l, seconds, own);
}

/* ---- options ---- */

static const char usage_text[] =
    "usage: load --port PORT [options]\n"
    "  --host HOST         IPv4 address or localhost (127.0.0.1)\n"
    "  --port PORT\n"
    "  --path PATH         request target (/)\n"
    "  --connections N     (32)\n"
    "  --depth D           messages in flight on each connection (1)\n"
    "  --size S | S1-S2    payload bytes; a range is log-uniform (20)\n"
    "  --text | --binary   (binary)\n"
    "  --seconds T         measured time (2)\n"
    "  --warmup T          time before it (0.3; with --messages 0)\n"
    "  --messages N        measure N messages instead of a time\n"
    "  --pid PID           the server: its CPU time is reported too\n"
    "  --json              report as one line of JSON\n";

static bool parse_u64(const char *text, uint64_t min, uint64_t max, char stop, uint64_t *value) {
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && errno == 0 && *end == stop && *value >= min &&
           *value <= max;
}

static bool parse_size(const char *text, size_t max, size_t *value) {
    uint64_t n;
    bool good = parse_u64(text, 1, max, '\0', &n);
    *value = good ? (size_t)n : 0;
    return good;
}

static bool parse_range(const char *text, size_t *from, size_t *to) {
    const uint64_t max = 1u << 30;
    const char *dash = strchr(text, '-');
    uint64_t a, b;
    if (!parse_u64(text, 0, max, dash ? '-' : '\0', &a))
        return false;
    b = a;
    if (dash && !parse_u64(dash + 1, a, max, '\0', &b))
        return false;
    *from = (size_t)a;
    *to = (size_t)b;
    return true;
}

static bool parse_seconds(const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= 0 && *value <= 86400;
}

static bool option_set(struct options *o, int name, const char *value) {
    uint64_t n = 0;
    bool good = true;
    switch (name) {
    case 'h': o->host = strcmp(value, "localhost") == 0 ? "127.0.0.1" : value; break;
    case 'p': good = parse_u64(value, 1, 65535, '\0', &n); o->port = (uint16_t)n; break;
    case 'P': o->path = value; good = *value == '/'; break;
    case 'c': good = parse_size(value, 1000000, &o->connections); break;
    case 'd': good = parse_size(value, 65536, &o->depth); break;
    case 's': good = parse_range(value, &o->size_min, &o->size_max); break;
    case 't': o->opcode = OP_TEXT; break;
    case 'b': o->opcode = OP_BINARY; break;
    case 'T': good = parse_seconds(value, &o->seconds) && o->seconds > 0; break;
    case 'w': good = parse_seconds(value, &o->warmup); break;
    case 'm': good = parse_u64(value, 1, UINT64_MAX / 2, '\0', &o->messages); break;
    case 'i': good = parse_u64(value, 1, INT32_MAX, '\0', &n); o->pid = (pid_t)n; break;
    case 'j': o->json = true; break;
    default: return false;
    }
    return good;
}

static int options_parse(struct options *o, int argc, char **argv) {
    static const struct option names[] = {
        {"host", 1, NULL, 'h'},    {"port", 1, NULL, 'p'},     {"path", 1, NULL, 'P'},
        {"depth", 1, NULL, 'd'},   {"size", 1, NULL, 's'},     {"connections", 1, NULL, 'c'},
        {"text", 0, NULL, 't'},    {"binary", 0, NULL, 'b'},   {"seconds", 1, NULL, 'T'},
        {"warmup", 1, NULL, 'w'},  {"messages", 1, NULL, 'm'}, {"pid", 1, NULL, 'i'},
        {"json", 0, NULL, 'j'},    {NULL, 0, NULL, 0},
    };
    *o = (struct options){.host = "127.0.0.1", .path = "/", .connections = 32, .depth = 1,
                          .size_min = 20, .size_max = 20, .opcode = OP_BINARY, .seconds = 2,
                          .warmup = -1};
    int name, index = 0;
    while ((name = getopt_long(argc, argv, "", names, &index)) != -1) {
        if (name == '?')
            return -1;
        if (!option_set(o, name, optarg))
            return fail(NULL, "--%s cannot be %s", names[index].name, optarg ? optarg : "set");
    }
    if (optind < argc)
        return fail(NULL, "what is %s?", argv[optind]);
    if (inet_pton(AF_INET, o->host, &o->addr) != 1)
        return fail(NULL, "--host: %s is not an IPv4 address", o->host);
    if (o->port == 0)
        return fail(NULL, "--port is missing");
    if (o->warmup < 0)
        o->warmup = o->messages ? 0 : 0.3;
    return 0;
}

/* ---- start and end ---- */

static void pool_fill(struct load *l, size_t n) {
    uint64_t rng = 0x243f6a8885a308d3ULL;
    bool text = l->opt.opcode == OP_TEXT;
    for (size_t i = 0; i < n; i++) {
        uint64_t r = rng_next(&rng);
        l->pool[i] = (uint8_t)(text ? 32 + (r >> 40) % 95 : r >> 56);
    }
}

static int load_init(struct load *l) {
    struct rlimit files;
    size_t frames, pool_len = l->opt.size_max + POOL_SHIFTS;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    /* All that may be in flight goes out in one write, unless that is a lot; a pong always fits. */
    frames = l->opt.size_max < WRITE_CAP ? l->opt.depth * (l->opt.size_max + 14) : WRITE_CAP;
    l->out_cap = min_size(frames + 14 + CONTROL_CAP, WRITE_CAP);
    if (getrandom(&l->key_rng, sizeof l->key_rng, 0) < 0)
        return fail(NULL, "getrandom: %s", strerror(errno));
    l->key_rng |= 1;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll < 0)
        return fail(NULL, "epoll_create1: %s", strerror(errno));
    l->pool = malloc(pool_len);
    l->read_buf = malloc(READ_CAP);
    l->conns = calloc(l->opt.connections, sizeof *l->conns);
    if (!l->pool || !l->read_buf || !l->conns)
        return fail(NULL, "out of memory");
    pool_fill(l, pool_len);
    sizes_init(l);
    while (l->n_conns < l->opt.connections) {
        size_t id = l->n_conns++;
        if (conn_init(l, &l->conns[id], id) < 0)
            return -1;
    }
    return 0;
}

static void load_fini(struct load *l) {
    for (size_t i = 0; i < l->n_conns; i++) {
        if (l->conns[i].fd >= 0)
            close(l->conns[i].fd);
        free(l->conns[i].out);
        free(l->conns[i].sent_at);
    }
    if (l->epoll >= 0)
        close(l->epoll);
    free(l->conns);
    free(l->read_buf);
    free(l->pool);
    free(l);
}

int main(int argc, char **argv) {
    struct load *l = calloc(1, sizeof *l);
    int status = 1;
    if (!l) {
        fail(NULL, "out of memory");
        return status;
    }
    l->epoll = -1;
    if (options_parse(&l->opt, argc, argv) < 0) {
        fputs(usage_text, stderr);
        status = 2;
    } else if (load_init(l) == 0 && run(l) == 0) {
        report(l);
        conns_close(l);
        status = l->mismatches > 0;
    }
    load_fini(l);
    return status;
}
