/* eager.h: the first step of what an async handler returned, taken at once: a coroutine that never
 * suspends costs no turn of asyncio's loop. See wspy/tasks.py, whose functions these are. */
#ifndef WS_PY_EAGER_H
#define WS_PY_EAGER_H

#include "state.h"

/* A task that is nothing yet, and the Begun that will be its coroutine. */
struct ws_blank {
    PyObject *task, *begun;
};

/* All owned; loop NULL: the server does not run in asyncio. */
struct ws_eager {
    const struct ws_state *state; /* borrowed */
    PyObject *loop;
    PyObject *keywords;    /* {"loop": loop}, of a task's __init__ */
    PyObject *start;       /* (coroutine, loop, context): the task if it goes on, else None; or: */
    PyObject *blank_type;  /* (loop, begun): a task */
    PyObject *fill;        /* (task): from now on it is of blank_type's base */
    PyObject *fail;        /* (task, exception): what it raises, to which its first step came */
    PyObject *current;     /* a dict, which has the task of a loop while it takes a step */
    struct ws_blank spare; /* for the next step; or NULLs */
};

int ws_eager_visit(const struct ws_eager *e, visitproc visit, void *arg);
void ws_eager_clear(struct ws_eager *e);
/* As _set_eager() says. 0, or -1 with an exception set. */
int ws_eager_set(struct ws_eager *e, PyObject *within);
/* The task, if it goes on (new reference). NULL: it is done, and what it raised is set, but for
 * CancelledError. */
PyObject *ws_eager_start(struct ws_eager *e, PyObject *coroutine, PyObject *context);

#endif
