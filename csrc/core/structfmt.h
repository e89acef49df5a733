/* structfmt.h: formats as of Python's struct module ("!IHd"): where each value lies in a record,
 * and how its bytes are read and written.
 *
 * A format is parsed once. Knows bytes and numbers, not whose values they become: a caller walks
 * the items and reads or writes value after value. */
#ifndef WS_STRUCTFMT_H
#define WS_STRUCTFMT_H

#include "bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_struct_kind {
    WS_STRUCT_PAD,  /* x: no value; never an item */
    WS_STRUCT_CHAR, /* c: a byte */
    WS_STRUCT_BOOL,
    WS_STRUCT_INT,     /* signed */
    WS_STRUCT_UINT,    /* not */
    WS_STRUCT_POINTER, /* P */
    WS_STRUCT_FLOAT,
    WS_STRUCT_COMPLEX, /* F D: two floats of `width` bytes */
    WS_STRUCT_BYTES,   /* s: len bytes */
    WS_STRUCT_PASCAL,  /* p: a byte that counts, in len bytes with it */
};

/* count values of one kind, one behind the other, each len bytes. */
struct ws_struct_item {
    size_t offset; /* of the first one in the record */
    size_t count;
    size_t len;
    uint8_t kind;
    uint8_t width; /* of a number: 1, 2, 4, 8 bytes */
    bool big;      /* the most significant byte comes first */
    bool native;   /* in this machine's sizes: of a float, what is too large is infinite, as in C */
    char code;     /* as in the format */
};

struct ws_structfmt {
    size_t size; /* of a record */
    size_t n_values;
    size_t n_items;
    bool has_gaps; /* there are bytes that no number writes: they are to be zeroed first */
    struct ws_struct_item items[];
};

/* Parses a format: a byte order (@ = < > !, without one as @), then codes with repeat counts, white
 * space between them. complex: F and D are codes. The caller owns *out. 0, WS_ERR_MEMORY, or
 * WS_ERR_SYNTAX with *why in words (static). */
int ws_structfmt_new(struct ws_structfmt **out, const char *text, size_t len, bool complex,
                     const char **why);
void ws_structfmt_free(struct ws_structfmt *f);

/* An integer's bits, as they lie or with the sign in all that are left. */
static inline uint64_t ws_struct_get(const struct ws_struct_item *item, const uint8_t *at) {
    return ws_bytes_get(at, item->width, item->big);
}

static inline int64_t ws_struct_get_signed(const struct ws_struct_item *item, const uint8_t *at) {
    uint64_t bits = ws_bytes_get(at, item->width, item->big);
    uint64_t sign = (uint64_t)1 << (item->width * 8 - 1);
    return (int64_t)((bits ^ sign) - sign);
}

static inline void ws_struct_put(const struct ws_struct_item *item, uint8_t *at, uint64_t bits) {
    ws_bytes_put(at, item->width, item->big, bits);
}

/* The greatest integer that has room: of an INT the least is -max - 1. */
static inline uint64_t ws_struct_max(const struct ws_struct_item *item) {
    return UINT64_MAX >> (64 - item->width * 8 + (item->kind == WS_STRUCT_INT));
}

/* A float of 2, 4 or 8 bytes. */
double ws_struct_get_float(const struct ws_struct_item *item, const uint8_t *at);
/* 0, or WS_ERR_LIMIT: a finite number that is too large (never of a native f). */
int ws_struct_put_float(const struct ws_struct_item *item, uint8_t *at, double v);

/* The bytes of a CHAR, BYTES or PASCAL value. */
struct ws_slice ws_struct_get_bytes(const struct ws_struct_item *item, const uint8_t *at);
/* What is too long is cut; what is left of the value's bytes stays as it is. The bytes may lie
 * where they are written to. */
void ws_struct_put_bytes(const struct ws_struct_item *item, uint8_t *at, struct ws_slice bytes);

#endif
