"""This tree beside another revision of it, in turns: has a change made it slower?

Usage: compare.py REVISION [options]
Both are built from their sources in the same way, into build/compare/, and run the same server
programs, those of this tree. Exit status: 0, or 1 if the median ratio of a workload is under 0.95,
or a run failed.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmark import Benchmark, Table
from broadcast import BROADCAST
from command import how, make_settings, measure_benchmark
from echo import ECHO
from peer import WSPY, Peer, why_missing
from program import BENCH, BUILD, BenchError
from report import print_setting, ratios, setting, traffic_columns
from workload import Workload

ROOT = BENCH.parent
FOLDER = BUILD / "compare"
LEAST = 0.95  # of the revision's messages per server-CPU-second
TREE = "this tree"

ECHO_WORKLOADS = (
    *(Workload(32, "20", 1), Workload(32, "20", 16), Workload(500, "1024", 1)),
    *(Workload(8, "65536", 1), Workload(8, "1048576", 1)),
)


def git(*words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
    except OSError as error:
        raise BenchError(f"git cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        raise BenchError(done.stderr.decode(errors="replace").strip())
    return done.stdout


def commit_of(revision: str) -> str:
    try:
        return git("rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    except BenchError as error:
        raise BenchError(f"there is no revision {revision} to compare with: {error}") from None


def sources_of(revision: str, folder: Path) -> None:
    """Its files, without a working tree of git's that would have to be given back."""
    with tarfile.open(fileobj=io.BytesIO(git("archive", revision))) as archive:
        archive.extractall(folder, filter="data")


def sources_here(folder: Path) -> None:
    """What git knows of, or would, as it is now; what is built lies elsewhere."""
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0"):
        path = ROOT / name.decode()
        if name and path.is_file():
            target = folder / name.decode()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def build_wspy(sources: Path, target: Path) -> None:
    """Into a folder of its own, which PYTHONPATH can name."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--no-deps", "--target", str(target), str(sources)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BenchError(f"{sources} cannot be built:\n{done.stdout}")


def built(name: str, peer: Peer) -> Peer:
    """The peer, once it can be imported from its own folder and from nowhere else."""
    where = subprocess.run(
        [sys.executable, "-c", "import wspy; print(wspy.__file__)"],
        capture_output=True,
        text=True,
        cwd=FOLDER,
        env=peer.environment(),
        check=False,
    )
    if where.returncode != 0 or Path(where.stdout.strip()).parent.parent != peer.folder:
        raise BenchError(f"{name} is not what is imported: {why_missing(peer) or where.stdout}")
    return peer


def prepare(revision: str) -> tuple[Peer, Peer]:
    """The revision and this tree, built. A revision is built once, this tree each time."""
    commit = commit_of(revision)
    name = commit[:12]
    old, new = FOLDER / name, FOLDER / "tree"
    if not (old / "site").exists():
        shutil.rmtree(old, ignore_errors=True)
        sources_of(commit, old / "sources")
        build_wspy(old / "sources", old / "site")
    shutil.rmtree(new, ignore_errors=True)
    sources_here(new / "sources")
    build_wspy(new / "sources", new / "site")
    parent = replace(WSPY, name=name, program="wspy", module="wspy", folder=old / "site")
    tree = replace(parent, name=TREE, folder=new / "site")
    return built(name, parent), built(TREE, tree)


def verdict(table: Table, baseline: str) -> tuple[bool, str]:
    """Whether the tree is fast enough, and the words for it."""
    found = ratios(table.results, TREE, table.benchmark.key, baseline)
    if not found:
        return False, f"{table.title}: a run failed"
    good = median(found) >= LEAST
    words = f"{table.title}: {median(found):.3f} ({min(found):.2f} to {max(found):.2f})"
    if not good:
        words += f": under {LEAST}"
        if max(found) >= LEAST:
            words += ", but not in every round: repeat it, with more --rounds"
    return good, words


def beside(benchmark: Benchmark, baseline: str, workloads: Sequence[Workload]) -> Benchmark:
    """The benchmark with the revision as what the ratios are to."""
    one, many = ("delivery", "deliveries") if benchmark is BROADCAST else ("message", "messages")
    columns = traffic_columns(one, many, baseline)
    return replace(benchmark, peers=(TREE, baseline), columns=columns, workloads=tuple(workloads))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("revision", help="what git calls it, such as HEAD or main~3")
    add("--rounds", type=int, default=8, help="turns of each (8)")
    add("--seconds", type=float, default=1.0, help="measured time of a turn (1)")
    for benchmark, workloads in ((ECHO, ECHO_WORKLOADS), (BROADCAST, BROADCAST.workloads)):
        words = ",".join(map(str, workloads))
        add(f"--{benchmark.name}", default=words, help='its workloads, "" for none (%(default)s)')
    found = parser.parse_args()
    if found.rounds < 1 or found.seconds <= 0:
        parser.error("--rounds and --seconds have to be positive")
    try:
        for name in (ECHO.name, BROADCAST.name):
            chosen = getattr(found, name).split(",")
            setattr(found, name, [Workload.parse(word) for word in chosen if word])
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    return found


def main() -> int:
    options = arguments()
    try:
        parent, tree = prepare(options.revision)
        settings = make_settings(options.rounds, options.seconds)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    compared = f"{TREE} beside {options.revision} ({parent.name})"
    print_setting([compared, *setting([], how(settings))])
    tables = []
    for benchmark, workloads in ((ECHO, options.echo), (BROADCAST, options.broadcast)):
        chosen = beside(benchmark, parent.name, workloads)
        tables += measure_benchmark(chosen, [tree, parent], workloads, settings)
    verdicts = [verdict(table, parent.name) for table in tables]
    print(f"Messages per server-CPU-second, {TREE} to {parent.name}:\n")
    print("\n".join(f"- {words}" for _, words in verdicts))
    return 0 if verdicts and all(good for good, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
