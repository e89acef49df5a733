/* events.h: core event -> call of a Python handler. */
#ifndef WS_PY_EVENTS_H
#define WS_PY_EVENTS_H

#include "server_type.h"

/* For ws_server_new, with the struct ws_server_object as user. Every function runs with the GIL
 * held and with no exception set, and leaves none. */
extern const struct ws_handlers ws_events_handlers;

/* Keeps the first exception that _run will raise, and stops the server. Steals exc. */
void ws_events_fail(struct ws_server_object *server, PyObject *exc);
/* Gives up the references that the connections' user pointers own: no event will come any more. */
void ws_events_forget(struct ws_server_object *server);

#endif
