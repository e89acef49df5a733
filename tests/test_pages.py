"""Fixed answers on the port of the WebSocket, and what else plain HTTP gets."""

from __future__ import annotations

import contextlib
import http.client

import pytest
from conftest import Records, Servers
from support import MIB, Connect, Response, frame, wait_until

import wspy


def ask(connect: Connect, server: wspy.Server, request: str, **options: bool) -> Response:
    client = connect(server, handshake=False)
    client.send_raw(request.replace("{host}", client.host).encode("latin-1"))
    return client.response(**options)


def get_page(connect: Connect, server: wspy.Server, target: str, method: str = "GET") -> Response:
    request = f"{method} {target} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"
    return ask(connect, server, request, head_only=method == "HEAD")


@pytest.fixture
def server(servers: Servers) -> wspy.Server:
    server = servers.make(on_message=lambda conn, message: conn.send(message))
    server.page("/", "<h1>Grüße</h1>")
    server.page("/data", b"\x00\xff", headers={"X-One": "1", "Cache-Control": "no-store"})
    server.page("/style.css", "body {}", "text/css")
    server.page("/empty", "")
    server.page("/big", bytes(3 * MIB))
    server.page("/twice", "first")
    server.page("/twice", "second")
    servers.start(server)
    return server


def test_a_page(server: wspy.Server, connect: Connect) -> None:
    response = get_page(connect, server, "/")
    assert (response.status, response.phrase) == (200, "OK")
    assert response.body.decode() == "<h1>Grüße</h1>"
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["connection"] == "close"


def test_a_page_of_bytes_with_headers(server: wspy.Server, connect: Connect) -> None:
    response = get_page(connect, server, "/data")
    assert response.body == b"\x00\xff"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-one"] == "1"
    assert response.headers["cache-control"] == "no-store"


def test_a_content_type(server: wspy.Server, connect: Connect) -> None:
    assert get_page(connect, server, "/style.css").headers["content-type"] == "text/css"


def test_an_empty_and_a_big_page(server: wspy.Server, connect: Connect) -> None:
    assert get_page(connect, server, "/empty").body == b""
    assert get_page(connect, server, "/big").body == bytes(3 * MIB)


def test_head(server: wspy.Server, connect: Connect) -> None:
    response = get_page(connect, server, "/", "HEAD")
    assert response.status == 200
    assert response.headers["content-length"] == str(len("<h1>Grüße</h1>".encode()))
    assert get_page(connect, server, "/no", "HEAD").status == 404


def test_a_query_is_not_part_of_the_path(server: wspy.Server, connect: Connect) -> None:
    assert get_page(connect, server, "/data?x=/y?").body == b"\x00\xff"
    assert get_page(connect, server, "/?").status == 200


@pytest.mark.parametrize("path", ["/data/", "/DATA", "/dat", "/data%20", "//", "/./", "/%2F"])
def test_the_path_is_exact(server: wspy.Server, connect: Connect, path: str) -> None:
    assert get_page(connect, server, path).status == 404


def test_the_second_page_of_a_path_counts(server: wspy.Server, connect: Connect) -> None:
    assert get_page(connect, server, "/twice").body == b"second"


def test_a_real_http_client(server: wspy.Server) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for method, body in (("GET", b"body {}"), ("HEAD", b"")):
        client.request(method, "/style.css")
        response = client.getresponse()
        assert (response.status, response.read()) == (200, body)
    client.close()


def test_the_websocket_of_a_page(server: wspy.Server, connect: Connect) -> None:
    client = connect(server, "/", [("Origin", f"http://127.0.0.1:{server.port}")])
    client.echo("hello")


def test_without_pages_426(echo: wspy.Server, connect: Connect) -> None:
    response = get_page(connect, echo, "/")
    assert response.status == 426
    assert response.headers["upgrade"] == "websocket"
    assert response.headers["connection"] == "close, Upgrade"
    assert response.body


REFUSED = {
    "POST": (405, "POST / HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "PUT": (405, "PUT / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"),
    "OPTIONS": (405, "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "CONNECT": (400, "CONNECT a:1 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a body": (400, "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello"),
    "a chunked body": (
        400, "GET / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "a POST with a body": (400, "POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx"),
    "two lengths": (
        400, "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    ),
    "garbage": (400, "hello\r\n\r\n"),
    "TLS": (400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "HTTP/0.9": (400, "GET /\r\n\r\n"),
    "HTTP/1.0": (505, "GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"),
    "HTTP/2": (505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "no host": (400, "GET / HTTP/1.1\r\n\r\n"),
    "a foreign host": (421, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    "bare line feeds": (400, "GET / HTTP/1.1\nHost: {host}\n\n"),
    "a NUL": (400, "GET /\0 HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a fragment": (400, "GET /#x HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a long line": (414, "GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a long line without end": (414, "GET /" + "a" * 9000),
    "a long field": (431, "GET / HTTP/1.1\r\nHost: {host}\r\nX: " + "a" * 9000 + "\r\n\r\n"),
    "many fields": (431, "GET / HTTP/1.1\r\nHost: {host}\r\n" + "X: y\r\n" * 64 + "\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_request_that_is_refused(
    server: wspy.Server, connect: Connect, log: Records, name: str
) -> None:
    status, request = REFUSED[name]
    response = ask(connect, server, request)
    assert response.status == status
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    if status == 405:
        assert response.headers["allow"] == "GET, HEAD"
    assert server.stats()["refused"] == 1
    assert any(str(status) in line for line in log.at(20))
    assert get_page(connect, server, "/empty").status == 200


def test_as_many_fields_as_may_be(server: wspy.Server, connect: Connect) -> None:
    request = "GET /empty HTTP/1.1\r\nHost: {host}\r\n" + "X: y\r\n" * 63 + "\r\n"
    assert ask(connect, server, request).status == 200


@pytest.mark.parametrize("size", [100, 200])
def test_the_option_max_header_size(servers: Servers, connect: Connect, size: int) -> None:
    server = servers.run(max_header_size=size)
    start, end = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ", "\r\n\r\n"
    pad = "a" * (size - len(start) - len(end))
    assert ask(connect, server, start + pad + end).status == 426
    assert ask(connect, server, start + pad + "a" + end).status == 431


def test_the_option_max_headers(servers: Servers, connect: Connect) -> None:
    server = servers.run(max_headers=2)
    head = "GET / HTTP/1.1\r\nHost: localhost\r\n"
    assert ask(connect, server, head + "X: y\r\n\r\n").status == 426
    assert ask(connect, server, head + "X: y\r\nX: y\r\n\r\n").status == 431


def test_two_requests_in_one_segment(server: wspy.Server, connect: Connect) -> None:
    request = "GET /empty HTTP/1.1\r\nHost: {host}\r\n\r\n"
    assert ask(connect, server, request * 2).body == b""


def test_a_peer_that_goes_before_its_answer(server: wspy.Server, connect: Connect) -> None:
    for _ in range(20):
        client = connect(server, handshake=False)
        client.send_raw(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.reset()
        half = connect(server, handshake=False)
        half.send_raw(b"GET /twice HTTP/1.1\r\nHost: localhost\r\n\r\n")
        half.shutdown()
        assert half.response().body == b"second"
    assert get_page(connect, server, "/twice").body == b"second"


def test_a_peer_that_only_connects(server: wspy.Server, connect: Connect) -> None:
    for end in ("close", "reset", "some"):
        client = connect(server, handshake=False)
        if end == "some":
            client.send_raw(b"GET / HT")
        client.reset() if end == "reset" else client.socket.close()
    connect(server).echo("hello")


def test_a_lot_of_bytes_behind_a_refusal(server: wspy.Server, connect: Connect) -> None:
    client = connect(server, handshake=False)
    with contextlib.suppress(OSError):  # it does not read for ever
        client.send_raw(b"garbage\r\n\r\n", bytes(4 * MIB))
    connect(server).echo("hello")


def test_a_frame_instead_of_a_request(server: wspy.Server, connect: Connect) -> None:
    client = connect(server, handshake=False)
    client.send_raw(frame(1, "hello"))
    assert client.response().status == 400
    wait_until(lambda: server.stats()["refused"] == 1)


@pytest.mark.parametrize(
    ("path", "body", "options", "kind", "name"),
    [
        ("no-slash", "", {}, ValueError, "path"),
        ("/a b", "", {}, ValueError, "path"),
        ("/a?b", "", {}, ValueError, "path"),
        ("/ü", "", {}, ValueError, "path"),
        ("/a\r\nX: y", "", {}, ValueError, "path"),
        (5, "", {}, TypeError, "path"),
        ("/", 5, {}, TypeError, "body"),
        ("/", "", {"content_type": "a\r\nX: y"}, ValueError, "content_type"),
        ("/", "", {"content_type": 5}, TypeError, "content_type"),
        ("/", "", {"headers": {"X": "a\r\nY: b"}}, ValueError, "headers"),
        ("/", "", {"headers": {"X Y": "a"}}, ValueError, "headers"),
        ("/", "", {"headers": {"X\r\n": "a"}}, ValueError, "headers"),
        ("/", "", {"headers": {"Content-Length": "5"}}, ValueError, "Content-Length"),
        ("/", "", {"headers": [("X", "Y")]}, TypeError, "headers"),
        ("/", "", {"headers": {"X": 5}}, TypeError, "headers"),
    ],
)
def test_a_bad_page(
    servers: Servers, path: object, body: object, options: dict[str, object],
    kind: type[Exception], name: str,
) -> None:  # fmt: skip
    with pytest.raises(kind, match=name):
        servers.make().page(path, body, **options)  # type: ignore[arg-type]
