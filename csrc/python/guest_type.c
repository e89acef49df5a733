/* guest_type.c: server.register(): a descriptor and its callback. The server keeps it in a dict
 * while it is registered; the core knows the struct ws_guest, and the object through it, which may
 * go first. */
#include "guest_type.h"

#include "convert.h"
#include "errors.h"

#include <errno.h>
#include <string.h>

struct ws_guest_object {
    PyObject_HEAD struct ws_guest *core; /* a counted reference */
    PyObject *file;     /* owned: what was registered, kept so that it stays open */
    PyObject *callback; /* owned */
    int fd;
};

/* ---- the core's side ---- */

bool ws_guest_type_called(PyObject *guest, uint32_t events) {
    struct ws_guest_object *self = (struct ws_guest_object *)guest;
    PyObject *callback = Py_XNewRef(self->callback);
    if (!callback) return true;
    PyObject *fd = PyLong_FromLong(self->fd), *mask = PyLong_FromUnsignedLong(events);
    PyObject *args[] = {NULL, fd, mask}, *result = NULL;
    if (fd && mask)
        result = PyObject_Vectorcall(callback, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_XDECREF(fd);
    Py_XDECREF(mask);
    Py_DECREF(callback);
    Py_XDECREF(result);
    return result != NULL;
}

PyObject *ws_guest_type_fd(PyObject *guest) {
    return PyLong_FromLong(((struct ws_guest_object *)guest)->fd);
}

PyObject *ws_guest_type_callback(PyObject *guest) {
    PyObject *callback = ((struct ws_guest_object *)guest)->callback;
    return Py_NewRef(callback ? callback : Py_None);
}

/* Takes it out of the server's dict. */
static void forget(struct ws_server_object *server, struct ws_guest_object *self) {
    ws_guest_detach(self->core);
    PyObject *key = PyLong_FromLong(self->fd);
    if (!key || !server->guests || PyDict_DelItem(server->guests, key) < 0) PyErr_Clear();
    Py_XDECREF(key);
}

void ws_guest_type_left(struct ws_server_object *server, PyObject *guest) {
    forget(server, (struct ws_guest_object *)guest);
}

/* ---- the methods of Server ---- */

static PyObject *raise_error(int err, int errnum, int fd) {
    if (err == WS_ERR_MEMORY) return PyErr_NoMemory();
    if (err == WS_ERR_SYSTEM && errnum == EPERM)
        return ws_errors_raise_os(EPERM, "descriptor %d is always ready: a regular file, for one",
                                  fd);
    if (err == WS_ERR_SYSTEM)
        return ws_errors_raise_os(errnum, "descriptor %d cannot be watched: %s", fd,
                                  strerror(errnum));
    if (err == WS_ERR_LIMIT) return ws_errors_raise_large(fd);
    if (err == WS_ERR_ARGUMENT)
        return ws_errors_raise_os(EEXIST, "descriptor %d is the server's own, or was closed", fd);
    PyErr_SetString(PyExc_RuntimeError, "this Server belongs to the parent process");
    return NULL;
}

/* Asked last: fileno() may be the user's, and run the server. */
static bool may_register(const struct ws_server_object *server) {
    if (server->phase != WS_SERVER_ENDED && server->phase != WS_SERVER_ABANDONED) return true;
    PyErr_SetString(PyExc_RuntimeError, "the server has run: nothing would be watched");
    return false;
}

/* Takes the arguments that register() and modify() have in common. */
static bool read_arguments(const struct ws_server_object *server, PyObject *const *args, int *fd,
                           uint32_t *mask) {
    if (!ws_server_type_has_core(server)) return false;
    *fd = ws_convert_fd(args[0]);
    return *fd >= 0 && ws_convert_poll_mask(args[1], mask) == 0 && may_register(server);
}

/* Borrowed; NULL without an exception: there is none, NULL with one: it could not be looked for. */
static struct ws_guest_object *find(const struct ws_server_object *server, int fd) {
    PyObject *key = server->guests ? PyLong_FromLong(fd) : NULL;
    PyObject *guest = key ? PyDict_GetItemWithError(server->guests, key) : NULL;
    Py_XDECREF(key);
    return (struct ws_guest_object *)guest;
}

static struct ws_guest_object *need(const struct ws_server_object *server, int fd) {
    struct ws_guest_object *guest = find(server, fd);
    if (!guest && !PyErr_Occurred())
        ws_errors_raise_os(ENOENT, "descriptor %d is not registered", fd);
    return guest;
}

static struct ws_guest_object *make(struct ws_server_object *server, int fd, PyObject *file,
                                    PyObject *callback) {
    PyTypeObject *type = server->state->guest_type;
    struct ws_guest_object *self = (struct ws_guest_object *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->fd = fd;
    self->file = Py_NewRef(file);
    self->callback = Py_NewRef(callback);
    self->core = ws_guest_new(fd, self);
    if (self->core) return self;
    Py_DECREF(self);
    PyErr_NoMemory();
    return NULL;
}

/* Late: wspy.handlers needs this module. */
static int check_callback(PyObject *callback) {
    PyObject *handlers = PyImport_ImportModule("wspy.handlers");
    PyObject *none =
        handlers ? PyObject_CallMethod(handlers, "check_callback", "O", callback) : NULL;
    Py_XDECREF(handlers);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

/* Puts it into the server's dict, unless its descriptor is there. What was allocated may have had
 * the collector run, and so any code: nothing is allocated between that look and the place. 0, or
 * -1 with an exception set. */
static int keep(struct ws_server_object *server, struct ws_guest_object *self) {
    PyObject *dict = server->guests ? NULL : PyDict_New();
    if (!server->guests) server->guests = Py_XNewRef(dict);
    Py_XDECREF(dict);
    PyObject *key = server->guests ? PyLong_FromLong(self->fd) : NULL;
    PyObject *there = /* borrowed */
        key ? PyDict_SetDefault(server->guests, key, (PyObject *)self) : NULL;
    Py_XDECREF(key);
    if (there == (PyObject *)self) return 0;
    if (there) ws_errors_raise_os(EEXIST, "descriptor %d is registered already", self->fd);
    return -1;
}

const char ws_guest_type_register_doc[] =
    "register($self, fd, mask, callback, /)\n--\n\n"
    "Watch another descriptor (a pipe, a serial port, a database's socket) on the loop:\n"
    "callback(fd, mask) is called on the loop's thread, once an iteration for as long as the\n"
    "descriptor is ready (level-triggered), before run() from when it begins.\n\n"
    "fd is an int or has fileno(); such an object is kept until it is unregistered, and so stays\n"
    "open. mask is of POLLIN, POLLPRI and POLLOUT, or-ed; 0: none of them. callback gets what of\n"
    "it is there and, asked for or not, POLLERR and POLLHUP: with 0 and with select alone these\n"
    "may not be noticed by themselves. The server neither reads, writes nor closes it. Take it out\n"
    "before you close it: if one that was closed is noticed (poll and select do), or cannot be\n"
    "waited for, callback gets POLLNVAL once, and a log line says that it was unregistered.\n\n"
    "At the end of a stream a descriptor stays ready: unregister it when a read gives b''. A log\n"
    "line tells of one whose callback got POLLHUP or POLLERR 1000 times in a row.\n\n"
    "What callback raises is logged, and the server goes on. It may do anything, unregister itself\n"
    "and others too. When run() ends all are unregistered.\n\n"
    "FileExistsError: it is registered already, or the server's own; PermissionError: a regular\n"
    "file or a directory, which is always ready; OSError (EBADF): it is not open; ValueError: a\n"
    "wrong mask, or too large a descriptor; TypeError: callback does not take (fd, mask), or is\n"
    "async; RuntimeError once the server has run.\n\n"
    "Mailbox: any thread may call it; the loop watches from its next iteration on.\n\n"
    ">>> import os, wspy\n"
    ">>> server = wspy.Server(port=0)\n"
    ">>> reader, writer = os.pipe()\n"
    ">>> def arrived(fd, mask):\n"
    "...     print(os.read(fd, 100), mask == wspy.POLLIN)\n"
    "...     server.unregister(fd)\n"
    "...     server.stop()\n"
    ">>> server.register(reader, wspy.POLLIN, arrived)\n"
    ">>> os.write(writer, b'21.5')\n"
    "4\n"
    ">>> server.run()\n"
    "b'21.5' True\n"
    ">>> os.close(reader); os.close(writer)";

PyObject *ws_guest_type_register(struct ws_server_object *self, PyObject *const *args,
                                 Py_ssize_t n) {
    int fd;
    uint32_t mask;
    if (n != 3)
        return PyErr_Format(PyExc_TypeError, "register() takes fd, mask and callback (%zd given)",
                            n);
    if (!read_arguments(self, args, &fd, &mask)) return NULL;
    if (check_callback(args[2]) < 0) return NULL;
    struct ws_guest_object *guest = make(self, fd, args[0], args[2]);
    if (!guest || keep(self, guest) < 0) {
        Py_XDECREF(guest);
        return NULL;
    }
    int err = ws_loop_register(ws_server_loop(self->core), guest->core, mask), errnum = errno;
    if (err < 0) forget(self, guest);
    Py_DECREF(guest);
    if (err < 0) return raise_error(err, errnum, fd);
    Py_RETURN_NONE;
}

const char ws_guest_type_modify_doc[] =
    "modify($self, fd, mask, /)\n--\n\n"
    "Watch a registered descriptor for something else, as POLLOUT while there is something to\n"
    "write. FileNotFoundError if it is not registered; otherwise as register().\n\n"
    "Mailbox: any thread may call it; it counts from the loop's next iteration on.";

PyObject *ws_guest_type_modify(struct ws_server_object *self, PyObject *const *args, Py_ssize_t n) {
    int fd;
    uint32_t mask;
    if (n != 2) return PyErr_Format(PyExc_TypeError, "modify() takes fd and mask (%zd given)", n);
    if (!read_arguments(self, args, &fd, &mask)) return NULL;
    struct ws_guest_object *guest = need(self, fd);
    if (!guest) return NULL;
    int err = ws_loop_register(ws_server_loop(self->core), guest->core, mask), errnum = errno;
    if (err < 0) return raise_error(err, errnum, fd);
    Py_RETURN_NONE;
}

const char ws_guest_type_unregister_doc[] =
    "unregister($self, fd, /)\n--\n\n"
    "Do not watch a descriptor any more: its callback is not called again, not even for what this\n"
    "iteration has seen already. The descriptor stays open. FileNotFoundError if it is not\n"
    "registered.\n\n"
    "Mailbox: any thread may call it; on another than the loop's a callback that has begun may\n"
    "still be running.";

PyObject *ws_guest_type_unregister(struct ws_server_object *self, PyObject *file) {
    if (!ws_server_type_has_core(self)) return NULL;
    int fd = ws_convert_fd(file);
    struct ws_guest_object *guest = fd < 0 ? NULL : need(self, fd);
    if (!guest) return NULL;
    int err = 0;
    Py_INCREF(guest);
    if (self->phase != WS_SERVER_ENDED)
        err = ws_loop_unregister(ws_server_loop(self->core), guest->core);
    if (err == 0) forget(self, guest);
    Py_DECREF(guest);
    if (err < 0) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

/* ---- the type ---- */

static int guest_traverse(struct ws_guest_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->file);
    Py_VISIT(self->callback);
    return 0;
}

static int guest_clear(struct ws_guest_object *self) {
    Py_CLEAR(self->file);
    Py_CLEAR(self->callback);
    return 0;
}

static void guest_dealloc(struct ws_guest_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->core) ws_guest_detach(self->core);
    ws_guest_unref(self->core);
    guest_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(guest_doc, "A descriptor that the server watches, with its callback.");

static PyType_Slot slots[] = {
    {Py_tp_doc, (void *)guest_doc},
    {Py_tp_dealloc, guest_dealloc},
    {Py_tp_traverse, guest_traverse},
    {Py_tp_clear, guest_clear},
    {0, NULL},
};

static PyType_Spec spec = {
    .name = "wspy._core.Guest",
    .basicsize = sizeof(struct ws_guest_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
             Py_TPFLAGS_IMMUTABLETYPE,
    .slots = slots,
};

PyObject *ws_guest_type_new(PyObject *module) {
    return PyType_FromModuleAndSpec(module, &spec, NULL);
}
