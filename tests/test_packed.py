"""Messages that are records: on_message(format=), conn.pack(), server.publish_packed()."""

from __future__ import annotations

import gc
import queue
import struct
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from audience import PLUG, SMALL, Audience, MakeAudience, expect
from conftest import Records, Servers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import (
    BINARY,
    EFFORT,
    Client,
    Connect,
    Frame,
    Gate,
    Recorder,
    binary,
    frame,
    get,
    make_binary,
    wait_until,
)

import wspy

TICK = struct.Struct("!IHd")
TICKS = [(7, 1, 101.25), (2**32 - 1, 0, -0.0), (0, 65535, float("inf"))]


class Seen:
    """A handler that keeps what it is called with."""

    def __init__(self) -> None:
        self.calls: queue.Queue[tuple[Any, ...]] = queue.Queue()

    def __call__(self, conn: wspy.Connection, *values: Any) -> None:
        self.calls.put(values)


# ---- one record ----


def test_a_message_arrives_as_its_values(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    calls: queue.Queue[tuple[wspy.Connection, int, int, float]] = queue.Queue()

    @server.on_message(format="!IHd")
    def tick(conn: wspy.Connection, instrument: int, flags: int, price: float) -> None:
        calls.put((conn, instrument, flags, price))

    servers.start(server)
    client = connect(server)
    for values in TICKS:
        client.send(TICK.pack(*values))
    assert [get(calls)[1:] for _ in TICKS] == TICKS
    assert server.stats()["received"] == 3
    client.close()


@pytest.mark.parametrize(
    "format",
    ["!IHd", b"!IHd", wspy.Struct("!IHd"), TICK],
    ids=["str", "bytes", "Struct", "struct.Struct"],
)
def test_a_format_is_what_a_struct_takes(
    servers: Servers, connect: Connect, format: str | bytes | wspy.Struct | struct.Struct
) -> None:
    server, seen = servers.make(), Seen()
    assert server.on_message(seen, format=format) is seen
    servers.start(server)
    client = connect(server)
    client.send(TICK.pack(*TICKS[0]))
    assert get(seen.calls) == TICKS[0]


def test_in_fragments_and_cut_anywhere(servers: Servers, connect: Connect) -> None:
    server, seen = servers.make(), Seen()
    server.on_message(seen, format="!IHd")
    servers.start(server)
    client = connect(server)
    data = TICK.pack(*TICKS[0])
    for cut in range(len(data) + 1):
        client.send_raw(frame(BINARY, data[:cut], fin=False), frame(0, data[cut:]))
        assert get(seen.calls) == TICKS[0]
    for byte in binary(data):
        client.send_raw(bytes([byte]))
    assert get(seen.calls) == TICKS[0]


@pytest.mark.parametrize("size", [4095, 4096, 16383, 16384, 65536, 1_000_000])
def test_large_records(servers: Servers, connect: Connect, size: int) -> None:
    """Those that come masked to the handler, and those that are received into an object."""
    server, seen = servers.make(), Seen()
    server.on_message(seen, format=f"!H{size - 2}s")
    servers.start(server)
    client = connect(server)
    data = make_binary(size)
    for _ in range(3):
        client.send(data)
        assert get(seen.calls) == (int.from_bytes(data[:2], "big"), data[2:])


def test_many_values(servers: Servers, connect: Connect) -> None:
    server, seen = servers.make(), Seen()
    server.on_message(seen, format="!300H")
    servers.start(server)
    client = connect(server)
    client.send(struct.pack("!300H", *range(300)))
    assert get(seen.calls) == tuple(range(300))


# ---- any number of records ----


@pytest.mark.parametrize("n", [0, 1, 2, 300, 2000, 50_000])
def test_records(servers: Servers, connect: Connect, n: int) -> None:
    server, seen = servers.make(), Seen()
    server.on_message(seen, format="!IHd*")
    servers.start(server)
    client = connect(server)
    records = [(i, i % 7, i / 2) for i in range(n)]
    client.send(b"".join(TICK.pack(*record) for record in records))
    assert get(seen.calls) == (records,)


# ---- what does not fit ----


@pytest.mark.parametrize(
    ("format", "size", "reason"),
    [
        ("!IHd", 13, "a message of 13 bytes came, 14 are expected"),
        ("!IHd", 0, "a message of 0 bytes came, 14 are expected"),
        ("!IHd", 28, "a message of 28 bytes came, 14 are expected"),
        ("!IHd", 100_000, "a message of 100000 bytes came, 14 are expected"),
        ("!IHd*", 27, "a message of 27 bytes came, multiples of 14 are expected"),
    ],
)
def test_a_wrong_length_closes(
    servers: Servers, connect: Connect, format: str, size: int, reason: str
) -> None:
    server = servers.make()
    recorder, seen = Recorder(server), Seen()
    server.on_message(seen, format=format)
    servers.start(server)
    client = connect(server)
    client.send(bytes(size))
    assert client.answer_close() == (1007, reason)
    closed = get(recorder.closed)
    assert (closed.kind, closed.sent) == ("protocol", (1007, reason))
    assert seen.calls.empty()


def test_a_wrong_length_may_be_an_error(servers: Servers, connect: Connect) -> None:
    errors: queue.Queue[Exception] = queue.Queue()
    server, seen = servers.make(on_error=lambda conn, exc: errors.put(exc)), Seen()
    server.on_message(seen, format="!IHd", wrong_length="error")
    servers.start(server)
    client = connect(server)
    client.send(b"123")
    client.send(TICK.pack(*TICKS[0]))
    error = get(errors)
    assert isinstance(error, wspy.StructError)
    assert str(error) == "a message of 3 bytes came, 14 are expected"
    assert get(seen.calls) == TICKS[0]


def test_without_on_error_it_is_logged_and_closes(
    servers: Servers, connect: Connect, log: Records
) -> None:
    server, seen = servers.make(), Seen()
    server.on_message(seen, format="!IHd", wrong_length="error")
    servers.start(server)
    client = connect(server)
    client.send(b"123")
    assert client.answer_close() == (1011, "")
    (record,) = log.take_errors()
    assert record.getMessage().startswith("on_message failed for")


def test_what_a_handler_raises_goes_to_on_error(servers: Servers, connect: Connect) -> None:
    errors: queue.Queue[Exception] = queue.Queue()
    server = servers.make(on_error=lambda conn, exc: errors.put(exc))

    @server.on_message(format="!H")
    def fail(conn: wspy.Connection, number: int) -> None:
        raise ValueError(number)

    @server.on_message(format="!H")  # takes the other's place
    def fail_too(conn: wspy.Connection, number: int) -> None:
        raise KeyError(number)

    servers.start(server)
    client = connect(server)
    client.send(b"\0\7")
    assert repr(get(errors)) == "KeyError(7)"


# ---- beside other handlers ----


def test_text_goes_to_the_other_on_message(servers: Servers, connect: Connect) -> None:
    server, seen = servers.make(), Seen()
    recorder = Recorder(server)
    server.on_message(seen, format="!H")
    servers.start(server)
    client = connect(server)
    client.send("text")
    client.send(b"\1\2")
    assert get(recorder.messages) == "text"
    assert get(seen.calls) == (0x0102,)
    assert recorder.messages.empty()


def test_text_goes_to_on_json(servers: Servers, connect: Connect) -> None:
    server, seen, texts = servers.make(), Seen(), Seen()
    server.on_json(texts)
    server.on_message(seen, format="!H")
    servers.start(server)
    client = connect(server)
    client.send("[1]")
    client.send(b"\1\2")
    assert get(texts.calls) == ([1],)
    assert get(seen.calls) == (0x0102,)


def test_text_without_a_handler_closes(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    server.on_message(Seen(), format="!H")
    servers.start(server)
    client = connect(server)
    client.send("text")
    assert client.answer_close() == (1003, "binary messages are expected")


def test_a_handler_may_replace_itself(servers: Servers, connect: Connect) -> None:
    server, later = servers.make(), Seen()

    def first(conn: wspy.Connection, *values: Any) -> None:
        server.on_message(later, format="!B")
        gc.collect()
        conn.pack("!2H", *values)

    server.on_message(first, format=wspy.Struct("!2H"))
    servers.start(server)
    client = connect(server)
    client.send(b"\1\2\3\4")
    assert client.receive() == b"\1\2\3\4"
    client.send(b"\5")
    assert get(later.calls) == (5,)


# ---- wrong use ----

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"format": "!Z"}, wspy.StructError, "format '!Z': bad char in struct format"),
    ({"format": "é"}, wspy.StructError, "format 'é': "),
    ({"format": "!I**"}, wspy.StructError, r"format '!I\*\*': bad char in struct format"),
    ({"format": ""}, ValueError, "format '' has no values to call a handler with"),
    ({"format": "4x*"}, ValueError, r"format '4x\*' has no values"),
    ({"format": "0s*"}, ValueError, r"format '0s\*' has no values"),
    ({"format": 5}, TypeError, "format must be a str, bytes or Struct, not int"),
    ({"format": struct.Struct("4x")}, ValueError, "format '4x' has no values"),
    ({"format": wspy.Struct("4x")}, ValueError, "format '4x' has no values"),
    ({"format": f"!{2**60}s"}, ValueError, "which max_message_size .1048576. never lets in"),
    ({"format": "!1048577s"}, ValueError, "1048577 bytes, which max_message_size .1048576. never"),
    ({"format": "!I", "wrong_length": "x"}, ValueError, "wrong_length must be 'close' or 'error'"),
    (
        {"handler": lambda conn, message: None, "wrong_length": "error"},
        ValueError,
        "wrong_length is for messages with a format",
    ),
    (
        {"format": "!IH", "handler": lambda conn, one: None},
        TypeError,
        r"called with \(conn, value 1, value 2\), which",
    ),
    (
        {"format": "!IH*", "handler": lambda conn, one, two: None},
        TypeError,
        r"called with \(conn, records\), which",
    ),
    ({"format": "!IH", "handler": 5}, TypeError, "on_message must be callable, not int"),
]


@pytest.mark.parametrize(("options", "error", "text"), WRONG, ids=range(len(WRONG)))
def test_wrong_use(options: dict[str, Any], error: type[Exception], text: str) -> None:
    server = wspy.Server(port=0)
    with pytest.raises(error, match=text):
        server.on_message(**options)


# ---- outwards ----


def on_both(audience: Audience, function: Callable[[], object]) -> list[object]:
    """What it returns here, and on the loop's thread."""
    return [function(), audience.on_loop(function)]


def test_pack_sends_what_struct_packs(audience: Audience) -> None:
    client, conn = audience.enter()
    for values in TICKS:
        assert on_both(audience, lambda: conn.pack("!IHd", *values)) == [True, True]  # noqa: B023
        assert client.read_frame() == Frame(BINARY, TICK.pack(*values))
        assert client.read_frame() == Frame(BINARY, TICK.pack(*values))


@pytest.mark.parametrize("n", [0, 1, 125, 126, 4091, 4092, 4093, 20_000, 70_000])
def test_pack_of_every_size(audience: Audience, n: int) -> None:
    client, conn = audience.enter("all")
    of, data = wspy.Struct(f"{n}s"), make_binary(n)
    assert on_both(audience, lambda: conn.pack(of, data)) == [True, True]
    assert on_both(audience, lambda: conn.server.publish_packed("all", of, data)) == [1, 1]
    for _ in range(4):
        assert client.read_frame() == Frame(BINARY, data)


def test_publish_packed(audience: Audience) -> None:
    one, first = audience.enter("prices")
    two, _ = audience.enter("prices")
    server = audience.server
    assert on_both(audience, lambda: server.publish_packed("prices", "!H", 258)) == [2, 2]
    assert on_both(audience, lambda: server.publish_packed("prices", "!H", 259, exclude=first)) == [
        1,
        1,
    ]
    assert on_both(audience, lambda: server.publish_packed("nobody", "!H", 1)) == [0, 0]
    expect(one, b"\1\2", b"\1\2")
    expect(two, b"\1\2", b"\1\2", b"\1\3", b"\1\3")
    one.close()
    two.close()


def test_a_struct_of_the_library_packs(audience: Audience) -> None:
    client, conn = audience.enter("all")
    values = TICKS[0]

    def use() -> None:
        assert conn.pack(TICK, *values) is True
        assert conn.server.publish_packed("all", TICK, *values) == 1

    audience.on_loop(use)
    expect(client, TICK.pack(*values), TICK.pack(*values))
    client.close()


def test_order_among_other_messages(audience: Audience) -> None:
    client, conn = audience.enter()

    def send() -> None:
        for n in range(100):
            conn.send(bytes([n]))
            conn.pack("B", n)

    audience.on_loop(send)
    expect(client, *(bytes([n // 2]) for n in range(200)))


def test_keys_replace_what_waits(make_audience: MakeAudience) -> None:
    audience = make_audience(max_backlog=None)
    client, conn = audience.enter("prices", receive_buffer=SMALL)
    audience.plug(conn)

    def send() -> None:
        for n in range(10):
            conn.pack("!H", n, key="own")
            conn.server.publish_packed("prices", "!H", 100 + n, key="price")

    audience.on_loop(send)
    assert conn.dropped == 18
    audience.unplug(client)
    expect(client, b"\0\x09", b"\0\x6d")


def test_a_full_backlog(make_audience: MakeAudience) -> None:
    audience = make_audience(max_backlog=1000, backlog_policy="drop-newest")
    client, conn = audience.enter("all", receive_buffer=SMALL)
    size = 4 * PLUG  # nor by and by
    conn.send(bytes(size))
    wait_until(lambda: 0 < conn.backlog < size)
    assert on_both(audience, lambda: conn.pack("!H", 1)) == [False, False]
    assert conn.dropped == 2
    expect(client, bytes(size))


def test_amid_a_stream(audience: Audience) -> None:
    client, conn = audience.enter()

    def send() -> None:
        with conn.stream() as stream:
            stream.write(b"a")
            conn.pack("!H", 0x0102)
            stream.write(b"b")

    audience.on_loop(send)
    seen = b"".join(client.read(2 + length) for length in (1, 1, 0, 2))
    assert seen == b"\x02\x01a\x00\x01b\x80\x00\x82\x02\x01\x02"


WRONG_PACKS: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ((), {}, TypeError, "missing argument 'format'"),
    (("!HH", 1), {}, wspy.StructError, r"pack expected 2 items for packing \(got 1\)"),
    (("!H", 1, 2), {}, wspy.StructError, r"pack expected 1 items for packing \(got 2\)"),
    (("!H", 70_000), {}, wspy.StructError, "format requires 0 <= number <= 65535"),
    (("!H", "x"), {}, wspy.StructError, "required argument is not an integer"),
    (("!f", 1e300), {}, OverflowError, "float too large to pack with f format"),
    (("!Z", 1), {}, wspy.StructError, "format '!Z': bad char in struct format"),
    (("!H*", 1), {}, wspy.StructError, r"format '!H\*': bad char in struct format"),
    ((5, 1), {}, TypeError, "format must be a str, bytes or Struct, not int"),
    ((bytearray(b"!H"), 1), {}, TypeError, "format must be a str, bytes or Struct, not bytearray"),
    (("!H", 1), {"key": 5}, TypeError, "key must be a str or None, not int"),
    (("!H", 1), {"keys": "x"}, TypeError, "unexpected keyword argument 'keys'"),
]


@pytest.mark.parametrize(
    ("args", "options", "error", "text"), WRONG_PACKS, ids=range(len(WRONG_PACKS))
)
def test_wrong_packs(
    audience: Audience,
    args: tuple[Any, ...],
    options: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    client, conn = audience.enter("all")

    def use() -> None:
        with pytest.raises(error, match=text):
            conn.pack(*args, **options)
        with pytest.raises(error, match=text):
            conn.server.publish_packed("all", *args, **options)
        conn.send(b"next")

    on_both(audience, use)
    expect(client, b"next", b"next")
    client.close()


def test_a_value_may_send_and_close(audience: Audience) -> None:
    """What runs while values are packed goes first, and the frame stays whole."""
    client, conn = audience.enter("all")

    class Sends:
        def __index__(self) -> int:
            conn.send(b"first")
            conn.pack("!4s", b"next")
            conn.server.publish_packed("all", "!B", 1)
            return 2

    class Closes:
        def __index__(self) -> int:
            conn.close()
            return 3

    def pack_closed() -> None:
        with pytest.raises(wspy.ConnectionClosed):
            conn.pack("!H", Closes())

    audience.on_loop(lambda: conn.pack("!HH", Sends(), 4))
    audience.on_loop(pack_closed)
    expect(client, b"first", b"next", b"\1", b"\0\2\0\4")
    assert client.answer_close() == (1000, "")


def test_after_the_end_it_raises(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    client.close()
    get(recorder.closed)
    with pytest.raises(wspy.ConnectionClosed):
        conn.pack("!H", 1)
    assert server.publish_packed("all", "!H", 1) == 0


def test_many_threads_pack(audience: Audience) -> None:
    client, conn = audience.enter("all")

    def pack(thread: int) -> None:
        for n in range(500):
            assert conn.pack("!BH", thread, n)
            assert conn.server.publish_packed("all", "!BH", thread + 4, n) == 1

    threads = [threading.Thread(target=pack, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    seen: dict[int, list[int]] = {n: [] for n in range(8)}
    for _ in range(4000):
        who, n = struct.unpack("!BH", client.read_frame().payload)
        seen[who].append(n)
    for thread in threads:
        thread.join()
    assert list(seen.values()) == [list(range(500))] * 8


# ---- the whole way ----


@settings(
    max_examples=50 * EFFORT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 65535), st.floats())))
def test_there_and_back(ticks: list[tuple[int, int, float]]) -> None:
    server = wspy.Server(port=0)
    tick = wspy.Struct("!IHd")
    server.on_message(lambda conn, *values: conn.pack(tick, *values), format=tick)
    with server.start_in_thread(), Client(server) as client:
        client.send_raw(*(binary(TICK.pack(*values)) for values in ticks))
        for values in ticks:
            assert client.receive() == TICK.pack(*values)
        client.close()


def test_a_batch_of_thousands(servers: Servers, connect: Connect) -> None:
    """More than the arena of outgoing frames holds."""
    server, gate = servers.make(max_backlog=None, high_water=100_000_000), Gate()
    server.on_message(lambda conn, text: gate.hold())
    server.on_message(lambda conn, *values: conn.pack("!IHd", *values), format="!IHd")
    servers.start(server)
    client = connect(server)
    n = 40_000
    with gate.held(client):
        client.send_raw(*(binary(TICK.pack(i, 1, 0.5)) for i in range(2000)))
    for i in range(2000):
        assert client.receive() == TICK.pack(i, 1, 0.5)
    for start in range(0, n, 4000):
        client.send_raw(*(binary(TICK.pack(i, 1, 0.5)) for i in range(start, start + 4000)))
        for i in range(start, start + 4000):
            assert client.receive() == TICK.pack(i, 1, 0.5)


def test_nothing_is_left_behind(servers: Servers, connect: Connect) -> None:
    server = servers.make(on_error=lambda conn, exc: None)
    tick = wspy.Struct("!IHd")

    @server.on_message
    def fail(conn: wspy.Connection, message: object) -> None:
        with pytest.raises(wspy.StructError):
            conn.pack(tick, 1, 70_000, 1.0)
        conn.pack(wspy.Struct("300s"), b"x")
        conn.pack(wspy.Struct("30000s"), b"x")

    server.on_message(
        lambda conn, records: [conn.pack(tick, *record) for record in records],
        format="!IHd*",
        wrong_length="error",
    )
    servers.start(server)
    client = connect(server)

    def rounds(n: int) -> None:
        for _ in range(n):
            client.send(TICK.pack(*TICKS[0]) * 3)
            client.send(b"123")
            client.send("fail")
            expect(client, *[TICK.pack(*TICKS[0])] * 3, b"x" + bytes(299), b"x" + bytes(29_999))
        gc.collect()

    rounds(100)
    blocks = sys.getallocatedblocks()
    rounds(1000)
    assert abs(sys.getallocatedblocks() - blocks) < 100
