/* packed.c: see packed.h. Values themselves: struct_values.c. */
#include "packed.h"

#include "errors.h"
#include "struct_type.h"
#include "struct_values.h"

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

/* The values are the arguments: no tuple is made. */
int ws_packed_arguments_init(struct ws_packed_arguments *a, const struct ws_packed *packed,
                             struct ws_conn_object *conn, const uint8_t *data, size_t len) {
    const struct ws_structfmt *f = packed->format;
    size_t n = packed->many ? 1 : f->n_values;
    PyObject **places = n <= WS_PACKED_FEW ? a->few : PyMem_New(PyObject *, n + 2);
    if (!places) {
        PyErr_NoMemory();
        return -1;
    }
    int err = 0;
    places[1] = (PyObject *)conn;
    if (!packed->many) err = ws_struct_values_unpack(f, data, places + 2);
    else if (!(places[2] = make_records(f, data, len))) err = -1;
    if (err < 0 && places != a->few) PyMem_Free(places);
    a->args = places + 1;
    a->n = n + 1;
    return err;
}

void ws_packed_arguments_fini(struct ws_packed_arguments *a) {
    for (size_t i = 1; i < a->n; i++) Py_DECREF(a->args[i]);
    if (a->args != a->few + 1) PyMem_Free(a->args - 1);
}
