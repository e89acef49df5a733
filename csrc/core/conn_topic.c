/* conn_topic.c: what a connection is subscribed to: at once, on any thread, under the lock of the
 * topics. Messages to them: publish.c. */
#include "conn.h"

int ws_conn_subscribe(struct ws_conn *c, struct ws_slice name, bool pattern) {
    struct ws_tick *t = c->tick;
    uint32_t max = t->options->max_topics;
    int done = WS_ERR_CLOSED;
    if (!(pattern ? ws_topic_pattern_is_valid(name) : ws_topic_name_is_valid(name)))
        return WS_ERR_ARGUMENT;
    ws_tick_lock_topics(t);
    /* Whoever closes it publishes that first and leaves then: no subscription stays behind. */
    if (ws_conn_is_open(c)) {
        done = ws_topic_subscribe(&t->topics, &c->subscriber, name, pattern);
        if (done == 1 && max && ws_topic_subscriptions(&c->subscriber) > max) {
            ws_topic_unsubscribe(&t->topics, &c->subscriber, name, pattern);
            done = WS_ERR_LIMIT;
        }
    }
    ws_tick_unlock_topics(t);
    return done;
}

int ws_conn_unsubscribe(struct ws_conn *c, struct ws_slice name, bool pattern) {
    struct ws_tick *t = c->tick;
    ws_tick_lock_topics(t);
    int done = ws_topic_unsubscribe(&t->topics, &c->subscriber, name, pattern);
    ws_tick_unlock_topics(t);
    return done;
}

void ws_conn_leave(struct ws_conn *c) {
    ws_tick_lock_topics(c->tick);
    ws_topic_leave(&c->tick->topics, &c->subscriber);
    ws_tick_unlock_topics(c->tick);
}

int ws_conn_get_topics(struct ws_conn *c, struct ws_buf *out) {
    int err = 0;
    ws_tick_lock_topics(c->tick);
    for (struct ws_subscription *s = c->subscriber.first; s && err == 0; s = s->next)
        err = ws_topic_append(out, s->topic);
    ws_tick_unlock_topics(c->tick);
    return err;
}
