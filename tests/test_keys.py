"""Keys: a slow reader gets the latest message of each."""

from __future__ import annotations

from typing import TypeVar

import pytest
from audience import PLUG, SMALL, Audience, MakeAudience, end, expect

T = TypeVar("T")


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
