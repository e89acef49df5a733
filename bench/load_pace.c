/* load_pace.c: computes times. It does NOT look at a clock, nor wait. */
#include "load_pace.h"

static uint64_t due_ns(const struct pace *p, uint64_t k) {
    return p->start_ns + (uint64_t)((double)k * p->interval_ns);
}

bool pace_next(struct pace *p, uint64_t now) {
    if (due_ns(p, p->due) > now) return false;
    p->due++;
    return true;
}

uint64_t pace_due_ns(const struct pace *p, size_t room, uint64_t number) {
    return due_ns(p, number * p->rooms + room);
}
