/* test_server.c: addresses. The rest of the server is tested with the loop, by test_loop_*.c. */
#include "rig.h"

static void test_server_unix(void) {
    struct rig r;
    struct peer p;
    char why[256];
    struct sockaddr_un *un = (struct sockaddr_un *)&r.at;
    rig_init(&r, strategy);
    r.echo = true;
    r.server = ws_server_new(&r.options, &r.handlers, &r);
    r.loop = ws_server_loop(r.server);
    un->sun_family = AF_UNIX;
    snprintf(un->sun_path, sizeof un->sun_path, "/tmp/wspy-test-%ld.sock", (long)getpid());
    r.at_len = sizeof *un;
    CHECK_EQ(ws_server_bind_unix(r.server, un->sun_path, why), 0);
    CHECK_EQ(ws_server_bind_unix(r.server, "/tmp/other", why), WS_ERR_ARGUMENT);
    CHECK_EQ(ws_server_get_port(r.server), 0);
    rig_begin(&r);
    peer_open(&r, &p);
    peer_text(&p, "local");
    UNTIL(&r, p.n_messages == 1);
    CHECK_LINE(p.said, "text:local;");
    CHECK_EQ(access(un->sun_path, F_OK), 0);
    rig_stop(&r);
    CHECK_EQ(access(un->sun_path, F_OK), -1);
}

static void test_server_bind_errors(void) {
    struct rig r;
    char why[256], expected[64];
    rig_init(&r, strategy);
    rig_bind(&r);
    uint16_t port = ws_server_get_port(r.server);
    CHECK(port != 0);
    struct ws_server *other = ws_server_new(&r.options, &r.handlers, &r);
    rig_begin(&r);
    CHECK_EQ(ws_server_bind_tcp(other, "127.0.0.1", port, why), WS_ERR_SYSTEM);
    snprintf(expected, sizeof expected, "cannot listen on 127.0.0.1:%u: ", port);
    CHECK(strncmp(why, expected, strlen(expected)) == 0);
    CHECK_EQ(ws_server_bind_unix(other, "/nonexistent/dir/s", why), WS_ERR_SYSTEM);
    CHECK(strncmp(why, "cannot listen on /nonexistent/dir/s: ", 37) == 0);
    ws_server_free(other);
    rig_stop(&r);
}

/* What cannot be bound is told in words; the server may try another address. */
static void test_server_bind_words(void) {
    struct rig r;
    char why[256], path[200], expected[256];
    rig_init(&r, strategy);
    struct ws_server *s = ws_server_new(&r.options, &r.handlers, &r);
    CHECK_EQ(ws_server_bind_tcp(s, "no host has this name", 80, why), WS_ERR_RESOLVE);
    CHECK(strncmp(why, "cannot listen on no host has this name:80: ", 43) == 0);
    CHECK(strlen(why) > 43);
    memset(path, 'p', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    CHECK_EQ(ws_server_bind_unix(s, path, why), WS_ERR_SYSTEM);
    snprintf(expected, sizeof expected, "cannot listen on %.128s: File name too long", path);
    CHECK(strcmp(why, expected) == 0);
    CHECK_EQ(ws_server_bind_unix(s, "/", why), WS_ERR_SYSTEM);
    CHECK(strcmp(why, "cannot listen on /: File exists") == 0);
    CHECK_EQ(ws_server_get_port(s), 0);
    CHECK_EQ(ws_server_bind_tcp(s, "127.0.0.1", 0, why), 0);
    CHECK(ws_server_get_port(s) > 0);
    CHECK_EQ(ws_server_bind_tcp(s, "127.0.0.1", 0, why), WS_ERR_ARGUMENT);
    CHECK(strcmp(why, "the server has an address already") == 0);
    CHECK_EQ(ws_server_bind_unix(s, "/tmp/other", why), WS_ERR_ARGUMENT);
    CHECK(strcmp(why, "the server has an address already") == 0);
    ws_server_free(s);
    CHECK_EQ(count_fds(), r.n_fds);
}

static void run_all(void) {
    RUN(test_server_unix);
    RUN(test_server_bind_errors);
    RUN(test_server_bind_words);
}

int main(void) {
    return run_strategies(run_all);
}
