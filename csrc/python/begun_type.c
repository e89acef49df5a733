/* begun_type.c: a coroutine that has begun. See begun_type.h.
 *
 * asyncio's task takes it for a coroutine: it has send(), throw() and close(). The steps are in a
 * context of our own, since a task before CPython 3.11 takes none, and so that the task's first
 * step, which only tells of what was before, disturbs nobody in there. */
#include "begun_type.h"

#include "errors.h"

#include <stdbool.h>
#include <structmember.h>

struct begun {
    PyObject_HEAD PyObject *coroutine, *context; /* owned; NULL: none yet */
    PyObject *value;   /* owned: what the task is still to be told of the first step, or NULL */
    PySendResult sent; /* of what kind that is */
    bool blocks;       /* it is a future, which was awaited and not merely yielded */
};

/* ---- futures ---- */

/* A future that is yielded by `await` says so, and who waits for it takes that back: as long as it
 * says it nobody else can await it. Ours says it again when the task gets it. */
static const char blocking[] = "_asyncio_future_blocking";

static bool take_blocking(PyObject *value) {
    PyObject *is = value == Py_None ? NULL : PyObject_GetAttrString(value, blocking);
    if (is == Py_True && PyObject_SetAttrString(value, blocking, Py_False) < 0) Py_CLEAR(is);
    if (!is) PyErr_Clear(); /* it is no future: asyncio will say so */
    Py_XDECREF(is);
    return is == Py_True;
}

/* asyncio cancels what a task waits for, with the message that comes back as exc's; the task does
 * not know that it waits. A future of the user's may close us meanwhile. */
static bool cancel(struct begun *self, PyObject *exc) {
    PyObject *args = ((PyBaseExceptionObject *)exc)->args;
    PyObject *message = PyTuple_GET_SIZE(args) ? PyTuple_GET_ITEM(args, 0) : Py_None;
    PyObject *future = Py_NewRef(self->value);
    PyObject *is_cancelled = PyObject_CallMethod(future, "cancel", "(O)", message);
    if (!is_cancelled) ws_errors_drop(future);
    Py_XDECREF(is_cancelled);
    Py_DECREF(future);
    return is_cancelled == Py_True && self->value;
}

/* ---- steps ---- */

/* In the context: the exception of the step is put aside while it is left. */
static void leave(struct begun *self) {
    PyObject *exc = PyErr_Occurred() ? ws_errors_take() : NULL;
    if (PyContext_Exit(self->context) < 0) ws_errors_drop(self->context);
    if (exc) ws_errors_give(exc);
}

static PySendResult step(struct begun *self, PyObject *arg, PyObject **value) {
    if (PyContext_Enter(self->context) < 0) return PYGEN_ERROR;
    PySendResult sent = PyIter_Send(self->coroutine, arg, value);
    leave(self);
    return sent;
}

static PySendResult tell(struct begun *self, PyObject **value) {
    PyObject *told = self->value;
    self->value = NULL;
    if (self->sent == PYGEN_ERROR) {
        ws_errors_give(told);
        return PYGEN_ERROR;
    }
    if (self->blocks && PyObject_SetAttrString(told, blocking, Py_True) < 0) {
        Py_DECREF(told);
        return PYGEN_ERROR;
    }
    *value = told;
    return self->sent;
}

static PySendResult begun_am_send(struct begun *self, PyObject *arg, PyObject **value) {
    *value = NULL;
    if (self->value) return tell(self, value);
    if (self->coroutine) return step(self, arg, value);
    PyErr_SetString(PyExc_RuntimeError, "this coroutine has not begun");
    return PYGEN_ERROR;
}

/* What send() gives, of a step. */
static PyObject *give(PySendResult sent, PyObject *value) {
    if (sent != PYGEN_RETURN) return value;
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
    Py_DECREF(value);
    if (stop) ws_errors_give(stop);
    return NULL;
}

static PyObject *begun_send(struct begun *self, PyObject *arg) {
    PyObject *value;
    PySendResult sent = begun_am_send(self, arg, &value);
    return give(sent, value);
}

static PyObject *begun_next(struct begun *self) {
    return begun_send(self, Py_None);
}

static PyObject *throw_in(struct begun *self, PyObject *args) {
    PyObject *throw = PyObject_GetAttrString(self->coroutine, "throw");
    if (!throw || PyContext_Enter(self->context) < 0) {
        Py_XDECREF(throw);
        return NULL;
    }
    PyObject *value = PyObject_Call(throw, args, NULL);
    leave(self);
    Py_DECREF(throw);
    return value;
}

/* asyncio throws CancelledError into a task that was cancelled before its first step. One that
 * waits is told by what it waits for, as it is later on. */
static PyObject *begun_throw(struct begun *self, PyObject *args) {
    PyObject *exc, *value = NULL; /* borrowed */
    if (!self->coroutine) return PyErr_Format(PyExc_RuntimeError, "this coroutine has not begun");
    if (!self->value) return throw_in(self, args);
    if (!PyArg_ParseTuple(args, "O!:throw", PyExc_BaseException, &exc)) return NULL;
    if (self->sent == PYGEN_ERROR || (self->blocks && cancel(self, exc))) {
        PySendResult sent = tell(self, &value);
        return give(sent, value);
    }
    Py_CLEAR(self->value);
    if (self->sent == PYGEN_NEXT) return throw_in(self, args);
    PyErr_SetObject((PyObject *)Py_TYPE(exc), exc);
    return NULL;
}

static PyObject *begun_close(struct begun *self, PyObject *unused) {
    (void)unused;
    Py_CLEAR(self->value);
    if (!self->coroutine) Py_RETURN_NONE;
    return PyObject_CallMethod(self->coroutine, "close", NULL);
}

static PyObject *begun_await(PyObject *self) {
    return Py_NewRef(self);
}

/* ---- the type ---- */

/* What asyncio shows of a coroutine: cr_frame, cr_code, __qualname__ and so on. */
static PyObject *begun_getattro(struct begun *self, PyObject *name) {
    PyObject *value = PyObject_GenericGetAttr((PyObject *)self, name);
    if (value || !self->coroutine || !PyErr_ExceptionMatches(PyExc_AttributeError)) return value;
    PyErr_Clear();
    return PyObject_GetAttr(self->coroutine, name);
}

static int begun_traverse(struct begun *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->coroutine);
    Py_VISIT(self->context);
    Py_VISIT(self->value);
    return 0;
}

static int begun_clear(struct begun *self) {
    Py_CLEAR(self->coroutine);
    Py_CLEAR(self->context);
    Py_CLEAR(self->value);
    return 0;
}

static void begun_dealloc(struct begun *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    begun_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"send", (PyCFunction)begun_send, METH_O, NULL},
    {"throw", (PyCFunction)begun_throw, METH_VARARGS, NULL},
    {"close", (PyCFunction)begun_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"_coroutine", T_OBJECT, offsetof(struct begun, coroutine), READONLY, NULL}, /* or None */
    {NULL, 0, 0, 0, NULL},
};

PyDoc_STRVAR(begun_doc, "A coroutine that took its first step before its task did.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)begun_doc},
    {Py_tp_dealloc, begun_dealloc},
    {Py_tp_traverse, begun_traverse},
    {Py_tp_clear, begun_clear},
    {Py_tp_getattro, begun_getattro},
    {Py_tp_methods, methods},
    {Py_tp_iternext, begun_next},
    {Py_am_await, begun_await},
    {Py_am_send, begun_am_send},
    {Py_tp_members, members},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy._core.Begun",
    .basicsize = sizeof(struct begun),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_begun_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}

/* ---- what eager.c does with it ---- */

PyObject *ws_begun_type_make(const struct ws_state *state) {
    return state->begun_type->tp_alloc(state->begun_type, 0);
}

void ws_begun_type_set(PyObject *begun, PyObject *coroutine, PyObject *context) {
    struct begun *self = (struct begun *)begun;
    Py_XSETREF(self->coroutine, Py_XNewRef(coroutine));
    Py_XSETREF(self->context, Py_XNewRef(context));
}

PyObject *ws_begun_type_swap(PyObject *begun, PyObject *coroutine) {
    struct begun *self = (struct begun *)begun;
    PyObject *old = self->coroutine;
    self->coroutine = coroutine;
    return old;
}

PySendResult ws_begun_type_step(PyObject *begun, PyObject **value) {
    return step((struct begun *)begun, Py_None, value);
}

void ws_begun_type_came_to(PyObject *begun, PySendResult sent, PyObject *value) {
    struct begun *self = (struct begun *)begun;
    self->blocks = sent == PYGEN_NEXT && take_blocking(value); /* first: it may run code */
    self->value = value;
    self->sent = sent;
}
