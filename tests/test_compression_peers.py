"""Compressed messages to and from the clients that people have: of Python, node, Chromium."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from browser import find_chromium, launch
from compressed import LONG
from conftest import Servers
from machine import skip_unless
from playwright.sync_api import Browser
from support import TIMEOUT, make_text
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect as connect_sync

import wspy
from wspy import Compression

MESSAGES: list[str | bytes] = [
    "", "short", LONG, "", "", b"", b"\0" * 100_000, make_text(70_000), make_text(3000, 1), LONG,
]  # fmt: skip
COMPRESSED = sum(len(message) >= 256 for message in MESSAGES)

TAKEOVER = Compression(
    server_no_context_takeover=False, client_no_context_takeover=False, window_bits=15
)
NARROW = Compression(
    server_no_context_takeover=False, client_no_context_takeover=False, window_bits=9
)
ALL = {"usual": True, "takeover": TAKEOVER, "narrow": NARROW}


@pytest.fixture(params=ALL)
def server(servers: Servers, request: pytest.FixtureRequest) -> Iterator[wspy.Server]:
    """An echo server that has compressed every long message by the test's end."""
    server = servers.run(
        compression=ALL[request.param], on_message=lambda conn, message: conn.send(message)
    )
    yield server
    stats = server.stats()
    assert stats["received"] >= len(MESSAGES)
    assert stats["sent_compressed"] == stats["received"] // len(MESSAGES) * COMPRESSED
    assert stats["received_compressed"] >= stats["sent_compressed"]


# -- Python --


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        {"server_max_window_bits": 9, "client_max_window_bits": 9},
        {"client_max_window_bits": True},
    ],
    ids=str,
)
def test_websockets(server: wspy.Server, options: dict[str, Any]) -> None:
    extensions = [ClientPerMessageDeflateFactory(**options)]
    with connect_sync(server.url, compression=None, extensions=extensions) as client:
        assert client.protocol.extensions
        for message in MESSAGES:
            client.send(message)
            assert client.recv(TIMEOUT) == message
        for message in MESSAGES:
            client.send([message[:2], message[2:5], message[5:]])
            assert client.recv(TIMEOUT) == message


@pytest.mark.parametrize("compress", [15, 9])
def test_aiohttp(server: wspy.Server, compress: int) -> None:
    """It sends two empty messages in a row without a byte: zlib has nothing to say."""

    async def talk() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(server.url, compress=compress) as client,
        ):
            assert client.compress
            for message in MESSAGES:
                if isinstance(message, str):
                    await client.send_str(message)
                else:
                    await client.send_bytes(message)
                answer = await client.receive(TIMEOUT)
                assert answer.data == message

    asyncio.run(talk())


# -- node's ws, of Debian's package node-ws --

NODE = """
const WebSocket = require(process.argv[1] + '/ws');
const messages = JSON.parse(require('fs').readFileSync(0));
const perMessageDeflate = JSON.parse(process.argv[3]);
const socket = new WebSocket(process.argv[2], {perMessageDeflate});
const got = [];
socket.on('open', () => {
    for (const text of messages) socket.send(text, {compress: true});
});
socket.on('message', (data) => {
    got.push(data.toString());
    if (got.length == messages.length) socket.close(1000);
});
socket.on('close', (code) => {
    process.stdout.write(JSON.stringify([code, socket.extensions, got]));
});
socket.on('error', (error) => { throw error; });
"""
NODE_MODULES = Path("/usr/share/nodejs")


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0},
        {"threshold": 0, "serverNoContextTakeover": True, "clientNoContextTakeover": True},
        {"threshold": 0, "serverMaxWindowBits": 9, "clientMaxWindowBits": 10},
    ],
    ids=str,
)
def test_node_ws(server: wspy.Server, options: dict[str, Any]) -> None:
    node = shutil.which("node") or shutil.which("nodejs")
    has_ws = (NODE_MODULES / "ws" / "package.json").exists()
    skip_unless(bool(node) and has_ws, "there is no node with ws: install node-ws")
    texts = [message if isinstance(message, str) else message.hex() for message in MESSAGES]
    done = subprocess.run(
        [str(node), "-e", NODE, str(NODE_MODULES), server.url, json.dumps(options)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    code, extensions, got = json.loads(done.stdout)
    assert code == 1000
    assert extensions.startswith("permessage-deflate")
    assert got == texts


# -- a browser --

SCRIPT = """
([url, messages]) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url), got = [];
    socket.onopen = () => messages.forEach((text) => socket.send(text));
    socket.onerror = () => reject('error');
    socket.onmessage = (event) => {
        if (got.push(event.data) == messages.length) socket.close(1000);
    };
    socket.onclose = (event) => resolve([event.code, socket.extensions, got]);
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    skip_unless(find_chromium() is not None, "there is no Chromium here: install chromium")
    with launch() as browser:
        yield browser


def test_chromium(servers: Servers, browser: Browser) -> None:
    for compression in ALL.values():
        server = servers.make(
            compression=compression, on_message=lambda conn, message: conn.send(message)
        )
        server.page("/", "<p>")
        servers.start(server)
        texts = [message if isinstance(message, str) else message.hex() for message in MESSAGES]
        page = browser.new_page()
        page.goto(server.url.replace("ws:", "http:"))
        code, extensions, got = page.evaluate(SCRIPT, [server.url, texts])
        page.close()
        assert code == 1000
        assert extensions.startswith("permessage-deflate")
        assert got == texts
        stats = server.stats()
        assert stats["received_compressed"] == len(texts)
        assert stats["sent_compressed"] == COMPRESSED
