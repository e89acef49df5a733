"""bench/: the load generator counts what it says, under the sanitizers, and the programs run.

Nothing here asserts how fast anything is.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from xml.etree import ElementTree

import pytest
from building import ASAN, CC, ENVIRONMENT, STANDARD, WARNINGS, compile_core, must
from support import BINARY, CLOSE, PING, PONG, ROOT, Client, connect_when_up, frame, wait_until

import wspy

BENCH = ROOT / "bench"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The load generator."""
    folder = tmp_path_factory.mktemp("load")
    objects = compile_core(folder, [*ASAN, *WARNINGS], sorted(BENCH.glob("load*.c")))
    must([*CC, *ASAN, *objects, "-o", folder / "load", "-lz"])
    return folder / "load"


def run_load(load: Path, server: wspy.Server | int, *options: object) -> Any:
    """Calls it with a server of this process, whose CPU and memory are ours; gives its numbers."""
    port = server if isinstance(server, int) else server.port
    words = ["--json", "--port", port, "--pid", os.getpid(), *options]
    return json.loads(must([load, *map(str, words)]))


def fail_load(load: Path, *words: object) -> tuple[int, str]:
    """Calls it where it does not succeed; gives its status and what it says."""
    command = [str(load), *map(str, words)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.returncode, done.stderr


def echo_server(**options: Any) -> wspy.Server:
    return wspy.Server(port=0, on_message=lambda conn, message: conn.send(message), **options)


# -- the load generator --


@pytest.mark.parametrize("kind", ["--binary", "--text"])
def test_messages_are_counted(load: Path, kind: str) -> None:
    server = echo_server()
    with server.start_in_thread():
        options = ("--connections", 5, "--depth", 4, "--size", "0-70000", "--messages", 300)
        run = run_load(load, server, *options, kind)
        wait_until(lambda: len(server) == 0)
    stats = server.stats()
    assert (run["sent"], run["messages"], run["mismatches"]) == (300, 300, 0)
    assert (run["opcode"], run["noun"]) == (kind[2:], "messages")
    assert (stats["opened"], stats["received"], stats["sent"]) == (5, 300, 300)


def test_deliveries_are_counted(load: Path) -> None:
    server = wspy.Server(port=0)
    server.on_open(lambda conn: conn.subscribe("room"))
    server.on_message(lambda _conn, message: server.publish("room", message))
    with server.start_in_thread():
        options = ("--broadcast", "--connections", 10, "--depth", 3, "--messages", 30)
        run = run_load(load, server, *options)
    assert (run["sent"], run["messages"], run["mismatches"]) == (30, 300, 0)
    assert server.stats()["sent"] == 300


def test_a_wrong_message_is_found(load: Path) -> None:
    server = wspy.Server(port=0)
    server.on_message(lambda conn, message: conn.send(bytes(message[::-1])))
    with server.start_in_thread():
        options = ("--connections", 1, "--messages", 3)
        status, said = fail_load(load, "--port", server.port, *options)
    wrong = "load: connection 0: message {}: other bytes than what was sent\n"
    assert (status, said) == (1, "".join(wrong.format(number) for number in range(3)))


def test_compressed_messages_are_inflated_and_counted(load: Path) -> None:
    """Those under the threshold come back plain. They are messages of bench/jsontext.py."""
    received: list[str] = []
    server = wspy.Server(port=0, compression=wspy.Compression(threshold=1000))

    @server.on_message
    def answer(conn: wspy.Connection, message: str | bytes) -> None:
        received.append(str(message))
        conn.send(message)

    with server.start_in_thread():
        options = ("--deflate", "--text", "--connections", 5, "--depth", 4, "--size", "0-70000")
        run = run_load(load, server, *options, "--messages", 300)
    assert (run["sent"], run["messages"], run["mismatches"]) == (300, 300, 0)
    assert len(received) == 300
    large = [message for message in received if len(message) >= 1000]
    assert 0 < run["compressed"] == len(large) < 300
    assert 0 < run["payload_bytes"] < sum(map(len, received)) / 300 / 2
    code = "import jsontext, sys; sys.stdout.buffer.write(jsontext.text(100_000))"
    text = run_bench("-c", code).stdout
    assert len(text) == 100_000
    assert all(message in text for message in received)


def test_the_compressed_messages_of_a_run_are_those_of_jsontext(load: Path) -> None:
    """A run begins at some place of them and takes one after the other."""
    received: list[str | bytes] = []
    server = wspy.Server(port=0, compression=True)

    @server.on_message
    def answer(conn: wspy.Connection, message: str | bytes) -> None:
        received.append(message)
        conn.send(message)

    with server.start_in_thread():
        options = ("--deflate", "--connections", 1, "--size", 500, "--messages", 300)
        run = run_load(load, server, *options)
    assert (run["messages"], run["compressed"], run["mismatches"]) == (300, 300, 0)
    code = "import jsontext; print([m.decode() for m in jsontext.messages(500, 256)])"
    known = [m.encode() for m in literal_eval(run_bench("-c", code).stdout)]
    assert len(set(known)) == 256
    first = known.index(bytes(received[0]) if isinstance(received[0], bytes) else b"")
    assert received == [known[(first + number) % 256] for number in range(300)]


def test_compressed_deliveries_are_counted(load: Path) -> None:
    server = wspy.Server(port=0, compression=True)
    server.on_open(lambda conn: conn.subscribe("room"))
    server.on_message(lambda _conn, message: server.publish("room", message))
    with server.start_in_thread():
        options = ("--deflate", "--broadcast", "--connections", 10, "--depth", 3)
        run = run_load(load, server, *options, "--size", 1024, "--messages", 30)
    assert (run["sent"], run["messages"], run["mismatches"]) == (30, 300, 0)
    assert run["compressed"] == 300
    assert 0 < run["payload_bytes"] < 512


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (lambda text: text[::-1], "other bytes than what was sent"),
        (lambda text: text + "x", "longer than what was sent"),
        (lambda text: text * 9, "longer than what was sent"),
        (lambda text: text[:-1], "shorter than what was sent"),
    ],
)
def test_a_wrong_compressed_message_is_found(
    load: Path, other: Callable[[str], str], complaint: str
) -> None:
    server = wspy.Server(port=0, compression=wspy.Compression(threshold=0))
    server.on_message(lambda conn, message: conn.send(other(str(message))))
    with server.start_in_thread():
        options = ("--deflate", "--text", "--connections", 1, "--size", 300, "--messages", 2)
        status, said = fail_load(load, "--port", server.port, *options)
    wrong = [f"load: connection 0: message {number}: {complaint}\n" for number in range(2)]
    assert (status, said) == (1, "".join(wrong))


@contextmanager
def answering(head: str, answer: bytes) -> Iterator[int]:
    """A server of raw bytes that has one client: the response's last lines, and what it says to the
    first message."""

    def serve() -> None:
        client, _ = listener.accept()
        with client, client.makefile("rb") as stream:
            while stream.readline() not in (b"\r\n", b""):
                pass
            client.sendall(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode())
            if stream.read(1):
                client.sendall(answer)
                stream.read()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        thread = Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


AGREED = "sec-websocket-extensions: permessage-deflate; server_no_context_takeover\r\n"


@pytest.mark.parametrize(
    ("head", "answer", "complaint"),
    [
        ("", b"", "the server does not agree on permessage-deflate"),
        (
            "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            b"",
            "the server agrees on something else than was offered: permessage-deflate",
        ),
        (AGREED, b"\xc2\x02\xff\xff", "message 0: it cannot be inflated"),
        (AGREED, b"\xc1\x02\xff\xff", "message 0: text instead of binary"),
        (AGREED, b"\xa2\x00", "a frame with reserved bits set (first byte 0xa2)"),
        (AGREED, b"\xc9\x00", "a frame with reserved bits set (first byte 0xc9)"),
        (AGREED, b"\x02\x00\xc0\x00", "a frame with reserved bits set (first byte 0xc0)"),
    ],
)
def test_what_is_no_permessage_deflate(
    load: Path, head: str, answer: bytes, complaint: str
) -> None:
    with answering(head, answer) as port:
        options = ("--deflate", "--connections", 1, "--messages", 1)
        status, said = fail_load(load, "--port", port, *options)
    assert status == 1
    assert said.splitlines()[0] == f"load: connection 0: {complaint}"


def test_a_compressed_message_in_pieces_and_blocks_that_end(load: Path) -> None:
    """Fragments, and a message of blocks that are marked as the last one (RFC 7692, 7.2.3.4). All runs
    with one connection begin with the same message: a first one tells it."""
    stored = b"\x01" + struct.pack("<HH", 150, 150 ^ 0xFFFF)
    server = echo_server(compression=wspy.Compression(threshold=0))
    seen: list[str] = []
    server.on_message(lambda _conn, message: seen.append(str(message)))
    with server.start_in_thread():
        options = ("--deflate", "--text", "--connections", 1, "--size", 300, "--warmup", 0)
        with subprocess.Popen(
            [load, "--port", str(server.port), *map(str, options)],
            env=ENVIRONMENT,
            stderr=subprocess.DEVNULL,
        ) as process:
            wait_until(lambda: len(seen) == 1)
            process.kill()
    text = seen[0].encode()
    blocks = stored + text[:150] + stored + text[150:] + b"\x00"
    frames = b"".join(
        bytes([first, len(piece)]) + piece
        for first, piece in ((0x41, blocks[:100]), (0x00, blocks[100:200]), (0x80, blocks[200:]))
    )
    with answering(AGREED, frames) as port:
        run = run_load(load, port, *options, "--messages", 1)
    assert (run["messages"], run["compressed"], run["mismatches"]) == (1, 1, 0)
    assert run["payload_bytes"] == len(blocks)


def test_handshakes_are_counted(load: Path) -> None:
    server = echo_server()
    with server.start_in_thread():
        run = run_load(load, server, "--handshakes", "--connections", 8, "--messages", 200)
        wait_until(lambda: server.stats()["closed"] == 200)
    assert (run["messages"], run["sent"], run["noun"]) == (200, 200, "handshakes")
    stats = server.stats()
    assert (stats["accepted"], stats["opened"], stats["received"]) == (200, 200, 0)


def test_a_handshake_that_is_refused_ends_the_run(load: Path) -> None:
    server = echo_server(hosts=["example.com"])
    with server.start_in_thread():
        options = ("--handshakes", "--connections", 1)
        status, said = fail_load(load, "--port", server.port, *options)
    assert status == 1
    assert said.startswith("load: connection 0: the handshake was answered by: HTTP/1.1 421")


def test_memory_is_that_of_each_connection(load: Path) -> None:
    """The ballast is mapped: what is allocated may be memory that an earlier test has freed."""
    ballast: list[mmap.mmap] = []

    def take_on_board(conn: wspy.Connection) -> None:
        ballast.append(mmap.mmap(-1, 100_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        ballast[-1].write(b"x" * 100_000)

    server = echo_server()
    server.on_open(take_on_board)
    with server.start_in_thread():
        run = run_load(load, server, "--idle", "--connections", 200)
        wait_until(lambda: len(server) == 0)
    assert run["connections"] == 200
    assert len(ballast) == server.stats()["opened"] == 201, "one before the first look"
    assert 100_000 <= run["private_bytes"] < 150_000
    assert 100_000 <= run["anonymous_bytes"] < 150_000


def test_a_rate_is_kept_and_late_answers_count_from_when_the_message_was_due(load: Path) -> None:
    """The first answer takes 0.3 s. In a closed loop one message would have waited; here all do that
    were due meanwhile: the one in the middle at least 0.2 s."""
    answered: list[str | bytes] = []
    server = wspy.Server(port=0)

    @server.on_message
    def answer(conn: wspy.Connection, message: str | bytes) -> None:
        if not answered:
            time.sleep(0.3)
        answered.append(message)
        conn.send(message)

    with server.start_in_thread():
        run = run_load(load, server, "--connections", 1, "--rate", 100, "--messages", 20)
    assert (run["sent"], run["messages"], run["mismatches"]) == (20, 20, 0)
    assert run["rate"] == 100
    assert run["seconds"] >= 0.3
    assert run["p50_us"] >= 190_000
    assert len(answered) == 20


def test_a_rate_is_shared_by_the_connections(load: Path) -> None:
    server = echo_server()
    with server.start_in_thread():
        run = run_load(load, server, "--connections", 4, "--rate", 1000, "--messages", 101)
    assert (run["sent"], run["messages"], run["mismatches"]) == (101, 101, 0)
    assert run["seconds"] >= 0.1, "the last is due then"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--idle"], "--idle needs --pid"),
        (["--broadcast", "--handshakes"], "--broadcast, --handshakes and --idle: one at a time"),
        (["--rate", "0"], "--rate cannot be 0"),
    ],
)
def test_wrong_usage(load: Path, options: list[str], complaint: str) -> None:
    status, said = fail_load(load, "--port", 1, *options)
    assert status == 2
    assert said.startswith(f"load: {complaint}\nusage: ")


# -- raw --


@contextmanager
def raw_server(folder: Path) -> Iterator[int]:
    program = folder / "raw"
    source = BENCH / "servers" / "raw.c"
    must([*CC, *STANDARD, *ASAN, *WARNINGS, source, "-o", program, "-lcrypto"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    with subprocess.Popen([program, str(port)], env=ENVIRONMENT) as process:
        try:
            connect_when_up(f"ws://127.0.0.1:{port}").socket.close()
            yield port
            assert process.poll() is None, "it runs on"
        finally:
            process.kill()


def test_raw_echoes_messages_of_any_size(load: Path, tmp_path: Path) -> None:
    with raw_server(tmp_path) as port:
        options = ("--connections", 3, "--depth", 5, "--size", "0-1000000", "--messages", 200)
        run = run_load(load, port, *options)
        assert (run["sent"], run["mismatches"]) == (200, 0)
        with Client(f"ws://127.0.0.1:{port}") as client:
            for piece in frame(BINARY, b"in single bytes" * 20) + frame(PING, b"ping"):
                client.send_raw(bytes([piece]))
            assert client.read_frame()[:2] == (BINARY, b"in single bytes" * 20)
            assert client.read_frame()[:2] == (PONG, b"ping")
            client.send_raw(frame(CLOSE, b"\x03\xe8"))
            assert client.read_frame()[:2] == (CLOSE, b"\x03\xe8")
            client.expect_end()


# -- the programs --


def run_bench(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=BENCH,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "workload", "peers", "title"),
    [
        ("echo", "2x20x3", "wspy,raw,websockets", "Echo: 2 connections, 20 B, 3 in flight each"),
        ("broadcast", "9x64x2", "wspy", "Broadcast: 9 connections, 64 B, 2 in flight"),
        ("handshake", "3", "wspy,raw", "Handshakes: 3 clients at once"),
        ("idle", "3000", "wspy,raw", "Memory: 3,000 connections, idle"),
        (
            *("compression compressed-echo", "2x1024x3xtext", "wspy,websockets"),
            "Compressed echo: 2 connections, 1 KiB of text, 3 in flight each",
        ),
        (
            *("compression compressed-broadcast", "9x1024x2xtext", "wspy,websockets"),
            "Compressed broadcast: 9 connections, 1 KiB of text, 2 in flight",
        ),
        (
            *("compression compressed-idle", "3000", "wspy"),
            "Memory with compression: 3,000 connections, idle",
        ),
        ("latency", "2x1024x1", "wspy,raw", "Latency: 2 connections, 1 KiB, 400 messages/s"),
    ],
)
def test_a_benchmark(name: str, workload: str, peers: str, title: str, tmp_path: Path) -> None:
    """From a server of each peer to the table, the numbers and the picture."""
    options = ["--workloads", workload, "--peers", peers, "--rounds", 1, "--seconds", 0.2]
    options += ["--rate", 400, "--json", tmp_path / "json", "--svg", tmp_path / "svg"]
    program, *names = name.split()
    done = run_bench(f"{program}.py", *names, *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\n{title}:\n\n| server |" in done.stdout
    names = peers.split(",")
    table = done.stdout.partition(title)[2]
    rows = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| ")]
    assert rows == ["| server", *(f"| {peer}" for peer in names)]
    data = json.loads((tmp_path / "json").read_text())
    (panel,) = data["panels"]
    assert panel["title"] == title
    assert [bar[0] for bar in panel["bars"]] == names
    (result,) = data["rounds"][0]["results"]
    assert set(result) == set(names)
    picture = ElementTree.parse(tmp_path / "svg").getroot()
    description = picture.findtext(f"{SVG}desc") or ""
    assert description.startswith(f"{title}, ")
    assert all(f"{name} {value:,.0f}" in description for name, value in panel["bars"])
    classes = [rect.get("class") for rect in picture.iter(f"{SVG}rect")]
    assert classes == ["paper", *("bar" if n == "websockets" else n for n in names)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["echo", "latency", "--workloads", "3x2x1"], "--workloads is for one benchmark: name it"),
        (["echo", "--workloads", "3"], "the workloads are like 32x20x1"),
        (["echo", "--workloads", "3x2"], "'3x2' is neither CONNECTIONSxSIZExDEPTH"),
        (["parrot"], "no such benchmark: parrot"),
        (["--peers", "parrot"], "no such peer: parrot"),
    ],
)
def test_a_wrong_selection(words: list[str], complaint: str) -> None:
    done = run_bench("all.py", *words)
    assert done.returncode == 2
    assert f"error: {complaint}" in done.stderr


def test_the_deflaters() -> None:
    """Those that are installed; zlib always is."""
    done = run_bench("deflaters.py", "--rounds", 1)
    assert done.returncode == 0
    tables = done.stdout.split("\n\n| | | µs/message")
    assert [table.rpartition("\n")[2] for table in tables[:-1]] == [
        "64 B:",
        "1,024 B:",
        "65,536 B:",
    ]
    for table in tables[1:]:
        rows = [row for row in table.splitlines() if " | zlib | " in row]
        kinds = [row.split(" | ")[0] for row in rows]
        assert kinds == [*(f"| deflate, level {n}" for n in (6, 3, 1)), "| inflate"]
        assert all(row.split(" | ")[3] == "1.00" for row in rows)


def test_a_comparison_with_a_revision_that_is_not_there() -> None:
    done = run_bench("compare.py", "no-such-revision")
    assert done.returncode == 1
    assert done.stderr.startswith("there is no revision no-such-revision to compare with: ")


@pytest.mark.parametrize(
    ("speeds", "good", "words"),
    [
        ([95, 96, 94], True, "0.950 (0.94 to 0.96)"),
        ([94, 93, 92], False, "0.930 (0.92 to 0.94): under 0.95"),
        ([94, 93, 99], False, "0.940 (0.93 to 0.99): under 0.95, but not in every round"),
    ],
)
def test_the_verdict_of_a_comparison(speeds: list[int], good: bool, words: str) -> None:
    """Beside a revision that does 100."""
    code = """
import json, sys
from benchmark import Table
from compare import TREE, verdict
from echo import ECHO
results = [{TREE: {ECHO.key: v}, "old": {ECHO.key: 100}} for v in json.loads(sys.argv[1])]
print(json.dumps(verdict(Table(ECHO, ECHO.workloads[0], "echo", [], results), "old")))
"""
    done = run_bench("-c", code, json.dumps(speeds))
    assert done.stderr == ""
    found, said = json.loads(done.stdout)
    assert found is good
    assert said.startswith(f"echo: {words}")
