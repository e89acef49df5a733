/* crowd.c: many clients of one server in one thread (Linux, libc only, epoll): they write down what
 * comes, in order, and do little by themselves. test_delivery.py drives it and judges what it wrote
 * down.
 *
 * A message is text of "%08x%08x": a word whose top four bits say what it is, and the message's
 * length, which padding of one letter makes up. Whatever else comes is the end of the program: a
 * frame that RFC 6455 forbids, a message that is not whole.
 *
 * Commands come by standard input, a line each; "ok" is printed when one is done. They name
 * connections by number, from and up to (without):
 *
 *   open N PATH FLAGS  N more, of /PATH/NUMBER, until all are upgraded; flags: s: small, so that
 * the kernels keep little for it; a: again when it has ended; -: none rest               none is
 * opened again stop FROM TO       read nothing read FROM TO       read on ping FROM TO WORD  send a
 * ping with the word ends N             waits until N messages of kind END have come in all gone
 * waits until all have ended dump FILE          writes what came: for each connection that was
 * opened its number, the number of its words, and those
 *
 * usage: crowd PORT */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_frame.h"

enum {
    CONNS_MAX = 4096,
    READ_CAP = 256 * 1024, /* a frame at most */
    HEAD_LEN = 16,         /* of a message: word and length */
    COMMAND_MAX = 512,
    SMALL = 4096,   /* receive buffer of those who are to be slow */
    SEGMENT = 1000, /* and their largest segment, by which the server's kernel sizes its buffer */
};

/* The top four bits of a word. What others are is the server's and the test's. */
enum kind {
    KIND_ASK = 0x1,   /* is answered by a message: its word */
    KIND_LEAVE = 0x2, /* is answered by a close frame */
    KIND_DROP = 0x3,  /* is answered by a reset */
    KIND_END = 0x4,   /* is counted */
    KIND_PING = 0x8,  /* a ping came, with a word: not a message */
    KIND_PONG = 0x9,
    KIND_CLOSE = 0xA, /* a close frame, with its code */
    KIND_EOF = 0xB,
    KIND_RESET = 0xC,
};

/* One opening of a connection, and what came. */
struct session {
    uint32_t conn, n, cap;
    uint32_t *words; /* owns */
    struct session *next;
};

struct conn {
    uint32_t number;
    int fd; /* -1: it has ended */
    char path[32];
    bool small, again, upgraded, reads, said_close;
    uint8_t *rest; /* owns: a part of a frame */
    size_t rest_len;
    struct session *session;
};

struct crowd {
    struct sockaddr_in to;
    int epoll;
    struct conn conns[CONNS_MAX];
    uint32_t n_conns, n_open, n_upgraded, n_ends;
    struct session *first, **last; /* owns */
    bool resting, over, busy;      /* busy: with a command */
    char line[COMMAND_MAX];        /* of commands */
    size_t line_len;
    enum { WAIT_NOTHING, WAIT_UPGRADED, WAIT_ENDS, WAIT_GONE } wait;
    uint32_t wait_n;
    uint8_t bytes[READ_CAP];
};

__attribute__((format(printf, 2, 3), noreturn)) static void fail(const struct conn *c,
                                                                 const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("crowd: ", stderr);
    if (c) fprintf(stderr, "connection %" PRIu32 ": ", c->number);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *need(void *memory) {
    if (!memory) fail(NULL, "out of memory");
    return memory;
}

/* ---- what came ---- */

static void note(struct conn *c, uint32_t word) {
    struct session *s = c->session;
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->words = need(realloc(s->words, s->cap * sizeof *s->words));
    }
    s->words[s->n++] = word;
}

static void note_kind(struct conn *c, enum kind kind, uint32_t value) {
    note(c, (uint32_t)kind << 28 | value);
}

static void begin_session(struct crowd *all, struct conn *c) {
    struct session *s = need(calloc(1, sizeof *s));
    s->conn = c->number;
    *all->last = c->session = s;
    all->last = &s->next;
}

static void dump(const struct crowd *all, const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file) fail(NULL, "%s: %s", path, strerror(errno));
    for (const struct session *s = all->first; s; s = s->next) {
        uint32_t head[2] = {s->conn, s->n};
        fwrite(head, sizeof head, 1, file);
        if (s->n) fwrite(s->words, sizeof *s->words, s->n, file);
    }
    if (fclose(file) != 0) fail(NULL, "%s: %s", path, strerror(errno));
}

/* ---- opening, sending ---- */

static void watch(const struct crowd *all, struct conn *c, bool reads) {
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (c->reads == reads || c->fd < 0) return;
    c->reads = reads;
    /* Taken out, since a hang-up would be told whatever it is watched for. */
    if (epoll_ctl(all->epoll, reads ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, c->fd, &ev) < 0)
        fail(c, "epoll_ctl: %s", strerror(errno));
}

/* A few bytes, which a socket always has room for. */
static void put(const struct conn *c, const void *data, size_t len) {
    ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    /* The server may have gone: reading tells. */
    if (n < 0 && errno != EPIPE && errno != ECONNRESET) fail(c, "send: %s", strerror(errno));
    if (n >= 0 && (size_t)n != len) fail(c, "%zd of %zu bytes were sent", n, len);
}

static void put_frame(const struct conn *c, uint8_t opcode, const void *data, size_t len) {
    uint8_t frame[FRAME_HEAD_CAP + CONTROL_CAP], key[4] = {0x11, 0x22, 0x33, 0x44};
    size_t head = frame_head_write(frame, opcode, len, key);
    frame_mask_copy(frame + head, data, len, key);
    put(c, frame, head + len);
}

static void connect_conn(struct crowd *all, struct conn *c) {
    char request[256];
    int on = 1, small = SMALL, segment = SEGMENT;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail(c, "socket: %s", strerror(errno));
    if (c->small) {
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        setsockopt(c->fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    }
    if (connect(c->fd, (struct sockaddr *)&all->to, sizeof all->to) < 0)
        fail(c, "connect: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->upgraded = c->reads = c->said_close = false;
    begin_session(all, c);
    watch(all, c, true);
    all->n_open++;
    int n = snprintf(request, sizeof request,
                     "GET /%s/%" PRIu32 " HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n",
                     c->path, c->number);
    put(c, request, (size_t)n);
}

static void end_conn(struct crowd *all, struct conn *c) {
    close(c->fd);
    c->fd = -1;
    c->rest_len = 0;
    all->n_open--;
    if (c->upgraded) all->n_upgraded--;
    if (c->again && !all->resting) connect_conn(all, c);
}

static void reset_conn(struct crowd *all, struct conn *c) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    end_conn(all, c);
}

static void put_close(struct conn *c, uint32_t code) {
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    if (!c->said_close) put_frame(c, OP_CLOSE, payload, sizeof payload);
    c->said_close = true;
}

/* ---- reading ---- */

static uint32_t get_hex(const struct conn *c, const uint8_t *at, size_t n) {
    char text[9] = {0}, *end;
    if (n > 8) fail(c, "a word of %zu digits", n);
    memcpy(text, at, n);
    uint32_t value = (uint32_t)strtoul(text, &end, 16);
    if (end != text + n) fail(c, "\"%s\" is no word", text);
    return value;
}

static void check_padding(const struct conn *c, uint32_t word, const uint8_t *at, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (at[i] != 'a' + word % 26)
            fail(c, "message %08" PRIx32 ": byte %zu of the padding is %d", word, i, at[i]);
}

static void take_message(struct crowd *all, struct conn *c, const uint8_t *data, size_t len) {
    if (len < HEAD_LEN) fail(c, "a message of %zu bytes", len);
    uint32_t word = get_hex(c, data, 8);
    if (get_hex(c, data + 8, 8) != len)
        fail(c, "message %08" PRIx32 " has %zu bytes, not %.8s", word, len, (const char *)data + 8);
    check_padding(c, word, data + HEAD_LEN, len - HEAD_LEN);
    note(c, word);
    switch (word >> 28) {
    case KIND_ASK: put_frame(c, OP_TEXT, data, 8); break;
    case KIND_LEAVE: put_close(c, 1000); break;
    case KIND_DROP: reset_conn(all, c); break;
    case KIND_END: all->n_ends++; break;
    default: break;
    }
}

static void take_frame(struct crowd *all, struct conn *c, uint8_t opcode, const uint8_t *data,
                       size_t len) {
    switch (opcode) {
    case OP_TEXT: take_message(all, c, data, len); break;
    case OP_PING:
        note_kind(c, KIND_PING, get_hex(c, data, len));
        put_frame(c, OP_PONG, data, len);
        break;
    case OP_PONG: note_kind(c, KIND_PONG, get_hex(c, data, len)); break;
    case OP_CLOSE:
        if (len < 2) fail(c, "a close frame without a code");
        note_kind(c, KIND_CLOSE, (uint32_t)data[0] << 8 | data[1]);
        put_close(c, (uint32_t)data[0] << 8 | data[1]);
        break;
    default: fail(c, "opcode %d", opcode);
    }
}

/* RFC 6455 section 5.2, as a server may send it here: final, unmasked, of minimal length. Returns
 * the frame's size, 0 if it is not whole. */
static size_t read_frame(struct crowd *all, struct conn *c, const uint8_t *data, size_t n) {
    if (n < 2) return 0;
    size_t head = 2 + frame_length_bytes(data[1]);
    if (n < head) return 0;
    uint64_t len = frame_length_get(data);
    if ((data[0] & 0xF0) != 0x80) fail(c, "a frame that begins with 0x%02x", data[0]);
    if (data[1] & 0x80) fail(c, "a masked frame");
    if ((head == 4 && len < 126) || (head == 10 && len < 65536))
        fail(c, "a length of %" PRIu64 " in the wrong form", len);
    if ((data[0] & 8 && len > CONTROL_CAP) || len > READ_CAP - FRAME_HEAD_CAP)
        fail(c, "a frame of %" PRIu64 " bytes", len);
    if (n < head + len) return 0;
    if (c->session->n && c->session->words[c->session->n - 1] >> 28 == KIND_CLOSE)
        fail(c, "a frame behind the close frame");
    take_frame(all, c, data[0] & 0x0F, data + head, (size_t)len);
    return head + (size_t)len;
}

/* The size of the answer's head, 0 if it is not whole. */
static size_t read_answer(struct crowd *all, struct conn *c, const uint8_t *data, size_t n) {
    static const char start[] = "HTTP/1.1 101 ";
    const uint8_t *end = memmem(data, n, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(data, start, sizeof start - 1) != 0)
        fail(c, "answered by %.40s", (const char *)data);
    c->upgraded = true;
    all->n_upgraded++;
    return (size_t)(end - data) + 4;
}

/* Takes what is whole; the rest is kept. A message may have ended the connection. */
static void take_bytes(struct crowd *all, struct conn *c, const uint8_t *data, size_t n) {
    const struct session *session = c->session;
    size_t used;
    do {
        used = c->upgraded ? read_frame(all, c, data, n) : read_answer(all, c, data, n);
        if (c->fd < 0 || c->session != session) return;
        data += used;
        n -= used;
    } while (used);
    if (n) c->rest = need(realloc(c->rest, n));
    if (n) memcpy(c->rest, data, n);
    c->rest_len = n;
}

/* One read, behind what is left of the one before. */
static void read_conn(struct crowd *all, struct conn *c) {
    size_t rest = c->rest_len;
    if (rest) memcpy(all->bytes, c->rest, rest);
    ssize_t n = recv(c->fd, all->bytes + rest, READ_CAP - rest, MSG_DONTWAIT);
    if (n > 0) {
        take_bytes(all, c, all->bytes, rest + (size_t)n);
    } else if (n == 0 || errno == ECONNRESET) {
        if (rest) fail(c, "the stream ended within a frame");
        note_kind(c, n == 0 ? KIND_EOF : KIND_RESET, 0);
        end_conn(all, c);
    } else if (errno != EAGAIN && errno != EINTR) {
        fail(c, "recv: %s", strerror(errno));
    }
}

/* ---- commands ---- */

static void open_conns(struct crowd *all, uint32_t n, const char *path, const char *flags) {
    for (uint32_t i = 0; i < n; i++) {
        if (all->n_conns == CONNS_MAX) fail(NULL, "too many connections");
        struct conn *c = &all->conns[all->n_conns];
        c->number = all->n_conns++;
        snprintf(c->path, sizeof c->path, "%s", path);
        c->small = strchr(flags, 's') != NULL;
        c->again = strchr(flags, 'a') != NULL;
        connect_conn(all, c);
    }
}

static void command(struct crowd *all, const char *line) {
    char word[COMMAND_MAX], flags[COMMAND_MAX];
    uint32_t from, to;
    bool stops = strncmp(line, "stop ", 5) == 0;
    if (sscanf(line, "open %" SCNu32 " %s %s", &to, word, flags) == 3) {
        open_conns(all, to, word, flags);
        all->wait = WAIT_UPGRADED;
    } else if (sscanf(line, "stop %" SCNu32 " %" SCNu32, &from, &to) == 2 ||
               sscanf(line, "read %" SCNu32 " %" SCNu32, &from, &to) == 2) {
        for (; from < to && from < all->n_conns; from++) watch(all, &all->conns[from], !stops);
    } else if (sscanf(line, "ping %" SCNu32 " %" SCNu32 " %s", &from, &to, word) == 3) {
        for (; from < to && from < all->n_conns; from++)
            put_frame(&all->conns[from], OP_PING, word, strlen(word));
    } else if (sscanf(line, "ends %" SCNu32, &all->wait_n) == 1) {
        all->wait = WAIT_ENDS;
    } else if (strcmp(line, "gone") == 0) {
        all->wait = WAIT_GONE;
    } else if (strcmp(line, "rest") == 0) {
        all->resting = true;
    } else if (sscanf(line, "dump %s", word) == 1) {
        dump(all, word);
    } else {
        fail(NULL, "what is \"%s\"?", line);
    }
}

static bool is_done(const struct crowd *all) {
    switch (all->wait) {
    case WAIT_UPGRADED: return all->n_upgraded == all->n_open;
    case WAIT_ENDS: return all->n_ends >= all->wait_n;
    case WAIT_GONE: return all->n_open == 0;
    default: return true;
    }
}

/* Runs the next command. False: its line is not there yet. */
static bool take_command(struct crowd *all) {
    char *end = memchr(all->line, '\n', all->line_len);
    if (!end) return false;
    size_t len = (size_t)(end - all->line) + 1;
    *end = '\0';
    all->wait = WAIT_NOTHING;
    command(all, all->line);
    all->line_len -= len;
    memmove(all->line, all->line + len, all->line_len);
    return true;
}

/* A command begins when the one before is done. */
static void take_commands(struct crowd *all) {
    for (;;) {
        if (all->busy && !is_done(all)) return;
        if (all->busy) puts("ok");
        all->busy = take_command(all);
        if (!all->busy) return;
    }
}

static void read_commands(struct crowd *all) {
    ssize_t n = read(STDIN_FILENO, all->line + all->line_len, COMMAND_MAX - all->line_len);
    if (n <= 0) all->over = true;
    else all->line_len += (size_t)n;
}

/* ---- the run ---- */

static void run(struct crowd *all) {
    struct epoll_event events[256], input = {.events = EPOLLIN};
    if (epoll_ctl(all->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0)
        fail(NULL, "epoll_ctl: %s", strerror(errno));
    while (!all->over) {
        int n = epoll_wait(all->epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) read_commands(all);
            else if (c->fd >= 0 && c->reads) read_conn(all, c);
        }
        take_commands(all);
    }
}

int main(int argc, char **argv) {
    struct rlimit files;
    struct crowd *all = need(calloc(1, sizeof *all));
    if (argc != 2) fail(NULL, "usage: crowd PORT");
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    all->to = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atoi(argv[1])),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    all->last = &all->first;
    all->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (all->epoll < 0) fail(NULL, "epoll_create1: %s", strerror(errno));
    run(all);
    return 0; /* the process's end frees all */
}
