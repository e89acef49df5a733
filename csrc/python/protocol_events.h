/* protocol_events.h: what an endpoint tells, as objects of the classes of wspy.events. */
#ifndef WS_PY_PROTOCOL_EVENTS_H
#define WS_PY_PROTOCOL_EVENTS_H

#include "state.h"

#include "endpoint.h"

/* Finds the classes. 0, or -1 with an exception set; the module frees what there is. */
int ws_protocol_events_load(struct ws_state *state);
/* The event as an object (new reference), or NULL with an exception set. path, query and
 * subprotocol are for Open: of the request that a client has made, else NULL; and the one agreed
 * on. Nothing that the event points to is read once code of the user's may have run. */
PyObject *ws_protocol_events_make(const struct ws_state *state, const struct ws_endpoint_event *ev,
                                  PyObject *path, PyObject *query, PyObject *subprotocol);

#endif
