/* timer_type.h: wspy.Timer, a call that is due: what call_soon, call_later and every give. */
#ifndef WS_PY_TIMER_TYPE_H
#define WS_PY_TIMER_TYPE_H

#include "server_type.h"

/* Of Server; arguments as METH_FASTCALL gives them. */
PyObject *ws_timer_type_call_soon(struct ws_server_object *self, PyObject *const *args,
                                  Py_ssize_t n);
PyObject *ws_timer_type_call_later(struct ws_server_object *self, PyObject *const *args,
                                   Py_ssize_t n);
PyObject *ws_timer_type_every(struct ws_server_object *self, PyObject *const *args, Py_ssize_t n);
extern const char ws_timer_type_call_soon_doc[], ws_timer_type_call_later_doc[],
    ws_timer_type_every_doc[];

/* The core's on_call, with the timer as object. False: it raised, and its exception is set. */
bool ws_timer_type_called(PyObject *timer, bool called, bool done);
void ws_timer_type_cancel(PyObject *timer);
/* For the server's traverse and clear. */
int ws_timer_type_visit_all(struct ws_server_object *server, visitproc visit, void *arg);
void ws_timer_type_drop_all(struct ws_server_object *server);
/* New reference to the type, or NULL with an exception set. */
PyObject *ws_timer_type_new(PyObject *module);

#endif
