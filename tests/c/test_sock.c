/* test_sock.c: sockets on the loopback and in a directory of their own. */
#include "check.h"
#include "err.h"
#include "sock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define MAX 8

static int bind_tcp(const char *host, uint16_t port, int *fds, struct ws_address *addresses) {
    int gai = 0;
    return ws_sock_bind_tcp(host, port, fds, addresses, MAX, &gai, NULL);
}

static void close_all(const int *fds, int n) {
    for (int i = 0; i < n; i++) ws_sock_close(fds[i]);
}

static int has_ipv6(void) {
    int fds[MAX];
    struct ws_address addresses[MAX];
    int n = bind_tcp("::1", 0, fds, addresses);
    if (n > 0) close_all(fds, n);
    else fprintf(stderr, "note: no IPv6 on this machine\n");
    return n > 0;
}

static int option(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

static void check_flags(int fd) {
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void wait_for(int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    CHECK_EQ(poll(&p, 1, 5000), 1);
}

/* A blocking client's socket, connected. */
static int connect_to(const struct ws_address *a) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
    memcpy(&in.sin_addr, a->ip, 4);
    memcpy(&in6.sin6_addr, a->ip, 16);
    int v6 = a->family == AF_INET6;
    int fd = socket(a->family, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd, v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in,
                     v6 ? sizeof in6 : sizeof in),
             0);
    return fd;
}

static int connect_unix(const char *path) {
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&un, sizeof un) == 0) return fd;
    close(fd);
    return -1;
}

static uint16_t local_port(int fd) {
    struct sockaddr_storage storage;
    socklen_t len = sizeof storage;
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&storage, &len), 0);
    return ntohs(storage.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&storage)->sin6_port
                                               : ((struct sockaddr_in *)&storage)->sin_port);
}

/* ---- addresses ---- */

static void check_text(const struct ws_address *a, const char *expected) {
    char out[WS_ADDRESS_TEXT_MAX];
    CHECK_EQ(ws_address_text(out, a), strlen(expected));
    if (strcmp(out, expected) != 0) {
        fprintf(stderr, "%s is not %s\n", out, expected);
        check_failures++;
    }
}

static void test_address_text(void) {
    struct ws_address mapped = {.family = AF_INET6, .ip = {[10] = 255, [11] = 255, 10, 0, 0, 1}};
    struct ws_address longest = {.family = AF_INET6, .scope = UINT32_MAX};
    memset(longest.ip, 0xab, 16);
    check_text(&(struct ws_address){.family = AF_INET, .ip = {192, 0, 2, 255}}, "192.0.2.255");
    check_text(&(struct ws_address){.family = AF_INET6, .ip = {[15] = 1}}, "::1");
    check_text(&(struct ws_address){.family = AF_INET6, .ip = {0xfe, 0x80, [15] = 9}, .scope = 3},
               "fe80::9%3");
    check_text(&mapped, "::ffff:10.0.0.1");
    check_text(&longest, "abab:abab:abab:abab:abab:abab:abab:abab%4294967295");
    check_text(&(struct ws_address){.family = AF_UNIX}, "");
    check_text(&(struct ws_address){0}, "");
}

static void test_address_is_loopback(void) {
    const struct ws_address yes[] = {
        {.family = AF_INET, .ip = {127, 0, 0, 1}},
        {.family = AF_INET, .ip = {127, 255, 255, 255}},
        {.family = AF_INET6, .ip = {[15] = 1}},
        {.family = AF_INET6, .ip = {[10] = 255, [11] = 255, 127, 9, 9, 9}},
    };
    const struct ws_address no[] = {
        {.family = AF_INET, .ip = {128, 0, 0, 1}},
        {.family = AF_INET, .ip = {0}},
        {.family = AF_INET6, .ip = {0}},
        {.family = AF_INET6, .ip = {[15] = 2}},
        {.family = AF_INET6, .ip = {1, [15] = 1}},
        {.family = AF_INET6, .ip = {127, 0, 0, 1}},
        {.family = AF_INET6, .ip = {[10] = 255, [11] = 255, 128, 0, 0, 1}},
        {.family = AF_INET6, .ip = {[12] = 127, 0, 0, 1}},
        {.family = AF_UNIX},
        {0},
    };
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) CHECK(ws_address_is_loopback(&yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) CHECK(!ws_address_is_loopback(&no[i]));
}

/* ---- TCP ---- */

/* Bind, accept, read, write, end of file, on one address. */
static void check_tcp(const char *host, int family) {
    int fds[MAX];
    struct ws_address addresses[MAX], peer;
    char text[WS_ADDRESS_TEXT_MAX], data[8];
    CHECK_EQ(bind_tcp(host, 0, fds, addresses), 1);
    check_flags(fds[0]);
    CHECK_EQ(addresses[0].family, family);
    CHECK(addresses[0].port != 0);
    CHECK_EQ(addresses[0].port, local_port(fds[0]));
    CHECK(ws_address_is_loopback(&addresses[0]));
    if (family == AF_INET6) CHECK_EQ(option(fds[0], IPPROTO_IPV6, IPV6_V6ONLY), 1);
    CHECK_EQ(ws_sock_listen(fds[0], 16), 0);
    CHECK_EQ(ws_sock_accept(fds[0], &peer), WS_ERR_SYSTEM);
    CHECK(errno == EAGAIN || errno == EWOULDBLOCK);

    int client = connect_to(&addresses[0]);
    wait_for(fds[0], POLLIN);
    int fd = ws_sock_accept(fds[0], &peer);
    CHECK(fd >= 0);
    check_flags(fd);
    CHECK(option(fd, IPPROTO_TCP, TCP_NODELAY) > 0);
    CHECK_EQ(peer.family, family);
    CHECK_EQ(peer.port, local_port(client));
    CHECK_EQ(ws_address_text(text, &peer), strlen(host));
    CHECK(strcmp(text, host) == 0);
    CHECK_EQ(ws_sock_accept(fds[0], &peer), WS_ERR_SYSTEM);
    CHECK(errno == EAGAIN || errno == EWOULDBLOCK);

    CHECK_EQ(ws_sock_read(fd, data, sizeof data), WS_ERR_SYSTEM);
    CHECK(errno == EAGAIN || errno == EWOULDBLOCK);
    CHECK_EQ(write(client, "hello", 5), 5);
    wait_for(fd, POLLIN);
    CHECK_EQ(ws_sock_read(fd, data, sizeof data), 5);
    CHECK(memcmp(data, "hello", 5) == 0);
    ws_sock_shutdown(fd);
    CHECK_EQ(read(client, data, sizeof data), 0);
    close(client);
    wait_for(fd, POLLIN);
    CHECK_EQ(ws_sock_read(fd, data, sizeof data), 0);
    ws_sock_close(fd);
    close_all(fds, 1);
}

static void test_tcp_ipv4(void) {
    check_tcp("127.0.0.1", AF_INET);
}

static void test_tcp_ipv6(void) {
    if (has_ipv6()) check_tcp("::1", AF_INET6);
}

static void test_tcp_name_has_one_port(void) {
    int fds[MAX];
    struct ws_address addresses[MAX];
    int n = bind_tcp("localhost", 0, fds, addresses);
    CHECK(n >= 1);
    if (n == 1) fprintf(stderr, "note: localhost is a single address here\n");
    for (int i = 0; i < n; i++) {
        CHECK(ws_address_is_loopback(&addresses[i]));
        CHECK_EQ(addresses[i].port, addresses[0].port);
        CHECK_EQ(local_port(fds[i]), addresses[0].port);
        CHECK_EQ(ws_sock_listen(fds[i], 1), 0);
        for (int k = 0; k < i; k++) {
            CHECK(addresses[i].family != addresses[k].family ||
                  memcmp(addresses[i].ip, addresses[k].ip, 16) != 0);
        }
    }
    close_all(fds, n);
}

static void test_tcp_max(void) {
    int fds[1], gai = 0;
    struct ws_address address;
    CHECK_EQ(ws_sock_bind_tcp("localhost", 0, fds, &address, 1, &gai, NULL), 1);
    close_all(fds, 1);
    CHECK_EQ(ws_sock_bind_tcp("localhost", 0, fds, &address, 0, &gai, NULL), WS_ERR_ARGUMENT);
}

static void test_tcp_port_taken(void) {
    int fds[MAX], more[MAX], gai = 0;
    struct ws_address addresses[MAX], others[MAX], failed = {0};
    CHECK_EQ(bind_tcp("127.0.0.1", 0, fds, addresses), 1);
    CHECK_EQ(ws_sock_listen(fds[0], 1), 0);
    uint16_t port = addresses[0].port;
    CHECK_EQ(ws_sock_bind_tcp("127.0.0.1", port, more, others, MAX, &gai, &failed), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EADDRINUSE);
    check_text(&failed, "127.0.0.1");
    CHECK_EQ(failed.port, port);
    CHECK_EQ(bind_tcp("127.0.0.1", port, more, others), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EADDRINUSE);
    /* All or none: a name with a free address does not listen on that one alone. */
    memset(&failed, 0, sizeof failed);
    CHECK_EQ(ws_sock_bind_tcp("localhost", port, more, others, MAX, &gai, &failed), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EADDRINUSE);
    check_text(&failed, "127.0.0.1");
    close_all(fds, 1);
    CHECK_EQ(bind_tcp("127.0.0.1", port, more, others), 1);
    CHECK_EQ(others[0].port, port);
    close_all(more, 1);
}

/* A server that starts again at once is not kept out by the connections of its last life. */
static void test_tcp_port_reused_at_once(void) {
    int fds[MAX];
    struct ws_address addresses[MAX], peer;
    CHECK_EQ(bind_tcp("127.0.0.1", 0, fds, addresses), 1);
    CHECK_EQ(ws_sock_listen(fds[0], 1), 0);
    int client = connect_to(&addresses[0]);
    wait_for(fds[0], POLLIN);
    int fd = ws_sock_accept(fds[0], &peer);
    ws_sock_close(fd); /* first to close: TIME_WAIT is on this side */
    close_all(fds, 1);
    close(client);
    CHECK_EQ(bind_tcp("127.0.0.1", addresses[0].port, fds, addresses), 1);
    CHECK_EQ(ws_sock_listen(fds[0], 1), 0);
    close_all(fds, 1);
}

/* IPv6 does not take IPv4's port. */
static void test_tcp_families_apart(void) {
    int four[MAX], six[MAX];
    struct ws_address a[MAX], b[MAX];
    if (!has_ipv6()) return;
    CHECK_EQ(bind_tcp("127.0.0.1", 0, four, a), 1);
    CHECK_EQ(ws_sock_listen(four[0], 1), 0);
    CHECK_EQ(bind_tcp("::1", a[0].port, six, b), 1);
    CHECK_EQ(ws_sock_listen(six[0], 1), 0);
    close_all(four, 1);
    close_all(six, 1);
}

static void test_tcp_wrong_host(void) {
    int fds[MAX], gai = 0;
    struct ws_address addresses[MAX];
    char host[301] = {0};
    memset(host, 'a', 300); /* too long for any query, so no name server is asked */
    CHECK_EQ(ws_sock_bind_tcp(host, 0, fds, addresses, MAX, &gai, NULL), WS_ERR_RESOLVE);
    CHECK(gai != 0);
    CHECK_EQ(ws_sock_bind_tcp("127.0.0.1", 0, fds, addresses, MAX, &gai, NULL), 1);
    CHECK_EQ(gai, 0);
    close_all(fds, 1);
}

/* ---- Unix ---- */

static char directory[64];

static void in_directory(char out[100], const char *name) {
    snprintf(out, 100, "%s/%s", directory, name);
}

static int exists(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static void test_unix(void) {
    char path[100], data[4];
    uint64_t dev = 0, ino = 0;
    struct ws_address peer = {.family = AF_INET, .port = 9};
    struct stat st;
    in_directory(path, "plain");
    int fd = ws_sock_bind_unix(path, &dev, &ino);
    CHECK(fd >= 0);
    check_flags(fd);
    CHECK_EQ(lstat(path, &st), 0);
    CHECK_EQ(dev, st.st_dev);
    CHECK_EQ(ino, st.st_ino);
    CHECK_EQ(ws_sock_listen(fd, 4), 0);
    int client = connect_unix(path);
    CHECK(client >= 0);
    int server = ws_sock_accept(fd, &peer);
    CHECK(server >= 0);
    check_flags(server);
    CHECK_EQ(peer.family, AF_UNIX);
    CHECK_EQ(peer.port, 0);
    check_text(&peer, "");
    CHECK_EQ(write(client, "abc", 3), 3);
    CHECK_EQ(ws_sock_read(server, data, sizeof data), 3);
    close(client);
    ws_sock_close(server);
    ws_sock_close(fd);
    CHECK(exists(path));
    ws_sock_unlink(path, dev, ino);
    CHECK(!exists(path));
    ws_sock_unlink(path, dev, ino);
}

static void test_unix_stale_replaced(void) {
    char path[100];
    uint64_t dev, ino, dev2, ino2;
    in_directory(path, "stale");
    int fd = ws_sock_bind_unix(path, &dev, &ino);
    CHECK_EQ(ws_sock_listen(fd, 1), 0);
    ws_sock_close(fd);
    CHECK(exists(path));
    fd = ws_sock_bind_unix(path, &dev2, &ino2);
    CHECK(fd >= 0);
    CHECK_EQ(ws_sock_listen(fd, 1), 0);
    int client = connect_unix(path);
    CHECK(client >= 0);
    close(client);
    ws_sock_close(fd);
    ws_sock_unlink(path, dev2, ino2);
    CHECK(!exists(path));
}

static void test_unix_live_is_kept(void) {
    char path[100];
    uint64_t dev, ino, other;
    int clients[4];
    in_directory(path, "live");
    int fd = ws_sock_bind_unix(path, &dev, &ino);
    CHECK_EQ(ws_sock_listen(fd, 0), 0);
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EADDRINUSE);
    /* Also when its queue is full: busy is not dead. */
    for (int i = 0; i < 4; i++) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
        clients[i] = socket(AF_UNIX, SOCK_STREAM, 0);
        fcntl(clients[i], F_SETFL, O_NONBLOCK);
        (void)!connect(clients[i], (struct sockaddr *)&un, sizeof un);
    }
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EADDRINUSE);
    struct stat st;
    CHECK_EQ(lstat(path, &st), 0);
    CHECK_EQ(st.st_ino, ino);
    close_all(clients, 4);
    ws_sock_close(fd);
    ws_sock_unlink(path, dev, ino);
}

static void test_unix_datagram_socket_is_kept(void) {
    char path[100];
    uint64_t other;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    in_directory(path, "datagram");
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EADDRINUSE);
    CHECK(exists(path));
    close(fd);
    unlink(path);
}

static void test_unix_other_files_are_kept(void) {
    char path[100], target[100];
    uint64_t other;
    in_directory(path, "file");
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EEXIST);
    CHECK(exists(path));
    unlink(path);

    CHECK_EQ(mkdir(path, 0700), 0);
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EEXIST);
    rmdir(path);

    in_directory(target, "nowhere");
    CHECK_EQ(symlink(target, path), 0);
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EEXIST);
    CHECK(exists(path));
    CHECK(!exists(target));
    unlink(path);
}

static void test_unix_wrong_paths(void) {
    char path[300];
    uint64_t other;
    struct sockaddr_un un;
    CHECK_EQ(ws_sock_bind_unix("", &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, ENOENT);
    memset(path, 'a', sizeof path);
    path[sizeof un.sun_path] = '\0'; /* one too long for its NUL */
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, ENAMETOOLONG);
    snprintf(path, sizeof path, "%s/none/socket", directory);
    CHECK_EQ(ws_sock_bind_unix(path, &other, &other), WS_ERR_SYSTEM);
    CHECK_EQ(errno, ENOENT);
}

static void test_unix_longest_path(void) {
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    uint64_t dev, ino;
    size_t len = (size_t)snprintf(path, sizeof path, "%s/", directory);
    memset(path + len, 'x', sizeof path - 1 - len);
    path[sizeof path - 1] = '\0';
    int fd = ws_sock_bind_unix(path, &dev, &ino);
    CHECK(fd >= 0);
    ws_sock_close(fd);
    ws_sock_unlink(path, dev, ino);
    CHECK(!exists(path));
}

static void test_unix_unlinks_only_its_own(void) {
    char path[100];
    uint64_t dev, ino, dev2, ino2;
    in_directory(path, "own");
    int fd = ws_sock_bind_unix(path, &dev, &ino);
    ws_sock_unlink(path, dev, ino + 1);
    CHECK(exists(path));
    ws_sock_unlink(path, dev + 1, ino);
    CHECK(exists(path));
    /* Another server's file in its place, while ours still exists under another name (so its inode
     * is not reused). */
    char moved[100];
    in_directory(moved, "moved");
    CHECK_EQ(rename(path, moved), 0);
    int second = ws_sock_bind_unix(path, &dev2, &ino2);
    CHECK(second >= 0);
    CHECK(ino2 != ino);
    errno = 77;
    ws_sock_unlink(path, dev, ino);
    CHECK_EQ(errno, 77);
    CHECK(exists(path));
    ws_sock_unlink(path, dev2, ino2);
    CHECK(!exists(path));
    unlink(moved);
    ws_sock_close(fd);
    ws_sock_close(second);
}

/* ---- reading and writing ---- */

static void stream_pair(int fds[2]) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    fcntl(fds[1], F_SETFL, O_NONBLOCK);
}

static void test_vectors(void) {
    int fds[2];
    char a[3], b[8];
    struct iovec out[3] = {{"he", 2}, {"llo ", 4}, {"you", 3}};
    struct iovec in[2] = {{a, sizeof a}, {b, sizeof b}};
    stream_pair(fds);
    CHECK_EQ(ws_sock_writev(fds[0], out, 0), 0);
    CHECK_EQ(ws_sock_writev(fds[0], out, 3), 9);
    CHECK_EQ(ws_sock_readv(fds[1], in, 2), 9);
    CHECK(memcmp(a, "hel", 3) == 0);
    CHECK(memcmp(b, "lo you", 6) == 0);
    CHECK_EQ(ws_sock_readv(fds[1], in, 2), WS_ERR_SYSTEM);
    CHECK(errno == EAGAIN || errno == EWOULDBLOCK);
    CHECK_EQ(ws_sock_writev(fds[0], out + 2, 1), 3);
    CHECK_EQ(ws_sock_readv(fds[1], in, 1), 3);
    CHECK(memcmp(a, "you", 3) == 0);
    close_all(fds, 2);
}

/* More parts than one call takes: the first IOV_MAX of them are written. */
static void test_more_parts_than_iov_max(void) {
    int fds[2], n = IOV_MAX + 5;
    char data[IOV_MAX + 5];
    struct iovec *iov = calloc((size_t)n, sizeof *iov);
    stream_pair(fds);
    for (int i = 0; i < n; i++) {
        iov[i] = (struct iovec){&data[i], 1};
        data[i] = (char)i;
    }
    CHECK_EQ(ws_sock_writev(fds[0], iov, n), IOV_MAX);
    memset(data, 0, sizeof data);
    CHECK_EQ(ws_sock_readv(fds[1], iov, n), IOV_MAX);
    for (int i = 0; i < IOV_MAX; i++) CHECK_EQ(data[i], (char)i);
    free(iov);
    close_all(fds, 2);
}

static void test_full_and_broken(void) {
    int fds[2];
    static char block[65536];
    struct iovec iov[2] = {{block, sizeof block}, {block, sizeof block}};
    stream_pair(fds);
    ssize_t sent;
    do sent = ws_sock_writev(fds[0], iov, 2);
    while (sent > 0);
    CHECK_EQ(sent, WS_ERR_SYSTEM);
    CHECK(errno == EAGAIN || errno == EWOULDBLOCK);
    ws_sock_close(fds[1]);
    /* SIGPIPE has its default action here: it would end the test. */
    CHECK_EQ(ws_sock_writev(fds[0], iov, 1), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EPIPE);
    CHECK_EQ(ws_sock_writev(fds[0], iov, 2), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EPIPE);
    ws_sock_close(fds[0]);
}

static void test_close_keeps_errno(void) {
    int fds[2];
    stream_pair(fds);
    errno = 77;
    close_all(fds, 2);
    ws_sock_close(fds[0]); /* EBADF inside */
    ws_sock_close(-1);
    CHECK_EQ(errno, 77);
}

/* ---- waking ---- */

static void test_wake(void) {
    struct ws_wake wake;
    CHECK_EQ(ws_wake_init(&wake), 0);
    check_flags(wake.read_fd);
    check_flags(wake.write_fd);
    CHECK(!ws_wake_drain(wake.read_fd));
    errno = 77;
    for (int i = 0; i < 100000; i++) ws_wake_signal(&wake); /* never blocks */
    CHECK_EQ(errno, 77);
    wait_for(wake.read_fd, POLLIN);
    CHECK(ws_wake_drain(wake.read_fd));
    CHECK(!ws_wake_drain(wake.read_fd));
    ws_wake_signal(&wake);
    CHECK(ws_wake_drain(wake.read_fd));
    ws_wake_fini(&wake);
    CHECK_EQ(wake.read_fd, -1);
    ws_wake_fini(&wake);
}

/* What signal handlers write into: single bytes, many of them. */
static void test_drain_of_socketpair(void) {
    int fds[2];
    stream_pair(fds);
    for (int i = 0; i < 100; i++) CHECK_EQ(write(fds[1], "s", 1), 1);
    CHECK(ws_wake_drain(fds[0]));
    CHECK(!ws_wake_drain(fds[0]));
    char block[1024] = {0}; /* the reads end exactly at the last byte */
    CHECK_EQ(write(fds[1], block, sizeof block), (ssize_t)sizeof block);
    CHECK(ws_wake_drain(fds[0]));
    CHECK(!ws_wake_drain(fds[0]));
    ws_sock_close(fds[1]);
    CHECK(!ws_wake_drain(fds[0])); /* end of file is nothing */
    ws_sock_close(fds[0]);
}

static void test_spare(void) {
    int fd = ws_sock_spare();
    CHECK(fd >= 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    ws_sock_close(fd);
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 30) tmp = "/tmp";
    snprintf(directory, sizeof directory, "%s/wspy-sock-XXXXXX", tmp);
    if (!mkdtemp(directory)) {
        perror(directory);
        return 2;
    }
    RUN(test_address_text);
    RUN(test_address_is_loopback);
    RUN(test_tcp_ipv4);
    RUN(test_tcp_ipv6);
    RUN(test_tcp_name_has_one_port);
    RUN(test_tcp_max);
    RUN(test_tcp_port_taken);
    RUN(test_tcp_port_reused_at_once);
    RUN(test_tcp_families_apart);
    RUN(test_tcp_wrong_host);
    RUN(test_unix);
    RUN(test_unix_stale_replaced);
    RUN(test_unix_live_is_kept);
    RUN(test_unix_datagram_socket_is_kept);
    RUN(test_unix_other_files_are_kept);
    RUN(test_unix_wrong_paths);
    RUN(test_unix_longest_path);
    RUN(test_unix_unlinks_only_its_own);
    RUN(test_vectors);
    RUN(test_more_parts_than_iov_max);
    RUN(test_full_and_broken);
    RUN(test_close_keeps_errno);
    RUN(test_wake);
    RUN(test_drain_of_socketpair);
    RUN(test_spare);
    rmdir(directory);
    return check_done();
}
