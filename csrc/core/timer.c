/* timer.c: the hashed wheel. A node stands in the slot of its due tick modulo WS_TIMER_SLOTS, so a
 * slot may also hold nodes of later rounds, which stay where they are until their own tick has
 * come.
 *
 * Reads no clock, allocates nothing and keeps no order among the nodes of one slot. Every armed
 * node's tick is greater than the wheel's, save for those that advance has not reached yet. */
#include "timer.h"

#include <limits.h>

#define SLOT_MASK (WS_TIMER_SLOTS - 1)
#define WORDS (WS_TIMER_SLOTS / 64)

static size_t slot_of(uint64_t tick) {
    return (size_t)(tick & SLOT_MASK);
}

/* now + delay rounded up to a tick; a delay beyond the clock's range is the clock's end. */
static uint64_t due_tick(uint64_t now_ms, uint64_t delay_ms) {
    uint64_t at = delay_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + delay_ms;
    return at / WS_TIMER_TICK_MS + (at % WS_TIMER_TICK_MS != 0);
}

static void push(struct ws_timer **head, struct ws_timer *t) {
    t->next = *head;
    t->link = head;
    if (t->next) t->next->link = &t->next;
    *head = t;
}

static void unlink_node(struct ws_timer *t) {
    *t->link = t->next;
    if (t->next) t->next->link = t->link;
    t->next = NULL;
    t->link = NULL;
}

static void put(struct ws_timer_wheel *w, struct ws_timer *t) {
    size_t slot = slot_of(t->tick);
    push(&w->slots[slot], t);
    w->used[slot / 64] |= UINT64_C(1) << (slot % 64);
}

static void clear_used_if_empty(struct ws_timer_wheel *w, size_t slot) {
    if (!w->slots[slot]) w->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

void ws_timer_wheel_init(struct ws_timer_wheel *w, uint64_t now_ms) {
    *w = (struct ws_timer_wheel){.tick = now_ms / WS_TIMER_TICK_MS};
}

void ws_timer_arm(struct ws_timer_wheel *w, struct ws_timer *t, uint64_t now_ms,
                  uint64_t delay_ms) {
    ws_timer_disarm(w, t);
    t->tick = due_tick(now_ms, delay_ms);
    /* The wheel has passed this tick's slot; without this the node would wait for a whole round. */
    if (t->tick <= w->tick) t->tick = w->tick + 1;
    put(w, t);
    w->n++;
}

void ws_timer_arm_by(struct ws_timer_wheel *w, struct ws_timer *t, uint64_t now_ms,
                     uint64_t delay_ms) {
    if (!t->link || t->tick > due_tick(now_ms, delay_ms)) ws_timer_arm(w, t, now_ms, delay_ms);
}

void ws_timer_disarm(struct ws_timer_wheel *w, struct ws_timer *t) {
    if (!t->link) return;
    unlink_node(t);
    clear_used_if_empty(w, slot_of(t->tick));
    w->n--;
}

/* The slot's nodes move to a list of this call first and are taken off its head one by one: so due
 * may arm into this very slot without being seen, and disarm any node, the next one included,
 * without breaking the walk. */
static void serve_slot(struct ws_timer_wheel *w, size_t slot,
                       void (*due)(void *ctx, struct ws_timer *t), void *ctx) {
    struct ws_timer *list = w->slots[slot];
    if (!list) return;
    list->link = &list;
    w->slots[slot] = NULL;
    while (list) {
        struct ws_timer *t = list;
        unlink_node(t);
        if (t->tick > w->tick) {
            put(w, t);
            continue;
        }
        w->n--;
        due(ctx, t);
    }
    clear_used_if_empty(w, slot);
}

void ws_timer_wheel_advance(struct ws_timer_wheel *w, uint64_t now_ms,
                            void (*due)(void *ctx, struct ws_timer *t), void *ctx) {
    uint64_t from = w->tick, to = now_ms / WS_TIMER_TICK_MS;
    if (to <= from) return;
    /* Set before the calls: what due arms goes behind it, whatever time due believes it is. */
    w->tick = to;
    /* After a jump of more than a round (a laptop that slept) one pass over the slots meets every
     * node. */
    uint64_t span = to - from < WS_TIMER_SLOTS ? to - from : WS_TIMER_SLOTS;
    for (uint64_t i = 1; i <= span && w->n > 0; i++) serve_slot(w, slot_of(from + i), due, ctx);
}

/* How many slots after `start` (itself 0) the first used one stands; some bit must be set. */
static size_t distance_to_used(const struct ws_timer_wheel *w, size_t start) {
    size_t first = start / 64;
    uint64_t bits = w->used[first] & (UINT64_MAX << (start % 64));
    /* The first word comes again at the end, whole, for the bits in front of start. */
    for (size_t i = 1; bits == 0 && i <= WORDS; i++) {
        first = (start / 64 + i) % WORDS;
        bits = w->used[first];
    }
    size_t slot = first * 64 + (bits ? (size_t)__builtin_ctzll(bits) : 0);
    return (slot + WS_TIMER_SLOTS - start) & SLOT_MASK;
}

int ws_timer_wheel_wait_ms(const struct ws_timer_wheel *w, uint64_t now_ms) {
    if (w->n == 0) return -1;
    uint64_t tick = w->tick + 1 + distance_to_used(w, slot_of(w->tick + 1));
    uint64_t now_tick = now_ms / WS_TIMER_TICK_MS;
    if (tick <= now_tick) return 0;
    /* A clock that went back could make this larger than an int. */
    if (tick - now_tick > INT_MAX / WS_TIMER_TICK_MS) return INT_MAX;
    return (int)((tick - now_tick) * WS_TIMER_TICK_MS - now_ms % WS_TIMER_TICK_MS);
}
