/* sha1_type.h: wspy.sha1, SHA-1 as hashlib has it. */
#ifndef WS_PY_SHA1_TYPE_H
#define WS_PY_SHA1_TYPE_H

#include "state.h"

/* New reference to the type, or NULL with an exception set. */
PyObject *ws_sha1_type_new(PyObject *module);

#endif
