/* audience.h: what the programs share that publish, and look at what becomes of it at peers that do
 * not read: messages of every kind, and peers that are full. */
#ifndef AUDIENCE_H
#define AUDIENCE_H

#include "rig.h"

#define BACKLOG (64 * 1024)  /* max_backlog of the tests of policies */
#define HUGE_SIZE (1u << 20) /* of a message: more than the kernel takes of it */

/* For a thread: who they are. */
struct script {
    struct rig *rig;
    struct ws_conn **c;
};

static inline struct ws_slice name_of(const char *topic) {
    return topic ? slice(topic) : (struct ws_slice){NULL, 0}; /* NULL: everybody */
}

static inline ptrdiff_t publish_key(struct rig *r, const char *topic, const char *text,
                                    const char *key, const struct ws_conn *exclude) {
    struct ws_payload p = {.data = (const uint8_t *)text, .len = strlen(text), .text = true};
    if (key) p.key = ws_server_key(r->server, slice(key));
    return ws_server_publish(r->server, name_of(topic), &p, exclude);
}

static inline ptrdiff_t publish(struct rig *r, const char *topic, const char *text) {
    return publish_key(r, topic, text, NULL, NULL);
}

static inline void subscribe(struct ws_conn *c, const char *topic) {
    CHECK_EQ(ws_conn_subscribe(c, slice(topic), false), 1);
}

/* A message of len bytes that begins with its number. */
static inline int send_number(struct ws_conn *c, int number, size_t len) {
    char *text = malloc(len + 1);
    memset(text, '.', len);
    text[snprintf(text, 16, "%d ", number)] = '.';
    struct ws_payload p = {.data = (uint8_t *)text, .len = len, .text = true};
    int sent = ws_conn_send(c, &p);
    free(text);
    return sent;
}

/* Opens peers of whom the kernel keeps little. */
static inline void begin(struct rig *r, struct peer *p, struct ws_conn **c, int n) {
    rig_bind_unix(r);
    rig_open(r, p, c, n);
}

/* The peer reads nothing from here on, and the kernel is full. */
static inline void block(struct rig *r, struct peer *p, struct ws_conn *c) {
    p->deaf = p->quiet = true;
    CHECK_EQ(send_number(c, 0, HUGE_SIZE), WS_SENT_OVER);
    rig_settle(r);
    CHECK(ws_conn_backlog(c) > BACKLOG);
}

#endif
