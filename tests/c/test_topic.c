/* test_topic.c: names, patterns, who is visited; against a plain matcher over a list. */
#include "topic.h"

#include "check.h"
#include "err.h"

enum { PEERS = 12, NAMES = 20000 };

static struct ws_topics topics;
static struct ws_subscriber peers[PEERS];
static int visits[PEERS];
static struct ws_subscriber *leaver; /* leaves when it is visited */

static uint64_t random_state;

static uint32_t random_next(uint32_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

static struct ws_slice slice(const char *text) {
    return (struct ws_slice){text, strlen(text)};
}

static void begin(void) {
    memset(&topics, 0, sizeof topics);
    memset(peers, 0, sizeof peers);
    ws_topics_init(&topics, (struct ws_siphash_key){1, 2});
}

static void end(void) {
    for (int i = 0; i < PEERS; i++) ws_topic_leave(&topics, &peers[i]);
    CHECK_EQ(topics.names.n, 0);
    CHECK_EQ(topics.levels.n, 0);
    CHECK(topics.root == NULL);
    ws_topics_fini(&topics);
}

static void on_visit(void *ctx, struct ws_subscriber *who) {
    CHECK(ctx == &topics);
    visits[who - peers]++;
    if (who == leaver) ws_topic_leave(&topics, who);
}

static ptrdiff_t publish(const char *name) {
    memset(visits, 0, sizeof visits);
    return ws_topic_visit(&topics, slice(name), ws_topics_next(&topics), on_visit, &topics);
}

static int subscribe(int who, const char *name) {
    return ws_topic_subscribe(&topics, &peers[who], slice(name), false);
}

static int watch(int who, const char *pattern) {
    CHECK(ws_topic_pattern_is_valid(slice(pattern)));
    return ws_topic_subscribe(&topics, &peers[who], slice(pattern), true);
}

/* ---- names ---- */

static void test_topic_names(void) {
    char name[260];
    memset(name, 'n', sizeof name);
    CHECK(!ws_topic_name_is_valid((struct ws_slice){name, 0}));
    CHECK(ws_topic_name_is_valid((struct ws_slice){name, 1}));
    CHECK(ws_topic_name_is_valid((struct ws_slice){name, 255}));
    CHECK(!ws_topic_name_is_valid((struct ws_slice){name, 256}));
    static const char *const good[] = {"a", "/", "a b", "é", "+", "a/#/b", "\xC2\xA0", "\xC3\x80"};
    static const char *const bad[] = {"a\n", "\x01", "a\x7F", "\xC2\x80", "\xC2\x9F"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(ws_topic_name_is_valid(slice(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!ws_topic_name_is_valid(slice(bad[i])));
}

static void test_topic_pattern_names(void) {
    static const char *const good[] = {"a",     "#",   "+",  "/",   "+/+",
                                       "a/+/b", "a/#", "/#", "+/#", "$SYS/#"};
    static const char *const bad[] = {"",     "a#",   "#/a", "a/#/b", "a+",
                                      "+a/b", "a/b+", "##",  "++",    "a\n/+"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(ws_topic_pattern_is_valid(slice(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!ws_topic_pattern_is_valid(slice(bad[i])));
}

/* ---- subscriptions ---- */

static void test_topic_subscribe(void) {
    begin();
    CHECK_EQ(publish("a"), 0);
    CHECK(!ws_topic_is_known(&topics, slice("a")));
    CHECK_EQ(subscribe(0, "a"), 1);
    CHECK_EQ(subscribe(0, "a"), 0);
    CHECK_EQ(subscribe(1, "a"), 1);
    CHECK_EQ(subscribe(1, "aa"), 1);
    CHECK(ws_topic_is_known(&topics, slice("a")));
    CHECK_EQ(ws_topic_subscriptions(&peers[1]), 2);
    CHECK_EQ(publish("a"), 2);
    CHECK(visits[0] == 1 && visits[1] == 1);
    CHECK_EQ(publish("aa"), 1);
    CHECK_EQ(ws_topic_unsubscribe(&topics, &peers[0], slice("a"), false), 1);
    CHECK_EQ(ws_topic_unsubscribe(&topics, &peers[0], slice("a"), false), 0);
    CHECK_EQ(ws_topic_unsubscribe(&topics, &peers[1], slice("a"), true), 0);
    CHECK_EQ(publish("a"), 1);
    ws_topic_leave(&topics, &peers[1]);
    CHECK_EQ(ws_topic_subscriptions(&peers[1]), 0);
    CHECK_EQ(topics.names.n, 0);
    end();
}

/* What was published before a subscription is not for it. */
static void test_topic_since(void) {
    begin();
    subscribe(0, "a");
    uint64_t first = ws_topics_next(&topics);
    subscribe(1, "a");
    watch(2, "+");
    memset(visits, 0, sizeof visits);
    CHECK_EQ(ws_topic_visit(&topics, slice("a"), first, on_visit, &topics), 1);
    CHECK(visits[0] == 1 && !visits[1] && !visits[2]);
    CHECK_EQ(publish("a"), 3);
    CHECK_EQ(ws_topic_visit(&topics, slice("a"), topics.sequence, NULL, NULL), 3);
    end();
}

/* One that leaves while it is visited, from wherever it stands in the topic. */
static void test_topic_leave_in_visit(void) {
    for (int who = 0; who < PEERS; who++) {
        begin();
        for (int i = 0; i < PEERS; i++) {
            subscribe(i, "a/b");
            watch(i, "a/+");
            if (i == who)
                watch(i, "a/#"); /* a topic that goes with it, in the midst of the visit */
        }
        leaver = &peers[who];
        CHECK_EQ(publish("a/b"), PEERS);
        leaver = NULL;
        for (int i = 0; i < PEERS; i++) CHECK_EQ(visits[i], 1);
        CHECK_EQ(publish("a/b"), PEERS - 1);
        CHECK_EQ(visits[who], 0);
        end();
    }
}

/* What it appends: whether it is a pattern, the length of the name, the name, which begins so. */
static void check_appended(const struct ws_topic *t, int pattern, const char *start, size_t len) {
    struct ws_buf out;
    ws_buf_init(&out);
    CHECK_EQ(ws_topic_append(&out, t), 0);
    CHECK(out.len >= 2 + len && memcmp(out.data + 2, start, len) == 0);
    CHECK_EQ(out.data[0], pattern);
    CHECK_EQ(out.data[1], out.len - 2);
    ws_buf_fini(&out);
}

/* Every subscriber was visited once, and all that there are are told by the walk. */
static void test_topic_many(void) {
    char name[32];
    begin();
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        CHECK_EQ(subscribe(i % PEERS, name), 1);
    }
    CHECK_EQ(topics.names.n, NAMES);
    size_t n = 0;
    for (const struct ws_topic *t = NULL; (t = ws_topics_next_topic(&topics, t));) {
        CHECK_EQ(ws_topic_subscribers(t), 1);
        check_appended(t, 0, "topic-", strlen("topic-"));
        n++;
    }
    CHECK_EQ(n, NAMES);
    for (int i = 0; i < NAMES; i += 97) {
        snprintf(name, sizeof name, "topic-%d", i);
        CHECK_EQ(publish(name), 1);
        CHECK_EQ(visits[i % PEERS], 1);
    }
    end();
}

/* ---- patterns ---- */

static void test_topic_append_pattern(void) {
    begin();
    CHECK_EQ(watch(0, "a/+"), 1);
    const struct ws_topic *t = ws_topics_next_topic(&topics, NULL);
    check_appended(t, 1, "a/+", 3);
    CHECK(ws_topics_next_topic(&topics, t) == NULL);
    end();
}

static void test_topic_patterns_of_mqtt(void) {
    /* MQTT 5 sections 4.7.1 and 4.7.2. */
    static const struct {
        const char *pattern, *name;
        int matches;
    } rows[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", 1},
        {"sport/tennis/player1/#", "sport/tennis/player1/ranking", 1},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", 1},
        {"sport/tennis/player1/#", "sport/tennis/player2", 0},
        {"sport/#", "sport", 1},
        {"sport/#", "sports", 0},
        {"#", "a", 1},
        {"#", "/", 1},
        {"sport/tennis/+", "sport/tennis/player1", 1},
        {"sport/tennis/+", "sport/tennis/player1/ranking", 0},
        {"sport/+", "sport", 0},
        {"sport/+", "sport/", 1},
        {"+/+", "/finance", 1},
        {"/+", "/finance", 1},
        {"+", "/finance", 0},
        {"#", "$SYS/monitor", 0},
        {"+/monitor/Clients", "$SYS/monitor/Clients", 0},
        {"$SYS/#", "$SYS/monitor", 1},
        {"$SYS/#", "$SYS", 1},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", 1},
        {"a/+/#", "a/$b", 1},
        {"a", "a", 1},
        {"a//b", "a//b", 1},
        {"a/+/b", "a//b", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin();
        CHECK_EQ(watch(0, rows[i].pattern), 1);
        CHECK_EQ(watch(0, rows[i].pattern), 0);
        if (publish(rows[i].name) != rows[i].matches) {
            fprintf(stderr, "%s and %s\n", rows[i].pattern, rows[i].name);
            check_failures++;
        }
        end();
    }
}

/* The same by another road: level by level, over every subscription. */
static bool matches(const char *pattern, const char *name) {
    if (name[0] == '$' && (pattern[0] == '+' || pattern[0] == '#')) return false;
    for (;;) {
        size_t p = strcspn(pattern, "/"), n = strcspn(name, "/");
        if (pattern[0] == '#') return true;
        bool any = p == 1 && pattern[0] == '+';
        if (!any && (p != n || memcmp(pattern, name, n) != 0)) return false;
        if (!pattern[p] && !name[n]) return true;
        if (!name[n]) return strcmp(pattern + p, "/#") == 0;
        if (!pattern[p]) return false;
        pattern += p + 1;
        name += n + 1;
    }
}

static void random_name(char out[32], bool pattern) {
    static const char *const levels[] = {"a", "b", "", "$c", "+", "#"};
    int n = 1 + (int)random_next(4), len = 0;
    for (int i = 0; i < n; i++) {
        uint32_t which = random_next(pattern ? 6 : 4);
        len += snprintf(out + len, (size_t)(32 - len), "%s%s", i ? "/" : "", levels[which]);
        if (which == 5) return;
    }
    if (!len) snprintf(out, 32, "a");
}

static void test_topic_random(void) {
    enum { STEPS = 6000, SUBS = 60 };
    static char patterns[SUBS][32];
    int who[SUBS], live[SUBS] = {0};
    begin();
    random_state = 7;
    for (int step = 0; step < STEPS; step++) {
        int i = (int)random_next(SUBS);
        if (live[i]) {
            CHECK_EQ(ws_topic_unsubscribe(&topics, &peers[who[i]], slice(patterns[i]), true), 1);
            live[i] = 0;
        } else {
            random_name(patterns[i], true);
            who[i] = (int)random_next(PEERS);
            live[i] = watch(who[i], patterns[i]); /* 0: that one has it already */
        }
        char name[32];
        bool expected[PEERS] = {false};
        int n = 0;
        random_name(name, false);
        for (int k = 0; k < SUBS; k++)
            if (live[k] && matches(patterns[k], name)) expected[who[k]] = true;
        for (int k = 0; k < PEERS; k++) n += expected[k];
        CHECK_EQ(publish(name), n);
        for (int k = 0; k < PEERS; k++) CHECK_EQ(visits[k], expected[k]);
    }
    end();
}

int main(void) {
    RUN(test_topic_names);
    RUN(test_topic_pattern_names);
    RUN(test_topic_subscribe);
    RUN(test_topic_since);
    RUN(test_topic_leave_in_visit);
    RUN(test_topic_many);
    RUN(test_topic_append_pattern);
    RUN(test_topic_patterns_of_mqtt);
    RUN(test_topic_random);
    return check_done();
}
