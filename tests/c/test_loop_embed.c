/* test_loop_embed.c: the loop inside another one: its descriptor is readable when there is
 * something to do and only then, and who makes work between two steps wakes it once. */
#include "rig.h"

#include "loop.h"

#include <poll.h>
#include <sys/epoll.h>

/* wrap: ws_wake_signal epoll_wait */

static struct ws_server *to_stop; /* as another thread does it, just before the next wait */

int __real_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout);

int __wrap_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout) {
    if (to_stop) ws_server_stop(to_stop);
    to_stop = NULL;
    return __real_epoll_wait(epfd, events, max, timeout);
}

static _Atomic int n_wakes;

void __real_ws_wake_signal(const struct ws_wake *w);
void __wrap_ws_wake_signal(const struct ws_wake *w);

void __wrap_ws_wake_signal(const struct ws_wake *w) {
    n_wakes++;
    __real_ws_wake_signal(w);
}

static int fd;      /* the loop's descriptor */
static int n_steps; /* since the last line_clear or so */

static bool is_readable(int wait_ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, wait_ms) == 1;
}

static void step(struct rig *r) {
    n_steps++;
    if (ws_loop_poll(r->loop)) ws_loop_dispatch(r->loop);
    ws_loop_rest(r->loop);
}

/* What the outer loop does: steps as long as there is something to do. */
static void run_down(struct rig *r) {
    n_steps = 0;
    while (n_steps < TURNS_MAX && !ws_loop_is_done(r->loop) && is_readable(0)) step(r);
    CHECK(n_steps < TURNS_MAX);
}

static void pump(struct rig *r) {
    for (int i = 0; i < r->n_peers; i++) peer_pump(r->peers[i]);
}

#define STEP_UNTIL(r, cond)                                                                        \
    do {                                                                                           \
        for (int turns = 0; !(cond) && turns < TURNS_MAX; turns++) {                               \
            pump(r);                                                                               \
            run_down(r);                                                                           \
            pump(r);                                                                               \
        }                                                                                          \
        CHECK(cond);                                                                               \
    } while (0)

/* Without pings: nothing of its own is due. */
static void init(struct rig *r) {
    rig_init(r, WS_STRATEGY_EPOLL);
    r->options.ping_interval_ms = 0;
}

static void begin(struct rig *r) {
    char why[256];
    if (!r->server) rig_bind(r);
    CHECK_EQ(ws_loop_begin(r->loop, why), 0);
    fd = ws_loop_embed(r->loop);
    CHECK(fd >= 0);
    CHECK_EQ(ws_loop_embed(r->loop), fd);
    ws_loop_rest(r->loop);
}

static struct ws_conn *open_peer(struct rig *r, struct peer *p) {
    peer_connect(r, p, false);
    peer_say(p, PEER_REQUEST);
    STEP_UNTIL(r, p->upgraded);
    run_down(r);
    CHECK(!is_readable(0));
    return ws_server_find(r->server, (uint64_t)r->n_peers);
}

static void stop(struct rig *r) {
    for (int i = 0; i < r->n_peers; i++) peer_drop(r->peers[i], false);
    ws_server_stop(r->server);
    CHECK(is_readable(0));
    STEP_UNTIL(r, ws_loop_is_done(r->loop));
    rig_end(r);
}

/* ---- tests ---- */

static void test_other_strategies_have_no_descriptor(void) {
    for (int i = 0; i < 2; i++) {
        struct rig r;
        rig_init(&r, i ? WS_STRATEGY_POLL : WS_STRATEGY_SELECT);
        rig_begin(&r);
        CHECK_EQ(ws_loop_embed(r.loop), WS_ERR_ARGUMENT);
        rig_stop(&r);
    }
}

static void test_before_begin(void) {
    struct rig r;
    rig_init(&r, WS_STRATEGY_EPOLL);
    rig_bind(&r);
    CHECK_EQ(ws_loop_embed(r.loop), WS_ERR_ARGUMENT);
    rig_end(&r);
}

/* A connection, a message, an answer: as many steps as there were things to do. */
static void test_readable_when_there_is_work(void) {
    struct rig r;
    struct peer p;
    init(&r);
    r.echo = true;
    begin(&r);
    run_down(&r); /* calls may have waited in the mailbox */
    CHECK(!is_readable(0));
    CHECK(open_peer(&r, &p) != NULL);
    for (int i = 0; i < 3; i++) {
        line_clear(&p.said);
        peer_text(&p, "hello");
        pump(&r);
        CHECK(is_readable(1000));
        run_down(&r);
        CHECK_EQ(n_steps, 1); /* it is read, answered and written in one */
        pump(&r);
        CHECK_LINE(p.said, "text:hello;");
        CHECK(!is_readable(0));
    }
    stop(&r);
}

/* Nothing is due: no timer is set and no step is taken. */
static void test_idle_does_not_spin(void) {
    struct rig r;
    struct peer p;
    init(&r);
    r.options.handshake_timeout_ms = 200;
    begin(&r);
    open_peer(&r, &p);
    /* That of the handshake, which is over, may still fire: once. */
    if (is_readable(1000)) run_down(&r);
    CHECK(n_steps <= 2);
    CHECK(!is_readable(300));
    stop(&r);
}

static void test_a_deadline_wakes(void) {
    struct rig r;
    struct peer p;
    init(&r);
    r.options.idle_timeout_ms = 200;
    begin(&r);
    open_peer(&r, &p);
    int steps = 0;
    while (r.n_closes == 0 && steps < 20) { /* nobody but the timer wakes it */
        CHECK(is_readable(2000));
        run_down(&r);
        steps += n_steps;
        pump(&r);
        if (strstr(p.said.text, "close1001")) peer_close_frame(&p, 1001, ""), pump(&r);
    }
    CHECK_EQ(r.n_closes, 1);
    CHECK_LINE(p.said, "close1001:idle timeout;");
    stop(&r);
}

static void test_a_call_wakes_in_time(void) {
    struct rig r;
    rig_init(&r, WS_STRATEGY_EPOLL);
    begin(&r);
    run_down(&r);
    struct ws_call *late = ws_call_new(NULL), *soon = ws_call_new(NULL);
    CHECK_EQ(ws_loop_call(r.loop, late, 60000, 0), 0);
    run_down(&r);
    CHECK(!is_readable(0));
    CHECK_EQ(ws_loop_call(r.loop, soon, 20, 0), 0); /* sooner than what the timer is set to */
    CHECK(is_readable(0));                          /* it is to be set anew */
    run_down(&r);
    CHECK(is_readable(2000));
    run_down(&r);
    CHECK(r.loop->tick.calls.n == 1);
    ws_call_unref(late);
    ws_call_unref(soon);
    stop(&r);
}

/* A handler of somebody else sends: the first message wakes, the others do not. */
static void test_a_send_outside_wakes_once(void) {
    struct rig r;
    struct peer p[2];
    init(&r);
    begin(&r);
    struct ws_conn *a = open_peer(&r, &p[0]), *b = open_peer(&r, &p[1]);
    for (int period = 0; period < 3; period++) {
        n_wakes = 0;
        line_clear(&p[0].said);
        line_clear(&p[1].said);
        CHECK_EQ(send_text(a, "one"), WS_SENT);
        CHECK_EQ(n_wakes, 1);
        CHECK(is_readable(0));
        CHECK_EQ(send_text(a, "two"), WS_SENT);
        CHECK_EQ(send_text(b, "three"), WS_SENT);
        CHECK_EQ(ws_conn_ping(b, NULL, 0), WS_SENT);
        CHECK_EQ(n_wakes, 1);
        run_down(&r);
        CHECK_EQ(n_steps, 1);
        CHECK_EQ(n_wakes, 1);
        STEP_UNTIL(&r, p[0].n_messages == 2 * (period + 1) && p[1].n_pings == period + 1);
        run_down(&r);
        CHECK_LINE(p[0].said, "text:one;text:two;");
        CHECK_LINE(p[1].said, "text:three;");
    }
    stop(&r);
}

static void answer(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)m;
    (void)r;
    CHECK_EQ(send_text(c, "answer"), WS_SENT);
}

/* What a handler sends in a step is written by it: nothing wakes. */
static void test_a_send_in_a_step_wakes_nobody(void) {
    struct rig r;
    struct peer p;
    init(&r);
    r.act = answer;
    begin(&r);
    open_peer(&r, &p);
    n_wakes = 0;
    peer_text(&p, "question");
    STEP_UNTIL(&r, p.n_messages == 1);
    CHECK_EQ(n_wakes, 0);
    stop(&r);
}

/* The tick's clock stands still between steps: who sends then is not idle since the last step. */
static void test_the_clock_goes_on_between_steps(void) {
    struct rig r;
    struct peer p;
    init(&r);
    begin(&r);
    struct ws_conn *c = open_peer(&r, &p);
    r.loop->tick.now_ms -= 5000; /* as if the last step had been that long ago */
    uint64_t before = r.loop->tick.now_ms;
    CHECK_EQ(send_text(c, "late"), WS_SENT);
    CHECK(r.loop->tick.now_ms >= before + 5000);
    CHECK((uint32_t)r.loop->tick.now_ms == c->active_ms);
    stop(&r);
}

static void *stop_elsewhere(void *server) {
    ws_server_stop(server);
    return NULL;
}

static void test_a_stop_of_another_thread(void) {
    struct rig r;
    struct peer p;
    init(&r);
    begin(&r);
    open_peer(&r, &p);
    n_wakes = 0;
    on_thread(stop_elsewhere, r.server);
    CHECK_EQ(n_wakes, 1);
    CHECK(is_readable(0));
    STEP_UNTIL(&r, strstr(p.said.text, "close1001:"));
    CHECK(!ws_loop_is_done(r.loop));
    peer_close_frame(&p, 1001, "");
    pump(&r);
    peer_drop(&p, false);
    STEP_UNTIL(&r, ws_loop_is_done(r.loop));
    CHECK_EQ(r.n_closes, 1);
    rig_end(&r);
}

/* It comes behind the step's look at whether to stop, and its wake-up is taken by the same step. */
static void test_a_stop_within_a_step(void) {
    struct rig r;
    struct peer p;
    init(&r);
    begin(&r);
    open_peer(&r, &p);
    to_stop = r.server;
    step(&r);
    CHECK(is_readable(0));
    STEP_UNTIL(&r, strstr(p.said.text, "close1001:"));
    peer_drop(&p, false);
    STEP_UNTIL(&r, ws_loop_is_done(r.loop));
    rig_end(&r);
}

static void test_a_stop_before_the_first_step(void) {
    struct rig r;
    rig_init(&r, WS_STRATEGY_EPOLL);
    rig_bind(&r);
    ws_server_stop(r.server);
    begin(&r);
    CHECK(is_readable(0));
    run_down(&r);
    CHECK(ws_loop_is_done(r.loop));
    rig_end(&r);
}

/* The run ends whatever is open; the descriptors are closed (rig_end counts them), once: the number
 * is somebody else's then. */
static void test_an_end_amid_it(void) {
    struct rig r;
    struct peer p;
    rig_init(&r, WS_STRATEGY_EPOLL);
    begin(&r);
    int timer = r.loop->timer_fd;
    open_peer(&r, &p);
    ws_loop_end(r.loop);
    CHECK(fcntl(fd, F_GETFD) < 0);
    CHECK(fcntl(timer, F_GETFD) < 0);
    CHECK_EQ(dup2(STDERR_FILENO, fd), fd);
    CHECK_EQ(dup2(STDERR_FILENO, timer), timer);
    int fds[2] = {fd, timer};
    ws_loop_end(r.loop);
    ws_server_free(r.server);
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(fds[i], F_GETFD) >= 0);
        close(fds[i]);
    }
    peer_free(&p);
    CHECK_EQ(count_fds(), r.n_fds);
}

/* A handler that takes its time is seen by the loop's clock when it ends, not by a timer set too
 * late: the descriptor is readable at once for what has become due. */
static void test_due_while_a_handler_ran(void) {
    struct rig r;
    rig_init(&r, WS_STRATEGY_EPOLL);
    begin(&r);
    run_down(&r);
    struct ws_call *call = ws_call_new(NULL);
    CHECK_EQ(ws_loop_call(r.loop, call, 30, 0), 0);
    run_down(&r);
    usleep(60000);
    CHECK(is_readable(0));
    run_down(&r);
    CHECK(r.loop->tick.calls.n == 0);
    CHECK(!is_readable(0));
    ws_call_unref(call);
    stop(&r);
}

int main(void) {
    RUN(test_other_strategies_have_no_descriptor);
    RUN(test_before_begin);
    RUN(test_readable_when_there_is_work);
    RUN(test_idle_does_not_spin);
    RUN(test_a_deadline_wakes);
    RUN(test_a_call_wakes_in_time);
    RUN(test_a_send_outside_wakes_once);
    RUN(test_a_send_in_a_step_wakes_nobody);
    RUN(test_the_clock_goes_on_between_steps);
    RUN(test_a_stop_of_another_thread);
    RUN(test_a_stop_within_a_step);
    RUN(test_a_stop_before_the_first_step);
    RUN(test_an_end_amid_it);
    RUN(test_due_while_a_handler_ran);
    return check_done();
}
