"""The threads on which blocking handlers are called.

They are started when they are needed, end with the run, and are daemons: a handler that hangs keeps
neither the server nor the interpreter from ending. A thread that has nothing to do holds no
reference but to the queue, so a server that nobody has any more takes its threads with it.
"""

from __future__ import annotations

import contextvars
import logging
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import log_handler_error

if TYPE_CHECKING:
    from ._core import Connection, Server, Timer

logger = logging.getLogger("wspy")

# Seconds that handlers have when the run is over, though they or others did not end in
# shutdown_timeout: those of on_close have only just been told then.
GRACE = 0.1


class Work:
    """One call of a handler."""

    def __init__(
        self,
        pool: Pool,
        conn: Connection,
        name: str,
        waits: bool,
        call: tuple[Any, ...],
        context: contextvars.Context,
    ) -> None:
        self.pool = pool
        self.conn = conn
        self.name = name
        self.waits = waits
        self.call = call  # the handler and its arguments
        self.context = context
        self.begun = 0.0
        self.is_told = False  # that it takes long
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.context.run(*self.call)
        except BaseException as exc:  # noqa: BLE001 (the loop's thread decides what becomes of it)
            self.error = exc

    def take_error(self) -> BaseException | None:
        """The exception, whose traceback knows this object: nothing is left that goes round."""
        error, self.error = self.error, None
        return error

    def __str__(self) -> str:
        handler = self.call[0]
        name = getattr(handler, "__qualname__", None) or repr(handler)
        return f"on_{self.name} ({name}) of {self.conn!r}"


class Worker(threading.Thread):
    def __init__(self, works: queue.SimpleQueue[Work | None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.works = works
        self.work: Work | None = None

    def run(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        """Waits for a call and makes it. False: it was the last. Its frame ends with the call, so
        that a thread which waits holds nothing of it."""
        work = self.works.get()
        if work is None:
            return False
        pool = work.pool
        with pool.lock:
            if pool.is_over:
                return False
            work.begun = time.monotonic()
            self.work = work
        work.run()
        if pool.is_abandoned:  # the handler forked, and this is the child
            return False
        self.work = None
        pool.report(work)
        return not pool.is_over

    def where(self) -> str:
        """The line at which it stands."""
        frame = sys._current_frames().get(self.ident or 0)
        if frame is None:
            return "?"
        at = traceback.extract_stack(frame, limit=1)[0]
        return f"{at.filename}:{at.lineno} in {at.name}: {at.line}"


class Pool:
    """Used on the loop's thread, but for report()."""

    def __init__(
        self, server: Server, finish: Callable[[Work], None], size: int, slow: float | None
    ) -> None:
        self.server = server
        self.finish = finish
        self.size = size
        self.slow = slow
        self.works: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self.workers: list[Worker] = []
        self.n_active = 0  # submitted, and not finished
        self.done: deque[Work] = deque()
        self.is_called = False  # collect() will be
        self.watch: Timer | None = None
        self.lock = threading.Lock()  # a thread begins nothing once it is over
        self.is_over = False
        self.is_abandoned = False

    def submit(self, work: Work) -> None:
        """Has it run when a thread is free. RuntimeError: there is none, and none can be started."""
        if len(self.workers) < min(self.size, self.n_active + 1):
            self._grow()
        if self.slow is not None and self.watch is None:
            self.watch = self.server.call_later(self.slow, self._look)
        self.n_active += 1
        self.works.put(work)

    def _grow(self) -> None:
        name = f"wspy handler {len(self.workers) + 1} {self.server!s}"  # not the proxy's repr()
        worker = Worker(self.works, name)
        try:
            worker.start()
        except RuntimeError:
            if not self.workers:
                raise
            logger.warning("no more threads for handlers than %d", len(self.workers))
            self.size = len(self.workers)
        else:
            self.workers.append(worker)

    def owns(self, thread: threading.Thread) -> bool:
        return thread in self.workers

    # ---- what has been done ----

    def report(self, work: Work) -> None:
        """On a thread of the pool: the loop's is to know that it is done."""
        self.done.append(work)
        if self.is_over:
            self._drop_done()
        elif not self.is_called:
            self.is_called = True
            try:
                self.server.call_soon(self._collect)
            except RuntimeError:  # the run has just ended: end() collects
                self.is_called = False

    def _collect(self) -> None:
        self.is_called = False  # before the look: what is done from here on calls again
        while work := self._take_done():
            self.n_active -= 1
            self.finish(work)

    def _take_done(self) -> Work | None:
        try:
            return self.done.popleft()
        except IndexError:
            return None

    def _drop_done(self) -> None:
        """Those that end when nobody waits for them: on a thread of the pool."""
        while work := self._take_done():
            if (error := work.take_error()) is not None:
                log_handler_error(work.name, work.conn, error, may_wait=True)

    # ---- handlers that take long ----

    def _look(self) -> None:
        """Tells of each that has run for ``slow`` seconds, once."""
        assert self.slow is not None
        self.watch = None
        now = time.monotonic()
        n_told, next_due = 0, now + self.slow
        for worker in self.workers:
            work = worker.work
            if work is None:
                continue
            if not work.is_told and now - work.begun >= self.slow:
                self._tell(worker, work, now)
            if work.is_told:
                n_told += 1
            else:
                next_due = min(next_due, work.begun + self.slow)
        if self.n_active > n_told:
            self.watch = self.server.call_later(max(0.001, next_due - now), self._look)

    def _tell(self, worker: Worker, work: Work, now: float) -> None:
        where = worker.where()
        if worker.work is not work:  # it has ended meanwhile
            return
        work.is_told = True
        logger.warning(
            "%s has run for %.1f s, at %s; %d handlers wait for a thread",
            work, now - work.begun, where, self.works.qsize(),
        )  # fmt: skip

    # ---- the end ----

    def end(self) -> None:
        """The run is over: ends the threads. Handlers that still run had shutdown_timeout."""
        for _ in self.workers:
            self.works.put(None)
        if self.n_active:
            deadline = time.monotonic() + GRACE
            for worker in self.workers:
                worker.join(max(0, deadline - time.monotonic()))
        with self.lock:
            self.is_over = True
        self._collect()
        for worker in self.workers:
            work = worker.work
            if work is None:
                worker.join()  # it begins nothing any more
            else:
                self.n_active -= 1
                logger.warning("%s does not end with the server, at %s", work, worker.where())
        self.workers.clear()
        self._collect()
        if self.n_active:
            logger.warning("%d handlers were not called: the server has ended", self.n_active)
        while not self.works.empty():  # those that hang see without it that it is over
            self.works.get_nowait()

    def abandon(self) -> None:
        """In the child after a fork: the threads are the parent's."""
        self.is_abandoned = True
        self.workers.clear()

    def __del__(self) -> None:
        for _ in self.workers:
            self.works.put(None)
