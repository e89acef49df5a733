/* half.c: see half.h. In integers: the bits of a double hold those of the half, so that nothing is
 * rounded twice. */
#include "half.h"

#include "err.h"

#include <math.h>
#include <string.h>

#define SIGN 0x8000u
#define INFINITE 0x7C00u
#define QUIET 0x0200u

#define HALF_FRACTION 10 /* bits */
#define DOUBLE_FRACTION 52
#define SHIFT (DOUBLE_FRACTION - HALF_FRACTION)
#define BIAS_MORE (1023 - 15) /* of a double's exponent */

static double from_bits(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

double ws_half_get(uint16_t half) {
    uint64_t exponent = (half & INFINITE) >> HALF_FRACTION;
    uint64_t fraction = half & ((1u << HALF_FRACTION) - 1);
    double v;
    if (exponent == 31) v = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0) v = (double)fraction * 0x1p-24; /* subnormal, or 0 */
    else v = from_bits((exponent + BIAS_MORE) << DOUBLE_FRACTION | fraction << SHIFT);
    return half & SIGN ? -v : v;
}

/* bits >> shift, rounded to the nearest, ties to even. */
static uint64_t round_shift(uint64_t bits, unsigned shift) {
    uint64_t rest = bits & (((uint64_t)1 << shift) - 1);
    uint64_t tie = (uint64_t)1 << (shift - 1);
    uint64_t kept = bits >> shift;
    return kept + (rest > tie || (rest == tie && (kept & 1)));
}

/* The half of a finite number without its sign; INFINITE or more if there is none. */
static uint64_t round_finite(uint64_t bits) {
    int exponent = (int)(bits >> DOUBLE_FRACTION) - BIAS_MORE;
    if (exponent > 30) return INFINITE;
    /* A carry out of the fraction goes into the exponent: the fields lie side by side. */
    if (exponent > 0) return round_shift(bits - ((uint64_t)BIAS_MORE << DOUBLE_FRACTION), SHIFT);
    /* A subnormal: the leading one is written out, and shifted as far as the exponent is short. */
    if (exponent < -HALF_FRACTION) return 0; /* below half of the least one */
    uint64_t one = (uint64_t)1 << DOUBLE_FRACTION;
    return round_shift((bits & (one - 1)) | one, (unsigned)(SHIFT + 1 - exponent));
}

int ws_half_put(double v, uint16_t *half) {
    uint64_t bits, result;
    memcpy(&bits, &v, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 48 & SIGN);
    bits &= ~((uint64_t)SIGN << 48);
    if (isnan(v)) result = INFINITE | QUIET;
    else if (isinf(v)) result = INFINITE;
    else if ((result = round_finite(bits)) >= INFINITE) return WS_ERR_LIMIT;
    *half = (uint16_t)(sign | result);
    return 0;
}
