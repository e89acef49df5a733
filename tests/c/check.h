/* check.h: what the C tests share. A test program is a file with static void test_*(void) functions
 * and a main() that calls RUN for each and returns check_done(). Built with ASan and UBSan by
 * tests/test_c.py, which also counts the lines "ok NAME" on standard output. */
#ifndef CHECK_H
#define CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int check_failures;

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, __LINE__, __func__, #cond);       \
            check_failures++;                                                                      \
        }                                                                                          \
    } while (0)

#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long check_a = (long long)(a), check_b = (long long)(b);                              \
        if (check_a != check_b) {                                                                  \
            fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__, __LINE__, __func__, #a, \
                    check_a, check_b);                                                             \
            check_failures++;                                                                      \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        int before = check_failures;                                                               \
        test();                                                                                    \
        if (check_failures == before) printf("ok %s\n", #test);                                    \
    } while (0)

static inline int check_done(void) {
    fflush(stdout);
    return check_failures ? 1 : 0;
}

/* Memory whose last byte is followed by a page that may not be touched. */
struct check_page {
    uint8_t *map;
    size_t size;
};

/* A copy of len bytes that ends exactly at the page's end; len may be 0 (then the pointer is the
 * end itself). */
static inline uint8_t *check_page_copy(struct check_page *p, const void *data, size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (len + page - 1) / page * page;
    if (room == 0) room = page;
    p->size = room + page;
    p->map = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p->map == MAP_FAILED || mprotect(p->map + room, page, PROT_NONE) != 0) {
        perror("check_page_copy");
        exit(2);
    }
    uint8_t *start = p->map + room - len;
    if (len) memcpy(start, data, len);
    return start;
}

static inline void check_page_free(struct check_page *p) {
    munmap(p->map, p->size);
}

#endif
