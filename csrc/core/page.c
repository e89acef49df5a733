/* page.c: fixed answers. See page.h. A server has a handful of pages: a list is index enough. */
#include "page.h"

#include "err.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXED_HEAD_MAX 128 /* status line, names and CRLFs, a 20-digit length */

static int build(struct ws_page *page, struct ws_slice path, struct ws_slice body,
                 struct ws_slice content_type, struct ws_slice fields) {
    size_t head_max = FIXED_HEAD_MAX;
    /* INT_MAX: printf's precision is an int. */
    if (content_type.len > INT_MAX / 4 || fields.len > INT_MAX / 4 || path.len > INT_MAX / 4 ||
        body.len > SIZE_MAX / 8)
        return WS_ERR_MEMORY;
    head_max += content_type.len + fields.len;
    char *block = malloc(path.len + head_max + body.len);
    if (!block) return WS_ERR_MEMORY;
    if (path.len) memcpy(block, path.data, path.len);

    char *head = block + path.len;
    /* One answer for a connection: the next request comes on another, and a WebSocket needs its own
     * anyway. */
    int n =
        snprintf(head, head_max,
                 "HTTP/1.1 200 OK\r\nContent-Type: %.*s\r\nContent-Length: %zu\r\n"
                 "Connection: close\r\n%.*s\r\n",
                 (int)content_type.len, content_type.data, body.len, (int)fields.len, fields.data);
    if (n < 0 || (size_t)n >= head_max) {
        free(block);
        return WS_ERR_MEMORY;
    }
    if (body.len) memcpy(head + n, body.data, body.len);
    page->path = block;
    page->path_len = path.len;
    page->answer = (const uint8_t *)head;
    page->head_len = (size_t)n;
    page->len = (size_t)n + body.len;
    return 0;
}

static size_t index_of(const struct ws_pages *p, struct ws_slice path) {
    size_t i = 0;
    while (i < p->n &&
           (p->items[i].path_len != path.len || memcmp(p->items[i].path, path.data, path.len) != 0))
        i++;
    return i;
}

int ws_pages_add(struct ws_pages *p, struct ws_slice path, struct ws_slice body,
                 struct ws_slice content_type, struct ws_slice fields) {
    struct ws_page page;
    int err = build(&page, path, body, content_type, fields);
    if (err < 0) return err;
    size_t i = index_of(p, path);
    if (i < p->n) {
        free(p->items[i].path);
    } else {
        struct ws_page *items = realloc(p->items, (p->n + 1) * sizeof *items);
        if (!items) {
            free(page.path);
            return WS_ERR_MEMORY;
        }
        p->items = items;
        p->n++;
    }
    p->items[i] = page;
    return 0;
}

const struct ws_page *ws_pages_find(const struct ws_pages *p, struct ws_slice path) {
    size_t i = index_of(p, path);
    return i < p->n ? &p->items[i] : NULL;
}

void ws_pages_fini(struct ws_pages *p) {
    for (size_t i = 0; i < p->n; i++) free(p->items[i].path);
    free(p->items);
    p->items = NULL;
    p->n = 0;
}
