/* events.c: what the core tells becomes calls of the user's handlers, and what they raise becomes
 * on_error, a log line or the end of the run. Does not know who turns the loop (server_type.c).
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
    PyObject *args[3];
};

/* False: the handler raised, and its exception is set. */
static bool call_handler(PyObject *handler, struct call *call, size_t n) {
    Py_INCREF(handler); /* it may replace itself */
    PyObject *result =
        PyObject_Vectorcall(handler, call->args, n | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(handler);
    Py_XDECREF(result);
    return result != NULL;
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
 * NULL is returned; an Exception is given to the caller (new reference). */
static PyObject *take_exception(struct ws_server_object *server) {
    PyObject *exc = ws_errors_take();
    if (exc && !PyErr_GivenExceptionMatches(exc, PyExc_Exception)) {
        ws_events_fail(server, exc);
        exc = NULL;
    }
    return exc;
}

/* Lets wspy.errors write the traceback. */
static void log_exception(struct ws_conn_object *conn, enum ws_handler_slot slot, PyObject *exc) {
    PyObject *log = ws_conn_type_server(conn)->state->log_handler_error;
    PyObject *event = PyUnicode_FromString(ws_server_type_slot_name(slot));
    struct call call = {.args = {event, (PyObject *)conn, exc}};
    if (!event || !call_handler(log, &call, 3)) {
        PyObject *second = take_exception(ws_conn_type_server(conn));
        if (second) {
            ws_errors_give(second);
            ws_errors_drop(log);
        }
    }
    Py_XDECREF(event);
}

/* A handler of conn raised: on_error is told; without it, or if it fails too, the log is, and the
 * connection is closed. */
static void handle_exception(struct ws_conn_object *conn, enum ws_handler_slot slot) {
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
        if (second) log_exception(conn, WS_HANDLER_ERROR, second);
        Py_XDECREF(second);
    }
    log_exception(conn, slot, exc);
    Py_DECREF(exc);
    /* RFC 6455 section 7.4.1: "1011 indicates that a server is terminating the connection because
     * it encountered an unexpected condition". One that has ended ignores it. */
    ws_conn_close(conn->core, 1011, (struct ws_slice){"", 0}, WS_CLOSE_ERROR);
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

static void on_open(void *user, struct ws_conn *core) {
    struct ws_server_object *server = user;
    struct ws_conn_object *conn = ws_conn_type_make(server, core);
    if (!conn) {
        PyErr_Clear();
        ws_conn_close(core, 1011, (struct ws_slice){"", 0}, WS_CLOSE_ERROR);
        return;
    }
    ws_conn_set_user(core, Py_NewRef(conn)); /* owned by the pointer until on_close */
    PyObject *handler = server->handlers[WS_HANDLER_OPEN];
    if (handler) {
        struct call call = {.args = {(PyObject *)conn}};
        if (!call_handler(handler, &call, 1)) handle_exception(conn, WS_HANDLER_OPEN);
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
    else if (!value || !call_handler(handler, &call, 2)) handle_exception(conn, WS_HANDLER_JSON);
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
        if (!ws_packed_call(&packed, handler, conn, data, message->len))
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
    if (!value || !call_handler(handler, &call, 2)) handle_exception(conn, WS_HANDLER_MESSAGE);
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
    if (!code || !reason || !call_handler(handler, &call, 3)) {
        handle_exception(conn, WS_HANDLER_CLOSE);
    }
    Py_XDECREF(code);
    Py_XDECREF(reason);
}

static void on_close(void *user, struct ws_conn *core, const struct ws_close *close) {
    (void)user;
    struct ws_conn_object *conn = get_conn(core);
    if (!conn) return;
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
    if (!call_handler(handler, &call, 1)) handle_exception(conn, WS_HANDLER_DRAIN);
    Py_DECREF(conn);
}

static void call_with_data(struct ws_server_object *server, enum ws_handler_slot slot,
                           struct ws_conn *core, struct ws_slice data) {
    PyObject *handler = server->handlers[slot];
    struct ws_conn_object *conn = handler ? get_conn(core) : NULL;
    if (!conn) return;
    PyObject *value = PyBytes_FromStringAndSize(data.data, (Py_ssize_t)data.len);
    struct call call = {.args = {(PyObject *)conn, value}};
    if (!value || !call_handler(handler, &call, 2)) handle_exception(conn, slot);
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
        if (exc && !call_handler(log, &call, 2)) ws_errors_drop(log);
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
    .on_open = on_open,
    .on_message = on_message,
    .on_close = on_close,
    .on_drain = on_drain,
    .on_ping = on_ping,
    .on_pong = on_pong,
    .on_call = on_call,
    .on_guest = on_guest,
    .on_log = on_log,
    .new_buffer = new_buffer,
    .release = release,
    .takes_masked = true,
};
