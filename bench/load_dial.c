/* load_dial.c: connects and shakes hands. It does NOT verify Sec-WebSocket-Accept. */
#include "load_dial.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "load_base.h"
#include "load_deflate.h"

/* 16 random bytes in base64: 21 digits of any value, one with four 0 bits at its end, padding. */
static void key_make(uint64_t *rng, char key[25]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 22; i++) key[i] = digits[(rng_next(rng) >> 58) & (i < 21 ? 0x3fu : 0x30u)];
    memcpy(key + 22, "==", 3);
}

int request_write(char text[REQUEST_CAP], const struct options *o, uint64_t *rng) {
    char key[25];
    key_make(rng, key);
    int n = snprintf(text, REQUEST_CAP,
                     "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                     "Sec-WebSocket-Version: 13\r\n%s\r\n",
                     o->path, o->host, o->port, key, o->deflate ? DEFLATE_OFFER : "");
    return n < 0 || n >= REQUEST_CAP ? fail("the path is too long") : n;
}

int response_check(const char *text, const struct options *o, size_t id) {
    const char *end = strstr(text, "\r\n\r\n");
    if (!end) return 0;
    if (strncmp(text, "HTTP/1.1 101 ", 13) != 0)
        return fail("connection %zu: the handshake was answered by: %.*s", id,
                    (int)strcspn(text, "\r\n"), text);
    if (o->deflate && deflate_agreed(text, id) < 0) return -1;
    return (int)(end - text) + 4;
}

int dial_end(struct greeting *g, const struct options *o, size_t id) {
    uint64_t deadline = now_ns() + STALL_S * NS;
    int head = 0;
    while (head == 0) {
        if (now_ns() > deadline)
            return fail("connection %zu: no whole handshake response in %d s", id, STALL_S);
        size_t room = RESPONSE_CAP - g->len;
        ssize_t k = room > 0 ? recv(g->fd, g->text + g->len, room, 0) : 0;
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0)
            return fail("connection %zu: no whole handshake response: %s", id,
                        k == 0            ? "end of data"
                        : errno == EAGAIN ? "timed out"
                                          : strerror(errno));
        g->len += (size_t)k;
        g->text[g->len] = '\0';
        head = response_check(g->text, o, id);
    }
    if (head < 0) return -1;
    g->head_len = (size_t)head;
    return 0;
}

int dial_begin(const struct options *o, uint64_t *rng, size_t id, struct greeting *g) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(o->port), .sin_addr = o->addr};
    struct timeval patience = {.tv_sec = STALL_S};
    char request[REQUEST_CAP];
    int on = 1, n;
    g->len = 0;
    g->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (g->fd < 0) return fail("connection %zu: socket: %s", id, strerror(errno));
    setsockopt(g->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(g->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(g->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(g->fd, (const struct sockaddr *)&to, sizeof to) < 0)
        return fail("connection %zu: cannot connect to %s:%u: %s", id, o->host, o->port,
                    strerror(errno));
    if ((n = request_write(request, o, rng)) < 0) return -1;
    if (send(g->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
        return fail("connection %zu: cannot send the handshake: %s", id, strerror(errno));
    return 0;
}
