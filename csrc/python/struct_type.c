/* struct_type.c: see struct_type.h. Values themselves: struct_values.c. */
#include "struct_type.h"

#include "arguments.h"
#include "struct_values.h"

#include "err.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>

#define CACHE_MAX 256 /* formats that the functions remember */

/* ---- making and freeing ---- */

/* A second __init__ is as rare as it is legal, and the first format may be in use by a value's
 * __index__ or by another thread: what was before stays until the Struct goes. */
struct ws_struct_past {
    struct ws_structfmt *format;
    struct ws_struct_past *next;
};

const struct ws_structfmt *ws_struct_type_format(const struct ws_struct_object *self) {
    if (!self->format) PyErr_SetString(PyExc_RuntimeError, "Struct object is not initialized");
    return self->format;
}

/* What a format is given as, without the Struct around it, ours or the library's: a str or bytes
 * (new reference), or NULL with an exception set. */
static PyObject *strip(const struct ws_state *state, PyObject *format) {
    PyObject *plain = NULL;
    if (PyObject_TypeCheck(format, state->struct_type) ||
        PyObject_TypeCheck(format, state->struct_of_library)) {
        if (!(plain = PyObject_GetAttrString(format, "format"))) return NULL;
    } else {
        plain = Py_NewRef(format);
    }
    if (PyUnicode_Check(plain) || PyBytes_Check(plain)) return plain;
    PyErr_Format(PyExc_TypeError, "format must be a str, bytes or Struct, not %.200s",
                 Py_TYPE(plain)->tp_name);
    Py_DECREF(plain);
    return NULL;
}

/* A format as str. */
static PyObject *get_text(const struct ws_state *state, PyObject *format) {
    PyObject *plain = strip(state, format), *text = NULL;
    if (!plain) return NULL;
    if (PyUnicode_Check(plain)) text = PyUnicode_FromObject(plain);
    else
        text = PyUnicode_DecodeASCII(PyBytes_AS_STRING(plain), PyBytes_GET_SIZE(plain),
                                     "surrogateescape");
    Py_DECREF(plain);
    return text;
}

/* NULL with an exception set. */
static struct ws_structfmt *parse(const struct ws_state *state, PyObject *text) {
    struct ws_structfmt *format = NULL;
    const char *why = NULL;
    PyObject *ascii = PyUnicode_AsEncodedString(text, "ascii", "surrogateescape");
    if (!ascii) return NULL;
    int err = ws_structfmt_new(&format, PyBytes_AS_STRING(ascii), (size_t)PyBytes_GET_SIZE(ascii),
                               PY_VERSION_HEX >= 0x030E0000, &why);
    Py_DECREF(ascii);
    if (err == WS_ERR_MEMORY) PyErr_NoMemory();
    else if (err < 0) PyErr_SetString(state->struct_error, why);
    return err < 0 ? NULL : format;
}

static int keep_past(struct ws_struct_object *self) {
    if (!self->format) return 0;
    struct ws_struct_past *past = PyMem_Malloc(sizeof *past);
    if (!past) {
        PyErr_NoMemory();
        return -1;
    }
    *past = (struct ws_struct_past){self->format, self->past};
    self->past = past;
    return 0;
}

static int struct_init(struct ws_struct_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"format", NULL};
    PyObject *arg; /* borrowed */
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:Struct", names, &arg)) return -1;
    PyObject *text = get_text(self->state, arg);
    struct ws_structfmt *format = text ? parse(self->state, text) : NULL;
    if (!format || keep_past(self) < 0) {
        ws_structfmt_free(format);
        Py_XDECREF(text);
        return -1;
    }
    self->format = format;
    Py_XSETREF(self->text, text);
    return 0;
}

static void struct_dealloc(struct ws_struct_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs) PyObject_ClearWeakRefs((PyObject *)self);
    for (struct ws_struct_past *past = self->past, *next; past; past = next) {
        next = past->next;
        ws_structfmt_free(past->format);
        PyMem_Free(past);
    }
    ws_structfmt_free(self->format);
    Py_XDECREF(self->text);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A str is in no cycle: the type is all there is to visit. */
static int struct_traverse(struct ws_struct_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* Takes any arguments: a subclass may have others than ours. */
static PyObject *struct_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    struct ws_struct_object *self = (struct ws_struct_object *)type->tp_alloc(type, 0);
    if (self) self->state = ws_state_of(type, (destructor)struct_dealloc);
    return (PyObject *)self;
}

/* The Struct of a str or bytes (new reference); NULL with an exception set. */
static struct ws_struct_object *remember(const struct ws_state *state, PyObject *format) {
    PyObject *found = PyDict_GetItemWithError(state->struct_cache, format); /* borrowed */
    if (found || PyErr_Occurred()) return (struct ws_struct_object *)Py_XNewRef(found);
    PyObject *made = PyObject_CallOneArg((PyObject *)state->struct_type, format);
    if (!made) return NULL;
    if (PyDict_GET_SIZE(state->struct_cache) >= CACHE_MAX) PyDict_Clear(state->struct_cache);
    if (PyDict_SetItem(state->struct_cache, format, made) < 0) Py_CLEAR(made);
    return (struct ws_struct_object *)made;
}

struct ws_struct_object *ws_struct_type_get(const struct ws_state *state, PyObject *format) {
    if (PyUnicode_CheckExact(format)) return remember(state, format);
    if (PyObject_TypeCheck(format, state->struct_type))
        return (struct ws_struct_object *)Py_NewRef(format);
    PyObject *plain = strip(state, format);
    struct ws_struct_object *of = plain ? remember(state, plain) : NULL;
    Py_XDECREF(plain);
    return of;
}

/* ---- packing ---- */

PyDoc_STRVAR(pack_doc,
"pack($self, /, *values)\n--\n\n"
"The values as bytes, size of them. StructError if their number or one of them does not fit\n"
"the format, OverflowError for a float that is too large for e or f.\n\n"
">>> wspy.Struct('!IHd').pack(7, 1, 2.5).hex()\n"
"'0000000700014004000000000000'");

PyObject *ws_struct_type_pack(struct ws_struct_object *self, PyObject *const *args, Py_ssize_t n) {
    const struct ws_structfmt *f = ws_struct_type_format(self);
    if (!f) return NULL;
    if ((size_t)n != f->n_values)
        return PyErr_Format(self->state->struct_error,
                            "pack expected %zu items for packing (got %zd)", f->n_values, n);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)f->size);
    if (bytes &&
        ws_struct_values_pack(self->state, f, (uint8_t *)PyBytes_AS_STRING(bytes), args) < 0)
        Py_CLEAR(bytes);
    return bytes;
}

/* What pack_into and unpack_from say of an offset that leaves no room. */
struct words {
    const char *negative, *name, *verb;
};

static const struct words pack_words = {"no space to pack", "pack_into", "packing"};
static const struct words unpack_words = {"not enough data to unpack", "unpack_from", "unpacking"};

/* Where a record at an offset begins, which counts from the end if it is negative; NULL with an
 * exception set. */
static uint8_t *find_place(const struct ws_struct_object *self, const struct ws_structfmt *f,
                           uint8_t *buffer, Py_ssize_t len, Py_ssize_t offset,
                           const struct words *words) {
    Py_ssize_t size = (Py_ssize_t)f->size;
    PyObject *error = self->state->struct_error;
    if (offset < 0 && offset > -size) {
        PyErr_Format(error, "%s %zd bytes at offset %zd", words->negative, size, offset);
        return NULL;
    }
    if (offset < -len) {
        PyErr_Format(error, "offset %zd out of range for %zd-byte buffer", offset, len);
        return NULL;
    }
    Py_ssize_t at = offset < 0 ? offset + len : offset;
    if (len - at >= size) return buffer + at;
    PyErr_Format(error,
                 "%s requires a buffer of at least %zu bytes for %s %zd bytes at offset %zd "
                 "(actual buffer size is %zd)",
                 words->name, f->size + (size_t)at, words->verb, size, at, len);
    return NULL;
}

PyDoc_STRVAR(pack_into_doc,
"pack_into($self, buffer, offset, /, *values)\n--\n\n"
"Write the values into a writable buffer at an offset in bytes, which counts from the end if it\n"
"is negative. StructError as for pack(), and if there is no room.\n\n"
">>> buffer = bytearray(4)\n"
">>> wspy.Struct('!H').pack_into(buffer, 1, 513)\n"
">>> buffer\n"
"bytearray(b'\\x00\\x02\\x01\\x00')");

PyObject *ws_struct_type_pack_into(struct ws_struct_object *self, PyObject *const *args,
                                   Py_ssize_t n) {
    const struct ws_structfmt *f = ws_struct_type_format(self);
    PyObject *error = self->state->struct_error;
    Py_buffer view;
    if (!f) return NULL;
    if (n == 0) return PyErr_Format(error, "pack_into expected buffer argument");
    if (n == 1) return PyErr_Format(error, "pack_into expected offset argument");
    if ((size_t)n - 2 != f->n_values)
        return PyErr_Format(error, "pack_into expected %zu items for packing (got %zd)",
                            f->n_values, n - 2);
    if (PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) < 0) {
        PyErr_Format(PyExc_TypeError,
                     "pack_into() argument must be read-write bytes-like object, not %.50s",
                     Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    Py_ssize_t offset = PyNumber_AsSsize_t(args[1], PyExc_IndexError);
    uint8_t *at = offset == -1 && PyErr_Occurred()
                      ? NULL
                      : find_place(self, f, view.buf, view.len, offset, &pack_words);
    int err = at ? ws_struct_values_pack(self->state, f, at, args + 2) : -1;
    PyBuffer_Release(&view);
    if (err < 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- unpacking ---- */

PyDoc_STRVAR(unpack_doc,
"unpack($self, buffer, /)\n--\n\n"
"The values in a buffer of exactly size bytes, as a tuple. StructError for another size.\n\n"
">>> wspy.Struct('!IHd').unpack(bytes.fromhex('0000000700014004000000000000'))\n"
"(7, 1, 2.5)");

static PyObject *unpack_exactly(struct ws_struct_object *self, const struct ws_structfmt *f,
                                const void *data, Py_ssize_t len) {
    if ((size_t)len == f->size) return ws_struct_values_tuple(f, data);
    return PyErr_Format(self->state->struct_error, "unpack requires a buffer of %zu bytes",
                        f->size);
}

PyObject *ws_struct_type_unpack(struct ws_struct_object *self, PyObject *buffer) {
    const struct ws_structfmt *f = ws_struct_type_format(self);
    Py_buffer view;
    if (!f) return NULL;
    if (PyBytes_CheckExact(buffer)) /* nearly always; nothing to hold */
        return unpack_exactly(self, f, PyBytes_AS_STRING(buffer), PyBytes_GET_SIZE(buffer));
    if (PyObject_GetBuffer(buffer, &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *tuple = unpack_exactly(self, f, view.buf, view.len);
    PyBuffer_Release(&view);
    return tuple;
}

PyDoc_STRVAR(unpack_from_doc,
"unpack_from($self, /, buffer, offset=0)\n--\n\n"
"The values in a buffer at an offset in bytes, which counts from the end if it is negative, as a\n"
"tuple. StructError if fewer than size bytes are there.\n\n"
">>> wspy.Struct('!H').unpack_from(b'\\x00\\x02\\x01\\x00', 1)\n"
"(513,)");

static PyObject *unpack_at(struct ws_struct_object *self, const struct ws_structfmt *f, void *data,
                           Py_ssize_t len, Py_ssize_t offset) {
    const uint8_t *at = find_place(self, f, data, len, offset, &unpack_words);
    return at ? ws_struct_values_tuple(f, at) : NULL;
}

PyObject *ws_struct_type_unpack_from(struct ws_struct_object *self, PyObject *const *args,
                                     Py_ssize_t n, PyObject *keywords) {
    static const char *const names[] = {"buffer", "offset", NULL};
    static const struct ws_parameters parameters = {
        .function = "unpack_from", .names = names, .n_places = 2, .n_needed = 1};
    const struct ws_structfmt *f = ws_struct_type_format(self);
    PyObject *values[2] = {NULL, NULL};
    Py_ssize_t offset = 0;
    Py_buffer view;
    if (!f) return NULL;
    if (n == 2 && !keywords) { /* nearly always */
        values[0] = args[0];
        values[1] = args[1];
    } else if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0) {
        return NULL;
    }
    if (values[1]) offset = PyNumber_AsSsize_t(values[1], PyExc_OverflowError);
    if (offset == -1 && PyErr_Occurred()) return NULL;
    if (PyBytes_CheckExact(values[0]))
        return unpack_at(self, f, PyBytes_AS_STRING(values[0]), PyBytes_GET_SIZE(values[0]),
                         offset);
    if (PyObject_GetBuffer(values[0], &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *tuple = unpack_at(self, f, view.buf, view.len, offset);
    PyBuffer_Release(&view);
    return tuple;
}

/* ---- record after record ---- */

struct iterator {
    PyObject_HEAD struct ws_struct_object *of; /* owned */
    const struct ws_structfmt *format;         /* of's, when it was made */
    Py_buffer view;                            /* held until the end has been told */
    _Atomic Py_ssize_t at; /* whoever shares it among threads gets each record at least once */
    _Atomic int readers;   /* calls that are reading in the buffer */
};

PyDoc_STRVAR(iter_unpack_doc,
"iter_unpack($self, buffer, /)\n--\n\n"
"An iterator over the records in a buffer, each a tuple as of unpack(). StructError unless the\n"
"buffer's size is a multiple of this size.\n\n"
">>> list(wspy.Struct('!H').iter_unpack(b'\\x00\\x01\\x00\\x02'))\n"
"[(1,), (2,)]");

PyObject *ws_struct_type_iter_unpack(struct ws_struct_object *self, PyObject *buffer) {
    const struct ws_structfmt *f = ws_struct_type_format(self);
    PyTypeObject *type = self->state->struct_iterator_type;
    if (!f) return NULL;
    if (f->size == 0)
        return PyErr_Format(self->state->struct_error,
                            "cannot iteratively unpack with a struct of length 0");
    struct iterator *it = (struct iterator *)type->tp_alloc(type, 0);
    if (!it) return NULL;
    if (PyObject_GetBuffer(buffer, &it->view, PyBUF_SIMPLE) < 0) {
        it->view.obj = NULL;
        Py_DECREF(it);
        return NULL;
    }
    if ((size_t)it->view.len % f->size != 0) {
        Py_DECREF(it);
        return PyErr_Format(self->state->struct_error,
                            "iterative unpacking requires a buffer of a multiple of %zu bytes",
                            f->size);
    }
    it->of = (struct ws_struct_object *)Py_NewRef(self);
    it->format = f;
    return (PyObject *)it;
}

static int iterator_clear(struct iterator *it) {
    Py_CLEAR(it->of);
    if (it->view.obj) PyBuffer_Release(&it->view);
    return 0;
}

/* At the end the buffer is its owner's again, who may want to resize it. Making a tuple may run the
 * collector, and so any code, which may come to the end before this record is read. */
static PyObject *iterator_next(struct iterator *it) {
    Py_ssize_t at = atomic_load_explicit(&it->at, memory_order_relaxed);
    if (!it->of) return NULL;
    if (at >= it->view.len) {
        if (atomic_load(&it->readers) == 0) iterator_clear(it);
        return NULL;
    }
    atomic_fetch_add(&it->readers, 1);
    atomic_store_explicit(&it->at, at + (Py_ssize_t)it->format->size, memory_order_relaxed);
    PyObject *record = ws_struct_values_tuple(it->format, (const uint8_t *)it->view.buf + at);
    atomic_fetch_sub(&it->readers, 1);
    return record;
}

static PyObject *iterator_length_hint(struct iterator *it, PyObject *ignored) {
    (void)ignored;
    Py_ssize_t at = atomic_load_explicit(&it->at, memory_order_relaxed);
    return PyLong_FromSsize_t(it->of ? (it->view.len - at) / (Py_ssize_t)it->format->size : 0);
}

static int iterator_traverse(struct iterator *it, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(it));
    Py_VISIT(it->of);
    Py_VISIT(it->view.obj);
    return 0;
}

static void iterator_dealloc(struct iterator *it) {
    PyTypeObject *type = Py_TYPE(it);
    PyObject_GC_UnTrack(it);
    iterator_clear(it);
    type->tp_free(it);
    Py_DECREF(type);
}

static PyMethodDef iterator_methods[] = {
    {"__length_hint__", (PyCFunction)iterator_length_hint, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_traverse, iterator_traverse},
    {Py_tp_clear, iterator_clear},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {Py_tp_methods, iterator_methods},
    {0, NULL},
};

static PyType_Spec iterator_spec = {
    .name = "wspy._core.unpack_iterator",
    .basicsize = sizeof(struct iterator),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = iterator_slots,
};

PyObject *ws_struct_type_new_iterator(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &iterator_spec, NULL);
}

/* ---- the type ---- */

static PyObject *get_format(struct ws_struct_object *self, void *closure) {
    (void)closure;
    return ws_struct_type_format(self) ? Py_NewRef(self->text) : NULL;
}

static PyObject *get_size(struct ws_struct_object *self, void *closure) {
    (void)closure;
    const struct ws_structfmt *f = ws_struct_type_format(self);
    return f ? PyLong_FromSize_t(f->size) : NULL;
}

static PyObject *struct_repr(struct ws_struct_object *self) {
    if (!ws_struct_type_format(self)) return NULL;
    const char *name = strrchr(Py_TYPE(self)->tp_name, '.');
    return PyUnicode_FromFormat("%s(%R)", name ? name + 1 : Py_TYPE(self)->tp_name, self->text);
}

static PyObject *struct_sizeof(struct ws_struct_object *self, PyObject *ignored) {
    (void)ignored;
    const struct ws_structfmt *f = self->format;
    size_t size = (size_t)Py_TYPE(self)->tp_basicsize;
    if (f) size += sizeof *f + f->n_items * sizeof f->items[0];
    return PyLong_FromSize_t(size);
}

PyDoc_STRVAR(struct_doc,
"Struct(format)\n--\n\n"
"Values as bytes and back, as struct.Struct of the standard library, with the same formats,\n"
"values, sizes and exceptions (StructError is a struct.error).\n\n"
"format, a str or bytes (or what has one: a Struct, a struct.Struct): a byte order (@ native with\n"
"alignment, = native, < little-endian, > and ! big-endian), then codes with\n"
"repeat counts: x pad byte, c char, b B ? of one byte, h H of two, i I l L f of four, q Q d of\n"
"eight, e half float of two, n N P native only, s bytes, p Pascal string. StructError for any\n"
"other.\n\n"
"conn.pack(), server.publish_packed() and on_message(format=) take one, too.\n\n"
">>> point = wspy.Struct('<2i')\n"
">>> point.size, point.format, point.unpack(point.pack(3, -4))\n"
"(8, '<2i', (3, -4))");

#define FAST(name, function)                                                                       \
    {#name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, name##_doc}

static PyMethodDef methods[] = {
    FAST(pack, ws_struct_type_pack),
    FAST(pack_into, ws_struct_type_pack_into),
    {"unpack", (PyCFunction)ws_struct_type_unpack, METH_O, unpack_doc},
    {"unpack_from", (PyCFunction)(void (*)(void))ws_struct_type_unpack_from,
     METH_FASTCALL | METH_KEYWORDS, unpack_from_doc},
    {"iter_unpack", (PyCFunction)ws_struct_type_iter_unpack, METH_O, iter_unpack_doc},
    {"__sizeof__", (PyCFunction)struct_sizeof, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(format_doc, "str: the format.");
PyDoc_STRVAR(size_doc, "int: the bytes of a record.");

static PyGetSetDef properties[] = {
    {"format", (getter)get_format, NULL, format_doc, NULL},
    {"size", (getter)get_size, NULL, size_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct ws_struct_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)struct_doc},   {Py_tp_new, struct_new},
    {Py_tp_init, struct_init},         {Py_tp_dealloc, struct_dealloc},
    {Py_tp_traverse, struct_traverse}, {Py_tp_repr, struct_repr},
    {Py_tp_methods, methods},          {Py_tp_getset, properties},
    {Py_tp_members, members},          {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy._core.Struct",
    .basicsize = sizeof(struct ws_struct_object),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_struct_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
