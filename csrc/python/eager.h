/* eager.h: the first step of what an async handler returned, taken at once: a coroutine that never
 * suspends costs no turn of asyncio's loop. See wspy/tasks.py, whose functions these are. */
#ifndef WS_PY_EAGER_H
#define WS_PY_EAGER_H

#include "state.h"

/* All owned; loop NULL: the server does not run in asyncio. */
struct ws_eager {
    PyObject *loop;
    PyObject *start;    /* (coroutine, loop, context): the task if it goes on, else None; or: */
    PyObject *new_task; /* (coroutine, loop, context, callbacks): one whose step is to be taken */
    PyObject *enter, *leave; /* (loop, task): around that step */
};

int ws_eager_visit(const struct ws_eager *e, visitproc visit, void *arg);
void ws_eager_clear(struct ws_eager *e);
/* The task, if it goes on (new reference). NULL: it is done, and what it raised is set, but for
 * CancelledError. */
PyObject *ws_eager_start(const struct ws_eager *e, PyObject *coroutine, PyObject *context);

#endif
