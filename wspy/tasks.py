"""Tasks that start at once: a coroutine that never suspends costs no turn of the event loop.

FIRST_STEP is what the extension makes them with: see Server._set_eager().
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from asyncio import tasks
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

_Function = Callable[..., Any] | None


@contextmanager
def no_current_task(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Puts the task aside that runs: others are to take steps."""
    task = asyncio.current_task(loop)
    if task is None:
        yield
        return
    tasks._leave_task(loop, task)
    try:
        yield
    finally:
        tasks._enter_task(loop, task)


if sys.version_info >= (3, 12):

    def _start(
        coroutine: Coroutine[Any, Any, object],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context,
    ) -> asyncio.Task[object] | None:
        """The task, if its first step was not the last; raises what it raised."""
        task = asyncio.Task(coroutine, loop=loop, eager_start=True, context=context)
        if not task.done():
            return task
        if not task.cancelled() and (error := task.exception()) is not None:
            try:
                raise error
            finally:
                del error, task  # its traceback has this frame
        return None

    FIRST_STEP: tuple[_Function, _Function, _Function, _Function] = (_start, None, None, None)

else:
    from asyncio import futures

    class _EagerTask(tasks._PyTask):  # type: ignore[name-defined,misc]
        """asyncio's task in Python, as of 3.10 and 3.11, which change no more; but that the
        extension takes its first step, and the rest of it is made when it is needed."""

        _must_cancel = False
        _fut_waiter = None
        _num_cancels_requested = 0
        _name = "wspy handler"
        # A task that ends here is ended whatever its state says: asyncio's would look for that.
        __del__ = bool

        def __init__(
            self,
            coroutine: Coroutine[Any, Any, object],
            loop: asyncio.AbstractEventLoop,
            context: contextvars.Context,
            callbacks: list[Any],
        ) -> None:
            self._coro = coroutine
            self._loop = loop
            self._context = context
            self._callbacks = callbacks

        def _settle(self, result: object) -> None:
            """It has returned that."""
            if self._must_cancel:
                futures._PyFuture.cancel(self)  # type: ignore[attr-defined]
            else:
                futures._PyFuture.set_result(self, result)  # type: ignore[attr-defined]

        def _fail(self, error: BaseException) -> bool:
            """It has raised that. Whether it was cancelled; else the extension raises it."""
            if isinstance(error, asyncio.CancelledError):
                futures._PyFuture.cancel(self)  # type: ignore[attr-defined]
                return True
            futures._PyFuture.set_exception(self, error)  # type: ignore[attr-defined]
            self._Future__log_traceback = False
            return False

        def _suspend(self, waits_for: object) -> None:
            """What asyncio does with what was yielded, and for a task that has cancelled itself."""
            self.__class__ = _SuspendedTask
            self._coro = _Yielded(self, self._coro, waits_for)  # type: ignore[assignment]
            is_cancelled, self._must_cancel = self._must_cancel, False
            tasks._register_task(self)
            self._context.run(self._Task__step)
            if is_cancelled and not (self._fut_waiter and self._fut_waiter.cancel()):
                self._must_cancel = True

    class _SuspendedTask(_EagerTask):
        __del__ = tasks._PyTask.__del__  # type: ignore[attr-defined]

    class _Yielded:
        """The coroutine for one step: what it has yielded already."""

        def __init__(self, task: Any, coroutine: Any, waits_for: object) -> None:
            self.task, self.coroutine, self.waits_for = task, coroutine, waits_for

        def send(self, _: object) -> object:
            self.task._coro = self.coroutine
            return self.waits_for

    FIRST_STEP: tuple[_Function, _Function, _Function, _Function] = (
        None,
        _EagerTask,
        tasks._enter_task,
        tasks._leave_task,
    )
