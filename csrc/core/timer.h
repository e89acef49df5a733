/* timer.h: a hashed wheel for protocol time-outs. 100 ms ticks, intrusive nodes, O(1) to arm and
 * disarm.
 *
 * No clock in here: the caller passes milliseconds of one monotonic clock. */
#ifndef WS_TIMER_H
#define WS_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_TIMER_TICK_MS 100
#define WS_TIMER_SLOTS 512 /* a power of two; a deadline further away waits for more rounds */

/* In the owner's struct. Zeroed memory is a disarmed node; an armed one stays where it is. */
struct ws_timer {
    struct ws_timer *next;
    struct ws_timer **link; /* what points at this node; NULL while disarmed */
    uint64_t tick;          /* when it is due */
};

/* Nodes point into it: it stays where it is while one is armed. */
struct ws_timer_wheel {
    struct ws_timer *slots[WS_TIMER_SLOTS];
    uint64_t used[WS_TIMER_SLOTS / 64]; /* a bit for each slot that may hold nodes */
    uint64_t tick;                      /* the last tick that was served */
    size_t n;                           /* armed nodes */
};

void ws_timer_wheel_init(struct ws_timer_wheel *w, uint64_t now_ms);
/* Arms (or moves) a node: due at now + delay, rounded up to a tick, never early. */
void ws_timer_arm(struct ws_timer_wheel *w, struct ws_timer *t, uint64_t now_ms, uint64_t delay_ms);
/* The same, unless it is armed for that tick or an earlier one. */
void ws_timer_arm_by(struct ws_timer_wheel *w, struct ws_timer *t, uint64_t now_ms,
                     uint64_t delay_ms);
/* Disarms; a disarmed node is left alone. */
void ws_timer_disarm(struct ws_timer_wheel *w, struct ws_timer *t);
static inline bool ws_timer_is_armed(const struct ws_timer *t) {
    return t->link != NULL;
}
/* Calls due(ctx, t) for every node whose time has come, disarmed before the call; due may arm,
 * disarm (and then free) any node (one armed inside the call is not due before the next tick). A
 * clock that went back serves nothing. Not to be called from due. */
void ws_timer_wheel_advance(struct ws_timer_wheel *w, uint64_t now_ms,
                            void (*due)(void *ctx, struct ws_timer *t), void *ctx);
/* Milliseconds until the next slot that may hold a due node, for a poller's wait: -1 if none is
 * armed, 0 if one is overdue. It may be earlier than the first deadline (a node of a later round),
 * never later. */
int ws_timer_wheel_wait_ms(const struct ws_timer_wheel *w, uint64_t now_ms);

#endif
