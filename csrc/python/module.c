/* module.c: the module wspy._core: its state, and its making in the phases of PEP 489. */
#include "conn_type.h"
#include "frames_functions.h"
#include "handshake_functions.h"
#include "protocol_events.h"
#include "protocol_type.h"
#include "guest_type.h"
#include "poller_type.h"
#include "server_type.h"
#include "sha1_type.h"
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

/* wspy.sha1, and what wspy.frames and wspy.handshake are made of. */
static int add_tools(PyObject *module, struct ws_state *state) {
    state->simd = ws_simd_detect();
    if (ws_sha1_init(&state->sha1_start) < 0) ws_sha1_fini(&state->sha1_start);
    state->handshake_error = import_from("wspy.errors", "HandshakeError");
    if (!state->handshake_error) return -1;
    state->frame_error = import_from("wspy.errors", "FrameError");
    if (!state->frame_error) return -1;
    state->incomplete_frame = import_from("wspy.errors", "IncompleteFrame");
    if (!state->incomplete_frame) return -1;
    state->frame_class = import_from("wspy.frame", "Frame");
    if (!state->frame_class) return -1;
    state->opcodes = import_from("wspy.frame", "OPCODES");
    if (!state->opcodes) return -1;
    state->sha1_type = (PyTypeObject *)ws_sha1_type_new(module);
    if (!state->sha1_type || PyModule_AddType(module, state->sha1_type) < 0) return -1;
    if (ws_frames_functions_add(module) < 0) return -1;
    return ws_handshake_functions_add(module);
}

static int module_exec(PyObject *module) {
    struct ws_state *state = PyModule_GetState(module);
    state->connection_closed = import_from("wspy.errors", "ConnectionClosed");
    if (!state->connection_closed) return -1;
    state->log_handler_error = import_from("wspy.errors", "log_handler_error");
    if (!state->log_handler_error) return -1;
    state->log_call_error = import_from("wspy.errors", "log_call_error");
    if (!state->log_call_error) return -1;
    state->log_guest_error = import_from("wspy.errors", "log_guest_error");
    if (!state->log_guest_error) return -1;
    state->headers_class = import_from("wspy.headers", "Headers");
    if (!state->headers_class) return -1;
    state->conn_type = (PyTypeObject *)ws_conn_type_new(module);
    if (!state->conn_type || PyModule_AddType(module, state->conn_type) < 0) return -1;
    state->stream_type = (PyTypeObject *)ws_stream_type_new(module);
    if (!state->stream_type || PyModule_AddType(module, state->stream_type) < 0) return -1;
    state->timer_type = (PyTypeObject *)ws_timer_type_new(module);
    if (!state->timer_type || PyModule_AddType(module, state->timer_type) < 0) return -1;
    state->guest_type = (PyTypeObject *)ws_guest_type_new(module);
    if (!state->guest_type) return -1;
    state->poller_type = (PyTypeObject *)ws_poller_type_new(module);
    if (!state->poller_type || PyModule_AddType(module, state->poller_type) < 0) return -1;
    if (ws_poller_type_add_constants(module) < 0) return -1;
    state->server_type = (PyTypeObject *)ws_server_type_new(module);
    if (!state->server_type || PyModule_AddType(module, state->server_type) < 0) return -1;
    state->struct_error = import_from("wspy.errors", "StructError");
    state->struct_cache = state->struct_error ? PyDict_New() : NULL;
    if (!state->struct_cache) return -1;
    state->struct_type = (PyTypeObject *)ws_struct_type_new(module);
    if (!state->struct_type || PyModule_AddType(module, state->struct_type) < 0) return -1;
    state->struct_iterator_type = (PyTypeObject *)ws_struct_type_new_iterator(module);
    if (!state->struct_iterator_type) return -1;
    if (ws_protocol_events_load(state) < 0) return -1;
    state->protocol_type = (PyTypeObject *)ws_protocol_type_new(module);
    if (!state->protocol_type || PyModule_AddType(module, state->protocol_type) < 0) return -1;
    return add_tools(module, state);
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
    Py_VISIT(state->sha1_type);
    Py_VISIT(state->protocol_type);
    for (int i = 0; i < WS_PROTOCOL_EVENTS; i++) {
        Py_VISIT(state->protocol_events[i]);
        Py_VISIT(state->protocol_fields[i]);
    }
    Py_VISIT(state->guest_type);
    Py_VISIT(state->poller_type);
    Py_VISIT(state->connection_closed);
    Py_VISIT(state->log_handler_error);
    Py_VISIT(state->log_call_error);
    Py_VISIT(state->log_guest_error);
    Py_VISIT(state->headers_class);
    Py_VISIT(state->handshake_error);
    Py_VISIT(state->frame_error);
    Py_VISIT(state->incomplete_frame);
    Py_VISIT(state->frame_class);
    Py_VISIT(state->opcodes);
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
    Py_CLEAR(state->sha1_type);
    Py_CLEAR(state->protocol_type);
    for (int i = 0; i < WS_PROTOCOL_EVENTS; i++) {
        Py_CLEAR(state->protocol_events[i]);
        Py_CLEAR(state->protocol_fields[i]);
    }
    Py_CLEAR(state->guest_type);
    Py_CLEAR(state->poller_type);
    Py_CLEAR(state->connection_closed);
    Py_CLEAR(state->log_handler_error);
    Py_CLEAR(state->log_call_error);
    Py_CLEAR(state->log_guest_error);
    Py_CLEAR(state->headers_class);
    Py_CLEAR(state->handshake_error);
    Py_CLEAR(state->frame_error);
    Py_CLEAR(state->incomplete_frame);
    Py_CLEAR(state->frame_class);
    Py_CLEAR(state->opcodes);
    return 0;
}

static void module_free(void *module) {
    struct ws_state *state = PyModule_GetState(module);
    module_clear(module);
    ws_sha1_fini(&state->sha1_start);
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
