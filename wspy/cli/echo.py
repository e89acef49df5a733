"""``python -m wspy echo``: a page that shows how long a message takes there and back.

The server sends back what it gets. The page sends binary messages, each with its number in the
first four bytes, and measures when they come back.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .. import Connection, Server
from ..options import Strategy
from . import demo

if TYPE_CHECKING:
    from argparse import _SubParsersAction

MAX_SIZE = 65536  # bytes of one message: the end of the page's slider

PAGES = {
    "/": "echo.html",
    "/echo.css": "echo.css",
    "/echo.js": "echo.js",
    "/plot.js": "plot.js",
    "/samples.js": "samples.js",
    "/theme.js": "chat/theme.js",
}

# A page that shares its process with no other gets finer clocks from the browser: 5 µs in Chromium
# and 20 µs in Firefox where it is 100 µs and 1 ms otherwise.
HEADERS = demo.SECURITY | {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


def add_command(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    demo.add_command(commands, "echo", "a page that measures round trips live", make_server)


def make_server(host: str, port: int, strategy: Strategy = "auto") -> Server:
    """An echo server with its page, bound and ready to run."""
    server = Server(host, port, strategy=strategy, max_message_size=MAX_SIZE)
    demo.add_pages(server, __package__, PAGES, HEADERS)

    @server.on_message
    def echo(conn: Connection, message: str | bytes) -> None:
        conn.send(message)

    return server
