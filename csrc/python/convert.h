/* convert.h: the one edge between Python's objects and the core's bytes, numbers and options. */
#ifndef WS_PY_CONVERT_H
#define WS_PY_CONVERT_H

#include "state.h"

#include "ws.h"

/* From this size on exact bytes and str are sent from where they lie instead of being copied. */
#define WS_CONVERT_SHARE_MIN 16384

/* ---- to Python: each gives a new reference, or NULL with an exception set ---- */

/* A str of what a request head holds: bytes below 0x80 but in values, where RFC 9110 section 5.5
 * lets obs-text through: latin-1 loses nothing of it. */
PyObject *ws_convert_latin1(struct ws_slice s);
/* A str of UTF-8; what is none (it may have been cut) becomes U+FFFD. */
PyObject *ws_convert_utf8(struct ws_slice s);
/* A str for ASCII or bytes of that length, to be filled in: where its bytes go. */
PyObject *ws_convert_new(size_t len, bool text, uint8_t **data);
/* str or bytes. Takes message->object, also when it fails. */
PyObject *ws_convert_message(const struct ws_conn *core, const struct ws_message *message);
/* (ip, port), or None for a Unix socket. */
PyObject *ws_convert_address(const struct ws_address *address);
PyObject *ws_convert_stats(const struct ws_stats *stats);
/* Headers of a head, which may be empty. Runs Python: the head lies where nobody frees it
 * meanwhile. */
PyObject *ws_convert_headers(const struct ws_state *state, const struct ws_http_head *head);

/* ---- to the core: 0, or -1 with an exception set ---- */

struct ws_convert_payload {
    struct ws_payload payload; /* object, if not NULL, is borrowed from data */
    Py_buffer view;            /* held while view.obj is not NULL */
    void *copy;                /* owned, may be NULL */
};

/* What a method such as "send" was given. The payload is valid as long as data, and until fini. */
int ws_convert_payload_init(struct ws_convert_payload *p, const char *method, PyObject *data);
void ws_convert_payload_fini(struct ws_convert_payload *p);

/* The key of send() and publish(): NULL or None is 0, a str what the server makes of it. */
int ws_convert_key(const struct ws_server *server, PyObject *key, uint64_t *out);
/* The compress of send() and publish(): NULL or None, True, False; an enum ws_compress. */
int ws_convert_compress(PyObject *compress, uint8_t *out);

/* Reads the dict of validated options (see Server.__init__). Its lists point into the dict's
 * strings, which must live until fini; fini is to be called in every case. */
int ws_convert_options_init(struct ws_options *options, PyObject *dict);
/* The same of a dict that may leave some out: they keep their defaults. */
int ws_convert_some_options_init(struct ws_options *options, PyObject *dict);
void ws_convert_options_fini(struct ws_options *options);
/* The same of origins, hosts and subprotocols alone. */
int ws_convert_rules_init(struct ws_handshake_rules *rules, PyObject *origins, PyObject *hosts,
                          PyObject *subprotocols);
void ws_convert_rules_fini(struct ws_handshake_rules *rules);
/* "auto", "select", "poll", "epoll". */
int ws_convert_strategy(PyObject *value, enum ws_strategy *out);
const char *ws_convert_strategy_name(enum ws_strategy strategy);

/* A descriptor as register() and its like take it: an int, or what has fileno(). It, or -1 with an
 * exception set. */
int ws_convert_fd(PyObject *value);
/* What a descriptor is to be watched for, as register() and modify() take it: enum ws_poll. */
int ws_convert_poll_mask(PyObject *value, uint32_t *out);

/* A close code and its reason as close() takes them. The reason points into the str. */
int ws_convert_close_code(PyObject *value, uint16_t *code);
int ws_convert_close_reason(PyObject *value, struct ws_slice *reason);

#endif
