"""The opening handshake of Protocol: a server answers as wspy.Server does, a client checks."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import pytest
from core import Core
from heads import Maker
from protocols import OWN_HOSTS, client_of, cut_at, each_byte, feed, in_pieces
from support import EFFORT, KEY, accept_of, text, upgrade_request
from test_differential_heads import SUBPROTOCOLS
from test_hostile_handshake import CASES

import wspy
from wspy.events import Close, Event, Message, Open, Rejected, Request

STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


def status_of(answer: bytes) -> int:
    found = STATUS.match(answer)
    assert found, answer
    return int(found[1])


# -- the server, as wspy.Server --


@pytest.mark.parametrize("name", CASES)
def test_a_request_is_answered_as_by_the_server(name: str) -> None:
    status, data = CASES[name]
    data = data.replace(b"{host}", b"127.0.0.1:12345").replace(b"{port}", b"12345")
    for pieces in in_pieces(data):
        server = wspy.Protocol("server", hosts=OWN_HOSTS)
        told = feed(server, pieces)
        assert status_of(server.data_to_send()) == status
        if status == 101:
            assert isinstance(told[0], Open)
            continue
        (event,) = told
        assert isinstance(event, Rejected)
        assert (event.status, event.headers) == (status, wspy.Headers())
        assert event.detail
        assert (server.state, server.should_close) == ("closed", True)
        assert server.receive(data) == server.receive_eof() == []
        assert server.data_to_send() == b""


def test_random_heads_are_answered_as_the_core_says(core: Core) -> None:
    maker = Maker(8)
    seen = set()
    for _ in range(1500 * EFFORT):
        head = maker.head()
        pieces = maker.pieces(head)
        expected = core.head(pieces)
        server = wspy.Protocol("server", origins="*", subprotocols=SUBPROTOCOLS)
        told = feed(server, pieces)
        status = expected.status or (101 if expected.upgrade else 426)
        assert status_of(server.data_to_send()) == status, head
        seen.add(status)
        if status != 101:
            assert told == [Rejected(status, told[0].detail, wspy.Headers())]  # type: ignore[union-attr]
            continue
        event = told[0]
        assert isinstance(event, Open)
        assert (event.subprotocol or "").encode() == expected.subprotocol
        fields = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in expected.fields
        ]
        assert event.headers == wspy.Headers(fields)
    assert seen >= {101, 400, 405, 426, 505}


def test_the_answers_have_what_their_status_asks_for() -> None:
    server = wspy.Protocol("server")
    server.receive(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = server.data_to_send()
    assert answer.endswith(b"\r\n\r\n")  # no body
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in answer
    server = wspy.Protocol("server")
    server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert server.data_to_send().endswith(b"\r\n\r\na WebSocket handshake is needed here\n")


def test_limits_of_the_head() -> None:
    request = upgrade_request("localhost", "/", [("X", "y")] * 3)
    for options, status in (
        ({"max_headers": 8, "max_header_size": len(request)}, 101),
        ({"max_headers": 7}, 431),
        ({"max_header_size": len(request) - 1}, 431),
        ({"max_header_size": 10}, 414),
    ):
        for pieces in ([request], each_byte(request)):
            server = wspy.Protocol("server", **options)  # type: ignore[arg-type]
            feed(server, pieces)
            assert status_of(server.data_to_send()) == status


def test_origins_and_hosts() -> None:
    request = upgrade_request("a.example", "/", [("Origin", "https://b.example")])
    for options, status in (
        ({}, 403),
        ({"origins": "*"}, 101),
        ({"origins": ["https://b.example"]}, 101),
        ({"origins": ["https://c.example"]}, 403),
        ({"origins": "*", "hosts": ["b.example"]}, 421),
        ({"origins": "*", "hosts": ["a.example"]}, 101),
    ):
        server = wspy.Protocol("server", **options)
        server.receive(request)
        assert status_of(server.data_to_send()) == status


# -- the server's word --


def asked(data: bytes = b"", **options: Any) -> tuple[wspy.Protocol, Request]:
    server = wspy.Protocol("server", auto_accept=False, **options)
    offer = [("Sec-WebSocket-Protocol", "a, b")]
    (event,) = server.receive(upgrade_request("localhost", "/x?y", offer) + data)
    assert isinstance(event, Request)
    return server, event


def test_accept() -> None:
    server, request = asked(text("early"), subprotocols=["b"])
    assert (request.path, request.query, request.subprotocols) == ("/x", "y", ("a", "b"))
    assert (server.state, server.data_to_send(), server.opened) == ("connecting", b"", None)
    assert server.receive(text("later")[:3]) == []
    told = server.accept({"Set-Cookie": "a=b", "X": ""})
    assert told == [Open("/x", "y", request.headers, "b"), Message("early")]
    assert server.receive(text("later")[3:]) == [Message("later")]
    assert server.data_to_send() == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(KEY).encode() + b"\r\n"
        b"Sec-WebSocket-Protocol: b\r\nSet-Cookie: a=b\r\nX: \r\n\r\n"
    )


@pytest.mark.parametrize(
    ("arguments", "start", "end"),
    [
        ((), b"HTTP/1.1 403 Forbidden\r\n", b"\r\n\r\nForbidden\n"),
        ((401, "who is that?"), b"HTTP/1.1 401 Unauthorized\r\n", b"\r\n\r\nwho is that?\n"),
        ((404, "é" * 128), b"HTTP/1.1 404 Not Found\r\n", "é".encode() * 128 + b"\n"),
        ((302, "", {"Location": "/y"}), b"HTTP/1.1 302 Found\r\n", b"\r\nLocation: /y\r\n\r\n\n"),
    ],
)
def test_reject(arguments: tuple[Any, ...], start: bytes, end: bytes) -> None:
    server, _ = asked(text("early"))
    server.reject(*arguments)
    answer = server.data_to_send()
    assert answer.startswith(start)
    assert answer.endswith(end)
    assert (server.state, server.should_close) == ("closed", True)
    assert server.receive(text("x")) == server.receive_eof() == []
    with pytest.raises(wspy.ConnectionClosed):
        server.send("x")


def test_one_answer_to_a_request() -> None:
    server, _ = asked()
    server.accept()
    for call in (server.accept, server.reject):
        with pytest.raises(RuntimeError, match="no Request to answer"):
            call()
    for other in (wspy.Protocol("server"), wspy.Protocol("server", auto_accept=False), client_of()):
        for call in (other.accept, other.reject):
            with pytest.raises(RuntimeError, match="no Request to answer"):
                call()


def test_the_client_goes_before_the_answer() -> None:
    server, _ = asked(text("early"))
    assert server.receive_eof() == [Close(1006, "", "eof")]
    with pytest.raises(RuntimeError, match="no Request to answer"):
        server.accept()


def test_a_request_that_cannot_be_let_in_is_not_told() -> None:
    server = wspy.Protocol("server", auto_accept=False)
    (event,) = server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert event == Rejected(426, "a WebSocket handshake is needed here", wspy.Headers())


FIELDS: list[tuple[type[Exception], Any]] = [
    (TypeError, [("A", "b")]),
    (TypeError, {"A": 5}),
    (ValueError, {"A b": "c"}),
    (ValueError, {"A": "b\r\nC: d"}),
    (ValueError, {"Upgrade": "h2c"}),
    (ValueError, {"connection": "close"}),
    (ValueError, {"Content-Length": "5"}),
    (ValueError, {"Transfer-Encoding": "chunked"}),
    (ValueError, {"Sec-WebSocket-Protocol": "a"}),
    (ValueError, {"Sec-WebSocket-Extensions": "permessage-deflate"}),
    (ValueError, {"Host": "a"}),
]


@pytest.mark.parametrize(("error", "headers"), FIELDS)
def test_headers_that_may_not_be(error: type[Exception], headers: Mapping[str, str]) -> None:
    server, _ = asked()
    with pytest.raises(error, match="headers"):
        server.accept(headers)
    with pytest.raises(error, match="headers"):
        server.reject(403, headers=headers)
    with pytest.raises(error, match="headers"):
        client_of(headers=headers)
    assert server.data_to_send() == b""
    assert isinstance(server.accept()[0], Open)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (ValueError, {"status": 200}),
        (ValueError, {"status": 101}),
        (ValueError, {"status": 600}),
        (TypeError, {"status": "403"}),
        (TypeError, {"detail": b"no"}),
        (ValueError, {"detail": "a\0b"}),
        (ValueError, {"detail": "é" * 129}),
    ],
)
def test_rejections_that_may_not_be(error: type[Exception], arguments: dict[str, Any]) -> None:
    server, _ = asked()
    with pytest.raises(error, match=next(iter(arguments))):
        server.reject(**arguments)
    assert isinstance(server.accept()[0], Open)


# -- the client --


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("ws://a.example", "a.example", "/"),
        ("ws://a.example/", "a.example", "/"),
        ("ws://a.example:80/x", "a.example", "/x"),
        ("wss://a.example:443", "a.example", "/"),
        ("ws://a.example:443/", "a.example:443", "/"),
        ("wss://a.example:80/", "a.example:80", "/"),
        ("ws://a.example:/", "a.example", "/"),
        ("ws://a.example:080/", "a.example", "/"),
        ("WS://[::1]:8000/x//y?a=%20&b", "[::1]:8000", "/x//y?a=%20&b"),
        ("ws://a.example?a=b", "a.example", "/?a=b"),
        ("ws://a.example/x?a?b", "a.example", "/x?a?b"),
    ],
)
def test_a_url(url: str, host: str, target: str) -> None:
    client = wspy.Protocol("client", url=url)
    lines = client.data_to_send().decode().split("\r\n")
    assert lines[:2] == [f"GET {target} HTTP/1.1", f"Host: {host}"]


@pytest.mark.parametrize(
    "url",
    [
        "", "a.example", "http://a.example/", "ws:/a", "ws:///x", "ws://", "ws://user@a/",
        "ws://a/#b", "ws://a/#", "ws://a b/", "ws://a/b c", "ws://a/é", "ws://é/", "ws://a/\0",
        "ws://a/\r\nX: y", "ws://a:b/", "ws://a:99999/", "ws://[::1/", "ws://a:80:80/", " ws://a/",
        "ws://[::1]x/", "ws://[::zz]/", "ws://a:-1/", "ws://a:1:/", "ws://a/\x7f", "ws://:80/",
    ],
)  # fmt: skip
def test_a_url_that_may_not_be(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        wspy.Protocol("client", url=url)


def test_the_request_of_a_client() -> None:
    client = client_of(subprotocols=["a", "b"], headers={"Origin": "http://localhost"})
    request = client.data_to_send().decode()
    found = re.search("Sec-WebSocket-Key: (.*)\r\n", request)
    assert found
    assert len(base64.b64decode(found[1], validate=True)) == 16
    assert request == (
        "GET /chat?room=1 HTTP/1.1\r\nHost: localhost:8000\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {found[1]}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: a, b\r\nOrigin: http://localhost\r\n\r\n"
    )


ACCEPT = "Sec-WebSocket-Accept: {accept}\r\n"
UPGRADE = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
GOOD = f"HTTP/1.1 101 Switching Protocols\r\n{UPGRADE}{ACCEPT}"

# The answer, and the status that Rejected has with a word of its detail.
ANSWERS: dict[str, tuple[str, int | None, str]] = {
    "200": (f"HTTP/1.1 200 OK\r\n{UPGRADE}{ACCEPT}\r\n", 200, "not 101"),
    "403 and its body": ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, "not 101"),
    "a redirect": ("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", 302, "not 101"),
    "no Upgrade": (f"HTTP/1.1 101 x\r\nConnection: Upgrade\r\n{ACCEPT}\r\n", 101, "Upgrade"),
    "no Connection": (f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n{ACCEPT}\r\n", 101, "Connection"),
    "no accept": (f"HTTP/1.1 101 x\r\n{UPGRADE}\r\n", 101, "exactly one"),
    "two accepts": (f"HTTP/1.1 101 x\r\n{UPGRADE}{ACCEPT}{ACCEPT}\r\n", 101, "exactly one"),
    "another's accept": (
        f"HTTP/1.1 101 x\r\n{UPGRADE}Sec-WebSocket-Accept: {accept_of(KEY)}\r\n\r\n", 101, "wrong"
    ),
    "an extension": (f"{GOOD}Sec-WebSocket-Extensions: x\r\n\r\n", 101, "extension"),
    "a subprotocol": (f"{GOOD}Sec-WebSocket-Protocol: c\r\n\r\n", 101, "subprotocol"),
    "two subprotocols": (f"{GOOD}Sec-WebSocket-Protocol: a, b\r\n\r\n", 101, "subprotocol"),
    "SSH": ("SSH-2.0-OpenSSH_9.9\r\n", None, "not HTTP"),
    "a frame": ("\x81\x05hello", None, "not HTTP"),
    "HTTP/1.0": ("HTTP/1.0 200 OK\r\n\r\n", None, "not HTTP/1.1"),
    "a bare line feed": (GOOD.replace("\r\n", "\n", 1) + "\r\n", None, "not HTTP"),
    "a long head": (f"{GOOD}X: {'y' * 9000}\r\n\r\n", None, "too large"),
    "many fields": (GOOD + "X: y\r\n" * 65 + "\r\n", None, "too large"),
}  # fmt: skip


def answered(answer: str, client: wspy.Protocol) -> bytes:
    """The answer with the accept of the client's key."""
    found = re.search(rb"Sec-WebSocket-Key: (.*)\r\n", client.data_to_send())
    assert found
    return answer.replace("{accept}", accept_of(found[1].decode())).encode("latin-1")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_a_client_refuses(name: str) -> None:
    answer, status, words = ANSWERS[name]
    size = len(answer)
    for cuts in [[], list(range(1, size))] if size > 500 else [[i] for i in range(size)]:
        client = client_of(subprotocols=["a", "b"])
        (event,) = feed(client, cut_at(answered(answer, client), cuts))
        assert isinstance(event, Rejected)
        assert event.status == status
        assert words in event.detail
        assert (event.headers != wspy.Headers()) == (status is not None)
        assert (client.state, client.should_close) == ("closed", True)
        assert client.receive(b"x") == client.receive_eof() == []
        assert client.data_to_send() == b""


@pytest.mark.parametrize(
    ("answer", "subprotocol"),
    [
        (GOOD + "\r\n", None),
        (GOOD + "sec-websocket-protocol:b\r\n\r\n", "b"),
        (f"HTTP/1.1 101 \r\nupgrade: WebSocket\r\nCONNECTION: x, upgrade\r\n{ACCEPT}\r\n", None),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\n" + GOOD + "\r\n", None),
    ],
)
def test_an_answer_that_is_good(answer: str, subprotocol: str | None) -> None:
    for cut in range(len(answer)):
        client = client_of(subprotocols=["a", "b"])
        data = answered(answer, client) + b"\x81\x02hi"
        told: list[Event] = feed(client, cut_at(data, [cut]))
        assert isinstance(told[0], Open)
        assert told[0].subprotocol == subprotocol
        assert "Sec-WebSocket-Accept" in told[0].headers
        assert told[1:] == [Message("hi")]


def test_a_large_head_if_that_may_be() -> None:
    client = client_of(max_header_size=20_000, max_headers=100)
    data = answered(GOOD + f"X: {'y' * 9000}\r\n" + "X: y\r\n" * 90 + "\r\n", client)
    assert isinstance(client.receive(data)[0], Open)
