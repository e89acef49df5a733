/* server_type.h: wspy._core.Server, the base of wspy.Server: a core server and its loop. */
#ifndef WS_PY_SERVER_TYPE_H
#define WS_PY_SERVER_TYPE_H

#include "eager.h"
#include "state.h"

#include "ws.h"

/* In the order of the names in server_type.c. */
enum ws_handler_slot {
    WS_HANDLER_REQUEST,
    WS_HANDLER_OPEN,
    WS_HANDLER_MESSAGE,
    WS_HANDLER_PACKED, /* on_message, with a format */
    WS_HANDLER_JSON,
    WS_HANDLER_CLOSE,
    WS_HANDLER_DRAIN,
    WS_HANDLER_PING,
    WS_HANDLER_PONG,
    WS_HANDLER_ERROR,
    WS_HANDLER_LOG,
    WS_HANDLER_COUNT,
};

enum ws_server_phase {
    WS_SERVER_NEW,
    WS_SERVER_BINDING,
    WS_SERVER_RUNNING,
    WS_SERVER_EMBEDDED, /* it runs in steps */
    WS_SERVER_ENDED,
    WS_SERVER_ABANDONED, /* it did not run when the process was forked, and this is the child */
};

#define WS_SERVER_OF_PARENT "this Server belongs to the parent process: make one in the child"

/* How a handler is called. */
enum ws_handler_mode {
    WS_MODE_PLAIN,
    WS_MODE_TASK,   /* async def: what it returns is awaited */
    WS_MODE_THREAD, /* on a thread of the pool */
};

/* What on_message(format=...) takes. */
struct ws_packed {
    struct ws_struct_object *of;       /* owned; NULL: no format */
    const struct ws_structfmt *format; /* of's */
    bool many;                         /* records, as many as come, else one */
    bool raises; /* a message of another length is an exception for on_error, else it closes */
};

/* Every member is read and written with the GIL held. */
struct ws_server_object {
    PyObject_HEAD const struct ws_state *state; /* borrowed: of the module, which the type holds */
    struct ws_server *core;                     /* owned; NULL before __init__ */
    PyObject *handlers[WS_HANDLER_COUNT];       /* owned; NULL: not set */
    uint8_t modes[WS_HANDLER_COUNT];            /* enum ws_handler_mode */
    bool concurrent[WS_HANDLER_COUNT]; /* the next event does not wait for the end of this one */
    PyObject *runner;                  /* owned: what starts those that go on; NULL: none yet */
    PyObject *watch, *submit;          /* owned: methods of it, which come often */
    struct ws_eager eager;             /* of async handlers */
    struct ws_packed packed;           /* with the handler of its slot */
    PyObject *failure;                 /* owned: what _run will raise, or NULL */
    PyObject *json_dumps, *json_loads; /* owned; set by __init__ */
    struct ws_timer_object *timers;    /* owned: those that wait, linked by next */
    size_t n_timers;
    PyObject *guests; /* owned: a dict, from descriptor to guest; NULL: none was registered */
    PyObject *weakrefs;
    const char *strategy; /* static: the one asked for, then the one in use */
    enum ws_server_phase phase;
    bool in_step, told_stopping;
};

/* Whether __init__ was called; else RuntimeError is set. */
bool ws_server_type_has_core(const struct ws_server_object *self);
/* Whether it has not run, is not bound at the moment and is this process's; else RuntimeError is
 * set, which says otherwise if it has run. */
bool ws_server_type_is_new(const struct ws_server_object *self, const char *otherwise);
/* Whether calls may be asked for; else RuntimeError is set. */
bool ws_server_type_may_call(const struct ws_server_object *self);
/* The slot of a handler's name, or -1 with ValueError set. */
int ws_server_type_find_slot(const char *name);
/* The names of the slots, in their order, as a tuple: "open", "message", ..., which _set_handler
 * takes and log_handler_error gets. New reference, or NULL with an exception set. */
PyObject *ws_server_type_new_names(PyObject *module);
/* New reference, or NULL with an exception set. */
PyObject *ws_server_type_new(PyObject *module);

#endif
