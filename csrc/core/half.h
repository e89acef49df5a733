/* half.h: numbers of two bytes (IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction).
 * Knows the number, not the order of its bytes. */
#ifndef WS_HALF_H
#define WS_HALF_H

#include <stdint.h>

/* Every half is a double. */
double ws_half_get(uint16_t half);
/* The nearest half, of two that are equally near the even one. 0, or WS_ERR_LIMIT: a finite number
 * that is nearer to infinity than to any. Any NaN becomes a quiet one with its sign. */
int ws_half_put(double v, uint16_t *half);

#endif
