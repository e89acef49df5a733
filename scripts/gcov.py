"""The lines of csrc/core that the C tests run, a line a file and in total, by gcc's gcov.

usage: python scripts/gcov.py [--least PERCENT] [--missing] [--fuzz]

Builds into build/coverage. Exit status: 1 if a test fails or the total is below PERCENT.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "csrc" / "core"
BUILD = ROOT / "build" / "coverage" / "c"

CC = shlex.split(os.environ.get("CC", "cc"))
# Without optimization every line is there to be counted; atomic: two threads may count the same.
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-O0", "--coverage", "-fprofile-update=atomic", f"-I{CORE}"]
LIBRARIES = ["-lcrypto", "-lz", "-lpthread"]

Lines = dict[int, int]  # of a file: line -> how often it ran


def run(command: Sequence[str | Path]) -> bytes:
    """What the command prints; the end of the program if it fails."""
    done = subprocess.run(command, cwd=BUILD, capture_output=True, check=False)
    if done.returncode != 0:
        text = (done.stdout + done.stderr).decode(errors="replace")
        sys.exit(f"{shlex.join(map(str, command))}: exit status {done.returncode}\n{text}")
    return done.stdout


def compile_one(source: Path) -> Path:
    target = BUILD / f"{source.stem}.o"
    run([*CC, *FLAGS, "-c", source, "-o", target])
    return target


def wrappers_of(source: Path) -> list[str]:
    """As in tests/test_c.py."""
    found = re.search(r"^/\* wrap: (.+) \*/$", source.read_text(encoding="utf-8"), re.MULTILINE)
    return [f"-Wl,--wrap={name}" for name in found[1].split()] if found else []


def run_tests(objects: Sequence[Path]) -> None:
    """All programs are linked with the same objects, so that their counts add up."""
    for source in sorted((ROOT / "tests" / "c").glob("test_*.c")):
        program = BUILD / source.stem
        wrappers = wrappers_of(source)
        run([*CC, *FLAGS, source, *objects, *wrappers, *LIBRARIES, "-o", program])
        run([program])


def run_corpora(objects: Sequence[Path]) -> None:
    """The fuzz targets over what is in the tree and what the last `make fuzz` found."""
    fuzz = ROOT / "tests" / "fuzz"
    for source in sorted(fuzz.glob("fuzz_*.c")):
        program = BUILD / source.stem
        run([*CC, *FLAGS, source, fuzz / "replay.c", *objects, *LIBRARIES, "-o", program])
        target = source.stem.removeprefix("fuzz_")
        folders = [fuzz / "corpus" / target, ROOT / "build" / "fuzz" / "corpus" / target]
        run([program, *(folder for folder in folders if folder.exists())])


def count_lines() -> dict[str, Lines]:
    """Each file's lines. A header's line counts if it ran in any file that includes it."""
    files: dict[str, Lines] = defaultdict(dict)
    # gcc and gcov have to be of one version.
    gcov = run([*CC, "-print-prog-name=gcov"]).decode().strip()
    for data in sorted(BUILD.glob("*.gcda")):
        for text in run([gcov, "--json-format", "--stdout", data]).splitlines():
            for file in json.loads(text)["files"]:
                path = BUILD / file["file"]
                if path.parent != CORE:
                    continue
                lines = files[path.name]
                for line in file["lines"]:
                    number, count = line["line_number"], line["count"]
                    lines[number] = max(lines.get(number, 0), count)
    return files


def report(files: dict[str, Lines], show_missing: bool) -> float:
    """Prints the table and gives the total in percent."""
    print(f"{'file':<16} {'lines':>6} {'missed':>6} {'run':>7}")
    total = missed = 0
    for name, lines in sorted(files.items()):
        gaps = sorted(number for number, count in lines.items() if not count)
        total += len(lines)
        missed += len(gaps)
        tail = "  " + " ".join(map(str, gaps)) if show_missing else ""
        print(f"{name:<16} {len(lines):>6} {len(gaps):>6} {percent(lines, gaps):>6.1f}%{tail}")
    share = 100 * (total - missed) / total
    print(f"{'total':<16} {total:>6} {missed:>6} {share:>6.1f}%")
    return share


def percent(lines: Lines, gaps: list[int]) -> float:
    return 100 * (len(lines) - len(gaps)) / len(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="The lines of csrc/core that the C tests run.")
    parser.add_argument("--least", type=float, default=0, help="percent that are enough")
    parser.add_argument("--missing", action="store_true", help="print the lines that did not run")
    parser.add_argument("--fuzz", action="store_true", help="of the fuzz corpora, not the C tests")
    args = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    for old in BUILD.glob("*.gc*"):
        old.unlink()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compile_one, sorted(CORE.glob("*.c"))))
    if args.fuzz:
        run_corpora(objects)
    else:
        run_tests(objects)
    share = report(count_lines(), args.missing)
    if share < args.least:
        print(f"that is less than {args.least:g} %", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
