/* mailbox.c: many producers, one consumer. See mailbox.h. */
#include "mailbox.h"

#include <stddef.h>

void ws_mailbox_init(struct ws_mailbox *b) {
    atomic_init(&b->newest, NULL);
}

bool ws_mailbox_post(struct ws_mailbox *b, struct ws_mail *mail) {
    struct ws_mail *newest = atomic_load_explicit(&b->newest, memory_order_relaxed);
    do {
        mail->next = newest;
        /* release: the owner sees what was written into the mail. There is no ABA: only whole lists
         * are taken. */
    } while (!atomic_compare_exchange_weak_explicit(&b->newest, &newest, mail, memory_order_release,
                                                    memory_order_relaxed));
    return newest == NULL;
}

struct ws_mail *ws_mailbox_take(struct ws_mailbox *b) {
    struct ws_mail *mail = atomic_exchange_explicit(&b->newest, NULL, memory_order_acquire);
    struct ws_mail *oldest = NULL;
    while (mail) {
        struct ws_mail *next = mail->next;
        mail->next = oldest;
        oldest = mail;
        mail = next;
    }
    return oldest;
}
