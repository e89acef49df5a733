"""wspy.Poller: with each strategy what select.poll says, over random scripts; threads, signals, fork."""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import random
import resource
import select
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import pytest
from support import EFFORT, STRATEGIES, descriptors, finish, resident_kib, script, wait, wait_until
from typing_extensions import Self

import wspy
from wspy.options import Strategy

IN, PRI, OUT = wspy.POLLIN, wspy.POLLPRI, wspy.POLLOUT
ERR, HUP, NVAL = wspy.POLLERR, wspy.POLLHUP, wspy.POLLNVAL


@pytest.fixture
def poller(strategy: Strategy) -> Iterator[wspy.Poller]:
    with wspy.Poller(strategy) as poller:
        yield poller


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    with open_pipe() as ends:
        yield ends


@contextmanager
def open_pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        with suppress(OSError):  # the test has closed it
            os.close(end)


def test_the_constants_are_those_of_select() -> None:
    for name in ("POLLIN", "POLLPRI", "POLLOUT", "POLLERR", "POLLHUP", "POLLNVAL"):
        assert getattr(wspy, name) == getattr(select, name)


def test_the_strategy(strategy: Strategy) -> None:
    poller = wspy.Poller(strategy=strategy)
    assert poller.strategy == strategy
    assert repr(poller) == f"<wspy.Poller {strategy}>"
    poller.close()
    assert repr(poller) == f"<wspy.Poller {strategy} closed>"
    assert wspy.Poller().strategy == wspy.Poller("auto").strategy == "epoll"
    with pytest.raises(ValueError, match="'auto', 'select', 'poll' or 'epoll', not 'kqueue'"):
        wspy.Poller("kqueue")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^strategy must be a str, not int$"):
        wspy.Poller(1)  # type: ignore[arg-type]


# -- beside select.poll --


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class Model:
    """A poller, and what select.poll says of the same descriptors.

    ``loose`` and ``forgotten`` are what epoll does to a regular file and to what was closed.
    """

    def __init__(self, strategy: Strategy, seed: int) -> None:
        self.rng = random.Random(f"{strategy} {seed}")
        self.poller = wspy.Poller(strategy)
        self.strategy = strategy
        self.masks: dict[int, int] = {}
        self.loose: set[int] = set()
        self.forgotten: set[int] = set()
        self.open: dict[int, str] = {}  # what this script has opened, and its kind
        self.file = os.open(__file__, os.O_RDONLY)
        self.counts = dict.fromkeys(["told", "NVAL", "HUP", "ERR", "PRI", "forgotten"], 0)

    # the world

    def add(self, kind: str, *fds: int) -> None:
        for fd in fds:
            os.set_blocking(fd, False)
            self.open[fd] = kind

    def open_some(self) -> None:
        if len(self.open) > 24:
            return
        kind = self.rng.choice(["pipe", "stream", "datagram", "tcp", "file"])
        if kind == "pipe":
            self.add(kind, *os.pipe())
        elif kind == "file":
            self.add(kind, os.dup(self.file), os.dup(self.file))
        elif kind == "tcp":
            with socket.create_server(("127.0.0.1", 0)) as listener:
                client = socket.create_connection(listener.getsockname())
                server, _ = listener.accept()
            self.add(kind, client.detach(), server.detach())
        else:
            type = socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM
            first, second = socket.socketpair(socket.AF_UNIX, type)
            self.add(kind, first.detach(), second.detach())

    def any(self) -> int:
        """A descriptor: mostly one that is open or registered, sometimes another number."""
        known = sorted(set(self.open) | set(self.masks))
        if not known or self.rng.random() < 0.1:
            return self.rng.choice([900, 901, 902])  # nobody's
        return self.rng.choice(known)

    def use(self) -> None:
        fd = self.any()
        kind = self.open.get(fd)
        if kind is None:
            return
        what = self.rng.choice(["write", "fill", "read", "drain", "shutdown", "urgent", "urgent"])
        try:
            if what == "write":
                os.write(fd, b"x")
            elif what == "fill":
                while os.write(fd, bytes(4096)):
                    pass
            elif what == "read":
                os.read(fd, 1)
            elif what == "drain":
                while os.read(fd, 65536):
                    pass
            elif kind not in ("pipe", "file"):
                with socket.socket(fileno=os.dup(fd)) as sock:
                    if what == "urgent" and kind == "tcp":
                        sock.send(b"!", socket.MSG_OOB)
                    elif what == "shutdown":
                        sock.shutdown(self.rng.choice([socket.SHUT_RD, socket.SHUT_WR]))
        except OSError:
            pass  # full, empty, not for reading, gone: all the same

    def close_one(self) -> None:
        if not self.open:
            return
        fd = self.rng.choice(sorted(self.open))
        if fd in self.masks and self.rng.random() < 0.5:
            self.unregister(fd)
        os.close(fd)
        del self.open[fd]
        if self.strategy == "epoll" and fd in self.masks and fd not in self.loose:
            self.forgotten.add(fd)

    # the set

    def ask(self, method: Callable[..., None], error: int, *arguments: int) -> bool:
        if not error:
            method(*arguments)
            return True
        with pytest.raises(OSError, match=rf"\[Errno {error}\]"):
            method(*arguments)
        return False

    def random_mask(self) -> int:
        return self.rng.choice([0, IN, IN, OUT, PRI, IN | OUT, IN | PRI | OUT, IN | PRI, ERR | IN])

    def settle(self, fd: int, mask: int) -> None:
        self.masks[fd] = mask & (IN | PRI | OUT)
        self.forgotten.discard(fd)
        self.loose.discard(fd)
        if self.strategy == "epoll" and self.open.get(fd) == "file":
            self.loose.add(fd)

    def register(self) -> None:
        fd, mask = self.any(), self.random_mask()
        error = errno.EBADF if fd not in self.open else errno.EEXIST if fd in self.masks else 0
        if self.ask(self.poller.register, error, fd, mask):
            self.settle(fd, mask)

    def modify(self) -> None:
        fd, mask = self.any(), self.random_mask()
        error = errno.ENOENT if fd not in self.masks else 0 if fd in self.open else errno.EBADF
        if self.ask(self.poller.modify, error, fd, mask):
            self.settle(fd, mask)

    def unregister(self, fd: int) -> None:
        if self.ask(self.poller.unregister, 0 if fd in self.masks else errno.ENOENT, fd):
            del self.masks[fd]
            self.loose.discard(fd)
            self.forgotten.discard(fd)

    # the comparison

    def expected(self) -> dict[int, int]:
        truth = select.poll()
        for fd, mask in self.masks.items():
            truth.register(fd, mask)
        told = dict(truth.poll(0))
        if self.strategy == "epoll":
            self.counts["forgotten"] += sum(fd in told for fd in self.forgotten)
            for fd in self.forgotten:
                told.pop(fd, None)
        if self.strategy == "select":
            told = {fd: got for fd, got in told.items() if wakes_select(self.masks[fd], got)}
        return told

    def check(self) -> None:
        expected = self.expected()
        timeout = self.rng.choice([None, -1, 1000.0]) if expected else self.rng.choice([0, 0.0])
        got = self.poller.poll(timeout)
        assert len(dict(got)) == len(got)
        assert dict(got) == expected
        # By now epoll has a file's number whose file has become something else.
        self.loose = {fd for fd in self.loose if self.open.get(fd, "file") == "file"}
        self.counts["told"] += len(got)
        for name, bit in (("NVAL", NVAL), ("HUP", HUP), ("ERR", ERR), ("PRI", PRI)):
            self.counts[name] += sum(mask & bit != 0 for _, mask in got)

    def step(self) -> None:
        steps = [self.open_some, self.use, self.use, self.use, self.close_one]
        steps += [self.register, self.register, self.modify, lambda: self.unregister(self.any())]
        self.rng.choice(steps)()
        self.check()

    def close(self) -> None:
        self.poller.close()
        for fd in self.open:
            os.close(fd)
        os.close(self.file)


def wakes_select(asked: int, told: int) -> bool:
    """Linux's select takes an error and a hang-up for readable, an error for writable."""
    reads = asked & IN and told & (IN | HUP | ERR)
    writes = asked & OUT and told & (OUT | ERR)
    return bool(reads or writes or told & PRI or (asked and told & NVAL))


def test_random_scripts(strategy: Strategy) -> None:
    counts: dict[str, int] = {}
    for seed in range(60 * EFFORT):
        model = Model(strategy, seed)
        try:
            for _ in range(80):
                model.step()
        finally:
            model.close()
        counts = {name: counts.get(name, 0) + n for name, n in model.counts.items()}
    # All that the model has to say was said.
    assert counts.pop("forgotten") > 0 or strategy != "epoll"
    assert min(counts.values()) > 0, counts


# -- errors --


def test_double_and_unknown_descriptors(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    reader, _ = pipe
    with pytest.raises(FileNotFoundError, match=f"descriptor {reader} is not registered"):
        poller.modify(reader, IN)
    with pytest.raises(FileNotFoundError, match=f"descriptor {reader} is not registered"):
        poller.unregister(reader)
    poller.register(reader, IN)
    with pytest.raises(FileExistsError, match=f"descriptor {reader} is registered already"):
        poller.register(reader, OUT)
    poller.unregister(reader)
    poller.register(reader, IN)


def test_bad_descriptors(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        poller.register(pipe[0], IN)
    assert raised.value.errno == errno.EBADF
    for method in (poller.register, poller.modify):
        with pytest.raises(ValueError, match="negative"):
            method(-1, IN)
    with pytest.raises(ValueError, match="negative"):
        poller.unregister(-1)
    for large in (2**31, 2**100):
        with pytest.raises(ValueError, match=f"fd must be a descriptor, .* as large as {large}"):
            poller.register(large, IN)
    with pytest.raises(TypeError, match=r"^fd must be an int or have fileno\(\), not str$"):
        poller.register("0", IN)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="fd and mask"):
        poller.register(0)  # type: ignore[call-arg]


def test_bad_masks(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    poller.register(pipe[0], IN)
    for mask in (-1, 64, select.POLLRDHUP, 1 << 70, -(1 << 70)):
        with pytest.raises(ValueError, match="POLLIN, POLLPRI and POLLOUT"):
            poller.register(pipe[1], mask)
        with pytest.raises(ValueError, match="POLLIN, POLLPRI and POLLOUT"):
            poller.modify(pipe[0], mask)
    with pytest.raises(TypeError, match="mask must be an int, not str"):
        poller.register(pipe[1], "r")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("timeout", "error"),
    [("1", TypeError), ([], TypeError), (float("nan"), ValueError), (1e10, OverflowError),
     (float("inf"), OverflowError), (10**400, OverflowError)],
)  # fmt: skip
def test_bad_timeouts(poller: wspy.Poller, timeout: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        poller.poll(timeout)


def test_a_descriptor_too_large_for_select(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1100, hard))
    high = fcntl.fcntl(pipe[1], fcntl.F_DUPFD, 1024)
    try:
        if poller.strategy == "select":
            with pytest.raises(ValueError, match=rf"{high} is too large .*FD_SETSIZE is 1024"):
                poller.register(high, OUT)
        else:
            poller.register(high, OUT)
            assert poller.poll() == [(high, OUT)]
    finally:
        os.close(high)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- use --


def test_objects_with_fileno(poller: wspy.Poller) -> None:
    here, there = socket.socketpair()
    with here, there:
        poller.register(here, OUT)
        assert poller.poll() == [(here.fileno(), OUT)]
        poller.modify(here, IN)
        there.send(b"x")
        assert poller.poll() == [(here.fileno(), IN)]
        poller.unregister(here.fileno())
        assert poller.poll(0) == []


def test_fileno(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    poller.register(pipe[0], IN)
    if poller.strategy == "epoll":
        outer = select.poll()
        outer.register(poller, select.POLLIN)
        assert outer.poll(0) == []
        os.write(pipe[1], b"x")
        assert outer.poll() == [(poller.fileno(), select.POLLIN)]
        assert os.get_inheritable(poller.fileno()) is False
    else:
        with pytest.raises(ValueError, match=f"{poller.strategy} has no descriptor"):
            poller.fileno()
    poller.close()
    with pytest.raises(ValueError, match="closed poller"):
        poller.fileno()


def test_a_timeout_is_never_early(poller: wspy.Poller) -> None:
    for timeout in (0.0001, 0.0015, 0.01):
        before = time.monotonic()
        assert poller.poll(timeout) == []
        assert time.monotonic() - before >= timeout


def test_closed(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    before = descriptors()
    with wspy.Poller(poller.strategy) as inner:  # type: ignore[arg-type]
        inner.register(pipe[1], OUT)
        assert not inner.closed
    assert inner.closed
    inner.close()
    assert descriptors() == before
    calls: list[Callable[[], object]] = [
        lambda: inner.register(pipe[0], IN),
        lambda: inner.modify(pipe[1], IN),
        lambda: inner.unregister(pipe[1]),
        lambda: inner.poll(0),
        lambda: inner.__enter__(),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="I/O operation on closed poller"):
            call()
    os.write(pipe[1], b"open still")


# -- signals --


@contextmanager
def on_alarm(handler: Callable[[], object], every: float = 0.01) -> Iterator[None]:
    """Calls it in this thread, again and again."""

    def handle(number: int, frame: FrameType | None) -> None:
        handler()

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, every, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_interrupts_and_resumes(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    calls: list[int] = []

    def handler() -> None:
        calls.append(0)
        if len(calls) == 3:
            os.write(pipe[1], b"x")

    poller.register(pipe[0], IN)
    with on_alarm(handler):
        assert poller.poll() == [(pipe[0], IN)]
    assert len(calls) >= 3


def test_the_time_goes_on_over_signals(poller: wspy.Poller) -> None:
    calls: list[int] = []
    with on_alarm(lambda: calls.append(0), every=0.002):
        before = time.monotonic()
        assert poller.poll(0.1) == []
        assert time.monotonic() - before >= 0.1
    assert calls


def test_a_handler_that_raises_ends_the_wait(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    def handler() -> None:
        raise ZeroDivisionError

    poller.register(pipe[0], IN)
    with on_alarm(handler), pytest.raises(ZeroDivisionError):
        poller.poll()
    os.write(pipe[1], b"x")
    assert poller.poll() == [(pipe[0], IN)]


def test_a_handler_that_closes_or_polls(poller: wspy.Poller, pipe: tuple[int, int]) -> None:
    errors: list[RuntimeError] = []

    def handler() -> None:
        try:
            poller.poll(0)
        except RuntimeError as exc:
            errors.append(exc)
            poller.close()

    poller.register(pipe[0], IN)
    with on_alarm(handler), pytest.raises(ValueError, match="closed poller"):
        poller.poll()
    assert str(errors[0]) == "concurrent poll() invocation"


# -- threads --


class Waiter:
    """A thread that polls again and again, until it is told to end or its poller is closed."""

    def __init__(self, poller: wspy.Poller) -> None:
        self.poller = poller
        self.end, self.end_writer = os.pipe()
        poller.register(self.end, IN)
        self.seen: set[tuple[int, int]] = set()
        self.error: Exception | None = None
        self.polls = 0
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        os.write(self.end_writer, b"x")
        self.thread.join(10)
        assert not self.thread.is_alive()
        with suppress(ValueError):  # the test has closed it
            self.poller.unregister(self.end)
        os.close(self.end)
        os.close(self.end_writer)

    def run(self) -> None:
        try:
            while True:
                got = self.poller.poll()
                self.polls += 1
                self.seen.update(got)
                if (self.end, IN) in got:
                    return
        except (ValueError, RuntimeError) as exc:
            self.error = exc


def test_changes_while_another_thread_polls(poller: wspy.Poller, fast_switches: None) -> None:
    with Waiter(poller) as waiter:
        for i in range(100):
            with open_pipe() as (reader, writer):
                poller.register(writer, 0 if i % 2 else OUT)
                if i % 2:
                    poller.modify(writer, OUT)
                wait_until(lambda writer=writer: (writer, OUT) in waiter.seen)  # type: ignore[misc]
                poller.unregister(writer)
                poller.register(reader, IN)
                os.write(writer, b"x")
                wait_until(lambda reader=reader: (reader, IN) in waiter.seen)  # type: ignore[misc]
                poller.unregister(reader)
                waiter.seen.clear()
        # What was taken out is not told: the thread sleeps.
        polls = -1
        while polls != waiter.polls:
            polls = waiter.polls
            time.sleep(0.02)
    assert waiter.error is None


def test_a_file_while_another_thread_polls(poller: wspy.Poller) -> None:
    with Waiter(poller) as waiter, tempfile.TemporaryFile() as file:
        poller.register(file, IN)
        wait_until(lambda: (file.fileno(), IN) in waiter.seen)
        poller.unregister(file)


def test_close_while_another_thread_polls(strategy: Strategy, pipe: tuple[int, int]) -> None:
    for _ in range(50):
        poller = wspy.Poller(strategy)
        poller.register(pipe[1], OUT)
        with Waiter(poller) as waiter:
            wait_until(lambda waiter=waiter: waiter.polls > 0)  # type: ignore[misc]
            poller.unregister(pipe[1])
            poller.close()
        assert isinstance(waiter.error, ValueError)
        assert str(waiter.error) == "I/O operation on closed poller"


def test_two_threads_poll(poller: wspy.Poller) -> None:
    def collides() -> bool:
        try:
            poller.poll(0)
        except RuntimeError as exc:
            return str(exc) == "concurrent poll() invocation"
        return False

    class Patient(Waiter):
        def run(self) -> None:
            while True:
                self.error = None
                super().run()
                if not isinstance(self.error, RuntimeError):
                    return

    with Patient(poller):
        wait_until(collides)
    assert poller.poll(0) == []


def test_many_threads_at_once(strategy: Strategy, fast_switches: None) -> None:
    """Whatever they do to one poller: an exception of its own at most."""
    poller = wspy.Poller(strategy)
    ready = threading.Barrier(5)
    unexpected: list[BaseException] = []

    def play(seed: int) -> None:
        rng = random.Random(seed)
        with open_pipe() as ends:
            ready.wait()
            for _ in range(300):
                fd = rng.choice(ends)
                try:
                    what = rng.choice(["register", "modify", "unregister", "poll"])
                    if what == "poll":
                        poller.poll(0.0005)
                    elif what == "unregister":
                        poller.unregister(fd)
                    else:
                        getattr(poller, what)(fd, rng.choice([IN, OUT, 0]))
                except (FileExistsError, FileNotFoundError):
                    pass
                except RuntimeError as exc:
                    if "concurrent" not in str(exc):
                        unexpected.append(exc)
                except ValueError as exc:
                    if "closed" not in str(exc):
                        unexpected.append(exc)
                except BaseException as exc:
                    unexpected.append(exc)
                    raise
            for fd in ends:
                with suppress(FileNotFoundError, ValueError):
                    poller.unregister(fd)

    threads = [threading.Thread(target=play, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    for thread in threads[:2]:
        thread.join(30)
    poller.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert unexpected == []


# -- processes, memory --

FORK = """
import os, sys, threading, wspy

poller = wspy.Poller(sys.argv[1])
reader, writer = os.pipe()
poller.register(reader, wspy.POLLIN)
thread = threading.Thread(target=lambda: print(poller.poll() == [(reader, wspy.POLLIN)]))
thread.start()
pid = os.fork()
if pid == 0:
    for call in (lambda: poller.poll(0), lambda: poller.register(writer, 0),
                 lambda: poller.modify(reader, 0), lambda: poller.unregister(reader)):
        try:
            call()
        except RuntimeError as exc:
            assert "parent" in str(exc)
        else:
            os._exit(1)
    poller.close()
    assert poller.closed
    other = wspy.Poller(sys.argv[1])
    other.register(writer, wspy.POLLOUT)
    assert other.poll() == [(writer, wspy.POLLOUT)]
    del poller, other
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
os.write(writer, b"x")
thread.join()
"""


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fork(strategy: Strategy) -> None:
    with script(FORK, strategy) as process:
        assert finish(process) == (0, "7\nTrue\n", "")


def test_nothing_leaks(strategy: Strategy) -> None:
    def rounds(n: int) -> None:
        for i in range(n):
            poller = wspy.Poller(strategy)
            with open_pipe() as (reader, writer):
                poller.register(reader, IN)
                poller.register(writer, OUT)
                assert poller.poll() == [(writer, OUT)]
                with pytest.raises(FileExistsError):
                    poller.register(reader, IN)
                if i % 2:
                    poller.close()
        del poller
        gc.collect()

    rounds(200)
    fds, memory = descriptors(), resident_kib()
    rounds(1000)
    assert descriptors() == fds
    assert resident_kib() - memory < 2048


def test_a_poller_lives_while_it_polls(strategy: Strategy, pipe: tuple[int, int]) -> None:
    pollers = [wspy.Poller(strategy)]
    pollers[0].register(pipe[0], IN)
    started, got = threading.Event(), []

    def run() -> None:
        poll = pollers[0].poll
        started.set()
        got.append(poll())

    thread = threading.Thread(target=run)
    thread.start()
    wait(started)
    pollers.clear()
    os.write(pipe[1], b"x")
    thread.join(10)
    assert got == [[(pipe[0], IN)]]
