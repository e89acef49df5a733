"""Handlers that go on after they have returned: what the extension starts, and tells of their end.

A server has one runner. Its methods are called by the extension, on the loop's thread.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any

from .pool import Pool, Work
from .side import Side

if TYPE_CHECKING:
    import asyncio

    from ._core import Connection
    from .handling import Handling
    from .tasks import FirstStep

OUTSIDE = (
    "this can be awaited where the server runs in asyncio, with async handlers or serve(), and not on "
    "another thread"
)


class Outside:
    """What can be awaited only inside asyncio, outside of it."""

    def __await__(self) -> Generator[Any, None, Any]:
        raise RuntimeError(OUTSIDE)


class Runner:
    """What has a server's handlers that go on: tasks, and calls on threads."""

    def __init__(
        self, server: Handling, handler_threads: int, max_queue: int, slow_handler: float | None
    ) -> None:
        self.server: Handling = weakref.proxy(server)  # it has us
        self.pool = Pool(self.server, self._finish_work, handler_threads, slow_handler)
        self.max_queue = max_queue
        self.loop: asyncio.AbstractEventLoop | None = None
        # Those that go on: the connection, the event, and whether what comes next waits.
        self.tasks: dict[asyncio.Task[object], tuple[Connection, str, bool]] = {}
        self.refusing: set[asyncio.Task[object]] = set()  # to end: named in the log
        self.is_stopping = False
        self.when_stopping: Callable[[], object] = lambda: None

    def side_of(self, conn: Connection) -> Side:
        side: Side | None = conn._side
        if side is None:
            side = conn._side = Side(conn)
            if conn.close_code is not None:  # it has ended: nobody will tell
                side.gone(conn.close_code, conn.close_reason or "")
        return side

    # ---- tasks ----

    def begin(self, loop: asyncio.AbstractEventLoop, first_step: FirstStep) -> None:
        """The run is inside that loop from now on, and tasks begin as ``tasks.FIRST_STEP`` says."""
        self.loop = loop
        self.server._set_eager((loop, *first_step))

    def watch(self, conn: Connection, name: str, waits: bool, task: asyncio.Task[object]) -> None:
        """The task of an async handler did not end with its first step."""
        self.tasks[task] = (conn, name, waits)
        self.side_of(conn)  # is told of the connection's end from now on
        self._begin_beside(conn, name, waits)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        conn, name, waits = self.tasks.pop(task)
        self.refusing.discard(task)
        self._finish(conn, name, waits, None if task.cancelled() else task.exception())

    def stopping(self) -> None:
        """The server stops: handlers have until shutdown_timeout to end. Those of on_close are on
        their way to it."""
        self.is_stopping = True
        for task, (_, name, _) in list(self.tasks.items()):
            if name != "close":
                task.cancel()
        self.when_stopping()

    def _finish(
        self, conn: Connection, name: str, waits: bool, error: BaseException | None
    ) -> None:
        """A handler that went on has ended."""
        self.server._finish(conn, name, waits, error)
        self._end_beside(conn, name, waits)

    # ---- concurrent handlers ----

    def _begin_beside(self, conn: Connection, name: str, waits: bool) -> None:
        """One more handler that nothing waits for. With max_queue of them reading pauses, or a peer
        could fill the memory. That of close is the last one."""
        if waits or name == "close":
            return
        side = self.side_of(conn)
        side.n_beside += 1
        if side.n_beside >= self.max_queue and not side.is_crowded:
            side.is_crowded = True
            conn._hold(True)

    def _end_beside(self, conn: Connection, name: str, waits: bool) -> None:
        if waits or name == "close":
            return
        side = self.side_of(conn)
        side.n_beside -= 1
        if side.is_crowded and side.n_beside < self.max_queue:
            side.is_crowded = False
            conn._hold(False)

    # ---- threads ----

    def submit(self, conn: Connection, name: str, waits: bool, call: tuple[Any, ...]) -> None:
        """Has a handler called on a thread: ``call`` is it and its arguments."""
        side = self.side_of(conn)
        # No two may be in one context; on_close may come while another handler hangs.
        is_inside = waits and not side.is_entered
        context = conn._context if is_inside else conn._context.copy()
        self.pool.submit(Work(self.pool, conn, name, waits, call, context))
        side.is_entered |= is_inside
        self._begin_beside(conn, name, waits)

    def _finish_work(self, work: Work) -> None:
        conn = work.conn
        side = self.side_of(conn)
        if work.context is conn._context:
            side.is_entered = False
        self._finish(conn, work.name, work.waits, work.take_error())

    def ended(self) -> None:
        """The run is over."""
        self.server._set_eager(None)
        self.pool.end()

    def abandon(self) -> None:
        """In the child after a fork."""
        self.pool.abandon()

    # ---- what can be awaited ----

    def _here(self) -> asyncio.AbstractEventLoop | None:
        """The server's asyncio loop, if this code runs in it, and not on a handler's thread."""
        if self.loop is None:
            return None
        from asyncio import _get_running_loop  # here, not above: see serving.py

        return self.loop if _get_running_loop() is self.loop else None

    def ping(self, conn: Connection, data: bytes | None) -> Awaitable[float]:
        loop = self._here()
        return Outside() if loop is None else self.side_of(conn).wait_pong(loop, data)

    def drain(self, conn: Connection) -> Awaitable[None]:
        loop = self._here()
        return Outside() if loop is None else self.side_of(conn).wait_drained(loop)

    def wait_closed(self, conn: Connection) -> Awaitable[tuple[int, str]]:
        loop = self._here()
        return Outside() if loop is None else self.side_of(conn).wait_closed(loop)
