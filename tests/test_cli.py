"""``python -m wspy``: the chat, its page, and what it says when it cannot start."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support import STRATEGIES, connect_when_up
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import wspy
from wspy.cli import chat, main
from wspy.options import Strategy


@contextmanager
def chat_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo as a person starts it; gives the address that it prints."""
    command = [sys.executable, "-m", "wspy", "chat", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            match = re.fullmatch(r"open (http://\S+/) .*\n", process.stdout.readline())
            assert match
            yield process, match[1]
        finally:
            process.kill()


def receive(client: ClientConnection) -> Any:
    return json.loads(client.recv(timeout=20))


def close_code(client: ClientConnection) -> int | None:
    """Reads what comes until the connection ends."""
    try:
        while True:
            client.recv(timeout=20)
    except ConnectionClosed as exc:
        return exc.rcvd.code if exc.rcvd else None


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(strategy: Strategy, number: signal.Signals) -> None:
    with chat_process("--strategy", strategy) as (process, url):
        client = connect_when_up(url.replace("http", "ws"))
        welcome = {"type": "welcome", "you": "guest 1", "here": 1}
        join = {"type": "join", "who": "guest 1", "here": 1}
        assert [json.loads(client.receive()) for _ in range(2)] == [welcome, join]
        process.send_signal(number)
        assert client.answer_close()[0] == 1001
        client.socket.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_people_chat(strategy: Strategy) -> None:
    with (
        chat.make_server("127.0.0.1", 0, strategy).start_in_thread() as url,
        connect(url) as one,
        connect(url) as two,
    ):
        assert receive(one) == {"type": "welcome", "you": "guest 1", "here": 1}
        assert receive(one) == {"type": "join", "who": "guest 1", "here": 1}
        assert receive(one) == {"type": "join", "who": "guest 2", "here": 2}
        assert receive(two) == {"type": "welcome", "you": "guest 2", "here": 2}
        assert receive(two) == {"type": "join", "who": "guest 2", "here": 2}
        one.send("<b>hello</b> \N{WAVING HAND SIGN}")
        said = {"type": "message", "who": "guest 1", "text": "<b>hello</b> \N{WAVING HAND SIGN}"}
        assert receive(one) == said
        assert receive(two) == said
        one.send(" \n ")  # nothing to tell
        two.close()
        assert receive(one) == {"type": "leave", "who": "guest 2", "here": 1}


@pytest.mark.parametrize(
    ("message", "code"), [(b"binary", 1003), ("a" * (chat.MAX_TEXT + 1), 1009)]
)
def test_what_is_no_chat_message_ends_the_connection(message: str | bytes, code: int) -> None:
    with chat.make_server("127.0.0.1", 0).start_in_thread() as url, connect(url) as client:
        client.send(message)
        assert close_code(client) == code


@pytest.mark.parametrize("path", chat.PAGES)
def test_the_page_is_strict_about_what_may_run(path: str) -> None:
    server = chat.make_server("127.0.0.1", 0)
    with server.start_in_thread():
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        client.request("GET", path)
        response = client.getresponse()
        body = response.read().decode()
        client.close()
    assert response.status == 200
    assert response.headers["Content-Type"] == chat.PAGES[path][1]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    # So nothing in the page may be inline or from elsewhere.
    assert not re.search(r"<style|<script(?! src=\"/)|\son\w+=|\sstyle=|innerHTML", body)
    assert not re.search(r"(src|href)=\"(?!/|data:)", body)


def test_a_port_in_use_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    server = wspy.Server(port=0)
    with server.start_in_thread():
        assert main(["chat", "--port", str(server.port)]) == 1
    output = capsys.readouterr()
    where = f"127.0.0.1:{server.port}"
    assert output.out == ""
    assert output.err == f"cannot listen on {where}: Address already in use\n"


def test_a_bad_port_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "--port", "70000"]) == 1
    assert capsys.readouterr().err == "port must be an int from 0 to 65535, not 70000\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"wspy {wspy.__version__}\n"
