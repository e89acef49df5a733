/* publish.c: messages for many: to a topic's subscribers, or to everybody.
 *
 * Messages are numbered under the lock of the topics, so that all subscribers see one order: the
 * owner thread delivers at once, after what others have posted; other threads post. A subscription
 * that is younger than a posted message does not get it. */
#include "loop.h"

#include <stdlib.h>
#include <string.h>

/* ---- looking at topics ---- */

int ws_server_get_topics(struct ws_server *s, struct ws_buf *out) {
    struct ws_tick *t = &ws_server_loop(s)->tick;
    const struct ws_topic *topic = NULL;
    int err = 0;
    ws_tick_lock_topics(t);
    while (err == 0 && (topic = ws_topics_next_topic(&t->topics, topic))) {
        uint64_t n = ws_topic_subscribers(topic);
        err = ws_buf_append(out, &n, sizeof n);
        if (err == 0) err = ws_topic_append(out, topic);
    }
    ws_tick_unlock_topics(t);
    return err;
}

ptrdiff_t ws_server_count_subscribers(struct ws_server *s, struct ws_slice name) {
    struct ws_tick *t = &ws_server_loop(s)->tick;
    if (!ws_topic_name_is_valid(name)) return WS_ERR_ARGUMENT;
    ws_tick_lock_topics(t);
    ptrdiff_t n = ws_topic_visit(&t->topics, name, UINT64_MAX, NULL, NULL);
    ws_tick_unlock_topics(t);
    return n;
}

uint8_t *ws_server_room(struct ws_server *s, size_t len) {
    return ws_conn_room(&ws_server_loop(s)->tick, len);
}

uint64_t ws_server_key(const struct ws_server *s, struct ws_slice name) {
    const struct ws_tick *t = &ws_server_loop((struct ws_server *)(uintptr_t)s)->tick;
    uint64_t key = ws_siphash(&t->topics.key, name.data, name.len);
    return key ? key : 1;
}

/* ---- delivery: owner thread, with the lock ---- */

struct delivery {
    struct ws_shared shared;
    uint64_t exclude;  /* id of a connection, or 0 */
    ptrdiff_t n;       /* receivers */
    bool only_counted; /* nothing is delivered */
};

static void deliver_to(struct delivery *d, struct ws_conn *c) {
    if (c->node.id == d->exclude) return;
    d->n++;
    if (!d->only_counted) ws_conn_deliver(c, &d->shared);
}

static void on_visit(void *ctx, struct ws_subscriber *who) {
    char *at = (char *)who - offsetof(struct ws_conn, subscriber);
    deliver_to(ctx, (struct ws_conn *)(void *)at);
}

/* The set of connections changes only when on_close has been called, not here. */
static ptrdiff_t visit_all(struct ws_tick *t, struct delivery *d) {
    for (struct ws_registry_node *node = t->registry.first; node; node = node->next)
        if (ws_conn_of_node(node)->state == WS_CONN_OPEN) deliver_to(d, ws_conn_of_node(node));
    return d->n;
}

/* d->n, or WS_ERR_MEMORY. */
static ptrdiff_t visit(struct ws_tick *t, struct ws_slice name, uint64_t sequence,
                       struct delivery *d) {
    if (!name.data) return visit_all(t, d);
    ptrdiff_t met = ws_topic_visit(&t->topics, name, sequence, on_visit, d);
    return met < 0 ? met : d->n;
}

void ws_publish_apply(struct ws_loop *l, struct ws_mail *mail) {
    struct ws_tick *t = &l->tick;
    struct delivery d = {.exclude = mail->exclude,
                         .shared = {.msg = mail->msg,
                                    .len = ws_msg_size(mail->msg),
                                    .key = mail->key,
                                    .compress = mail->compress}};
    ws_tick_give_room(t, ws_msg_size(mail->msg));
    ws_tick_lock_topics(t);
    if (visit(t, mail->topic, mail->sequence, &d) < 0) ws_count(&t->counters->dropped_sent, 1);
    ws_tick_unlock_topics(t);
    ws_queue_sink_unref(&t->released, mail->msg);
}

/* The frame goes into the arena once, if it is small, or into a block, which takes the object. */
static int prepare(struct ws_tick *t, struct ws_shared *s, struct ws_payload *p) {
    s->payload = p;
    s->key = p->key;
    s->compress = p->compress;
    s->len = ws_conn_frame_size(p);
    uint8_t *at = ws_conn_take_frame(t, p);
    if (at) {
        ws_conn_write_frame(at, p);
        s->at = at;
        return 0;
    }
    s->msg = ws_conn_encode(p);
    if (!s->msg) return WS_ERR_MEMORY;
    p->object = NULL; /* the block's */
    return 0;
}

static ptrdiff_t publish_here(struct ws_loop *l, struct ws_slice name, struct ws_payload *p,
                              const struct ws_conn *exclude) {
    struct ws_tick *t = &l->tick;
    struct delivery d = {.exclude = exclude ? exclude->node.id : 0};
    /* In dispatch, where objects may be released: a handler that sends much frees as it goes. */
    if (t->released.bytes > WS_TICK_RELEASE_MAX) ws_tick_give_back(t);
    ws_tick_lock_topics(t);
    ws_loop_take_mail(l); /* what others have published before goes first */
    if (name.data && !ws_topic_is_known(&t->topics, name)) {
        ws_tick_unlock_topics(t);
        return 0;
    }
    ptrdiff_t n = prepare(t, &d.shared, p);
    if (n == 0) n = visit(t, name, ws_topics_next(&t->topics), &d);
    ws_tick_unlock_topics(t);
    ws_queue_sink_unref(&t->released, d.shared.msg);
    return n;
}

/* ---- other threads ---- */

static struct ws_mail *new_mail(struct ws_slice name, struct ws_msg *msg) {
    struct ws_mail *mail = calloc(1, sizeof *mail + name.len);
    if (!mail) return NULL;
    char *copy = (char *)(mail + 1);
    if (name.len) memcpy(copy, name.data, name.len);
    mail->kind = WS_MAIL_PUBLISH;
    mail->msg = msg;
    if (name.data) mail->topic = (struct ws_slice){copy, name.len};
    return mail;
}

static bool take_room(struct ws_tick *t, const struct ws_msg *msg) {
    if (ws_tick_take_room(t, ws_msg_size(msg))) return true;
    atomic_fetch_add_explicit(&t->counters->lost_published, 1, memory_order_relaxed);
    return false;
}

static ptrdiff_t count_receivers(struct ws_tick *t, struct ws_slice name,
                                 const struct ws_conn *exclude) {
    struct delivery d = {.exclude = exclude ? exclude->node.id : 0, .only_counted = true};
    if (name.data) return visit(t, name, UINT64_MAX, &d);
    /* In this order: who is open now was so when they were counted. */
    size_t n = atomic_load_explicit(&t->n_open, memory_order_acquire);
    return (ptrdiff_t)n - (exclude && n && ws_conn_is_open(exclude) ? 1 : 0);
}

/* A message to that name, under the lock under which it gets its number and its place in the
 * mailbox. NULL: it goes nowhere, and *n says why: no receivers, or an error. */
static struct ws_mail *make_mail(struct ws_tick *t, struct ws_slice name, struct ws_payload *p,
                                 const struct ws_conn *exclude, ptrdiff_t *n) {
    *n = count_receivers(t, name, exclude);
    if (*n <= 0) return NULL;
    struct ws_msg *msg = ws_conn_encode(p);
    struct ws_mail *mail = msg ? new_mail(name, msg) : NULL;
    if (!mail) *n = WS_ERR_MEMORY;
    else if (!take_room(t, msg)) *n = WS_ERR_LIMIT;
    if (*n < 0) {
        free(mail);
        if (msg) ws_msg_free(msg); /* the object stays the caller's */
        return NULL;
    }
    mail->key = p->key;
    mail->compress = p->compress;
    mail->exclude = exclude ? exclude->node.id : 0;
    mail->sequence = ws_topics_next(&t->topics);
    return mail;
}

static ptrdiff_t publish_elsewhere(struct ws_tick *t, struct ws_slice name, struct ws_payload *p,
                                   const struct ws_conn *exclude) {
    ptrdiff_t n;
    ws_tick_lock_topics(t);
    struct ws_mail *mail = make_mail(t, name, p, exclude, &n);
    bool was_empty = mail && ws_mailbox_post(&t->mailbox, mail);
    ws_tick_unlock_topics(t);
    if (n > 0) p->object = NULL; /* the message's */
    if (was_empty) ws_wake_signal(&t->wake);
    return n;
}

ptrdiff_t ws_server_publish(struct ws_server *s, struct ws_slice name, struct ws_payload *payload,
                            const struct ws_conn *exclude) {
    struct ws_loop *l = ws_server_loop(s);
    if (name.data && !ws_topic_name_is_valid(name)) return WS_ERR_ARGUMENT;
    if (ws_tick_is_owner(&l->tick)) return publish_here(l, name, payload, exclude);
    return publish_elsewhere(&l->tick, name, payload, exclude);
}
