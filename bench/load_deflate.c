/* load_deflate.c: compresses each message once, at the start, and inflates what comes back. It does
 * NOT keep a context from one message to the next, and offers the server none. */
#include "load_deflate.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "load_base.h"

enum {
    LEVEL = 6,
    RECORD_CAP = 160, /* a record of the text is shorter */
    TAIL = 4,         /* 00 00 ff ff: not sent, section 7.2.1 */
};

/* ---- the text ---- */

static unsigned roll(uint64_t *rng, unsigned sides) {
    return (unsigned)(rng_next(rng) >> 33) % sides;
}

void deflate_text(uint8_t *p, size_t n) {
    static const char symbols[8][7] = {"EURUSD", "USDJPY", "GBPUSD", "AUDUSD",
                                       "USDCAD", "USDCHF", "NZDUSD", "EURGBP"};
    static const char venues[4][5] = {"XLON", "XNYS", "XTKS", "XPAR"};
    uint64_t rng = 0x243f6a8885a308d3ULL;
    while (n > 0) {
        char record[RECORD_CAP];
        unsigned id = roll(&rng, 1000000), symbol = roll(&rng, 8), bid = roll(&rng, 100000);
        unsigned spread = roll(&rng, 90) + 10, size = roll(&rng, 500), venue = roll(&rng, 4);
        bool live = roll(&rng, 8) > 0;
        int len = snprintf(record, sizeof record,
                           "{\"id\":%u,\"symbol\":\"%s\",\"bid\":1.%05u,\"spread\":0.000%02u,"
                           "\"size\":%u,\"venue\":\"%s\",\"live\":%s},\n",
                           id, symbols[symbol], bid, spread, size * 100, venues[venue],
                           live ? "true" : "false");
        size_t k = min_size((size_t)len, n);
        memcpy(p, record, k);
        p += k;
        n -= k;
    }
}

/* ---- what is agreed on ---- */

/* The value of the line that begins with Sec-WebSocket-Extensions, or NULL. */
static const char *extensions_of(const char *head) {
    static const char name[] = "\r\nSec-WebSocket-Extensions:";
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line, name, sizeof name - 1) == 0) return line + sizeof name - 1;
    return NULL;
}

/* Whether the value, which ends with its line, has the word. */
static bool has_word(const char *value, size_t n, const char *word) {
    const char *at = strstr(value, word);
    return at && at < value + n;
}

int deflate_agreed(const char *head, size_t id) {
    const char *value = extensions_of(head);
    size_t n = value ? strcspn(value, "\r\n") : 0;
    if (!value || !has_word(value, n, "permessage-deflate"))
        return fail("connection %zu: the server does not agree on permessage-deflate", id);
    /* Section 7.1.1.1: who accepts the offer has to name it. client_no_context_takeover may be
     * missing: then we may keep a context, and do not. server_max_window_bits is below ours. */
    if (!has_word(value, n, "server_no_context_takeover") ||
        has_word(value, n, "client_max_window_bits"))
        return fail("connection %zu: the server agrees on something else than was offered:%.*s", id,
                    (int)n, value);
    return 0;
}

/* ---- compressing ---- */

static int pack_make(z_stream *z, struct pack *pack) {
    size_t cap = deflateBound(z, pack->len) + 16;
    pack->bytes = malloc(cap);
    if (!pack->bytes) return fail("out of memory");
    deflateReset(z);
    z->next_out = pack->bytes;
    z->avail_out = (uInt)cap;
    z->next_in = (Bytef *)(uintptr_t)pack->text;
    z->avail_in = (uInt)pack->len;
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in > 0) return fail("deflate");
    pack->n = cap - z->avail_out - TAIL;
    return 0;
}

static int packs_make(struct deflate *d) {
    z_stream z = {0};
    int status = 0;
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return fail("deflateInit2");
    for (size_t i = 0; i < PACKS && status == 0; i++) status = pack_make(&z, &d->packs[i]);
    deflateEnd(&z);
    return status;
}

int deflate_init(struct deflate *d, size_t longest) {
    z_stream *z = calloc(1, sizeof *z);
    d->inflater = z;
    d->buf = malloc(longest + 1);
    d->answer_cap = longest + longest / 8 + 64; /* stored, and in blocks of any size */
    if (!z || !d->buf) return fail("out of memory");
    if (inflateInit2(z, -15) != Z_OK) return fail("inflateInit2");
    return packs_make(d);
}

void deflate_fini(struct deflate *d) {
    for (size_t i = 0; i < PACKS; i++) {
        free(d->packs[i].bytes);
        free(d->packs[i].answer);
    }
    if (d->inflater) inflateEnd(d->inflater);
    free(d->inflater);
    free(d->buf);
}

/* ---- inflating ---- */

/* Inflates n bytes more; false: they are broken, or more than there is room for. A block that is
 * marked as the last one ends the stream, but not the message: section 7.2.3.4. */
static bool inflate_some(z_stream *z, const uint8_t *p, size_t n) {
    z->next_in = (Bytef *)(uintptr_t)p;
    z->avail_in = (uInt)n;
    while (z->avail_in > 0) {
        int status = inflate(z, Z_SYNC_FLUSH);
        if (status == Z_STREAM_END) status = inflateReset(z);
        if (status != Z_OK) return false;
    }
    return true;
}

static void answer_keep(struct pack *pack, const uint8_t *bytes, size_t n) {
    if (n > pack->answer_cap) {
        uint8_t *more = realloc(pack->answer, n);
        if (!more) return; /* it is inflated again the next time */
        pack->answer = more;
        pack->answer_cap = n;
    }
    memcpy(pack->answer, bytes, n);
    pack->answer_n = n;
}

const char *deflate_check(struct deflate *d, struct pack *pack, const uint8_t *bytes, size_t n) {
    static const uint8_t tail[TAIL] = {0, 0, 0xff, 0xff};
    z_stream *z = d->inflater;
    if (n > 0 && n == pack->answer_n && memcmp(bytes, pack->answer, n) == 0) return NULL;
    inflateReset(z);
    z->next_out = d->buf;
    z->avail_out = (uInt)pack->len + 1;
    if (!inflate_some(z, bytes, n) || !inflate_some(z, tail, TAIL))
        return z->avail_out == 0 ? "longer than what was sent" : "it cannot be inflated";
    if (z->avail_out == 0) return "longer than what was sent";
    if (z->avail_out > 1) return "shorter than what was sent";
    if (memcmp(d->buf, pack->text, pack->len) != 0) return "other bytes than what was sent";
    answer_keep(pack, bytes, n);
    return NULL;
}
