"""permessage-deflate (RFC 7692): what is agreed on, what is compressed, and who reads it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from compressed import LONG, OFFER, TAIL, DeflateClient, compress, inflate
from conftest import Servers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import (
    BINARY,
    CONTINUATION,
    EFFORT,
    PING,
    PONG,
    TEXT,
    Client,
    Gate,
    Recorder,
    frame,
    get,
    make_binary,
    make_text,
    wait,
    wait_until,
)

import wspy
from wspy import Compression

NO_S, NO_C = "; server_no_context_takeover", "; client_no_context_takeover"
S_BITS, C_BITS = "; server_max_window_bits", "; client_max_window_bits"
USUAL = f"{OFFER}{NO_S}{NO_C}{S_BITS}=12"

TAKEOVER = Compression(
    server_no_context_takeover=False, client_no_context_takeover=False, threshold=0
)
ALONE = Compression(threshold=0)
BOTH = [pytest.param(ALONE, id="alone"), pytest.param(TAKEOVER, id="takeover")]

MakeClient = Callable[..., DeflateClient]


@pytest.fixture
def join(servers: Servers) -> Iterator[MakeClient]:
    """Makes clients, which are closed before the servers are stopped."""
    clients: list[DeflateClient] = []

    def make(*arguments: Any, **options: Any) -> DeflateClient:
        clients.append(DeflateClient(*arguments, **options))
        return clients[-1]

    yield make
    for client in clients:
        client.socket.close()


def run_echo(servers: Servers, compression: bool | Compression, **options: Any) -> wspy.Server:
    return servers.run(
        compression=compression, on_message=lambda conn, message: conn.send(message), **options
    )


# -- what is agreed on --

ANY = Compression(
    window_bits=15, server_no_context_takeover=False, client_no_context_takeover=False
)
SMALL = Compression(
    window_bits=10, server_no_context_takeover=False, client_no_context_takeover=False
)
ANSWERS: list[tuple[bool | Compression, str, str | None]] = [
    (False, OFFER, None),
    (True, "x-webkit-deflate-frame", None),
    (True, OFFER, USUAL),
    (True, OFFER + C_BITS, USUAL),
    (True, OFFER + S_BITS + "=9", f"{OFFER}{NO_S}{NO_C}{S_BITS}=9"),
    (ANY, OFFER, OFFER),
    (ANY, OFFER + NO_S, OFFER + NO_S),
    (ANY, OFFER + NO_C + S_BITS + '="10"', f"{OFFER}{NO_C}{S_BITS}=10"),
    (ANY, OFFER + C_BITS, f"{OFFER}{C_BITS}=15"),
    (ANY, OFFER + C_BITS + "=8", f"{OFFER}{C_BITS}=8"),
    (SMALL, OFFER + C_BITS, f"{OFFER}{S_BITS}=10{C_BITS}=10"),
    (SMALL, OFFER + C_BITS + "=9", f"{OFFER}{S_BITS}=10{C_BITS}=9"),
    (ANY, f"foo, {OFFER}; x, {OFFER}{NO_S}, {OFFER}", OFFER + NO_S),
    *((True, OFFER + wrong, None) for wrong in (
        S_BITS, S_BITS + "=8", S_BITS + "=16", S_BITS + "=-1", S_BITS + "=09",
        S_BITS + "=999", NO_S + "=1", NO_S + NO_S, C_BITS + "=7", C_BITS + "=16", "; unknown",
        S_BITS + "=9" + S_BITS + "=9",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("compression", "offer", "answer"), ANSWERS, ids=range(len(ANSWERS)))
def test_answers(
    servers: Servers,
    join: MakeClient,
    compression: bool | Compression,
    offer: str,
    answer: str | None,
) -> None:
    server = servers.make(compression=compression)
    recorder = Recorder(server, echo=True)
    servers.start(server)
    client = join(server, offer)
    assert client.answer == answer
    conn = get(recorder.opened)
    if answer is None:
        assert conn.compression is None
        client.send(LONG)
    else:
        assert set((conn.compression or "").split("; ")) == set(
            answer.replace(f"{S_BITS}=15", "").replace(f"{C_BITS}=15", "").split("; ")
        )
        client.send_packed(LONG)
    message = client.receive_message()
    assert (message.value, message.compressed) == (LONG, answer is not None)
    assert client.close() == (1000, "")
    get(recorder.closed)
    assert (conn.compression is None) == (answer is None)


def test_several_fields(servers: Servers) -> None:
    server = servers.run(compression=ANY)
    fields = ["foo; bar", f"{OFFER}{S_BITS}=8", f"{OFFER}{NO_C}"]
    with Client(server, handshake=False) as client:
        client.send_raw(client.request("/", [("Sec-WebSocket-Extensions", v) for v in fields]))
        status, _, headers = client.read_head()
        assert (status, headers["Sec-WebSocket-Extensions"]) == (101, OFFER + NO_C)


@pytest.mark.parametrize(
    "value",
    ["=", f"{OFFER};", f'{OFFER}{S_BITS}="9', f'{OFFER}{S_BITS}=""', f"{OFFER} {OFFER}"],
)
def test_a_malformed_list(servers: Servers, value: str) -> None:
    """RFC 6455 section 9.1: the connection fails; without compression nobody looks."""
    for compression, expected in ((True, 400), (False, 101)):
        server = servers.run(compression=compression)
        with Client(server, handshake=False) as client:
            client.send_raw(client.request("/", [("Sec-WebSocket-Extensions", value)]))
            assert client.read_head()[0] == expected


# -- messages --

MESSAGES: list[str | bytes] = [
    "", "a", LONG, b"", b"\0" * 70000, make_text(5000, 1), make_text(200_000), make_binary(3000),
    make_binary(300_000, 2), "", "", LONG, LONG, json.dumps(list(range(3000))),
]  # fmt: skip


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_echo(servers: Servers, join: MakeClient, compression: Compression, bits: int) -> None:
    server = run_echo(servers, compression)
    client = join(server, f"{OFFER}{S_BITS}={bits}{C_BITS}")
    for message in MESSAGES:
        client.send_packed(message)
        assert client.receive() == message
        client.send_packed(message, [0, 1, 5, 100])
        assert client.receive() == message
        client.send(message)
        assert client.receive() == message
    stats = server.stats()
    assert stats["received_compressed"] == 2 * len(MESSAGES)
    assert stats["received"] == stats["sent"] == 3 * len(MESSAGES)
    assert stats["compressions"] == 3 * len(MESSAGES)
    # Without takeover what gets no shorter goes plain.
    plain = 0 if compression is TAKEOVER else 3 * sum(len(m) < 2 for m in MESSAGES)
    plain += 0 if compression is TAKEOVER else 6
    assert stats["sent_compressed"] == stats["sent"] - plain


def test_takeover_is_worth_it(servers: Servers, join: MakeClient) -> None:
    """Without it each message costs as much as the first."""
    sizes: dict[Compression, list[int]] = {}
    for compression in ALONE, TAKEOVER:
        server = run_echo(servers, compression)
        client = join(server)
        for _ in range(3):
            client.send_packed(make_text(2000, 1))
            message = client.receive_message()
            assert message.compressed
            sizes.setdefault(compression, []).append(len(message.frames[0]))
    first, second, third = sizes[ALONE]
    assert first == second == third
    first, second, third = sizes[TAKEOVER]
    assert max(second, third) < first / 10


@pytest.mark.parametrize("compression", BOTH)
def test_control_frames_between_fragments(
    servers: Servers, join: MakeClient, compression: Compression
) -> None:
    client = join(run_echo(servers, compression))
    client.send_raw(client.make_packed(LONG, [10, 0, 20], between=frame(PING, b"amid")))
    for _ in range(3):
        assert client.read_any_frame() == (PONG, 0, True, b"amid")
    assert client.receive() == LONG


def go(
    server: wspy.Server,
    servers: Servers,
    join: MakeClient,
    send: Callable[[wspy.Connection], None],
    posted: bool,
) -> DeflateClient:
    """A client of "all" to whose connection that is sent: in a handler, or from another thread."""
    ready: queue.Queue[wspy.Connection] = queue.Queue()
    server.on_open(lambda conn: conn.subscribe("all"))
    server.on_message(lambda conn, message: ready.put(conn) if posted else send(conn))
    servers.start(server)
    client = join(server)
    client.send("go")
    if posted:
        send(get(ready))
    return client


@pytest.mark.parametrize("posted", [False, True])
def test_threshold_and_choice(servers: Servers, join: MakeClient, posted: bool) -> None:
    """None: from the threshold on; True and False whatever the size."""
    server = servers.make(compression=Compression(threshold=300))
    texts = ["x" * 299, "x" * 300, "é" * 149 + "x", "é" * 150]

    def send(conn: wspy.Connection) -> None:
        for data in texts:
            for choice in None, True, False:
                conn.send(data, compress=choice)
                conn.send_json(data, compress=choice)
                server.publish("all", data, compress=choice)
                conn.publish("all", "not to itself", compress=choice)
                server.publish_json("all", data, compress=choice)
                server.broadcast(data, compress=choice)

    client = go(server, servers, join, send, posted)
    for data in texts:
        for choice in None, True, False:
            for of_json in False, True, False, True, False:
                message = client.receive_message()
                value = json.dumps(data, ensure_ascii=False) if of_json else data
                assert message.value == value
                size = len(value.encode())
                assert message.compressed == (size >= 300 if choice is None else choice)


@pytest.mark.parametrize("value", [0, 1, "yes", b""])
def test_a_wrong_choice(servers: Servers, join: MakeClient, value: Any) -> None:
    server = servers.make(compression=True)
    recorder = Recorder(server)
    servers.start(server)
    join(server)
    conn = get(recorder.opened)
    calls: list[Callable[[], object]] = [
        lambda: conn.send("x", compress=value),
        lambda: conn.send_json("x", compress=value),
        lambda: conn.pack("B", 1, compress=value),
        lambda: conn.publish("x", "x", compress=value),
        lambda: conn.stream(compress=value),
        lambda: server.publish("x", "x", compress=value),
        lambda: server.publish_json("x", "x", compress=value),
        lambda: server.publish_packed("x", "B", 1, compress=value),
        lambda: server.broadcast("x", compress=value),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"^compress must be a bool or None, not "):
            call()


@pytest.mark.parametrize("posted", [False, True])
def test_the_choice_for_records(servers: Servers, join: MakeClient, posted: bool) -> None:
    server = servers.make(compression=Compression(threshold=300))
    records = [(bytes(n), f"{n}s") for n in (299, 300)]

    def send(conn: wspy.Connection) -> None:
        for value, format in records:
            for choice in None, True, False:
                conn.pack(format, value, compress=choice)
                server.publish_packed("all", format, value, compress=choice)

    client = go(server, servers, join, send, posted)
    for value, _ in records:
        for choice in None, True, False:
            for _ in "pack", "publish_packed":
                message = client.receive_message()
                assert message.value == value
                assert message.compressed == (len(value) >= 300 if choice is None else choice)


@pytest.mark.parametrize("choice", [True, False])
def test_a_guess_beside_a_secret(servers: Servers, join: MakeClient, choice: bool) -> None:
    """With takeover a right guess is short, even in another message: but not if that went plain."""
    server = servers.make(compression=TAKEOVER)
    secret, wrong = (make_binary(16, seed).hex() for seed in (1, 2))

    @server.on_message
    def answer(conn: wspy.Connection, guess: str | bytes) -> None:
        conn.send(secret, compress=choice)
        conn.send(guess)

    servers.start(server)
    sizes = []
    for guess in secret, wrong:
        client = join(server)
        client.send(guess)
        assert client.receive() == secret
        message = client.receive_message()
        assert (message.value, message.compressed) == (guess, True)
        sizes.append(len(message.frames[0]))
    right, other = sizes
    assert right < 8 if choice else right > 20
    assert other > 20


def test_nothing_was_agreed_on(servers: Servers, join: MakeClient) -> None:
    """compress=True is a wish."""
    server = servers.run(
        compression=True, on_message=lambda conn, message: conn.send(message, compress=True)
    )
    client = join(server, None)
    client.send(LONG)
    message = client.receive_message()
    assert (message.value, message.compressed) == (LONG, False)
    assert server.stats()["compressions"] == 0


# -- messages in parts --


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("choice", [None, True, False])
def test_stream(
    servers: Servers, join: MakeClient, compression: Compression, choice: bool | None
) -> None:
    server = servers.make(compression=compression)

    @server.on_message
    def answer(conn: wspy.Connection, message: str | bytes) -> None:
        with conn.stream(text=True, compress=choice) as stream:
            stream.write(LONG)
            conn.send("behind")
            stream.write(LONG)
            stream.write(LONG)
            conn.ping(b"amid")
        with conn.stream(compress=choice) as stream:
            pass
        conn.send(LONG)

    servers.start(server)
    client = join(server)
    for _ in range(2):
        client.send("go")
        assert client.read_any_frame() == (PING, 0, True, b"amid")
        message = client.receive_message()
        assert (message.value, message.compressed) == (LONG * 3, choice is not False)
        assert len(message.frames) == 4
        assert client.receive() == "behind"
        message = client.receive_message()
        assert (message.value, message.compressed) == (b"", choice is not False)
        assert client.receive() == LONG


# -- messages for many --


def test_published_once(servers: Servers, join: MakeClient) -> None:
    """Once for each window, whoever takes over a context; never for those that get it plain."""
    server = servers.make(compression=TAKEOVER)
    recorder = Recorder(server)
    servers.start(server)
    offers = [OFFER, OFFER + NO_S, f"{OFFER}{S_BITS}=9", f"{OFFER}{S_BITS}=9{NO_S}{NO_C}", None]
    clients = [join(server, offer) for offer in offers for _ in range(5)]
    for _ in clients:
        get(recorder.opened).subscribe("news")
    for i in range(4):
        before = server.stats()
        text = make_text(1000 + 3000 * i, i)
        assert server.publish("news", text) == 25
        for client in clients:
            message = client.receive_message()
            assert (message.value, message.compressed) == (text, client.agreed is not None)
        after = server.stats()
        assert after["compressions"] - before["compressions"] == 2
        assert after["sent_compressed"] - before["sent_compressed"] == 20
        for j, conn in enumerate(server.connections):
            conn.send(text[: 500 + j])
        for j, client in enumerate(clients):
            assert client.receive() == text[: 500 + j]


def test_published_from_another_thread(servers: Servers, join: MakeClient) -> None:
    server = servers.make(compression=True)
    recorder = Recorder(server)
    servers.start(server)
    clients = [join(server) for _ in range(10)]
    conns = [get(recorder.opened) for _ in clients]
    big = make_binary(20_000).hex()
    for text in LONG, big, "short":
        server.broadcast(text)
        for conn in conns:
            conn.send(text, compress=text != big)
        for client in clients:
            messages = [client.receive_message() for _ in range(2)]
            assert [m.value for m in messages] == [text, text]
            assert [m.compressed for m in messages] == [text != "short", text == LONG]
    # Each broadcast once; what was sent once for each; "short" gets no shorter.
    assert server.stats()["compressions"] == 2 + 10 + 10


def test_many_threads(servers: Servers, join: MakeClient, fast_switches: None) -> None:
    """Each client gets what each thread sent, in its order, whatever it shares with others."""
    server = servers.make(compression=TAKEOVER)
    recorder = Recorder(server)
    servers.start(server)
    clients = [join(server, offer) for offer in (OFFER, OFFER + NO_S) for _ in range(2)]
    conns = [get(recorder.opened) for _ in clients]

    def work(name: int) -> None:
        for i in range(50):
            server.broadcast(f"{name} {i} {LONG}")
            for conn in conns:
                conn.send(f"{name} {i} again {LONG}", compress=i % 3 != 0)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    expected = [f"{i}{again}" for i in range(50) for again in ("", " again")]
    for client in clients:
        got: dict[str, list[str]] = {"0": [], "1": [], "2": []}
        for _ in range(300):
            text = client.receive()
            assert isinstance(text, str)
            assert text.endswith(LONG)
            name, _, rest = text[: -len(LONG) - 1].partition(" ")
            got[name].append(rest)
        assert got == dict.fromkeys(got, expected)
    for thread in threads:
        thread.join()


# -- a slow peer --


@contextmanager
def stalled(
    servers: Servers, join: MakeClient, compression: Compression, **options: Any
) -> Iterator[tuple[DeflateClient, wspy.Connection]]:
    """A client that has read nothing of what was sent, so that its queue grows."""
    server = servers.make(compression=compression, **options)
    recorder = Recorder(server)
    servers.start(server)
    client = join(server, receive_buffer=4096)
    yield client, get(recorder.opened)


def noise(i: int) -> str:
    """Text of 20,000 bytes that gets no shorter than the half, with a number."""
    return f"{i:08}" + make_binary(9996, i).hex()


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("policy", ["drop-oldest", "drop-newest"])
def test_policies_drop_what_is_not_sealed(
    servers: Servers, join: MakeClient, compression: Compression, policy: str
) -> None:
    """Whatever was dropped, the rest is read: no message refers to one that did not come."""
    options = {"backlog_policy": policy, "max_backlog": 300_000, "high_water": 100_000}
    with stalled(servers, join, compression, **options) as (client, conn):
        numbers, sent = range(1000), threading.Event()
        dropped = []  # before and behind each message

        def send_all() -> None:  # on the loop's thread: there it is judged at once
            for i in numbers:
                dropped.append(conn.dropped)
                conn.send(noise(i))
            dropped.append(conn.dropped)
            conn.close(1000, "done")
            sent.set()

        conn.server.call_soon(send_all)
        wait(sent)
        got = []
        while True:
            message = client.receive_message() if client.peek() < 8 else None
            if message is None:
                break
            assert message.compressed
            assert isinstance(message.value, str)
            number = int(message.value[:8])
            assert message.value == noise(number)
            got.append(number)
        assert client.expect_close() == (1000, "done")
    assert got == sorted(got)
    assert conn.dropped == len(numbers) - len(got) > 50
    if policy == "drop-oldest":
        assert got[-1] == numbers[-1]
    else:  # the ones that were counted as dropped when they were sent
        assert got == [i for i in numbers if dropped[i] == dropped[i + 1]]


@pytest.mark.parametrize("compression", BOTH)
def test_keys_replace_what_is_not_sealed(
    servers: Servers, join: MakeClient, compression: Compression
) -> None:
    with stalled(servers, join, compression, max_backlog=None) as (client, conn):
        sent = threading.Event()

        def fill() -> None:
            for _ in range(600):
                conn.send(noise(500), compress=False)
            conn.server.call_soon(send_all)

        def send_all() -> None:  # behind a flush, which has told that the peer is slow
            for i in range(500):
                conn.send(noise(i), key=str(i % 10))
            conn.send("end")
            sent.set()

        conn.server.call_soon(fill)
        wait(sent)
        assert [client.receive() for _ in range(600)] == [noise(500)] * 600
        got = []
        while (value := client.receive()) != "end":
            assert isinstance(value, str)
            number = int(value[:8])
            assert value == noise(number)
            got.append(number)
    assert conn.dropped == 490
    assert got == list(range(490, 500))


def test_the_backlog_counts_what_was_sent(servers: Servers, join: MakeClient) -> None:
    """As it is before it is compressed; then what it has become."""
    gate = Gate()
    server = servers.make(compression=True)
    backlogs = []

    @server.on_message
    def answer(conn: wspy.Connection, message: str | bytes) -> None:
        gate.hold()
        for _ in range(10):
            conn.send("x" * 10_000)
        backlogs.append(conn.backlog)

    servers.start(server)
    client = join(server)
    with gate.held(client):
        pass
    for _ in range(10):
        assert client.receive() == "x" * 10_000
    assert backlogs == [10 * 10_004]
    wait_until(lambda: server.connections[0].backlog == 0)


# -- what hostile peers send --


@pytest.mark.parametrize("rsv", range(8))
@pytest.mark.parametrize("offer", [OFFER, None])
@pytest.mark.parametrize("opcode", [TEXT, CONTINUATION, PING])
def test_reserved_bits(
    servers: Servers, join: MakeClient, rsv: int, offer: str | None, opcode: int
) -> None:
    client = join(run_echo(servers, ALONE), offer)
    payload = compress(b"Hello") if rsv == 4 and opcode == TEXT else b"Hello"
    if opcode == CONTINUATION:
        client.send_raw(frame(TEXT, b"", fin=False))
    client.send_raw(frame(opcode, payload, rsv=rsv))
    if rsv == 0 or (rsv == 4 and offer and opcode == TEXT):
        if opcode == PING:
            assert client.read_any_frame() == (PONG, 0, True, b"Hello")
        else:
            assert client.receive() == "Hello"
    else:
        assert client.answer_close() == (1002, "a reserved bit is set")


BROKEN = {
    "a reserved type of block": b"\x07",
    "text": b"Hello, this is plain",
    "cut short": compress(LONG.encode())[:-3],
    "a distance too far back": b"\x4b\x04\x23\x00",
    "a stored block that is too short": b"\x00\x05\x00\xfa\xffHel",
    "zlib's header": b"\x78\x9c\xf3\x48\xcd\xc9\xc9\x07\x00\x05\x8c\x01\xf5",
}


@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("name", BROKEN)
def test_broken_data(
    servers: Servers, join: MakeClient, compression: Compression, name: str
) -> None:
    server = run_echo(servers, compression)
    client, honest = join(server), join(server)
    client.send_raw(frame(BINARY, BROKEN[name], rsv=4))
    assert client.answer_close() == (1007, "the compressed data is broken")
    honest.send_packed(LONG)
    assert honest.receive() == LONG


@pytest.mark.parametrize("data", [b"\xff", b"\xc3", b"\xed\xa0\x80", LONG.encode() + b"\xf0\x9f"])
def test_compressed_text_is_no_utf8(servers: Servers, join: MakeClient, data: bytes) -> None:
    client = join(run_echo(servers, ALONE))
    client.send_raw(frame(TEXT, compress(data), rsv=4))
    assert client.answer_close()[0] == 1007


@pytest.mark.parametrize("compression", BOTH)
def test_the_limit_counts_what_it_says(
    servers: Servers, join: MakeClient, compression: Compression
) -> None:
    server = run_echo(servers, compression, max_message_size=10_000)
    client = join(server)
    client.send_packed("x" * 10_000)
    assert client.receive() == "x" * 10_000
    client.send_packed("x" * 10_001)
    assert client.answer_close() == (1009, "the message is too big")
    client = join(server)
    client.send_packed(noise_bytes := make_binary(10_000))
    assert client.receive() == noise_bytes
    client.send_raw(frame(BINARY, b"", rsv=4, announce=20_000))
    assert client.answer_close() == (1009, "the message is too big")


def test_many_small_messages_that_grow(servers: Servers, join: MakeClient) -> None:
    """A kilobyte each of which says a megabyte: they come one by one, not all at once."""
    server = servers.make(compression=True)
    recorder = Recorder(server)
    servers.start(server)
    client = join(server)
    payload = compress(b"\0" * 1_000_000, level=9)
    assert len(payload) < 1100
    client.send_raw(frame(BINARY, payload, rsv=4) * 200)
    for _ in range(200):
        assert len(get(recorder.messages)) == 1_000_000
    assert client.close() == (1000, "")


# -- hypothesis --

fixed = settings(
    max_examples=60 * EFFORT,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
lines = st.lists(st.sampled_from(["price", " of ", "gold", "\n", "é", "0123456789", "𝄞"]))
texts = lines.map("".join) | st.text(max_size=200) | st.integers(0, 70_000).map(lambda n: "ab" * n)
messages = st.lists(texts | st.binary(max_size=3000), min_size=1, max_size=5)


@fixed
@given(data=st.data(), payloads=messages)
@pytest.mark.parametrize("compression", BOTH)
@pytest.mark.parametrize("server_kind", ["epoll"])
def test_whatever_is_sent_comes_back(
    servers: Servers, compression: Compression, data: st.DataObject, payloads: list[str | bytes]
) -> None:
    """Python's zlib writes and reads the other side; fragments and segments are cut anywhere."""
    if not servers.threads:
        run_echo(servers, compression)
    server = servers.threads[0].server
    bits = data.draw(st.integers(9, 15))
    with DeflateClient(server, f"{OFFER}{S_BITS}={bits}{C_BITS}={bits}") as client:
        stream = b""
        for payload in payloads:
            sizes = data.draw(st.lists(st.integers(0, 300), max_size=4))
            stream += client.make_packed(payload, sizes)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
        for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            client.send_raw(stream[a:b])
        for payload in payloads:
            assert client.receive() == payload


def test_the_helpers_agree() -> None:
    assert inflate(compress(LONG.encode())) == LONG.encode()
    assert compress(b"") == b"\x00"
    assert inflate(b"\x00") == b""
    assert TAIL == b"\x00\x00\xff\xff"
