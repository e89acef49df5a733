"""What the demos share: their options, their pages and how they run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, get_args

from .. import Server
from ..options import Strategy

if TYPE_CHECKING:
    from argparse import _SubParsersAction

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}

# Nothing from elsewhere, nothing inline: what were to become markup by a mistake of the page would
# still not run.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_pages(
    server: Server,
    package: str,
    pages: Mapping[str, str],
    headers: Mapping[str, str] = SECURITY,
) -> None:
    """Serves files of a package: path -> name."""
    folder = resources.files(package)
    for path, name in pages.items():
        content_type = TYPES[name[name.rindex(".") :]]
        server.page(path, (folder / name).read_bytes(), content_type, headers)


def add_command(
    commands: _SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    make_server: Callable[[str, int, Strategy], Server],
) -> None:
    """``python -m wspy NAME`` runs the server that is made for its options."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0: any (default: %(default)s)")
    parser.add_argument(
        "--strategy",
        choices=get_args(Strategy),
        default="auto",
        help="how the loop waits (default: %(default)s)",
    )
    parser.set_defaults(
        command=lambda args: run(lambda: make_server(args.host, args.port, args.strategy))
    )


def run(make_server: Callable[[], Server]) -> int:
    """Serves until Ctrl-C; returns the exit status."""
    try:
        server = make_server()
    except (OSError, ValueError) as exc:
        print(exc.strerror if isinstance(exc, OSError) and exc.strerror else exc, file=sys.stderr)
        return 1
    print(f"open {server.url.replace('ws', 'http', 1)} (Ctrl-C ends)", flush=True)
    try:
        server.run()
    except KeyboardInterrupt:  # a second Ctrl-C: somebody would not wait for the last tab
        return 130
    return 0
