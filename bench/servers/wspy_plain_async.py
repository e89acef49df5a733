"""Echo server with wspy: a plain handler, inside uvloop if that is named. Usage:
wspy_plain_async.py PORT [uvloop]"""

from __future__ import annotations

import sys

import wspy

server = wspy.Server(host="127.0.0.1", port=int(sys.argv[1]), max_message_size=16 * 1024 * 1024)


@server.on_message
def echo(conn: wspy.Connection, message: str | bytes) -> None:
    conn.send(message)


server.run(loop="uvloop" if "uvloop" in sys.argv else None)
