/* sock.h: the system calls on sockets: TCP over IPv4 and IPv6, Unix sockets. Every socket made here
 * is non-blocking and close-on-exec. Holds no state. */
#ifndef WS_SOCK_H
#define WS_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* A peer's or a listener's address, compact (a connection keeps one). */
struct ws_address {
    uint8_t family; /* AF_INET, AF_INET6, AF_UNIX; 0 unknown */
    uint16_t port;
    uint8_t ip[16]; /* 4 bytes for AF_INET */
    uint32_t scope; /* IPv6 scope id (interface number), 0 none */
};

#define WS_ADDRESS_PACKED_MAX 22
/* The bytes of an address that its family needs, without the family. Returns their number. */
size_t ws_address_pack(uint8_t out[WS_ADDRESS_PACKED_MAX], const struct ws_address *a);
void ws_address_unpack(struct ws_address *a, uint8_t family, const uint8_t *packed);
#define WS_ADDRESS_TEXT_MAX 64
/* The IP address in text (no port, no brackets; "%N" behind a scoped one), "" for Unix and unknown.
 * Returns its length. */
size_t ws_address_text(char out[WS_ADDRESS_TEXT_MAX], const struct ws_address *a);
#define WS_ADDRESS_FORMAT_MAX (WS_ADDRESS_TEXT_MAX + 10)
/* The address with its port for people: "127.0.0.1:80", "[::1]:80", "unix". Returns its length. */
size_t ws_address_format(char out[WS_ADDRESS_FORMAT_MAX], const struct ws_address *a);
/* True for 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104. */
bool ws_address_is_loopback(const struct ws_address *a);

/* Resolves host ("" or NULL: every address, IPv6 and IPv4) and binds one socket for each address to
 * port (0: the kernel picks one for the first address, the others get the same; if another is taken
 * there, all are given up and another port is tried a few times). SO_REUSEADDR, IPV6_V6ONLY.
 * Addresses whose family the system lacks are passed over if another one works. Fills fds and
 * addresses (with the real port) and returns their number, at most max; WS_ERR_RESOLVE (*gai: the
 * getaddrinfo code), WS_ERR_SYSTEM with errno and failed (if not NULL) telling which address. Does
 * not listen. */
int ws_sock_bind_tcp(const char *host, uint16_t port, int *fds, struct ws_address *addresses,
                     int max, int *gai, struct ws_address *failed);
/* Binds a Unix socket. A socket file that nobody listens on is replaced; one that somebody listens
 * on is EADDRINUSE, and any other kind of file is EEXIST. Returns the descriptor or WS_ERR_SYSTEM;
 * a path that does not fit is ENAMETOOLONG. *dev and *ino tell the file made. */
int ws_sock_bind_unix(const char *path, uint64_t *dev, uint64_t *ino);
/* Removes the socket file if it still is the one of bind. */
void ws_sock_unlink(const char *path, uint64_t dev, uint64_t ino);
int ws_sock_listen(int fd, int backlog); /* 0 or WS_ERR_SYSTEM */
/* TCP connections that a listener takes from here on end when the peer has acknowledged nothing of
 * what was sent for so long; 0: as the system has it. Does nothing where there is no such option.
 */
void ws_sock_set_user_timeout(int fd, uint32_t ms);

/* The next connection: its descriptor (TCP_NODELAY set on TCP), or WS_ERR_SYSTEM with errno
 * (EAGAIN: none waits). */
int ws_sock_accept(int listener, struct ws_address *peer);
/* Bytes read (0: end of file), or WS_ERR_SYSTEM with errno. Tries again at EINTR, as below. */
ssize_t ws_sock_read(int fd, void *data, size_t len);
ssize_t ws_sock_readv(int fd, const struct iovec *iov, int n);
/* Bytes the kernel took, or WS_ERR_SYSTEM with errno. Never raises SIGPIPE. */
ssize_t ws_sock_writev(int fd, const struct iovec *iov, int n);
void ws_sock_shutdown(int fd); /* the sending side */
void ws_sock_close(int fd);    /* -1 is left alone; errno is kept */

/* A wake-up descriptor for other threads: an eventfd, or a pipe where there is none. */
struct ws_wake {
    int read_fd;
    int write_fd; /* equals read_fd for an eventfd */
};
int ws_wake_init(struct ws_wake *w); /* 0 or WS_ERR_SYSTEM */
void ws_wake_fini(struct ws_wake *w);
void ws_wake_signal(const struct ws_wake *w); /* any thread, also a signal handler; errno is kept */
/* Empties a descriptor that others signal (also a signal socketpair's read end). True if anything
 * was there. */
bool ws_wake_drain(int fd);

/* A descriptor that is readable from a time on, of the clock CLOCK_MONOTONIC; WS_ERR_SYSTEM where
 * there is none (errno ENOSYS). ws_wake_drain empties it. */
int ws_sock_timer(void);
int ws_sock_set_timer(int fd, uint64_t due_ms); /* 0 or WS_ERR_SYSTEM */

/* A descriptor kept back so that an accept is possible at EMFILE. -1 if there is none to be had. */
int ws_sock_spare(void);

#endif
