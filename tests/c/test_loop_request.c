/* test_loop_request.c: requests that the caller answers, at once or later. */
#include "rig.h"

#define OUR_HEAD "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
#define OUR_ANSWER OUR_HEAD "fine\n"
#define PLAIN(method) method " /x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

/* What on_request does, and whom it was asked for last. */
static enum { ACCEPT, ANSWER, LATER } what;
static struct ws_conn *asked; /* owned: a reference */
static int n_asked;

static void keep(struct ws_conn *c) {
    if (asked) ws_conn_unref(asked);
    asked = c;
    if (c) ws_conn_ref(c);
}

static int answer_it(struct ws_conn *c) {
    return ws_conn_answer(c, 200, OUR_ANSWER, strlen(OUR_HEAD), strlen(OUR_ANSWER));
}

static int accept_it(struct ws_conn *c) {
    return ws_conn_answer(c, 101, NULL, 0, 0);
}

static void on_request(void *user, struct ws_conn *c) {
    (void)user;
    n_asked++;
    keep(c);
    CHECK(!ws_conn_is_open(c));
    CHECK(ws_conn_get_head(c).len > 0);
    if (what == LATER) return;
    CHECK_EQ(what == ACCEPT ? accept_it(c) : answer_it(c), 0);
    CHECK_EQ(accept_it(c), WS_ERR_CLOSED); /* once */
}

static void rig_ask(struct rig *r, int answer) {
    rig_init(r, strategy);
    r->handlers.on_request = on_request;
    what = answer;
    n_asked = 0;
    rig_begin(r);
    ws_server_want(r->server, WS_WANT_REQUEST);
}

static void test_accepted_at_once(void) {
    struct rig r;
    struct peer p;
    rig_ask(&r, ACCEPT);
    r.echo = true;
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    p.proto.role = WS_ROLE_CLIENT;
    peer_text(&p, "behind");
    UNTIL(&r, p.n_messages == 1);
    CHECK(peer_answer_is(&p, PEER_ANSWER));
    CHECK_LINE(r.told, "open1;ascii1:behind;");
    CHECK_EQ(n_asked, 1);
    keep(NULL);
    rig_stop(&r);
}

/* What comes behind the request waits with it. */
static void test_accepted_later(void) {
    struct rig r;
    struct peer p;
    rig_ask(&r, LATER);
    r.echo = true;
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    p.proto.role = WS_ROLE_CLIENT;
    peer_text(&p, "behind");
    UNTIL(&r, n_asked == 1);
    rig_settle(&r);
    CHECK_LINE(r.told, "");
    CHECK_EQ(p.head.len, 0);
    CHECK_EQ(accept_it(asked), 0);
    CHECK_EQ(answer_it(asked), WS_ERR_CLOSED);
    UNTIL(&r, p.n_messages == 1);
    CHECK(peer_answer_is(&p, PEER_ANSWER));
    CHECK_LINE(r.told, "open1;ascii1:behind;");
    CHECK_EQ(n_asked, 1);
    CHECK_EQ(answer_it(asked), WS_ERR_CLOSED); /* it is open */
    keep(NULL);
    rig_stop(&r);
}

static void check_said(int answer, const char *request, const char *expected) {
    struct rig r;
    struct peer p;
    rig_ask(&r, answer);
    peer_connect(&r, &p, false);
    peer_say(&p, request);
    UNTIL(&r, n_asked == 1);
    if (answer == LATER) CHECK_EQ(answer_it(asked), 0);
    UNTIL(&r, p.eof);
    CHECK(peer_answer_starts(&p, expected));
    if (expected[9] == '2') CHECK_EQ(p.head.len, strlen(expected));
    CHECK_LINE(r.told, "");
    CHECK_EQ(stats_of(&r).refused, expected[9] != '2');
    CHECK_EQ(stats_of(&r).opened, 0);
    keep(NULL);
    rig_stop(&r);
}

static void test_answered(void) {
    check_said(ANSWER, PEER_REQUEST, OUR_ANSWER);
    check_said(LATER, PEER_REQUEST, OUR_ANSWER);
    check_said(ANSWER, PLAIN("GET"), OUR_ANSWER);
    check_said(LATER, PLAIN("GET"), OUR_ANSWER);
    check_said(ANSWER, PLAIN("HEAD"), OUR_HEAD);
    check_said(ACCEPT, PLAIN("GET"), "HTTP/1.1 426 Upgrade Required\r\n");
    check_said(ACCEPT, PLAIN("HEAD"), "HTTP/1.1 426 Upgrade Required\r\n");
}

static void test_refused_without_being_asked(void) {
    struct rig r;
    struct peer p;
    rig_ask(&r, ACCEPT);
    peer_connect(&r, &p, false);
    peer_say(&p, PLAIN("POST"));
    UNTIL(&r, p.eof);
    CHECK(peer_answer_starts(&p, "HTTP/1.1 405 "));
    CHECK_EQ(n_asked, 0);
    rig_stop(&r);
}

/* The peer resets the connection before the answer. */
static void test_reset_before_the_answer(void) {
    struct rig r;
    struct peer p;
    rig_ask(&r, LATER);
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    UNTIL(&r, n_asked == 1);
    peer_drop(&p, true);
    rig_settle(&r);
    CHECK_LINE(r.told, "");
    /* select tells nothing of a descriptor that it does not read: there the answer finds the end.
     */
    if (accept_it(asked) == 0) UNTIL(&r, r.n_closes == 1);
    else CHECK(strategy != WS_STRATEGY_SELECT);
    rig_settle(&r);
    CHECK_EQ(accept_it(asked), WS_ERR_CLOSED);
    CHECK_EQ(ws_conn_end_busy(asked), 0); /* nothing any more */
    rig_settle(&r);
    keep(NULL);
    rig_stop(&r);
}

static void test_stopped_before_the_answer(void) {
    struct rig r;
    struct peer p;
    rig_ask(&r, LATER);
    peer_connect(&r, &p, false);
    peer_say(&p, PEER_REQUEST);
    UNTIL(&r, n_asked == 1);
    ws_server_stop(r.server);
    UNTIL(&r, ws_loop_is_done(r.loop));
    CHECK_EQ(accept_it(asked), WS_ERR_CLOSED);
    CHECK_LINE(r.told, "");
    keep(NULL);
    rig_stop(&r);
}

static void run_all(void) {
    RUN(test_accepted_at_once);
    RUN(test_accepted_later);
    RUN(test_answered);
    RUN(test_refused_without_being_asked);
    RUN(test_reset_before_the_answer);
    RUN(test_stopped_before_the_answer);
}

int main(void) {
    return run_strategies(run_all);
}
