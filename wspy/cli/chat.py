"""The chat: a page and its WebSocket on one port.

The browser sends what was typed as a text message. The server sends JSON objects, each with a
"type": "welcome" (you, here) to the one who came, "join" and "leave" (who, here) and "message"
(who, text) to everybody. "here" is the number of people.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from importlib import resources
from typing import TYPE_CHECKING, get_args

from .. import Connection, Server
from ..options import Strategy

if TYPE_CHECKING:
    from argparse import _SubParsersAction

MAX_TEXT = 4096  # bytes of one message

PAGES = {
    "/": ("chat.html", "text/html; charset=utf-8"),
    "/chat.css": ("chat.css", "text/css; charset=utf-8"),
    "/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
}

# Nothing from elsewhere, nothing inline: a name or a message that were to become markup by a
# mistake of the page would still not run.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_command(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("chat", help="a chat page with its WebSocket on one port")
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0: any (default: %(default)s)")
    parser.add_argument(
        "--strategy", choices=get_args(Strategy), default="auto",
        help="how the loop waits (default: %(default)s)",
    )  # fmt: skip
    parser.set_defaults(command=run)


def make_server(host: str, port: int, strategy: Strategy = "auto") -> Server:
    """A chat server, bound and ready to run."""
    server = Server(host, port, strategy=strategy, max_message_size=MAX_TEXT)
    folder = resources.files(__package__)
    for path, (name, content_type) in PAGES.items():
        server.page(path, (folder / name).read_bytes(), content_type, SECURITY)

    guests = itertools.count(1)

    def tell(**fields: object) -> None:
        line = json.dumps(fields)
        for conn in server.connections:
            conn.send(line)

    @server.on_open
    def join(conn: Connection) -> None:
        conn.name = f"guest {next(guests)}"
        conn.send(json.dumps({"type": "welcome", "you": conn.name, "here": len(server)}))
        tell(type="join", who=conn.name, here=len(server))

    @server.on_message
    def say(conn: Connection, message: str | bytes) -> None:
        if isinstance(message, bytes):
            conn.close(1003, "this chat speaks text")
        elif message.strip():
            tell(type="message", who=conn.name, text=message)

    @server.on_close
    def leave(conn: Connection, code: int, reason: str) -> None:
        tell(type="leave", who=conn.name, here=len(server))

    return server


def run(args: argparse.Namespace) -> int:
    try:
        server = make_server(args.host, args.port, args.strategy)
    except (OSError, ValueError) as exc:
        print(exc.strerror if isinstance(exc, OSError) and exc.strerror else exc, file=sys.stderr)
        return 1
    print(f"open {server.url.replace('ws', 'http', 1)} (Ctrl-C ends)", flush=True)
    server.run()
    return 0
