/* module.c: the module wspy._core: its state, and its making in the phases of PEP 489. */
#include "begun_type.h"
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

#include <stdbool.h>
#include <stddef.h>

/* New reference to an attribute of a module, or NULL with an exception set. */
static PyObject *import_from(const char *module_name, const char *name) {
    PyObject *module = PyImport_ImportModule(module_name);
    if (!module) return NULL;
    PyObject *attribute = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    return attribute;
}

static PyObject *new_cache(PyObject *module) {
    (void)module;
    return PyDict_New();
}

static PyObject *new_class_name(PyObject *module) {
    (void)module;
    return PyUnicode_InternFromString("__class__");
}

static PyObject *new_handled(PyObject *module) {
    (void)module;
    return PyContextVar_New("wspy.handled", NULL);
}

/* An object of the state: made here, and shown if it is a type with a name of its own; or found in
 * another module. In the order in which they come to be. */
struct member {
    size_t offset;
    PyObject *(*make)(PyObject *module); /* NULL: imported */
    const char *from, *name;
    bool is_shown;
};

#define MADE(name, function) {offsetof(struct ws_state, name), function, NULL, NULL, true}
#define HIDDEN(name, function) {offsetof(struct ws_state, name), function, NULL, NULL, false}
#define FOUND(member, module, name) {offsetof(struct ws_state, member), NULL, module, name, false}

static const struct member members[] = {
    FOUND(connection_closed, "wspy.errors", "ConnectionClosed"),
    FOUND(log_handler_error, "wspy.errors", "log_handler_error"),
    FOUND(log_call_error, "wspy.errors", "log_call_error"),
    FOUND(log_guest_error, "wspy.errors", "log_guest_error"),
    FOUND(headers_class, "wspy.headers", "Headers"),
    MADE(conn_type, ws_conn_type_new),
    MADE(stream_type, ws_stream_type_new),
    MADE(timer_type, ws_timer_type_new),
    HIDDEN(guest_type, ws_guest_type_new),
    HIDDEN(begun_type, ws_begun_type_new),
    MADE(server_type, ws_server_type_new),
    MADE(poller_type, ws_poller_type_new),
    HIDDEN(slot_names, ws_server_type_new_names),
    HIDDEN(class_name, new_class_name),
    HIDDEN(handled, new_handled),
    FOUND(struct_error, "wspy.errors", "StructError"),
    FOUND(struct_of_library, "struct", "Struct"),
    HIDDEN(struct_cache, new_cache),
    MADE(struct_type, ws_struct_type_new),
    HIDDEN(struct_iterator_type, ws_struct_type_new_iterator),
    MADE(protocol_type, ws_protocol_type_new),
    MADE(sha1_type, ws_sha1_type_new),
    FOUND(handshake_error, "wspy.errors", "HandshakeError"),
    FOUND(frame_error, "wspy.errors", "FrameError"),
    FOUND(incomplete_frame, "wspy.errors", "IncompleteFrame"),
    FOUND(frame_class, "wspy.frame", "Frame"),
    FOUND(opcodes, "wspy.frame", "OPCODES"),
};

static PyObject **member_of(struct ws_state *state, const struct member *m) {
    return (PyObject **)(void *)((char *)state + m->offset);
}

static int add_member(PyObject *module, const struct member *m) {
    PyObject *object = m->make ? m->make(module) : import_from(m->from, m->name);
    *member_of(PyModule_GetState(module), m) = object;
    if (!object) return -1;
    return m->is_shown ? PyModule_AddType(module, (PyTypeObject *)object) : 0;
}

static int module_exec(PyObject *module) {
    struct ws_state *state = PyModule_GetState(module);
    state->simd = ws_simd_detect();
    if (ws_sha1_init(&state->sha1_start) < 0) ws_sha1_fini(&state->sha1_start);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(members); i++)
        if (add_member(module, &members[i]) < 0) return -1;
    if (ws_protocol_events_load(state) < 0 || ws_poller_type_add_constants(module) < 0 ||
        ws_frames_functions_add(module) < 0)
        return -1;
    return ws_handshake_functions_add(module);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    struct ws_state *state = PyModule_GetState(module);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(members); i++) Py_VISIT(*member_of(state, &members[i]));
    for (int i = 0; i < WS_PROTOCOL_EVENTS; i++) {
        Py_VISIT(state->protocol_events[i]);
        Py_VISIT(state->protocol_fields[i]);
    }
    return 0;
}

static int module_clear(PyObject *module) {
    struct ws_state *state = PyModule_GetState(module);
    for (size_t i = 0; i < Py_ARRAY_LENGTH(members); i++) Py_CLEAR(*member_of(state, &members[i]));
    for (int i = 0; i < WS_PROTOCOL_EVENTS; i++) {
        Py_CLEAR(state->protocol_events[i]);
        Py_CLEAR(state->protocol_fields[i]);
    }
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
