/* errors.c: raising. Decides nothing: who is told of which exception is for events.c to say. */
#include "errors.h"

#include "ws.h"

#include <stdarg.h>
#include <string.h>
#include <sys/select.h>

#if PY_VERSION_HEX >= 0x030C0000
PyObject *ws_errors_take(void) {
    return PyErr_GetRaisedException();
}
#else
PyObject *ws_errors_take(void) {
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback && value) PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}
#endif

void ws_errors_give(PyObject *exc) {
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    Py_DECREF(exc);
}

void ws_errors_drop(PyObject *where) {
    PyErr_WriteUnraisable(where);
}

bool ws_errors_is_cancelled(PyObject *exc) {
    PyObject *name = PyUnicode_FromString("asyncio.exceptions");
    PyObject *module = name ? PyImport_GetModule(name) : NULL;
    PyObject *type = module ? PyObject_GetAttrString(module, "CancelledError") : NULL;
    bool is = type && PyErr_GivenExceptionMatches(exc, type);
    if (PyErr_Occurred()) ws_errors_drop(name);
    Py_XDECREF(type);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return is;
}

void ws_errors_raise(int err) {
    if (err == WS_ERR_MEMORY) {
        PyErr_NoMemory();
    } else {
        PyErr_SetString(PyExc_RuntimeError, ws_err_text(err));
    }
}

void ws_errors_raise_why(int err, int errnum, const char *why) {
    if (err == WS_ERR_MEMORY) {
        PyErr_NoMemory();
        return;
    }
    /* "replace": the text may hold a file's name, and may have been cut inside a character. */
    PyObject *text = PyUnicode_DecodeUTF8(why, (Py_ssize_t)strlen(why), "replace");
    if (!text) return;
    PyObject *exc = err == WS_ERR_SYSTEM ? PyObject_CallFunction(PyExc_OSError, "iO", errnum, text)
                                         : PyObject_CallOneArg(PyExc_OSError, text);
    Py_DECREF(text);
    if (exc) ws_errors_give(exc);
}

PyObject *ws_errors_raise_os(int errnum, const char *format, ...) {
    va_list values;
    va_start(values, format);
    PyObject *text = PyUnicode_FromFormatV(format, values);
    va_end(values);
    PyObject *exc = text ? PyObject_CallFunction(PyExc_OSError, "iO", errnum, text) : NULL;
    Py_XDECREF(text);
    if (exc) ws_errors_give(exc);
    return NULL;
}

PyObject *ws_errors_raise_large(int fd) {
    return PyErr_Format(PyExc_ValueError,
                        "descriptor %d is too large for the strategy select (FD_SETSIZE is %d)", fd,
                        FD_SETSIZE);
}

void ws_errors_raise_closed(const struct ws_state *state, int code, PyObject *reason) {
    PyObject *exc = PyObject_CallFunction(state->connection_closed, "iO", code, reason);
    if (exc) ws_errors_give(exc);
}
