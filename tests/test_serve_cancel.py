"""Cancelling the coroutines of wspy.aio.serve at any await: no message is lost, none comes twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from loops import run
from serving import serving
from websockets.asyncio.client import ClientConnection

from wspy.aio import ConnectionClosedOK, ServerConnection
from wspy.serving import LoopName

CANCELS = 10_000
SHARE = CANCELS // 8  # of the ways to receive


class Account:
    """What was received, and how often somebody was cancelled before."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.received: list[int] = []
        self.cancelled = 0

    async def turns(self) -> None:
        for _ in range(self.random.choice((0, 0, 1, 2, 3, 5))):
            await asyncio.sleep(0)

    async def cancel_later(self, task: asyncio.Task[None]) -> None:
        """Cancels it somewhere, and takes note if it had not ended before."""
        await self.turns()
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            self.cancelled += 1


# Ways to wait for messages that are cut off.


async def receive_in_task(ws: ServerConnection, account: Account) -> None:
    async def receive() -> None:
        account.received.append(int(await ws.recv()))

    await account.cancel_later(asyncio.create_task(receive()))


async def receive_many_in_task(ws: ServerConnection, account: Account) -> None:
    async def receive() -> None:
        async for message in ws:
            account.received.append(int(message))
            await account.turns()

    await account.cancel_later(asyncio.create_task(receive()))


async def receive_with_timeout(ws: ServerConnection, account: Account) -> None:
    seconds = account.random.choice((0, 1e-6, 1e-5, 1e-4))
    try:
        account.received.append(int(await asyncio.wait_for(ws.recv(), seconds)))
    except asyncio.TimeoutError:
        account.cancelled += 1


async def receive_or_else(ws: ServerConnection, account: Account) -> None:
    """The one of two that is not done is cancelled; what it has got until then counts."""
    receiving = asyncio.create_task(ws.recv())
    other = asyncio.create_task(account.turns())
    await asyncio.wait({receiving, other}, return_when=asyncio.FIRST_COMPLETED)
    receiving.cancel()
    try:
        account.received.append(int(await receiving))
    except asyncio.CancelledError:
        account.cancelled += 1
    await other


@pytest.mark.parametrize(
    "receive",
    [receive_in_task, receive_many_in_task, receive_with_timeout, receive_or_else],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("max_queue", [1, 16])
def test_receiving(
    loop: LoopName,
    receive: Callable[[ServerConnection, Account], Awaitable[None]],
    max_queue: int,
) -> None:
    account = Account(max_queue)
    sent = 0
    done = asyncio.Event()

    async def handler(ws: ServerConnection) -> None:
        while account.cancelled < SHARE:
            await receive(ws, account)
        done.set()
        with suppress(ConnectionClosedOK):
            while True:
                account.received.append(int(await ws.recv()))

    async def send_all(client: ClientConnection) -> None:
        """In bursts, so that now messages wait and now the coroutine does."""
        nonlocal sent
        chance = random.Random(7)
        while not done.is_set():
            for _ in range(chance.choice((1, 1, 2, 20))):
                await client.send(str(sent))
                sent += 1
            while len(account.received) < sent and not done.is_set():
                await asyncio.sleep(0)
            for _ in range(chance.choice((1, 5, 20))):
                await asyncio.sleep(0)

    async def main() -> None:
        async with (
            serving(handler, max_queue=max_queue) as server,
            server.connect() as client,
        ):
            await send_all(client)
        assert account.cancelled >= SHARE
        assert sent > 0
        assert account.received == list(range(sent))

    run(loop, main())


def test_sending(loop: LoopName) -> None:
    """A send that was cancelled has sent nothing, one that returned all of it: under back-pressure
    it waits before it sends."""
    account = Account(3)
    sent: list[int] = []

    async def send(ws: ServerConnection, number: int) -> None:
        message = b"%d " % number + bytes(4096)
        await ws.send(message)
        sent.append(number)

    async def handler(ws: ServerConnection) -> None:
        number = 0
        while account.cancelled < CANCELS:
            await account.cancel_later(asyncio.create_task(send(ws, number)))
            number += 1

    async def main() -> None:
        async with (
            serving(handler, write_limit=16384) as server,
            server.connect(max_queue=1) as client,
        ):
            async for message in client:
                account.received.append(int(message.split()[0]))
        assert account.received == sent
        assert account.cancelled == CANCELS
        assert len(sent) > 100

    run(loop, main())
