"""The Server that programs use: options, handlers, pages, and ways to run it.

No code here runs for a message: that is C, in _core.
"""

from __future__ import annotations

import inspect
import logging
import operator
import os
import threading
import urllib.parse
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import jsons
from .handlers import HANDLERS, TASK
from .handling import (
    CloseHandler,
    DrainHandler,
    ErrorHandler,
    Handling,
    JSONHandler,
    MessageHandler,
    OpenHandler,
    PingHandler,
    PongHandler,
)
from .options import (
    BacklogPolicy,
    Compression,
    Strategy,
    integer,
    json_function,
    refuse_unknown,
    validate,
)
from .pages import check_path, make_body, make_fields
from .runner import Runner
from .signals import stop_on_signals
from .thread import ServerThread

if TYPE_CHECKING:
    from typing_extensions import Self

    from .serving import LoopName, Serving

JSONDumps = Callable[[Any], str | bytes]
JSONLoads = Callable[[str], Any]

_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8000

logger = logging.getLogger("wspy")

_servers: weakref.WeakSet[Server] = weakref.WeakSet()


class Server(Handling):
    """A WebSocket server on one address, which is bound at once; ``run()`` takes connections.

    ``host`` and ``port``: where to listen; ``""`` is every address, port 0 any that is free (see
    ``port``). ``unix``: the path of a Unix socket in their place. The options are explained in
    README.md: sizes are bytes, times are seconds, and None is no limit. ``on_open`` and so on are
    the handlers, which the decorators of the same names set too.

    Raises ValueError or TypeError for a wrong option, OSError if the address cannot be had.
    """

    def __init__(
        self,
        host: str = _DEFAULT_HOST,
        port: int = _DEFAULT_PORT,
        *,
        unix: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        strategy: Strategy = "auto",
        max_message_size: int = 1_048_576,
        max_fragments: int | None = 131_072,
        message_timeout: float | None = 60,
        max_header_size: int = 8192,
        max_headers: int = 64,
        handshake_timeout: float | None = 5,
        close_timeout: float | None = 5,
        shutdown_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        idle_timeout: float | None = None,
        stall_timeout: float | None = 60,
        control_rate: int | None = 100,
        message_rate: int | None = None,
        byte_rate: int | None = None,
        rate_policy: Literal["close", "pause"] = "close",
        origins: str | Iterable[str] = "same-origin",
        hosts: str | Iterable[str] = "auto",
        subprotocols: Iterable[str] = (),
        compression: bool | Compression = False,
        keep_headers: bool = True,
        high_water: int = 262_144,
        max_backlog: int | None = 1_048_576,
        backlog_policy: BacklogPolicy = "close",
        max_queue: int = 16,
        handler_threads: int = 8,
        slow_handler: float | None = 1,
        max_topics: int | None = 128,
        max_connections: int | None = None,
        listen_backlog: int = 4096,
        json_dumps: JSONDumps | None = None,
        json_loads: JSONLoads | None = None,
        on_open: OpenHandler | None = None,
        on_message: MessageHandler | None = None,
        on_json: JSONHandler | None = None,
        on_close: CloseHandler | None = None,
        on_drain: DrainHandler | None = None,
        on_ping: PingHandler | None = None,
        on_pong: PongHandler | None = None,
        on_error: ErrorHandler | None = None,
        **unknown: NoReturn,
    ) -> None:
        given = locals()  # before any other name is bound: the parameters
        if unknown:
            refuse_unknown("Server", unknown, list(inspect.signature(Server).parameters)[:-1])
        super().__init__(
            validate(given),
            json_function("json_dumps", json_dumps, jsons.dumps),
            json_function("json_loads", json_loads, jsons.loads),
        )
        self._runner = Runner(
            self, operator.index(handler_threads), operator.index(max_queue), slow_handler
        )
        self._set_runner(self._runner)
        self._modes = {}
        self._max_message_size = max_message_size
        for name in HANDLERS:
            if given[f"on_{name}"] is not None:
                getattr(self, f"on_{name}")(given[f"on_{name}"])
        self._set_handler("log", logger.log)
        self._serving: Serving | None = None
        self._bind(host, port, unix)
        _servers.add(self)

    # -- address --

    _host: str = ""
    _unix: str | None = None

    def _bind(
        self,
        host: str,
        port: int,
        unix: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None,
    ) -> None:
        if unix is not None:
            if (host, port) != (_DEFAULT_HOST, _DEFAULT_PORT):
                raise ValueError("unix stands in place of host and port: give one of them")
            if not isinstance(unix, str | bytes | os.PathLike):
                raise TypeError(f"unix must be a path, not {type(unix).__name__}")
            path = os.fsencode(unix)
            if not path or b"\0" in path:
                raise ValueError(f"unix must be the path of a socket, not {unix!r}")
            self._host, self._unix = "", os.fsdecode(path)
            self._bind_unix(path)
            return
        if not isinstance(host, str):
            raise TypeError(f"host must be a str, not {type(host).__name__}")
        if "\0" in host or len(host) > 255:
            raise ValueError(f"host must be a name or an IP address, not {host[:40]!r}")
        integer(0, 65535)("port", port)
        self._host, self._unix = host, None
        self._bind_tcp(host, port)

    def _authority(self) -> str:
        """host:port for a client on this machine: a wildcard address becomes loopback."""
        host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        if ":" in host:
            host = f"[{host.replace('%', '%25')}]"  # RFC 6874: the zone's percent sign
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address for a client on this machine, such as "ws://127.0.0.1:8000/"."""
        if self._unix is not None:
            return f"ws+unix://{urllib.parse.quote(os.path.abspath(self._unix))}"
        return f"ws://{self._authority()}/"

    def __repr__(self) -> str:
        return f"<wspy.Server {self.url} {self.strategy}>"

    # -- handlers --

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        for name in HANDLERS:
            if f"on_{name}" in cls.__dict__:
                raise TypeError(f"on_{name} sets a handler and is none: call it with the method")

    if not TYPE_CHECKING:  # with it any attribute would pass for one of Server's

        def __setattr__(self, name: str, value: object) -> None:
            if name.startswith("on_") and name[3:] in HANDLERS:
                raise AttributeError(
                    f"{name} sets a handler when it is called: server.{name}(handler)"
                )
            super().__setattr__(name, value)

    # -- pages --

    def page(
        self,
        path: str,
        body: str | bytes,
        content_type: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> None:
        """Answers GET and HEAD for ``path`` with a fixed body. Before the server runs.

        ``path`` is compared as it stands in the request, without the query. ``content_type`` is
        "text/html; charset=utf-8" for str and "application/octet-stream" for bytes, if not
        given. ``headers`` are further fields of the answer, such as a Content-Security-Policy. A
        second page with the same path replaces the first.

        ValueError or TypeError names the argument that is wrong; RuntimeError once the server
        runs.
        """
        data, content_type = make_body(body, content_type)
        self._page(check_path(path), data, content_type, make_fields(headers))

    # -- running --

    def run(self, *, loop: LoopName | None = None) -> None:
        """Takes connections until ``stop()``, Ctrl-C or SIGTERM; then closes all with 1001.

        With async handlers it runs asyncio, on uvloop if that is installed; ``loop`` ("asyncio" or
        "uvloop") names one, and makes it so for plain handlers too.

        In the main thread it handles SIGINT and SIGTERM while it runs, unless the program has
        set handlers of its own; a second Ctrl-C raises KeyboardInterrupt. A server runs once:
        again is RuntimeError. KeyboardInterrupt and SystemExit from a handler stop the server
        and are raised here. OSError if it cannot begin.
        """
        if threading.current_thread() is threading.main_thread():
            with stop_on_signals(self.stop) as fd:
                self._run_here(fd, loop=loop)
        else:
            self._run_here(loop=loop)

    # -- in somebody's loop --

    def fileno(self) -> int:
        """A descriptor that is readable when ``step()`` has something to do.

        The first call begins the run, on this thread: connections are taken from then on. For
        loops that can wait for a descriptor, such as trio's and anyio's; asyncio has
        ``start_serving()``. ValueError with ``strategy`` select or poll, OSError if it cannot
        begin, RuntimeError if it runs otherwise or has run.
        """
        if TASK in self._modes.values():
            raise RuntimeError("async handlers need asyncio: start_serving() or serve()")
        if self._serving is None:
            fd = self._begin_steps()
            self._runs_plainly = True
            return fd
        return self._serving.fd

    def _begin_steps(self) -> int:
        self._set_log_level(logger.getEffectiveLevel())
        return self._embed(self._listening)

    def step(self) -> bool:
        """One bounded iteration, which never waits: reads, calls handlers, writes.

        False: ``stop()`` was called and every connection has ended; the descriptor is closed.
        Raises KeyboardInterrupt and SystemExit of a handler then. RuntimeError before
        ``fileno()``, on another thread, and in a handler.
        """
        if self._serving is not None:
            raise RuntimeError("asyncio takes the steps: start_serving() was called")
        over: list[bool] = []
        self._step(lambda: over.append(True))
        if over:
            self._end()
        return not over

    def start_serving(self) -> None:
        """Takes connections in the running asyncio loop from now on, until ``stop()``.

        RuntimeError without a running loop; otherwise as ``fileno()``.
        """
        if self._serving is not None or self._runs_plainly:
            raise RuntimeError("a Server runs once: make a new one")
        from .serving import Serving

        self._serving = Serving(self)

    async def wait_closed(self) -> None:
        """Until ``stop()`` was called and every connection and handler has ended.

        Raises KeyboardInterrupt and SystemExit of a handler.
        """
        if self._serving is None:
            raise RuntimeError("wait_closed() is for a server that was started: start_serving()")
        await self._serving.wait()

    async def serve(self) -> None:
        """``start_serving()`` and ``wait_closed()``; when it is cancelled it stops the server."""
        async with self:
            await self.wait_closed()

    async def __aenter__(self) -> Self:
        self.start_serving()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        assert self._serving is not None
        await self._serving.leave(kind)

    def start_in_thread(self, *, loop: LoopName | None = None) -> ServerThread:
        """Runs the server in a daemon thread, and returns when it takes connections.

        ``loop`` as for ``run()``.

        The result is a context manager that gives ``url`` and stops the server at its end; it
        also has ``url`` and ``stop()``. Raises what keeps it from running: OSError, or
        RuntimeError if it has run before.
        """
        return ServerThread(self, loop)

    def _listening(self) -> None:
        unix = self._unix
        where = f"unix:{unix}" if unix is not None else f"http://{self._authority()}"
        logger.info("listening on %s (%s)", where, self.strategy)

    def _run_here(
        self,
        watch_fd: int = -1,
        begun: Callable[[], object] = lambda: None,
        loop: LoopName | None = None,
    ) -> None:
        """Runs on this thread; ``begun`` is called once connections are taken."""

        if loop not in (None, "asyncio", "uvloop"):
            raise ValueError(f"loop must be 'asyncio', 'uvloop' or None, not {loop!r}")

        def listening() -> None:
            self._listening()
            begun()

        async def main() -> None:
            async with self:
                begun()
                await self.wait_closed()

        if loop is not None or TASK in self._modes.values():
            from .serving import run

            run(main(), loop)
        else:
            self._set_log_level(logger.getEffectiveLevel())
            self._runs_plainly = True
            self._run(watch_fd, listening)


def _abandon_all() -> None:
    for server in list(_servers):
        server._abandon()
        server._runner.abandon()


# A child of fork() has the descriptors but not the threads: it lets go of both.
os.register_at_fork(after_in_child=_abandon_all)
