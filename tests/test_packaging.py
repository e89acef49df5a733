"""What is shipped, and what the build says when something is missing."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import wspy

ROOT = Path(__file__).parent.parent
LIBRARIES = "install libssl-dev zlib1g-dev (Debian, Ubuntu), openssl-devel zlib-devel (Fedora) or"

# What the compiler may not find -> what the build says.
MISSING = {
    "openssl/evp.h": (
        "wspy cannot be built without the headers of OpenSSL (openssl/evp.h): install libssl-dev "
        "(Debian, Ubuntu), openssl-devel (Fedora) or openssl-dev (Alpine)."
    ),
    "zlib.h": (
        "wspy cannot be built without the headers of zlib (zlib.h): install zlib1g-dev "
        "(Debian, Ubuntu), zlib-devel (Fedora) or zlib-dev (Alpine)."
    ),
    "Python.h": (
        "wspy cannot be built without the headers of this Python (Python.h): install python3-dev "
        "(Debian, Ubuntu), python3-devel (Fedora) or python3-dev (Alpine)."
    ),
    "openssl/evp.h|zlib.h": (
        "wspy cannot be built without the headers of OpenSSL (openssl/evp.h) and the headers of "
        f"zlib (zlib.h): {LIBRARIES} openssl-dev zlib-dev (Alpine)."
    ),
    "main": (
        "wspy cannot be built without a C compiler: install build-essential "
        "(Debian, Ubuntu), gcc (Fedora) or build-base (Alpine)."
    ),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout without what was built."""
    copy = tmp_path_factory.mktemp("copy") / "wspy"
    ignore = shutil.ignore_patterns(".*", "build", "dist", "*.so", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignore)
    return copy


def compiler_without(pattern: str, folder: Path) -> str:
    """A C compiler that fails, with a dump, for sources that match the pattern."""
    path = folder / "cc-without"
    path.write_text(
        "#!/bin/sh\n"
        'for source in "$@"; do\n'
        f"    case $source in *.c) grep -Eq '{pattern}' \"$source\" && {{\n"
        '        echo "$source:1:10: fatal error: no such file" >&2; exit 1; }\n'
        "    esac\n"
        "done\n"
        'exec cc "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def build_ext(tree: Path, folder: Path, cc: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "-t", str(folder), "-b", str(folder)],
        cwd=tree,
        check=False,
        env={**os.environ, "CC": cc},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("pattern", MISSING)
def test_what_is_missing_is_told_in_one_sentence(
    tree: Path, tmp_path: Path, pattern: str
) -> None:  # fmt: skip
    done = build_ext(tree, tmp_path, compiler_without(pattern, tmp_path))
    assert (done.returncode, done.stderr) == (1, MISSING[pattern] + "\n")


def test_no_compiler_at_all(tree: Path, tmp_path: Path) -> None:
    done = build_ext(tree, tmp_path, str(tmp_path / "no-such-compiler"))
    assert (done.returncode, done.stderr) == (1, MISSING["main"] + "\n")


def test_pip_tells_it_too(tree: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps"]
    done = subprocess.run(
        [*command, "--target", str(tmp_path / "target"), "."],
        cwd=tree,
        check=False,
        env={**os.environ, "CC": compiler_without("zlib.h", tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert MISSING["zlib.h"] in output
    assert "Traceback" not in output
    assert "fatal error" not in output


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist", "-d", str(folder)],
        cwd=tree,
        check=True,
        capture_output=True,
    )
    (path,) = folder.iterdir()
    return path


def test_the_sdist_has_what_a_build_and_the_tests_need(tree: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    patterns = ("csrc/**/*.[ch]", "wspy/**/*.*", "tests/**/*.*", "examples/*.*", "bench/**/*.*")
    files = {p.relative_to(tree).as_posix() for g in patterns for p in tree.glob(g)}
    files |= {"Makefile", "README.md", "LICENSE", "CHANGELOG.md", "setup.py", "scripts/system.sh"}
    assert files <= names


def test_the_wheel(sdist: Path, tmp_path: Path) -> None:
    """Built from the sdist, it has the package, its data and the extension, and no more."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "-w", str(tmp_path), str(sdist)], check=True, capture_output=True)
    (path,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = f"wspy-{wspy.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        assert "MIT License" in archive.read(f"{info}/licenses/LICENSE").decode()
    assert f"\nVersion: {wspy.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.10\n" in metadata
    assert not re.search(r"^Requires-Dist: (?!.*extra ==)", metadata, re.MULTILINE)

    folder = ROOT / "wspy"
    kinds = {".py", ".pyi", ".typed", ".html", ".css", ".js"}
    files = {p for p in folder.rglob("*") if p.suffix in kinds}
    shared = {name for name in names if name.endswith(".so")}
    assert len(shared) == 1
    assert names - shared == {p.relative_to(ROOT).as_posix() for p in files} | {"wspy/py.typed"}


def test_the_version_is_one() -> None:
    assert importlib.metadata.version("wspy") == wspy.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(wspy.__version__)}\b", changes, re.MULTILINE)


def test_what_is_tested_is_this_checkout() -> None:
    assert Path(wspy.__file__).parent == ROOT / "wspy"


@pytest.mark.parametrize("name", ["echo.py", "chat.py", "ticker.py"])
def test_the_examples_are_short(name: str) -> None:
    lines = (ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()
    assert len(lines) < 40
    compile("\n".join(lines), name, "exec")


def test_the_code_in_the_readme_compiles() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
