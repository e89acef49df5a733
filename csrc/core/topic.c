/* topic.c: topics, subscriptions and the tree of patterns. See topic.h.
 *
 * A topic is there while it has subscribers. Names and patterns stand in one table; a pattern hangs
 * in the tree too, whose nodes stand in a second table, by parent and level. */
#include "topic.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_FOUND 16
#define FIRST_ITEMS 4

struct ws_topic {
    struct ws_table_node by_name;   /* first: the table's node is the topic */
    struct ws_subscription **items; /* owned, the subscriptions too */
    struct ws_pattern *node;        /* where it hangs, or NULL for a name */
    uint32_t n, cap;
    uint32_t pins; /* visits that have it in hand */
    uint8_t len;
    bool is_pattern;
    char name[];
};

struct ws_pattern {
    struct ws_table_node by_level; /* first, like by_name; not of root and plus */
    struct ws_pattern *parent;
    struct ws_pattern *plus; /* the child for any level, or NULL */
    struct ws_topic *here;   /* the pattern that ends here, or NULL */
    struct ws_topic *rest;   /* the pattern that ends here with "#", or NULL */
    uint32_t n;              /* children, plus included */
    bool is_plus;
    uint8_t len;
    char level[];
};

/* ---- names ---- */

static struct ws_slice slice(const char *data, size_t len) {
    return (struct ws_slice){data, len};
}

bool ws_topic_name_is_valid(struct ws_slice name) {
    if (name.len < 1 || name.len > WS_TOPIC_NAME_MAX) return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c < 0x20 || c == 0x7F) return false;
        /* U+0080 to U+009F in UTF-8. */
        if (c == 0xC2 && i + 1 < name.len && (unsigned char)name.data[i + 1] < 0xA0) return false;
    }
    return true;
}

/* Takes the first level off a name; false if that was the last one. */
static bool cut_level(struct ws_slice *name, struct ws_slice *level) {
    const char *slash = name->len ? memchr(name->data, '/', name->len) : NULL;
    if (!slash) {
        *level = *name;
        *name = slice(name->data + name->len, 0);
        return false;
    }
    *level = slice(name->data, (size_t)(slash - name->data));
    *name = slice(slash + 1, name->len - level->len - 1);
    return true;
}

static bool is_char(struct ws_slice level, char c) {
    return level.len == 1 && level.data[0] == c;
}

static bool has_char(struct ws_slice level, char c) {
    return level.len && memchr(level.data, c, level.len) != NULL;
}

bool ws_topic_pattern_is_valid(struct ws_slice name) {
    struct ws_slice level;
    bool more;
    if (!ws_topic_name_is_valid(name)) return false;
    do {
        more = cut_level(&name, &level);
        /* MQTT 5 section 4.7.1: the multi-level wildcard "MUST be the last character specified in
         * the Topic Filter"; wildcards "MUST occupy an entire level of the filter". */
        if (has_char(level, '#') && (more || level.len > 1)) return false;
        if (has_char(level, '+') && level.len > 1) return false;
    } while (more);
    return true;
}

/* ---- the table of topics ---- */

void ws_topics_init(struct ws_topics *t, struct ws_siphash_key key) {
    t->key = key;
}

void ws_topics_fini(struct ws_topics *t) {
    ws_table_fini(&t->names);
    ws_table_fini(&t->levels);
    free(t->root);
    free(t->found);
    memset(t, 0, sizeof *t);
}

static uint64_t hash_of(const struct ws_topics *t, struct ws_slice name, bool pattern) {
    return ws_siphash(&t->key, name.data, name.len) ^ pattern;
}

static struct ws_topic *topic_of(struct ws_table_node *node) {
    return (struct ws_topic *)(void *)node;
}

static struct ws_topic *find(const struct ws_topics *t, struct ws_slice name, uint64_t hash,
                             bool pattern) {
    for (struct ws_table_node *node = ws_table_chain(&t->names, hash); node; node = node->chain) {
        struct ws_topic *topic = topic_of(node);
        if (node->hash == hash && topic->is_pattern == pattern && topic->len == name.len &&
            memcmp(topic->name, name.data, name.len) == 0)
            return topic;
    }
    return NULL;
}

/* A topic without subscribers. NULL: out of memory. */
static struct ws_topic *add_topic(struct ws_topics *t, struct ws_slice name, uint64_t hash,
                                  bool pattern) {
    struct ws_topic *topic = calloc(1, sizeof *topic + name.len);
    if (!topic || ws_table_add(&t->names, &topic->by_name, hash) < 0) {
        free(topic);
        return NULL;
    }
    topic->is_pattern = pattern;
    topic->len = (uint8_t)name.len;
    memcpy(topic->name, name.data, name.len);
    return topic;
}

/* ---- the tree of patterns ---- */

static uint64_t level_hash(const struct ws_topics *t, const struct ws_pattern *parent,
                           struct ws_slice level) {
    return ws_siphash(&t->key, level.data, level.len) ^
           (uint64_t)(uintptr_t)parent * UINT64_C(0x9E3779B97F4A7C15);
}

static struct ws_pattern *find_child(const struct ws_topics *t, const struct ws_pattern *parent,
                                     struct ws_slice level) {
    uint64_t hash = level_hash(t, parent, level);
    for (struct ws_table_node *at = ws_table_chain(&t->levels, hash); at; at = at->chain) {
        struct ws_pattern *node = (struct ws_pattern *)(void *)at;
        if (at->hash == hash && node->parent == parent && node->len == level.len &&
            (!level.len || memcmp(node->level, level.data, level.len) == 0))
            return node;
    }
    return NULL;
}

static struct ws_pattern *add_child(struct ws_topics *t, struct ws_pattern *parent,
                                    struct ws_slice level) {
    bool is_plus = is_char(level, '+');
    struct ws_pattern *node = calloc(1, sizeof *node + level.len);
    if (!node ||
        (!is_plus && ws_table_add(&t->levels, &node->by_level, level_hash(t, parent, level)) < 0)) {
        free(node);
        return NULL;
    }
    node->parent = parent;
    node->is_plus = is_plus;
    node->len = (uint8_t)level.len;
    if (level.len) memcpy(node->level, level.data, level.len);
    if (is_plus) parent->plus = node;
    parent->n++;
    return node;
}

/* Takes nodes out that lead nowhere, from this one up. */
static void prune(struct ws_topics *t, struct ws_pattern *node) {
    while (node && !node->n && !node->here && !node->rest) {
        struct ws_pattern *parent = node->parent;
        if (node->is_plus) parent->plus = NULL;
        else if (parent) ws_table_del(&t->levels, &node->by_level);
        if (parent) parent->n--;
        else t->root = NULL;
        free(node);
        node = parent;
    }
}

static int hang_pattern(struct ws_topics *t, struct ws_topic *topic) {
    struct ws_slice left = slice(topic->name, topic->len), level;
    bool more = true;
    if (!t->root) t->root = calloc(1, sizeof *t->root);
    struct ws_pattern *node = t->root;
    while (node && more) {
        more = cut_level(&left, &level);
        if (is_char(level, '#')) break;
        struct ws_pattern *child = is_char(level, '+') ? node->plus : find_child(t, node, level);
        if (!child) child = add_child(t, node, level);
        if (!child) prune(t, node);
        node = child;
    }
    if (!node) return WS_ERR_MEMORY;
    if (is_char(level, '#')) node->rest = topic;
    else node->here = topic;
    topic->node = node;
    return 0;
}

static void unhang_pattern(struct ws_topics *t, struct ws_topic *topic) {
    struct ws_pattern *node = topic->node;
    if (node->rest == topic) node->rest = NULL;
    else node->here = NULL;
    prune(t, node);
}

/* ---- subscriptions ---- */

static void free_topic_if_unused(struct ws_topics *t, struct ws_topic *topic) {
    if (topic->n || topic->pins) return;
    ws_table_del(&t->names, &topic->by_name);
    if (topic->node) unhang_pattern(t, topic);
    free(topic->items);
    free(topic);
}

static struct ws_topic *need_topic(struct ws_topics *t, struct ws_slice name, bool pattern) {
    uint64_t hash = hash_of(t, name, pattern);
    struct ws_topic *topic = find(t, name, hash, pattern);
    if (topic) return topic;
    topic = add_topic(t, name, hash, pattern);
    if (!topic || !pattern || hang_pattern(t, topic) == 0) return topic;
    free_topic_if_unused(t, topic);
    return NULL;
}

static struct ws_subscription *find_subscription(const struct ws_subscriber *who,
                                                 struct ws_slice name, bool pattern) {
    for (struct ws_subscription *s = who->first; s; s = s->next)
        if (s->topic->is_pattern == pattern && s->topic->len == name.len &&
            memcmp(s->topic->name, name.data, name.len) == 0)
            return s;
    return NULL;
}

static int reserve_item(struct ws_topic *topic) {
    if (topic->n < topic->cap) return 0;
    if (topic->cap > UINT32_MAX / 2) return WS_ERR_MEMORY;
    uint32_t cap = topic->cap ? topic->cap * 2 : FIRST_ITEMS;
    struct ws_subscription **items = realloc(topic->items, cap * sizeof *items);
    if (!items) return WS_ERR_MEMORY;
    topic->items = items;
    topic->cap = cap;
    return 0;
}

int ws_topic_subscribe(struct ws_topics *t, struct ws_subscriber *who, struct ws_slice name,
                       bool pattern) {
    if (find_subscription(who, name, pattern)) return 0;
    struct ws_topic *topic = need_topic(t, name, pattern);
    struct ws_subscription *s = topic ? malloc(sizeof *s) : NULL;
    if (!s || reserve_item(topic) < 0) {
        free(s);
        if (topic) free_topic_if_unused(t, topic);
        return WS_ERR_MEMORY;
    }
    *s = (struct ws_subscription){
        .topic = topic, .who = who, .next = who->first, .since = t->sequence, .at = topic->n};
    topic->items[topic->n++] = s;
    if (who->first) who->first->prev = s;
    who->first = s;
    return 1;
}

static void end_subscription(struct ws_topics *t, struct ws_subscription *s) {
    struct ws_topic *topic = s->topic;
    struct ws_subscription *last = topic->items[--topic->n];
    topic->items[s->at] = last;
    last->at = s->at;
    if (s->prev) s->prev->next = s->next;
    else s->who->first = s->next;
    if (s->next) s->next->prev = s->prev;
    free(s);
    free_topic_if_unused(t, topic);
}

int ws_topic_unsubscribe(struct ws_topics *t, struct ws_subscriber *who, struct ws_slice name,
                         bool pattern) {
    struct ws_subscription *s = find_subscription(who, name, pattern);
    if (!s) return 0;
    end_subscription(t, s);
    return 1;
}

size_t ws_topic_subscriptions(const struct ws_subscriber *who) {
    size_t n = 0;
    for (const struct ws_subscription *s = who->first; s; s = s->next) n++;
    return n;
}

void ws_topic_leave(struct ws_topics *t, struct ws_subscriber *who) {
    while (who->first) end_subscription(t, who->first);
}

/* ---- messages ---- */

bool ws_topic_is_known(const struct ws_topics *t, struct ws_slice name) {
    return t->root || find(t, name, hash_of(t, name, false), false);
}

/* Holds on to a topic that the message is for. */
static int found_topic(struct ws_topics *t, struct ws_topic *topic) {
    if (!topic) return 0;
    if (t->n_found == t->cap_found) {
        size_t cap = t->cap_found ? t->cap_found * 2 : FIRST_FOUND;
        struct ws_topic **found = realloc(t->found, cap * sizeof *found);
        if (!found) return WS_ERR_MEMORY;
        t->found = found;
        t->cap_found = cap;
    }
    t->found[t->n_found++] = topic;
    topic->pins++;
    return 0;
}

/* Patterns that match what is left of a name, from this node on. A node has one way that leads to
 * it, so that none is met twice; a name has few levels, so that recursion is not deep. */
static int match(struct ws_topics *t, const struct ws_pattern *node, struct ws_slice left,
                 bool is_first) {
    struct ws_slice level;
    /* MQTT 5 section 4.7.2: a wildcard that comes first does not match "Topic Names beginning with
     * a $ character". */
    bool wild = !is_first || !left.len || left.data[0] != '$';
    bool more = cut_level(&left, &level);
    const struct ws_pattern *ways[] = {find_child(t, node, level), wild ? node->plus : NULL};
    if (wild && found_topic(t, node->rest) < 0) return WS_ERR_MEMORY;
    for (int i = 0; i < 2; i++) {
        if (!ways[i]) continue;
        if (more) {
            if (match(t, ways[i], left, false) < 0) return WS_ERR_MEMORY;
        } else {
            /* Section 4.7.1.2: "The multi-level wildcard represents the parent and any number of
             * child levels." */
            if (found_topic(t, ways[i]->here) < 0 || found_topic(t, ways[i]->rest) < 0)
                return WS_ERR_MEMORY;
        }
    }
    return 0;
}

static void let_go(struct ws_topics *t) {
    while (t->n_found) {
        struct ws_topic *topic = t->found[--t->n_found];
        topic->pins--;
        free_topic_if_unused(t, topic);
    }
}

ptrdiff_t ws_topic_visit(struct ws_topics *t, struct ws_slice name, uint64_t sequence,
                         void (*visit)(void *ctx, struct ws_subscriber *who), void *ctx) {
    ptrdiff_t n = 0;
    if (found_topic(t, find(t, name, hash_of(t, name, false), false)) < 0 ||
        (t->root && match(t, t->root, name, true) < 0)) {
        let_go(t);
        return WS_ERR_MEMORY;
    }
    bool several = t->n_found > 1;
    if (several) t->visits++;
    for (size_t i = 0; i < t->n_found; i++) {
        struct ws_topic *topic = t->found[i];
        /* From the back: one that leaves is replaced by one that was visited. */
        for (uint32_t at = topic->n; at-- > 0;) {
            struct ws_subscription *s = topic->items[at];
            if (s->since >= sequence || (several && s->who->first->visited == t->visits)) continue;
            if (several) s->who->first->visited = t->visits;
            if (visit) visit(ctx, s->who);
            n++;
        }
    }
    let_go(t);
    return n;
}

/* ---- looking at them ---- */

int ws_topic_append(struct ws_buf *out, const struct ws_topic *topic) {
    uint8_t head[2] = {topic->is_pattern, topic->len};
    if (ws_buf_append(out, head, sizeof head) < 0) return WS_ERR_MEMORY;
    return ws_buf_append(out, topic->name, topic->len);
}

size_t ws_topic_subscribers(const struct ws_topic *topic) {
    return topic->n;
}

const struct ws_topic *ws_topics_next_topic(const struct ws_topics *t,
                                            const struct ws_topic *after) {
    return topic_of(ws_table_next(&t->names, after ? &after->by_name : NULL));
}
