"""Libraries of deflate side by side: raw, one message at a time, as permessage-deflate needs it.

zlib is the one of this Python; zlib-ng, ISA-L (isal) and libdeflate (deflate) are measured where they
are installed: pip install zlib-ng isal deflate. Times are those of this thread's CPU, and have the
call from Python in them. bench/README.md tells the method.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from jsontext import messages
from report import bracket, cpu_model, version

SIZES = (64, 1024, 65536)
LEVELS = (6, 3, 1)
WINDOW_BITS, MEMORY_LEVEL = 12, 5  # wspy's defaults
TAIL = b"\x00\x00\xff\xff"  # RFC 7692, section 7.2.1
LAST = b"\x01\x00\x00\xff\xff"  # an empty block that is marked as the last one
BATCH_NS = 20_000_000  # time of a turn

Coder = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Deflater:
    name: str
    distribution: str | None
    levels: tuple[int, ...]
    compressor: Callable[[int], Coder]  # at a level
    inflater: Callable[[int], Coder]  # of messages of so many bytes


def like_zlib(
    name: str, distribution: str | None, module: Any, levels: tuple[int, ...]
) -> Deflater:
    """One whose module has zlib's functions: a stream of its own for each message."""

    def compressor(level: int) -> Coder:
        def compress(data: bytes) -> bytes:
            stream = module.compressobj(level, module.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL)
            packed: bytes = stream.compress(data) + stream.flush(module.Z_SYNC_FLUSH)
            return packed.removesuffix(TAIL)

        return compress

    def inflater(_size: int) -> Coder:
        def inflate(packed: bytes) -> bytes:
            data: bytes = module.decompressobj(-15).decompress(packed + TAIL)
            return data

        return inflate

    return Deflater(name, distribution, levels, compressor, inflater)


def libdeflate(module: Any) -> Deflater:
    """It has no streams, no window to choose and no flush: a message ends with a block that is marked as
    the last one. To inflate, it has to be told how large the message was."""

    def compressor(level: int) -> Coder:
        def compress(data: bytes) -> bytes:
            return bytes(module.deflate_compress(data, level))

        return compress

    def inflater(size: int) -> Coder:
        def inflate(packed: bytes) -> bytes:
            return bytes(module.deflate_decompress(packed + TAIL + LAST, size))

        return inflate

    return Deflater("libdeflate", "deflate", LEVELS, compressor, inflater)


def installed() -> list[Deflater]:
    """zlib comes first."""
    found = [like_zlib("zlib", None, zlib, LEVELS)]
    for name, distribution, module, levels in (
        ("zlib-ng", "zlib-ng", "zlib_ng.zlib_ng", LEVELS),
        ("ISA-L", "isal", "isal.isal_zlib", (3, 1)),
    ):
        try:
            found.append(like_zlib(name, distribution, importlib.import_module(module), levels))
        except ImportError:
            print(f"{name} is skipped: pip install {distribution}", file=sys.stderr)
    try:
        found.append(libdeflate(importlib.import_module("deflate")))
    except ImportError:
        print("libdeflate is skipped: pip install deflate", file=sys.stderr)
    return found


# ---- measuring ----


def microseconds(call: Coder, data: Sequence[bytes]) -> float:
    """CPU time for each of the messages."""
    count, begin = 0, time.thread_time_ns()
    while (spent := time.thread_time_ns() - begin) < BATCH_NS:
        for message in data:
            call(message)
        count += len(data)
    return spent / count / 1000 if count else 0.0


@dataclass
class Job:
    """What is measured of a library: its rounds, and how small messages get."""

    library: str
    what: str
    call: Coder
    data: Sequence[bytes]
    factor: float  # bytes of the messages to bytes on the wire
    times: list[float]


def jobs_of(deflaters: Sequence[Deflater], plain: Sequence[bytes]) -> list[Job]:
    """Raises RuntimeError if a message does not come back."""
    jobs = []
    total = sum(map(len, plain))
    packed_by_zlib = [deflaters[0].compressor(LEVELS[0])(message) for message in plain]
    for deflater in deflaters:
        for level in deflater.levels:
            compress = deflater.compressor(level)
            packed = [compress(message) for message in plain]
            for message, small in zip(plain, packed, strict=True):
                if zlib.decompressobj(-15).decompress(small + TAIL) != message:
                    raise RuntimeError(f"{deflater.name} at level {level}: it is another message")
            factor = total / sum(map(len, packed))
            jobs.append(Job(deflater.name, f"deflate, level {level}", compress, plain, factor, []))
        inflate = deflater.inflater(len(plain[0]))
        if [inflate(small) for small in packed_by_zlib] != list(plain):
            raise RuntimeError(f"{deflater.name} inflates to another message")
        jobs.append(Job(deflater.name, "inflate", inflate, packed_by_zlib, 0.0, []))
    return jobs


def measure(deflaters: Sequence[Deflater], size: int, rounds: int) -> list[Job]:
    """All of them in turns; each round begins with another."""
    jobs = jobs_of(deflaters, messages(size, max(4, min(64, 2**18 // size))))
    for number in range(rounds):
        first = number % len(jobs)
        for job in (*jobs[first:], *jobs[:first]):
            job.times.append(microseconds(job.call, job.data))
    return jobs


# ---- the table ----


def cells(jobs: Sequence[Job], job: Job) -> list[str]:
    """Time, speed as ratio to zlib's in the same round, and how much smaller it gets."""
    mark = next((j for j in jobs if (j.library, j.what) == ("zlib", job.what)), job)
    speeds = [a / b for a, b in zip(mark.times, job.times, strict=True)]
    return [
        f"{median(job.times):.2f}",
        bracket(speeds),
        f"{job.factor:.2f}" if job.factor else "",
    ]


def print_tables(results: dict[int, list[Job]]) -> None:
    for size, jobs in results.items():
        print(f"\n{size:,} B:\n")
        print("| | | µs/message | speed to zlib's | times smaller |\n|---|---|---:|---:|---:|")
        for what in dict.fromkeys(job.what for job in jobs if job.library == "zlib"):
            for job in (job for job in jobs if job.what == what):
                print(f"| {what} | {job.library} | " + " | ".join(cells(jobs, job)) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (9)")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds has to be positive")
    deflaters = installed()
    names = [version(d.distribution) for d in deflaters if d.distribution]
    print("- " + ", ".join([f"zlib {zlib.ZLIB_RUNTIME_VERSION}", *filter(None, names)]))
    print(f"- {cpu_model()}; window of {WINDOW_BITS} bits, memory level {MEMORY_LEVEL}")
    print_tables({size: measure(deflaters, size, options.rounds) for size in SIZES})
    return 0


if __name__ == "__main__":
    sys.exit(main())
