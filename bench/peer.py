"""The servers that are measured: what they need, and how they are started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from program import BENCH, BUILD, BenchError, build

BASELINE = "picows"  # the ratios are to this one


@dataclass(frozen=True)
class Peer:
    """A server and the distributions it runs on, or the libraries it is linked with.

    Its program for a benchmark is bench/servers/NAME_KIND.py, or bench/servers/NAME.c.
    """

    name: str
    distributions: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()

    @property
    def is_c(self) -> bool:
        return bool(self.libraries)

    def command(self, kind: str) -> list[str]:
        """What starts it; the port is to be added."""
        if self.is_c:
            return [str(BUILD / self.name)]
        return [sys.executable, str(BENCH / "servers" / f"{self.name}_{kind}.py")]


PEERS = {
    peer.name: peer
    for peer in (
        Peer("wspy", ("wspy",)),
        Peer("raw", libraries=("crypto",)),
        Peer("picows", ("picows", "aiofastnet", "uvloop")),
        Peer("websockets", ("websockets", "uvloop")),
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
        [sys.executable, "-c", f"import {peer.name}"],
        capture_output=True,
        text=True,
        cwd=BENCH / "servers",
        check=False,
    )
    if probe.returncode == 0:
        return None
    return (probe.stderr.strip().splitlines() or ["no reason given"])[-1]


def how_to_get(peer: Peer) -> str:
    if peer.is_c:
        return "it needs a C compiler and OpenSSL's headers (Debian: gcc, libssl-dev)"
    what = "-e ." if peer.name == "wspy" else "-r bench/requirements.txt"
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
