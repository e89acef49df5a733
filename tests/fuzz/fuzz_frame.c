/* fuzz_frame.c: one frame header, parsed from every prefix of the input at a page's end, against
 * plain.h, and written again. The input has no setting. */
#include "fuzz.h"
#include "plain.h"

#include "err.h"
#include "frame.h"

#include <sys/mman.h>
#include <unistd.h>

#define INPUT_MAX (WS_FRAME_HEADER_MAX + 2)

/* Where a page ends behind which nothing may be touched. Mapped once: a million times is slow. */
static uint8_t *page_end(void) {
    static uint8_t *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (end) return end;
    uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(map != MAP_FAILED && mprotect(map + page, page, PROT_NONE) == 0);
    end = map + page;
    return end;
}

static void check_fields(const struct ws_frame *f, const uint8_t *data, int size,
                         uint64_t payload) {
    uint8_t out[WS_FRAME_HEADER_MAX + 1];
    MUST(f->fin == (data[0] >= 128) && f->rsv == (data[0] / 16 & 7) && f->opcode == data[0] % 16);
    MUST(f->masked == (data[1] >= 128) && f->len == payload);
    if (f->masked) MUST(memcmp(&f->key, data + size - 4, 4) == 0);
    else MUST(f->key == 0);
    MUST(ws_frame_is_control(f->opcode) == (f->opcode >= 8));

    out[size] = 0xEE;
    MUST(ws_frame_header_size(f->len, f->masked) == (size_t)size);
    MUST(ws_frame_write(out, f) == (size_t)size);
    MUST(memcmp(out, data, (size_t)size) == 0 && out[size] == 0xEE);
}

static void check_parse(const uint8_t *data, size_t len) {
    struct ws_frame f, before;
    uint64_t payload = 0;
    uint8_t *at = page_end() - len;
    if (len) memcpy(at, data, len);
    memset(&before, 0xA5, sizeof before);
    memcpy(&f, &before, sizeof f);
    int n = ws_frame_parse(&f, at, len);
    MUST(n == plain_frame(data, len, &payload));
    if (n > 0) check_fields(&f, data, n, payload);
    else MUST(memcmp(&f, &before, sizeof f) == 0);
}

/* The other way round: any frame is written so that it reads the same. */
static void check_write(const uint8_t *data) {
    uint8_t out[WS_FRAME_HEADER_MAX];
    struct ws_frame g, f = {.fin = data[0] & 1,
                            .masked = data[0] & 2,
                            .rsv = data[0] >> 2 & 7,
                            .opcode = data[1] & 15,
                            .len = plain_big_endian(data + 2, 8) >> 1 >> (data[1] & 0xF0) / 4};
    if (f.masked) memcpy(&f.key, data + 10, 4);
    size_t n = ws_frame_write(out, &f);
    MUST(ws_frame_parse(&g, out, n) == (int)n);
    MUST(g.fin == f.fin && g.masked == f.masked && g.rsv == f.rsv && g.opcode == f.opcode);
    MUST(g.key == f.key && g.len == f.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > INPUT_MAX) size = INPUT_MAX;
    for (size_t len = 0; len <= size; len++) check_parse(data, len);
    if (size >= WS_FRAME_HEADER_MAX) check_write(data);
    return 0;
}
