"""Builds a wheel into dist/, for the Python that runs this.

usage: python scripts/wheel.py [--pgo]

--pgo: first an instrumented build is made and serves bench's load generator, so that the compiler
knows which way an echo and a broadcast go. The wheel then fits this machine's compiler and that load;
it needs GCC.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "pgo"
SERVERS = ROOT / "bench" / "servers"

sys.path.insert(0, str(ROOT / "bench"))
from program import build_load
from runner import free_port, wait_until_ready

# Server -> loads: as they come from chats and tickers, and large messages too.
TRAINING = {
    "wspy_server.py": (
        "--connections 32 --depth 16 --size 20",
        "--connections 32 --depth 1 --size 20-2000 --text",
        "--connections 32 --depth 4 --size 20-20000",
        "--connections 4 --depth 2 --size 500000 --text",
    ),
    "wspy_broadcast.py": ("--broadcast --connections 100 --depth 8 --size 64",),
}
SECONDS = 2


def pip(*words: str | Path, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True)


def serve(program: str, loads: tuple[str, ...]) -> None:
    port = free_port()
    command = [sys.executable, str(SERVERS / program), str(port)]
    server = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(BUILD / "site")})
    try:
        wait_until_ready(server, port)
        for load in loads:
            words = ["--port", str(port), "--seconds", str(SECONDS), *shlex.split(load)]
            subprocess.run([build_load(), *words], stdout=subprocess.DEVNULL, check=True)
    finally:
        server.terminate()  # the run ends in order, and the counts are written at exit
        server.wait()


def train() -> None:
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir(parents=True)
    pip("install", "--target", BUILD / "site", ".", WSPY_PGO="generate")
    for program, loads in TRAINING.items():
        serve(program, loads)
    if not list(BUILD.rglob("*.gcda")):
        sys.exit("the instrumented build has counted nothing: is the compiler GCC?")


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds a wheel into dist/.")
    parser.add_argument("--pgo", action="store_true", help="profile-guided")
    args = parser.parse_args()
    if args.pgo:
        train()
    pip("wheel", "--no-deps", "--wheel-dir", "dist", ".", WSPY_PGO="use" if args.pgo else "")
    print(*(path.relative_to(ROOT) for path in sorted((ROOT / "dist").glob("*.whl"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
