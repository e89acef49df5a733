/* topic_methods.h: the methods of Server and Connection for topics and messages for many. */
#ifndef WS_PY_TOPIC_METHODS_H
#define WS_PY_TOPIC_METHODS_H

#include "conn_type.h"
#include "server_type.h"

/* Of Connection; arguments as METH_FASTCALL | METH_KEYWORDS gives them. */
PyObject *ws_topic_methods_subscribe(struct ws_conn_object *self, PyObject *const *args,
                                     Py_ssize_t n, PyObject *names);
PyObject *ws_topic_methods_unsubscribe(struct ws_conn_object *self, PyObject *const *args,
                                       Py_ssize_t n, PyObject *names);
PyObject *ws_topic_methods_conn_publish(struct ws_conn_object *self, PyObject *const *args,
                                        Py_ssize_t n, PyObject *names);
PyObject *ws_topic_methods_conn_topics(struct ws_conn_object *self, void *closure);
extern const char ws_topic_methods_subscribe_doc[], ws_topic_methods_unsubscribe_doc[],
    ws_topic_methods_conn_publish_doc[], ws_topic_methods_conn_topics_doc[];

/* Of Server. */
PyObject *ws_topic_methods_publish(struct ws_server_object *self, PyObject *const *args,
                                   Py_ssize_t n, PyObject *names);
PyObject *ws_topic_methods_publish_json(struct ws_server_object *self, PyObject *const *args,
                                        Py_ssize_t n, PyObject *names);
PyObject *ws_topic_methods_publish_packed(struct ws_server_object *self, PyObject *const *args,
                                          Py_ssize_t n, PyObject *names);
PyObject *ws_topic_methods_broadcast(struct ws_server_object *self, PyObject *const *args,
                                     Py_ssize_t n, PyObject *names);
PyObject *ws_topic_methods_subscribers(struct ws_server_object *self, PyObject *topic);
PyObject *ws_topic_methods_topics(struct ws_server_object *self, PyObject *ignored);
extern const char ws_topic_methods_publish_doc[], ws_topic_methods_publish_json_doc[],
    ws_topic_methods_publish_packed_doc[], ws_topic_methods_broadcast_doc[],
    ws_topic_methods_subscribers_doc[], ws_topic_methods_topics_doc[];

#endif
