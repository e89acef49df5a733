"""The command line: ``python -m wspy chat`` and ``python -m wspy echo``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from .. import __version__
from . import chat, echo


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m wspy", description="wspy's demos")
    parser.add_argument("--version", action="version", version=f"wspy {__version__}")
    commands = parser.add_subparsers(metavar="command")
    chat.add_command(commands)
    echo.add_command(commands)
    args = parser.parse_args(argv)
    if "command" not in args:
        parser.print_help()
        return 2
    status: int = args.command(args)
    return status
