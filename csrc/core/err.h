/* err.h: the one set of error values of the core.
 *
 * Contract of every function in csrc/core that can fail: the result is >= 0, or one of these.
 * Nobody prints, aborts or exits. */
#ifndef WS_ERR_H
#define WS_ERR_H

enum ws_err {
    WS_ERR_MEMORY = -1,   /* out of memory */
    WS_ERR_SYSTEM = -2,   /* a system call failed: errno says why */
    WS_ERR_ARGUMENT = -3, /* the caller passed what the contract excludes */
    WS_ERR_CLOSED = -4,   /* the connection is closing or closed */
    WS_ERR_LIMIT = -5,    /* a configured limit was reached */
    WS_ERR_SYNTAX = -6,   /* bytes from the peer break the grammar */
    WS_ERR_RESOLVE = -7,  /* a host name could not be resolved */
};

/* A short English sentence without a full stop for an enum ws_err; never NULL. */
const char *ws_err_text(int err);

#endif
