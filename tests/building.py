"""Compiling the core by itself: what the tests share that run it without Python or load it."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = ROOT / "csrc" / "core"
SOURCES = sorted(CORE.glob("*.c"))
HEADERS = sorted(CORE.glob("*.h"))

CC = shlex.split(os.environ.get("CC", "cc"))
STANDARD = ["-std=c11", "-D_GNU_SOURCE"]
INCLUDE = f"-I{CORE}"
LIBRARIES = ["-lcrypto", "-lz", "-lpthread"]
ASAN = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]

# For the compiler and the programs; what preloads a sanitizer into Python is not for them. Only what
# is named here is set: a program may have defaults of its own (__asan_default_options).
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in ("LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
} | {
    "ASAN_OPTIONS": "detect_leaks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=100,
        check=False,
    )


def must(command: Sequence[str | Path]) -> str:
    done = run(command)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def compile_core(
    folder: Path, flags: Sequence[str], sources: Sequence[Path] = SOURCES
) -> list[Path]:
    """Each file of the core by itself, as many at a time as there are processors."""

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        must([*CC, *STANDARD, *flags, INCLUDE, "-c", source, "-o", target])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sources))
