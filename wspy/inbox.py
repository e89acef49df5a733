"""What has come on a connection that a coroutine serves, and the one that waits for it.

A message stays in the inbox until the coroutine that asked for it goes on with it, in one step:
however a task is cancelled, none is lost and none comes twice.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from .errors import Close, ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from .side import Side

if TYPE_CHECKING:
    from ._core import Connection

OK_CODES = (1000, 1001, 1005)


class Waiter:
    """A future that is awaited once. Who wakes it makes the task go on at once, inside the call:
    the event loop needs no turn for it. So it is woken where no task runs.

    It has of asyncio.Future what a task makes use of.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_context",
        "_is_done",
        "_loop",
        "_message",
        "_owner",
        "_was_cancelled",
    )

    def __init__(self, owner: Inbox) -> None:
        self._owner = owner
        self._loop = owner.loop
        self._callback: Callable[[Waiter], object] | None = None
        self._context: contextvars.Context | None = None
        self._is_done = self._was_cancelled = self._asyncio_future_blocking = False
        self._message: object = None

    def __await__(self) -> Generator[Waiter, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def wake(self) -> None:
        self._is_done = True
        if self._callback is not None and self._context is not None:
            self._context.run(self._callback, self)

    # What the task calls.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(
        self, callback: Callable[[Waiter], object], *, context: contextvars.Context | None = None
    ) -> None:
        if self._is_done:
            self._loop.call_soon(callback, self, context=context)
            return
        self._callback = callback
        self._context = contextvars.copy_context() if context is None else context

    def remove_done_callback(self, callback: Callable[[Waiter], object]) -> int:
        if self._callback != callback:
            return 0
        self._callback = None
        return 1

    def done(self) -> bool:
        return self._is_done

    def cancelled(self) -> bool:
        return self._was_cancelled

    def cancel(self, msg: object = None) -> bool:
        """The task goes on in the loop's next turn, as it does when any future is cancelled."""
        if self._is_done:
            return False
        self._is_done = self._was_cancelled = True
        self._message = msg
        self._owner.forget(self)
        if self._callback is not None:
            self._loop.call_soon(self._callback, self, context=self._context)
        return True

    def result(self) -> None:
        if self._was_cancelled:
            raise self._make_cancelled_error()

    def exception(self) -> None:
        self.result()

    def _make_cancelled_error(self) -> asyncio.CancelledError:
        if self._message is None:
            return asyncio.CancelledError()
        return asyncio.CancelledError(self._message)


class Inbox(Side):
    """The messages of a connection that wait for ``recv()``; ``high`` of them hold up reading until
    no more than ``low`` are left. It is what the runner keeps for the connection."""

    def __init__(
        self, conn: Connection, loop: asyncio.AbstractEventLoop, high: float, low: int
    ) -> None:
        super().__init__(conn)
        self.of = conn  # also behind its end, where Side lets go of it
        self.loop = loop
        self.high = high
        self.low = low
        self.messages: deque[str | bytes] = deque()
        self.waiter: Waiter | None = None
        self.ends: list[asyncio.Future[None]] = []
        self.is_held = False
        self.is_over = False  # nothing more will come

    # ---- what comes ----

    def put(self, message: str | bytes) -> None:
        self.messages.append(message)
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            waiter.wake()
        elif len(self.messages) >= self.high and not self.is_held:
            self.is_held = True
            self.of._hold(True)

    def gone(self, code: int, reason: str) -> None:
        """The peer has; what it sent before may wait behind what is held up."""
        super().gone(code, reason)
        self.open_wide()

    def finish(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        for future in self.ends:
            if not future.done():
                future.set_result(None)
        self.ends = []
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.wake()

    def open_wide(self) -> None:
        """Holds nothing up from now on: the end is near, and stands behind what waits."""
        self.high = float("inf")
        self.release()

    def release(self) -> None:
        if self.is_held:
            self.is_held = False
            self.of._hold(False)

    def take(self) -> str | bytes:
        """The oldest message, of those that are there."""
        message = self.messages.popleft()
        if self.is_held and len(self.messages) <= self.low:
            self.release()
        return message

    # ---- who waits ----

    def wait(self) -> Waiter:
        """To be awaited until something may have come."""
        if self.waiter is not None:
            raise RuntimeError("another coroutine waits in recv() for this connection already")
        self.waiter = waiter = Waiter(self)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        if self.waiter is waiter:
            self.waiter = None

    async def wait_end(self) -> None:
        while not self.is_over:
            future: asyncio.Future[None] = self.loop.create_future()
            self.ends.append(future)
            await future

    async def wait_room(self) -> None:
        """Until the output is under high_water or the connection is closed."""
        while self.of._await_drain():
            await self.next_drain(self.loop)

    # ---- how it ended ----

    def make_error(self, code: int, reason: str) -> ConnectionClosed:
        sent = self.of.sent_close
        close = None if sent is None else Close(*sent)
        # A close that has come and is not answered yet will be, with its own code.
        sent_code = code if close is None and not self.is_over else sent and sent[0]
        is_fine = code in OK_CODES and sent_code in OK_CODES
        return (ConnectionClosedOK if is_fine else ConnectionClosedError)(code, reason, close)

    def closed_error(self) -> ConnectionClosed:
        """Once it is over."""
        conn = self.of
        return self.make_error(
            1006 if conn.close_code is None else conn.close_code, conn.close_reason or ""
        )


def put(conn: Connection, message: str | bytes) -> None:
    """on_message of a connection that has an inbox."""
    inbox: Inbox = conn._side
    inbox.put(message)


def finish(conn: Connection, _code: int, _reason: str) -> None:
    """on_close of a connection that has an inbox."""
    inbox: Inbox = conn._side
    conn._side = None  # they hold one another
    inbox.finish()
