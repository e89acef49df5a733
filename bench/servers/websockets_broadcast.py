"""Broadcast server with websockets: its broadcast().

Usage: websockets_broadcast.py PORT [deflate]
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from websockets.asyncio.server import ServerConnection, broadcast, serve

room: set[ServerConnection] = set()

COMPRESSION = "deflate" if "deflate" in sys.argv else None


async def member(connection: ServerConnection) -> None:
    room.add(connection)
    try:
        async for message in connection:
            broadcast(room, message)
    finally:
        room.discard(connection)


async def main(port: int) -> None:
    async with serve(
        member, "127.0.0.1", port, compression=COMPRESSION, max_size=16 * 1024 * 1024
    ) as server:
        await server.serve_forever()


loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")
loops.run(main(int(sys.argv[1])))
