"""Tasks that start at once: a coroutine that never suspends costs no turn of the event loop.

FIRST_STEP is what the extension makes them with: see Server._set_eager().
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from asyncio import tasks
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

_Function = Callable[..., Any] | None

# How the extension starts a task: Server._set_eager() says it.
FirstStep: TypeAlias = tuple[_Function, type | None, _Function, _Function, dict[Any, Any] | None]


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

    FIRST_STEP: FirstStep = (_start, None, None, None, None)

else:

    class _Task(asyncio.Task[Any]):
        """That of an async handler."""

    class _BlankTask(_Task):
        """One that takes its first step. It is the next coroutine's when this one ends, unless
        somebody has it do something: then it becomes a task in earnest. See eager.c.

        Between two steps only the collector knows it: who finds it there gets nothing of it."""

        def __init__(self, loop: asyncio.AbstractEventLoop, begun: Any) -> None:
            object.__setattr__(self, "_made_of", (loop, begun))

        def __getattribute__(self, name: str) -> Any:
            if _fill(self):
                return getattr(self, name)
            if name.startswith("__"):  # __class__, of isinstance()
                return object.__getattribute__(self, name)
            raise AttributeError(name)

        def __setattr__(self, name: str, value: object) -> None:
            if not _fill(self):
                raise AttributeError(name)
            setattr(self, name, value)

        def __delattr__(self, name: str) -> None:
            if not _fill(self):
                raise AttributeError(name)
            delattr(self, name)

        # What Python looks for in the type, and not by __getattribute__.

        def __repr__(self) -> str:
            return repr(self) if _fill(self) else object.__repr__(self)

        def __iter__(self) -> Generator[Any, None, Any]:
            _fill(self)
            return _Task.__iter__(self)

        __await__ = __iter__

    # Another thread may look at the task that is the current one.
    _filling = threading.RLock()

    def _fill(task: _Task) -> bool:
        """Makes it the task of its coroutine, if it has one. Whether it is that now."""
        with _filling:
            if type(task) is not _BlankTask:
                return True
            made_of = object.__getattribute__(task, "_made_of")
            if made_of is None or made_of[1]._coroutine is None:  # None: just now, further out
                return False
            object.__setattr__(task, "_made_of", None)
            try:
                _Task.__init__(task, made_of[1], loop=made_of[0])
            except BaseException:
                object.__setattr__(task, "_made_of", made_of)
                raise
            # Last: the extension takes it as it is from now on, without the lock.
            object.__setattr__(task, "__class__", _Task)
            return True

    def _fail(task: _Task, error: BaseException) -> BaseException:
        """What it raises for who waits for it. The server is told of it anyway."""
        task.add_done_callback(_look)
        if isinstance(error, Exception | asyncio.CancelledError):
            return error
        return asyncio.CancelledError()  # the loop would end with it a second time

    def _look(task: asyncio.Task[Any]) -> None:
        """asyncio need not log its exception."""
        if not task.cancelled():
            task.exception()

    FIRST_STEP = (None, _BlankTask, _fill, _fail, tasks._current_tasks)  # type: ignore[attr-defined]
