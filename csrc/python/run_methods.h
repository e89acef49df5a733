/* run_methods.h: the methods of Server that turn its loop. */
#ifndef WS_PY_RUN_METHODS_H
#define WS_PY_RUN_METHODS_H

#include "server_type.h"

PyObject *ws_run_methods_run(struct ws_server_object *self, PyObject *args);
PyObject *ws_run_methods_embed(struct ws_server_object *self, PyObject *begun);
PyObject *ws_run_methods_step(struct ws_server_object *self, PyObject *done);
PyObject *ws_run_methods_end(struct ws_server_object *self, PyObject *ignored);
PyObject *ws_run_methods_cut(struct ws_server_object *self, PyObject *ignored);
extern const char ws_run_methods_run_doc[], ws_run_methods_embed_doc[], ws_run_methods_step_doc[],
    ws_run_methods_end_doc[], ws_run_methods_cut_doc[];

#endif
