"""C programs of the benchmarks: compiled into build/ when that is due."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

BENCH = Path(__file__).resolve().parent
BUILD = BENCH.parent / "build"


class BenchError(Exception):
    """A server or the load generator did not do its work; the text says what was seen."""


def build(name: str, sources: Sequence[Path], libraries: Sequence[str] = ()) -> Path:
    """Compiles a C program into build/, unless that was done since its sources last changed."""
    program = BUILD / name
    headers = {header for source in sources for header in source.parent.glob("*.h")}
    changed = max(path.stat().st_mtime for path in (*sources, *headers))
    if program.exists() and program.stat().st_mtime >= changed:
        return program
    BUILD.mkdir(exist_ok=True)
    command = [
        *(os.environ.get("CC", "cc"), "-O2", "-std=c11", "-D_GNU_SOURCE", "-o", str(program)),
        *map(str, sources),
        *(f"-l{library}" for library in libraries),
    ]
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise BenchError(f"{command[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
        raise BenchError(next((line for line in said if "error" in line), said[-1]))
    return program


def build_load() -> Path:
    return build("load", sorted(BENCH.glob("load*.c")), ["z"])
