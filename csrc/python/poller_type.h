/* poller_type.h: wspy.Poller: select, poll and epoll with one face. */
#ifndef WS_PY_POLLER_TYPE_H
#define WS_PY_POLLER_TYPE_H

#include "state.h"

/* New reference, or NULL with an exception set. */
PyObject *ws_poller_type_new(PyObject *module);
/* POLLIN and its like. 0, or -1 with an exception set. */
int ws_poller_type_add_constants(PyObject *module);

#endif
