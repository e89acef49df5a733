/* loop_end.c: how a run ends: asked to stop, cut short, left to a forked child, given up. */
#include "loop.h"

#include "call.h"
#include "guest.h"

#include <stdlib.h>
#include <string.h>

/* ---- stopping ---- */

void ws_loop_stop(struct ws_loop *l) {
    atomic_store(&l->stop_asked, true);
    /* If the loop has not begun it will see the flag in its first iteration. */
    if (atomic_load(&l->begun)) ws_wake_signal(&l->tick.wake);
}

void ws_loop_begin_stop(struct ws_loop *l) {
    l->stopping = true;
    ws_tick_read_clock(&l->tick);
    ws_loop_take_mail(l); /* what was sent before goes before the close */
    ws_accept_close(l);
    for (uint32_t i = 0; i < l->n_slots; i++) {
        struct ws_conn *c = ws_loop_conn_at(l, i);
        if (!c || c->state == WS_CONN_DEAD) continue;
        if (c->state == WS_CONN_OPEN) ws_conn_close_for(c, WS_CLOSE_SHUTDOWN);
        else if (!c->opened && !ws_queue_n(&c->queue)) ws_conn_die(c);
    }
    if (l->tick.options->shutdown_timeout_ms)
        ws_timer_arm(&l->tick.wheel, &l->shutdown_timer, l->tick.now_ms,
                     l->tick.options->shutdown_timeout_ms);
}

void ws_loop_cut_conns(struct ws_loop *l) {
    l->was_cut = true;
    for (uint32_t i = 0; i < l->n_slots; i++) {
        struct ws_conn *c = ws_loop_conn_at(l, i);
        if (!c || c->state == WS_CONN_DEAD) continue;
        c->busy = false; /* nobody waits for its handler any more */
        if (c->opened && !ws_conn_is_told(c)) ws_conn_end(c, WS_CLOSE_SHUTDOWN);
        else ws_conn_die(c);
    }
}

void ws_loop_cut(struct ws_loop *l) {
    ws_loop_stop(l);
    l->cut_asked = true;
}

bool ws_loop_is_done(const struct ws_loop *l) {
    if (atomic_load_explicit(&l->abandoned, memory_order_relaxed)) return true;
    return l->stopping && l->n_conns == 0 && l->tick.batch.n == 0 && (!l->n_kept || l->was_cut);
}

void ws_loop_keep(struct ws_loop *l) {
    l->n_kept++;
}

void ws_loop_let_go(struct ws_loop *l) {
    if (l->n_kept && --l->n_kept == 0) ws_tick_rouse(&l->tick); /* it may be done now */
}

/* ---- in a forked child ---- */

/* If another thread, which is not here any more, had the lock when the process was forked, the
 * topics may be half changed: then nobody looks at them again. */
static void abandon_topics(struct ws_loop *l) {
    struct ws_tick *t = &l->tick;
    t->n_holds = 0; /* no handler runs under the lock: whoever forked did not have it */
    if (pthread_mutex_trylock(&t->topics_lock) == 0) {
        pthread_mutex_unlock(&t->topics_lock);
        return;
    }
    pthread_mutex_init(&t->topics_lock, NULL);
    memset(&t->topics, 0, sizeof t->topics);
    for (uint32_t i = 0; i < l->n_slots; i++)
        if (ws_loop_conn_at(l, i)) ws_loop_conn_at(l, i)->subscriber = (struct ws_subscriber){0};
}

void ws_loop_abandon(struct ws_loop *l) {
    uintptr_t owner = atomic_load(&l->tick.owner);
    l->is_orphan = owner && !ws_tick_is_owner(&l->tick);
    atomic_store(&l->abandoned, true);
    abandon_topics(l);
    for (uint32_t i = 0; i < l->n_slots; i++) {
        struct ws_conn *c = ws_loop_conn_at(l, i);
        if (!c) continue;
        ws_conn_end_open(c);
        ws_sock_close(c->fd);
        c->fd = -1;
    }
    for (int i = 0; i < l->n_listeners; i++) ws_sock_close(l->listeners[i].fd);
    l->n_listeners = 0; /* the socket file is the parent's */
    ws_sock_close(l->spare_fd);
    ws_sock_close(l->timer_fd);
    l->spare_fd = l->timer_fd = -1;
    ws_wake_fini(&l->tick.wake); /* shared with the parent: a signal here would wake its loop */
    if (l->has_poller) ws_sock_close(l->poller.fd);
    l->poller.fd = -1;
}

/* ---- giving up ---- */

/* Gives up what mail holds that nobody will apply. */
static void return_mail(struct ws_loop *l, struct ws_mail *mail) {
    struct ws_msg *last = ws_msg_unref(mail->msg);
    if (last) {
        l->tick.handlers->release(l->tick.user, last->object);
        ws_msg_free(last);
    }
    if (mail->conn) ws_conn_unref(mail->conn);
    if (mail->kind == WS_MAIL_CALL) ws_call_finish(&l->tick, mail->call);
    else ws_call_unref(mail->call);
    if (mail->kind == WS_MAIL_REGISTER) ws_guest_finish(&l->tick, mail->guest);
    else ws_guest_unref(mail->guest);
}

static void return_all_mail(struct ws_loop *l) {
    struct ws_mail *mail = ws_mailbox_take(&l->tick.mailbox);
    while (mail) {
        struct ws_mail *next = mail->next;
        return_mail(l, mail);
        free(mail);
        mail = next;
    }
}

void ws_loop_end(struct ws_loop *l) {
    struct ws_tick *t = &l->tick;
    bool abandoned = atomic_load(&l->abandoned);
    if (l->has_ended) return;
    l->has_ended = true;
    if (l->is_orphan)
        return; /* lists may be half changed: what they hold is the process's to free */
    t->touched = t->marked = NULL;
    for (size_t i = 0; i < t->batch.n; i++) ws_dispatch_drop(t, &t->batch.events[i]);
    t->batch.n = 0;
    if (!abandoned) ws_accept_close(l);
    for (uint32_t i = 0; i < l->n_slots; i++)
        if (ws_loop_conn_at(l, i)) ws_conn_bury(ws_loop_conn_at(l, i));
    free(l->slots);
    l->slots = NULL;
    l->n_slots = l->n_conns = 0;
    return_all_mail(l); /* calls among it are told that the run is over */
    ws_call_finish_all(t);
    ws_guest_finish_all(l);
    ws_tick_give_back(t);
    if (l->has_poller) ws_poller_fini(&l->poller);
    l->has_poller = false;
    ws_sock_close(l->spare_fd);
    ws_sock_close(l->timer_fd);
    l->spare_fd = l->timer_fd = -1;
    ws_tick_fini(t);
    atomic_store(&t->owner, 0);
}

void ws_loop_fini(struct ws_loop *l) {
    ws_loop_end(l);
    /* A thread may have posted between its look at is_open and the end. */
    return_all_mail(l);
    if (!l->is_orphan) ws_topics_fini(&l->tick.topics);
    pthread_mutex_destroy(&l->tick.topics_lock);
    ws_wake_fini(&l->tick.wake);
    free(l->unix_path);
}
