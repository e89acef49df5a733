/* struct_functions.c: see struct_functions.h. The Structs come out of a cache. */
#include "struct_functions.h"

#include "struct_type.h"

/* The Struct for the first argument (new reference), or NULL with an exception set. */
static struct ws_struct_object *get_struct(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    if (n > 0) return ws_struct_type_get(PyModule_GetState(module), args[0]);
    PyErr_SetString(PyExc_TypeError, "missing format argument");
    return NULL;
}

/* What pack and pack_into have in common. */
static PyObject *call_with_values(PyObject *module, PyObject *const *args, Py_ssize_t n,
                                  PyObject *(*method)(struct ws_struct_object *, PyObject *const *,
                                                      Py_ssize_t)) {
    struct ws_struct_object *of = get_struct(module, args, n);
    PyObject *result = of ? method(of, args + 1, n - 1) : NULL;
    Py_XDECREF(of);
    return result;
}

PyDoc_STRVAR(pack_doc,
"pack($module, format, /, *values)\n--\n\n"
"The values as bytes, as Struct(format).pack(). format: what Struct() takes.\n\n"
">>> wspy.pack('<hh', 1, -1)\n"
"b'\\x01\\x00\\xff\\xff'");

static PyObject *struct_pack(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    return call_with_values(module, args, n, ws_struct_type_pack);
}

PyDoc_STRVAR(pack_into_doc,
"pack_into($module, format, buffer, offset, /, *values)\n--\n\n"
"Write the values into a writable buffer, as Struct(format).pack_into().\n\n"
">>> buffer = bytearray(3)\n"
">>> wspy.pack_into('!H', buffer, -2, 513)\n"
">>> buffer\n"
"bytearray(b'\\x00\\x02\\x01')");

static PyObject *struct_pack_into(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    return call_with_values(module, args, n, ws_struct_type_pack_into);
}

PyDoc_STRVAR(unpack_doc,
"unpack($module, format, buffer, /)\n--\n\n"
"The values in a buffer of exactly calcsize(format) bytes, as Struct(format).unpack().\n\n"
">>> wspy.unpack('<hh', b'\\x01\\x00\\xff\\xff')\n"
"(1, -1)");

/* What unpack and iter_unpack have in common. */
static PyObject *call_with_buffer(PyObject *module, const char *name, PyObject *const *args,
                                  Py_ssize_t n,
                                  PyObject *(*method)(struct ws_struct_object *, PyObject *)) {
    if (n != 2) return PyErr_Format(PyExc_TypeError, "%s expected 2 arguments, got %zd", name, n);
    struct ws_struct_object *of = get_struct(module, args, n);
    PyObject *result = of ? method(of, args[1]) : NULL;
    Py_XDECREF(of);
    return result;
}

static PyObject *struct_unpack(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    return call_with_buffer(module, "unpack", args, n, ws_struct_type_unpack);
}

PyDoc_STRVAR(unpack_from_doc,
"unpack_from($module, format, /, buffer, offset=0)\n--\n\n"
"The values in a buffer at an offset, as Struct(format).unpack_from().\n\n"
">>> wspy.unpack_from('!H', b'\\x00\\x02\\x01', offset=1)\n"
"(513,)");

static PyObject *struct_unpack_from(PyObject *module, PyObject *const *args, Py_ssize_t n,
                                    PyObject *keywords) {
    struct ws_struct_object *of = get_struct(module, args, n);
    PyObject *tuple = of ? ws_struct_type_unpack_from(of, args + 1, n - 1, keywords) : NULL;
    Py_XDECREF(of);
    return tuple;
}

PyDoc_STRVAR(iter_unpack_doc,
"iter_unpack($module, format, buffer, /)\n--\n\n"
"An iterator over the records in a buffer, as Struct(format).iter_unpack().\n\n"
">>> [value for (value,) in wspy.iter_unpack('B', b'abc')]\n"
"[97, 98, 99]");

static PyObject *struct_iter_unpack(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    return call_with_buffer(module, "iter_unpack", args, n, ws_struct_type_iter_unpack);
}

PyDoc_STRVAR(calcsize_doc,
"calcsize($module, format, /)\n--\n\n"
"The bytes of a record of that format, as Struct(format).size.\n\n"
">>> wspy.calcsize('!IHd')\n"
"14");

static PyObject *struct_calcsize(PyObject *module, PyObject *format) {
    struct ws_struct_object *of = ws_struct_type_get(PyModule_GetState(module), format);
    const struct ws_structfmt *f = of ? ws_struct_type_format(of) : NULL;
    PyObject *size = f ? PyLong_FromSize_t(f->size) : NULL;
    Py_XDECREF(of);
    return size;
}

#define FAST(name) {#name, (PyCFunction)(void (*)(void))struct_##name, METH_FASTCALL, name##_doc}

PyMethodDef ws_struct_functions[] = {
    FAST(pack),
    FAST(pack_into),
    FAST(unpack),
    {"unpack_from", (PyCFunction)(void (*)(void))struct_unpack_from, METH_FASTCALL | METH_KEYWORDS,
     unpack_from_doc},
    FAST(iter_unpack),
    {"calcsize", (PyCFunction)struct_calcsize, METH_O, calcsize_doc},
    {NULL, NULL, 0, NULL},
};
