"""The fuzz targets over their corpora, under the sanitizers; `make fuzz` is where libFuzzer runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from building import ASAN, CC, INCLUDE, LIBRARIES, ROOT, STANDARD, must, run

# Seconds: the first test of a worker waits until the whole core is compiled.
pytestmark = pytest.mark.timeout(600)

FUZZ = ROOT / "tests" / "fuzz"
TARGETS = [path.stem.removeprefix("fuzz_") for path in sorted(FUZZ.glob("fuzz_*.c"))]


def build(source: Path, objects: list[Path], folder: Path) -> Path:
    program = folder / source.stem
    flags = [*STANDARD, *ASAN, INCLUDE, f"-I{FUZZ}"]
    must([*CC, *flags, source, FUZZ / "replay.c", *objects, *LIBRARIES, "-o", program])
    return program


def inputs_of(target: str) -> list[Path]:
    return sorted((FUZZ / "corpus" / target).iterdir())


def test_targets() -> None:
    assert TARGETS == ["conn", "deflate", "extension", "frame", "http", "proto", "utf8"]
    assert sorted(path.name for path in (FUZZ / "corpus").iterdir()) == TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target: str, asan_objects: list[Path], tmp_path: Path) -> None:
    inputs = inputs_of(target)
    assert len(inputs) >= 50
    program = build(FUZZ / f"fuzz_{target}.c", asan_objects, tmp_path)
    done = run([program, FUZZ / "corpus" / target])
    assert done.returncode == 0, done.stderr[-8000:]
    assert done.stdout == f"{len(inputs)} inputs\n"


def test_a_finding_ends_the_replay(asan_objects: list[Path], tmp_path: Path) -> None:
    source = tmp_path / "target.c"
    source.write_text(
        '#include "fuzz.h"\n'
        "int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {\n"
        "    MUST(size == 0 || data[0] != 'x');\n"
        "    return 0;\n"
        "}\n"
    )
    program = build(source, asan_objects, tmp_path)
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "good").write_bytes(b"good")
    (folder / "empty").write_bytes(b"")
    assert must([program, folder, folder / "good"]) == "3 inputs\n"

    (folder / "bad").write_bytes(b"x")
    done = run([program, folder / "good", folder / "bad", folder / "empty"])
    assert done.returncode != 0
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[:2] == [str(folder / "good"), str(folder / "bad")]
    assert lines[2].endswith(":3: LLVMFuzzerTestOneInput: failed: size == 0 || data[0] != 'x'")


def test_the_seeds_are_what_the_script_makes(tmp_path: Path) -> None:
    must([sys.executable, FUZZ / "seeds.py", tmp_path])
    for target in TARGETS:
        made = {path.name: path.read_bytes() for path in (tmp_path / target).iterdir()}
        kept = {
            path.name: path.read_bytes()
            for path in inputs_of(target)
            if path.name.startswith("seed-")
        }
        assert made == kept


def test_the_corpora_are_small() -> None:
    sizes = [path.stat().st_size for target in TARGETS for path in inputs_of(target)]
    assert max(sizes) < 4096
    assert sum(sizes) < 300 * 1024
