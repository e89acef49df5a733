/* test_deflate.c: the codecs of permessage-deflate, against zlib itself and RFC 7692's examples. */
#include "check.h"
#include "deflate.h"
#include "err.h"

#include <stdbool.h>
#include <zlib.h>

#define MAX (1u << 20)

static const struct ws_deflate_terms alone = {15, 15, true, true, false, false};
static const struct ws_deflate_terms together = {15, 15, false, false, false, false};

struct pair {
    struct ws_deflate_pool pool;
    struct ws_deflate *server, *client;
};

static void pair_init(struct pair *p, const struct ws_deflate_terms *terms) {
    ws_deflate_pool_init(&p->pool, 6, 8);
    p->server = ws_deflate_new(&p->pool, terms, true);
    p->client = ws_deflate_new(&p->pool, terms, false);
}

static void pair_fini(struct pair *p) {
    ws_deflate_free(p->server);
    ws_deflate_free(p->client);
    CHECK_EQ(p->pool.n_lent, 0);
    CHECK(!p->pool.first && !p->pool.last);
    ws_deflate_pool_fini(&p->pool);
}

static bool holds(const struct ws_buf *b, const void *data, size_t len) {
    return b->len == len && (len == 0 || memcmp(b->data, data, len) == 0);
}

/* Text with repeats, n bytes of it, that differs from seed to seed. */
static void fill(uint8_t *out, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245u + 12345u;
        out[i] = i > 40 && (seed >> 16 & 7) ? out[i - 1 - (seed >> 20 & 31)]
                                            : (uint8_t)('a' + (seed >> 24) % 26);
    }
}

/* A message in pieces of that size at the end of a page: 0 or what it ends with. */
static int read_pieces(struct ws_deflate *d, const uint8_t *data, size_t len, size_t size,
                       struct ws_buf *out, size_t max) {
    for (size_t at = 0;;) {
        size_t n = len - at < size ? len - at : size;
        struct check_page page;
        const uint8_t *copy = check_page_copy(&page, data + at, n);
        bool last = at + n == len;
        if (!last) CHECK(ws_deflate_borrow(d));
        int err = ws_deflate_read(d, copy, n, last, out, max);
        check_page_free(&page);
        at += n;
        if (err < 0 || last) return err;
    }
}

/* ---- reading ---- */

struct sample {
    const char *name, *data;
    size_t len;
    int result;
    const char *text;
};

#define SAMPLE(name, data, result, text) {name, data, sizeof data - 1, result, text}
#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"
#define FINAL "\xf3\x48\xcd\xc9\xc9\x07\x00" /* with BFINAL */

static const struct sample samples[] = {
    SAMPLE("RFC 7.2.3.1", HELLO, 0, "Hello"),
    SAMPLE("RFC 7.2.3.3, not compressed",
           "\x00\x05\x00\xfa\xff"
           "Hello\x00",
           0, "Hello"),
    SAMPLE("RFC 7.2.3.4, BFINAL", FINAL "\x00", 0, "Hello"),
    SAMPLE("RFC 7.2.3.5, two blocks", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", 0,
           "Hello"),
    SAMPLE("RFC 7.2.3.6, empty", "\x00", 0, ""),
    SAMPLE("empty, as zlib has it", "\x02\x00", 0, ""),
    SAMPLE("nothing at all", "", 0, ""),
    SAMPLE("BFINAL without what follows", FINAL, 0, "Hello"),
    SAMPLE("two with BFINAL", FINAL FINAL "\x00", 0, "HelloHello"),
    SAMPLE("BFINAL, then one without", FINAL HELLO, 0, "HelloHello"),
    SAMPLE("an empty final block", "\x03\x00", 0, ""),
    SAMPLE("the tail not cut off", HELLO "\x00\x00\xff\xff\x00", 0, "Hello"),
    SAMPLE("cut short", "\xf2\x48\xcd\xc9\xc9\x07", WS_ERR_SYNTAX, NULL),
    SAMPLE("cut shorter", "\xf2\x48\xcd", WS_ERR_SYNTAX, NULL),
    SAMPLE("cut in a stored block", "\x00\x05\x00\xfa\xffHel", WS_ERR_SYNTAX, NULL),
    SAMPLE("BFINAL, cut short", "\xf3\x48\xcd\xc9", WS_ERR_SYNTAX, NULL),
    SAMPLE("a block of type 3", "\x07", WS_ERR_SYNTAX, NULL),
    SAMPLE("a stored length that is none", "\x00\x05\x00\xfa\xfeHello\x00", WS_ERR_SYNTAX, NULL),
    SAMPLE("a distance too far back", "\x4b\x04\x23\x00", WS_ERR_SYNTAX, NULL),
    SAMPLE("text", "Hello", WS_ERR_SYNTAX, NULL),
    SAMPLE("zlib's own header", "\x78\x9c\xf3\x48\xcd\xc9\xc9\x07\x00\x05\x8c\x01\xf5",
           WS_ERR_SYNTAX, NULL),
};

static void check_sample(const struct sample *s, const struct ws_deflate_terms *terms,
                         size_t size) {
    struct pair p;
    struct ws_buf out = {0};
    pair_init(&p, terms);
    int result = read_pieces(p.server, (const uint8_t *)s->data, s->len, size, &out, MAX);
    bool good = result == s->result && (!s->text || holds(&out, s->text, strlen(s->text)));
    if (!good)
        fprintf(stderr, "  %s in pieces of %zu: %d, %zu bytes\n", s->name, size, result, out.len);
    CHECK(good);
    ws_buf_fini(&out);
    /* What went wrong with one peer is nothing to another, without takeover. */
    if (terms == &alone) {
        CHECK_EQ(ws_deflate_read(p.client, (const uint8_t *)HELLO, 7, true, &out, MAX), 0);
        CHECK(holds(&out, "Hello", 5));
    }
    ws_buf_fini(&out);
    pair_fini(&p);
}

static void test_samples(void) {
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        for (size_t size = 1; size < 8; size++) {
            check_sample(&samples[i], &alone, size);
            check_sample(&samples[i], &together, size);
        }
        check_sample(&samples[i], &alone, 100);
        check_sample(&samples[i], &together, 100);
    }
}

/* RFC 7692 7.2.3.2: the second "Hello" refers to the first. */
static void test_takeover_sample(void) {
    struct pair p;
    struct ws_buf out = {0};
    static const uint8_t second[] = "\xf2\x00\x11\x00\x00";
    pair_init(&p, &together);
    CHECK_EQ(ws_deflate_read(p.server, (const uint8_t *)HELLO, 7, true, &out, MAX), 0);
    CHECK_EQ(ws_deflate_read(p.server, second, 5, true, &out, MAX), 0);
    CHECK(holds(&out, "HelloHello", 10));
    ws_buf_fini(&out);
    pair_fini(&p);
    pair_init(&p, &alone);
    CHECK_EQ(ws_deflate_read(p.server, (const uint8_t *)HELLO, 7, true, &out, MAX), 0);
    CHECK_EQ(ws_deflate_read(p.server, second, 5, true, &out, MAX), WS_ERR_SYNTAX);
    ws_buf_fini(&out);
    pair_fini(&p);
}

/* The window stays behind a final block. */
static void test_takeover_final(void) {
    struct pair p;
    struct ws_buf out = {0};
    pair_init(&p, &together);
    CHECK_EQ(ws_deflate_read(p.server, (const uint8_t *)FINAL, 7, true, &out, MAX), 0);
    CHECK_EQ(ws_deflate_read(p.server, (const uint8_t *)"\xf2\x00\x11\x00\x00", 5, true, &out, MAX),
             0);
    CHECK(holds(&out, "HelloHello", 10));
    ws_buf_fini(&out);
    pair_fini(&p);
}

/* ---- the limit ---- */

/* n zeros, compressed by zlib itself. */
static void make_bomb(struct ws_buf *bomb, size_t n) {
    static uint8_t zeros[4096];
    z_stream z = {0};
    CHECK_EQ(deflateInit2(&z, 1, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY), Z_OK);
    CHECK_EQ(ws_buf_reserve(bomb, n / 200 + 1000), 0);
    z.next_out = bomb->data;
    z.avail_out = (uInt)bomb->cap;
    for (size_t at = 0; at <= n; at += sizeof zeros) {
        z.next_in = zeros;
        z.avail_in = (uInt)(n - at < sizeof zeros ? n - at : sizeof zeros);
        CHECK(deflate(&z, n - at < sizeof zeros ? Z_SYNC_FLUSH : Z_NO_FLUSH) == Z_OK);
    }
    bomb->len = bomb->cap - z.avail_out - 4;
    deflateEnd(&z);
}

static void check_limit(const struct ws_deflate_terms *terms, size_t piece) {
    struct ws_buf bomb = {0};
    make_bomb(&bomb, 5000);
    for (size_t max = 1; max < 6000; max += max == 4998 ? 1 : max == 4999 ? 1 : 833) {
        if (max > 4000 && max < 4998) max = 4998;
        struct pair p;
        struct ws_buf out = {0};
        pair_init(&p, terms);
        int result = read_pieces(p.server, bomb.data, bomb.len, piece, &out, max);
        CHECK_EQ(result, max < 5000 ? WS_ERR_LIMIT : 0);
        CHECK_EQ(out.len, max < 5000 ? max : 5000);
        CHECK(out.cap <= max);
        ws_buf_fini(&out);
        pair_fini(&p);
    }
    ws_buf_fini(&bomb);
}

static void test_limit(void) {
    check_limit(&alone, 1);
    check_limit(&alone, 1000);
    check_limit(&together, 1);
    check_limit(&together, 1000);
}

/* 1 GiB of zeros is a few megabytes: no more of it is inflated than the limit. */
static void test_bomb(void) {
    struct ws_buf bomb = {0}, out = {0};
    struct pair p;
    make_bomb(&bomb, 1u << 30);
    CHECK(bomb.len < 5000000);
    pair_init(&p, &alone);
    CHECK_EQ(ws_deflate_read(p.server, bomb.data, bomb.len, true, &out, MAX), WS_ERR_LIMIT);
    CHECK(out.len == MAX && out.cap == MAX);
    ws_buf_fini(&out);
    pair_fini(&p);
    ws_buf_fini(&bomb);
}

/* ---- writing, and reading it ---- */

/* What zlib makes of messages, one behind the other. */
static void check_by_zlib(z_stream *z, const struct ws_buf *payload, const uint8_t *data,
                          size_t len) {
    uint8_t *text = malloc(len + 1);
    struct ws_buf whole = {0};
    CHECK_EQ(ws_buf_append(&whole, payload->data, payload->len), 0);
    CHECK_EQ(ws_buf_append(&whole, "\0\0\xff\xff", 4), 0);
    z->next_in = whole.data;
    z->avail_in = (uInt)whole.len;
    z->next_out = text;
    z->avail_out = (uInt)len + 1;
    int result = inflate(z, Z_SYNC_FLUSH);
    CHECK(result == Z_OK && z->avail_in == 0 && z->avail_out == 1);
    CHECK(len == 0 || memcmp(text, data, len) == 0);
    free(text);
    ws_buf_fini(&whole);
}

static void check_round_trip(const struct ws_deflate_terms *terms) {
    static const size_t sizes[] = {0, 0, 1, 5, 300, 0, 70000, 4096, 200000, 0, 3};
    struct pair p;
    z_stream z = {0};
    pair_init(&p, terms);
    CHECK_EQ(inflateInit2(&z, -terms->server_bits), Z_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ws_buf payload = {0}, out = {0};
        uint8_t *data = malloc(sizes[i] + 1);
        fill(data, sizes[i], (unsigned)i);
        CHECK_EQ(ws_deflate_write(p.server, data, sizes[i], true, &payload), 0);
        CHECK(payload.len > 0);
        check_by_zlib(&z, &payload, data, sizes[i]);
        if (terms->server_no_takeover) inflateReset(&z);
        size_t piece = i % 2 ? 777 : 1u << 20;
        CHECK_EQ(read_pieces(p.client, payload.data, payload.len, piece, &out, MAX), 0);
        CHECK(holds(&out, data, sizes[i]));
        ws_buf_fini(&payload);
        ws_buf_fini(&out);
        free(data);
    }
    inflateEnd(&z);
    pair_fini(&p);
}

static void test_round_trip(void) {
    for (uint8_t bits = 9; bits <= 15; bits++) {
        struct ws_deflate_terms terms = {bits, bits, true, true, false, false};
        check_round_trip(&terms);
        terms.server_no_takeover = terms.client_no_takeover = false;
        check_round_trip(&terms);
    }
}

/* A message in frames: the tail stays on all but the last, and the next message is another. */
static void check_parts(const struct ws_deflate_terms *terms) {
    struct pair p;
    uint8_t data[3000];
    fill(data, sizeof data, 7);
    pair_init(&p, terms);
    for (int round = 0; round < 3; round++) {
        struct ws_buf out = {0};
        static const size_t ends[] = {0, 100, 100, 2500, 3000, 3000};
        for (size_t i = 0, at = 0; i < sizeof ends / sizeof *ends; at = ends[i++]) {
            struct ws_buf payload = {0};
            bool last = i + 1 == sizeof ends / sizeof *ends;
            CHECK_EQ(ws_deflate_write(p.server, data + at, ends[i] - at, last, &payload), 0);
            CHECK_EQ(ws_deflate_is_amid(p.server), !last);
            if (!last) CHECK(ws_deflate_borrow(p.client));
            CHECK_EQ(ws_deflate_read(p.client, payload.data, payload.len, last, &out, MAX), 0);
            ws_buf_fini(&payload);
        }
        CHECK(holds(&out, data, sizeof data));
        ws_buf_fini(&out);
    }
    pair_fini(&p);
}

static void test_parts(void) {
    check_parts(&alone);
    check_parts(&together);
}

/* A message compressed for many goes to one with takeover: then its own begin anew. */
static void test_shared(void) {
    struct pair p;
    struct ws_buf out = {0}, a = {0}, b = {0}, c = {0};
    uint8_t data[600];
    fill(data, sizeof data, 3);
    pair_init(&p, &together);
    CHECK_EQ(ws_deflate_write(p.server, data, sizeof data, true, &a), 0);
    CHECK_EQ(ws_deflate_write_alone(&p.pool, ws_deflate_bits(p.server), data, 300, &b), 0);
    ws_deflate_forget(p.server);
    CHECK_EQ(ws_deflate_write(p.server, data, sizeof data, true, &c), 0);
    CHECK(holds(&c, a.data, a.len));
    CHECK_EQ(p.pool.n_compressed, 3);
    const struct ws_buf *all[] = {&a, &b, &c};
    static const size_t sizes[] = {600, 300, 600};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(ws_deflate_read(p.client, all[i]->data, all[i]->len, true, &out, MAX), 0);
        CHECK(holds(&out, data, sizes[i]));
        out.len = 0;
    }
    ws_buf_fini(&out), ws_buf_fini(&a), ws_buf_fini(&b), ws_buf_fini(&c);
    pair_fini(&p);
}

/* ---- what is lent and given back ---- */

/* With takeover a peer has a reader of its own, which counts while its message grows. */
static void check_lent(const struct ws_deflate_terms *terms) {
    struct ws_deflate_pool pool;
    struct ws_deflate *d[WS_DEFLATE_LENT_MAX + 1];
    struct ws_buf out = {0};
    ws_deflate_pool_init(&pool, 1, 1);
    for (uint32_t i = 0; i <= WS_DEFLATE_LENT_MAX; i++) {
        d[i] = ws_deflate_new(&pool, terms, true);
        CHECK_EQ(ws_deflate_borrow(d[i]), i < WS_DEFLATE_LENT_MAX);
        CHECK_EQ(ws_deflate_borrow(d[i]), i < WS_DEFLATE_LENT_MAX); /* it has one */
    }
    CHECK_EQ(pool.n_lent, WS_DEFLATE_LENT_MAX);
    CHECK_EQ(ws_deflate_read(d[0], (const uint8_t *)HELLO, 3, false, &out, MAX), 0);
    CHECK(!ws_deflate_borrow(d[WS_DEFLATE_LENT_MAX]));
    CHECK_EQ(ws_deflate_read(d[0], (const uint8_t *)HELLO + 3, 4, true, &out, MAX), 0);
    CHECK(holds(&out, "Hello", 5));
    CHECK_EQ(pool.n_lent, WS_DEFLATE_LENT_MAX - 1);
    CHECK(ws_deflate_borrow(d[WS_DEFLATE_LENT_MAX]));
    /* Gone amid a message. */
    for (uint32_t i = 0; i <= WS_DEFLATE_LENT_MAX; i++) ws_deflate_free(d[i]);
    CHECK_EQ(pool.n_lent, 0);
    ws_buf_fini(&out);
    ws_deflate_pool_fini(&pool);
}

static void test_lent(void) {
    check_lent(&alone);
    check_lent(&together);
}

/* Each message to the other side, which gets it whole. */
static void check_said(struct ws_deflate *from, struct ws_deflate *to, unsigned seed,
                       size_t *cost) {
    struct ws_buf payload = {0}, out = {0};
    uint8_t data[2000];
    fill(data, sizeof data, seed);
    CHECK_EQ(ws_deflate_write(from, data, sizeof data, true, &payload), 0);
    CHECK_EQ(ws_deflate_read(to, payload.data, payload.len, true, &out, MAX), 0);
    CHECK(holds(&out, data, sizeof data));
    if (cost) *cost = payload.len;
    ws_buf_fini(&payload);
    ws_buf_fini(&out);
}

static void test_idle(void) {
    struct pair p;
    size_t first, again, later;
    pair_init(&p, &together);
    CHECK_EQ(ws_deflate_pool_sweep(&p.pool), -1);
    check_said(p.server, p.client, 5, &first);
    check_said(p.server, p.client, 5, &again);
    CHECK(again * 4 < first); /* it is known already */
    p.pool.now_ms += 4000;
    CHECK_EQ(ws_deflate_pool_sweep(&p.pool), WS_DEFLATE_IDLE_MS - 4000);
    CHECK(p.pool.first == p.server && p.pool.last == p.client);
    p.pool.now_ms += WS_DEFLATE_IDLE_MS;
    CHECK_EQ(ws_deflate_pool_sweep(&p.pool), -1);
    CHECK(!p.pool.first && !p.pool.last);
    check_said(p.server, p.client, 5, &later);
    CHECK_EQ(later, first);
    check_said(p.client, p.server, 5, NULL);
    /* The other's writer knows what it said before the pause. */
    p.pool.now_ms += WS_DEFLATE_IDLE_MS;
    ws_deflate_free(p.server);
    p.server = ws_deflate_new(&p.pool, &together, true);
    CHECK_EQ(ws_deflate_pool_sweep(&p.pool), -1);
    pair_fini(&p);
}

/* Only the reader was idle for long enough: the writer at the other end refers to its window. */
static void test_idle_reader(void) {
    struct pair p;
    struct ws_deflate_pool other;
    size_t first, again;
    pair_init(&p, &together);
    ws_deflate_pool_init(&other, 6, 8);
    ws_deflate_free(p.client);
    p.client = ws_deflate_new(&other, &together, false);
    check_said(p.server, p.client, 9, &first);
    other.now_ms += WS_DEFLATE_IDLE_MS;
    CHECK_EQ(ws_deflate_pool_sweep(&other), -1);
    check_said(p.server, p.client, 9, &again);
    CHECK(again * 4 < first);
    ws_deflate_free(p.client);
    p.client = NULL;
    ws_deflate_pool_fini(&other);
    pair_fini(&p);
}

/* Amid a message nothing is given back. */
static void test_idle_amid(void) {
    struct pair p;
    struct ws_buf out = {0}, one = {0}, two = {0};
    pair_init(&p, &together);
    CHECK_EQ(ws_deflate_write(p.server, (const uint8_t *)"one", 3, false, &one), 0);
    CHECK(ws_deflate_borrow(p.client));
    CHECK_EQ(ws_deflate_read(p.client, one.data, one.len, false, &out, MAX), 0);
    p.pool.now_ms += WS_DEFLATE_IDLE_MS;
    CHECK_EQ(ws_deflate_pool_sweep(&p.pool), WS_DEFLATE_IDLE_MS);
    CHECK(p.pool.first);
    CHECK_EQ(ws_deflate_write(p.server, (const uint8_t *)"one", 3, true, &two), 0);
    CHECK_EQ(ws_deflate_read(p.client, two.data, two.len, true, &out, MAX), 0);
    CHECK(holds(&out, "oneone", 6));
    ws_buf_fini(&out), ws_buf_fini(&one), ws_buf_fini(&two);
    pair_fini(&p);
}

int main(void) {
    RUN(test_samples);
    RUN(test_takeover_sample);
    RUN(test_takeover_final);
    RUN(test_limit);
    RUN(test_bomb);
    RUN(test_round_trip);
    RUN(test_parts);
    RUN(test_shared);
    RUN(test_lent);
    RUN(test_idle);
    RUN(test_idle_reader);
    RUN(test_idle_amid);
    return check_done();
}
