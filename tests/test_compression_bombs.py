"""Compressed messages that say far more than they are: memory stays bounded, and others are served.

The server is in a process of its own, whose memory is read; max_message_size is 1 MiB.
"""

from __future__ import annotations

import contextlib
import functools
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from compressed import LONG, TAIL, DeflateClient
from server_process import ServerProcess, serve
from support import BINARY, CONTINUATION, MIB, PING, PONG, STRATEGIES, frame

from wspy.options import Strategy

GIB = 1024 * MIB
# What a connection may hold of a message, with what the allocator keeps beside it.
ONE = 4 * 1024  # KiB


@pytest.fixture(scope="module", params=STRATEGIES)
def shared_target(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    strategy: Strategy = request.param
    with serve(strategy, compression=True) as server:
        yield server


@pytest.fixture
def target(shared_target: ServerProcess) -> Iterator[ServerProcess]:
    """Whatever the test does to it, honest clients are served after it."""
    yield shared_target
    shared_target.check_honest()


@functools.cache
def gigabyte() -> bytes:
    """1 GiB of zeros, about 1 MiB of payload."""
    codec = zlib.compressobj(9, wbits=-15)
    zeros = bytes(MIB)
    payload = b"".join(codec.compress(zeros) for _ in range(GIB // MIB))
    payload += codec.flush(zlib.Z_SYNC_FLUSH)
    assert payload.endswith(TAIL)
    assert len(payload) < 1_100_000
    return payload[:-4]


@functools.cache
def whole() -> bytes:
    return frame(BINARY, gigabyte(), rsv=4)


@functools.cache
def in_fragments(n: int) -> bytes:
    """The same in n frames, with a ping now and then."""
    payload = gigabyte()
    size = -(-len(payload) // n)
    pieces = [payload[i : i + size] for i in range(0, len(payload), size)]
    frames = [frame(BINARY, pieces[0], fin=False, rsv=4)]
    frames += [frame(CONTINUATION, piece, fin=False) for piece in pieces[1:-1]]
    frames.append(frame(CONTINUATION, pieces[-1]))
    return b"".join(frames)


def send_until_closed(client: DeflateClient, data: bytes) -> tuple[int | None, str]:
    """The server may have closed before all of it has gone."""
    with contextlib.suppress(ConnectionError):
        client.send_raw(data)
    return client.expect_close()


def explode(target: ServerProcess, data: bytes) -> None:
    with DeflateClient(target.url) as client:
        assert send_until_closed(client, data) == (1009, "the message is too big")


def check_served(target: ServerProcess) -> None:
    with DeflateClient(target.url) as client:
        for _ in range(20):
            client.send_packed(LONG)
            assert client.receive() == LONG
        assert client.close() == (1000, "")


@pytest.mark.parametrize("n", [1, 1000])
def test_a_gigabyte_of_zeros(target: ServerProcess, n: int) -> None:
    data = whole() if n == 1 else in_fragments(n)
    with target.grows_less_than(2 * ONE):
        for _ in range(3):
            explode(target, data)


@pytest.mark.parametrize("n", [1, 1000])
def test_twenty_at_once(target: ServerProcess, n: int) -> None:
    """An honest client is served meanwhile."""
    data = whole() if n == 1 else in_fragments(n)
    with target.grows_less_than(20 * ONE), ThreadPoolExecutor(21) as pool:
        bombs = [pool.submit(explode, target, data) for _ in range(20)]
        check_served(target)
        for bomb in bombs:
            bomb.result()


def test_a_bomb_that_never_ends(target: ServerProcess) -> None:
    """100 that stop right before the limit: what each holds is what its message may have."""
    codec = zlib.compressobj(9, wbits=-15)
    payload = codec.compress(bytes(MIB - 1)) + codec.flush(zlib.Z_SYNC_FLUSH)
    start = frame(BINARY, payload, fin=False, rsv=4)
    # Small as it is, it is not inflated before its end: nothing of it is held but what came.
    with target.grows_less_than(ONE):
        clients = [DeflateClient(target.url) for _ in range(100)]
        for client in clients:
            client.send_raw(start + frame(PING, b"ping"))
        for client in clients:
            assert client.read_any_frame() == (PONG, 0, True, b"ping")
        check_served(target)
    for client in clients:
        client.socket.close()


def test_many_small_bombs(target: ServerProcess) -> None:
    """Each is a kilobyte that says a megabyte, as large as it may be: they come a few at a time."""
    codec = zlib.compressobj(9, wbits=-15)
    payload = codec.compress(bytes(MIB)) + codec.flush(zlib.Z_SYNC_FLUSH)
    bomb = frame(BINARY, payload[:-4], rsv=4)
    with target.grows_less_than(24 * 1024), DeflateClient(target.url) as client:
        # Every one is echoed, a little shorter than it came.
        for _ in range(3):
            client.send_raw(bomb * 30)
            for _ in range(30):
                assert client.receive() == bytes(MIB)


def test_half_a_million_final_blocks(target: ServerProcess) -> None:
    """Empty blocks, each with BFINAL, cost no more than their bytes."""
    payload = b"\x03\x00" * 500_000
    with target.grows_less_than(2 * ONE), DeflateClient(target.url) as client:
        client.send_raw(frame(BINARY, payload + b"\x00", rsv=4))
        assert client.receive() == b""


def test_many_empty_stored_blocks(target: ServerProcess) -> None:
    payload = b"\x00\x00\x00\xff\xff" * 200_000
    with target.grows_less_than(2 * ONE), DeflateClient(target.url) as client:
        client.send_raw(frame(BINARY, payload + b"\x00", rsv=4))
        assert client.receive() == b""


def test_fragments_of_one_byte(target: ServerProcess) -> None:
    codec = zlib.compressobj(0, wbits=-15)
    payload = codec.compress(bytes(60_000)) + codec.flush(zlib.Z_SYNC_FLUSH)
    pieces = [payload[i : i + 1] for i in range(len(payload) - 4)]
    frames = [frame(BINARY, pieces[0], fin=False, rsv=4)]
    frames += [frame(CONTINUATION, piece, fin=False) for piece in pieces[1:]]
    with target.grows_less_than(2 * ONE), DeflateClient(target.url) as client:
        client.send_raw(b"".join(frames), frame(CONTINUATION, b""))
        assert client.receive() == bytes(60_000)
