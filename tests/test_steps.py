"""fileno() and step(): a server in a loop that is no asyncio loop."""

from __future__ import annotations

import gc
import os
import select
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest
from conftest import Records
from support import TIMEOUT, Client, close_frame, text

import wspy


@pytest.fixture
def server(log: Records) -> Iterator[wspy.Server]:
    server = wspy.Server(port=0, on_message=lambda conn, message: conn.send(message))
    yield server
    server.stop()


def turn(server: wspy.Server, condition: Callable[[], object]) -> None:
    """Steps when the descriptor is readable, until it is so."""
    fd = server.fileno()
    while not condition():
        assert select.select([fd], [], [], TIMEOUT)[0] == [fd]
        server.step()


def run_down(server: wspy.Server) -> int:
    """Steps until there is nothing to do; the descriptor is not readable then. How many they were."""
    n = 0
    while select.select([server.fileno()], [], [], 0)[0]:
        server.step()
        n += 1
    return n


def settle(server: wspy.Server) -> None:
    """What peers have done by now is seen in these steps."""
    for _ in range(10):
        select.select([server.fileno()], [], [], 0.005)
        server.step()


def end(server: wspy.Server) -> None:
    server.stop()
    fd = server.fileno()
    while server.step():
        assert select.select([fd], [], [], TIMEOUT)[0] == [fd]
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


class Peer(threading.Thread):
    """A client on a thread: what it raises is raised by ``finish``."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.work()
        except BaseException as exc:  # noqa: BLE001 (finish raises it)
            self.error = exc

    def finish(self, server: wspy.Server) -> None:
        turn_until_dead(server, self)
        if self.error is not None:
            raise self.error


def turn_until_dead(server: wspy.Server, thread: threading.Thread) -> None:
    while thread.is_alive():
        if select.select([server.fileno()], [], [], 0.01)[0]:
            server.step()


def test_an_echo(server: wspy.Server) -> None:
    def work() -> None:
        with Client(server) as client:
            for message in ("hello", b"\0", "x" * 200_000):
                client.echo(message)
            assert client.close() == (1000, "")

    server.fileno()
    Peer(work).finish(server)
    turn(server, lambda: server.stats()["closed"] == 1)
    end(server)


def test_the_same_descriptor_again(server: wspy.Server) -> None:
    fd = server.fileno()
    assert server.fileno() == fd
    run_down(server)
    assert server.fileno() == fd
    assert run_down(server) == 0
    end(server)


def test_a_step_never_waits(server: wspy.Server) -> None:
    server.fileno()
    for _ in range(100):
        assert server.step() is True
    end(server)


def test_a_send_between_steps(server: wspy.Server) -> None:
    conns: list[wspy.Connection] = []
    server.on_open(conns.append)
    server.fileno()
    opened = threading.Event()
    got: list[object] = []

    def work() -> None:
        with Client(server) as client:
            opened.wait(TIMEOUT)
            got.extend(client.receive() for _ in range(3))

    peer = Peer(work)
    turn(server, lambda: conns)
    run_down(server)
    for message in ("one", "two", b"three"):
        assert conns[0].send(message)
    assert select.select([server.fileno()], [], [], 0)[0]
    opened.set()
    peer.finish(server)
    assert got == ["one", "two", b"three"]
    end(server)


def test_timers_between_steps(server: wspy.Server) -> None:
    called: list[str] = []
    server.fileno()
    run_down(server)
    server.call_later(0.01, lambda: called.append("later"))
    server.call_soon(lambda: called.append("soon"))
    turn(server, lambda: len(called) == 2)
    assert called == ["soon", "later"]
    end(server)


def test_a_stop_of_another_thread(server: wspy.Server) -> None:
    fd = server.fileno()
    run_down(server)
    thread = threading.Thread(target=server.stop)
    thread.start()
    assert select.select([fd], [], [], TIMEOUT)[0] == [fd]
    assert server.step() is False
    thread.join()


def test_an_exit_of_a_handler_is_raised_at_the_end(server: wspy.Server) -> None:
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        raise SystemExit(3)

    server.on_message(on_message)
    server.fileno()

    def work() -> None:
        with Client(server) as client:
            client.send("go")
            assert client.answer_close() == (1001, "")

    peer = Peer(work)
    with pytest.raises(SystemExit):
        turn_until_dead(server, peer)
        turn(server, lambda: False)
    peer.join(TIMEOUT)
    assert peer.error is None


# -- misuse --


def test_a_step_before_the_beginning(server: wspy.Server) -> None:
    with pytest.raises(RuntimeError, match="fileno"):
        server.step()


def test_a_step_after_the_end(server: wspy.Server) -> None:
    server.fileno()
    end(server)
    with pytest.raises(RuntimeError, match="after the end of the run"):
        server.step()
    for begin in (server.fileno, server.run):
        with pytest.raises(RuntimeError, match="runs once"):
            begin()


def step_into(server: wspy.Server, errors: list[str]) -> None:
    """A step where there may be none: what it raises."""
    try:
        server.step()
    except RuntimeError as exc:
        errors.append(str(exc))


def test_a_step_on_another_thread(server: wspy.Server) -> None:
    errors: list[str] = []
    server.fileno()
    thread = threading.Thread(target=step_into, args=(server, errors))
    thread.start()
    thread.join()
    assert errors == ["step() belongs to the thread that called fileno()"]
    end(server)


def test_a_step_in_a_handler(server: wspy.Server) -> None:
    errors: list[str] = []
    server.call_soon(step_into, server, errors)
    server.fileno()
    turn(server, lambda: errors)
    assert errors == ["step() is called inside itself"]
    end(server)


def end_with_a_connection() -> tuple[weakref.ref[wspy.Server], Client]:
    server = wspy.Server(port=0)
    server.fileno()
    clients: list[Client] = []
    Peer(lambda: clients.append(Client(server))).finish(server)
    turn(server, lambda: server.connections)
    server._end()
    return weakref.ref(server), clients[0]


def test_an_end_before_the_end(log: Records) -> None:
    """The connections that are open then are given back, and with them the server."""
    gone, client = end_with_a_connection()
    gc.collect()
    assert gone() is None
    client.expect_end()
    client.socket.close()


@pytest.mark.parametrize(
    ("last", "half", "code"),
    [(b"", False, 1006), (b"", True, 1006), (text("b"), False, 1006),
     (close_frame(), False, 1000), (close_frame(), True, 1000)],
    ids=["reset", "end", "message", "close", "close and end"],
)  # fmt: skip
def test_a_reset_behind_a_handler_is_told_once(
    log: Records, last: bytes, half: bool, code: int
) -> None:
    """Nothing turns the loop while the connection waits for its handler."""
    begun, go = threading.Event(), threading.Event()
    codes: list[int] = []

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        begun.set()
        go.wait(TIMEOUT)

    server = wspy.Server(port=0, slow_handler=None)
    server.on_close(lambda conn, code, reason: codes.append(code))
    server.on_message(on_message, thread=True)
    server.fileno()
    clients: list[Client] = []
    Peer(lambda: clients.append(Client(server))).finish(server)
    clients[0].send_raw(text("a"))
    while not begun.wait(0.001):
        server.step()
    clients[0].send_raw(last)
    settle(server)
    if half:
        clients[0].shutdown()
        settle(server)
    clients[0].reset()
    settle(server)
    assert not select.select([server.fileno()], [], [], 0.05)[0]
    assert codes == []
    go.set()
    turn(server, lambda: codes)
    assert codes == [code]
    end(server)


def test_the_child_of_a_fork_has_no_descriptor(server: wspy.Server) -> None:
    server.fileno()
    child = os.fork()
    if child == 0:
        try:
            server.fileno()
        except RuntimeError as exc:
            os._exit(0 if "belongs to the parent" in str(exc) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert server.step()  # the parent's goes on
    end(server)


def test_other_strategies_have_no_descriptor(log: Records) -> None:
    for strategy in ("select", "poll"):
        server = wspy.Server(port=0, strategy=strategy)
        with pytest.raises(ValueError, match=f"'{strategy}' has no descriptor"):
            server.fileno()
        with server.start_in_thread() as url, Client(url) as client:  # nothing had begun
            client.close()


def test_async_handlers_need_asyncio(log: Records) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None: ...

    server = wspy.Server(port=0, on_message=on_message)
    with pytest.raises(RuntimeError, match="need asyncio"):
        server.fileno()
    other = wspy.Server(port=0)
    other.fileno()
    with pytest.raises(RuntimeError, match="need asyncio"):
        other.on_message(on_message)
    end(other)


def test_a_server_that_runs_has_none(server: wspy.Server) -> None:
    with server.start_in_thread(), pytest.raises(RuntimeError, match="runs once"):
        server.fileno()
