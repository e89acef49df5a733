/* sock.c: the system calls on sockets. Where systems differ there is one small function for each
 * variant.
 *
 * Knows nothing of loops, time-outs, TLS or WebSocket, and decides nothing: what to do at EAGAIN
 * or EMFILE is the caller's affair. */
#include "sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#endif

#include "err.h"

#define BIND_TRIES 16 /* ports tried until one is free on every address of a name */

#ifdef MSG_NOSIGNAL
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0 /* SO_NOSIGPIPE does it */
#endif

/* A generic address with its length, as the system calls want it. */
struct raw_address {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
    } u;
};

/* ---- descriptors ---- */

void ws_sock_close(int fd) {
    if (fd < 0) return;
    int saved = errno;
    close(fd); /* not again at EINTR: the number may be somebody else's by then */
    errno = saved;
}

/* Non-blocking and close-on-exec, where that takes calls of its own. Gives fd back, or closes it
 * and gives -1. */
#if !defined(SOCK_NONBLOCK) || !defined(SOCK_CLOEXEC) || !defined(__linux__)
static int set_up_descriptor(int fd) {
    if (fd < 0) return -1;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 &&
        fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
        return fd;
    ws_sock_close(fd);
    return -1;
}
#endif

#ifdef SO_NOSIGPIPE
static void mute_sigpipe(int fd) {
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
}
#else
static void mute_sigpipe(int fd) {
    (void)fd; /* MSG_NOSIGNAL does it */
}
#endif

#if defined(SOCK_NONBLOCK) && defined(SOCK_CLOEXEC)
static int open_stream(int family) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) mute_sigpipe(fd);
    return fd;
}

static int accept_stream(int listener, struct sockaddr *peer, socklen_t *len) {
    int fd = accept4(listener, peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) mute_sigpipe(fd);
    return fd;
}
#else
static int open_stream(int family) {
    int fd = set_up_descriptor(socket(family, SOCK_STREAM, 0));
    if (fd >= 0) mute_sigpipe(fd);
    return fd;
}

static int accept_stream(int listener, struct sockaddr *peer, socklen_t *len) {
    int fd = set_up_descriptor(accept(listener, peer, len));
    if (fd >= 0) mute_sigpipe(fd);
    return fd;
}
#endif

#ifdef __linux__
int ws_sock_timer(void) {
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return fd < 0 ? WS_ERR_SYSTEM : fd;
}

int ws_sock_set_timer(int fd, uint64_t due_ms) {
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ms / 1000),
                                           .tv_nsec = (long)(due_ms % 1000) * 1000000}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL) < 0 ? WS_ERR_SYSTEM : 0;
}
#else
int ws_sock_timer(void) {
    errno = ENOSYS;
    return WS_ERR_SYSTEM;
}

int ws_sock_set_timer(int fd, uint64_t due_ms) {
    (void)fd;
    (void)due_ms;
    errno = ENOSYS;
    return WS_ERR_SYSTEM;
}
#endif

int ws_sock_spare(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : fd;
}

/* ---- addresses ---- */

static void address_from_raw(struct ws_address *a, const struct sockaddr *from) {
    *a = (struct ws_address){.family = (uint8_t)from->sa_family};
    if (from->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        memcpy(a->ip, &in.sin_addr, 4);
        a->port = ntohs(in.sin_port);
    } else if (from->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        memcpy(a->ip, &in6.sin6_addr, 16);
        a->port = ntohs(in6.sin6_port);
        a->scope = in6.sin6_scope_id;
    }
}

static void address_to_raw(struct raw_address *raw, const struct ws_address *a) {
    memset(raw, 0, sizeof *raw);
    if (a->family == AF_INET) {
        raw->len = sizeof raw->u.in;
        raw->u.in.sin_family = AF_INET;
        raw->u.in.sin_port = htons(a->port);
        memcpy(&raw->u.in.sin_addr, a->ip, 4);
    } else {
        raw->len = sizeof raw->u.in6;
        raw->u.in6.sin6_family = AF_INET6;
        raw->u.in6.sin6_port = htons(a->port);
        raw->u.in6.sin6_scope_id = a->scope;
        memcpy(&raw->u.in6.sin6_addr, a->ip, 16);
    }
}

size_t ws_address_pack(uint8_t out[WS_ADDRESS_PACKED_MAX], const struct ws_address *a) {
    bool is_inet6 = a->family == AF_INET6;
    size_t ip_len = is_inet6 ? sizeof a->ip : 4, len = sizeof a->port + ip_len;
    if (!is_inet6 && a->family != AF_INET) return 0;
    memcpy(out, &a->port, sizeof a->port);
    memcpy(out + sizeof a->port, a->ip, ip_len);
    if (!is_inet6) return len;
    memcpy(out + len, &a->scope, sizeof a->scope);
    return len + sizeof a->scope;
}

void ws_address_unpack(struct ws_address *a, uint8_t family, const uint8_t *packed) {
    bool is_inet6 = family == AF_INET6;
    size_t ip_len = is_inet6 ? sizeof a->ip : 4;
    *a = (struct ws_address){.family = family};
    if (!is_inet6 && family != AF_INET) return;
    memcpy(&a->port, packed, sizeof a->port);
    memcpy(a->ip, packed + sizeof a->port, ip_len);
    if (is_inet6) memcpy(&a->scope, packed + sizeof a->port + ip_len, sizeof a->scope);
}

size_t ws_address_text(char out[WS_ADDRESS_TEXT_MAX], const struct ws_address *a) {
    out[0] = '\0';
    if (a->family != AF_INET && a->family != AF_INET6) return 0;
    if (!inet_ntop(a->family, a->ip, out, WS_ADDRESS_TEXT_MAX)) return 0;
    size_t len = strlen(out);
    if (a->family == AF_INET6 && a->scope != 0) {
        int more = snprintf(out + len, WS_ADDRESS_TEXT_MAX - len, "%%%u", (unsigned)a->scope);
        if (more > 0) len += (size_t)more; /* 45 + 11 at most: it fits */
    }
    return len;
}

size_t ws_address_format(char out[WS_ADDRESS_FORMAT_MAX], const struct ws_address *a) {
    char ip[WS_ADDRESS_TEXT_MAX];
    const char *format = a->family == AF_INET6 ? "[%s]:%u" : "%s:%u";
    int n = ws_address_text(ip, a) ? snprintf(out, WS_ADDRESS_FORMAT_MAX, format, ip, a->port)
                                   : snprintf(out, WS_ADDRESS_FORMAT_MAX, "unix");
    return n < 0 ? 0 : (size_t)n;
}

bool ws_address_is_loopback(const struct ws_address *a) {
    static const uint8_t one[16] = {[15] = 1};
    static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127};
    if (a->family == AF_INET) return a->ip[0] == 127;
    if (a->family != AF_INET6) return false;
    return memcmp(a->ip, one, sizeof one) == 0 || memcmp(a->ip, mapped, sizeof mapped) == 0;
}

static bool is_same_ip(const struct ws_address *a, const struct ws_address *b) {
    return a->family == b->family && a->scope == b->scope && memcmp(a->ip, b->ip, 16) == 0;
}

/* ---- TCP listeners ---- */

static int fail_and_close(int fd) {
    ws_sock_close(fd);
    return WS_ERR_SYSTEM;
}

/* SO_REUSEADDR passes over the remains of closed connections, which listen() checks for again.
 * While a socket is bound and does not listen it must be off: Linux would let somebody else bind
 * the same port. */
static int set_reuse(int fd, int on) {
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ? WS_ERR_SYSTEM : 0;
}

/* One socket bound to `wanted`; `bound` tells the real port. */
static int bind_address(const struct ws_address *wanted, struct ws_address *bound) {
    struct raw_address raw;
    int on = 1;
    int fd = open_stream(wanted->family);
    if (fd < 0) return WS_ERR_SYSTEM;
    if (set_reuse(fd, 1) < 0) return fail_and_close(fd);
    /* Else [::] would take the port of 0.0.0.0 too, and IPv4 peers would come as ::ffff:a.b.c.d. */
    if (wanted->family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        return fail_and_close(fd);
    address_to_raw(&raw, wanted);
    if (bind(fd, &raw.u.any, raw.len) < 0 || set_reuse(fd, 0) < 0) return fail_and_close(fd);
    raw.len = sizeof raw.u;
    if (getsockname(fd, &raw.u.any, &raw.len) < 0) return fail_and_close(fd);
    address_from_raw(bound, &raw.u.any);
    return fd;
}

/* Whether the error says that the system has no such family. IPv6 compiled in but disabled lets the
 * socket be made and then does not know ::1 or ::, which every system with IPv6 has. */
static bool lacks_family(int error, const struct ws_address *a) {
    static const uint8_t zeros[15] = {0};
    if (error == EAFNOSUPPORT || error == EPROTONOSUPPORT) return true;
    return error == EADDRNOTAVAIL && a->family == AF_INET6 && memcmp(a->ip, zeros, 15) == 0 &&
           a->ip[15] <= 1;
}

/* /etc/hosts may give one address twice, and a second bind to it would fail. */
static bool is_repeated(const struct addrinfo *list, const struct addrinfo *one,
                        const struct ws_address *address) {
    struct ws_address earlier;
    for (; list != one; list = list->ai_next) {
        address_from_raw(&earlier, list->ai_addr);
        if (is_same_ip(&earlier, address)) return true;
    }
    return false;
}

/* A socket for each address of the list, all or none. The number, or WS_ERR_SYSTEM with *failed
 * set. */
static int bind_all(const struct addrinfo *list, uint16_t port, int *fds,
                    struct ws_address *addresses, int max, struct ws_address *failed) {
    int n = 0, lacking = EAFNOSUPPORT;
    for (const struct addrinfo *ai = list; ai && n < max; ai = ai->ai_next) {
        struct ws_address wanted;
        if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6) continue;
        address_from_raw(&wanted, ai->ai_addr);
        if (is_repeated(list, ai, &wanted)) continue;
        wanted.port = n > 0 ? addresses[0].port : port;
        int fd = bind_address(&wanted, &addresses[n]);
        if (fd >= 0) {
            fds[n++] = fd;
            continue;
        }
        *failed = wanted;
        if (!lacks_family(errno, &wanted)) {
            while (n > 0) ws_sock_close(fds[--n]);
            return WS_ERR_SYSTEM;
        }
        lacking = errno;
    }
    if (n > 0) return n;
    errno = lacking;
    return WS_ERR_SYSTEM;
}

static int resolve(const char *host, struct addrinfo **list) {
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    return getaddrinfo(host && *host ? host : NULL, "0", &hints, list);
}

int ws_sock_bind_tcp(const char *host, uint16_t port, int *fds, struct ws_address *addresses,
                     int max, int *gai, struct ws_address *failed) {
    struct addrinfo *list = NULL;
    struct ws_address culprit = {0};
    if (max <= 0) return WS_ERR_ARGUMENT;
    *gai = resolve(host, &list);
    if (*gai != 0) return WS_ERR_RESOLVE;
    int n = bind_all(list, port, fds, addresses, max, &culprit);
    /* The kernel chose a port that is free on the first address; another one may have it in use. */
    for (int i = 1; n < 0 && port == 0 && errno == EADDRINUSE && i < BIND_TRIES; i++) {
        n = bind_all(list, port, fds, addresses, max, &culprit);
    }
    int saved = errno;
    freeaddrinfo(list);
    errno = saved;
    if (n < 0 && failed) *failed = culprit;
    return n;
}

int ws_sock_listen(int fd, int backlog) {
    if (set_reuse(fd, 1) < 0) return WS_ERR_SYSTEM;
    return listen(fd, backlog) < 0 ? WS_ERR_SYSTEM : 0;
}

/* ---- Unix listeners ---- */

/* 0 if nobody listens on the socket file: only a refusal says so (or that it is gone by now).
 * Anything else, a full queue, a datagram socket, a file we may not open, could be somebody's:
 * WS_ERR_SYSTEM with EADDRINUSE. */
static int check_stale(const struct raw_address *raw) {
    int fd = open_stream(AF_UNIX);
    if (fd < 0) return WS_ERR_SYSTEM;
    bool stale =
        connect(fd, &raw->u.any, raw->len) < 0 && (errno == ECONNREFUSED || errno == ENOENT);
    ws_sock_close(fd);
    if (stale) return 0;
    errno = EADDRINUSE;
    return WS_ERR_SYSTEM;
}

/* Removes what stands in the way of a bind if it may be removed. 0, or WS_ERR_SYSTEM with errno. */
static int clear_path(const char *path, const struct raw_address *raw) {
    struct stat st;
    if (lstat(path, &st) < 0) return errno == ENOENT ? 0 : WS_ERR_SYSTEM;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return WS_ERR_SYSTEM;
    }
    if (check_stale(raw) < 0) return WS_ERR_SYSTEM;
    /* By device and inode: another server may have replaced the stale file since we looked. */
    ws_sock_unlink(path, (uint64_t)st.st_dev, (uint64_t)st.st_ino);
    return 0;
}

static int unix_address(struct raw_address *raw, const char *path) {
    size_t len = strlen(path);
    memset(raw, 0, sizeof *raw);
    if (len == 0 || len >= sizeof raw->u.un.sun_path) {
        /* An empty path would have Linux make up an abstract name. */
        errno = len == 0 ? ENOENT : ENAMETOOLONG;
        return WS_ERR_SYSTEM;
    }
    raw->len = sizeof raw->u.un;
    raw->u.un.sun_family = AF_UNIX;
    memcpy(raw->u.un.sun_path, path, len + 1);
    return 0;
}

int ws_sock_bind_unix(const char *path, uint64_t *dev, uint64_t *ino) {
    struct raw_address raw;
    struct stat st;
    if (unix_address(&raw, path) < 0) return WS_ERR_SYSTEM;
    int fd = open_stream(AF_UNIX);
    if (fd < 0) return WS_ERR_SYSTEM;
    if (bind(fd, &raw.u.any, raw.len) < 0) {
        if (errno != EADDRINUSE || clear_path(path, &raw) < 0) return fail_and_close(fd);
        if (bind(fd, &raw.u.any, raw.len) < 0) return fail_and_close(fd);
    }
    /* Not fstat: that tells the socket's inode, not the file's. */
    if (lstat(path, &st) < 0) return fail_and_close(fd);
    *dev = (uint64_t)st.st_dev;
    *ino = (uint64_t)st.st_ino;
    return fd;
}

void ws_sock_unlink(const char *path, uint64_t dev, uint64_t ino) {
    struct stat st;
    int saved = errno;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (uint64_t)st.st_dev == dev &&
        (uint64_t)st.st_ino == ino)
        unlink(path);
    errno = saved;
}

/* ---- connections ---- */

#ifdef TCP_USER_TIMEOUT
void ws_sock_set_user_timeout(int fd, uint32_t ms) {
    /* On the listener, whose connections inherit it: no system call for each of them. A Unix socket
     * refuses it, and needs none. */
    if (ms) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}
#else
void ws_sock_set_user_timeout(int fd, uint32_t ms) {
    (void)fd;
    (void)ms;
}
#endif

int ws_sock_accept(int listener, struct ws_address *peer) {
    struct raw_address raw;
    int fd, on = 1;
    do {
        memset(&raw, 0, sizeof raw);
        raw.len = sizeof raw.u;
        fd = accept_stream(listener, &raw.u.any, &raw.len);
        /* A connection that died in the queue is not the listener's error: the next one is asked
         * for. */
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
    if (fd < 0) return WS_ERR_SYSTEM;
    address_from_raw(peer, &raw.u.any);
    /* A message is written whole; waiting for more to send would only delay it. */
    if (peer->family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

ssize_t ws_sock_read(int fd, void *data, size_t len) {
    ssize_t got;
    do got = read(fd, data, len);
    while (got < 0 && errno == EINTR);
    return got < 0 ? WS_ERR_SYSTEM : got;
}

ssize_t ws_sock_readv(int fd, const struct iovec *iov, int n) {
    ssize_t got;
    do got = readv(fd, iov, n < IOV_MAX ? n : IOV_MAX);
    while (got < 0 && errno == EINTR);
    return got < 0 ? WS_ERR_SYSTEM : got;
}

static ssize_t send_many(int fd, const struct iovec *iov, int n) {
    struct msghdr message = {.msg_iov = (struct iovec *)iov}; /* which sendmsg only reads */
    message.msg_iovlen = (size_t)(n < IOV_MAX ? n : IOV_MAX);
    return sendmsg(fd, &message, SEND_FLAGS);
}

ssize_t ws_sock_writev(int fd, const struct iovec *iov, int n) {
    ssize_t sent;
    if (n <= 0) return 0;
    do sent = n == 1 ? send(fd, iov->iov_base, iov->iov_len, SEND_FLAGS) : send_many(fd, iov, n);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? WS_ERR_SYSTEM : sent;
}

void ws_sock_shutdown(int fd) {
    shutdown(fd, SHUT_WR);
}

/* ---- waking another thread ---- */

#ifdef __linux__
int ws_wake_init(struct ws_wake *w) {
    w->read_fd = w->write_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return w->read_fd < 0 ? WS_ERR_SYSTEM : 0;
}
#else
int ws_wake_init(struct ws_wake *w) {
    int ends[2] = {-1, -1};
    w->read_fd = w->write_fd = -1;
    if (pipe(ends) < 0) return WS_ERR_SYSTEM;
    w->read_fd = set_up_descriptor(ends[0]);
    w->write_fd = set_up_descriptor(ends[1]);
    if (w->read_fd >= 0 && w->write_fd >= 0) return 0;
    ws_wake_fini(w);
    return WS_ERR_SYSTEM;
}
#endif

void ws_wake_fini(struct ws_wake *w) {
    if (w->write_fd != w->read_fd) ws_sock_close(w->write_fd);
    ws_sock_close(w->read_fd);
    w->read_fd = w->write_fd = -1;
}

void ws_wake_signal(const struct ws_wake *w) {
    const uint64_t one = 1; /* an eventfd takes just this, a pipe takes anything */
    int saved = errno;
    ssize_t put;
    do put = write(w->write_fd, &one, sizeof one);
    while (put < 0 && errno == EINTR);
    /* EAGAIN: it is full, so the other side has been woken already. */
    errno = saved;
}

bool ws_wake_drain(int fd) {
    char sink[512];
    bool any = false;
    ssize_t got;
    do {
        got = ws_sock_read(fd, sink, sizeof sink);
        if (got > 0) any = true;
        /* Less than asked for: that was all, and what comes later wakes again. */
    } while (got == (ssize_t)sizeof sink);
    return any;
}
