"""Ticks with picows: unpacked from the frame's memory, packed. Usage: picows_packed.py PORT"""

from __future__ import annotations

import struct
import sys
from importlib import import_module
from importlib.util import find_spec

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

TICK = struct.Struct("!IHd")


class Ticks(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            instrument, flags, price = TICK.unpack(frame.get_payload_as_memoryview())
            transport.send(WSMsgType.BINARY, TICK.pack(instrument, flags, price))


def listener(_request: WSUpgradeRequest) -> WSListener:
    return Ticks()


async def main(port: int) -> None:
    server = await ws_create_server(listener, "127.0.0.1", port)
    await server.serve_forever()


loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")
loops.run(main(int(sys.argv[1])))
