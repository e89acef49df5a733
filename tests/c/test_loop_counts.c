/* test_loop_counts.c: what a tick costs, counted: system calls and allocations of the server, once
 * it is warm. What it takes in time is for bench/. */
#include "armed.h"

#include <sys/epoll.h>

/* wrap: malloc calloc realloc ws_sock_read ws_sock_readv ws_sock_writev ws_loop_io */
/* wrap: ws_loop_dispatch epoll_ctl */

#define PEERS 8
#define MANY 16

static struct counts {
    int reads, writes, allocations, controls;
} counts;

int __real_epoll_ctl(int fd, int op, int of, struct epoll_event *event);
ssize_t __real_ws_sock_read(int fd, void *data, size_t len);
ssize_t __real_ws_sock_readv(int fd, const struct iovec *iov, int n);
ssize_t __real_ws_sock_writev(int fd, const struct iovec *iov, int n);

void *__wrap_malloc(size_t size) {
    counts.allocations += is_armed;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
    counts.allocations += is_armed;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
    counts.allocations += is_armed;
    return __real_realloc(p, size);
}

ssize_t __wrap_ws_sock_read(int fd, void *data, size_t len) {
    counts.reads++;
    return __real_ws_sock_read(fd, data, len);
}

ssize_t __wrap_ws_sock_readv(int fd, const struct iovec *iov, int n) {
    counts.reads++;
    return __real_ws_sock_readv(fd, iov, n);
}

ssize_t __wrap_ws_sock_writev(int fd, const struct iovec *iov, int n) {
    counts.writes++;
    return __real_ws_sock_writev(fd, iov, n);
}

int __wrap_epoll_ctl(int fd, int op, int of, struct epoll_event *event) {
    counts.controls++;
    return __real_epoll_ctl(fd, op, of, event);
}

static void check_counts(int reads, int writes, int allocations) {
    CHECK_EQ(counts.reads, reads);
    CHECK_EQ(counts.writes, writes);
    CHECK_EQ(counts.allocations, allocations);
    CHECK_EQ(counts.controls, 0); /* nobody is watched for what succeeds at once */
    counts = (struct counts){0};
}

/* Each peer sends n messages in one segment, and gets as many. */
static void run_round(struct rig *r, struct peer *p, int n, int answers) {
    static const uint8_t data[20] = "twenty bytes of it.";
    int before = p[0].n_messages;
    for (int i = 0; i < PEERS; i++) {
        for (int k = 0; k < n; k++) peer_frame(&p[i], WS_OPCODE_BINARY, data, sizeof data);
        peer_pump(&p[i]);
    }
    counts = (struct counts){0};
    for (int i = 0; i < PEERS; i++) UNTIL(r, p[i].n_messages == before + answers);
}

/* All messages of one read are answered with one write, and none of them needs memory. */
static void test_counts_of_an_echo(void) {
    struct rig r;
    struct peer p[PEERS];
    struct ws_conn *c[PEERS];
    rig_init(&r, strategy);
    r.echo = r.quiet = true;
    rig_open(&r, p, c, PEERS);
    for (int i = 0; i < PEERS; i++) p[i].quiet = true;
    run_round(&r, p, MANY, MANY); /* it warms up */
    run_round(&r, p, 1, 1);
    check_counts(PEERS, PEERS, 0);
    run_round(&r, p, MANY, MANY);
    check_counts(PEERS, PEERS, 0);
    rig_stop(&r);
}

static void tell_all(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    struct ws_payload payload = {.data = m->data, .len = m->len};
    (void)c;
    CHECK_EQ(ws_server_publish(r->server, slice("room"), &payload, NULL), PEERS);
}

/* What is published in one tick goes to each receiver in one write, from the one place where it
 * stands. */
static void test_counts_of_a_broadcast(void) {
    struct rig r;
    struct peer p[PEERS];
    struct ws_conn *c[PEERS];
    rig_init(&r, strategy);
    r.quiet = true;
    r.act = tell_all;
    rig_open(&r, p, c, PEERS);
    for (int i = 0; i < PEERS; i++) {
        CHECK_EQ(ws_conn_subscribe(c[i], slice("room"), false), 1);
        p[i].quiet = true;
    }
    run_round(&r, p, 2, 2 * PEERS); /* it warms up */
    run_round(&r, p, 2, 2 * PEERS);
    check_counts(PEERS, PEERS, 0);
    rig_stop(&r);
}

static void answer_and_go_on(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    struct ws_payload payload = {.data = m->data, .len = m->len};
    (void)r;
    CHECK_EQ(ws_conn_send(c, &payload), WS_SENT);
    ws_conn_begin_busy(c, true);
}

/* A message that waits for the handler of the one before is not worth a word to the poller. */
static void test_counts_behind_a_handler_that_goes_on(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    r.quiet = true;
    r.act = answer_and_go_on;
    rig_open(&r, &p, &c, 1);
    p.quiet = true;
    for (int i = 1; i < 10; i++) {
        counts = (struct counts){0};
        peer_text(&p, "next");
        peer_pump(&p);
        rig_settle(&r);
        CHECK_EQ(p.n_messages, i - 1 ? i - 1 : 1); /* the first found no handler */
        if (i > 1) CHECK_EQ(ws_conn_end_busy(c), 0);
        UNTIL(&r, p.n_messages == i);
        CHECK_EQ(counts.controls, 0);
    }
    CHECK_EQ(ws_conn_end_busy(c), 0);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_counts_of_an_echo);
    RUN(test_counts_behind_a_handler_that_goes_on);
    RUN(test_counts_of_a_broadcast);
}

int main(void) {
    return run_strategies(run_all);
}
