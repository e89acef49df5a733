/* begun_type.h: a coroutine that has taken its first step before its task did. The task's first
 * step gets what that came to, and the further ones go on with it. */
#ifndef WS_PY_BEGUN_TYPE_H
#define WS_PY_BEGUN_TYPE_H

#include "state.h"

/* New references, or NULL with an exception set. */
PyObject *ws_begun_type_new(PyObject *module);
PyObject *ws_begun_type_make(const struct ws_state *state);

/* What it is from now on; both may be NULL. */
void ws_begun_type_set(PyObject *begun, PyObject *coroutine, PyObject *context);
/* Steals coroutine, and gives the one that it had (new reference). Both may be NULL. */
PyObject *ws_begun_type_swap(PyObject *begun, PyObject *coroutine);
/* Takes the first step, in the context: as PyIter_Send. */
PySendResult ws_begun_type_step(PyObject *begun, PyObject **value);
/* What the task is to be told of that step: steals value, which is the exception if it raised. */
void ws_begun_type_came_to(PyObject *begun, PySendResult sent, PyObject *value);

#endif
