/* run_methods.c: the methods of Server that turn its loop: the whole run, or step by step inside
 * another loop. The rest of Server: server_type.c. */
#include "run_methods.h"

#include "errors.h"
#include "events.h"

#include <errno.h>
#include <string.h>

/* 0, or -1 with an exception set. */
static int begin(struct ws_server_object *self, struct ws_loop *loop, int watch_fd,
                 PyObject *begun) {
    char why[256] = "cannot watch the wake-up descriptor";
    int err = ws_loop_begin(loop, why);
    if (err >= 0) {
        self->strategy = ws_loop_strategy(loop);
        if (watch_fd >= 0) err = ws_loop_watch(loop, watch_fd);
    }
    int errnum = errno;
    if (err < 0) {
        ws_errors_raise_why(err, errnum, why);
        return -1;
    }
    PyObject *result = PyObject_CallNoArgs(begun);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* One turn: everything without the GIL until there is something to call, then the calls. */
static void turn(struct ws_server_object *self, struct ws_loop *loop) {
    int work;
    Py_BEGIN_ALLOW_THREADS
    do {
        work = ws_loop_io(loop);
    } while (!work && !ws_loop_is_done(loop));
    Py_END_ALLOW_THREADS
    if (work) ws_loop_dispatch(loop);
    if (PyErr_CheckSignals() < 0) ws_events_fail(self, ws_errors_take());
}

/* Lets the runner put an end to what it has. */
static void tell_ended(struct ws_server_object *self) {
    PyObject *runner = Py_XNewRef(self->runner);
    PyObject *result = runner ? PyObject_CallMethod(runner, "ended", NULL) : NULL;
    if (runner && !result) ws_events_fail(self, ws_errors_take());
    Py_XDECREF(result);
    Py_XDECREF(runner);
}

/* The run is over; raises what stopped it. */
static int end(struct ws_server_object *self, struct ws_loop *loop, int err) {
    PyObject *exc = err < 0 ? ws_errors_take() : NULL; /* why it did not begin */
    self->phase = WS_SERVER_ENDED; /* before: what the end drops may run code that asks for calls */
    ws_events_forget(self);        /* those that are still open are told of nothing */
    ws_loop_end(loop);
    tell_ended(self);
    if (exc && self->failure) Py_DECREF(exc);
    else if (exc) self->failure = exc;
    PyObject *failure = self->failure;
    self->failure = NULL;
    if (!failure) return 0;
    ws_errors_give(failure);
    return -1;
}

const char ws_run_methods_run_doc[] =
    "_run($self, watch_fd, begun, /)\n--\n\n"
    "Run the loop on this thread, which becomes the owner, until stop() and the end of every\n"
    "connection. watch_fd is a descriptor that ends a wait when it is readable, so that signal\n"
    "handlers run soon; -1: none. begun() is called once connections are taken. Raises what stopped\n"
    "the run, such as KeyboardInterrupt; OSError if it could not begin; RuntimeError the second\n"
    "time. Direct.";

PyObject *ws_run_methods_run(struct ws_server_object *self, PyObject *args) {
    int watch_fd;
    PyObject *begun; /* borrowed from args */
    if (!PyArg_ParseTuple(args, "iO:_run", &watch_fd, &begun) ||
        !ws_server_type_is_new(self, "a Server runs once: make a new one")) {
        return NULL;
    }
    struct ws_loop *loop = ws_server_loop(self->core);
    self->phase = WS_SERVER_RUNNING;
    Py_INCREF(self); /* whatever the handlers drop */
    int err = begin(self, loop, watch_fd, begun);
    while (err == 0 && !ws_loop_is_done(loop)) turn(self, loop);
    err = end(self, loop, err);
    Py_DECREF(self);
    if (err < 0) return NULL;
    Py_RETURN_NONE;
}

static PyObject *no_descriptor(const struct ws_server_object *self) {
    return PyErr_Format(PyExc_ValueError,
                        "strategy '%s' has no descriptor to wait for: only epoll has",
                        self->strategy);
}

const char ws_run_methods_embed_doc[] =
    "_embed($self, begun, /)\n--\n\n"
    "Begin, on this thread, which becomes the owner, a run that _step() goes on with. Returns the\n"
    "descriptor that is readable when _step() has something to do; again: the same. begun() is called\n"
    "once connections are taken. ValueError with another strategy than epoll, OSError if it cannot\n"
    "begin, RuntimeError if it runs otherwise or has run. Direct.";

PyObject *ws_run_methods_embed(struct ws_server_object *self, PyObject *begun) {
    if (!ws_server_type_has_core(self)) return NULL;
    struct ws_loop *loop = ws_server_loop(self->core);
    if (self->phase == WS_SERVER_EMBEDDED) {
        int same = ws_loop_embed(loop);
        if (same >= 0) return PyLong_FromLong(same);
        PyErr_SetString(PyExc_RuntimeError, WS_SERVER_OF_PARENT); /* a fork has closed it */
        return NULL;
    }
    if (!ws_server_type_is_new(self, "a Server runs once: make a new one")) return NULL;
    if (strcmp(self->strategy, "select") == 0 || strcmp(self->strategy, "poll") == 0)
        return no_descriptor(self);
    self->phase = WS_SERVER_EMBEDDED;
    int err = begin(self, loop, -1, begun), fd = err < 0 ? -1 : ws_loop_embed(loop);
    if (err == 0 && fd == WS_ERR_ARGUMENT) { /* "auto", where there is no epoll */
        no_descriptor(self);
    } else if (err == 0 && fd < 0) {
        ws_errors_raise_why(fd, errno, "cannot make a timer");
    }
    if (fd >= 0) {
        ws_loop_rest(loop);
        return PyLong_FromLong(fd);
    }
    end(self, loop, -1);
    return NULL;
}

static bool may_step(const struct ws_server_object *self) {
    if (!ws_server_type_has_core(self)) return false;
    const char *why = self->phase == WS_SERVER_ENDED ? "step() comes after the end of the run"
                      : self->phase != WS_SERVER_EMBEDDED
                          ? "step() is for a run that fileno() began"
                      : self->in_step ? "step() is called inside itself"
                      : !ws_loop_is_owner(ws_server_loop(self->core))
                          ? "step() belongs to the thread that called fileno()"
                          : NULL;
    if (why) PyErr_SetString(PyExc_RuntimeError, why);
    return !why;
}

/* Handlers that go on are told once that the server stops. */
static void tell_stopping(struct ws_server_object *self) {
    if (self->told_stopping || !self->runner || !ws_server_is_stopping(self->core)) return;
    self->told_stopping = true;
    PyObject *result = PyObject_CallMethod(self->runner, "stopping", NULL);
    if (!result) ws_events_fail(self, ws_errors_take());
    Py_XDECREF(result);
}

const char ws_run_methods_step_doc[] =
    "_step($self, done, /)\n--\n\n"
    "One bounded iteration of a run that _embed() began, which never waits: what is there is read,\n"
    "handlers are called, what they send is written. If the run is over, done() is called, and _end()\n"
    "is due. RuntimeError on another thread than that of _embed(), and in a handler. Direct.";

PyObject *ws_run_methods_step(struct ws_server_object *self, PyObject *done) {
    if (!may_step(self)) return NULL;
    struct ws_loop *loop = ws_server_loop(self->core);
    self->in_step = true;
    Py_INCREF(self); /* whatever the handlers drop */
    int work;
    bool is_done;
    Py_BEGIN_ALLOW_THREADS
    work = ws_loop_poll(loop);
    Py_END_ALLOW_THREADS
    if (work) ws_loop_dispatch(loop);
    if (PyErr_CheckSignals() < 0) ws_events_fail(self, ws_errors_take());
    tell_stopping(self);
    Py_BEGIN_ALLOW_THREADS
    ws_loop_rest(loop);
    is_done = ws_loop_is_done(loop);
    Py_END_ALLOW_THREADS
    self->in_step = false;
    PyObject *result = is_done ? PyObject_CallNoArgs(done) : Py_NewRef(Py_None);
    Py_DECREF(self);
    return result;
}

const char ws_run_methods_end_doc[] =
    "_end($self, /)\n--\n\n"
    "End a run that _embed() began, whatever is still open. Raises what stopped it, such as\n"
    "KeyboardInterrupt. Again: nothing. Direct.";

PyObject *ws_run_methods_end(struct ws_server_object *self, PyObject *ignored) {
    (void)ignored;
    if (self->phase == WS_SERVER_ENDED) Py_RETURN_NONE;
    if (!may_step(self) || end(self, ws_server_loop(self->core), 0) < 0) return NULL;
    Py_RETURN_NONE;
}

const char ws_run_methods_cut_doc[] =
    "_cut($self, /)\n--\n\n"
    "stop() of a run that _embed() began, without waiting for anybody: the next steps end it. Direct.";

PyObject *ws_run_methods_cut(struct ws_server_object *self, PyObject *ignored) {
    (void)ignored;
    if (!ws_server_type_has_core(self)) return NULL;
    if (self->phase == WS_SERVER_EMBEDDED && ws_loop_is_owner(ws_server_loop(self->core)))
        ws_loop_cut(ws_server_loop(self->core));
    Py_RETURN_NONE;
}
