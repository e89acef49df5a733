"""What a run asks of a server: so many connections, messages of a size, so many in flight."""

from __future__ import annotations

import argparse
import re
from typing import NamedTuple


class Workload(NamedTuple):
    """Without a size and a depth: connections only."""

    connections: int
    size: str = ""  # bytes, or a log-uniform range of them such as "20-2000"
    depth: int = 0
    text: bool = False

    @classmethod
    def parse(cls, word: str) -> Workload:
        match = re.fullmatch(r"(\d+)(?:x(\d+(?:-\d+)?)x(\d+)(xtext)?)?", word)
        if match is None:
            raise argparse.ArgumentTypeError(
                f"{word!r} is neither CONNECTIONSxSIZExDEPTH, such as 32x20x1 or 32x20x1xtext, "
                "nor CONNECTIONS"
            )
        connections, size, depth, text = match.groups()
        return cls(int(connections), size or "", int(depth or 0), text is not None)

    def __str__(self) -> str:
        """The word that parse() takes."""
        if not self.size:
            return str(self.connections)
        return f"{self.connections}x{self.size}x{self.depth}" + ("xtext" if self.text else "")

    def words(self) -> str:
        """Connections and messages, for people."""
        connections = f"{self.connections:,} connections"
        if not self.size:
            return connections
        return f"{connections}, {size_words(self.size)}" + (" of text" if self.text else "")

    def options(self) -> list[str]:
        """The load generator's."""
        words = ["--connections", str(self.connections)]
        if self.size:
            words += ["--size", self.size, "--text" if self.text else "--binary"]
        return words + (["--depth", str(self.depth)] if self.depth else [])


def size_words(size: str) -> str:
    if size.isdigit():
        for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
            if int(size) >= unit and int(size) % unit == 0:
                return f"{int(size) // unit} {name}"
    return f"{size} B"
