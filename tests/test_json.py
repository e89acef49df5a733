"""JSON text: send_json, publish_json, on_json, and the functions that write and read it."""

from __future__ import annotations

import gc
import json
import queue
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from audience import Audience, MakeAudience
from conftest import Records, Servers
from support import BINARY, MIB, TEXT, Connect, Frame, Recorder, close_frame, get, make_text

import wspy

# object, what goes over the wire
WRITTEN: list[tuple[Any, str]] = [
    ({"a": [1, 2.5, None, True], "b": {}}, '{"a":[1,2.5,null,true],"b":{}}'),
    ([], "[]"),
    ("é\n\"\\\x00 \N{GRINNING FACE}", '"é\\n\\"\\\\\\u0000 \N{GRINNING FACE}"'),
    (None, "null"),
    (-0.0, "-0.0"),
    (10**30, "1" + "0" * 30),
    ({1: (2, 3)}, '{"1":[2,3]}'),
]  # fmt: skip


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


# -- sending --


def test_send_json(audience: Audience) -> None:
    client, conn = audience.enter()
    for obj, text in WRITTEN:
        assert conn.send_json(obj) is True
        assert client.read_frame() == Frame(TEXT, text.encode())


def test_send_json_of_a_handler(servers: Servers, connect: Connect) -> None:
    server = servers.run(on_json=lambda conn, obj: conn.send_json({"got": obj}))
    client = connect(server)
    client.send('{"a": 1}')
    assert client.receive() == '{"got":{"a":1}}'


def test_publish_json(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    clients = [connect(server) for _ in range(3)]
    conns = [get(recorder.opened) for _ in clients]
    for conn in conns[:2]:
        conn.subscribe("prices")
    assert server.publish_json("prices", {"é": 1.5}) == 2
    assert server.publish_json("prices", [2], exclude=conns[0]) == 1
    assert server.publish_json("nobody", [3]) == 0
    assert server.broadcast("end") == 3
    assert [client.receive() for client in clients] == ['{"é":1.5}', '{"é":1.5}', "end"]
    assert [client.receive() for client in clients[:2]] == ["end", "[2]"]


def test_a_large_object(make_audience: MakeAudience) -> None:
    client, conn = make_audience(max_backlog=None).enter()
    obj = {"text": make_text(MIB, 0), "ascii": make_text(MIB, 1)}
    conn.send_json(obj)
    got = client.receive()
    assert isinstance(got, str)
    assert got == json.dumps(obj, ensure_ascii=False, separators=(",", ":"))


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("obj", "error"),
    [
        (float("nan"), ValueError),
        ([1, float("inf")], ValueError),
        ({"a": float("-inf")}, ValueError),
        (CIRCLE, ValueError),
        ("\ud800", UnicodeEncodeError),
        (object(), TypeError),
        ({1, 2}, TypeError),
        (b"bytes", TypeError),
        ({(1, 2): 3}, TypeError),
        (nested(200_000), RecursionError),
    ],
    ids=range(10),
)
def test_what_is_no_json_is_raised(audience: Audience, obj: Any, error: type[Exception]) -> None:
    client, conn = audience.enter()
    conn.subscribe("topic")
    with pytest.raises(error):
        conn.send_json(obj)
    with pytest.raises(error):
        conn.server.publish_json("topic", obj)
    conn.send("nothing before this")
    assert client.receive() == "nothing before this"


def test_send_json_to_one_who_has_gone(audience: Audience) -> None:
    client, conn = audience.enter()
    conn.close(4000, "bye")
    with pytest.raises(wspy.ConnectionClosed) as info:
        conn.send_json({})
    assert (info.value.code, info.value.reason) == (4000, "bye")
    assert client.answer_close() == (4000, "bye")


WRONG: list[tuple[Callable[[Any], object], str]] = [
    (lambda conn: conn.send_json(), "send_json() missing argument 'obj'"),
    (lambda conn: conn.send_json(obj=1), "send_json() takes 'obj' by position only"),
    (lambda conn: conn.send_json(1, 2),
     "send_json() takes at most 1 positional arguments (2 given)"),
    (lambda conn: conn.send_json(1, kye="a"),
     "send_json() got an unexpected keyword argument 'kye'"),
    (lambda conn: conn.send_json(1, key=5), "key must be a str or None, not int"),
    (lambda conn: conn.server.publish_json("a"), "publish_json() missing argument 'obj'"),
    (lambda conn: conn.server.publish_json(5, 1), "topic must be a str, not int"),
    (lambda conn: conn.server.publish_json("a", 1, key=b"a"),
     "key must be a str or None, not bytes"),
    (lambda conn: conn.server.publish_json("a", 1, exclude=1),
     "exclude must be a Connection or None, not int"),
]  # fmt: skip


def test_wrong_arguments(audience: Audience) -> None:
    _, conn = audience.enter()
    for call, message in WRONG:
        with pytest.raises(TypeError) as info:
            call(conn)
        assert str(info.value) == message


# -- receiving --


def received(servers: Servers, **options: Any) -> tuple[wspy.Server, queue.Queue[Any]]:
    """A server that runs, and what its on_json gets."""
    objects: queue.Queue[Any] = queue.Queue()
    server = servers.make(**options)
    server.on_json(lambda conn, obj: objects.put(obj))
    servers.start(server)
    return server, objects


def test_on_json(servers: Servers, connect: Connect) -> None:
    server, objects = received(servers)
    client = connect(server)
    texts = ['{"a": [1, 2.5, null, true]}', "[]", '"é\\ud83d\\ude00"', " null\n", "0", "-1e3"]
    for text in texts:
        client.send(text)
    got = [get(objects) for _ in texts]
    assert got == [{"a": [1, 2.5, None, True]}, [], "é\N{GRINNING FACE}", None, 0, -1000.0]
    assert server.stats()["received"] == len(texts)


def test_a_large_text(servers: Servers, connect: Connect) -> None:
    server, objects = received(servers)
    client = connect(server)
    for seed in (0, 1):
        text = json.dumps(make_text(MIB // 2, seed), ensure_ascii=False)
        client.send(text)
        assert get(objects) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "{", "{}{}", "[1,]", "{'a':1}", "undefined", "\ufeff{}", "[1] x", '"\n"',
        "NaN", "[Infinity]", '{"a":-Infinity}', "[" * 100_000, '{"a":' * 100_000, "1" * 5000,
        "x" * 100_000,
    ],
    ids=range(17),
)  # fmt: skip
def test_what_is_no_json_closes_the_connection(
    servers: Servers, connect: Connect, text: str, log: Records
) -> None:
    objects: queue.Queue[Any] = queue.Queue()
    server = servers.make()
    recorder = Recorder(server)
    server.on_json(lambda conn, obj: objects.put(obj))
    server.on_error(lambda conn, exc: objects.put(exc))
    servers.start(server)
    client, other = connect(server), connect(server)
    client.send(text)
    client.send("[1]")  # behind it: nobody gets this
    assert client.expect_close() == (1007, "this is not JSON")
    client.send_raw(close_frame(1007))
    client.expect_end()
    closed = get(recorder.closed)
    assert closed[1:] == (1007, "", "protocol", (1007, "this is not JSON"))
    other.send('"the others"')
    assert get(objects) == "the others"
    assert recorder.messages.empty()


def test_binary_closes_the_connection(servers: Servers, connect: Connect) -> None:
    server, objects = received(servers)
    for data in (b"{}", b"", bytes(500_000)):
        client = connect(server)
        client.send(data)
        assert client.expect_close() == (1003, "JSON text is expected")
        client.send_raw(close_frame(1003))
        client.expect_end()
    assert objects.empty()


def test_binary_is_on_messages(servers: Servers, connect: Connect) -> None:
    seen: queue.Queue[Any] = queue.Queue()
    server = servers.make()
    server.on_message(lambda conn, message: seen.put(("message", message)))
    server.on_json(lambda conn, obj: seen.put(("json", obj)))
    servers.start(server)
    client = connect(server)
    large = bytes(100_000)
    for message in (b"{}", "{}", large, "1"):
        client.send(message)
    assert [get(seen) for _ in range(4)] == [
        ("message", b"{}"), ("json", {}), ("message", large), ("json", 1),
    ]  # fmt: skip


def test_a_handler_that_raises(servers: Servers, connect: Connect, log: Records) -> None:
    server = servers.make()
    error = KeyError("from the handler")

    @server.on_json
    def on_json(conn: wspy.Connection, obj: Any) -> None:
        raise error

    servers.start(server)
    client = connect(server)
    client.send("{}")
    assert client.answer_close() == (1011, "")
    (record,) = log.take_errors()
    assert record.getMessage().startswith("on_json failed for <wspy.Connection 1 ")
    assert record.exc_info is not None
    assert record.exc_info[1] is error


@pytest.mark.parametrize("error", [ValueError, RecursionError])
def test_errors_of_the_handler_are_not_the_peers(
    servers: Servers, connect: Connect, error: type[Exception]
) -> None:
    """Of these classes are also those of json_loads."""
    told: queue.Queue[Exception] = queue.Queue()
    server = servers.make()

    @server.on_json
    def on_json(conn: wspy.Connection, obj: Any) -> None:
        raise error("mine")

    server.on_error(lambda conn, exc: told.put(exc))
    servers.start(server)
    client = connect(server)
    client.send("{}")
    client.send("{}")
    assert [type(get(told)) for _ in range(2)] == [error, error]
    client.close()


def test_the_decorator_gives_the_handler_back() -> None:
    server = wspy.Server(port=0)

    def handler(conn: wspy.Connection, obj: Any) -> None:
        pass

    assert server.on_json(handler) is handler
    with pytest.raises(TypeError, match=r"^on_json: the handler is called with \(conn, obj\)"):
        server.on_json(lambda conn: None)  # type: ignore[type-var]


# -- functions of one's own --


@pytest.mark.parametrize("kind", [str, str.encode, lambda s: bytearray(s.encode()),
                                  lambda s: memoryview(s.encode())])  # fmt: skip
@pytest.mark.parametrize("size", [0, 10, 5000, 50_000])
def test_json_dumps(make_audience: MakeAudience, kind: Callable[[str], Any], size: int) -> None:
    """What it gives is sent as text, whether it is str or bytes of UTF-8."""
    client, conn = make_audience(json_dumps=lambda obj: kind(obj * size)).enter()
    conn.subscribe("topic")
    assert conn.send_json("é") is True
    assert conn.server.publish_json("topic", "ö") == 1
    assert client.read_frame() == Frame(TEXT, "é".encode() * size)
    assert client.read_frame() == Frame(TEXT, "ö".encode() * size)
    conn.send(b"binary")
    assert client.read_frame() == Frame(BINARY, b"binary")


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (b"\xff", ValueError, "json_dumps returned bytes that are not UTF-8"),
        (b"a" * 50_000 + b"\xc3", ValueError, "json_dumps returned bytes that are not UTF-8"),
        ("\ud800", UnicodeEncodeError, None),
        (None, TypeError, "json_dumps must return str or UTF-8 as bytes, not NoneType"),
        (5, TypeError, "json_dumps must return str or UTF-8 as bytes, not int"),
    ],
)
def test_what_json_dumps_may_not_give(
    make_audience: MakeAudience, result: Any, error: type[Exception], message: str | None
) -> None:
    client, conn = make_audience(json_dumps=lambda obj: result).enter()
    conn.subscribe("topic")
    calls: list[Callable[[], object]] = [
        lambda: conn.send_json(1),
        lambda: conn.server.publish_json("topic", 1),
    ]
    for call in calls:
        with pytest.raises(error) as info:
            call()
        if message:
            assert str(info.value) == message
        else:
            assert error is UnicodeEncodeError
    conn.send("nothing before this")
    assert client.receive() == "nothing before this"


def test_what_json_dumps_raises_is_raised(make_audience: MakeAudience) -> None:
    def fail(obj: object) -> str:
        raise KeyError(obj)

    _, conn = make_audience(json_dumps=fail).enter()
    with pytest.raises(KeyError, match="1"):
        conn.send_json(1)
    with pytest.raises(KeyError, match="2"):
        conn.server.publish_json("topic", 2)


def test_json_dumps_may_do_anything(make_audience: MakeAudience) -> None:
    """It closes the connection that it writes for."""

    def dumps(obj: wspy.Connection) -> str:
        obj.close(4000)
        gc.collect()
        return "late"

    client, conn = make_audience(json_dumps=dumps).enter()
    with pytest.raises(wspy.ConnectionClosed):
        conn.send_json(conn)
    assert client.answer_close() == (4000, "")


@pytest.mark.parametrize("size", [3, 20_000, 500_000])
def test_json_loads(servers: Servers, connect: Connect, size: int) -> None:
    server, objects = received(servers, json_loads=lambda text: ("loaded", type(text), text))
    client = connect(server)
    for seed in (0, 1):
        client.send(make_text(size, seed))
        assert get(objects) == ("loaded", str, make_text(size, seed))


def test_json_loads_replaces_the_handler(servers: Servers, connect: Connect) -> None:
    """The one that was set when the message came is called, and lives until then."""
    seen: queue.Queue[str] = queue.Queue()
    others: list[Callable[..., object]] = []
    server = servers.make(json_loads=lambda text: replace(text))

    def replace(text: str) -> str:
        server.on_json(lambda conn, obj: seen.put(f"new {obj}"))
        # These would take the memory of the old one, were it free.
        others.extend(lambda conn, obj: seen.put(f"other {obj}") for _ in range(10))
        return text

    server.on_json(lambda conn, obj: seen.put(f"old {obj}"))
    servers.start(server)
    client = connect(server)
    client.send("1")
    client.send("2")
    assert [get(seen), get(seen)] == ["old 1", "new 2"]


@pytest.mark.parametrize("error", [ValueError, UnicodeDecodeError, json.JSONDecodeError])
def test_a_value_error_of_json_loads_is_the_peers(
    servers: Servers, connect: Connect, error: type[Exception]
) -> None:
    arguments: dict[type[Exception], tuple[Any, ...]] = {
        UnicodeDecodeError: ("utf-8", b"", 0, 1, "bad"),
        json.JSONDecodeError: ("bad", "", 0),
    }

    def loads(text: str) -> object:
        raise error(*arguments.get(error, ()))

    server, objects = received(servers, json_loads=loads)
    client = connect(server)
    client.send("{}")
    assert client.answer_close() == (1007, "this is not JSON")
    assert objects.empty()


def test_another_error_of_json_loads_is_the_programs(servers: Servers, connect: Connect) -> None:
    def loads(text: str) -> object:
        raise KeyError(text)

    server = servers.make(json_loads=loads)
    told: queue.Queue[Any] = queue.Queue()
    server.on_json(lambda conn, obj: told.put(obj))
    server.on_error(lambda conn, exc: told.put((type(exc), exc.args)))
    servers.start(server)
    client = connect(server)
    client.send("[1]")
    client.send("[2]")
    assert [get(told), get(told)] == [(KeyError, ("[1]",)), (KeyError, ("[2]",))]


def test_the_object_is_let_go(servers: Servers, connect: Connect) -> None:
    class Thing:
        pass

    things: list[weakref.ref[Thing]] = []

    def loads(text: str) -> Thing:
        thing = Thing()
        things.append(weakref.ref(thing))
        return thing

    done: queue.Queue[int] = queue.Queue()
    server = servers.make(json_loads=loads)
    server.on_json(lambda conn, obj: done.put(sys.getrefcount(obj)))
    servers.start(server)
    client = connect(server)
    client.send("{}")
    client.send("{}")
    get(done)
    get(done)
    client.close()
    assert [thing() for thing in things] == [None, None]


@pytest.mark.parametrize("name", ["json_dumps", "json_loads"])
def test_what_is_no_function(name: str) -> None:
    wrong: dict[str, Any] = {name: 5}
    with pytest.raises(TypeError, match=f"^{name} must be a function or None, not int$"):
        wspy.Server(port=0, **wrong)
    assert wspy.Server(port=0, json_dumps=None, json_loads=None).port > 0


def test_the_functions_go_with_the_server() -> None:
    class Function:
        server: object = None

        def __call__(self, arg: Any) -> str:
            return ""

    functions = Function(), Function()
    server = wspy.Server(port=0, json_dumps=functions[0], json_loads=functions[1])
    for function in functions:
        function.server = server
    gone = [weakref.ref(thing) for thing in (server, *functions)]
    del server, functions, function
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
