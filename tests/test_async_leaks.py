"""1,000 connections whose handlers sleep, are cancelled and raise: all is counted and given back."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
from collections import Counter

from conftest import Records
from loops import closed, connect, run, until

import wspy
from wspy.serving import LoopName

N_CONNECTIONS = 1000
N_AT_ONCE = 100


def test_all_comes_back(loop: LoopName, log: Records) -> None:
    rng = random.Random(6455)
    counts: Counter[str] = Counter()

    async def on_open(conn: wspy.Connection) -> None:
        counts["open"] += 1
        await asyncio.sleep(rng.choice((0, 0.001)))

    async def on_message(conn: wspy.Connection, message: str | bytes) -> None:
        counts["begin"] += 1
        task = asyncio.current_task()
        assert task is not None
        await asyncio.sleep(rng.choice((0, 0, 0.001, 0.003)))
        if message == "raise":
            raise ZeroDivisionError
        if message == "cancel":
            task.cancel()
            try:
                await asyncio.sleep(60)
            finally:
                counts["cancel"] += 1
        if message == "leave":
            await conn.wait_closed()
        with contextlib.suppress(wspy.ConnectionClosed):  # its close may wait for us
            await conn.drain()
        counts["end"] += 1

    async def on_close(conn: wspy.Connection, code: int, reason: str) -> None:
        await asyncio.sleep(0)
        counts["close"] += 1

    def on_error(conn: wspy.Connection, exc: Exception) -> None:
        assert isinstance(exc, ZeroDivisionError)
        counts["raise"] += 1
        conn.close(4000)

    sent: Counter[str] = Counter()

    async def visit(server: wspy.Server) -> None:
        client = await connect(server)
        last = rng.choice(("end", "raise", "cancel", "leave"))
        for message in (*rng.choices(("end", "cancel"), k=3), last):
            await client.send(message)
            sent[message] += 1
        if last == "raise":
            assert (await closed(client))[0] == 4000
        await client.close()

    async def round_of(server: wspy.Server, n: int) -> None:
        for _ in range(n // N_AT_ONCE):
            await asyncio.gather(*(visit(server) for _ in range(N_AT_ONCE)))
        await until(lambda: counts["close"] == counts["open"] and len(server) == 0)
        await asyncio.sleep(0.01)
        gc.collect()

    async def main() -> None:
        server = wspy.Server(
            port=0,
            on_open=on_open,
            on_message=on_message,
            on_close=on_close,
            on_error=on_error,
        )
        async with server:
            await round_of(server, N_AT_ONCE)  # what is made once
            before = look()
            await round_of(server, N_CONNECTIONS)
            assert look() == before
        assert counts["open"] == counts["close"] == N_CONNECTIONS + N_AT_ONCE
        assert counts["begin"] == sum(sent.values())
        assert counts["raise"] == sent["raise"]
        assert counts["cancel"] == sent["cancel"]
        assert counts["end"] == sent["end"] + sent["leave"]
        stats = server.stats()
        assert stats["received"] == sum(sent.values())
        assert stats["opened"] == stats["closed"] == N_CONNECTIONS + N_AT_ONCE

    run(loop, main())


def look() -> tuple[int, int, int]:
    """Tasks, connections as objects, descriptors."""
    conns = sum(type(o) is wspy.Connection for o in gc.get_objects())
    return len(asyncio.all_tasks()), conns, len(os.listdir("/proc/self/fd"))
