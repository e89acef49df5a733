"""Compressed broadcast server with wspy: one topic for all.

Usage: wspy_deflate_broadcast.py PORT
"""

from __future__ import annotations

import sys

import wspy

# Without a bound on what waits for a slow receiver: nothing may be dropped here.
server = wspy.Server(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    max_message_size=16 * 1024 * 1024,
    max_backlog=None,
    compression=True,
)


@server.on_open
def join(conn: wspy.Connection) -> None:
    conn.subscribe("room")


@server.on_message
def tell_all(_conn: wspy.Connection, message: str | bytes) -> None:
    server.publish("room", message)


server.run()
