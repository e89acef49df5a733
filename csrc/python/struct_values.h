/* struct_values.h: the values of a record, between its bytes and Python objects. */
#ifndef WS_PY_STRUCT_VALUES_H
#define WS_PY_STRUCT_VALUES_H

#include "state.h"

#include "structfmt.h"

#include <stdint.h>

/* Writes f->n_values values as f->size bytes. May run code of the user's (__index__, __float__,
 * __bool__). 0, or -1 with an exception set: StructError, OverflowError for floats, or what a value
 * raised; then part of it is written. */
int ws_struct_values_pack(const struct ws_state *state, const struct ws_structfmt *f, uint8_t *out,
                          PyObject *const *values);
/* Reads f->size bytes as f->n_values new references. 0, or -1 with an exception set and no
 * reference left. */
int ws_struct_values_unpack(const struct ws_structfmt *f, const uint8_t *in, PyObject **values);
/* The same as a new tuple. */
PyObject *ws_struct_values_tuple(const struct ws_structfmt *f, const uint8_t *in);

#endif
