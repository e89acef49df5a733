/* handshake_functions.h: what wspy.handshake has of the core. */
#ifndef WS_PY_HANDSHAKE_FUNCTIONS_H
#define WS_PY_HANDSHAKE_FUNCTIONS_H

#include "state.h"

/* Adds the functions to the module. 0, or -1 with an exception set. */
int ws_handshake_functions_add(PyObject *module);

#endif
