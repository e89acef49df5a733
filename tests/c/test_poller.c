/* test_poller.c: every strategy runs the same table of cases. A case that needs a difference says
 * which. */
#include "check.h"
#include "err.h"
#include "fds.h"
#include "poller.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

#define MANY 300
#define WAIT_MS 5000 /* for what must come at once: only a failing test waits that long */

static struct ws_poller poller;
static struct ws_poller_ready ready[MANY + 1];

static int add(int fd, uint32_t events, uint64_t data) {
    return poller.ops->add(&poller, fd, events, data);
}

static int mod(int fd, uint32_t events, uint64_t data) {
    return poller.ops->mod(&poller, fd, events, data);
}

static void del(int fd) {
    poller.ops->del(&poller, fd);
}

static int wait_n(size_t n, int timeout_ms) {
    return poller.ops->wait(&poller, ready, n, timeout_ms);
}

static int wait_now(void) {
    return wait_n(MANY + 1, 0);
}

static int is_select(void) {
    return poller.ops == &ws_poll_select_ops;
}

static int is_poll(void) {
    return poller.ops == &ws_poll_poll_ops;
}

static void take(int fd) {
    char c;
    CHECK_EQ(read(fd, &c, 1), 1);
}

static void case_nothing_watched(void) {
    CHECK_EQ(wait_n(4, 0), 0);
    CHECK_EQ(wait_n(0, 0), WS_ERR_ARGUMENT);
}

static void case_readable(void) {
    int fds[2];
    pair(fds);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 0xfedcba9876543210u), 0);
    CHECK_EQ(wait_now(), 0);
    put(fds[1]);
    for (int again = 0; again < 3; again++) { /* level-triggered */
        CHECK_EQ(wait_n(4, -1), 1);
        CHECK(ready[0].data == 0xfedcba9876543210u);
        CHECK_EQ(ready[0].events, WS_POLL_IN);
    }
    take(fds[0]);
    CHECK_EQ(wait_now(), 0);
    del(fds[0]);
    close_pair(fds);
}

static void case_writable(void) {
    int fds[2];
    static char block[4096];
    pair(fds);
    CHECK_EQ(add(fds[0], WS_POLL_OUT, 7), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 7);
    CHECK_EQ(ready[0].events, WS_POLL_OUT);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    while (write(fds[0], block, sizeof block) > 0) continue;
    CHECK_EQ(wait_now(), 0);
    del(fds[0]);
    close_pair(fds);
}

static void case_both_ways(void) {
    int fds[2];
    pair(fds);
    CHECK_EQ(add(fds[0], WS_POLL_IN | WS_POLL_OUT, 7), 0);
    put(fds[1]);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].events, WS_POLL_IN | WS_POLL_OUT);
    del(fds[0]);
    close_pair(fds);
}

static void case_mod(void) {
    int fds[2];
    pair(fds);
    put(fds[1]);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(mod(fds[0], WS_POLL_OUT, 2), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 2);
    CHECK_EQ(ready[0].events, WS_POLL_OUT);
    CHECK_EQ(mod(fds[0], WS_POLL_IN | WS_POLL_OUT, 3), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 3);
    CHECK_EQ(ready[0].events, WS_POLL_IN | WS_POLL_OUT);
    del(fds[0]);
    close_pair(fds);
}

/* Paused: no wake-up for bytes, and they are there when it goes on. */
static void case_no_events(void) {
    int fds[2];
    pair(fds);
    put(fds[1]);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(mod(fds[0], 0, 1), 0);
    CHECK_EQ(wait_now(), 0);
    CHECK_EQ(mod(fds[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    del(fds[0]);
    CHECK_EQ(add(fds[0], 0, 1), 0);
    CHECK_EQ(wait_now(), 0);
    del(fds[0]);
    close_pair(fds);
}

static void case_del(void) {
    int fds[2];
    pair(fds);
    put(fds[1]);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 1), 0);
    del(fds[0]);
    CHECK_EQ(wait_now(), 0);
    del(fds[0]);
    CHECK_EQ(mod(fds[0], WS_POLL_IN, 1), WS_ERR_ARGUMENT);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 2), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 2);
    del(fds[0]);
    close_pair(fds);
}

static void case_unknown_descriptors(void) {
    int fds[2];
    pair(fds);
    CHECK_EQ(mod(fds[0], WS_POLL_IN, 1), WS_ERR_ARGUMENT);
    CHECK_EQ(mod(FD_SETSIZE - 1, WS_POLL_IN, 1), WS_ERR_ARGUMENT);
    CHECK_EQ(mod(1 << 30, WS_POLL_IN, 1), WS_ERR_ARGUMENT);
    CHECK_EQ(mod(-1, WS_POLL_IN, 1), WS_ERR_ARGUMENT);
    CHECK_EQ(add(-1, WS_POLL_IN, 1), WS_ERR_ARGUMENT);
    del(fds[0]);
    del(1 << 30);
    del(-1);
    CHECK_EQ(wait_now(), 0);
    close_pair(fds);
}

static void case_add_again_changes(void) {
    int fds[2];
    pair(fds);
    put(fds[1]);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(add(fds[0], WS_POLL_OUT, 2), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 2);
    CHECK_EQ(ready[0].events, WS_POLL_OUT);
    del(fds[0]);
    CHECK_EQ(wait_now(), 0);
    close_pair(fds);
}

static void case_hang_up_of_peer(void) {
    int fds[2];
    pair(fds);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 5), 0);
    close(fds[1]);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 5);
    CHECK_EQ(ready[0].events, is_select() ? WS_POLL_IN : WS_POLL_IN | WS_POLL_HUP);
    del(fds[0]);
    close(fds[0]);
}

static void case_hang_up_while_paused(void) {
    int fds[2];
    pair(fds);
    CHECK_EQ(add(fds[0], 0, 5), 0);
    close(fds[1]);
    if (is_select()) {
        CHECK_EQ(wait_now(), 0);
    } else {
        CHECK_EQ(wait_n(4, WAIT_MS), 1);
        CHECK_EQ(ready[0].data, 5);
        CHECK_EQ(ready[0].events, WS_POLL_HUP);
    }
    del(fds[0]);
    close(fds[0]);
}

static void case_pipes(void) {
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(add(fds[1], WS_POLL_OUT, 2), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 2);
    put(fds[1]);
    CHECK_EQ(wait_n(4, WAIT_MS), 2);
    CHECK_EQ(ready[0].data + ready[1].data, 3);
    del(fds[0]);
    close(fds[0]); /* an error for the writing end: nobody will read */
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].events, is_select() ? WS_POLL_OUT : WS_POLL_OUT | WS_POLL_ERR);
    del(fds[1]);
    close(fds[1]);
}

static void case_reused_number(void) {
    int fds[2], second[2];
    pair(fds);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 1), 0);
    put(fds[1]);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    del(fds[0]);
    pair(second);
    CHECK_EQ(dup2(second[0], fds[0]), fds[0]); /* closes it and takes its number */
    CHECK_EQ(add(fds[0], WS_POLL_IN, 2), 0);
    CHECK_EQ(wait_now(), 0);
    put(second[1]);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 2);
    del(fds[0]);
    close_pair(fds);
    close_pair(second);
}

/* The same, but the owner forgot del. */
static void case_reused_number_without_del(void) {
    int fds[2], second[2];
    pair(fds);
    pair(second);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(dup2(second[0], fds[0]), fds[0]);
    CHECK_EQ(add(fds[0], WS_POLL_IN, 2), 0);
    put(second[1]);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 2);
    del(fds[0]);
    CHECK_EQ(wait_now(), 0);
    close_pair(fds);
    close_pair(second);
}

/* A foreign close: epoll forgets the descriptor, poll reports it each time, select once, and the
 * others go on. */
static void case_closed_while_watched(void) {
    int bad[2], good[2];
    pair(bad);
    pair(good);
    CHECK_EQ(add(bad[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(add(good[0], WS_POLL_IN, 2), 0);
    close_pair(bad);
    if (is_select() || is_poll()) {
        CHECK_EQ(wait_n(4, WAIT_MS), 1);
        CHECK_EQ(ready[0].data, 1);
        CHECK_EQ(ready[0].events, WS_POLL_NVAL);
    }
    put(good[1]);
    int n = wait_n(4, WAIT_MS);
    CHECK_EQ(n, is_poll() ? 2 : 1);
    for (int i = 0; i < n; i++) {
        CHECK_EQ(ready[i].events, ready[i].data == 2 ? WS_POLL_IN : WS_POLL_NVAL);
        if (!is_poll()) CHECK_EQ(ready[i].data, 2);
    }
    del(bad[0]);
    take(good[0]);
    CHECK_EQ(wait_now(), 0);
    del(good[0]);
    close_pair(good);
}

/* Several at once and little room: each is told. */
static void case_many_closed_while_watched(void) {
    int fds[10][2];
    unsigned seen = 0;
    if (!is_select() && !is_poll()) return;
    for (int i = 0; i < 10; i++) {
        pair(fds[i]);
        CHECK_EQ(add(fds[i][0], i % 2 ? WS_POLL_IN : WS_POLL_OUT, (uint64_t)i), 0);
    }
    for (int i = 0; i < 10; i++) close_pair(fds[i]);
    for (int turn = 0; turn < 4; turn++) {
        int n = wait_n(3, WAIT_MS);
        CHECK(n >= 1 && n <= 3);
        for (int i = 0; i < n; i++) {
            CHECK_EQ(ready[i].events, WS_POLL_NVAL);
            seen |= 1u << ready[i].data;
        }
    }
    CHECK_EQ(seen, 0x3ff);
    for (int i = 0; i < 10; i++) del(fds[i][0]);
    CHECK_EQ(wait_now(), 0);
}

/* A connected pair of TCP, the one kind of socket here with urgent data. */
static void tcp_pair(int fds[2]) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(bind(listener, (struct sockaddr *)&at, len), 0);
    CHECK_EQ(listen(listener, 1), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    CHECK_EQ(connect(fds[1], (struct sockaddr *)&at, len), 0);
    fds[0] = accept(listener, NULL, NULL);
    close(listener);
}

static void case_urgent(void) {
    int fds[2];
    char c;
    tcp_pair(fds);
    CHECK_EQ(add(fds[0], WS_POLL_PRI | WS_POLL_IN, 1), 0);
    CHECK_EQ(add(fds[1], WS_POLL_PRI, 2), 0);
    CHECK_EQ(wait_now(), 0);
    CHECK_EQ(send(fds[1], "!", 1, MSG_OOB), 1);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 1);
    CHECK_EQ(ready[0].events & WS_POLL_PRI, WS_POLL_PRI);
    CHECK_EQ(mod(fds[0], WS_POLL_IN, 1), 0);
    CHECK_EQ(recv(fds[0], &c, 1, MSG_OOB), 1);
    CHECK_EQ(wait_now(), 0);
    put(fds[1]);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].events, WS_POLL_IN);
    del(fds[0]);
    del(fds[1]);
    CHECK_EQ(wait_now(), 0);
    close_pair(fds);
}

static void case_has(void) {
    int fds[2];
    pair(fds);
    CHECK(!poller.ops->has(&poller, fds[0]));
    CHECK_EQ(add(fds[0], 0, 1), 0);
    CHECK(poller.ops->has(&poller, fds[0]));
    CHECK(!poller.ops->has(&poller, fds[1]));
    CHECK(!poller.ops->has(&poller, -1));
    CHECK(!poller.ops->has(&poller, 1 << 29));
    put(fds[1]);
    CHECK_EQ(mod(fds[0], WS_POLL_IN, 7), 0); /* asking has changed nothing */
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 7);
    del(fds[0]);
    CHECK(!poller.ops->has(&poller, fds[0]));
    CHECK_EQ(wait_now(), 0);
    close_pair(fds);
}

static void open_many(int fds[][2], int n) {
    for (int i = 0; i < n; i++) {
        pair(fds[i]);
        CHECK_EQ(add(fds[i][0], WS_POLL_IN, (uint64_t)i), 0);
    }
}

static void close_many(int fds[][2], int n) {
    for (int i = 0; i < n; i++) {
        del(fds[i][0]);
        close_pair(fds[i]);
    }
}

static void case_many(void) {
    static int fds[MANY][2];
    int seen[MANY] = {0};
    open_many(fds, MANY);
    for (int i = 0; i < MANY; i++) {
        if (i % 3 == 0) put(fds[i][1]);
    }
    CHECK_EQ(wait_now(), MANY / 3);
    for (int i = 0; i < MANY / 3; i++) seen[ready[i].data]++;
    for (int i = 0; i < MANY; i++) CHECK_EQ(seen[i], i % 3 == 0);
    /* Every other one leaves; the rest must still be told under its own name. */
    for (int i = 0; i < MANY; i += 2) del(fds[i][0]);
    memset(seen, 0, sizeof seen);
    CHECK_EQ(wait_now(), MANY / 6);
    for (int i = 0; i < MANY / 6; i++) seen[ready[i].data]++;
    for (int i = 0; i < MANY; i++) CHECK_EQ(seen[i], i % 3 == 0 && i % 2 == 1);
    for (int i = 1; i < MANY; i += 2) CHECK_EQ(mod(fds[i][0], WS_POLL_OUT, (uint64_t)i), 0);
    CHECK_EQ(wait_now(), MANY / 2);
    for (int i = 0; i < MANY / 2; i++) CHECK_EQ(ready[i].events, WS_POLL_OUT);
    close_many(fds, MANY);
    CHECK_EQ(wait_now(), 0);
}

/* 50 ready, room for 4: thirteen waits tell all of them, and no one twice before each was told
 * once. */
static void case_fairness(void) {
    int fds[50][2], seen[50] = {0};
    open_many(fds, 50);
    for (int i = 0; i < 50; i++) put(fds[i][1]);
    for (int turn = 0; turn < 25; turn++) {
        CHECK_EQ(wait_n(4, WAIT_MS), 4);
        for (int i = 0; i < 4; i++) seen[ready[i].data]++;
        int least = seen[0], most = seen[0];
        for (int i = 1; i < 50; i++) {
            if (seen[i] < least) least = seen[i];
            if (seen[i] > most) most = seen[i];
        }
        CHECK(most - least <= 1);
    }
    for (int i = 0; i < 50; i++) CHECK_EQ(seen[i], 2);
    close_many(fds, 50);
}

/* The one that is told next may leave first. */
static void case_fairness_with_del(void) {
    int fds[20][2], seen[20] = {0}, told = 0;
    open_many(fds, 20);
    for (int i = 0; i < 20; i++) put(fds[i][1]);
    while (told < 20) {
        int n = wait_n(3, 0);
        CHECK(n > 0);
        if (n <= 0) break;
        for (int i = 0; i < n; i++) {
            int id = (int)ready[i].data;
            CHECK_EQ(seen[id]++, 0);
            del(fds[id][0]);
            told++;
        }
    }
    CHECK_EQ(wait_now(), 0);
    close_many(fds, 20);
}

static void case_high_descriptor(void) {
    int fds[2];
    pair(fds);
    if (!limit_allows(FD_SETSIZE + 10)) {
        fprintf(stderr, "note: no descriptor of FD_SETSIZE or more allowed here\n");
        close_pair(fds);
        return;
    }
    int high = fcntl(fds[0], F_DUPFD, FD_SETSIZE);
    CHECK(high >= FD_SETSIZE);
    put(fds[1]);
    if (is_select()) {
        CHECK_EQ(add(high, WS_POLL_IN, 1), WS_ERR_LIMIT);
        CHECK_EQ(mod(high, WS_POLL_IN, 1), WS_ERR_ARGUMENT);
        CHECK_EQ(wait_now(), 0);
    } else {
        CHECK_EQ(add(high, WS_POLL_IN, 1), 0);
        CHECK_EQ(wait_n(4, WAIT_MS), 1);
        CHECK_EQ(ready[0].data, 1);
    }
    del(high);
    CHECK_EQ(wait_now(), 0);
    close(high);
    int last = fcntl(fds[0], F_DUPFD, FD_SETSIZE - 1);
    CHECK_EQ(last, FD_SETSIZE - 1);
    CHECK_EQ(add(last, WS_POLL_IN, 2), 0);
    CHECK_EQ(wait_n(4, WAIT_MS), 1);
    CHECK_EQ(ready[0].data, 2);
    del(last);
    close(last);
    close_pair(fds);
}

static void on_alarm(int number) {
    (void)number;
}

/* A signal ends a wait without end, with nothing to tell. */
static void case_signal_ends_wait(void) {
    struct sigaction action = {.sa_handler = on_alarm}, old;
    struct itimerval soon = {.it_interval = {0, 1000}, .it_value = {0, 1000}}, off = {0};
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_EQ(wait_n(4, -1), 0);
    setitimer(ITIMER_REAL, &off, NULL);
    sigaction(SIGALRM, &old, NULL);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"nothing_watched", case_nothing_watched},
    {"readable", case_readable},
    {"writable", case_writable},
    {"both_ways", case_both_ways},
    {"mod", case_mod},
    {"no_events", case_no_events},
    {"del", case_del},
    {"unknown_descriptors", case_unknown_descriptors},
    {"add_again_changes", case_add_again_changes},
    {"hang_up_of_peer", case_hang_up_of_peer},
    {"hang_up_while_paused", case_hang_up_while_paused},
    {"pipes", case_pipes},
    {"reused_number", case_reused_number},
    {"reused_number_without_del", case_reused_number_without_del},
    {"closed_while_watched", case_closed_while_watched},
    {"many_closed_while_watched", case_many_closed_while_watched},
    {"urgent", case_urgent},
    {"has", case_has},
    {"many", case_many},
    {"fairness", case_fairness},
    {"fairness_with_del", case_fairness_with_del},
    {"high_descriptor", case_high_descriptor},
    {"signal_ends_wait", case_signal_ends_wait},
};

static void run_cases(enum ws_strategy strategy, const char *name) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int before = check_failures;
        CHECK_EQ(ws_poller_init(&poller, strategy), 0);
        if (!poller.ops) return;
        CHECK(strcmp(poller.ops->name, name) == 0);
        cases[i].run();
        ws_poller_fini(&poller);
        if (check_failures == before) printf("ok test_%s_%s\n", name, cases[i].name);
        else fprintf(stderr, "with %s: %s\n", name, cases[i].name);
    }
}

static void test_choice(void) {
    CHECK_EQ(ws_poller_init(&poller, WS_STRATEGY_AUTO), 0);
#ifdef __linux__
    CHECK(poller.ops == &ws_poll_epoll_ops);
    CHECK(poller.fd >= 0);
    CHECK_EQ(fcntl(poller.fd, F_GETFD), FD_CLOEXEC);
#else
    CHECK(poller.ops == &ws_poll_poll_ops);
#endif
    ws_poller_fini(&poller);
    CHECK_EQ(poller.fd, -1);
    ws_poller_fini(&poller); /* once more does nothing */
    CHECK_EQ(ws_poller_init(&poller, (enum ws_strategy)9), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_poller_init(&poller, WS_STRATEGY_POLL), 0);
    CHECK_EQ(poller.fd, -1);
    ws_poller_fini(&poller);
}

/* No descriptor left: an error, not another strategy, and nothing to clean up. */
static void test_init_fails_cleanly(void) {
#ifdef __linux__
    struct rlimit old, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old;
    none.rlim_cur = 0;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    int err = ws_poller_init(&poller, WS_STRATEGY_AUTO), error = errno;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
    CHECK_EQ(err, WS_ERR_SYSTEM);
    CHECK_EQ(error, EMFILE);
    CHECK(poller.ops == NULL);
#endif
}

static void test_look(void) {
    int fds[2];
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(ws_poller_look(fds[0], WS_POLL_WANTED), 0);
    CHECK_EQ(ws_poller_look(fds[1], WS_POLL_WANTED), WS_POLL_OUT);
    CHECK_EQ(ws_poller_look(fds[1], WS_POLL_IN), 0);
    close(fds[0]);
    CHECK_EQ(ws_poller_look(fds[1], 0), WS_POLL_ERR);
    close(fds[1]);
    CHECK_EQ(ws_poller_look(fds[1], WS_POLL_OUT), WS_POLL_NVAL);
}

static void test_check(void) {
    int fds[2], file = open("/proc/self/exe", O_RDONLY), folder = open("/", O_RDONLY);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(ws_poller_check(fds[0]), 0);
    close_pair(fds);
    errno = 0;
    CHECK_EQ(ws_poller_check(fds[0]), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(ws_poller_check(file), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(ws_poller_check(folder), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EPERM);
    close(file);
    close(folder);
}

int main(void) {
    if (!limit_allows(2 * MANY + 50)) {
        fprintf(stderr, "note: too few descriptors allowed for these tests\n");
        return 2;
    }
    RUN(test_choice);
    RUN(test_init_fails_cleanly);
    RUN(test_look);
    RUN(test_check);
    run_cases(WS_STRATEGY_SELECT, "select");
    run_cases(WS_STRATEGY_POLL, "poll");
#ifdef __linux__
    run_cases(WS_STRATEGY_EPOLL, "epoll");
#endif
    return check_done();
}
