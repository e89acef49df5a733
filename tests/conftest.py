"""Servers for the tests: with each strategy, on a free port, in a thread, and looked after."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audience import Audience, MakeAudience
from blocking import pool_threads
from building import ASAN, compile_core
from core import Core
from loops import LOOPS, Doors, Kind, as_loop, as_strategy
from server_process import ServerProcess, serve
from support import STRATEGIES, Client, Connect

import wspy
from wspy.options import Strategy
from wspy.serving import LoopName
from wspy.thread import ServerThread

# What is true of a server whatever turns its loop: first what a peer sees.
ALSO_IN_ASYNCIO = {
    "test_advisories",
    "test_backpressure",
    "test_callbacks",
    "test_close",
    "test_compression",
    "test_echo",
    "test_frames",
    "test_handshake",
    "test_hostile_close",
    "test_hostile_frames",
    "test_hostile_handshake",
    "test_hostile_resources",
    "test_hostile_utf8",
    "test_json",
    "test_keys",
    "test_large",
    "test_limits",
    "test_packed",
    "test_publish",
    "test_stream",
    "test_thread_handlers",
    "test_thread_handlers_end",
    "test_topics",
}

# What there is in asyncio only.
ONLY_IN_ASYNCIO = {"test_async", "test_async_end", "test_async_tasks"}


def pytest_collection_finish() -> None:
    """Thousands of tests would be looked through by each gc.collect() of a test."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    gc.unfreeze()  # hypothesis asks who refers to what


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Core:
    """The core as a library, without Python in it."""
    return Core(tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="session")
def asan_objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The core's files under the sanitizers, to be linked."""
    return compile_core(tmp_path_factory.mktemp("asan"), ASAN)


class Servers:
    """Makes servers and starts them. The test's end stops them and looks for what went wrong."""

    def __init__(self, kind: Kind) -> None:
        self.loop: LoopName | None = as_loop(kind)
        self.strategy: Strategy = as_strategy(kind)
        self.threads: list[ServerThread] = []

    def make(self, **options: Any) -> wspy.Server:
        """A server that does not run yet."""
        if "unix" not in options:
            options.setdefault("port", 0)
        return wspy.Server(**{"strategy": self.strategy, **options})

    def start(self, server: wspy.Server) -> ServerThread:
        thread = server.start_in_thread(loop=self.loop)
        self.threads.append(thread)
        assert server.strategy == self.strategy
        return thread

    def run(self, **options: Any) -> wspy.Server:
        """A server that runs."""
        server = self.make(**options)
        self.start(server)
        return server

    def stop(self) -> None:
        for thread in self.threads:
            try:
                thread.stop()  # raises what had ended the thread
            except (KeyboardInterrupt, SystemExit) as exc:  # it is to end this test only
                raise AssertionError("the server was ended") from exc
            assert not thread._thread.is_alive()
            assert len(thread.server) == 0
            assert thread.server.connections == []
            stats = thread.server.stats()
            assert stats["opened"] == stats["closed"]
        assert pool_threads() == []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test of a server runs with each strategy, and those of some modules inside asyncio too."""
    module = metafunc.module.__name__
    kinds: tuple[Kind, ...] = () if module in ONLY_IN_ASYNCIO else STRATEGIES
    if module in ALSO_IN_ASYNCIO | ONLY_IN_ASYNCIO:
        kinds += LOOPS
    for name, scope in (("server_kind", None), ("shared_kind", "module")):
        if name in metafunc.fixturenames and not is_overridden(metafunc, name):
            metafunc.parametrize(name, kinds, scope=scope)  # type: ignore[arg-type]


def is_overridden(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether the module has a fixture of its own in that place, or a parameter."""
    marks = metafunc.definition.iter_markers("parametrize")
    return name in vars(metafunc.module) or any(name in str(mark.args[0]) for mark in marks)


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> LoopName:
    """The event loop of a test's asyncio."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def doors() -> Doors:
    return Doors()


@pytest.fixture
def strategy(server_kind: Kind) -> Strategy:
    return as_strategy(server_kind)


class Records(logging.Handler):
    """What the logger "wspy" got."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def at(self, level: int) -> list[str]:
        return [r.getMessage() for r in self.records if r.levelno == level]

    def take_errors(self) -> list[logging.LogRecord]:
        """Those of level ERROR. The rest of the test may have no further one."""
        errors = [r for r in self.records if r.levelno >= logging.ERROR]
        self.records = [r for r in self.records if r.levelno < logging.ERROR]
        return errors


@pytest.fixture
def log() -> Iterator[Records]:
    """The log. A test has to take the errors that it expects, or it fails with them."""
    records = Records()
    logger = logging.getLogger("wspy")
    level = logger.level
    logger.addHandler(records)
    logger.setLevel(logging.DEBUG)
    yield records
    logger.removeHandler(records)
    logger.setLevel(level)
    errors = [(r.getMessage(), r.exc_info) for r in records.take_errors()]
    assert errors == []


@pytest.fixture
def servers(server_kind: Kind, log: Records) -> Iterator[Servers]:
    servers = Servers(server_kind)
    yield servers
    servers.stop()


@pytest.fixture
def connect(servers: Servers) -> Iterator[Connect]:
    """Makes clients, which are closed before the servers are stopped."""
    clients: list[Client] = []

    def make(*arguments: Any, **options: Any) -> Client:
        client = Client(*arguments, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.socket.close()


@pytest.fixture
def make_audience(servers: Servers, connect: Connect) -> MakeAudience:
    """Makes servers that run, with a recorder, for the options given."""

    def make(**options: Any) -> Audience:
        server = servers.make(**options)
        audience = Audience(server, connect)
        servers.start(server)
        return audience

    return make


@pytest.fixture
def audience(make_audience: MakeAudience) -> Audience:
    return make_audience()


@pytest.fixture
def fast_switches() -> Iterator[None]:
    """Threads take turns often, so that more of their meetings are tried."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def echo(servers: Servers) -> wspy.Server:
    """An echo server that runs."""
    return servers.run(on_message=lambda conn, message: conn.send(message))


@pytest.fixture(scope="module")
def shared_target(shared_kind: Kind) -> Iterator[ServerProcess]:
    """An echo server in a process of its own, which has to outlive all tests of the module."""
    with serve(shared_kind) as server:
        yield server


@pytest.fixture
def target(shared_target: ServerProcess) -> Iterator[ServerProcess]:
    """The module's echo server. Whatever the test does to it, honest clients are served after it."""
    yield shared_target
    shared_target.check_honest()
