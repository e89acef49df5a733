"""Keys: a slow reader gets the latest message of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from audience import PLUG, SMALL, Audience, MakeAudience, end, expect
from support import TIMEOUT, Gate, get

import wspy
from wspy.options import BacklogPolicy


def test_who_keeps_up_gets_every_message(audience: Audience) -> None:
    client, conn = audience.enter("t")
    for number in range(50):
        conn.send(f"sent {number}", key="a")
        audience.server.publish("t", f"published {number}", key="a")
    expect(client, *(f"{how} {n}" for n in range(50) for how in ("sent", "published")))
    assert conn.dropped == 0
    assert audience.server.stats()["replaced"] == 0


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_a_newer_message_takes_the_place_of_an_older_one(
    make_audience: MakeAudience, where: str
) -> None:
    audience = make_audience(max_backlog=None)
    client, conn = audience.enter("t", receive_buffer=SMALL)
    other, _ = audience.enter("t")
    audience.plug(conn)
    server = audience.server

    def run() -> None:
        server.publish("t", "a 1", key="a")
        server.publish("t", "no key")
        server.publish("t", "b 1", key="b")
        server.publish("t", "a 2, which is longer", key="a")
        server.publish_json("t", "a 3", key="a")
        conn.send("empty key 1", key="")
        server.broadcast("b 2", key="b")
        conn.send_json("a 4", key="a")
        conn.send("no key", key=None)
        conn.send("empty key 2", key="")
        server.publish("t", b"binary a 5", key="a")

    run() if where == "here" else audience.on_loop(run)
    audience.unplug(client)
    expect(client, b"binary a 5", "no key", "b 2", "empty key 2", "no key")
    expect(other, "a 1", "no key", "b 1", "a 2, which is longer", '"a 3"', "b 2", b"binary a 5")
    assert conn.dropped == 6
    assert server.stats()["replaced"] == 6
    assert server.stats()["dropped_sent"] == 0
    end(client, other)


def test_many_keys_never_make_a_growing_queue(make_audience: MakeAudience) -> None:
    audience = make_audience(max_backlog=PLUG + 100_000)
    client, conn = audience.enter("t", receive_buffer=SMALL)
    audience.plug(conn)
    plugged = conn.backlog
    for number in range(2000):
        audience.server.publish("t", f"{number:5}", key=f"key {number % 100}")
        if number % 50 == 0:  # not more than the loop keeps up with
            audience.on_loop(lambda: None)
    audience.on_loop(lambda: None)
    assert conn.backlog <= plugged + 100 * 7
    assert conn.dropped == 1900
    audience.unplug(client)
    expect(client, *(f"{number:5}" for number in range(1900, 2000)))
    end(client)


def test_keys_behind_a_stream(audience: Audience) -> None:
    client, conn = audience.enter()
    with conn.stream(text=True) as stream:
        stream.write("a")
        conn.send("old", key="k")
        conn.send("between")
        conn.send("new", key="k")
    assert [client.read(3), client.read(2)] == [b"\x01\x01a", b"\x80\x00"]
    expect(client, "new", "between")
    assert conn.dropped == 1


def test_the_key_of_one_connection_is_not_that_of_another(make_audience: MakeAudience) -> None:
    audience = make_audience(max_backlog=None)
    entered = [audience.enter(receive_buffer=SMALL) for _ in range(2)]
    for _, conn in entered:
        audience.plug(conn)
        conn.send(f"for {conn.id}", key="k")
    for client, conn in entered:
        audience.unplug(client)
        expect(client, f"for {conn.id}")
        assert conn.dropped == 0


# -- at the bound of the backlog --

KEYS = 5
ENTRY = 96  # what each message in the queue of a slow peer counts besides its bytes
BOUND = PLUG + 100_000
FILLER = bytes(10_000)


def price(key: int, n: int) -> str:
    return f"{key} {n:4}" + "." * 10_000


Send = Callable[[wspy.Server, wspy.Connection, int, int], Any]
SENDS: dict[str, Send] = {
    "send": lambda server, conn, key, n: conn.send(price(key, n), key=str(key)),
    "publish": lambda server, conn, key, n: server.publish("t", price(key, n), key=str(key)),
}


def fill(audience: Audience, conn: wspy.Connection, policy: BacklogPolicy) -> None:
    """Up to the bound; "close" does not let anybody reach it."""
    if policy == "close":
        room = BOUND - conn.backlog - ENTRY * (2 + KEYS)
        assert conn.send(bytes(room)) is True
        return
    while conn.dropped == 0:
        audience.on_loop(lambda: conn.send(FILLER))


@pytest.mark.parametrize("where", ["here", "on the loop"])
@pytest.mark.parametrize("how", SENDS)
@pytest.mark.parametrize("policy", ["close", "drop-newest", "drop-oldest"])
def test_the_latest_of_each_key_at_the_bound(
    make_audience: MakeAudience, policy: BacklogPolicy, how: str, where: str
) -> None:
    """What is newer takes the place of what it replaces, whatever the policy, since the queue does
    not grow by it."""
    audience = make_audience(backlog_policy=policy, max_backlog=BOUND, high_water=2**40)
    client, conn = audience.enter("t", receive_buffer=SMALL)

    def send_round(n: int) -> None:
        for key in range(KEYS):
            SENDS[how](audience.server, conn, key, n)

    def run_round(n: int) -> None:
        if where == "here":
            send_round(n)
            audience.on_loop(lambda: None)  # the mailbox is bounded too
        else:
            audience.on_loop(lambda: send_round(n))

    audience.plug(conn)
    if policy == "drop-oldest":
        fill(audience, conn, policy)
        run_round(0)
    else:
        run_round(0)
        fill(audience, conn, policy)
    before = conn.dropped
    for n in range(1, 100):
        run_round(n)
    assert conn.dropped - before == 99 * KEYS
    assert conn.is_open
    conn.close()
    audience.unplug(client)
    received = []
    while (message := client.receive()) != price(KEYS - 1, 99):
        received.append(message)
    prices = [message for message in received if isinstance(message, str)]
    assert prices == [price(key, 99) for key in range(KEYS - 1)]


@pytest.mark.parametrize("policy", ["close", "drop-newest", "drop-oldest"])
def test_the_last_price_of_a_thread_that_never_waits(
    make_audience: MakeAudience, policy: BacklogPolicy
) -> None:
    """It posts far more than max_backlog while the loop is busy."""
    gate = Gate()
    audience = make_audience(backlog_policy=policy, max_backlog=50_000)
    client, conn = audience.enter("t")
    audience.server.call_soon(gate.hold)
    assert gate.entered.wait(TIMEOUT)
    for n in range(500):
        conn.send(price(0, n), key="price")
    gate.leave.set()
    received = [client.receive()]
    while received[-1] != price(0, 499):
        received.append(client.receive())
    assert len(received) + conn.dropped == 500


@pytest.mark.parametrize("where", ["here", "on the loop"])
def test_who_was_refused_is_told_when_there_is_room(
    make_audience: MakeAudience, where: str
) -> None:
    audience = make_audience(backlog_policy="drop-newest", max_backlog=BOUND, high_water=2**40)
    client, conn = audience.enter("t", receive_buffer=SMALL)
    audience.plug(conn)
    sent = 0
    while conn.send(FILLER) if where == "here" else audience.on_loop(lambda: conn.send(FILLER)):
        sent += 1
    assert conn.dropped == 1
    audience.on_loop(lambda: None)
    assert audience.recorder.drained.empty()
    audience.unplug(client)
    assert get(audience.recorder.drained) is conn
    assert [client.receive() for _ in range(sent)] == [FILLER] * sent
    assert conn.send("room") is True
    assert client.receive() == "room"
