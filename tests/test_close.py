"""The ways a connection ends, and what each side learns of it."""

from __future__ import annotations

import fcntl
import socket
import threading
from collections.abc import Callable

import pytest
from conftest import Servers
from support import (
    PING,
    Client,
    Connect,
    Gate,
    Recorder,
    close_frame,
    close_payload,
    frame,
    get,
    text,
    wait_until,
)
from websockets.exceptions import ConnectionClosed as PeerClosed
from websockets.sync.client import connect as connect_sync

import wspy


class Recorded:
    """A server that records, with a client and the connection of it."""

    def __init__(self, servers: Servers, connect: Connect, **options: object) -> None:
        self.server = servers.make(**options)
        self.recorder = Recorder(self.server)
        servers.start(self.server)
        self.client = connect(self.server)
        self.conn = get(self.recorder.opened)


# -- the peer closes --


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4999])
def test_the_peer_closes(servers: Servers, connect: Connect, code: int) -> None:
    r = Recorded(servers, connect)
    # RFC 6455 section 5.5.1: the code is echoed. The end of the stream follows (section 7.1.1).
    assert r.client.close(code, "bye 🎉") == (code, "")
    closed = get(r.recorder.closed)
    assert closed == (r.conn, code, "bye 🎉", "peer", (code, ""))
    assert (r.conn.close_code, r.conn.close_reason) == (code, "bye 🎉")
    assert not r.conn.is_open


def test_an_empty_close(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    assert r.client.close(None) == (None, "")
    assert get(r.recorder.closed) == (r.conn, 1005, "", "peer", (1005, ""))


def test_the_longest_reason(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    reason = "é" * 61 + "x"
    assert r.client.close(1000, reason) == (1000, "")
    assert get(r.recorder.closed).reason == reason


def test_what_came_before_the_peers_close_is_told_first(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.client.send_raw(text("one"), text("two"), close_frame(1000), text("behind"))
    assert get(r.recorder.closed).code == 1000
    assert [get(r.recorder.messages) for _ in range(2)] == ["one", "two"]
    assert r.recorder.messages.empty()


def test_answers_go_before_the_close_frame(echo: wspy.Server, connect: Connect) -> None:
    client = connect(echo)
    client.send_raw(text("one"), text("x" * 100_000), close_frame(1000))
    assert client.receive() == "one"
    assert client.receive() == "x" * 100_000
    assert client.expect_close() == (1000, "")


# -- this side closes --


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1008, 1012, 1014, 3000, 4999])
def test_a_local_close(servers: Servers, connect: Connect, code: int) -> None:
    r = Recorded(servers, connect)
    r.conn.close(code, "Grüße")
    assert not r.conn.is_open
    assert r.client.expect_close() == (code, "Grüße")
    r.client.send_raw(close_frame(4000, "and mine"))
    r.client.expect_end()
    assert get(r.recorder.closed) == (r.conn, 4000, "and mine", "local", (code, "Grüße"))


def test_a_local_close_seen_by_a_real_client(servers: Servers) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    with connect_sync(server.url) as client:
        get(recorder.opened).close(4001, "enough")
        with pytest.raises(PeerClosed) as raised:
            client.recv(timeout=10)
        assert raised.value.rcvd is not None
        assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (4001, "enough")
    closed = get(recorder.closed)
    # The client echoes code and reason.
    assert closed[1:] == (4001, "enough", "local", (4001, "enough"))


def test_a_local_close_in_the_handler(servers: Servers, connect: Connect) -> None:
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send("last words")
        conn.close(reason="done")
        assert not conn.is_open
        assert conn.close_kind == "local"
        assert conn.sent_close == (1000, "done")
        assert conn.close_code is None

    server = servers.make()
    recorder = Recorder(server)
    server.on_message(on_message)
    servers.start(server)
    client = connect(server)
    client.send("go")
    assert client.receive() == "last words"
    assert client.answer_close() == (1000, "done")
    assert get(recorder.closed)[1:] == (1000, "", "local", (1000, "done"))


def test_a_close_in_on_open(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    server.on_open(lambda conn: conn.close(4000, "not you"))
    servers.start(server)
    client = connect(server, handshake=False)
    client.send_raw(client.request(), text("never read"))
    client.check_upgrade()
    assert client.answer_close() == (4000, "not you")
    assert get(recorder.closed)[1:] == (4000, "", "local", (4000, "not you"))
    assert recorder.messages.empty()
    assert server.stats()["dropped_received"] == 1


def test_the_first_close_counts(servers: Servers, connect: Connect) -> None:
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.close(4001, "first")
        conn.close(4002, "second")
        conn.close()

    server = servers.run(on_message=on_message)
    client = connect(server)
    client.send("go")
    assert client.answer_close() == (4001, "first")


def test_a_close_after_the_end_does_nothing(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.client.close()
    get(r.recorder.closed)
    r.conn.close(4000, "late")
    assert r.conn.sent_close == (1000, "")
    assert r.conn.close_kind == "peer"


def test_both_close_at_once(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    server.on_message(lambda conn, message: conn.close(4000, "mine"))
    servers.start(server)
    client = connect(server)
    client.send_raw(text("go"), close_frame(3000, "yours"))
    assert client.expect_close() == (4000, "mine")
    client.expect_end()
    assert get(recorder.closed)[1:] == (3000, "yours", "local", (4000, "mine"))


def test_messages_after_a_local_close_are_dropped(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        recorder.messages.put(message)
        conn.close()

    server.on_message(on_message)
    servers.start(server)
    client = connect(server)
    client.send_raw(text("one"), text("two"), text("three"))
    client.expect_close()
    client.send_raw(text("four"), frame(PING, "x"), close_frame())
    client.expect_end()
    get(recorder.closed)
    assert get(recorder.messages) == "one"
    assert recorder.messages.empty()
    assert server.stats()["received"] == 1
    assert server.stats()["dropped_received"] == 3


def test_a_large_message_after_a_local_close_is_dropped(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    server.on_message(lambda conn, message: conn.close())
    servers.start(server)
    client = connect(server)
    big = text("x" * 1_000_000)
    client.send_raw(text("go"), big[:300_000])
    client.expect_close()
    client.send_raw(big[300_000:], text("y"), close_frame(4000))
    client.expect_end()
    assert get(recorder.closed).code == 4000


def test_fin_follows_the_closing_handshake(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.client.send_raw(close_frame(1000))
    assert r.client.expect_close() == (1000, "")
    r.client.expect_end()
    # It waits for our end before it frees the socket, reading what still comes.
    get(r.recorder.closed)
    r.client.send_raw(b"anything")
    r.client.shutdown()


def test_nobody_answers_the_close(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect, close_timeout=0.05)
    r.conn.close(4000, "anybody?")
    assert r.client.expect_close() == (4000, "anybody?")
    r.client.expect_end()
    assert get(r.recorder.closed)[1:] == (1006, "", "local", (4000, "anybody?"))


def test_a_peer_that_keeps_sending_after_our_close(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect, close_timeout=0.05)
    r.conn.close(4000)
    with pytest.raises(OSError):  # noqa: PT011 (a reset or a broken pipe)
        while True:
            r.client.send_raw(text("still here" * 1000))
    assert get(r.recorder.closed)[1:] == (1006, "", "local", (4000, ""))


# -- the connection breaks --


def test_the_end_of_the_stream(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.client.send("last")
    r.client.shutdown()
    assert get(r.recorder.closed) == (r.conn, 1006, "", "eof", None)
    assert get(r.recorder.messages) == "last"
    r.client.expect_end()


def test_the_end_of_the_stream_inside_a_frame(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.client.send_raw(text("hello")[:-1])
    r.client.shutdown()
    assert get(r.recorder.closed)[1:] == (1006, "", "eof", None)


def test_a_reset(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.client.reset()
    assert get(r.recorder.closed) == (r.conn, 1006, "", "reset", None)


def test_a_reset_while_much_is_queued(servers: Servers, connect: Connect) -> None:
    server = servers.make(max_backlog=None)
    recorder = Recorder(server)

    def on_open(conn: wspy.Connection) -> None:
        for _ in range(100):
            conn.send(bytes(1_000_000))
        recorder.opened.put(conn)

    server.on_open(on_open)
    servers.start(server)
    client = connect(server)
    get(recorder.opened)
    client.reset()
    assert get(recorder.closed)[1:] == (1006, "", "reset", None)
    assert server.stats()["dropped_sent"] > 50


def test_the_end_of_the_stream_after_a_local_close(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.conn.close(4000)
    r.client.expect_close()
    r.client.shutdown()
    assert get(r.recorder.closed)[1:] == (1006, "", "local", (4000, ""))


# -- send after the end --


def end_by_close_frame(r: Recorded) -> tuple[int, str]:
    r.client.close(4001, "peer's")
    return 4001, "peer's"


def end_by_empty_close(r: Recorded) -> tuple[int, str]:
    r.client.close(None)
    return 1005, ""


def end_by_eof(r: Recorded) -> tuple[int, str]:
    r.client.shutdown()
    return 1006, ""


def end_by_reset(r: Recorded) -> tuple[int, str]:
    r.client.reset()
    return 1006, ""


def end_by_local_close(r: Recorded) -> tuple[int, str]:
    r.conn.close(4002, "ours")
    r.client.answer_close()
    return 4002, ""


def end_by_time_out(r: Recorded) -> tuple[int, str]:
    r.conn.close(4002, "ours")
    return 1006, ""


def end_by_violation(r: Recorded) -> tuple[int, str]:
    r.client.send_raw(frame(3))
    return 1006, ""


def end_by_limit(r: Recorded) -> tuple[int, str]:
    r.client.send_raw(frame(2, announce=2**40))
    return 1006, ""


def end_by_stop(r: Recorded) -> tuple[int, str]:
    r.server.stop()
    r.client.answer_close()
    return 1001, ""


ENDS: list[tuple[Callable[[Recorded], tuple[int, str]], str, tuple[int, str] | None]] = [
    (end_by_close_frame, "peer", (4001, "")),
    (end_by_empty_close, "peer", (1005, "")),
    (end_by_eof, "eof", None),
    (end_by_reset, "reset", None),
    (end_by_local_close, "local", (4002, "ours")),
    (end_by_time_out, "local", (4002, "ours")),
    (end_by_violation, "protocol", (1002, "the opcode is reserved")),
    (end_by_limit, "limit", (1009, "the message is too big")),
    (end_by_stop, "shutdown", (1001, "")),
]


@pytest.mark.parametrize(("end", "kind", "sent"), ENDS, ids=[e[0].__name__ for e in ENDS])
@pytest.mark.parametrize("message", ["text", b"", bytes(100_000)], ids=["str", "empty", "large"])
def test_send_after_the_end(
    servers: Servers,
    connect: Connect,
    end: Callable[[Recorded], tuple[int, str]],
    kind: str,
    sent: tuple[int, str] | None,
    message: str | bytes,
) -> None:
    raised: list[wspy.ConnectionClosed] = []
    r = Recorded(servers, connect, close_timeout=0.1)
    on_close = r.recorder.on_close

    def closing(conn: wspy.Connection, code: int, reason: str) -> None:
        with pytest.raises(wspy.ConnectionClosed) as info:
            conn.send(message)
        raised.append(info.value)
        on_close(conn, code, reason)

    r.server.on_close(closing)
    code, reason = end(r)
    closed = get(r.recorder.closed)
    assert closed == (r.conn, code, reason, kind, sent)

    def send() -> None:
        with pytest.raises(wspy.ConnectionClosed) as info:
            r.conn.send(message)
        raised.append(info.value)

    send()
    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert [(e.code, e.reason) for e in raised] == [(code, reason)] * 3
    assert (r.conn.close_code, r.conn.close_reason) == (code, reason)
    assert (r.conn.close_kind, r.conn.sent_close) == (kind, sent)
    assert not r.conn.is_open
    assert str(code) in str(raised[0])
    assert str(code) in repr(r.conn)


def test_send_between_our_close_and_the_peers(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.conn.close(4002, "ours")
    for seen in (False, True):
        if seen:
            r.client.expect_close()
        with pytest.raises(wspy.ConnectionClosed) as info:
            r.conn.send("late")
        assert (info.value.code, info.value.reason) == (4002, "ours")
        assert r.conn.close_kind == "local"
        assert r.conn.sent_close == (4002, "ours")
        assert r.conn.close_code is None
        assert "closing" in repr(r.conn)


def test_send_after_the_servers_end(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    thread = servers.threads[-1]
    r.server.stop()
    r.client.answer_close()
    r.client.socket.close()  # else it waits for our FIN
    thread.stop()
    with pytest.raises(wspy.ConnectionClosed) as info:
        r.conn.send("late")
    assert (info.value.code, info.value.reason) == (1001, "")
    r.conn.close()


def test_send_to_a_peer_that_has_gone_unnoticed(servers: Servers, connect: Connect) -> None:
    gate = Gate()
    results: list[bool] = []

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        gate.hold()
        results.extend(conn.send(bytes(100_000)) for _ in range(3))

    server = servers.make(max_backlog=None)
    recorder = Recorder(server)
    server.on_message(on_message)
    servers.start(server)
    client = connect(server)
    with gate.held(client):
        client.reset()
    assert get(recorder.closed)[1:] == (1006, "", "reset", None)
    # Nothing is raised before on_close has been called: the same, however the peer went.
    assert len(results) == 3


# -- what close() takes --


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 2**40])
def test_a_code_that_may_not_be_sent(servers: Servers, connect: Connect, code: int) -> None:
    r = Recorded(servers, connect)
    with pytest.raises(ValueError, match="code"):
        r.conn.close(code)
    assert r.conn.is_open
    assert r.client.close() == (1000, "")


def test_bad_arguments_of_close(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    for bad in ("x", 1.5, None, b"1000"):
        with pytest.raises(TypeError, match="code"):
            r.conn.close(bad)  # type: ignore[arg-type]
    for bad in (5, b"x", None):
        with pytest.raises(TypeError, match="reason"):
            r.conn.close(1000, bad)  # type: ignore[arg-type]
    for reason in ("x" * 124, "é" * 62):
        with pytest.raises(ValueError, match="reason"):
            r.conn.close(1000, reason)
    with pytest.raises(UnicodeEncodeError):
        r.conn.close(1000, "\ud800")
    with pytest.raises(TypeError):
        r.conn.close(1000, "x", "y")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        r.conn.close(why="x")  # type: ignore[call-arg]
    assert r.conn.is_open
    r.conn.close(reason="é" * 61 + "x", code=3000)
    assert r.client.answer_close() == (3000, "é" * 61 + "x")


def test_on_close_comes_once(servers: Servers, connect: Connect) -> None:
    r = Recorded(servers, connect)
    r.client.send_raw(close_frame(1000), close_frame(1001))
    r.client.socket.shutdown(socket.SHUT_RDWR)
    assert get(r.recorder.closed).code == 1000
    wait_until(lambda: len(r.server) == 0)
    connect(r.server).close()
    get(r.recorder.closed)
    assert r.recorder.closed.empty()


def test_close_payload_is_what_it_says() -> None:
    assert close_payload(1000, "x") == b"\x03\xe8x"


# -- deadlines --


@pytest.mark.parametrize("stop", [False, True], ids=["close", "stop"])
def test_time_begins_when_the_handler_is_done(
    servers: Servers, connect: Connect, stop: bool
) -> None:
    """A handler that blocks the loop for longer than the time-outs does not end healthy peers."""

    def block(conn: wspy.Connection, message: str | bytes) -> None:
        threading.Event().wait(1.3)
        if stop:
            conn.server.stop()
        else:
            conn.close()

    peer = Recorded(servers, connect, close_timeout=1, shutdown_timeout=1)
    peer.server.on_message(block)
    peer.client.send("block")
    assert peer.client.answer_close() == ((1001 if stop else 1000), "")
    closed = get(peer.recorder.closed)
    assert (closed.code, closed.kind) == ((1001, "shutdown") if stop else (1000, "local"))


def move_high(client: Client) -> Client:
    """Leaves the descriptors below FD_SETSIZE, all that select takes, to a server in this process."""
    low = client.socket
    high = fcntl.fcntl(low.fileno(), fcntl.F_DUPFD_CLOEXEC, 1024)
    client.socket = socket.socket(fileno=high)
    client.socket.settimeout(low.gettimeout())
    low.close()
    return client


def test_a_blocked_loop_keeps_all_who_wait(servers: Servers, connect: Connect) -> None:
    """One wait tells of 512 sockets at most: those behind them have their bytes waiting too."""
    n = 600 if servers.strategy == "select" else 1300
    gate = Gate()
    server = servers.make(handshake_timeout=2)  # in which they connect
    server.on_message(lambda conn, message: gate.hold())
    servers.start(server)
    first = connect(server)
    clients = [move_high(connect(server, handshake=False)) for _ in range(n)]
    wait_until(lambda: server.stats()["accepted"] == n + 1)
    with gate.held(first):
        for client in clients:
            client.send_raw(client.request())
        threading.Event().wait(2.1)
    for client in clients:
        client.check_upgrade()


def test_progress_counts_after_a_blocked_loop(servers: Servers, connect: Connect) -> None:
    size = 16 * 2**20
    gate = Gate()

    def act(conn: wspy.Connection, message: str | bytes) -> None:
        if message == "gate":
            gate.hold()
        else:
            conn.send(bytes(size))
            conn.close(4001, "bye")

    server = servers.make(close_timeout=0.5, max_backlog=None)
    server.on_message(act)
    servers.start(server)
    blocker, reader = connect(server), connect(server)
    reader.send("much")
    reader.read(10)  # the header: it is on its way
    with gate.held(blocker):
        taken = 500_000
        assert reader.read(taken) == bytes(taken)
        threading.Event().wait(1.2)
    assert reader.read(size - taken) == bytes(size - taken)
    assert reader.expect_close() == (4001, "bye")
