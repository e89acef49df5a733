"""At the bound of the backlog: a newer message takes the place of what it replaces, whatever the
policy, since the queue does not grow by it; and who was refused is told when there is room."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Servers
from support import TIMEOUT, Client, Gate, Recorder, get, wait_until

import wspy
from wspy.options import BacklogPolicy

SMALL = 4096  # a receive buffer that fills at once
PLUG = 4_000_000  # bytes of a message that no kernel takes whole
KEYS = 5
ENTRY = 96  # what each message in the queue of a slow peer counts besides its bytes
BOUND = PLUG + 100_000
FILLER = bytes(10_000)

Connect = Callable[..., Client]


def price(key: int, n: int) -> str:
    return f"{key} {n:4}" + "." * 10_000


Send = Callable[[wspy.Server, wspy.Connection, int, int], Any]
SENDS: dict[str, Send] = {
    "send": lambda server, conn, key, n: conn.send(price(key, n), key=str(key)),
    "publish": lambda server, conn, key, n: server.publish("t", price(key, n), key=str(key)),
}


def on_loop(server: wspy.Server, function: Callable[[], object]) -> object:
    results: queue.Queue[object] = queue.Queue()
    server.call_soon(lambda: results.put(function()))
    return get(results)


def fill(server: wspy.Server, conn: wspy.Connection, policy: BacklogPolicy) -> None:
    """Up to the bound; "close" does not let anybody reach it."""
    if policy == "close":
        room = BOUND - conn.backlog - ENTRY * (2 + KEYS)
        assert conn.send(bytes(room)) is True
        return
    while conn.dropped == 0:
        on_loop(server, lambda: conn.send(FILLER))


@pytest.mark.parametrize("where", ["here", "on the loop"])
@pytest.mark.parametrize("how", SENDS)
@pytest.mark.parametrize("policy", ["close", "drop-newest", "drop-oldest"])
def test_the_latest_of_each_key_at_the_bound(
    servers: Servers, connect: Connect, policy: BacklogPolicy, how: str, where: str
) -> None:
    server = servers.make(backlog_policy=policy, max_backlog=BOUND, high_water=2**40)
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    conn = get(recorder.opened)
    conn.subscribe("t")

    def send_round(n: int) -> None:
        for key in range(KEYS):
            SENDS[how](server, conn, key, n)
        # The mailbox is bounded too.
        if where == "here":
            on_loop(server, lambda: None)

    def run_round(n: int) -> None:
        if where == "here":
            send_round(n)
        else:
            on_loop(server, lambda: send_round(n))

    conn.send(bytes(PLUG))
    wait_until(lambda: 0 < conn.backlog < PLUG)  # it waits for the peer
    if policy == "drop-oldest":
        fill(server, conn, policy)
        run_round(0)
    else:
        run_round(0)
        fill(server, conn, policy)
    before = conn.dropped
    for n in range(1, 100):
        run_round(n)
    assert conn.dropped - before == 99 * KEYS
    assert conn.is_open
    conn.close()
    assert client.receive() == bytes(PLUG)
    received = []
    while (message := client.receive()) != price(KEYS - 1, 99):
        received.append(message)
    prices = [message for message in received if isinstance(message, str)]
    assert prices == [price(key, 99) for key in range(KEYS - 1)]


@pytest.mark.parametrize("policy", ["close", "drop-newest", "drop-oldest"])
def test_the_last_price_of_a_thread_that_never_waits(
    servers: Servers, connect: Connect, policy: BacklogPolicy
) -> None:
    """It posts far more than max_backlog while the loop is busy."""
    gate = Gate()
    server = servers.make(backlog_policy=policy, max_backlog=50_000)
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server)
    conn = get(recorder.opened)
    server.call_soon(gate.hold)
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
    servers: Servers, connect: Connect, where: str
) -> None:
    server = servers.make(backlog_policy="drop-newest", max_backlog=BOUND, high_water=2**40)
    recorder = Recorder(server)
    servers.start(server)
    client = connect(server, receive_buffer=SMALL)
    conn = get(recorder.opened)
    conn.send(bytes(PLUG))
    wait_until(lambda: 0 < conn.backlog < PLUG)
    sent = 0
    while conn.send(FILLER) if where == "here" else on_loop(server, lambda: conn.send(FILLER)):
        sent += 1
    assert conn.dropped == 1
    on_loop(server, lambda: None)
    assert recorder.drained.empty()
    assert client.receive() == bytes(PLUG)
    assert get(recorder.drained) is conn
    assert [client.receive() for _ in range(sent)] == [FILLER] * sent
    assert conn.send("room") is True
    assert client.receive() == "room"
