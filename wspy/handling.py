"""How handlers are set: the decorators on_open, on_message and so on of a Server."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar, overload

from . import _core
from ._core import Connection, Struct
from .handlers import TASK, check_handler, mode_of, read_format
from .runner import Runner

OpenHandler = Callable[[Connection], object]
MessageHandler = Callable[[Connection, str | bytes], object]
JSONHandler = Callable[[Connection, Any], object]
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


class Handling(_core.Server):
    """The part of Server that sets handlers.

    A handler may be an ``async def``, where the server runs in asyncio: then what comes next to its
    connection waits until it has ended, while other connections go on. With ``thread=True`` a plain
    ``def`` is called on a thread of a pool (``handler_threads``) and may block, with the same order.
    ``concurrent=True``: what comes next does not wait.
    """

    _runner: Runner
    _modes: dict[str, int] = {}  # noqa: RUF012 (Server.__init__ makes one of its own)
    _max_message_size: int
    _runs_plainly = False  # not in asyncio

    def _take_mode(
        self, name: str, slot: str, handler: object, thread: bool, concurrent: bool
    ) -> int:
        mode = mode_of(self, name, handler, thread, concurrent)
        if mode == TASK and self._runs_plainly:
            raise RuntimeError(f"on_{name}: async handlers need asyncio, which this run is without")
        self._modes[slot] = mode
        return mode

    def _decorate(
        self, name: str, handler: Callable[..., object] | None, thread: bool, concurrent: bool
    ) -> Callable[..., object]:
        """Sets the handler, or gives what does."""

        def decorate(handler: Callable[..., object]) -> Callable[..., object]:
            check_handler(name, handler)
            mode = self._take_mode(name, name, handler, thread, concurrent)
            self._set_handler(name, handler, mode, concurrent)
            return handler

        return decorate if handler is None else decorate(handler)

    @overload
    def on_open(
        self, handler: _Open, *, thread: bool = False, concurrent: bool = False
    ) -> _Open: ...

    @overload
    def on_open(
        self, *, thread: bool = False, concurrent: bool = False
    ) -> Callable[[_Open], _Open]: ...

    def on_open(
        self,
        handler: Callable[..., object] | None = None,
        *,
        thread: bool = False,
        concurrent: bool = False,
    ) -> Callable[..., object]:
        """Sets the handler ``(conn)`` for a connection that is open. Returns it: a decorator.

        It ends before the first message is told.
        """
        return self._decorate("open", handler, thread, concurrent)

    @overload
    def on_message(
        self, handler: _Message, *, thread: bool = False, concurrent: bool = False
    ) -> _Message: ...

    @overload
    def on_message(
        self, *, thread: bool = False, concurrent: bool = False
    ) -> Callable[[_Message], _Message]: ...

    @overload
    def on_message(
        self,
        handler: _Packed,
        *,
        format: Format,
        wrong_length: Literal["close", "error"] = "close",
        thread: bool = False,
        concurrent: bool = False,
    ) -> _Packed: ...

    @overload
    def on_message(
        self,
        *,
        format: Format,
        wrong_length: Literal["close", "error"] = "close",
        thread: bool = False,
        concurrent: bool = False,
    ) -> Callable[[_Packed], _Packed]: ...

    def on_message(
        self,
        handler: Callable[..., object] | None = None,
        *,
        format: Format | None = None,
        wrong_length: Literal["close", "error"] = "close",
        thread: bool = False,
        concurrent: bool = False,
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
            if wrong_length != "close":
                raise ValueError("wrong_length is for messages with a format: give format too")
            return self._decorate("message", handler, thread, concurrent)
        if wrong_length not in ("close", "error"):
            raise ValueError(f"wrong_length must be 'close' or 'error', not {wrong_length!r}")
        of, many = read_format(format, self._max_message_size)

        def decorate(handler: _Packed) -> _Packed:
            check_handler("message", handler, of, many)
            mode = self._take_mode("message", "packed", handler, thread, concurrent)
            self._set_packed(handler, of, many, wrong_length == "error", mode, concurrent)
            return handler

        return decorate if handler is None else decorate(handler)

    @overload
    def on_json(
        self, handler: _JSON, *, thread: bool = False, concurrent: bool = False
    ) -> _JSON: ...

    @overload
    def on_json(
        self, *, thread: bool = False, concurrent: bool = False
    ) -> Callable[[_JSON], _JSON]: ...

    def on_json(
        self,
        handler: Callable[..., object] | None = None,
        *,
        thread: bool = False,
        concurrent: bool = False,
    ) -> Callable[..., object]:
        """Sets the handler ``(conn, obj)`` for text messages, decoded by ``json_loads``.

        A text that is not JSON closes the connection with 1007 (RFC 6455 section 7.4.1).
        ``on_message`` then gets binary messages only; without it they close with 1003.
        """
        return self._decorate("json", handler, thread, concurrent)

    @overload
    def on_close(
        self, handler: _Close, *, thread: bool = False, concurrent: bool = False
    ) -> _Close: ...

    @overload
    def on_close(
        self, *, thread: bool = False, concurrent: bool = False
    ) -> Callable[[_Close], _Close]: ...

    def on_close(
        self,
        handler: Callable[..., object] | None = None,
        *,
        thread: bool = False,
        concurrent: bool = False,
    ) -> Callable[..., object]:
        """Sets the handler ``(conn, code, reason)``, called once, last.

        The code is the peer's (RFC 6455 section 7.1.5), 1005 if it sent none, and 1006 if the
        connection ended without a close frame; ``conn.close_kind`` tells the cause.
        """
        return self._decorate("close", handler, thread, concurrent)

    @overload
    def on_drain(
        self, handler: _Drain, *, thread: bool = False, concurrent: bool = False
    ) -> _Drain: ...

    @overload
    def on_drain(
        self, *, thread: bool = False, concurrent: bool = False
    ) -> Callable[[_Drain], _Drain]: ...

    def on_drain(
        self,
        handler: Callable[..., object] | None = None,
        *,
        thread: bool = False,
        concurrent: bool = False,
    ) -> Callable[..., object]:
        """Sets the handler ``(conn)``, called when the output has fallen to half of high_water
        after ``conn.send()`` had returned False."""
        return self._decorate("drain", handler, thread, concurrent)

    @overload
    def on_ping(
        self, handler: _Ping, *, thread: bool = False, concurrent: bool = False
    ) -> _Ping: ...

    @overload
    def on_ping(
        self, *, thread: bool = False, concurrent: bool = False
    ) -> Callable[[_Ping], _Ping]: ...

    def on_ping(
        self,
        handler: Callable[..., object] | None = None,
        *,
        thread: bool = False,
        concurrent: bool = False,
    ) -> Callable[..., object]:
        """Sets the handler ``(conn, data)`` for a ping (RFC 6455 section 5.5.2), with its data as
        bytes. The pong is sent by itself."""
        return self._decorate("ping", handler, thread, concurrent)

    @overload
    def on_pong(
        self, handler: _Pong, *, thread: bool = False, concurrent: bool = False
    ) -> _Pong: ...

    @overload
    def on_pong(
        self, *, thread: bool = False, concurrent: bool = False
    ) -> Callable[[_Pong], _Pong]: ...

    def on_pong(
        self,
        handler: Callable[..., object] | None = None,
        *,
        thread: bool = False,
        concurrent: bool = False,
    ) -> Callable[..., object]:
        """Sets the handler ``(conn, data)`` for a pong, whether it answers ``conn.ping()``, a ping
        of ping_interval (8 bytes of the server's own), or nothing (RFC 6455 section 5.5.3)."""
        return self._decorate("pong", handler, thread, concurrent)

    def on_error(self, handler: _Error) -> _Error:
        """Sets the handler ``(conn, exception)``, a plain ``def``, for what another handler raised.

        Without one, or if it raises too, what was raised is logged and the connection is closed
        with 1011 (RFC 6455 section 7.4.1). It decides by itself whether to close.
        """
        check_handler("error", handler)
        self._take_mode("error", "error", handler, False, False)
        self._set_handler("error", handler)
        return handler
