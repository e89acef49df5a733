/* buf.c: a growable byte buffer.
 *
 * It never shrinks by itself: whoever wants the memory back calls ws_buf_fini or takes it. */
#include "buf.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

/* A connection's first incomplete tail is small; this saves the first few steps of doubling. */
#define FIRST_CAP 64

void ws_buf_init(struct ws_buf *b) {
    *b = (struct ws_buf){0};
}

void ws_buf_fini(struct ws_buf *b) {
    free(b->data);
    ws_buf_init(b);
}

int ws_buf_reserve(struct ws_buf *b, size_t more) {
    if (more <= b->cap - b->len) return 0;
    /* Above PTRDIFF_MAX the difference of two pointers into the buffer has no type. */
    if (more > (size_t)PTRDIFF_MAX - b->len) return WS_ERR_MEMORY;
    size_t need = b->len + more;
    size_t cap = b->cap <= (size_t)PTRDIFF_MAX / 2 ? b->cap * 2 : (size_t)PTRDIFF_MAX;
    if (cap < FIRST_CAP) cap = FIRST_CAP;
    if (cap < need) cap = need;
    uint8_t *data = realloc(b->data, cap);
    if (!data) return WS_ERR_MEMORY;
    b->data = data;
    b->cap = cap;
    return 0;
}

int ws_buf_append(struct ws_buf *b, const void *data, size_t len) {
    if (len == 0) return 0; /* memcpy may not be given a NULL, not even for no bytes */
    int err = ws_buf_reserve(b, len);
    if (err < 0) return err;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return 0;
}

void ws_buf_consume(struct ws_buf *b, size_t n) {
    if (n == 0) return;
    b->len -= n;
    if (b->len) memmove(b->data, b->data + n, b->len);
}

uint8_t *ws_buf_take(struct ws_buf *b) {
    uint8_t *data = b->data;
    ws_buf_init(b);
    return data;
}
