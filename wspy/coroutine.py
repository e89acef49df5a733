"""A connection as the coroutine that serves it has it: ServerConnection, and broadcast()."""

from __future__ import annotations

import asyncio
import enum
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from .errors import ConnectionClosed, ConnectionClosedOK
from .request import Request, Response, text_response

if TYPE_CHECKING:
    import logging

    from typing_extensions import Buffer

    from ._core import Connection, Stream
    from .inbox import Inbox
    from .serve import AsyncServer

    Data = str | Buffer


class State(enum.IntEnum):
    """Where a connection stands: RFC 6455 sections 4.1, 7.1.3 and 7.1.4."""

    CONNECTING, OPEN, CLOSING, CLOSED = range(4)


class ServerConnection:
    """One connection of ``wspy.aio.serve``, for the coroutine that serves it.

    Its methods are those of the websockets library's class of this name. They belong to the
    event loop's thread. Cancelling one of them loses no message and doubles none.
    """

    def __init__(self, server: AsyncServer, conn: Connection, inbox: Inbox) -> None:
        self.server = server
        self.id = uuid.uuid4()
        self.username: str | None = None  # of basic_auth
        self._conn = conn
        self._inbox = inbox
        self._has_begun = False  # not while process_request has it
        self._is_full = False  # over the high-water mark when it was last looked at
        self._stream_lock: asyncio.Lock | None = None
        self._request: Request | None = None

    def __repr__(self) -> str:
        return f"<wspy.aio.ServerConnection of {self._conn!r}>"

    # ---- receiving ----

    @overload
    async def recv(self, decode: Literal[True]) -> str: ...
    @overload
    async def recv(self, decode: Literal[False]) -> bytes: ...
    @overload
    async def recv(self, decode: bool | None = None) -> str | bytes: ...

    async def recv(self, decode: bool | None = None) -> str | bytes:
        """The next message: str for text and bytes for binary, as RFC 6455 section 5.6 has them.

        ``decode``: True gives str for both, False bytes. Raises ConnectionClosedOK or
        ConnectionClosedError when no more will come, RuntimeError while another coroutine waits
        here, and UnicodeDecodeError for binary that is no UTF-8 with True.
        """
        inbox = self._inbox
        while not inbox.messages:
            if inbox.is_over:
                raise inbox.closed_error()
            await inbox.wait()
        message = inbox.take()
        if decode is None:
            return message
        return _decoded(message) if decode else _encoded(message)

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[str | bytes]:
        """The next message in parts: here it is one part, since fragments are joined where they
        are received. As ``recv()`` otherwise."""
        yield await self.recv(decode)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The messages until the connection is closed; raises ConnectionClosedError unless that
        went as it should."""
        inbox = self._inbox
        while True:
            if inbox.messages:
                yield inbox.take()
            elif not inbox.is_over:
                await inbox.wait()
            else:
                error = inbox.closed_error()
                if isinstance(error, ConnectionClosedOK):
                    return
                raise error

    # ---- sending ----

    async def send(
        self,
        message: Data | Iterable[Data] | AsyncIterable[Data],
        text: bool | None = None,
    ) -> None:
        """Sends a message: str as text, bytes and other buffers as binary; ``text`` says otherwise.

        An iterable of them, or an asynchronous one, is sent as the fragments of one message (RFC
        6455 section 5.4); if it raises, or is cancelled, the connection is closed with 1011.

        It waits while more than ``write_limit`` bytes are queued: cancelled there, the message is
        not sent. Raises ConnectionClosedOK or ConnectionClosedError once the connection is closed,
        and TypeError for what is no message.
        """
        kind = type(message)
        if text is not None or not (kind is str or kind is bytes):
            await self._send_other(message, text)
            return
        if self._is_full:
            await self._wait_room()
        try:
            self._is_full = not self._conn.send(message)  # type: ignore[arg-type]
        except ConnectionClosed:
            raise await self._closed_error() from None

    async def _send_other(self, message: Any, text: bool | None) -> None:
        if _is_data(message):
            if self._is_full:
                await self._wait_room()
            try:
                self._is_full = not self._conn.send(_as_kind(message, text))
            except ConnectionClosed:
                raise await self._closed_error() from None
        elif isinstance(message, Mapping):
            raise TypeError("data is a dict: iterate over its keys or values yourself")
        elif isinstance(message, AsyncIterable):
            await self._send_parts(aiter(message), text)
        elif isinstance(message, Iterable):
            await self._send_parts(_each(iter(message)), text)
        else:
            raise TypeError(
                f"data must be str, bytes, or an iterable of them, not {type(message).__name__}"
            )

    async def _send_parts(self, parts: AsyncIterator[Data], text: bool | None) -> None:
        try:
            first = await anext(parts)
        except StopAsyncIteration:
            return
        if not _is_data(first):
            raise TypeError(f"a part must be str or bytes, not {type(first).__name__}")
        if self._stream_lock is None:
            self._stream_lock = asyncio.Lock()
        is_text = isinstance(first, str) if text is None else text
        async with self._stream_lock:  # RFC 6455 section 5.4: messages are not interleaved
            try:
                with self._conn.stream(text=is_text) as stream:
                    await self._write(stream, _as_kind(first, text))
                    async for part in parts:
                        if not _is_data(part) or isinstance(part, str) != isinstance(first, str):
                            raise TypeError("all parts of a message must be str, or all bytes")
                        await self._write(stream, _as_kind(part, text))
            except ConnectionClosed:
                raise await self._closed_error() from None

    async def _write(self, stream: Stream, part: str | Buffer) -> None:
        if not stream.write(part):
            await self._wait_room()

    async def _wait_room(self) -> None:
        await self._inbox.wait_room()
        self._is_full = False

    async def _closed_error(self) -> ConnectionClosed:
        """What to raise: known when the closing handshake is over."""
        self._check_begun()
        self._inbox.open_wide()
        await self._inbox.wait_end()
        return self._inbox.closed_error()

    def _check_begun(self) -> None:
        if not self._has_begun:
            raise RuntimeError("the connection is not open yet: process_request decides")

    async def ping(self, data: Data | None = None) -> Awaitable[float]:
        """Sends a ping (RFC 6455 section 5.5.2): ``await (await ws.ping())`` gives the seconds until
        its pong. Raises ConnectionClosedOK or ConnectionClosedError, as the second await does if the
        connection ends before, and ValueError for data of more than 125 bytes."""
        try:
            return self._conn.ping(data)
        except ConnectionClosed:
            raise await self._closed_error() from None

    # ---- closing ----

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection (RFC 6455 section 7.1.2), and waits until it is closed, for
        ``close_timeout`` at most. On one that is closing or closed it only waits."""
        self._check_begun()
        self._conn.close(code, reason)
        self._inbox.open_wide()
        await self._inbox.wait_end()

    async def wait_closed(self) -> None:
        """Until the connection is closed, by either side."""
        await self._inbox.wait_end()

    # ---- what it is ----

    @property
    def request(self) -> Request:
        """The request of the opening handshake."""
        if self._request is None:
            conn = self._conn
            target = f"{conn.path}?{conn.query}" if conn.query else conn.path
            self._request = Request(target, conn.headers)
        return self._request

    @property
    def logger(self) -> logging.Logger | logging.LoggerAdapter[Any]:
        return self.server.logger

    @property
    def local_address(self) -> tuple[str, int] | None:
        """The address that the server is bound to; None for a Unix socket."""
        return self.server.address

    @property
    def remote_address(self) -> tuple[str, int] | None:
        """The peer's IP address and port; None for a Unix socket."""
        return self._conn.remote_address

    @property
    def subprotocol(self) -> str | None:
        """The one agreed on (RFC 6455 section 1.9), or None."""
        return self._conn.subprotocol

    @property
    def latency(self) -> float:
        """Seconds from the last ping to its pong; 0 before the first."""
        return self._conn.latency or 0.0

    @property
    def state(self) -> State:
        if not self._has_begun:
            return State.CONNECTING
        if self._inbox.is_over:
            return State.CLOSED
        return State.OPEN if self._conn.is_open else State.CLOSING

    @property
    def close_code(self) -> int | None:
        """The peer's close code, 1006 if none came (RFC 6455 section 7.1.5); None before the end."""
        return self._conn.close_code

    @property
    def close_reason(self) -> str | None:
        """The peer's close reason, or ''; None before the end."""
        return self._conn.close_reason

    def respond(self, status: int, text: str) -> Response:
        """A plain answer for ``process_request`` to return: a status and a text for people."""
        return text_response(status, text)


# ---- messages ----


def _is_data(message: object) -> bool:
    if isinstance(message, str | bytes | bytearray | memoryview):
        return True
    if isinstance(message, Iterable | AsyncIterable) and not hasattr(message, "__buffer__"):
        return False
    try:
        memoryview(message)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def _decoded(message: Any) -> str:
    return message if isinstance(message, str) else bytes(message).decode()


def _encoded(message: Any) -> bytes:
    return message.encode() if isinstance(message, str) else bytes(message)


def _as_kind(message: Any, text: bool | None) -> Any:
    if text is None:
        return message
    return _decoded(message) if text else _encoded(message)


async def _each(parts: Iterator[Data]) -> AsyncIterator[Data]:
    for part in parts:
        yield part


def broadcast(
    connections: Iterable[ServerConnection],
    message: Data,
    *,
    text: bool | None = None,
    raise_exceptions: bool = False,
) -> None:
    """Sends a message to all that are open, without waiting for any; to a peer that is slow
    ``backlog_policy`` applies. ``raise_exceptions`` is taken, and changes nothing: nothing fails.
    """
    if not _is_data(message):
        raise TypeError(f"data must be str or bytes, not {type(message).__name__}")
    message = _as_kind(message, text)
    for connection in connections:
        if connection._conn.is_open:
            connection._is_full = not connection._conn.send(message)
