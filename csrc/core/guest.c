/* guest.c: the caller's descriptors on the loop. See guest.h. */
#include "guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>

#define HUNG_MAX 1000 /* calls about an end until the log tells of them */

struct ws_guest *ws_guest_new(int fd, void *object) {
    struct ws_guest *guest = calloc(1, sizeof *guest);
    if (!guest) return NULL;
    atomic_init(&guest->refs, 1);
    guest->fd = fd;
    guest->object = object;
    return guest;
}

static struct ws_guest *ref(struct ws_guest *guest) {
    atomic_fetch_add_explicit(&guest->refs, 1, memory_order_relaxed);
    return guest;
}

static void unref_by(struct ws_guest *guest, uint32_t n) {
    if (atomic_fetch_sub_explicit(&guest->refs, n, memory_order_acq_rel) == n) free(guest);
}

void ws_guest_unref(struct ws_guest *guest) {
    if (guest) unref_by(guest, 1);
}

void ws_guest_detach(struct ws_guest *guest) {
    guest->object = NULL;
}

static void tell(struct ws_tick *t, const struct ws_guest *guest, uint32_t events) {
    if (guest->object && t->handlers->on_guest)
        t->handlers->on_guest(t->user, guest->object, events);
}

static void tell_left(struct ws_tick *t, struct ws_guest *guest) {
    tell(t, guest, 0);
    guest->object = NULL;
}

void ws_guest_finish(struct ws_tick *t, struct ws_guest *guest) {
    tell_left(t, guest);
    ws_guest_unref(guest);
}

/* ---- the table ---- */

static uint64_t data_of(const struct ws_guest *guest) {
    return (uint64_t)guest->number << 32 | (WS_GUEST_SLOT + guest->place);
}

static struct ws_guest *find(const struct ws_loop *l, uint32_t place, uint32_t number) {
    struct ws_guest *guest = place < l->guests_cap ? l->guests[place] : NULL;
    return guest && guest->number == number ? guest : NULL;
}

/* Gives it a place; the reference for it is the caller's to add. 0 or an error. */
static int seat(struct ws_loop *l, struct ws_guest *guest) {
    uint32_t place = 0;
    while (place < l->guests_cap && l->guests[place]) place++;
    if (place == l->guests_cap) {
        uint32_t cap = l->guests_cap ? l->guests_cap * 2 : 8;
        if (cap > WS_LISTENER_SLOT - WS_GUEST_SLOT) return WS_ERR_LIMIT;
        struct ws_guest **guests = realloc(l->guests, cap * sizeof *guests);
        if (!guests) return WS_ERR_MEMORY;
        memset(guests + l->guests_cap, 0, (cap - l->guests_cap) * sizeof *guests);
        l->guests = guests;
        l->guests_cap = cap;
    }
    l->guests[place] = guest;
    l->n_guests++;
    guest->place = place;
    guest->number = ++l->last_guest;
    guest->is_in = true;
    guest->is_lost = false;
    return 0;
}

/* It leaves the loop; its descriptor stays as it is. Returns how many references to it the table
 * had. */
static uint32_t unseat(struct ws_loop *l, struct ws_guest *guest) {
    if (!guest->is_in) return 0;
    if (!guest->is_lost && !l->poller.ops->del(&l->poller, guest->fd)) l->is_haunted = true;
    guest->is_in = false;
    l->guests[guest->place] = NULL;
    l->n_guests--;
    return 1;
}

static int push(struct ws_tick *t, const struct ws_guest *guest, uint32_t events) {
    struct ws_event ev = {.kind = WS_EVENT_GUEST,
                          .key = guest->place,
                          .len = guest->number,
                          .code = (uint16_t)events};
    return ws_batch_push(&t->batch, &ev);
}

/* ---- registering ---- */

/* Gives the poller its descriptor, or what else is asked of it now. 0 or an error. */
static int watch(struct ws_loop *l, struct ws_guest *guest) {
    const struct ws_poller_ops *ops = l->poller.ops;
    uint32_t wanted = atomic_load_explicit(&guest->wanted, memory_order_relaxed);
    if (atomic_load_explicit(&l->abandoned, memory_order_relaxed)) return WS_ERR_CLOSED;
    if (guest->is_lost) return WS_ERR_ARGUMENT;
    if (guest->is_in) return ops->mod(&l->poller, guest->fd, wanted, data_of(guest));
    if (ops->has(&l->poller, guest->fd)) return WS_ERR_ARGUMENT; /* a connection's, say */
    int err = seat(l, guest);
    if (err < 0) return err;
    err = ops->add(&l->poller, guest->fd, wanted, data_of(guest));
    if (err < 0) {
        int saved = errno;
        unseat(l, guest);
        errno = saved;
        return err;
    }
    ref(guest);
    return 0;
}

static int post(struct ws_loop *l, struct ws_guest *guest, enum ws_mail_kind kind) {
    struct ws_mail *mail = calloc(1, sizeof *mail);
    if (!mail) return WS_ERR_MEMORY;
    mail->guest = ref(guest);
    mail->kind = (uint8_t)kind;
    ws_tick_post(&l->tick, mail);
    return 0;
}

int ws_loop_register(struct ws_loop *l, struct ws_guest *guest, uint32_t events) {
    int err = ws_poller_check(guest->fd);
    if (err < 0) return err;
    if (l->tick.options->strategy == WS_STRATEGY_SELECT && guest->fd >= FD_SETSIZE)
        return WS_ERR_LIMIT;
    atomic_store_explicit(&guest->wanted, events & WS_POLL_WANTED, memory_order_relaxed);
    if (!ws_tick_is_owner(&l->tick)) return post(l, guest, WS_MAIL_REGISTER);
    ws_loop_take_mail(l); /* another thread may just have unregistered this descriptor */
    return watch(l, guest);
}

int ws_loop_unregister(struct ws_loop *l, struct ws_guest *guest) {
    if (!ws_tick_is_owner(&l->tick)) return post(l, guest, WS_MAIL_UNREGISTER);
    ws_loop_take_mail(l);
    unref_by(guest, unseat(l, guest)); /* not the last one: the caller has one */
    return 0;
}

/* It cannot be watched: dispatch tells so. */
static void lose(struct ws_loop *l, struct ws_guest *guest) {
    guest->is_lost = true;
    push(&l->tick, guest, WS_POLL_NVAL);
}

void ws_guest_apply(struct ws_loop *l, struct ws_mail *mail) {
    struct ws_guest *guest = mail->guest;
    uint32_t refs = 1; /* the mail's */
    if (mail->kind == WS_MAIL_UNREGISTER) {
        refs += unseat(l, guest);
    } else if (watch(l, guest) < 0 && !guest->is_lost) {
        /* Nobody waits for the answer, so it comes as an event. */
        if (!guest->is_in && seat(l, guest) == 0) refs = 0; /* the mail's is the table's now */
        if (guest->is_in) lose(l, guest);
    }
    if (refs) unref_by(guest, refs);
}

void ws_guest_lose(struct ws_loop *l, int fd) {
    for (uint32_t i = 0; i < l->guests_cap; i++) {
        struct ws_guest *guest = l->guests[i];
        if (guest && guest->fd == fd && !guest->is_lost) lose(l, guest);
    }
}

/* ---- events ---- */

void ws_guest_ready(struct ws_loop *l, const struct ws_poller_ready *r) {
    struct ws_guest *guest = find(l, (uint32_t)r->data - WS_GUEST_SLOT, (uint32_t)(r->data >> 32));
    if (!guest && l->is_haunted) ws_loop_renew_poller(l);
    if (!guest || guest->is_lost) return;
    /* What it is now: select tells less, and epoll goes on telling of what was closed here but is
     * open elsewhere. */
    uint32_t events =
        ws_poller_look(guest->fd, atomic_load_explicit(&guest->wanted, memory_order_relaxed));
    if (events) push(&l->tick, guest, events); /* without memory: the next wait tells it again */
}

int ws_guest_move(struct ws_loop *l, struct ws_poller *to) {
    int err = 0;
    for (uint32_t i = 0; err == 0 && i < l->guests_cap; i++) {
        struct ws_guest *guest = l->guests[i];
        if (!guest || guest->is_lost) continue;
        uint32_t wanted = atomic_load_explicit(&guest->wanted, memory_order_relaxed);
        err = to->ops->add(to, guest->fd, wanted, data_of(guest));
        if (err == WS_ERR_SYSTEM && errno == EBADF) { /* closed, and nobody has told yet */
            lose(l, guest);
            err = 0;
        }
    }
    return err;
}

/* The tick is the loop's first member. */
static struct ws_loop *loop_of(struct ws_tick *t) {
    return (struct ws_loop *)(void *)t;
}

/* Whoever does not take it out is called for ever, as fast as the loop turns. */
static void note_hung(struct ws_tick *t, struct ws_guest *guest, uint32_t events) {
    if (!(events & (WS_POLL_ERR | WS_POLL_HUP)) || !guest->is_in) guest->n_hung = 0;
    else if (guest->n_hung < HUNG_MAX && ++guest->n_hung == HUNG_MAX)
        ws_tick_log(t, WS_LINE_SYSTEM, WS_LOG_WARNING,
                    "descriptor %d is at its end or has failed, which its callback was told %d "
                    "times in a row: it should be unregistered",
                    guest->fd, HUNG_MAX);
}

void ws_guest_dispatch(struct ws_tick *t, const struct ws_event *ev) {
    struct ws_loop *l = loop_of(t);
    struct ws_guest *guest = find(l, ev->key, (uint32_t)ev->len);
    if (!guest) return;
    uint32_t refs = 1;
    ref(guest); /* whatever it does */
    tell(t, guest, ev->code);
    if (ev->code & WS_POLL_NVAL && guest->is_in) {
        if (guest->object)
            ws_tick_log(t, WS_LINE_SYSTEM, WS_LOG_WARNING,
                        "descriptor %d is closed or cannot be waited for: it is not registered any "
                        "more",
                        guest->fd);
        refs += unseat(l, guest);
        guest->is_lost = true; /* another thread may have asked for something else meanwhile */
        tell_left(t, guest);
    }
    note_hung(t, guest, ev->code);
    unref_by(guest, refs);
}

void ws_guest_finish_all(struct ws_loop *l) {
    for (uint32_t i = 0; i < l->guests_cap; i++) {
        struct ws_guest *guest = l->guests[i];
        if (!guest) continue;
        guest->is_lost = true; /* the poller ends as a whole */
        l->guests[i] = NULL;
        guest->is_in = false;
        ws_guest_finish(&l->tick, guest);
    }
    free(l->guests);
    l->guests = NULL;
    l->guests_cap = l->n_guests = 0;
}
