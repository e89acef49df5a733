/* errors.h: the core's error values as Python exceptions, and exceptions as objects that can be
 * kept. */
#ifndef WS_PY_ERRORS_H
#define WS_PY_ERRORS_H

#include "state.h"

#include <stdbool.h>

/* The exception that is set, as an instance with its traceback (new reference). None is set
 * afterwards. */
PyObject *ws_errors_take(void);
/* Sets a taken exception again; steals it. */
void ws_errors_give(PyObject *exc);
/* Reports an exception that cannot go anywhere else to sys.unraisablehook; `where` names the
 * place. */
void ws_errors_drop(PyObject *where);

/* Whether it is asyncio's CancelledError, which is no Exception. Where nobody imported asyncio
 * there is none, and wspy does not import it for that. */
bool ws_errors_is_cancelled(PyObject *exc);

/* Sets MemoryError for WS_ERR_MEMORY, else RuntimeError with the core's words. */
void ws_errors_raise(int err);
/* Sets OSError(errnum, why), Python choosing the subclass, for WS_ERR_SYSTEM, MemoryError for
 * WS_ERR_MEMORY, else OSError(why). `why` is NUL-terminated, its bytes may be any. */
void ws_errors_raise_why(int err, int errnum, const char *why);
/* Sets OSError(errnum, text), Python choosing the subclass; the format is PyUnicode_FromFormat's.
 * Returns NULL. */
PyObject *ws_errors_raise_os(int errnum, const char *format, ...);
/* Sets ValueError for a descriptor that select cannot take (WS_ERR_LIMIT). Returns NULL. */
PyObject *ws_errors_raise_large(int fd);
/* Sets ConnectionClosed(code, reason); reason is borrowed. */
void ws_errors_raise_closed(const struct ws_state *state, int code, PyObject *reason);

#endif
