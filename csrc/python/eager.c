/* eager.c: the first step of a task. See eager.h.
 *
 * Most coroutines end with their first step, and nobody asks for the task that they were. So one
 * task is the current one of all of them, in turns. It stays blank until somebody has it do
 * something, or its coroutine goes on: then it becomes that one's for good, and the next step gets
 * another. */
#include "eager.h"

#include "begun_type.h"
#include "errors.h"

#include <stdbool.h>

static void drop_blank(struct ws_blank *blank) {
    Py_CLEAR(blank->task);
    Py_CLEAR(blank->begun);
}

int ws_eager_visit(const struct ws_eager *e, visitproc visit, void *arg) {
    Py_VISIT(e->loop);
    Py_VISIT(e->keywords);
    Py_VISIT(e->start);
    Py_VISIT(e->blank_type);
    Py_VISIT(e->fill);
    Py_VISIT(e->fail);
    Py_VISIT(e->current);
    Py_VISIT(e->spare.task);
    Py_VISIT(e->spare.begun);
    return 0;
}

void ws_eager_clear(struct ws_eager *e) {
    Py_CLEAR(e->loop);
    Py_CLEAR(e->keywords);
    Py_CLEAR(e->start);
    Py_CLEAR(e->blank_type);
    Py_CLEAR(e->fill);
    Py_CLEAR(e->fail);
    Py_CLEAR(e->current);
    drop_blank(&e->spare);
}

int ws_eager_set(struct ws_eager *e, PyObject *within) {
    PyObject *loop, *start, *blank_type, *fill, *fail, *current; /* borrowed */
    ws_eager_clear(e);
    if (within == Py_None) return 0;
    if (!PyArg_ParseTuple(within, "OOOOOO:_set_eager", &loop, &start, &blank_type, &fill, &fail,
                          &current))
        return -1;
    e->keywords = Py_BuildValue("{sO}", "loop", loop);
    if (!e->keywords) return -1;
    e->loop = Py_NewRef(loop);
    e->start = start == Py_None ? NULL : Py_NewRef(start);
    e->blank_type = Py_NewRef(blank_type);
    e->fill = Py_NewRef(fill);
    e->fail = Py_NewRef(fail);
    e->current = Py_NewRef(current);
    return 0;
}

/* ---- blank tasks ---- */

static bool make_blank(const struct ws_eager *e, struct ws_blank *blank) {
    blank->begun = ws_begun_type_make(e->state);
    if (!blank->begun) return false;
    PyObject *args[] = {e->loop, blank->begun};
    blank->task = PyObject_Vectorcall(e->blank_type, args, 2, NULL);
    if (!blank->task) drop_blank(blank);
    return blank->task != NULL;
}

static bool has_weakrefs(PyObject *object) {
    PyObject **list = PyObject_GET_WEAKREFS_LISTPTR(object);
    return *list != NULL;
}

static bool is_blank(const struct ws_eager *e, PyObject *task) {
    return Py_TYPE(task) == (PyTypeObject *)e->blank_type;
}

/* Whether nobody can tell the task from a new one. */
static bool is_as_new(const struct ws_eager *e, PyObject *task) {
    return is_blank(e, task) && Py_REFCNT(task) == 1 && !has_weakrefs(task);
}

/* Keeps it for the next step, if there is none. */
static void spare(struct ws_eager *e, struct ws_blank *blank) {
    if (e->spare.task) return;
    ws_begun_type_set(blank->begun, NULL, NULL);
    e->spare = *blank;
    *blank = (struct ws_blank){NULL, NULL};
}

static bool set_type(const struct ws_eager *e, PyObject *task, PyTypeObject *type) {
    return PyObject_GenericSetAttr(task, e->state->class_name, (PyObject *)type) == 0;
}

/* As e->fill, without its lock: nobody else has the task. For an audit hook, which is told of the
 * new type, it is blank, and not one to be filled. If this fails the task is of no use any more. */
static bool fill_new(const struct ws_eager *e, const struct ws_blank *blank, PyObject *args) {
    PyTypeObject *type = ((PyTypeObject *)e->blank_type)->tp_base;
    PyObject *coroutine = ws_begun_type_swap(blank->begun, NULL);
    bool done = set_type(e, blank->task, type);
    Py_XDECREF(ws_begun_type_swap(blank->begun, coroutine));
    return done && type->tp_init(blank->task, args, e->keywords) == 0;
}

static bool fill_shared(const struct ws_eager *e, PyObject *task) {
    PyObject *none = PyObject_CallOneArg(e->fill, task);
    Py_XDECREF(none);
    return none != NULL;
}

/* Makes it the task of its coroutine, if it is not yet. False: it raised. */
static bool fill(const struct ws_eager *e, const struct ws_blank *blank) {
    if (!is_blank(e, blank->task)) return true;
    PyObject *args = PyTuple_Pack(1, blank->begun); /* before the look: the collector may run */
    if (!args) return false;
    bool is_new = is_as_new(e, blank->task);
    bool done = is_new ? fill_new(e, blank, args) : fill_shared(e, blank->task);
    Py_DECREF(args);
    return done;
}

/* ---- the step ---- */

static bool enter(const struct ws_eager *e, PyObject *task) {
    PyObject *current = PyDict_SetDefault(e->current, e->loop, task); /* borrowed */
    if (current && current != task)
        PyErr_Format(PyExc_RuntimeError, "an async handler cannot be called in a step of %R",
                     current);
    return current == task;
}

/* With the task as the loop's current one. */
static PySendResult step(const struct ws_eager *e, const struct ws_blank *blank, PyObject **value) {
    if (!enter(e, blank->task)) return PYGEN_ERROR;
    PySendResult sent = ws_begun_type_step(blank->begun, value);
    PyObject *exc = sent == PYGEN_ERROR ? ws_errors_take() : NULL; /* while we tidy up */
    if (PyDict_DelItem(e->current, e->loop) < 0) ws_errors_drop(e->loop);
    if (exc) ws_errors_give(exc);
    return sent;
}

/* The coroutine has raised exc, and somebody has the task: what that raises (new reference). */
static PyObject *fail(const struct ws_eager *e, PyObject *task, PyObject *exc) {
    PyObject *args[] = {task, exc};
    PyObject *raises = PyObject_Vectorcall(e->fail, args, 2, NULL);
    if (raises) return raises;
    ws_errors_drop(task);
    return Py_NewRef(exc);
}

/* The first step came to value, which it steals, and the task is to be told. Whether it goes on; if
 * not, what it raised is set. */
static bool come_to(const struct ws_eager *e, const struct ws_blank *blank, PySendResult sent,
                    PyObject *value) {
    PyObject *exc = sent == PYGEN_ERROR ? ws_errors_take() : NULL;
    if (!fill(e, blank)) { /* the coroutine ends here, whoever has the task */
        Py_XDECREF(value);
        ws_begun_type_set(blank->begun, NULL, NULL);
        if (exc) ws_errors_drop(blank->task);
    } else {
        if (exc) value = fail(e, blank->task, exc);
        ws_begun_type_came_to(blank->begun, sent, value);
    }
    if (exc) ws_errors_give(exc);
    return sent == PYGEN_NEXT && !PyErr_Occurred();
}

/* Nobody need be told of a cancelled handler. */
static void forgive(void) {
    PyObject *exc = PyErr_Occurred() ? ws_errors_take() : NULL;
    if (exc && !ws_errors_is_cancelled(exc)) ws_errors_give(exc);
    else Py_XDECREF(exc);
}

static PyObject *start_blank(struct ws_eager *e, struct ws_blank *blank) {
    PyObject *value = NULL, *task = NULL;
    PySendResult sent = step(e, blank, &value);
    if (sent != PYGEN_NEXT && is_as_new(e, blank->task)) {
        Py_XDECREF(value);
        spare(e, blank);
    } else if (come_to(e, blank, sent, value)) {
        task = Py_NewRef(blank->task);
    }
    forgive();
    return task;
}

PyObject *ws_eager_start(struct ws_eager *e, PyObject *coroutine, PyObject *context) {
    if (e->start) {
        PyObject *args[] = {coroutine, e->loop, context};
        PyObject *task = PyObject_Vectorcall(e->start, args, 3, NULL);
        if (task == Py_None) Py_CLEAR(task);
        return task;
    }
    struct ws_blank blank = e->spare;
    e->spare = (struct ws_blank){NULL, NULL}; /* for a step inside this one there is another */
    if (blank.task && !is_as_new(e, blank.task)) drop_blank(&blank); /* the collector shows it */
    if (!blank.task && !make_blank(e, &blank)) return NULL;
    ws_begun_type_set(blank.begun, coroutine, context);
    PyObject *task = start_blank(e, &blank);
    drop_blank(&blank);
    return task;
}
