/* test_call.c: calls at a time: soon, later and again and again, and cancelled at every point of
 * their way: mailbox, heap, batch, their own call; by the owner and by other threads. */
#include "call.h"
#include "loop.h"

#include "rig.h"

/* A call, and what it does when it comes. Told as "NAME!" (called), "NAME." (called, the last time)
 * or "NAME-" (done without a call). */
struct job {
    const char *name;
    struct rig *rig;
    struct ws_call *call;
    void (*act)(struct job *job);
    struct job *other; /* for act */
    int n;             /* how often it was called */
};

static void on_call(void *user, void *object, bool called, bool done) {
    struct rig *r = user;
    struct job *job = object;
    line_add(&r->told, "%s%s", job->name, !called ? "-" : done ? "." : "!");
    if (!called) return;
    job->n++;
    if (job->act) job->act(job);
}

static void begin(struct rig *r) {
    rig_init(r, strategy);
    r->handlers.on_call = on_call;
    rig_begin(r);
}

static struct job job_of(struct rig *r, const char *name) {
    struct job job = {.name = name, .rig = r};
    return job;
}

static void call(struct job *job, uint64_t delay_ms, uint64_t every_ms) {
    job->call = ws_call_new(job);
    CHECK_EQ(ws_loop_call(job->rig->loop, job->call, delay_ms, every_ms), 0);
}

static void cancel(struct job *job) {
    ws_loop_cancel(job->rig->loop, job->call);
}

static void forget(struct job *jobs, int n) {
    for (int i = 0; i < n; i++) {
        ws_call_unref(jobs[i].call);
        jobs[i].call = NULL;
    }
}

#define HOUR 3600000

/* ---- when ---- */

static void test_call_order(void) {
    struct rig r;
    begin(&r);
    struct job j[] = {job_of(&r, "a"), job_of(&r, "b"), job_of(&r, "c"), job_of(&r, "later"),
                      job_of(&r, "last")};
    call(&j[3], 1, 0);
    call(&j[4], 1, 0);
    for (int i = 0; i < 3; i++) call(&j[i], 0, 0);
    CHECK_LINE(r.told, ""); /* not here */
    WAIT_FOR(&r, j[4].n);
    CHECK_LINE(r.told, "a.b.c.later.last.");
    forget(j, 5);
    rig_stop(&r);
}

static void cancel_at_three(struct job *job) {
    if (job->n == 3) cancel(job);
}

static void test_call_every(void) {
    struct rig r;
    begin(&r);
    struct job j = job_of(&r, "e"), last = job_of(&r, "l");
    j.act = cancel_at_three;
    call(&j, 1, 1);
    WAIT_FOR(&r, strchr(r.told.text, '-'));
    call(&last, 2, 0);
    WAIT_FOR(&r, last.n);
    CHECK_LINE(r.told, "e!e!e!e-l.");
    cancel(&j);
    forget(&j, 1);
    forget(&last, 1);
    rig_stop(&r);
    CHECK_LINE(r.told, "e!e!e!e-l.");
}

/* A call that has itself called again, and publishes: what is due at once is due in the next
 * iteration, though a publish takes the mail before. */
static void again_and_publish(struct job *job) {
    struct ws_payload p = {.data = (const uint8_t *)"x", .len = 1, .text = true};
    ws_call_unref(job->call);
    job->call = NULL;
    if (job->n < 100) call(job, 0, 0);
    CHECK_EQ(ws_server_publish(job->rig->server, slice("t"), &p, NULL), 0);
}

static void test_call_soon_is_not_now(void) {
    struct rig r;
    begin(&r);
    struct job j = job_of(&r, "a");
    j.act = again_and_publish;
    call(&j, 0, 0);
    for (int i = 0; i < 50 && j.n < 100; i++) {
        int before = j.n;
        rig_turn(&r);
        CHECK(j.n <= before + 1);
    }
    CHECK(j.n > 10 && j.n < 100);
    UNTIL(&r, j.n == 100);
    rig_stop(&r);
}

static int waited_ms;
static const struct ws_poller_ops *real_ops;

static int note_wait(struct ws_poller *p, struct ws_poller_ready *ready, size_t n, int timeout_ms) {
    waited_ms = timeout_ms;
    return real_ops->wait(p, ready, n, timeout_ms);
}

/* A handler that took long before the wait does not make it longer. */
static void test_call_behind_slow_handler(void) {
    struct rig r;
    begin(&r);
    rig_settle(&r);
    real_ops = r.loop->poller.ops;
    struct ws_poller_ops ops = *real_ops;
    ops.wait = note_wait;
    r.loop->poller.ops = &ops;
    struct job j = job_of(&r, "a");
    call(&j, 100, 0);
    usleep(60000); /* the handler */
    rig_wait(&r);
    CHECK(waited_ms <= 41);
    UNTIL(&r, j.n == 1);
    r.loop->poller.ops = real_ops;
    forget(&j, 1);
    rig_stop(&r);
}

static void test_call_is_never_early(void) {
    enum { N = 100 };
    struct rig r;
    struct job j[N];
    begin(&r);
    for (int i = 0; i < N; i++) {
        j[i] = job_of(&r, "");
        uint64_t before_ns = ws_tick_read_ns();
        call(&j[i], 1000, 0);
        CHECK(j[i].call->node.due_ms * 1000000 >= before_ns + 1000000000);
    }
    rig_end(&r);
    CHECK_EQ(r.told.len, N); /* "-": done, and not called */
    forget(j, N);
}

/* ---- cancelled ---- */

static void cancel_other(struct job *job) {
    cancel(job->other);
}

/* By the owner: in the mailbox, in the heap, in the batch, and when all is over. */
static void test_call_cancel(void) {
    struct rig r;
    begin(&r);
    struct job j[] = {job_of(&r, "mail"), job_of(&r, "heap"), job_of(&r, "first"),
                      job_of(&r, "batch"), job_of(&r, "self")};
    call(&j[0], 0, 0);
    cancel(&j[0]);
    cancel(&j[0]);
    rig_settle(&r);
    CHECK_LINE(r.told, "mail-");

    line_clear(&r.told);
    call(&j[1], HOUR, HOUR);
    cancel(&j[1]);
    CHECK_LINE(r.told, "heap-"); /* at once */
    cancel(&j[1]);

    line_clear(&r.told);
    j[2].act = j[4].act = cancel_other;
    j[2].other = &j[3];
    j[4].other = &j[4];
    call(&j[2], 0, 0);
    call(&j[3], 0, HOUR);
    call(&j[4], 0, 0);
    rig_settle(&r);
    CHECK_LINE(r.told, "first.batch-self.");
    for (int i = 0; i < 5; i++) cancel(&j[i]);
    rig_settle(&r);
    CHECK_LINE(r.told, "first.batch-self.");
    forget(j, 5);
    rig_stop(&r);
}

static void *call_and_cancel(void *arg) {
    struct job *j = arg;
    call(&j[0], 0, 0);
    cancel(&j[0]);
    call(&j[1], HOUR, 0);
    cancel(&j[1]);
    cancel(&j[2]);
    cancel(&j[3]);
    cancel(&j[3]);
    call(&j[4], 0, 0);
    return NULL;
}

/* By another thread: what is told is told in a dispatch. */
static void test_call_cancel_elsewhere(void) {
    struct rig r;
    begin(&r);
    struct job j[] = {job_of(&r, "soon"), job_of(&r, "later"), job_of(&r, "heap"),
                      job_of(&r, "every"), job_of(&r, "last")};
    call(&j[2], HOUR, 0);
    call(&j[3], 0, HOUR);
    rig_settle(&r);
    CHECK_LINE(r.told, "every!");
    line_clear(&r.told);
    on_thread(call_and_cancel, j);
    CHECK_LINE(r.told, "");
    rig_settle(&r);
    for (int i = 0; i < 4; i++) CHECK_EQ(j[i].n, i == 3);
    CHECK_EQ(j[4].n, 1);
    const char *all[] = {"soon-", "later-", "heap-", "every-", "last."};
    for (int i = 0; i < 5; i++) CHECK(strstr(r.told.text, all[i]));
    CHECK_EQ(r.told.len, strlen("soon-later-heap-every-last."));
    forget(j, 5);
    rig_stop(&r);
}

/* Before the run: calls wait for it; one that is cancelled is not called. */
static void test_call_before_the_run(void) {
    struct rig r;
    rig_init(&r, strategy);
    r.handlers.on_call = on_call;
    rig_bind(&r);
    struct job j[] = {job_of(&r, "a"), job_of(&r, "b"), job_of(&r, "c")};
    for (int i = 0; i < 3; i++) call(&j[i], i == 2 ? HOUR : 0, 0);
    cancel(&j[0]);
    cancel(&j[2]);
    rig_begin(&r);
    rig_settle(&r);
    CHECK_EQ(j[0].n + j[2].n, 0);
    CHECK_EQ(j[1].n, 1);
    CHECK(strstr(r.told.text, "a-") && strstr(r.told.text, "b.") && strstr(r.told.text, "c-"));
    CHECK_EQ(r.told.len, 6);
    forget(j, 3);
    rig_stop(&r);
}

/* ---- the end ---- */

/* Whoever holds the object may let go of it: nothing is told any more. */
static void test_call_detach(void) {
    struct rig r;
    begin(&r);
    struct job j[] = {job_of(&r, "a"), job_of(&r, "b"), job_of(&r, "c")};
    call(&j[0], 0, 0);
    call(&j[1], HOUR, 0);
    call(&j[2], 1, 1);
    for (int i = 0; i < 3; i++) ws_call_detach(j[i].call);
    cancel(&j[1]);
    forget(j, 3);
    rig_settle(&r);
    rig_stop(&r);
    CHECK_LINE(r.told, "");
}

static void stop_server(struct job *job) {
    ws_server_stop(job->rig->server);
}

/* The run is over while calls stand in the heap, and one stops it. */
static void test_call_at_the_end(void) {
    struct rig r;
    begin(&r);
    struct job j[] = {job_of(&r, "a"), job_of(&r, "b"), job_of(&r, "c")};
    j[2].act = stop_server;
    call(&j[0], HOUR, 0);
    call(&j[1], HOUR, HOUR);
    call(&j[2], 0, 0);
    UNTIL(&r, ws_loop_is_done(r.loop));
    CHECK_LINE(r.told, "c.");
    rig_stop(&r);
    CHECK(strstr(r.told.text, "a-") && strstr(r.told.text, "b-"));
    CHECK_EQ(r.told.len, 6);
    forget(j, 3);
}

/* The loop ends with calls in the batch, in the heap and, posted too late, in the mailbox; then the
 * server goes. Each is told once. */
static void test_call_never_made(void) {
    struct rig r;
    begin(&r);
    struct job j[] = {job_of(&r, "batch"), job_of(&r, "heap"), job_of(&r, "mail"),
                      job_of(&r, "both")};
    call(&j[0], 0, 0);
    call(&j[1], HOUR, 0);
    CHECK_EQ(ws_loop_io(r.loop), 1); /* and no dispatch */
    call(&j[2], 0, 0);
    call(&j[3], 0, 0);
    cancel(&j[3]);
    CHECK_LINE(r.told, "");
    ws_loop_end(r.loop);
    CHECK_LINE(r.told, "batch-mail-both-heap-");
    rig_end(&r);
    CHECK_LINE(r.told, "batch-mail-both-heap-");
    forget(j, 4);
}

static void run_all(void) {
    RUN(test_call_order);
    RUN(test_call_every);
    RUN(test_call_soon_is_not_now);
    RUN(test_call_behind_slow_handler);
    RUN(test_call_is_never_early);
    RUN(test_call_cancel);
    RUN(test_call_cancel_elsewhere);
    RUN(test_call_before_the_run);
    RUN(test_call_detach);
    RUN(test_call_at_the_end);
    RUN(test_call_never_made);
}

int main(void) {
    return run_strategies(run_all);
}
