/* arguments.c: see arguments.h. What a format string of Python's would have to be read for at each
 * call stands in a table. */
#include "arguments.h"

/* Which parameter from that one on a keyword is, or -1. */
static Py_ssize_t find_name(const struct ws_parameters *p, Py_ssize_t from, PyObject *keyword) {
    for (Py_ssize_t i = from; p->names[i]; i++)
        if (PyUnicode_CompareWithASCIIString(keyword, p->names[i]) == 0) return i;
    return -1;
}

static int refuse(const struct ws_parameters *p, PyObject *keyword) {
    PyErr_Format(PyExc_TypeError,
                 find_name(p, 0, keyword) < 0 ? "%s() got an unexpected keyword argument %R"
                                              : "%s() takes %R by position only",
                 p->function, keyword);
    return -1;
}

int ws_arguments_sort(const struct ws_parameters *p, PyObject *const *args, Py_ssize_t n,
                      PyObject *keywords, PyObject **values) {
    Py_ssize_t n_keywords = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    Py_ssize_t n_sorted = n < p->n_places ? n : p->n_places;
    if (n > n_sorted && !p->takes_more) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments (%zd given)",
                     p->function, p->n_places, n);
        return -1;
    }
    for (Py_ssize_t i = 0; i < n_sorted; i++) values[i] = args[i];
    for (Py_ssize_t i = 0; i < n_keywords; i++) {
        PyObject *keyword = PyTuple_GET_ITEM(keywords, i);
        Py_ssize_t at = find_name(p, p->n_unnamed, keyword);
        if (at < 0) return refuse(p, keyword);
        if (at < n_sorted) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%s'", p->function,
                         p->names[at]);
            return -1;
        }
        values[at] = args[n + i];
    }
    for (Py_ssize_t i = n_sorted; i < p->n_needed; i++) {
        if (values[i]) continue;
        PyErr_Format(PyExc_TypeError, "%s() missing argument '%s'", p->function, p->names[i]);
        return -1;
    }
    return 0;
}
