/* conn_type.h: wspy.Connection, the Python side of a core connection. */
#ifndef WS_PY_CONN_TYPE_H
#define WS_PY_CONN_TYPE_H

#include "convert.h"
#include "server_type.h"

struct ws_conn_object {
    PyObject_HEAD struct ws_conn *core; /* a counted reference, and one to the server: it has to
                                           outlive core */
    PyObject *dict;                     /* owned; NULL until an attribute is set */
    PyObject *weakrefs;
    PyObject *headers; /* owned; NULL until asked for */
    PyObject *side;    /* owned: what the runner keeps for it; NULL until then */
    PyObject *context; /* owned: contextvars' of its handlers that go on; NULL until then */
};

static inline struct ws_server_object *ws_conn_type_server(const struct ws_conn_object *self) {
    return ws_conn_get_server_user(self->core);
}
/* A new object for a connection of server (new reference), or NULL with an exception set. */
struct ws_conn_object *ws_conn_type_make(struct ws_server_object *server, struct ws_conn *core);
/* The context of its handlers, or a copy, since no two may be in one at a time. New reference, or
 * NULL with an exception set. */
PyObject *ws_conn_type_context(struct ws_conn_object *self, bool own);
/* Whether a handler of it asks, or what that has begun, and it is to send no more. */
bool ws_conn_type_is_cut_off(struct ws_conn_object *self);
/* Sends a payload and finishes it. What send() returns, or NULL with an exception set. */
PyObject *ws_conn_type_send(struct ws_conn_object *self, struct ws_convert_payload *p);
/* Raises for an enum ws_err: ConnectionClosed with the connection's code and reason, if it is that.
 */
void ws_conn_type_raise(struct ws_conn_object *self, int err);
/* New reference to the type, or NULL with an exception set. */
PyObject *ws_conn_type_new(PyObject *module);

#endif
