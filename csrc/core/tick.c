/* tick.c: arenas, release list, log lines. See tick.h. */
#include "tick.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define LINES_A_SECOND 10
#define LINE_MAX 512

uint64_t ws_tick_read_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void ws_tick_read_clock(struct ws_tick *t) {
    t->now_ms = t->deflate.now_ms = ws_tick_read_ns() / 1000000;
}

uint32_t ws_tick_random(struct ws_tick *t) {
    /* Knuth's linear congruential generator; its upper half is the better one. */
    t->random = t->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(t->random >> 32);
}

/* A connection that closes amid a visit of the owner's leaves its topics: then the owner has the
 * lock already. */
void ws_tick_lock_topics(struct ws_tick *t) {
    if (ws_tick_is_owner(t) && t->n_holds++ > 0) return;
    pthread_mutex_lock(&t->topics_lock);
}

void ws_tick_unlock_topics(struct ws_tick *t) {
    if (ws_tick_is_owner(t) && --t->n_holds > 0) return;
    pthread_mutex_unlock(&t->topics_lock);
}

int ws_tick_init(struct ws_tick *t) {
    if (getrandom(&t->salt, sizeof t->salt, GRND_NONBLOCK) != (ssize_t)sizeof t->salt)
        t->salt = ws_tick_read_ns(); /* the machine has only just started */
    t->random = t->salt;
    ws_deflate_pool_init(&t->deflate, t->options->deflate_level, t->options->deflate_memory_level);
    ws_tick_read_clock(t);
    ws_timer_wheel_init(&t->wheel, t->now_ms);
    t->in.data = malloc(WS_TICK_ARENA_IN); /* untouched pages cost nothing */
    t->out.data = malloc(WS_TICK_ARENA_OUT);
    if (!t->in.data || !t->out.data) return WS_ERR_MEMORY;
    t->in.cap = WS_TICK_ARENA_IN;
    t->out.cap = WS_TICK_ARENA_OUT;
    return 0;
}

void ws_tick_fini(struct ws_tick *t) {
    free(t->in.data);
    free(t->out.data);
    memset(&t->in, 0, sizeof t->in);
    memset(&t->out, 0, sizeof t->out);
    ws_deflate_pool_fini(&t->deflate);
    ws_queue_sink_fini(&t->released);
    ws_batch_fini(&t->batch);
    ws_heap_fini(&t->calls);
    ws_registry_fini(&t->registry);
}

bool ws_tick_take_room(struct ws_tick *t, size_t len) {
    size_t size = len + WS_MAIL_COST;
    if (atomic_fetch_add_explicit(&t->posted, size, memory_order_relaxed) < WS_TICK_POSTED_MAX)
        return true;
    atomic_fetch_sub_explicit(&t->posted, size, memory_order_relaxed);
    return false;
}

void ws_tick_give_room(struct ws_tick *t, size_t len) {
    atomic_fetch_sub_explicit(&t->posted, len + WS_MAIL_COST, memory_order_relaxed);
}

void ws_tick_post(struct ws_tick *t, struct ws_mail *mail) {
    if (ws_mailbox_post(&t->mailbox, mail)) ws_wake_signal(&t->wake);
}

void ws_tick_give_back(struct ws_tick *t) {
    /* Giving back may run the user's code, which may send and so release more: the list is read
     * anew each time. */
    while (t->released.first) {
        struct ws_msg *m = t->released.first;
        t->released.first = m->next;
        t->handlers->release(t->user, m->object);
        ws_msg_free(m);
    }
    t->released.bytes = 0;
}

/* ---- log ---- */

/* True if a line of this kind may still be written in this second. */
static bool may_log(struct ws_tick *t, enum ws_line kind) {
    uint64_t second = t->now_ms / 1000;
    if (t->line_second != second) {
        t->line_second = second;
        memset(t->n_lines, 0, sizeof t->n_lines);
    }
    if (t->n_lines[kind] >= LINES_A_SECOND) {
        ws_count(&t->counters->suppressed_lines, 1);
        return false;
    }
    t->n_lines[kind]++;
    return true;
}

/* What peers send may stand in a line: nothing in it may move the terminal's cursor or begin
 * another line. */
static void blank_controls(char *line, size_t len) {
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || (unsigned char)line[i] >= 0x7F) line[i] = '?';
}

void ws_tick_log(struct ws_tick *t, enum ws_line kind, enum ws_log level, const char *format, ...) {
    char line[LINE_MAX];
    if ((int)level < atomic_load_explicit(t->log_level, memory_order_relaxed) || !may_log(t, kind))
        return;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < 0) return;
    size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
    blank_controls(line, len);
    struct ws_event ev = {
        .kind = WS_EVENT_LOG, .code = (uint16_t)level, .data = (uint8_t *)line, .len = len};
    if (ws_batch_push_owned(&t->batch, &ev) < 0) ws_count(&t->counters->suppressed_lines, 1);
}
