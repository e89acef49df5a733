/* struct_functions.h: wspy.pack, unpack and so on: a Struct's methods with a format in front. */
#ifndef WS_PY_STRUCT_FUNCTIONS_H
#define WS_PY_STRUCT_FUNCTIONS_H

#include "state.h"

extern PyMethodDef ws_struct_functions[];

#endif
