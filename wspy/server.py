"""The Server that programs use: options, handlers, pages, and ways to run it.

No code here runs for a message: that is C, in _core.
"""

from __future__ import annotations

import inspect
import logging
import os
import struct
import threading
import urllib.parse
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, TypeVar, overload

from . import _core, jsons
from ._core import Connection, Struct
from .handlers import HANDLERS, check_handler, read_format
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
from .signals import stop_on_signals
from .thread import ServerThread

OpenHandler = Callable[[Connection], object]
MessageHandler = Callable[[Connection, str | bytes], object]
JSONHandler = Callable[[Connection, Any], object]
JSONDumps = Callable[[Any], str | bytes]
JSONLoads = Callable[[str], Any]
PackedHandler = Callable[..., object]
Format: TypeAlias = str | bytes | Struct | struct.Struct
CloseHandler = Callable[[Connection, int, str], object]
DrainHandler = Callable[[Connection], object]
PingHandler = Callable[[Connection, bytes], object]
PongHandler = Callable[[Connection, bytes], object]
ErrorHandler = Callable[[Connection, Exception], object]

_Open = TypeVar("_Open", bound=OpenHandler)
_Message = TypeVar("_Message", bound=MessageHandler)
_Packed = TypeVar("_Packed", bound=PackedHandler)
_JSON = TypeVar("_JSON", bound=JSONHandler)
_Close = TypeVar("_Close", bound=CloseHandler)
_Drain = TypeVar("_Drain", bound=DrainHandler)
_Ping = TypeVar("_Ping", bound=PingHandler)
_Pong = TypeVar("_Pong", bound=PongHandler)
_Error = TypeVar("_Error", bound=ErrorHandler)

_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8000

logger = logging.getLogger("wspy")

_servers: weakref.WeakSet[Server] = weakref.WeakSet()


class Server(_core.Server):
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
            refuse_unknown(unknown, list(inspect.signature(Server).parameters)[:-1])
        super().__init__(
            validate(given),
            json_function("json_dumps", json_dumps, jsons.dumps),
            json_function("json_loads", json_loads, jsons.loads),
        )
        self._max_message_size = max_message_size
        for name in HANDLERS:
            if given[f"on_{name}"] is not None:
                self._handle(name, given[f"on_{name}"])
        self._set_handler("log", logger.log)
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

    def _handle(self, name: str, handler: Callable[..., object]) -> None:
        check_handler(name, handler)
        self._set_handler(name, handler)

    def on_open(self, handler: _Open) -> _Open:
        """Sets the handler ``(conn)`` for a connection that is open. Returns it: a decorator."""
        self._handle("open", handler)
        return handler

    @overload
    def on_message(self, handler: _Message) -> _Message: ...

    @overload
    def on_message(
        self,
        handler: _Packed,
        *,
        format: Format,
        wrong_length: Literal["close", "error"] = "close",
    ) -> _Packed: ...

    @overload
    def on_message(
        self, *, format: Format, wrong_length: Literal["close", "error"] = "close"
    ) -> Callable[[_Packed], _Packed]: ...

    def on_message(
        self,
        handler: Callable[..., object] | None = None,
        *,
        format: Format | None = None,
        wrong_length: Literal["close", "error"] = "close",
    ) -> Callable[..., object]:
        """Sets the handler ``(conn, message)``: str for text, bytes for binary.

        With ``format`` it is one for binary messages that are records, and gets their values,
        which are unpacked where they were received::

            @server.on_message(format="!IHd")
            def tick(conn, instrument, flags, price): ...

        ``format`` is what Struct takes. With a ``*`` behind it (``"!IHd*"``) a message is any
        number of records, none too, and the handler is called with ``(conn, records)``, a list of
        tuples. A message of another length closes the connection with 1007 (RFC 6455 section
        7.4.1); with ``wrong_length="error"`` it raises StructError as if the handler had, for
        ``on_error``. Text goes to the ``on_message`` without a format (or ``on_json``), both can
        be set; without one it closes the connection with 1003.

        StructError for what is no format, ValueError for one without values or of more bytes than
        ``max_message_size``.
        """
        if format is None:
            if handler is None:
                raise TypeError("on_message: a handler or a format is needed")
            if wrong_length != "close":
                raise ValueError("wrong_length is for messages with a format: give format too")
            self._handle("message", handler)
            return handler
        if wrong_length not in ("close", "error"):
            raise ValueError(f"wrong_length must be 'close' or 'error', not {wrong_length!r}")
        of, many = read_format(format, self._max_message_size)

        def decorate(handler: _Packed) -> _Packed:
            check_handler("message", handler, of, many)
            self._set_packed(handler, of, many, wrong_length == "error")
            return handler

        return decorate if handler is None else decorate(handler)

    def on_json(self, handler: _JSON) -> _JSON:
        """Sets the handler ``(conn, obj)`` for text messages, decoded by ``json_loads``.

        A text that is not JSON closes the connection with 1007 (RFC 6455 section 7.4.1).
        ``on_message`` then gets binary messages only; without it they close with 1003.
        """
        self._handle("json", handler)
        return handler

    def on_close(self, handler: _Close) -> _Close:
        """Sets the handler ``(conn, code, reason)``, called once, last.

        The code is the peer's (RFC 6455 section 7.1.5), 1005 if it sent none, and 1006 if the
        connection ended without a close frame; ``conn.close_kind`` tells the cause.
        """
        self._handle("close", handler)
        return handler

    def on_drain(self, handler: _Drain) -> _Drain:
        """Sets the handler ``(conn)``, called when the output has fallen to half of high_water
        after ``conn.send()`` had returned False."""
        self._handle("drain", handler)
        return handler

    def on_ping(self, handler: _Ping) -> _Ping:
        """Sets the handler ``(conn, data)`` for a ping (RFC 6455 section 5.5.2), with its data as
        bytes. The pong is sent by itself."""
        self._handle("ping", handler)
        return handler

    def on_pong(self, handler: _Pong) -> _Pong:
        """Sets the handler ``(conn, data)`` for a pong, whether it answers ``conn.ping()``, a ping
        of ping_interval (8 bytes of the server's own), or nothing (RFC 6455 section 5.5.3)."""
        self._handle("pong", handler)
        return handler

    def on_error(self, handler: _Error) -> _Error:
        """Sets the handler ``(conn, exception)`` for what another handler raised.

        Without one, or if it raises too, what was raised is logged and the connection is closed
        with 1011 (RFC 6455 section 7.4.1). It decides by itself whether to close.
        """
        self._handle("error", handler)
        return handler

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

    def run(self) -> None:
        """Takes connections until ``stop()``, Ctrl-C or SIGTERM; then closes all with 1001.

        In the main thread it handles SIGINT and SIGTERM while it runs, unless the program has
        set handlers of its own; a second Ctrl-C raises KeyboardInterrupt. A server runs once:
        again is RuntimeError. KeyboardInterrupt and SystemExit from a handler stop the server
        and are raised here. OSError if it cannot begin.
        """
        if threading.current_thread() is threading.main_thread():
            with stop_on_signals(self.stop) as fd:
                self._run_here(fd)
        else:
            self._run_here()

    def start_in_thread(self) -> ServerThread:
        """Runs the server in a daemon thread, and returns when it takes connections.

        The result is a context manager that gives ``url`` and stops the server at its end; it
        also has ``url`` and ``stop()``. Raises what keeps it from running: OSError, or
        RuntimeError if it has run before.
        """
        return ServerThread(self)

    def _run_here(self, watch_fd: int = -1, begun: Callable[[], object] | None = None) -> None:
        """Runs on this thread; ``begun`` is called once connections are taken."""

        def listening() -> None:
            unix = self._unix
            where = f"unix:{unix}" if unix is not None else f"http://{self._authority()}"
            logger.info("listening on %s (%s)", where, self.strategy)
            if begun is not None:
                begun()

        self._set_log_level(logger.getEffectiveLevel())
        self._run(watch_fd, listening)


def _abandon_all() -> None:
    for server in list(_servers):
        server._abandon()


# A child of fork() has the descriptors but not the threads: it lets go of both.
os.register_at_fork(after_in_child=_abandon_all)
