/* server_type.c: wspy._core.Server. Makes the core server and keeps the handlers; calling them is
 * events.c's work, turning the loop that of run_methods.c, checking options and arguments for
 * people that of wspy/server.py. */
#include "server_type.h"

#include "conn_type.h"
#include "convert.h"
#include "errors.h"
#include "events.h"
#include "guest_type.h"
#include "run_methods.h"
#include "struct_type.h"
#include "timer_type.h"
#include "topic_methods.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

static const char *const slot_names[WS_HANDLER_COUNT] = {
    [WS_HANDLER_OPEN] = "open",   [WS_HANDLER_MESSAGE] = "message", [WS_HANDLER_PACKED] = "message",
    [WS_HANDLER_CLOSE] = "close", [WS_HANDLER_DRAIN] = "drain",     [WS_HANDLER_PING] = "ping",
    [WS_HANDLER_PONG] = "pong",   [WS_HANDLER_ERROR] = "error",     [WS_HANDLER_LOG] = "log",
    [WS_HANDLER_JSON] = "json",   [WS_HANDLER_REQUEST] = "request",
};

PyObject *ws_server_type_new_names(PyObject *module) {
    (void)module;
    PyObject *names = PyTuple_New(WS_HANDLER_COUNT);
    for (int i = 0; names && i < WS_HANDLER_COUNT; i++) {
        PyObject *name = PyUnicode_InternFromString(slot_names[i]);
        if (name) PyTuple_SET_ITEM(names, i, name);
        else Py_CLEAR(names);
    }
    return names;
}

/* ---- checks: false with an exception set ---- */

bool ws_server_type_has_core(const struct ws_server_object *self) {
    if (!self->core) PyErr_SetString(PyExc_RuntimeError, "Server.__init__ was not called");
    return self->core != NULL;
}

bool ws_server_type_is_new(const struct ws_server_object *self, const char *otherwise) {
    if (!ws_server_type_has_core(self)) return false;
    if (self->phase == WS_SERVER_NEW) return true;
    if (self->phase == WS_SERVER_BINDING) otherwise = "another thread is binding this Server";
    if (self->phase == WS_SERVER_ABANDONED) otherwise = WS_SERVER_OF_PARENT;
    PyErr_SetString(PyExc_RuntimeError, otherwise);
    return false;
}

bool ws_server_type_may_call(const struct ws_server_object *self) {
    if (!ws_server_type_has_core(self)) return false;
    if (self->phase != WS_SERVER_ENDED && self->phase != WS_SERVER_ABANDONED) return true;
    PyErr_SetString(PyExc_RuntimeError, "the server has run: no call would be made");
    return false;
}

/* ---- making and freeing ---- */

PyDoc_STRVAR(server_doc,
"Server(options, json_dumps, json_loads, /)\n--\n\n"
"The base of wspy.Server: a core server and its loop. json_dumps(obj) gives JSON text as str\n"
"or bytes, json_loads(text) takes a str and raises ValueError for what is not JSON.\n\n"
"options is a dict of validated values, one for each field of struct ws_options (ws.h):\n"
"sizes in bytes, times in milliseconds (0: none), strategy a str, origins and hosts None\n"
"(the default rule), '*' or a list of str. A missing or unknown key is a TypeError.");

static int server_init(struct ws_server_object *self, PyObject *args, PyObject *kwargs) {
    PyObject *dict, *json_dumps, *json_loads; /* borrowed */
    if (kwargs && PyDict_GET_SIZE(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Server() takes no keyword arguments");
        return -1;
    }
    if (!PyArg_ParseTuple(args, "O!OO:Server", &PyDict_Type, &dict, &json_dumps, &json_loads))
        return -1;
    if (self->core) {
        PyErr_SetString(PyExc_RuntimeError, "Server.__init__ was called before");
        return -1;
    }
    struct ws_options options;
    int result = ws_convert_options_init(&options, dict);
    if (result == 0) {
        self->core = ws_server_new(&options, &ws_events_handlers, self);
        self->strategy = ws_convert_strategy_name(options.strategy);
        if (!self->core) {
            PyErr_NoMemory();
            result = -1;
        }
        Py_XSETREF(self->json_dumps, Py_NewRef(json_dumps));
        Py_XSETREF(self->json_loads, Py_NewRef(json_loads));
    }
    ws_convert_options_fini(&options);
    return result;
}

/* A run in steps that nobody goes on with is garbage like all else: the connections that the core
 * points to hold the server. */
static int visit_conns(struct ws_server_object *self, visitproc visit, void *arg) {
    struct ws_conn *core = NULL;
    if (self->phase != WS_SERVER_EMBEDDED) return 0;
    while ((core = ws_server_next(self->core, core, false)) != NULL)
        Py_VISIT((PyObject *)ws_conn_get_user(core));
    return 0;
}

static int server_traverse(struct ws_server_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->packed.of);
    for (int i = 0; i < WS_HANDLER_COUNT; i++) Py_VISIT(self->handlers[i]);
    Py_VISIT(self->runner);
    Py_VISIT(self->watch);
    Py_VISIT(self->submit);
    Py_VISIT(self->failure);
    Py_VISIT(self->json_dumps);
    Py_VISIT(self->json_loads);
    Py_VISIT(self->guests);
    int stopped = ws_eager_visit(&self->eager, visit, arg);
    if (!stopped) stopped = visit_conns(self, visit, arg);
    return stopped ? stopped : ws_timer_type_visit_all(self, visit, arg);
}

static int server_clear(struct ws_server_object *self) {
    for (int i = 0; i < WS_HANDLER_COUNT; i++) Py_CLEAR(self->handlers[i]);
    Py_CLEAR(self->packed.of);
    Py_CLEAR(self->runner);
    Py_CLEAR(self->watch);
    Py_CLEAR(self->submit);
    ws_eager_clear(&self->eager);
    Py_CLEAR(self->failure);
    Py_CLEAR(self->json_dumps);
    Py_CLEAR(self->json_loads);
    Py_CLEAR(self->guests);
    ws_timer_type_drop_all(self);
    if (self->phase == WS_SERVER_EMBEDDED) ws_events_forget(self);
    return 0;
}

/* Never while the loop runs: _run holds a reference. Nor while a Connection lives, which holds
 * one too. */
static void server_dealloc(struct ws_server_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weakrefs) PyObject_ClearWeakRefs((PyObject *)self);
    server_clear(self);
    if (self->core) ws_server_free(self->core);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args;
    (void)kwargs;
    struct ws_server_object *self = (struct ws_server_object *)type->tp_alloc(type, 0);
    if (self) self->state = self->eager.state = ws_state_of(type, (destructor)server_dealloc);
    return (PyObject *)self;
}

/* ---- before the run ---- */

PyDoc_STRVAR(bind_tcp_doc,
"_bind_tcp($self, host, port, /)\n--\n\n"
"Reserve a TCP address: host '' is every address, port 0 a free one. OSError that names\n"
"the address; RuntimeError once the server has run. Direct.");

static PyObject *server_bind_tcp(struct ws_server_object *self, PyObject *args) {
    const char *host;
    int port;
    if (!PyArg_ParseTuple(args, "si:_bind_tcp", &host, &port) ||
        !ws_server_type_is_new(self, "the address is bound before run()")) {
        return NULL;
    }
    if (port < 0 || port > UINT16_MAX) {
        return PyErr_Format(PyExc_ValueError, "port must be 0 to 65535, not %d", port);
    }
    char why[256] = "";
    int err, errnum;
    self->phase = WS_SERVER_BINDING;
    Py_BEGIN_ALLOW_THREADS /* a name server may take its time */
    err = ws_server_bind_tcp(self->core, host, (uint16_t)port, why);
    errnum = errno;
    Py_END_ALLOW_THREADS
    self->phase = WS_SERVER_NEW;
    if (err >= 0) Py_RETURN_NONE;
    ws_errors_raise_why(err, errnum, why);
    return NULL;
}

PyDoc_STRVAR(bind_unix_doc,
"_bind_unix($self, path, /)\n--\n\n"
"Make a Unix socket at path (bytes). OSError that names it; RuntimeError once the server\n"
"has run. Direct.");

static PyObject *server_bind_unix(struct ws_server_object *self, PyObject *args) {
    const char *path;
    if (!PyArg_ParseTuple(args, "y:_bind_unix", &path) ||
        !ws_server_type_is_new(self, "the address is bound before run()")) {
        return NULL;
    }
    char why[256] = "";
    int err = ws_server_bind_unix(self->core, path, why);
    int errnum = errno;
    if (err >= 0) Py_RETURN_NONE;
    ws_errors_raise_why(err, errnum, why);
    return NULL;
}

PyDoc_STRVAR(page_doc,
"_page($self, path, body, content_type, fields, /)\n--\n\n"
"Answer GET and HEAD of path with body (bytes). fields are further header lines, each with\n"
"its CRLF, which the caller has checked. RuntimeError once the server has run. Direct.");

static PyObject *server_page(struct ws_server_object *self, PyObject *args) {
    const char *path, *body, *type, *fields;
    Py_ssize_t path_len, body_len, type_len, fields_len;
    if (!PyArg_ParseTuple(args, "s#y#s#s#:_page", &path, &path_len, &body, &body_len, &type,
                          &type_len, &fields, &fields_len) ||
        !ws_server_type_is_new(self, "pages are made before run()")) {
        return NULL;
    }
    int err = ws_server_page(self->core, (struct ws_slice){path, (size_t)path_len},
                             (struct ws_slice){body, (size_t)body_len},
                             (struct ws_slice){type, (size_t)type_len},
                             (struct ws_slice){fields, (size_t)fields_len});
    if (err >= 0) Py_RETURN_NONE;
    ws_errors_raise(err);
    return NULL;
}

/* The slot of a handler's name, or -1 with ValueError set. */
int ws_server_type_find_slot(const char *name) {
    for (int i = 0; i < WS_HANDLER_COUNT; i++) {
        if (strcmp(name, slot_names[i]) == 0) return i;
    }
    PyErr_Format(PyExc_ValueError, "there is no handler on_%s", name);
    return -1;
}

/* Pings, pongs and requests are told only to those who have a handler for them. */
static void want_control(const struct ws_server_object *self) {
    if (!self->core) return;
    ws_server_want(self->core, (self->handlers[WS_HANDLER_PING] ? WS_WANT_PING : 0) |
                                   (self->handlers[WS_HANDLER_PONG] ? WS_WANT_PONG : 0) |
                                   (self->handlers[WS_HANDLER_REQUEST] ? WS_WANT_REQUEST : 0));
}

PyDoc_STRVAR(set_handler_doc,
"_set_handler($self, name, handler, mode=0, concurrent=False, /)\n--\n\n"
"Set what is called for an event: request(conn), before it is open, behind which\n"
"conn._answer() is due, at once or later; open(conn), message(conn, message), json(conn, obj),\n"
"close(conn, code, reason), drain(conn), ping(conn, data), pong(conn, data),\n"
"error(conn, exception), log(level, line); None: nothing. mode: 0: a plain call, 1: what it returns\n"
"is started as _set_eager() says, and its task if it goes on is given to the runner's\n"
"watch(conn, name, waits, task); 2: the runner's submit(conn, name, waits, (handler, *args)) has it\n"
"called. If it goes on, the run does not end, and unless it is concurrent or that of close what\n"
"comes next for the connection waits, until _finish() is told; waits: whether it does. TypeError if\n"
"it cannot be called, ValueError for another name. Mailbox: any thread may call it; it counts at\n"
"once.");

static bool is_callable(const char *name, PyObject *handler) {
    if (PyCallable_Check(handler)) return true;
    PyErr_Format(PyExc_TypeError, "on_%s must be callable, not %.100s", name,
                 Py_TYPE(handler)->tp_name);
    return false;
}

static void set_slot(struct ws_server_object *self, enum ws_handler_slot slot, PyObject *handler,
                     int mode, int concurrent) {
    PyObject *old = self->handlers[slot];
    self->handlers[slot] = handler == Py_None ? NULL : Py_NewRef(handler);
    self->modes[slot] = (uint8_t)mode;
    self->concurrent[slot] = concurrent != 0;
    Py_XDECREF(old);
}

static PyObject *server_set_handler(struct ws_server_object *self, PyObject *args) {
    const char *name;
    PyObject *handler; /* borrowed */
    int mode = WS_MODE_PLAIN, concurrent = 0;
    if (!PyArg_ParseTuple(args, "sO|ip:_set_handler", &name, &handler, &mode, &concurrent))
        return NULL;
    int slot = ws_server_type_find_slot(name);
    if (slot < 0) return NULL;
    if (handler != Py_None && !is_callable(name, handler)) return NULL;
    set_slot(self, (enum ws_handler_slot)slot, handler, mode, concurrent);
    want_control(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_packed_doc,
"_set_packed($self, handler, format, many, raises, mode=0, concurrent=False, /)\n--\n\n"
"Set what is called for a binary message: handler(conn, *values), with the values of format, a\n"
"Struct, or if many handler(conn, records), with a list of tuples. raises: a message of another\n"
"length raises StructError for on_error, else it closes the connection with 1007. Mailbox: any\n"
"thread may call it; it counts at once.");

static PyObject *server_set_packed(struct ws_server_object *self, PyObject *args) {
    PyObject *handler, *of; /* borrowed */
    int many, raises, mode = WS_MODE_PLAIN, concurrent = 0;
    if (!PyArg_ParseTuple(args, "OO!pp|ip:_set_packed", &handler, self->state->struct_type, &of,
                          &many, &raises, &mode, &concurrent))
        return NULL;
    const struct ws_structfmt *f = ws_struct_type_format((struct ws_struct_object *)of);
    if (!f || !is_callable("message", handler)) return NULL;
    if (f->n_values == 0 || (many && f->size == 0))
        return PyErr_Format(PyExc_ValueError, "format has no values to be called with");
    struct ws_struct_object *old = self->packed.of;
    self->packed = (struct ws_packed){(struct ws_struct_object *)Py_NewRef(of), f, many, raises};
    set_slot(self, WS_HANDLER_PACKED, handler, mode, concurrent);
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_runner_doc,
"_set_runner($self, runner, /)\n--\n\n"
"What starts handlers that go on: see _set_handler. Its stopping() is called once step() sees that\n"
"the server stops, its ended() when the run is over. Direct.");

static PyObject *server_set_runner(struct ws_server_object *self, PyObject *runner) {
    PyObject *watch = PyObject_GetAttrString(runner, "watch");
    PyObject *submit = watch ? PyObject_GetAttrString(runner, "submit") : NULL;
    if (!submit) {
        Py_XDECREF(watch);
        return NULL;
    }
    Py_XSETREF(self->runner, Py_NewRef(runner));
    Py_XSETREF(self->watch, watch);
    Py_XSETREF(self->submit, submit);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(set_eager_doc,
"_set_eager($self, within, /)\n--\n\n"
"Run in asyncio: within (loop, start, blank_type, fill, fail, current). Tasks are made by\n"
"start(coroutine, loop, context), which gives the task, or None if it is done already, or raises.\n"
"If that is None, by blank_type(loop, begun), whose first step is taken while it is current[loop].\n"
"fill(task) makes it the task of begun, and of blank_type's base, which it must be once somebody\n"
"has it do something; fail(task, exception) gives what such a task raises, if its first step raised\n"
"that. None: no longer. Direct.");

static PyObject *server_set_eager(struct ws_server_object *self, PyObject *within) {
    if (ws_eager_set(&self->eager, within) < 0) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(finish_doc,
"_finish($self, conn, name, waits, exc, /)\n--\n\n"
"The handler of that event, which went on, is done: exc is what it raised, or None; waits is what\n"
"the runner was told at its start. Direct, once for each.");

static PyObject *server_finish(struct ws_server_object *self, PyObject *args) {
    PyObject *conn, *exc; /* borrowed */
    const char *name;
    int waits;
    if (!PyArg_ParseTuple(args, "O!spO:_finish", self->state->conn_type, &conn, &name, &waits,
                          &exc))
        return NULL;
    int slot = ws_server_type_find_slot(name);
    if (slot < 0) return NULL;
    Py_INCREF(conn);
    int err =
        ws_events_finish((struct ws_conn_object *)conn, (enum ws_handler_slot)slot, waits, exc);
    Py_DECREF(conn);
    if (err < 0) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(get_handler_doc,
"_get_handler($self, name, /)\n--\n\n"
"What _set_handler has set, or None. ValueError for a name that it does not take. Snapshot.");

static PyObject *server_get_handler(struct ws_server_object *self, PyObject *args) {
    const char *name;
    if (!PyArg_ParseTuple(args, "s:_get_handler", &name)) return NULL;
    int slot = ws_server_type_find_slot(name);
    if (slot < 0) return NULL;
    return Py_NewRef(self->handlers[slot] ? self->handlers[slot] : Py_None);
}

PyDoc_STRVAR(set_log_level_doc,
"_set_log_level($self, level, /)\n--\n\n"
"Log lines below this level (as in logging) are not made. Mailbox: any thread may call it; it\n"
"counts at once.");

static PyObject *server_set_log_level(struct ws_server_object *self, PyObject *args) {
    int level;
    if (!PyArg_ParseTuple(args, "i:_set_log_level", &level) || !ws_server_type_has_core(self))
        return NULL;
    ws_server_set_log_level(self->core, level);
    Py_RETURN_NONE;
}

/* ---- the end ---- */

PyDoc_STRVAR(stop_doc,
"stop($self, /)\n--\n\n"
"Stop the server: no more connections are accepted, each open one is closed with 1001 (RFC\n"
"6455 section 7.4.1), and the run ends when all have ended or after shutdown_timeout. Before\n"
"the run it makes that end at once; a second call does nothing.\n\n"
"Mailbox: any thread may call it, a handler too.");

static PyObject *server_stop(struct ws_server_object *self, PyObject *ignored) {
    (void)ignored;
    if (!ws_server_type_has_core(self)) return NULL;
    ws_server_stop(self->core);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(abandon_doc,
"_abandon($self, /)\n--\n\n"
"In the child after a fork: close the inherited descriptors without a word to the peers, end\n"
"the run, call no handler. Direct.");

static PyObject *server_abandon(struct ws_server_object *self, PyObject *ignored) {
    (void)ignored;
    if (!ws_server_type_has_core(self)) return NULL;
    ws_server_abandon(self->core);
    ws_events_forget(self);
    if (self->phase == WS_SERVER_NEW) self->phase = WS_SERVER_ABANDONED;
    Py_RETURN_NONE;
}

/* ---- looking at it ---- */

PyDoc_STRVAR(get_doc,
"get($self, conn_id, /)\n--\n\n"
"The open connection with that id, or None. Snapshot.");

static PyObject *server_get(struct ws_server_object *self, PyObject *conn_id) {
    if (!ws_server_type_has_core(self)) return NULL;
    if (!PyLong_Check(conn_id)) {
        return PyErr_Format(PyExc_TypeError, "get() takes an int, not %.100s",
                            Py_TYPE(conn_id)->tp_name);
    }
    unsigned long long id = PyLong_AsUnsignedLongLong(conn_id);
    if (id == (unsigned long long)-1 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_OverflowError)) return NULL;
        PyErr_Clear(); /* negative or huge: no connection has that id */
        Py_RETURN_NONE;
    }
    struct ws_conn *core = ws_server_find(self->core, id);
    PyObject *conn = core ? ws_conn_get_user(core) : NULL;
    return Py_NewRef(conn ? conn : Py_None);
}

PyDoc_STRVAR(stats_doc,
"stats($self, /)\n--\n\n"
"Counters since the start: accepted, shed (answered 503), refused (handshakes), opened,\n"
"closed, received and sent messages, dropped_received, dropped_sent, replaced (by a newer\n"
"message of the same key), received_compressed, sent_compressed (to each receiver),\n"
"compressions (one for many receivers, one for each part of a stream, also in vain),\n"
"suppressed_lines (of the log). Snapshot.");

static PyObject *server_stats(struct ws_server_object *self, PyObject *ignored) {
    (void)ignored;
    if (!ws_server_type_has_core(self)) return NULL;
    struct ws_stats stats;
    ws_server_get_stats(self->core, &stats);
    return ws_convert_stats(&stats);
}

static PyObject *get_port(struct ws_server_object *self, void *closure) {
    (void)closure;
    return ws_server_type_has_core(self) ? PyLong_FromLong(ws_server_get_port(self->core)) : NULL;
}

static PyObject *get_strategy(struct ws_server_object *self, void *closure) {
    (void)closure;
    return ws_server_type_has_core(self) ? PyUnicode_FromString(self->strategy) : NULL;
}

/* The set changes in dispatch only, and nothing in here lets another thread or a handler run once
 * the list is there. */
static PyObject *get_connections(struct ws_server_object *self, void *closure) {
    (void)closure;
    if (!ws_server_type_has_core(self)) return NULL;
    PyObject *list = PyList_New(0);
    if (!list) return NULL;
    struct ws_conn *core = NULL;
    while ((core = ws_server_next(self->core, core, true)) != NULL) {
        PyObject *conn = ws_conn_get_user(core); /* borrowed */
        if (conn && PyList_Append(list, conn) < 0) {
            Py_DECREF(list);
            return NULL;
        }
    }
    return list;
}

static Py_ssize_t server_length(struct ws_server_object *self) {
    return self->core ? (Py_ssize_t)ws_server_count(self->core) : 0;
}

/* A server without connections is no less a server. */
static int server_bool(struct ws_server_object *self) {
    (void)self;
    return 1;
}

#define FAST(name, function)                                                                       \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL, function##_doc}
#define FAST_KEYWORDS(name, function)                                                              \
    {name, (PyCFunction)(void (*)(void))function, METH_FASTCALL | METH_KEYWORDS, function##_doc}

static PyMethodDef methods[] = {
    {"_bind_tcp", (PyCFunction)server_bind_tcp, METH_VARARGS, bind_tcp_doc},
    {"_bind_unix", (PyCFunction)server_bind_unix, METH_VARARGS, bind_unix_doc},
    {"_page", (PyCFunction)server_page, METH_VARARGS, page_doc},
    {"_set_handler", (PyCFunction)server_set_handler, METH_VARARGS, set_handler_doc},
    {"_set_packed", (PyCFunction)server_set_packed, METH_VARARGS, set_packed_doc},
    {"_set_runner", (PyCFunction)server_set_runner, METH_O, set_runner_doc},
    {"_set_eager", (PyCFunction)server_set_eager, METH_O, set_eager_doc},
    {"_finish", (PyCFunction)server_finish, METH_VARARGS, finish_doc},
    {"_get_handler", (PyCFunction)server_get_handler, METH_VARARGS, get_handler_doc},
    {"_set_log_level", (PyCFunction)server_set_log_level, METH_VARARGS, set_log_level_doc},
    {"_run", (PyCFunction)ws_run_methods_run, METH_VARARGS, ws_run_methods_run_doc},
    {"_embed", (PyCFunction)ws_run_methods_embed, METH_O, ws_run_methods_embed_doc},
    {"_step", (PyCFunction)ws_run_methods_step, METH_O, ws_run_methods_step_doc},
    {"_end", (PyCFunction)ws_run_methods_end, METH_NOARGS, ws_run_methods_end_doc},
    {"_cut", (PyCFunction)ws_run_methods_cut, METH_NOARGS, ws_run_methods_cut_doc},
    {"stop", (PyCFunction)server_stop, METH_NOARGS, stop_doc},
    {"_abandon", (PyCFunction)server_abandon, METH_NOARGS, abandon_doc},
    FAST_KEYWORDS("publish", ws_topic_methods_publish),
    FAST_KEYWORDS("publish_packed", ws_topic_methods_publish_packed),
    FAST_KEYWORDS("publish_json", ws_topic_methods_publish_json),
    FAST_KEYWORDS("broadcast", ws_topic_methods_broadcast),
    {"subscribers", (PyCFunction)ws_topic_methods_subscribers, METH_O,
     ws_topic_methods_subscribers_doc},
    {"topics", (PyCFunction)ws_topic_methods_topics, METH_NOARGS, ws_topic_methods_topics_doc},
    FAST("call_soon", ws_timer_type_call_soon),
    FAST("call_later", ws_timer_type_call_later),
    FAST("every", ws_timer_type_every),
    FAST("register", ws_guest_type_register),
    FAST("modify", ws_guest_type_modify),
    {"unregister", (PyCFunction)ws_guest_type_unregister, METH_O, ws_guest_type_unregister_doc},
    {"get", (PyCFunction)server_get, METH_O, get_doc},
    {"stats", (PyCFunction)server_stats, METH_NOARGS, stats_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(port_doc,
"int: the TCP port, also when port 0 was asked for; 0 for a Unix socket. Snapshot.");
PyDoc_STRVAR(strategy_doc,
"str: 'epoll', 'poll' or 'select', the one in use; before the run the one asked for, which\n"
"may be 'auto'. Snapshot.");
PyDoc_STRVAR(connections_doc,
"list[Connection]: the open connections in order of opening, a new list. Snapshot.");

static PyGetSetDef properties[] = {
    {"port", (getter)get_port, NULL, port_doc, NULL},
    {"strategy", (getter)get_strategy, NULL, strategy_doc, NULL},
    {"connections", (getter)get_connections, NULL, connections_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct ws_server_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)server_doc}, {Py_tp_new, server_new},           {Py_tp_init, server_init},
    {Py_tp_dealloc, server_dealloc}, {Py_tp_traverse, server_traverse}, {Py_tp_clear, server_clear},
    {Py_tp_methods, methods},        {Py_tp_getset, properties},        {Py_tp_members, members},
    {Py_sq_length, server_length},   {Py_nb_bool, server_bool},         {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy._core.Server",
    .basicsize = sizeof(struct ws_server_object),
    .flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_server_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
