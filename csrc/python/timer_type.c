/* timer_type.c: wspy.Timer. Its server keeps it while it waits, in a list that the collector sees;
 * the core knows the struct ws_call, and the timer through it, which goes first if it must. */
#include "timer_type.h"

#include <math.h>
#include <stddef.h>

#define TIMERS_MAX (1u << 20) /* of a server: what posts calls faster than they run is told */
#define SECONDS_MAX 1e9

struct ws_timer_object {
    PyObject_HEAD struct ws_server_object *server; /* owned */
    struct ws_call *call;                          /* a counted reference */
    PyObject *function, *arguments;                /* owned; NULL once it is done */
    struct ws_timer_object *next, *prev;           /* in the server's list */
    bool listed;                                   /* the list owns a reference */
    bool cancelled;
};

/* ---- the server's list ---- */

static void enlist(struct ws_timer_object *self) {
    struct ws_server_object *server = self->server;
    self->next = server->timers;
    if (self->next) self->next->prev = self;
    server->timers = (struct ws_timer_object *)Py_NewRef(self);
    server->n_timers++;
    self->listed = true;
}

static void delist(struct ws_timer_object *self) {
    struct ws_server_object *server = self->server;
    if (!self->listed) return;
    if (self->prev) self->prev->next = self->next;
    else server->timers = self->next;
    if (self->next) self->next->prev = self->prev;
    self->next = self->prev = NULL;
    server->n_timers--;
    self->listed = false;
    Py_DECREF(self);
}

int ws_timer_type_visit_all(struct ws_server_object *server, visitproc visit, void *arg) {
    for (struct ws_timer_object *timer = server->timers; timer; timer = timer->next)
        Py_VISIT(timer);
    return 0;
}

void ws_timer_type_drop_all(struct ws_server_object *server) {
    while (server->timers) {
        struct ws_timer_object *timer = server->timers;
        ws_call_detach(timer->call);
        delist(timer);
    }
}

/* ---- calls ---- */

bool ws_timer_type_called(PyObject *object, bool called, bool done) {
    struct ws_timer_object *self = (struct ws_timer_object *)Py_NewRef(object);
    PyObject *function = Py_XNewRef(self->function), *arguments = Py_XNewRef(self->arguments);
    PyObject *result = Py_None; /* borrowed, unless it is the call's */
    if (done) {
        Py_CLEAR(self->function);
        Py_CLEAR(self->arguments);
        delist(self);
    }
    if (called && function) {
        result = PyObject_CallObject(function, arguments);
        Py_XDECREF(result);
    }
    Py_XDECREF(function);
    Py_XDECREF(arguments);
    Py_DECREF(self);
    return result != NULL;
}

/* Whether a call of it would run nothing: it gives a coroutine or a generator. */
static bool is_inert(PyObject *function) {
    if (PyMethod_Check(function)) function = PyMethod_GET_FUNCTION(function);
    if (!PyFunction_Check(function)) return false;
    const PyCodeObject *code = (const PyCodeObject *)PyFunction_GET_CODE(function);
    return (code->co_flags & (CO_COROUTINE | CO_GENERATOR | CO_ASYNC_GENERATOR)) != 0;
}

/* What a method such as "every" is to call later; NULL: it was not given. 0, or -1 with a TypeError
 * set. */
static int check_function(const char *method, PyObject *function) {
    if (!function || !PyCallable_Check(function)) {
        PyErr_Format(PyExc_TypeError, "%s() takes a function to call, not %.100s", method,
                     function ? Py_TYPE(function)->tp_name : "nothing");
        return -1;
    }
    if (!is_inert(function)) return 0;
    PyErr_Format(PyExc_TypeError,
                 "%s() takes a plain function, not one with async or yield: its body would never "
                 "run",
                 method);
    return -1;
}

/* function, arguments...: a timer, or NULL with an exception set. */
static PyObject *make(struct ws_server_object *server, const char *method, double delay,
                      double every, PyObject *const *args, Py_ssize_t n) {
    if (!ws_server_type_may_call(server)) return NULL;
    if (check_function(method, n < 1 ? NULL : args[0]) < 0) return NULL;
    if (server->n_timers >= TIMERS_MAX) {
        return PyErr_Format(PyExc_RuntimeError, "%u calls wait already", TIMERS_MAX);
    }
    PyTypeObject *type = server->state->timer_type;
    struct ws_timer_object *self = (struct ws_timer_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->server = (struct ws_server_object *)Py_NewRef(server);
    self->function = Py_NewRef(args[0]);
    self->arguments = PyTuple_New(n - 1);
    self->call = ws_call_new(self);
    for (Py_ssize_t i = 1; self->arguments && i < n; i++)
        PyTuple_SET_ITEM(self->arguments, i - 1, Py_NewRef(args[i]));
    int err = WS_ERR_MEMORY;
    if (self->arguments && self->call) {
        enlist(self);
        err = ws_loop_call(ws_server_loop(server->core), self->call, (uint64_t)ceil(delay * 1000),
                           (uint64_t)ceil(every * 1000));
        if (err < 0) delist(self);
    }
    if (err >= 0) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

/* Seconds as an argument. -1 with an exception set. */
static double get_seconds(const char *method, PyObject *value, bool may_be_0) {
    if (PyBool_Check(value) || !PyNumber_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s() takes a number of seconds, not %.100s", method,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return -1;
        PyErr_Clear(); /* an int beyond all doubles: out of range like -1 */
    }
    if (seconds >= 0 && seconds <= SECONDS_MAX && (may_be_0 || seconds > 0)) return seconds;
    PyErr_Format(PyExc_ValueError, "%s() takes seconds %s and up to 1e9, not %R", method,
                 may_be_0 ? "from 0" : "above 0", value);
    return -1;
}

const char ws_timer_type_call_soon_doc[] =
    "call_soon($self, function, /, *args)\n--\n\n"
    "Call function(*args) on the loop's thread, in its next iteration; before run(): when it\n"
    "begins. Calls run in the order in which they were asked for. Returns a Timer.\n\n"
    "What it raises is logged. RuntimeError once the server has run, or if a million calls\n"
    "wait already.\n\n"
    "Mailbox: any thread may call it.";

PyObject *ws_timer_type_call_soon(struct ws_server_object *self, PyObject *const *args,
                                  Py_ssize_t n) {
    return make(self, "call_soon", 0, 0, args, n);
}

static PyObject *need_two(const char *method) {
    return PyErr_Format(PyExc_TypeError, "%s() takes seconds and a function to call", method);
}

const char ws_timer_type_call_later_doc[] =
    "call_later($self, seconds, function, /, *args)\n--\n\n"
    "Call function(*args) on the loop's thread after that many seconds (to the millisecond, not\n"
    "earlier). Returns a Timer. ValueError below 0 and above 1e9; otherwise as call_soon().\n\n"
    "Mailbox: any thread may call it.";

PyObject *ws_timer_type_call_later(struct ws_server_object *self, PyObject *const *args,
                                   Py_ssize_t n) {
    if (n < 2) return need_two("call_later");
    double seconds = get_seconds("call_later", args[0], true);
    return seconds < 0 ? NULL : make(self, "call_later", seconds, 0, args + 1, n - 1);
}

const char ws_timer_type_every_doc[] =
    "every($self, seconds, function, /, *args)\n--\n\n"
    "Call function(*args) on the loop's thread every so many seconds, until cancel(). A call that\n"
    "is late does not put the next ones off; those it has missed are left out. An Exception is\n"
    "logged and does not end it. Returns a Timer. ValueError unless above 0 and up to 1e9;\n"
    "otherwise as call_soon().\n\n"
    "Mailbox: any thread may call it.";

PyObject *ws_timer_type_every(struct ws_server_object *self, PyObject *const *args, Py_ssize_t n) {
    if (n < 2) return need_two("every");
    double seconds = get_seconds("every", args[0], false);
    return seconds < 0 ? NULL : make(self, "every", seconds, seconds, args + 1, n - 1);
}

/* ---- the type ---- */

PyDoc_STRVAR(cancel_doc,
"cancel($self, /)\n--\n\n"
"Do not call any more. Of one that was called or cancelled it does nothing.\n\n"
"Mailbox: any thread may call it; on another than the loop's a call that is just due may\n"
"still be made.");

void ws_timer_type_cancel(PyObject *object) {
    struct ws_timer_object *self = (struct ws_timer_object *)object;
    self->cancelled = true;
    if (self->listed) ws_loop_cancel(ws_server_loop(self->server->core), self->call);
}

static PyObject *timer_cancel(PyObject *self, PyObject *ignored) {
    (void)ignored;
    ws_timer_type_cancel(self);
    Py_RETURN_NONE;
}

static PyObject *timer_get_active(struct ws_timer_object *self, void *closure) {
    (void)closure;
    return PyBool_FromLong(self->listed && !self->cancelled);
}

static int timer_traverse(struct ws_timer_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->server);
    Py_VISIT(self->function);
    Py_VISIT(self->arguments);
    return 0;
}

/* Not the server: the core lives in it. A cycle through it is broken there. */
static int timer_clear(struct ws_timer_object *self) {
    Py_CLEAR(self->function);
    Py_CLEAR(self->arguments);
    return 0;
}

static void timer_dealloc(struct ws_timer_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    timer_clear(self);
    if (self->call) ws_call_detach(self->call);
    ws_call_unref(self->call);
    Py_DECREF(self->server);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"cancel", (PyCFunction)timer_cancel, METH_NOARGS, cancel_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(active_doc, "bool: whether a call is still to come. Snapshot.");

static PyGetSetDef properties[] = {
    {"active", (getter)timer_get_active, NULL, active_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(timer_doc,
"A call on the loop's thread: what call_soon, call_later and every give. It need not be kept.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)timer_doc},
    {Py_tp_dealloc, timer_dealloc},
    {Py_tp_traverse, timer_traverse},
    {Py_tp_clear, timer_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, properties},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy.Timer",
    .basicsize = sizeof(struct ws_timer_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_timer_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
