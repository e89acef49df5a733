"""Event loops of asyncio for the tests, and what tests do on one. The fixture `loop` gives each."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import uvloop
from support import TIMEOUT
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_real

import wspy
from wspy.options import Strategy
from wspy.serving import LoopName

LOOPS: tuple[LoopName, ...] = ("asyncio", "uvloop")

# What turns a server's loop: its own, with a strategy, or asyncio, which needs epoll.
Kind = Strategy | LoopName


def as_loop(kind: Kind) -> LoopName | None:
    return kind if kind in LOOPS else None


def as_strategy(kind: Kind) -> Strategy:
    return "epoll" if kind in LOOPS else cast(Strategy, kind)


T = TypeVar("T")


def run(loop: LoopName, main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run on that loop. A body that hangs fails, and so does one that leaves a task behind."""

    async def bounded() -> T:
        task = asyncio.ensure_future(main)
        # No wait_for(), whose CancelledError the body might take for one that it expects.
        _, hanging = await asyncio.wait([task], timeout=3 * TIMEOUT)
        assert not hanging, "it hangs"
        result = task.result()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return uvloop.run(bounded()) if loop == "uvloop" else asyncio.run(bounded())


async def soon(awaitable: Awaitable[T]) -> T:
    """What has to come."""
    return await asyncio.wait_for(awaitable, TIMEOUT)


async def until(condition: Callable[[], object]) -> None:
    """For what no event tells."""

    async def wait() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await soon(wait())


def connect(server: wspy.Server, path: str = "/", **options: Any) -> connect_real:
    """A client in the same loop: of the websockets library, without pings of its own."""
    options = {"ping_interval": None, "compression": None, **options}
    return connect_real(server.url.rstrip("/") + path, **options)


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    """Waits for the server's close, behind whatever it sent before."""
    await soon(client.wait_closed())
    return client.close_code, client.close_reason


@contextmanager
def no_unhandled() -> Any:
    """Nothing reaches the loop's exception handler: no task and no callback fails unheard."""
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    yield contexts
    assert contexts == []


class Doors:
    """One door for each name: a handler waits there until the test, on another thread, opens it."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.events: dict[object, asyncio.Event] = {}
        self.arrived: queue.Queue[object] = queue.Queue()

    def _event(self, name: object) -> asyncio.Event:
        return self.events.setdefault(name, asyncio.Event())

    async def wait(self, name: object) -> None:
        self.loop = asyncio.get_running_loop()
        event = self._event(name)
        self.arrived.put(name)
        await event.wait()

    def open(self, name: object) -> None:
        assert self.loop is not None
        self.loop.call_soon_threadsafe(lambda: self._event(name).set())
