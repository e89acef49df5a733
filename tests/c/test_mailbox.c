/* test_mailbox.c: many producers, one consumer: nothing is lost, each producer's order is kept, and
 * post tells the first into an empty box. Also built with the thread sanitizer by test_c.py. */
#include "mailbox.h"

#include "check.h"

#include <pthread.h>
#include <sched.h>

enum { PRODUCERS = 4, MAILS = 20000 };

/* Mail that tells who posted it, and as which of theirs. */
struct numbered {
    struct ws_mail mail; /* first */
    unsigned producer, number;
};

static struct ws_mail *mail_of(unsigned producer, unsigned number) {
    struct numbered *n = calloc(1, sizeof *n);
    if (!n) exit(2);
    n->producer = producer;
    n->number = number;
    return &n->mail;
}

static const struct numbered *numbered_of(const struct ws_mail *mail) {
    return (const struct numbered *)(const void *)mail;
}

static void test_mailbox_one_thread(void) {
    struct ws_mailbox box;
    ws_mailbox_init(&box);
    CHECK(ws_mailbox_take(&box) == NULL);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5; i++) CHECK_EQ(ws_mailbox_post(&box, mail_of(0, i)), i == 0);
        struct ws_mail *mail = ws_mailbox_take(&box), *next;
        for (unsigned i = 0; i < 5; i++, mail = next) {
            CHECK(mail != NULL);
            CHECK_EQ(numbered_of(mail)->number, i);
            next = mail->next;
            free(mail);
        }
        CHECK(mail == NULL);
        CHECK(ws_mailbox_take(&box) == NULL);
    }
}

struct producer {
    struct ws_mailbox *box;
    unsigned index;
    unsigned n_first; /* posts that found the box empty */
    _Atomic unsigned *n_done;
};

static void *produce(void *arg) {
    struct producer *p = arg;
    for (unsigned i = 0; i < MAILS; i++)
        p->n_first += ws_mailbox_post(p->box, mail_of(p->index, i));
    atomic_fetch_add(p->n_done, 1);
    return NULL;
}

/* Takes what is there; returns 1 if it was anything, so that the takes are counted. */
static unsigned consume(struct ws_mailbox *box, unsigned next[PRODUCERS], unsigned *n_wrong) {
    struct ws_mail *mail = ws_mailbox_take(box), *following;
    unsigned some = mail != NULL;
    for (; mail; mail = following) {
        following = mail->next;
        const struct numbered *n = numbered_of(mail);
        if (n->producer >= PRODUCERS || n->number != next[n->producer]++) ++*n_wrong;
        free(mail);
    }
    return some;
}

static void test_mailbox_threads(void) {
    struct ws_mailbox box;
    struct producer producers[PRODUCERS];
    pthread_t threads[PRODUCERS];
    _Atomic unsigned n_done = 0;
    unsigned next[PRODUCERS] = {0}, n_wrong = 0, n_takes = 0, n_first = 0;
    ws_mailbox_init(&box);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        producers[i] = (struct producer){.box = &box, .index = i, .n_done = &n_done};
        CHECK_EQ(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
    }
    while (atomic_load(&n_done) < PRODUCERS) {
        unsigned some = consume(&box, next, &n_wrong);
        n_takes += some;
        if (!some) sched_yield();
    }
    n_takes += consume(&box, next, &n_wrong);
    for (unsigned i = 0; i < PRODUCERS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ(next[i], MAILS);
        n_first += producers[i].n_first;
    }
    CHECK_EQ(n_wrong, 0);
    CHECK_EQ(n_first, n_takes); /* one wake-up for each empty -> non-empty */
}

int main(void) {
    RUN(test_mailbox_one_thread);
    RUN(test_mailbox_threads);
    return check_done();
}
