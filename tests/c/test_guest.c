/* test_guest.c: the caller's descriptors on the loop: events, what a callback may do, and what
 * other threads ask for, with connections beside them. */
#include "guest.h"

#include "rig.h"

#include <fcntl.h>
#include <sys/resource.h>

/* A registered descriptor with its other end. Told as "NAME:EVENTS ", letters of i, p, o, e, h, n;
 * "NAME- ": it has left. */
struct client {
    const char *name;
    struct rig *rig;
    int fd, other;
    struct ws_guest *guest;
    void (*act)(struct client *c);
    struct client *next; /* for act */
    int n;               /* how often it was told */
    bool left;
};

static void on_guest(void *user, void *object, uint32_t events) {
    struct rig *r = user;
    struct client *c = object;
    if (!events) {
        line_add(&r->told, "%s- ", c->name);
        c->left = true;
        return;
    }
    char text[8];
    size_t n = 0;
    for (int bit = 0; bit < 6; bit++)
        if (events & 1u << bit) text[n++] = "ipoehn"[bit];
    text[n] = 0;
    line_add(&r->told, "%s:%s ", c->name, text);
    c->n++;
    if (c->act) c->act(c);
}

static void on_log(void *user, enum ws_log level, struct ws_slice line) {
    struct rig *r = user;
    (void)level;
    (void)line;
    line_add(&r->told, "log ");
}

static void begin(struct rig *r) {
    rig_init(r, strategy);
    r->handlers.on_guest = on_guest;
    r->handlers.on_log = on_log;
    rig_begin(r);
    ws_server_set_log_level(r->server, WS_LOG_WARNING);
    rig_settle(r);
}

static struct client client_of(struct rig *r, const char *name) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) exit(2);
    r->n_fds += 2; /* they outlive it */
    return (struct client){.name = name, .rig = r, .fd = fds[0], .other = fds[1]};
}

static int enter(struct client *c, uint32_t events) {
    if (!c->guest) c->guest = ws_guest_new(c->fd, c);
    return ws_loop_register(c->rig->loop, c->guest, events);
}

static int leave(struct client *c) {
    return ws_loop_unregister(c->rig->loop, c->guest);
}

/* Closes one of its ends before the loop's end. */
static void drop(struct client *c, int *fd) {
    close(*fd);
    *fd = -1;
    c->rig->n_fds--;
}

static void forget(struct client *c) {
    ws_guest_unref(c->guest);
    if (c->fd >= 0) close(c->fd);
    if (c->other >= 0) close(c->other);
}

static void put(struct client *c) {
    CHECK_EQ(write(c->other, "x", 1), 1);
}

static void take(struct client *c) {
    char byte;
    CHECK_EQ(read(c->fd, &byte, 1), 1);
}

static void *leave_elsewhere(void *arg) {
    struct client *c = arg;
    CHECK_EQ(leave(c), 0);
    ws_guest_detach(c->guest); /* the loop stands still: as under the lock */
    return NULL;
}

static void test_guest_ready(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a"), b = client_of(&r, "b");
    a.act = take;
    CHECK_EQ(enter(&a, WS_POLL_IN), 0);
    CHECK_EQ(enter(&b, WS_POLL_OUT), 0);
    CHECK_EQ(r.loop->n_guests, 2);
    CHECK_LINE(r.told, "");
    UNTIL(&r, b.n == 2); /* level-triggered */
    CHECK_EQ(enter(&b, 0), 0);
    line_clear(&r.told);
    put(&a);
    UNTIL(&r, a.n == 1);
    rig_settle(&r);
    CHECK_LINE(r.told, "a:i ");
    CHECK_EQ(enter(&a, WS_POLL_IN | WS_POLL_OUT), 0);
    put(&a);
    UNTIL(&r, a.n == 2);
    CHECK_LINE(r.told, "a:i a:io ");
    CHECK_EQ(leave(&a), 0);
    CHECK_EQ(leave(&a), 0);
    CHECK_EQ(leave(&b), 0);
    CHECK_EQ(r.loop->n_guests, 0);
    put(&a);
    rig_settle(&r);
    CHECK_LINE(r.told, "a:i a:io ");
    rig_stop(&r);
    CHECK_LINE(r.told, "a:i a:io ");
    forget(&a);
    forget(&b);
}

static void test_guest_hang_up(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a");
    CHECK_EQ(enter(&a, WS_POLL_IN), 0);
    drop(&a, &a.other);
    UNTIL(&r, a.n == 1);
    CHECK_LINE(r.told, "a:ih ");
    CHECK_EQ(leave(&a), 0);
    rig_stop(&r);
    forget(&a);
}

static void test_guest_refused(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    rig_init(&r, strategy);
    r.handlers.on_guest = on_guest;
    rig_open(&r, &p, &c, 1);
    struct client file = client_of(&r, "f"), bad = client_of(&r, "b"), own = client_of(&r, "o");
    close(file.fd);
    file.fd = open("/proc/self/exe", O_RDONLY);
    CHECK_EQ(enter(&file, WS_POLL_IN), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EPERM);
    int number = bad.fd;
    drop(&bad, &bad.fd);
    bad.guest = ws_guest_new(number, &bad);
    CHECK_EQ(enter(&bad, WS_POLL_IN), WS_ERR_SYSTEM);
    CHECK_EQ(errno, EBADF);
    /* A connection's is not taken from it. */
    drop(&own, &own.fd);
    own.guest = ws_guest_new(c->fd, &own);
    CHECK_EQ(enter(&own, WS_POLL_IN), WS_ERR_ARGUMENT);
    peer_text(&p, "hello");
    UNTIL(&r, strchr(r.told.text, 'h'));
    CHECK_EQ(r.loop->n_guests, 0);
    rig_stop(&r);
    forget(&file);
    forget(&bad);
    forget(&own);
}

static void test_guest_high_descriptor(void) {
    struct rig r;
    begin(&r); /* has raised the limit */
    struct client a = client_of(&r, "a");
    int high = fcntl(a.fd, F_DUPFD, FD_SETSIZE);
    CHECK(high >= FD_SETSIZE);
    close(a.fd);
    a.fd = high;
    bool is_select = strategy == WS_STRATEGY_SELECT;
    CHECK_EQ(enter(&a, WS_POLL_OUT), is_select ? WS_ERR_LIMIT : 0);
    if (!is_select) UNTIL(&r, a.n == 1);
    CHECK_EQ(leave(&a), 0);
    rig_stop(&r);
    forget(&a);
}

/* ---- callbacks that change things ---- */

static void leave_both(struct client *c) {
    CHECK_EQ(leave(c), 0);
    CHECK_EQ(leave(c->next), 0);
}

/* Both are ready in one batch: who comes first takes the other out. */
static void test_guest_leaves_in_its_batch(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a"), b = client_of(&r, "b");
    a.act = b.act = leave_both;
    a.next = &b;
    b.next = &a;
    CHECK_EQ(enter(&a, WS_POLL_OUT), 0);
    CHECK_EQ(enter(&b, WS_POLL_OUT), 0);
    UNTIL(&r, a.n + b.n);
    rig_settle(&r);
    CHECK_EQ(a.n + b.n, 1);
    rig_stop(&r);
    forget(&a);
    forget(&b);
}

/* Unregisters the other, closes it, and registers a third with its number, which is not ready. */
static void replace(struct client *c) {
    struct client *old = c->next, *third = old->next;
    CHECK_EQ(leave(c), 0);
    CHECK_EQ(leave(old), 0);
    CHECK_EQ(dup2(third->fd, old->fd), old->fd);
    int number = old->fd;
    drop(third, &third->fd);
    third->fd = number;
    old->fd = -1;
    CHECK_EQ(enter(third, WS_POLL_IN), 0);
}

static void test_guest_number_is_reused_in_its_batch(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a"), b = client_of(&r, "b"), c = client_of(&r, "c");
    CHECK_EQ(enter(&a, WS_POLL_OUT), 0);
    CHECK_EQ(enter(&b, WS_POLL_OUT), 0);
    CHECK_EQ(ws_loop_io(r.loop), 1);
    CHECK_EQ(r.loop->tick.batch.n, 2); /* both are told; who is first? */
    bool is_a = r.loop->tick.batch.events[0].key == a.guest->place;
    struct client *first = is_a ? &a : &b, *second = is_a ? &b : &a;
    first->act = replace;
    first->next = second;
    second->next = &c;
    ws_loop_dispatch(r.loop);
    CHECK_EQ(first->n, 1);
    rig_settle(&r);
    CHECK_EQ(first->n, 1);
    CHECK_EQ(second->n + c.n, 0);
    put(&c);
    UNTIL(&r, c.n);
    CHECK_EQ(leave(&c), 0);
    rig_stop(&r);
    forget(&a);
    forget(&b);
    forget(&c);
}

static void stop(struct client *c) {
    ws_server_stop(c->rig->server);
}

static void test_guest_stops(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a");
    a.act = stop;
    CHECK_EQ(enter(&a, WS_POLL_OUT), 0);
    UNTIL(&r, ws_loop_is_done(r.loop));
    CHECK_LINE(r.told, "a:o ");
    rig_end(&r);
    CHECK_LINE(r.told, "a:o a- ");
    CHECK_EQ(fcntl(a.fd, F_GETFD), 0); /* it is ours */
    forget(&a);
}

/* ---- closed without a word ---- */

static void test_guest_closed(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a"), b = client_of(&r, "b");
    b.act = take;
    CHECK_EQ(enter(&a, WS_POLL_IN), 0);
    CHECK_EQ(enter(&b, WS_POLL_IN), 0);
    drop(&a, &a.fd);
    put(&b);
    UNTIL(&r, b.n == 1);
    rig_settle(&r);
    if (strategy == WS_STRATEGY_EPOLL) { /* the kernel has forgotten it */
        CHECK_LINE(r.told, "b:i ");
        CHECK_EQ(leave(&a), 0);
    } else {
        CHECK_EQ(a.n, 1);
        CHECK(a.left);
        CHECK(strstr(r.told.text, "a:n a- ") != NULL);
        CHECK(strstr(r.told.text, "log ") != NULL);
    }
    CHECK_EQ(r.loop->n_guests, 1);
    CHECK_EQ(leave(&b), 0);
    rig_stop(&r);
    forget(&a);
    forget(&b);
}

/* How many descriptors the poller would tell of at once. */
static int count_ready(struct rig *r) {
    struct ws_poller_ready ready[8];
    return r->loop->poller.ops->wait(&r->loop->poller, ready, 8, 0);
}

/* Closed here, open elsewhere: epoll would report it for ever. All else is watched as before. */
static void test_guest_ghost(void) {
    struct rig r;
    struct peer p;
    begin(&r);
    peer_open(&r, &p);
    line_clear(&r.told);
    struct client a = client_of(&r, "a"), b = client_of(&r, "b");
    b.act = take;
    int elsewhere = dup(a.fd);
    CHECK_EQ(enter(&a, WS_POLL_IN), 0);
    CHECK_EQ(enter(&b, WS_POLL_IN), 0);
    drop(&a, &a.fd);
    put(&a);
    UNTIL(&r, a.left);
    CHECK_LINE(r.told, "a:n a- log ");
    rig_settle(&r);
    CHECK_EQ(count_ready(&r), 0);
    CHECK(!r.loop->is_haunted || strategy != WS_STRATEGY_EPOLL);
    line_clear(&r.told);
    put(&b);
    UNTIL(&r, b.n == 1);
    peer_text(&p, "hello");
    UNTIL(&r, strstr(r.told.text, "hello"));
    struct peer second;
    peer_open(&r, &second);
    on_thread(leave_elsewhere, &b);
    UNTIL(&r, r.loop->n_guests == 0);
    close(elsewhere);
    rig_stop(&r);
    forget(&a);
    forget(&b);
}

/* The same, taken out by its user, but too late. */
static void test_guest_ghost_unregistered(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a");
    int elsewhere = dup(a.fd);
    CHECK_EQ(enter(&a, WS_POLL_IN), 0);
    drop(&a, &a.fd);
    put(&a);
    CHECK_EQ(leave(&a), 0);
    rig_settle(&r);
    CHECK_LINE(r.told, "");
    CHECK_EQ(count_ready(&r), 0);
    close(elsewhere);
    rig_stop(&r);
    forget(&a);
}

/* A callback may unregister what it is told NVAL of. */
static void leave_it(struct client *c) {
    CHECK_EQ(leave(c), 0);
}

static void test_guest_closed_and_unregistered(void) {
    struct rig r;
    if (strategy == WS_STRATEGY_EPOLL) return;
    begin(&r);
    struct client a = client_of(&r, "a");
    a.act = leave_it;
    CHECK_EQ(enter(&a, WS_POLL_IN), 0);
    drop(&a, &a.fd);
    UNTIL(&r, a.n);
    rig_settle(&r);
    CHECK_LINE(r.told, "a:n ");
    rig_stop(&r);
    forget(&a);
}

/* The descriptor becomes a connection's: it is served, whatever becomes of the guest. */
static void test_guest_number_becomes_a_connections(void) {
    struct rig r;
    struct peer p;
    begin(&r);
    struct client a = client_of(&r, "a");
    CHECK_EQ(enter(&a, WS_POLL_IN), 0);
    int first = dup(0);
    close(first);
    int fds[64], n = 0; /* takes the numbers below a's, and leaves its own */
    while (first < a.fd && n < 64 && (fds[n] = dup(0)) < a.fd) n++;
    if (n < 64 && fds[n] > a.fd) close(fds[n]);
    peer_connect(&r, &p, false);
    drop(&a, &a.fd);
    peer_say(&p, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    UNTIL(&r, p.eof);
    CHECK(peer_answer_starts(&p, "HTTP/1.1 421 "));
    CHECK_EQ(a.n, 1);
    CHECK(a.left);
    CHECK(strstr(r.told.text, "a:n ") != NULL);
    for (int i = 0; i < n; i++) close(fds[i]);
    peer_free(&p);
    r.n_peers = 0;
    rig_stop(&r);
    forget(&a);
}

/* ---- other threads, other times ---- */

static void *enter_elsewhere(void *arg) {
    CHECK_EQ(enter(arg, WS_POLL_OUT), 0);
    return NULL;
}

static void test_guest_elsewhere(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a");
    on_thread(enter_elsewhere, &a);
    CHECK_EQ(r.loop->n_guests, 0);
    UNTIL(&r, a.n == 1);
    on_thread(enter_elsewhere, &a); /* changes it */
    UNTIL(&r, a.n == 2);
    on_thread(leave_elsewhere, &a);
    int told = a.n;
    rig_settle(&r);
    CHECK_EQ(a.n, told);
    CHECK_EQ(r.loop->n_guests, 0);
    rig_stop(&r);
    forget(&a);
}

/* Mail goes first: the owner may register what another thread has just unregistered. */
static void test_guest_mail_goes_first(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a"), b = a;
    b.name = "b";
    CHECK_EQ(enter(&a, WS_POLL_OUT), 0);
    on_thread(leave_elsewhere, &a);
    CHECK_EQ(enter(&b, WS_POLL_OUT), 0);
    UNTIL(&r, b.n == 2);
    CHECK_EQ(a.n, 0);
    CHECK_EQ(leave(&b), 0);
    rig_stop(&r);
    forget(&a);
    b.fd = b.other = -1;
    forget(&b);
}

/* Closed between the mail and its reading. */
static void test_guest_closed_in_the_mail(void) {
    struct rig r;
    begin(&r);
    struct client a = client_of(&r, "a");
    on_thread(enter_elsewhere, &a);
    drop(&a, &a.fd);
    UNTIL(&r, a.left);
    CHECK_LINE(r.told, "a:n a- log ");
    CHECK_EQ(r.loop->n_guests, 0);
    rig_stop(&r);
    forget(&a);
}

static void test_guest_before_the_run(void) {
    struct rig r;
    rig_init(&r, strategy);
    r.handlers.on_guest = on_guest;
    rig_bind(&r);
    struct client a = client_of(&r, "a"), b = client_of(&r, "b");
    CHECK_EQ(enter(&a, WS_POLL_OUT), 0);
    CHECK_EQ(enter(&b, WS_POLL_OUT), 0);
    CHECK_EQ(leave(&b), 0);
    rig_begin(&r);
    UNTIL(&r, a.n == 1);
    CHECK_LINE(r.told, "a:o ");
    rig_stop(&r);
    CHECK(a.left && !b.left);
    forget(&a);
    forget(&b);
}

static void test_guest_never_run(void) {
    struct rig r;
    rig_init(&r, strategy);
    r.handlers.on_guest = on_guest;
    rig_bind(&r);
    struct client a = client_of(&r, "a");
    CHECK_EQ(enter(&a, WS_POLL_OUT), 0);
    rig_end(&r);
    CHECK_LINE(r.told, "a- ");
    forget(&a);
}

/* In the mail, in the batch, in the table. */
static void test_guest_at_the_end(void) {
    struct rig r;
    begin(&r);
    struct client mail = client_of(&r, "mail"), batch = client_of(&r, "batch"),
                  table = client_of(&r, "table");
    CHECK_EQ(enter(&table, WS_POLL_IN), 0);
    CHECK_EQ(enter(&batch, WS_POLL_OUT), 0);
    CHECK_EQ(ws_loop_io(r.loop), 1); /* and no dispatch */
    on_thread(enter_elsewhere, &mail);
    ws_loop_end(r.loop);
    CHECK_EQ(mail.n + batch.n + table.n, 0);
    CHECK(mail.left && batch.left && table.left);
    rig_end(&r);
    forget(&mail);
    forget(&batch);
    forget(&table);
}

static void test_guest_many(void) {
    struct rig r;
    begin(&r);
    struct client c[40];
    for (int i = 0; i < 40; i++) {
        c[i] = client_of(&r, "c");
        CHECK_EQ(enter(&c[i], WS_POLL_OUT), 0);
    }
    for (int i = 0; i < 40; i += 2) CHECK_EQ(leave(&c[i]), 0);
    rig_turn(&r);
    rig_turn(&r);
    for (int i = 0; i < 40; i++) CHECK_EQ(c[i].n > 0, i % 2);
    for (int i = 0; i < 40; i += 2) CHECK_EQ(enter(&c[i], WS_POLL_OUT), 0);
    CHECK_EQ(r.loop->n_guests, 40);
    rig_turn(&r);
    rig_turn(&r);
    for (int i = 0; i < 40; i++) CHECK(c[i].n > 0);
    rig_stop(&r);
    for (int i = 0; i < 40; i++) {
        CHECK(c[i].left);
        forget(&c[i]);
    }
}

static void run_all(void) {
    RUN(test_guest_ready);
    RUN(test_guest_hang_up);
    RUN(test_guest_refused);
    RUN(test_guest_high_descriptor);
    RUN(test_guest_leaves_in_its_batch);
    RUN(test_guest_number_is_reused_in_its_batch);
    RUN(test_guest_stops);
    RUN(test_guest_closed);
    RUN(test_guest_closed_and_unregistered);
    RUN(test_guest_ghost);
    RUN(test_guest_ghost_unregistered);
    RUN(test_guest_number_becomes_a_connections);
    RUN(test_guest_elsewhere);
    RUN(test_guest_mail_goes_first);
    RUN(test_guest_closed_in_the_mail);
    RUN(test_guest_before_the_run);
    RUN(test_guest_never_run);
    RUN(test_guest_at_the_end);
    RUN(test_guest_many);
}

int main(void) {
    return run_strategies(run_all);
}
