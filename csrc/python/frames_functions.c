/* frames_functions.c: frames in the manner of struct: values in, bytes out, and back. Headers and
 * masking are the core's work; nothing is known here of messages, roles or connections. */
#include "frames_functions.h"

#include "arguments.h"
#include "convert.h"
#include "err.h"
#include "errors.h"
#include "frame.h"
#include "functions.h"
#include "mask.h"

#define RSV_MAX 7
#define FIELDS 6 /* of wspy.frames.Frame */

/* ---- arguments: 0, or -1 with an exception set ---- */

static int get_int(const char *name, PyObject *value, int max, int *out) {
    if (!PyIndex_Check(value)) {
        PyErr_Format(PyExc_TypeError, "%s must be an int, not %.100s", name,
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    PyObject *number = PyNumber_Index(value);
    if (!number) return -1;
    int overflow;
    long found = PyLong_AsLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (found == -1 && PyErr_Occurred()) return -1;
    if (!overflow && found >= 0 && found <= max) {
        *out = (int)found;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "%s must be from 0 to %d, not %R", name, max, value);
    return -1;
}

static int get_opcode(PyObject *value, struct ws_frame *f) {
    int opcode;
    if (get_int("opcode", value, 15, &opcode) < 0) return -1;
    f->opcode = (uint8_t)opcode;
    if (opcode <= WS_OPCODE_BINARY || (opcode >= WS_OPCODE_CLOSE && opcode <= WS_OPCODE_PONG))
        return 0;
    /* RFC 6455 section 5.2 reserves the others. */
    PyErr_Format(PyExc_ValueError, "opcode must not be %d, which is reserved", opcode);
    return -1;
}

static int get_rsv(PyObject *value, uint8_t *rsv) {
    int bits;
    if (!value) return 0;
    if (get_int("rsv", value, RSV_MAX, &bits) < 0) return -1;
    *rsv = (uint8_t)bits;
    return 0;
}

static int get_mask(PyObject *value, struct ws_frame *f) {
    Py_buffer view;
    if (!value || value == Py_None) return 0;
    if (!PyObject_CheckBuffer(value)) {
        PyErr_Format(PyExc_TypeError,
                     "mask must be a bytes-like object of 4 bytes or None, not "
                     "%.100s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    if (PyObject_GetBuffer(value, &view, PyBUF_SIMPLE) < 0) return -1;
    Py_ssize_t len = view.len;
    if (len == sizeof f->key) memcpy(&f->key, view.buf, sizeof f->key);
    PyBuffer_Release(&view);
    f->masked = true;
    if (len == sizeof f->key) return 0;
    PyErr_Format(PyExc_ValueError, "mask must have 4 bytes, not %zd", len);
    return -1;
}

/* RFC 6455 section 5.5: control frames "MUST have a payload length of 125 bytes or less and MUST
 * NOT be fragmented." */
static int judge_control(const struct ws_frame *f) {
    if (!ws_frame_is_control(f->opcode)) return 0;
    if (f->len > WS_CONTROL_MAX) {
        PyErr_Format(PyExc_ValueError,
                     "payload must have at most %d bytes in a control frame, "
                     "not %llu",
                     WS_CONTROL_MAX, (unsigned long long)f->len);
        return -1;
    }
    if (f->fin) return 0;
    PyErr_SetString(PyExc_ValueError, "fin must be True for a control frame");
    return -1;
}

/* A frame to be written: values are opcode, payload, fin, rsv and mask. */
struct parts {
    struct ws_frame frame;
    struct ws_convert_payload payload;
    size_t size; /* of all */
};

/* To be given up with ws_convert_payload_fini if it is 0. */
static int get_parts(struct parts *p, const char *function, PyObject *const *values) {
    struct ws_frame *f = &p->frame;
    *f = (struct ws_frame){.fin = true};
    int fin = values[2] ? PyObject_IsTrue(values[2]) : 1;
    if (fin < 0 || get_opcode(values[0], f) < 0 || get_rsv(values[3], &f->rsv) < 0 ||
        get_mask(values[4], f) < 0 ||
        ws_convert_payload_init(&p->payload, function, values[1]) < 0) {
        return -1;
    }
    f->fin = fin != 0;
    f->len = p->payload.payload.len;
    p->size = ws_frame_header_size(f->len, f->masked);
    if (judge_control(f) == 0) {
        if (f->len <= PY_SSIZE_T_MAX - p->size) {
            p->size += (size_t)f->len;
            return 0;
        }
        PyErr_NoMemory();
    }
    ws_convert_payload_fini(&p->payload);
    return -1;
}

/* The payload comes first: it may lie where the header goes. */
static void write_parts(enum ws_simd simd, uint8_t *out, const struct parts *p) {
    const uint8_t *data = p->payload.payload.data;
    size_t len = p->payload.payload.len;
    uint8_t header[WS_FRAME_HEADER_MAX];
    size_t size = ws_frame_write(header, &p->frame);
    uintptr_t from = (uintptr_t)data, to = (uintptr_t)out;
    if (len && p->frame.masked && (from + len <= to || to + size + len <= from)) {
        ws_mask_apply(simd, out + size, data, len, p->frame.key);
    } else if (len) {
        memmove(out + size, data, len);
        if (p->frame.masked) ws_mask_apply(simd, out + size, out + size, len, p->frame.key);
    }
    memcpy(out, header, size);
}

static enum ws_simd simd_of(PyObject *module) {
    return ((struct ws_state *)PyModule_GetState(module))->simd;
}

/* ---- pack ---- */

static const char *const pack_names[] = {"opcode", "payload", "fin", "rsv", "mask", NULL};

PyDoc_STRVAR(pack_doc,
"pack($module, opcode, payload, *, fin=True, rsv=0, mask=None)\n--\n\n"
"One frame (RFC 6455 section 5.2) as bytes.\n\n"
"payload is a bytes-like object, or a str, which goes out as UTF-8. fin=False: fragments\n"
"follow. rsv: the reserved bits, 4 for RSV1, 2 for RSV2, 1 for RSV3; 0 unless an extension\n"
"was agreed on that uses them. mask: the 4 bytes that mask the payload, as a client has to,\n"
"new and unpredictable ones for each frame (secrets.token_bytes(4)); None for a server's.\n\n"
"ValueError for a reserved opcode, and for a control frame that is fragmented or has more\n"
"than 125 bytes; TypeError for an argument of another type. Whether the frame fits those\n"
"before it, and what its payload says, is not looked at.\n\n"
">>> from wspy import frames\n"
">>> frames.pack(frames.TEXT, \"Hello\")\n"
"b'\\x81\\x05Hello'\n"
">>> frames.pack(frames.TEXT, \"Hello\", mask=bytes.fromhex(\"37fa213d\")).hex(\" \")\n"
"'81 85 37 fa 21 3d 7f 9f 4d 51 58'");

static PyObject *pack(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *keywords) {
    static const struct ws_parameters parameters = {
        .function = "pack", .names = pack_names, .n_places = 2, .n_needed = 2};
    PyObject *values[5] = {NULL};
    struct parts p;
    if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0 ||
        get_parts(&p, "pack", values) < 0) {
        return NULL;
    }
    PyObject *out = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)p.size);
    if (out) write_parts(simd_of(module), (uint8_t *)PyBytes_AS_STRING(out), &p);
    ws_convert_payload_fini(&p.payload);
    return out;
}

/* ---- pack_into ---- */

/* An offset into a buffer of that length, where a negative one counts from the end. One that is
 * too large for any buffer is as large as they get. */
static int get_offset(const struct ws_state *state, PyObject *value, Py_ssize_t len,
                      Py_ssize_t *out) {
    Py_ssize_t offset = value ? PyNumber_AsSsize_t(value, NULL) : 0;
    if (offset == -1 && PyErr_Occurred()) return -1;
    *out = offset < 0 ? offset + len : offset;
    if (*out >= 0 && *out <= len) return 0;
    PyErr_Format(state->frame_error, "offset %zd out of range for %zd-byte buffer", offset, len);
    return -1;
}

static int check_room(const struct ws_state *state, size_t size, Py_ssize_t offset,
                      Py_ssize_t len) {
    if (size <= (size_t)(len - offset)) return 0;
    PyErr_Format(state->frame_error,
                 "pack_into requires a buffer of at least %zu bytes for packing %zu bytes at "
                 "offset %zd (actual buffer size is %zd)",
                 (size_t)offset + size, size, offset, len);
    return -1;
}

PyDoc_STRVAR(pack_into_doc,
"pack_into($module, buffer, offset, opcode, payload, *, fin=True, rsv=0,\n"
"          mask=None)\n--\n\n"
"pack() into a writable buffer, from offset on; a negative one counts from the end. Returns\n"
"the bytes written, so that offset + that is where the next frame goes. The payload may be a\n"
"part of the buffer, also of the place that is written to.\n\n"
"FrameError if the buffer has not the room or the offset is outside of it, and nothing is\n"
"written then; otherwise as pack().\n\n"
">>> from wspy import frames\n"
">>> out = bytearray(8)\n"
">>> at = frames.pack_into(out, 0, frames.PING, b\"\")\n"
">>> at += frames.pack_into(out, at, frames.BINARY, b\"\\x01\\x02\")\n"
">>> bytes(out[:at])\n"
"b'\\x89\\x00\\x82\\x02\\x01\\x02'");

static PyObject *pack_into(PyObject *module, PyObject *const *args, Py_ssize_t n,
                           PyObject *keywords) {
    static const char *const names[] = {"buffer", "offset", "opcode", "payload",
                                        "fin",    "rsv",    "mask",   NULL};
    static const struct ws_parameters parameters = {
        .function = "pack_into", .names = names, .n_places = 4, .n_needed = 4};
    const struct ws_state *state = PyModule_GetState(module);
    PyObject *values[7] = {NULL};
    Py_buffer view;
    struct parts p;
    Py_ssize_t offset;
    if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0 ||
        get_parts(&p, "pack_into", values + 2) < 0) {
        return NULL;
    }
    PyObject *written = NULL;
    if (PyObject_GetBuffer(values[0], &view, PyBUF_WRITABLE) < 0) {
        PyErr_Format(PyExc_TypeError,
                     "pack_into() argument 'buffer' must be read-write bytes-like object, not "
                     "%.100s",
                     Py_TYPE(values[0])->tp_name);
    } else {
        if (get_offset(state, values[1], view.len, &offset) == 0 &&
            check_room(state, p.size, offset, view.len) == 0) {
            write_parts(state->simd, (uint8_t *)view.buf + offset, &p);
            written = PyLong_FromSize_t(p.size);
        }
        PyBuffer_Release(&view);
    }
    ws_convert_payload_fini(&p.payload);
    return written;
}

/* ---- unpack ---- */

static PyObject *raise_frame(const struct ws_state *state, const char *why) {
    PyErr_SetString(state->frame_error, why);
    return NULL;
}

/* The frame that begins there needs `size` bytes at least, and has fewer. */
static PyObject *raise_incomplete(const struct ws_state *state, const char *function, uint64_t size,
                                  Py_ssize_t offset, Py_ssize_t len) {
    uint64_t whole = (uint64_t)offset + size; /* both below 2^63 + 15 */
    PyObject *text = PyUnicode_FromFormat("%s requires a buffer of at least %llu bytes for the "
                                          "frame at offset %zd (actual buffer size is %zd)",
                                          function, (unsigned long long)whole, offset, len);
    if (!text) return NULL;
    PyObject *exc = PyObject_CallFunction(state->incomplete_frame, "OK", text,
                                          (unsigned long long)(whole - (uint64_t)len));
    Py_DECREF(text);
    if (exc) ws_errors_give(exc);
    return NULL;
}

/* Steals the values, some of which may be NULL. Made as tuple.__new__ does, which saves a call of
 * Python's. */
static PyObject *make_frame(const struct ws_state *state, PyObject *const values[FIELDS]) {
    PyObject *tuple = NULL, *args = NULL, *made = NULL;
    bool all = true;
    for (int i = 0; i < FIELDS; i++) all = all && values[i];
    if (all) {
        tuple =
            PyTuple_Pack(FIELDS, values[0], values[1], values[2], values[3], values[4], values[5]);
    }
    for (int i = 0; i < FIELDS; i++) Py_XDECREF(values[i]);
    if (tuple) args = PyTuple_Pack(1, tuple);
    if (args) made = PyTuple_Type.tp_new((PyTypeObject *)state->frame_class, args, NULL);
    Py_XDECREF(tuple);
    Py_XDECREF(args);
    return made;
}

/* `header` bytes of header, and the whole payload behind them. */
static PyObject *read_parts(const struct ws_state *state, const struct ws_frame *f,
                            const uint8_t *data, size_t header) {
    size_t len = (size_t)f->len;
    PyObject *payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
    if (!payload) return NULL;
    uint8_t *out = (uint8_t *)PyBytes_AS_STRING(payload);
    if (f->masked) ws_mask_apply(state->simd, out, data + header, len, f->key);
    else if (len) memcpy(out, data + header, len);
    PyObject *values[FIELDS] = {
        Py_NewRef(PyTuple_GET_ITEM(state->opcodes, f->opcode)),
        payload,
        PyBool_FromLong(f->fin),
        PyLong_FromLong(f->rsv),
        f->masked ? PyBytes_FromStringAndSize((const char *)&f->key, sizeof f->key)
                  : Py_NewRef(Py_None),
        PyLong_FromSize_t(header + len),
    };
    return make_frame(state, values);
}

/* The frame at an offset; `exact`: it ends with the buffer. */
static PyObject *unpack_at(const struct ws_state *state, const char *function,
                           const Py_buffer *view, Py_ssize_t offset, uint8_t rsv, bool exact) {
    const uint8_t *data = (const uint8_t *)view->buf + offset;
    size_t len = (size_t)(view->len - offset);
    struct ws_frame f;
    if (len >= 2) {
        const char *fault = ws_frame_fault(data[0], data[1]);
        if (fault) return raise_frame(state, fault);
        /* RFC 6455 section 5.2: RSV "MUST be 0 unless an extension is negotiated that defines
         * meanings for non-zero values." */
        if ((data[0] >> 4 & RSV_MAX) & ~rsv)
            return raise_frame(state, "a reserved bit is set that the argument rsv does not have");
    }
    int header = ws_frame_parse(&f, data, len);
    if (header < 0) return raise_frame(state, "the length is not minimal or out of range");
    if (header == 0)
        return raise_incomplete(state, function, ws_frame_header_need(data, len), offset,
                                view->len);
    if (f.len > len - (size_t)header)
        return raise_incomplete(state, function, (uint64_t)header + f.len, offset, view->len);
    size_t size = (size_t)header + (size_t)f.len;
    if (exact && size < len) {
        return PyErr_Format(state->frame_error,
                            "%s requires a buffer of %zu bytes, one frame, not of %zu", function,
                            size, len);
    }
    return read_parts(state, &f, data, (size_t)header);
}

PyDoc_STRVAR(unpack_doc,
"unpack($module, data, *, rsv=0)\n--\n\n"
"The one frame that data, a bytes-like object, is made of: a Frame, its payload unmasked.\n\n"
"FrameError if it is not one frame as RFC 6455 section 5.2 wants it: a reserved opcode, a\n"
"length that is not in the fewest bytes, a control frame that is fragmented or has more than\n"
"125 bytes, a reserved bit that rsv does not have (the bits that an agreed extension uses),\n"
"bytes behind the frame. IncompleteFrame, a subclass, if it only has not ended yet: its\n"
"needed tells how many bytes are missing at least. Whether it should be masked, fits those\n"
"before it, and what its payload says, is not looked at.\n\n"
">>> from wspy import frames\n"
">>> frames.unpack(b\"\\x81\\x05Hello\").payload\n"
"b'Hello'");

static PyObject *unpack(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *keywords) {
    static const char *const names[] = {"data", "rsv", NULL};
    static const struct ws_parameters parameters = {
        .function = "unpack", .names = names, .n_places = 1, .n_needed = 1};
    PyObject *values[2] = {NULL};
    Py_buffer view;
    uint8_t rsv = 0;
    if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0 ||
        get_rsv(values[1], &rsv) < 0 || PyObject_GetBuffer(values[0], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *frame = unpack_at(PyModule_GetState(module), "unpack", &view, 0, rsv, true);
    PyBuffer_Release(&view);
    return frame;
}

PyDoc_STRVAR(unpack_from_doc,
"unpack_from($module, buffer, offset=0, *, rsv=0)\n--\n\n"
"The frame that begins at offset; a negative one counts from the end. What follows it is not\n"
"looked at: the next frame is at offset + frame.size. FrameError and IncompleteFrame as for\n"
"unpack(), and FrameError for an offset outside of the buffer.\n\n"
"Its needed is never more than the frame has, so that who reads from a socket waits for no\n"
"byte that may not come. It is as large as the peer says, up to 2**63: compare it with what\n"
"you want to keep.\n\n"
">>> from wspy import frames\n"
">>> frame = frames.unpack_from(b\"\\x89\\x00\\x81\\x02Hi\\x81\", 2)\n"
">>> frame.payload, frame.size\n"
"(b'Hi', 4)\n"
">>> try:\n"
"...     frames.unpack_from(b\"\\x81\\x05Hel\")\n"
"... except frames.IncompleteFrame as error:\n"
"...     error.needed\n"
"2");

static PyObject *unpack_from(PyObject *module, PyObject *const *args, Py_ssize_t n,
                             PyObject *keywords) {
    static const char *const names[] = {"buffer", "offset", "rsv", NULL};
    static const struct ws_parameters parameters = {
        .function = "unpack_from", .names = names, .n_places = 2, .n_needed = 1};
    const struct ws_state *state = PyModule_GetState(module);
    PyObject *values[3] = {NULL}, *frame = NULL;
    Py_buffer view;
    Py_ssize_t offset;
    uint8_t rsv = 0;
    if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0 ||
        get_rsv(values[2], &rsv) < 0 || PyObject_GetBuffer(values[0], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    if (get_offset(state, values[1], view.len, &offset) == 0)
        frame = unpack_at(state, "unpack_from", &view, offset, rsv, false);
    PyBuffer_Release(&view);
    return frame;
}

/* ---- calcsize ---- */

PyDoc_STRVAR(calcsize_doc,
"calcsize($module, payload_length, masked=False)\n--\n\n"
"Bytes of a frame with a payload of that many bytes: 2, 4 or 10 of header, 4 of mask if it\n"
"is masked, and the payload. ValueError below 0 and from 2**63 on.\n\n"
">>> from wspy import frames\n"
">>> frames.calcsize(125), frames.calcsize(126), frames.calcsize(126, masked=True)\n"
"(127, 130, 134)");

static PyObject *calcsize(PyObject *module, PyObject *const *args, Py_ssize_t n,
                          PyObject *keywords) {
    static const char *const names[] = {"payload_length", "masked", NULL};
    static const struct ws_parameters parameters = {
        .function = "calcsize", .names = names, .n_places = 2, .n_needed = 1};
    PyObject *values[2] = {NULL};
    (void)module;
    if (ws_arguments_sort(&parameters, args, n, keywords, values) < 0) return NULL;
    int masked = values[1] ? PyObject_IsTrue(values[1]) : 0;
    if (masked < 0) return NULL;
    if (!PyIndex_Check(values[0])) {
        return PyErr_Format(PyExc_TypeError, "payload_length must be an int, not %.100s",
                            Py_TYPE(values[0])->tp_name);
    }
    PyObject *number = PyNumber_Index(values[0]);
    if (!number) return NULL;
    int overflow;
    long long len = PyLong_AsLongLongAndOverflow(number, &overflow);
    Py_DECREF(number);
    if (len == -1 && PyErr_Occurred()) return NULL;
    if (overflow || len < 0) {
        return PyErr_Format(PyExc_ValueError, "payload_length must be from 0 to 2**63 - 1, not %R",
                            values[0]);
    }
    uint64_t size = ws_frame_header_size((uint64_t)len, masked != 0) + (uint64_t)len;
    return PyLong_FromUnsignedLongLong(size);
}

/* ---- the module ---- */

#define FUNCTION(name)                                                                             \
    {                                                                                              \
        "frame_" #name, "wspy.frames", {                                                           \
            #name, (PyCFunction)(void (*)(void))name, METH_FASTCALL | METH_KEYWORDS, name##_doc    \
        }                                                                                          \
    }

static struct ws_function functions[] = {
    FUNCTION(pack),        FUNCTION(pack_into), FUNCTION(unpack),
    FUNCTION(unpack_from), FUNCTION(calcsize),
};

int ws_frames_functions_add(PyObject *module) {
    return ws_functions_add(module, functions, Py_ARRAY_LENGTH(functions));
}
