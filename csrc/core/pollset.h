/* pollset.h: descriptors and what is asked of each, over a poller of any strategy, with one meaning
 * for all of them, that of poll(2): what wspy.Poller is made of. The loop does not use it.
 *
 * One thread waits, any others change the set meanwhile, and close it. What the strategies cannot
 * do stays different:
 *   select  is not woken by an error or a hang-up of a descriptor of which nothing is asked, nor by
 *           a hang-up if IN is not; and takes descriptors below FD_SETSIZE only.
 *   epoll   does not report NVAL for a socket or a pipe that was closed while it was in the set:
 *           the kernel forgets it, unless another descriptor, also of another process, has the
           file: then it goes on reporting that one. */
#ifndef WS_POLLSET_H
#define WS_POLLSET_H

#include "poller.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ws_pollset;

struct ws_pollset_ready {
    int fd;
    uint32_t events; /* enum ws_poll, or-ed */
};

#define WS_POLLSET_FOREVER UINT64_MAX

/* 0, or an error of ws_poller_init (*out is NULL then). */
int ws_pollset_new(struct ws_pollset **out, enum ws_strategy strategy);
/* Not while anybody is in one of its functions. */
void ws_pollset_free(struct ws_pollset *s);

/* Each of the next three: 0 or an error; WS_ERR_CLOSED after close. Any thread; a wait that is
 * under way takes it into account at once.
 *
 * WS_ERR_ARGUMENT: fd is negative, or in the set; WS_ERR_SYSTEM: EBADF, it is not open, or what
 * epoll_ctl says; WS_ERR_LIMIT: select cannot take it; WS_ERR_MEMORY. A file that epoll refuses,
 * since it is always ready (EPERM), is taken and reported as poll does. */
int ws_pollset_add(struct ws_pollset *s, int fd, uint32_t events);
/* WS_ERR_ARGUMENT: it is not in the set; else as add. */
int ws_pollset_mod(struct ws_pollset *s, int fd, uint32_t events);
/* WS_ERR_ARGUMENT: it is not in the set. It may have been closed. */
int ws_pollset_del(struct ws_pollset *s, int fd);

/* Waiting is for one thread at a time: claim says whether it is this one, until release. */
bool ws_pollset_claim(struct ws_pollset *s);
void ws_pollset_release(struct ws_pollset *s);
/* The time in so many nanoseconds, for wait; too far is for ever. */
uint64_t ws_pollset_until(uint64_t timeout_ns);
/* Waits until then, to the millisecond and not less. 0: *n are ready, none if the time is up, at
 * *ready, valid until the next wait. 1: a signal came or the set was changed: to be called again.
 * Or WS_ERR_CLOSED, WS_ERR_MEMORY, WS_ERR_SYSTEM. Claimed. */
int ws_pollset_wait(struct ws_pollset *s, uint64_t until_ns, const struct ws_pollset_ready **ready,
                    size_t *n);

/* Ends a wait under way with WS_ERR_CLOSED; afterwards the set's own descriptors are closed. Again:
 * nothing. Any thread. */
void ws_pollset_close(struct ws_pollset *s);
bool ws_pollset_is_closed(const struct ws_pollset *s);
/* Whether it was made by the process that forked this one: then only close and free may be called,
 * since a thread that is not here may have been in the middle of it, and an epoll is shared. */
bool ws_pollset_is_inherited(const struct ws_pollset *s);
/* "epoll", ... */
const char *ws_pollset_strategy(const struct ws_pollset *s);
/* The epoll descriptor, which is readable when something is ready; -1 with the others and after
 * close. */
int ws_pollset_fd(const struct ws_pollset *s);

#endif
