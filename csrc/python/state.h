/* state.h: what one instance of the module wspy._core owns. There is no other state in the
 * binding but in its objects. */
#ifndef WS_PY_STATE_H
#define WS_PY_STATE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "sha1.h"
#include "simd.h"

/* The classes of wspy.events, in the order of enum ws_endpoint_kind. */
enum { WS_PROTOCOL_EVENTS = 7 };

/* Every object is owned; set by the module's exec. */
struct ws_state {
    PyTypeObject *server_type;
    PyObject *slot_names; /* a tuple, in the order of enum ws_handler_slot */
    PyObject *class_name; /* "__class__" */
    PyObject *handled;    /* a context variable: a weak reference to the handler's connection */
    PyTypeObject *conn_type;
    PyTypeObject *stream_type;
    PyTypeObject *timer_type;
    PyTypeObject *guest_type;
    PyTypeObject *begun_type;
    PyTypeObject *poller_type;
    PyTypeObject *struct_type;
    PyTypeObject *struct_iterator_type;
    PyTypeObject *struct_of_library; /* struct.Struct */
    PyObject *struct_cache;          /* dict: format to Struct, for the functions */
    PyObject *struct_error;          /* wspy.errors.StructError */
    PyTypeObject *sha1_type;
    PyTypeObject *protocol_type;
    PyTypeObject *protocol_events[WS_PROTOCOL_EVENTS];
    PyObject *protocol_fields[WS_PROTOCOL_EVENTS]; /* the names of their fields, a tuple each */
    PyObject *connection_closed;                   /* wspy.errors.ConnectionClosed(code, reason) */
    PyObject *log_handler_error; /* wspy.errors.log_handler_error(event, conn, exc, may_wait) */
    PyObject *log_call_error;    /* wspy.errors.log_call_error(timer, exc) */
    PyObject *log_guest_error;   /* wspy.errors.log_guest_error(fd, callback, exc) */
    PyObject *headers_class;     /* wspy.headers.Headers(list of (name, value)) */
    PyObject *handshake_error;   /* wspy.errors.HandshakeError(status, detail, head_only) */
    PyObject *frame_error;       /* wspy.errors.FrameError(text) */
    PyObject *incomplete_frame;  /* wspy.errors.IncompleteFrame(text, needed) */
    PyObject *frame_class;       /* wspy.frame.Frame, a tuple */
    PyObject *opcodes;           /* a tuple of wspy.frame.Opcode, None for those reserved */
    struct ws_sha1 sha1_start; /* of no bytes, to be copied; its ctx is NULL if there is no SHA-1 */
    enum ws_simd simd;         /* for what belongs to no server */
};

/* The state, as an object's tp_new finds it: on our own type, the one with that dealloc, which a
 * subclass has among its bases. */
static inline const struct ws_state *ws_state_of(PyTypeObject *type, destructor dealloc) {
    while (type->tp_dealloc != dealloc) type = type->tp_base;
    return PyType_GetModuleState(type);
}

#endif
