/* entropy.c: see entropy.h. A system call for each mask would cost more than the frame. */
#include "entropy.h"

#include "err.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

/* Waits only where the system has just been booted and has no entropy yet. */
static int refill(struct ws_entropy *e) {
    ssize_t n;
    do {
        n = getrandom(e->bytes, sizeof e->bytes, 0); /* up to 256 bytes come whole */
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof e->bytes) return WS_ERR_SYSTEM;
    e->left = sizeof e->bytes;
    return 0;
}

int ws_entropy_take(struct ws_entropy *e, void *out, size_t n) {
    if (n > e->left && refill(e) < 0) return WS_ERR_SYSTEM;
    uint8_t *at = e->bytes + sizeof e->bytes - e->left;
    memcpy(out, at, n);
    memset(at, 0, n);
    e->left -= n;
    return 0;
}
