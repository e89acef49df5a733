/* stream_type.h: wspy.Stream, a message that is sent in parts: what conn.stream() gives. */
#ifndef WS_PY_STREAM_TYPE_H
#define WS_PY_STREAM_TYPE_H

#include "conn_type.h"

/* A stream that has not begun (new reference), or NULL with an exception set. */
PyObject *ws_stream_type_make(struct ws_conn_object *conn, bool text, uint8_t compress);
/* New reference to the type, or NULL with an exception set. */
PyObject *ws_stream_type_new(PyObject *module);

#endif
