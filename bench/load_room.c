/* load_room.c: counts who has received what. It does NOT look at bytes: that is load_answer.c. */
#include "load_room.h"

#include <stdlib.h>

#include "load_base.h"

int room_init(struct room *r, size_t id, struct conn *sender, size_t members, size_t depth) {
    *r = (struct room){.id = id,
                       .sender = sender,
                       .members = members,
                       .depth = depth,
                       .series = messages_series(id)};
    r->ring = calloc(depth, sizeof *r->ring);
    return r->ring ? 0 : fail("out of memory");
}

void room_fini(struct room *r) {
    free(r->ring);
}

bool room_has_place(const struct room *r) {
    return r->sent - r->ended < r->depth;
}

const struct letter *room_send(struct room *r, const struct messages *m, uint64_t ns) {
    struct letter *letter = &r->ring[r->sent++ % r->depth];
    *letter = (struct letter){.sent_ns = ns, .missing = r->members};
    letter->data = messages_next(m, &r->series, &letter->len, &letter->pack);
    return letter;
}

const struct letter *room_due(const struct room *r, uint64_t received) {
    return received < r->sent ? &r->ring[received % r->depth] : NULL;
}

/* Every member receives in order, so messages end in order too: none before this one is missing. */
const struct letter *room_receive(struct room *r, uint64_t number) {
    struct letter *letter = &r->ring[number % r->depth];
    if (--letter->missing > 0) return NULL;
    r->ended++;
    return letter;
}
