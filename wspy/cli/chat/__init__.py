"""``python -m wspy chat``: a chat page with its WebSocket on one port.

``server`` answers what people send, ``rooms`` knows who is where and what was said, ``words``
cleans what people wrote, ``wire`` is the JSON between (documented in docs/chat.md), and ``limits``
bounds all of it. Of the page, ``link.js`` is the connection, ``outbox.js`` what waits for it,
``view.js`` and ``text.js`` what people see, and ``chat.js`` ties them together.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .. import demo
from .limits import Limits
from .server import PAGES, make_server

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["PAGES", "Limits", "add_command", "make_server"]


def add_command(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    demo.add_command(commands, "chat", "a chat page with its WebSocket on one port", make_server)
