"""The types: the package under mypy --strict, and the stub against the extension."""

from __future__ import annotations

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
