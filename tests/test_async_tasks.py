"""The task of an async handler: there is one at every step, nobody gets that of another handler, and
it is asyncio's in all that can be seen of it."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, NoReturn

import loops
import pytest
from conftest import Records, Servers
from support import TIMEOUT, Connect, finish, script, text, wait_until

import wspy
from wspy import tasks

Task = asyncio.Task[Any]


def current() -> Task:
    task = asyncio.current_task()
    assert task is not None
    return task


def is_new(task: Task) -> bool:
    return (
        not task.done()
        and not task.get_name().startswith("mine")
        and getattr(task, "cancelling", int)() == 0
        and not hasattr(task, "mine")
    )


KEPT: list[Any] = []


@pytest.fixture(autouse=True)
def clear_kept() -> Iterator[None]:
    yield
    KEPT.clear()


# What a handler does with its task, without waiting for anything.


def keep(task: Task) -> None:
    KEPT.append(task)


def refer(task: Task) -> None:
    KEPT.append(weakref.ref(task))


def mark(task: Task) -> None:
    setattr(task, "mine", 1)  # noqa: B010 (mypy: a Task has none)


def unmark(task: Task) -> None:
    with pytest.raises(AttributeError, match="mine"):
        delattr(task, "mine")


def call_back(task: Task) -> None:
    task.add_done_callback(KEPT.append)


USES: dict[str, Callable[[Task], object]] = {
    "keep": keep,
    "refer": refer,
    "name": lambda task: task.set_name("mine"),
    "mark": mark,
    "unmark": unmark,
    "call back": call_back,
    "show": repr,
    "iterate": iter,
    "stack": lambda task: task.get_stack(),
    "coroutine": lambda task: KEPT.append(task.get_coro()),
    "nothing": lambda task: None,
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("how", ["returns", "raises", "waits"])
def test_nobody_gets_the_task_of_another(
    servers: Servers, connect: Connect, log: Records, use: str, how: str
) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        KEPT.append(is_new(current()) if message == "look" else None)
        if message == "use":
            USES[use](current())
            if how == "raises":
                raise LookupError("as told")
            if how == "waits":
                await asyncio.sleep(0)
                assert asyncio.current_task() in asyncio.all_tasks()
        conn.send((KEPT[-1] is True and "new") or "used")

    def on_error(conn: wspy.Connection, exc: Exception) -> None:
        assert isinstance(exc, LookupError)
        conn.send("raised")

    client = connect(servers.run(on_message=on_message, on_error=on_error))
    for _ in range(3):
        client.send_raw(text("use"), text("look"), text("look"))
        assert client.receive() == ("raised" if how == "raises" else "used")
        assert [client.receive(), client.receive()] == ["new", "new"]
    references = [kept for kept in KEPT if isinstance(kept, weakref.ref)]
    wait_until(lambda: all(task() is None for task in references))


def test_who_has_the_task_gets_what_it_comes_to(
    servers: Servers, connect: Connect, log: Records
) -> None:
    """Though the handler ended before anybody could wait for it."""

    async def on_message(conn: wspy.Connection, message: str | bytes) -> object:
        KEPT.append(asyncio.get_running_loop().create_task(watch(current(), conn)))
        if message == "cancel":
            current().cancel()
        if message == "cancelled":
            raise asyncio.CancelledError
        if message == "raise":
            raise LookupError("as told")
        return message

    async def watch(task: Task, conn: wspy.Connection) -> None:
        try:
            conn.send(f"gave {await task}")
        except asyncio.CancelledError:
            conn.send(f"was cancelled: {task.cancelled()}")
        except LookupError as exc:
            conn.send(f"raised {exc}")

    errors: list[Exception] = []
    server = servers.run(on_message=on_message, on_error=lambda conn, exc: errors.append(exc))
    client = connect(server)
    for message, comes_to in (
        ("return", "gave return"),
        ("cancel", "was cancelled: True"),
        ("cancelled", "was cancelled: True"),
        ("raise", "raised as told"),
    ):
        client.send(message)
        assert client.receive() == comes_to
    assert [str(exc) for exc in errors] == ["as told"]


@pytest.mark.parametrize("has_it", [True, False])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_cancelled_early(servers: Servers, connect: Connect, turns: int, has_it: bool) -> None:
    """Whenever a handler is cancelled, so is what it waits for, and it is told where it waits, and
    what the message was: others (anyio) see by it whose cancellation it is."""
    server = servers.make()
    future: list[asyncio.Future[None]] = []

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        loop = asyncio.get_running_loop()
        future[:] = [loop.create_future()]
        task = current() if has_it else None
        loop.call_soon(cancel, turns, task)
        try:
            await future[0]
        except asyncio.CancelledError as exc:
            conn.send(f"{future[0].cancelled()} {exc}")
            raise

    def cancel(turns: int, task: Task | None) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(cancel, turns - 1, task)
        elif task is not None:
            task.cancel("why")
        else:
            (task,) = (task for task in asyncio.all_tasks() if on_message.__name__ in str(task))
            task.cancel("why")

    server.on_message(on_message)
    servers.start(server)
    client = connect(server)
    for _ in range(2):
        client.send("go")
        assert client.receive() == "True why"


def test_cancelled_early_by_a_future_that_closes_the_handler(
    servers: Servers, connect: Connect
) -> None:
    class Closes(asyncio.Future[None]):
        def cancel(self, msg: object = None) -> bool:
            KEPT[0].get_coro().close()
            return super().cancel(msg)

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        loop = asyncio.get_running_loop()
        KEPT[:] = [current()]
        loop.call_soon(lambda: KEPT[0].cancel())
        try:
            await Closes()
        finally:
            conn.send("closed")

    def on_error(conn: wspy.Connection, exc: Exception) -> None:
        conn.send(str(exc))

    client = connect(servers.run(on_message=on_message, on_error=on_error))
    for _ in range(3):
        client.send("go")
        assert client.receive() == "closed"
        assert client.receive() == "cannot reuse already awaited coroutine"


def test_cancelled_at_a_bare_yield(servers: Servers, connect: Connect) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        asyncio.get_running_loop().call_soon(current().cancel)
        try:
            for _ in range(3):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            conn.send("cancelled")

    client = connect(servers.run(on_message=on_message))
    client.send("go")
    assert client.receive() == "cancelled"


def test_cancelled_by_itself(servers: Servers, connect: Connect) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        current().cancel("why")
        future = asyncio.get_running_loop().create_future()
        try:
            await future
        except asyncio.CancelledError as exc:
            conn.send(f"{future.cancelled()} {exc}")

    client = connect(servers.run(on_message=on_message))
    client.send("go")
    assert client.receive() == "True why"


def test_what_is_done_cannot_be_cancelled(servers: Servers, connect: Connect) -> None:
    """The future ends, then the handler is cancelled, before it could go on."""

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        task = current()

        def end() -> None:
            future.set_result("result")
            task.cancel()

        loop.call_soon(end)
        try:
            await future
        except asyncio.CancelledError:
            conn.send(f"cancelled: {future.result()}")

    client = connect(servers.run(on_message=on_message))
    client.send("go")
    assert client.receive() == "cancelled: result"


def test_many_wait_for_the_same(servers: Servers, connect: Connect) -> None:
    """A future that several handlers of one batch await, and others beside them."""
    futures: list[asyncio.Future[str]] = []

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if not futures:
            loop = asyncio.get_running_loop()
            futures.append(loop.create_future())
            KEPT.append(loop.create_task(wait(conn, "beside")))
            loop.call_later(0.01, futures[0].set_result, "result")
        await wait(conn, message)

    async def wait(conn: wspy.Connection, who: str | bytes) -> None:
        conn.send(f"{who!s} {await futures[0]}")

    server = servers.make()
    server.on_message(concurrent=True)(on_message)
    servers.start(server)
    client = connect(server)
    client.send_raw(*(text(str(i)) for i in range(8)))
    assert {client.receive() for _ in range(9)} == {
        "beside result",
        *(f"{i} result" for i in range(8)),
    }


class Yields:
    def __init__(self, value: object) -> None:
        self.value = value

    def __await__(self) -> Generator[object, None, None]:
        yield self.value


def yield_merely(loop: asyncio.AbstractEventLoop) -> Awaitable[None]:
    return Yields(loop.create_future())


def yield_a_number(loop: asyncio.AbstractEventLoop) -> Awaitable[None]:
    return Yields(1)


@pytest.mark.parametrize(
    ("make", "words"), [(yield_merely, "yield was used instead"), (yield_a_number, "bad yield")]
)
def test_what_no_task_can_wait_for(
    servers: Servers,
    connect: Connect,
    make: Callable[[asyncio.AbstractEventLoop], Awaitable[None]],
    words: str,
) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        try:
            await make(asyncio.get_running_loop())
        except RuntimeError as exc:
            conn.send(str(exc))

    client = connect(servers.run(on_message=on_message))
    client.send("go")
    answer = client.receive()
    assert isinstance(answer, str)
    assert words in answer


def test_what_is_shown_of_a_handler_that_waits(servers: Servers, connect: Connect) -> None:
    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, look, conn)
        await asyncio.sleep(0.01)
        conn.send("went on")

    def look(conn: wspy.Connection) -> None:
        (task,) = (task for task in asyncio.all_tasks() if on_message.__name__ in str(task))
        coroutine: Any = task.get_coro()
        assert issubclass(type(coroutine), collections.abc.Coroutine)
        assert coroutine.__qualname__ == on_message.__qualname__
        assert coroutine.cr_frame.f_code is on_message.__code__
        assert [frame.f_code for frame in task.get_stack()] == [on_message.__code__]
        conn.send("looked")

    client = connect(servers.run(on_message=on_message))
    client.send("go")
    assert [client.receive(), client.receive()] == ["looked", "went on"]


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


def test_what_is_set_after_waiting_stays(servers: Servers, connect: Connect) -> None:
    """A connection has one context, in whatever step of a handler it is."""

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        for _ in range(3):
            number.set(number.get() + 1)
            await asyncio.sleep(0)
        conn.send(str(number.get()))

    client = connect(servers.run(on_message=on_message))
    for expected in ("3", "6", "9"):
        client.send("go")
        assert client.receive() == expected
    assert number.get() == 0


def test_a_handler_on_a_thread_behind_a_task_that_somebody_has(
    servers: Servers, connect: Connect
) -> None:
    """The task's end, which is told in the loop's next turn, and the handler that follows are in
    one context."""
    server = servers.make()

    async def on_open(conn: wspy.Connection) -> None:
        number.set(7)
        KEPT.append(current())

    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        conn.send(str(number.get()))

    server.on_open(on_open)
    server.on_message(thread=True)(on_message)
    servers.start(server)
    for _ in range(20):
        client = connect(server)
        client.send("go")
        assert client.receive() == "7"
    wait_until(lambda: all(task.done() for task in KEPT))


def find_tasks() -> list[Any]:
    """All that the collector knows, also what waits for its next step."""
    return [found for found in gc.get_objects() if issubclass(type(found), asyncio.Future)]


@pytest.mark.parametrize("from_a_thread", [False, True])
def test_what_the_collector_shows(
    servers: Servers, connect: Connect, log: Records, from_a_thread: bool
) -> None:
    """A debugger's look at all objects, between two steps, disturbs neither what it finds nor what
    comes next."""
    unheard: list[object] = []

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: unheard.append(context))
        if message == "look":
            loop.call_soon(look)
        if message == "wait":
            await asyncio.sleep(0)
        conn.send(f"{message!s} {message != 'new' or is_new(current())}")

    def look() -> None:
        for found in find_tasks():
            assert isinstance(found, asyncio.Future)
            assert not isinstance(found, str)
            assert repr(found)
            getattr(found, "get_coro", int)()

    client = connect(servers.run(on_message=on_message))
    for message in ("plain", "look", "new", "plain", "look", "wait", "plain", "look") * 3:
        client.send(message)
        assert client.receive() == f"{message} True"
        if from_a_thread:
            look()
    gc.collect()
    assert unheard == []


def test_another_thread_looks_at_the_task_while_its_first_step_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a watchdog does. It becomes a task in earnest once, and the extension waits for that."""
    begun, looking, over = threading.Event(), threading.Event(), threading.Event()
    names: list[str] = []

    def init(self: Task, *args: Any, **kwargs: Any) -> None:
        looking.set()
        over.wait(0.1)
        asyncio.Task.__init__(self, *args, **kwargs)

    if hasattr(tasks, "_Task"):  # before CPython 3.12
        monkeypatch.setattr(tasks._Task, "__init__", init)

    def watch(loop: asyncio.AbstractEventLoop) -> None:
        begun.wait(TIMEOUT)
        task = asyncio.current_task(loop)
        assert task is not None
        names.append(task.get_name())
        looking.set()

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        begun.set()
        looking.wait(TIMEOUT)
        await asyncio.sleep(0)
        over.set()
        names.append(current().get_name())
        conn.send("went on")

    async def main() -> None:
        watchdog = threading.Thread(target=watch, args=(asyncio.get_running_loop(),))
        server = wspy.Server(port=0, on_message=on_message)
        async with server, loops.connect(server) as client:
            watchdog.start()
            await client.send("go")
            assert await loops.soon(client.recv()) == "went on"
        watchdog.join()

    loops.run("asyncio", main())
    assert len(names) == 2
    assert names[0] == names[1]


AUDITED = """
import asyncio
import sys

import wspy

sys.path.insert(0, "tests")
import loops

shown = []
steps = []
unheard = []


def hook(event, args):
    if event == "object.__setattr__":
        shown.append(repr(args[0]))


async def on_message(conn, message):
    steps.append(1)
    await asyncio.sleep(0)
    steps.append(2)
    await asyncio.sleep(0.01)
    steps.append(3)
    conn.send("went on")


async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: unheard.append(context))
    server = wspy.Server(port=0, on_message=on_message)
    async with server, loops.connect(server) as client:
        for _ in range(2):
            await client.send("go")
            assert await loops.soon(client.recv()) == "went on"


sys.addaudithook(hook)
loops.run("asyncio", main())
print(steps, unheard, any("Task" in text for text in shown))
"""


def test_an_audit_hook_is_shown_the_task() -> None:
    """It is told that the blank task gets another type, and shows it: that does not fill it, or it
    would be filled twice."""
    with script(AUDITED) as process:  # a hook stays for good
        code, output, _ = finish(process)
    assert (code, output) == (0, f"[1, 2, 3, 1, 2, 3] [] {hasattr(tasks, '_Task')}\n")


@pytest.mark.skipif(not hasattr(tasks, "_Task"), reason="asyncio starts them by itself")
def test_the_loop_takes_no_task(
    servers: Servers, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its handler has failed for good, though asyncio shows the task when it is destroyed."""
    ends: list[str] = []

    def call_soon(*args: Any, **kwargs: Any) -> NoReturn:
        monkeypatch.undo()
        raise RuntimeError("no more calls")

    def show(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        repr(context)  # it has the task
        ends.append("shown")

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(show)
        if message == "fail":
            monkeypatch.setattr(loop, "call_soon", call_soon)
        try:
            await asyncio.sleep(0)
            ends.append("went on")
        except GeneratorExit:
            ends.append("closed")
        else:
            conn.send(" ".join(ends))
            ends.clear()

    def on_error(conn: wspy.Connection, exc: Exception) -> None:
        conn.send(repr(exc))

    client = connect(servers.run(on_message=on_message, on_error=on_error))
    for _ in range(2):
        client.send("fail")
        assert client.receive() == "RuntimeError('no more calls')"
        client.send("wait")
        assert client.receive() == "closed shown went on"


@pytest.mark.skipif(not hasattr(tasks, "_Task"), reason="asyncio starts them by itself")
@pytest.mark.parametrize("has_it", [False, True])
def test_there_is_no_memory_for_a_task(
    servers: Servers, connect: Connect, log: Records, monkeypatch: pytest.MonkeyPatch, has_it: bool
) -> None:
    """The handler has failed where it would wait, and the next one is not disturbed."""
    fails = iter([True])
    ends: list[bool] = []

    def init(self: Task, *args: Any, **kwargs: Any) -> None:
        if next(fails, False):
            raise MemoryError
        asyncio.Task.__init__(self, *args, **kwargs)

    monkeypatch.setattr(tasks._Task, "__init__", init)

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        if has_it:
            KEPT.append(current())
        try:
            await asyncio.sleep(0)
            assert is_new(current())
            conn.send("went on")
        finally:
            ends.append(True)

    server = servers.run(on_message=on_message, on_error=lambda conn, exc: conn.send(repr(exc)))
    client = connect(server)
    for comes in ("MemoryError()", "went on"):
        client.send("wait")
        assert client.receive() == comes
    KEPT.clear()  # who has the task has the handler
    wait_until(lambda: len(ends) == 2)
