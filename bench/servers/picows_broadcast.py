"""Broadcast server with picows: a set of transports and transport.send. It encodes for each.

Usage: picows_broadcast.py PORT
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

room: set[WSTransport] = set()


class Member(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        room.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        room.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        msg_type, message = frame.msg_type, frame.get_payload_as_bytes()
        for member in room:
            member.send(msg_type, message)


def listener(_request: WSUpgradeRequest) -> WSListener:
    return Member()


async def main(port: int) -> None:
    server = await ws_create_server(listener, "127.0.0.1", port, max_frame_size=16 * 1024 * 1024)
    await server.serve_forever()


loops = import_module("uvloop" if find_spec("uvloop") else "asyncio")
loops.run(main(int(sys.argv[1])))
