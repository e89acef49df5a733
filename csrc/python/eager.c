/* eager.c: the first step of a task. See eager.h. */
#include "eager.h"

#include "errors.h"

#include <stdbool.h>

int ws_eager_visit(const struct ws_eager *e, visitproc visit, void *arg) {
    Py_VISIT(e->loop);
    Py_VISIT(e->start);
    Py_VISIT(e->new_task);
    Py_VISIT(e->enter);
    Py_VISIT(e->leave);
    return 0;
}

void ws_eager_clear(struct ws_eager *e) {
    Py_CLEAR(e->loop);
    Py_CLEAR(e->start);
    Py_CLEAR(e->new_task);
    Py_CLEAR(e->enter);
    Py_CLEAR(e->leave);
}

static bool call(PyObject *function, const struct ws_eager *e, PyObject *task) {
    PyObject *args[] = {e->loop, task};
    PyObject *none = PyObject_Vectorcall(function, args, 2, NULL);
    Py_XDECREF(none);
    return none != NULL;
}

/* In the context, with the task as the loop's current one. */
static PySendResult step(const struct ws_eager *e, PyObject *task, PyObject *coroutine,
                         PyObject *context, PyObject **value) {
    if (!call(e->enter, e, task)) return PYGEN_ERROR;
    bool is_inside = PyContext_Enter(context) == 0;
    PySendResult sent = is_inside ? PyIter_Send(coroutine, Py_None, value) : PYGEN_ERROR;
    PyObject *exc = sent == PYGEN_ERROR ? ws_errors_take() : NULL; /* while we tidy up */
    if (is_inside && PyContext_Exit(context) < 0) ws_errors_drop(context);
    if (!call(e->leave, e, task)) ws_errors_drop(e->leave);
    if (exc) ws_errors_give(exc);
    return sent;
}

/* The coroutine has returned value. Most tasks nobody has asked for: there is no need to set it. */
static void settle(PyObject *task, PyObject *callbacks, PyObject *value) {
    if (Py_REFCNT(task) == 1 && PyList_GET_SIZE(callbacks) == 0) return;
    PyObject *none = PyObject_CallMethod(task, "_settle", "O", value);
    if (!none) ws_errors_drop(task);
    Py_XDECREF(none);
}

/* It has raised what is set; that is forgiven if it was cancelled. */
static void fail(PyObject *task) {
    PyObject *exc = ws_errors_take();
    PyObject *is_cancelled = PyObject_CallMethod(task, "_fail", "O", exc);
    if (!is_cancelled) ws_errors_drop(task);
    if (is_cancelled == Py_True) Py_DECREF(exc);
    else ws_errors_give(exc);
    Py_XDECREF(is_cancelled);
}

/* It waits for what it has yielded. Whether that went well; else it raised. */
static bool suspend(PyObject *task, PyObject *value) {
    PyObject *none = PyObject_CallMethod(task, "_suspend", "O", value);
    Py_XDECREF(none);
    return none != NULL;
}

static bool goes_on(const struct ws_eager *e, PyObject *task, PyObject *callbacks,
                    PyObject *coroutine, PyObject *context) {
    PyObject *value = NULL;
    PySendResult sent = step(e, task, coroutine, context, &value);
    if (sent == PYGEN_RETURN) settle(task, callbacks, value);
    else if (sent == PYGEN_ERROR) fail(task);
    bool waits = sent == PYGEN_NEXT && suspend(task, value);
    Py_XDECREF(value);
    return waits;
}

PyObject *ws_eager_start(const struct ws_eager *e, PyObject *coroutine, PyObject *context) {
    PyObject *args[] = {coroutine, e->loop, context, NULL};
    PyObject *task;
    if (e->start) {
        task = PyObject_Vectorcall(e->start, args, 3, NULL);
        if (task == Py_None) Py_CLEAR(task);
        return task;
    }
    PyObject *callbacks = args[3] = PyList_New(0);
    task = callbacks ? PyObject_Vectorcall(e->new_task, args, 4, NULL) : NULL;
    if (task && !goes_on(e, task, callbacks, coroutine, context)) Py_CLEAR(task);
    Py_XDECREF(callbacks);
    return task;
}
