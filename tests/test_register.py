"""server.register(): other descriptors on the server's loop, with every strategy."""

from __future__ import annotations

import errno
import fcntl
import gc
import logging
import os
import queue
import select
import signal
import socket
import sys
import threading
import tty
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from conftest import Records, Servers
from support import (
    STRATEGIES,
    Client,
    Connect,
    connect_when_up,
    descriptors,
    finish,
    get,
    read_line,
    resident_kib,
    script,
    wait,
    wait_until,
)

import wspy
from wspy.options import Strategy

IN, OUT, ERR, HUP, NVAL = wspy.POLLIN, wspy.POLLOUT, wspy.POLLERR, wspy.POLLHUP, wspy.POLLNVAL


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    files = [os.fstat(end).st_ino for end in ends]
    yield ends
    for end, file in zip(ends, files, strict=True):
        with suppress(OSError):  # unless the test has closed it
            if os.fstat(end).st_ino == file:
                os.close(end)


@pytest.fixture
def servers(pipe: tuple[int, int], servers: Servers) -> Servers:
    """They end before the pipe is closed."""
    return servers


def nothing(fd: int, mask: int) -> None: ...


def sync(server: wspy.Server) -> None:
    """The loop has had three iterations: what was ready has been told."""
    for _ in range(3):
        done = threading.Event()
        server.call_soon(done.set)
        wait(done)


class Told:
    """A callback that puts what it is told into a queue, and takes it out of the descriptor."""

    def __init__(self) -> None:
        self.queue: queue.Queue[tuple[int, int, bytes]] = queue.Queue()

    def __call__(self, fd: int, mask: int) -> None:
        self.queue.put((fd, mask, os.read(fd, 100) if mask & IN else b""))


# -- use --


def test_a_pipe_beside_connections(
    servers: Servers, connect: Connect, pipe: tuple[int, int]
) -> None:
    server = servers.make(on_message=lambda conn, message: conn.send(message))
    server.on_open(lambda conn: conn.subscribe("pipe"))
    server.register(pipe[0], IN, lambda fd, mask: server.publish("pipe", os.read(fd, 100).decode()))
    servers.start(server)
    clients = [connect(server) for _ in range(3)]
    for i in range(50):
        clients[i % 3].echo(f"echo {i}")
        os.write(pipe[1], b"line %d" % i)
        for client in clients:
            assert client.receive() == f"line {i}"


def test_both_ways(servers: Servers, connect: Connect) -> None:
    """A database's socket, say: written when there is something to write."""
    here, there = socket.socketpair()
    here.setblocking(False)
    there.settimeout(10)
    waiting = bytearray()
    server = servers.make()

    def use(fd: int, mask: int) -> None:
        assert fd == here.fileno()
        if mask & IN:
            server.broadcast(here.recv(100))
        if mask & OUT:
            del waiting[: here.send(waiting)]
            if not waiting:
                server.modify(here, IN)

    def ask(conn: wspy.Connection, message: str | bytes) -> None:
        assert isinstance(message, bytes)
        waiting.extend(message)
        server.modify(here, IN | OUT)

    server.on_message(ask)
    server.register(here, IN, use)
    servers.start(server)
    with here, there:
        client = connect(server)
        query = os.urandom(1000) * 1000
        for _ in range(3):
            client.send(query)
            got = b""
            while len(got) < len(query):
                got += there.recv(65536)
            assert got == query
            there.send(b"answer")
            assert client.receive() == b"answer"
        server.unregister(here)


def test_a_serial_port(servers: Servers, connect: Connect) -> None:
    port, device = os.openpty()
    tty.setraw(port)
    tty.setraw(device)
    server = servers.make(on_message=lambda conn, message: os.write(port, bytes(message, "ascii")))
    server.register(port, IN, lambda fd, mask: server.broadcast(os.read(fd, 100)))
    servers.start(server)
    client = connect(server)
    for i in range(10):
        client.send(f"M{i}")
        assert os.read(device, 100) == f"M{i}".encode()
        os.write(device, f"T{i}\r\n".encode())
        assert client.receive() == f"T{i}\r\n".encode()
    server.unregister(port)
    os.close(port)
    os.close(device)


@pytest.mark.parametrize("where", ["before", "here", "loop"])
def test_from_where(servers: Servers, pipe: tuple[int, int], where: str) -> None:
    told = Told()
    server = servers.make()

    def register() -> None:
        server.register(pipe[0], IN, told)

    if where == "before":
        register()
    elif where == "loop":
        server.call_soon(register)
    servers.start(server)
    if where == "here":
        register()
    sync(server)
    for _ in range(3):
        os.write(pipe[1], b"x")
        assert get(told.queue) == (pipe[0], IN, b"x")
    if where == "loop":
        server.call_soon(server.unregister, pipe[0])
        sync(server)
    else:
        server.unregister(pipe[0])
    os.write(pipe[1], b"x")
    sync(server)
    assert told.queue.empty()
    assert os.read(pipe[0], 10) == b"x"
    register()  # once more
    os.write(pipe[1], b"y")
    assert get(told.queue) == (pipe[0], IN, b"y")


def test_it_is_level_triggered(servers: Servers, pipe: tuple[int, int]) -> None:
    told: queue.Queue[int] = queue.Queue()
    server = servers.make()

    def look(fd: int, mask: int) -> None:
        told.put(mask)
        if told.qsize() == 5:
            os.read(fd, 10)

    server.register(pipe[0], IN, look)
    os.write(pipe[1], b"x")
    servers.start(server)
    wait_until(lambda: told.qsize() >= 5)
    sync(server)
    assert [told.get() for _ in range(told.qsize())] == [IN] * 5


def test_an_end_that_nobody_minds(servers: Servers, pipe: tuple[int, int], log: Records) -> None:
    """The program is busy with it for ever: the log says so, once."""
    server = servers.run()
    calls: queue.Queue[int] = queue.Queue()
    server.register(pipe[0], IN, lambda fd, mask: calls.put(mask))
    os.close(pipe[1])
    wait_until(lambda: calls.qsize() >= 1500)
    server.unregister(pipe[0])
    assert [calls.get() for _ in range(1500)] == [HUP] * 1500
    (line,) = log.at(logging.WARNING)
    assert line.startswith(f"descriptor {pipe[0]} is at its end or has failed, which its callback ")
    assert line.endswith("was told 1000 times in a row: it should be unregistered")


def test_hang_up_and_error(servers: Servers, pipe: tuple[int, int]) -> None:
    server = servers.run()
    masks: queue.Queue[int] = queue.Queue()

    def look(fd: int, mask: int) -> None:
        masks.put(mask)
        server.unregister(fd)

    other_reader, other_writer = os.pipe()
    server.register(pipe[0], IN, look)
    os.close(pipe[1])
    assert get(masks) == HUP
    server.register(other_writer, OUT, look)
    assert get(masks) == OUT
    os.close(other_reader)
    server.register(other_writer, OUT, look)
    assert get(masks) == OUT | ERR
    os.close(other_writer)


# -- errors --


def test_double_and_unknown(servers: Servers, pipe: tuple[int, int]) -> None:
    server = servers.make()
    for _ in range(2):  # before the run, and while it runs
        with pytest.raises(FileNotFoundError, match=f"descriptor {pipe[0]} is not registered"):
            server.unregister(pipe[0])
        with pytest.raises(FileNotFoundError, match=f"descriptor {pipe[0]} is not registered"):
            server.modify(pipe[0], IN)
        server.register(pipe[0], IN, nothing)
        with pytest.raises(FileExistsError, match=f"descriptor {pipe[0]} is registered already"):
            server.register(pipe[0], OUT, nothing)
        server.unregister(pipe[0])
        if not servers.threads:
            servers.start(server)


def test_bad_descriptors(servers: Servers, pipe: tuple[int, int]) -> None:
    server = servers.run()
    with open(__file__) as file, pytest.raises(PermissionError, match="always ready"):
        server.register(file, IN, nothing)
    folder = os.open("/", os.O_RDONLY)
    with pytest.raises(PermissionError, match="always ready"):
        server.register(folder, IN, nothing)
    os.close(folder)
    os.close(pipe[0])
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        server.register(pipe[0], IN, nothing)
    assert raised.value.errno == errno.EBADF
    with pytest.raises(ValueError, match="negative"):
        server.register(-1, IN, nothing)
    for large in (2**31, 2**100):
        with pytest.raises(ValueError, match=f"fd must be a descriptor, .* as large as {large}"):
            server.register(large, IN, nothing)
    with pytest.raises(TypeError, match=r"^fd must be an int or have fileno\(\), not str$"):
        server.register("0", IN, nothing)  # type: ignore[arg-type]


def test_bad_arguments(servers: Servers, pipe: tuple[int, int]) -> None:
    async def later(fd: int, mask: int) -> None: ...

    server = servers.run()
    for mask in (-1, 64, select.POLLRDHUP, 1 << 70):
        with pytest.raises(ValueError, match="POLLIN, POLLPRI and POLLOUT"):
            server.register(pipe[0], mask, nothing)
    with pytest.raises(TypeError, match="mask must be an int, not str"):
        server.register(pipe[0], "r", nothing)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a function to call, not NoneType"):
        server.register(pipe[0], IN, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="async or yield"):
        server.register(pipe[0], IN, later)
    with pytest.raises(
        TypeError, match=r"^callback is called with \(fd, mask\), which .* not take$"
    ):
        server.register(pipe[0], IN, lambda fd: None)  # type: ignore[misc, arg-type]
    with pytest.raises(TypeError, match="fd, mask and callback"):
        server.register(pipe[0], IN)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="fd and mask"):
        server.modify(pipe[0])  # type: ignore[call-arg]
    server.register(pipe[0], IN, nothing)  # nothing was kept


def test_a_descriptor_too_large_for_select(servers: Servers, pipe: tuple[int, int]) -> None:
    server = servers.run()  # has raised the limit
    high = fcntl.fcntl(pipe[1], fcntl.F_DUPFD, 1024)
    masks: queue.Queue[int] = queue.Queue()
    if servers.strategy == "select":
        with pytest.raises(ValueError, match=rf"{high} is too large .*FD_SETSIZE is 1024"):
            server.register(high, OUT, nothing)
    else:
        server.register(high, OUT, lambda fd, mask: masks.put(mask))
        assert get(masks) == OUT
        server.unregister(high)
    os.close(high)


def find_accepted(client: Client) -> int:
    """The descriptor that the server, in this process, has for the connection."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
            if sock.getpeername() == client.socket.getsockname():
                return fd
    raise AssertionError("the connection is not there")


def test_the_servers_own_descriptors(servers: Servers, connect: Connect) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    client = connect(server)
    client.echo("hello")
    fd = find_accepted(client)
    errors: queue.Queue[str] = queue.Queue()
    masks: queue.Queue[int] = queue.Queue()

    def take() -> None:
        try:
            server.register(fd, OUT, nothing)
        except FileExistsError as exc:
            errors.put(str(exc))

    server.call_soon(take)
    assert "the server's own" in get(errors)
    client.echo("it is served as before")
    server.register(fd, OUT, lambda fd, mask: masks.put(mask))
    assert get(masks) == NVAL  # the answer to another thread
    client.echo("and now")


def test_a_fileno_that_runs_the_server(pipe: tuple[int, int]) -> None:
    server = wspy.Server(port=0)

    class File:
        def fileno(self) -> int:
            server.stop()
            server.run()
            return pipe[0]

    with pytest.raises(RuntimeError, match="the server has run"):
        server.register(File(), IN, nothing)
    with pytest.raises(FileNotFoundError):
        server.unregister(pipe[0])


def test_a_finalizer_that_registers_the_same(pipe: tuple[int, int]) -> None:
    """Who comes first has it: the collector may run amid register()."""
    server = wspy.Server(port=0)
    reader = pipe[0]
    registered: list[str] = []
    told: list[tuple[str, int]] = []

    def callback(name: str) -> Callable[[int, int], None]:
        def take(fd: int, mask: int) -> None:
            told.append((name, mask))
            os.read(fd, 1)
            server.stop()

        return take

    of_call, of_finalizer = callback("call"), callback("finalizer")

    class Late:
        def __init__(self) -> None:
            self.myself = self

        def __del__(self) -> None:
            with suppress(FileExistsError):
                server.register(reader, IN, of_finalizer)
                registered.append("finalizer")

    os.write(pipe[1], b"x")
    thresholds = gc.get_threshold()
    gc.collect()
    gc.disable()
    Late()
    gc.set_threshold(1)
    gc.enable()
    try:  # nothing before what register() allocates is the collector's
        server.register(reader, IN, of_call)
        registered.append("call")
    except FileExistsError:
        pass
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert len(registered) == 1
    server.run()
    assert told == [(registered[0], IN)]


def test_once_it_has_run(servers: Servers, pipe: tuple[int, int]) -> None:
    server = servers.make()
    server.register(pipe[0], IN, nothing)
    servers.start(server).stop()
    with pytest.raises(RuntimeError, match="the server has run"):
        server.register(pipe[1], OUT, nothing)
    with pytest.raises(RuntimeError, match="the server has run"):
        server.modify(pipe[0], IN)
    with pytest.raises(FileNotFoundError):
        server.unregister(pipe[0])  # all have left
    os.write(pipe[1], b"open still")


# -- what callbacks raise --


def test_what_a_callback_raises_is_logged(
    servers: Servers, connect: Connect, pipe: tuple[int, int], log: Records
) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    error = ValueError("broken")

    def fail(fd: int, mask: int) -> None:
        os.read(fd, 1)
        raise error

    server.register(pipe[0], IN, fail)
    os.write(pipe[1], b"xx")  # it stays registered
    sync(server)
    records = log.take_errors()
    assert [r.getMessage() for r in records] == [
        f"the callback {fail!r} of descriptor {pipe[0]} failed"
    ] * 2
    assert records[0].exc_info is not None
    assert records[0].exc_info[1] is error
    connect(server).echo("it goes on")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_stops_the_server(
    servers: Servers, connect: Connect, pipe: tuple[int, int], error: type[BaseException]
) -> None:
    def fail(fd: int, mask: int) -> None:
        os.read(fd, 1)
        raise error

    server = servers.make()
    server.register(pipe[0], IN, fail)
    servers.start(server)
    client = connect(server)
    os.write(pipe[1], b"x")
    assert client.answer_close() == (1001, "")
    client.socket.close()
    thread = servers.threads.pop()
    with pytest.raises(error):
        thread.stop()


# -- what callbacks do --


def test_one_takes_out_the_other(servers: Servers) -> None:
    """Both are ready in one batch, and one of them is told."""
    pairs = [socket.socketpair() for _ in range(2)]
    server = servers.make()
    told: list[int] = []

    def only(fd: int, mask: int) -> None:
        told.append(fd)
        for here, _ in pairs:
            server.unregister(here)

    for here, _ in pairs:
        server.register(here, OUT, only)
    servers.start(server)
    wait_until(lambda: bool(told))
    sync(server)
    assert len(told) == 1
    for pair in pairs:
        for end in pair:
            end.close()


def test_a_number_that_is_used_again_in_one_batch(servers: Servers) -> None:
    """Each is ready; who is told first closes the others, whose numbers are others' at once."""
    pairs = [socket.socketpair() for _ in range(3)]
    fresh: list[socket.socket] = []
    server = servers.make()
    told: list[str] = []

    def replace(fd: int, mask: int) -> None:
        told.append("old")
        for here, _ in pairs:
            server.unregister(here)
        numbers = {here.fileno() for here, _ in pairs if here.fileno() != fd}
        for here, _ in pairs:
            if here.fileno() != fd:
                here.close()
        new, its_peer = socket.socketpair()
        fresh.extend([new, its_peer])
        assert new.fileno() in numbers
        server.register(new, IN, lambda fd, mask: told.append("new"))

    for here, _ in pairs:
        server.register(here, OUT, replace)
    servers.start(server)
    wait_until(lambda: bool(told))
    sync(server)
    assert told == ["old"]
    server.unregister(fresh[0])
    for end in [*fresh, *(end for pair in pairs for end in pair)]:
        end.close()


def test_a_callback_registers_others(servers: Servers, pipe: tuple[int, int]) -> None:
    other_reader, other_writer = os.pipe()
    server = servers.make()
    told = Told()

    def first(fd: int, mask: int) -> None:
        os.read(fd, 10)
        server.register(other_reader, IN, told)

    server.register(pipe[0], IN, first)
    servers.start(server)
    os.write(other_writer, b"other")
    os.write(pipe[1], b"x")
    assert get(told.queue) == (other_reader, IN, b"other")
    server.unregister(other_reader)
    os.close(other_reader)
    os.close(other_writer)


def test_a_callback_stops_the_server(
    servers: Servers, connect: Connect, pipe: tuple[int, int]
) -> None:
    server = servers.make()

    def stop(fd: int, mask: int) -> None:
        os.read(fd, 1)
        server.stop()

    server.register(pipe[0], IN, stop)
    servers.start(server)
    client = connect(server)
    os.write(pipe[1], b"x")
    assert client.answer_close() == (1001, "")


# -- closed without a word --


def test_closed_while_registered(
    servers: Servers, connect: Connect, pipe: tuple[int, int], log: Records
) -> None:
    masks: queue.Queue[int] = queue.Queue()
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    server.register(pipe[0], IN, lambda fd, mask: masks.put(mask))
    sync(server)
    os.close(pipe[0])
    sync(server)  # a wait under way does not notice
    if servers.strategy == "epoll":  # the kernel has forgotten it
        assert masks.empty()
        server.unregister(pipe[0])
        return
    assert get(masks) == NVAL
    sync(server)
    assert masks.empty()  # once
    with pytest.raises(FileNotFoundError):
        server.unregister(pipe[0])
    (line,) = log.at(30)
    assert line.startswith(f"descriptor {pipe[0]} is closed")
    connect(server).echo("it goes on")


def test_closed_here_and_open_elsewhere(
    servers: Servers, connect: Connect, pipe: tuple[int, int], log: Records
) -> None:
    """As by a child that was forked: epoll goes on reporting the file, and is not believed."""
    masks: queue.Queue[int] = queue.Queue()
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    server.register(pipe[0], IN, lambda fd, mask: masks.put(mask))
    sync(server)
    elsewhere = os.dup(pipe[0])
    os.close(pipe[0])
    os.write(pipe[1], b"x")
    assert get(masks) == NVAL
    sync(server)
    assert masks.empty()
    (line,) = log.at(30)
    assert line.startswith(f"descriptor {pipe[0]} is closed")
    connect(server).echo("it goes on")
    os.close(elsewhere)


def test_modified_elsewhere_amid_its_end(servers: Servers, pipe: tuple[int, int]) -> None:
    """What another thread asks for comes when it has left: that does not bring it back, deaf."""
    masks: queue.Queue[int] = queue.Queue()
    server = servers.run()
    fd = os.dup(pipe[0])

    def ended(number: int, mask: int) -> None:
        os.dup2(pipe[0], number)  # the number is an open file's again
        thread = threading.Thread(target=server.modify, args=(number, IN))
        thread.start()
        thread.join()
        masks.put(mask)

    server.register(fd, IN, ended)
    sync(server)
    os.close(fd)
    os.write(pipe[1], b"x")
    assert get(masks) == NVAL
    sync(server)
    told = Told()
    server.register(fd, IN, told)
    assert get(told.queue) == (fd, IN, b"x")
    server.unregister(fd)
    os.close(fd)


def test_the_number_becomes_a_connections(servers: Servers, connect: Connect) -> None:
    """Unregistered on another thread, closed, and accepted under the same number at once."""
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    for _ in range(30):
        reader, writer = os.pipe()
        server.register(reader, IN, nothing)
        server.unregister(reader)
        os.close(reader)
        os.close(writer)
        client = connect(server)
        client.echo("served")
        client.close()


# -- threads --


def test_many_threads(servers: Servers, connect: Connect, fast_switches: None) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    unexpected: list[BaseException] = []

    def play() -> None:
        try:
            for i in range(100):
                reader, writer = os.pipe()
                told = Told()
                server.register(reader, 0 if i % 3 == 0 else IN, told)
                os.write(writer, b"x")
                if i % 3 == 0:
                    server.modify(reader, IN)
                if i % 3 != 2:
                    assert get(told.queue) == (reader, IN, b"x")
                server.unregister(reader)
                os.close(writer)
                if i % 3 != 2:  # else a callback may be reading
                    os.close(reader)
                else:
                    server.call_soon(os.close, reader)
        except BaseException as exc:
            unexpected.append(exc)
            raise

    threads = [threading.Thread(target=play) for _ in range(4)]
    for thread in threads:
        thread.start()
    client = connect(server)
    while any(thread.is_alive() for thread in threads):
        client.echo("meanwhile")
    for thread in threads:
        thread.join()
    assert unexpected == []


def test_no_callback_begins_behind_unregister(servers: Servers, fast_switches: None) -> None:
    server = servers.run()
    for _ in range(100):
        here, there = socket.socketpair()
        called: dict[int, int] = {}
        server.register(here, OUT, called.setdefault)  # C: it does not begin and then wait for us
        server.unregister(here)
        called.clear()
        sync(server)
        assert called == {}
        here.close()
        there.close()


# -- memory --


class Port:
    """Something with fileno()."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


def test_what_is_registered_is_kept(servers: Servers, pipe: tuple[int, int]) -> None:
    server = servers.run()
    port = Port(pipe[0])
    told = Told()
    alive = weakref.ref(port), weakref.ref(told)
    server.register(port, IN, told)
    items = told.queue
    del port, told
    gc.collect()
    assert None not in (alive[0](), alive[1]())
    os.write(pipe[1], b"x")
    assert get(items) == (pipe[0], IN, b"x")
    sync(server)
    server.unregister(pipe[0])
    gc.collect()
    assert (alive[0](), alive[1]()) == (None, None)


@pytest.mark.parametrize("runs", [True, False])
def test_the_servers_end_lets_go(servers: Servers, pipe: tuple[int, int], runs: bool) -> None:
    server = servers.make()
    port, told = Port(pipe[0]), Told()
    alive = weakref.ref(port), weakref.ref(told), weakref.ref(server)
    told.server = server  # type: ignore[attr-defined] # a cycle
    server.register(port, IN, told)
    if runs:
        servers.start(server).stop()
        servers.threads.clear()
    del server, port, told
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3
    os.write(pipe[1], b"open still")
    assert os.read(pipe[0], 100) == b"open still"


def test_nothing_leaks(servers: Servers) -> None:
    server = servers.run()

    def rounds(n: int) -> None:
        for i in range(n):
            reader, writer = os.pipe()
            told = Told()
            server.register(Port(reader), IN, told)
            if i % 2:
                os.write(writer, b"x")
                get(told.queue)
            with pytest.raises(FileExistsError):
                server.register(reader, IN, told)
            server.unregister(reader)
            if i % 50 == 0:
                sync(server)
            os.close(reader)
            os.close(writer)
        sync(server)
        gc.collect()

    rounds(500)
    fds, memory = descriptors(), resident_kib()
    rounds(2000)
    assert descriptors() == fds
    assert resident_kib() - memory < 2048


def test_a_callbacks_references(servers: Servers, pipe: tuple[int, int]) -> None:
    server = servers.run()
    told = Told()
    before = sys.getrefcount(told)
    for _ in range(10):
        server.register(pipe[0], IN, told)
        os.write(pipe[1], b"x")
        get(told.queue)
        sync(server)
        server.unregister(pipe[0])
    sync(server)
    assert sys.getrefcount(told) == before


# -- processes, signals --

FORK = """
import os, sys, wspy

server = wspy.Server(port=0, strategy=sys.argv[1], on_message=lambda conn, m: conn.send(m))
reader, writer = os.pipe()
parent = os.getpid()

def arrived(fd, mask):
    assert os.getpid() == parent
    line = os.read(fd, 100)
    pid = os.fork()
    if pid == 0:
        try:
            server.register(writer, wspy.POLLOUT, arrived)
        except RuntimeError as exc:
            assert "parent" in str(exc)
        server.unregister(reader)
        if line == b"exit":
            os._exit(7)
        return  # and run() returns
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    server.broadcast(f"{line.decode()} {status}")

server.register(reader, wspy.POLLIN, arrived)
server.on_message(lambda conn, message: os.write(writer, message.encode()))
print(server.url, flush=True)
server.run()
if os.getpid() != parent:
    os.fstat(reader)
    os._exit(7)
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fork(strategy: Strategy) -> None:
    with script(FORK, strategy) as process:
        with connect_when_up(read_line(process)) as client:
            for what in ("exit", "return") * 2:
                client.send(what)
                assert client.receive() == f"{what} 7"
            process.send_signal(signal.SIGTERM)
            assert client.answer_close() == (1001, "")
        assert finish(process) == (0, "", "")


BEFORE = """
import os, sys, wspy

server = wspy.Server(port=0, strategy=sys.argv[1])
server.register(0, wspy.POLLIN, print)
if os.fork() == 0:
    for call in (lambda: server.register(1, wspy.POLLOUT, print), lambda: server.modify(0, 0)):
        try:
            call()
        except RuntimeError as exc:
            continue
        os._exit(1)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fork_before_the_run(strategy: Strategy) -> None:
    with script(BEFORE, strategy) as process:
        assert finish(process) == (0, "7\n", "")
