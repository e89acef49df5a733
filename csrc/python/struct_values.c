/* struct_values.c: see struct_values.h. The exceptions and their texts are those of CPython's
 * struct. */
#include "struct_values.h"

#include <string.h>

/* ---- to bytes ---- */

static int refuse(const struct ws_state *state, const char *why) {
    PyErr_SetString(state->struct_error, why);
    return -1;
}

/* CPython before 3.12 names the C types of the small ones. */
static const char *range_name(char code) {
    if (PY_VERSION_HEX >= 0x030C0000) return NULL;
    switch (code) {
    case 'b': return "byte";
    case 'B': return "ubyte";
    case 'h': return "short";
    case 'H': return "ushort";
    default: return NULL;
    }
}

static int refuse_range(const struct ws_state *state, const struct ws_struct_item *item) {
    unsigned long long max = ws_struct_max(item);
    long long min = item->kind == WS_STRUCT_INT ? -(long long)max - 1 : 0;
    const char *name = range_name(item->code);
    char quoted[] = {'\'', item->code, '\'', '\0'};
    PyErr_Format(state->struct_error, "%s format requires %lld <= number <= %llu",
                 name ? name : quoted, min, max);
    return -1;
}

/* An int's bits, if it has a place in the item. */
static int get_bits(const struct ws_state *state, const struct ws_struct_item *item,
                    PyObject *number, uint64_t *bits) {
    int overflow;
    long long x = PyLong_AsLongLongAndOverflow(number, &overflow);
    uint64_t max = ws_struct_max(item);
    *bits = (uint64_t)x;
    if (overflow == 0) {
        bool fits = x >= 0 ? *bits <= max : item->kind == WS_STRUCT_INT && ~*bits <= max;
        return fits ? 0 : refuse_range(state, item);
    }
    if (overflow < 0 || max != UINT64_MAX) return refuse_range(state, item);
    *bits = PyLong_AsUnsignedLongLong(number);
    if (*bits != UINT64_MAX || !PyErr_Occurred()) return 0;
    PyErr_Clear();
    return refuse_range(state, item);
}

static int put_int(const struct ws_state *state, const struct ws_struct_item *item, uint8_t *at,
                   PyObject *value) {
    uint64_t bits;
    if (PyLong_CheckExact(value) && item->kind != WS_STRUCT_POINTER) { /* nearly always */
        if (get_bits(state, item, value, &bits) < 0) return -1;
        ws_struct_put(item, at, bits);
        return 0;
    }
    if (!PyLong_Check(value) && !PyIndex_Check(value))
        return refuse(state, "required argument is not an integer");
    PyObject *number = PyLong_Check(value) ? Py_NewRef(value) : PyNumber_Index(value);
    if (!number) return -1;
    int err = 0;
    if (item->kind == WS_STRUCT_POINTER) {
        bits = (uint64_t)(uintptr_t)PyLong_AsVoidPtr(number);
        if (bits == 0 && PyErr_Occurred()) err = -1;
    } else {
        err = get_bits(state, item, number, &bits);
    }
    Py_DECREF(number);
    if (err == 0) ws_struct_put(item, at, bits);
    return err;
}

static int put_float(const struct ws_state *state, const struct ws_struct_item *item, uint8_t *at,
                     PyObject *value) {
    double v = PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : PyFloat_AsDouble(value);
    if (v == -1.0 && PyErr_Occurred()) return refuse(state, "required argument is not a float");
    if (ws_struct_put_float(item, at, v) == 0) return 0;
    PyErr_Format(PyExc_OverflowError, "float too large to pack with %c format", item->code);
    return -1;
}

static int put_complex(const struct ws_state *state, const struct ws_struct_item *item, uint8_t *at,
                       PyObject *value) {
    Py_complex v = PyComplex_AsCComplex(value);
    if (v.real == -1.0 && PyErr_Occurred())
        return refuse(state, "required argument is not a complex");
    if (ws_struct_put_float(item, at, v.real) == 0 &&
        ws_struct_put_float(item, at + item->width, v.imag) == 0)
        return 0;
    PyErr_Format(PyExc_OverflowError, "complex too large to pack with %c format", item->code);
    return -1;
}

static int put_bytes(const struct ws_state *state, const struct ws_struct_item *item, uint8_t *at,
                     PyObject *value) {
    struct ws_slice bytes;
    if (PyBytes_Check(value)) {
        bytes = (struct ws_slice){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)};
    } else if (PyByteArray_Check(value)) {
        bytes =
            (struct ws_slice){PyByteArray_AS_STRING(value), (size_t)PyByteArray_GET_SIZE(value)};
    } else {
        PyErr_Format(state->struct_error, "argument for '%c' must be a bytes object", item->code);
        return -1;
    }
    ws_struct_put_bytes(item, at, bytes);
    return 0;
}

static int put(const struct ws_state *state, const struct ws_struct_item *item, uint8_t *at,
               PyObject *value) {
    int truth;
    switch ((enum ws_struct_kind)item->kind) {
    case WS_STRUCT_INT:
    case WS_STRUCT_UINT:
    case WS_STRUCT_POINTER: return put_int(state, item, at, value);
    case WS_STRUCT_FLOAT: return put_float(state, item, at, value);
    case WS_STRUCT_COMPLEX: return put_complex(state, item, at, value);
    case WS_STRUCT_BOOL:
        truth = PyObject_IsTrue(value);
        if (truth >= 0) *at = (uint8_t)truth;
        return truth < 0 ? -1 : 0;
    case WS_STRUCT_CHAR:
        if (!PyBytes_Check(value) || PyBytes_GET_SIZE(value) != 1)
            return refuse(state, "char format requires a bytes object of length 1");
        *at = (uint8_t)*PyBytes_AS_STRING(value);
        return 0;
    case WS_STRUCT_BYTES:
    case WS_STRUCT_PASCAL: return put_bytes(state, item, at, value);
    case WS_STRUCT_PAD: break;
    }
    return 0;
}

/* An int that is no float, or no address, is told as one that has no place; a float is not. */
static int fail(const struct ws_state *state, PyObject *value) {
    if (!PyLong_Check(value) || !PyErr_ExceptionMatches(PyExc_OverflowError)) return -1;
    PyErr_Clear();
    return refuse(state, "int too large to convert");
}

int ws_struct_values_pack(const struct ws_state *state, const struct ws_structfmt *f, uint8_t *out,
                          PyObject *const *values) {
    if (f->has_gaps) memset(out, 0, f->size);
    for (size_t i = 0; i < f->n_items; i++) {
        const struct ws_struct_item *item = &f->items[i];
        uint8_t *at = out + item->offset;
        for (size_t k = 0; k < item->count; k++, at += item->len, values++)
            if (put(state, item, at, *values) < 0) return fail(state, *values);
    }
    return 0;
}

/* ---- to objects ---- */

static PyObject *get(const struct ws_struct_item *item, const uint8_t *at) {
    uint64_t bits;
    switch ((enum ws_struct_kind)item->kind) {
    case WS_STRUCT_INT: return PyLong_FromLongLong(ws_struct_get_signed(item, at));
    case WS_STRUCT_UINT:
        bits = ws_struct_get(item, at); /* for what is short there is a shorter way */
        return bits <= LONG_MAX ? PyLong_FromLong((long)bits) : PyLong_FromUnsignedLongLong(bits);
    case WS_STRUCT_POINTER: return PyLong_FromVoidPtr((void *)(uintptr_t)ws_struct_get(item, at));
    case WS_STRUCT_FLOAT: return PyFloat_FromDouble(ws_struct_get_float(item, at));
    case WS_STRUCT_COMPLEX:
        return PyComplex_FromDoubles(ws_struct_get_float(item, at),
                                     ws_struct_get_float(item, at + item->width));
    case WS_STRUCT_BOOL: return PyBool_FromLong(*at);
    case WS_STRUCT_CHAR:
    case WS_STRUCT_BYTES:
    case WS_STRUCT_PASCAL: {
        struct ws_slice bytes = ws_struct_get_bytes(item, at);
        return PyBytes_FromStringAndSize(bytes.data, (Py_ssize_t)bytes.len);
    }
    case WS_STRUCT_PAD: break;
    }
    Py_UNREACHABLE();
}

int ws_struct_values_unpack(const struct ws_structfmt *f, const uint8_t *in, PyObject **values) {
    size_t n = 0;
    for (size_t i = 0; i < f->n_items; i++) {
        const struct ws_struct_item *item = &f->items[i];
        const uint8_t *at = in + item->offset;
        for (size_t k = 0; k < item->count; k++, at += item->len) {
            values[n] = get(item, at);
            if (!values[n]) {
                for (; n > 0; n--) Py_CLEAR(values[n - 1]);
                return -1;
            }
            n++;
        }
    }
    return 0;
}

PyObject *ws_struct_values_tuple(const struct ws_structfmt *f, const uint8_t *in) {
    PyObject *tuple = PyTuple_New((Py_ssize_t)f->n_values);
    if (tuple && ws_struct_values_unpack(f, in, &PyTuple_GET_ITEM(tuple, 0)) < 0) Py_CLEAR(tuple);
    return tuple;
}
