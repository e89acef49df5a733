/* test_entropy.c: random bytes: each is given once, and what the system refuses is told. */
/* wrap: getrandom */
#include "check.h"
#include "entropy.h"
#include "err.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/random.h>

/* The system's source, as these tests want it: bytes that count up. */
static uint8_t next_byte;
static int n_calls;
static int interruptions; /* so many calls are interrupted first */
static bool is_broken;

ssize_t __wrap_getrandom(void *buffer, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *buffer, size_t len, unsigned flags) {
    uint8_t *bytes = buffer;
    CHECK_EQ(flags, 0); /* it waits for a system that has just been booted */
    n_calls++;
    if (interruptions > 0 || is_broken) {
        errno = is_broken ? ENOSYS : EINTR;
        interruptions--;
        return -1;
    }
    for (size_t i = 0; i < len; i++) bytes[i] = next_byte++;
    return (ssize_t)len;
}

static void test_entropy_each_byte_once(void) {
    struct ws_entropy e = {0};
    uint8_t got[16], expected = 0;
    next_byte = 0;
    n_calls = 0;
    for (int round = 0; round < 64; round++) {
        CHECK_EQ(ws_entropy_take(&e, got, sizeof got), 0);
        for (size_t i = 0; i < sizeof got; i++) CHECK_EQ(got[i], expected++);
    }
    CHECK_EQ(n_calls, 4);                                                /* 64 times 16 bytes */
    for (size_t i = 0; i < sizeof e.bytes; i++) CHECK_EQ(e.bytes[i], 0); /* all are wiped */
}

/* What does not suffice for a request is thrown away, never given in part. */
static void test_entropy_odd_sizes(void) {
    struct ws_entropy e = {0};
    uint8_t all[WS_ENTROPY_SIZE], few[100];
    next_byte = 0;
    n_calls = 0;
    CHECK_EQ(ws_entropy_take(&e, few, 100), 0);
    CHECK_EQ(ws_entropy_take(&e, few, 100), 0);
    CHECK_EQ(few[0], 100);
    CHECK_EQ(ws_entropy_take(&e, few, 100), 0);
    CHECK_EQ(few[0], 0); /* 256 is 0 */
    CHECK_EQ(n_calls, 2);
    CHECK_EQ(ws_entropy_take(&e, all, sizeof all), 0);
    CHECK_EQ(n_calls, 3);
    CHECK_EQ(all[255], 255);
    CHECK_EQ(e.left, 0);
    CHECK_EQ(ws_entropy_take(&e, few, 0), 0);
    CHECK_EQ(n_calls, 3);
}

static void test_entropy_interrupted(void) {
    struct ws_entropy e = {0};
    uint32_t key;
    n_calls = 0;
    interruptions = 3;
    CHECK_EQ(ws_entropy_take(&e, &key, sizeof key), 0);
    CHECK_EQ(n_calls, 4);
}

static void test_entropy_refused(void) {
    struct ws_entropy e = {0};
    uint32_t key = 7;
    is_broken = true;
    CHECK_EQ(ws_entropy_take(&e, &key, sizeof key), WS_ERR_SYSTEM);
    CHECK_EQ(errno, ENOSYS);
    is_broken = false;
    CHECK_EQ(ws_entropy_take(&e, &key, sizeof key), 0);
}

int main(void) {
    RUN(test_entropy_each_byte_once);
    RUN(test_entropy_odd_sizes);
    RUN(test_entropy_interrupted);
    RUN(test_entropy_refused);
    return check_done();
}
