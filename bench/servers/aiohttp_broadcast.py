"""Broadcast server with aiohttp: a set of WebSocketResponse, and a send to each.

Usage: aiohttp_broadcast.py PORT [deflate]
"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from importlib.util import find_spec

from aiohttp import WSMsgType, web

DEFLATE = "deflate" in sys.argv

room: set[web.WebSocketResponse] = set()


async def member(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=DEFLATE, max_msg_size=16 * 1024 * 1024)
    await ws.prepare(request)
    room.add(ws)
    try:
        async for message in ws:
            if message.type == WSMsgType.TEXT:
                for other in list(room):
                    await other.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                for other in list(room):
                    await other.send_bytes(message.data)
    finally:
        room.discard(ws)
    return ws


async def main(port: int) -> None:
    app = web.Application()
    app.router.add_get("/", member)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")
loops.run(main(int(sys.argv[1])))
