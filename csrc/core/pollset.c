/* pollset.c: a set of descriptors over a poller. See pollset.h.
 *
 * The lock is for all of it, but for a wait in the kernel. epoll may be changed meanwhile; with the
 * others whoever changes the set wakes the one who waits and goes first. */
#include "pollset.h"

#include "err.h"
#include "sock.h"
#include "tick.h" /* the clock */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 512
#define FIRST_CAP 64
#define WAKE UINT64_MAX /* the poller's data for the wake-up descriptor */

enum membership {
    OUTSIDE,
    WATCHED, /* the poller has it */
    LOOSE,   /* the poller cannot have it now: it is always ready, or closed. Looked at singly */
};

struct entry {
    uint8_t membership;
    uint8_t events; /* asked for */
    uint32_t round; /* of the wait that reported it last */
};

struct ws_pollset {
    const char *strategy; /* static; looked at without the lock, as fd is */
    _Atomic int fd;       /* the poller's, or -1 */
    pthread_mutex_t lock;
    pthread_cond_t left; /* the kernel, by the one who waits; or the set, by who changes it */
    struct ws_poller poller;
    struct ws_wake wake;
    bool is_select;
    bool is_live;    /* the poller may be changed during its wait */
    bool is_haunted; /* epoll may report what has left, again and again: see poller.h */
    bool is_waiting;
    unsigned n_changers;   /* who wait for that to end */
    struct entry *entries; /* owned; by descriptor */
    size_t n_entries, n_loose;
    uint32_t round;
    struct ws_pollset_ready *ready; /* owned; the waiting thread's */
    size_t n_ready, ready_cap;
    struct ws_poller_ready batch[BATCH];
    pid_t maker;
    _Atomic bool closed;
    atomic_flag claimed;
};

/* ---- life ---- */

int ws_pollset_new(struct ws_pollset **out, enum ws_strategy strategy) {
    struct ws_pollset *s = *out = calloc(1, sizeof *s);
    if (!s) return WS_ERR_MEMORY;
    int err = ws_poller_init(&s->poller, strategy);
    if (err == 0) {
        err = ws_wake_init(&s->wake);
        if (err == 0) err = s->poller.ops->add(&s->poller, s->wake.read_fd, WS_POLL_IN, WAKE);
        int saved = errno;
        if (err < 0) {
            ws_wake_fini(&s->wake);
            ws_poller_fini(&s->poller);
        }
        errno = saved;
    }
    if (err < 0) {
        free(s);
        *out = NULL;
        return err;
    }
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->left, NULL);
    atomic_flag_clear(&s->claimed);
    s->is_select = s->poller.ops == &ws_poll_select_ops;
    s->is_live = s->poller.fd >= 0;
    s->strategy = s->poller.ops->name;
    atomic_init(&s->fd, s->poller.fd);
    s->maker = getpid();
    return 0;
}

static void close_own(struct ws_pollset *s) {
    atomic_store(&s->fd, -1);
    ws_poller_fini(&s->poller);
    ws_wake_fini(&s->wake);
}

void ws_pollset_free(struct ws_pollset *s) {
    if (!s) return;
    ws_pollset_close(s);
    if (!ws_pollset_is_inherited(s)) {
        pthread_cond_destroy(&s->left);
        pthread_mutex_destroy(&s->lock);
    }
    free(s->entries);
    free(s->ready);
    free(s);
}

void ws_pollset_close(struct ws_pollset *s) {
    if (ws_pollset_is_inherited(s)) { /* whoever may have had the lock is not here */
        if (!atomic_exchange(&s->closed, true)) close_own(s);
        return;
    }
    pthread_mutex_lock(&s->lock);
    if (!atomic_exchange(&s->closed, true)) {
        while (s->is_waiting) {
            ws_wake_signal(&s->wake);
            pthread_cond_wait(&s->left, &s->lock);
        }
        close_own(s);
    }
    pthread_mutex_unlock(&s->lock);
}

bool ws_pollset_is_closed(const struct ws_pollset *s) {
    return atomic_load(&s->closed);
}

bool ws_pollset_is_inherited(const struct ws_pollset *s) {
    return s->maker != getpid();
}

const char *ws_pollset_strategy(const struct ws_pollset *s) {
    return s->strategy;
}

int ws_pollset_fd(const struct ws_pollset *s) {
    return ws_pollset_is_closed(s) ? -1 : atomic_load(&s->fd);
}

/* ---- changes ---- */

static void leave(struct ws_pollset *s) {
    if (--s->n_changers == 0) pthread_cond_broadcast(&s->left);
    pthread_mutex_unlock(&s->lock);
}

/* Takes the lock at a time when the poller may be changed. 0 or WS_ERR_CLOSED (not taken). */
static int enter(struct ws_pollset *s) {
    pthread_mutex_lock(&s->lock);
    s->n_changers++;
    while (s->is_waiting && !s->is_live && !s->closed) {
        ws_wake_signal(&s->wake);
        pthread_cond_wait(&s->left, &s->lock);
    }
    if (!s->closed) return 0;
    leave(s);
    return WS_ERR_CLOSED;
}

static struct entry *find(const struct ws_pollset *s, int fd) {
    if (fd < 0 || (size_t)fd >= s->n_entries || s->entries[fd].membership == OUTSIDE) return NULL;
    return &s->entries[fd];
}

static int reserve(struct ws_pollset *s, size_t fd) {
    if (fd < s->n_entries) return 0;
    size_t n = s->n_entries ? s->n_entries : FIRST_CAP;
    while (n <= fd) n *= 2; /* an int is far below SIZE_MAX / 2 / sizeof */
    struct entry *entries = realloc(s->entries, n * sizeof *entries);
    if (!entries) return WS_ERR_MEMORY;
    for (size_t i = s->n_entries; i < n; i++) entries[i] = (struct entry){0};
    s->entries = entries;
    s->n_entries = n;
    return 0;
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static void set_membership(struct ws_pollset *s, struct entry *e, enum membership membership) {
    if (e->membership == LOOSE) s->n_loose--;
    if (membership == LOOSE) s->n_loose++;
    e->membership = (uint8_t)membership;
}

/* Gives the poller a descriptor with what is asked of it; one that it has is changed. 0 or an
 * error. */
static int watch(struct ws_pollset *s, int fd, uint32_t events) {
    struct entry *e = &s->entries[fd];
    int err = s->poller.ops->add(&s->poller, fd, events, (uint64_t)fd);
    bool is_loose = err == WS_ERR_SYSTEM && errno == EPERM;
    if (err < 0 && !is_loose) return err;
    e->events = (uint8_t)events;
    set_membership(s, e, is_loose ? LOOSE : WATCHED);
    if (is_loose && s->is_waiting) ws_wake_signal(&s->wake); /* nobody else tells of it */
    return 0;
}

int ws_pollset_add(struct ws_pollset *s, int fd, uint32_t events) {
    if (fd < 0) return WS_ERR_ARGUMENT;
    if (!is_open(fd)) return WS_ERR_SYSTEM;
    int err = enter(s);
    if (err < 0) return err;
    if (find(s, fd)) err = WS_ERR_ARGUMENT;
    else err = reserve(s, (size_t)fd);
    if (err == 0) err = watch(s, fd, events & WS_POLL_WANTED);
    int saved = errno;
    leave(s);
    errno = saved;
    return err;
}

int ws_pollset_mod(struct ws_pollset *s, int fd, uint32_t events) {
    int err = enter(s);
    if (err < 0) return err;
    if (!find(s, fd)) err = WS_ERR_ARGUMENT;
    else if (!is_open(fd)) err = WS_ERR_SYSTEM;
    else err = watch(s, fd, events & WS_POLL_WANTED); /* epoll may have forgotten it */
    int saved = errno;
    leave(s);
    errno = saved;
    return err;
}

int ws_pollset_del(struct ws_pollset *s, int fd) {
    int err = enter(s);
    if (err < 0) return err;
    struct entry *e = find(s, fd);
    if (e) {
        bool was_watched = e->membership == WATCHED;
        if (!s->poller.ops->del(&s->poller, fd) && was_watched) s->is_haunted = true;
        set_membership(s, e, OUTSIDE);
        *e = (struct entry){0};
    }
    leave(s);
    return e ? 0 : WS_ERR_ARGUMENT;
}

/* ---- waiting ---- */

bool ws_pollset_claim(struct ws_pollset *s) {
    return !atomic_flag_test_and_set(&s->claimed);
}

void ws_pollset_release(struct ws_pollset *s) {
    atomic_flag_clear(&s->claimed);
}

uint64_t ws_pollset_until(uint64_t timeout_ns) {
    uint64_t now_ns = ws_tick_read_ns();
    return timeout_ns < WS_POLLSET_FOREVER - now_ns ? now_ns + timeout_ns : WS_POLLSET_FOREVER;
}

/* Milliseconds until then, rounded up: who waits again at once would spin through the last one. */
static int left_ms(uint64_t until_ns) {
    if (until_ns == WS_POLLSET_FOREVER) return -1;
    uint64_t now_ns = ws_tick_read_ns();
    if (until_ns <= now_ns) return 0;
    uint64_t ms = (until_ns - now_ns - 1) / 1000000 + 1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

/* One more is ready. 0 or WS_ERR_MEMORY. */
static int push(struct ws_pollset *s, int fd, uint32_t events) {
    if (s->n_ready == s->ready_cap) {
        size_t cap = s->ready_cap ? s->ready_cap * 2 : FIRST_CAP;
        struct ws_pollset_ready *ready = realloc(s->ready, cap * sizeof *ready);
        if (!ready) return WS_ERR_MEMORY;
        s->ready = ready;
        s->ready_cap = cap;
    }
    s->ready[s->n_ready++] = (struct ws_pollset_ready){fd, events};
    s->entries[fd].round = s->round;
    return 0;
}

/* Those that the poller cannot have: looked at one by one. One whose number is another file's by
 * now may be watched. */
static int look_at_loose(struct ws_pollset *s) {
    int err = 0;
    for (size_t i = 0; s->n_loose && err == 0 && i < s->n_entries; i++) {
        struct entry *e = &s->entries[i];
        if (e->membership != LOOSE) continue;
        if (is_open((int)i) && watch(s, (int)i, e->events) == 0 && e->membership == WATCHED)
            continue;
        uint32_t events = ws_poller_look((int)i, e->events);
        if (events) err = push(s, (int)i, events);
    }
    return err;
}

/* What the poller told of a descriptor. 0, 1 if this wait has reported it already, or
 * WS_ERR_MEMORY. */
static int take(struct ws_pollset *s, const struct ws_poller_ready *r) {
    int fd = (int)r->data;
    struct entry *e = find(s, fd);
    if (!e || e->membership != WATCHED) return 0; /* it left meanwhile */
    if (e->round == s->round) return 1;
    if (s->is_select && r->events & WS_POLL_NVAL) set_membership(s, e, LOOSE); /* it asks no more */
    uint32_t events = s->is_select ? ws_poller_look(fd, e->events) : r->events;
    events &= e->events | WS_POLL_BROKEN; /* it may have been changed meanwhile */
    return events ? push(s, fd, events) : 0;
}

/* An epoll made anew under the old one's descriptor. Without memory or descriptors the old one
 * stays: the next event of a ghost tries again. */
static void renew(struct ws_pollset *s) {
    struct ws_poller fresh;
    if (ws_poller_init(&fresh, WS_STRATEGY_EPOLL) < 0) return;
    int err = fresh.ops->add(&fresh, s->wake.read_fd, WS_POLL_IN, WAKE);
    for (size_t i = 0; err == 0 && i < s->n_entries; i++) {
        const struct entry *e = &s->entries[i];
        if (e->membership != WATCHED) continue;
        err = fresh.ops->add(&fresh, (int)i, e->events, i);
        if (err == WS_ERR_SYSTEM && errno == EBADF) err = 0; /* closed, which epoll does not tell */
    }
    if (err == 0 && dup3(fresh.fd, s->poller.fd, O_CLOEXEC) >= 0) s->is_haunted = false;
    ws_poller_fini(&fresh);
}

/* One wait in the kernel. 0, 1 if there may be more to be told at once, or an error. */
static int wait_once(struct ws_pollset *s, int timeout_ms) {
    while (s->n_changers) pthread_cond_wait(&s->left, &s->lock);
    if (s->closed) return WS_ERR_CLOSED;
    s->is_waiting = true;
    pthread_mutex_unlock(&s->lock);
    int n = s->poller.ops->wait(&s->poller, s->batch, BATCH, timeout_ms), saved = errno;
    pthread_mutex_lock(&s->lock);
    s->is_waiting = false;
    pthread_cond_broadcast(&s->left);
    errno = saved;
    if (s->closed) return WS_ERR_CLOSED;
    bool more = n == BATCH, is_ghost = false;
    for (int i = 0; i < n; i++) {
        if (s->batch[i].data == WAKE) {
            ws_wake_drain(s->wake.read_fd);
            continue;
        }
        if (s->is_haunted && !find(s, (int)s->batch[i].data)) is_ghost = true;
        int err = take(s, &s->batch[i]);
        if (err < 0) return err;
        if (err == 1) more = false; /* all the way round */
        /* select tells of those that are closed alone. */
        else if (s->batch[i].events & WS_POLL_NVAL && s->is_select) more = true;
    }
    if (is_ghost) renew(s);
    return n < 0 ? n : more;
}

int ws_pollset_wait(struct ws_pollset *s, uint64_t until_ns, const struct ws_pollset_ready **ready,
                    size_t *n) {
    *n = s->n_ready = 0;
    pthread_mutex_lock(&s->lock);
    s->round++;
    int err = s->closed ? WS_ERR_CLOSED : look_at_loose(s);
    int timeout_ms = s->n_ready ? 0 : left_ms(until_ns);
    bool is_last = timeout_ms == 0;
    while (err == 0) {
        err = wait_once(s, timeout_ms);
        if (err != 1) break;
        timeout_ms = err = 0;
    }
    pthread_mutex_unlock(&s->lock);
    if (err < 0) return err;
    *ready = s->ready;
    *n = s->n_ready;
    return !s->n_ready && !is_last;
}
