/* raw.c: the least that an echo server over WebSocket can do, as a mark of what the kernel allows:
 * for each readiness one read into a buffer that stays in the CPU's cache, the answers built in
 * place, one send. It does not wait for the end of a message: what has come of it goes back at
 * once, so a message may have any size.
 *
 * It is NOT a server to use: it believes what a client says (no limits, no UTF-8, no check of a
 * frame), wants the request in one read, and sends blocking.
 *
 * Usage: raw PORT
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CAP = 256 * 1024, /* bytes of one read */
    HEAD_CAP = 14,    /* a client's header, at most */
    EVENTS = 512,
};

struct conn {
    int fd;
    bool open;              /* the handshake is done */
    bool closing;           /* a close frame came: hang up once it is answered */
    uint64_t left;          /* bytes of a payload that have yet to come */
    uint8_t key[4];         /* their mask, turned to the next byte */
    uint8_t head[HEAD_CAP]; /* the beginning of a header */
    size_t head_len;
};

/* RFC 6455, 4.2.2: the base64 of the SHA-1 of the key and a fixed GUID. */
static bool handshake(struct conn *c, const char *request) {
    static const char field[] = "\r\nSec-WebSocket-Key: ";
    char text[256];
    uint8_t digest[SHA_DIGEST_LENGTH], accept[32];
    const char *key = strcasestr(request, field);
    if (!key) return false;
    int n = snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
                     key + strlen(field));
    SHA1((const uint8_t *)text, (size_t)n, digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    n = snprintf(text, sizeof text,
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                 (char *)accept);
    c->open = send(c->fd, text, (size_t)n, MSG_NOSIGNAL) == n;
    return c->open;
}

/* Reads a client's header; gives its length, or 0 if it is not all there. */
static size_t head_read(const uint8_t *p, size_t n, uint64_t *len) {
    size_t more = n < 2 ? 0 : (p[1] & 0x7f) == 127 ? 8 : (p[1] & 0x7f) == 126 ? 2 : 0;
    if (n < 2 + more + 4) return 0;
    *len = more ? 0 : p[1] & 0x7f;
    for (size_t i = 0; i < more; i++) *len = *len << 8 | p[2 + i];
    return 2 + more + 4;
}

/* Moves n bytes down, or leaves them where they are, takes the mask off and turns the key. */
static void unmask(uint8_t *to, const uint8_t *from, size_t n, uint8_t key[4]) {
    uint64_t wide, word;
    uint8_t turned[4];
    size_t i = 0;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++) to[i] = from[i] ^ key[i & 3];
    for (i = 0; i < 4; i++) turned[i] = key[(n + i) & 3];
    memcpy(key, turned, 4);
}

/* As much of the payload as there is between from and end; gives its length. */
static size_t payload_move(struct conn *c, uint8_t *to, const uint8_t *from, const uint8_t *end) {
    size_t n = (size_t)(end - from);
    if (n > c->left) n = (size_t)c->left;
    unmask(to, from, n, c->key);
    c->left -= n;
    return n;
}

/* Turns the frames, or parts of frames, between p and end into their answers, which end up at *out.
 * A server's header is the client's without its four bytes of mask, so the first payload stays
 * where it is, and each one behind it moves down. The beginning of a header is kept. Gives the
 * answers' length. */
static size_t answers_build(struct conn *c, uint8_t *p, const uint8_t *end, uint8_t **out) {
    uint8_t *to = *out = c->left > 0 ? p : p + 4;
    size_t head, n = payload_move(c, to, p, end);
    for (p += n, to += n; p < end && !c->closing; p += n, to += n) {
        head = head_read(p, (size_t)(end - p), &c->left);
        if (head == 0) break;
        memcpy(c->key, p + head - 4, 4);
        memmove(to, p, head - 4);
        to[1] &= 0x7f;
        if (to[0] == 0x89) /* a ping: its answer is a pong */
            to[0] = 0x8a;
        c->closing = to[0] == 0x88;
        p += head;
        to += head - 4;
        n = payload_move(c, to, p, end);
    }
    c->head_len = c->closing ? 0 : (size_t)(end - p);
    memcpy(c->head, p, c->head_len);
    return (size_t)(to - *out);
}

static bool send_all(int fd, const uint8_t *p, size_t n) {
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* False if the connection is over. */
static bool conn_event(struct conn *c, uint8_t *buf) {
    uint8_t *out, *read = buf + c->head_len;
    memcpy(buf, c->head, c->head_len);
    ssize_t got = recv(c->fd, read, CAP, MSG_DONTWAIT);
    if (got <= 0) return false;
    if (!c->open) {
        read[got] = '\0';
        return handshake(c, (const char *)buf);
    }
    size_t n = answers_build(c, buf, read + got, &out);
    return send_all(c->fd, out, n) && (!c->closing || c->left > 0);
}

static void conn_accept(int epoll, int listener) {
    struct conn *c = calloc(1, sizeof *c);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int on = 1;
    if (!c) return;
    c->fd = accept(listener, NULL, NULL);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0) free(c);
}

static void conn_free(struct conn *c) {
    close(c->fd);
    free(c);
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS], ev = {.events = EPOLLIN}; /* its data, NULL: the listener */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, epoll = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
    uint8_t *buf = malloc(HEAD_CAP + CAP + 1);
    at.sin_port = htons((uint16_t)(argc == 2 ? atoi(argv[1]) : 0));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (!buf || bind(listener, (const struct sockaddr *)&at, sizeof at) < 0 ||
        listen(listener, SOMAXCONN) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev) < 0) {
        perror("raw");
        return 1;
    }
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (!c) conn_accept(epoll, listener);
            else if (!conn_event(c, buf)) conn_free(c);
        }
    }
}
