/* sha1_type.c: wspy.sha1. Keeps threads apart and the buffer in place; the digest is the core's
 * work.
 *
 * A mutex of its own, and not the GIL, keeps threads apart: large updates run without the GIL, and
 * some Pythons have none. Who has to wait for the mutex gives up the GIL first, since who has it
 * may be waiting for the GIL. */
#include "sha1_type.h"

#include "err.h"
#include "errors.h"
#include "sha1.h"

#include <pthread.h>

#define GIL_MIN 2048 /* bytes, from which on giving up the GIL costs less than it frees */

struct sha1_object {
    PyObject_HEAD pthread_mutex_t lock;
    struct ws_sha1 sha1; /* under the lock */
};

static void raise_error(int err) {
    if (err == WS_ERR_SYSTEM) PyErr_SetString(PyExc_ValueError, "this OpenSSL has no SHA-1");
    else ws_errors_raise(err);
}

static void lock(struct sha1_object *self) {
    if (pthread_mutex_trylock(&self->lock) == 0) return;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&self->lock);
    Py_END_ALLOW_THREADS
}

static void unlock(struct sha1_object *self) {
    pthread_mutex_unlock(&self->lock);
}

/* An object without a digest yet. */
static struct sha1_object *make(PyTypeObject *type) {
    struct sha1_object *self = (struct sha1_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    pthread_mutex_init(&self->lock, NULL); /* cannot fail: it has no attributes */
    return self;
}

static void feed(struct sha1_object *self, const Py_buffer *view) {
    size_t len = (size_t)view->len;
    if (len < GIL_MIN) {
        lock(self);
        ws_sha1_update(&self->sha1, view->buf, len);
        unlock(self);
    } else {
        Py_BEGIN_ALLOW_THREADS
        pthread_mutex_lock(&self->lock);
        ws_sha1_update(&self->sha1, view->buf, len);
        unlock(self);
        Py_END_ALLOW_THREADS
    }
}

/* 0, or -1 with an exception set. */
static int feed_object(struct sha1_object *self, PyObject *data) {
    Py_buffer view; /* while it is held, nobody can resize what it is of */
    if (PyUnicode_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "Strings must be encoded before hashing");
        return -1;
    }
    if (!PyObject_CheckBuffer(data)) {
        PyErr_Format(PyExc_TypeError, "sha1 takes a bytes-like object, not %.100s",
                     Py_TYPE(data)->tp_name);
        return -1;
    }
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) return -1;
    feed(self, &view);
    PyBuffer_Release(&view);
    return 0;
}

/* ---- methods ---- */

static PyObject *sha1_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"data", "usedforsecurity", NULL};
    PyObject *data = NULL;
    int ignored;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O$p:sha1", names, &data, &ignored))
        return NULL;
    const struct ws_state *state = PyType_GetModuleState(type);
    struct sha1_object *self = make(type);
    if (!self) return NULL;
    int err = state->sha1_start.ctx ? ws_sha1_copy(&self->sha1, &state->sha1_start)
                                    : ws_sha1_init(&self->sha1); /* which says why there is none */
    if (err < 0) raise_error(err);
    else if (!data || feed_object(self, data) == 0) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

PyDoc_STRVAR(update_doc,
"update($self, data, /)\n--\n\n"
"Hash more bytes: those of a bytes-like object whose memory is contiguous. From 2 KiB on\n"
"without the GIL. TypeError for a str, BufferError for memory with gaps.\n\n"
"Any thread may call it, also while others do; each call's bytes stay together.\n\n"
">>> h = wspy.sha1()\n"
">>> h.update(b'a')\n"
">>> h.update(bytearray(b'bc'))\n"
">>> h.digest() == wspy.sha1(b'abc').digest()\n"
"True");

static PyObject *sha1_update(struct sha1_object *self, PyObject *data) {
    if (feed_object(self, data) < 0) return NULL;
    Py_RETURN_NONE;
}

/* 0, or -1 with an exception set. */
static int get(struct sha1_object *self, uint8_t out[WS_SHA1_SIZE]) {
    lock(self);
    int err = ws_sha1_get(&self->sha1, out);
    unlock(self);
    if (err < 0) raise_error(err);
    return err;
}

PyDoc_STRVAR(digest_doc,
"digest($self, /)\n--\n\n"
"The digest of the bytes so far, 20 bytes. More may follow.\n\n"
">>> len(wspy.sha1(b'abc').digest())\n"
"20");

static PyObject *sha1_digest(struct sha1_object *self, PyObject *ignored) {
    uint8_t out[WS_SHA1_SIZE];
    (void)ignored;
    if (get(self, out) < 0) return NULL;
    return PyBytes_FromStringAndSize((const char *)out, sizeof out);
}

PyDoc_STRVAR(hexdigest_doc,
"hexdigest($self, /)\n--\n\n"
"The digest of the bytes so far, a str of 40 hexadecimal digits. More may follow.\n\n"
">>> wspy.sha1(b'abc').hexdigest()\n"
"'a9993e364706816aba3e25717850c26c9cd0d89d'");

static PyObject *sha1_hexdigest(struct sha1_object *self, PyObject *ignored) {
    static const char digits[] = "0123456789abcdef";
    uint8_t out[WS_SHA1_SIZE];
    char text[2 * WS_SHA1_SIZE];
    (void)ignored;
    if (get(self, out) < 0) return NULL;
    for (size_t i = 0; i < sizeof out; i++) {
        text[2 * i] = digits[out[i] >> 4];
        text[2 * i + 1] = digits[out[i] & 0xF];
    }
    return PyUnicode_FromStringAndSize(text, sizeof text);
}

PyDoc_STRVAR(copy_doc,
"copy($self, /)\n--\n\n"
"Another sha1 of the same bytes so far, which goes its own way from here.\n\n"
">>> start = wspy.sha1(b'same head, ')\n"
">>> one, other = start.copy(), start.copy()\n"
">>> one.update(b'one')\n"
">>> one.digest() == other.digest()\n"
"False");

static PyObject *sha1_copy(struct sha1_object *self, PyObject *ignored) {
    (void)ignored;
    struct sha1_object *copy = make(Py_TYPE(self));
    if (!copy) return NULL;
    lock(self);
    int err = ws_sha1_copy(&copy->sha1, &self->sha1);
    unlock(self);
    if (err == 0) return (PyObject *)copy;
    raise_error(err);
    Py_DECREF(copy);
    return NULL;
}

static PyObject *sha1_get_name(struct sha1_object *self, void *closure) {
    (void)self;
    (void)closure;
    return PyUnicode_FromString("sha1");
}

static PyObject *sha1_get_digest_size(struct sha1_object *self, void *closure) {
    (void)self;
    (void)closure;
    return PyLong_FromLong(WS_SHA1_SIZE);
}

static PyObject *sha1_get_block_size(struct sha1_object *self, void *closure) {
    (void)self;
    (void)closure;
    return PyLong_FromLong(WS_SHA1_BLOCK);
}

/* ---- the type ---- */

/* It refers to no object but its type, so that it is in no cycle. */
static void sha1_dealloc(struct sha1_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    ws_sha1_fini(&self->sha1);
    pthread_mutex_destroy(&self->lock);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"update", (PyCFunction)sha1_update, METH_O, update_doc},
    {"digest", (PyCFunction)sha1_digest, METH_NOARGS, digest_doc},
    {"hexdigest", (PyCFunction)sha1_hexdigest, METH_NOARGS, hexdigest_doc},
    {"copy", (PyCFunction)sha1_copy, METH_NOARGS, copy_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(name_doc, "str: \"sha1\".");
PyDoc_STRVAR(digest_size_doc, "int: bytes of a digest, 20.");
PyDoc_STRVAR(block_size_doc, "int: bytes that the algorithm takes at a time, 64 (for hmac).");

static PyGetSetDef properties[] = {
    {"name", (getter)sha1_get_name, NULL, name_doc, NULL},
    {"digest_size", (getter)sha1_get_digest_size, NULL, digest_size_doc, NULL},
    {"block_size", (getter)sha1_get_block_size, NULL, block_size_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(sha1_doc,
"sha1(data=b'', *, usedforsecurity=True)\n--\n\n"
"SHA-1 (RFC 3174), as hashlib.sha1: an object that is fed bytes and tells their digest.\n\n"
"data is any bytes-like object whose memory is contiguous: TypeError for a str, BufferError\n"
"for memory with gaps. ValueError if the OpenSSL in use has no SHA-1. Several threads may\n"
"use one object.\n\n"
"The opening handshake of RFC 6455 needs it (section 4.2.2, item 5). SHA-1 is broken: do\n"
"not let it protect anything. usedforsecurity is taken for hashlib's sake and changes\n"
"nothing.\n\n"
">>> import wspy\n"
">>> h = wspy.sha1(b\"a\")\n"
">>> h.update(b\"bc\")\n"
">>> h.hexdigest()\n"
"'a9993e364706816aba3e25717850c26c9cd0d89d'");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)sha1_doc}, {Py_tp_new, sha1_new},      {Py_tp_dealloc, sha1_dealloc},
    {Py_tp_methods, methods},      {Py_tp_getset, properties}, {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy.sha1",
    .basicsize = sizeof(struct sha1_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_sha1_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
