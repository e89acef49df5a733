/* guest_type.h: descriptors that server.register() watches. */
#ifndef WS_PY_GUEST_TYPE_H
#define WS_PY_GUEST_TYPE_H

#include "server_type.h"

/* Of Server; arguments as METH_FASTCALL and METH_O give them. */
PyObject *ws_guest_type_register(struct ws_server_object *self, PyObject *const *args,
                                 Py_ssize_t n);
PyObject *ws_guest_type_modify(struct ws_server_object *self, PyObject *const *args, Py_ssize_t n);
PyObject *ws_guest_type_unregister(struct ws_server_object *self, PyObject *file);
extern const char ws_guest_type_register_doc[], ws_guest_type_modify_doc[],
    ws_guest_type_unregister_doc[];

/* The core's on_guest, with the guest as object. False: it raised, and its exception is set. */
bool ws_guest_type_called(PyObject *guest, uint32_t events);
/* It has left the loop by itself. */
void ws_guest_type_left(struct ws_server_object *server, PyObject *guest);
/* New references; the first is NULL with an exception set if there is no memory. */
PyObject *ws_guest_type_fd(PyObject *guest);
PyObject *ws_guest_type_callback(PyObject *guest);
/* New reference to the type, or NULL with an exception set. */
PyObject *ws_guest_type_new(PyObject *module);

#endif
