/* protocol_events.c: see protocol_events.h. The classes are Python's; here their objects are made
 * without a call of Python, by setting their slots. */
#include "protocol_events.h"

#include "convert.h"

enum { FIELDS_MAX = 4 };

static const char *const class_names[WS_PROTOCOL_EVENTS] = {
    "Request", "Open", "Rejected", "Message", "Ping", "Pong", "Close"};

int ws_protocol_events_load(struct ws_state *state) {
    PyObject *module = PyImport_ImportModule("wspy.events");
    for (int i = 0; module && i < WS_PROTOCOL_EVENTS; i++) {
        PyObject *class = PyObject_GetAttrString(module, class_names[i]);
        PyObject *fields = class ? PyObject_GetAttrString(class, "__match_args__") : NULL;
        state->protocol_events[i] = (PyTypeObject *)class;
        state->protocol_fields[i] = fields;
        if (!fields) Py_CLEAR(module);
    }
    if (!module) return -1;
    Py_DECREF(module);
    return 0;
}

/* An object of the class, with the values in its slots; they are taken, also when it fails. A NULL
 * among them has set an exception. */
static PyObject *make(const struct ws_state *state, enum ws_endpoint_kind kind,
                      PyObject *const values[FIELDS_MAX]) {
    PyTypeObject *type = state->protocol_events[kind - WS_ENDPOINT_REQUEST];
    PyObject *fields = state->protocol_fields[kind - WS_ENDPOINT_REQUEST], *event = NULL;
    Py_ssize_t n = PyTuple_GET_SIZE(fields), there = 0;
    while (there < n && values[there]) there++;
    if (there == n) event = type->tp_alloc(type, 0);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (event && PyObject_GenericSetAttr(event, PyTuple_GET_ITEM(fields, i), values[i]) < 0)
            Py_CLEAR(event);
        Py_XDECREF(values[i]);
    }
    return event;
}

/* ---- heads ---- */

/* The head in bytes of its own, into which *head is cut: what makes lists and calls Python may run
 * any code, which may feed the endpoint. NULL with an exception set. */
static PyObject *copy_head(const struct ws_endpoint_event *ev, struct ws_http_head *head) {
    PyObject *bytes = PyBytes_FromStringAndSize(ev->raw.data, (Py_ssize_t)ev->raw.len);
    *head = (struct ws_http_head){0};
    if (bytes && ev->raw.len) {
        ws_http_head_parse(head, ev->head.status ? WS_HTTP_RESPONSE : WS_HTTP_REQUEST,
                           (const uint8_t *)PyBytes_AS_STRING(bytes), ev->raw.len);
    }
    return bytes;
}

static PyObject *make_rejected(const struct ws_state *state, const struct ws_endpoint_event *ev) {
    int status = ev->status;
    const char *detail = ev->detail;
    struct ws_http_head head;
    PyObject *bytes = copy_head(ev, &head);
    PyObject *headers = bytes ? ws_convert_headers(state, &head) : NULL;
    Py_XDECREF(bytes);
    if (!headers) return NULL;
    PyObject *values[FIELDS_MAX] = {status ? PyLong_FromLong(status) : Py_NewRef(Py_None),
                                    PyUnicode_FromString(detail), headers};
    return make(state, WS_ENDPOINT_REJECTED, values);
}

/* Request and Open, which has one field more. */
static PyObject *make_opening(const struct ws_state *state, const struct ws_endpoint_event *ev,
                              PyObject *path, PyObject *query, PyObject *subprotocol) {
    enum ws_endpoint_kind kind = ev->kind;
    struct ws_http_head head;
    PyObject *bytes = copy_head(ev, &head);
    PyObject *headers = bytes ? ws_convert_headers(state, &head) : NULL;
    if (!headers) {
        Py_XDECREF(bytes);
        return NULL;
    }
    PyObject *values[FIELDS_MAX] = {path ? Py_NewRef(path) : ws_convert_latin1(head.path),
                                    query ? Py_NewRef(query) : ws_convert_latin1(head.query),
                                    headers, Py_NewRef(subprotocol)};
    Py_DECREF(bytes);
    if (kind == WS_ENDPOINT_REQUEST) Py_CLEAR(values[3]);
    return make(state, kind, values);
}

/* ---- the rest ---- */

static PyObject *make_message(const struct ws_state *state, const struct ws_endpoint_event *ev) {
    struct ws_message message = {
        .data = ev->data, .len = ev->len, .text = ev->text, .ascii = ev->ascii};
    /* Not masked: no connection is needed for its mask. */
    PyObject *values[FIELDS_MAX] = {ws_convert_message(NULL, &message)};
    return make(state, WS_ENDPOINT_MESSAGE, values);
}

static PyObject *make_control(const struct ws_state *state, const struct ws_endpoint_event *ev) {
    PyObject *values[FIELDS_MAX] = {
        PyBytes_FromStringAndSize((const char *)ev->data, (Py_ssize_t)ev->len)};
    return make(state, ev->kind, values);
}

static PyObject *make_close(const struct ws_state *state, const struct ws_endpoint_event *ev) {
    struct ws_slice reason = {(const char *)ev->data, ev->len};
    PyObject *values[FIELDS_MAX] = {PyLong_FromLong(ev->code), ws_convert_utf8(reason),
                                    PyUnicode_FromString(ws_close_kind_name(ev->close_kind))};
    return make(state, WS_ENDPOINT_CLOSE, values);
}

PyObject *ws_protocol_events_make(const struct ws_state *state, const struct ws_endpoint_event *ev,
                                  PyObject *path, PyObject *query, PyObject *subprotocol) {
    switch (ev->kind) {
    case WS_ENDPOINT_REQUEST:
    case WS_ENDPOINT_OPENED: return make_opening(state, ev, path, query, subprotocol);
    case WS_ENDPOINT_REJECTED: return make_rejected(state, ev);
    case WS_ENDPOINT_MESSAGE: return make_message(state, ev);
    case WS_ENDPOINT_PING:
    case WS_ENDPOINT_PONG: return make_control(state, ev);
    case WS_ENDPOINT_CLOSE: return make_close(state, ev);
    case WS_ENDPOINT_NONE: break;
    }
    PyErr_SetString(PyExc_SystemError, "the core told an event of no kind");
    return NULL;
}
