"""Broadcast server with wspy: one topic for all. Usage: wspy_broadcast.py PORT [deflate]"""

from __future__ import annotations

import sys
from typing import Any

import wspy

# A revision that has no compression is measured with this program, too.
compression: dict[str, Any] = {"compression": True} if "deflate" in sys.argv else {}

# Without a bound on what waits for a slow receiver: nothing may be dropped here.
server = wspy.Server(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    max_message_size=16 * 1024 * 1024,
    max_backlog=None,
    **compression,
)


@server.on_open
def join(conn: wspy.Connection) -> None:
    conn.subscribe("room")


@server.on_message
def tell_all(_conn: wspy.Connection, message: str | bytes) -> None:
    server.publish("room", message)


server.run()
