"""The examples, run as programs, with real clients."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support import ROOT, STRATEGIES, connect_when_up, finish, read_line, script
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_sync

from wspy.options import Strategy

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))

# As `python examples/echo.py`, but on a free port: 8000 may be taken.
RUN = """
import runpy, sys, wspy

class Server(wspy.Server):
    def __init__(self, *arguments, **options):
        assert options.get("port") == 8000
        options["port"] = 0
        options["strategy"] = sys.argv[2]
        super().__init__(*arguments, **options)
        print(self.url, flush=True)

wspy.Server = Server
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@contextmanager
def example(name: str, strategy: Strategy) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with script(RUN, str(ROOT / "examples" / name), strategy) as process:
        url = read_line(process)
        connect_when_up(url).socket.close()
        yield process, url


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name: str) -> None:
    assert len((ROOT / "examples" / name).read_text().splitlines()) < 40


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_echo(strategy: Strategy) -> None:
    with example("echo.py", strategy) as (process, url):
        assert read_line(process) == f"echo server on {url}, Ctrl-C ends"
        with connect_sync(url + "room") as client:
            for message in ("hello", b"\x00\xff", "", "é" * 100_000):
                client.send(message)
                assert client.recv(timeout=10) == message
            client.close(3000, "bye")
        with connect_sync(url) as client:
            process.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed) as raised:
                client.recv(timeout=10)
            assert raised.value.rcvd is not None
            assert raised.value.rcvd.code == 1001
        code, out, err = finish(process)
        assert (code, err) == (0, "")
        assert "came to /room" in out
        assert "left: 3000 bye" in out


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_chat(strategy: Strategy) -> None:
    with example("chat.py", strategy) as (process, url):
        with connect_when_up(url, handshake=False) as browser:
            browser.send_raw(f"GET / HTTP/1.1\r\nHost: {browser.host}\r\n\r\n".encode())
            assert b"new WebSocket" in browser.response().body
        with connect_sync(url) as ada, connect_sync(url) as bob:
            ada.send("hello")
            said = ada.recv(timeout=10)
            assert isinstance(said, str)
            assert said.endswith(": hello")
            assert bob.recv(timeout=10) == said
            ada.close()
            bob.send("gone?")
            assert str(bob.recv(timeout=10)).endswith(": gone?")
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
        assert (code, err) == (0, "")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_ticker(strategy: Strategy) -> None:
    with example("ticker.py", strategy) as (process, url):
        with connect_when_up(url, handshake=False) as browser:
            browser.send_raw(f"GET / HTTP/1.1\r\nHost: {browser.host}\r\n\r\n".encode())
            page = browser.response()
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert page.body == (ROOT / "examples" / "ticker.html").read_bytes()
        with connect_sync(url) as viewer:
            seen: list[str] = []
            while len(seen) < 60:  # what it gets when it comes, and two trades
                event = json.loads(viewer.recv(timeout=10))
                assert event.keys() == {"name", "price"}
                assert event["price"] >= 1
                seen.append(event["name"])
            names = seen[:20]
            assert len(set(names)) == 20
            assert seen == names * 3
        process.send_signal(signal.SIGTERM)
        code, _, err = finish(process)
        assert (code, err) == (0, "")
