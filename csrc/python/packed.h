/* packed.h: messages that are records: values written into the outgoing frame, and a format that
 * takes those that come apart. */
#ifndef WS_PY_PACKED_H
#define WS_PY_PACKED_H

#include "conn_type.h"
#include "convert.h"
#include "server_type.h"
#include "structfmt.h"

/* What the n arguments of pack(format, *values) make as a payload, to be finished by
 * ws_convert_payload_fini; n > 0. Returns what the caller drops when it is sent, or NULL with an
 * exception set. */
PyObject *ws_packed_write(struct ws_server_object *server, PyObject *const *args, Py_ssize_t n,
                          struct ws_convert_payload *p);
/* How the server takes messages: whether one of len bytes is a record, or records. */
bool ws_packed_fits(const struct ws_packed *packed, size_t len);
/* Calls a handler with the values of a message that fits, as (conn, *values) or as (conn, list of
 * tuples). False: it raised, and its exception is set. */
bool ws_packed_call(const struct ws_packed *packed, PyObject *handler, struct ws_conn_object *conn,
                    const uint8_t *data, size_t len);

#endif
