/* events.c: what the core tells becomes calls of the user's handlers, and what they raise becomes
 * on_error, a log line or the end of the run. Does not know who turns the loop (run_methods.c).
 *
 * A handler may do anything: close any connection, stop the server, replace handlers, drop any
 * reference, run the collector. So every call holds its own references to what it works on. */
#include "events.h"

#include "conn_type.h"
#include "convert.h"
#include "errors.h"
#include "guest_type.h"
#include "json_codec.h"
#include "packed.h"
#include "timer_type.h"

#include <string.h>

/* Arguments of one call; the free place in front lets a bound method put its self there. */
struct call {
    PyObject *free_place;
    PyObject *args[4];
};

/* What the handler returns, or NULL with its exception set. args has a free place in front. */
static PyObject *call_held(PyObject *handler, PyObject *const *args, size_t n) {
    Py_INCREF(handler); /* it may replace itself */
    PyObject *result = PyObject_Vectorcall(handler, args, n | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(handler);
    return result;
}

/* False: the handler raised, and its exception is set. */
static bool call_handler(PyObject *handler, struct call *call, size_t n) {
    PyObject *result = call_held(handler, call->args, n);
    Py_XDECREF(result);
    return result != NULL;
}

/* ---- handlers that go on ---- */

/* Whether what comes next waits until the handler is done: unless this is the last event, or the
 * user wants it otherwise. Asked once for each call, since the handler may be replaced meanwhile.
 */
static bool is_waited_for(struct ws_conn_object *conn, enum ws_handler_slot slot) {
    return slot != WS_HANDLER_CLOSE && !ws_conn_type_server(conn)->concurrent[slot];
}

static PyObject *slot_name(struct ws_conn_object *conn, enum ws_handler_slot slot) { /* borrowed */
    return PyTuple_GET_ITEM(ws_conn_type_server(conn)->state->slot_names, slot);
}

/* Whether it may answer what the peer has sent; what others send was not asked for. */
static bool may_answer(enum ws_handler_slot slot) {
    return slot != WS_HANDLER_OPEN && slot != WS_HANDLER_DRAIN;
}

/* The handler goes on as what is given to that method of the runner: the run does not end before it
 * has, and what comes next to conn waits. */
static bool go_on(struct ws_conn_object *conn, enum ws_handler_slot slot, bool waits,
                  PyObject *method, PyObject *what) {
    PyObject *args[] = {(PyObject *)conn, slot_name(conn, slot), waits ? Py_True : Py_False, what};
    if (!method) { /* the collector has taken the server apart */
        PyErr_SetString(PyExc_RuntimeError, "the server is gone");
        return false;
    }
    PyObject *none = PyObject_Vectorcall(method, args, 4, NULL);
    if (!none) return false;
    Py_DECREF(none);
    ws_loop_keep(ws_server_loop(ws_conn_type_server(conn)->core));
    if (waits) ws_conn_begin_busy(conn->core, may_answer(slot));
    return true;
}

static bool refuse_task(struct ws_conn_object *conn, enum ws_handler_slot slot,
                        PyObject *coroutine) {
    PyObject *none = PyObject_CallMethod(coroutine, "close", NULL);
    Py_XDECREF(none);
    if (none)
        PyErr_Format(PyExc_RuntimeError, "on_%U is async, and the server does not run in asyncio",
                     slot_name(conn, slot));
    return false;
}

/* Takes what an async handler returned. False: it raised. */
static bool start_task(struct ws_conn_object *conn, enum ws_handler_slot slot,
                       PyObject *coroutine) {
    struct ws_server_object *server = ws_conn_type_server(conn);
    struct ws_eager *eager = &server->eager;
    if (!eager->loop) return refuse_task(conn, slot, coroutine);
    bool waits = is_waited_for(conn, slot);
    PyObject *context = ws_conn_type_context(conn, waits);
    if (!context) return false;
    PyObject *task = ws_eager_start(eager, coroutine, context);
    Py_DECREF(context);
    if (!task) return !PyErr_Occurred();
    bool goes_on = go_on(conn, slot, waits, server->watch, task);
    Py_DECREF(task);
    return goes_on;
}

static bool submit(struct ws_conn_object *conn, enum ws_handler_slot slot, PyObject *handler,
                   PyObject *const *args, size_t n) {
    PyObject *call = PyTuple_New((Py_ssize_t)n + 1);
    if (!call) return false;
    PyTuple_SET_ITEM(call, 0, Py_NewRef(handler));
    for (size_t i = 0; i < n; i++) PyTuple_SET_ITEM(call, (Py_ssize_t)i + 1, Py_NewRef(args[i]));
    bool waits = is_waited_for(conn, slot);
    bool goes_on = go_on(conn, slot, waits, ws_conn_type_server(conn)->submit, call);
    Py_DECREF(call);
    return goes_on;
}

/* Calls the handler of an event, as its mode says. args has a free place in front; args[0] is conn.
 * False: it raised, and its exception is set. */
static bool call_slot(struct ws_conn_object *conn, enum ws_handler_slot slot, PyObject *handler,
                      PyObject *const *args, size_t n) {
    enum ws_handler_mode mode = ws_conn_type_server(conn)->modes[slot];
    if (mode == WS_MODE_THREAD) return submit(conn, slot, handler, args, n);
    PyObject *result = call_held(handler, args, n);
    bool done = result && (mode != WS_MODE_TASK || start_task(conn, slot, result));
    Py_XDECREF(result);
    return done;
}

/* ---- exceptions ---- */

void ws_events_fail(struct ws_server_object *server, PyObject *exc) {
    if (server->failure || ws_server_is_stopping(server->core)) {
        /* Somebody loses patience (a second Ctrl-C): no more waiting for closing handshakes. */
        ws_loop_cut(ws_server_loop(server->core));
    }
    ws_server_stop(server->core);
    if (server->failure) {
        Py_DECREF(exc);
    } else {
        server->failure = exc;
    }
}

/* Takes the exception that is set. KeyboardInterrupt, SystemExit and their like end the run, and
 * NULL is returned; any other is given to the caller (new reference). */
static PyObject *take_exception(struct ws_server_object *server) {
    PyObject *exc = ws_errors_take();
    /* Something cancelled whose result was asked for does not end the program. */
    if (exc && !PyErr_GivenExceptionMatches(exc, PyExc_Exception) && !ws_errors_is_cancelled(exc)) {
        ws_events_fail(server, exc);
        exc = NULL;
    }
    return exc;
}

/* Lets wspy.errors write the traceback, and say whether the handler has failed: to meet the
 * connection's end is no failure. */
static bool log_exception(struct ws_conn_object *conn, enum ws_handler_slot slot, bool may_wait,
                          PyObject *exc) {
    struct ws_server_object *server = ws_conn_type_server(conn);
    PyObject *log = server->state->log_handler_error;
    struct call call = {
        .args = {slot_name(conn, slot), (PyObject *)conn, exc, may_wait ? Py_True : Py_False}};
    PyObject *failed = call_held(log, call.args, 4);
    PyObject *second = failed ? NULL : take_exception(server);
    if (second) {
        ws_errors_give(second);
        ws_errors_drop(log);
    }
    bool has_failed = failed != Py_False;
    Py_XDECREF(failed);
    return has_failed;
}

/* A handler of conn raised: on_error is told; without it, or if it fails too, the log is, and the
 * connection is closed. may_wait: it was a task, or on a thread. */
static void report_exception(struct ws_conn_object *conn, enum ws_handler_slot slot,
                             bool may_wait) {
    struct ws_server_object *server = ws_conn_type_server(conn);
    PyObject *exc = take_exception(server);
    if (!exc) return;
    PyObject *on_error = server->handlers[WS_HANDLER_ERROR];
    if (on_error) {
        struct call call = {.args = {(PyObject *)conn, exc}};
        if (call_handler(on_error, &call, 2)) {
            Py_DECREF(exc);
            return;
        }
        PyObject *second = take_exception(server);
        if (second) log_exception(conn, WS_HANDLER_ERROR, false, second);
        Py_XDECREF(second);
    }
    /* RFC 6455 section 7.4.1: "1011 indicates that a server is terminating the connection because
     * it encountered an unexpected condition". One that has ended ignores it. */
    if (log_exception(conn, slot, may_wait, exc))
        ws_conn_close(conn->core, 1011, (struct ws_slice){"", 0}, WS_CLOSE_ERROR);
    Py_DECREF(exc);
}

/* It raised when it was called. */
static void handle_exception(struct ws_conn_object *conn, enum ws_handler_slot slot) {
    report_exception(conn, slot, ws_conn_type_server(conn)->modes[slot] != WS_MODE_PLAIN);
}

/* ---- events ---- */

/* The object of a connection, as a new reference: whatever the handler does, it stays until the
 * event is over. NULL if there was no memory for it at on_open. */
static struct ws_conn_object *get_conn(struct ws_conn *core) {
    struct ws_conn_object *conn = ws_conn_get_user(core);
    Py_XINCREF(conn);
    return conn;
}

/* The user pointer's reference, if it is still there. */
static void drop_user(struct ws_conn *core) {
    PyObject *conn = ws_conn_get_user(core);
    ws_conn_set_user(core, NULL);
    Py_XDECREF(conn);
}

/* Not open yet: the pointer borrows the object, which takes itself out of it when it goes. */
static void on_request(void *user, struct ws_conn *core) {
    struct ws_server_object *server = user;
    PyObject *handler = server->handlers[WS_HANDLER_REQUEST];
    struct ws_conn_object *conn = handler ? ws_conn_type_make(server, core) : NULL;
    if (conn) ws_conn_set_user(core, conn);
    struct call call = {.args = {(PyObject *)conn}};
    if (!handler) {
        ws_conn_answer(core, 0, NULL, 0, 0);
    } else if (!conn || !call_slot(conn, WS_HANDLER_REQUEST, handler, call.args, 1)) {
        char text[WS_HANDSHAKE_ERROR_MAX];
        size_t len = ws_handshake_error(text, 500, NULL, false);
        if (conn) handle_exception(conn, WS_HANDLER_REQUEST);
        else PyErr_Clear();
        ws_conn_answer(core, 500, text, len, len);
    }
    Py_XDECREF((PyObject *)conn);
}

static void on_open(void *user, struct ws_conn *core) {
    struct ws_server_object *server = user;
    struct ws_conn_object *conn = get_conn(core); /* of on_request */
    if (!conn) conn = ws_conn_type_make(server, core);
    if (!conn) {
        PyErr_Clear();
        ws_conn_close(core, 1011, (struct ws_slice){"", 0}, WS_CLOSE_ERROR);
        return;
    }
    ws_conn_set_user(core, Py_NewRef(conn)); /* owned by the pointer until on_close */
    PyObject *handler = server->handlers[WS_HANDLER_OPEN];
    if (handler) {
        struct call call = {.args = {(PyObject *)conn}};
        if (!call_slot(conn, WS_HANDLER_OPEN, handler, call.args, 1))
            handle_exception(conn, WS_HANDLER_OPEN);
    }
    Py_DECREF(conn);
}

/* RFC 6455 section 7.4.1: 1007 is for "data within a message that was not consistent with the type
 * of the message", 1003 for "a type of data it cannot accept". */
static void refuse_message(struct ws_conn_object *conn, uint16_t code, const char *why) {
    ws_conn_close(conn->core, code, (struct ws_slice){why, strlen(why)}, WS_CLOSE_PROTOCOL);
}

static void on_json(struct ws_conn_object *conn, const struct ws_message *message) {
    PyObject *handler = Py_NewRef(
        ws_conn_type_server(conn)->handlers[WS_HANDLER_JSON]); /* json_loads may replace it */
    PyObject *text = ws_convert_message(conn->core, message);
    PyObject *value = text ? ws_json_codec_load(ws_conn_type_server(conn), text) : NULL;
    struct call call = {.args = {(PyObject *)conn, value}};
    if (text && !value && !PyErr_Occurred()) refuse_message(conn, 1007, "this is not JSON");
    else if (!value || !call_slot(conn, WS_HANDLER_JSON, handler, call.args, 2))
        handle_exception(conn, WS_HANDLER_JSON);
    Py_DECREF(handler);
    Py_XDECREF(text);
    Py_XDECREF(value);
}

static void refuse_length(struct ws_conn_object *conn, const struct ws_packed *packed, size_t len) {
    const struct ws_server_object *server = ws_conn_type_server(conn);
    char why[WS_CLOSE_REASON_MAX];
    PyOS_snprintf(why, sizeof why, "a message of %zu bytes came, %s%zu are expected", len,
                  packed->many ? "multiples of " : "", packed->format->size);
    if (!packed->raises) {
        refuse_message(conn, 1007, why);
        return;
    }
    PyErr_SetString(server->state->struct_error, why);
    handle_exception(conn, WS_HANDLER_PACKED);
}

static bool call_with_values(struct ws_conn_object *conn, const struct ws_packed *packed,
                             PyObject *handler, const uint8_t *data, size_t len) {
    struct ws_packed_arguments a;
    if (ws_packed_arguments_init(&a, packed, conn, data, len) < 0) return false;
    bool done = call_slot(conn, WS_HANDLER_PACKED, handler, a.args, a.n);
    ws_packed_arguments_fini(&a);
    return done;
}

/* A binary message where on_message has a format. */
static void on_packed(struct ws_conn_object *conn, const struct ws_message *message) {
    struct ws_server_object *server = ws_conn_type_server(conn);
    PyObject *object = message->object;
    struct ws_packed packed = server->packed; /* the handler may replace both */
    PyObject *handler = Py_NewRef(server->handlers[WS_HANDLER_PACKED]);
    Py_INCREF(packed.of);
    if (!ws_packed_fits(&packed, message->len)) {
        refuse_length(conn, &packed, message->len);
    } else {
        const uint8_t *data = ws_message_unmask(conn->core, message);
        if (!call_with_values(conn, &packed, handler, data, message->len))
            handle_exception(conn, WS_HANDLER_PACKED);
    }
    Py_DECREF(packed.of);
    Py_DECREF(handler);
    Py_XDECREF(object);
}

static void on_plain(struct ws_conn_object *conn, const struct ws_message *message) {
    PyObject *handler = ws_conn_type_server(conn)->handlers[WS_HANDLER_MESSAGE];
    PyObject *value = ws_convert_message(conn->core, message);
    struct call call = {.args = {(PyObject *)conn, value}};
    if (!value || !call_slot(conn, WS_HANDLER_MESSAGE, handler, call.args, 2))
        handle_exception(conn, WS_HANDLER_MESSAGE);
    Py_XDECREF(value);
}

/* Nobody has a handler for this kind of message, but for the other one. */
static void on_other(struct ws_conn_object *conn, const struct ws_message *message) {
    Py_XDECREF((PyObject *)message->object);
    refuse_message(conn, 1003,
                   message->text ? "binary messages are expected" : "JSON text is expected");
}

typedef void take_message(struct ws_conn_object *conn, const struct ws_message *message);

/* Text is on_json's and binary is the format's, if they are set; what is left is on_message's; NULL
 * if there is no handler at all. */
static take_message *find_taker(const struct ws_server_object *server, bool text) {
    enum ws_handler_slot own = text ? WS_HANDLER_JSON : WS_HANDLER_PACKED;
    enum ws_handler_slot other = text ? WS_HANDLER_PACKED : WS_HANDLER_JSON;
    if (server->handlers[own]) return text ? on_json : on_packed;
    if (server->handlers[WS_HANDLER_MESSAGE]) return on_plain;
    return server->handlers[other] ? on_other : NULL;
}

static void on_message(void *user, struct ws_conn *core, const struct ws_message *message) {
    take_message *take = find_taker(user, message->text);
    struct ws_conn_object *conn = take ? get_conn(core) : NULL;
    if (conn) take(conn, message);
    else Py_XDECREF((PyObject *)message->object);
    Py_XDECREF((PyObject *)conn);
}

static void call_on_close(struct ws_conn_object *conn, const struct ws_close *close) {
    PyObject *handler = ws_conn_type_server(conn)->handlers[WS_HANDLER_CLOSE];
    if (!handler) return;
    PyObject *code = PyLong_FromLong(close->code);
    PyObject *reason = ws_convert_utf8(close->reason);
    struct call call = {.args = {(PyObject *)conn, code, reason}};
    if (!code || !reason || !call_slot(conn, WS_HANDLER_CLOSE, handler, call.args, 3)) {
        handle_exception(conn, WS_HANDLER_CLOSE);
    }
    Py_XDECREF(code);
    Py_XDECREF(reason);
}

/* Tells whoever waits for this connection: a method of what the runner keeps for it. */
static void tell_side(struct ws_conn_object *conn, const char *method, PyObject *args) {
    PyObject *side = Py_XNewRef(conn->side);
    PyObject *function = side && args ? PyObject_GetAttrString(side, method) : NULL;
    PyObject *result = function ? PyObject_CallObject(function, args) : NULL;
    if (!result && PyErr_Occurred()) handle_exception(conn, WS_HANDLER_CLOSE);
    Py_XDECREF(result);
    Py_XDECREF(function);
    Py_XDECREF(side);
    Py_XDECREF(args);
}

static void tell_gone(struct ws_conn_object *conn, uint16_t code, struct ws_slice reason) {
    if (!conn->side) return;
    PyObject *text = ws_convert_utf8(reason);
    tell_side(conn, "gone", text ? Py_BuildValue("(iN)", (int)code, text) : NULL);
}

static void on_gone(void *user, struct ws_conn *core, uint16_t code, struct ws_slice reason) {
    (void)user;
    struct ws_conn_object *conn = get_conn(core);
    if (conn) tell_gone(conn, code, reason);
    Py_XDECREF((PyObject *)conn);
}

static void on_drained(void *user, struct ws_conn *core) {
    (void)user;
    struct ws_conn_object *conn = get_conn(core);
    if (conn && conn->side) tell_side(conn, "drained", PyTuple_New(0));
    Py_XDECREF((PyObject *)conn);
}

static void on_ponged(void *user, struct ws_conn *core, struct ws_slice data, bool is_own) {
    (void)user;
    struct ws_conn_object *conn = get_conn(core);
    if (conn && conn->side)
        tell_side(
            conn, "ponged",
            Py_BuildValue("(y#O)", data.data, (Py_ssize_t)data.len, is_own ? Py_True : Py_False));
    Py_XDECREF((PyObject *)conn);
}

static void on_close(void *user, struct ws_conn *core, const struct ws_close *close) {
    (void)user;
    struct ws_conn_object *conn = get_conn(core);
    if (!conn) return;
    tell_gone(conn, close->code, close->reason);
    call_on_close(conn, close);
    drop_user(core);
    Py_DECREF(conn); /* last: conn holds the core's connection */
}

static void on_drain(void *user, struct ws_conn *core) {
    struct ws_server_object *server = user;
    PyObject *handler = server->handlers[WS_HANDLER_DRAIN];
    struct ws_conn_object *conn = handler ? get_conn(core) : NULL;
    if (!conn) return;
    struct call call = {.args = {(PyObject *)conn}};
    if (!call_slot(conn, WS_HANDLER_DRAIN, handler, call.args, 1))
        handle_exception(conn, WS_HANDLER_DRAIN);
    Py_DECREF(conn);
}

static void call_with_data(struct ws_server_object *server, enum ws_handler_slot slot,
                           struct ws_conn *core, struct ws_slice data) {
    PyObject *handler = server->handlers[slot];
    struct ws_conn_object *conn = handler ? get_conn(core) : NULL;
    if (!conn) return;
    PyObject *value = PyBytes_FromStringAndSize(data.data, (Py_ssize_t)data.len);
    struct call call = {.args = {(PyObject *)conn, value}};
    if (!value || !call_slot(conn, slot, handler, call.args, 2)) handle_exception(conn, slot);
    Py_XDECREF(value);
    Py_DECREF(conn);
}

static void on_ping(void *user, struct ws_conn *core, struct ws_slice data) {
    call_with_data(user, WS_HANDLER_PING, core, data);
}

static void on_pong(void *user, struct ws_conn *core, struct ws_slice data) {
    call_with_data(user, WS_HANDLER_PONG, core, data);
}

static void on_call(void *user, void *object, bool called, bool done) {
    struct ws_server_object *server = user;
    PyObject *timer = Py_NewRef((PyObject *)object);
    if (!ws_timer_type_called(timer, called, done)) {
        PyObject *exc = take_exception(server);
        PyObject *log = server->state->log_call_error;
        struct call call = {.args = {timer, exc}};
        if (!exc) ws_timer_type_cancel(timer); /* to raise again would be to lose patience */
        else if (!call_handler(log, &call, 2)) ws_errors_drop(log);
        Py_XDECREF(exc);
    }
    Py_DECREF(timer);
}

static void on_guest(void *user, void *object, uint32_t events) {
    struct ws_server_object *server = user;
    PyObject *guest = Py_NewRef((PyObject *)object);
    if (!events) {
        ws_guest_type_left(server, guest);
    } else if (!ws_guest_type_called(guest, events)) {
        PyObject *exc = take_exception(server);
        PyObject *log = server->state->log_guest_error;
        struct call call = {.args = {ws_guest_type_fd(guest), ws_guest_type_callback(guest), exc}};
        if (exc && call.args[0] && !call_handler(log, &call, 3)) ws_errors_drop(log);
        Py_XDECREF(call.args[0]);
        Py_XDECREF(call.args[1]);
        Py_XDECREF(exc);
    }
    Py_DECREF(guest);
}

static void on_log(void *user, enum ws_log level, struct ws_slice line) {
    struct ws_server_object *server = user;
    PyObject *handler = Py_XNewRef(server->handlers[WS_HANDLER_LOG]);
    if (!handler) return;
    PyObject *number = PyLong_FromLong((long)level);
    PyObject *text = ws_convert_utf8(line);
    struct call call = {.args = {number, text}};
    if (!number || !text || !call_handler(handler, &call, 2)) {
        PyObject *exc = take_exception(server);
        if (exc) {
            ws_errors_give(exc);
            ws_errors_drop(handler); /* the log itself is what failed */
        }
    }
    Py_XDECREF(number);
    Py_XDECREF(text);
    Py_DECREF(handler);
}

int ws_events_finish(struct ws_conn_object *conn, enum ws_handler_slot slot, bool waits,
                     PyObject *exc) {
    struct ws_server_object *server = ws_conn_type_server(conn);
    if (exc != Py_None) {
        ws_errors_give(Py_NewRef(exc));
        report_exception(conn, slot, true);
    }
    if (server->phase == WS_SERVER_ENDED) return 0;
    ws_loop_let_go(ws_server_loop(server->core));
    return waits ? ws_conn_end_busy(conn->core) : 0;
}

/* ---- memory ---- */

/* Nobody sees these objects before their message is whole, so filling them in breaks no one's
 * idea that str and bytes do not change. */
static void *new_buffer(void *user, size_t len, bool text, uint8_t **data) {
    (void)user;
    PyObject *object = ws_convert_new(len, text, data);
    if (!object) PyErr_Clear();
    return object;
}

static void release(void *user, void *object) {
    (void)user;
    Py_DECREF((PyObject *)object);
}

void ws_events_forget(struct ws_server_object *server) {
    struct ws_conn *core = ws_server_next(server->core, NULL, false);
    while (core) {
        struct ws_conn *next = ws_server_next(server->core, core, false);
        drop_user(core);
        core = next;
    }
}

const struct ws_handlers ws_events_handlers = {
    .on_request = on_request,
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
    .on_drain = on_drain,
    .on_drained = on_drained,
    .on_ponged = on_ponged,
    .on_gone = on_gone,
    .on_ping = on_ping,
    .on_pong = on_pong,
    .on_call = on_call,
    .on_guest = on_guest,
    .on_log = on_log,
    .new_buffer = new_buffer,
    .release = release,
    .takes_masked = true,
};
