"""A hostile client's patience: many, slow or greedy, at what cost for the server and for others."""

from __future__ import annotations

import contextlib
import random
import select
import socket

import pytest
from server_process import ServerProcess, serve
from support import (
    BINARY,
    CONTINUATION,
    MIB,
    PING,
    PONG,
    TEXT,
    TIMEOUT,
    Client,
    Frame,
    binary,
    close_frame,
    frame,
    mask_bytes,
    text,
    upgrade_request,
    wait_until,
)

from wspy.options import Strategy

# -- in small pieces --


def test_a_message_in_segments_of_one_byte(target: ServerProcess) -> None:
    payload = random.Random(1).randbytes(5000)
    with target.open() as client, target.grows_less_than(1024):
        for byte in binary(payload):
            client.send_raw(bytes([byte]))
        assert client.receive() == payload


def test_fragments_of_one_byte(target: ServerProcess) -> None:
    """A hundred thousand: one buffer, whatever the number of its fragments."""
    n = 100_000
    with target.open() as client, target.grows_less_than(2048):
        client.send_raw(frame(TEXT, "a", fin=False))
        client.send_raw(frame(CONTINUATION, "a", fin=False) * (n - 2))
        client.send_raw(frame(CONTINUATION, "a"))
        assert client.receive() == "a" * n


def test_fragments_of_nothing(target: ServerProcess) -> None:
    n = 100_000
    with target.open() as client, target.grows_less_than(1024):
        client.send_raw(frame(BINARY, fin=False), frame(CONTINUATION, fin=False) * (n - 2))
        client.send_raw(frame(CONTINUATION))
        assert client.read_frame() == Frame(BINARY, b"")


def test_fragments_of_growing_size(target: ServerProcess) -> None:
    sizes = [2**i for i in range(19)]
    parts = [bytes([i]) * size for i, size in enumerate(sizes)]
    with target.open() as client:
        client.send_raw(frame(BINARY, fin=False))
        client.send_raw(*(frame(CONTINUATION, part, fin=False) for part in parts))
        client.send_raw(frame(CONTINUATION))
        assert client.receive() == b"".join(parts)


def test_every_size_of_segment(target: ServerProcess) -> None:
    """Messages of all sizes as one stream, cut where chance will have it."""
    rng = random.Random(2)
    messages = [rng.randbytes(rng.choice([0, 1, 5, 125, 126, 300, 70_000])) for _ in range(60)]
    stream = b"".join(binary(m) for m in messages)
    with target.open() as client:
        at = 0
        while at < len(stream):
            size = rng.choice([1, 2, 3, 7, 100, 1460, 16_384, 50_000])
            client.send_raw(stream[at : at + size])
            at += size
        for message in messages:
            assert client.receive() == message


# -- never finished --


def half_open(target: ServerProcess, data: bytes, n: int) -> list[Client]:
    clients = []
    for _ in range(n):
        client = target.open()
        client.send_raw(data)
        clients.append(client)
    return clients


HALVES: dict[str, bytes] = {
    "one byte of a header": text("x" * 200)[:1],
    "a header": text("x" * 200)[:8],
    "a header of a mebibyte": frame(BINARY, announce=MIB),
    "one byte of a mebibyte": frame(BINARY, "x", announce=MIB),
    "17 KB of a mebibyte": frame(BINARY, bytes(17_000), announce=MIB),  # its object is made
    "one fragment": frame(TEXT, "x", fin=False),
    "a header of a ping": frame(PING, "x" * 100)[:6],
    "half a close": close_frame(1000)[:-1],
}


@pytest.mark.parametrize("name", HALVES)
def test_a_hundred_that_never_finish(target: ServerProcess, name: str) -> None:
    """Each costs what it has sent, and little more."""
    data = HALVES[name]
    with target.grows_less_than(100 * (2 * len(data) + 10_000) // 1024):
        clients = half_open(target, data, 100)
        target.check_honest()
    for client in clients:
        client.socket.close()


def test_a_message_has_to_come_to_its_end(strategy: Strategy) -> None:
    """In message_timeout: who sends a little again and again is given up like who sends no more."""
    goes_on = {
        frame(TEXT, "x", fin=False): frame(CONTINUATION, "x", fin=False),
        frame(BINARY, announce=MIB): b"x",
        frame(TEXT, "y", fin=False): frame(PONG),
    }
    with serve(strategy, message_timeout=0.2, control_rate=None) as server:
        clients = {server.open(): more for more in [*goes_on.values(), *[b""] * len(HALVES)]}
        for client, data in zip(clients, [*goes_on, *HALVES.values()], strict=True):
            client.send_raw(data)
        while clients:
            server.check_honest()
            ready, _, _ = select.select([client.socket for client in clients], [], [], 0.02)
            for client, more in list(clients.items()):
                if client.socket not in ready:
                    client.send_raw(more)
                    continue
                assert client.expect_close() == (1008, "the message took too long")
                client.expect_end()
                client.socket.close()
                del clients[client]


# -- never read --


def test_answers_that_are_never_read(target: ServerProcess) -> None:
    """The server reads no more from a peer that takes nothing: both are stopped by the kernel."""
    stream = memoryview(text("x" * 10_000) * 4000)
    sent = [0] * 3
    still = 0
    with contextlib.ExitStack() as stack, target.grows_less_than(len(sent) * 4096):
        clients = [stack.enter_context(Client(target.url, receive_buffer=4096)) for _ in sent]
        for client in clients:
            client.socket.setblocking(False)
        while still < 20:  # turns of the server in which nobody could send
            still += 1
            for i, client in enumerate(clients):
                with contextlib.suppress(BlockingIOError):
                    sent[i] += client.socket.send(stream[sent[i] :])
                    still = 0
                assert sent[i] < len(stream)
            target.witness.echo("meanwhile")
        for client in clients:
            client.reset()


def test_who_takes_nothing_is_given_up(strategy: Strategy) -> None:
    with serve(strategy, stall_timeout=0.3) as server:
        with Client(server.url, receive_buffer=4096) as client:
            with pytest.raises(ConnectionError):
                while True:
                    client.send_raw(text("x" * 100_000))
            wait_until(lambda: server.stats()["closed"] == 1)
        server.check_honest()


def test_answers_that_are_read_late(target: ServerProcess) -> None:
    """Who reads in the end gets all, in order."""
    n = 1000
    stream = memoryview(b"".join(text(f"{i:05}" * 2000) for i in range(n)))
    with Client(target.url, receive_buffer=4096) as client:
        sent = received = 0
        while received < n:
            client.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while sent < len(stream):
                    sent += client.socket.send(stream[sent:])
            client.socket.settimeout(TIMEOUT)
            whole = sent // (len(stream) // n)  # messages
            for _ in range(min(100, whole - received)):
                assert client.receive() == f"{received:05}" * 2000
                received += 1


# -- many, and gone at once --


def connect_only(target: ServerProcess) -> None:
    target.client().socket.close()


def connect_and_reset(target: ServerProcess) -> None:
    target.client().reset()


def ask_and_reset(target: ServerProcess) -> None:
    client = target.client()
    client.send_raw(client.request())
    client.reset()


def half_ask(target: ServerProcess) -> None:
    client = target.client()
    client.send_raw(client.request()[:50])
    client.socket.close()


def ask_wrong(target: ServerProcess) -> None:
    client = target.client()
    client.send_raw(b"garbage\r\n\r\n")
    client.socket.close()


def open_and_close(target: ServerProcess) -> None:
    with target.open() as client:
        assert client.close() == (1000, "")


def open_and_go(target: ServerProcess) -> None:
    target.open().socket.close()


def open_and_reset(target: ServerProcess) -> None:
    client = target.open()
    client.send_raw(text("x" * 1000))
    client.reset()


CHURNS = [connect_only, connect_and_reset, ask_and_reset, half_ask, ask_wrong,
          open_and_close, open_and_go, open_and_reset]  # fmt: skip


@pytest.mark.parametrize("name", [churn.__name__ for churn in CHURNS])
def test_connections_that_come_and_go(target: ServerProcess, name: str) -> None:
    churn = next(c for c in CHURNS if c.__name__ == name)
    for i in range(200):
        churn(target)
        if i % 50 == 0:
            target.witness.echo("meanwhile")


def test_churn_of_all_kinds(target: ServerProcess) -> None:
    rng = random.Random(3)
    with target.grows_less_than(4096):
        for _ in range(500):
            rng.choice(CHURNS)(target)


def test_many_that_connect_before_one_asks(target: ServerProcess) -> None:
    """A burst that fills the queue of connections."""
    clients = [target.client() for _ in range(300)]
    target.witness.echo("meanwhile")
    for client in reversed(clients):
        client.send_raw(client.request(), text("hello"))
    for client in clients:
        client.check_upgrade()
        assert client.receive() == "hello"
        client.reset()


@pytest.mark.parametrize("strategy", ["poll", "epoll"])
def test_a_reset_while_reading_pauses(strategy: Strategy) -> None:
    """It ends the connection at once: a poller tells of it again and again, watched or not.

    select only tells of what can be read or written: there the end is seen when the pause is over.
    """
    with serve(strategy, byte_rate=1000, rate_policy="pause") as server:
        client = server.open()
        client.send_raw(text("first"), binary(bytes(60_000)))
        assert client.receive() == "first"  # what came with it has to be made good for a minute
        client.reset()
        wait_until(lambda: server.stats()["closed"] == 1)


# -- garbage --


def test_random_bytes(target: ServerProcess) -> None:
    """Whatever comes back is a refusal, or a close frame: the strict client reads the rest."""
    rng = random.Random(4)
    for _ in range(100):
        with target.client() as client:
            client.send_raw(rng.randbytes(rng.randrange(1, 300)))
            client.shutdown()
            answer = client.read_all()
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


def test_a_request_with_one_byte_changed(target: ServerProcess) -> None:
    """No change lets in what the accept key, the strict client or the status line would not."""
    rng = random.Random(5)
    request = upgrade_request(target.host)
    statuses = {101, 400, 403, 405, 421, 426, 505}
    for at in range(len(request)):
        changed = bytearray(request)
        changed[at] ^= 1 << rng.randrange(8)
        with target.client() as client:
            client.send_raw(bytes(changed))
            client.shutdown()
            answer = client.read_all()
            assert answer == b"" or int(answer.split(b" ")[1]) in statuses


def test_random_frames(target: ServerProcess) -> None:
    """Random headers in front of random payloads: a strict client understands all that comes."""
    rng = random.Random(6)
    codes = set()
    for _ in range(300):
        key = rng.randbytes(4)
        payload = rng.randbytes(rng.choice([0, 1, 2, 5, 125]))
        opcode = rng.choice([0, 1, 2, 8, 9, 10, rng.randrange(16)])
        first = rng.choice([0, 0x80, 0x80]) | rng.choice([0, 0, 0, 0x40]) | opcode
        data = bytes([first, 0x80 | len(payload)]) + key + mask_bytes(payload, key)
        with target.open() as client:
            client.send_raw(data)
            client.shutdown()
            stream = client.read_all()
            client.buffer += stream
            while client.buffer:
                got = client.read_frame()
                if got.opcode == 8:
                    codes.add(int.from_bytes(got.payload[:2], "big"))
                    assert not client.buffer
    assert {1002, 1007} <= codes


def test_urgent_data(target: ServerProcess) -> None:
    """One byte out of band is not in the stream."""
    with target.open() as client:
        client.socket.send(b"!", socket.MSG_OOB)
        client.echo("hello")
