/* page.h: fixed HTTP answers by path, made once. Looked up without a copy; nothing changes while a
 * loop runs. */
#ifndef WS_PAGE_H
#define WS_PAGE_H

#include "bytes.h"

#include <stddef.h>
#include <stdint.h>

struct ws_page {
    char *path; /* owned, with the answer behind it in the same block */
    size_t path_len;
    const uint8_t *answer; /* head and body */
    size_t head_len; /* what HEAD gets: the same head without the body (RFC 9110 section 9.3.2) */
    size_t len;
};

struct ws_pages {
    struct ws_page *items; /* owned */
    size_t n;
};

/* Adds or replaces. `fields`: further header lines, each with CRLF. Copies everything. 0 or
 * WS_ERR_MEMORY. */
int ws_pages_add(struct ws_pages *p, struct ws_slice path, struct ws_slice body,
                 struct ws_slice content_type, struct ws_slice fields);
/* Borrowed, or NULL. */
const struct ws_page *ws_pages_find(const struct ws_pages *p, struct ws_slice path);
void ws_pages_fini(struct ws_pages *p);

#endif
