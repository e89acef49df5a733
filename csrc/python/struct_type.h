/* struct_type.h: wspy.Struct: a format that is parsed once, with what it packs and unpacks. */
#ifndef WS_PY_STRUCT_TYPE_H
#define WS_PY_STRUCT_TYPE_H

#include "state.h"

#include "structfmt.h"

struct ws_struct_object {
    PyObject_HEAD const struct ws_state *state; /* borrowed: of the module, which the type holds */
    struct ws_structfmt *format;                /* owned; NULL before __init__ */
    PyObject *text;                             /* owned: the format as str; NULL with it */
    struct ws_struct_past *past;                /* owned: formats of earlier __init__s */
    PyObject *weakrefs;
};

/* The compiled format of a Struct that was initialized, else RuntimeError is set and NULL is
 * returned. It lives as long as the Struct. */
const struct ws_structfmt *ws_struct_type_format(const struct ws_struct_object *self);
/* The Struct of a format, out of the cache, or the Struct itself (new reference); NULL with an
 * exception set. */
struct ws_struct_object *ws_struct_type_get(const struct ws_state *state, PyObject *format);

/* What the methods and the functions of the same names do, behind the format. */
PyObject *ws_struct_type_pack(struct ws_struct_object *self, PyObject *const *args, Py_ssize_t n);
PyObject *ws_struct_type_pack_into(struct ws_struct_object *self, PyObject *const *args,
                                   Py_ssize_t n);
PyObject *ws_struct_type_unpack(struct ws_struct_object *self, PyObject *buffer);
PyObject *ws_struct_type_unpack_from(struct ws_struct_object *self, PyObject *const *args,
                                     Py_ssize_t n, PyObject *keywords);
PyObject *ws_struct_type_iter_unpack(struct ws_struct_object *self, PyObject *buffer);

/* New references to the types, or NULL with an exception set. */
PyObject *ws_struct_type_new(PyObject *module);
PyObject *ws_struct_type_new_iterator(PyObject *module);

#endif
