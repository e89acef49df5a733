"""``python -m wspy``: the demos, their pages, and what they say when they cannot start."""

from __future__ import annotations

import http.client
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import STRATEGIES, connect_when_up

import wspy
from wspy.cli import chat, echo, main
from wspy.options import Strategy


@contextmanager
def demo_process(name: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo as a person starts it; gives the address that it prints."""
    command = [sys.executable, "-m", "wspy", name, "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            match = re.fullmatch(r"open (http://\S+/) .*\n", process.stdout.readline())
            assert match
            yield process, match[1]
        finally:
            process.kill()


PING = '{"type": "ping"}', '{"type":"pong"}'  # docs/chat.md
ROUND_TRIP = b"\x00\x00\x00\x01", b"\x00\x00\x00\x01"


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("name", "talk"), [("chat", PING), ("echo", ROUND_TRIP)])
def test_it_serves_until_a_signal(
    name: str, talk: tuple[str | bytes, str | bytes], strategy: Strategy, number: signal.Signals
) -> None:
    said, answer = talk
    with demo_process(name, "--strategy", strategy) as (process, url):
        client = connect_when_up(url.replace("http", "ws"))
        client.send(said)
        assert client.receive() == answer
        process.send_signal(number)
        assert client.answer_close()[0] == 1001
        client.socket.close()
        assert process.wait(20) == 0


DEMOS = {"chat": chat, "echo": echo}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


@pytest.mark.parametrize(("name", "path"), [(name, p) for name in DEMOS for p in DEMOS[name].PAGES])
def test_a_page_is_strict_about_what_may_run(name: str, path: str) -> None:
    demo = DEMOS[name]
    server = demo.make_server("127.0.0.1", 0)
    with server.start_in_thread():
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        client.request("GET", path)
        response = client.getresponse()
        body = response.read().decode()
        client.close()
    assert response.status == 200
    assert (
        response.headers["Content-Type"]
        == f"{TYPES[demo.PAGES[path].partition('.')[2]]}; charset=utf-8"
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = response.headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    # So nothing in the page may be inline or from elsewhere.
    assert not re.search(r"<style|<script(?! src=\"/)|\son\w+=|\sstyle=|innerHTML", body)
    assert not re.search(r"(src|href)=\"(?!/|data:)", body)


def test_every_file_of_the_chat_is_a_page() -> None:
    (folder,) = chat.__path__
    names = {path.name for path in Path(folder).iterdir() if path.suffix[1:] in TYPES}
    assert set(chat.PAGES.values()) == names


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
