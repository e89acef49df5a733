/* json_codec.c: see json_codec.h. */
#include "json_codec.h"

PyObject *ws_json_codec_dump(const struct ws_server_object *server, PyObject *obj,
                             struct ws_convert_payload *p) {
    if (!server->json_dumps) { /* the collector has taken the server apart */
        PyErr_SetString(PyExc_RuntimeError, "the server is gone");
        return NULL;
    }
    PyObject *dumps = Py_NewRef(server->json_dumps); /* it may replace itself */
    PyObject *text = PyObject_CallOneArg(dumps, obj);
    Py_DECREF(dumps);
    if (!text) return NULL;
    if (!PyUnicode_Check(text) && !PyObject_CheckBuffer(text)) {
        PyErr_Format(PyExc_TypeError, "json_dumps must return str or UTF-8 as bytes, not %.100s",
                     Py_TYPE(text)->tp_name);
        Py_DECREF(text);
        return NULL;
    }
    int err = ws_convert_payload_init(p, "json_dumps", text);
    if (err == 0 && !p->payload.text) { /* orjson and msgspec make bytes of UTF-8 */
        p->payload.text = true;
        if (!ws_server_is_utf8(server->core, p->payload.data, p->payload.len)) {
            PyErr_SetString(PyExc_ValueError, "json_dumps returned bytes that are not UTF-8");
            ws_convert_payload_fini(p);
            err = -1;
        }
    }
    if (err == 0) return text;
    Py_DECREF(text);
    return NULL;
}

PyObject *ws_json_codec_load(const struct ws_server_object *server, PyObject *text) {
    PyObject *loads = Py_NewRef(server->json_loads);
    PyObject *value = PyObject_CallOneArg(loads, text);
    Py_DECREF(loads);
    /* ValueError is what decoders raise, or a subclass of it; thousands of open brackets are the
     * peer's doing too. */
    if (!value &&
        (PyErr_ExceptionMatches(PyExc_ValueError) || PyErr_ExceptionMatches(PyExc_RecursionError)))
        PyErr_Clear();
    return value;
}
