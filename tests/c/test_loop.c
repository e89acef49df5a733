/* test_loop.c: the iteration itself: how it begins and ends, what wakes it, and a poller that
 * fails. What connections do in it: test_loop_*.c. */
#include "loop.h"
#include "rig.h"

#include <sys/resource.h>
#include <sys/select.h>

/* ---- the beginning ---- */

static void test_loop_begin_fails(void) {
    struct rig r;
    struct rlimit before, now;
    char why[256];
    rig_init(&r, strategy);
    rig_bind(&r);
    CHECK(strcmp(ws_loop_strategy(r.loop), "") == 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    int fd = dup(0);
    close(fd);
    now.rlim_cur = (rlim_t)fd; /* no more than are open */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
    CHECK_EQ(ws_loop_begin(r.loop, why), WS_ERR_SYSTEM);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK(strcmp(why, "cannot start the loop: Too many open files") == 0);
    rig_end(&r);
}

/* The soft limit of descriptors is raised to the hard one; connections get 90 % of them. */
static void test_loop_limits(void) {
    static const char *const names[] = {[WS_STRATEGY_SELECT] = "select",
                                        [WS_STRATEGY_POLL] = "poll",
                                        [WS_STRATEGY_EPOLL] = "epoll"};
    struct rig r;
    struct rlimit before, now, after;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = 200;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
    rig_init(&r, strategy);
    r.options.max_connections = 0;
    rig_begin(&r);
    CHECK(strcmp(ws_loop_strategy(r.loop), names[strategy]) == 0);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
    CHECK(after.rlim_cur == before.rlim_max && after.rlim_max == before.rlim_max);
    uint64_t most = strategy == WS_STRATEGY_SELECT ? FD_SETSIZE - 32 : UINT32_MAX / 2;
    uint64_t share = after.rlim_max == RLIM_INFINITY ? most : after.rlim_max / 10 * 9;
    CHECK_EQ(r.loop->max_connections, share < most ? share : most);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    rig_stop(&r);
}

/* ---- the caller's descriptor ---- */

static void test_loop_watch(void) {
    struct rig r;
    int a[2], b[2];
    rig_init(&r, strategy);
    rig_begin(&r);
    CHECK_EQ(pipe2(a, O_NONBLOCK | O_CLOEXEC), 0);
    CHECK_EQ(pipe2(b, O_NONBLOCK | O_CLOEXEC), 0);
    CHECK_EQ(ws_loop_watch(r.loop, a[0]), 0);
    CHECK_EQ(write(a[1], "xyz", 3), 3);
    CHECK_EQ(ws_loop_io(r.loop), 1);
    CHECK_EQ(read(a[0], b, 1), -1); /* the loop has emptied it */
    ws_loop_dispatch(r.loop);
    CHECK_EQ(ws_loop_watch(r.loop, b[0]), 0); /* instead of the first */
    CHECK_EQ(write(a[1], "x", 1), 1);
    CHECK_EQ(write(b[1], "x", 1), 1);
    CHECK_EQ(ws_loop_io(r.loop), 1);
    char byte;
    CHECK_EQ(read(a[0], &byte, 1), 1);
    CHECK_EQ(read(b[0], &byte, 1), -1);
    close(b[1]); /* its end is told once */
    CHECK_EQ(ws_loop_io(r.loop), 1);
    CHECK_EQ(r.loop->watch_fd, -1);
    ws_server_stop(r.server);
    CHECK_EQ(ws_loop_io(r.loop), 0);
    CHECK_EQ(ws_loop_watch(r.loop, a[0]), 0);
    CHECK_EQ(ws_loop_watch(r.loop, -1), 0);
    CHECK_EQ(r.loop->watch_fd, -1);
    close(a[0]);
    close(a[1]);
    close(b[0]);
    rig_stop(&r);
}

/* ---- the end ---- */

/* Nobody is waited for: on_close comes in the next dispatch, whatever state they are in. */
static void test_loop_cut(void) {
    struct rig r;
    struct peer p[3];
    rig_init(&r, strategy);
    rig_begin(&r);
    CHECK(!ws_server_is_stopping(r.server));
    peer_open(&r, &p[0]);
    peer_open(&r, &p[1]);
    peer_connect(&r, &p[2], false);
    peer_say(&p[2], "GET /");
    UNTIL(&r, p[2].out.len == 0);
    rig_settle(&r);
    ws_loop_cut(r.loop);
    CHECK(ws_server_is_stopping(r.server));
    CHECK(!ws_loop_is_done(r.loop));
    CHECK_EQ(ws_loop_io(r.loop), 1);
    ws_loop_dispatch(r.loop);
    CHECK_LINE(r.told, "open1;open2;close1:1006/1001:/:shutdown;close2:1006/1001:/:shutdown;");
    CHECK_EQ(ws_loop_io(r.loop), 0);
    CHECK(ws_loop_is_done(r.loop));
    CHECK_EQ(ws_server_count(r.server), 0);
    rig_end(&r);
}

/* ---- a poller that fails ---- */

static int fail_wait(struct ws_poller *p, struct ws_poller_ready *ready, size_t n, int timeout_ms) {
    (void)p;
    (void)ready;
    (void)n;
    (void)timeout_ms;
    errno = ENOMEM;
    return WS_ERR_SYSTEM;
}

static int fail_watch(struct ws_poller *p, int fd, uint32_t events, uint64_t data) {
    (void)p;
    (void)fd;
    (void)events;
    (void)data;
    return WS_ERR_MEMORY;
}

static void tell_line(void *user, enum ws_log level, struct ws_slice line) {
    struct rig *r = user;
    line_add(&r->told, "%d:%.*s;", level, (int)line.len, line.data);
}

static void echo_size(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static uint8_t data[1 << 23]; /* more than the kernel takes at once */
    struct ws_payload p = {.data = data, .len = sizeof data};
    (void)r;
    (void)m;
    CHECK_EQ(ws_conn_send(c, &p), WS_SENT_OVER);
}

/* Waiting fails for a while: a line, and nobody is lost. */
static void test_loop_wait_fails(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.echo = true;
    r.handlers.on_log = tell_line;
    rig_begin(&r);
    ws_server_set_log_level(r.server, WS_LOG_ERROR);
    peer_open(&r, &p);
    line_clear(&r.told);
    const struct ws_poller_ops *sound = r.loop->poller.ops;
    struct ws_poller_ops broken = *sound;
    broken.wait = fail_wait;
    r.loop->poller.ops = &broken;
    peer_text(&p, "hi");
    rig_wait(&r);
    CHECK_LINE(r.told, "40:waiting for sockets failed; trying again;");
    r.loop->poller.ops = sound;
    UNTIL(&r, p.n_messages == 1);
    CHECK_LINE(p.said, "text:hi;");
    rig_stop(&r);
}

/* A connection that cannot be watched any more ends, as if its socket were broken. */
static void test_loop_watching_fails(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    r.act = echo_size;
    rig_begin(&r);
    peer_open(&r, &p);
    p.deaf = true;
    struct ws_poller_ops broken = *r.loop->poller.ops;
    broken.mod = fail_watch;
    r.loop->poller.ops = &broken;
    peer_text(&p, "hi");
    UNTIL(&r, r.n_closes == 1);
    CHECK_LINE(r.told, "open1;ascii1:hi;close1:1006/0:/:reset;");
    CHECK_EQ(stats_of(&r).dropped_sent, 1);
    rig_stop(&r);
}

/* One that cannot be watched from the start is answered 503. */
static void test_loop_adding_fails(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, strategy);
    rig_begin(&r);
    const struct ws_poller_ops *sound = r.loop->poller.ops;
    struct ws_poller_ops broken = *sound;
    broken.add = fail_watch;
    r.loop->poller.ops = &broken;
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    UNTIL(&r, p.eof);
    CHECK(peer_answer_starts(&p, "HTTP/1.1 503 Service Unavailable\r\n"));
    CHECK_EQ(stats_of(&r).shed, 1);
    CHECK_EQ(r.loop->n_conns, 0);
    r.loop->poller.ops = sound;
    CHECK_LINE(r.told, "");
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_loop_begin_fails);
    RUN(test_loop_limits);
    RUN(test_loop_watch);
    RUN(test_loop_cut);
    RUN(test_loop_wait_fails);
    RUN(test_loop_watching_fails);
    RUN(test_loop_adding_fails);
}

int main(void) {
    return run_strategies(run_all);
}
