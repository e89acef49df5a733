"""Echo server with wspy. Usage: wspy_server.py PORT [deflate [LEVEL]]"""

from __future__ import annotations

import sys
from typing import Any

import wspy

# A revision that has no compression is measured with this program, too.
compression: dict[str, Any] = {}
if "deflate" in sys.argv:
    level = int(sys.argv[3]) if len(sys.argv) > 3 else None
    compression["compression"] = wspy.Compression(level=level) if level else True

server = wspy.Server(
    host="127.0.0.1",
    port=int(sys.argv[1]),
    max_message_size=16 * 1024 * 1024,
    **compression,
)


@server.on_message
def echo(conn: wspy.Connection, message: str | bytes) -> None:
    conn.send(message)


server.run()
