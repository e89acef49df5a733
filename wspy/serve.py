"""serve(): one coroutine for each connection, in the running asyncio loop.

It stands on the callbacks of a Server: on_open starts the coroutine's task, on_message fills its
inbox, on_close ends it. The names are those of the websockets library where they mean the same;
docs/from-websockets.md tells what does not.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any, Literal

from .coroutine import ServerConnection
from .errors import ConnectionClosed
from .handlers import check_calls
from .inbox import Inbox, finish, put
from .options import refuse_unknown
from .request import Request, Response, text_response
from .serving import GRACE

if TYPE_CHECKING:
    from ._core import Connection
    from .options import Compression
    from .server import Server

Handler = Callable[[ServerConnection], Awaitable[object]]
ProcessRequest = Callable[[ServerConnection, Request], Response | Awaitable[Response | None] | None]

_MANY = 2**31 - 1  # where None is no limit, and the core wants one

# Keywords of the websockets library that nothing here stands for.
_ABSENT = {
    "extensions": "use compression",
    "select_subprotocol": "subprotocols are chosen in the server's order",
    "process_response": "the answer to a handshake has no further fields",
    "server_header": "no Server field is sent",
    "create_connection": "connections are wspy.aio.ServerConnection",
    "ssl": "TLS is the reverse proxy's for now",
    "sock": "give host and port, or unix",
    "family": "give a host of that family",
    "reuse_address": "it is always on",
    "reuse_port": "one process listens on an address",
    "start_serving": "it starts at once",
}

# Options of wspy.Server that have the websockets library's name here.
_RENAMED = {
    "max_message_size": "max_size",
    "handshake_timeout": "open_timeout",
    "high_water": "write_limit",
}


class AsyncServer:
    """A server of ``serve()`` that runs."""

    def __init__(
        self,
        handler: Handler,
        server: Server,
        max_queue: int | tuple[int | None, int | None] | None,
        process_request: ProcessRequest | None,
        patience: float | None,
        open_timeout: float | None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None,
    ) -> None:
        self.handler = handler
        self.server = server  # the wspy.Server beneath
        self._process_request = process_request
        self._open_timeout = open_timeout
        self.logger = logging.getLogger("wspy") if logger is None else logger
        self._high, self._low = _queue_limits(max_queue)
        self._connections: dict[int, ServerConnection] = {}
        self._asked: dict[int, ServerConnection] = {}  # to be opened
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self._is_stopping = False
        if process_request is not None:
            server._set_handler("request", self._ask)
        server.on_open(self._open)
        server.on_message(put)
        server.on_close(finish)
        server._runner.when_stopping = self._stopping
        server.start_serving()

    def __repr__(self) -> str:
        return f"<wspy.aio.AsyncServer {self.server.url}>"

    # ---- connections ----

    def _make(self, conn: Connection) -> ServerConnection:
        inbox = Inbox(conn, self._loop, self._high, self._low)
        conn._side = inbox
        return ServerConnection(self, conn, inbox)

    def _start_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open(self, conn: Connection) -> None:
        ws = self._asked.pop(conn.id, None) or self._make(conn)
        if self._is_stopping:
            ws._inbox.open_wide()
        self._connections[conn.id] = ws
        ws._has_begun = True
        self._start_task(self._serve(ws))

    # ---- process_request ----

    def _ask(self, conn: Connection) -> None:
        """A request has come. What it is answered may be known at once, or later."""
        ws = self._make(conn)
        try:
            answer = self._process_request(ws, ws.request)  # type: ignore[misc]
        except Exception:  # noqa: BLE001 (it is logged)
            answer = self._fail(ws)
        if inspect.isawaitable(answer):
            self._start_task(self._answer_later(ws, answer))
        else:
            self._answer(ws, answer)

    async def _answer_later(
        self, ws: ServerConnection, awaitable: Awaitable[Response | None]
    ) -> None:
        answer: Response | None = Response(500)
        try:
            answer = await asyncio.wait_for(awaitable, self._open_timeout)
        except asyncio.TimeoutError:
            answer = text_response(408, "process_request did not answer in time\n")
        except Exception:  # noqa: BLE001 (it is logged)
            answer = self._fail(ws)
        finally:
            self._answer(ws, answer)

    def _fail(self, ws: ServerConnection) -> Response:
        self.logger.exception("process_request failed for %r", ws)
        return text_response(500, "the server failed\n")

    def _answer(self, ws: ServerConnection, answer: Response | None) -> None:
        if answer is None:
            self._accept(ws)
            return
        try:
            if not isinstance(answer, Response):
                raise TypeError(f"it returned no Response and not None: {answer!r}")
            head = answer.head()
        except (TypeError, ValueError):
            answer = self._fail(ws)
            head = answer.head()
        ws._conn._answer(answer.status_code, head, answer.body)

    def _accept(self, ws: ServerConnection) -> None:
        conn_id = ws._conn.id
        self._asked[conn_id] = ws
        is_there = ws._conn._answer(101, None, b"")
        try:  # if the peer is still there it opens behind the first of two calls at the latest
            call_soon = self.server.call_soon
            call_soon(lambda: call_soon(self._asked.pop, conn_id, None))
        except RuntimeError:  # the run is over
            is_there = False
        if not is_there:
            self._asked.pop(conn_id, None)

    # ---- the coroutine ----

    async def _serve(self, ws: ServerConnection) -> None:
        """The task of a connection."""
        conn, code = ws._conn, 1011  # RFC 6455 section 7.4.1: "an unexpected condition"
        try:
            await self.handler(ws)
            code = 1000
        except asyncio.CancelledError:
            code = 1001  # "going away": asyncio.run() cancels all tasks at its end
            raise
        except Exception as exc:
            if isinstance(exc, ConnectionClosed) and not conn.is_open:
                self.logger.info("%r: %s", ws, exc)  # its coroutine had no more to do
            else:
                self.logger.exception("the handler of %r failed", ws)
        finally:
            conn.close(code)
            ws._inbox.open_wide()
            del self._connections[conn.id]

    @property
    def connections(self) -> set[ServerConnection]:
        """Those that are open."""
        return {ws for ws in self._connections.values() if ws._conn.is_open}

    # ---- the end ----

    def close(self, close_connections: bool = True) -> None:
        """Takes no more connections and closes all with 1001; ``wait_closed()`` tells when that is
        done. A second call does nothing. ``close_connections`` has to be True."""
        if not close_connections:
            raise ValueError("close_connections=False: a wspy server closes its connections")
        self._is_stopping = True
        self.server.stop()

    def _stopping(self) -> None:
        """Coroutines hear of the end by ConnectionClosed. Those that do not listen are cancelled
        when it takes too long."""
        self._is_stopping = True
        for ws in self._connections.values():
            ws._inbox.open_wide()
        if self._patience is not None and self._timer is None:
            self._timer = self._loop.call_later(self._patience, self._cancel_tasks)

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._timer = self._loop.call_later(GRACE, self._name_refusing)

    def _name_refusing(self) -> None:
        for ws in self._connections.values():
            self.logger.warning(
                "the handler of %r was cancelled, and does not end: the server waits for it", ws
            )

    async def wait_closed(self) -> None:
        """Until ``close()`` was called and every connection and coroutine has ended.

        Coroutines that go on for ``shutdown_timeout`` are cancelled. Raises KeyboardInterrupt and
        SystemExit of a coroutine.
        """
        try:
            await self.server.wait_closed()
        except (KeyboardInterrupt, SystemExit):
            await self._wait_tasks()
            raise
        await self._wait_tasks()

    async def _wait_tasks(self) -> None:
        """For the coroutines that are left when the run is over."""
        while tasks := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(tasks)
        if self._timer is not None:
            self._timer.cancel()

    async def serve_forever(self) -> None:
        """``wait_closed()``; when it is cancelled it closes the server."""
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    def is_serving(self) -> bool:
        """Whether connections are taken."""
        return not self._is_stopping

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it runs in."""
        return self._loop

    # ---- where it is ----

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port that it is bound to, None for a Unix socket."""
        return None if self.server._unix is not None else (self.server._host, self.server.port)

    @property
    def sockets(self) -> tuple[BoundSocket, ...]:
        """One that tells the address: ``server.sockets[0].getsockname()[1]`` is the port."""
        if self._is_stopping:
            return ()
        unix = self.server._unix
        return (BoundSocket(unix if unix is not None else (self.server._host, self.server.port)),)


class BoundSocket:
    """What a server listens on: only its address, the socket is the core's."""

    def __init__(self, name: str | tuple[str, int]) -> None:
        self._name = name

    def getsockname(self) -> str | tuple[str, int]:
        """Host and port, or a Unix socket's path."""
        return self._name


class serve:
    """Starts a server that runs ``handler(ws)``, a coroutine, for each connection::

        async def echo(ws):
            async for message in ws:
                await ws.send(message)

        async def main():
            async with wspy.aio.serve(echo, "localhost", 8000) as server:
                await server.serve_forever()

        asyncio.run(main())

    ``async with`` closes the server at the end of the block; ``server = await serve(...)`` leaves
    that to ``server.close()``. When the coroutine returns, its connection is closed with 1000;
    when it raises, that is logged and the connection is closed with 1011; when it is cancelled,
    with 1001.

    ``host`` None is every address and ``port`` 0 any that is free; ``unix`` is a path in their
    place. Sizes are bytes, times seconds, and None is no limit. ``open_timeout``: for the request;
    ``ping_interval`` and ``ping_timeout``: of silence; ``close_timeout``: for the peer's close
    frame; ``max_size``: of a message; ``max_queue``: messages that wait for ``recv()`` before
    reading pauses (a pair: and where it goes on); ``write_limit``: bytes that wait to be sent
    before ``send()`` waits. ``origins``: as of wspy.Server, or None for any. ``subprotocols``: the
    one liked best first. ``compression``: "deflate" (RFC 7692), a wspy.Compression or None.
    ``process_request(ws, request)``, which may be async, returns a Response in place of the
    handshake, or None. ``logger`` in place of "wspy". Other keywords are options of wspy.Server.

    Raises what ``wspy.Server`` raises: TypeError or ValueError for a wrong option, OSError if the
    address cannot be had.
    """

    def __init__(
        self,
        handler: Handler,
        host: str | None = None,
        port: int | None = None,
        *,
        origins: str | Iterable[str | None] | None = "same-origin",
        subprotocols: Iterable[str] | None = None,
        compression: Compression | Literal["deflate"] | None = "deflate",
        process_request: ProcessRequest | None = None,
        open_timeout: float | None = 10,
        ping_interval: float | None = 20,
        ping_timeout: float | None = 20,
        close_timeout: float | None = 10,
        max_size: int | None = 2**20,
        max_queue: int | tuple[int | None, int | None] | None = 16,
        write_limit: int = 262_144,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        **options: Any,
    ) -> None:
        if not callable(handler):
            raise TypeError(f"handler must be a coroutine function, not {type(handler).__name__}")
        check_calls("handler", handler, ("ws",))
        if process_request is not None:
            check_calls("process_request", process_request, ("ws", "request"))
        options = _take_options(options)
        if host is not None or port is not None:
            options.update(host="" if host is None else host, port=0 if port is None else port)
        self._handler = handler
        self._process_request = process_request
        self._logger = logger
        self._max_queue = max_queue
        self._options = dict(
            options,
            compression=_compression_option(compression),
            origins=_origins_option(origins),
            subprotocols=() if subprotocols is None else subprotocols,
            handshake_timeout=open_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            max_message_size=_MANY if max_size is None else max_size,
            high_water=write_limit,
            max_queue=1,  # what waits behind max_queue, until reading pauses
        )
        self._server: AsyncServer | None = None

    def _start(self) -> AsyncServer:
        from .server import Server  # late: it imports this module

        _queue_limits(self._max_queue)
        try:
            server = Server(**self._options)
        except (TypeError, ValueError) as exc:
            name, space, words = str(exc).partition(" ")
            if name not in _RENAMED:
                raise
            raise type(exc)(_RENAMED[name] + space + words) from None
        return AsyncServer(
            self._handler,
            server,
            self._max_queue,
            self._process_request,
            self._options.get("shutdown_timeout", 10),
            self._options["handshake_timeout"],
            self._logger,
        )

    def __await__(self) -> Generator[Any, None, AsyncServer]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> AsyncServer:
        self._server = self._start()
        return self._server

    async def __aexit__(self, *exc: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


def unix_serve(handler: Handler, path: str | os.PathLike[str], **options: Any) -> serve:
    """``serve()`` on a Unix socket."""
    return serve(handler, unix=path, **options)


# ---- options ----


def _take_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those for wspy.Server. None, as in ``ssl=None``, asks for nothing that is not here."""
    for name, value in options.items():
        if name in _ABSENT and value is not None:
            raise TypeError(f"{name}: not here, {_ABSENT[name]}")
        if name in _RENAMED:
            raise TypeError(f"{name}: the name is {_RENAMED[name]} here")
        if name.startswith("on_"):
            raise TypeError(f"{name}: callbacks are for wspy.Server; here a coroutine is served")
    options = {name: value for name, value in options.items() if name not in _ABSENT}
    if options:
        refuse_unknown("serve", options, _option_names())
    return options


def _option_names() -> list[str]:
    """All that serve() takes by keyword."""
    from .server import Server  # late: it imports this module

    # Without **options and **unknown, which are the last.
    own, servers = (list(inspect.signature(of).parameters)[:-1] for of in (serve, Server))
    return own + [name for name in servers if name not in _RENAMED and not name.startswith("on_")]


def _compression_option(compression: object) -> object:
    if isinstance(compression, str) and compression != "deflate":
        raise ValueError(f"compression must be 'deflate' or None, not {compression!r}")
    if compression is None or isinstance(compression, str):
        return compression is not None
    return compression


def _origins_option(origins: object) -> object:
    """None is any origin, and None among them a client that names none: which is always let in."""
    if origins is None:
        return "*"
    if isinstance(origins, str) or not isinstance(origins, Iterable):
        return origins
    return [origin for origin in origins if origin is not None]


def _queue_limits(max_queue: object) -> tuple[float, int]:
    """How many messages may wait, and at how many reading goes on."""
    is_pair = isinstance(max_queue, tuple) and len(max_queue) == 2
    pair: Any = max_queue if is_pair else (max_queue, None)
    high, low = pair
    for limit in (high, low):
        if limit is not None and (not isinstance(limit, int) or limit < (limit is high)):
            raise ValueError(
                f"max_queue must be None, an int of 1 or more or a pair: {max_queue!r}"
            )
    if high is None:
        return float("inf"), 0
    return high, high // 4 if low is None else min(low, high - 1)
