"""Calls on the loop's thread: call_soon, call_later, every, and the Timer that they give."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from conftest import Records, Servers
from support import TIMEOUT, Connect, Gate, Recorder, close_frame, get, wait, wait_until

import wspy


def sync(server: wspy.Server) -> None:
    """Waits until the loop has made every call that was asked for before."""
    done = threading.Event()
    server.call_soon(done.set)
    wait(done)


class Thing:
    """Something that one can see go."""

    def __call__(self, *args: object) -> None:
        pass


# -- call_soon --


def test_calls_that_were_asked_for_before_the_run_are_made_in_order(servers: Servers) -> None:
    server = servers.make()
    calls: queue.Queue[tuple[object, ...]] = queue.Queue()
    server.call_soon(lambda *args: calls.put(args))
    server.call_later(0, lambda *args: calls.put(args), 1)
    server.call_soon(lambda *args: calls.put(args), "two", [3])
    server.call_soon(lambda: calls.put((threading.current_thread(),)))
    thread = servers.start(server)
    got = [get(calls) for _ in range(4)]
    assert got == [(), (1,), ("two", [3]), (thread._thread,)]


def test_a_handler_asks_for_calls(servers: Servers, connect: Connect) -> None:
    """They are for the next iteration, after the handler and on its thread."""
    seen: queue.Queue[object] = queue.Queue()
    server = servers.make()

    @server.on_message
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        for number in range(3):
            assert server.call_soon(seen.put, number).active
        server.call_soon(lambda: seen.put(threading.get_ident()))
        seen.put("handler")
        seen.put(threading.get_ident())

    servers.start(server)
    connect(server).send("go")
    assert get(seen) == "handler"
    thread = get(seen)
    assert [get(seen) for _ in range(4)] == [0, 1, 2, thread]
    assert thread != threading.get_ident()


def test_calls_of_many_threads(servers: Servers) -> None:
    server = servers.run()
    seen: dict[int, list[int]] = defaultdict(list)  # of the loop's thread alone
    barrier = threading.Barrier(4)

    def ask(i: int) -> None:
        barrier.wait(TIMEOUT)
        for number in range(500):
            server.call_soon(lambda *call: seen[call[0]].append(call[1]), i, number)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    sync(server)
    assert seen == {i: list(range(500)) for i in range(4)}


@pytest.mark.parametrize("publishes", [False, True])
def test_a_call_that_asks_for_itself_lets_others_have_their_turn(
    servers: Servers, connect: Connect, publishes: bool
) -> None:
    gate = Gate()
    runs: list[None] = []
    seen: queue.Queue[int] = queue.Queue()
    server = servers.run(on_message=lambda conn, message: seen.put(len(runs)))
    client = connect(server)

    def again() -> None:
        runs.append(None)
        if len(runs) == 1:
            gate.hold()
        if len(runs) < 1000:
            server.call_soon(again)
        if publishes:
            server.publish("prices", "which takes the mail first")

    server.call_soon(again)
    wait(gate.entered)
    client.send("between the first and the second")
    gate.leave.set()
    assert get(seen) == 1
    wait_until(lambda: len(runs) == 1000)


def test_a_call_sends_and_closes(servers: Servers, connect: Connect) -> None:
    server = servers.make()
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    server.call_soon(conn.send, "sent by a call")
    server.call_soon(conn.close, 4000, "closed by a call")
    assert client.receive() == "sent by a call"
    assert client.answer_close() == (4000, "closed by a call")


# -- call_later --


def test_calls_come_in_the_order_of_their_times(servers: Servers) -> None:
    server = servers.make()
    seen: queue.Queue[str] = queue.Queue()
    for delay, name in [(0.03, "last"), (0.01, "first"), (0.02, "third"), (0.01, "second")]:
        server.call_later(delay, seen.put, name)
    servers.start(server)
    assert [get(seen) for _ in range(4)] == ["first", "second", "third", "last"]


def test_calls_of_a_handler_come_in_the_order_of_their_times(
    servers: Servers, connect: Connect
) -> None:
    seen: queue.Queue[int] = queue.Queue()
    server = servers.make()

    @server.on_message
    def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        for ms in (30, 10, 20):
            for number in range(3):
                server.call_later(ms / 1000, seen.put, ms + number)
        server.call_soon(seen.put, 0)

    servers.start(server)
    connect(server).send("go")
    assert [get(seen) for _ in range(10)] == [0, 10, 11, 12, 20, 21, 22, 30, 31, 32]


def test_a_call_that_is_far_away_does_not_keep_the_others_waiting(
    servers: Servers, connect: Connect
) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    far = [server.call_later(seconds, pytest.fail) for seconds in (3600, 1e9, 10**6)]
    connect(server).echo("still here")
    seen: queue.Queue[str] = queue.Queue()
    server.call_later(0.001, seen.put, "near")
    assert get(seen) == "near"
    assert [timer.active for timer in far] == [True] * 3


def test_no_call_is_early(servers: Servers) -> None:
    """Not by the part of a millisecond either, in a loop that never rests."""
    server = servers.run()
    waited: list[float] = []

    def spin(turns: int) -> None:
        began = time.monotonic()
        if turns % 10 == 0:
            server.call_later(0.001, lambda: waited.append(time.monotonic() - began))
        if turns:
            server.call_soon(spin, turns - 1)

    server.call_soon(spin, 1000)
    wait_until(lambda: len(waited) == 101)
    assert min(waited) >= 0.001


# -- every --


def test_every_until_it_is_cancelled(servers: Servers) -> None:
    server = servers.run()
    seen: queue.Queue[tuple[object, ...]] = queue.Queue()
    timers: queue.Queue[wspy.Timer] = queue.Queue()
    numbers = iter(range(100))

    def call(*args: object) -> None:
        number = next(numbers)
        seen.put((number, *args))
        if number == 4:
            timer = get(timers)
            assert timer.active
            timer.cancel()
            assert not timer.active
            server.call_later(0.02, seen.put, ("later",))

    timers.put(server.every(0.001, call, "a", 5))
    assert [get(seen) for _ in range(6)] == [*((n, "a", 5) for n in range(5)), ("later",)]


def test_two_that_come_every_so_often_do_not_disturb_each_other(servers: Servers) -> None:
    server = servers.make()
    counts = {"one": 0, "two": 0}

    def count(name: str) -> None:
        counts[name] += 1
        if counts["one"] == 3:
            one.cancel()

    one = server.every(0.002, count, "one")
    two = server.every(0.003, count, "two")
    servers.start(server)
    wait_until(lambda: counts["one"] == 3 and counts["two"] > 5)
    sync(server)
    assert counts["one"] == 3
    assert (one.active, two.active) == (False, True)


def test_calls_that_were_missed_are_left_out(servers: Servers) -> None:
    """The first call takes until the second was due; the one after it keeps to the pace."""
    server = servers.run()
    times: queue.Queue[float] = queue.Queue()
    pace = 0.05
    go = threading.Event()

    def call() -> None:
        wait(go)
        if times.empty():
            while time.monotonic() < asked + 2.3 * pace:
                pass
        times.put(time.monotonic())

    before = time.monotonic()
    timer = server.every(pace, call)
    asked = time.monotonic()
    go.set()
    first, second = get(times), get(times)
    timer.cancel()
    assert first >= asked + 2.3 * pace
    assert second >= before + 3 * pace


# -- cancelling --


@pytest.mark.parametrize("kind", ["call_soon", "call_later", "every"])
class TestCancel:
    def ask(self, server: wspy.Server, kind: str, function: Callable[..., object]) -> wspy.Timer:
        return {
            "call_soon": lambda: server.call_soon(function),
            "call_later": lambda: server.call_later(0.001, function),
            "every": lambda: server.every(0.001, function),
        }[kind]()

    def after_its_time(self, server: wspy.Server) -> None:
        """Waits until a call of 1 ms that was asked for before would have been made."""
        done = threading.Event()
        server.call_later(0.003, done.set)
        wait(done)

    def test_before_the_run(self, servers: Servers, kind: str) -> None:
        server = servers.make()
        calls: list[None] = []
        timer = self.ask(server, kind, lambda: calls.append(None))
        assert timer.active
        timer.cancel()
        timer.cancel()
        assert not timer.active
        servers.start(server)
        self.after_its_time(server)
        assert calls == []

    def test_by_another_call_of_the_same_iteration(self, servers: Servers, kind: str) -> None:
        server = servers.run()
        calls: list[None] = []
        done = threading.Event()

        def first() -> None:
            timer = self.ask(server, kind, lambda: calls.append(None))
            server.call_soon(second, timer)

        def second(timer: wspy.Timer) -> None:
            calls.clear()
            timer.cancel()
            assert not timer.active
            done.set()

        server.call_soon(first)
        wait(done)
        self.after_its_time(server)
        assert calls == []

    def test_by_the_call_before_it(self, servers: Servers, kind: str) -> None:
        server = servers.make()
        calls: list[None] = []
        timers: list[wspy.Timer] = []
        self.ask(server, kind, lambda: timers[0].cancel())
        timers.append(self.ask(server, kind, lambda: calls.append(None)))
        servers.start(server)
        self.after_its_time(server)
        assert calls == []
        assert not timers[0].active

    def test_inside_itself(self, servers: Servers, kind: str) -> None:
        server = servers.make()
        calls: list[bool] = []
        timers: list[wspy.Timer] = []

        def call() -> None:
            timers[0].cancel()
            timers[0].cancel()
            calls.append(timers[0].active)

        timers.append(self.ask(server, kind, call))
        servers.start(server)
        wait_until(lambda: calls == [False])
        self.after_its_time(server)
        assert calls == [False]

    def test_by_a_handler(self, servers: Servers, connect: Connect, kind: str) -> None:
        server = servers.make()
        calls: list[None] = []

        @server.on_message
        def on_message(conn: wspy.Connection, message: str | bytes) -> None:
            timer = self.ask(server, kind, lambda: calls.append(None))
            timer.cancel()
            conn.send(str(timer.active))

        servers.start(server)
        client = connect(server)
        client.send("go")
        assert client.receive() == "False"
        self.after_its_time(server)
        assert calls == []

    def test_by_another_thread(self, servers: Servers, kind: str) -> None:
        server = servers.run()
        gate = Gate()
        calls: list[None] = []
        server.call_soon(gate.hold)
        wait(gate.entered)  # so that none is made before it is cancelled
        timer = self.ask(server, kind, lambda: calls.append(None))
        timer.cancel()
        timer.cancel()
        assert not timer.active
        gate.leave.set()
        self.after_its_time(server)
        assert calls == []

    def test_of_one_that_was_made_or_never_will_be(self, servers: Servers, kind: str) -> None:
        server = servers.make()
        thread = servers.start(server)
        done = threading.Event()
        timer = self.ask(server, kind, done.set)
        wait(done)
        if kind != "every":
            sync(server)
            assert not timer.active
        thread.stop()
        assert not timer.active
        timer.cancel()
        assert not timer.active


def test_one_that_runs_is_cancelled_by_another_thread(servers: Servers) -> None:
    server = servers.run()
    calls: list[None] = []
    timer = server.every(0.001, lambda: calls.append(None))
    wait_until(lambda: len(calls) > 3)
    timer.cancel()
    assert not timer.active
    sync(server)  # it was cancelled before this was asked for
    made = len(calls)
    done = threading.Event()
    server.call_later(0.02, done.set)
    wait(done)
    assert len(calls) == made


def test_threads_ask_and_cancel(servers: Servers) -> None:
    server = servers.run()
    calls: list[int] = []
    barrier = threading.Barrier(4)

    def work(i: int) -> None:
        barrier.wait(TIMEOUT)
        for number in range(300):
            soon = server.call_soon(calls.append, number)
            later = server.call_later(0.001, calls.append, number)
            often = server.every(0.001, calls.append, number)
            for timer in (soon, later, often):
                timer.cancel()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    sync(server)
    made = len(calls)
    done = threading.Event()
    server.call_later(0.01, done.set)
    wait(done)
    assert len(calls) == made


# -- exceptions --


def test_what_a_call_raises_is_logged(servers: Servers, connect: Connect, log: Records) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    client = connect(server)
    error = ValueError("from a call")

    def fail() -> None:
        raise error

    timer = server.call_soon(fail)
    sync(server)
    (record,) = log.take_errors()
    assert record.getMessage() == f"a call of {timer!r} failed"
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    client.echo("it goes on")
    assert not timer.active


def test_one_that_comes_every_so_often_outlives_what_it_raises(
    servers: Servers, log: Records
) -> None:
    server = servers.make()
    calls: queue.Queue[int] = queue.Queue()
    numbers = iter(range(1_000_000))

    def fail() -> None:
        number = next(numbers)
        if number == 4:
            timer.cancel()
        calls.put(number)
        raise ValueError(number)

    timer = server.every(0.001, fail)
    servers.start(server)
    assert [get(calls) for _ in range(5)] == list(range(5))
    sync(server)
    errors = log.take_errors()
    assert [str(record.exc_info[1]) for record in errors if record.exc_info] == list("01234")


def test_on_error_is_not_for_calls(servers: Servers, log: Records) -> None:
    told: list[object] = []
    server = servers.run(on_error=lambda conn, exc: told.append(exc))
    server.call_soon(lambda: 1 / 0)
    sync(server)
    assert len(log.take_errors()) == 1
    assert told == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["call_soon", "every"])
def test_what_ends_a_program_stops_the_server(
    servers: Servers, connect: Connect, error: type[BaseException], kind: str
) -> None:
    server = servers.make()
    thread = servers.start(server)
    client = connect(server)

    calls: list[str] = []

    def end() -> None:
        calls.append("end")
        raise error

    def count() -> None:
        calls.append("count")

    timer = server.call_soon(end) if kind == "call_soon" else server.every(0.001, end)
    assert client.expect_close() == (1001, "")
    server.every(0.001, count)  # a second end would cut
    wait_until(lambda: calls.count("count") >= 5)
    client.send_raw(close_frame(1001))
    client.expect_end()
    assert calls.count("end") == 1
    client.socket.close()
    with pytest.raises(error):
        thread.stop()
    assert not timer.active


# -- arguments --


def nothing() -> None:
    pass


@pytest.mark.parametrize(
    ("method", "arguments", "error", "message"),
    [
        ("call_soon", (), TypeError, "call_soon() takes a function to call, not nothing"),
        ("call_soon", (5,), TypeError, "call_soon() takes a function to call, not int"),
        ("call_later", (), TypeError, "call_later() takes seconds and a function to call"),
        ("call_later", (1,), TypeError, "call_later() takes seconds and a function to call"),
        ("call_later", (nothing, 1), TypeError,
         "call_later() takes a number of seconds, not function"),
        ("call_later", (1, None), TypeError, "call_later() takes a function to call, not NoneType"),
        ("call_later", ("1", nothing), TypeError,
         "call_later() takes a number of seconds, not str"),
        ("call_later", (True, nothing), TypeError,
         "call_later() takes a number of seconds, not bool"),
        ("call_later", (-0.001, nothing), ValueError,
         "call_later() takes seconds from 0 and up to 1e9, not -0.001"),
        ("call_later", (-1, nothing), ValueError,
         "call_later() takes seconds from 0 and up to 1e9, not -1"),
        ("call_later", (float("nan"), nothing), ValueError,
         "call_later() takes seconds from 0 and up to 1e9, not nan"),
        ("call_later", (float("inf"), nothing), ValueError,
         "call_later() takes seconds from 0 and up to 1e9, not inf"),
        ("call_later", (1e9 + 1, nothing), ValueError,
         "call_later() takes seconds from 0 and up to 1e9, not 1000000001.0"),
        ("call_later", (10**400, nothing), ValueError,
         f"call_later() takes seconds from 0 and up to 1e9, not {10**400}"),
        ("call_later", (1j, nothing), TypeError, "must be real number, not complex"),
        ("every", (1,), TypeError, "every() takes seconds and a function to call"),
        ("every", (1, "x"), TypeError, "every() takes a function to call, not str"),
        ("every", (None, nothing), TypeError, "every() takes a number of seconds, not NoneType"),
        ("every", (0, nothing), ValueError,
         "every() takes seconds above 0 and up to 1e9, not 0"),
        ("every", (-1.5, nothing), ValueError,
         "every() takes seconds above 0 and up to 1e9, not -1.5"),
    ],
)  # fmt: skip
def test_wrong_arguments(method: str, arguments: Any, error: type[Exception], message: str) -> None:
    server = wspy.Server(port=0)
    with pytest.raises(error) as info:
        getattr(server, method)(*arguments)
    assert str(info.value) == message


def test_what_would_never_run_is_refused() -> None:
    """As for handlers: a call of it would give a coroutine or a generator, and do nothing."""

    class Inert:
        async def coroutine(self) -> None:
            pass

    def generator() -> Iterator[None]:
        yield

    async def async_generator() -> AsyncIterator[None]:
        yield

    server = wspy.Server(port=0)
    for function in (Inert().coroutine, generator, async_generator):
        for method, seconds in (("call_soon", ()), ("call_later", (1,)), ("every", (1,))):
            with pytest.raises(TypeError) as info:
                getattr(server, method)(*seconds, function)
            assert str(info.value) == (
                f"{method}() takes a plain function, not one with async or yield: "
                "its body would never run"
            )


def test_arguments_by_name_are_refused() -> None:
    server = wspy.Server(port=0)
    with pytest.raises(TypeError, match="keyword"):
        server.call_soon(function=nothing)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="keyword"):
        server.call_soon(nothing, key=1)  # type: ignore[call-arg]


def test_a_timer_is_made_by_its_server_only() -> None:
    with pytest.raises(TypeError):
        wspy.Timer()


# -- the end --


def test_a_server_that_never_runs_goes_with_its_timers() -> None:
    """Server, timer and function hold each other: the collector sees them all."""
    server = wspy.Server(port=0)
    things = [Thing(), Thing(), Thing()]
    timers = [
        server.call_soon(lambda *args, server=server: server.stop(), things[0]),
        server.call_later(10, lambda *args, server=server: server.stop(), things[1]),
        server.every(10, lambda *args, server=server: server.stop(), things[2]),
    ]
    gone = [weakref.ref(thing) for thing in (server, *things)]
    del server, things, timers
    gc.collect()
    assert [ref() for ref in gone] == [None] * 4


def test_nothing_is_left_after_the_run(servers: Servers) -> None:
    server = servers.make()
    things = [Thing(), Thing(), Thing()]
    timers = [
        server.call_soon(things[0], things[0]),
        server.call_later(1000, things[1], things[1]),
        server.every(1000, things[2], things[2]),
    ]
    gone = [weakref.ref(thing) for thing in things]
    del things
    thread = servers.start(server)
    sync(server)
    assert [ref() is None for ref in gone] == [True, False, False]
    thread.stop()
    assert [ref() for ref in gone] == [None] * 3
    assert [timer.active for timer in timers] == [False] * 3


@pytest.mark.parametrize("when", ["before the run", "in the last iteration"])
def test_nothing_is_left_of_a_call_that_came_too_late(servers: Servers, when: str) -> None:
    server = servers.make()
    thing = Thing()
    gone = weakref.ref(thing)
    timers: list[wspy.Timer] = []

    def stop_and_ask(thing: Thing) -> None:
        server.stop()
        timers.append(server.call_soon(thing, thing))

    if when == "before the run":
        stop_and_ask(thing)
    else:
        server.call_soon(stop_and_ask, thing)
    del thing
    server.run()
    assert gone() is None
    assert [timer.active for timer in timers] == [False]


@pytest.mark.parametrize("method", ["call_soon", "call_later", "every"])
def test_after_the_run_no_call_is_taken(servers: Servers, method: str) -> None:
    server = servers.make()
    servers.start(server).stop()
    seconds = () if method == "call_soon" else (1,)
    with pytest.raises(RuntimeError, match=r"^the server has run: no call would be made$"):
        getattr(server, method)(*seconds, nothing)


def test_a_timer_outlives_its_server() -> None:
    server = wspy.Server(port=0)
    timer = server.every(1, nothing)
    gone = weakref.ref(server)
    del server
    gc.collect()
    assert gone() is not None  # the timer's
    timer.cancel()
    del timer
    gc.collect()
    assert gone() is None
