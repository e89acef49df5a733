"""Echo server with wspy: a coroutine for each connection. Usage: wspy_serve_async.py PORT [wait]"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module

from wspy.aio import ServerConnection, serve

WAITS = "wait" in sys.argv


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        if WAITS:
            await asyncio.sleep(0)
        await ws.send(message)


async def main(port: int) -> None:
    async with serve(echo, "127.0.0.1", port, compression=None, max_size=16 * 1024 * 1024):
        await asyncio.Event().wait()


import_module("uvloop").run(main(int(sys.argv[1])))
