"""Echo server with socketify (uWebSockets). Usage: socketify_server.py PORT [deflate]"""

from __future__ import annotations

import sys

from socketify import App, AppListenOptions, CompressOptions, OpCode, WebSocket

DEFLATE = "deflate" in sys.argv


def echo(ws: WebSocket, message: str | bytes, opcode: OpCode) -> None:
    ws.send(message, opcode, compress=DEFLATE)


app = App()
app.ws(
    "/*",
    {
        "compression": CompressOptions.SHARED_COMPRESSOR if DEFLATE else CompressOptions.DISABLED,
        "max_payload_length": 16 * 1024 * 1024,
        # Over this limit socketify drops messages: nothing may be dropped here.
        "max_backpressure": 1024 * 1024 * 1024,
        "idle_timeout": 0,
        "message": echo,
    },
)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
app.run()
