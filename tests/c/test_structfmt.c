/* test_structfmt.c: formats: sizes, places, what is refused; and values in every width and order.
 * The values' meaning is compared with Python's struct in tests/test_struct.py. */
#include "structfmt.h"

#include "err.h"

#include "check.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>

static struct ws_structfmt *parse(const char *text, bool complex) {
    struct ws_structfmt *f = NULL;
    const char *why = NULL;
    struct check_page page;
    size_t len = strlen(text);
    const char *copy = (const char *)check_page_copy(&page, text, len);
    CHECK_EQ(ws_structfmt_new(&f, copy, len, complex, &why), 0);
    CHECK(!why);
    check_page_free(&page);
    if (!f) exit(1);
    return f;
}

static void check_size(const char *text, size_t size, size_t n_values) {
    struct ws_structfmt *f = parse(text, true);
    CHECK_EQ(f->size, size);
    CHECK_EQ(f->n_values, n_values);
    size_t n = 0;
    for (size_t i = 0; i < f->n_items; i++) {
        const struct ws_struct_item *item = &f->items[i];
        n += item->count;
        CHECK(item->offset + item->count * item->len <= size);
    }
    CHECK_EQ(n, n_values);
    ws_structfmt_free(f);
}

static void check_refused(const char *text, size_t len, const char *expected) {
    struct ws_structfmt *f = NULL;
    const char *why = "";
    struct check_page page;
    const char *copy = (const char *)check_page_copy(&page, text, len);
    CHECK_EQ(ws_structfmt_new(&f, copy, len, false, &why), WS_ERR_SYNTAX);
    CHECK(strcmp(why, expected) == 0);
    CHECK(!f);
    check_page_free(&page);
}

static void test_structfmt_sizes(void) {
    check_size("", 0, 0);
    check_size("@", 0, 0);
    check_size(" \t\n\v\f\r", 0, 0);
    check_size("!IHd", 14, 3);
    check_size("<bBhHiIlLqQ", 38, 10);
    check_size(">efd?c", 16, 5);
    check_size("=3s4p0s0p", 7, 4);
    check_size("! 3x 2I\t0q ", 11, 2);
    check_size("<F2D", 40, 3);
    check_size("1000000B", 1000000, 1000000);
}

static void test_structfmt_native(void) {
    struct inner {
        char c;
        int i;
        char d;
        double e;
        short s;
        long l;
        void *p;
        char last;
    };
    check_size("Pc", sizeof(void *) + 1, 2);
    check_size("cicdhlPc", offsetof(struct inner, last) + 1, 8);
    check_size("cicdhlPc0P", sizeof(struct inner), 8);
    check_size("@nN", 2 * sizeof(size_t), 2);
    check_size("b0i", sizeof(int), 1);
    check_size("=b0i", 1, 1);
}

static void test_structfmt_gaps(void) {
    static const char *const with[] = {"bi", "x", "2s", "p", "b0i"};
    static const char *const without[] = {"=bi", "ib", "0x", "0s", "!IHd", "0p"};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        struct ws_structfmt *f = parse(with[i], false);
        CHECK(f->has_gaps);
        ws_structfmt_free(f);
    }
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        struct ws_structfmt *f = parse(without[i], false);
        CHECK(!f->has_gaps);
        ws_structfmt_free(f);
    }
}

static void test_structfmt_refused(void) {
    static const char bad[] = "bad char in struct format";
    static const char *const texts[] = {"Z",  "<n", "=N",  ">P",  "!n", "F",    "<D",
                                        "<<", " <", "3 b", "-1b", "b<", "\x80", "1<"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_refused(texts[i], strlen(texts[i]), bad);
    check_refused("12345", 5, "repeat count given without format specifier");
    check_refused("b1", 2, "repeat count given without format specifier");
    check_refused("\0", 1, "embedded null character");
    check_refused("2\0i", 3, "embedded null character");
    check_refused("Z\0", 2, "embedded null character");
}

static void test_structfmt_too_long(void) {
    char text[128];
    static const char why[] = "total struct size too long";
    int n = snprintf(text, sizeof text, "%lldb", LLONG_MAX);
    check_size(text, (size_t)LLONG_MAX, (size_t)LLONG_MAX);
    static const char *const over[] = {"9223372036854775808b",
                                       "99999999999999999999999b",
                                       "9223372036854775807bb",
                                       "<1152921504606846976d",
                                       "9223372036854775807xi",
                                       "5000000000000000000h",
                                       "4611686018427387903b4611686018427387903H"};
    CHECK(n > 0);
    for (size_t i = 0; i < sizeof over / sizeof *over; i++)
        check_refused(over[i], strlen(over[i]), why);
}

/* A value of each width in both orders, written and read back with its sign. */
static void test_structfmt_integers(void) {
    static const char *const formats[] = {"<b", "<h", "<i", "<q", ">b", ">h", ">i", ">q"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct ws_structfmt *f = parse(formats[i], false);
        const struct ws_struct_item *item = &f->items[0];
        int64_t max = (int64_t)ws_struct_max(item);
        CHECK(ws_struct_max(item) == UINT64_MAX >> (65 - item->width * 8));
        const int64_t values[] = {0, 1, -1, max, -max - 1, 0x55, -0x55};
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            uint8_t out[8] = {0};
            ws_struct_put(item, out, (uint64_t)values[k]);
            CHECK(ws_struct_get_signed(item, out) == values[k]);
            uint8_t least = out[item->big ? item->width - 1 : 0];
            CHECK_EQ(least, (uint8_t)values[k]);
            for (size_t rest = item->width; rest < 8; rest++) CHECK_EQ(out[rest], 0);
        }
        ws_structfmt_free(f);
    }
}

static void test_structfmt_floats(void) {
    static const char *const formats[] = {"<e", "<f", "<d", ">e", ">f", ">d", "<F", ">D"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct ws_structfmt *f = parse(formats[i], true);
        uint8_t out[8];
        CHECK_EQ(ws_struct_put_float(&f->items[0], out, -1.5), 0);
        CHECK(ws_struct_get_float(&f->items[0], out) == -1.5);
        CHECK_EQ(out[f->items[0].big ? 0 : f->items[0].width - 1],
                 f->items[0].width == 2 ? 0xBE : 0xBF);
        int err = ws_struct_put_float(&f->items[0], out, 1e300);
        CHECK_EQ(err, f->items[0].width == 8 ? 0 : WS_ERR_LIMIT);
        ws_structfmt_free(f);
    }
    struct ws_structfmt *native = parse("f", false);
    uint8_t out[4];
    CHECK_EQ(ws_struct_put_float(&native->items[0], out, -1e300), 0);
    CHECK(ws_struct_get_float(&native->items[0], out) == -(double)INFINITY);
    ws_structfmt_free(native);
}

static void test_structfmt_strings(void) {
    struct ws_structfmt *f = parse("5s5p1p0pc", false);
    uint8_t out[8] = "XXXXXXXX";
    ws_struct_put_bytes(&f->items[0], out, (struct ws_slice){"abc", 3});
    CHECK(memcmp(out, "abcXXXXX", 8) == 0);
    ws_struct_put_bytes(&f->items[0], out, (struct ws_slice){"abcdefgh", 8});
    CHECK(memcmp(out, "abcdeXXX", 8) == 0);
    ws_struct_put_bytes(&f->items[0], out + 2, (struct ws_slice){(char *)out, 5});
    CHECK(memcmp(out, "ababcdeX", 8) == 0); /* they overlap */
    ws_struct_put_bytes(&f->items[0], out, (struct ws_slice){"abcdefgh", 8});
    memset(out + 5, 'X', 3);
    ws_struct_put_bytes(&f->items[1], out, (struct ws_slice){"12", 2});
    CHECK(memcmp(out,
                 "\2"
                 "12deXXX",
                 8) == 0);
    struct ws_slice got = ws_struct_get_bytes(&f->items[1], out);
    CHECK(got.len == 2 && memcmp(got.data, "12", 2) == 0);
    ws_struct_put_bytes(&f->items[1], out, (struct ws_slice){"12345678", 8});
    CHECK(memcmp(out,
                 "\4"
                 "1234XXX",
                 8) == 0);
    out[0] = 200; /* a count that lies: the value's end is the bound */
    got = ws_struct_get_bytes(&f->items[1], out);
    CHECK(got.len == 4 && memcmp(got.data, "1234", 4) == 0);
    CHECK_EQ(ws_struct_get_bytes(&f->items[2], out).len, 0);
    CHECK_EQ(ws_struct_get_bytes(&f->items[3], out + 8).len, 0);
    got = ws_struct_get_bytes(&f->items[4], out + 1);
    CHECK(got.len == 1 && got.data == (const char *)out + 1);
    ws_struct_put_bytes(&f->items[3], out + 8, (struct ws_slice){"1", 1});
    ws_struct_put_bytes(&f->items[2], out, (struct ws_slice){"1", 1});
    CHECK(memcmp(out,
                 "\0"
                 "1234XXX",
                 8) == 0);
    ws_structfmt_free(f);
}

static void test_structfmt_long_pascal(void) {
    struct ws_structfmt *f = parse("1000p", false);
    uint8_t out[1000];
    char text[1000];
    memset(text, 'x', sizeof text);
    ws_struct_put_bytes(&f->items[0], out, (struct ws_slice){text, sizeof text});
    CHECK_EQ(out[0], 255);
    CHECK_EQ(out[999], 'x');
    CHECK_EQ(ws_struct_get_bytes(&f->items[0], out).len, 255);
    ws_structfmt_free(f);
}

int main(void) {
    RUN(test_structfmt_sizes);
    RUN(test_structfmt_native);
    RUN(test_structfmt_gaps);
    RUN(test_structfmt_refused);
    RUN(test_structfmt_too_long);
    RUN(test_structfmt_integers);
    RUN(test_structfmt_floats);
    RUN(test_structfmt_strings);
    RUN(test_structfmt_long_pascal);
    return check_done();
}
