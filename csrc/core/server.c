/* server.c: options, addresses, pages and counters around the loop; the rest of ws.h's server part.
 */
#include "loop.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ws_server {
    struct ws_options options;
    struct ws_handlers handlers;
    struct ws_handshake_rules rules;
    struct ws_slice *own_hosts; /* owned: the list for a loopback address */
    struct ws_pages pages;
    struct ws_counters counters;
    _Atomic int log_level;
    _Atomic uint32_t wanted; /* enum ws_want, or-ed */
    uint64_t last_id;
    uint16_t port;
    struct ws_loop loop;
};

/* ---- options ---- */

void ws_options_init(struct ws_options *o) {
    *o = (struct ws_options){
        .max_message_size = 1024 * 1024,
        .max_fragments = 131072,
        .max_header_size = 8 * 1024,
        .max_headers = 64,
        .handshake_timeout_ms = 5000,
        .close_timeout_ms = 5000,
        .shutdown_timeout_ms = 10000,
        .message_timeout_ms = 60000,
        .ping_interval_ms = 20000,
        .ping_timeout_ms = 20000,
        .stall_timeout_ms = 60000,
        .control_rate = 100,
        .high_water = 256 * 1024,
        .max_backlog = 1024 * 1024,
        .max_queue = 16,
        .max_topics = 128,
        .max_connections = 0,
        .listen_backlog = 4096,
        .strategy = WS_STRATEGY_AUTO,
        .deflate = {.server_no_takeover = true, .client_no_takeover = true, .window_bits = 12},
        .deflate_level = 6,
        .deflate_memory_level = 5,
        .deflate_threshold = 256,
    };
}

/* A copy of n slices and their bytes in one block. NULL: out of memory. */
static struct ws_slice *copy_slices(const struct ws_slice *items, size_t n) {
    if (n > SIZE_MAX / sizeof *items) return NULL;
    size_t size = n * sizeof *items;
    for (size_t i = 0; i < n; i++) {
        if (items[i].len > SIZE_MAX - size) return NULL;
        size += items[i].len;
    }
    struct ws_slice *copy = malloc(size ? size : 1);
    if (!copy) return NULL;
    char *bytes = (char *)(copy + n);
    for (size_t i = 0; i < n; i++) {
        if (items[i].len) memcpy(bytes, items[i].data, items[i].len);
        copy[i] = (struct ws_slice){bytes, items[i].len};
        bytes += items[i].len;
    }
    return copy;
}

/* What copy_lists copied. */
static void free_lists(struct ws_options *o) {
    free((void *)(uintptr_t)o->origins.items);
    free((void *)(uintptr_t)o->hosts.items);
    free((void *)(uintptr_t)o->subprotocols.items);
}

/* The lists that the options borrow become the server's own. 0 or WS_ERR_MEMORY (nothing kept). */
static int copy_lists(struct ws_options *o) {
    if (o->origins.mode != WS_ALLOW_LIST) o->origins.n = 0;
    if (o->hosts.mode != WS_ALLOW_LIST) o->hosts.n = 0;
    const size_t sizes[] = {o->origins.n, o->hosts.n, o->subprotocols.n};
    const struct ws_slice **lists[] = {&o->origins.items, &o->hosts.items, &o->subprotocols.items};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        *lists[i] = copy_slices(*lists[i], sizes[i]);
        if (*lists[i]) continue;
        while (++i < sizeof lists / sizeof *lists) *lists[i] = NULL;
        free_lists(o);
        return WS_ERR_MEMORY;
    }
    return 0;
}

/* ---- life ---- */

struct ws_server *ws_server_new(const struct ws_options *options,
                                const struct ws_handlers *handlers, void *user) {
    struct ws_server *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->options = *options;
    if (copy_lists(&s->options) < 0) {
        free(s);
        return NULL;
    }
    s->handlers = *handlers;
    s->rules.origins = s->options.origins;
    s->rules.hosts = s->options.hosts;
    s->rules.subprotocols = s->options.subprotocols;
    s->rules.deflate = s->options.deflate;
    atomic_init(&s->log_level, WS_LOG_WARNING);

    struct ws_tick *t = &s->loop.tick;
    ws_loop_init(&s->loop);
    s->loop.listen_backlog = options->listen_backlog;
    t->options = &s->options;
    t->handlers = &s->handlers;
    t->user = user;
    t->rules = &s->rules;
    t->pages = &s->pages;
    t->counters = &s->counters;
    t->log_level = &s->log_level;
    t->wanted = &s->wanted;
    t->last_id = &s->last_id;
    t->simd = ws_simd_detect();
    return s;
}

void ws_server_free(struct ws_server *s) {
    if (!s) return;
    ws_loop_fini(&s->loop);
    ws_pages_fini(&s->pages);
    free_lists(&s->options);
    free(s->own_hosts);
    free(s);
}

struct ws_loop *ws_server_loop(struct ws_server *s) {
    return &s->loop;
}

/* ---- addresses ---- */

static void tell_why(char why[256], const char *where, int err, int gai) {
    char cause[128];
    const char *text = err == WS_ERR_RESOLVE  ? gai_strerror(gai)
                       : err == WS_ERR_SYSTEM ? strerror_r(errno, cause, sizeof cause)
                                              : ws_err_text(err);
    snprintf(why, 256, "cannot listen on %.128s: %.96s", where, text);
}

static bool is_numeric6(const char *host) {
    return strchr(host, ':') != NULL;
}

/* The default rule for `hosts`: a server that only this machine reaches is called by this machine's
 * names; any other name is DNS rebinding. */
static int allow_own_hosts(struct ws_server *s, const char *host) {
    char bracketed[300];
    struct ws_slice items[4] = {{"localhost", 9}, {"127.0.0.1", 9}, {"[::1]", 5}};
    if (s->options.hosts.mode != WS_ALLOW_DEFAULT) return 0;
    for (int i = 0; i < s->loop.n_listeners; i++)
        if (!ws_address_is_loopback(&s->loop.listeners[i].address)) return 0;
    int n = snprintf(bracketed, sizeof bracketed, is_numeric6(host) ? "[%s]" : "%s", host);
    if (n < 0 || (size_t)n >= sizeof bracketed) return WS_ERR_ARGUMENT;
    items[3] = (struct ws_slice){bracketed, (size_t)n};
    s->own_hosts = copy_slices(items, 4);
    if (!s->own_hosts) return WS_ERR_MEMORY;
    s->rules.hosts = (struct ws_allow_list){.mode = WS_ALLOW_LIST, .items = s->own_hosts, .n = 4};
    return 0;
}

int ws_server_bind_tcp(struct ws_server *s, const char *host, uint16_t port, char why[256]) {
    struct ws_loop *l = &s->loop;
    int fds[WS_LISTENERS_MAX], gai = 0;
    struct ws_address addresses[WS_LISTENERS_MAX];
    char where[280];
    const char *name = host ? host : "";

    snprintf(where, sizeof where, is_numeric6(name) ? "[%s]:%u" : "%s:%u", name, port);
    if (l->n_listeners) {
        snprintf(why, 256, "the server has an address already");
        return WS_ERR_ARGUMENT;
    }
    int n = ws_sock_bind_tcp(host, port, fds, addresses, WS_LISTENERS_MAX, &gai, NULL);
    if (n < 0) {
        tell_why(why, where, n, gai);
        return n;
    }
    for (int i = 0; i < n; i++)
        l->listeners[i] = (struct ws_listener){.fd = fds[i], .address = addresses[i]};
    l->n_listeners = n;
    s->port = addresses[0].port;
    int err = allow_own_hosts(s, name);
    if (err < 0) tell_why(why, where, err, 0);
    return err < 0 ? err : 0;
}

int ws_server_bind_unix(struct ws_server *s, const char *path, char why[256]) {
    struct ws_loop *l = &s->loop;
    if (l->n_listeners) {
        snprintf(why, 256, "the server has an address already");
        return WS_ERR_ARGUMENT;
    }
    size_t size = strlen(path) + 1;
    l->unix_path = malloc(size);
    if (!l->unix_path) {
        tell_why(why, path, WS_ERR_MEMORY, 0);
        return WS_ERR_MEMORY;
    }
    memcpy(l->unix_path, path, size);
    int fd = ws_sock_bind_unix(path, &l->unix_dev, &l->unix_ino);
    /* A socket file on which nobody listens looks left behind: the next server would take it. So
     * clients may wait there already before the loop begins. */
    if (fd >= 0 && ws_sock_listen(fd, l->listen_backlog) < 0) {
        ws_sock_close(fd);
        fd = WS_ERR_SYSTEM;
    }
    if (fd < 0) {
        tell_why(why, path, fd, 0);
        free(l->unix_path);
        l->unix_path = NULL;
        return fd;
    }
    l->listeners[0] = (struct ws_listener){.fd = fd};
    l->n_listeners = 1;
    return 0;
}

uint16_t ws_server_get_port(const struct ws_server *s) {
    return s->port;
}

/* ---- pages, counters, control ---- */

int ws_server_page(struct ws_server *s, struct ws_slice path, struct ws_slice body,
                   struct ws_slice content_type, struct ws_slice fields) {
    if (atomic_load(&s->loop.begun)) return WS_ERR_ARGUMENT;
    return ws_pages_add(&s->pages, path, body, content_type, fields);
}

void ws_server_stop(struct ws_server *s) {
    ws_loop_stop(&s->loop);
}

bool ws_server_is_stopping(const struct ws_server *s) {
    return atomic_load_explicit(&s->loop.stop_asked, memory_order_relaxed);
}

void ws_server_abandon(struct ws_server *s) {
    ws_loop_abandon(&s->loop);
}

void ws_server_set_log_level(struct ws_server *s, int level) {
    atomic_store_explicit(&s->log_level, level, memory_order_relaxed);
}

void ws_server_want(struct ws_server *s, unsigned want) {
    atomic_store_explicit(&s->wanted, want, memory_order_relaxed);
}

static uint64_t read_counter(const ws_counter *c) {
    return atomic_load_explicit(c, memory_order_relaxed);
}

void ws_server_get_stats(const struct ws_server *s, struct ws_stats *out) {
    const struct ws_counters *c = &s->counters;
    *out = (struct ws_stats){
        .accepted = read_counter(&c->accepted),
        .shed = read_counter(&c->shed),
        .refused = read_counter(&c->refused),
        .opened = read_counter(&c->opened),
        .closed = read_counter(&c->closed),
        .received = read_counter(&c->received),
        .sent = read_counter(&c->sent),
        .dropped_received = read_counter(&c->dropped_received),
        .dropped_sent = read_counter(&c->dropped_sent) + read_counter(&c->dropped_posted) +
                        read_counter(&c->lost_published),
        .replaced = read_counter(&c->replaced),
        .received_compressed = read_counter(&c->received_compressed),
        .sent_compressed = read_counter(&c->sent_compressed),
        .compressions = read_counter(&c->compressions),
        .suppressed_lines = read_counter(&c->suppressed_lines),
    };
}

bool ws_server_is_utf8(const struct ws_server *s, const uint8_t *data, size_t len) {
    return ws_utf8_is_valid(s->loop.tick.simd, data, len);
}

size_t ws_server_count(const struct ws_server *s) {
    return atomic_load_explicit(&s->loop.tick.n_open, memory_order_relaxed);
}

struct ws_conn *ws_server_find(const struct ws_server *s, uint64_t id) {
    struct ws_registry_node *node = ws_registry_find(&s->loop.tick.registry, id);
    struct ws_conn *c = node ? ws_conn_of_node(node) : NULL;
    return c && ws_conn_is_open(c) ? c : NULL;
}

struct ws_conn *ws_server_next(const struct ws_server *s, const struct ws_conn *after,
                               bool open_only) {
    struct ws_registry_node *node = after ? after->node.next : s->loop.tick.registry.first;
    while (node && open_only && !ws_conn_is_open(ws_conn_of_node(node))) node = node->next;
    return node ? ws_conn_of_node(node) : NULL;
}

const char *ws_close_kind_name(enum ws_close_kind kind) {
    static const char *const names[] = {NULL,           "peer",     "local", "error",   "eof",
                                        "reset",        "protocol", "limit", "backlog", "shutdown",
                                        "ping-timeout", "idle",     "stall"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : NULL;
}
