"""Frames as the core reads and writes them, beside wsproto, which shares no code with it."""

from __future__ import annotations

import random
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import wsproto.frame_protocol
from core import Core, Event, Role
from streams import Maker, make_payload
from support import BINARY, CLOSE, EFFORT, PING, PONG, TEXT, close_frame, frame
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

STREAMS = 2000 * EFFORT
FRAMES = 500 * EFFORT


class Peer:
    """wsproto in a role: what it was told, as the core tells it."""

    def __init__(self, role: Role) -> None:
        kind = ConnectionType.SERVER if role is Role.SERVER else ConnectionType.CLIENT
        self.connection = Connection(kind)
        self.events: list[Event] = []
        self.why = ""  # it failed
        self.message = b""  # what has come of one

    def feed(self, data: bytes) -> None:
        self.connection.receive_data(data)
        for event in self.connection.events():
            if isinstance(event, TextMessage | BytesMessage):
                self.take(event)
            elif isinstance(event, Ping):
                self.events.append(Event("ping", bytes(event.payload)))
            elif isinstance(event, Pong):
                self.events.append(Event("pong", bytes(event.payload)))
            elif isinstance(event, CloseConnection):
                self.end(event)

    def take(self, event: TextMessage | BytesMessage) -> None:
        text = isinstance(event, TextMessage)
        self.message += event.data.encode() if isinstance(event.data, str) else event.data
        if event.message_finished:
            self.events.append(Event("text" if text else "binary", self.message))
            self.message = b""

    def end(self, event: CloseConnection) -> None:
        """A close frame has come, or wsproto closes."""
        reason = event.reason or ""
        if self.connection.state is ConnectionState.REMOTE_CLOSING:
            self.events.append(Event("close", reason.encode(), int(event.code)))
        else:
            self.events.append(Event("fail", b"", int(event.code)))
            self.why = reason

    @property
    def has_ended(self) -> bool:
        return any(event.kind in ("close", "fail") for event in self.events)

    def rest_of_header(self) -> bytes:
        """What is missing of the header of the frame that wsproto waits for, with the largest
        length that fits, and a byte of payload."""
        decoder = self.connection._proto._frame_decoder
        if decoder.header:
            return b"\0"
        have = bytes(decoder.buffer.buffer)
        if len(have) < 2:
            return b""
        extra = {126: 2, 127: 8}.get(have[1] & 127, 0)
        size = 2 + extra + (4 if have[1] & 0x80 else 0)
        length = (b"\0" + b"\xff" * 7)[len(have) - 2 : extra]
        return length + bytes(size - len(have) - len(length)) + b"\0"


# -- what they do not agree about --


class Case(NamedTuple):
    """A stream, and what the core and wsproto made of it."""

    core: Core
    role: Role
    stream: bytes
    ours: list[Event]
    peer: Peer

    def until_failure(self) -> bytes:
        """The stream up to the byte for which the core failed."""
        ends = range(1, len(self.stream) + 1)
        end = bisect_left(ends, True, key=lambda end: self.fails_before(end))
        return self.stream[: ends[end]]

    def fails_before(self, end: int) -> bool:
        events = self.core.feed(self.role, [self.stream[:end]])
        return events[-1:] == self.ours[-1:]


class Difference(NamedTuple):
    name: str
    law: str  # what decides
    explains: Callable[[Case], bool]
    example: bytes  # to a server


def is_header_told_sooner(case: Case) -> bool:
    """Once the header is whole, wsproto says the same."""
    ours, peer = case.ours, case.peer
    if peer.has_ended or ours != [*peer.events, Event("fail", code=1002)]:
        return False
    peer.feed(peer.rest_of_header())
    return peer.events == ours


def is_surrogate_told_sooner(case: Case) -> bool:
    """Where the core failed, wsproto waited for the third byte of a surrogate."""
    if case.ours[-1:] != [Event("fail", code=1007)]:
        return False
    peer = Peer(case.role)
    peer.feed(case.until_failure())
    decoder = peer.connection._proto._message_decoder.decoder
    return (
        decoder is not None
        and re.fullmatch(rb"\xed[\xa0-\xbf]", decoder.getstate()[0]) is not None
        and [*peer.events, Event("fail", code=1007)] == case.ours
    )


def is_code_1014(case: Case) -> bool:
    """1014 with a reason, or with one that is not UTF-8; wsproto fails for the code."""
    ours, peer = case.ours, case.peer
    return (
        peer.why == "CLOSE with unknown reserved code"
        and peer.events[-1] == Event("fail", code=1002)
        and ours[:-1] == peer.events[:-1]
        and (ours[-1].kind, ours[-1].code) in (("close", 1014), ("fail", 1007))
    )


DIFFERENCES = (
    Difference(
        "wsproto waits for the end of a header that is wrong from its first bytes",
        'RFC 6455 5.2: "If a nonzero value is received and none of the negotiated extensions '
        "defines the meaning of such a nonzero value, the receiving endpoint MUST _Fail the "
        'WebSocket Connection_." No sentence lets it wait for more of the frame.',
        is_header_told_sooner,
        frame(TEXT, bytes(200), rsv=1)[:3],
    ),
    Difference(
        "wsproto waits for the third byte of a surrogate",
        'RFC 3629 4: "UTF8-3 = %xE0 %xA0-BF UTF8-tail / %xE1-EC 2( UTF8-tail ) / %xED %x80-9F '
        "UTF8-tail / %xEE-EF 2( UTF8-tail )\": no text has the bytes ED A0. Python's decoder keeps "
        "them, since with another error handler they may stand.",
        is_surrogate_told_sooner,
        frame(TEXT, b"a\xed\xa0", fin=False) + frame(PING),
    ),
    Difference(
        "wsproto does not know the close code 1014",
        'RFC 6455 7.4.2: "Status codes in the range 1000-2999 are reserved for definition by '
        'this protocol, its future revisions, and extensions": the registry of section 11.7 now '
        "has 1014, Bad Gateway.",
        is_code_1014,
        close_frame(1014, "bad gateway"),
    ),
)


def explain(case: Case) -> str:
    """The difference that it is; "" if they agree; a failure if it is none of the known ones."""
    if case.ours == case.peer.events:
        return ""
    for difference in DIFFERENCES:
        if difference.explains(case):
            return difference.name
    raise AssertionError(f"the core: {case.ours}\nwsproto: {case.peer.events} {case.peer.why}")


# -- reading --


def read(core: Core, role: Role, maker: Maker) -> tuple[list[Event], str]:
    """A stream in random pieces: what the core was told, and how wsproto differs, if it does."""
    stream = maker.stream()
    pieces = maker.pieces(stream)
    level, room = maker.rng.choice(core.simd_levels), maker.rng.random() < 0.5
    peer = Peer(role)
    try:
        for piece in pieces:
            peer.feed(piece)
        ours = core.feed(role, pieces, simd=level, room=room)
        assert core.feed(role, [stream]) == ours
        return ours, explain(Case(core, role, stream, ours, peer))
    except Exception as error:
        sizes = [len(piece) for piece in pieces]
        raise AssertionError(f"{stream.hex()}\nin pieces of {sizes}\n{error}") from error


@pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())
def test_reading(core: Core, role: Role) -> None:
    """Random streams, right and wrong: the same messages, the same end. The counts see to it that
    both agree on enough of each kind."""
    agreed: Counter[str] = Counter()
    n_explained = 0
    for seed in range(STREAMS):
        events, difference = read(core, role, Maker(role, seed))
        if difference:
            n_explained += 1
            continue
        failed = bool(events) and events[-1].kind == "fail"
        agreed[f"fail {events[-1].code}" if failed else "right"] += 1
        if not failed:
            agreed.update(event.kind for event in events)
    assert agreed["right"] > STREAMS * 0.4
    assert agreed["fail 1002"] > STREAMS * 0.2
    assert agreed["fail 1007"] > STREAMS * 0.05
    for kind in ("text", "binary", "ping", "pong"):
        assert agreed[kind] > STREAMS * 0.5, kind
    assert agreed["close"] > STREAMS * 0.05
    assert n_explained < STREAMS * 0.01


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name[:40])
def test_known_differences(core: Core, difference: Difference) -> None:
    """Each is there, or it would have to go."""
    stream = difference.example
    peer = Peer(Role.SERVER)
    peer.feed(stream)
    case = Case(core, Role.SERVER, stream, core.feed(Role.SERVER, [stream]), peer)
    assert explain(case) == difference.name


# -- writing --


def write(core: Core, role: Role, rng: random.Random) -> tuple[bytes, Event]:
    """A frame of the core's, and what the other side has to read."""
    kind = rng.choice(("text", "binary", "ping", "pong"))
    opcode = {"text": TEXT, "binary": BINARY, "ping": PING, "pong": PONG}[kind]
    payload = make_payload(rng, opcode)
    key = rng.randbytes(4)
    level = rng.choice(core.simd_levels)
    return core.write(role, opcode, payload, key, simd=level), Event(kind, payload)


@pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())
def test_writing(core: Core, role: Role) -> None:
    """What the core writes as that role, wsproto reads."""
    rng = random.Random(role.name)
    peer = Peer(role.peer)
    expected = []
    for _ in range(FRAMES):
        data, event = write(core, role, rng)
        peer.feed(data)
        expected.append(event)
    peer.feed(core.write(role, CLOSE, core.close_payload(1001, b"away"), b"abcd"))
    assert peer.events == [*expected, Event("close", b"away", 1001)]


def message_of(event: Event) -> TextMessage | BytesMessage | Ping | Pong:
    if event.kind == "text":
        return TextMessage(data=event.data.decode())
    if event.kind == "binary":
        return BytesMessage(data=event.data)
    return Ping(payload=event.data) if event.kind == "ping" else Pong(payload=event.data)


@pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())
def test_reading_what_wsproto_writes(
    core: Core, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(role.name)
    # The source of its masks; with a seed every run is the same.
    monkeypatch.setattr(wsproto.frame_protocol, "os", SimpleNamespace(urandom=rng.randbytes))
    writer = Peer(role.peer).connection
    pieces, expected = [], []
    for _ in range(FRAMES):
        _, event = write(core, role, rng)
        pieces.append(writer.send(message_of(event)))
        expected.append(event)
    pieces.append(writer.send(CloseConnection(code=1001, reason="away")))
    assert core.feed(role, pieces) == [*expected, Event("close", b"away", 1001)]
