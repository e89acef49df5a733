"""wspy.Struct beside the standard library's, in turns: what a call of each takes.

Not struct.py: a program's folder comes first where it imports from, and half the standard library
imports struct.

Usage: structs.py [--rounds 15]
Exit status: 0 if the results were the same, else 1.
"""

from __future__ import annotations

import argparse
import platform
import struct
import sys
import timeit
from statistics import median

import wspy

# A tick, a record of a file, an IPv4 header, a line of samples.
SAMPLES: dict[str, tuple[object, ...]] = {
    "!IHd": (7, 1, 101.25),
    "<4sHHIIq": (b"wspy", 1, 2, 70_000, 0, -(2**40)),
    "!BBHHHBBH4s4s": (69, 0, 84, 1, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"),
    "<64f": tuple(n / 4 for n in range(64)),
}
CALLS = ("pack", "unpack", "pack_into", "unpack_from")
ROUND_SECONDS = 0.02


def timer(kind: type[struct.Struct | wspy.Struct], text: str, name: str) -> timeit.Timer:
    """The call and nothing around it."""
    values = SAMPLES[text]
    raw = struct.pack(text, *values)
    names = {f"v{n}": value for n, value in enumerate(values)}
    arguments = {
        "pack": ", ".join(names),
        "unpack": "raw",
        "pack_into": "buffer, 0, " + ", ".join(names),
        "unpack_from": "raw, 0",
    }[name]
    known = {"call": getattr(kind(text), name), "raw": raw, "buffer": bytearray(len(raw)), **names}
    return timeit.Timer(f"call({arguments})", globals=known)


def same(text: str) -> bool:
    values = SAMPLES[text]
    raw = struct.pack(text, *values)
    return wspy.pack(text, *values) == raw and wspy.unpack(text, raw) == struct.unpack(text, raw)


def measure(text: str, name: str, rounds: int) -> list[float]:
    """How often as fast ours is, a number for each round."""
    theirs, ours = (timer(kind, text, name) for kind in (struct.Struct, wspy.Struct))
    number = max(1, int(ROUND_SECONDS / (theirs.timeit(1000) / 1000)))
    return [theirs.timeit(number) / ours.timeit(number) for _ in range(rounds)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns of each (default: 15)")
    rounds = parser.parse_args().rounds
    print(
        f"How often as fast as struct of Python {platform.python_version()}, {rounds} turns each:\n"
    )
    print("| format | " + " | ".join(CALLS) + " |\n|---" + "|---:" * len(CALLS) + "|")
    for text in SAMPLES:
        cells = []
        for name in CALLS:
            found = measure(text, name, rounds)
            cells.append(f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})")
        print(f"| `{text}` | " + " | ".join(cells) + " |", flush=True)
    return 0 if all(map(same, SAMPLES)) else 1


if __name__ == "__main__":
    sys.exit(main())
