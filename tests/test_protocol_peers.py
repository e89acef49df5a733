"""Protocol against itself, against websockets and against wsproto, in both roles, in any pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocols import URL, client_of, cut_at, each_byte, feed, opened_pair
from support import EFFORT, make_binary, make_text
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.http11 import Request as HTTPRequest
from websockets.http11 import Response as HTTPResponse
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws

import wspy
from wspy.events import Close, Event, Message, Open, Ping, Pong

# -- one role sends what the other receives, cut anywhere --


class Part(NamedTuple):
    data: str | bytes
    fin: bool = True


class Control(NamedTuple):
    data: bytes


MESSAGES = st.one_of(
    st.text(max_size=200),
    st.binary(max_size=200),
    st.builds(make_text, st.integers(0, 70_000), st.integers(0, 9)),
    st.builds(make_binary, st.integers(0, 70_000), st.integers(0, 9)),
)
STEPS = st.lists(st.one_of(MESSAGES, st.binary(max_size=125).map(Control)), max_size=8)


def fragments(message: str | bytes, cuts: Sequence[int]) -> list[Part]:
    places = [0, *sorted(min(cut, len(message)) for cut in cuts), len(message)]
    parts = [message[a:b] for a, b in pairwise(places)]
    return [Part(part, i == len(parts) - 1) for i, part in enumerate(parts)]


@settings(max_examples=150 * EFFORT, deadline=None)
@given(
    st.sampled_from(["server", "client"]),
    STEPS,
    st.lists(st.integers(0, 300), max_size=3),
    st.lists(st.integers(0, 100_000), max_size=12),
)
def test_what_is_sent_is_received(
    role: str, steps: list[Any], breaks: list[int], cuts: list[int]
) -> None:
    client, server = opened_pair()
    one, other = (server, client) if role == "server" else (client, server)
    expected: list[Event] = []
    pongs: list[Event] = []
    for step in steps:
        if isinstance(step, Control):
            one.ping(step.data)
            expected.append(Ping(step.data))
            pongs.append(Pong(step.data))
            continue
        for part in fragments(step, breaks):
            one.send(part.data, fin=part.fin)
        expected.append(Message(step))
    one.close(4000, "end")
    expected.append(Close(4000, "end", "peer"))
    assert feed(other, cut_at(one.data_to_send(), sorted(cuts))) == expected
    assert feed(one, each_byte(other.data_to_send())) == [*pongs, Close(4000, "", "local")]


def test_every_cut_of_a_connection() -> None:
    """Both roles, from the first byte of the handshake to the close frame."""

    def run(cut: Callable[[bytes], list[bytes]]) -> list[Event]:
        client = client_of(subprotocols=["a"])
        server = wspy.Protocol("server", subprotocols=["a"])
        told = feed(server, cut(client.data_to_send()))
        told += feed(client, cut(server.data_to_send()))
        for one, other in ((client, server), (server, client)):
            one.send("Grüße")
            one.ping(b"x")
            one.send(b"x" * 200)
            told += feed(other, cut(one.data_to_send()))
            told += feed(one, cut(other.data_to_send()))
        server.close(3000, "bye")
        told += feed(client, cut(server.data_to_send()))
        told += feed(server, cut(client.data_to_send()))
        assert (client.state, server.state) == ("closed", "closed")
        # The key of the handshake, and what it is answered with, are new each time.
        return [event for event in told if not isinstance(event, Open)]

    whole = run(lambda data: [data])
    assert len(whole) == 10
    assert run(each_byte) == whole
    for place in range(1, 400):
        assert run(lambda data, place=place: cut_at(data, [place])) == whole  # type: ignore[misc]


# -- other implementations, behind one face --


class Peer(Protocol):
    """Another library's end: what it was told is text, bytes, ("ping", data) and so on."""

    told: list[Any]

    def start(self) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def take(self) -> bytes: ...
    def send(self, data: str | bytes) -> None: ...
    def ping(self, data: bytes) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class WebSockets:
    def __init__(self, role: str) -> None:
        self.told: list[Any] = []
        self.protocol: Any = (
            ServerProtocol(subprotocols=["a"])  # type: ignore[list-item]
            if role == "server"
            else ClientProtocol(parse_uri(URL), subprotocols=["a"])  # type: ignore[list-item]
        )
        self.parts: list[bytes] = []
        self.is_text = False

    def start(self) -> None:
        if isinstance(self.protocol, ClientProtocol):
            self.protocol.send_request(self.protocol.connect())

    def feed(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, HTTPRequest):
                self.protocol.send_response(self.protocol.accept(event))
            elif not isinstance(event, HTTPResponse):
                self.take_frame(event)

    def take_frame(self, frame: Any) -> None:
        if frame.opcode is Opcode.CLOSE:
            received = self.protocol.close_rcvd
            self.told.append(("close", received.code, received.reason))
        elif frame.opcode in (Opcode.PING, Opcode.PONG):
            self.told.append((frame.opcode.name.lower(), bytes(frame.data)))
        else:
            if frame.opcode is not Opcode.CONT:
                self.is_text = frame.opcode is Opcode.TEXT
            self.parts.append(bytes(frame.data))
            if frame.fin:
                data = b"".join(self.parts)
                self.parts = []
                self.told.append(data.decode() if self.is_text else data)

    def take(self) -> bytes:
        return b"".join(self.protocol.data_to_send())

    def send(self, data: str | bytes) -> None:
        if isinstance(data, str):
            self.protocol.send_text(data.encode())
        else:
            self.protocol.send_binary(data)

    def ping(self, data: bytes) -> None:
        self.protocol.send_ping(data)

    def close(self, code: int, reason: str) -> None:
        self.protocol.send_close(code, reason)


class WSProto:
    def __init__(self, role: str) -> None:
        self.told: list[Any] = []
        self.is_server = role == "server"
        self.connection = WSConnection(
            ConnectionType.SERVER if self.is_server else ConnectionType.CLIENT
        )
        self.out = b""
        self.parts: list[Any] = []

    def start(self) -> None:
        if not self.is_server:
            target, offer = "/chat?room=1", ["a"]
            self.write(ws.Request(host="localhost:8000", target=target, subprotocols=offer))

    def write(self, event: ws.Event) -> None:
        self.out += self.connection.send(event)

    def feed(self, data: bytes) -> None:
        self.connection.receive_data(data)
        for event in self.connection.events():
            self.take_event(event)

    def take_event(self, event: ws.Event) -> None:
        if isinstance(event, ws.Request):
            self.write(ws.AcceptConnection(subprotocol="a"))
        elif isinstance(event, ws.Message):
            self.parts.append(event.data)
            if event.message_finished:
                self.told.append(type(event.data)().join(self.parts))
                self.parts = []
        elif isinstance(event, ws.Ping):
            self.told.append(("ping", bytes(event.payload)))
            self.write(event.response())
        elif isinstance(event, ws.Pong):
            self.told.append(("pong", bytes(event.payload)))
        elif isinstance(event, ws.CloseConnection):
            self.told.append(("close", event.code, event.reason or ""))
            if self.connection.state.name == "REMOTE_CLOSING":
                self.write(event.response())

    def take(self) -> bytes:
        data, self.out = self.out, b""
        return data

    def send(self, data: str | bytes) -> None:
        self.write(ws.TextMessage(data) if isinstance(data, str) else ws.BytesMessage(data))

    def ping(self, data: bytes) -> None:
        self.write(ws.Ping(data))

    def close(self, code: int, reason: str) -> None:
        self.write(ws.CloseConnection(code, reason))


PEERS: dict[str, Callable[[str], Peer]] = {"websockets": WebSockets, "wsproto": WSProto}
SIZES = (None, 1, 7, 1000)  # of the pieces; None: whole


def pieces_of(data: bytes, size: int | None) -> list[bytes]:
    return cut_at(data, range(size, len(data), size)) if size else [data]


def carry(ours: wspy.Protocol, peer: Peer, size: int | None) -> list[Event]:
    told: list[Event] = []
    while True:
        there, back = ours.data_to_send(), peer.take()
        if not there and not back:
            return told
        for piece in pieces_of(there, size):
            if piece:
                peer.feed(piece)
        told += feed(ours, pieces_of(back, size))


def meet(kind: str, role: str, size: int | None) -> tuple[wspy.Protocol, Peer]:
    """Ours in that role, and the other in the other one, open."""
    if role == "server":
        ours, peer = wspy.Protocol("server", subprotocols=["a"]), PEERS[kind]("client")
    else:
        ours, peer = client_of(subprotocols=["a"]), PEERS[kind]("server")
    peer.start()
    (event,) = carry(ours, peer, size)
    assert isinstance(event, Open)
    assert (event.path, event.query, event.subprotocol) == ("/chat", "room=1", "a")
    assert peer.told == []
    return ours, peer


every_peer = pytest.mark.parametrize("kind", PEERS)
both_roles = pytest.mark.parametrize("role", ["server", "client"])
MIXED: list[str | bytes] = [
    "hello",
    "",
    "Grüße 🎉",
    b"",
    b"\x00\xff",
    make_text(70_000),
    make_binary(70_000, 1),
]


@every_peer
@both_roles
@pytest.mark.parametrize("size", SIZES)
def test_a_conversation(kind: str, role: str, size: int | None) -> None:
    ours, peer = meet(kind, role, size)
    messages = MIXED if size != 1 else MIXED[:5]
    for message in messages:
        ours.send(message)
    ours.ping(b"from us")
    assert carry(ours, peer, size) == [Pong(b"from us")]
    assert peer.told == [*messages, ("ping", b"from us")]
    for message in messages:
        peer.send(message)
    peer.ping(b"from it")
    assert carry(ours, peer, size) == [*map(Message, messages), Ping(b"from it")]
    assert peer.told[-1] == ("pong", b"from it")


@every_peer
@both_roles
def test_a_message_in_parts(kind: str, role: str) -> None:
    ours, peer = meet(kind, role, None)
    for part in ("one ", "", "two "):
        ours.send(part, fin=False)
    ours.ping(b"between")
    ours.send("three")
    carry(ours, peer, 3)
    assert peer.told == [("ping", b"between"), "one two three"]


@every_peer
@both_roles
@pytest.mark.parametrize("size", SIZES)
def test_we_close(kind: str, role: str, size: int | None) -> None:
    ours, peer = meet(kind, role, size)
    ours.send("last")
    ours.close(3000, "Grüße")
    told = carry(ours, peer, size)
    assert peer.told == ["last", ("close", 3000, "Grüße")]
    (event,) = told
    assert isinstance(event, Close)
    assert (event.code, event.kind) == (3000, "local")
    assert ours.state == "closed"


@every_peer
@both_roles
@pytest.mark.parametrize("size", SIZES)
def test_the_peer_closes(kind: str, role: str, size: int | None) -> None:
    ours, peer = meet(kind, role, size)
    peer.send("last")
    peer.close(3000, "Grüße")
    assert carry(ours, peer, size) == [Message("last"), Close(3000, "Grüße", "peer")]
    assert peer.told == [("close", 3000, "")]
    assert ours.sent_close == (3000, "")
    assert ours.should_close == (role == "server")


@every_peer
@both_roles
def test_a_violation_is_told_to_the_peer(kind: str, role: str) -> None:
    ours, peer = meet(kind, role, None)
    peer.send("good")
    told = ours.receive(peer.take() + b"\xff\xff")
    assert told == [Message("good"), Close(1006, "", "protocol")]
    peer.feed(ours.data_to_send())
    assert peer.told == [("close", 1002, "a reserved bit is set")]


STEP = st.tuples(st.booleans(), st.one_of(st.text(max_size=300), st.binary(max_size=300)))


@every_peer
@both_roles
@settings(max_examples=40 * EFFORT, deadline=None)
@given(steps=st.lists(STEP, max_size=10), size=st.sampled_from([None, 1, 2, 5, 64]))
def test_any_conversation(
    kind: str, role: str, steps: list[tuple[bool, str | bytes]], size: int | None
) -> None:
    ours, peer = meet(kind, role, size)
    for is_ours, data in steps:
        (ours.send if is_ours else peer.send)(data)
    told = carry(ours, peer, size)
    assert told == [Message(data) for is_ours, data in steps if not is_ours]
    assert peer.told == [data for is_ours, data in steps if is_ours]
