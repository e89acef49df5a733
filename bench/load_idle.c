/* load_idle.c: opens connections, some at a time, and looks at the server's memory before and
 * after. It does NOT send a message, nor answer a ping: it is done before the first is due. */
#include "load_idle.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_base.h"
#include "load_dial.h"
#include "load_memory.h"

enum { BATCH = 32 /* handshakes under way at once: fewer than any server's listen() takes */ };

struct idle {
    const struct options *opt;
    int *fds; /* owns; of all that are open */
    size_t n;
    uint64_t rng;
    struct greeting greetings[BATCH];
};

static int idle_open(struct idle *l, size_t n) {
    while (l->n < n) {
        size_t first = l->n, batch = min_size(n - first, BATCH);
        for (size_t i = 0; i < batch; i++) {
            int status = dial_begin(l->opt, &l->rng, first + i, &l->greetings[i]);
            if (l->greetings[i].fd >= 0) l->fds[l->n++] = l->greetings[i].fd;
            if (status < 0) return -1;
        }
        for (size_t i = 0; i < batch; i++)
            if (dial_end(&l->greetings[i], l->opt, first + i) < 0) return -1;
    }
    return 0;
}

static double each(uint64_t before, uint64_t after, size_t n) {
    return ((double)after - (double)before) / (double)n;
}

static void idle_report(const struct options *o, const struct memory *before,
                        const struct memory *after) {
    double priv = each(before->private_, after->private_, o->connections);
    double anonymous = each(before->anonymous, after->anonymous, o->connections);
    printf(o->json ? "{\"idle\": true, \"connections\": %zu, \"private_bytes\": %.1f, "
                     "\"anonymous_bytes\": %.1f}\n"
                   : "connections    %zu\nmemory of each %.0f bytes private, %.0f anonymous\n",
           o->connections, priv, anonymous);
}

/* The first connection is open before the first look: what the server makes but once is not what a
 * connection costs. */
static int idle_measure(struct idle *l) {
    struct memory before, after;
    if (getrandom(&l->rng, sizeof l->rng, 0) < 0) return fail("getrandom");
    l->rng |= 1;
    if (idle_open(l, 1) < 0 || memory_settle(l->opt->pid, &before) < 0) return -1;
    if (idle_open(l, l->opt->connections + 1) < 0 || memory_settle(l->opt->pid, &after) < 0)
        return -1;
    idle_report(l->opt, &before, &after);
    return 0;
}

int idle_run(const struct options *o) {
    struct linger now = {.l_onoff = 1}; /* a reset: nothing stays behind in TIME_WAIT */
    struct idle *l = calloc(1, sizeof *l);
    int status = 1;
    if (l) l->fds = calloc(o->connections + 1, sizeof *l->fds);
    if (l && l->fds) {
        l->opt = o;
        status = idle_measure(l) < 0;
        for (size_t i = 0; i < l->n; i++) {
            setsockopt(l->fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(l->fds[i]);
        }
        free(l->fds);
    } else fail("out of memory");
    free(l);
    return status;
}
