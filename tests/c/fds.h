/* fds.h: descriptors for the tests of what waits for them: pairs of sockets, and room for many. */
#ifndef FDS_H
#define FDS_H

#include "check.h"

#include <sys/resource.h>
#include <sys/socket.h>

static inline void pair(int fds[2]) {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0) return;
    perror("socketpair");
    exit(2);
}

static inline void close_pair(int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

static inline void put(int fd) {
    CHECK_EQ(write(fd, "x", 1), 1);
}

/* Whether there may be that many descriptors; the limit is raised for it. */
static inline int limit_allows(rlim_t n) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
    if (limit.rlim_cur >= n) return 1;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < n) return 0;
    limit.rlim_cur = n;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

#endif
