/* functions.h: the functions of the module, under the names that people see. */
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

#endif
