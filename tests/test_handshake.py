"""The opening handshake over a socket: what is let in, and bytes in every division."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable

import pytest
from conftest import Records, Servers
from support import KEY, Connect, Recorder, accept_of, get, text, upgrade_request, wait, wait_until
from websockets.sync.client import connect as connect_sync

import wspy


def without(request: bytes, name: str) -> bytes:
    lines = request.split(b"\r\n")
    return b"\r\n".join(s for s in lines if not s.lower().startswith(name.lower().encode() + b":"))


def with_field(request: bytes, name: str, value: str) -> bytes:
    return request[:-2] + f"{name}: {value}\r\n\r\n".encode("latin-1")


def replaced(request: bytes, name: str, value: str) -> bytes:
    return with_field(without(request, name), name, value)


def test_accept_is_that_of_the_rfc(echo: wspy.Server, connect: Connect) -> None:
    # RFC 6455 section 1.3.
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    assert accept_of(key) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    client = connect(echo, handshake=False)
    client.send_raw(upgrade_request(client.host, key=key))
    client.check_upgrade(key)


def test_frames_in_the_segment_of_the_handshake(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo, handshake=False)
    client.send_raw(client.request(), text("one"), text("two"), text("three"))
    client.check_upgrade()
    assert [client.receive() for _ in range(3)] == ["one", "two", "three"]
    client.echo("four")


def test_a_frame_cut_by_the_segment_of_the_handshake(echo: wspy.Server, connect: Connect) -> None:
    data = text("hello")
    for cut in range(1, len(data)):
        client = connect(echo, handshake=False)
        client.send_raw(client.request(), data[:cut])
        client.check_upgrade()
        client.send_raw(data[cut:])
        assert client.receive() == "hello"


def test_a_lot_behind_the_handshake(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo, handshake=False)
    client.send_raw(client.request(), text("x" * 500) * 100)
    client.check_upgrade()
    for _ in range(100):
        assert client.receive() == "x" * 500


def test_the_handshake_split_at_every_byte(echo: wspy.Server, connect: Connect) -> None:
    # One client for each cut, all at once, so that the server sees the pieces apart.
    size = len(upgrade_request("127.0.0.1:12345"))
    clients = [connect(echo, handshake=False) for _ in range(1, size)]
    for cut, client in enumerate(clients, 1):
        client.send_raw(client.request()[:cut])
    for cut, client in enumerate(clients, 1):
        client.send_raw(client.request()[cut:], text("hello"))
    for client in clients:
        client.check_upgrade()
        assert client.receive() == "hello"


def test_the_handshake_one_byte_at_a_time(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo, handshake=False)
    for byte in client.request():
        client.send_raw(bytes([byte]))
    client.check_upgrade()
    client.echo("hello")


def test_what_the_request_said(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    fields = [
        ("X-One", "1"),
        ("x-one", "2"),
        ("Cookie", "a=b"),
        ("COOKIE", "c=d"),
        ("X-Latin", "é"),
    ]
    client = connect(server, "/a%20b/c?q=1&r=%3F?x", fields)
    conn = get(recorder.opened)
    assert (conn.path, conn.query) == ("/a%20b/c", "q=1&r=%3F?x")
    assert conn.headers["x-one"] == "1, 2"
    assert conn.headers["cookie"] == "a=b; c=d"
    assert conn.headers["x-latin"] == "é"
    assert conn.headers["HOST"] == client.host
    assert conn.headers is conn.headers
    assert isinstance(conn.headers, wspy.Headers)
    assert list(conn.headers)[:2] == ["Host", "Upgrade"]
    assert conn.remote_address == client.socket.getsockname()
    assert conn.server is server
    assert conn.is_open
    wait_until(lambda: conn.backlog == 0)
    assert (conn.close_kind, conn.close_code, conn.close_reason, conn.sent_close) == (None,) * 4


@pytest.mark.parametrize("target", ["/", "/?", "/x?", "/%00", "/" + "a" * 2000])
def test_a_target(servers: Servers, connect: Connect, target: str) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    connect(server, target)
    conn = get(recorder.opened)
    assert (conn.path, conn.query) == (target.rstrip("?"), "")


def test_an_absolute_target_names_the_host(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    connect(server, f"http://127.0.0.1:{server.port}/here?x")
    conn = get(recorder.opened)
    assert (conn.path, conn.query) == ("/here", "x")
    client = connect(server, handshake=False)
    client.send_raw(client.request("http://evil.example/"))
    assert client.response().status == 421


@pytest.mark.parametrize(
    "change",
    [
        lambda r: replaced(r, "Upgrade", "WebSocket"),
        lambda r: replaced(r, "Upgrade", "h2c, websocket"),
        lambda r: replaced(r, "Connection", "keep-alive, Upgrade"),
        lambda r: replaced(r, "Connection", "UPGRADE"),
        lambda r: with_field(r, "Connection", "keep-alive"),
        lambda r: with_field(r, "Content-Length", "0"),
        lambda r: with_field(r, "Sec-WebSocket-Extensions", "permessage-deflate; x=1"),
        lambda r: with_field(r, "Sec-WebSocket-Protocol", "chat, superchat"),
        lambda r: r.replace(b"Host:", b"hOST:"),
        lambda r: r.replace(b"Upgrade: websocket", b"Upgrade:\t websocket \t"),
    ],
)
def test_a_variant_that_is_let_in(
    echo: wspy.Server, connect: Connect, change: Callable[[bytes], bytes]
) -> None:
    client = connect(echo, handshake=False)
    client.send_raw(change(client.request()))
    client.check_upgrade()
    client.echo("hello")


REFUSED: list[tuple[int, Callable[[bytes], bytes]]] = [
    (400, lambda r: without(r, "Host")),
    (400, lambda r: with_field(r, "Host", "localhost")),
    (400, lambda r: replaced(r, "Host", "")),
    (400, lambda r: replaced(r, "Host", "a b")),
    (400, lambda r: replaced(r, "Host", "user@localhost")),
    (400, lambda r: replaced(r, "Connection", "keep-alive")),
    (400, lambda r: replaced(r, "Connection", "notupgrade, upgrade-x")),
    (426, lambda r: replaced(r, "Upgrade", "xwebsocket")),
    (426, lambda r: replaced(r, "Upgrade", "websocket2")),
    (426, lambda r: without(r, "Upgrade")),
    (426, lambda r: replaced(r, "Sec-WebSocket-Version", "8")),
    (426, lambda r: replaced(r, "Sec-WebSocket-Version", "013")),
    (426, lambda r: without(r, "Sec-WebSocket-Version")),
    (400, lambda r: without(r, "Sec-WebSocket-Key")),
    (400, lambda r: with_field(r, "Sec-WebSocket-Key", KEY)),
    (400, lambda r: replaced(r, "Sec-WebSocket-Key", "")),
    (400, lambda r: replaced(r, "Sec-WebSocket-Key", "AAAA")),
    (400, lambda r: replaced(r, "Sec-WebSocket-Key", "A" * 24)),
    (400, lambda r: replaced(r, "Sec-WebSocket-Key", KEY[:-3] + "!==")),
    (405, lambda r: r.replace(b"GET", b"POST", 1)),
    (405, lambda r: r.replace(b"GET", b"get", 1)),
    (400, lambda r: with_field(r, "Content-Length", "5")),
    (400, lambda r: with_field(r, "Transfer-Encoding", "chunked")),
    (505, lambda r: r.replace(b"HTTP/1.1", b"HTTP/1.0", 1)),
    (505, lambda r: r.replace(b"HTTP/1.1", b"HTTP/2.0", 1)),
    (400, lambda r: r.replace(b"\r\n", b"\n")),
    (400, lambda r: r.replace(b"Host:", b"Host :")),
    (400, lambda r: r.replace(b"Upgrade: websocket", b"Upgrade:\r\n websocket")),
    (400, lambda r: with_field(r, "X", "a\x00b")),
    (400, lambda r: with_field(r, "X", "a\rb")),
    (400, lambda r: r.replace(b"GET /", b"GET  /", 1)),
    (400, lambda r: r.replace(b"GET /", b"GET *", 1)),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_a_request_that_is_refused(
    echo: wspy.Server, connect: Connect, log: Records, number: int
) -> None:
    status, change = REFUSED[number]
    client = connect(echo, handshake=False)
    client.send_raw(change(client.request()))
    response = client.response()
    assert response.status == status
    if status == 426:
        assert response.headers["Upgrade"] == "websocket"
        assert response.headers["Sec-WebSocket-Version"] == "13"
    assert echo.stats()["refused"] == 1
    assert echo.stats()["opened"] == 0
    connect(echo).echo("others are served")


def test_bytes_behind_a_refused_request_are_nobodys(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo, handshake=False)
    plain = f"GET /nothing HTTP/1.1\r\nHost: {client.host}\r\n\r\n".encode()
    client.send_raw(plain, client.request(), text("x"))
    assert client.response().status == 426


def test_a_second_request_behind_an_upgrade_is_no_frame(
    echo: wspy.Server, connect: Connect
) -> None:
    client = connect(echo, handshake=False)
    client.send_raw(client.request(), client.request())
    client.check_upgrade()
    assert client.expect_close()[0] == 1002


def test_the_real_client_with_its_headers(servers: Servers) -> None:
    server = servers.make()
    recorder = Recorder(server, echo=True)
    servers.start(server)
    with connect_sync(server.url, subprotocols=["chat"], additional_headers={"X-A": "b"}) as client:  # type: ignore[list-item]
        assert client.subprotocol is None
        client.send("hello")
        assert client.recv(timeout=10) == "hello"
    conn = get(recorder.opened)
    assert conn.headers["x-a"] == "b"
    assert "permessage-deflate" in conn.headers["sec-websocket-extensions"]


# -- Origin and Host --


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://{host}", 101),
        ("HTTP://{host}", 101),
        ("http://evil.example", 403),
        ("http://{host}.evil.example", 403),
        ("http://user@{host}", 403),
        ("http://127.0.0.1:1", 403),
        ("http://localhost:{port}", 403),
        ("null", 403),
        ("", 403),
        ("file://", 403),
        ("http://{host}/path", 403),
    ],
)
def test_same_origin(
    echo: wspy.Server, connect: Connect, log: Records, origin: str, status: int
) -> None:
    client = connect(echo, handshake=False)
    value = origin.format(host=client.host, port=echo.port)
    client.send_raw(client.request(headers=[("Origin", value)]))
    if status == 101:
        client.check_upgrade()
        return
    response = client.response()
    assert response.status == status
    assert b"origins" in response.body
    assert any("403" in line and "origins" in line for line in log.at(20))


def test_two_origins(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo, handshake=False)
    own = f"http://{client.host}"
    client.send_raw(client.request(headers=[("Origin", own), ("Origin", "http://evil.example")]))
    assert client.response().status == 400


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        (["https://a.example"], "https://a.example", 101),
        (["https://a.example"], "https://A.EXAMPLE:443", 101),
        (["https://a.example"], "http://a.example", 403),
        (["https://a.example"], "https://a.example:8443", 403),
        (["https://a.example"], "https://b.a.example", 403),
        (["https://a.example"], "http://{host}", 403),
        (["https://a.example"], "null", 403),
        ([], "http://{host}", 403),
        ([], None, 101),
        ("*", "https://evil.example", 101),
        ("*", "null", 101),
    ],
)
def test_the_option_origins(
    servers: Servers, connect: Connect, origins: object, origin: str | None, status: int
) -> None:
    server = servers.run(origins=origins)
    client = connect(server, handshake=False)
    fields = [] if origin is None else [("Origin", origin.format(host=client.host))]
    client.send_raw(client.request(headers=fields))
    assert client.read_head()[0] == status


@pytest.mark.parametrize(
    ("hosts", "host", "status"),
    [
        ("auto", "127.0.0.1", 101),
        ("auto", "127.0.0.1:1", 101),
        ("auto", "LocalHost:80", 101),
        ("auto", "[::1]:80", 101),
        ("auto", "evil.example", 421),
        ("auto", "localhost.evil.example", 421),
        ("auto", "127.0.0.2", 421),
        ("*", "evil.example", 101),
        (["a.example", "b.example:81"], "a.example:1", 101),
        (["a.example", "b.example:81"], "b.example:81", 101),
        (["a.example", "b.example:81"], "b.example", 421),
        (["a.example", "b.example:81"], "127.0.0.1", 421),
    ],
)
def test_the_option_hosts(
    servers: Servers, connect: Connect, log: Records, hosts: object, host: str, status: int
) -> None:
    server = servers.run(hosts=hosts)
    client = connect(server, handshake=False, host=host)
    client.send_raw(client.request())
    if status == 101:
        client.check_upgrade()
        return
    response = client.response()
    assert response.status == status
    assert b"hosts" in response.body
    assert any("421" in line and "hosts" in line for line in log.at(20))


def test_any_host_on_every_address(servers: Servers, connect: Connect) -> None:
    server = servers.run(host="")
    client = connect(server, handshake=False, host="whatever.example")
    client.send_raw(client.request())
    client.check_upgrade()


def test_a_log_line_cannot_be_forged(servers: Servers, connect: Connect, log: Records) -> None:
    server = servers.run()
    client = connect(server, handshake=False)
    client.send_raw(client.request(headers=[("Origin", "http://\x1b[2J\x9b")]))
    assert client.read_head()[0] in (400, 403)
    client.read_all()
    lines = [record.getMessage() for record in log.records]
    assert all(line.isascii() and line.isprintable() for line in lines), lines


# -- subprotocols --


@pytest.mark.parametrize(
    ("offers", "agreed"),
    [
        ([], None),
        (["chat.v1"], "chat.v1"),
        (["chat.v1, chat.v2"], "chat.v2"),  # the server's order decides
        (["other", "chat.v1 ,\tother"], "chat.v1"),
        (["chat.v2,chat.v1"], "chat.v2"),
        (["CHAT.v1", "chat", "chat.v11"], None),  # RFC 6455 section 1.9: names, not prefixes
        ([""], None),
        ([",, chat.v1,"], "chat.v1"),
        ([", ".join(f"p{i}" for i in range(900)) + ", chat.v1"], "chat.v1"),
    ],
)
def test_subprotocol(
    servers: Servers, connect: Connect, offers: list[str], agreed: str | None
) -> None:
    server = servers.make(subprotocols=["chat.v2", "chat.v1"])
    opened: queue.Queue[str | None] = queue.Queue()
    server.on_open(lambda conn: opened.put(conn.subprotocol))
    servers.start(server)
    client = connect(server, handshake=False)
    client.send_raw(client.request("/", [("Sec-WebSocket-Protocol", offer) for offer in offers]))
    status, _, headers = client.read_head()
    assert status == 101
    assert headers.get("Sec-WebSocket-Protocol") == agreed
    assert get(opened) == agreed


@pytest.mark.parametrize("offer", ["a b", "a/b", '"chat.v1"', "chat.v1; q=1", "ä", "a,b c"])
def test_no_subprotocol(echo: wspy.Server, connect: Connect, offer: str) -> None:
    client = connect(echo, handshake=False)
    request = client.request("/", [("Sec-WebSocket-Protocol", "X")])
    client.send_raw(request.replace(b"X", offer.encode()))
    response = client.response()
    assert response.status == 400
    assert b"Sec-WebSocket-Protocol" in response.body


def test_subprotocol_of_a_real_client(servers: Servers) -> None:
    server = servers.make(subprotocols=["graphql-ws", "x" * 128])
    servers.start(server)
    with connect_sync(server.url, subprotocols=["other", "x" * 128]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "x" * 128


# -- keep_headers --


def test_headers_that_are_not_kept(servers: Servers, connect: Connect) -> None:
    server = servers.make(keep_headers=False)
    opened: queue.Queue[wspy.Connection] = queue.Queue()
    seen: queue.Queue[tuple[str | None, str]] = queue.Queue()

    @server.on_open
    def look(conn: wspy.Connection) -> None:
        if conn.path == "/early":
            seen.put((conn.headers.get("X-Early"), conn.query))
        opened.put(conn)

    servers.start(server)
    connect(server, "/early?a=1", [("X-Early", "here")])
    assert get(seen) == ("here", "a=1")
    early = get(opened)
    connect(server, "/late?b=2", [("X-Early", "gone")])
    late = get(opened)
    wait_until(lambda: server.stats()["opened"] == 2)
    connect(server)  # behind it on_open of the others has ended
    get(opened)
    assert early.headers["x-early"] == "here"  # it was asked for in time
    assert (late.path, late.query, dict(late.headers)) == ("/late", "b=2", {})


def test_headers_that_go_while_another_thread_reads_them(
    servers: Servers, connect: Connect
) -> None:
    """The collector runs amid the making of the list, and with it any code: on_open ends."""
    server = servers.make(keep_headers=False)
    amid, gone = threading.Event(), threading.Event()
    fields = [(f"X-Field-{i}", str(i)) for i in range(50)]
    seen: queue.Queue[dict[str, str]] = queue.Queue()
    reader: threading.Thread | None = None
    runs = 0

    def collect(phase: str, info: dict[str, int]) -> None:
        nonlocal runs
        if threading.current_thread() is reader and phase == "start":
            runs += 1
            if runs == 4:
                amid.set()
                wait(gone)

    def read(conn: wspy.Connection) -> None:
        kept = [(i, conn) for i in range(3000)]  # no tuples are left that need no memory
        gc.collect()
        gc.callbacks.append(collect)
        thresholds = gc.get_threshold()
        gc.set_threshold(1)
        headers = conn.headers
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(collect)
        amid.set()  # where the collector waits for the interpreter (from 3.12 on)
        kept.clear()
        seen.put(dict(headers))

    @server.on_open
    def start(conn: wspy.Connection) -> None:
        nonlocal reader
        reader = threading.Thread(target=read, args=(conn,))
        reader.start()
        wait(amid)

    server.on_message(lambda conn, message: gone.set())
    servers.start(server)
    connect(server, "/", fields).send("on_open has ended")
    got = get(seen)
    assert [(name, got[name]) for name, _ in fields] == fields
