/* arguments.h: what a function of the module or a method was called with, sorted by parameter. */
#ifndef WS_PY_ARGUMENTS_H
#define WS_PY_ARGUMENTS_H

#include "state.h"

#include <stdbool.h>

/* The parameters of a function: the first n_unnamed may be given by place only, those from there to
 * n_places by place or by name, the rest by name; the first n_needed must be there. names ends with
 * NULL. With takes_more any number may follow those by place, which are for the caller to read. */
struct ws_parameters {
    const char *function;
    const char *const *names;
    Py_ssize_t n_unnamed, n_places, n_needed;
    bool takes_more;
};

/* Sorts the arguments of a METH_FASTCALL | METH_KEYWORDS call into values, which are borrowed, and
 * as before where there is none. 0, or -1 with a TypeError set. */
int ws_arguments_sort(const struct ws_parameters *parameters, PyObject *const *args, Py_ssize_t n,
                      PyObject *keywords, PyObject **values);

#endif
