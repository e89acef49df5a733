/* structfmt.c: see structfmt.h. */
#include "structfmt.h"

#include "err.h"
#include "half.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A format character: its bytes in the standard sizes (0: it has none) and in those of this
 * machine's C, and what it is aligned to there. */
struct row {
    char code;
    uint8_t kind;
    uint8_t standard;
    uint8_t native;
    uint8_t align;
};

#define NATIVE(type) sizeof(type), _Alignof(type)

static const struct row rows[] = {
    {'x', WS_STRUCT_PAD, 1, NATIVE(char)},
    {'c', WS_STRUCT_CHAR, 1, NATIVE(char)},
    {'b', WS_STRUCT_INT, 1, NATIVE(signed char)},
    {'B', WS_STRUCT_UINT, 1, NATIVE(unsigned char)},
    {'?', WS_STRUCT_BOOL, 1, NATIVE(bool)},
    {'h', WS_STRUCT_INT, 2, NATIVE(short)},
    {'H', WS_STRUCT_UINT, 2, NATIVE(unsigned short)},
    {'i', WS_STRUCT_INT, 4, NATIVE(int)},
    {'I', WS_STRUCT_UINT, 4, NATIVE(unsigned int)},
    {'l', WS_STRUCT_INT, 4, NATIVE(long)},
    {'L', WS_STRUCT_UINT, 4, NATIVE(unsigned long)},
    {'q', WS_STRUCT_INT, 8, NATIVE(long long)},
    {'Q', WS_STRUCT_UINT, 8, NATIVE(unsigned long long)},
    {'n', WS_STRUCT_INT, 0, NATIVE(ptrdiff_t)},
    {'N', WS_STRUCT_UINT, 0, NATIVE(size_t)},
    {'P', WS_STRUCT_POINTER, 0, NATIVE(void *)},
    {'e', WS_STRUCT_FLOAT, 2, 2, 2},
    {'f', WS_STRUCT_FLOAT, 4, NATIVE(float)},
    {'d', WS_STRUCT_FLOAT, 8, NATIVE(double)},
    {'F', WS_STRUCT_COMPLEX, 8, 2 * sizeof(float), _Alignof(float)},
    {'D', WS_STRUCT_COMPLEX, 16, 2 * sizeof(double), _Alignof(double)},
    {'s', WS_STRUCT_BYTES, 1, NATIVE(char)},
    {'p', WS_STRUCT_PASCAL, 1, NATIVE(char)},
};

/* ---- parsing ---- */

/* What a format says before its first code. */
struct order {
    bool native; /* sizes, and alignment */
    bool big;
};

struct parser {
    const char *at, *end;
    struct order order;
    bool complex;
    const char *why;
};

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static struct order read_order(struct parser *p) {
    const bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    char c = p->at < p->end ? *p->at : '\0';
    if (c == '@' || c == '=' || c == '<' || c == '>' || c == '!') p->at++;
    if (c == '<') return (struct order){.big = false};
    if (c == '>' || c == '!') return (struct order){.big = true};
    return (struct order){.native = c != '=', .big = big};
}

static const struct row *find_row(const struct parser *p, char code) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        if (row->code != code) continue;
        bool is_there =
            (p->order.native || row->standard) && (p->complex || row->kind != WS_STRUCT_COMPLEX);
        return is_there ? row : NULL;
    }
    return NULL;
}

static int fail(struct parser *p, const char *why) {
    p->why = why;
    return WS_ERR_SYNTAX;
}

static int too_long(struct parser *p) {
    return fail(p, "total struct size too long");
}

static int read_count(struct parser *p, size_t *count) {
    size_t n = 0;
    for (; p->at < p->end && is_digit(*p->at); p->at++)
        if (__builtin_mul_overflow(n, (size_t)10, &n) ||
            __builtin_add_overflow(n, (size_t)(*p->at - '0'), &n) || n > PTRDIFF_MAX)
            return too_long(p);
    *count = n;
    return p->at < p->end ? 0 : fail(p, "repeat count given without format specifier");
}

/* The next code and how often: 1, 0 at the end, or an error. */
static int next(struct parser *p, const struct row **row, size_t *count) {
    while (p->at < p->end && is_space(*p->at)) p->at++;
    if (p->at == p->end) return 0;
    *count = 1;
    int err = is_digit(*p->at) ? read_count(p, count) : 0;
    if (err < 0) return err;
    *row = find_row(p, *p->at++);
    return *row ? 1 : fail(p, "bad char in struct format");
}

/* size = size rounded up to align. */
static int align_up(struct parser *p, size_t *size, size_t align) {
    size_t more = (align - *size % align) % align;
    return __builtin_add_overflow(*size, more, size) || *size > PTRDIFF_MAX ? too_long(p) : 0;
}

static bool is_string(const struct row *row) {
    return row->kind == WS_STRUCT_BYTES || row->kind == WS_STRUCT_PASCAL;
}

/* One row, count times, at the record's end. */
static int append(struct parser *p, struct ws_structfmt *f, const struct row *row, size_t count) {
    size_t each = p->order.native ? row->native : row->standard, bytes;
    size_t before = f->size;
    /* Alignment of a count of 0 is kept too: "i0q" is as long as a C struct of both. */
    if (p->order.native && align_up(p, &f->size, row->align) < 0) return WS_ERR_SYNTAX;
    struct ws_struct_item item = {
        .offset = f->size,
        .count = is_string(row) ? 1 : count,
        .len = is_string(row) ? count : each,
        .kind = row->kind,
        .width = (uint8_t)(row->kind == WS_STRUCT_COMPLEX ? each / 2 : each),
        .big = p->order.big,
        .native = p->order.native,
        .code = row->code,
    };
    if (__builtin_mul_overflow(each, count, &bytes) ||
        __builtin_add_overflow(f->size, bytes, &f->size) || f->size > PTRDIFF_MAX)
        return too_long(p);
    bool leaves = row->kind == WS_STRUCT_PAD || is_string(row);
    f->has_gaps = f->has_gaps || item.offset != before || (leaves && count);
    if (row->kind == WS_STRUCT_PAD || item.count == 0) return 0;
    f->items[f->n_items++] = item;
    f->n_values += item.count;
    return 0;
}

static size_t count_codes(const struct parser *p) {
    size_t n = 0;
    for (const char *at = p->at; at < p->end; at++) n += !is_space(*at) && !is_digit(*at);
    return n;
}

int ws_structfmt_new(struct ws_structfmt **out, const char *text, size_t len, bool complex,
                     const char **why) {
    struct parser p = {.at = text, .end = text + len, .complex = complex};
    const struct row *row = NULL;
    size_t count = 0;
    p.order = read_order(&p);
    struct ws_structfmt *f = calloc(1, sizeof *f + count_codes(&p) * sizeof f->items[0]);
    if (!f) return WS_ERR_MEMORY;
    int err = memchr(text, '\0', len) ? fail(&p, "embedded null character") : 1;
    while (err > 0) {
        err = next(&p, &row, &count);
        if (err > 0 && append(&p, f, row, count) < 0) err = WS_ERR_SYNTAX;
    }
    if (err < 0) {
        *why = p.why;
        ws_structfmt_free(f);
        return err;
    }
    *out = f;
    return 0;
}

void ws_structfmt_free(struct ws_structfmt *f) {
    free(f);
}

/* ---- values ---- */

double ws_struct_get_float(const struct ws_struct_item *item, const uint8_t *at) {
    uint64_t bits = ws_bytes_get(at, item->width, item->big);
    uint32_t low = (uint32_t)bits;
    double v;
    float f;
    switch (item->width) {
    case 2: return ws_half_get((uint16_t)bits);
    case 4: memcpy(&f, &low, sizeof f); return (double)f;
    default: memcpy(&v, &bits, sizeof v); return v;
    }
}

/* The bits of v as a float of 4 bytes. */
static int put_single(double v, bool native, uint64_t *bits) {
    float f = (float)v;
    uint32_t low;
    if (isinf(f) && !isinf(v) && !native) return WS_ERR_LIMIT;
    memcpy(&low, &f, sizeof low);
    *bits = low;
    return 0;
}

int ws_struct_put_float(const struct ws_struct_item *item, uint8_t *at, double v) {
    uint64_t bits = 0;
    uint16_t half = 0;
    int err = 0;
    if (item->width == 8) memcpy(&bits, &v, sizeof bits);
    else if (item->width == 4) err = put_single(v, item->native, &bits);
    else if ((err = ws_half_put(v, &half)) == 0) bits = half;
    if (err == 0) ws_bytes_put(at, item->width, item->big, bits);
    return err;
}

struct ws_slice ws_struct_get_bytes(const struct ws_struct_item *item, const uint8_t *at) {
    struct ws_slice bytes = {(const char *)at, item->len};
    if (item->kind != WS_STRUCT_PASCAL || !item->len) return bytes;
    size_t counted = *at;
    return (struct ws_slice){bytes.data + 1, counted < item->len ? counted : item->len - 1};
}

void ws_struct_put_bytes(const struct ws_struct_item *item, uint8_t *at, struct ws_slice bytes) {
    size_t room = item->len;
    if (!room) return;
    size_t before = item->kind == WS_STRUCT_PASCAL; /* bytes that count */
    size_t n = bytes.len < room - before ? bytes.len : room - before;
    if (n) memmove(at + before, bytes.data, n);
    /* "the leading count byte" has no room for more than 255 */
    if (before) *at = (uint8_t)(n < 255 ? n : 255);
}
