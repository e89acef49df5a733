"""Bugs that other servers had, each with the advisories that tell of it: none may happen here.

Other modules look closer at most of them; here each has a test that bears its name.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import struct
from typing import Any

import pytest
from handshakes import REQUEST, also, edited
from server_process import ServerProcess, serve
from support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MIB,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    close_frame,
    frame,
    text,
)

import wspy
from wspy.options import Strategy

KEY = b"\x11\x22\x33\x44"


def send_request(client: Client, request: bytes) -> None:
    client.send_raw(request.replace(b"{host}", client.host.encode()))


def status_of(target: ServerProcess, request: bytes) -> int:
    """The status that answers; 101 is let go. "{host}" in the request stands for the server."""
    with target.client() as client:
        send_request(client, request)
        status = client.read_head()[0]
        if status != 101:
            client.read_all()
        return status


def expect_close(target: ServerProcess, code: int, *pieces: bytes) -> None:
    with target.open() as client:
        for piece in pieces:
            client.send_raw(piece)
        assert client.expect_close()[0] == code
        client.expect_end()


# -- lengths and memory --


@pytest.mark.parametrize("size", [2**31, 2**40, 2**63 - 1])
def test_a_huge_announced_length_allocates_nothing(target: ServerProcess, size: int) -> None:
    """ws CVE-2016-10542, rust-websocket CVE-2022-35922."""
    with target.grows_less_than(256):
        for _ in range(50):
            expect_close(target, 1009, frame(BINARY, "x", announce=size))


def test_a_huge_length_that_is_allowed_allocates_nothing(strategy: Strategy) -> None:
    """The same, where max_message_size would let it in: memory follows what has come."""
    with serve(strategy, max_message_size=2**40) as server, server.grows_less_than(512):
        for size in (2**31, 2**40):
            for _ in range(20):
                with server.open() as client:
                    client.send_raw(frame(PING), frame(BINARY, bytes(1000), announce=size))
                    assert client.read_frame() == Frame(PONG, b"")
                    client.reset()


@pytest.mark.parametrize(
    ("size", "code"),
    [
        (125, None), (126, None), (65_535, None), (65_536, None),
        (2**31 - 1, 1009), (2**31, 1009), (2**32, 1009), (2**63 - 1, 1009),
        (2**63, 1002), (2**64 - 1, 1002),
    ],
)  # fmt: skip
def test_a_length_of_64_bits_overflows_nothing(
    target: ServerProcess, size: int, code: int | None
) -> None:
    """undici CVE-2026-1528, NATS CVE-2026-27889, gorilla CVE-2020-27813, Tomcat CVE-2020-13935."""
    payload = bytes(size) if code is None else b"x" * 30
    for data in (
        frame(BINARY, payload, announce=size),
        frame(BINARY, fin=False) + frame(CONTINUATION, payload, announce=size),
    ):
        for cut in range(1, 16):  # the longest header has 14 bytes
            if code is not None:
                expect_close(target, code, data[:cut], data[cut:])
                continue
            with target.open() as client:
                client.send_raw(data[:cut])
                client.send_raw(data[cut:])
                assert client.receive() == payload


def test_a_fragment_is_no_object(target: ServerProcess) -> None:
    """ws CVE-2026-48779: a message in fragments of one byte took 15 times its size and more."""
    n = 100_000
    with target.open() as client, target.grows_less_than(n * 5 // 1024):
        client.send_raw(frame(TEXT, "x", fin=False), frame(CONTINUATION, "x", fin=False) * (n - 2))
        target.check_honest()
        client.send_raw(frame(CONTINUATION, "x"))
        assert client.receive() == "x" * n


def test_a_read_is_no_object(target: ServerProcess) -> None:
    """aiohttp CVE-2026-54274: a frame that came in tiny reads took 28 times its size."""
    n = 40_000
    data = frame(BINARY, bytes(n), announce=MIB)
    with target.open() as client, target.grows_less_than(n * 10 // 1024):
        for i in range(len(data)):
            client.send_raw(data[i : i + 1])
        target.check_honest()
        client.reset()


def long_head(what: str, size: int) -> bytes:
    if what == "one field":
        return also(b"X: " + b"x" * size)
    if what == "many fields":
        return also((b"X: " + b"y" * 119 + b"\r\n") * (size // 128) + b"X: y")
    if what == "a list":
        return edited(b"Connection: Upgrade", b"Connection: " + b"," * size + b"Upgrade")
    return edited(b"GET /", b"GET /" + b"a" * size)


def cost(server: ServerProcess, what: str, size: int) -> int:
    """The processor's time for a head of about that size that comes in pieces of 4 KiB."""
    before = server.processor_ns()
    with server.client() as client:
        data = long_head(what, size).replace(b"{host}", client.host.encode())
        for at in range(0, len(data), 4096):
            client.send_raw(data[at : at + 4096])
            server.witness.echo("it has been read")
        client.check_upgrade()
    return server.processor_ns() - before


def test_a_long_head_costs_what_it_is_long(strategy: Strategy) -> None:
    """tungstenite CVE-2023-43669, ws CVE-2021-32640, Tornado CVE-2024-52804: the square of it."""
    options: dict[str, Any] = {"max_header_size": 2**24, "max_headers": 2**16}
    with serve(strategy, handshake_timeout=None, **options) as server:
        for what in ("one field", "many fields", "a list", "the target"):
            cost(server, what, 2**18)
            short, long = cost(server, what, 2**18), cost(server, what, 2**21)
            # 8 times as long: 64 times the work if each piece had all of them read again.
            assert long < 24 * short, what


# -- frames --


@pytest.mark.parametrize("rsv", range(8))
def test_nothing_is_inflated_that_was_not_negotiated(target: ServerProcess, rsv: int) -> None:
    """aiohttp CVE-2026-59881. An offer alone negotiates nothing."""
    offer = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
    for headers in ([], offer):
        for opcode in (TEXT, BINARY, PING):
            with Client(target.url, headers=headers) as client:  # strict: no extension came back
                client.send_raw(frame(opcode, "x", rsv=rsv))
                if rsv == 0:
                    assert client.read_frame().payload == b"x"
                else:
                    assert client.expect_close() == (1002, "a reserved bit is set")


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CLOSE, PING, PONG])
def test_a_frame_that_is_not_masked_is_refused(target: ServerProcess, opcode: int) -> None:
    """aiohttp, Tornado and uWebSockets take it."""
    for payload in (b"", b"\x03\xe8"):
        expect_close(target, 1002, frame(opcode, payload, mask=None))


# -- handlers --

ACTS = """
import gc

def everybody():
    return [conn for conn in server.connections if conn.path != "/"]

def send_to_all(conn):
    for other in everybody():
        other.send("to all")

def close_itself(conn):
    conn.close(4001)

def close_all(conn):
    for other in everybody():
        other.close(4002)

def send_and_close_all(conn):
    for other in everybody():
        other.send(bytes(100_000))
        other.close(4003)

def send_after_close(conn):
    conn.close(4004)
    try:
        conn.send("late")
    except wspy.ConnectionClosed:
        pass

def publish_to_a_room(conn):
    conn.subscribe("room")
    server.publish("room", "to the room")
    conn.publish("room", "to the others")
    conn.unsubscribe("room")

def close_a_room(conn):
    conn.subscribe("room")
    server.publish("room", bytes(100_000))
    close_all(conn)

def close_inside_a_stream(conn):
    with conn.stream() as stream:
        stream.write(b"begun")
        conn.close(4005)

def forget(conn):
    del conn
    gc.collect()

def replace_handlers(conn):
    server.on_message(lambda conn, message: act("message", conn, message))
    server.on_close(lambda conn, code, reason: act("close", conn))

def raise_an_error(conn):
    raise ValueError

def stop(conn):
    server.stop()

acted = 0

def act(event, conn, message=""):
    global acted
    _, wanted, name, *_ = conn.path.split("/") + ["", ""]
    conn.times = getattr(conn, "times", 0) + (wanted == event)
    if wanted == event and conn.times <= 5:  # a drain may bring about the next one
        acted += 1
        try:
            globals()[name](conn)
        except wspy.ConnectionClosed:
            assert event in ("close", "error")
    elif wanted == "error" and event != "error":
        raise ValueError
    elif event == "message":
        conn.send(str(acted) if message == "acted" else message)

server.on_open(lambda conn: act("open", conn))
server.on_message(lambda conn, message: act("message", conn, message))
server.on_drain(lambda conn: act("drain", conn))
server.on_close(lambda conn, code, reason: act("close", conn))
server.on_error(lambda conn, exc: act("error", conn))
"""

EVENTS = ["open", "message", "drain", "close", "error"]
NAMES = [
    "send_to_all",
    "close_itself",
    "close_all",
    "send_and_close_all",
    "send_after_close",
    "publish_to_a_room",
    "close_a_room",
    "close_inside_a_stream",
    "forget",
    "replace_handlers",
    "raise_an_error",
]


def read_opcodes(client: Client) -> list[int]:
    """Of all frames up to the end of the stream; a streamed message comes in several."""
    client.buffer += client.read_all()
    opcodes = []
    while client.buffer:
        first, size = client.read(2)
        if size >= 126:
            size = int.from_bytes(client.read(2 if size == 126 else 8), "big")
        client.read(size)
        opcodes.append(first & 0x0F)
    return opcodes


def act_out(server: ServerProcess, client: Client) -> list[int]:
    """Some messages, a drain between them, and a close. The opcodes of all that came back."""
    client.send_raw(text("one"))
    server.witness.echo("it was answered, and drained")
    client.send_raw(text("two"), text("x" * 20_000), close_frame(3000))
    return read_opcodes(client)


def times_acted(server: ServerProcess) -> int:
    server.witness.send("acted")
    return int(server.witness.receive())


def test_handlers_may_close_and_send_at_every_step(strategy: Strategy) -> None:
    """libwebsockets CVE-2025-11677, uWebSockets #1583 and #867: use after free."""
    # With a high-water mark of 1 every message is over it, and drained when it is written.
    with serve(strategy, ACTS, high_water=1) as server:
        for event, name in itertools.product(EVENTS, NAMES):
            if (event, name) == ("error", "raise_an_error"):
                continue  # that is logged
            before = times_acted(server)
            with (
                server.open(f"/{event}/{name}") as other,
                server.open(f"/{event}/{name}") as client,
            ):
                assert act_out(server, client)[-1] == CLOSE
                assert act_out(server, other)[-1] == CLOSE
            assert times_acted(server) > before, (event, name)
            server.check_honest()


@pytest.mark.parametrize("event", ["message", "close"])
def test_handlers_may_stop_the_server_at_every_step(strategy: Strategy, event: str) -> None:
    with serve(strategy, ACTS, high_water=1) as server, server.open(f"/{event}/stop") as client:
        client.send_raw(text("one"))
        if event == "close":
            client.send_raw(close_frame(3000))
        assert client.read_close()[0] == (3000 if event == "close" else 1001)
        client.socket.close()
        server.expect_end()


def test_a_thread_closes_while_the_loop_waits(strategy: Strategy) -> None:
    """waitress CVE-2022-31015: a descriptor was closed just before select, and used again."""
    setup = """
import time

def close_all():
    while True:
        for conn in server.connections:
            if conn.path != "/":
                conn.close(4003)
        time.sleep(0.0001)

for _ in range(4):
    threading.Thread(target=close_all, daemon=True).start()
"""
    with serve(strategy, setup) as server:
        for _ in range(20):
            clients = [server.open("/closed") for _ in range(15)]
            for client in clients[::3]:
                client.reset()
            for client in clients[1::3]:
                assert client.answer_close() == (4003, "")
                client.socket.close()
            for client in clients[2::3]:
                client.send_raw(text("x") * 10)
                assert client.read_close() == (4003, "")
                client.socket.close()
            server.check_honest()


# What each of these gets does not depend on the handlers.
VIOLATIONS: dict[str, tuple[int, bytes]] = {
    "a reserved bit": (1002, frame(TEXT, "x", rsv=4)),
    "a reserved opcode": (1002, frame(3)),
    "no mask": (1002, frame(TEXT, "x", mask=None)),
    "a ping in fragments": (1002, frame(PING, fin=False)),
    "a long ping": (1002, frame(PING, bytes(126))),
    "a long length": (1002, b"\x82\xfe\0\5" + KEY),
    "a continuation of nothing": (1002, frame(CONTINUATION)),
    "two messages at once": (1002, frame(TEXT, fin=False) + frame(TEXT)),
    "no UTF-8": (1007, frame(TEXT, b"\xff")),
    "half a character": (1007, frame(TEXT, b"\xc3")),
    "a bad close code": (1002, close_frame(1005)),
    "half a close code": (1002, frame(CLOSE, "x")),
    "a bad reason": (1007, frame(CLOSE, b"\x03\xe8\xff")),
    "too much": (1009, frame(BINARY, announce=MIB + 1)),
    "too many": (1009, frame(BINARY, fin=False) + frame(CONTINUATION, fin=False) * 131_072),
}


def test_no_violation_ends_a_server_without_handlers(strategy: Strategy) -> None:
    """engine.io CVE-2022-21676: an error that nobody caught ended the process."""
    setup = """
bare = wspy.Server(port=0, strategy=sys.argv[1])
bare.start_in_thread()
server.on_message(lambda conn, message: conn.send(bare.url if message == "bare" else message))
"""
    with serve(strategy, setup) as server:
        server.witness.send("bare")
        url = server.witness.receive()
        assert isinstance(url, str)
        for code, data in VIOLATIONS.values():
            with Client(url) as client:
                client.send_raw(text("nobody reads this"), frame(PING), data)
                assert client.read_close()[0] == code
                client.expect_end()
        server.check_honest()


def test_no_violation_ends_a_server_whose_handlers_raise(strategy: Strategy) -> None:
    """The same; what they raise is logged, and closes with 1011 if nothing else had before."""
    setup = """
def fail(conn, *arguments):
    if conn.path != "/":
        raise ValueError("on purpose")
    if len(arguments) == 1:
        conn.send(*arguments)

server.on_message(fail)
server.on_close(fail)
"""
    with serve(strategy, setup) as server:
        for code, data in VIOLATIONS.values():
            with server.open("/fails") as client:
                client.send_raw(data)
                assert client.expect_close()[0] == code
                client.expect_end()
            with server.open("/fails") as client:
                client.send_raw(text("x"), data)
                assert client.expect_close()[0] == 1011
            server.check_honest()
        lines = server.take_log()
        assert lines.count("ValueError: on purpose") == 3 * len(VIOLATIONS)
        errors = [line.split()[:3] for line in lines if line.startswith("ERROR")]
        assert errors.count(["ERROR", "on_message", "failed"]) == len(VIOLATIONS)
        assert errors.count(["ERROR", "on_close", "failed"]) == 2 * len(VIOLATIONS)
        assert len(errors) == 3 * len(VIOLATIONS)


# -- names --

SUBSCRIBE = """
@server.on_message
def on_message(conn, message):
    if conn.path != "/":
        for name in message.split():
            assert conn.subscribe(name)
    conn.send(message)
"""


def subscribe_cost(server: ServerProcess, names: list[str]) -> int:
    """The processor's time for subscriptions to all of them, as many to a connection as may be."""
    before = server.processor_ns()
    with contextlib.ExitStack() as stack:
        for at in range(0, len(names), 128):
            stack.enter_context(server.open("/subscribe")).echo(" ".join(names[at : at + 128]))
    return server.processor_ns() - before


def test_names_of_topics_do_not_collide(strategy: Strategy) -> None:
    """oCERT-2011-003: names that an attacker picked all fell into one place of the table."""
    rng = random.Random(7)
    # In a hash of the kind h * 31 + c "Aa" is "BB". Whoever has no key cannot do so with ours.
    same = ["".join(pairs) for pairs in itertools.product(("Aa", "BB"), repeat=14)]
    others = [f"{rng.getrandbits(120):030x}" for _ in same]
    with serve(strategy, SUBSCRIBE) as server:
        subscribe_cost(server, others[:1024])
        other = subscribe_cost(server, others)
        assert subscribe_cost(server, same) < 4 * other


# -- HTTP --


@pytest.mark.parametrize(
    "request_",
    [
        also(b"Content-Length: 5") + b"hello",
        also(b"Content-Length: 200") + REQUEST,
        also(b"Content-Length: 0\r\nContent-Length: 5"),
        also(b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + REQUEST,
        also(b"Content-Length: 0\r\nTransfer-Encoding: chunked"),
        also(b"Transfer-Encoding: identity"),
    ],
)
def test_no_request_is_smuggled_through_an_upgrade(target: ServerProcess, request_: bytes) -> None:
    """aiohttp CVE-2026-69243. Refused and closed: nobody answers what comes behind."""
    with target.client() as client:
        send_request(client, request_)
        assert client.response().status == 400


def test_no_request_is_read_behind_an_upgrade(target: ServerProcess) -> None:
    with target.client() as client:
        send_request(client, REQUEST + REQUEST)
        client.check_upgrade()
        assert client.expect_close()[0] == 1002
        client.expect_end()


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST.replace(b"\r\n", b"\n"),
        edited(b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        edited(b"HTTP/1.1\r\n", b"HTTP/1.1\r"),
        also(b"X: a\r\n b"),
        also(b"X: a\r\n\tb"),
        also(b"X : a"),
        also(b"X\t: a"),
        also(b"Host: evil.example"),
        also(b"X: a\0b"),
        also(b"X: a\rb"),
        also(b"X: a\nb"),
        also(b"X"),
        also(b": x"),
        b"\r\n" + REQUEST,
    ],
)
def test_the_grammar_of_http_is_strict(target: ServerProcess, request_: bytes) -> None:
    """Tornado, Twisted, waitress and Undertow: what two read differently is smuggled."""
    assert status_of(target, request_) == 400


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Upgrade: websocket", b"Upgrade: notwebsocket", 426),
        (b"Upgrade: websocket", b"Upgrade: websocket2", 426),
        (b"Upgrade: websocket", b"Upgrade: x, WebSocket", 101),
        (b"Connection: Upgrade", b"Connection: notupgrade", 400),
        (b"Connection: Upgrade", b"Connection: upgrade2", 400),
        (b"Connection: Upgrade", b"Connection: upgrade-insecure-requests", 400),
        (b"Connection: Upgrade", b"Connection: keep-alive,uPgRaDe", 101),
    ],
)
def test_tokens_are_whole(target: ServerProcess, old: bytes, new: bytes, status: int) -> None:
    """aiohttp #12723 looked for a part of the value."""
    assert status_of(target, edited(old, new)) == status


@pytest.mark.parametrize("bad", ["a\r\nX: y", "a\rb", "a\nb", "a\0b", "a\x7f"])
def test_no_answer_is_split(bad: str) -> None:
    """uvicorn CVE-2020-7695, autobahn CVE-2020-35678: what the application gives has no CR, LF."""
    server = wspy.Server(port=0)
    for name, arguments in {
        "path": ("/" + bad, "", None),
        "content_type": ("/", "", bad),
        "headers": ("/", "", None, {"X": bad}),
        "no token": ("/", "", None, {bad: "x"}),
    }.items():
        with pytest.raises(ValueError, match=name):
            server.page(*arguments)  # type: ignore[arg-type]


HOSTILE_TEXT = [b"\x1b[31mforged", b"\x9b31mforged", b"\r\nINFO forged", b"\nforged", b"\0forged",
                "\u202eforged\u2028".encode(), b"%s%s%n forged", b"forged" * 1000]  # fmt: skip


def test_no_line_of_the_log_is_forged(strategy: Strategy) -> None:
    """uvicorn CVE-2020-7694, Tornado: escapes in what is logged. The end looks at all lines."""
    names = (b"Origin", b"User-Agent", b"Cookie", b"X-Forwarded-For", b"Referer")
    with serve(strategy) as server:
        for bad in HOSTILE_TEXT:  # few enough that each has its line
            request = also(b"\r\n".join(name + b": " + bad for name in names))
            assert status_of(server, request) in (400, 403, 431)
        for bad in HOSTILE_TEXT:
            assert status_of(server, edited(b"GET /", b"GET /" + bad)) in (101, 400)
            assert status_of(server, edited(b"GET /", bad + b" /")) in (400, 405)
            with server.open() as client:
                client.send_raw(frame(CLOSE, b"\x03\xe8" + bad[:100]))
                client.expect_close()
        lines = server.take_log()
        assert sum("refused with" in line for line in lines) >= len(HOSTILE_TEXT)
        assert [s for s in lines if not (s.isascii() and s.isprintable())] == []
        assert [s for s in lines if "forged" in s] == []


def test_the_log_is_not_flooded(target: ServerProcess) -> None:
    """What goes over ten lines a second of a kind is counted instead."""
    n = 500
    before = target.stats()["suppressed_lines"]
    target.take_log()
    for _ in range(n):
        assert status_of(target, b"garbage\r\n\r\n") == 400
    written = sum("refused with 400" in line for line in target.take_log())
    assert written < n
    assert target.stats()["suppressed_lines"] - before == n - written


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://{host}", 101),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        ("http://user@{host}", 403),
        ("http://{host}@evil.example", 403),
        ("http://{host}.evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
    ],
)
def test_a_foreign_page_may_not_connect(target: ServerProcess, origin: str, status: int) -> None:
    """Vite CVE-2025-24010, Storybook CVE-2026-27148: cross-site WebSocket hijacking."""
    assert status_of(target, also(f"Origin: {origin}".encode())) == status


@pytest.mark.parametrize("host", [b"evil.example", b"evil.example:80", b"127.0.0.1.evil.example"])
def test_a_name_that_was_rebound_is_not_ours(target: ServerProcess, host: bytes) -> None:
    """DNS rebinding: the page's own origin, and its name leads to this machine."""
    request = edited(b"Host: {host}", b"Host: " + host)
    assert status_of(target, request) == 421
    assert status_of(target, request[:-2] + b"Origin: http://" + host + b"\r\n\r\n") == 421


# -- what is sent --

BUFFERS = """
import array, ctypes

def changing(size):
    data = bytearray(b"a" * size)
    conn = server.connections[-1]
    conn.send(data)
    data[:] = b"b" * size
    data.clear()
    data.extend(b"c" * 2 * size)

BUFFERS = {
    "strided": memoryview(bytes(range(256)) * 100)[::2],
    "reversed": memoryview(b"abcdef")[::-1],
    "floats": array.array("f", [1.0, 2.0]),
    "strided floats": memoryview(array.array("f", [1.0, 2.0, 3.0]))[::2],
    "two dimensions": memoryview(bytes(range(6))).cast("B", (2, 3)),
    "objects": (ctypes.py_object * 2)(),
}

@server.on_message
def on_message(conn, message):
    if message.startswith("changing"):
        data = bytearray(b"a" * int(message.split()[1]))
        conn.send(data)
        data[:] = b"b" * len(data)
        data.clear()  # BufferError if anybody held it
        data.extend(b"c" * 1_000_000)
        return
    try:
        conn.send(BUFFERS.get(message, message))
    except TypeError:
        conn.send("TypeError")
"""


def test_no_other_memory_is_sent(strategy: Strategy) -> None:
    """ws CVE-2026-45736: what lay in a pool beside the data went out with it."""
    expected: dict[str, str | bytes] = {
        "strided": bytes(range(0, 256, 2)) * 100,
        "reversed": b"fedcba",
        "floats": struct.pack("=ff", 1.0, 2.0),
        "strided floats": struct.pack("=ff", 1.0, 3.0),
        "two dimensions": bytes(range(6)),
        "objects": "TypeError",
        "changing 100": b"a" * 100,
        "changing 20000": b"a" * 20_000,
        "changing 500000": b"a" * 500_000,
    }
    with serve(strategy, BUFFERS) as server, server.open() as client:
        for name, data in expected.items():
            client.send(name)
            assert client.receive() == data


# -- slowness --


def test_slow_handshakes_hold_nobody(target: ServerProcess) -> None:
    """Slowloris: half requests take no turn from those that are whole."""
    clients = [target.client() for _ in range(300)]
    for sent in range(20):
        for client in clients:
            client.send_raw(client.request()[sent : sent + 1])
        target.check_honest()
    for client in clients:
        client.reset()
