"""Echo server with websockets: asyncio serve. Usage: websockets_server.py PORT [deflate] [wait]"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

COMPRESSION = "deflate" if "deflate" in sys.argv else None
WAITS = "wait" in sys.argv


async def echo(connection: ServerConnection) -> None:
    # A client that hangs up without a close frame is no error to be logged: handshakes end so.
    with suppress(ConnectionClosedError):
        async for message in connection:
            if WAITS:
                await asyncio.sleep(0)
            await connection.send(message)


async def main(port: int) -> None:
    async with serve(
        echo, "127.0.0.1", port, compression=COMPRESSION, max_size=16 * 1024 * 1024
    ) as server:
        await server.serve_forever()


loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")
loops.run(main(int(sys.argv[1])))
