"""Runs the targets of tests/fuzz with libFuzzer, as many at a time as there are processors. Each
begins with the inputs of tests/fuzz/corpus; what it finds besides is in build/fuzz/corpus.

usage: python scripts/fuzz.py [--seconds N] [--merge] [TARGET ...]

Exit status: 1 if there is a finding, an input at which a target ended; it is in build/fuzz/findings.
CLANG is another compiler than clang.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "csrc" / "core"
FUZZ = ROOT / "tests" / "fuzz"
CORPUS = FUZZ / "corpus"
BUILD = ROOT / "build" / "fuzz"
FOUND = BUILD / "corpus"
FINDINGS = BUILD / "findings"

CLANG = shlex.split(os.environ.get("CLANG", "clang"))
SANITIZERS = "-fsanitize=address,undefined"
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O2", SANITIZERS, "-fno-sanitize-recover=undefined"]
LIBRARIES = ["-lcrypto", "-lz", "-lpthread"]

# Target -> the longest input that is tried: a short one is quick, and easy to read.
MAX_LEN = {
    "conn": 512,
    "deflate": 200,
    "extension": 300,
    "frame": 16,
    "http": 1024,
    "proto": 160,
    "utf8": 400,
}


def run(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def must(command: Sequence[str | Path]) -> None:
    done = run(command)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}\n{done.stdout}{done.stderr}")


# -- building --


def has_libfuzzer() -> bool:
    source = BUILD / "empty.c"
    source.write_text(
        "#include <stddef.h>\n"
        "#include <stdint.h>\n"
        "int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {\n"
        "    return data && size ? 0 : 0;\n"
        "}\n"
    )
    try:
        built = run([*CLANG, *FLAGS, "-fsanitize=fuzzer", source, "-o", BUILD / "empty"])
        return built.returncode == 0 and run([BUILD / "empty", "-runs=1"]).returncode == 0
    except FileNotFoundError:
        return False


def need_libfuzzer() -> None:
    """The compiler's runtime libraries are a package of their own, which is not always there."""
    packages: list[str] = []
    for package in "", "clang", "libclang-rt-dev":
        if package and shutil.which("apt-get"):
            packages.append(package)
            command = ["sh", "scripts/system.sh", sys.executable, *packages]
            subprocess.run(command, cwd=ROOT, check=False)
        if has_libfuzzer():
            return
    sys.exit(
        "fuzzing needs a clang with libFuzzer: install clang and libclang-rt-14-dev, or what is "
        "called so for your clang"
    )


def compile_core() -> list[Path]:
    """Instrumented: what libFuzzer counts is the core's edges only."""
    folder = BUILD / "core"
    folder.mkdir(exist_ok=True)

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.stem}.o"
        must([*CLANG, *FLAGS, "-fsanitize=fuzzer-no-link", "-c", source, "-o", target])
        return target

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(compile_one, sorted(CORE.glob("*.c"))))


def build(target: str, objects: Sequence[Path]) -> Path:
    program = BUILD / f"fuzz_{target}"
    own = BUILD / f"fuzz_{target}.o"
    must([*CLANG, *FLAGS, f"-I{CORE}", "-c", FUZZ / f"fuzz_{target}.c", "-o", own])
    must([*CLANG, *FLAGS, "-fsanitize=fuzzer", own, *objects, *LIBRARIES, "-o", program])
    return program


# -- running --


def environment() -> dict[str, str]:
    """What was freed is kept back in a few MiB only: it is a short while from input to input."""
    return {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=16",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


def fuzz(target: str, program: Path, seconds: int) -> bool:
    """Prints a line at the end. True if nothing was found."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    command = [
        str(program),
        f"-max_total_time={seconds}",
        f"-max_len={MAX_LEN[target]}",
        "-timeout=20",
        "-print_final_stats=1",
        f"-artifact_prefix={FINDINGS / target}-",
        str(found),
        str(CORPUS / target),
    ]
    path = BUILD / f"{target}.log"
    with path.open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    text = path.read_text(errors="replace")
    cpu = usage.ru_utime + usage.ru_stime
    print(f"{target:<6} {summary(text)}, {cpu:.0f} CPU seconds", flush=True)
    if process.returncode != 0:
        print(f"{target}: exit status {process.returncode}, the end of {path}:\n{tail(text)}")
    return process.returncode == 0


def summary(text: str) -> str:
    def last(pattern: str) -> str:
        found = re.findall(pattern, text)
        return found[-1] if found else "?"

    executions = last(r"stat::number_of_executed_units: (\d+)")
    return f"{executions} executions, {last(' cov: ([0-9]+) ')} edges"


def tail(text: str) -> str:
    """From where the report begins, or the last lines."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if "ERROR" in line or ": failed: " in line]
    return "\n".join(lines[starts[0] :][:60] if starts else lines[-40:])


def merge(target: str, program: Path) -> None:
    """Takes what was found into the corpus as far as it reaches something new, and drops from the
    corpus what reaches nothing that the rest does not. The seeds stay."""
    corpus, small = CORPUS / target, BUILD / "merged" / target
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir(parents=True)
    for seed in corpus.glob("seed-*"):
        shutil.copy(seed, small)
    must([program, "-merge=1", f"-max_len={MAX_LEN[target]}", small, corpus, FOUND / target])
    shutil.rmtree(corpus)
    shutil.copytree(small, corpus)
    files = list(corpus.iterdir())
    print(f"{target:<6} {len(files)} inputs, {sum(path.stat().st_size for path in files)} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the targets of tests/fuzz with libFuzzer.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(MAX_LEN)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--merge", action="store_true", help="keep what was found in the tree")
    args = parser.parse_args()
    targets = args.targets or list(MAX_LEN)
    if unknown := set(targets) - set(MAX_LEN):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")

    FINDINGS.mkdir(parents=True, exist_ok=True)
    need_libfuzzer()
    objects = compile_core()
    programs = {target: build(target, objects) for target in targets}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(fuzz, *item, args.seconds) for item in programs.items()]
    if not all(run.result() for run in runs):
        return 1
    if args.merge:
        for target, program in programs.items():
            merge(target, program)
    return 0


if __name__ == "__main__":
    sys.exit(main())
