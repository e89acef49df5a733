/* err.c: error values in words. */
#include "err.h"

const char *ws_err_text(int err) {
    switch (err) {
    case WS_ERR_MEMORY: return "out of memory";
    case WS_ERR_SYSTEM: return "a system call failed";
    case WS_ERR_ARGUMENT: return "an argument is out of range";
    case WS_ERR_CLOSED: return "the connection is closed";
    case WS_ERR_LIMIT: return "a limit was reached";
    case WS_ERR_SYNTAX: return "malformed input";
    case WS_ERR_RESOLVE: return "the host name could not be resolved";
    default: return err >= 0 ? "no error" : "unknown error";
    }
}
