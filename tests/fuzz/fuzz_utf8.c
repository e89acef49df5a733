/* fuzz_utf8.c: the UTF-8 validation at each SIMD level, whole, in chunks and byte by byte, against
 * plain.h. */
#include "fuzz.h"
#include "plain.h"

#include "err.h"
#include "simd.h"
#include "utf8.h"

#define SETTING FUZZ_PLAN

/* In chunks, each of which is gone when the next one comes. */
static void check(enum ws_simd simd, const uint8_t *plan, const uint8_t *data, size_t len) {
    struct fuzz_cutter cutter = {.plan = plan, .max_cuts = FUZZ_CUTS};
    struct plain_utf8 plain = {0};
    struct ws_utf8 u;
    ws_utf8_init(&u);
    for (size_t at = 0, n; at < len; at += n) {
        n = fuzz_cut(&cutter, len - at);
        uint8_t *chunk = fuzz_copy(data + at, n);
        int result = ws_utf8_feed(simd, &u, chunk, n);
        free(chunk);
        for (size_t i = 0; i < n; i++) plain_utf8_feed(&plain, data[at + i]);
        MUST(result == (plain.wrong ? WS_ERR_SYNTAX : 0));
        if (plain.wrong) return;
        MUST(ws_utf8_is_complete(&u) == (plain.missing == 0));
        MUST(u.ascii == !plain.not_ascii);
    }
}

/* The error comes with the very byte that shows it. */
static void check_bytewise(const uint8_t *data, size_t len) {
    struct plain_utf8 plain = {0};
    struct ws_utf8 u;
    ws_utf8_init(&u);
    for (size_t i = 0; i < len && !plain.wrong; i++) {
        plain_utf8_feed(&plain, data[i]);
        int result = ws_utf8_feed(WS_SIMD_PORTABLE, &u, data + i, 1);
        MUST(result == (plain.wrong ? WS_ERR_SYNTAX : 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < SETTING) return 0;
    const uint8_t *text = data + SETTING;
    size_t len = size - SETTING;
    for (int level = 0; level < WS_SIMD_LEVELS; level++) {
        if (!ws_simd_has((enum ws_simd)level)) continue;
        check((enum ws_simd)level, NULL, text, len);
        check((enum ws_simd)level, data, text, len);
    }
    check_bytewise(text, len);
    return 0;
}
