/* test_pollset.c: every strategy runs the same table of cases, which say what poll(2) would;
 * threads that change the set and close it while one waits. Runs under the thread sanitizer too. */
#include "check.h"
#include "err.h"
#include "fds.h"
#include "pollset.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#define MANY 1300 /* more than one wait of epoll tells */
#define SECOND 1000000000u

static struct ws_pollset *set;
static const struct ws_pollset_ready *ready;
static size_t n;

static int is(const char *strategy) {
    return strcmp(ws_pollset_strategy(set), strategy) == 0;
}

/* Waits until something is ready or the time is up. 0 or an error. */
static int wait_until(uint64_t until_ns) {
    int result;
    CHECK(ws_pollset_claim(set));
    do result = ws_pollset_wait(set, until_ns, &ready, &n);
    while (result == 1);
    ws_pollset_release(set);
    return result;
}

static void wait_now(void) {
    CHECK_EQ(wait_until(ws_pollset_until(0)), 0);
}

static void wait_long(void) {
    CHECK_EQ(wait_until(WS_POLLSET_FOREVER), 0);
}

/* What the last wait told of it, -1: nothing. */
static int told(int fd) {
    int events = -1;
    for (size_t i = 0; i < n; i++) {
        if (ready[i].fd != fd) continue;
        CHECK_EQ(events, -1); /* once */
        events = (int)ready[i].events;
    }
    return events;
}

static void case_add_mod_del(void) {
    int fds[2];
    pair(fds);
    wait_now();
    CHECK_EQ(n, 0);
    CHECK_EQ(ws_pollset_mod(set, fds[0], WS_POLL_IN), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_pollset_del(set, fds[0]), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_IN), 0);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_OUT), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_pollset_add(set, -1, WS_POLL_IN), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_pollset_mod(set, -1, WS_POLL_IN), WS_ERR_ARGUMENT);
    wait_now();
    CHECK_EQ(n, 0); /* the second add has changed nothing */
    put(fds[1]);
    wait_long();
    CHECK_EQ(n, 1);
    CHECK_EQ(told(fds[0]), WS_POLL_IN);
    CHECK_EQ(ws_pollset_mod(set, fds[0], WS_POLL_OUT), 0);
    wait_long();
    CHECK_EQ(told(fds[0]), WS_POLL_OUT);
    CHECK_EQ(ws_pollset_mod(set, fds[0], 0), 0);
    wait_now();
    CHECK_EQ(n, 0);
    CHECK_EQ(ws_pollset_del(set, fds[0]), 0);
    CHECK_EQ(ws_pollset_del(set, fds[0]), WS_ERR_ARGUMENT);
    wait_now();
    CHECK_EQ(n, 0);
    close_pair(fds);
}

static void case_bad_descriptor(void) {
    int fds[2];
    pair(fds);
    close_pair(fds);
    errno = 0;
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_IN), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(ws_pollset_del(set, fds[0]), WS_ERR_ARGUMENT);
}

/* Exactly what poll(2) says. */
static void case_hang_up_and_error(void) {
    int fds[2], pipes[2];
    pair(fds);
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_IN), 0);
    CHECK_EQ(ws_pollset_add(set, pipes[1], WS_POLL_OUT), 0);
    close(fds[1]);
    close(pipes[0]);
    wait_long();
    CHECK_EQ(n, 2);
    CHECK_EQ(told(fds[0]), WS_POLL_IN | WS_POLL_HUP);
    CHECK_EQ(told(pipes[1]), WS_POLL_OUT | WS_POLL_ERR);
    CHECK_EQ(ws_pollset_del(set, fds[0]), 0);
    CHECK_EQ(ws_pollset_del(set, pipes[1]), 0);
    close(fds[0]);
    close(pipes[1]);
}

static void case_regular_file(void) {
    int file = open("/proc/self/exe", O_RDONLY), fds[2];
    pair(fds);
    CHECK_EQ(ws_pollset_add(set, file, WS_POLL_IN | WS_POLL_OUT), 0);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_IN), 0);
    wait_long();
    CHECK_EQ(n, 1);
    CHECK_EQ(told(file), WS_POLL_IN | WS_POLL_OUT);
    put(fds[1]);
    CHECK_EQ(ws_pollset_mod(set, file, WS_POLL_IN), 0);
    wait_long();
    CHECK_EQ(n, 2);
    CHECK_EQ(told(file), WS_POLL_IN);
    CHECK_EQ(told(fds[0]), WS_POLL_IN);
    CHECK_EQ(ws_pollset_mod(set, file, 0), 0);
    wait_long();
    CHECK_EQ(n, 1);
    /* Its number becomes a socket's, without a word. */
    CHECK_EQ(ws_pollset_mod(set, file, WS_POLL_OUT), 0);
    CHECK_EQ(dup2(fds[1], file), file);
    wait_long();
    CHECK_EQ(n, 2);
    CHECK_EQ(told(file), WS_POLL_OUT);
    CHECK_EQ(ws_pollset_del(set, file), 0);
    CHECK_EQ(ws_pollset_del(set, fds[0]), 0);
    wait_now();
    CHECK_EQ(n, 0);
    close(file);
    close_pair(fds);
}

/* poll and select tell it each time, and of the others too; epoll has forgotten it. */
static void case_closed_while_registered(void) {
    int bad[2], good[2];
    pair(bad);
    pair(good);
    CHECK_EQ(ws_pollset_add(set, bad[0], WS_POLL_IN), 0);
    CHECK_EQ(ws_pollset_add(set, good[0], WS_POLL_OUT), 0);
    close_pair(bad);
    for (int i = 0; i < 3; i++) {
        wait_long();
        CHECK_EQ(n, is("epoll") ? 1 : 2);
        CHECK_EQ(told(good[0]), WS_POLL_OUT);
        CHECK_EQ(told(bad[0]), is("epoll") ? -1 : WS_POLL_NVAL);
    }
    errno = 0;
    CHECK_EQ(ws_pollset_mod(set, bad[0], WS_POLL_OUT), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(ws_pollset_del(set, bad[0]), 0);
    wait_long();
    CHECK_EQ(n, 1);
    CHECK_EQ(ws_pollset_del(set, good[0]), 0);
    close_pair(good);
}

/* The number is what counts: with epoll from mod on, for the kernel has forgotten it. */
static void case_reopened_while_registered(void) {
    int fds[2], second[2];
    pair(fds);
    pair(second);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_IN), 0);
    close(fds[0]);
    if (!is("epoll")) {
        wait_long();
        CHECK_EQ(told(fds[0]), WS_POLL_NVAL);
    }
    CHECK_EQ(dup2(second[0], fds[0]), fds[0]);
    if (is("epoll")) CHECK_EQ(ws_pollset_mod(set, fds[0], WS_POLL_IN), 0);
    wait_now();
    CHECK_EQ(n, 0);
    put(second[1]);
    wait_long();
    CHECK_EQ(n, 1);
    CHECK_EQ(told(fds[0]), WS_POLL_IN);
    CHECK_EQ(ws_pollset_del(set, fds[0]), 0);
    close_pair(fds);
    close_pair(second);
}

/* Closed here, open elsewhere, and then taken out: epoll would report it for ever. */
static void case_ghost(void) {
    int fds[2], good[2];
    pair(fds);
    pair(good);
    int elsewhere = dup(fds[0]);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_IN), 0);
    CHECK_EQ(ws_pollset_add(set, good[0], WS_POLL_IN), 0);
    put(fds[1]);
    close(fds[0]);
    CHECK_EQ(ws_pollset_del(set, fds[0]), 0);
    int own = ws_pollset_fd(set);
    wait_now();
    CHECK_EQ(n, 0);
    CHECK_EQ(ws_pollset_fd(set), own);
    if (own >= 0) CHECK_EQ(ws_poller_look(own, WS_POLL_IN), 0); /* nor is there anything to tell */
    put(good[1]);
    wait_long();
    CHECK_EQ(n, 1);
    CHECK_EQ(told(good[0]), WS_POLL_IN);
    CHECK_EQ(ws_pollset_del(set, good[0]), 0);
    close(elsewhere);
    close(fds[1]);
    close_pair(good);
}

/* All that are ready, once each. */
static void case_many(void) {
    static int fds[MANY][2];
    int limit = is("select") ? 200 : MANY;
    for (int i = 0; i < limit; i++) {
        pair(fds[i]);
        CHECK_EQ(ws_pollset_add(set, fds[i][0], WS_POLL_OUT), 0);
    }
    for (int turn = 0; turn < 2; turn++) {
        wait_long();
        CHECK_EQ(n, limit);
    }
    for (int i = 0; i < limit; i++) {
        CHECK_EQ(ws_pollset_del(set, fds[i][0]), 0);
        close_pair(fds[i]);
    }
    wait_now();
    CHECK_EQ(n, 0);
}

static void case_high_descriptor(void) {
    int fds[2];
    pair(fds);
    int high = fcntl(fds[0], F_DUPFD, FD_SETSIZE);
    CHECK(high >= FD_SETSIZE);
    CHECK_EQ(ws_pollset_add(set, high, WS_POLL_OUT), is("select") ? WS_ERR_LIMIT : 0);
    CHECK_EQ(ws_pollset_del(set, high), is("select") ? WS_ERR_ARGUMENT : 0);
    close(high);
    close_pair(fds);
}

static void case_timeout(void) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK_EQ(wait_until(ws_pollset_until(1500000)), 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK_EQ(n, 0);
    long long ns = (after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec;
    CHECK(ns >= 1500000); /* never early */
    CHECK_EQ(ws_pollset_until(UINT64_MAX - 1), WS_POLLSET_FOREVER);
}

static void on_alarm(int number) {
    (void)number;
}

static void case_signal(void) {
    struct sigaction action = {.sa_handler = on_alarm}, old;
    struct itimerval soon = {.it_interval = {0, 1000}, .it_value = {0, 1000}}, off = {0};
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK(ws_pollset_claim(set));
    CHECK(!ws_pollset_claim(set)); /* one at a time */
    CHECK_EQ(ws_pollset_wait(set, WS_POLLSET_FOREVER, &ready, &n), 1);
    ws_pollset_release(set);
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &old, NULL);
}

static void case_close(void) {
    int fds[2];
    pair(fds);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_OUT), 0);
    CHECK_EQ(ws_pollset_fd(set) >= 0, is("epoll"));
    ws_pollset_close(set);
    ws_pollset_close(set);
    CHECK(ws_pollset_is_closed(set));
    CHECK_EQ(ws_pollset_fd(set), -1);
    CHECK_EQ(ws_pollset_add(set, fds[1], WS_POLL_IN), WS_ERR_CLOSED);
    CHECK_EQ(ws_pollset_mod(set, fds[0], WS_POLL_IN), WS_ERR_CLOSED);
    CHECK_EQ(ws_pollset_del(set, fds[0]), WS_ERR_CLOSED);
    CHECK_EQ(wait_until(0), WS_ERR_CLOSED);
    CHECK_EQ(fcntl(fds[0], F_GETFD), 0); /* not its own */
    close_pair(fds);
}

static void case_fork(void) {
    int fds[2], status = -1;
    pair(fds);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_OUT), 0);
    CHECK(!ws_pollset_is_inherited(set));
    pid_t child = fork();
    if (child == 0) {
        int ok = ws_pollset_is_inherited(set);
        ws_pollset_free(set);
        _exit(ok ? 7 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WEXITSTATUS(status), 7);
    wait_long(); /* the parent's goes on */
    CHECK_EQ(told(fds[0]), WS_POLL_OUT);
    CHECK_EQ(ws_pollset_del(set, fds[0]), 0);
    close_pair(fds);
}

/* ---- threads ---- */

#define ROUNDS 200

struct waiter {
    int first; /* told once it waits no more */
    int rounds;
    int error;
};

/* Takes a byte from each that is readable, until one with "." says that it is over. */
static void *serve(void *arg) {
    struct waiter *w = arg;
    for (;;) {
        int error = wait_until(WS_POLLSET_FOREVER);
        if (error < 0) {
            w->error = error;
            return NULL;
        }
        for (size_t i = 0; i < n; i++) {
            char c;
            if (!(ready[i].events & WS_POLL_IN) || recv(ready[i].fd, &c, 1, MSG_DONTWAIT) != 1)
                continue;
            if (c == '.') return NULL;
            put(ready[i].fd); /* the answer */
            w->rounds++;
        }
    }
}

/* Each round registers a descriptor while the other thread waits, which has to see it. */
static void case_change_while_waiting(void) {
    struct waiter w = {0};
    int end[2];
    pthread_t thread;
    pair(end);
    CHECK_EQ(ws_pollset_add(set, end[0], WS_POLL_IN), 0);
    CHECK_EQ(pthread_create(&thread, NULL, serve, &w), 0);
    for (int i = 0; i < ROUNDS; i++) {
        int fds[2];
        char c;
        pair(fds);
        put(fds[1]);
        CHECK_EQ(ws_pollset_add(set, fds[0], i % 2 ? WS_POLL_IN : 0), 0);
        if (i % 2 == 0) CHECK_EQ(ws_pollset_mod(set, fds[0], WS_POLL_IN), 0);
        CHECK_EQ(read(fds[1], &c, 1), 1);
        CHECK_EQ(ws_pollset_del(set, fds[0]), 0);
        close_pair(fds);
    }
    CHECK_EQ(write(end[1], ".", 1), 1);
    pthread_join(thread, NULL);
    CHECK_EQ(w.rounds, ROUNDS);
    CHECK_EQ(w.error, 0);
    CHECK_EQ(ws_pollset_del(set, end[0]), 0);
    close_pair(end);
}

static void case_file_while_waiting(void) {
    struct waiter w = {0};
    pthread_t thread;
    int file = open("/proc/self/exe", O_RDONLY);
    CHECK_EQ(pthread_create(&thread, NULL, serve, &w), 0);
    CHECK_EQ(ws_pollset_add(set, file, 0), 0);
    CHECK_EQ(ws_pollset_del(set, file), 0);
    ws_pollset_close(set);
    pthread_join(thread, NULL);
    CHECK_EQ(w.error, WS_ERR_CLOSED);
    close(file);
}

static void case_close_while_waiting(void) {
    struct waiter w = {0};
    pthread_t thread;
    int fds[2];
    char c;
    pair(fds);
    put(fds[1]);
    CHECK_EQ(ws_pollset_add(set, fds[0], WS_POLL_IN), 0);
    CHECK_EQ(pthread_create(&thread, NULL, serve, &w), 0);
    CHECK_EQ(read(fds[1], &c, 1), 1); /* it is at it */
    ws_pollset_close(set);
    pthread_join(thread, NULL);
    CHECK_EQ(w.error, WS_ERR_CLOSED);
    close_pair(fds);
}

static void *look(void *arg) {
    bool closed = false;
    while (!closed) {
        closed = ws_pollset_is_closed(set);
        CHECK(is(ws_pollset_strategy(set)));
        int fd = ws_pollset_fd(set);
        CHECK(closed ? fd == -1 : fd == -1 || is("epoll"));
    }
    (void)arg;
    return NULL;
}

static void case_look_while_closing(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, look, NULL), 0);
    ws_pollset_close(set);
    pthread_join(thread, NULL);
}

/* ---- */

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"add_mod_del", case_add_mod_del},
    {"bad_descriptor", case_bad_descriptor},
    {"hang_up_and_error", case_hang_up_and_error},
    {"regular_file", case_regular_file},
    {"closed_while_registered", case_closed_while_registered},
    {"reopened_while_registered", case_reopened_while_registered},
    {"ghost", case_ghost},
    {"many", case_many},
    {"high_descriptor", case_high_descriptor},
    {"timeout", case_timeout},
    {"signal", case_signal},
    {"close", case_close},
    {"fork", case_fork},
    {"change_while_waiting", case_change_while_waiting},
    {"file_while_waiting", case_file_while_waiting},
    {"close_while_waiting", case_close_while_waiting},
    {"look_while_closing", case_look_while_closing},
};

static void run_cases(enum ws_strategy strategy, const char *name) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int before = check_failures;
        CHECK_EQ(ws_pollset_new(&set, strategy), 0);
        if (!set) return;
        CHECK(is(name));
        cases[i].run();
        ws_pollset_free(set);
        if (check_failures == before) printf("ok test_%s_%s\n", name, cases[i].name);
        else fprintf(stderr, "with %s: %s\n", name, cases[i].name);
    }
}

static void test_new(void) {
    CHECK_EQ(ws_pollset_new(&set, (enum ws_strategy)9), WS_ERR_ARGUMENT);
    CHECK(set == NULL);
    ws_pollset_free(NULL);
    /* No descriptor for the wake-up: nothing is left open. */
    struct rlimit old, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    int next = dup(0);
    close(next);
    for (int free_ones = 0; free_ones < 2; free_ones++) {
        none = old;
        none.rlim_cur = (rlim_t)(next + free_ones);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
        int err = ws_pollset_new(&set, WS_STRATEGY_EPOLL), error = errno;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
        CHECK_EQ(err, WS_ERR_SYSTEM);
        CHECK_EQ(error, EMFILE);
        CHECK(set == NULL);
        int again = dup(0);
        CHECK_EQ(again, next);
        close(again);
    }
}

int main(void) {
    if (!limit_allows(2 * MANY + 50)) {
        fprintf(stderr, "note: too few descriptors allowed for these tests\n");
        return 2;
    }
    RUN(test_new);
    run_cases(WS_STRATEGY_SELECT, "select");
    run_cases(WS_STRATEGY_POLL, "poll");
    run_cases(WS_STRATEGY_EPOLL, "epoll");
    return check_done();
}
