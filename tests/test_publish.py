"""Messages for many: who gets them, in which order, and what becomes of them at slow readers."""

from __future__ import annotations

import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from audience import PLUG, SMALL, Audience, MakeAudience, end, expect
from conftest import Records, Servers
from support import MIB, TIMEOUT, Client, Gate, close_frame, get, make_binary, make_text, wait_until

import wspy

T = TypeVar("T")


# -- exclude and broadcast --


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_exclude(audience: Audience, where: str) -> None:
    def run(function: Callable[[], T]) -> T:
        return function() if where == "here" else audience.on_loop(function)

    (ann, ann_conn), (bob, _), (eve, eve_conn) = (
        audience.enter("t"),
        audience.enter("t"),
        audience.enter(),
    )
    server = audience.server
    assert run(lambda: server.publish("t", "1", exclude=ann_conn)) == 1
    assert run(lambda: server.publish("t", "2", exclude=eve_conn)) == 2
    assert run(lambda: server.publish("t", "3", exclude=None)) == 2
    assert run(lambda: ann_conn.publish("t", "4")) == 1
    assert run(lambda: eve_conn.publish("t", "5")) == 2
    assert run(lambda: server.publish_json("t", 6, exclude=ann_conn)) == 1
    assert run(lambda: server.broadcast("7", exclude=ann_conn)) == 2
    assert run(lambda: server.broadcast(b"8")) == 3
    expect(ann, "2", "3", "5", b"8")
    expect(bob, "1", "2", "3", "4", "5", "6", "7", b"8")
    expect(eve, "7", b"8")
    end(ann, bob, eve)


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_exclude_one_who_has_gone(audience: Audience, where: str) -> None:
    """The others are as many as they are, and one who stays alone gets it too."""
    (ann, _), (bob, bob_conn) = audience.enter("t"), audience.enter("t")
    bob.close()
    get(audience.recorder.closed)

    def run() -> tuple[int, int]:
        broadcast = audience.server.broadcast("broadcast", exclude=bob_conn)
        return broadcast, bob_conn.publish("t", "published")

    assert (run() if where == "here" else audience.on_loop(run)) == (1, 1)
    expect(ann, "broadcast", "published")
    end(ann)


def test_exclude_of_another_server(audience: Audience, make_audience: MakeAudience) -> None:
    client, _ = audience.enter("t")
    _, stranger = make_audience().enter()
    calls: list[Callable[..., object]] = [
        lambda exclude: audience.server.publish("t", "x", exclude=exclude),
        lambda exclude: audience.server.publish_json("t", "x", exclude=exclude),
        lambda exclude: audience.server.broadcast("x", exclude=exclude),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"^exclude must be a connection of this server$"):
            call(stranger)
    end(client)


def test_broadcast_before_and_after_the_run(servers: Servers) -> None:
    server = servers.make()
    assert server.broadcast("x") == 0
    assert server.publish("t", "x") == 0
    assert server.topics() == {}
    servers.start(server).stop()
    assert server.broadcast("x") == 0
    assert server.publish("t", "x") == 0
    assert server.subscribers("t") == 0


def test_texts_that_cannot_be_sent(audience: Audience) -> None:
    client, conn = audience.enter("a")
    for call in (audience.server.broadcast, lambda text: audience.server.publish("a", text)):
        with pytest.raises(UnicodeEncodeError):
            call("\ud800")
    with pytest.raises(UnicodeEncodeError):
        conn.send("a", key="\ud800")
    end(client)


# -- order --


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_what_is_sent_and_what_is_published_keep_their_order(
    audience: Audience, where: str
) -> None:
    client, conn = audience.enter("t")

    def run() -> None:
        for number in range(0, 50, 5):
            conn.send(f"{number}")
            audience.server.publish("t", f"{number + 1}")
            conn.send_json(number + 2)
            audience.server.broadcast(f"{number + 3}")
            audience.server.publish_json("t", number + 4)

    run() if where == "here" else audience.on_loop(run)
    expect(client, *map(str, range(50)))


@pytest.mark.usefixtures("fast_switches")
def test_all_subscribers_see_one_order(make_audience: MakeAudience) -> None:
    """Of the messages of three threads and of the loop's."""
    audience = make_audience(max_backlog=None)  # the readers may be late
    entered = [audience.enter("t") for _ in range(4)]
    barrier = threading.Barrier(4)

    def publish(who: str, number: int) -> None:
        size = (0, 100, 5000, 20_000)[number % 4]
        audience.server.publish("t", f"{who} {number} " + "x" * size)

    def work(who: str) -> None:
        barrier.wait(TIMEOUT)
        for number in range(200):
            publish(who, number)

    def again(number: int) -> None:
        publish("loop", number)
        if number < 199:
            audience.server.call_soon(again, number + 1)

    got: list[list[str]] = [[] for _ in entered]

    def read(i: int) -> None:
        got[i] = [str(entered[i][0].receive()).rstrip("x") for _ in range(800)]

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(3)]
    threads += [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    barrier.wait(TIMEOUT)
    audience.server.call_soon(again, 0)
    for thread in threads:
        thread.join(60)
    assert got[0] == got[1] == got[2] == got[3]
    numbers: dict[str, list[int]] = defaultdict(list)
    for message in got[0]:
        who, number = message.split()
        numbers[who].append(int(number))
    assert numbers == {who: list(range(200)) for who in ("0", "1", "2", "loop")}


def test_a_message_is_for_those_who_had_subscribed(audience: Audience) -> None:
    """What another thread publishes waits for the loop; who subscribes meanwhile is too late."""
    gate = Gate()
    (ann, _), (bob, bob_conn), (eve, eve_conn) = (
        audience.enter("t"),
        audience.enter(),
        audience.enter("t"),
    )
    server = audience.server
    server.call_soon(gate.hold)
    assert gate.entered.wait(TIMEOUT)
    assert server.publish("t", "1") == 2
    assert bob_conn.subscribe("t") is True
    assert server.publish("t", "2") == 3
    assert eve_conn.unsubscribe("t") is True  # before any of them has gone out to her
    assert server.publish("t", "3") == 2
    assert eve_conn.subscribe("t") is True
    assert server.publish("t", "4") == 3
    gate.leave.set()
    expect(ann, "1", "2", "3", "4")
    expect(bob, "2", "3", "4")
    expect(eve, "4")
    end(ann, bob, eve)


def test_what_others_have_published_goes_before_what_the_loop_publishes(audience: Audience) -> None:
    client, _ = audience.enter("t")
    published = threading.Event()
    gate = Gate()

    def work() -> None:
        gate.hold()
        published.wait(TIMEOUT)
        audience.server.publish("t", "second")

    audience.server.call_soon(work)
    assert gate.entered.wait(TIMEOUT)
    audience.server.publish("t", "first")
    published.set()
    gate.leave.set()
    expect(client, "first", "second")


@pytest.mark.usefixtures("fast_switches")
def test_threads_subscribe_and_unsubscribe_while_others_publish(audience: Audience) -> None:
    client, conn = audience.enter()
    (other, _) = audience.enter("t")
    over = threading.Event()
    got: list[list[int]] = [[], []]

    def read(i: int, client: Client) -> None:
        while (message := client.receive()) != "end":
            got[i].append(int(message))

    def toggle() -> None:
        while not over.is_set():
            conn.subscribe("t")
            conn.subscribe("+", pattern=True)
            conn.unsubscribe("t")
            conn.unsubscribe("+", pattern=True)

    readers = [threading.Thread(target=read, args=pair) for pair in ((0, client), (1, other))]
    toggler = threading.Thread(target=toggle)
    for thread in (*readers, toggler):
        thread.start()
    for number in range(1000):
        if number % 2:
            audience.server.publish("t", str(number))
        else:
            audience.on_loop(lambda number=number: audience.server.publish("t", str(number)))  # type: ignore[misc]
    over.set()
    toggler.join(TIMEOUT)
    audience.server.broadcast("end")
    for thread in readers:
        thread.join(TIMEOUT)
    assert got[1] == list(range(1000))
    assert got[0] == sorted(set(got[0]))
    assert 0 < len(got[0]) < 1000
    assert audience.server.topics() == {"t": 1}


@pytest.mark.usefixtures("fast_switches")
def test_connections_come_and_go_while_others_publish(audience: Audience) -> None:
    stay, _ = audience.enter("t")
    over = threading.Event()
    published: list[int] = []

    def publish() -> None:
        number = 0
        while not over.is_set():
            number += 1
            audience.server.publish("t", str(number))
            audience.server.broadcast(str(-number))
            if number % 16 == 0:  # not more than the loop keeps up with
                audience.on_loop(lambda: None)
        published.append(number)

    numbers: list[int] = []

    def read() -> None:
        while (message := stay.receive()) != "end":
            numbers.append(int(message))

    threads = [threading.Thread(target=publish), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for i in range(60):
        client, conn = audience.enter()
        conn.subscribe("t")
        assert client.receive() != ""
        client.reset() if i % 3 else client.socket.close()
    over.set()
    threads[0].join(TIMEOUT)
    audience.server.broadcast("end")
    threads[1].join(TIMEOUT)
    assert numbers == [sign * n for n in range(1, published[0] + 1) for sign in (1, -1)]
    wait_until(lambda: audience.server.topics() == {"t": 1})


# -- sizes and slow readers --


SIZES = [0, 1, 125, 126, 4092, 4093, 5000, 16_384, 65_535, 65_536, MIB]


@pytest.mark.parametrize("where", ["here", "on the loop"])
@pytest.mark.parametrize("kind", ["text", "bytes", "bytearray"])
def test_sizes(make_audience: MakeAudience, where: str, kind: str) -> None:
    """One of the receivers does not read until all is published."""
    audience = make_audience(max_backlog=None)
    entered = [audience.enter("t", receive_buffer=SMALL if i == 2 else None) for i in range(5)]
    slow, slow_conn = entered[2]
    audience.plug(slow_conn)
    messages: list[Any] = [
        make_text(size, i) if kind == "text" else make_binary(size, i)
        for i, size in enumerate(SIZES)
    ]

    def run() -> list[int]:
        make = bytearray if kind == "bytearray" else lambda message: message
        return [audience.server.publish("t", make(message)) for message in messages]

    assert (run() if where == "here" else audience.on_loop(run)) == [5] * len(SIZES)
    audience.unplug(slow)
    for client, _ in entered:
        expect(client, *messages)


def test_a_large_object_is_let_go(audience: Audience) -> None:
    clients = [audience.enter("t")[0] for _ in range(5)]
    for message in ("x" * MIB, bytes(MIB)):
        before = sys.getrefcount(message)
        audience.server.publish("t", message)
        audience.on_loop(lambda message=message: audience.server.publish("t", message))  # type: ignore[misc]
        audience.server.publish("nobody", message)
        for client in clients:
            expect(client, message, message)
        wait_until(lambda: audience.on_loop(lambda: sys.getrefcount(message)) == before)  # noqa: B023


def test_a_message_for_many_waits_for_the_end_of_a_stream(audience: Audience) -> None:
    (ann, conn), (bob, _) = audience.enter("t"), audience.enter("t")
    with conn.stream(text=True) as stream:
        stream.write("a")
        assert audience.server.publish("t", "published") == 2
        assert audience.on_loop(lambda: audience.server.publish("t", "there too")) == 2
        expect(bob, "published", "there too")
        stream.write("b")
    assert [ann.read(3), ann.read(3), ann.read(2)] == [b"\x01\x01a", b"\x00\x01b", b"\x80\x00"]
    expect(ann, "published", "there too")


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_one_who_does_not_read_is_closed_and_the_others_go_on(
    make_audience: MakeAudience, where: str
) -> None:
    audience = make_audience(max_backlog=PLUG + 2_000_000)
    entered = [audience.enter("t", receive_buffer=SMALL if i % 2 else None) for i in range(6)]
    slow = [pair for i, pair in enumerate(entered) if i % 2]
    fast = [client for i, (client, _) in enumerate(entered) if not i % 2]
    for _, conn in slow:
        audience.plug(conn)
    sent = 0
    message = make_text(100_000)
    while audience.server.topics() == {"t": 6}:
        if where == "here":
            audience.server.publish("t", message)
        else:
            audience.on_loop(lambda: audience.server.publish("t", message))
        sent += 1
        for client in fast:
            expect(client, message)
    for client, conn in slow:
        wait_until(lambda: not conn.is_open)  # noqa: B023
        assert client.read_close() == (1013, "the backlog is full")
        client.send_raw(close_frame(1013))
        assert conn.dropped > 0
    assert {get(audience.recorder.closed).kind for _ in slow} == {"backlog"}
    assert audience.server.topics() == {"t": 3}
    assert audience.server.publish("t", "the end") == 3
    for client in fast:
        expect(client, "the end")
    end(*fast)
    assert 1 < sent < 200


def number_of(data: str | bytes) -> int:
    return int(data[:8])


def block(number: int) -> str:
    return f"{number:8}" + "." * 99_992


Send = Callable[[Audience, wspy.Connection, int], bool | int]
SENDS: dict[str, Send] = {
    "send": lambda audience, conn, n: conn.send(block(n)),
    "publish": lambda audience, conn, n: audience.server.publish("t", block(n)),
    "broadcast": lambda audience, conn, n: audience.server.broadcast(block(n)),
}


@pytest.mark.parametrize("how", SENDS)
def test_drop_newest(make_audience: MakeAudience, how: str) -> None:
    audience = make_audience(
        backlog_policy="drop-newest", max_backlog=PLUG + 300_000, high_water=2**40
    )  # fmt: skip
    client, conn = audience.enter("t", receive_buffer=SMALL)
    audience.plug(conn)
    total = 60
    results = audience.on_loop(lambda: [SENDS[how](audience, conn, n) for n in range(total)])
    dropped = conn.dropped
    kept = total - dropped
    assert 3 <= kept < total
    # Of many it is told how many they are, not what became of the message at each.
    assert results == ([True] * kept + [False] * dropped if how == "send" else [1] * total)
    assert audience.server.stats()["dropped_sent"] == dropped
    assert conn.is_open
    audience.unplug(client)
    assert [number_of(client.receive()) for _ in range(kept)] == list(range(kept))
    assert audience.server.broadcast("room again") == 1
    expect(client, "room again")
    end(client)


@pytest.mark.parametrize("how", SENDS)
def test_drop_oldest(make_audience: MakeAudience, how: str) -> None:
    audience = make_audience(
        backlog_policy="drop-oldest", max_backlog=PLUG + 300_000, high_water=2**40
    )  # fmt: skip
    client, conn = audience.enter("t", receive_buffer=SMALL)
    audience.plug(conn)
    total = 60
    results = audience.on_loop(lambda: [SENDS[how](audience, conn, n) for n in range(total)])
    assert results == [1] * total  # True is 1
    dropped = conn.dropped
    assert 3 <= total - dropped < total
    assert audience.server.stats()["dropped_sent"] == dropped
    audience.unplug(client)
    numbers = [number_of(client.receive()) for _ in range(total - dropped)]
    assert numbers == list(range(dropped, total))
    end(client)


def test_more_than_the_loop_keeps_up_with(make_audience: MakeAudience, log: Records) -> None:
    """16 MiB of messages of other threads may wait for the loop."""
    audience = make_audience(max_backlog=None)
    client, conn = audience.enter("t")
    gate = Gate()
    audience.server.call_soon(gate.hold)
    assert gate.entered.wait(TIMEOUT)
    message = bytes(MIB)
    assert [audience.server.publish("t", message) for _ in range(16)] == [1] * 16
    assert audience.server.publish("t", message) == 0
    assert audience.server.broadcast("x") == 0
    assert conn.send("this goes by another way") is True
    assert audience.server.publish("nobody", message) == 0
    gate.leave.set()
    expect(client, *[message] * 16, "this goes by another way")
    assert audience.on_loop(lambda: audience.server.publish("t", "on the loop")) == 1
    assert audience.server.publish("t", "room again") == 1
    expect(client, "on the loop", "room again")
    assert audience.server.stats()["dropped_sent"] == 2
    lines = [line for line in log.at(30) if "published" in line]
    assert lines == [
        "2 messages that other threads published were dropped: the loop does not keep up"
    ]
