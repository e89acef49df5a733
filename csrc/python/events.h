/* events.h: core event -> call of a Python handler. */
#ifndef WS_PY_EVENTS_H
#define WS_PY_EVENTS_H

#include "conn_type.h"
#include "server_type.h"

/* For ws_server_new, with the struct ws_server_object as user. Every function runs with the GIL
 * held and with no exception set, and leaves none. */
extern const struct ws_handlers ws_events_handlers;

/* Keeps the first exception that _run will raise, and stops the server. Steals exc. */
void ws_events_fail(struct ws_server_object *server, PyObject *exc);
/* Gives up the references that the connections' user pointers own: no event will come any more. */
void ws_events_forget(struct ws_server_object *server);

/* A handler that went on is done; exc is what it raised, or None; waits: what comes next to conn
 * waits for that. 0 or WS_ERR_MEMORY. On the loop's thread. */
int ws_events_finish(struct ws_conn_object *conn, enum ws_handler_slot slot, bool waits,
                     PyObject *exc);

#endif
