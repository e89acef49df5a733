/* test_accept.c: taking connections when there is no room: no descriptor, one that is too large for
 * select, a listener that fails. Who is turned away gets an answer, and the server goes on. */
#include "loop.h"
#include "rig.h"

#include <sys/resource.h>

/* wrap: accept4 */

static int n_refusals; /* calls of accept4 that are to fail first */

int __real_accept4(int fd, struct sockaddr *at, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *at, socklen_t *len, int flags) {
    if (n_refusals > 0) {
        n_refusals--;
        errno = ENETDOWN;
        return -1;
    }
    return __real_accept4(fd, at, len, flags);
}

static void tell_line(void *user, enum ws_log level, struct ws_slice line) {
    struct rig *r = user;
    line_add(&r->told, "%d:%.*s;", level, (int)line.len, line.data);
}

static void begin_logging(struct rig *r) {
    rig_init(r, strategy);
    r->handlers.on_log = tell_line;
    rig_bind(r);
    ws_server_set_log_level(r->server, WS_LOG_INFO);
    rig_begin(r);
}

/* The lowest number that a descriptor could get. */
static int lowest_fd(void) {
    int fd = dup(0);
    close(fd);
    return fd;
}

/* No new descriptor from here on; gives what was allowed before. */
static struct rlimit forbid_descriptors(void) {
    struct rlimit before, now;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = (rlim_t)lowest_fd();
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

#define RESTING "40:cannot accept, resting for 100 ms: "

/* The spare descriptor makes room for an answer to one; then the listener rests, and takes the
 * others when it has rested. */
static void test_accept_no_descriptors(void) {
    struct rig r;
    struct peer p, q;
    begin_logging(&r);
    peer_connect(&r, &p, false);
    peer_connect(&r, &q, false);
    peer_say(&p, PEER_REQUEST);
    peer_say(&q, PEER_REQUEST);
    struct rlimit before = forbid_descriptors();
    UNTIL(&r, p.eof);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK(peer_answer_starts(&p, "HTTP/1.1 503 Service Unavailable\r\n"));
    CHECK(r.loop->spare_fd >= 0);
    CHECK_EQ(stats_of(&r).shed, 1);
    CHECK_EQ(stats_of(&r).accepted, 0);
    rig_settle(&r);
    CHECK_LINE(r.told, "30:connection refused with 503: the server has no free descriptors;" RESTING
                       "Too many open files;");
    line_clear(&r.told);
    UNTIL(&r, q.upgraded);
    CHECK_LINE(r.told, "open1;");
    rig_stop(&r);
}

/* Without a spare nobody can be answered: they wait. */
static void test_accept_no_spare(void) {
    struct rig r;
    struct peer p;
    begin_logging(&r);
    ws_sock_close(r.loop->spare_fd);
    r.loop->spare_fd = -1;
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    struct rlimit before = forbid_descriptors();
    UNTIL(&r, r.told.len > 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_LINE(r.told, RESTING "Too many open files;");
    CHECK_EQ(stats_of(&r).shed, 0);
    UNTIL(&r, p.upgraded);
    rig_stop(&r);
}

/* A connection that is gone before it was taken is passed over; a listener that does nothing but
 * fail rests. */
static void test_accept_failures(void) {
    struct rig r;
    struct peer p, q;
    begin_logging(&r);
    n_refusals = 15;
    peer_open(&r, &p);
    CHECK_EQ(n_refusals, 0);
    CHECK_LINE(r.told, "open1;");
    line_clear(&r.told);
    n_refusals = 16;
    peer_open(&r, &q);
    CHECK_EQ(n_refusals, 0);
    CHECK_LINE(r.told, RESTING "Network is down;open2;");
    rig_stop(&r);
}

/* Stopped while it rests. */
static void test_accept_stop_while_resting(void) {
    struct rig r;
    struct peer p;
    begin_logging(&r);
    n_refusals = 16;
    peer_connect(&r, &p, false);
    UNTIL(&r, n_refusals == 0);
    CHECK_EQ(stats_of(&r).accepted, 0);
    rig_stop(&r);
}

static void test_accept_beyond_select(void) {
    enum { HIGH = 1024 }; /* FD_SETSIZE */
    static int held[HIGH];
    struct rig r;
    struct peer p, q;
    int n = 0;
    if (strategy != WS_STRATEGY_SELECT) return;
    begin_logging(&r); /* it has raised the limit as far as it goes */
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    while (lowest_fd() >= 0 && lowest_fd() < HIGH) held[n++] = dup(0);
    if (lowest_fd() == HIGH) { /* else the system does not allow that many */
        UNTIL(&r, p.eof);
        CHECK(peer_answer_starts(&p, "HTTP/1.1 503 Service Unavailable\r\n"));
        CHECK_EQ(stats_of(&r).shed, 1);
        CHECK_EQ(ws_server_count(r.server), 0);
        rig_settle(&r);
        CHECK_LINE(r.told, "30:connection refused with 503: the select strategy takes no "
                           "descriptor of this size (FD_SETSIZE);");
    }
    while (n > 0) close(held[--n]);
    line_clear(&r.told);
    peer_open(&r, &q); /* there is room again */
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_accept_no_descriptors);
    RUN(test_accept_no_spare);
    RUN(test_accept_failures);
    RUN(test_accept_stop_while_resting);
    RUN(test_accept_beyond_select);
}

int main(void) {
    return run_strategies(run_all);
}
