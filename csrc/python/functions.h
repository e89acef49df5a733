/* functions.h: the functions of the module: making them, and sorting what they are called with. */
#ifndef WS_PY_FUNCTIONS_H
#define WS_PY_FUNCTIONS_H

#include "state.h"

/* A function as a module of wspy shows it: wspy._core has it as `attribute`, its own name and the
 * module that it says it is of (`home`) are those that people see. */
struct ws_function {
    const char *attribute, *home;
    PyMethodDef method;
};

/* Adds n functions, which get the module as their first argument. The table must stay. 0, or -1
 * with an exception set. */
int ws_functions_add(PyObject *module, struct ws_function *table, size_t n);

/* The parameters of a function: the first n_places may be given by place, all may be by name, the
 * first n_needed must be there. names ends with NULL. */
struct ws_parameters {
    const char *function;
    const char *const *names;
    Py_ssize_t n_places, n_needed;
};

/* Sorts the arguments of a METH_FASTCALL | METH_KEYWORDS call into values, which are borrowed, and
 * as before where there is none. 0, or -1 with a TypeError set. */
int ws_functions_sort(const struct ws_parameters *parameters, PyObject *const *args, Py_ssize_t n,
                      PyObject *keywords, PyObject **values);

#endif
