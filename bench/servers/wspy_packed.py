"""Ticks with wspy: values in, values out. Usage: wspy_packed.py PORT"""

from __future__ import annotations

import sys

import wspy

server = wspy.Server(host="127.0.0.1", port=int(sys.argv[1]))
TICK = wspy.Struct("!IHd")


@server.on_message(format=TICK)
def tick(conn: wspy.Connection, instrument: int, flags: int, price: float) -> None:
    conn.pack(TICK, instrument, flags, price)


server.run()
