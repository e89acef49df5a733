/* module.c: the module wspy._core: its state, and its making in the phases of PEP 489. */
#include "conn_type.h"
#include "server_type.h"
#include "state.h"
#include "stream_type.h"
#include "struct_functions.h"
#include "struct_type.h"
#include "timer_type.h"

/* New reference to an attribute of a module, or NULL with an exception set. */
static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    if (!module) return NULL;
    PyObject *attribute = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return attribute;
}

static int module_exec(PyObject *module) {
    struct ws_state *state = PyModule_GetState(module);
    state->connection_closed = import_from("wspy.errors", "ConnectionClosed");
    if (!state->connection_closed) return -1;
    state->log_handler_error = import_from("wspy.errors", "log_handler_error");
    if (!state->log_handler_error) return -1;
    state->log_call_error = import_from("wspy.errors", "log_call_error");
    if (!state->log_call_error) return -1;
    state->headers_class = import_from("wspy.headers", "Headers");
    if (!state->headers_class) return -1;
    state->conn_type = (PyTypeObject *)ws_conn_type_new(module);
    if (!state->conn_type || PyModule_AddType(module, state->conn_type) < 0) return -1;
    state->stream_type = (PyTypeObject *)ws_stream_type_new(module);
    if (!state->stream_type || PyModule_AddType(module, state->stream_type) < 0) return -1;
    state->timer_type = (PyTypeObject *)ws_timer_type_new(module);
    if (!state->timer_type || PyModule_AddType(module, state->timer_type) < 0) return -1;
    state->server_type = (PyTypeObject *)ws_server_type_new(module);
    if (!state->server_type || PyModule_AddType(module, state->server_type) < 0) return -1;
    state->struct_error = import_from("wspy.errors", "StructError");
    state->struct_cache = state->struct_error ? PyDict_New() : NULL;
    if (!state->struct_cache) return -1;
    state->struct_type = (PyTypeObject *)ws_struct_type_new(module);
    if (!state->struct_type || PyModule_AddType(module, state->struct_type) < 0) return -1;
    state->struct_iterator_type = (PyTypeObject *)ws_struct_type_new_iterator(module);
    if (!state->struct_iterator_type) return -1;
    return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    struct ws_state *state = PyModule_GetState(module);
    Py_VISIT(state->server_type);
    Py_VISIT(state->conn_type);
    Py_VISIT(state->stream_type);
    Py_VISIT(state->timer_type);
    Py_VISIT(state->struct_type);
    Py_VISIT(state->struct_iterator_type);
    Py_VISIT(state->struct_cache);
    Py_VISIT(state->struct_error);
    Py_VISIT(state->connection_closed);
    Py_VISIT(state->log_handler_error);
    Py_VISIT(state->log_call_error);
    Py_VISIT(state->headers_class);
    return 0;
}

static int module_clear(PyObject *module) {
    struct ws_state *state = PyModule_GetState(module);
    Py_CLEAR(state->server_type);
    Py_CLEAR(state->conn_type);
    Py_CLEAR(state->stream_type);
    Py_CLEAR(state->timer_type);
    Py_CLEAR(state->struct_type);
    Py_CLEAR(state->struct_iterator_type);
    Py_CLEAR(state->struct_cache);
    Py_CLEAR(state->struct_error);
    Py_CLEAR(state->connection_closed);
    Py_CLEAR(state->log_handler_error);
    Py_CLEAR(state->log_call_error);
    Py_CLEAR(state->headers_class);
    return 0;
}

static void module_free(void *module) {
    module_clear(module);
}

PyDoc_STRVAR(module_doc,
"The core of wspy, in C: the WebSocket server of csrc/core as Python types.\n\n"
"Each method is one of three kinds: direct (the thread that runs the loop, in a handler),\n"
"mailbox (any thread; applied by the loop), snapshot (any thread; reads what is there).");

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "wspy._core",
    .m_doc = module_doc,
    .m_size = sizeof(struct ws_state),
    .m_methods = ws_struct_functions,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void) {
    return PyModuleDef_Init(&definition);
}
