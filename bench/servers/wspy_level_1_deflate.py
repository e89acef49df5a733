"""Compressed echo server with wspy at level 1. Usage: wspy_level_1_deflate.py PORT"""

from __future__ import annotations

import sys

import wspy

server = wspy.Server(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    max_message_size=16 * 1024 * 1024,
    compression=wspy.Compression(level=1),
)


@server.on_message
def echo(conn: wspy.Connection, message: str | bytes) -> None:
    conn.send(message)


server.run()
