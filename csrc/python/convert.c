/* convert.c: str, bytes, buffers, options and numbers, from Python to the core and back. Calls no
 * handler and keeps nothing. */
#include "convert.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HEAP_MIN 16384                      /* smaller objects come out of what is there */
#define HEAP_OBJECTS 16                     /* that malloc shall keep room for, twice */
#define HEAP_MAX ((32u * 1024 - 64) * 1024) /* glibc learns nothing from a larger block */

/* ---- to Python ---- */

PyObject *ws_convert_latin1(struct ws_slice s) {
    return PyUnicode_DecodeLatin1(s.data, (Py_ssize_t)s.len, NULL);
}

PyObject *ws_convert_utf8(struct ws_slice s) {
    return PyUnicode_DecodeUTF8(s.data, (Py_ssize_t)s.len, "replace");
}

/* Memory that goes back to the system each time costs a page fault for every 4 KiB when it comes
 * again: that is more than all else that a large message takes. glibc keeps twice the largest block
 * that was freed so far (at most 64 MiB), so one is freed that nobody has written to. For other
 * allocators, and where the user has set such a bound, this is a malloc and a free. */
static void prepare_heap(size_t len) {
    static _Atomic size_t largest; /* the heap is the process's */
    if (len < HEAP_MIN || len <= atomic_load_explicit(&largest, memory_order_relaxed)) return;
    atomic_store_explicit(&largest, len, memory_order_relaxed);
    /* volatile: or the compiler leaves both out */
    void *volatile block = malloc(len < HEAP_MAX / HEAP_OBJECTS ? len * HEAP_OBJECTS : HEAP_MAX);
    free(block);
}

PyObject *ws_convert_new(size_t len, bool text, uint8_t **data) {
    if (len > PY_SSIZE_T_MAX) return PyErr_NoMemory();
    prepare_heap(len);
    PyObject *object = text ? PyUnicode_New((Py_ssize_t)len, 127)
                            : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)len);
    if (object) *data = text ? PyUnicode_1BYTE_DATA(object) : (uint8_t *)PyBytes_AS_STRING(object);
    return object;
}

PyObject *ws_convert_message(const struct ws_conn *core, const struct ws_message *message) {
    PyObject *object = message->object;
    if (object && (!message->text || message->ascii)) return object;
    PyObject *value;
    if (message->text && !message->ascii) {
        prepare_heap(message->len);
        value = PyUnicode_DecodeUTF8((const char *)message->data, (Py_ssize_t)message->len, NULL);
        /* A str made for ASCII that was filled with other UTF-8: nobody has seen it. */
        Py_XDECREF(object);
    } else {
        /* The core has seen every byte of a text: decoding would look for what is not there. */
        uint8_t *data = NULL;
        value = ws_convert_new(message->len, message->text, &data);
        if (value) ws_message_copy(core, message, data);
    }
    return value;
}

PyObject *ws_convert_address(const struct ws_address *address) {
    char text[WS_ADDRESS_TEXT_MAX];
    size_t len = ws_address_text(text, address);
    if (!len) Py_RETURN_NONE;
    return Py_BuildValue("(s#i)", text, (Py_ssize_t)len, (int)address->port);
}

struct counter {
    const char *name;
    size_t offset;
};

static const struct counter counters[] = {
    {"accepted", offsetof(struct ws_stats, accepted)},
    {"shed", offsetof(struct ws_stats, shed)},
    {"refused", offsetof(struct ws_stats, refused)},
    {"opened", offsetof(struct ws_stats, opened)},
    {"closed", offsetof(struct ws_stats, closed)},
    {"received", offsetof(struct ws_stats, received)},
    {"sent", offsetof(struct ws_stats, sent)},
    {"dropped_received", offsetof(struct ws_stats, dropped_received)},
    {"dropped_sent", offsetof(struct ws_stats, dropped_sent)},
    {"replaced", offsetof(struct ws_stats, replaced)},
    {"received_compressed", offsetof(struct ws_stats, received_compressed)},
    {"sent_compressed", offsetof(struct ws_stats, sent_compressed)},
    {"compressions", offsetof(struct ws_stats, compressions)},
    {"suppressed_lines", offsetof(struct ws_stats, suppressed_lines)},
};

PyObject *ws_convert_stats(const struct ws_stats *stats) {
    PyObject *dict = PyDict_New();
    if (!dict) return NULL;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(counters); i++) {
        uint64_t count;
        memcpy(&count, (const char *)stats + counters[i].offset, sizeof count);
        PyObject *value = PyLong_FromUnsignedLongLong(count);
        if (!value || PyDict_SetItemString(dict, counters[i].name, value) < 0) {
            Py_XDECREF(value);
            Py_DECREF(dict);
            return NULL;
        }
        Py_DECREF(value);
    }
    return dict;
}

/* A list of (name, value). */
static PyObject *list_fields(const struct ws_http_head *head) {
    PyObject *list = PyList_New(0);
    if (!list) return NULL;
    struct ws_slice at = head->rest;
    struct ws_http_header field;
    while (ws_http_head_next(&at, &field)) {
        PyObject *name = ws_convert_latin1(field.name);
        PyObject *value = ws_convert_latin1(field.value);
        PyObject *pair = name && value ? PyTuple_Pack(2, name, value) : NULL;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (!pair || PyList_Append(list, pair) < 0) {
            Py_XDECREF(pair);
            Py_DECREF(list);
            return NULL;
        }
        Py_DECREF(pair);
    }
    return list;
}

PyObject *ws_convert_headers(const struct ws_state *state, const struct ws_http_head *head) {
    PyObject *fields = list_fields(head);
    if (!fields) return NULL;
    PyObject *headers = PyObject_CallOneArg(state->headers_class, fields);
    Py_DECREF(fields);
    return headers;
}

/* ---- payloads ---- */

static void set_payload(struct ws_convert_payload *p, const void *data, Py_ssize_t len, bool text) {
    p->payload.data = data;
    p->payload.len = (size_t)len;
    p->payload.text = text;
}

static int payload_from_buffer(struct ws_convert_payload *p, const char *method, PyObject *data) {
    if (PyObject_GetBuffer(data, &p->view, PyBUF_FULL_RO) < 0) {
        p->view.obj = NULL;
        return -1;
    }
    if (p->view.format && strchr(p->view.format, 'O')) {
        PyErr_Format(PyExc_TypeError,
                     "%s() takes no buffer of objects: its bytes are addresses of this process",
                     method);
        ws_convert_payload_fini(p);
        return -1;
    }
    if (PyBuffer_IsContiguous(&p->view, 'C')) {
        set_payload(p, p->view.buf, p->view.len, false);
        return 0;
    }
    p->copy = PyMem_Malloc((size_t)p->view.len);
    if (!p->copy) {
        PyErr_NoMemory();
    } else if (PyBuffer_ToContiguous(p->copy, &p->view, p->view.len, 'C') == 0) {
        set_payload(p, p->copy, p->view.len, false);
        return 0;
    }
    ws_convert_payload_fini(p);
    return -1;
}

int ws_convert_payload_init(struct ws_convert_payload *p, const char *method, PyObject *data) {
    p->view.obj = NULL;
    p->copy = NULL;
    p->payload.object = NULL;
    p->payload.part = WS_PART_WHOLE;
    p->payload.placed = false;
    p->payload.compress = WS_COMPRESS_LONG;
    p->payload.key = 0;
    bool exact = false;
    if (PyUnicode_Check(data)) {
        /* An ASCII str's own memory; of another str a copy that it keeps. */
        Py_ssize_t len;
        const char *utf8 = PyUnicode_AsUTF8AndSize(data, &len);
        if (!utf8) return -1;
        set_payload(p, utf8, len, true);
        exact = PyUnicode_CheckExact(data);
    } else if (PyBytes_Check(data)) {
        set_payload(p, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), false);
        exact = PyBytes_CheckExact(data);
    } else if (PyObject_CheckBuffer(data)) {
        return payload_from_buffer(p, method, data);
    } else {
        PyErr_Format(PyExc_TypeError, "%s() takes str or a bytes-like object, not %.100s", method,
                     Py_TYPE(data)->tp_name);
        return -1;
    }
    /* Exact types only: these never change, and freeing one runs no code of the user's. */
    if (exact && p->payload.len >= WS_CONVERT_SHARE_MIN) p->payload.object = data;
    return 0;
}

void ws_convert_payload_fini(struct ws_convert_payload *p) {
    if (p->view.obj) PyBuffer_Release(&p->view);
    if (p->copy) PyMem_Free(p->copy);
    p->copy = NULL;
}

/* ---- keys ---- */

int ws_convert_key(const struct ws_server *server, PyObject *key, uint64_t *out) {
    Py_ssize_t len;
    if (!key || key == Py_None) return 0;
    if (!PyUnicode_Check(key)) {
        PyErr_Format(PyExc_TypeError, "key must be a str or None, not %.100s",
                     Py_TYPE(key)->tp_name);
        return -1;
    }
    const char *utf8 = PyUnicode_AsUTF8AndSize(key, &len);
    if (!utf8) return -1;
    *out = ws_server_key(server, (struct ws_slice){utf8, (size_t)len});
    return 0;
}

int ws_convert_compress(PyObject *compress, uint8_t *out) {
    *out = WS_COMPRESS_LONG;
    if (!compress || compress == Py_None) return 0;
    if (!PyBool_Check(compress)) {
        PyErr_Format(PyExc_TypeError, "compress must be a bool or None, not %.100s",
                     Py_TYPE(compress)->tp_name);
        return -1;
    }
    *out = compress == Py_True ? WS_COMPRESS_ALWAYS : WS_COMPRESS_NEVER;
    return 0;
}

/* ---- options ---- */

enum option_kind {
    OPTION_SIZE,
    OPTION_U32,
    OPTION_U64,
    OPTION_INT,
    OPTION_BOOL,
    OPTION_STRATEGY,
    OPTION_POLICY,
    OPTION_ALLOW,
    OPTION_NAMES,
    OPTION_U8,
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset;
};

static const struct option options_table[] = {
    {"max_message_size", OPTION_SIZE, offsetof(struct ws_options, max_message_size)},
    {"max_fragments", OPTION_U32, offsetof(struct ws_options, max_fragments)},
    {"max_header_size", OPTION_SIZE, offsetof(struct ws_options, max_header_size)},
    {"max_headers", OPTION_U32, offsetof(struct ws_options, max_headers)},
    {"handshake_timeout_ms", OPTION_U32, offsetof(struct ws_options, handshake_timeout_ms)},
    {"close_timeout_ms", OPTION_U32, offsetof(struct ws_options, close_timeout_ms)},
    {"shutdown_timeout_ms", OPTION_U32, offsetof(struct ws_options, shutdown_timeout_ms)},
    {"message_timeout_ms", OPTION_U32, offsetof(struct ws_options, message_timeout_ms)},
    {"ping_interval_ms", OPTION_U32, offsetof(struct ws_options, ping_interval_ms)},
    {"ping_timeout_ms", OPTION_U32, offsetof(struct ws_options, ping_timeout_ms)},
    {"idle_timeout_ms", OPTION_U32, offsetof(struct ws_options, idle_timeout_ms)},
    {"stall_timeout_ms", OPTION_U32, offsetof(struct ws_options, stall_timeout_ms)},
    {"control_rate", OPTION_U32, offsetof(struct ws_options, control_rate)},
    {"message_rate", OPTION_U32, offsetof(struct ws_options, message_rate)},
    {"byte_rate", OPTION_U64, offsetof(struct ws_options, byte_rate)},
    {"rate_pauses", OPTION_BOOL, offsetof(struct ws_options, rate_pauses)},
    {"drop_headers", OPTION_BOOL, offsetof(struct ws_options, drop_headers)},
    {"high_water", OPTION_SIZE, offsetof(struct ws_options, high_water)},
    {"max_backlog", OPTION_SIZE, offsetof(struct ws_options, max_backlog)},
    {"backlog_policy", OPTION_POLICY, offsetof(struct ws_options, backlog_policy)},
    {"max_queue", OPTION_U32, offsetof(struct ws_options, max_queue)},
    {"max_topics", OPTION_U32, offsetof(struct ws_options, max_topics)},
    {"max_connections", OPTION_U32, offsetof(struct ws_options, max_connections)},
    {"listen_backlog", OPTION_INT, offsetof(struct ws_options, listen_backlog)},
    {"strategy", OPTION_STRATEGY, offsetof(struct ws_options, strategy)},
    {"origins", OPTION_ALLOW, offsetof(struct ws_options, origins)},
    {"hosts", OPTION_ALLOW, offsetof(struct ws_options, hosts)},
    {"subprotocols", OPTION_NAMES, offsetof(struct ws_options, subprotocols)},
    {"deflate", OPTION_BOOL, offsetof(struct ws_options, deflate.enabled)},
    {"deflate_server_no_takeover", OPTION_BOOL,
     offsetof(struct ws_options, deflate.server_no_takeover)},
    {"deflate_client_no_takeover", OPTION_BOOL,
     offsetof(struct ws_options, deflate.client_no_takeover)},
    {"deflate_window_bits", OPTION_U8, offsetof(struct ws_options, deflate.window_bits)},
    {"deflate_level", OPTION_U8, offsetof(struct ws_options, deflate_level)},
    {"deflate_memory_level", OPTION_U8, offsetof(struct ws_options, deflate_memory_level)},
    {"deflate_threshold", OPTION_SIZE, offsetof(struct ws_options, deflate_threshold)},
};

static const char *const strategies[] = {
    [WS_STRATEGY_AUTO] = "auto",
    [WS_STRATEGY_SELECT] = "select",
    [WS_STRATEGY_POLL] = "poll",
    [WS_STRATEGY_EPOLL] = "epoll",
};

static const char *const policies[] = {
    [WS_BACKLOG_CLOSE] = "close",
    [WS_BACKLOG_DROP_NEWEST] = "drop-newest",
    [WS_BACKLOG_DROP_OLDEST] = "drop-oldest",
};

int ws_convert_fd(PyObject *value) {
    if (!PyLong_Check(value) && !PyObject_HasAttrString(value, "fileno")) {
        PyErr_Format(PyExc_TypeError, "fd must be an int or have fileno(), not %.100s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    int fd = PyObject_AsFileDescriptor(value);
    if (fd < 0 && PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_Format(PyExc_ValueError, "fd must be a descriptor, and none is as large as %R",
                     value);
    return fd;
}

int ws_convert_poll_mask(PyObject *value, uint32_t *out) {
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "mask must be an int, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    int overflow;
    long mask = PyLong_AsLongAndOverflow(value, &overflow);
    if (mask == -1 && PyErr_Occurred()) return -1;
    if (overflow || mask < 0 || mask & ~(long)WS_POLL_ALL) {
        PyErr_Format(PyExc_ValueError,
                     "mask must be of POLLIN, POLLPRI and POLLOUT (POLLERR, POLLHUP and POLLNVAL "
                     "come unasked), not %R",
                     value);
        return -1;
    }
    *out = (uint32_t)mask;
    return 0;
}

const char *ws_convert_strategy_name(enum ws_strategy strategy) {
    return strategies[strategy];
}

static int read_number(const struct option *option, PyObject *value, unsigned long long max,
                       unsigned long long *out) {
    *out = PyLong_AsUnsignedLongLong(value);
    if (*out == (unsigned long long)-1 && PyErr_Occurred()) return -1;
    if (*out <= max) return 0;
    PyErr_Format(PyExc_ValueError, "option %s is out of range: %R", option->name, value);
    return -1;
}

/* Which of n words it is, or -1. */
static int find_word(PyObject *value, const char *const *words, int n) {
    if (!PyUnicode_Check(value)) return -1;
    for (int i = 0; i < n; i++)
        if (PyUnicode_CompareWithASCIIString(value, words[i]) == 0) return i;
    return -1;
}

int ws_convert_strategy(PyObject *value, enum ws_strategy *out) {
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "strategy must be a str, not %.100s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    int i = find_word(value, strategies, (int)Py_ARRAY_LENGTH(strategies));
    if (i >= 0) {
        *out = (enum ws_strategy)i;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "strategy must be 'auto', 'select', 'poll' or 'epoll', not %R",
                 value);
    return -1;
}

static int read_policy(const struct option *option, PyObject *value, enum ws_backlog_policy *out) {
    int i = find_word(value, policies, (int)Py_ARRAY_LENGTH(policies));
    if (i >= 0) {
        *out = (enum ws_backlog_policy)i;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "option %s is unknown: %R", option->name, value);
    return -1;
}

/* The items are to be freed by PyMem_Free, also after an error. */
static int read_list(const struct option *option, PyObject *value, const struct ws_slice **items,
                     size_t *n) {
    if (!PyList_Check(value)) {
        PyErr_Format(PyExc_TypeError, "option %s is not a list", option->name);
        return -1;
    }
    *n = (size_t)PyList_GET_SIZE(value);
    struct ws_slice *list = PyMem_New(struct ws_slice, *n);
    if (!list) {
        PyErr_NoMemory();
        return -1;
    }
    *items = list;
    for (size_t i = 0; i < *n; i++) {
        Py_ssize_t len;
        list[i].data = PyUnicode_AsUTF8AndSize(PyList_GET_ITEM(value, (Py_ssize_t)i), &len);
        if (!list[i].data) return -1;
        list[i].len = (size_t)len;
    }
    return 0;
}

static int read_allow(const struct option *option, PyObject *value, struct ws_allow_list *out) {
    if (value == Py_None) {
        out->mode = WS_ALLOW_DEFAULT;
        return 0;
    }
    if (PyUnicode_Check(value) && PyUnicode_CompareWithASCIIString(value, "*") == 0) {
        out->mode = WS_ALLOW_ANY;
        return 0;
    }
    out->mode = WS_ALLOW_LIST;
    return read_list(option, value, &out->items, &out->n);
}

static int read_option(const struct option *option, PyObject *value, struct ws_options *options) {
    void *place = (char *)options + option->offset;
    unsigned long long number;
    switch (option->kind) {
    case OPTION_SIZE:
        if (read_number(option, value, PY_SSIZE_T_MAX, &number) < 0) return -1;
        *(size_t *)place = (size_t)number;
        return 0;
    case OPTION_U32:
        if (read_number(option, value, UINT32_MAX, &number) < 0) return -1;
        *(uint32_t *)place = (uint32_t)number;
        return 0;
    case OPTION_U64:
        if (read_number(option, value, UINT64_MAX, &number) < 0) return -1;
        *(uint64_t *)place = number;
        return 0;
    case OPTION_BOOL:
        if (read_number(option, value, 1, &number) < 0) return -1;
        *(bool *)place = number != 0;
        return 0;
    case OPTION_U8:
        if (read_number(option, value, UINT8_MAX, &number) < 0) return -1;
        *(uint8_t *)place = (uint8_t)number;
        return 0;
    case OPTION_INT:
        if (read_number(option, value, INT_MAX, &number) < 0) return -1;
        *(int *)place = (int)number;
        return 0;
    case OPTION_STRATEGY: return ws_convert_strategy(value, place);
    case OPTION_POLICY: return read_policy(option, value, place);
    case OPTION_ALLOW: return read_allow(option, value, place);
    case OPTION_NAMES: {
        struct ws_names *names = place;
        return read_list(option, value, &names->items, &names->n);
    }
    }
    return -1;
}

/* Some key of the dict is in no row of the table: names it. */
static int refuse_unknown(PyObject *dict) {
    PyObject *key, *value;
    Py_ssize_t pos = 0;
    while (PyDict_Next(dict, &pos, &key, &value)) {
        bool known = false;
        for (size_t i = 0; i < Py_ARRAY_LENGTH(options_table) && !known; i++) {
            known = PyUnicode_Check(key) &&
                    PyUnicode_CompareWithASCIIString(key, options_table[i].name) == 0;
        }
        if (!known) {
            PyErr_Format(PyExc_TypeError, "unknown option %R", key);
            break;
        }
    }
    return -1;
}

/* Borrowed; NULL without an exception if it is not there. */
static PyObject *find_option(PyObject *dict, const char *name) {
    PyObject *key = PyUnicode_FromString(name);
    PyObject *value = key ? PyDict_GetItemWithError(dict, key) : NULL;
    Py_XDECREF(key);
    return value;
}

static int read_options(struct ws_options *options, PyObject *dict, bool all) {
    Py_ssize_t n = 0;
    ws_options_init(options);
    options->origins = options->hosts = (struct ws_allow_list){.mode = WS_ALLOW_DEFAULT};
    options->subprotocols = (struct ws_names){0};
    for (size_t i = 0; i < Py_ARRAY_LENGTH(options_table); i++) {
        PyObject *value = find_option(dict, options_table[i].name);
        if (!value && PyErr_Occurred()) return -1;
        if (!value && !all) continue;
        if (!value) {
            PyErr_Format(PyExc_TypeError, "missing option %s", options_table[i].name);
            return -1;
        }
        if (read_option(&options_table[i], value, options) < 0) return -1;
        n++;
    }
    /* A dict of another size than the rows that were found has keys besides. */
    return PyDict_Size(dict) == n ? 0 : refuse_unknown(dict);
}

int ws_convert_options_init(struct ws_options *options, PyObject *dict) {
    return read_options(options, dict, true);
}

int ws_convert_some_options_init(struct ws_options *options, PyObject *dict) {
    return read_options(options, dict, false);
}

void ws_convert_options_fini(struct ws_options *options) {
    PyMem_Free((void *)options->origins.items);
    PyMem_Free((void *)options->hosts.items);
    PyMem_Free((void *)options->subprotocols.items);
}

int ws_convert_rules_init(struct ws_handshake_rules *rules, PyObject *origins, PyObject *hosts,
                          PyObject *subprotocols) {
    static const struct option origins_option = {"origins", OPTION_ALLOW, 0};
    static const struct option hosts_option = {"hosts", OPTION_ALLOW, 0};
    static const struct option subprotocols_option = {"subprotocols", OPTION_NAMES, 0};
    *rules = (struct ws_handshake_rules){0};
    if (read_allow(&origins_option, origins, &rules->origins) < 0) return -1;
    if (read_allow(&hosts_option, hosts, &rules->hosts) < 0) return -1;
    return read_list(&subprotocols_option, subprotocols, &rules->subprotocols.items,
                     &rules->subprotocols.n);
}

void ws_convert_rules_fini(struct ws_handshake_rules *rules) {
    PyMem_Free((void *)rules->origins.items);
    PyMem_Free((void *)rules->hosts.items);
    PyMem_Free((void *)rules->subprotocols.items);
}

/* ---- close frames ---- */

int ws_convert_close_code(PyObject *value, uint16_t *code) {
    if (!PyLong_Check(value)) {
        PyErr_Format(PyExc_TypeError, "code must be an int, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    int overflow;
    long number = PyLong_AsLongAndOverflow(value, &overflow);
    bool fits = !overflow && number >= 0 && number <= UINT16_MAX;
    if (fits && ws_close_code_is_sendable((int)number)) {
        *code = (uint16_t)number;
        return 0;
    }
    /* RFC 6455 section 7.4.1: 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close
     * control frame by an endpoint". */
    PyErr_Format(PyExc_ValueError,
                 "code %R may not be sent: it must be 1000-1003, 1007-1014 or 3000-4999", value);
    return -1;
}

int ws_convert_close_reason(PyObject *value, struct ws_slice *reason) {
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "reason must be a str, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    Py_ssize_t len;
    reason->data = PyUnicode_AsUTF8AndSize(value, &len);
    if (!reason->data) return -1;
    reason->len = (size_t)len;
    /* RFC 6455 section 5.5: "All control frames MUST have a payload length of 125 bytes or
     * less". */
    if (len <= WS_CLOSE_REASON_MAX) return 0;
    PyErr_Format(PyExc_ValueError, "reason has %zd bytes of UTF-8, at most %d fit a close frame",
                 len, WS_CLOSE_REASON_MAX);
    return -1;
}
