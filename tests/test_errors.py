"""What a program does wrong, and in which words it is told."""

from __future__ import annotations

import array
import ctypes
import errno
import queue
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Servers
from support import BINARY, TEXT, Connect, Frame, Recorder, get

import wspy


def test_a_port_in_use(servers: Servers) -> None:
    first = servers.run()
    with pytest.raises(OSError, match=f"127.0.0.1:{first.port}: Address already in use") as info:
        servers.make(port=first.port)
    assert info.value.errno == errno.EADDRINUSE


def test_a_port_in_use_by_somebody_else(servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
            servers.make(port=port)


def test_an_address_of_another_machine(servers: Servers) -> None:
    with pytest.raises(OSError, match=r"192\.0\.2\.1:80") as info:
        servers.make(host="192.0.2.1", port=80)
    assert info.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("host", ["no.such.host.invalid", "1.2.3.4.5", "::g", "a b"])
def test_a_host_that_does_not_exist(servers: Servers, host: str) -> None:
    with pytest.raises(OSError, match="cannot listen on"):
        servers.make(host=host)


@pytest.mark.parametrize("port", [-1, 65536, 10**30])
def test_a_port_out_of_range(servers: Servers, port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        servers.make(port=port)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("max_message_size", 0, ValueError),
        ("max_message_size", "1", TypeError),
        ("high_water", -1, ValueError),
        ("close_timeout", float("nan"), ValueError),
        ("origins", ["*"], ValueError),
        ("hosts", 5, TypeError),
        ("backlog_policy", "drop", ValueError),
        ("no_such_option", 1, TypeError),
        ("on_open", 5, TypeError),
        ("host", 5, TypeError),
        ("port", "80", TypeError),
    ],
)
def test_a_bad_option_is_named(
    servers: Servers, name: str, value: object, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=name):
        servers.make(**{name: value})


def test_a_bad_strategy(servers: Servers) -> None:
    with pytest.raises(ValueError, match="strategy"):
        servers.make(strategy="kqueue")


def test_bad_handlers(servers: Servers) -> None:
    server = servers.make()
    for name in ("open", "message", "close", "drain", "error"):
        with pytest.raises(TypeError, match=f"on_{name} must be callable, not int"):
            getattr(server, f"on_{name}")(5)
    assert server.on_open(print) is print


def test_a_server_without_init() -> None:
    server = wspy.Server.__new__(wspy.Server)
    for use in (
        lambda: server.stop(),
        lambda: server.port,
        lambda: server.strategy,
        lambda: server.connections,
        lambda: server.get(1),
        lambda: server.stats(),
        lambda: server._run(-1, print),
        lambda: server._bind_tcp("", 0),
        lambda: server._page("/", b"", "", ""),
    ):
        with pytest.raises(RuntimeError, match="__init__"):
            use()
    assert len(server) == 0


def test_a_second_init(servers: Servers) -> None:
    server = servers.make()
    with pytest.raises(RuntimeError, match="__init__"):
        server.__init__(port=0)  # type: ignore[misc]


def test_a_connection_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="Connection"):
        wspy.Connection()
    with pytest.raises(TypeError):
        object.__new__(wspy.Connection)
    with pytest.raises(TypeError):
        type("Sub", (wspy.Connection,), {})


def test_run_twice(servers: Servers) -> None:
    server = servers.run()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="runs once"):
            server.run()
        servers.threads[0].stop()
    with pytest.raises(RuntimeError, match="runs once"):
        server.start_in_thread()


def test_a_subclass_that_forgot_the_init() -> None:
    class Forgetful(wspy.Server):
        def __init__(self) -> None:
            pass

    server = Forgetful()
    for use in (server.run, server.start_in_thread, server.stats, lambda: server.url):
        with pytest.raises(RuntimeError, match=r"^Server.__init__ was not called$"):
            use()


def test_another_start_leaves_the_running_one_alone(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    Recorder(server, echo=True)
    servers.start(server)
    for start in (server.start_in_thread, server.run):
        with pytest.raises(RuntimeError, match="runs once"):
            start()
    connect(server).echo("it goes on")


def test_run_from_a_handler(servers: Servers, connect: Connect) -> None:
    errors: queue.Queue[Exception] = queue.Queue()
    server = servers.run(
        on_message=lambda conn, message: conn.server.run(),
        on_error=lambda conn, exc: errors.put(exc),
    )
    client = connect(server)
    client.send("go")
    assert "runs once" in str(get(errors))


def test_a_page_after_the_start(servers: Servers) -> None:
    server = servers.run()
    with pytest.raises(RuntimeError):
        server.page("/", "late")


# -- what send() takes --


class Sending:
    """A client of a server, and its connection, to send on from this thread."""

    def __init__(self, servers: Servers, connect: Connect, **options: Any) -> None:
        server = servers.make(**options)
        recorder = Recorder(server)
        servers.start(server)
        self.client = connect(server)
        self.conn = get(recorder.opened)


@pytest.fixture
def sending(servers: Servers, connect: Connect) -> Sending:
    return Sending(servers, connect)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (5, "int"),
        (None, "NoneType"),
        (1.5, "float"),
        (["x"], "list"),
        ({}, "dict"),
        (object(), "object"),
    ],
)
def test_send_of_something_else(sending: Sending, data: object, name: str) -> None:
    with pytest.raises(TypeError) as info:
        sending.conn.send(data)  # type: ignore[arg-type]
    assert str(info.value) == f"send() takes str or a bytes-like object, not {name}"
    sending.conn.send("fine")
    assert sending.client.receive() == "fine"


def test_send_without_and_with_too_many(sending: Sending) -> None:
    with pytest.raises(TypeError):
        sending.conn.send()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        sending.conn.send("a", "b")  # type: ignore[call-arg]


@pytest.mark.parametrize("pad", [0, 20_000])
@pytest.mark.parametrize("surrogate", ["\ud800", "a\udc80b"])
def test_a_lone_surrogate(sending: Sending, surrogate: str, pad: int) -> None:
    with pytest.raises(UnicodeEncodeError):
        sending.conn.send("x" * pad + surrogate)
    assert sending.conn.is_open
    assert sending.conn.send("fine") is True
    assert sending.client.receive() == "fine"


class Text(str):
    pass


class Octets(bytes):
    pass


DATA: dict[str, tuple[Any, bytes]] = {
    "bytes": (b"abc", b"abc"),
    "empty bytes": (b"", b""),
    "bytearray": (bytearray(b"abc"), b"abc"),
    "memoryview": (memoryview(b"abc"), b"abc"),
    "a part of a memoryview": (memoryview(b"abcdef")[1:4], b"bcd"),
    "a strided memoryview": (memoryview(b"abcdef")[::2], b"ace"),
    "a reversed memoryview": (memoryview(b"abcdef")[::-1], b"fedcba"),
    "a large strided memoryview": (memoryview(bytes(range(256)) * 400)[::2], bytes(range(0, 256, 2)) * 400),
    "array of floats": (array.array("f", [1.0, 2.0]), struct.pack("=ff", 1.0, 2.0)),
    "strided array of floats": (
        memoryview(array.array("f", [1.0, 2.0, 3.0]))[::2], struct.pack("=ff", 1.0, 3.0),
    ),
    "array of shorts": (array.array("H", range(20_000)), struct.pack("=20000H", *range(20_000))),
    "two dimensions": (memoryview(bytes(range(6))).cast("B", (2, 3)), bytes(range(6))),
    "an empty array": (array.array("d"), b""),
    "a subclass of bytes": (Octets(b"x" * 20_000), b"x" * 20_000),
    "a large bytearray": (bytearray(b"x" * 300_000), b"x" * 300_000),
    "large bytes": (b"x" * 300_000, b"x" * 300_000),
}  # fmt: skip


@pytest.mark.parametrize("here", [True, False], ids=["in the handler", "from another thread"])
@pytest.mark.parametrize("name", DATA)
def test_send_of_a_buffer(servers: Servers, connect: Connect, name: str, here: bool) -> None:
    data, expected = DATA[name]
    if here:
        client = connect(servers.run(on_open=lambda conn: conn.send(data)))
    else:
        sending = Sending(servers, connect)
        client = sending.client
        sending.conn.send(data)
    assert client.read_frame() == Frame(BINARY, expected)


@pytest.mark.parametrize("here", [True, False], ids=["in the handler", "from another thread"])
@pytest.mark.parametrize(
    "data",
    [
        "",
        "abc",
        "é",
        "€" * 10_000,
        "\0",
        "🎉",
        Text("sub"),
        Text("x" * 20_000),
        "x" * 300_000,
        "ÿ" * 200_000,
    ],
    ids=lambda s: f"{len(s)}-{type(s).__name__}",
)
def test_send_of_text(servers: Servers, connect: Connect, data: str, here: bool) -> None:
    if here:
        client = connect(servers.run(on_open=lambda conn: conn.send(data)))
    else:
        sending = Sending(servers, connect)
        client = sending.client
        sending.conn.send(data)
    assert client.read_frame() == Frame(TEXT, data.encode())


@pytest.mark.parametrize("size", [100, 20_000, 300_000])
def test_a_bytearray_that_changes_after_send(sending: Sending, size: int) -> None:
    data = bytearray(b"a" * size)
    sending.conn.send(data)
    data[:] = b"b" * size
    data.clear()  # BufferError if anybody held it
    data.extend(b"c" * 2 * size)
    assert sending.client.receive() == b"a" * size


def test_a_bytearray_resized_by_a_thread_under_send(servers: Servers, connect: Connect) -> None:
    sending = Sending(servers, connect, max_backlog=None)
    data = bytearray(b"a" * 1000)
    stop = threading.Event()

    def resize() -> None:
        while not stop.is_set():
            try:
                data.extend(b"a" * 100_000)
                del data[1000:]
            except BufferError:  # it is being sent
                pass

    thread = threading.Thread(target=resize)
    thread.start()
    try:
        for _ in range(300):
            sending.conn.send(data)
            got = sending.client.receive()
            assert len(got) in (1000, 101_000)
            assert isinstance(got, bytes)
            assert got.strip(b"a") == b""
    finally:
        stop.set()
        thread.join()


def test_a_released_memoryview(sending: Sending) -> None:
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(ValueError, match="released"):
        sending.conn.send(view)


def test_connection_closed_says_what_it_means() -> None:
    assert str(wspy.ConnectionClosed(1000)) == "the connection is closed: 1000 (normal closure)"
    exc = wspy.ConnectionClosed(4000, "why")
    assert (exc.code, exc.reason, str(exc)) == (4000, "why", "the connection is closed: 4000 why")
    assert isinstance(exc, Exception)


# -- handlers that cannot work --


class WithYield:
    def __call__(self, conn: wspy.Connection, message: str | bytes) -> object:
        yield conn


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (lambda conn: None, r"called with \(conn, message\)"),
        (lambda conn, message, more: None, r"called with \(conn, message\)"),
        (WithYield(), "without yield"),
        (WithYield().__call__, "without yield"),
    ],
    ids=["too few", "too many", "generator", "generator method"],
)
def test_a_handler_that_can_never_work(handler: Callable[..., object], says: str) -> None:
    server = wspy.Server(port=0)
    with pytest.raises(TypeError, match=f"on_message: .*{says}"):
        server.on_message(handler)
    with pytest.raises(TypeError, match="on_message"):
        wspy.Server(port=0, on_message=handler)


def test_handlers_are_not_set_by_assignment_or_override() -> None:
    server = wspy.Server(port=0)
    with pytest.raises(AttributeError, match=r"server\.on_message\(handler\)"):
        server.on_message = print  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError, match="on_open sets a handler"):
        type("Mine", (wspy.Server,), {"on_open": lambda self, conn: None})
    server.name = "attributes of one's own"  # type: ignore[attr-defined]


def test_a_buffer_of_objects_is_refused(servers: Servers, connect: Connect) -> None:
    """Its bytes would tell the peer addresses of this process."""
    errors: queue.Queue[Exception] = queue.Queue()

    def send(conn: wspy.Connection, message: str | bytes) -> None:
        try:
            conn.send((ctypes.py_object * 2)())
        except TypeError as exc:
            errors.put(exc)

    client = connect(servers.run(on_message=send))
    client.send("go")
    assert "buffer of objects" in str(get(errors))
