"""What a peer may not send, through Protocol: never an exception, but what the server does."""

from __future__ import annotations

import pytest
from protocols import each_byte, feed, in_pieces, opened_client, opened_server
from support import BINARY, CLOSE, CONTINUATION, PONG, TEXT, Frame, binary, close_frame, frame, text
from test_hostile_close import BAD_CODES, BEHIND, GOOD_CODES, PAYLOADS
from test_hostile_frames import CASES, Answer
from test_hostile_utf8 import BAD, CUT, GOOD, ways

import wspy
from wspy.events import Close, Event, Message, Ping, Pong

LIMITS = (1009,)


def frames_of(data: bytes) -> list[Frame]:
    """A server's frames, read by the other parser: with a mask each they are a client's."""
    found = []
    while data:
        size, start = data[1], 2
        assert not size & 0x80
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(data[2:start], "big")
        found.append(Frame(data[0] & 0x0F, data[start : start + size], bool(data[0] & 0x80)))
        data = data[start + size :]
    return found


def said(events: list[Event]) -> list[Frame]:
    """What an echo server would answer to the messages."""
    return [
        Frame(TEXT, e.data.encode()) if isinstance(e.data, str) else Frame(BINARY, e.data)
        for e in events
        if isinstance(e, Message)
    ]


def check(server: wspy.Protocol, told: list[Event], answer: Answer) -> None:
    """The same as test_hostile_frames wants of a server."""
    items = (answer,) if isinstance(answer, int) else answer
    frames = [item for item in items if isinstance(item, Frame)]
    codes = [item for item in items if isinstance(item, int)]
    written = frames_of(server.data_to_send())
    assert said(told) == [f for f in frames if f.opcode != PONG]
    assert [f for f in written if f.opcode == PONG] == [f for f in frames if f.opcode == PONG]
    assert sum(isinstance(event, Ping) for event in told) == sum(f.opcode == PONG for f in frames)
    if not codes:
        assert server.is_open
        assert server.receive(text("still good")) == [Message("still good")]
        return
    (code,) = codes
    event, close = told[-1], written[-1]
    assert isinstance(event, Close)
    assert close.opcode == CLOSE
    assert server.sent_close is not None
    sent, reason = server.sent_close
    assert sent == code
    assert close.payload == (b"" if code == 1005 else code.to_bytes(2, "big") + reason.encode())
    violated = code in (1002, 1007, 1009)
    assert (reason != "") == violated
    assert event.kind == ("limit" if code == 1009 else "protocol" if violated else "peer")
    assert event.code == (1006 if violated else code)
    assert (server.state, server.should_close) == ("closed", True)
    assert server.receive(text("x")) == server.receive_eof() == []
    with pytest.raises(wspy.ConnectionClosed):
        server.send("x")


@pytest.mark.parametrize("name", CASES)
def test_a_frame(name: str) -> None:
    answer, data = CASES[name]
    for pieces in in_pieces(data):
        server = opened_server()
        check(server, feed(server, pieces), answer)


# -- farewells --


@pytest.mark.parametrize("code", [*BAD_CODES, *GOOD_CODES])
def test_a_close_code(code: int) -> None:
    for data in (close_frame(code), close_frame(code, "Grüße")):
        for pieces in in_pieces(data):
            server = opened_server()
            feed(server, pieces)
            assert server.sent_close is not None
            assert server.sent_close[0] == (code if code in GOOD_CODES else 1002)


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_payload_of_a_close(name: str) -> None:
    (code, reason), payload = PAYLOADS[name]
    data = frame(CLOSE, payload)
    for pieces in ([data], each_byte(data)):
        server = opened_server()
        told = feed(server, pieces)
        assert len(told) == 1
        assert server.sent_close == (1005 if code is None else code, reason)


@pytest.mark.parametrize("name", BEHIND)
def test_data_behind_a_close(name: str) -> None:
    server = opened_server()
    assert server.receive(close_frame(1000) + BEHIND[name]) == [Close(1000, "", "peer")]
    assert server.receive(BEHIND[name]) == []
    assert server.data_to_send() == b"\x88\x02\x03\xe8"


# -- text --


@pytest.mark.parametrize("name", [*BAD, *CUT])
def test_text_that_is_no_utf8(name: str) -> None:
    words = "the text is not UTF-8" if name in BAD else "the text ends inside a character"
    for pieces in ways(BAD.get(name) or CUT[name]):
        server = opened_server()
        assert [e for e in feed(server, pieces) if not isinstance(e, Pong)] == [
            Close(1006, "", "protocol")
        ]
        assert server.sent_close == (1007, words)


@pytest.mark.parametrize("name", GOOD)
def test_text_that_is_good(name: str) -> None:
    server = opened_server()
    for pieces in ways(GOOD[name].encode()):
        told = feed(server, pieces)
        assert [e for e in told if not isinstance(e, Pong)] == [Message(GOOD[name])]


@pytest.mark.parametrize("size", [16_383, 16_384, 16_385, 100_000])
def test_bad_bytes_in_a_large_message(size: int) -> None:
    for bad in (*BAD.values(), *CUT.values()):
        data, server = frame(TEXT, b"x" * size + bad), opened_server()
        assert feed(server, [data[:20_000], data[20_000:]]) == [Close(1006, "", "protocol")]
        assert server.sent_close is not None
        assert server.sent_close[0] == 1007


# -- a server's frames, to a client --

TO_CLIENT: dict[str, tuple[bytes, int]] = {
    "a frame that is masked": (text("hello"), 1002),
    "an empty frame that is masked": (frame(PONG), 1002),
    "a close that is masked": (close_frame(1000), 1002),
    "a reserved bit": (frame(TEXT, "x", rsv=4, mask=None), 1002),
    "a reserved opcode": (frame(3, "x", mask=None), 1002),
    "nothing to continue": (frame(CONTINUATION, "x", mask=None), 1002),
    "text that is no UTF-8": (frame(TEXT, b"\xff", mask=None), 1007),
    "a message that is too big": (frame(BINARY, announce=2**20 + 1, mask=None), 1009),
    "a close code that may not be": (frame(CLOSE, b"\x03\xed", mask=None), 1002),
}


@pytest.mark.parametrize("name", TO_CLIENT)
def test_a_frame_to_a_client(name: str) -> None:
    data, code = TO_CLIENT[name]
    for pieces in in_pieces(data):
        client = opened_client()
        assert feed(client, pieces) == [Close(1006, "", "limit" if code == 1009 else "protocol")]
        assert client.sent_close is not None
        assert client.sent_close[0] == code
        # RFC 6455 section 7.1.7: it need not wait for the server.
        assert client.should_close
        server = opened_server()
        (event,) = server.receive(client.data_to_send())
        assert isinstance(event, Close)
        assert (event.code, event.kind) == (code, "peer")


# -- limits --


def test_the_size_of_a_message() -> None:
    half = frame(BINARY, bytes(50), fin=False)
    for data, good in (
        (binary(bytes(100)), True),
        (binary(bytes(101)), False),
        (half + frame(CONTINUATION, bytes(50)), True),
        (half + frame(CONTINUATION, bytes(51)), False),
    ):
        for pieces in in_pieces(data):
            server = opened_server(max_message_size=100)
            told = feed(server, pieces)
            assert told == [Message(bytes(100)) if good else Close(1006, "", "limit")]


def test_the_number_of_fragments() -> None:
    begun, rest = frame(TEXT, "a", fin=False), frame(CONTINUATION, "b")
    for options, n, good in (
        ({"max_fragments": 3}, 1, True),
        ({"max_fragments": 3}, 2, False),
        ({"max_fragments": 1}, 0, False),
        ({"max_fragments": None}, 200_000, True),
        ({}, 131_070, True),
        ({}, 131_071, False),
    ):
        server = opened_server(**options)
        told = server.receive(begun + frame(CONTINUATION, fin=False) * n + rest)
        assert told == [Message("ab") if good else Close(1006, "", "limit")]
        assert good or server.sent_close == (1009, "the message has too many fragments")


def test_a_flood_of_pings_is_answered_in_order() -> None:
    """Rates need a clock, which the caller has: it owns the socket."""
    server = opened_server()
    told = server.receive(b"".join(frame(9, str(i)) for i in range(5000)))
    assert told == [Ping(b"%d" % i) for i in range(5000)]
    assert frames_of(server.data_to_send()) == [Frame(PONG, b"%d" % i) for i in range(5000)]
