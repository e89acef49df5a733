/* raw.c: the least that an echo server over WebSocket can do, as a mark of what the kernel allows:
 * for each readiness one read, the answers built in place, one send.
 *
 * It is NOT a server to use: it believes what a client says (no limits, no UTF-8, no check of a
 * frame), wants the request in one read, sends blocking, and hangs up when what came of an
 * unfinished message fills its buffer.
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

enum { CAP = 256 * 1024, EVENTS = 512 };

struct conn {
    int fd;
    bool open;     /* the handshake is done */
    bool closing;  /* a close frame came: hang up once it is answered */
    uint8_t *rest; /* owns; CAP bytes for the beginning of a frame, from the first such on */
    size_t rest_len;
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

/* Moves n bytes down, or leaves them where they are, and takes the mask off. */
static void unmask(uint8_t *to, const uint8_t *from, size_t n, const uint8_t key[4]) {
    uint64_t wide, word;
    size_t i = 0;
    memcpy(&wide, key, 4);
    memcpy((uint8_t *)&wide + 4, key, 4);
    for (; i + 8 <= n; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < n; i++) to[i] = from[i] ^ key[i & 3];
}

/* Turns the whole frames in buf into their answers. A server's header is the client's without its
 * four bytes of mask, so the answers begin at buf + 4, the first payload stays where it is, and
 * each one behind it moves down. Gives their length; *used is that of the frames. */
static size_t answers_build(struct conn *c, uint8_t *buf, size_t n, size_t *used) {
    uint8_t *out = buf + 4;
    uint64_t len;
    size_t head;
    for (*used = 0; !c->closing; *used += head + (size_t)len) {
        uint8_t *p = buf + *used, key[4];
        head = head_read(p, n - *used, &len);
        if (head == 0 || len > n - *used - head) break;
        memcpy(key, p + head - 4, 4);
        memmove(out, p, head - 4);
        out[1] &= 0x7f;
        if (out[0] == 0x89) /* a ping: its answer is a pong */
            out[0] = 0x8a;
        c->closing = out[0] == 0x88;
        unmask(out + head - 4, p + head, (size_t)len, key);
        out += head - 4 + len;
    }
    return (size_t)(out - buf) - 4;
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
    size_t used, have = c->rest_len;
    if (have > 0) memcpy(buf, c->rest, have);
    ssize_t got = recv(c->fd, buf + have, CAP - have, MSG_DONTWAIT);
    if (got <= 0) /* the end, or no room left */
        return false;
    have += (size_t)got;
    if (!c->open) {
        buf[have] = '\0';
        return handshake(c, (const char *)buf);
    }
    size_t n = answers_build(c, buf, have, &used);
    c->rest_len = have - used;
    if (c->rest_len > 0) {
        if (!c->rest && !(c->rest = malloc(CAP))) return false;
        memcpy(c->rest, buf + used, c->rest_len);
    }
    return send_all(c->fd, buf + 4, n) && !c->closing;
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
    free(c->rest);
    free(c);
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS], ev = {.events = EPOLLIN}; /* its data, NULL: the listener */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, epoll = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
    uint8_t *buf = malloc(CAP + 1);
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
