/* packed.h: messages that are records: values written into the outgoing frame, and a format that
 * takes those that come apart. */
#ifndef WS_PY_PACKED_H
#define WS_PY_PACKED_H

#include "conn_type.h"
#include "convert.h"
#include "server_type.h"
#include "structfmt.h"

#define WS_PACKED_FEW 16 /* values of a call that need no memory of their own */

/* What the n arguments of pack(format, *values) make as a payload, to be finished by
 * ws_convert_payload_fini; n > 0. Returns what the caller drops when it is sent, or NULL with an
 * exception set. */
PyObject *ws_packed_write(struct ws_server_object *server, PyObject *const *args, Py_ssize_t n,
                          struct ws_convert_payload *p);
/* How the server takes messages: whether one of len bytes is a record, or records. */
bool ws_packed_fits(const struct ws_packed *packed, size_t len);
/* What a handler is called with for a message that fits: (conn, *values), or (conn, list of
 * tuples).
 */
struct ws_packed_arguments {
    PyObject **args; /* conn, borrowed, then values, owned; in front of it a free place */
    size_t n;
    PyObject *few[2 + WS_PACKED_FEW];
};
/* 0, or -1 with an exception set and nothing to fini. */
int ws_packed_arguments_init(struct ws_packed_arguments *a, const struct ws_packed *packed,
                             struct ws_conn_object *conn, const uint8_t *data, size_t len);
void ws_packed_arguments_fini(struct ws_packed_arguments *a);

#endif
