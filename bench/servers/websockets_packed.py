"""Ticks with websockets: unpacked and packed. Usage: websockets_packed.py PORT"""

from __future__ import annotations

import struct
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

TICK = struct.Struct("!IHd")


async def ticks(connection: ServerConnection) -> None:
    with suppress(ConnectionClosedError):
        async for message in connection:
            assert isinstance(message, bytes)
            instrument, flags, price = TICK.unpack(message)
            await connection.send(TICK.pack(instrument, flags, price))


async def main(port: int) -> None:
    async with serve(ticks, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")
loops.run(main(int(sys.argv[1])))
