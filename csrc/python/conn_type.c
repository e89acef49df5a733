/* conn_type.c: wspy.Connection. Holds a counted reference to the core's connection and asks it
 * for everything; handlers are called by events.c. */
#include "conn_type.h"

#include "arguments.h"
#include "convert.h"
#include "errors.h"
#include "json_codec.h"
#include "packed.h"
#include "stream_type.h"
#include "topic_methods.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

struct ws_conn_object *ws_conn_type_make(struct ws_server_object *server, struct ws_conn *core) {
    PyTypeObject *type = server->state->conn_type;
    struct ws_conn_object *self = (struct ws_conn_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    ws_conn_ref(core);
    self->core = core;
    Py_INCREF(server);
    return self;
}

/* ---- methods ---- */

/* Raises what on_close will say, if the runner knows it already. False: it does not, and nothing is
 * raised. */
static bool raise_end(struct ws_conn_object *self) {
    PyObject *side = Py_XNewRef(self->side); /* the look at it may run any code */
    PyObject *end = side ? PyObject_GetAttrString(side, "end") : NULL;
    bool is_known = end && PyTuple_Check(end) && PyTuple_GET_SIZE(end) == 2;
    if (is_known)
        ws_errors_raise_closed(ws_conn_type_server(self)->state,
                               (int)PyLong_AsLong(PyTuple_GET_ITEM(end, 0)),
                               PyTuple_GET_ITEM(end, 1));
    else PyErr_Clear();
    Py_XDECREF(end);
    Py_XDECREF(side);
    return is_known;
}

void ws_conn_type_raise(struct ws_conn_object *self, int err) {
    if (err != WS_ERR_CLOSED) {
        ws_errors_raise(err);
        return;
    }
    struct ws_close close;
    bool known = ws_conn_get_close(self->core, &close);
    if (!known && !close.sent_code && raise_end(self)) return;
    int code = known ? close.code : close.sent_code ? close.sent_code : 1006;
    PyObject *reason = ws_convert_utf8(known ? close.reason : close.sent_reason);
    if (!reason) return;
    ws_errors_raise_closed(ws_conn_type_server(self)->state, code, reason);
    Py_DECREF(reason);
}

/* What another handler sends is dropped in silence: it cannot help that this peer has gone. */
bool ws_conn_type_is_cut_off(struct ws_conn_object *self) {
    if (!ws_conn_is_lost(self->core)) return false;
    PyObject *me = PyWeakref_NewRef((PyObject *)self, NULL), *handled = NULL; /* always the same */
    const struct ws_state *state = ws_conn_type_server(self)->state;
    bool is_own = me && PyContextVar_Get(state->handled, NULL, &handled) == 0 && handled == me;
    PyErr_Clear();
    Py_XDECREF(handled);
    Py_XDECREF(me);
    return is_own;
}

PyObject *ws_conn_type_send(struct ws_conn_object *self, struct ws_convert_payload *p) {
    if (p->payload.part != WS_PART_LAST && ws_conn_type_is_cut_off(self)) {
        ws_convert_payload_fini(p);
        ws_conn_type_raise(self, WS_ERR_CLOSED);
        return NULL;
    }
    /* For the core, taken before it can be given back. */
    PyObject *object = Py_XNewRef((PyObject *)p->payload.object);
    int sent = ws_conn_send(self->core, &p->payload);
    if (sent != WS_SENT && sent != WS_SENT_OVER) Py_XDECREF(object);
    ws_convert_payload_fini(p);
    if (sent >= 0) return PyBool_FromLong(sent == WS_SENT);
    ws_conn_type_raise(self, sent);
    return NULL;
}

static PyObject *send_with(struct ws_conn_object *self, struct ws_convert_payload *p, PyObject *key,
                           PyObject *compress) {
    if (ws_convert_key(ws_conn_type_server(self)->core, key, &p->payload.key) == 0 &&
        ws_convert_compress(compress, &p->payload.compress) == 0)
        return ws_conn_type_send(self, p);
    ws_convert_payload_fini(p);
    return NULL;
}

PyDoc_STRVAR(send_doc,
"send($self, data, /, *, key=None, compress=None)\n--\n\n"
"Queue one message: a str as text, bytes, bytearray, memoryview, array or any other\n"
"buffer as binary (RFC 6455 section 5.6). An array's memory is sent as it lies; of a\n"
"memoryview with gaps, its items without them.\n\n"
"True: queued. False: slow down, because more than high_water bytes now wait (on_drain\n"
"tells when they have gone), or because the message was dropped: the peer has gone, or\n"
"max_backlog was reached (see backlog_policy).\n\n"
"key, a str: while the peer is slow, a message that waits for it gives way to a newer one\n"
"of the same key, which takes its place: it gets the latest price and not all of them.\n\n"
"compress, if permessage-deflate was agreed on (RFC 7692): True compresses the message,\n"
"False does not, None does if it has at least Compression.threshold bytes. Send plain what is\n"
"secret and stands beside what somebody else may choose: from sizes it may be guessed (RFC\n"
"7692 section 8).\n\n"
"ConnectionClosed after close() or once on_close has begun; in a handler of this connection that\n"
"on_close waits for (async, thread=True) once the peer has gone, but that of a message may answer\n"
"behind the peer's close frame, for close_timeout. TypeError for any other object;\n"
"UnicodeEncodeError for a str with lone surrogates.\n\n"
"bytes and str of 16 KiB and more are sent from where they lie, without a copy.\n\n"
"Mailbox: any thread may call it.");

static PyObject *conn_send(struct ws_conn_object *self, PyObject *const *args, Py_ssize_t n,
                           PyObject *keywords) {
    static const char *const names[] = {"data", "key", "compress", NULL};
    static const struct ws_parameters parameters = {
        .function = "send", .names = names, .n_unnamed = 1, .n_places = 1, .n_needed = 1};
    PyObject *values[3] = {NULL, NULL, NULL};
    struct ws_convert_payload p;
    if (n == 1 && !keywords) { /* nearly always */
        values[0] = args[0];
    } else if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0) {
        return NULL;
    }
    if (ws_convert_payload_init(&p, "send", values[0]) < 0) return NULL;
    return send_with(self, &p, values[1], values[2]);
}

PyDoc_STRVAR(send_json_doc,
"send_json($self, obj, /, *, key=None, compress=None)\n--\n\n"
"send() of an object as JSON text (RFC 8259), made by json_dumps, an option of Server. What\n"
"that raises is raised: TypeError or ValueError for what JSON does not have.\n\n"
"Mailbox: any thread may call it.");

static PyObject *conn_send_json(struct ws_conn_object *self, PyObject *const *args, Py_ssize_t n,
                                PyObject *keywords) {
    static const char *const names[] = {"obj", "key", "compress", NULL};
    static const struct ws_parameters parameters = {
        .function = "send_json", .names = names, .n_unnamed = 1, .n_places = 1, .n_needed = 1};
    PyObject *values[3] = {NULL, NULL, NULL};
    struct ws_convert_payload p;
    if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0) return NULL;
    PyObject *text = ws_json_codec_dump(ws_conn_type_server(self), values[0], &p);
    if (!text) return NULL;
    PyObject *sent = send_with(self, &p, values[1], values[2]);
    Py_DECREF(text);
    return sent;
}

PyDoc_STRVAR(pack_doc,
"pack($self, format, /, *values, key=None, compress=None)\n--\n\n"
"send() of values as one binary message, packed as format says, a Struct or what Struct() takes.\n"
"They are written into the outgoing frame. Returns what send() returns; StructError and\n"
"OverflowError as of Struct.pack().\n\n"
"Mailbox: any thread may call it.");

static PyObject *conn_pack(struct ws_conn_object *self, PyObject *const *args, Py_ssize_t n,
                           PyObject *keywords) {
    static const char *const names[] = {"format", "key", "compress", NULL};
    static const struct ws_parameters parameters = {.function = "pack",
                                                    .names = names,
                                                    .n_unnamed = 1,
                                                    .n_places = 1,
                                                    .n_needed = 1,
                                                    .takes_more = true};
    PyObject *values[3] = {NULL, NULL, NULL};
    struct ws_convert_payload p;
    bool is_plain = n > 0 && !keywords; /* nearly always */
    if (!is_plain && ws_arguments_sort(&parameters, args, n, keywords, values) < 0) return NULL;
    PyObject *kept = ws_packed_write(ws_conn_type_server(self), args, n, &p);
    if (!kept) return NULL;
    PyObject *sent = send_with(self, &p, values[1], values[2]);
    Py_DECREF(kept);
    return sent;
}

/* What the runner gives to be awaited. */
static PyObject *await(struct ws_conn_object *self, const char *method, PyObject *argument) {
    PyObject *runner = ws_conn_type_server(self)->runner;
    if (!runner) {
        PyErr_SetString(PyExc_RuntimeError, "the server is gone");
        return NULL;
    }
    return PyObject_CallMethod(runner, method, argument ? "OO" : "O", (PyObject *)self, argument);
}

PyDoc_STRVAR(ping_doc,
"ping($self, data=None, /)\n--\n\n"
"Send a ping (RFC 6455 section 5.5.2) at the next frame boundary, before messages that\n"
"wait. data is a bytes-like object or str of at most 125 bytes, which the pong brings back\n"
"to on_pong; ValueError if it is longer. None: data of the server's own, whose pong updates\n"
"latency.\n\n"
"Where the server runs in asyncio, the result may be awaited: seconds until the pong.\n\n"
"ConnectionClosed after close() or once on_close has begun; dropped if the peer has gone.\n\n"
"Mailbox: any thread may call it.");

static PyObject *conn_ping(struct ws_conn_object *self, PyObject *const *args, Py_ssize_t n) {
    struct ws_convert_payload p = {0};
    if (n > 1) {
        return PyErr_Format(PyExc_TypeError, "ping() takes at most 1 argument (%zd given)", n);
    }
    if (n == 1 && args[0] != Py_None) {
        if (ws_convert_payload_init(&p, "ping", args[0]) < 0) return NULL;
        if (p.payload.len > WS_PING_MAX) {
            ws_convert_payload_fini(&p);
            return PyErr_Format(PyExc_ValueError, "a ping has at most %d bytes of data, not %zu",
                                WS_PING_MAX, p.payload.len);
        }
    }
    static const uint8_t nothing[1];
    bool own = n == 0 || args[0] == Py_None; /* an empty buffer's address may be NULL too */
    const uint8_t *data = own ? NULL : p.payload.len ? p.payload.data : nothing;
    PyObject *copy = own ? Py_NewRef(Py_None)
                         : PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)p.payload.len);
    int sent = !copy                           ? 0
               : ws_conn_type_is_cut_off(self) ? WS_ERR_CLOSED
                                               : ws_conn_ping(self->core, data, p.payload.len);
    ws_convert_payload_fini(&p);
    PyObject *pong = NULL;
    if (sent < 0) ws_conn_type_raise(self, sent);
    else if (copy) pong = await(self, "ping", copy);
    Py_XDECREF(copy);
    return pong;
}

PyDoc_STRVAR(drain_doc,
"drain($self, /)\n--\n\n"
"await conn.drain(): until the output has fallen to half of high_water, at once if it is not over\n"
"it. ConnectionClosed if the connection ends. RuntimeError outside asyncio. Direct.");

static PyObject *conn_drain(struct ws_conn_object *self, PyObject *ignored) {
    (void)ignored;
    return await(self, "drain", NULL);
}

PyDoc_STRVAR(wait_closed_doc,
"wait_closed($self, /)\n--\n\n"
"await conn.wait_closed(): until the connection has ended: (code, reason) as for on_close. In a\n"
"handler of this connection, which on_close waits for, as soon as that is known. RuntimeError\n"
"outside asyncio. Direct.");

static PyObject *conn_wait_closed(struct ws_conn_object *self, PyObject *ignored) {
    (void)ignored;
    return await(self, "wait_closed", NULL);
}

PyDoc_STRVAR(stream_doc,
"stream($self, /, *, text=False, compress=None)\n--\n\n"
"A message that is sent in parts, as fragments (RFC 6455 section 5.4)::\n\n"
"    with conn.stream(text=True) as stream:\n"
"        for part in parts:\n"
"            stream.write(part)\n\n"
"text: parts are str, else bytes-like. Other messages to this connection wait until the\n"
"with block ends; pings do not. An exception in the block closes the connection with 1011,\n"
"since the message cannot be taken back. One stream at a time: a second one is\n"
"RuntimeError. ConnectionClosed as for send().\n\n"
"compress, if permessage-deflate was agreed on: False sends it plain; its length is not known\n"
"in advance, so that None is as True.\n\n"
"Mailbox: any thread may call it.");

static PyObject *conn_stream(struct ws_conn_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"text", "compress", NULL};
    PyObject *compress_arg = NULL; /* borrowed */
    uint8_t compress;
    int text = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$pO:stream", names, &text, &compress_arg) ||
        ws_convert_compress(compress_arg, &compress) < 0) {
        return NULL;
    }
    return ws_stream_type_make(self, text != 0, compress);
}

PyDoc_STRVAR(await_drain_doc,
"_await_drain($self, /)\n--\n\n"
"Have the method drained() of _side called when the output has fallen to half of high_water.\n"
"False: there is nothing to wait for. Direct.");

static PyObject *conn_await_drain(struct ws_conn_object *self, PyObject *ignored) {
    (void)ignored;
    return PyBool_FromLong(ws_conn_await_drain(self->core));
}

PyDoc_STRVAR(await_pongs_doc,
"_await_pongs($self, wanted, /)\n--\n\n"
"Whether the method ponged(data, is_own) of _side is called for every pong. Direct.");

static PyObject *conn_await_pongs(struct ws_conn_object *self, PyObject *wanted) {
    int truth = PyObject_IsTrue(wanted);
    if (truth < 0) return NULL;
    ws_conn_await_pongs(self->core, truth != 0);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(hold_doc,
"_hold($self, wanted, /)\n--\n\n"
"True: events wait, behind the one that is told now. False: they go on. Direct.");

static PyObject *conn_hold(struct ws_conn_object *self, PyObject *wanted) {
    int truth = PyObject_IsTrue(wanted);
    if (truth < 0) return NULL;
    if (truth) ws_conn_begin_busy(self->core, true);
    else if (ws_conn_end_busy(self->core) < 0) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(answer_doc,
"_answer($self, status, head, body, /)\n--\n\n"
"Answer the request that the handler of request() was called with: with bytes of HTTP, of which\n"
"HEAD gets the head only; head None: it goes on as without a handler. False: the peer has gone, or\n"
"it was answered before. Direct.");

static PyObject *conn_answer(struct ws_conn_object *self, PyObject *args) {
    int status;
    const char *head, *body;
    Py_ssize_t head_len, body_len;
    if (!PyArg_ParseTuple(args, "iz#y#:_answer", &status, &head, &head_len, &body, &body_len))
        return NULL;
    size_t len = head ? (size_t)head_len + (size_t)body_len : 0;
    char *whole = head ? PyMem_Malloc(len + 1) : NULL;
    if (head && !whole) return PyErr_NoMemory();
    if (head) memcpy(whole, head, (size_t)head_len);
    if (head) memcpy(whole + head_len, body, (size_t)body_len);
    int err = ws_conn_answer(self->core, status, whole, (size_t)head_len, len);
    PyMem_Free(whole);
    return PyBool_FromLong(err == 0);
}

PyDoc_STRVAR(close_doc,
"close($self, /, code=1000, reason='')\n--\n\n"
"Close the connection (RFC 6455 section 7.1.2): a close frame is queued behind what was\n"
"sent before, is_open is False at once, messages that come later are dropped, and\n"
"on_close follows when the peer has answered or after close_timeout. On a connection\n"
"that is closing or closed it does nothing.\n\n"
"code is 1000-1003, 1007-1014 or 3000-4999 (section 7.4), reason at most 123 bytes of\n"
"UTF-8: else ValueError.\n\n"
"Mailbox: any thread may call it.");

static PyObject *conn_close(struct ws_conn_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"code", "reason", NULL};
    PyObject *code_arg = NULL, *reason_arg = NULL; /* borrowed */
    uint16_t code = 1000;
    struct ws_slice reason = {"", 0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:close", names, &code_arg, &reason_arg) ||
        (code_arg && ws_convert_close_code(code_arg, &code) < 0) ||
        (reason_arg && ws_convert_close_reason(reason_arg, &reason) < 0)) {
        return NULL;
    }
    int err = ws_conn_close(self->core, code, reason, WS_CLOSE_LOCAL);
    if (err >= 0) Py_RETURN_NONE;
    ws_errors_raise(err);
    return NULL;
}

/* ---- properties ---- */

static PyObject *get_id(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(ws_conn_id(self->core));
}

/* The request head cut up. It was accepted at the handshake: this cannot fail. */
static struct ws_http_head get_head(const struct ws_conn_object *self) {
    struct ws_http_head head = {0};
    struct ws_slice bytes = ws_conn_get_head(self->core);
    ws_http_head_parse(&head, WS_HTTP_REQUEST, (const uint8_t *)bytes.data, bytes.len);
    return head;
}

static PyObject *get_path(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return ws_convert_latin1(get_head(self).path);
}

static PyObject *get_query(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return ws_convert_latin1(get_head(self).query);
}

/* Of a copy of the head: while the objects are made another thread may run (the collector calls
 * finalizers), and the owner's frees the head behind on_open if headers are not kept. */
static PyObject *make_headers(const struct ws_conn_object *self) {
    struct ws_http_head head = {0};
    struct ws_slice bytes = ws_conn_get_head(self->core);
    PyObject *copy = PyBytes_FromStringAndSize(bytes.data, (Py_ssize_t)bytes.len);
    if (!copy) return NULL;
    ws_http_head_parse(&head, WS_HTTP_REQUEST, (const uint8_t *)PyBytes_AS_STRING(copy), bytes.len);
    PyObject *headers = ws_convert_headers(ws_conn_type_server(self)->state, &head);
    Py_DECREF(copy);
    return headers;
}

static PyObject *get_headers(struct ws_conn_object *self, void *closure) {
    (void)closure;
    if (self->headers) return Py_NewRef(self->headers);
    PyObject *headers = make_headers(self);
    if (!headers) return NULL;
    if (self->headers) { /* another thread was here during the call: one object for all */
        Py_DECREF(headers);
    } else {
        self->headers = headers;
    }
    return Py_NewRef(self->headers);
}

/* The context of its handlers, by which it knows them. */
static PyObject *new_context(struct ws_conn_object *self) {
    PyObject *handled = ws_conn_type_server(self)->state->handled, *was = NULL;
    PyObject *me = PyWeakref_NewRef((PyObject *)self, NULL);
    PyObject *context = me ? PyContext_CopyCurrent() : NULL;
    if (context && PyContext_Enter(context) == 0) {
        was = PyContextVar_Set(handled, me);
        if (PyContext_Exit(context) < 0) Py_CLEAR(was);
    }
    if (!was) Py_CLEAR(context);
    Py_XDECREF(was);
    Py_XDECREF(me);
    return context;
}

PyObject *ws_conn_type_context(struct ws_conn_object *self, bool own) {
    if (!self->context && !(self->context = new_context(self))) return NULL;
    return own ? Py_NewRef(self->context) : PyContext_Copy(self->context);
}

static PyObject *get_context(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return ws_conn_type_context(self, true);
}

static PyObject *get_side(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return Py_NewRef(self->side ? self->side : Py_None);
}

static int set_side(struct ws_conn_object *self, PyObject *value, void *closure) {
    (void)closure;
    Py_XSETREF(self->side, Py_XNewRef(value == Py_None ? NULL : value));
    return 0;
}

static PyObject *get_remote_address(struct ws_conn_object *self, void *closure) {
    (void)closure;
    struct ws_address address;
    ws_conn_get_address(self->core, &address);
    return ws_convert_address(&address);
}

/* As users see it: a handler that on_close waits for is to learn that the peer leaves. */
static bool is_open(struct ws_conn_object *self) {
    return ws_conn_is_open(self->core) && !ws_conn_is_leaving(self->core);
}

static PyObject *get_is_open(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(is_open(self));
}

static PyObject *get_backlog(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return PyLong_FromSize_t(ws_conn_backlog(self->core));
}

static PyObject *get_dropped(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return PyLong_FromUnsignedLongLong(ws_conn_dropped(self->core));
}

static PyObject *get_latency(struct ws_conn_object *self, void *closure) {
    (void)closure;
    int64_t us = ws_conn_get_latency_us(self->core);
    if (us < 0) Py_RETURN_NONE;
    return PyFloat_FromDouble((double)us / 1e6);
}

static PyObject *get_subprotocol(struct ws_conn_object *self, void *closure) {
    (void)closure;
    struct ws_slice name = ws_conn_get_subprotocol(self->core);
    if (!name.len) Py_RETURN_NONE;
    return ws_convert_latin1(name);
}

/* As the answer to the handshake said it. */
static PyObject *get_compression(struct ws_conn_object *self, void *closure) {
    (void)closure;
    struct ws_deflate_terms terms;
    char text[WS_EXTENSION_MAX];
    if (!ws_conn_get_deflate(self->core, &terms)) Py_RETURN_NONE;
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)ws_extension_answer(text, &terms));
}

static PyObject *get_close_kind(struct ws_conn_object *self, void *closure) {
    (void)closure;
    struct ws_close close;
    ws_conn_get_close(self->core, &close);
    const char *name = ws_close_kind_name(close.kind);
    if (!name) Py_RETURN_NONE;
    return PyUnicode_FromString(name);
}

static PyObject *get_close_code(struct ws_conn_object *self, void *closure) {
    (void)closure;
    struct ws_close close;
    if (!ws_conn_get_close(self->core, &close)) Py_RETURN_NONE;
    return PyLong_FromLong(close.code);
}

static PyObject *get_close_reason(struct ws_conn_object *self, void *closure) {
    (void)closure;
    struct ws_close close;
    if (!ws_conn_get_close(self->core, &close)) Py_RETURN_NONE;
    return ws_convert_utf8(close.reason);
}

static PyObject *get_sent_close(struct ws_conn_object *self, void *closure) {
    (void)closure;
    struct ws_close close;
    ws_conn_get_close(self->core, &close);
    if (!close.sent_code) Py_RETURN_NONE;
    PyObject *reason = ws_convert_utf8(close.sent_reason);
    return reason ? Py_BuildValue("(iN)", (int)close.sent_code, reason) : NULL;
}

static PyObject *get_server(struct ws_conn_object *self, void *closure) {
    (void)closure;
    return Py_NewRef(ws_conn_type_server(self));
}

/* ---- slots ---- */

static PyObject *address_repr(const struct ws_conn_object *self) {
    struct ws_address address;
    char text[WS_ADDRESS_FORMAT_MAX];
    ws_conn_get_address(self->core, &address);
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)ws_address_format(text, &address));
}

static PyObject *conn_repr(struct ws_conn_object *self) {
    struct ws_close close;
    bool known = ws_conn_get_close(self->core, &close);
    PyObject *path = ws_convert_latin1(get_head(self).path);
    PyObject *address = address_repr(self);
    PyObject *end = known ? PyUnicode_FromFormat("closed %d", (int)close.code)
                          : PyUnicode_FromString(is_open(self) ? "open" : "closing");
    PyObject *repr = NULL;
    if (path && address && end) {
        repr = PyUnicode_FromFormat("<wspy.Connection %llu %U %U %U>",
                                    (unsigned long long)ws_conn_id(self->core), address, path, end);
    }
    Py_XDECREF(path);
    Py_XDECREF(address);
    Py_XDECREF(end);
    return repr;
}

static int conn_traverse(struct ws_conn_object *self, visitproc visit, void *arg) {
    struct ws_server_object *server = ws_conn_type_server(self);
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(server);
    Py_VISIT(self->dict);
    Py_VISIT(self->headers);
    Py_VISIT(self->side);
    Py_VISIT(self->context);
    return 0;
}

/* Not the server: the core's connection lives in it. A cycle through the server is broken there. */
static int conn_clear(struct ws_conn_object *self) {
    Py_CLEAR(self->dict);
    Py_CLEAR(self->headers);
    Py_CLEAR(self->side);
    Py_CLEAR(self->context);
    return 0;
}

static void conn_dealloc(struct ws_conn_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    struct ws_server_object *server = ws_conn_type_server(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs) PyObject_ClearWeakRefs((PyObject *)self);
    if (ws_conn_get_user(self->core) == self) ws_conn_set_user(self->core, NULL); /* never open */
    conn_clear(self);
    ws_conn_unref(self->core);
    Py_DECREF(server); /* after the connection: it may be the last one */
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"send", (PyCFunction)(void (*)(void))conn_send, METH_FASTCALL | METH_KEYWORDS, send_doc},
    {"drain", (PyCFunction)conn_drain, METH_NOARGS, drain_doc},
    {"wait_closed", (PyCFunction)conn_wait_closed, METH_NOARGS, wait_closed_doc},
    {"_await_drain", (PyCFunction)conn_await_drain, METH_NOARGS, await_drain_doc},
    {"_await_pongs", (PyCFunction)conn_await_pongs, METH_O, await_pongs_doc},
    {"_hold", (PyCFunction)conn_hold, METH_O, hold_doc},
    {"send_json", (PyCFunction)(void (*)(void))conn_send_json, METH_FASTCALL | METH_KEYWORDS,
     send_json_doc},
    {"pack", (PyCFunction)(void (*)(void))conn_pack, METH_FASTCALL | METH_KEYWORDS, pack_doc},
    {"subscribe", (PyCFunction)(void (*)(void))ws_topic_methods_subscribe,
     METH_FASTCALL | METH_KEYWORDS, ws_topic_methods_subscribe_doc},
    {"unsubscribe", (PyCFunction)(void (*)(void))ws_topic_methods_unsubscribe,
     METH_FASTCALL | METH_KEYWORDS, ws_topic_methods_unsubscribe_doc},
    {"publish", (PyCFunction)(void (*)(void))ws_topic_methods_conn_publish,
     METH_FASTCALL | METH_KEYWORDS, ws_topic_methods_conn_publish_doc},
    {"ping", (PyCFunction)(void (*)(void))conn_ping, METH_FASTCALL, ping_doc},
    {"stream", (PyCFunction)(void (*)(void))conn_stream, METH_VARARGS | METH_KEYWORDS, stream_doc},
    {"_answer", (PyCFunction)conn_answer, METH_VARARGS, answer_doc},
    {"close", (PyCFunction)(void (*)(void))conn_close, METH_VARARGS | METH_KEYWORDS, close_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(id_doc, "int: number of the connection, never used again in this server. Snapshot.");
PyDoc_STRVAR(path_doc, "str: path of the request target, percent-encoding as it came. Snapshot.");
PyDoc_STRVAR(query_doc, "str: what follows '?' in the request target, undecoded; or ''. Snapshot.");
PyDoc_STRVAR(context_doc, "contextvars.Context: that of its handlers which go on. Direct.");
PyDoc_STRVAR(side_doc,
"What the server's runner keeps for this connection, or None: told of its pongs, of its drained\n"
"output and of its end by ponged(data, is_own), drained() and gone(code, reason).\n"
"Direct.");
PyDoc_STRVAR(headers_doc,
"Headers: the fields of the opening handshake (RFC 6455 section 4.2.1), by name in any\n"
"case; values as latin-1. Made on first use. Snapshot.");
PyDoc_STRVAR(remote_address_doc,
"tuple[str, int] | None: the peer's IP address and port; None for a Unix socket. Snapshot.");
PyDoc_STRVAR(is_open_doc,
"bool: False from close(), or from the start of on_close, whichever is first; in a handler that\n"
"on_close waits for, once the peer has closed or gone. Snapshot.");
PyDoc_STRVAR(backlog_doc,
"int: bytes that are queued and not yet taken by the operating system. Snapshot.");
PyDoc_STRVAR(close_kind_doc,
"str | None: why the connection ended: 'peer', 'local', 'error' (a handler raised, or there\n"
"was no memory), 'eof', 'reset', 'protocol', 'limit' (sizes, rates, message_timeout),\n"
"'backlog', 'shutdown', 'ping-timeout', 'idle' or 'stall'. None before. Snapshot.");
PyDoc_STRVAR(dropped_doc,
"int: messages to this connection that were dropped by backlog_policy, with the connection's\n"
"end, or replaced by a newer one of the same key. Snapshot.");
PyDoc_STRVAR(latency_doc,
"float | None: seconds between the last ping of the server's own and its pong; None before\n"
"the first one. Such pings are those of ping_interval and of ping() without data. Snapshot.");
PyDoc_STRVAR(subprotocol_doc,
"str | None: the subprotocol agreed on (RFC 6455 section 1.9), one of the server's, or None.\n"
"Snapshot.");
PyDoc_STRVAR(compression_doc,
"str | None: what was agreed on for compressing messages, as in 'permessage-deflate;\n"
"server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12' (RFC 7692\n"
"section 7.1); a window of 15 bits is not named. None: messages go plain. Snapshot.");
PyDoc_STRVAR(close_code_doc,
"int | None: the peer's close code; 1005 if its close frame was empty, 1006 if there was\n"
"none (RFC 6455 section 7.1.5). None before on_close. Snapshot.");
PyDoc_STRVAR(close_reason_doc,
"str | None: the peer's close reason, or '' (RFC 6455 section 7.1.6). None before\n"
"on_close. Snapshot.");
PyDoc_STRVAR(sent_close_doc,
"tuple[int, str] | None: code and reason of the close frame queued for the peer; code 1005\n"
"if it was empty. None if there was none. Snapshot.");
PyDoc_STRVAR(server_doc, "Server: the server that the connection belongs to. Snapshot.");

static PyGetSetDef properties[] = {
    {"id", (getter)get_id, NULL, id_doc, NULL},
    {"path", (getter)get_path, NULL, path_doc, NULL},
    {"query", (getter)get_query, NULL, query_doc, NULL},
    {"headers", (getter)get_headers, NULL, headers_doc, NULL},
    {"_context", (getter)get_context, NULL, context_doc, NULL},
    {"_side", (getter)get_side, (setter)set_side, side_doc, NULL},
    {"remote_address", (getter)get_remote_address, NULL, remote_address_doc, NULL},
    {"is_open", (getter)get_is_open, NULL, is_open_doc, NULL},
    {"backlog", (getter)get_backlog, NULL, backlog_doc, NULL},
    {"dropped", (getter)get_dropped, NULL, dropped_doc, NULL},
    {"topics", (getter)ws_topic_methods_conn_topics, NULL, ws_topic_methods_conn_topics_doc, NULL},
    {"latency", (getter)get_latency, NULL, latency_doc, NULL},
    {"subprotocol", (getter)get_subprotocol, NULL, subprotocol_doc, NULL},
    {"compression", (getter)get_compression, NULL, compression_doc, NULL},
    {"close_kind", (getter)get_close_kind, NULL, close_kind_doc, NULL},
    {"close_code", (getter)get_close_code, NULL, close_code_doc, NULL},
    {"close_reason", (getter)get_close_reason, NULL, close_reason_doc, NULL},
    {"sent_close", (getter)get_sent_close, NULL, sent_close_doc, NULL},
    {"server", (getter)get_server, NULL, server_doc, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(struct ws_conn_object, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct ws_conn_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(conn_doc,
"One WebSocket connection (RFC 6455), as the handlers get it. The server makes them.\n\n"
"Attributes of your own may be set on it. It may be kept: after on_close it still answers\n"
"everything, and send() raises ConnectionClosed. Two are equal only if they are the same.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)conn_doc},
    {Py_tp_dealloc, conn_dealloc},
    {Py_tp_traverse, conn_traverse},
    {Py_tp_clear, conn_clear},
    {Py_tp_repr, conn_repr},
    {Py_tp_getattro, PyObject_GenericGetAttr}, /* named for the stubs: any attribute may be set */
    {Py_tp_setattro, PyObject_GenericSetAttr},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy.Connection",
    .basicsize = sizeof(struct ws_conn_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_conn_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
