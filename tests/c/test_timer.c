/* test_timer.c: the wheel, tick by tick, and against a model that only compares numbers. */
#include "check.h"
#include "timer.h"

#include <limits.h>

#define NODES 64

struct node {
    struct ws_timer timer; /* first, so that a timer is its node */
    int id;
};

/* What due() was called with, and what it shall do when one id comes. */
struct seen {
    struct ws_timer_wheel *wheel;
    int ids[NODES];
    int n;
    int trigger; /* an id, -1 none */
    struct ws_timer *arm;
    uint64_t arm_now, arm_delay;
    struct ws_timer *disarm;
};

static struct ws_timer_wheel wheel;

static void due(void *ctx, struct ws_timer *t) {
    struct seen *s = ctx;
    int id = ((struct node *)t)->id;
    CHECK(!ws_timer_is_armed(t));
    if (s->n < NODES) s->ids[s->n++] = id;
    if (id != s->trigger) return;
    if (s->arm) ws_timer_arm(s->wheel, s->arm, s->arm_now, s->arm_delay);
    if (s->disarm) ws_timer_disarm(s->wheel, s->disarm);
}

static struct seen advance(uint64_t now_ms) {
    struct seen s = {.wheel = &wheel, .trigger = -1};
    ws_timer_wheel_advance(&wheel, now_ms, due, &s);
    return s;
}

static int n_due(uint64_t now_ms) {
    return advance(now_ms).n;
}

static void test_due_at_exact_tick(void) {
    struct node a = {.id = 1};
    ws_timer_wheel_init(&wheel, 1000);
    ws_timer_arm(&wheel, &a.timer, 1000, 300);
    CHECK(ws_timer_is_armed(&a.timer));
    CHECK_EQ(wheel.n, 1);
    CHECK_EQ(n_due(1299), 0);
    struct seen s = advance(1300);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.ids[0], 1);
    CHECK(!ws_timer_is_armed(&a.timer));
    CHECK_EQ(wheel.n, 0);
    CHECK_EQ(n_due(60000), 0);
}

static void test_rounded_up_never_early(void) {
    struct node a = {.id = 1}, b = {.id = 2}, c = {.id = 3};
    ws_timer_wheel_init(&wheel, 50);
    ws_timer_arm(&wheel, &a.timer, 50, 1);  /* 51 */
    ws_timer_arm(&wheel, &b.timer, 50, 50); /* 100, a tick itself */
    ws_timer_arm(&wheel, &c.timer, 50, 51); /* 101 */
    CHECK_EQ(n_due(99), 0);
    CHECK_EQ(n_due(100), 2);
    CHECK_EQ(n_due(199), 0);
    CHECK_EQ(n_due(200), 1);
}

static void test_arm_by(void) {
    struct node a = {.id = 1};
    ws_timer_wheel_init(&wheel, 1000);
    ws_timer_arm_by(&wheel, &a.timer, 1000, 500);
    ws_timer_arm_by(&wheel, &a.timer, 1000, 900); /* later: left alone */
    CHECK_EQ(wheel.n, 1);
    ws_timer_arm_by(&wheel, &a.timer, 1000, 250);
    CHECK_EQ(n_due(1200), 0);
    CHECK_EQ(n_due(1300), 1);
    CHECK_EQ(n_due(60000), 0);
}

static void test_zero_delay_is_next_tick(void) {
    struct node a = {.id = 1};
    ws_timer_wheel_init(&wheel, 500);
    ws_timer_arm(&wheel, &a.timer, 500, 0);
    CHECK_EQ(n_due(599), 0);
    CHECK_EQ(n_due(600), 1);
    /* A time that the wheel has left behind does not wait for a round. */
    ws_timer_arm(&wheel, &a.timer, 100, 100);
    CHECK_EQ(n_due(700), 1);
}

static void test_disarm(void) {
    struct node a = {.id = 1}, b = {.id = 2}, c = {.id = 3};
    ws_timer_wheel_init(&wheel, 0);
    ws_timer_disarm(&wheel, &a.timer);
    CHECK_EQ(wheel.n, 0);
    ws_timer_arm(&wheel, &a.timer, 0, 200);
    ws_timer_arm(&wheel, &b.timer, 0, 200);
    ws_timer_arm(&wheel, &c.timer, 0, 200);
    ws_timer_disarm(&wheel, &b.timer);
    ws_timer_disarm(&wheel, &b.timer);
    CHECK_EQ(wheel.n, 2);
    CHECK(!ws_timer_is_armed(&b.timer));
    CHECK_EQ(n_due(200), 2);
    CHECK_EQ(wheel.n, 0);
}

static void test_arm_again_moves(void) {
    struct node a = {.id = 1};
    ws_timer_wheel_init(&wheel, 0);
    ws_timer_arm(&wheel, &a.timer, 0, 100);
    ws_timer_arm(&wheel, &a.timer, 0, 400);
    CHECK_EQ(wheel.n, 1);
    CHECK_EQ(n_due(399), 0);
    CHECK_EQ(n_due(400), 1);
}

static void test_ticks_in_order(void) {
    struct node nodes[5];
    const uint64_t delays[5] = {500, 100, 300, 200, 400};
    ws_timer_wheel_init(&wheel, 0);
    for (int i = 0; i < 5; i++) {
        nodes[i] = (struct node){.id = (int)(delays[i] / 100)};
        ws_timer_arm(&wheel, &nodes[i].timer, 0, delays[i]);
    }
    struct seen s = advance(500);
    CHECK_EQ(s.n, 5);
    for (int i = 0; i < s.n; i++) CHECK_EQ(s.ids[i], i + 1);
}

static void test_arm_itself_inside_due(void) {
    struct node a = {.id = 1};
    struct seen s = {.wheel = &wheel, .trigger = 1, .arm = &a.timer, .arm_now = 1000};
    ws_timer_wheel_init(&wheel, 900);
    ws_timer_arm(&wheel, &a.timer, 900, 100);
    ws_timer_wheel_advance(&wheel, 1000, due, &s);
    CHECK_EQ(s.n, 1);
    CHECK(ws_timer_is_armed(&a.timer));
    CHECK_EQ(n_due(1099), 0);
    CHECK_EQ(n_due(1100), 1);
}

/* Also when many ticks are served at once, and due uses a time of long ago or arms a whole round
 * ahead. */
static void test_arm_inside_due_of_jump(void) {
    struct node a = {.id = 1};
    struct seen s = {.wheel = &wheel, .trigger = 1, .arm = &a.timer, .arm_delay = 200};
    ws_timer_wheel_init(&wheel, 0);
    ws_timer_arm(&wheel, &a.timer, 0, 100);
    ws_timer_wheel_advance(&wheel, 10000000, due, &s);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(n_due(10000099), 0);
    CHECK_EQ(n_due(10000100), 1);

    uint64_t round = (uint64_t)WS_TIMER_SLOTS * WS_TIMER_TICK_MS;
    s = (struct seen){.wheel = &wheel, .trigger = 1, .arm = &a.timer};
    s.arm_now = 10000200;
    s.arm_delay = round;
    ws_timer_arm(&wheel, &a.timer, 10000100, 100);
    ws_timer_wheel_advance(&wheel, 10000200, due, &s);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(n_due(10000199 + round), 0);
    CHECK_EQ(n_due(10000200 + round), 1);
}

/* Whichever of a slot's nodes comes first, it takes one of the others away. */
static void test_disarm_others_inside_due(void) {
    for (int trigger = 0; trigger < 3; trigger++) {
        for (int victim = 0; victim < 3; victim++) {
            struct node nodes[3] = {{.id = 0}, {.id = 1}, {.id = 2}};
            struct seen s = {.wheel = &wheel, .trigger = trigger};
            bool before = false;
            ws_timer_wheel_init(&wheel, 0);
            for (int i = 0; i < 3; i++) ws_timer_arm(&wheel, &nodes[i].timer, 0, 100);
            s.disarm = &nodes[victim].timer;
            ws_timer_wheel_advance(&wheel, 100, due, &s);
            for (int i = 0; i < s.n && s.ids[i] != trigger; i++) before |= s.ids[i] == victim;
            CHECK_EQ(s.n, before || victim == trigger ? 3 : 2);
            CHECK_EQ(wheel.n, 0);
            CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 100), -1);
        }
    }
}

/* The node that due moves away is one of the same slot that was not reached yet. */
static void test_move_others_inside_due(void) {
    for (int trigger = 0; trigger < 2; trigger++) {
        struct node nodes[2] = {{.id = 0}, {.id = 1}};
        struct seen s = {.wheel = &wheel, .trigger = trigger, .arm_now = 100, .arm_delay = 100};
        ws_timer_wheel_init(&wheel, 0);
        for (int i = 0; i < 2; i++) ws_timer_arm(&wheel, &nodes[i].timer, 0, 100);
        s.arm = &nodes[1 - trigger].timer;
        ws_timer_wheel_advance(&wheel, 100, due, &s);
        CHECK_EQ(s.n, s.ids[0] == trigger ? 1 : 2);
        CHECK_EQ(n_due(199), 0);
        CHECK_EQ(n_due(200), 1);
    }
}

static void test_far_deadline_waits_for_its_round(void) {
    struct node near = {.id = 1}, far = {.id = 2}, farther = {.id = 3};
    uint64_t round = (uint64_t)WS_TIMER_SLOTS * WS_TIMER_TICK_MS;
    ws_timer_wheel_init(&wheel, 0);
    ws_timer_arm(&wheel, &near.timer, 0, 700); /* all three in one slot */
    ws_timer_arm(&wheel, &far.timer, 0, 700 + round);
    ws_timer_arm(&wheel, &farther.timer, 0, 700 + 3 * round);
    for (uint64_t now = 0; now < 700; now += 100) CHECK_EQ(n_due(now), 0);
    struct seen s = advance(700);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.ids[0], 1);
    for (uint64_t now = 800; now < 700 + round; now += 100) CHECK_EQ(n_due(now), 0);
    s = advance(700 + round);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.ids[0], 2);
    CHECK_EQ(n_due(600 + 3 * round), 0);
    s = advance(700 + 3 * round);
    CHECK_EQ(s.n, 1);
    CHECK_EQ(s.ids[0], 3);
}

/* The furthest slot of a round is the one that was just served. */
static void test_whole_round(void) {
    struct node a = {.id = 1};
    uint64_t round = (uint64_t)WS_TIMER_SLOTS * WS_TIMER_TICK_MS;
    ws_timer_wheel_init(&wheel, 0);
    ws_timer_arm(&wheel, &a.timer, 0, round);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 0), (int)round);
    CHECK_EQ(n_due(round - 1), 0);
    CHECK_EQ(n_due(round), 1);
}

/* A billion ticks and more in one call: visiting each would not end in a test's time. */
static void test_time_jump(void) {
    struct node nodes[NODES];
    ws_timer_wheel_init(&wheel, 0);
    uint64_t end = UINT64_C(1) << 60;
    for (int i = 0; i < NODES; i++) {
        nodes[i] = (struct node){.id = i};
        ws_timer_arm(&wheel, &nodes[i].timer, 0, (uint64_t)i * 123456);
    }
    struct node later = {.id = NODES};
    ws_timer_arm(&wheel, &later.timer, 0, end + 100);
    CHECK_EQ(n_due(end), NODES);
    CHECK_EQ(wheel.n, 1);
    CHECK(ws_timer_is_armed(&later.timer));
    CHECK_EQ(n_due(end + 200), 1);
}

static void test_clock_goes_back(void) {
    struct node a = {.id = 1};
    ws_timer_wheel_init(&wheel, 10000);
    ws_timer_arm(&wheel, &a.timer, 10000, 100);
    CHECK_EQ(n_due(0), 0);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 0), 10100);
    CHECK_EQ(n_due(10100), 1);
}

static void test_end_of_time(void) {
    struct node a = {.id = 1};
    ws_timer_wheel_init(&wheel, 0);
    ws_timer_arm(&wheel, &a.timer, 5000, UINT64_MAX);
    CHECK(ws_timer_is_armed(&a.timer));
    CHECK_EQ(n_due(UINT64_MAX / 2), 0);
    CHECK_EQ(n_due(UINT64_MAX), 0); /* rounded up, so beyond the clock */
    CHECK(ws_timer_wheel_wait_ms(&wheel, UINT64_MAX) > 0);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 0), INT_MAX);
    ws_timer_disarm(&wheel, &a.timer);
    CHECK_EQ(wheel.n, 0);
}

static void test_wait_ms(void) {
    struct node a = {.id = 1}, b = {.id = 2};
    ws_timer_wheel_init(&wheel, 1030);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 1030), -1);
    ws_timer_arm(&wheel, &a.timer, 1030, 250); /* 1280, so 1300 */
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 1030), 270);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 1299), 1);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 1300), 0);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 9999), 0);
    ws_timer_arm(&wheel, &b.timer, 1030, 20); /* 1050, so 1100 */
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 1030), 70);
    ws_timer_disarm(&wheel, &b.timer);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 1030), 270);
    CHECK_EQ(n_due(1300), 1);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 1300), -1);
}

/* From every slot to every slot, the wait is exact within a round. */
static void test_wait_ms_every_distance(void) {
    struct node a = {.id = 1};
    for (uint64_t start = 0; start < WS_TIMER_SLOTS; start += 31) {
        for (uint64_t ticks = 1; ticks <= WS_TIMER_SLOTS; ticks++) {
            ws_timer_wheel_init(&wheel, start * 100);
            a.timer = (struct ws_timer){0};
            ws_timer_arm(&wheel, &a.timer, start * 100, ticks * 100);
            CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, start * 100 + 99), (int)ticks * 100 - 99);
        }
    }
}

/* A node of a later round may shorten the wait, and an advance at that moment lengthens it again:
 * no spinning. */
static void test_wait_ms_of_later_round(void) {
    struct node a = {.id = 1};
    uint64_t round = (uint64_t)WS_TIMER_SLOTS * WS_TIMER_TICK_MS;
    ws_timer_wheel_init(&wheel, 0);
    ws_timer_arm(&wheel, &a.timer, 0, 300 + round);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 0), 300);
    CHECK_EQ(n_due(300), 0);
    CHECK_EQ(ws_timer_wheel_wait_ms(&wheel, 300), (int)round);
}

static uint64_t random_next(uint64_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t random_delay(uint64_t *seed) {
    uint64_t r = random_next(seed);
    if (r % 8 == 0) return random_next(seed) % 300000;
    return random_next(seed) % (r % 8 < 4 ? 1000 : 20000);
}

/* The model: when each node is due, in ms rounded up to a tick; 0 is disarmed. */
static int model_advance(uint64_t *deadlines, uint64_t now, bool *expected) {
    int n = 0;
    for (int i = 0; i < NODES; i++) {
        expected[i] = deadlines[i] != 0 && deadlines[i] <= now;
        if (!expected[i]) continue;
        deadlines[i] = 0;
        n++;
    }
    return n;
}

static void check_wait(const uint64_t *deadlines, uint64_t now) {
    uint64_t first = UINT64_MAX;
    size_t n = 0;
    for (int i = 0; i < NODES; i++) {
        if (deadlines[i] == 0) continue;
        n++;
        if (deadlines[i] < first) first = deadlines[i];
    }
    int wait = ws_timer_wheel_wait_ms(&wheel, now);
    CHECK_EQ(wheel.n, n);
    if (n == 0) CHECK_EQ(wait, -1);
    else CHECK(wait >= 0 && (uint64_t)wait <= (first > now ? first - now : 0));
    /* Within a round no other round's node can shorten it below the first slot in use. */
    if (n == 1 && first > now && first / 100 - wheel.tick <= WS_TIMER_SLOTS)
        CHECK_EQ(wait, first - now);
}

static void test_random_against_model(void) {
    static struct node nodes[NODES];
    uint64_t deadlines[NODES] = {0}, seed = UINT64_C(0x9e3779b97f4a7c15), now = 12345;
    bool expected[NODES];
    memset(nodes, 0, sizeof nodes);
    for (int i = 0; i < NODES; i++) nodes[i].id = i;
    ws_timer_wheel_init(&wheel, now);
    for (int step = 0; step < 10000; step++) {
        uint64_t what = random_next(&seed) % 10, which = random_next(&seed) % NODES;
        if (what < 5) {
            uint64_t delay = random_delay(&seed);
            ws_timer_arm(&wheel, &nodes[which].timer, now, delay);
            deadlines[which] = (now + delay + 99) / 100 * 100;
            if (deadlines[which] <= now / 100 * 100) deadlines[which] = now / 100 * 100 + 100;
        } else if (what < 6) {
            ws_timer_disarm(&wheel, &nodes[which].timer);
            deadlines[which] = 0;
        } else {
            now += random_next(&seed) % (what == 6 ? 100000 : 400);
            int n = model_advance(deadlines, now, expected);
            struct seen s = advance(now);
            CHECK_EQ(s.n, n);
            for (int i = 0; i < s.n; i++) CHECK(expected[s.ids[i]]);
        }
        CHECK_EQ(ws_timer_is_armed(&nodes[which].timer), deadlines[which] != 0);
        check_wait(deadlines, now);
    }
}

int main(void) {
    RUN(test_due_at_exact_tick);
    RUN(test_rounded_up_never_early);
    RUN(test_arm_by);
    RUN(test_zero_delay_is_next_tick);
    RUN(test_disarm);
    RUN(test_arm_again_moves);
    RUN(test_ticks_in_order);
    RUN(test_arm_itself_inside_due);
    RUN(test_arm_inside_due_of_jump);
    RUN(test_disarm_others_inside_due);
    RUN(test_move_others_inside_due);
    RUN(test_far_deadline_waits_for_its_round);
    RUN(test_whole_round);
    RUN(test_time_jump);
    RUN(test_clock_goes_back);
    RUN(test_end_of_time);
    RUN(test_wait_ms);
    RUN(test_wait_ms_every_distance);
    RUN(test_wait_ms_of_later_round);
    RUN(test_random_against_model);
    return check_done();
}
