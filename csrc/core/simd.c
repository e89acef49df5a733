/* simd.c: which vector instructions this processor has.
 *
 * Keeps nothing: the answer belongs to whoever asked. */
#include "simd.h"

#ifdef __x86_64__

int ws_simd_has(enum ws_simd level) {
    switch (level) {
    case WS_SIMD_PORTABLE: return 1;
    case WS_SIMD_SSE2: return 1; /* part of the x86-64 baseline */
    case WS_SIMD_AVX2:
        /* asks the operating system too: registers that it does not save are not there */
        return __builtin_cpu_supports("avx2") ? 1 : 0;
    case WS_SIMD_LEVELS: break;
    }
    return 0;
}

#else

int ws_simd_has(enum ws_simd level) {
    return level == WS_SIMD_PORTABLE;
}

#endif

enum ws_simd ws_simd_detect(void) {
    if (ws_simd_has(WS_SIMD_AVX2)) return WS_SIMD_AVX2;
    if (ws_simd_has(WS_SIMD_SSE2)) return WS_SIMD_SSE2;
    return WS_SIMD_PORTABLE;
}
