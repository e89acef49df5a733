/* load_pace.h: when messages are due that go out at a fixed rate. */
#ifndef LOAD_PACE_H
#define LOAD_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Message k of all is due k intervals after the start; the rooms have them in turns. So a message's
 * time follows from its number in its room, and nothing has to be remembered for those that are
 * late. */
struct pace {
    double interval_ns; /* 0: messages go out as soon as there is a place for them */
    uint64_t start_ns;
    uint64_t due; /* messages that have become due */
    size_t rooms;
};

/* Whether the next one is due by now; it counts as due then. */
bool pace_next(struct pace *p, uint64_t now);

/* When a room's message is due. */
uint64_t pace_due_ns(const struct pace *p, size_t room, uint64_t number);

#endif
