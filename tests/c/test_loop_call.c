/* test_loop_call.c: calls at a time: when they come, and that each is told its end. */
#include "call.h"

#include "rig.h"

static int n_called, n_done;

static void count_call(void *user, void *object, bool called, bool done) {
    (void)user;
    (void)object;
    n_called += called;
    n_done += done;
}

static void rig_begin_calls(struct rig *r) {
    rig_init(r, strategy);
    r->handlers.on_call = count_call;
    n_called = n_done = 0;
    rig_begin(r);
}

static void call_in(struct rig *r, uint64_t delay_ms) {
    struct ws_call *call = ws_call_new(r);
    CHECK_EQ(ws_loop_call(r->loop, call, delay_ms, 0), 0);
    ws_call_unref(call);
}

/* ---- the wait for a call ---- */

static int waited_ms;
static const struct ws_poller_ops *real_ops;

static int note_wait(struct ws_poller *p, struct ws_poller_ready *ready, size_t n, int timeout_ms) {
    waited_ms = timeout_ms;
    return real_ops->wait(p, ready, n, timeout_ms);
}

/* A handler that took long before the wait does not make it longer. */
static void test_call_behind_slow_handler(void) {
    struct rig r;
    rig_begin_calls(&r);
    rig_settle(&r);
    real_ops = r.loop->poller.ops;
    struct ws_poller_ops ops = *real_ops;
    ops.wait = note_wait;
    r.loop->poller.ops = &ops;
    call_in(&r, 100);
    usleep(60000); /* the handler */
    rig_wait(&r);
    CHECK(waited_ms <= 41);
    UNTIL(&r, n_called == 1);
    r.loop->poller.ops = real_ops;
    rig_stop(&r);
}

/* ---- calls that call ---- */

/* Calls itself anew, and sends to a topic, which has mail applied. */
static void call_and_publish(void *user, void *object, bool called, bool done) {
    struct rig *r = user;
    struct ws_payload p = {.data = (const uint8_t *)"x", .len = 1};
    count_call(user, object, called, done);
    if (!called || n_called == 100) return;
    call_in(r, 0);
    CHECK_EQ(ws_server_publish(r->server, slice("topic"), &p, NULL), 0);
}

static void test_call_from_call(void) {
    struct rig r;
    rig_init(&r, strategy);
    r.handlers.on_call = call_and_publish;
    n_called = n_done = 0;
    rig_begin(&r);
    call_in(&r, 0);
    for (int i = 1; i <= 3; i++) {
        UNTIL(&r, n_called >= i);
        CHECK_EQ(n_called, i); /* one in an iteration */
    }
    rig_stop(&r);
    CHECK(n_called < 100);
}

static void test_call_is_never_early(void) {
    struct rig r;
    rig_begin_calls(&r);
    for (int i = 0; i < 100; i++) {
        uint64_t before_ns = ws_tick_read_ns();
        call_in(&r, 1000);
        struct ws_heap *calls = &r.loop->tick.calls;
        CHECK(calls->nodes[calls->n - 1]->due_ms * 1000000 >= before_ns + 1000000000);
    }
    rig_end(&r);
    CHECK(n_called == 0 && n_done == 100);
}

/* One that the loop has not heard of yet. */
static void test_call_at_the_end(void) {
    struct rig r;
    rig_begin_calls(&r);
    call_in(&r, 0);
    ws_loop_end(r.loop);
    CHECK(n_called == 0 && n_done == 1);
    rig_end(&r);
}

static void run_all(void) {
    RUN(test_call_behind_slow_handler);
    RUN(test_call_from_call);
    RUN(test_call_is_never_early);
    RUN(test_call_at_the_end);
}

int main(void) {
    return run_strategies(run_all);
}
