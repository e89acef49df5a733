"""The examples, run as programs, with real clients."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import Servers
from support import (
    ROOT,
    STRATEGIES,
    connect_when_up,
    finish,
    frame,
    read_line,
    script,
    write_line,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_sync
from websockets.sync.server import ServerConnection, serve

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


@pytest.mark.parametrize("name", ["trio_echo", "anyio_echo asyncio", "anyio_echo trio"])
def test_in_another_loop(name: str) -> None:
    program, *backend = name.split()
    path = str(ROOT / "examples" / f"{program}.py")
    code = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    with script(code, path, "0", *backend) as process:
        url = read_line(process)
        connect_when_up(url).socket.close()
        with connect_sync(url) as client:
            for message in ("hello", b"\x00\xff", "", "é" * 100_000):
                client.send(message)
                assert client.recv(timeout=10) == message
        process.send_signal(signal.SIGINT)
        finish(process)  # trio and anyio end their tasks, and with them the program


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
def test_pipe(strategy: Strategy) -> None:
    with example("pipe.py", strategy) as (process, url):
        with connect_when_up(url, handshake=False) as browser:
            browser.send_raw(f"GET / HTTP/1.1\r\nHost: {browser.host}\r\n\r\n".encode())
            assert b"new WebSocket" in browser.response().body
        with connect_sync(url) as first, connect_sync(url) as second:
            for line in ("21.5", "21.6 °C"):
                write_line(process, line)
                assert first.recv(timeout=10) == f"{line}\n"
                assert second.recv(timeout=10) == f"{line}\n"
            assert process.stdin is not None
            process.stdin.close()  # its end: the server goes on
            assert first.ping().wait(10)
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


# As RUN, of one that has asyncio listen.
RUN_ASYNCIO = """
import asyncio, runpy, sys

Loop = asyncio.base_events.BaseEventLoop
create_server = Loop.create_server

def create(self, factory, host, port):
    assert port == 8000
    return create_server(self, factory, host, 0)

Loop.create_server = create
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def test_protocol_asyncio() -> None:
    with script(RUN_ASYNCIO, str(ROOT / "examples" / "protocol_asyncio.py")) as process:
        line = read_line(process)
        url = line.removeprefix("echo server on ").removesuffix(", Ctrl-C ends")
        with connect_sync(url) as client, connect_sync(url) as other:
            for message in ("hello", b"\x00\xff", "", "é" * 500_000, b"x" * 1_000_000):
                client.send(message)
                assert client.recv(timeout=10) == message
            other.send("hello")
            assert other.recv(timeout=10) == "hello"
            client.close(3000, "bye")
            assert client.close_code == 3000
        with connect_when_up(url) as broken:  # a client that breaks a rule, and is closed
            broken.send_raw(b"\xff\xff")
            assert broken.expect_close() == (1002, "a reserved bit is set")
            broken.expect_end()
        with connect_when_up(url, host="evil.example", handshake=False) as stranger:
            stranger.send_raw(stranger.request())
            assert stranger.response().status == 421
        with connect_when_up(url) as greedy:  # asks, and reads no answer for a while
            greedy.send_raw(*(frame(2, bytes(100_000)) for _ in range(50)))
            for _ in range(50):
                assert greedy.receive() == bytes(100_000)
        process.send_signal(signal.SIGINT)
        code, _, err = finish(process)
        assert (code, err) == (0, "")


RUN_CLIENT = """
import runpy, sys

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_client(*messages: str) -> tuple[int, str, str]:
    path = str(ROOT / "examples" / "protocol_blocking.py")
    with script(RUN_CLIENT, path, *messages) as process:
        return finish(process)


def test_protocol_blocking(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers.run(on_message=lambda conn, message: conn.send(message))
    monkeypatch.setenv("URL", server.url + "room?a=b")
    assert run_client("one", "zwei ö", "x" * 10_000) == (
        0, f"one\nzwei ö\n{'x' * 10_000}\nclosed: 1000 \n", ""
    )  # fmt: skip
    assert run_client() == (0, "hello\nclosed: 1000 \n", "")


def test_protocol_blocking_and_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        monkeypatch.setenv("URL", f"ws://127.0.0.1:{port}/")
        assert run_client("one", "two") == (0, "one\ntwo\nclosed: 1000 \n", "")
        server.shutdown()
        thread.join()


def test_protocol_blocking_refused(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers.run(hosts=["elsewhere.example"])
    monkeypatch.setenv("URL", server.url)
    code, out, err = run_client()
    assert (code, out) == (1, "")
    assert err == f"{server.url} answers 421: the status of the answer is not 101\n"
