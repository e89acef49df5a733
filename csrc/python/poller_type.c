/* poller_type.c: wspy.Poller over the core's pollset. Waits without the GIL; what the threads of a
 * program may do to one at the same time is the pollset's to sort out. */
#include "poller_type.h"

#include "convert.h"
#include "errors.h"
#include "pollset.h"

#include <errno.h>
#include <math.h>

#define SECONDS_MAX 9e9 /* beyond that the standard library's are too large too */

struct ws_poller_object {
    PyObject_HEAD struct ws_pollset *set; /* owned */
};

static const struct {
    const char *name;
    int value;
} constants[] = {
    {"POLLIN", WS_POLL_IN},   {"POLLPRI", WS_POLL_PRI}, {"POLLOUT", WS_POLL_OUT},
    {"POLLERR", WS_POLL_ERR}, {"POLLHUP", WS_POLL_HUP}, {"POLLNVAL", WS_POLL_NVAL},
};

int ws_poller_type_add_constants(PyObject *module) {
    for (size_t i = 0; i < Py_ARRAY_LENGTH(constants); i++) {
        if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) < 0) return -1;
    }
    return 0;
}

/* ---- errors ---- */

static PyObject *raise_closed(void) {
    PyErr_SetString(PyExc_ValueError, "I/O operation on closed poller");
    return NULL;
}

/* Whether it may be used; else an exception is set. */
static bool is_usable(const struct ws_poller_object *self) {
    if (ws_pollset_is_closed(self->set)) {
        raise_closed();
        return false;
    }
    if (!ws_pollset_is_inherited(self->set)) return true;
    PyErr_SetString(PyExc_RuntimeError,
                    "this Poller belongs to the parent process: make one in the child");
    return false;
}

/* What the pollset says, or None. */
static PyObject *finish(int err, int errnum, int fd, int unknown, const char *what) {
    switch (err) {
    case 0: Py_RETURN_NONE;
    case WS_ERR_ARGUMENT: return ws_errors_raise_os(unknown, what, fd);
    case WS_ERR_CLOSED: return raise_closed();
    case WS_ERR_MEMORY: return PyErr_NoMemory();
    case WS_ERR_LIMIT: return ws_errors_raise_large(fd);
    default: errno = errnum; return PyErr_SetFromErrno(PyExc_OSError);
    }
}

/* ---- making and closing ---- */

PyDoc_STRVAR(poller_doc,
"Poller(strategy='auto')\n--\n\n"
"Waits for descriptors with select, poll or epoll, all with one meaning, that of select.poll:\n"
"the constants wspy.POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP and POLLNVAL are its numbers.\n"
"'auto' is epoll, poll where there is none. Level-triggered. A context manager, which closes.\n\n"
"Threads may register, modify, unregister and close while one of them is in poll(), which takes\n"
"it into account at once; a second poll() at the same time is RuntimeError, as everything but\n"
"close() is in a forked child. After close() all is ValueError, also the poll() under way.\n\n"
"What the strategies cannot do differs: select takes descriptors below FD_SETSIZE (1024) only\n"
"and is not woken by POLLERR or POLLHUP of one with mask 0, or by POLLHUP of one without POLLIN;\n"
"epoll does not see that a socket or a pipe was closed while it was registered, where the others\n"
"give POLLNVAL until it is unregistered.\n\n"
"ValueError for another strategy or one that the system lacks; OSError if it cannot be had.\n\n"
">>> import socket, wspy\n"
">>> here, there = socket.socketpair()\n"
">>> with here, there, wspy.Poller() as poller:\n"
"...     poller.register(here, wspy.POLLIN)\n"
"...     before = poller.poll(0)\n"
"...     there.sendall(b'hello')\n"
"...     after = poller.poll(1.5) == [(here.fileno(), wspy.POLLIN)]\n"
">>> before, after, poller.closed\n"
"([], True, True)");

static PyObject *poller_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"strategy", NULL};
    PyObject *name = NULL; /* borrowed */
    enum ws_strategy strategy = WS_STRATEGY_AUTO;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:Poller", names, &name) ||
        (name && ws_convert_strategy(name, &strategy) < 0))
        return NULL;
    struct ws_poller_object *self = (struct ws_poller_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    int err = ws_pollset_new(&self->set, strategy);
    if (err == 0) return (PyObject *)self;
    if (err == WS_ERR_MEMORY) PyErr_NoMemory();
    else if (err == WS_ERR_SYSTEM) PyErr_SetFromErrno(PyExc_OSError);
    else PyErr_Format(PyExc_ValueError, "this system has no strategy %R", name);
    Py_DECREF(self);
    return NULL;
}

static void poller_dealloc(struct ws_poller_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    ws_pollset_free(self->set); /* who is in a method of it holds a reference */
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(close_doc,
"close($self, /)\n--\n\n"
"Close the poller's own descriptors, none of those registered. A poll() of another thread ends\n"
"with ValueError. Again: nothing.\n\n"
">>> poller = wspy.Poller()\n"
">>> poller.close()\n"
">>> poller.closed\n"
"True");

static PyObject *poller_close(struct ws_poller_object *self, PyObject *ignored) {
    (void)ignored;
    Py_BEGIN_ALLOW_THREADS
    ws_pollset_close(self->set);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nThe poller. ValueError if it is closed.");

static PyObject *poller_enter(PyObject *self, PyObject *ignored) {
    (void)ignored;
    return ws_pollset_is_closed(((struct ws_poller_object *)self)->set) ? raise_closed()
                                                                        : Py_NewRef(self);
}

PyDoc_STRVAR(exit_doc, "__exit__($self, kind, exc, traceback, /)\n--\n\nclose().");

static PyObject *poller_exit(struct ws_poller_object *self, PyObject *const *args, Py_ssize_t n) {
    (void)args;
    (void)n;
    return poller_close(self, NULL);
}

/* ---- the set ---- */

/* fd and mask. 0, or -1 with an exception set. */
static int read_arguments(const struct ws_poller_object *self, const char *method,
                          PyObject *const *args, Py_ssize_t n, int *fd, uint32_t *mask) {
    if (n != 2) {
        PyErr_Format(PyExc_TypeError, "%s() takes fd and mask (%zd given)", method, n);
        return -1;
    }
    *fd = ws_convert_fd(args[0]);
    if (*fd < 0 || ws_convert_poll_mask(args[1], mask) < 0) return -1;
    return is_usable(self) ? 0 : -1;
}

PyDoc_STRVAR(register_doc,
"register($self, fd, mask, /)\n--\n\n"
"Watch a descriptor: an int, or what has fileno(), of which only the number is kept. mask is of\n"
"POLLIN, POLLPRI and POLLOUT, or-ed, or 0; POLLERR, POLLHUP and POLLNVAL come unasked. A regular\n"
"file is always ready, with every strategy.\n\n"
"FileExistsError if it is registered already, OSError (EBADF) if it is not open, ValueError if\n"
"it is negative or too large (for select: from FD_SETSIZE on), or for another mask. Unregister it before you close it.\n\n"
">>> import os, wspy\n"
">>> reader, writer = os.pipe()\n"
">>> with wspy.Poller('poll') as poller:\n"
"...     poller.register(writer, wspy.POLLOUT)\n"
"...     poller.poll() == [(writer, wspy.POLLOUT)]\n"
"True\n"
">>> os.close(reader); os.close(writer)");

static PyObject *poller_register(struct ws_poller_object *self, PyObject *const *args,
                                 Py_ssize_t n) {
    int fd, err, errnum;
    uint32_t mask;
    if (read_arguments(self, "register", args, n, &fd, &mask) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS
    err = ws_pollset_add(self->set, fd, mask);
    errnum = errno;
    Py_END_ALLOW_THREADS
    return finish(err, errnum, fd, EEXIST, "descriptor %d is registered already");
}

PyDoc_STRVAR(modify_doc,
"modify($self, fd, mask, /)\n--\n\n"
"Watch a registered descriptor for something else. FileNotFoundError if it is not registered,\n"
"otherwise as register().\n\n"
">>> import socket\n"
">>> here, there = socket.socketpair()\n"
">>> with here, there, wspy.Poller() as poller:\n"
"...     poller.register(here, wspy.POLLIN)\n"
"...     poller.modify(here, wspy.POLLIN | wspy.POLLOUT)\n"
"...     poller.poll() == [(here.fileno(), wspy.POLLOUT)]\n"
"True");

static PyObject *poller_modify(struct ws_poller_object *self, PyObject *const *args, Py_ssize_t n) {
    int fd, err, errnum;
    uint32_t mask;
    if (read_arguments(self, "modify", args, n, &fd, &mask) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS
    err = ws_pollset_mod(self->set, fd, mask);
    errnum = errno;
    Py_END_ALLOW_THREADS
    return finish(err, errnum, fd, ENOENT, "descriptor %d is not registered");
}

PyDoc_STRVAR(unregister_doc,
"unregister($self, fd, /)\n--\n\n"
"Do not watch it any more. FileNotFoundError if it is not registered; one that was closed\n"
"meanwhile is taken out by its number.\n\n"
">>> import socket\n"
">>> here, there = socket.socketpair()\n"
">>> with here, there, wspy.Poller() as poller:\n"
"...     poller.register(here, wspy.POLLOUT)\n"
"...     poller.unregister(here)\n"
"...     poller.poll(0)\n"
"[]");

static PyObject *poller_unregister(struct ws_poller_object *self, PyObject *file) {
    int fd = ws_convert_fd(file), err;
    if (fd < 0 || !is_usable(self)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    err = ws_pollset_del(self->set, fd);
    Py_END_ALLOW_THREADS
    return finish(err, 0, fd, ENOENT, "descriptor %d is not registered");
}

/* ---- waiting ---- */

/* Seconds as an argument becomes the time until which to wait. 0, or -1 with an exception set. */
static int read_timeout(PyObject *value, uint64_t *until_ns) {
    *until_ns = WS_POLLSET_FOREVER;
    if (!value || value == Py_None) return 0;
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1 && PyErr_Occurred()) {
        if (PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "timeout must be a number of seconds or None, not %.100s",
                         Py_TYPE(value)->tp_name);
        return -1;
    }
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds, not nan");
        return -1;
    }
    if (seconds > SECONDS_MAX) {
        PyErr_SetString(PyExc_OverflowError, "timeout is too large");
        return -1;
    }
    if (seconds >= 0) *until_ns = ws_pollset_until((uint64_t)ceil(seconds * 1e9));
    return 0;
}

/* Waits until something is ready or the time is up; signal handlers run meanwhile, and may raise
 * (PEP 475). 0, or -1 with an exception set. */
static int wait_ready(struct ws_poller_object *self, uint64_t until_ns,
                      const struct ws_pollset_ready **ready, size_t *n) {
    int err, errnum;
    do {
        Py_BEGIN_ALLOW_THREADS
        err = ws_pollset_wait(self->set, until_ns, ready, n);
        errnum = errno;
        Py_END_ALLOW_THREADS
        if (err == 1 && PyErr_CheckSignals() < 0) return -1;
    } while (err == 1);
    if (err == 0) return 0;
    Py_XDECREF(finish(err, errnum, -1, EINVAL, "%d"));
    return -1;
}

static PyObject *make_list(const struct ws_pollset_ready *ready, size_t n) {
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        PyObject *pair = Py_BuildValue("(iI)", ready[i].fd, (unsigned)ready[i].events);
        if (pair) PyList_SET_ITEM(list, (Py_ssize_t)i, pair);
        else Py_CLEAR(list);
    }
    return list;
}

PyDoc_STRVAR(poll_doc,
"poll($self, /, timeout=None)\n--\n\n"
"Wait until a descriptor is ready, and return a list of (fd, mask) for all that are, in no\n"
"order; empty when the time is up. timeout is in SECONDS, a float, as for select.select and\n"
"select.epoll.poll (select.poll takes milliseconds), rounded up to the millisecond; None and\n"
"negative: for ever; 0: look only.\n\n"
"A signal's handler runs at once; unless it raises, the wait goes on for the rest of the time\n"
"(PEP 475). ValueError if the poller is closed, also meanwhile by another thread; RuntimeError\n"
"if another thread is in poll(); TypeError, ValueError (nan) or OverflowError for a timeout that\n"
"is none.\n\n"
">>> import os\n"
">>> reader, writer = os.pipe()\n"
">>> with wspy.Poller() as poller:\n"
"...     poller.register(reader, wspy.POLLIN)\n"
"...     nothing = poller.poll(0.001)\n"
"...     _ = os.write(writer, b'x')\n"
"...     nothing, poller.poll() == [(reader, wspy.POLLIN)]\n"
"([], True)\n"
">>> os.close(reader); os.close(writer)");

static PyObject *poller_poll(struct ws_poller_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = NULL; /* borrowed */
    uint64_t until_ns;
    const struct ws_pollset_ready *ready;
    size_t n;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:poll", names, &timeout) ||
        read_timeout(timeout, &until_ns) < 0 || !is_usable(self))
        return NULL;
    if (!ws_pollset_claim(self->set)) {
        PyErr_SetString(PyExc_RuntimeError, "concurrent poll() invocation");
        return NULL;
    }
    PyObject *list = NULL;
    if (wait_ready(self, until_ns, &ready, &n) == 0) list = make_list(ready, n);
    ws_pollset_release(self->set);
    return list;
}

/* ---- looking at it ---- */

PyDoc_STRVAR(fileno_doc,
"fileno($self, /)\n--\n\n"
"The epoll descriptor, which is readable while something registered is ready, so that another\n"
"poller can watch it. ValueError with select and poll, which have none, and if closed.\n\n"
">>> with wspy.Poller('epoll') as inner, wspy.Poller('poll') as outer:\n"
"...     outer.register(inner, wspy.POLLIN)\n"
"...     outer.poll(0)\n"
"[]");

static PyObject *poller_fileno(struct ws_poller_object *self, PyObject *ignored) {
    (void)ignored;
    if (ws_pollset_is_closed(self->set)) return raise_closed();
    int fd = ws_pollset_fd(self->set);
    if (fd >= 0) return PyLong_FromLong(fd);
    return PyErr_Format(PyExc_ValueError, "the strategy %s has no descriptor of its own",
                        ws_pollset_strategy(self->set));
}

static PyObject *get_closed(struct ws_poller_object *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(ws_pollset_is_closed(self->set));
}

static PyObject *get_strategy(struct ws_poller_object *self, void *closure) {
    (void)closure;
    return PyUnicode_FromString(ws_pollset_strategy(self->set));
}

static PyObject *poller_repr(struct ws_poller_object *self) {
    return PyUnicode_FromFormat("<wspy.Poller %s%s>", ws_pollset_strategy(self->set),
                                ws_pollset_is_closed(self->set) ? " closed" : "");
}

#define FAST(name, function, doc) {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, doc}

static PyMethodDef methods[] = {
    FAST("register", poller_register, register_doc),
    FAST("modify", poller_modify, modify_doc),
    {"unregister", (PyCFunction)poller_unregister, METH_O, unregister_doc},
    {"poll", (PyCFunction)(void (*)(void))poller_poll, METH_VARARGS | METH_KEYWORDS, poll_doc},
    {"fileno", (PyCFunction)poller_fileno, METH_NOARGS, fileno_doc},
    {"close", (PyCFunction)poller_close, METH_NOARGS, close_doc},
    {"__enter__", poller_enter, METH_NOARGS, enter_doc},
    FAST("__exit__", poller_exit, exit_doc),
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(closed_doc, "bool: whether close() was called.");
PyDoc_STRVAR(strategy_doc, "str: 'epoll', 'poll' or 'select', the one in use.");

static PyGetSetDef properties[] = {
    {"closed", (getter)get_closed, NULL, closed_doc, NULL},
    {"strategy", (getter)get_strategy, NULL, strategy_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)poller_doc},
    {Py_tp_new, poller_new},
    {Py_tp_dealloc, poller_dealloc},
    {Py_tp_repr, poller_repr},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy.Poller",
    .basicsize = sizeof(struct ws_poller_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_poller_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
