"""What the runner keeps for a connection that has handlers which go on, or is waited for."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from .errors import ConnectionClosed

if TYPE_CHECKING:
    import asyncio

    from ._core import Connection


class Side:
    """How many concurrent handlers of a connection go on, and who waits for it."""

    def __init__(self, conn: Connection) -> None:
        self.conn: Connection | None = conn  # until its end
        self.is_entered = False  # by a handler on a thread
        self.n_beside = 0  # concurrent handlers that are not done
        self.is_crowded = False  # there are too many of them: it is held
        self.drains: list[asyncio.Future[None]] = []
        self.closes: list[asyncio.Future[tuple[int, str]]] = []
        self.pings: list[tuple[asyncio.Future[float], bytes | None, float]] = []
        self.end: tuple[int, str] | None = None

    # What the extension tells.

    def drained(self) -> None:
        """The output is short again, or the connection was closed."""
        waiting, self.drains = self.drains, []
        is_open = self.conn is not None and self.conn.is_open
        for future in waiting:
            if not is_open:
                _fail(future, self.end_error())
            elif not future.done():
                future.set_result(None)

    def ponged(self, data: bytes, is_own: bool) -> None:
        """A pong: that of our last ping without data, or of those with this data.

        RFC 6455 section 5.5.3: a peer may answer only the last ping, so the ones that went before it
        are answered with it.
        """
        if self.conn is None:
            return
        now = time.monotonic()
        matches = [is_own if wanted is None else wanted == data for _, wanted, _ in self.pings]
        n_answered = max((n for n, match in enumerate(matches, 1) if match), default=0)
        for future, wanted, sent in self.pings[:n_answered]:
            latency = self.conn.latency if wanted is None and is_own else None
            if not future.done():
                future.set_result(now - sent if latency is None else latency)
        del self.pings[:n_answered]
        if not self.pings:
            self.conn._await_pongs(False)

    def gone(self, code: int, reason: str) -> None:
        """The end is known, though on_close may wait for a handler still. Told again with on_close."""
        if self.end is not None:
            return
        self.end = (code, reason)
        waiting: list[asyncio.Future[Any]] = [*self.drains, *(ping[0] for ping in self.pings)]
        for future in waiting:
            _fail(future, self.end_error())
        for closed in self.closes:
            if not closed.done():
                closed.set_result(self.end)
        self.drains, self.pings, self.closes = [], [], []
        self.conn = None  # which has us: the collector has nothing to find

    # What can be awaited.

    def wait_pong(self, loop: asyncio.AbstractEventLoop, data: bytes | None) -> Awaitable[float]:
        """The pong of a ping that was sent just now; data is None for one of the server's own."""
        future: asyncio.Future[float] = loop.create_future()
        if self.end is not None or self.conn is None:
            _fail(future, self.end_error())
        else:
            self.pings.append((future, data, time.monotonic()))
            self.conn._await_pongs(True)
        return future

    async def wait_drained(self, loop: asyncio.AbstractEventLoop) -> None:
        conn = self.conn
        if conn is None or not conn.is_open:
            raise self.end_error()
        if conn._await_drain():
            await self.next_drain(loop)

    def next_drain(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """To be awaited behind ``_await_drain()``: the next ``drained()``."""
        future: asyncio.Future[None] = loop.create_future()
        self.drains.append(future)
        return future

    async def wait_closed(self, loop: asyncio.AbstractEventLoop) -> tuple[int, str]:
        """The code and the reason of on_close."""
        if self.end is None:
            future: asyncio.Future[tuple[int, str]] = loop.create_future()
            self.closes.append(future)
            return await future
        return self.end

    def end_error(self) -> ConnectionClosed:
        """Why nothing more comes of the connection."""
        sent = self.conn.sent_close if self.conn is not None else None
        code, reason = self.end or sent or (1006, "")
        return self.make_error(code, reason)

    def make_error(self, code: int, reason: str) -> ConnectionClosed:
        """What is raised where something is awaited that will never come."""
        return ConnectionClosed(code, reason)


def _fail(future: asyncio.Future[Any], exc: Exception) -> None:
    if future.done():
        return
    future.set_exception(exc)
    future.exception()  # who does not wait any more need not be told
