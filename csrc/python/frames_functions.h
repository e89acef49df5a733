/* frames_functions.h: the functions of wspy.frames. */
#ifndef WS_PY_FRAMES_FUNCTIONS_H
#define WS_PY_FRAMES_FUNCTIONS_H

#include "state.h"

/* Adds them to the module. 0, or -1 with an exception set. */
int ws_frames_functions_add(PyObject *module);

#endif
