/* topic_methods.c: see topic_methods.h. Arguments become the core's; lists of names are copied out
 * under its lock first and made into objects behind it, since making objects may run any code. */
#include "topic_methods.h"

#include "arguments.h"
#include "convert.h"
#include "errors.h"
#include "json_codec.h"
#include "packed.h"

#include <string.h>

/* ---- arguments ---- */

static int get_topic(PyObject *value, struct ws_slice *topic) {
    Py_ssize_t len;
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "topic must be a str, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    topic->data = PyUnicode_AsUTF8AndSize(value, &len);
    if (!topic->data) return -1;
    topic->len = (size_t)len;
    return 0;
}

static void raise_topic(PyObject *topic, bool pattern) {
    PyErr_Format(PyExc_ValueError,
                 pattern ? "topic must be a pattern of 1 to 255 bytes such as 'a/+/c' or 'a/#', "
                           "where + and # stand alone between slashes and # is last, not %R"
                         : "topic must have 1 to 255 bytes of UTF-8 and no control characters, "
                           "not %R",
                 topic);
}

/* For a negative result of the core's about a topic's name. Returns NULL. */
static PyObject *raise_for_name(ptrdiff_t err, PyObject *topic) {
    if (err == WS_ERR_ARGUMENT) {
        raise_topic(topic, false);
    } else {
        ws_errors_raise((int)err);
    }
    return NULL;
}

static int get_exclude(struct ws_server_object *server, PyObject *value, struct ws_conn **exclude) {
    if (!value || value == Py_None) return 0;
    if (Py_TYPE(value) != server->state->conn_type) {
        PyErr_Format(PyExc_TypeError, "exclude must be a Connection or None, not %.100s",
                     Py_TYPE(value)->tp_name);
        return -1;
    }
    struct ws_conn_object *conn = (struct ws_conn_object *)value;
    if (ws_conn_type_server(conn) != server) {
        PyErr_SetString(PyExc_ValueError, "exclude must be a connection of this server");
        return -1;
    }
    *exclude = conn->core;
    return 0;
}

/* ---- subscriptions ---- */

/* topic, pattern=False */
static int get_subscription(const char *method, PyObject *const *args, Py_ssize_t n,
                            PyObject *names, PyObject **topic, struct ws_slice *name,
                            bool *pattern) {
    static const char *const own_names[] = {"topic", "pattern", NULL};
    const struct ws_parameters parameters = {
        .function = method, .names = own_names, .n_unnamed = 1, .n_places = 1, .n_needed = 1};
    PyObject *values[2] = {NULL, NULL};
    if (ws_arguments_sort(&parameters, args, n, names, values) < 0 ||
        get_topic(values[0], name) < 0)
        return -1;
    int flag = values[1] ? PyObject_IsTrue(values[1]) : 0;
    if (flag < 0) return -1;
    *topic = values[0];
    *pattern = flag != 0;
    return 0;
}

const char ws_topic_methods_subscribe_doc[] =
    "subscribe($self, topic, /, *, pattern=False)\n--\n\n"
    "Subscribe to a topic: the connection gets what server.publish() sends there. True:\n"
    "subscribed; False: it was already. A topic is a str of 1 to 255 bytes of UTF-8 without\n"
    "control characters, and is there while it has subscribers. A connection that closes\n"
    "leaves all its topics.\n\n"
    "pattern: topic is a pattern as in MQTT 5 section 4.7: 'sensors/+/temp' (any one level),\n"
    "'sensors/#' (that and everything below). A message is sent once, however many match.\n\n"
    "ValueError for what is no topic or pattern, and for more than max_topics of them;\n"
    "ConnectionClosed as for send().\n\n"
    "Mailbox: any thread may call it; it counts at once.";

PyObject *ws_topic_methods_subscribe(struct ws_conn_object *self, PyObject *const *args,
                                     Py_ssize_t n, PyObject *names) {
    PyObject *topic;
    struct ws_slice name;
    bool pattern;
    if (get_subscription("subscribe", args, n, names, &topic, &name, &pattern) < 0) return NULL;
    int done = ws_conn_subscribe(self->core, name, pattern);
    if (done >= 0) return PyBool_FromLong(done);
    if (done == WS_ERR_ARGUMENT) {
        raise_topic(topic, pattern);
    } else if (done == WS_ERR_LIMIT) {
        PyErr_Format(PyExc_ValueError,
                     "topic %R is one too many: a connection has at most max_topics", topic);
    } else {
        ws_conn_type_raise(self, done);
    }
    return NULL;
}

const char ws_topic_methods_unsubscribe_doc[] =
    "unsubscribe($self, topic, /, *, pattern=False)\n--\n\n"
    "End a subscription, with the arguments with which it was made. True: ended; False: there was\n"
    "none, which is so of any closed connection.\n\n"
    "Mailbox: any thread may call it; it counts at once.";

PyObject *ws_topic_methods_unsubscribe(struct ws_conn_object *self, PyObject *const *args,
                                       Py_ssize_t n, PyObject *names) {
    PyObject *topic;
    struct ws_slice name;
    bool pattern;
    if (get_subscription("unsubscribe", args, n, names, &topic, &name, &pattern) < 0) return NULL;
    return PyBool_FromLong(ws_conn_unsubscribe(self->core, name, pattern));
}

/* Reads the name behind its flag and length. */
static PyObject *next_name(const uint8_t **at) {
    size_t len = (*at)[1];
    PyObject *name = ws_convert_utf8((struct ws_slice){(const char *)*at + 2, len});
    *at += 2 + len;
    return name;
}

const char ws_topic_methods_conn_topics_doc[] =
    "list[str]: topics and patterns that the connection is subscribed to, the latest first; none\n"
    "once it is closed. A new list. Snapshot.";

PyObject *ws_topic_methods_conn_topics(struct ws_conn_object *self, void *closure) {
    struct ws_buf names;
    (void)closure;
    ws_buf_init(&names);
    int err = ws_conn_get_topics(self->core, &names);
    PyObject *list = err < 0 ? PyErr_NoMemory() : PyList_New(0);
    const uint8_t *at = names.data;
    while (list && at < names.data + names.len) {
        PyObject *name = next_name(&at);
        if (!name || PyList_Append(list, name) < 0) Py_CLEAR(list);
        Py_XDECREF(name);
    }
    ws_buf_fini(&names);
    return list;
}

/* ---- messages ---- */

/* Publishes a payload with a key and compress (or NULL) and finishes it. */
static PyObject *publish(struct ws_server_object *server, PyObject *topic, struct ws_slice name,
                         struct ws_convert_payload *p, PyObject *key, PyObject *compress,
                         struct ws_conn *exclude) {
    if (ws_convert_key(server->core, key, &p->payload.key) < 0 ||
        ws_convert_compress(compress, &p->payload.compress) < 0) {
        ws_convert_payload_fini(p);
        return NULL;
    }
    /* For the core, taken before it can be given back. */
    PyObject *object = Py_XNewRef((PyObject *)p->payload.object);
    ptrdiff_t n = ws_server_publish(server->core, name, &p->payload, exclude);
    if (p->payload.object) Py_XDECREF(object); /* it was not taken */
    ws_convert_payload_fini(p);
    if (n >= 0) return PyLong_FromSsize_t(n);
    if (n == WS_ERR_LIMIT) return PyLong_FromLong(0); /* dropped and counted */
    return raise_for_name(n, topic);
}

const char ws_topic_methods_publish_doc[] =
    "publish($self, topic, data, /, *, key=None, exclude=None, compress=None)\n--\n\n"
    "Send one message (as for Connection.send) to every subscriber of a topic, but exclude, a\n"
    "Connection. It is encoded once and shared. Returns the number of subscribers at that\n"
    "moment; what becomes of the message at each is as for send().\n\n"
    "All subscribers get the messages of all threads in one order. key and compress: as for\n"
    "send(); it is compressed once for all that agreed on the same window.\n\n"
    "ValueError for what is no topic; TypeError and UnicodeEncodeError as for send().\n\n"
    "Mailbox: any thread may call it. 0 also if another thread has published more than the loop\n"
    "keeps up with (16 MiB wait): the message is dropped, counted and logged.";

PyObject *ws_topic_methods_publish(struct ws_server_object *self, PyObject *const *args,
                                   Py_ssize_t n, PyObject *names) {
    static const char *const own_names[] = {"topic", "data", "key", "exclude", "compress", NULL};
    static const struct ws_parameters parameters = {
        .function = "publish", .names = own_names, .n_unnamed = 2, .n_places = 2, .n_needed = 2};
    PyObject *values[5] = {NULL, NULL, NULL, NULL, NULL};
    struct ws_slice topic;
    struct ws_conn *exclude = NULL;
    struct ws_convert_payload p;
    if (!ws_server_type_has_core(self) ||
        ws_arguments_sort(&parameters, args, n, names, values) < 0 ||
        get_topic(values[0], &topic) < 0 || get_exclude(self, values[3], &exclude) < 0 ||
        ws_convert_payload_init(&p, "publish", values[1]) < 0)
        return NULL;
    return publish(self, values[0], topic, &p, values[2], values[4], exclude);
}

const char ws_topic_methods_conn_publish_doc[] =
    "publish($self, topic, data, /, *, key=None, compress=None)\n--\n\n"
    "Send one message to every subscriber of a topic but this connection, which may be closed:\n"
    "Server.publish with exclude.\n\n"
    "Mailbox: any thread may call it.";

PyObject *ws_topic_methods_conn_publish(struct ws_conn_object *self, PyObject *const *args,
                                        Py_ssize_t n, PyObject *names) {
    static const char *const own_names[] = {"topic", "data", "key", "compress", NULL};
    static const struct ws_parameters parameters = {
        .function = "publish", .names = own_names, .n_unnamed = 2, .n_places = 2, .n_needed = 2};
    PyObject *values[4] = {NULL, NULL, NULL, NULL};
    struct ws_slice topic;
    struct ws_convert_payload p;
    if (ws_arguments_sort(&parameters, args, n, names, values) < 0 ||
        get_topic(values[0], &topic) < 0 || ws_convert_payload_init(&p, "publish", values[1]) < 0)
        return NULL;
    return publish(ws_conn_type_server(self), values[0], topic, &p, values[2], values[3],
                   self->core);
}

const char ws_topic_methods_publish_json_doc[] =
    "publish_json($self, topic, obj, /, *, key=None, exclude=None, compress=None)\n--\n\n"
    "publish() of an object as JSON text (RFC 8259), encoded once by json_dumps, an option of\n"
    "Server. What that raises is raised.\n\n"
    "Mailbox: any thread may call it.";

PyObject *ws_topic_methods_publish_json(struct ws_server_object *self, PyObject *const *args,
                                        Py_ssize_t n, PyObject *names) {
    static const char *const own_names[] = {"topic", "obj", "key", "exclude", "compress", NULL};
    static const struct ws_parameters parameters = {.function = "publish_json",
                                                    .names = own_names,
                                                    .n_unnamed = 2,
                                                    .n_places = 2,
                                                    .n_needed = 2};
    PyObject *values[5] = {NULL, NULL, NULL, NULL, NULL}, *text;
    struct ws_slice topic;
    struct ws_conn *exclude = NULL;
    struct ws_convert_payload p;
    if (!ws_server_type_has_core(self) ||
        ws_arguments_sort(&parameters, args, n, names, values) < 0 ||
        get_topic(values[0], &topic) < 0 || get_exclude(self, values[3], &exclude) < 0)
        return NULL;
    text = ws_json_codec_dump(self, values[1], &p);
    if (!text) return NULL;
    PyObject *result = publish(self, values[0], topic, &p, values[2], values[4], exclude);
    Py_DECREF(text);
    return result;
}

const char ws_topic_methods_publish_packed_doc[] =
    "publish_packed($self, topic, format, /, *values, key=None, exclude=None, compress=None)\n--\n\n"
    "publish() of values as one binary message, packed as format says, a Struct or what Struct()\n"
    "takes. They are written into the outgoing frame. StructError and OverflowError as of\n"
    "Struct.pack().\n\n"
    "Mailbox: any thread may call it.\n\n"
    ">>> server = wspy.Server(port=0)\n"
    ">>> server.publish_packed('ticks', '!IHd', 7, 1, 2.5)  # nobody has subscribed yet\n"
    "0";

PyObject *ws_topic_methods_publish_packed(struct ws_server_object *self, PyObject *const *args,
                                          Py_ssize_t n, PyObject *names) {
    static const char *const own_names[] = {"topic", "format", "key", "exclude", "compress", NULL};
    static const struct ws_parameters parameters = {.function = "publish_packed",
                                                    .names = own_names,
                                                    .n_unnamed = 2,
                                                    .n_places = 2,
                                                    .n_needed = 2,
                                                    .takes_more = true};
    PyObject *values[5] = {NULL, NULL, NULL, NULL, NULL};
    struct ws_slice topic;
    struct ws_conn *exclude = NULL;
    struct ws_convert_payload p;
    if (!ws_server_type_has_core(self) ||
        ws_arguments_sort(&parameters, args, n, names, values) < 0 ||
        get_topic(values[0], &topic) < 0 || get_exclude(self, values[3], &exclude) < 0)
        return NULL;
    PyObject *kept = ws_packed_write(self, args + 1, n - 1, &p);
    if (!kept) return NULL;
    PyObject *result = publish(self, values[0], topic, &p, values[2], values[4], exclude);
    Py_DECREF(kept);
    return result;
}

const char ws_topic_methods_broadcast_doc[] =
    "broadcast($self, data, /, *, key=None, exclude=None, compress=None)\n--\n\n"
    "publish() to all open connections but exclude. Returns their number.\n\n"
    "Mailbox: any thread may call it.";

PyObject *ws_topic_methods_broadcast(struct ws_server_object *self, PyObject *const *args,
                                     Py_ssize_t n, PyObject *names) {
    static const char *const own_names[] = {"data", "key", "exclude", "compress", NULL};
    static const struct ws_parameters parameters = {
        .function = "broadcast", .names = own_names, .n_unnamed = 1, .n_places = 1, .n_needed = 1};
    PyObject *values[4] = {NULL, NULL, NULL, NULL};
    struct ws_conn *exclude = NULL;
    struct ws_convert_payload p;
    if (!ws_server_type_has_core(self) ||
        ws_arguments_sort(&parameters, args, n, names, values) < 0 ||
        get_exclude(self, values[2], &exclude) < 0 ||
        ws_convert_payload_init(&p, "broadcast", values[0]) < 0)
        return NULL;
    return publish(self, NULL, (struct ws_slice){NULL, 0}, &p, values[1], values[3], exclude);
}

/* ---- looking at them ---- */

const char ws_topic_methods_subscribers_doc[] =
    "subscribers($self, topic, /)\n--\n\n"
    "The number of connections that a message to this topic would be sent to now, those with\n"
    "patterns included. ValueError for what is no topic. Snapshot.";

PyObject *ws_topic_methods_subscribers(struct ws_server_object *self, PyObject *topic) {
    struct ws_slice name;
    if (!ws_server_type_has_core(self) || get_topic(topic, &name) < 0) return NULL;
    ptrdiff_t n = ws_server_count_subscribers(self->core, name);
    if (n >= 0) return PyLong_FromSsize_t(n);
    return raise_for_name(n, topic);
}

const char ws_topic_methods_topics_doc[] =
    "topics($self, /)\n--\n\n"
    "A dict of all topics and patterns with the number of their subscribers; those of a topic\n"
    "do not count who has it by a pattern. A topic and a pattern of the same name are added up.\n"
    "Snapshot.";

static int add_topic(PyObject *dict, const uint8_t **at) {
    uint64_t n;
    memcpy(&n, *at, sizeof n);
    *at += sizeof n;
    PyObject *name = next_name(at), *old = NULL;
    if (name) old = PyDict_GetItemWithError(dict, name); /* borrowed */
    if (!name || (!old && PyErr_Occurred())) {
        Py_XDECREF(name);
        return -1;
    }
    if (old) n += PyLong_AsUnsignedLongLong(old);
    PyObject *count = PyLong_FromUnsignedLongLong(n);
    int err = count ? PyDict_SetItem(dict, name, count) : -1;
    Py_XDECREF(count);
    Py_DECREF(name);
    return err;
}

PyObject *ws_topic_methods_topics(struct ws_server_object *self, PyObject *ignored) {
    struct ws_buf names;
    (void)ignored;
    if (!ws_server_type_has_core(self)) return NULL;
    ws_buf_init(&names);
    int err = ws_server_get_topics(self->core, &names);
    PyObject *dict = err < 0 ? PyErr_NoMemory() : PyDict_New();
    const uint8_t *at = names.data;
    while (dict && at < names.data + names.len)
        if (add_topic(dict, &at) < 0) Py_CLEAR(dict);
    ws_buf_fini(&names);
    return dict;
}
