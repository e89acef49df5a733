"""What goes in comes out: the ``websockets`` client, and sizes at every border."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from conftest import Servers
from support import (
    BINARY,
    CONTINUATION,
    MIB,
    TEXT,
    TIMEOUT,
    Connect,
    Frame,
    Recorder,
    frame,
    get,
    make_binary,
    make_text,
)
from websockets.asyncio.client import connect as connect_async
from websockets.sync.client import connect as connect_sync

import wspy

BORDERS = [0, 1, 125, 126, 127, 4095, 4096, 16383, 16384, 65535, 65536, 65537, MIB - 1, MIB]


def make_messages(n: int) -> list[str | bytes]:
    """Sizes log-uniform from 0 to exactly 1 MiB, text and binary."""
    rng = random.Random(n)
    sizes = [0, 0, MIB, MIB] + [int((MIB + 1) ** rng.random()) - 1 for _ in range(n - 4)]
    rng.shuffle(sizes)
    return [
        make_text(size, i) if rng.random() < 0.5 else make_binary(size, i)
        for i, size in enumerate(sizes)
    ]


def make_batches(messages: list[str | bytes]) -> Iterator[list[str | bytes]]:
    """What may be in flight at once: this client does not read while it sends, so not too much."""
    batch: list[str | bytes] = []
    room = 65536
    for message in messages:
        if batch and len(message) > room:
            yield batch
            batch, room = [], 65536
        batch.append(message)
        room -= len(message)
    yield batch


@pytest.mark.timeout(240)
def test_ten_thousand_messages_of_all_sizes(echo: wspy.Server) -> None:
    messages = make_messages(1000)
    with connect_sync(echo.url) as client:
        for _ in range(10):
            for batch in make_batches(messages):
                for message in batch:
                    client.send(message)
                for message in batch:
                    assert client.recv(timeout=TIMEOUT) == message
    stats = echo.stats()
    assert stats["received"] == stats["sent"] == 10_000
    assert (stats["dropped_received"], stats["dropped_sent"]) == (0, 0)


def test_many_asyncio_clients_at_once(echo: wspy.Server) -> None:
    async def one(seed: int) -> None:
        async with connect_async(echo.url) as client:
            messages = [make_text(seed * 11 + i * i, seed + i) for i in range(30)]
            for message in messages:
                await client.send(message)
            assert [await client.recv() for _ in messages] == messages

    async def all_of_them() -> None:
        await asyncio.wait_for(asyncio.gather(*(one(i) for i in range(50))), 60)

    asyncio.run(all_of_them())
    assert echo.stats()["opened"] == 50


@pytest.mark.parametrize("size", BORDERS)
def test_a_size_at_a_border(echo: wspy.Server, connect: Connect, size: int) -> None:
    client = connect(echo)
    for message in (make_binary(size), make_text(size, 0), make_text(size, 1)):
        client.echo(message)
    client.echo("still there")


def test_one_byte_over_the_largest_message(servers: Servers, connect: Connect) -> None:
    server = servers.run(max_message_size=1000)
    client = connect(server)
    client.send_raw(frame(BINARY, bytes(1001)))
    assert client.expect_close() == (1009, "the message is too big")


@pytest.mark.parametrize("size", [125, 126, 1000, 65536])
def test_a_small_largest_message(servers: Servers, connect: Connect, size: int) -> None:
    server = servers.run(max_message_size=size, on_message=lambda conn, m: conn.send(m))
    client = connect(server)
    client.echo(make_binary(size))
    client.send_raw(frame(BINARY, make_binary(size + 1)))
    assert client.expect_close()[0] == 1009


def test_types_of_text_and_binary(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    expected: list[str | bytes] = [
        "",
        b"",
        "ascii",
        "Grüße",
        "世界",
        "🎉",
        "\x00",
        b"\x00\xff",
        "é",
        "\x7f\x80",
        "a" * 300_000,
        "é" * 150_000,
        bytes(300_000),
    ]
    for message in expected:
        client.send(message)
    for message in expected:
        got = get(recorder.messages)
        assert type(got) is type(message)
        assert got == message


def test_fragments(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo)
    client.send_raw(
        frame(TEXT, "Gr", fin=False),
        frame(CONTINUATION, "ü".encode()[:1], fin=False),
        frame(CONTINUATION, "ü".encode()[1:], fin=False),
        frame(CONTINUATION, b"", fin=False),
        frame(CONTINUATION, "ße"),
        frame(BINARY, b"", fin=False),
        frame(CONTINUATION, b""),
        frame(BINARY, bytes(100_000), fin=False),
        frame(CONTINUATION, bytes(100_000)),
    )
    assert client.receive() == "Grüße"
    assert client.read_frame() == Frame(BINARY, b"")
    assert client.receive() == bytes(200_000)


def test_a_hundred_thousand_fragments(echo: wspy.Server, connect: Connect) -> None:
    n = 100_000
    client = connect(echo)
    middle = frame(CONTINUATION, b"a", fin=False) * (n - 2)
    client.send_raw(frame(TEXT, b"a", fin=False), middle, frame(CONTINUATION, b"a"))
    assert client.receive() == "a" * n


def test_too_many_fragments(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo)
    client.send_raw(frame(TEXT, b"", fin=False), frame(CONTINUATION, b"", fin=False) * 131_072)
    assert client.expect_close() == (1009, "the message has too many fragments")
