"""An echo server inside anyio, on the backend that is named: asyncio or trio.

python examples/anyio_echo.py 8000 trio
"""

import sys

import anyio

import wspy

port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
backend = sys.argv[2] if len(sys.argv) > 2 else "asyncio"
server = wspy.Server(port=port)


@server.on_message
def on_message(conn: wspy.Connection, message: str | bytes) -> None:
    conn.send(message)


async def serve() -> None:
    fd = server.fileno()
    while server.step():
        await anyio.wait_readable(fd)


async def main() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        print(server.url, flush=True)


anyio.run(main, backend=backend)
