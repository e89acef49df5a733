/* protocol_type.h: wspy._core.Protocol, the base of wspy.Protocol: an endpoint without a socket. */
#ifndef WS_PY_PROTOCOL_TYPE_H
#define WS_PY_PROTOCOL_TYPE_H

#include "state.h"

/* New reference to the type, or NULL with an exception set. */
PyObject *ws_protocol_type_new(PyObject *module);

#endif
