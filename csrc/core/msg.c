/* msg.c: counted blocks. See msg.h. */
#include "msg.h"

#include <stdlib.h>
#include <string.h>

struct ws_msg *ws_msg_new(size_t len) {
    struct ws_msg *m = len > SIZE_MAX - sizeof *m ? NULL : malloc(sizeof *m + len);
    if (!m) return NULL;
    atomic_init(&m->refs, 1);
    m->header_len = 0;
    m->len = len;
    m->data = m->bytes;
    m->object = NULL;
    m->next = NULL;
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

struct ws_msg *ws_msg_unref(struct ws_msg *m) {
    /* acq_rel: whoever frees sees what the others wrote before they let go. */
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1) return NULL;
    if (m->object) return m;
    ws_msg_free(m);
    return NULL;
}

void ws_msg_free(struct ws_msg *m) {
    free(m);
}
