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
