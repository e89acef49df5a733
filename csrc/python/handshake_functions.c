/* handshake_functions.c: the opening handshake for those who have the sockets themselves. Reads
 * and judges a request as the server does (ws_handshake_read), and writes the answers; what is
 * public of it is in wspy/handshake.py. */
#include "handshake_functions.h"

#include "convert.h"
#include "errors.h"
#include "functions.h"
#include "handshake.h"

/* ---- accept_key ---- */

PyDoc_STRVAR(accept_key_doc,
"accept_key($module, key, /)\n--\n\n"
"What Sec-WebSocket-Accept has to be for a Sec-WebSocket-Key, a str or bytes (RFC 6455\n"
"section 4.2.2, item 5): a str. ValueError if the key is not 16 bytes in base64.\n\n"
">>> from wspy import handshake\n"
">>> handshake.accept_key(\"dGhlIHNhbXBsZSBub25jZQ==\")\n"
"'s3pPLMBiTxaQ9kYGzzhZRbK+xOo='");

static PyObject *accept_key(PyObject *module, PyObject *key) {
    struct ws_convert_payload p;
    char out[WS_HANDSHAKE_ACCEPT_SIZE];
    (void)module;
    if (ws_convert_payload_init(&p, "accept_key", key) < 0) return NULL;
    struct ws_slice text = {(const char *)p.payload.data, p.payload.len};
    bool valid = ws_handshake_key_is_valid(text);
    int err = valid ? ws_handshake_accept(out, text.data, text.len) : 0;
    ws_convert_payload_fini(&p);
    if (!valid) {
        return PyErr_Format(PyExc_ValueError,
                            "key must be 16 bytes in base64, which are 24 characters, not %R", key);
    }
    if (err == 0) return PyUnicode_FromStringAndSize(out, sizeof out);
    ws_errors_raise(err);
    return NULL;
}

/* ---- reading a request ---- */

static PyObject *raise_refused(const struct ws_state *state, const struct ws_handshake *h,
                               const struct ws_http_head *head) {
    bool head_only = ws_slice_is(head->method, "HEAD");
    PyObject *exc = PyObject_CallFunction(state->handshake_error, "isO", h->status, h->detail,
                                          head_only ? Py_True : Py_False);
    if (exc) ws_errors_give(exc);
    return NULL;
}

/* None where there is no text. */
static PyObject *text_or_none(struct ws_slice s) {
    return s.len ? ws_convert_latin1(s) : Py_NewRef(Py_None);
}

/* The fields of wspy.handshake.Request. */
static PyObject *describe(const struct ws_state *state, const struct ws_handshake *h,
                          const struct ws_http_head *head, int size) {
    bool upgrade = h->kind == WS_HANDSHAKE_UPGRADE;
    PyObject *headers = ws_convert_headers(state, head);
    if (!headers) return NULL;
    struct ws_slice accept = {h->accept, upgrade ? sizeof h->accept : 0};
    return Py_BuildValue(
        "(NNNNNiONN)", ws_convert_latin1(head->method), ws_convert_latin1(head->target),
        ws_convert_latin1(head->path), ws_convert_latin1(head->query), headers, size,
        upgrade ? Py_True : Py_False, text_or_none(accept), text_or_none(h->subprotocol));
}

/* The bytes of the request that may be a head, where nobody changes them: what the reader has
 * accepted has to be the same when it is cut. */
static PyObject *take_bytes(PyObject *data, size_t max) {
    Py_buffer view;
    if (PyBytes_CheckExact(data)) return Py_NewRef(data);
    if (!PyObject_CheckBuffer(data)) {
        return PyErr_Format(PyExc_TypeError, "data must be a bytes-like object, not %.100s",
                            Py_TYPE(data)->tp_name);
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return NULL;
    Py_ssize_t len = (size_t)view.len < max ? view.len : (Py_ssize_t)max;
    PyObject *bytes = PyBytes_FromStringAndSize(view.buf, len);
    PyBuffer_Release(&view);
    return bytes;
}

static PyObject *read_request(const struct ws_state *state, struct ws_http_reader *reader,
                              const struct ws_handshake_rules *rules, PyObject *bytes) {
    struct ws_handshake h;
    struct ws_http_head head;
    int size =
        ws_handshake_read(&h, &head, reader, rules, (const uint8_t *)PyBytes_AS_STRING(bytes),
                          (size_t)PyBytes_GET_SIZE(bytes));
    if (size == 0) Py_RETURN_NONE;
    if (h.kind == WS_HANDSHAKE_REFUSED) return raise_refused(state, &h, &head);
    return describe(state, &h, &head, size);
}

PyDoc_STRVAR(parse_doc,
"handshake_parse($module, data, max_header_size, max_headers, origins, hosts,\n"
"                subprotocols, /)\n--\n\n"
"See wspy.handshake.parse_request(). The options are as Server.__init__ gets them.");

static PyObject *parse(PyObject *module, PyObject *args) {
    PyObject *data, *origins, *hosts, *subprotocols, *found = NULL;
    Py_ssize_t max_size;
    unsigned int max_headers;
    struct ws_http_reader reader;
    struct ws_handshake_rules rules;
    if (!PyArg_ParseTuple(args, "OnIOOO:handshake_parse", &data, &max_size, &max_headers, &origins,
                          &hosts, &subprotocols)) {
        return NULL;
    }
    ws_http_reader_init(&reader, WS_HTTP_REQUEST, (size_t)max_size, max_headers);
    PyObject *bytes = take_bytes(data, (size_t)max_size);
    if (!bytes) return NULL;
    if (ws_convert_rules_init(&rules, origins, hosts, subprotocols) == 0)
        found = read_request(PyModule_GetState(module), &reader, &rules, bytes);
    ws_convert_rules_fini(&rules);
    Py_DECREF(bytes);
    return found;
}

/* ---- writing the answers ---- */

PyDoc_STRVAR(answer_doc,
"handshake_answer($module, accept, subprotocol, /)\n--\n\n"
"See wspy.handshake.Request.answer(). subprotocol: a token, or \"\" for none.");

static PyObject *answer(PyObject *module, PyObject *args) {
    char out[WS_HANDSHAKE_ANSWER_MAX];
    const char *accept, *subprotocol;
    Py_ssize_t accept_len, subprotocol_len;
    struct ws_handshake h = {.kind = WS_HANDSHAKE_UPGRADE};
    (void)module;
    if (!PyArg_ParseTuple(args, "s#s#:handshake_answer", &accept, &accept_len, &subprotocol,
                          &subprotocol_len)) {
        return NULL;
    }
    if (accept_len != sizeof h.accept || subprotocol_len > WS_SUBPROTOCOL_MAX) {
        PyErr_Format(PyExc_ValueError, "accept must have %zu bytes, subprotocol at most %d",
                     sizeof h.accept, WS_SUBPROTOCOL_MAX);
        return NULL;
    }
    memcpy(h.accept, accept, sizeof h.accept);
    h.subprotocol = (struct ws_slice){subprotocol, (size_t)subprotocol_len};
    size_t len = ws_handshake_answer(out, &h);
    return PyBytes_FromStringAndSize(out, (Py_ssize_t)len);
}

PyDoc_STRVAR(error_doc,
"handshake_error($module, status, detail, head_only, /)\n--\n\n"
"See wspy.handshake.HandshakeError.answer(). detail None: the phrase of the status.");

static PyObject *error(PyObject *module, PyObject *args) {
    char out[WS_HANDSHAKE_ERROR_MAX];
    const char *detail;
    int status, head_only;
    (void)module;
    if (!PyArg_ParseTuple(args, "izp:handshake_error", &status, &detail, &head_only)) return NULL;
    size_t len = ws_handshake_error(out, status, detail, head_only != 0);
    return PyBytes_FromStringAndSize(out, (Py_ssize_t)len);
}

/* ---- the module ---- */

static struct ws_function functions[] = {
    {"accept_key", "wspy.handshake", {"accept_key", accept_key, METH_O, accept_key_doc}},
    {"handshake_parse", "wspy._core", {"handshake_parse", parse, METH_VARARGS, parse_doc}},
    {"handshake_answer", "wspy._core", {"handshake_answer", answer, METH_VARARGS, answer_doc}},
    {"handshake_error", "wspy._core", {"handshake_error", error, METH_VARARGS, error_doc}},
};

int ws_handshake_functions_add(PyObject *module) {
    return ws_functions_add(module, functions, Py_ARRAY_LENGTH(functions));
}
