/* load_room.h: who sends to whom, and which messages are under way. In a broadcast all connections
 * are in one room; for an echo each is alone in its own. */
#ifndef LOAD_ROOM_H
#define LOAD_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_messages.h"

struct conn;

struct letter {
    const uint8_t *data; /* borrows from the pool */
    size_t len;
    struct pack *pack; /* borrows; NULL: it goes plain */
    uint64_t sent_ns;  /* at a fixed rate, when it was due */
    size_t missing;    /* members that have not received it */
};

struct room {
    struct conn *sender; /* borrows */
    size_t id, members, depth;
    struct series series;
    uint64_t due;         /* messages that may have been sent by now; only at a fixed rate */
    uint64_t sent, ended; /* messages: on their way, received by every member */
    struct letter *ring;  /* owns; message k stands at k mod depth */
};

/* Gives 0, or -1 after it said why; room_fini is right after both. */
int room_init(struct room *r, size_t id, struct conn *sender, size_t members, size_t depth);
void room_fini(struct room *r);

/* Whether another message may go out. */
bool room_has_place(const struct room *r);

/* The next message, under way from now on, and the time from which it counts. */
const struct letter *room_send(struct room *r, const struct messages *m, uint64_t ns);

/* The message that is due to a member who has received so many; NULL: none is. */
const struct letter *room_due(const struct room *r, uint64_t received);

/* A member has received message `number`. The message if it was the last to, else NULL. */
const struct letter *room_receive(struct room *r, uint64_t number);

#endif
