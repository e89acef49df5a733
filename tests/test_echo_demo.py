"""``python -m wspy echo``: the page that measures round trips, and the server behind it."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Client, make_binary

import wspy
from wspy.cli import demo, echo, main
from wspy.options import Strategy

FOLDER = Path(echo.__file__).parent


@pytest.fixture
def server(strategy: Strategy) -> Iterator[wspy.Server]:
    server = echo.make_server("127.0.0.1", 0, strategy)
    with server.start_in_thread():
        yield server


@pytest.mark.parametrize("message", ["", "text", b"", make_binary(echo.MAX_SIZE)], ids=len)
def test_it_sends_back_what_it_gets(server: wspy.Server, message: str | bytes) -> None:
    client = Client(server)
    client.echo(message)
    assert client.close() == (1000, "")
    client.socket.close()


def test_messages_come_back_in_order(server: wspy.Server) -> None:
    client = Client(server)
    messages = [number.to_bytes(4, "big") + bytes(number) for number in range(300)]
    for message in messages:
        client.send(message)
    assert [client.receive() for _ in messages] == messages
    client.socket.close()


def test_a_message_that_the_page_would_not_send(server: wspy.Server) -> None:
    client = Client(server)
    client.send(bytes(echo.MAX_SIZE + 1))
    assert client.expect_close()[0] == 1009
    client.socket.close()


def test_the_page_sends_no_more_than_the_server_takes() -> None:
    script = (FOLDER / "echo.js").read_text(encoding="utf-8")
    assert f"const MAX_SIZE = {echo.MAX_SIZE};" in script


def get(server: wspy.Server, path: str) -> tuple[http.client.HTTPResponse, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    client.request("GET", path)
    response = client.getresponse()
    body = response.read()
    client.close()
    return response, body


@pytest.mark.parametrize("strategy", ["auto"])
@pytest.mark.parametrize("path", echo.PAGES)
def test_the_page_is_strict_about_what_may_run(server: wspy.Server, path: str) -> None:
    response, body = get(server, path)
    name = echo.PAGES[path]
    assert response.status == 200
    assert body == (FOLDER / name).read_bytes()
    assert response.headers["Content-Type"] == demo.TYPES[Path(name).suffix]
    for field, value in echo.HEADERS.items():
        assert response.headers.get_all(field) == [value]
    policy = echo.HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    # So nothing in the page may be inline or from elsewhere.
    text = body.decode()
    assert not re.search(r"<style|<script(?! src=\"/)|\son\w+=|\sstyle=|innerHTML", text)
    assert not re.search(r"(src|href|from) ?=?\"(?!/|data:)", text)
    assert not re.search(r"url\(|@import", text)


@pytest.mark.parametrize("strategy", ["auto"])
def test_all_that_the_page_loads_is_served(server: wspy.Server) -> None:
    loaded = {"/"}
    for name in echo.PAGES.values():
        text = (FOLDER / name).read_text(encoding="utf-8")
        loaded |= set(re.findall(r"(?:src=|href=|from )\"(/[^\"]*)\"", text))
    assert loaded == set(echo.PAGES)
    assert get(server, "/nothing.js")[0].status == 404


def test_a_port_in_use_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    server = wspy.Server(port=0)
    with server.start_in_thread():
        assert main(["echo", "--port", str(server.port)]) == 1
    output = capsys.readouterr()
    where = f"127.0.0.1:{server.port}"
    assert output.out == ""
    assert output.err == f"cannot listen on {where}: Address already in use\n"


def test_a_bad_port_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["echo", "--port", "70000"]) == 1
    assert capsys.readouterr().err == "port must be an int from 0 to 65535, not 70000\n"
