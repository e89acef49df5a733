/* functions.c: see functions.h. */
#include "functions.h"

int ws_functions_add(PyObject *module, struct ws_function *table, size_t n) {
    for (size_t i = 0; i < n; i++) {
        PyObject *home = PyUnicode_FromString(table[i].home);
        if (!home) return -1;
        PyObject *function = PyCFunction_NewEx(&table[i].method, module, home);
        Py_DECREF(home);
        if (!function) return -1;
        int err = PyModule_AddObjectRef(module, table[i].attribute, function);
        Py_DECREF(function);
        if (err < 0) return -1;
    }
    return 0;
}

/* Which parameter a keyword is, or -1. */
static Py_ssize_t find_name(const struct ws_parameters *p, PyObject *keyword) {
    for (Py_ssize_t i = 0; p->names[i]; i++)
        if (PyUnicode_CompareWithASCIIString(keyword, p->names[i]) == 0) return i;
    return -1;
}

int ws_functions_sort(const struct ws_parameters *p, PyObject *const *args, Py_ssize_t n,
                      PyObject *keywords, PyObject **values) {
    Py_ssize_t n_keywords = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    if (n > p->n_places) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments (%zd given)",
                     p->function, p->n_places, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n; i++) values[i] = args[i];
    for (Py_ssize_t i = 0; i < n_keywords; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        Py_ssize_t at = find_name(p, keyword);
        if (at < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R", p->function,
                         keyword);
            return -1;
        }
        if (at < n) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", p->function,
                         p->names[at]);
            return -1;
        }
        values[at] = args[n + i];
    }
    for (Py_ssize_t i = n; i < p->n_needed; i++) {
        if (values[i]) continue;
        PyErr_Format(PyExc_TypeError, "%s() missing argument '%s'", p->function, p->names[i]);
        return -1;
    }
    return 0;
}
