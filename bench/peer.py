"""The servers that are measured: what they need, and how they are started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from program import BENCH, BUILD, BenchError, build


@dataclass(frozen=True)
class Peer:
    """A server and the distributions it runs on, or the libraries it is linked with.

    Its program for a benchmark is bench/servers/PROGRAM_KIND.py (PROGRAM_server.py where there is none
    of that kind) or bench/servers/PROGRAM.c; PROGRAM is the name unless it is given. WORDS follow those
    of the benchmark on its command line. MODULE is what has to be there to import; FOLDER is where
    it is looked for first.
    """

    name: str
    distributions: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    program: str = ""
    module: str = ""
    words: tuple[str, ...] = ()
    folder: Path | None = None

    @property
    def is_c(self) -> bool:
        return bool(self.libraries)

    def command(self, kind: str, port: int, words: Iterable[str]) -> list[str]:
        """What starts it at that port; words: of the benchmark."""
        program = self.program or self.name
        if self.is_c:
            return [str(BUILD / program), str(port)]
        own, common = (BENCH / "servers" / f"{program}_{k}.py" for k in (kind, "server"))
        path = own if own.exists() else common
        return [sys.executable, str(path), str(port), *words, *self.words]

    def environment(self) -> dict[str, str]:
        return {**os.environ, **({"PYTHONPATH": str(self.folder)} if self.folder else {})}


WSPY = Peer("wspy", ("wspy",))
# A mark of what the kernel allows: it is measured, but no server to compare with.
RAW = Peer("raw", libraries=("crypto",))
PEERS = {
    peer.name: peer
    for peer in (
        WSPY,
        Peer("wspy-lean", ("wspy",), program="wspy_lean", module="wspy"),
        Peer("wspy-serve", ("wspy", "uvloop"), program="wspy_serve", module="wspy"),
        Peer(
            "wspy-inside",
            ("wspy", "uvloop"),
            program="wspy_plain",
            module="wspy",
            words=("uvloop",),
        ),
        Peer("wspy-run", ("wspy",), program="wspy_plain", module="wspy"),
        Peer("wspy-struct", ("wspy",), program="wspy_struct", module="wspy"),
        Peer("wspy-level-3", ("wspy",), program="wspy", module="wspy", words=("3",)),
        Peer("wspy-level-1", ("wspy",), program="wspy", module="wspy", words=("1",)),
        RAW,
        Peer("picows", ("picows", "aiofastnet", "uvloop")),
        Peer("websockets", ("websockets", "uvloop")),
        Peer("aiohttp", ("aiohttp", "uvloop")),
        Peer("uvicorn", ("uvicorn", "websockets", "httptools", "uvloop")),
        Peer("socketify", ("socketify",)),
    )
}


def why_missing(peer: Peer) -> str | None:
    """What compiling or importing the peer says, its decisive line; None if it is there."""
    if peer.is_c:
        try:
            build(peer.name, [BENCH / "servers" / f"{peer.name}.c"], peer.libraries)
        except BenchError as error:
            return str(error)
        return None
    probe = subprocess.run(
        [sys.executable, "-c", f"import {peer.module or peer.name}"],
        capture_output=True,
        text=True,
        cwd=BENCH / "servers",
        env=peer.environment(),
        check=False,
    )
    if probe.returncode == 0:
        return None
    return (probe.stderr.strip().splitlines() or ["no reason given"])[-1]


def how_to_get(peer: Peer) -> str:
    if peer.is_c:
        return "it needs a C compiler and OpenSSL's headers (Debian: gcc, libssl-dev)"
    what = "-e ." if "wspy" in peer.distributions else "-r bench/requirements.txt"
    return f"to install it: {sys.executable} -m pip install {what}"


def installed_peers(names: Iterable[str]) -> list[Peer]:
    """The peers that can be imported or compiled; for the others it is said how to get them."""
    peers = []
    for name in names:
        reason = why_missing(PEERS[name])
        if reason is None:
            peers.append(PEERS[name])
            continue
        print(f"{name} is skipped: {reason}", file=sys.stderr)
        print(f"  {how_to_get(PEERS[name])}", file=sys.stderr)
    return peers
