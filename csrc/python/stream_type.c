/* stream_type.c: wspy.Stream. Keeps which part is next; queueing it, and what waits behind it, is
 * the core's work. */
#include "stream_type.h"

#include "convert.h"

enum phase { STREAM_NEW, STREAM_BEGUN, STREAM_AMID, STREAM_ENDED };

struct stream_object {
    PyObject_HEAD struct ws_conn_object *conn; /* owned */
    bool text;
    uint8_t compress; /* enum ws_compress */
    uint8_t phase;    /* enum phase */
};

PyObject *ws_stream_type_make(struct ws_conn_object *conn, bool text, uint8_t compress) {
    PyTypeObject *type = ws_conn_type_server(conn)->state->stream_type;
    struct stream_object *self = (struct stream_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->conn = (struct ws_conn_object *)Py_NewRef(conn);
    self->text = text;
    self->compress = compress;
    return (PyObject *)self;
}

/* ---- the message's end ---- */

/* What was sent cannot be taken back, and the peer must not take it for a whole message. One that
 * leaves gets nothing more but the answer to its close. */
static void break_off(struct stream_object *self) {
    struct ws_conn *c = self->conn->core;
    bool is_amid = self->phase == STREAM_AMID;
    self->phase = STREAM_ENDED;
    if (ws_conn_is_lost(c)) ws_conn_stream_break(c, is_amid);
    else ws_conn_close(c, 1011, (struct ws_slice){"", 0}, WS_CLOSE_ERROR);
}

/* Its last fragment, which is empty; a message without parts has an empty first one too. */
static int finish(struct stream_object *self) {
    struct ws_convert_payload p = {0};
    p.payload.text = self->text;
    p.payload.compress = self->compress;
    p.payload.part = WS_PART_LAST;
    if (self->phase == STREAM_BEGUN) { /* RFC 6455 section 5.4: a continuation needs a beginning */
        p.payload.part = WS_PART_FIRST;
        PyObject *sent = ws_conn_type_send(self->conn, &p);
        if (!sent) return -1;
        Py_DECREF(sent);
        p.payload.part = WS_PART_LAST;
    }
    PyObject *sent = ws_conn_type_send(self->conn, &p);
    if (!sent) return -1;
    Py_DECREF(sent);
    self->phase = STREAM_ENDED;
    return 0;
}

/* ---- methods ---- */

PyDoc_STRVAR(write_doc,
"write($self, part, /)\n--\n\n"
"Queue one part of the message: a str if the stream is text, else a bytes-like object.\n"
"Returns what send() does. TypeError for the other kind, RuntimeError outside the with\n"
"block, ConnectionClosed as for send().\n\n"
"Mailbox: any thread may call it, one at a time.");

static PyObject *stream_write(struct stream_object *self, PyObject *part) {
    struct ws_convert_payload p;
    if (self->phase != STREAM_BEGUN && self->phase != STREAM_AMID) {
        PyErr_SetString(PyExc_RuntimeError, "write() is for the body of \"with conn.stream()\"");
        return NULL;
    }
    if (PyUnicode_Check(part) != self->text) {
        return PyErr_Format(PyExc_TypeError, "write() of a %s stream takes %s, not %.100s",
                            self->text ? "text" : "binary",
                            self->text ? "str" : "a bytes-like object", Py_TYPE(part)->tp_name);
    }
    if (ws_convert_payload_init(&p, "write", part) < 0) return NULL;
    if (self->phase == STREAM_ENDED) { /* making a buffer of it may run any code */
        ws_convert_payload_fini(&p);
        PyErr_SetString(PyExc_RuntimeError, "the stream has ended meanwhile");
        return NULL;
    }
    p.payload.part = self->phase == STREAM_BEGUN ? WS_PART_FIRST : WS_PART_MORE;
    p.payload.compress = self->compress;
    PyObject *sent = ws_conn_type_send(self->conn, &p);
    if (sent) self->phase = STREAM_AMID;
    return sent;
}

static PyObject *stream_enter(struct stream_object *self, PyObject *ignored) {
    (void)ignored;
    if (self->phase != STREAM_NEW) {
        PyErr_SetString(PyExc_RuntimeError, "a stream is for one message: call conn.stream() anew");
        return NULL;
    }
    int err = ws_conn_type_is_cut_off(self->conn) ? WS_ERR_CLOSED
                                                  : ws_conn_stream_begin(self->conn->core);
    if (err == WS_ERR_ARGUMENT) {
        PyErr_SetString(PyExc_RuntimeError, "another stream of this connection is open");
        return NULL;
    }
    if (err < 0) {
        ws_conn_type_raise(self->conn, err);
        return NULL;
    }
    self->phase = STREAM_BEGUN;
    return Py_NewRef(self);
}

static PyObject *stream_exit(struct stream_object *self, PyObject *const *args, Py_ssize_t n) {
    if (self->phase != STREAM_BEGUN && self->phase != STREAM_AMID) Py_RETURN_NONE;
    if (n > 0 && args[0] != Py_None) {
        break_off(self);
        Py_RETURN_NONE;
    }
    if (finish(self) == 0) Py_RETURN_NONE;
    break_off(self); /* the exception that is set says why */
    return NULL;
}

/* ---- slots ---- */

static int stream_traverse(struct stream_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->conn);
    return 0;
}

/* A stream that was dropped amid its message (a generator that was never resumed, say) would hold
 * up every other message for ever. */
static void stream_dealloc(struct stream_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->phase == STREAM_BEGUN || self->phase == STREAM_AMID) break_off(self);
    Py_DECREF(self->conn);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"write", (PyCFunction)stream_write, METH_O, write_doc},
    {"__enter__", (PyCFunction)stream_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))stream_exit, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(stream_doc,
"One message to one connection, sent in parts (RFC 6455 section 5.4): what the with\n"
"statement gets of conn.stream().");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)stream_doc},
    {Py_tp_dealloc, stream_dealloc},
    {Py_tp_traverse, stream_traverse},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy.Stream",
    .basicsize = sizeof(struct stream_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_stream_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
