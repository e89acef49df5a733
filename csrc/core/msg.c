/* msg.c: counted blocks. See msg.h. */
#include "msg.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Blocks without an object. */
struct ws_msg_packs {
    pthread_mutex_t lock;
    uint32_t made;                    /* a bit for each way that was tried */
    struct ws_msg *ways[WS_MSG_WAYS]; /* each owns a reference, or NULL */
};

struct ws_msg *ws_msg_new(size_t len) {
    struct ws_msg *m = len > SIZE_MAX - sizeof *m ? NULL : malloc(sizeof *m + len);
    if (!m) return NULL;
    atomic_init(&m->refs, 1);
    m->header_len = 0;
    m->len = len;
    m->data = m->bytes;
    m->object = NULL;
    atomic_init(&m->packs, NULL);
    return m;
}

struct ws_msg *ws_msg_new_object(void *object, const uint8_t *data, size_t len,
                                 const uint8_t *header, size_t header_len) {
    struct ws_msg *m = ws_msg_new(0);
    if (!m) return NULL;
    memcpy(m->header, header, header_len);
    m->header_len = (uint8_t)header_len;
    m->len = len;
    m->data = data;
    m->object = object;
    return m;
}

void ws_msg_ref(struct ws_msg *m) {
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

/* Nobody refers to the block any more. */
static void free_packs(struct ws_msg *m) {
    struct ws_msg_packs *p = atomic_load_explicit(&m->packs, memory_order_relaxed);
    m->next = NULL;
    if (!p) return;
    for (size_t i = 0; i < WS_MSG_WAYS; i++) ws_msg_unref(p->ways[i]);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

struct ws_msg *ws_msg_unref(struct ws_msg *m) {
    /* acq_rel: whoever frees sees what the others wrote before they let go. */
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return NULL;
    free_packs(m);
    if (m->object) return m;
    ws_msg_free(m);
    return NULL;
}

void ws_msg_free(struct ws_msg *m) {
    free(m);
}

/* Of several threads that make one the first wins. NULL: out of memory. */
static struct ws_msg_packs *need_packs(struct ws_msg *m) {
    struct ws_msg_packs *p = atomic_load_explicit(&m->packs, memory_order_acquire);
    if (p) return p;
    struct ws_msg_packs *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    pthread_mutex_init(&made->lock, NULL);
    if (atomic_compare_exchange_strong(&m->packs, &p, made)) return made;
    pthread_mutex_destroy(&made->lock);
    free(made);
    return p;
}

struct ws_msg *ws_msg_pack(struct ws_msg *m, unsigned way,
                           struct ws_msg *(*make)(void *ctx, const struct ws_msg *m), void *ctx) {
    struct ws_msg_packs *p = need_packs(m);
    if (!p) return NULL;
    pthread_mutex_lock(&p->lock);
    if (!(p->made & 1u << way)) p->ways[way] = make(ctx, m);
    p->made |= 1u << way;
    struct ws_msg *pack = p->ways[way];
    if (pack) ws_msg_ref(pack);
    pthread_mutex_unlock(&p->lock);
    return pack;
}
