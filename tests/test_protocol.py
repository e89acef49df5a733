"""Protocol: a connection's life in both roles, what its properties say, and wrong calls."""

from __future__ import annotations

import array
import gc
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from protocols import URL, client_of, exchange, feed, opened_client, opened_pair, opened_server
from support import KEY, PING, TEXT, close_frame, frame, resident_kib, text, upgrade_request

import wspy
from wspy import _core, events
from wspy.events import Close, Message, Open, Ping, Pong, Rejected, Request

ROLES = ("server", "client")


def opened(role: str, **options: Any) -> wspy.Protocol:
    return opened_server(**options) if role == "server" else opened_client(**options)


# -- a life --


def test_a_conversation() -> None:
    client, server = opened_pair()
    for one, other in ((client, server), (server, client)):
        one.send("Grüße")
        one.send(b"\x00\xff")
        one.send("")
        one.ping(b"data")
        told = exchange(one, other)
        assert told[1] == [Message("Grüße"), Message(b"\x00\xff"), Message(""), Ping(b"data")]
        assert told[0] == [Pong(b"data")]
    client.close(3000, "bye")
    assert exchange(client, server) == ([Close(3000, "", "local")], [Close(3000, "bye", "peer")])


def test_what_open_says() -> None:
    client = client_of(headers={"X-Name": "ada"}, subprotocols=["b", "a"])
    server = wspy.Protocol("server", subprotocols=["a", "b"])
    (asked,) = server.receive(client.data_to_send())
    (answered,) = client.receive(server.data_to_send())
    assert isinstance(asked, Open)
    assert isinstance(answered, Open)
    assert (asked.path, asked.query, asked.subprotocol) == ("/chat", "room=1", "a")
    assert (asked.headers["host"], asked.headers["x-name"]) == ("localhost:8000", "ada")
    assert (answered.path, answered.query, answered.subprotocol) == ("/chat", "room=1", "a")
    assert answered.headers["upgrade"] == "websocket"
    assert server.opened is asked
    assert client.opened is answered
    assert client.subprotocol == server.subprotocol == "a"


@pytest.mark.parametrize("role", ROLES)
def test_the_properties(role: str) -> None:
    client, server = client_of(), wspy.Protocol("server")
    one, other = (server, client) if role == "server" else (client, server)
    assert one.role == role
    assert (one.state, one.is_open, one.should_close) == ("connecting", False, False)
    assert (one.opened, one.subprotocol, one.sent_close) == (None, None, None)
    exchange(client, server)
    assert (one.state, one.is_open, one.should_close) == ("open", True, False)
    one.close(4000, "Grüße")
    assert (one.state, one.is_open, one.should_close) == ("closing", False, False)
    assert (one.close_code, one.close_reason, one.close_kind) == (None, None, None)
    assert one.sent_close == (4000, "Grüße")
    exchange(one, other)
    assert (one.state, other.state) == ("closed", "closed")
    assert (one.close_code, one.close_reason, one.close_kind) == (4000, "", "local")
    assert (other.close_code, other.close_reason, other.close_kind) == (4000, "Grüße", "peer")
    assert other.sent_close == (4000, "")
    # RFC 6455 section 7.1.1: the server goes first.
    assert (server.should_close, client.should_close) == (True, False)
    assert client.receive_eof() == []
    assert client.should_close


def test_an_empty_close_frame() -> None:
    server = opened_server()
    assert server.receive(close_frame(None)) == [Close(1005, "", "peer")]
    assert server.data_to_send() == b"\x88\x00"
    assert server.sent_close == (1005, "")


def test_both_close_at_once() -> None:
    client, server = opened_pair()
    client.close(3001)
    server.close(3002)
    assert exchange(client, server) == ([Close(3002, "", "local")], [Close(3001, "", "local")])


def test_what_was_sent_before_a_close_still_comes() -> None:
    client, server = opened_pair()
    server.send("first")
    server.ping()
    client.close()
    server.send("crossing")
    told, _ = exchange(client, server)
    assert told == [Message("first"), Ping(b""), Message("crossing"), Close(1000, "", "local")]


def test_nothing_is_sent_behind_a_close() -> None:
    """RFC 6455 section 5.5.1: no pong either."""
    server = opened_server()
    server.close()
    assert server.data_to_send() == b"\x88\x02\x03\xe8"
    assert server.receive(frame(PING, "x")) == [Ping(b"x")]
    assert server.data_to_send() == b""


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (close_frame(3000), b"\x88\x02\x0b\xb8"),
        (frame(3, "x"), b"\x88\x18\x03\xeathe opcode is reserved"),
    ],
    ids=["a close frame", "a violation"],
)
def test_what_answers_the_last_message_goes_before_our_close(end: bytes, answer: bytes) -> None:
    """Events come in a row, and an echo server answers each: the last one too."""
    server = opened_server()
    told = server.receive(text("one") + text("two") + end)
    assert (server.state, server.is_open, server.should_close) == ("closing", False, True)
    for event in told:
        if isinstance(event, Message):
            server.send(event.data)
    server.ping(b"x")
    server.close(4000)  # does nothing
    assert server.data_to_send() == b"\x81\x03one\x81\x03two\x89\x01x" + answer
    assert server.state == "closed"
    with pytest.raises(wspy.ConnectionClosed):
        server.send("three")
    assert server.data_to_send() == b""


def test_nothing_is_read_behind_a_close() -> None:
    server = opened_server()
    assert server.receive(close_frame(1000) + text("x") + b"\xff") == [Close(1000, "", "peer")]
    assert server.receive(text("x")) == []
    assert server.receive_eof() == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("amid", [b"", b"\x81"], ids=["between frames", "inside one"])
def test_the_stream_ends(role: str, amid: bytes) -> None:
    protocol = opened(role)
    assert protocol.receive(amid) == []
    assert protocol.receive_eof() == [Close(1006, "", "eof")]
    assert (protocol.state, protocol.should_close, protocol.sent_close) == ("closed", True, None)
    assert protocol.data_to_send() == b""
    assert protocol.receive_eof() == []


def test_the_stream_ends_before_the_answer_to_a_close() -> None:
    server = opened_server()
    server.close(1001)
    assert server.receive_eof() == [Close(1006, "", "local")]


@pytest.mark.parametrize(
    "make", [client_of, lambda: wspy.Protocol("server")], ids=["client", "server"]
)
def test_the_stream_ends_in_the_opening_handshake(make: Callable[[], wspy.Protocol]) -> None:
    protocol = make()
    assert protocol.receive_eof() == [Close(1006, "", "eof")]
    assert protocol.should_close


def test_messages_in_the_same_piece_as_the_handshake() -> None:
    server = wspy.Protocol("server")
    told = server.receive(upgrade_request("localhost") + text("early") + close_frame(1000))
    assert told[1:] == [Message("early"), Close(1000, "", "peer")]


# -- parts of a message --


@pytest.mark.parametrize("role", ROLES)
def test_a_message_in_parts(role: str) -> None:
    client, server = opened_pair()
    one, other = (server, client) if role == "server" else (client, server)
    one.send("a", fin=False)
    one.ping()
    one.send("", fin=False)
    with pytest.raises(TypeError, match="continues a message of text, not of bytes"):
        one.send(b"b")
    one.send("c")
    one.send(b"1", fin=False)
    one.send(b"2", fin=True)
    assert exchange(one, other)[1] == [Ping(b""), Message("ac"), Message(b"12")]


def test_the_frames_of_parts() -> None:
    server = opened_server()
    server.send("a", fin=False)
    server.send("b", fin=False)
    server.send("c")
    assert server.data_to_send() == b"\x01\x01a\x00\x01b\x80\x01c"


# -- data of every kind --


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_any_buffer_is_taken_and_not_changed(kind: Callable[[bytes], Any]) -> None:
    server = opened_server()
    data = text("hello") + frame(TEXT, "x" * 70_000)
    given = kind(data)
    assert server.receive(given) == [Message("hello"), Message("x" * 70_000)]
    assert bytes(given) == data
    server.send(kind(b"abc"))
    assert server.data_to_send() == b"\x82\x03abc"


def test_a_buffer_is_free_again() -> None:
    server, data = opened_server(), bytearray(text("hello"))
    server.receive(data)
    data.clear()  # BufferError if it were held
    server.send(data)
    data += b"x"


@pytest.mark.parametrize("data", ["text", None, 5, memoryview(b"abcdef")[::2]])
def test_receive_takes_bytes(data: Any) -> None:
    with pytest.raises((TypeError, BufferError)):
        opened_server().receive(data)


@pytest.mark.parametrize("data", [None, 5, ["a"]])
def test_send_takes_text_or_bytes(data: Any) -> None:
    with pytest.raises(TypeError, match=r"send\(\) takes str or a bytes-like object"):
        opened_server().send(data)


def test_a_text_with_a_surrogate() -> None:
    with pytest.raises(UnicodeEncodeError):
        opened_server().send("\ud800")


# -- wrong calls --


@pytest.mark.parametrize("role", ROLES)
def test_send_after_close(role: str) -> None:
    protocol = opened(role)
    protocol.close(4000, "enough")
    for name in ("send", "ping"):
        with pytest.raises(wspy.ConnectionClosed) as raised:
            getattr(protocol, name)("x")
        assert (raised.value.code, raised.value.reason) == (4000, "enough")
    written = protocol.data_to_send()
    protocol.close(4001)  # does nothing
    assert written
    assert protocol.data_to_send() == b""


def test_send_after_the_peers_close() -> None:
    server = opened_server()
    server.receive(close_frame(3000, "bye"))
    server.data_to_send()
    with pytest.raises(wspy.ConnectionClosed) as raised:
        server.send("x")
    assert (raised.value.code, raised.value.reason) == (3000, "bye")
    server.close()  # does nothing


@pytest.mark.parametrize(
    "make", [client_of, lambda: wspy.Protocol("server")], ids=["client", "server"]
)
@pytest.mark.parametrize("call", ["send", "ping", "close"])
def test_before_it_is_open(make: Callable[[], wspy.Protocol], call: str) -> None:
    protocol = make()
    with pytest.raises(RuntimeError, match="not open yet"):
        getattr(protocol, call)(*(["x"] if call != "close" else []))


def test_a_ping_of_125_bytes() -> None:
    server = opened_server()
    server.ping(b"x" * 125)
    assert server.data_to_send() == b"\x89\x7d" + b"x" * 125
    with pytest.raises(ValueError, match="at most 125 bytes of data, not 126"):
        server.ping(b"x" * 126)
    with pytest.raises(TypeError, match="at most 1 argument"):
        server.ping(b"x", b"y")  # type: ignore[call-arg]
    assert server.data_to_send() == b""


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, -1, 2**40])
def test_a_close_code_that_may_not_be(code: int) -> None:
    with pytest.raises(ValueError, match=f"code {code} may not be sent"):
        opened_server().close(code)


def test_a_close_reason_that_may_not_be() -> None:
    server = opened_server()
    with pytest.raises(ValueError, match="reason has 124 bytes"):
        server.close(1000, "é" * 62)
    with pytest.raises(TypeError, match="reason must be a str"):
        server.close(1000, b"bye")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="code must be an int"):
        server.close("1000")  # type: ignore[arg-type]
    server.close(1000, "é" * 61 + "x")
    assert server.sent_close == (1000, "é" * 61 + "x")


WRONG: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ValueError, "role must be", {"role": "peer"}),
    (TypeError, "role must be", {"role": None}),
    (TypeError, "url must be", {"role": "client"}),
    (TypeError, "url must be", {"role": "client", "url": b"ws://a"}),
    (ValueError, "url must be like", {"role": "client", "url": "ws:///"}),
    (ValueError, "url must be like", {"role": "client", "url": "ws://a:123456/"}),
    (ValueError, "url must have a port", {"role": "client", "url": "ws://a:65536/"}),
    (ValueError, "url must have a port", {"role": "client", "url": "ws://a:0/"}),
    (ValueError, "url is for the client", {"role": "server", "url": URL}),
    (ValueError, "headers is for the client", {"role": "server", "headers": {}}),
    (ValueError, "hosts is for the server", {"role": "client", "url": URL, "hosts": ["a"]}),
    (ValueError, "origins is for the server", {"role": "client", "url": URL, "origins": "*"}),
    (ValueError, "auto_accept is for", {"role": "client", "url": URL, "auto_accept": False}),
    (TypeError, "auto_accept must be", {"role": "server", "auto_accept": 1}),
    (ValueError, "max_message_size must be", {"role": "server", "max_message_size": 0}),
    (TypeError, "max_message_size must be", {"role": "server", "max_message_size": None}),
    (TypeError, "max_message_size must be", {"role": "server", "max_message_size": "1"}),
    (ValueError, "max_fragments must be", {"role": "client", "max_fragments": 0}),
    (ValueError, "max_header_size must be", {"role": "client", "max_header_size": -1}),
    (ValueError, "max_headers must be", {"role": "server", "max_headers": 2**40}),
    (ValueError, "origins must be", {"role": "server", "origins": "same"}),
    (ValueError, "each of hosts must be", {"role": "server", "hosts": ["a b"]}),
    (ValueError, 'hosts must be "\\*"', {"role": "server", "hosts": "auto"}),
    (ValueError, "each of subprotocols", {"role": "server", "subprotocols": ["a b"]}),
    (ValueError, "subprotocols must not name", {"role": "client", "subprotocols": ["a", "a"]}),
]


@pytest.mark.parametrize(("error", "words", "arguments"), WRONG)
def test_wrong_arguments(error: type[Exception], words: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(error, match=words):
        wspy.Protocol(**arguments)


def test_unknown_arguments() -> None:
    with pytest.raises(TypeError, match="max_size"):
        wspy.Protocol("server", max_size=1)  # type: ignore[call-arg]


def test_the_base_alone() -> None:
    """What wspy.Protocol never does."""
    base = _core.Protocol.__new__(_core.Protocol)
    for call in (base.data_to_send, base.receive_eof, base.close, base.ping):
        with pytest.raises(RuntimeError, match="__init__ was not called"):
            call()
    for name in ("role", "state", "is_open", "should_close", "subprotocol", "sent_close"):
        with pytest.raises(RuntimeError, match="__init__ was not called"):
            getattr(base, name)
    assert (base.opened, base.close_code, repr(base)) == (None, None, "<wspy.Protocol>")
    protocol = wspy.Protocol("server")
    with pytest.raises(RuntimeError, match="was called before"):
        protocol.__init__("server")  # type: ignore[misc]
    with pytest.raises(TypeError, match="unknown option 'x'"):
        _core.Protocol("server", {"x": 1}, True, "", "", "", "")
    with pytest.raises(TypeError, match="no keyword"):
        _core.Protocol(role="server")  # type: ignore[call-arg]


def test_repr() -> None:
    client, server = opened_pair()
    assert repr(client) == "<wspy.Protocol client open>"
    server.close()
    assert repr(server) == "<wspy.Protocol server closing>"


def test_a_subclass_with_attributes() -> None:
    class Mine(wspy.Protocol):
        name = "nobody"

    mine = Mine("server")
    mine.name = "ada"
    mine.me = mine  # type: ignore[attr-defined]
    assert (mine.name, mine.state) == ("ada", "connecting")


# -- the events --

HEADERS = wspy.Headers([("A", "b")])
EVENTS = [
    Request("/", "", HEADERS),
    Open("/", "", HEADERS, None),
    Rejected(403, "no", HEADERS),
    Message("x"),
    Ping(b"x"),
    Pong(b"x"),
    Close(1000, "bye", "peer"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event(event: Any) -> None:
    kind = type(event)
    name = kind.__match_args__[0]
    with pytest.raises(AttributeError):
        setattr(event, name, "other")
    with pytest.raises((AttributeError, TypeError)):
        event.other = 1
    assert pickle.loads(pickle.dumps(event)) == event
    assert repr(event).startswith(f"{kind.__name__}({name}=")
    assert kind.__doc__


def test_events_are_of_one_class_each() -> None:
    assert Ping(b"x") != Pong(b"x")  # type: ignore[comparison-overlap]
    assert len({Ping(b"x"), Ping(b"x"), Pong(b"x"), Message(b"x")}) == 3
    assert {type(event) for event in EVENTS} == set(events.Event.__args__)  # type: ignore[attr-defined]
    assert set(events.__all__) == {type(event).__name__ for event in EVENTS} | {"Event"}


def test_matching() -> None:
    def name(event: events.Event) -> str:
        match event:
            case Open("/chat", query=query):
                return f"open {query}"
            case Message(str(data)) | Message(bytes(data)):
                return f"message {data!r}"
            case Close(1000 | 1001, reason):
                return f"close {reason}"
            case _:
                return "another"

    client, server = client_of(), wspy.Protocol("server")
    told = server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    client.send("x")
    client.send(b"y")
    client.ping()
    client.close(1001, "bye")
    told += server.receive(client.data_to_send())
    names = ["open room=1", "message 'x'", "message b'y'", "another", "close bye"]
    assert [name(event) for event in told] == names


def test_an_offer_of_subprotocols() -> None:
    headers = wspy.Headers([("Sec-WebSocket-Protocol", "a, b"), ("sec-websocket-protocol", ",c ,")])
    assert Request("/", "", headers).subprotocols == ("a", "b", "c")
    assert Request("/", "", wspy.Headers()).subprotocols == ()


# -- masks, threads, memory --


def test_the_masks_of_a_client() -> None:
    """RFC 6455 section 5.3: a new one for each frame, of another client too."""
    keys = set()
    for client in (opened_client(), opened_client()):
        for _ in range(500):
            client.send("")
            data = client.data_to_send()
            assert data[:2] == b"\x81\x80"
            assert len(data) == 6
            keys.add(data[2:])
    assert len(keys) >= 998  # two of a thousand are equal once in ten thousand runs


def test_the_keys_of_clients() -> None:
    requests = {client_of().data_to_send() for _ in range(100)}
    assert len(requests) == 100


def test_threads_break_nothing() -> None:
    """All messages come, whichever thread gets them."""
    client, server = opened_pair()
    for i in range(500):
        client.send(str(i))
    pieces = [client.data_to_send()]
    told: list[events.Event] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(200):
            server.send("x")
            server.ping()
            told.extend(server.receive(pieces.pop() if pieces else b""))
            server.data_to_send()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told, key=lambda event: int(event.data)) == [  # type: ignore[union-attr]
        Message(str(i)) for i in range(500)
    ]


def test_a_handshake_that_is_interrupted_by_its_own_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Making an event may run any code: here such that feeds the same protocol."""
    server = wspy.Protocol("server")
    inner: list[events.Event] = []
    init = wspy.Headers.__init__

    def feeding(self: wspy.Headers, pairs: Any = ()) -> None:
        inner.extend(server.receive(text("x" * 100_000)))
        init(self, pairs)

    monkeypatch.setattr(wspy.Headers, "__init__", feeding)
    (event,) = server.receive(upgrade_request("localhost", "/" + "y" * 1000))
    assert isinstance(event, Open)
    assert event.path == "/" + "y" * 1000
    assert event.headers["Sec-WebSocket-Key"] == KEY
    assert inner == [Message("x" * 100_000)]


def test_an_event_that_cannot_be_made_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(self: wspy.Headers, pairs: Any = ()) -> None:
        raise MemoryError

    server = wspy.Protocol("server")
    with monkeypatch.context() as patch:
        patch.setattr(wspy.Headers, "__init__", failing)
        with pytest.raises(MemoryError):
            server.receive(upgrade_request("localhost") + text("x"))
    assert (server.is_open, server.should_close, server.sent_close) == (False, True, (1011, ""))
    assert server.receive(text("x")) == []
    assert server.data_to_send().endswith(b"\x88\x02\x03\xf3")


def play(i: int) -> None:
    client = client_of(subprotocols=["a", "b"], headers={"X": "y" * 1000})
    server = wspy.Protocol(
        "server", auto_accept=i % 2 == 0, subprotocols=["b"], hosts=["localhost"]
    )
    told = server.receive(client.data_to_send())
    if i % 2:
        if i % 3 == 0:
            server.reject(401, "no", {"A": "b"})
            client.receive(server.data_to_send())
            return
        told = server.accept({"A": "b"})
    server.me = server  # type: ignore[attr-defined]
    client.receive(server.data_to_send())
    client.send("é" * 30_000)
    client.send(b"x" * 300_000)
    data = client.data_to_send()
    feed(server, [data[:40_000], data[40_000:41_000], data[41_000 : -(i % 5) or None]])
    if i % 5 == 0:
        server.receive(frame(3, "x"))
    elif i % 7 == 0:
        server.receive_eof()
    server.data_to_send()
    assert told


def test_what_was_taken_is_given_back() -> None:
    def rounds(n: int) -> None:
        for i in range(n):
            play(i)
        gc.collect()

    rounds(300)
    memory, blocks = resident_kib(), sys.getallocatedblocks()
    rounds(600)
    assert resident_kib() - memory < 2048
    assert sys.getallocatedblocks() - blocks < 500
