"""Makes the pictures of the chat in docs/: python scripts/screenshots.py.

Needs Chromium and what the tests need. The pictures are the same whenever they are made.
"""

from __future__ import annotations

import itertools
import sys
from datetime import datetime, timezone
from pathlib import Path

from palette import shrink
from playwright.sync_api import Browser, Page, expect

import wspy
from wspy.cli import chat, demo
from wspy.cli.chat.limits import Limits
from wspy.cli.chat.server import Chat

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import launch

MAX_SIZE = 60 * 1024

TALK = (
    ("Ada", "Good morning! The new server has been up since yesterday."),
    ("Linus", "I pulled the cable for a minute."),
    ("Linus", "What I wrote meanwhile came through when it was back."),
    ("\u05e0\u05d5\u05e2\u05d4", "\u05d1\u05d5\u05e7\u05e8 \u05d8\u05d5\u05d1!"),
    ("Grace", "The numbers are at https://example.com/bench"),
)
ANSWER = "Once, and in order. Thank you!"

SHOTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("chat-light", {"viewport": {"width": 880, "height": 560}, "color_scheme": "light"}),
    ("chat-dark", {"viewport": {"width": 880, "height": 560}, "color_scheme": "dark"}),
    ("chat-phone", {"viewport": {"width": 360, "height": 640}, "color_scheme": "light",
                    "is_mobile": True, "has_touch": True}),
)  # fmt: skip


def make_server() -> wspy.Server:
    """The chat, on a morning when half a minute passes between two messages."""
    server = wspy.Server(port=0)
    demo.add_pages(server, chat.__name__, chat.PAGES)
    start = datetime(2026, 1, 5, 9, 12, tzinfo=timezone.utc).timestamp()
    minutes = itertools.count(start, 30)
    Chat(Limits(), lambda: next(minutes)).attach(server)
    return server


def enter(browser: Browser, url: str, name: str, **options: object) -> Page:
    context = browser.new_context(locale="en-GB", timezone_id="UTC", **options)  # type: ignore[arg-type]
    context.add_init_script(f"localStorage.setItem('wspy-chat-name', '\"{name}\"')")
    context.add_init_script("localStorage.setItem('wspy-chat-rooms', '[\"lobby\", \"tea\"]')")
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#state")).to_have_text("connected")
    return page


def say(page: Page, text: str) -> None:
    page.locator("#text").fill(text)
    page.locator("#text").press("Enter")
    expect(page.locator("#lines .text").last).to_have_text(text)
    expect(page.locator("#waiting li")).to_have_count(0)


def shoot(browser: Browser, options: dict[str, object]) -> bytes:
    with make_server().start_in_thread() as address:
        url = address.replace("ws", "http", 1) + "#servers"
        people = {name: enter(browser, url, name) for name in dict(TALK)}
        for name, text in TALK:
            say(people[name], text)
        page = enter(browser, url, "Alan", **options)
        say(page, ANSWER)
        people["Grace"].locator("#text").press_sequentially("x")
        expect(page.locator("#typing")).to_have_text("Grace is typing…")
        png = page.screenshot(animations="disabled", caret="hide")
        for context in browser.contexts:
            context.close()
    return shrink(png)


def main() -> int:
    failed = 0
    with launch() as browser:
        for name, options in SHOTS:
            path = ROOT / "docs" / f"{name}.png"
            path.write_bytes(shoot(browser, options))
            size = path.stat().st_size
            print(f"{path.relative_to(ROOT)}: {size} bytes")
            if size > MAX_SIZE:
                print(f"that is more than {MAX_SIZE} bytes", file=sys.stderr)
                failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
