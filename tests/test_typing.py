"""The types: the package under mypy --strict, and the stub against the extension."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support import ROOT


def run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy(tmp_path: Path) -> None:
    run("mypy", "--strict", "--cache-dir", str(tmp_path), "-p", "wspy")


def test_mypy_of_the_examples(tmp_path: Path) -> None:
    for example in sorted((ROOT / "examples").glob("*.py")):
        run("mypy", "--strict", "--cache-dir", str(tmp_path), str(example))


def test_the_stub_is_in_step() -> None:
    run("mypy.stubtest", "wspy._core")


def test_a_program_is_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import wspy\n"
        "server = wspy.Server(port=0)\n"
        "@server.on_message\n"
        "def wrong(conn: wspy.Connection, message: int) -> None: ...\n"
        "@server.on_message\n"
        "def right(conn: wspy.Connection, message: str | bytes) -> None:\n"
        "    conn.anything = 5\n"
        "    reveal_type(conn.send(message))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line.split(":", 1)[1] for line in done.stdout.splitlines() if "program.py" in line]
    errors = [line for line in lines if "error" in line]
    assert len(errors) == 1, done.stdout
    assert errors[0].startswith("3:")
    assert any('"bool"' in line or '"builtins.bool"' in line for line in lines), done.stdout


def test_the_arguments_of_a_call_are_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import wspy\n"
        "server = wspy.Server(port=0)\n"
        "def say(what: str, often: int = 1) -> None: ...\n"
        'server.call_soon(say, "hello")\n'
        'server.call_later(1, say, "hello", 2)\n'
        "server.every(0.5, lambda: None)\n"
        "server.call_soon(say)\n"
        'server.call_later(1, say, "hello", "twice")\n'
        'server.every(0.5, say, "hello", 2, 3)\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [int(line.split(":")[1]) for line in lines] == [7, 8, 9], done.stdout


def test_the_byte_tools_are_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from wspy import frames, handshake, sha1\n"
        "h = sha1(b'a')\n"
        "reveal_type(h.copy().digest())\n"
        "reveal_type(frames.pack(frames.TEXT, 'a', mask=bytearray(4)))\n"
        "reveal_type(frames.pack_into(bytearray(9), 0, 9, b''))\n"
        "frame = frames.unpack_from(memoryview(b''), 0)\n"
        "reveal_type(frame.opcode)\n"
        "reveal_type(frame.mask)\n"
        "request = handshake.parse_request(bytearray(), hosts=['a'])\n"
        "assert request\n"
        "reveal_type(request.subprotocols)\n"
        "reveal_type(request.answer())\n"
        "reveal_type(handshake.HandshakeError(404).answer())\n"
        "h.update('text')\n"
        "frames.pack('text', b'')\n"
        "frames.pack(1, b'', True)\n"
        "request.path = '/'\n"
        "handshake.parse_request('text')\n"
        "handshake.accept_key(1)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    assert [int(line.split(":")[1]) for line in errors] == [14, 15, 16, 17, 18, 19], done.stdout
    revealed = re.findall(r'Revealed type is "(.+)"', done.stdout)
    assert [text.replace("builtins.", "") for text in revealed] == [
        "bytes", "bytes", "int", "wspy.frame.Opcode", "bytes | None",
        "tuple[str, ...]", "bytes", "bytes",
    ]  # fmt: skip


def test_the_events_are_checked(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import wspy\n"
        "from wspy.events import Close, Event, Message, Open, Ping, Pong, Rejected, Request\n"
        "protocol = wspy.Protocol('client', url='ws://a/')\n"
        "def take(event: Event) -> str | bytes | int:\n"
        "    match event:\n"
        "        case Message(data):\n"
        "            return data\n"
        "        case Close(code) | Rejected(int(code)):\n"
        "            return code\n"
        "        case Open() | Request() | Rejected():\n"
        "            return event.headers.get('a', '')\n"
        "        case Ping(data) | Pong(data):\n"
        "            return data\n"
        "for event in protocol.receive(b''):\n"
        "    reveal_type(event)\n"
        "    event.data\n"
        "wspy.Protocol('peer')\n"
        "protocol.receive('text')\n"
        "protocol.send(5)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = [line.split(":", 1)[1] for line in done.stdout.splitlines() if "program.py" in line]
    wrong = [line for line in lines if " error: " in line and "union-attr" not in line]
    assert [line.split(":")[0] for line in wrong] == ["17", "18", "19"], done.stdout
    assert {line.split(":")[0] for line in lines if "union-attr" in line} == {"16"}, done.stdout
    assert any("Message" in line and "Rejected" in line for line in lines if line[:3] == "15:")
