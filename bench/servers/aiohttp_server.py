"""Echo server with aiohttp: a WebSocketResponse. Usage: aiohttp_server.py PORT [deflate] [wait]"""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from importlib.util import find_spec

from aiohttp import WSMsgType, web

DEFLATE = "deflate" in sys.argv
WAITS = "wait" in sys.argv


async def echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=DEFLATE, max_msg_size=16 * 1024 * 1024)
    await ws.prepare(request)
    async for message in ws:
        if WAITS:
            await asyncio.sleep(0)
        if message.type == WSMsgType.TEXT:
            await ws.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


async def main(port: int) -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")
loops.run(main(int(sys.argv[1])))
