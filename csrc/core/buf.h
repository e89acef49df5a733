/* buf.h: a growable byte buffer. Owns its memory; an empty one owns none.
 *
 * Not a queue: consuming from the front moves the rest down. */
#ifndef WS_BUF_H
#define WS_BUF_H

#include <stddef.h>
#include <stdint.h>

struct ws_buf {
    uint8_t *data; /* owned, NULL while cap is 0 */
    size_t len;
    size_t cap;
};

void ws_buf_init(struct ws_buf *b);
/* Frees the memory; the buffer is empty and usable afterwards. */
void ws_buf_fini(struct ws_buf *b);
/* Makes room for `more` bytes behind len, growing geometrically. 0 or WS_ERR_MEMORY (buffer
 * unchanged). */
int ws_buf_reserve(struct ws_buf *b, size_t more);
/* Copies len bytes to the end. 0 or WS_ERR_MEMORY (buffer unchanged). data may be NULL if len is 0;
 * it must not point into the buffer. */
int ws_buf_append(struct ws_buf *b, const void *data, size_t len);
/* Drops the first n bytes, n <= len. */
void ws_buf_consume(struct ws_buf *b, size_t n);
/* The caller takes the memory (to free with free()); the buffer is empty afterwards. NULL if it
 * owned none. */
uint8_t *ws_buf_take(struct ws_buf *b);

#endif
