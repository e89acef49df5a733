"""Echo server with wspy: an async handler, on uvloop. Usage: wspy_async.py PORT [wait]"""

from __future__ import annotations

import asyncio
import sys

import wspy

WAITS = "wait" in sys.argv

server = wspy.Server(host="127.0.0.1", port=int(sys.argv[1]), max_message_size=16 * 1024 * 1024)


@server.on_message
async def echo(conn: wspy.Connection, message: str | bytes) -> None:
    if WAITS:
        await asyncio.sleep(0)
    conn.send(message)


server.run(loop="uvloop")
