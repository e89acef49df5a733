"""Many clients (c/crowd.c) and the server that they are connected to (crowd_server.py), each in a
process of its own, driven by lines."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from crowd_server import VALUE
from support import ROOT

from wspy.options import Strategy

# What else than a message may come (crowd.c).
PING, PONG, CLOSE, EOF, RESET = range(8, 13)


class Session(NamedTuple):
    """One opening of a connection, and the words of what came, in order."""

    number: int
    words: Sequence[int]

    def values(self, kind: int) -> list[int]:
        return [word & VALUE for word in self.words if word >> 28 == kind]


def build_crowd(folder: Path) -> Path:
    """Compiles crowd.c with what it shares with the load generator."""
    program = folder / "crowd"
    command = [
        *shlex.split(os.environ.get("CC", "cc")),
        *("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wconversion"),
        *("-Werror", f"-I{ROOT / 'bench'}", str(ROOT / "tests" / "c" / "crowd.c")),
        *(str(ROOT / "bench" / "load_frame.c"), "-o", str(program)),
    ]
    done = subprocess.run(
        command, env=plain_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


def plain_environment() -> dict[str, str]:
    """What preloads a sanitizer into Python is not for other programs."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


class Process:
    """A process that answers each line with a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, line: str) -> str:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(line + "\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            assert self.process.stderr is not None
            raise AssertionError(f"{line}: {self.process.stderr.read()}")
        return answer.strip()


class Crowd(Process):
    """The clients."""

    def tell(self, command: str) -> None:
        """Gives a command, and waits until it is done."""
        assert self.ask(command) == "ok"

    def sessions(self, folder: Path) -> list[Session]:
        """What has come to each connection, in the order in which they were opened."""
        path = folder / "words"
        self.tell(f"dump {path}")
        words = array("I", path.read_bytes())
        sessions, at = [], 0
        while at < len(words):
            number, n = words[at : at + 2]
            sessions.append(Session(number, words[at + 2 : at + 2 + n]))
            at += 2 + n
        return sessions


class House(Process):
    """The server."""

    def call(self, method: str, *arguments: object) -> Any:
        """Calls a method of the scenario in the other process."""
        return json.loads(self.ask(json.dumps([method, *arguments])))


P = TypeVar("P", bound=Process)


@contextmanager
def started(kind: type[P], command: Sequence[str], env: dict[str, str]) -> Iterator[P]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=env,
    )
    with process:
        try:
            yield kind(process)
        finally:
            process.kill()


@contextmanager
def crowd_of(
    program: Path, scenario: str, strategy: Strategy, **options: object
) -> Iterator[tuple[Crowd, House]]:
    """A server that plays a scenario of crowd_server.py, and clients, none of which is open yet."""
    server = str(ROOT / "tests" / "crowd_server.py")
    words = [sys.executable, server, scenario, json.dumps({"strategy": strategy, **options})]
    with started(House, words, dict(os.environ)) as house:
        assert house.call("strategy") == strategy
        port = house.call("port")
        with started(Crowd, [str(program), str(port)], plain_environment()) as crowd:
            yield crowd, house
