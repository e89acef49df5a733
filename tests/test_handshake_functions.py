"""wspy.handshake: the server's own parser and answers, for those who have the socket themselves."""

from __future__ import annotations

import base64
import gc
import http
import mmap
import pickle
import secrets
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import websockets.sync.client
from core import Core
from handshakes import REQUEST, also, field_is, start, without
from heads import Maker
from hypothesis import given, settings
from hypothesis import strategies as st
from server_process import ServerProcess
from support import EFFORT, KEY, TIMEOUT, accept_of, resident_kib, upgrade_request
from test_differential_heads import SUBPROTOCOLS
from test_hostile_handshake import CASES

from wspy import Headers, frames, handshake
from wspy.handshake import HandshakeError, Request, parse_request

HEADS = 1500 * EFFORT
GOOD = upgrade_request("localhost")
HOSTS = ["localhost", "127.0.0.1", "[::1]"]  # of a server on a loopback address

fixed = settings(max_examples=100 * EFFORT, deadline=None, derandomize=True, database=None)


def parse(data: Any, **options: Any) -> Request:
    """What has to be a whole request."""
    request = parse_request(data, **options)
    assert request is not None
    return request


def refused(data: Any, **options: Any) -> HandshakeError:
    with pytest.raises(HandshakeError) as caught:
        parse_request(data, **options)
    return caught.value


# -- keys --


def test_the_sample_of_the_rfc() -> None:
    """RFC 6455 section 1.3."""
    sample, accept = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert handshake.accept_key(sample) == accept
    assert handshake.accept_key(sample.encode()) == accept
    assert handshake.accept_key(bytearray(sample.encode())) == accept
    assert handshake.accept_key(memoryview(sample.encode())) == accept


@fixed
@given(st.binary(min_size=16, max_size=16))
def test_accept_keys(data: bytes) -> None:
    key = base64.b64encode(data).decode()
    assert handshake.accept_key(key) == accept_of(key)
    assert handshake.accept_key(key.encode()) == accept_of(key)


@pytest.mark.parametrize(
    "key", ["", "x", KEY[:-1], KEY + "=", " " + KEY, KEY + "\n", KEY[:-2] + "AA", "-" * 22 + "==", "é" * 12]
)  # fmt: skip
def test_wrong_keys(key: str) -> None:
    for wrong in (key, key.encode()):
        with pytest.raises(ValueError, match="key must be 16 bytes in base64"):
            handshake.accept_key(wrong)


def test_keys_of_wrong_types() -> None:
    for wrong in (None, 1, [KEY]):
        with pytest.raises(TypeError, match=r"accept_key\(\) takes str or a bytes-like object"):
            handshake.accept_key(wrong)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        handshake.accept_key("\ud800")


def test_new_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {handshake.make_key() for _ in range(100)}
    assert len(keys) == 100
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {16}
    assert all(handshake.accept_key(key) == accept_of(key) for key in keys)
    asked: list[int] = []

    def source(n: int) -> bytes:
        asked.append(n)
        return bytes(range(n))

    monkeypatch.setattr(secrets, "token_bytes", source)
    assert handshake.make_key() == KEY
    assert asked == [16]


# -- what a request has --


def test_an_upgrade() -> None:
    fields = [("Origin", "http://localhost"), ("X", "1"), ("x", " 2 "), ("Y", "\xe4")]
    data = upgrade_request("localhost", "/chat/%20?a=b&c", fields)
    request = parse(data + b"\x81\x80")
    assert request == Request(
        "GET", "/chat/%20?a=b&c", "/chat/%20", "a=b&c",
        Headers([
            ("Host", "localhost"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13"),
            ("Origin", "http://localhost"), ("X", "1"), ("x", "2"), ("Y", "\xe4"),
        ]),
        len(data), True, accept_of(KEY), None,
    )  # fmt: skip
    assert request.key == KEY
    assert request.origin == "http://localhost"
    assert request.subprotocols == ()
    assert list(request.headers)[5:] == ["Origin", "X", "Y"]
    assert request.headers["x"] == "1, 2"
    assert request.answer() == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_of(KEY).encode() + b"\r\n\r\n"
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_plain_request(method: str) -> None:
    data = f"{method} http://example.com/page?q HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    request = parse(data)
    assert (request.method, request.target) == (method, "http://example.com/page?q")
    assert (request.path, request.query) == ("/page", "q")
    assert request.headers == Headers([("Host", "a")])
    assert (request.size, request.is_upgrade, request.accept) == (len(data), False, None)
    assert (request.key, request.origin, request.subprotocol) == (None, None, None)
    with pytest.raises(HandshakeError) as caught:
        request.answer()
    error = caught.value
    assert (error.status, error.detail) == (426, "a WebSocket handshake is needed here")
    assert error.head_only == (method == "HEAD")


def test_it_does_not_change() -> None:
    request = parse(GOOD)
    with pytest.raises(AttributeError):
        request.path = "/other"  # type: ignore[misc]


# -- subprotocols --


@pytest.mark.parametrize(
    ("offered", "ours", "agreed"),
    [
        (["chat, superchat"], [], None),
        (["chat, superchat"], ["superchat", "chat"], "superchat"),
        (["chat", "superchat"], ["x", "chat"], "chat"),
        ([" ,\tchat ,,"], ["chat"], "chat"),
        (["CHAT"], ["chat"], None),
        ([], ["chat"], None),
    ],
)
def test_subprotocols(offered: list[str], ours: list[str], agreed: str | None) -> None:
    fields = [("Sec-WebSocket-Protocol", value) for value in offered]
    request = parse(upgrade_request("localhost", "/", fields), subprotocols=ours)
    names = [name.strip(" \t") for name in ",".join(offered).split(",")]
    assert request.subprotocols == tuple(name for name in names if name)
    assert request.subprotocol == agreed
    lines = request.answer().split(b"\r\n")
    expected = [f"Sec-WebSocket-Protocol: {agreed}".encode()] if agreed else []
    assert [line for line in lines if line.startswith(b"Sec-WebSocket-Protocol")] == expected


def test_a_subprotocol_of_ones_own_choice() -> None:
    fields = [("Sec-WebSocket-Protocol", "chat, superchat," + "x" * 129)]
    request = parse(upgrade_request("localhost", "/", fields), subprotocols=["chat"])
    assert b"\r\nSec-WebSocket-Protocol: superchat\r\n" in request.answer("superchat")
    assert b"\r\nSec-WebSocket-Protocol: chat\r\n" in request.answer(subprotocol="chat")
    assert request.answer() == request.answer(None) == request.answer("chat")
    for wrong in ("other", "", "CHAT", "chat, superchat"):
        with pytest.raises(ValueError, match=r"^subprotocol must be one that the client offers"):
            request.answer(wrong)
    with pytest.raises(ValueError, match=r"^subprotocol must be a name of at most 128 bytes"):
        request.answer("x" * 129)
    with pytest.raises(ValueError, match=r"offers \(none\), not 'chat'"):
        parse(GOOD).answer("chat")


# -- as the server has it --


def the_answer(data: Any, **options: Any) -> bytes:
    """What somebody who has the socket sends."""
    try:
        return parse(data, **options).answer()
    except HandshakeError as error:
        return error.answer()


@pytest.mark.parametrize("name", CASES)
def test_the_status_of_every_hostile_request(name: str) -> None:
    status, request = CASES[name]
    data = request.replace(b"{host}", b"127.0.0.1:8000").replace(b"{port}", b"8000")
    answer = the_answer(data, hosts=HOSTS)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert the_answer(bytearray(data), hosts=HOSTS) == answer
    assert the_answer(memoryview(data), hosts=HOSTS) == answer


def test_the_answers_of_a_server(target: ServerProcess) -> None:
    """To the byte, for every hostile request and for random ones."""
    requests = [request for _, request in CASES.values()]
    requests += [Maker(seed).head() for seed in range(100)]
    requests += [start(b"HEAD / HTTP/1.1\r\n"), start(b"HEAD here HTTP/1.1\r\n")]
    requests += [b"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n"]
    seen = set()
    for request in requests:
        data = request.replace(b"{host}", target.host.encode())
        data = data.replace(b"{port}", str(target.port).encode())
        expected = the_answer(data, hosts=HOSTS)
        with target.client() as client:
            client.send_raw(data)
            if expected.startswith(b"HTTP/1.1 101 "):
                assert client.read_until(b"\r\n\r\n") == expected, data
                client.reset()
            else:
                assert client.read_all() == expected, data
        seen.add(expected[9:12])
    assert seen == {b"101", b"400", b"403", b"405", b"414", b"421", b"426", b"431", b"505"}


def check_head(core: Core, data: bytes) -> str:
    ours = core.head([data])
    options: dict[str, Any] = {"origins": "*", "subprotocols": SUBPROTOCOLS}
    if ours.status:
        error = refused(data, **options)
        assert error.status == ours.status
        if ours.detail:
            assert error.detail == ours.detail
        return "refused"
    request = parse(data, **options)
    assert request.size == ours.size
    assert request.method.encode() == ours.method
    assert request.target.encode() == ours.target
    assert request.headers == Headers(
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in ours.fields
    )
    assert request.is_upgrade == ours.upgrade
    assert (request.accept or "").encode() == ours.accept
    assert (request.subprotocol or "").encode() == ours.subprotocol
    return "upgrade" if ours.upgrade else "plain"


def test_random_heads(core: Core) -> None:
    seen = [check_head(core, Maker(seed).head()) for seed in range(HEADS)]
    assert seen.count("upgrade") > HEADS * 0.25
    assert seen.count("plain") > HEADS * 0.2
    assert seen.count("refused") > HEADS * 0.15


def test_every_truncation() -> None:
    data = also(b"Origin: http://localhost").replace(b"{host}", b"localhost")
    for end in range(len(data)):
        assert parse_request(data[:end]) is None
        assert parse_request(bytearray(data[:end])) is None
    assert parse(data).size == len(data)


def test_errors_are_told_before_the_end() -> None:
    """Once told they stay the same, whatever follows; so does the request."""
    early = 0
    for seed in range(300):
        data = Maker(seed).head()
        told = [told_of(data[:end]) for end in range(len(data) + 1)]
        first = next(i for i, what in enumerate(told) if what is not None)
        assert set(told[:first]) == {None}
        assert [what == told[-1] for what in told[first:]] == [True] * (len(told) - first)
        early += first < data.index(b"\r\n\r\n") + 4
    assert early > 50


def told_of(data: bytes) -> Request | tuple[int, str] | None:
    try:
        return parse_request(data, origins="*")
    except HandshakeError as error:
        return error.status, error.detail


def test_every_kind_of_buffer() -> None:
    behind = b"\x81\x80\0\0\0\0" * 2000
    with mmap.mmap(-1, len(GOOD + behind)) as mapped:
        mapped[:] = GOOD + behind
        buffers: list[Any] = [
            GOOD, bytearray(GOOD + behind), memoryview(b"x" + GOOD + behind)[1:], mapped,
        ]  # fmt: skip
        assert [parse(data) for data in buffers] == [parse(GOOD)] * 4
    with pytest.raises(TypeError, match="data must be a bytes-like object, not str"):
        parse_request(GOOD.decode())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="data must be a bytes-like object, not NoneType"):
        parse_request(None)  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        parse_request(memoryview(GOOD)[::2])


# -- limits --


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_sizes(kind: Callable[[bytes], Any]) -> None:
    for data in (GOOD, GOOD + b"x" * 1000):
        assert parse(kind(data), max_header_size=len(GOOD)).size == len(GOOD)
        error = refused(kind(data), max_header_size=len(GOOD) - 1)
        assert (error.status, error.detail) == (431, "the request head is too large")
    line = GOOD.index(b"\n")
    assert parse_request(kind(GOOD[:line]), max_header_size=line + 1) is None
    assert refused(kind(GOOD), max_header_size=line).status == 414
    assert refused(kind(b"G" * 8192)).status == 414
    assert parse_request(kind(b"G" * 8191)) is None
    large = also(b"X: " + b"x" * 100_000).replace(b"{host}", b"localhost")
    assert refused(kind(large)).status == 431
    assert parse(kind(large), max_header_size=2**24).size == len(large)


def test_numbers_of_fields() -> None:
    assert parse(GOOD, max_headers=5).size == len(GOOD)
    assert refused(GOOD, max_headers=4).status == 431
    many = also(*[b"X: y"] * 59).replace(b"{host}", b"localhost")
    assert parse(many).size == len(many)
    assert refused(also(*[b"X: y"] * 60).replace(b"{host}", b"localhost")).status == 431


def test_origins_and_hosts() -> None:
    foreign = upgrade_request("a.example:8000", "/", [("Origin", "https://b.example")])
    assert refused(foreign).status == 403
    assert "origins=" in refused(foreign, origins=["https://c.example"]).detail
    assert parse(foreign, origins="*").origin == "https://b.example"
    assert parse(foreign, origins=["https://b.example"]).is_upgrade
    assert parse(GOOD, origins=[]).is_upgrade
    assert refused(foreign, origins="*", hosts=["b.example"]).status == 421
    assert parse(foreign, origins="*", hosts=["a.example"]).is_upgrade
    assert parse(foreign, origins="*", hosts=["a.example:8000"]).is_upgrade
    assert refused(foreign, origins="*", hosts=[]).status == 421


WRONG: dict[str, tuple[type[Exception], dict[str, Any]]] = {
    "max_header_size must be an int from 1 to 16777216": (ValueError, {"max_header_size": 0}),
    "max_header_size must be an int from": (TypeError, {"max_header_size": "1"}),
    "max_headers must be an int from 1 to 65536": (ValueError, {"max_headers": 65537}),
    'origins must be "same-origin", "*" or a list': (ValueError, {"origins": "https://a"}),
    "each of origins must be an origin like": (ValueError, {"origins": ["a"]}),
    'hosts must be "*" or a list of host names': (ValueError, {"hosts": "auto"}),
    "each of hosts must be a host like": (ValueError, {"hosts": ["a/b"]}),
    "hosts must be": (TypeError, {"hosts": None}),
    "each of subprotocols must be a token": (ValueError, {"subprotocols": ["a b"]}),
    "subprotocols must be a list of names": (TypeError, {"subprotocols": "chat"}),
    "'max_size'": (TypeError, {"max_size": 1}),
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_options(text: str) -> None:
    kind, options = WRONG[text]
    with pytest.raises(kind) as caught:
        parse_request(GOOD, **options)
    assert type(caught.value) is kind
    assert text in str(caught.value)


# -- refusing --


def test_an_error_of_ones_own() -> None:
    error = HandshakeError(401, "log in first")
    assert isinstance(error, ValueError)
    assert (error.status, error.detail, error.head_only) == (401, "log in first", False)
    assert str(error) == "401: log in first"
    assert error.answer() == (
        b"HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 13\r\nConnection: close\r\n\r\nlog in first\n"
    )
    head, _, body = (
        HandshakeError(401, "log in first", head_only=True).answer().partition(b"\r\n\r\n")
    )
    assert head == error.answer().partition(b"\r\n\r\n")[0]
    assert body == b""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.args, str(again)) == (HandshakeError, error.args, str(error))


def test_an_error_without_words() -> None:
    error = HandshakeError(404)
    assert (str(error), error.detail) == ("404", "")
    assert error.answer().endswith(b"\r\n\r\nNot Found\n")


def test_every_status() -> None:
    phrases = {status.value: status.phrase for status in http.HTTPStatus}
    for status in range(400, 600):
        lines = HandshakeError(status, "x").answer().decode().split("\r\n")
        phrase = lines[0].removeprefix(f"HTTP/1.1 {status} ")
        assert "Content-Length: 2" in lines
        assert lines[-1] == "x\n"
        if status in (400, 401, 403, 404, 426, 429, 431, 500, 503):
            assert phrase == phrases[status]


def test_details() -> None:
    assert HandshakeError(400, "é" * 200).answer().endswith(("é" * 128 + "\n").encode())
    with pytest.raises(UnicodeEncodeError):
        HandshakeError(400, "\ud800").answer()
    with pytest.raises(ValueError, match=r"^detail must have no NUL$"):
        HandshakeError(400, "a\0b")
    with pytest.raises(TypeError, match=r"^detail must be a str, not bytes$"):
        HandshakeError(400, b"a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^status must be an int from 400 to 599, not str$"):
        HandshakeError("400")  # type: ignore[arg-type]
    for wrong in (0, 101, 200, 399, 600, -1):
        with pytest.raises(
            ValueError, match=f"^status must be an int from 400 to 599, not {wrong}$"
        ):
            HandshakeError(wrong, "x")


# -- with a socket --


def serve(sock: socket.socket) -> None:
    """An echo server of one connection, of nothing but wspy.handshake and wspy.frames."""
    data = bytearray()
    try:
        while (request := parse_request(data)) is None:
            data += sock.recv(7)
        sock.sendall(request.answer())
        del data[: request.size]
    except HandshakeError as error:
        sock.sendall(error.answer())
        return
    while True:
        try:
            frame = frames.unpack_from(data)
        except frames.IncompleteFrame as error:
            data += sock.recv(error.needed)
            continue
        del data[: frame.size]
        sock.sendall(frames.pack(frame.opcode, frame.payload))
        if frame.opcode == frames.CLOSE:
            return


def test_a_client_of_websockets() -> None:
    def accept_one(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.settimeout(TIMEOUT)
            serve(sock)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        port = listener.getsockname()[1]
        thread = threading.Thread(target=accept_one, args=(listener,), daemon=True)
        thread.start()
        with websockets.sync.client.connect(
            f"ws://127.0.0.1:{port}/chat", compression=None, proxy=None
        ) as client:
            for message in ("Grüße", b"\0\1\2", "", b"x" * 70_000, "y" * 126):
                client.send(message)
                assert client.recv(TIMEOUT) == message
        thread.join(TIMEOUT)
        assert not thread.is_alive()
        assert client.close_code == 1000


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (without(b"Host"), 400),
        (field_is(b"Sec-WebSocket-Version", b"8"), 426),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
    ],
)
def test_a_client_that_is_refused(request_: bytes, status: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(TIMEOUT)
        theirs.sendall(request_.replace(b"{host}", b"localhost"))
        serve(ours)
        assert theirs.recv(1000).startswith(b"HTTP/1.1 %d " % status)


# -- what is taken is given back --


def test_leaks() -> None:
    fields = [("Sec-WebSocket-Protocol", "chat"), ("Origin", "https://a.example")]
    good = upgrade_request("localhost", "/", fields)
    options: dict[str, Any] = {
        "origins": ["https://a.example"], "hosts": ["localhost"], "subprotocols": ["chat"],
    }  # fmt: skip

    def rounds(n: int) -> None:
        for _ in range(n):
            handshake.accept_key(handshake.make_key())
            parse(good, **options).answer()
            parse(bytearray(good), **options).answer("chat")
            assert parse_request(good[:-1], **options) is None
            the_answer(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            the_answer(REQUEST)
            for wrong in ("x", None):
                with pytest.raises((TypeError, ValueError)):
                    handshake.accept_key(wrong)  # type: ignore[arg-type]
                with pytest.raises(TypeError):
                    parse_request(wrong)  # type: ignore[arg-type]
        gc.collect()

    rounds(200)
    memory, references = resident_kib(), sys.getrefcount(good)
    rounds(2000)
    assert resident_kib() - memory < 1024
    assert sys.getrefcount(good) == references
