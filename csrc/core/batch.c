/* batch.c: events in order. See batch.h. */
#include "batch.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 8
#define KEEP_CAP 16384 /* events whose memory is kept between ticks: half a megabyte */

int ws_batch_grow(struct ws_batch *b) {
    size_t cap = b->cap ? b->cap * 2 : FIRST_CAP;
    if (cap > SIZE_MAX / sizeof *b->events) return WS_ERR_MEMORY;
    struct ws_event *events = realloc(b->events, cap * sizeof *events);
    if (!events) return WS_ERR_MEMORY;
    b->events = events;
    b->cap = cap;
    return 0;
}

int ws_batch_push_owned(struct ws_batch *b, const struct ws_event *ev) {
    int err = ws_batch_push(b, ev);
    if (err < 0 || ev->owned || ev->object || !ev->len) return err;
    uint8_t *data = malloc(ev->len);
    if (!data) {
        b->n--;
        return WS_ERR_MEMORY;
    }
    memcpy(data, ev->data, ev->len);
    struct ws_event *last = &b->events[b->n - 1];
    last->owned = true;
    last->data = data;
    return 0;
}

struct ws_batch *ws_batch_new(void) {
    return calloc(1, sizeof(struct ws_batch));
}

void ws_batch_free(struct ws_batch *b) {
    ws_batch_fini(b);
    free(b);
}

void ws_batch_reset(struct ws_batch *b) {
    b->n = 0;
    if (b->cap > KEEP_CAP) ws_batch_fini(b);
}

void ws_batch_fini(struct ws_batch *b) {
    free(b->events);
    b->events = NULL;
    b->n = b->cap = b->head = 0;
}
