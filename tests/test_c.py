"""The core's C tests, under the sanitizers, and what holds for each of the core's files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from building import (
    ASAN,
    CC,
    HEADERS,
    INCLUDE,
    LIBRARIES,
    ROOT,
    SOURCES,
    STANDARD,
    WARNINGS,
    compile_core,
    must,
    run,
)
from machine import skip_unless

# Seconds: the first test of a worker waits until the whole core is compiled.
pytestmark = pytest.mark.timeout(600)

PROGRAMS = sorted((ROOT / "tests" / "c").glob("test_*.c"))
TSAN = ["-g", "-O1", "-fsanitize=thread"]


def names_of(source: Path) -> set[str]:
    """The tests of a program: each RUN(name), and each row of a table that runs once a strategy."""
    text = source.read_text(encoding="utf-8")
    rows = re.findall(r'^    \{"(\w+)", case_\1\},$', text, re.MULTILINE)
    strategies = re.findall(r'\brun_cases\(\w+, "(\w+)"\);', text)
    table = {f"test_{strategy}_{row}" for strategy in strategies for row in rows}
    return set(re.findall(r"\bRUN\((\w+)\);", text)) | table


def wrappers_of(source: Path) -> list[str]:
    """A comment in a program names functions that it stands in for: "wrap: malloc calloc"."""
    text = source.read_text(encoding="utf-8")
    lines = re.findall(r"^/\* wrap: (.+) \*/$", text, re.MULTILINE)
    return [f"-Wl,--wrap={name}" for name in " ".join(lines).split()]


def check_program(
    source: Path, flags: Sequence[str], objects: Sequence[Path], folder: Path
) -> None:
    """Builds a test program and runs it: it says "ok" for each of its tests, and ends well."""
    program = folder / source.stem
    wrappers = wrappers_of(source)
    must([*CC, *STANDARD, *flags, INCLUDE, source, *objects, *wrappers, *LIBRARIES, "-o", program])
    done = run([program])
    tests = names_of(source)
    passed = set(re.findall(r"^ok (\w+)$", done.stdout, re.MULTILINE))
    assert done.returncode == 0, done.stderr
    assert tests
    assert passed == tests


@pytest.fixture(scope="session")
def tsan_objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tsan")
    empty = folder / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    built = run([*CC, *TSAN, empty, "-o", folder / "empty"])
    if built.returncode != 0 or run([folder / "empty"]).returncode != 0:
        skip_unless(False, "the thread sanitizer does not work here")
    return compile_core(folder, TSAN)


@pytest.fixture(scope="session")
def plain_objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return compile_core(tmp_path_factory.mktemp("plain"), ["-fno-pie"])


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda source: source.stem)
def test_program(source: Path, asan_objects: list[Path], tmp_path: Path) -> None:
    check_program(source, ASAN, asan_objects, tmp_path)


@pytest.mark.parametrize("name", ["test_mailbox", "test_msg", "test_loop_threads", "test_pollset"])
def test_program_threads(name: str, tsan_objects: list[Path], tmp_path: Path) -> None:
    check_program(ROOT / "tests" / "c" / f"{name}.c", TSAN, tsan_objects, tmp_path)


def test_every_module_has_a_program() -> None:
    """Connections are tested with the loop, by test_loop_*.c."""
    tested = {source.stem.removeprefix("test_") for source in PROGRAMS}
    conns = {source.stem for source in SOURCES if source.stem.startswith("conn")}
    together = {"dispatch", *conns}
    strategies = {"poll_select", "poll_poll", "poll_epoll"}
    assert {source.stem for source in SOURCES} - tested == together | strategies | {"simd"}


def test_no_mutable_data(plain_objects: list[Path]) -> None:
    """No file of the core has variables that outlive a call: all state is in the server."""
    variables = [
        f"{path.stem}: {line}"
        for path in plain_objects
        for line in must(["nm", path]).splitlines()
        if re.search(r" [dDbBC] ", line)
    ]
    assert variables == []


def test_core_knows_no_python(plain_objects: list[Path], tmp_path: Path) -> None:
    for path in SOURCES + HEADERS:
        assert "Python.h" not in path.read_text(encoding="utf-8"), path.name
    source = tmp_path / "alone.c"
    source.write_text(
        '#include "ws.h"\n'
        "int main(void) {\n"
        "    struct ws_options options;\n"
        "    struct ws_handlers handlers = {0};\n"
        "    ws_options_init(&options);\n"
        "    struct ws_server *s = ws_server_new(&options, &handlers, 0);\n"
        "    ws_server_free(s);\n"
        "    return !s;\n"
        "}\n"
    )
    program = tmp_path / "alone"
    options = [*STANDARD, "-fno-pie", "-no-pie", INCLUDE]
    must([*CC, *options, source, *plain_objects, *LIBRARIES, "-o", program])
    must([program])


def test_no_warnings(tmp_path: Path) -> None:
    compile_core(tmp_path, WARNINGS)


def test_headers_stand_alone(tmp_path: Path) -> None:
    """A header brings what it needs, wherever it is included first."""
    for header in HEADERS:
        source = tmp_path / f"{header.stem}.c"
        source.write_text(f'#include "{header.name}"\n#include "{header.name}"\nextern int x;\n')
        must([*CC, *STANDARD, *WARNINGS, INCLUDE, "-fsyntax-only", source])
