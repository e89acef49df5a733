/* packed.c: see packed.h. Values themselves: struct_values.c. */
#include "packed.h"

#include "errors.h"
#include "struct_type.h"
#include "struct_values.h"

#define FEW 16 /* values of a call that need no memory of their own */

/* ---- outwards ---- */

/* Straight into the frame; NULL with an exception set. */
static int write_there(const struct ws_state *state, const struct ws_structfmt *f, uint8_t *room,
                       PyObject *const *values, struct ws_convert_payload *p) {
    if (ws_struct_values_pack(state, f, room, values) < 0) return -1;
    *p = (struct ws_convert_payload){.payload = {.data = room, .len = f->size, .placed = true}};
    return 0;
}

/* The Struct of a format (new reference); NULL with an exception set, which says which format. */
static struct ws_struct_object *get_struct(const struct ws_state *state, PyObject *format) {
    struct ws_struct_object *of = ws_struct_type_get(state, format);
    if (of || !PyErr_ExceptionMatches(state->struct_error)) return of;
    PyObject *why = ws_errors_take();
    PyErr_Format(state->struct_error, "format %R: %S", format, why);
    Py_DECREF(why);
    return NULL;
}

PyObject *ws_packed_write(struct ws_server_object *server, PyObject *const *args, Py_ssize_t n,
                          struct ws_convert_payload *p) {
    struct ws_struct_object *of = get_struct(server->state, args[0]);
    const struct ws_structfmt *f = of ? ws_struct_type_format(of) : NULL;
    PyObject *kept = NULL;
    uint8_t *room = NULL;
    /* A wrong number of values is told by the Struct. */
    if (f && (size_t)n - 1 == f->n_values) room = ws_server_room(server->core, f->size);
    if (room) {
        if (write_there(server->state, f, room, args + 1, p) == 0) return (PyObject *)of;
    } else if (f && (kept = ws_struct_type_pack(of, args + 1, n - 1))) {
        /* Exact bytes: this cannot fail. */
        if (ws_convert_payload_init(p, "pack", kept) < 0) Py_CLEAR(kept);
    }
    Py_XDECREF(of);
    return kept;
}

/* ---- inwards ---- */

bool ws_packed_fits(const struct ws_packed *packed, size_t len) {
    size_t size = packed->format->size;
    return packed->many ? len % size == 0 : len == size;
}

/* The values are the arguments: no tuple is made. */
static bool call_with_values(PyObject *handler, struct ws_conn_object *conn,
                             const struct ws_structfmt *f, const uint8_t *data) {
    PyObject *few[2 + FEW]; /* the free place in front lets a bound method put its self there */
    PyObject **args = f->n_values <= FEW ? few : PyMem_New(PyObject *, f->n_values + 2);
    PyObject *result = NULL;
    if (!args) {
        PyErr_NoMemory();
        return false;
    }
    args[1] = (PyObject *)conn;
    if (ws_struct_values_unpack(f, data, args + 2) == 0) {
        size_t n = (f->n_values + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET;
        result = PyObject_Vectorcall(handler, args + 1, n, NULL);
        for (size_t i = 0; i < f->n_values; i++) Py_DECREF(args[2 + i]);
    }
    if (args != few) PyMem_Free(args);
    Py_XDECREF(result);
    return result != NULL;
}

/* NULL with an exception set. */
static PyObject *make_records(const struct ws_structfmt *f, const uint8_t *data, size_t len) {
    PyObject *list = PyList_New((Py_ssize_t)(len / f->size));
    for (Py_ssize_t i = 0; list && i < PyList_GET_SIZE(list); i++) {
        PyObject *record = ws_struct_values_tuple(f, data + (size_t)i * f->size);
        if (record) PyList_SET_ITEM(list, i, record);
        else Py_CLEAR(list);
    }
    return list;
}

bool ws_packed_call(const struct ws_packed *packed, PyObject *handler, struct ws_conn_object *conn,
                    const uint8_t *data, size_t len) {
    const struct ws_structfmt *f = packed->format;
    if (!packed->many) return call_with_values(handler, conn, f, data);
    PyObject *records = make_records(f, data, len), *result = NULL;
    PyObject *args[] = {NULL, (PyObject *)conn, records};
    if (records)
        result = PyObject_Vectorcall(handler, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(records);
    Py_XDECREF(result);
    return result != NULL;
}
