/* json_codec.h: objects as JSON text and back, by the functions that the user chose. */
#ifndef WS_PY_JSON_CODEC_H
#define WS_PY_JSON_CODEC_H

#include "convert.h"
#include "server_type.h"

/* Encodes obj. Returns what holds the text (new reference), with p made of it as of what send() is
 * given, or NULL with an exception set. */
PyObject *ws_json_codec_dump(const struct ws_server_object *server, PyObject *obj,
                             struct ws_convert_payload *p);
/* Decodes a text. A new reference, or NULL: with an exception set, or, if the text is not JSON,
 * with none. */
PyObject *ws_json_codec_load(const struct ws_server_object *server, PyObject *text);

#endif
