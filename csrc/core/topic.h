/* topic.h: who wants which messages: topics by name, each with its subscribers, and patterns of
 * names as MQTT 5 has them (section 4.7).
 *
 * Knows no connection: a subscriber is a struct in its owner's. Locks nothing: whoever shares the
 * table among threads has a lock for all calls. */
#ifndef WS_TOPIC_H
#define WS_TOPIC_H

#include "buf.h"
#include "bytes.h"
#include "siphash.h"
#include "table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_TOPIC_NAME_MAX 255

struct ws_topic;
struct ws_pattern; /* a node of the tree of patterns: one level of a name */

/* A subscriber to one topic. */
struct ws_subscription {
    struct ws_topic *topic;
    struct ws_subscriber *who;
    struct ws_subscription *next, *prev; /* of the same subscriber */
    uint64_t since;   /* the sequence number when it began: what is later is for it */
    uint64_t visited; /* of a subscriber's first: the last visit that came to it, so that two
                         patterns visit it once */
    uint32_t at;      /* its place in the topic */
};

/* Zeroed memory is a subscriber to nothing. It stays where it is until it has left. Most
 * connections are one to nothing, so it is small. */
struct ws_subscriber {
    struct ws_subscription *first; /* owned */
};

struct ws_topics {
    struct ws_siphash_key key;
    struct ws_table names;   /* of topics and patterns (owned), by name */
    struct ws_table levels;  /* of nodes of the tree (owned), by parent and level */
    struct ws_pattern *root; /* owned, NULL while there is no pattern */
    struct ws_topic **found; /* owned: of the visit under way */
    size_t n_found, cap_found;
    uint64_t sequence; /* of the last message */
    uint64_t visits;
};

/* Of zeroed memory; key is random. */
void ws_topics_init(struct ws_topics *t, struct ws_siphash_key key);
/* Every subscriber has left before. */
void ws_topics_fini(struct ws_topics *t);

/* 1 to 255 bytes without control characters. */
bool ws_topic_name_is_valid(struct ws_slice name);
/* The same; "+" (any one level) and "#" (all that follow, and their parent; only last) stand alone
 * between slashes. */
bool ws_topic_pattern_is_valid(struct ws_slice name);

/* name is valid, as a name or as a pattern. 1: subscribed, 0: it was before, WS_ERR_MEMORY. */
int ws_topic_subscribe(struct ws_topics *t, struct ws_subscriber *who, struct ws_slice name,
                       bool pattern);
/* 1: unsubscribed, 0: it was not subscribed. */
int ws_topic_unsubscribe(struct ws_topics *t, struct ws_subscriber *who, struct ws_slice name,
                         bool pattern);
/* How many subscriptions it has. */
size_t ws_topic_subscriptions(const struct ws_subscriber *who);
/* Ends all its subscriptions. */
void ws_topic_leave(struct ws_topics *t, struct ws_subscriber *who);

/* Whether anybody may be meant by a message to that name: false is certain. */
bool ws_topic_is_known(const struct ws_topics *t, struct ws_slice name);
/* The number of a new message: subscriptions from before it have a lower one. */
static inline uint64_t ws_topics_next(struct ws_topics *t) {
    return ++t->sequence;
}
/* Calls visit for every subscriber to that name, directly or by patterns, once, whose subscription
 * began before the message of that number; visit may be NULL. It may make the one it gets leave,
 * and nobody else. Returns their number, or WS_ERR_MEMORY (nobody was visited). */
ptrdiff_t ws_topic_visit(struct ws_topics *t, struct ws_slice name, uint64_t sequence,
                         void (*visit)(void *ctx, struct ws_subscriber *who), void *ctx);

/* Appends a byte 1 if it is a pattern, a byte for the length of the name, the name. 0 or
 * WS_ERR_MEMORY. */
int ws_topic_append(struct ws_buf *out, const struct ws_topic *topic);
size_t ws_topic_subscribers(const struct ws_topic *topic);
/* All topics and patterns in no order: NULL gives the first, the last gives NULL. */
const struct ws_topic *ws_topics_next_topic(const struct ws_topics *t,
                                            const struct ws_topic *after);

#endif
