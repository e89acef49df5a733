/* test_loop_busy.c: handlers that go on after they have returned: what comes next to their
 * connection waits, reading pauses behind too much of it, and who waits for the connection is told
 * of its end at once. */
#include "rig.h"

#include "conn.h"
#include "loop.h"

static void on_gone(void *user, struct ws_conn *c, uint16_t code, struct ws_slice reason) {
    struct rig *r = user;
    line_add(&r->told, "gone%llu:%u:%.*s;", (unsigned long long)ws_conn_id(c), code,
             (int)reason.len, reason.data);
}

static void on_drained(void *user, struct ws_conn *c) {
    struct rig *r = user;
    line_add(&r->told, "drained%llu;", (unsigned long long)ws_conn_id(c));
}

static void on_ponged(void *user, struct ws_conn *c, struct ws_slice data, bool is_own) {
    struct rig *r = user;
    line_add(&r->told, "ponged%llu:%.*s:%s;", (unsigned long long)ws_conn_id(c),
             is_own ? 0 : (int)data.len, data.data, is_own ? "own" : "other");
}

/* A message "b..." has a handler that goes on, "p..." one that goes on and answers nothing. */
static void act(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    (void)r;
    if (m->len && (m->data[0] == 'b' || m->data[0] == 'p'))
        ws_conn_begin_busy(c, m->data[0] == 'b');
}

static void init(struct rig *r) {
    rig_init(r, strategy);
    r->options.ping_interval_ms = 0;
    r->handlers.on_gone = on_gone;
    r->handlers.on_drained = on_drained;
    r->handlers.on_ponged = on_ponged;
    r->act = act;
}

static void end_busy(struct ws_conn *c) {
    CHECK_EQ(ws_conn_end_busy(c), 0);
}

static void say(struct peer *p, const char *texts) {
    for (const char *c = texts; *c; c++) peer_text(p, (char[2]){*c, 0});
}

/* ---- order ---- */

static void test_what_comes_next_waits(void) {
    struct rig r;
    struct peer p[2];
    struct ws_conn *c[2];
    init(&r);
    rig_open(&r, p, c, 2);
    line_clear(&r.told);
    say(&p[0], "abcb");
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:a;ascii1:b;");
    say(&p[0], "d");
    say(&p[1], "xy"); /* others go on */
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:a;ascii1:b;ascii2:x;ascii2:y;");
    line_clear(&r.told);
    end_busy(c[0]);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:c;ascii1:b;"); /* and waits again */
    line_clear(&r.told);
    end_busy(c[0]);
    say(&p[0], "e");
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:d;ascii1:e;");
    CHECK(!ws_conn_lane(c[0]));
    rig_stop(&r);
}

static void begin_on_open(struct rig *r, struct ws_conn *c) {
    (void)r;
    ws_conn_begin_busy(c, true);
}

/* What came behind the request waits for on_open's handler, which may still look at the headers. */
static void check_open(bool drop_headers) {
    struct rig r;
    struct peer p;
    init(&r);
    r.act_open = begin_on_open;
    r.options.drop_headers = drop_headers;
    rig_begin(&r);
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    say(&p, "a");
    rig_settle(&r);
    CHECK_LINE(r.told, "open1;");
    struct ws_conn *c = ws_server_find(r.server, 1);
    CHECK(ws_slice_is(ws_conn_get_head(c), PEER_REQUEST));
    end_busy(c);
    rig_settle(&r);
    CHECK_LINE(r.told, "open1;ascii1:a;");
    CHECK_EQ(ws_slice_is(ws_conn_get_head(c), PEER_REQUEST), !drop_headers);
    rig_stop(&r);
}

static void test_messages_wait_for_open(void) {
    check_open(false);
    check_open(true);
}

/* A ping is answered meanwhile, but on_ping waits. */
static void test_pings_are_answered(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    ws_server_want(r.server, WS_WANT_PING | WS_WANT_PONG);
    line_clear(&r.told);
    say(&p, "b");
    peer_frame(&p, WS_OPCODE_PING, "1", 1);
    rig_settle(&r);
    CHECK_LINE(p.said, "pong:1;");
    CHECK_LINE(r.told, "ascii1:b;");
    end_busy(c);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;ping1:1;");
    rig_stop(&r);
}

static void test_pongs_are_told_meanwhile(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "b");
    ws_conn_await_pongs(c, true);
    CHECK_EQ(ws_conn_ping(c, (const uint8_t *)"mine", 4), WS_SENT);
    CHECK_EQ(ws_conn_ping(c, NULL, 0), WS_SENT);
    rig_settle(&r);
    CHECK(strcmp(r.told.text, "ascii1:b;ponged1:mine:other;ponged1::own;") == 0 ||
          strcmp(r.told.text, "ascii1:b;ponged1::own;ponged1:mine:other;") == 0);
    line_clear(&r.told);
    ws_conn_await_pongs(c, false);
    CHECK_EQ(ws_conn_ping(c, NULL, 0), WS_SENT);
    rig_settle(&r);
    CHECK_LINE(r.told, "");
    end_busy(c);
    rig_stop(&r);
}

/* ---- pausing ---- */

/* Up to max_queue wait while reading goes on; one more ends it. */
static void test_reading_pauses_behind_max_queue(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.max_queue = 3;
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "b");
    rig_settle(&r);
    for (int i = 0; i < 3; i++) {
        say(&p, "m");
        rig_settle(&r);
        CHECK(ws_conn_interest(c) & WS_POLL_IN);
    }
    say(&p, "m");
    rig_settle(&r);
    CHECK(!(ws_conn_interest(c) & WS_POLL_IN));
    size_t waiting = ws_conn_lane(c)->n - ws_conn_lane(c)->head;
    CHECK_EQ(waiting, 4);
    say(&p, "nnnn"); /* they stay in the kernel */
    rig_settle(&r);
    CHECK_EQ(ws_conn_lane(c)->n - ws_conn_lane(c)->head, waiting);
    CHECK_LINE(r.told, "ascii1:b;");
    line_clear(&r.told);
    end_busy(c);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:m;ascii1:m;ascii1:m;ascii1:m;"
                       "ascii1:n;ascii1:n;ascii1:n;ascii1:n;");
    CHECK(ws_conn_interest(c) & WS_POLL_IN);
    rig_stop(&r);
}

/* max_queue 0: nothing is read while a handler goes on. */
static void test_no_queue_at_all(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.max_queue = 0;
    rig_open(&r, &p, &c, 1);
    say(&p, "b");
    rig_settle(&r);
    CHECK(ws_conn_interest(c) & WS_POLL_IN); /* nothing waits yet */
    say(&p, "m");
    rig_settle(&r);
    CHECK(!(ws_conn_interest(c) & WS_POLL_IN));
    end_busy(c);
    rig_settle(&r);
    CHECK_EQ(r.n_messages, 2);
    rig_stop(&r);
}

/* Large messages are received into objects, which wait with the others and are given back. */
static void test_large_messages_wait(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    static char large[LARGE];
    init(&r);
    rig_open(&r, &p, &c, 1);
    memset(large, 'L', sizeof large);
    say(&p, "b");
    rig_settle(&r);
    peer_frame(&p, WS_OPCODE_BINARY, large, sizeof large);
    peer_frame(&p, WS_OPCODE_BINARY, large, sizeof large);
    UNTIL(&r, ws_conn_lane(c) && ws_conn_lane(c)->n == 2);
    CHECK_EQ(r.n_messages, 1);
    CHECK_EQ(r.n_objects, 2);
    CHECK_EQ(r.n_released, 0);
    end_busy(c);
    UNTIL(&r, r.n_messages == 3);
    CHECK_EQ(r.n_released, 2);
    say(&p, "b");
    rig_settle(&r);
    peer_frame(&p, WS_OPCODE_BINARY, large, sizeof large);
    UNTIL(&r, ws_conn_lane(c) && ws_conn_lane(c)->n == 1);
    CHECK_EQ(r.n_objects, 3);
    rig_end(&r); /* amid it: nothing is lost */
}

/* ---- the end ---- */

static void test_close_waits_and_is_told(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "bm");
    peer_close_frame(&p, 4001, "bye");
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;gone1:4001:bye;");
    CHECK(ws_conn_is_open(c));
    CHECK_LINE(p.said, "");
    end_busy(c);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;gone1:4001:bye;ascii1:m;close1:4001/4001:bye/:peer;");
    CHECK_LINE(p.said, "close4001:;");
    rig_stop(&r);
}

static int try_send(struct ws_conn *c) {
    struct ws_payload x = {.data = (const uint8_t *)"x", .len = 1, .text = true};
    return ws_conn_send(c, &x);
}

/* Who answers still can, who only sends cannot: the close is answered when the handler has ended.
 */
static void check_sending(const char *message, bool is_lost, bool waits_already) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    say(&p, message);
    if (!waits_already) {
        rig_settle(&r);
        CHECK_EQ(try_send(c), WS_SENT);
        CHECK(!ws_conn_is_leaving(c));
    }
    peer_close_frame(&p, 1000, "");
    rig_settle(&r);
    line_clear(&p.said);
    CHECK(ws_conn_is_leaving(c));
    CHECK_EQ(ws_conn_is_lost(c), is_lost);
    CHECK_EQ(try_send(c), WS_SENT); /* whoever it was */
    rig_settle(&r);
    CHECK_LINE(p.said, "text:x;");
    end_busy(c);
    rig_settle(&r);
    CHECK_LINE(p.said, "text:x;close1000:;");
    CHECK_EQ(r.n_closes, 1);
    rig_stop(&r);
}

static void test_sending_while_a_close_waits(void) {
    check_sending("b", false, false);
    check_sending("b", false, true);
    check_sending("p", true, false);
    check_sending("p", true, true);
}

/* Its deadline, which is far away, is now. */
static void make_due(struct rig *r, struct ws_conn *c) {
    c->until_ms = (uint32_t)r->loop->tick.now_ms;
    ws_conn_rearm(c);
}

/* The handler goes on sending: that does not put the end off. It is to send no more. */
static void send_until_lost(struct rig *r, struct ws_conn *c) {
    CHECK(ws_conn_is_leaving(c));
    CHECK(!ws_conn_is_lost(c));
    uint32_t far = c->until_ms += 1000000;
    CHECK_EQ(try_send(c), WS_SENT);
    rig_settle(r);
    CHECK_EQ(c->until_ms, far);
    make_due(r, c);
    UNTIL(r, ws_conn_is_lost(c));
    CHECK(!c->broken);
}

/* Each handler has close_timeout, and as much again to end: then the peer has gone. */
static void test_sending_for_ever(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.close_timeout_ms = 60000;
    rig_open(&r, &p, &c, 1);
    say(&p, "bb");
    peer_close_frame(&p, 1000, "");
    rig_settle(&r);
    send_until_lost(&r, c);
    uint32_t far = c->until_ms += 1000000;
    end_busy(c); /* the next one begins */
    rig_settle(&r);
    CHECK(c->until_ms != far);
    send_until_lost(&r, c);
    make_due(&r, c);
    UNTIL(&r, c->broken);
    end_busy(c);
    UNTIL(&r, r.n_closes == 1);
    CHECK(strstr(r.told.text, "close1:1000/0:/:peer;"));
    rig_stop(&r);
}

/* A stream that broke off: nothing goes out behind its parts, whoever's turn it is. */
static void check_stream(bool is_amid) {
    struct ws_payload part = {
        .data = (const uint8_t *)"s", .len = 1, .text = true, .part = WS_PART_FIRST};
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    say(&p, "pb");
    rig_settle(&r);
    CHECK_EQ(ws_conn_stream_begin(c), 0);
    if (is_amid) CHECK_EQ(ws_conn_send(c, &part), WS_SENT);
    CHECK_EQ(ws_conn_stream_begin(c), WS_ERR_ARGUMENT);
    peer_close_frame(&p, 1000, "");
    rig_settle(&r);
    CHECK(ws_conn_is_lost(c));
    ws_conn_stream_break(c, is_amid);
    end_busy(c);
    rig_settle(&r);
    CHECK(ws_conn_is_leaving(c));
    CHECK_EQ(ws_conn_is_lost(c), is_amid);
    CHECK_EQ(ws_conn_stream_begin(c), is_amid ? WS_ERR_CLOSED : 0);
    end_busy(c);
    UNTIL(&r, r.n_closes == 1);
    CHECK(strstr(r.told.text, "close1:1000/1000:/:peer;"));
    rig_stop(&r);
}

static void test_a_stream_breaks_off(void) {
    check_stream(false);
    check_stream(true);
}

static void check_end(bool reset, const char *kind) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    char told[200];
    init(&r);
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "bm");
    rig_settle(&r);
    peer_drop(&p, reset);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;gone1:1006:;");
    CHECK_EQ(r.n_closes, 0);
    CHECK(ws_conn_is_lost(c));
    CHECK_EQ(try_send(c), WS_SENT_DROPPED);
    int turns = 0; /* the dead socket does not keep the loop awake: its slot is not told of again */
    for (; turns < 3; turns++) rig_turn(&r);
    CHECK(!(ws_conn_interest(c) & WS_POLL_IN));
    end_busy(c);
    rig_settle(&r);
    snprintf(told, sizeof told, "ascii1:b;gone1:1006:;ascii1:m;close1:1006/0:/:%s;", kind);
    CHECK_LINE(r.told, told);
    CHECK_EQ(r.loop->n_conns, 0);
    rig_stop(&r);
}

static void test_end_waits_and_is_told(void) {
    check_end(false, "eof");
    check_end(true, "reset");
}

static void test_failure_waits_and_is_told(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "b");
    peer_frame(&p, WS_OPCODE_TEXT, "\xFF", 1);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;gone1:1006:;");
    end_busy(c);
    rig_settle(&r);
    CHECK(strstr(r.told.text, ":protocol;"));
    CHECK_EQ(r.n_closes, 1);
    rig_stop(&r);
}

static void send_much_and_go_on(struct rig *r, struct ws_conn *c, const struct ws_message *m) {
    static uint8_t much[30000];
    struct ws_payload p = {.data = much, .len = sizeof much};
    (void)r;
    if (m->data[0] == 's') CHECK_EQ(ws_conn_send(c, &p), WS_SENT_OVER);
    else ws_conn_begin_busy(c, true);
}

/* The close stood in the lane before, since the peer did not take the answers: whose handler begins
 * in front of it is told all the same. */
static void test_a_close_that_waited_already_is_told(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.high_water = 20000;
    r.act = send_much_and_go_on;
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "sb");
    peer_close_frame(&p, 1000, "");
    UNTIL(&r, strstr(r.told.text, "ascii1:b;"));
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:s;ascii1:b;gone1:1000:;");
    end_busy(c);
    UNTIL(&r, r.n_closes == 1);
    rig_stop(&r);
}

/* A peer that takes nothing more but says nothing of its end either is given up after
 * close_timeout, also when messages of it wait. */
static void test_a_peer_that_only_takes_nothing_more(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.close_timeout_ms = 20;
    rig_bind_unix(&r);
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "bm");
    rig_settle(&r);
    p.quiet = p.deaf = true;
    CHECK_EQ(shutdown(p.fd, SHUT_RD), 0);
    CHECK_EQ(try_send(c), WS_SENT);
    UNTIL(&r, c->broken);
    CHECK(!c->eof);
    UNTIL(&r, ws_conn_is_leaving(c));
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;gone1:1006:;");
    end_busy(c);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;gone1:1006:;ascii1:m;close1:1006/0:/:reset;");
    rig_end(&r);
}

static void hold(struct rig *r, struct ws_conn *c) {
    (void)r;
    ws_conn_ref(c);
}

/* One that was cut while its handler went on leaves the loop; the handler ends later. */
static void check_cut(bool by_timer) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.act_open = hold;
    r.options.shutdown_timeout_ms = by_timer ? 50 : 60000;
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "bmm");
    rig_settle(&r);
    ws_server_stop(r.server);
    rig_settle(&r);
    CHECK(!ws_loop_is_done(r.loop));
    if (!by_timer) {
        peer_drop(&p, false);
        rig_settle(&r);
        CHECK(!ws_loop_is_done(r.loop)); /* on_close waits for the handler */
        CHECK_LINE(r.told, "ascii1:b;gone1:1006:;");
        ws_loop_cut(r.loop);
    }
    WAIT_FOR(&r, ws_loop_is_done(r.loop));
    CHECK_EQ(r.n_closes, 1);
    CHECK(!c->busy);
    end_busy(c); /* it touches nothing any more */
    CHECK(!r.loop->tick.touched && !r.loop->tick.marked);
    ws_conn_unref(c);
    rig_end(&r);
}

static void test_a_cut_frees(void) {
    check_cut(true);
    check_cut(false);
}

/* A handler that begins to go on as its connection is dead already waits for nothing. */
static void test_the_dead_are_not_busy(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.act_open = hold;
    rig_open(&r, &p, &c, 1);
    peer_drop(&p, true);
    rig_settle(&r);
    CHECK_EQ(r.loop->n_conns, 0);
    ws_conn_begin_busy(c, true);
    CHECK(!c->busy);
    end_busy(c);
    CHECK(!r.loop->tick.touched && !r.loop->tick.marked);
    ws_conn_unref(c);
    rig_stop(&r);
}

/* ---- other threads ---- */

static void *end_elsewhere(void *c) {
    CHECK_EQ(ws_conn_end_busy(c), 0);
    return NULL;
}

static void test_end_busy_of_another_thread(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    say(&p, "bm");
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;");
    on_thread(end_elsewhere, c);
    CHECK(c->busy); /* the mail is to be taken */
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;ascii1:m;");
    rig_stop(&r);
}

static void test_end_busy_of_another_thread_too_late(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    rig_open(&r, &p, &c, 1);
    say(&p, "bm");
    rig_settle(&r);
    on_thread(end_elsewhere, c);
    rig_end(&r); /* the mail is given back */
    struct rig s;
    init(&s);
    rig_open(&s, &p, &c, 1);
    say(&p, "b");
    rig_settle(&s);
    ws_loop_cut(s.loop);
    on_thread(end_elsewhere, c); /* taken when the cut has freed it */
    WAIT_FOR(&s, ws_loop_is_done(s.loop));
    rig_end(&s);
}

/* ---- drained ---- */

/* Sends more than the kernel takes. */
static void fill(struct rig *r, struct ws_conn *c) {
    static uint8_t much[100000];
    struct ws_payload p = {.data = much, .len = sizeof much};
    while (!ws_conn_is_over(c)) {
        CHECK(ws_conn_send(c, &p) >= 0);
        rig_turn(r);
    }
}

static void test_drained_is_told_meanwhile(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.high_water = 20000;
    rig_open(&r, &p, &c, 1);
    line_clear(&r.told);
    p.quiet = p.deaf = true;
    CHECK(!ws_conn_await_drain(c)); /* there is nothing to wait for */
    say(&p, "bm");
    rig_settle(&r);
    fill(&r, c);
    CHECK(ws_conn_await_drain(c));
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;");
    p.deaf = false;
    UNTIL(&r, strstr(r.told.text, "drained1;"));
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;drained1;"); /* on_drain waits behind the message */
    end_busy(c);
    rig_settle(&r);
    CHECK_LINE(r.told, "ascii1:b;drained1;ascii1:m;drain1;");
    rig_stop(&r);
}

/* Who waits for a drain is told of a close, too: there is nothing to wait for any more. */
static void test_drained_at_a_close(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.high_water = 20000;
    rig_open(&r, &p, &c, 1);
    p.quiet = p.deaf = true;
    fill(&r, c);
    line_clear(&r.told);
    CHECK(ws_conn_await_drain(c));
    CHECK_EQ(ws_conn_close(c, 1000, slice(""), WS_CLOSE_LOCAL), 0);
    CHECK(!ws_conn_await_drain(c));
    rig_settle(&r);
    CHECK_LINE(r.told, "drained1;");
    rig_end(&r);
}

/* Of a peer that has gone nothing drains: who waits for it is told of the end. */
static void test_no_drained_of_a_peer_that_has_gone(void) {
    struct rig r;
    struct peer p;
    struct ws_conn *c;
    init(&r);
    r.options.high_water = 20000;
    rig_open(&r, &p, &c, 1);
    p.quiet = p.deaf = true;
    say(&p, "b");
    rig_settle(&r);
    fill(&r, c);
    line_clear(&r.told);
    CHECK(ws_conn_await_drain(c));
    peer_drop(&p, true);
    rig_settle(&r);
    CHECK_LINE(r.told, "gone1:1006:;");
    CHECK(ws_conn_is_open(c));
    CHECK(ws_conn_await_drain(c)); /* not at once, or who sends until then would never let go */
    end_busy(c);
    rig_settle(&r);
    CHECK_EQ(r.n_closes, 1);
    CHECK(!strstr(r.told.text, "drained"));
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_what_comes_next_waits);
    RUN(test_messages_wait_for_open);
    RUN(test_pings_are_answered);
    RUN(test_pongs_are_told_meanwhile);
    RUN(test_reading_pauses_behind_max_queue);
    RUN(test_no_queue_at_all);
    RUN(test_large_messages_wait);
    RUN(test_close_waits_and_is_told);
    RUN(test_sending_while_a_close_waits);
    RUN(test_sending_for_ever);
    RUN(test_a_stream_breaks_off);
    RUN(test_end_waits_and_is_told);
    RUN(test_failure_waits_and_is_told);
    RUN(test_a_close_that_waited_already_is_told);
    RUN(test_a_peer_that_only_takes_nothing_more);
    RUN(test_a_cut_frees);
    RUN(test_the_dead_are_not_busy);
    RUN(test_end_busy_of_another_thread);
    RUN(test_end_busy_of_another_thread_too_late);
    RUN(test_drained_is_told_meanwhile);
    RUN(test_drained_at_a_close);
    RUN(test_no_drained_of_a_peer_that_has_gone);
}

int main(void) {
    return run_strategies(run_all);
}
