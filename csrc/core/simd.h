/* simd.h: which vector instructions this processor has.
 *
 * Read once, kept in the server, passed down. */
#ifndef WS_SIMD_H
#define WS_SIMD_H

enum ws_simd {
    WS_SIMD_PORTABLE = 0, /* plain C */
    WS_SIMD_SSE2 = 1,     /* every x86-64 */
    WS_SIMD_AVX2 = 2,
    WS_SIMD_LEVELS = 3,
};

/* The best level that this processor and this build have. */
enum ws_simd ws_simd_detect(void);
/* Whether this processor and this build can run a level (tests run every level that can run). */
int ws_simd_has(enum ws_simd level);

#endif
