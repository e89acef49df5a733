/* protocol_type.c: wspy._core.Protocol: the core's endpoint, fed and asked by Python. Checking
 * options and the URL for people is the work of wspy/protocol.py, making events that of
 * protocol_events.c.
 *
 * The lock (the GIL, or on a build without it the object's own) is held while the core is at work.
 * Making an event may let others in, who then find the endpoint between two events. */
#include "protocol_type.h"

#include "arguments.h"
#include "convert.h"
#include "errors.h"
#include "protocol_events.h"

#include <errno.h>
#include <string.h>

#ifndef Py_BEGIN_CRITICAL_SECTION /* before 3.13, where the GIL is always there */
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

struct protocol_object {
    PyObject_HEAD const struct ws_state *state;
    bool has_core;
    struct ws_endpoint core;
    struct ws_options options; /* its lists are owned, and point into strings of dict */
    PyObject *dict;            /* owned */
    PyObject *path;            /* owned: of a client's request, else NULL */
    PyObject *query;
    PyObject *opened; /* owned: the events Open and Close, NULL before */
    PyObject *closed;
};

/* False with an exception set. */
static bool has_core(const struct protocol_object *self) {
    if (!self->has_core) PyErr_SetString(PyExc_RuntimeError, "Protocol.__init__ was not called");
    return self->has_core;
}

/* ---- making and freeing ---- */

PyDoc_STRVAR(protocol_doc,
"Protocol(role, options, auto_accept, host, path, query, fields, /)\n--\n\n"
"The base of wspy.Protocol. options is a dict of validated values as for Server, of which any\n"
"may be left out; the rest is a client's: what its Host field says, its target, and further\n"
"header lines, each with CRLF.");

static int start(struct protocol_object *self, struct ws_endpoint_options *o) {
    const struct ws_options *limits = &self->options;
    o->max_message_size = limits->max_message_size;
    o->max_fragments = limits->max_fragments;
    o->max_header_size = limits->max_header_size;
    o->max_headers = limits->max_headers;
    o->rules = (struct ws_handshake_rules){
        .origins = limits->origins, .hosts = limits->hosts, .subprotocols = limits->subprotocols};
    int err = ws_endpoint_init(&self->core, o);
    int errnum = errno;
    self->has_core = err == 0;
    if (err == 0) return 0;
    ws_endpoint_fini(&self->core);
    if (err == WS_ERR_ARGUMENT)
        PyErr_SetString(PyExc_ValueError, "url has a character that may not stand there");
    else ws_errors_raise_why(err, errnum, "no random bytes for the opening handshake");
    return -1;
}

static int protocol_init(struct protocol_object *self, PyObject *args, PyObject *kwargs) {
    const char *role, *host, *fields;
    PyObject *dict, *path, *query; /* borrowed */
    int auto_accept;
    Py_ssize_t fields_len;
    if (kwargs && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Protocol() takes no keyword arguments");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "sO!psUUs#:Protocol", &role, &PyDict_Type, &dict, &auto_accept,
                          &host, &path, &query, &fields, &fields_len))
        return -1;
    if (self->dict) {
        PyErr_SetString(PyExc_RuntimeError, "Protocol.__init__ was called before");
        return -1;
    }
    bool client = strcmp(role, "client") == 0;
    const char *mark = PyUnicode_GET_LENGTH(query) ? "?" : "";
    PyObject *target = PyUnicode_FromFormat("%U%s%U", path, mark, query);
    struct ws_endpoint_options o = {.role = client ? WS_ROLE_CLIENT : WS_ROLE_SERVER,
                                    .asks = !auto_accept,
                                    .host = host,
                                    .target = target ? PyUnicode_AsUTF8(target) : NULL,
                                    .fields = {fields, (size_t)fields_len}};
    self->dict = Py_NewRef(dict);
    self->path = client ? Py_NewRef(path) : NULL;
    self->query = client ? Py_NewRef(query) : NULL;
    int result = o.target ? ws_convert_some_options_init(&self->options, dict) : -1;
    if (result == 0) result = start(self, &o);
    Py_XDECREF(target);
    return result;
}

static int protocol_traverse(struct protocol_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    Py_VISIT(self->opened);
    Py_VISIT(self->closed);
    return 0;
}

/* The dict stays, which has the strings that the core reads; it is in no cycle with the object,
 * whose events are: a class of the user's may add attributes to what they hold. */
static int protocol_clear(struct protocol_object *self) {
    Py_CLEAR(self->opened);
    Py_CLEAR(self->closed);
    return 0;
}

static void protocol_dealloc(struct protocol_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    protocol_clear(self);
    if (self->has_core) ws_endpoint_fini(&self->core);
    ws_convert_options_fini(&self->options);
    Py_XDECREF(self->dict);
    Py_XDECREF(self->path);
    Py_XDECREF(self->query);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *protocol_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    struct protocol_object *self = (struct protocol_object *)type->tp_alloc(type, 0);
    if (self) self->state = ws_state_of(type, (destructor)protocol_dealloc);
    return (PyObject *)self;
}

/* ---- in ---- */

static PyObject *subprotocol_of(const struct protocol_object *self) {
    struct ws_slice agreed = self->core.subprotocol;
    if (!agreed.len) Py_RETURN_NONE;
    return PyUnicode_FromStringAndSize(agreed.data, (Py_ssize_t)agreed.len);
}

/* The event as an object; what is looked up later is kept. */
static PyObject *take_event(struct protocol_object *self, const struct ws_endpoint_event *ev) {
    enum ws_endpoint_kind kind = ev->kind; /* before any code of the user's may run */
    PyObject *subprotocol = subprotocol_of(self);
    if (!subprotocol) return NULL;
    PyObject *event =
        ws_protocol_events_make(self->state, ev, self->path, self->query, subprotocol);
    Py_DECREF(subprotocol);
    if (event && kind == WS_ENDPOINT_OPENED) Py_XSETREF(self->opened, Py_NewRef(event));
    if (event && kind == WS_ENDPOINT_CLOSE) Py_XSETREF(self->closed, Py_NewRef(event));
    return event;
}

/* All events that there are, as a list. An event that cannot be made would be a gap: the endpoint
 * ends. */
static PyObject *take_events(struct protocol_object *self) {
    struct ws_endpoint_event ev;
    PyObject *list = PyList_New(0);
    while (list && ws_endpoint_next(&self->core, &ev)) {
        PyObject *event = take_event(self, &ev);
        if (!event || PyList_Append(list, event) < 0) Py_CLEAR(list);
        Py_XDECREF(event);
        if (!list) ws_endpoint_abort(&self->core);
    }
    return list;
}

PyDoc_STRVAR(receive_doc,
"receive($self, data, /)\n--\n\n"
"Take bytes that came from the peer, any number of them and cut anywhere, and give the list of\n"
"events (wspy.events) that they complete; what they make the protocol answer is in\n"
"data_to_send() then. data is a bytes-like object, C-contiguous, which is not changed or kept.\n"
"What the peer does wrong is an event, never an exception: Rejected before it is open, then\n"
"Close. Behind those nothing is read.\n\n"
">>> server = wspy.Protocol('server')\n"
">>> client = wspy.Protocol('client', url='ws://localhost/chat')\n"
">>> [event.path for event in server.receive(client.data_to_send())]\n"
"['/chat']\n");

static PyObject *protocol_receive(struct protocol_object *self, PyObject *data) {
    Py_buffer view;
    PyObject *events = NULL;
    if (!has_core(self) || PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    if (ws_endpoint_receive(&self->core, view.buf, (size_t)view.len) < 0) PyErr_NoMemory();
    else events = take_events(self);
    Py_END_CRITICAL_SECTION();
    PyBuffer_Release(&view);
    return events;
}

PyDoc_STRVAR(receive_eof_doc,
"receive_eof($self, /)\n--\n\n"
"The peer has ended its side of the stream, or the connection is lost. Gives the list of events:\n"
"Close with code 1006 (RFC 6455 section 7.1.5) unless the end has been told before.\n\n"
">>> wspy.Protocol('server').receive_eof()\n"
"[Close(code=1006, reason='', kind='eof')]\n");

static PyObject *protocol_receive_eof(struct protocol_object *self, PyObject *ignored) {
    (void)ignored;
    PyObject *events;
    if (!has_core(self)) return NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    ws_endpoint_receive_eof(&self->core);
    events = take_events(self);
    Py_END_CRITICAL_SECTION();
    return events;
}

/* ---- out ---- */

/* Sets the exception for what the core has refused. */
static void raise_core(const struct protocol_object *self, int err) {
    if (err == WS_ERR_ARGUMENT) {
        PyErr_SetString(PyExc_RuntimeError,
                        "it is not open yet: the opening handshake comes first");
    } else if (err == WS_ERR_SYSTEM) {
        ws_errors_raise_why(err, errno, "no random bytes for the frame's mask");
    } else if (err != WS_ERR_CLOSED) {
        ws_errors_raise(err);
    } else if (self->closed) {
        PyObject *code = PyObject_GetAttrString(self->closed, "code");
        PyObject *reason = code ? PyObject_GetAttrString(self->closed, "reason") : NULL;
        if (reason) ws_errors_raise_closed(self->state, (int)PyLong_AsLong(code), reason);
        Py_XDECREF(code);
        Py_XDECREF(reason);
    } else { /* this side has closed, and the peer has not answered yet */
        struct ws_slice sent = {self->core.sent_reason, self->core.sent_len};
        int code = self->core.sent_code ? self->core.sent_code : 1006;
        PyObject *reason = ws_convert_utf8(sent);
        if (reason) ws_errors_raise_closed(self->state, code, reason);
        Py_XDECREF(reason);
    }
}

static PyObject *none_or_raise(const struct protocol_object *self, int err) {
    if (err >= 0) Py_RETURN_NONE;
    raise_core(self, err);
    return NULL;
}

PyDoc_STRVAR(send_doc,
"send($self, data, /, *, fin=True)\n--\n\n"
"Write a message: a str as text, a bytes-like object as binary. With fin=False it is a part of a\n"
"message (RFC 6455 section 5.4), which the next send() continues until one with fin=True; a part\n"
"of the other kind is TypeError.\n\n"
"wspy.ConnectionClosed after close() and the peer's end, RuntimeError before it is open. What is\n"
"sent for events that came together with Close still goes out: our answer to the peer's close\n"
"frame is written by data_to_send(), behind it.\n\n"
">>> server = wspy.Protocol('server')\n"
">>> client = wspy.Protocol('client', url='ws://localhost/')\n"
">>> _ = server.receive(client.data_to_send()), client.receive(server.data_to_send())\n"
">>> server.send('hi')\n"
">>> server.data_to_send()\n"
"b'\\x81\\x02hi'\n");

static PyObject *protocol_send(struct protocol_object *self, PyObject *const *args, Py_ssize_t n,
                               PyObject *keywords) {
    static const char *const names[] = {"data", "fin", NULL};
    static const struct ws_parameters parameters = {
        .function = "send", .names = names, .n_unnamed = 1, .n_places = 1, .n_needed = 1};
    PyObject *values[2] = {NULL, NULL};
    struct ws_convert_payload p;
    if (!has_core(self) || ws_arguments_sort(&parameters, args, n, keywords, values) < 0)
        return NULL;
    int fin = values[1] ? PyObject_IsTrue(values[1]) : 1, err;
    bool other_kind;
    if (fin < 0 || ws_convert_payload_init(&p, "send", values[0]) < 0) return NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    other_kind = self->core.state == WS_ENDPOINT_OPEN && self->core.sending &&
                 self->core.sends_text != p.payload.text;
    err = other_kind
              ? 0
              : ws_endpoint_send(&self->core, p.payload.text, fin, p.payload.data, p.payload.len);
    Py_END_CRITICAL_SECTION();
    bool text = p.payload.text;
    ws_convert_payload_fini(&p);
    if (!other_kind) return none_or_raise(self, err);
    return PyErr_Format(PyExc_TypeError, "send() continues a message of %s, not of %s",
                        text ? "bytes" : "text", text ? "text" : "bytes");
}

PyDoc_STRVAR(ping_doc,
"ping($self, data=b'', /)\n--\n\n"
"Write a ping (RFC 6455 section 5.5.2), also inside a message that is sent in parts; its Pong\n"
"brings the data back. data is a bytes-like object or str of at most 125 bytes: else ValueError.\n"
"The peer's pings are answered without this. Exceptions as for send().\n\n"
">>> server = wspy.Protocol('server')\n"
">>> client = wspy.Protocol('client', url='ws://localhost/')\n"
">>> _ = server.receive(client.data_to_send()), client.receive(server.data_to_send())\n"
">>> client.ping(b'1')\n"
">>> server.receive(client.data_to_send())\n"
"[Ping(data=b'1')]\n"
">>> client.receive(server.data_to_send())\n"
"[Pong(data=b'1')]\n");

static PyObject *protocol_ping(struct protocol_object *self, PyObject *const *args, Py_ssize_t n) {
    struct ws_convert_payload p = {0};
    if (n > 1)
        return PyErr_Format(PyExc_TypeError, "ping() takes at most 1 argument (%zd given)", n);
    if (!has_core(self) || (n == 1 && ws_convert_payload_init(&p, "ping", args[0]) < 0))
        return NULL;
    size_t len = p.payload.len;
    int err = 0;
    Py_BEGIN_CRITICAL_SECTION(self);
    if (len <= WS_PING_MAX) err = ws_endpoint_ping(&self->core, p.payload.data, len);
    Py_END_CRITICAL_SECTION();
    ws_convert_payload_fini(&p);
    if (len <= WS_PING_MAX) return none_or_raise(self, err);
    return PyErr_Format(PyExc_ValueError, "a ping has at most %d bytes of data, not %zu",
                        WS_PING_MAX, len);
}

PyDoc_STRVAR(close_doc,
"close($self, /, code=1000, reason='')\n--\n\n"
"Write a close frame (RFC 6455 section 7.1.2): nothing can be sent behind it. What the peer had\n"
"sent before still comes, then Close. A second call does nothing, nor one after Close.\n\n"
"code is 1000-1003, 1007-1014 or 3000-4999 (section 7.4), reason at most 123 bytes of UTF-8: else\n"
"ValueError. RuntimeError before it is open: reject(), or close the socket.\n\n"
">>> server = wspy.Protocol('server')\n"
">>> client = wspy.Protocol('client', url='ws://localhost/')\n"
">>> _ = server.receive(client.data_to_send()), client.receive(server.data_to_send())\n"
">>> client.close(1000, 'bye')\n"
">>> server.receive(client.data_to_send())\n"
"[Close(code=1000, reason='bye', kind='peer')]\n"
">>> client.receive(server.data_to_send())\n"
"[Close(code=1000, reason='', kind='local')]\n");

static PyObject *protocol_close(struct protocol_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"code", "reason", NULL};
    PyObject *code_arg = NULL, *reason_arg = NULL; /* borrowed */
    uint16_t code = 1000;
    struct ws_slice reason = {"", 0};
    if (!has_core(self) ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:close", names, &code_arg, &reason_arg) ||
        (code_arg && ws_convert_close_code(code_arg, &code) < 0) ||
        (reason_arg && ws_convert_close_reason(reason_arg, &reason) < 0)) {
        return NULL;
    }
    int err;
    Py_BEGIN_CRITICAL_SECTION(self);
    err = ws_endpoint_close(&self->core, code, reason);
    Py_END_CRITICAL_SECTION();
    return none_or_raise(self, err);
}

PyDoc_STRVAR(data_to_send_doc,
"data_to_send($self, /)\n--\n\n"
"Take the bytes that are to be written to the socket, in order; b'' if there are none. Ask once a\n"
"client is made, when all events of a receive() are dealt with, and after a send() or the like of\n"
"one's own accord.\n\n"
">>> wspy.Protocol('client', url='ws://localhost/chat').data_to_send()[:19]\n"
"b'GET /chat HTTP/1.1\\r'\n");

static PyObject *protocol_data_to_send(struct protocol_object *self, PyObject *ignored) {
    (void)ignored;
    PyObject *bytes;
    if (!has_core(self)) return NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    struct ws_buf *out = ws_endpoint_output(&self->core);
    bytes = PyBytes_FromStringAndSize((const char *)out->data, (Py_ssize_t)out->len);
    if (bytes) ws_buf_fini(out);
    Py_END_CRITICAL_SECTION();
    return bytes;
}

/* ---- the server's word ---- */

static void raise_not_asked(void) {
    PyErr_SetString(PyExc_RuntimeError, "there is no Request to answer: Protocol('server', "
                                        "auto_accept=False) tells one, once");
}

PyDoc_STRVAR(accept_doc,
"_accept($self, fields, /)\n--\n\n"
"Answer a Request with 101 and further header lines, and give the list of events.");

static PyObject *protocol_accept(struct protocol_object *self, PyObject *fields) {
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(fields, &len);
    if (!has_core(self) || !text) return NULL;
    PyObject *events = NULL;
    int err;
    Py_BEGIN_CRITICAL_SECTION(self);
    err = ws_endpoint_accept(&self->core, (struct ws_slice){text, (size_t)len});
    if (err == 0) events = take_events(self);
    Py_END_CRITICAL_SECTION();
    if (err == WS_ERR_ARGUMENT) raise_not_asked();
    else if (err < 0) ws_errors_raise(err);
    return events;
}

PyDoc_STRVAR(reject_doc,
"_reject($self, status, detail, fields, /)\n--\n\n"
"Answer a Request with an error, its words, and further header lines.");

static PyObject *protocol_reject(struct protocol_object *self, PyObject *args) {
    int status, err;
    const char *detail, *fields;
    Py_ssize_t len;
    if (!PyArg_ParseTuple(args, "izs#:_reject", &status, &detail, &fields, &len) || !has_core(self))
        return NULL;
    Py_BEGIN_CRITICAL_SECTION(self);
    err = ws_endpoint_reject(&self->core, status, detail, (struct ws_slice){fields, (size_t)len});
    Py_END_CRITICAL_SECTION();
    if (err == 0) Py_RETURN_NONE;
    if (err == WS_ERR_ARGUMENT) raise_not_asked();
    else ws_errors_raise(err);
    return NULL;
}

/* ---- properties ---- */

static PyObject *get_role(struct protocol_object *self, void *closure) {
    (void)closure;
    if (!has_core(self)) return NULL;
    return PyUnicode_FromString(self->core.options.role == WS_ROLE_CLIENT ? "client" : "server");
}

static const char *state_of(const struct protocol_object *self) {
    switch ((enum ws_endpoint_state)self->core.state) {
    case WS_ENDPOINT_CONNECTING:
    case WS_ENDPOINT_ASKED: return "connecting";
    case WS_ENDPOINT_OPEN: return "open";
    case WS_ENDPOINT_CLOSING: return "closing";
    case WS_ENDPOINT_CLOSED: break;
    }
    return self->core.close_due ? "closing" : "closed";
}

static PyObject *get_state(struct protocol_object *self, void *closure) {
    (void)closure;
    if (!has_core(self)) return NULL;
    return PyUnicode_FromString(state_of(self));
}

static PyObject *get_is_open(struct protocol_object *self, void *closure) {
    (void)closure;
    if (!has_core(self)) return NULL;
    return PyBool_FromLong(self->core.state == WS_ENDPOINT_OPEN);
}

static PyObject *get_should_close(struct protocol_object *self, void *closure) {
    (void)closure;
    if (!has_core(self)) return NULL;
    return PyBool_FromLong(ws_endpoint_should_close(&self->core));
}

static PyObject *get_subprotocol(struct protocol_object *self, void *closure) {
    (void)closure;
    if (!has_core(self)) return NULL;
    return subprotocol_of(self);
}

static PyObject *get_opened(struct protocol_object *self, void *closure) {
    (void)closure;
    return Py_NewRef(self->opened ? self->opened : Py_None);
}

/* closure: the name of the field of Close. */
static PyObject *get_of_close(struct protocol_object *self, void *closure) {
    if (!self->closed) Py_RETURN_NONE;
    return PyObject_GetAttrString(self->closed, closure);
}

static PyObject *get_sent_close(struct protocol_object *self, void *closure) {
    (void)closure;
    if (!has_core(self)) return NULL;
    if (!self->core.sent_code) Py_RETURN_NONE;
    struct ws_slice sent = {self->core.sent_reason, self->core.sent_len};
    PyObject *reason = ws_convert_utf8(sent);
    return reason ? Py_BuildValue("(iN)", (int)self->core.sent_code, reason) : NULL;
}

static PyObject *protocol_repr(struct protocol_object *self) {
    if (!self->has_core) return PyUnicode_FromString("<wspy.Protocol>");
    bool client = self->core.options.role == WS_ROLE_CLIENT;
    return PyUnicode_FromFormat("<wspy.Protocol %s %s>", client ? "client" : "server",
                                state_of(self));
}

/* ---- slots ---- */

static PyMethodDef methods[] = {
    {"receive", (PyCFunction)protocol_receive, METH_O, receive_doc},
    {"receive_eof", (PyCFunction)protocol_receive_eof, METH_NOARGS, receive_eof_doc},
    {"send", (PyCFunction)(void (*)(void))protocol_send, METH_FASTCALL | METH_KEYWORDS, send_doc},
    {"ping", (PyCFunction)(void (*)(void))protocol_ping, METH_FASTCALL, ping_doc},
    {"close", (PyCFunction)(void (*)(void))protocol_close, METH_VARARGS | METH_KEYWORDS, close_doc},
    {"data_to_send", (PyCFunction)protocol_data_to_send, METH_NOARGS, data_to_send_doc},
    {"_accept", (PyCFunction)protocol_accept, METH_O, accept_doc},
    {"_reject", (PyCFunction)protocol_reject, METH_VARARGS, reject_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(role_doc, "str: 'server' or 'client'.");
PyDoc_STRVAR(state_doc,
"str: 'connecting' (the opening handshake), 'open', 'closing' (close() was called and the peer's\n"
"close frame is awaited, or ours is to be taken from data_to_send()) or 'closed' (nothing is read\n"
"or written any more).");
PyDoc_STRVAR(is_open_doc, "bool: neither side has closed it.");
PyDoc_STRVAR(should_close_doc,
"bool: whether the socket is to be closed, once all of data_to_send() is written. RFC 6455\n"
"section 7.1.1 has the server close first: after a closing handshake a client waits for\n"
"receive_eof(), for as long as it likes.");
PyDoc_STRVAR(subprotocol_doc,
"str | None: the subprotocol agreed on (RFC 6455 section 1.9), one of subprotocols, or None.");
PyDoc_STRVAR(opened_doc, "Open | None: the event that told the opening handshake's success.");
PyDoc_STRVAR(close_code_doc,
"int | None: the peer's close code; 1005 if its close frame was empty, 1006 if there was none\n"
"(RFC 6455 section 7.1.5). None before Close.");
PyDoc_STRVAR(close_reason_doc,
"str | None: the peer's close reason, or '' (RFC 6455 section 7.1.6). None before Close.");
PyDoc_STRVAR(close_kind_doc,
"str | None: why it ended: 'peer' (it closed), 'local' (close() came first), 'eof' (the stream\n"
"ended), 'protocol' (the peer broke a rule), 'limit' (or a limit), 'error' (no memory). None\n"
"before Close.");
PyDoc_STRVAR(sent_close_doc,
"tuple[int, str] | None: code and reason of our close frame; code 1005 if it is empty. None if\n"
"there is none.");

static PyGetSetDef getset[] = {
    {"role", (getter)get_role, NULL, role_doc, NULL},
    {"state", (getter)get_state, NULL, state_doc, NULL},
    {"is_open", (getter)get_is_open, NULL, is_open_doc, NULL},
    {"should_close", (getter)get_should_close, NULL, should_close_doc, NULL},
    {"subprotocol", (getter)get_subprotocol, NULL, subprotocol_doc, NULL},
    {"opened", (getter)get_opened, NULL, opened_doc, NULL},
    {"close_code", (getter)get_of_close, NULL, close_code_doc, "code"},
    {"close_reason", (getter)get_of_close, NULL, close_reason_doc, "reason"},
    {"close_kind", (getter)get_of_close, NULL, close_kind_doc, "kind"},
    {"sent_close", (getter)get_sent_close, NULL, sent_close_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)protocol_doc},
    {Py_tp_new, protocol_new},
    {Py_tp_init, protocol_init},
    {Py_tp_dealloc, protocol_dealloc},
    {Py_tp_traverse, protocol_traverse},
    {Py_tp_clear, protocol_clear},
    {Py_tp_repr, protocol_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy._core.Protocol",
    .basicsize = sizeof(struct protocol_object),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_protocol_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
