"""Echo server with uvicorn: a bare ASGI application, no compression.

Usage: uvicorn_server.py PORT [wait]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

Message = dict[str, Any]
WAITS = "wait" in sys.argv


async def echo(
    _scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if WAITS:
            await asyncio.sleep(0)
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


uvicorn.run(
    echo,
    host="127.0.0.1",
    port=int(sys.argv[1]),
    lifespan="off",
    log_level="error",
    ws_max_size=16 * 1024 * 1024,
    ws_per_message_deflate=False,
)
