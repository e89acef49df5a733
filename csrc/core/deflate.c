/* deflate.c: the codecs of permessage-deflate. See deflate.h. */
#include "deflate.h"

#include "err.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SPARE_MAX 4u                    /* decompressors that are kept to be lent again */
#define SCRATCH_MAX (256u * 1024)       /* bytes that the pool keeps */
#define PIECE_MAX ((size_t)INT_MAX / 2) /* zlib counts in unsigned ints */
#define ROOM_MIN 64u /* zlib: with less than 7 bytes left a flush might be written twice */

struct ws_codec {
    z_stream z;
    struct ws_codec *next; /* of the spare ones */
    bool is_amid;          /* a reader's: a message has begun */
    bool has_ended;        /* with a final block, and nothing came behind it */
    bool is_lent;          /* a reader's: it counts in the pool's n_lent */
};

/* What a message may refer to of those before it. */
struct window {
    uInt len;
    uint8_t bytes[];
};

/* Memory counts here: each connection that compresses has one. */
struct ws_deflate {
    struct ws_deflate_pool *pool;
    struct ws_codec *reader, *writer;   /* owned: with takeover, or amid a message; else NULL */
    struct window *window;              /* owned: of a reader that was given back, or NULL */
    struct ws_deflate *before, *behind; /* in the pool's list */
    uint32_t used_ms;
    /* Any thread reads these: what changes stands apart. */
    uint8_t read_bits : 4, write_bits : 4;
    bool read_alone : 1, write_alone : 1; /* no takeover */
    bool is_server : 1;
    bool is_listed;
    bool is_amid; /* a message that is written */
};

_Static_assert(sizeof(struct ws_deflate) <= 56, "with malloc's own it is to be 64 bytes");

/* RFC 7692 section 7.2.1: what every message ends with before its tail is cut off, and 7.2.2: what
 * its reader appends. */
static const uint8_t tail[4] = {0x00, 0x00, 0xFF, 0xFF};

/* ---- codecs ---- */

static struct ws_codec *new_reader(uint8_t bits) {
    struct ws_codec *c = calloc(1, sizeof *c);
    if (c && inflateInit2(&c->z, -bits) == Z_OK) return c;
    free(c);
    return NULL;
}

static void free_reader(struct ws_codec *c) {
    if (c) inflateEnd(&c->z);
    free(c);
}

static struct ws_codec *new_writer(const struct ws_deflate_pool *pool, uint8_t bits) {
    struct ws_codec *c = calloc(1, sizeof *c);
    if (c && deflateInit2(&c->z, pool->level, Z_DEFLATED, -bits, pool->memory_level,
                          Z_DEFAULT_STRATEGY) == Z_OK)
        return c;
    free(c);
    return NULL;
}

static void free_writer(struct ws_codec *c) {
    if (c) deflateEnd(&c->z);
    free(c);
}

/* ---- the pool ---- */

void ws_deflate_pool_init(struct ws_deflate_pool *pool, uint8_t level, uint8_t memory_level) {
    *pool = (struct ws_deflate_pool){.level = level, .memory_level = memory_level};
}

void ws_deflate_pool_fini(struct ws_deflate_pool *pool) {
    for (size_t i = 0; i <= WS_DEFLATE_BITS_MAX; i++) free_writer(pool->writers[i]);
    free_reader(pool->reader);
    while (pool->spare) {
        struct ws_codec *c = pool->spare;
        pool->spare = c->next;
        free_reader(c);
    }
    ws_buf_fini(&pool->scratch);
    ws_deflate_pool_init(pool, pool->level, pool->memory_level);
}

void ws_deflate_pool_tidy(struct ws_deflate_pool *pool) {
    if (pool->scratch.cap > SCRATCH_MAX) ws_buf_fini(&pool->scratch);
}

static void unlist(struct ws_deflate *d) {
    struct ws_deflate_pool *pool = d->pool;
    if (!d->is_listed) return;
    *(d->before ? &d->before->behind : &pool->first) = d->behind;
    *(d->behind ? &d->behind->before : &pool->last) = d->before;
    d->before = d->behind = NULL;
    d->is_listed = false;
}

/* It has a codec of its own and has just used it. */
static void note_used(struct ws_deflate *d) {
    struct ws_deflate_pool *pool = d->pool;
    unlist(d);
    if (!d->reader && !d->writer) return;
    d->used_ms = (uint32_t)pool->now_ms;
    d->before = pool->last;
    *(pool->last ? &pool->last->behind : &pool->first) = d;
    pool->last = d;
    d->is_listed = true;
}

/* Its window stays: the peer may refer to it. Without memory for that the reader stays. */
static void give_reader_back(struct ws_deflate *d) {
    uInt len = 0;
    if (!d->reader) return;
    inflateGetDictionary(&d->reader->z, NULL, &len);
    struct window *window = malloc(sizeof *window + len);
    if (!window) return;
    inflateGetDictionary(&d->reader->z, window->bytes, &window->len);
    d->window = window;
    free_reader(d->reader);
    d->reader = NULL;
}

/* Amid a message nothing can be given back. */
static bool is_busy(const struct ws_deflate *d) {
    return d->is_amid || (d->reader && (d->reader->is_lent || d->reader->is_amid));
}

static void give_back(struct ws_deflate *d) {
    if (!is_busy(d)) {
        free_writer(d->writer);
        d->writer = NULL;
        give_reader_back(d);
    }
    note_used(d); /* what stayed is looked at again later */
}

int64_t ws_deflate_pool_sweep(struct ws_deflate_pool *pool) {
    uint32_t now_ms = (uint32_t)pool->now_ms; /* modulo 2^32 */
    const struct ws_deflate *end = pool->last;
    while (pool->first) {
        struct ws_deflate *d = pool->first;
        uint32_t idle_ms = now_ms - d->used_ms;
        if (idle_ms < WS_DEFLATE_IDLE_MS) return WS_DEFLATE_IDLE_MS - idle_ms;
        give_back(d);
        if (d == end) break;
    }
    return pool->first ? (int64_t)WS_DEFLATE_IDLE_MS : -1;
}

/* ---- a peer ---- */

struct ws_deflate *ws_deflate_new(struct ws_deflate_pool *pool,
                                  const struct ws_deflate_terms *terms, bool is_server) {
    struct ws_deflate *d = calloc(1, sizeof *d);
    if (!d) return NULL;
    d->pool = pool;
    d->is_server = is_server;
    d->write_bits = (is_server ? terms->server_bits : terms->client_bits) & 15u;
    d->read_bits = (is_server ? terms->client_bits : terms->server_bits) & 15u;
    d->write_alone = is_server ? terms->server_no_takeover : terms->client_no_takeover;
    d->read_alone = is_server ? terms->client_no_takeover : terms->server_no_takeover;
    return d;
}

/* The message that it was lent for is at its end. With takeover the reader stays the peer's. */
static void give_lent_back(struct ws_deflate *d) {
    struct ws_deflate_pool *pool = d->pool;
    uint32_t n = 0;
    if (!d->reader || !d->reader->is_lent) return;
    d->reader->is_lent = false;
    pool->n_lent--;
    if (!d->read_alone) return;
    for (const struct ws_codec *c = pool->spare; c; c = c->next) n++;
    if (n < SPARE_MAX && inflateReset(&d->reader->z) == Z_OK) {
        d->reader->is_amid = d->reader->has_ended = false;
        d->reader->next = pool->spare;
        pool->spare = d->reader;
    } else {
        free_reader(d->reader);
    }
    d->reader = NULL;
}

void ws_deflate_free(struct ws_deflate *d) {
    if (!d) return;
    ws_deflate_end(d);
    free(d);
}

void ws_deflate_end(struct ws_deflate *d) {
    ws_deflate_end_reading(d);
    free_writer(d->writer);
    d->writer = NULL;
    note_used(d);
}

void ws_deflate_end_reading(struct ws_deflate *d) {
    give_lent_back(d);
    free_reader(d->reader);
    d->reader = NULL;
    free(d->window);
    d->window = NULL;
    note_used(d);
}

uint8_t ws_deflate_bits(const struct ws_deflate *d) {
    return d->write_bits;
}

bool ws_deflate_takes_over(const struct ws_deflate *d) {
    return !d->write_alone;
}

bool ws_deflate_is_amid(const struct ws_deflate *d) {
    return d->is_amid;
}

struct ws_deflate_pool *ws_deflate_pool_of(const struct ws_deflate *d) {
    return d->pool;
}

void ws_deflate_get_terms(const struct ws_deflate *d, struct ws_deflate_terms *terms) {
    *terms = (struct ws_deflate_terms){
        .server_bits = d->is_server ? d->write_bits : d->read_bits,
        .client_bits = d->is_server ? d->read_bits : d->write_bits,
        .server_no_takeover = d->is_server ? d->write_alone : d->read_alone,
        .client_no_takeover = d->is_server ? d->read_alone : d->write_alone,
    };
    terms->names_server_bits = terms->server_bits < WS_DEFLATE_BITS_MAX;
    terms->names_client_bits = terms->client_bits < WS_DEFLATE_BITS_MAX;
}

/* ---- reading ---- */

/* With takeover: as it was when it was given back. */
static struct ws_codec *need_own_reader(struct ws_deflate *d) {
    if (d->reader) return d->reader;
    struct ws_codec *c = new_reader(d->read_bits);
    if (!c) return NULL;
    if (d->window && inflateSetDictionary(&c->z, d->window->bytes, d->window->len) != Z_OK) {
        free_reader(c);
        return NULL;
    }
    free(d->window);
    d->window = NULL;
    return d->reader = c;
}

static struct ws_codec *take_spare(struct ws_deflate_pool *pool) {
    struct ws_codec *c = pool->spare;
    if (!c) return new_reader(WS_DEFLATE_BITS_MAX);
    pool->spare = c->next;
    return c;
}

bool ws_deflate_borrow(struct ws_deflate *d) {
    struct ws_deflate_pool *pool = d->pool;
    if (d->reader && d->reader->is_lent) return true;
    if (pool->n_lent == WS_DEFLATE_LENT_MAX) return false;
    struct ws_codec *c = d->read_alone ? take_spare(pool) : need_own_reader(d);
    if (!c) return false;
    d->reader = c;
    c->is_lent = true;
    pool->n_lent++;
    return true;
}

/* The one that reads this: whatever window the peer uses, one of 15 bits is enough. */
static struct ws_codec *find_reader(struct ws_deflate *d) {
    struct ws_deflate_pool *pool = d->pool;
    if (!d->read_alone) return need_own_reader(d);
    if (d->reader) return d->reader;
    if (!pool->reader) pool->reader = new_reader(WS_DEFLATE_BITS_MAX);
    return pool->reader;
}

/* More room in out, which is full: as much again, but at most max in all. */
static int grow(struct ws_buf *out, size_t guess, size_t max) {
    size_t cap = out->cap < max / 2 ? out->cap * 2 : max;
    if (cap < guess) cap = guess;
    if (cap < ROOM_MIN) cap = ROOM_MIN;
    if (cap > max) cap = max;
    uint8_t *data = realloc(out->data, cap);
    if (!data) return WS_ERR_MEMORY;
    out->data = data;
    out->cap = cap;
    return 0;
}

/* One call of inflate. Behind max there is room for one byte more, which is one too many. */
static int inflate_once(z_stream *z, struct ws_buf *out, size_t max, int *result) {
    uint8_t extra;
    bool is_full = out->len == max;
    if (!is_full && out->len == out->cap && grow(out, out->len + (size_t)z->avail_in * 4, max) < 0)
        return WS_ERR_MEMORY;
    size_t room = is_full ? 1 : out->cap - out->len;
    if (room > PIECE_MAX) room = PIECE_MAX;
    z->next_out = is_full ? &extra : out->data + out->len;
    z->avail_out = (uInt)room;
    *result = inflate(z, Z_SYNC_FLUSH);
    size_t made = room - z->avail_out;
    if (is_full) return made ? WS_ERR_LIMIT : 0;
    out->len += made;
    return *result == Z_MEM_ERROR ? WS_ERR_MEMORY : 0;
}

/* At most PIECE_MAX bytes, and at least one. */
static int inflate_piece(struct ws_codec *c, const uint8_t *data, size_t len, struct ws_buf *out,
                         size_t max) {
    z_stream *z = &c->z;
    z->next_in = (uint8_t *)(uintptr_t)data; /* only read */
    z->avail_in = (uInt)len;
    c->is_amid = true;
    do {
        int result, err = inflate_once(z, out, max, &result);
        if (err < 0) return err;
        c->has_ended = result == Z_STREAM_END;
        /* 7.2.3.4: a block with BFINAL set is not the end of anything: others may follow, and the
         * window stays. */
        if (c->has_ended) inflateResetKeep(z);
        else if (result == Z_BUF_ERROR) return 0; /* nothing to do is left */
        else if (result != Z_OK) return WS_ERR_SYNTAX;
    } while (c->has_ended ? z->avail_in : !z->avail_out);
    return 0;
}

static int inflate_all(struct ws_codec *c, const uint8_t *data, size_t len, struct ws_buf *out,
                       size_t max) {
    int err = 0;
    for (size_t n; err == 0 && len; data += n, len -= n) {
        n = len < PIECE_MAX ? len : PIECE_MAX;
        err = inflate_piece(c, data, n, out, max);
    }
    return err;
}

/* 7.2.2: appends the four bytes that the sender has cut off. Then the last block has ended, and at
 * a byte's end; if not, something else was cut off too. */
static int inflate_tail(struct ws_codec *c, struct ws_buf *out, size_t max) {
    int err = inflate_all(c, tail, sizeof tail, out, max);
    if (err < 0) return err;
    /* zlib: 128 is added between blocks, and the bits that are left of the last byte. */
    bool between = (c->z.data_type & 128) && (c->z.data_type & 63) == 0;
    return between && !c->has_ended ? 0 : WS_ERR_SYNTAX;
}

/* The reader is ready for another message: a pool's for anybody's. */
static void end_message(struct ws_deflate *d, struct ws_codec *c) {
    c->is_amid = c->has_ended = false;
    if (d->read_alone) inflateReset(&c->z);
    if (c == d->reader) give_lent_back(d);
}

int ws_deflate_read(struct ws_deflate *d, const uint8_t *data, size_t len, bool last,
                    struct ws_buf *out, size_t max) {
    struct ws_codec *c = find_reader(d);
    if (!c) return WS_ERR_MEMORY;
    int err = inflate_all(c, data, len, out, max);
    /* An empty message is one byte (7.2.3.6), but some peers send none, and mean the same. One that
     * ends with a final block may have its tail cut off as well: nothing is left open. */
    if (err == 0 && last && c->is_amid && !c->has_ended) err = inflate_tail(c, out, max);
    if (err < 0 || last) end_message(d, c);
    note_used(d);
    return err;
}

/* ---- writing ---- */

static int deflate_piece(z_stream *z, const uint8_t *data, size_t len, int flush,
                         struct ws_buf *out) {
    z->next_in = (uint8_t *)(uintptr_t)data; /* only read */
    z->avail_in = (uInt)len;
    do {
        if (ws_buf_reserve(out, len / 2 + ROOM_MIN) < 0) return WS_ERR_MEMORY;
        size_t room = out->cap - out->len < PIECE_MAX ? out->cap - out->len : PIECE_MAX;
        z->next_out = out->data + out->len;
        z->avail_out = (uInt)room;
        deflate(z, flush); /* Z_BUF_ERROR: there was nothing to do */
        out->len += room - z->avail_out;
        len = z->avail_in;
    } while (z->avail_out == 0);
    return 0;
}

/* 7.2.1: the payload of a frame. The last one's tail is cut off. */
static int deflate_all(struct ws_codec *c, const uint8_t *data, size_t len, bool last,
                       struct ws_buf *out) {
    size_t before = out->len;
    int err = 0;
    for (size_t n; err == 0 && len > PIECE_MAX; data += n, len -= n) {
        n = PIECE_MAX;
        err = deflate_piece(&c->z, data, n, Z_NO_FLUSH, out);
    }
    if (err == 0) err = deflate_piece(&c->z, data, len, Z_SYNC_FLUSH, out);
    if (err == 0 && last && out->len - before < sizeof tail) {
        /* 7.2.3.6: "If the compression library doesn't generate any data when the buffer is empty,
         * an empty uncompressed DEFLATE block can be built and used": 0x00. */
        err = ws_buf_append(out, tail, 1);
    } else if (err == 0 && last) {
        out->len -= sizeof tail;
    }
    if (err < 0) out->len = before;
    return err;
}

int ws_deflate_write_alone(struct ws_deflate_pool *pool, uint8_t bits, const uint8_t *data,
                           size_t len, struct ws_buf *out) {
    struct ws_codec **c = &pool->writers[bits];
    if (!*c) *c = new_writer(pool, bits);
    if (!*c) return WS_ERR_MEMORY;
    int err = deflate_all(*c, data, len, true, out);
    deflateReset(&(*c)->z);
    pool->n_compressed++;
    return err;
}

/* One that goes on: with takeover, or amid a message. */
static int write_on(struct ws_deflate *d, const uint8_t *data, size_t len, bool last,
                    struct ws_buf *out) {
    if (!d->writer) d->writer = new_writer(d->pool, d->write_bits);
    if (!d->writer) return WS_ERR_MEMORY;
    int err = deflate_all(d->writer, data, len, last, out);
    d->pool->n_compressed++;
    d->is_amid = err == 0 && !last;
    /* What was lost on its way out is not in the peer's window. */
    if (err < 0) deflateReset(&d->writer->z);
    if (d->write_alone && !d->is_amid) {
        free_writer(d->writer);
        d->writer = NULL;
    }
    note_used(d);
    return err;
}

int ws_deflate_write(struct ws_deflate *d, const uint8_t *data, size_t len, bool last,
                     struct ws_buf *out) {
    if (d->write_alone && last && !d->is_amid)
        return ws_deflate_write_alone(d->pool, d->write_bits, data, len, out);
    return write_on(d, data, len, last, out);
}

void ws_deflate_forget(struct ws_deflate *d) {
    if (d->writer) deflateReset(&d->writer->z);
}
