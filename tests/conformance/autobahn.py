"""Autobahn's test suite against wspy: every case, with each strategy.

Those of compression, groups 12 and 13, take most of the time: --sample runs 40 of their 216.

The suite's fuzzing client, wstest, is a program for Python 2.7. It gets an environment of its own
in build/autobahn/, made once from requirements.txt beside this file. The server is echo_server.py,
in a process of its own for each strategy. The reports are build/autobahn/STRATEGY/index.html.

Exit status: 0 if every case ended OK or is INFORMATIONAL (cases that judge nobody), 77 if there is
no Python 2.7 and it is not required, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

CONFORMANCE = Path(__file__).resolve().parent
ROOT = CONFORMANCE.parent.parent
BUILD = ROOT / "build" / "autobahn"
REQUIREMENTS = CONFORMANCE / "requirements.txt"
ACCELERATOR = "wsaccel==0.6.6"  # masks and UTF-8 in C: the suite's most costly work
VIRTUALENV = "virtualenv==20.21.1"  # of the last line that makes environments for Python 2.7

STRATEGIES = ("select", "poll", "epoll")
# permessage-deflate: in each subgroup the client offers other parameters, and the case's number is
# that of a size; from 11 on messages come in fragments.
SUBGROUPS = tuple(f"12.{i}" for i in range(1, 6)) + tuple(f"13.{i}" for i in range(1, 8))
COMPRESSED = tuple(f"{group}.{i}" for group in SUBGROUPS for i in range(1, 19))
SAMPLE = tuple(f"{group}.{i}" for group in SUBGROUPS for i in (1, 6, 11))
SAMPLE += ("12.1.10", "12.1.18", "13.3.10", "13.7.18")
CASES = 301  # that the suite has besides
GOOD = ("OK", "INFORMATIONAL")
SKIPPED = 77
MISSING = "Autobahn's test suite needs a Python 2.7, and there is none (PYTHON27 may name one)"
TIMEOUT = 3 * 3600  # seconds for all cases, on a machine that has other work too


class AutobahnError(Exception):
    """The suite could not be run to its end; the text says why."""


class Case(NamedTuple):
    """What the suite found. ``behavior``: until the close; ``close``: how that went."""

    name: str
    behavior: str
    close: str
    report: Path

    @property
    def is_good(self) -> bool:
        return self.behavior in GOOD and self.close in GOOD

    @property
    def verdict(self) -> str:
        return self.behavior if self.behavior == self.close else f"{self.behavior}/{self.close}"

    def explain(self) -> str:
        found = json.loads(self.report.read_text(encoding="utf-8"))
        page = self.report.with_suffix(".html").relative_to(ROOT)
        return f"{self.name} {self.verdict}: {found['result']} {found['resultClose']} ({page})"


class Run(NamedTuple):
    strategy: str
    cases: list[Case]
    seconds: float
    expected: int  # cases

    @property
    def is_good(self) -> bool:
        return len(self.cases) == self.expected and all(case.is_good for case in self.cases)


# -- Python 2.7 and what is installed there --


def ask_python27(command: str) -> Path | None:
    """The interpreter's own path, or None if it does not run or is another Python.

    It has to be run: the shims of version managers are on PATH also for versions that are not
    active.
    """
    code = "import sys; sys.stdout.write('%d.%d ' % sys.version_info[:2] + sys.executable)"
    try:
        done = subprocess.run([command, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    version, _, path = done.stdout.partition(" ")
    return Path(path) if version == "2.7" else None


def find_python27() -> Path | None:
    """What PYTHON27 names, or else the first that is found."""
    given = os.environ.get("PYTHON27")
    if given:
        python = ask_python27(given)
        if python is None:
            raise AutobahnError(f"PYTHON27 is {given!r}, which does not run as a Python 2.7")
        return python
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = ["python2.7", *map(str, sorted(pyenv.glob("2.7.*/bin/python")))]
    return next(filter(None, map(ask_python27, candidates)), None)


def run(*command: str | Path) -> None:
    """Runs a command that speaks only if it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        words = " ".join(map(str, command))
        raise AutobahnError(f"{words}: exit status {done.returncode}\n{done.stdout}")


def install(python27: Path) -> Path:
    """The path of wstest, in an environment that is made anew if anything of it has changed."""
    environment, helper = BUILD / "python2.7", BUILD / "virtualenv"
    wstest, stamp = environment / "bin" / "wstest", environment / "installed.txt"
    wanted = f"# {python27} {ACCELERATOR}\n{REQUIREMENTS.read_text(encoding='utf-8')}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return wstest
    print(f"installing Autobahn's test suite for {python27} in {environment.relative_to(ROOT)}")
    shutil.rmtree(environment, ignore_errors=True)
    venv.create(helper, clear=True, with_pip=True)
    run(helper / "bin" / "python", "-m", "pip", "install", "--quiet", VIRTUALENV)
    run(
        *(helper / "bin" / "python", "-m", "virtualenv", "--no-periodic-update"),
        *("--app-data", helper / "app-data", "--python", python27, environment),
    )
    pip = (environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-deps", "--requirement", REQUIREMENTS)
    try:
        run(*pip, "install", "--quiet", "--no-deps", ACCELERATOR)
    except AutobahnError:
        print("wsaccel cannot be compiled here: the suite will run, but take three times as long")
    stamp.write_text(wanted, encoding="utf-8")
    return wstest


# -- a run --


@contextmanager
def echo_server(strategy: str) -> Iterator[str]:
    """The address of a server that runs meanwhile, and that has to end well."""
    with subprocess.Popen(
        [sys.executable, CONFORMANCE / "echo_server.py", strategy],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise AutobahnError(f"the server with {strategy} did not start")
            yield url
            process.stdin.close()
            if process.wait(timeout=30):
                raise AutobahnError(f"the server with {strategy} ended with {process.returncode}")
        finally:
            process.kill()


def write_spec(folder: Path, strategy: str, url: str, excluded: Sequence[str]) -> Path:
    spec = {
        "outdir": str(folder),
        "servers": [{"agent": strategy, "url": url}],
        "cases": ["*"],
        "exclude-cases": list(excluded),
        "exclude-agent-cases": {},
    }
    path = folder / "fuzzingclient.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path


def tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])


def fuzz(wstest: Path, strategy: str, compressed: Sequence[str]) -> Run:
    """All cases with one strategy, of compression those that are named."""
    excluded = sorted(set(COMPRESSED) - set(compressed))
    folder = BUILD / strategy
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, index = folder / "wstest.log", folder / "index.json"
    start = time.monotonic()
    with echo_server(strategy) as url, log.open("w", encoding="utf-8") as out:
        spec = write_spec(folder, strategy, url, excluded)
        try:
            status = subprocess.run(
                [wstest, "--mode", "fuzzingclient", "--spec", spec],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=TIMEOUT, check=False,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            raise AutobahnError(f"wstest did not end in {TIMEOUT} s:\n{tail(log)}") from None
    if status or not index.exists():
        raise AutobahnError(f"wstest ended with {status}:\n{tail(log)}")
    seconds = time.monotonic() - start
    return Run(strategy, read_cases(index, strategy), seconds, CASES + len(compressed))


def read_cases(index: Path, strategy: str) -> list[Case]:
    found = json.loads(index.read_text(encoding="utf-8")).get(strategy, {})
    cases = [
        Case(name, case["behavior"], case["behaviorClose"], index.parent / case["reportfile"])
        for name, case in found.items()
    ]
    return sorted(cases, key=lambda case: [int(number) for number in case.name.split(".")])


# -- what came out --


def print_table(runs: Sequence[Run]) -> None:
    counts = [Counter(case.verdict for case in run.cases) for run in runs]
    verdicts = [*GOOD, *sorted(set().union(*counts) - set(GOOD))]
    print("  ".join(["strategy", "cases", *verdicts, "seconds"]))
    for run, count in zip(runs, counts, strict=True):
        cells = [f"{run.strategy:8}", f"{len(run.cases):5}"]
        cells += [f"{count[verdict]:{len(verdict)}}" for verdict in verdicts]
        print("  ".join([*cells, f"{run.seconds:7.0f}"]))


def print_faults(runs: Sequence[Run]) -> None:
    for run in runs:
        if len(run.cases) != run.expected:
            print(f"{run.strategy}: {len(run.cases)} cases were run, not {run.expected}")
        for case in run.cases:
            if not case.is_good:
                print(f"{run.strategy}: {case.explain()}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Autobahn's test suite against wspy.")
    parser.add_argument("strategies", nargs="+", choices=STRATEGIES, metavar="STRATEGY")
    parser.add_argument("--sample", action="store_true", help="40 of the cases of compression")
    parser.add_argument("--require", action="store_true", help="fail if there is no Python 2.7")
    options = parser.parse_args()
    try:
        python27 = find_python27()
        if python27 is None:
            if options.require:
                raise AutobahnError(MISSING)
            print(f"skipped: {MISSING}")
            return SKIPPED
        wstest = install(python27)
        runs = []
        for strategy in options.strategies:
            print(f"running Autobahn's cases with {strategy}", flush=True)
            runs.append(fuzz(wstest, strategy, SAMPLE if options.sample else COMPRESSED))
    except AutobahnError as exc:
        print(exc, file=sys.stderr)
        return 1
    print_table(runs)
    print_faults(runs)
    return 0 if all(run.is_good for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
