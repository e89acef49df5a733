"""Ticks with wspy, unpacked and packed by the handler. Usage: wspy_struct_packed.py PORT"""

from __future__ import annotations

import struct
import sys
from typing import Any

import wspy

server = wspy.Server(host="127.0.0.1", port=int(sys.argv[1]))
TICK = struct.Struct("!IHd")


@server.on_message
def tick(conn: wspy.Connection, message: Any) -> None:
    instrument, flags, price = TICK.unpack(message)
    conn.send(TICK.pack(instrument, flags, price))


server.run()
