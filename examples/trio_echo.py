"""An echo server inside trio: its descriptor is waited for, and each time it is ready it takes a
step.

    python examples/trio_echo.py 8000
"""

import sys

import trio

import wspy

server = wspy.Server(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)


@server.on_message
def on_message(conn: wspy.Connection, message: str | bytes) -> None:
    conn.send(message)


async def serve() -> None:
    fd = server.fileno()
    while server.step():
        await trio.lowlevel.wait_readable(fd)


async def main() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        print(server.url, flush=True)


trio.run(main)
