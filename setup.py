"""The extension wspy._core; everything else is in pyproject.toml.

Before it compiles, the build tries what it needs, so that a missing header is told in one sentence.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# What a build needs: a line of C that wants it, its name, and what to install on
# Debian and Ubuntu, on Fedora, and on Alpine.
NEEDED = (
    ("", "a C compiler", "build-essential", "gcc", "build-base"),
    (
        "#include <Python.h>",
        "the headers of this Python (Python.h)",
        "python3-dev",
        "python3-devel",
        "python3-dev",
    ),
    (
        "#include <openssl/evp.h>",
        "the headers of OpenSSL (openssl/evp.h)",
        "libssl-dev",
        "openssl-devel",
        "openssl-dev",
    ),
    (
        "#include <zlib.h>",
        "the headers of zlib (zlib.h)",
        "zlib1g-dev",
        "zlib-devel",
        "zlib-dev",
    ),
)


class BuildExt(build_ext):
    def build_extensions(self) -> None:
        missing = self.find_missing()
        if missing:
            # SystemExit ends setuptools and pip's build without a traceback.
            raise SystemExit(describe(missing))
        if os.environ.get("WSPY_SANITIZE") != "1":
            self.optimize_at_link_time()
        if profile := os.environ.get("WSPY_PGO"):
            self.guide_by_profile(profile)
        super().build_extensions()

    def optimize_at_link_time(self) -> None:
        """The core's small functions are called from file to file for each message: one in eight
        of an echo's instructions goes with them. A compiler that cannot builds without it."""
        flag = "-flto=auto" if self.compiles("", "-flto=auto", link=True) else "-flto"
        if not self.compiles("", flag, link=True):
            return
        for extension in self.extensions:
            extension.extra_compile_args.append(flag)
            # The warnings of this step are those of -O0: it does not know the sources' flags.
            extension.extra_link_args += [flag, "-O3"]

    def find_missing(self) -> list[tuple[str, ...]]:
        lines, *_ = zip(*NEEDED, strict=True)
        if self.compiles("\n".join(lines)):
            return []
        if not self.compiles(""):
            return [NEEDED[0]]
        return [need for need in NEEDED if not self.compiles(need[0])]

    def guide_by_profile(self, step: str) -> None:
        """scripts/wheel.py builds twice: "generate" counts which way the code goes, "use" knows."""
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "build", "pgo", "counts")
        flags = {
            "generate": ["-fprofile-generate", "-fprofile-update=atomic"],
            "use": ["-fprofile-use", "-fprofile-correction", "-Wno-missing-profile"],
        }[step]
        self.force = True  # what build/ holds may be of another step
        for extension in self.extensions:
            extension.extra_compile_args += [*flags, f"-fprofile-dir={folder}"]
            extension.extra_link_args += [*flags, f"-fprofile-dir={folder}"]

    def compiles(self, lines: str, *flags: str, link: bool = False) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source, target = os.path.join(folder, "try.c"), os.path.join(folder, "try.o")
            with open(source, "w", encoding="utf-8") as file:
                file.write(lines + "\nint main(void) { return 0; }\n")
            command = [*self.compiler.compiler_so, *(f"-I{d}" for d in self.compiler.include_dirs)]
            commands = [[*command, *flags, "-c", source, "-o", target]]
            if link:
                library = os.path.join(folder, "try.so")
                commands.append([*self.compiler.linker_so, *flags, target, "-o", library])
            try:
                return all(
                    subprocess.run(command, capture_output=True, check=False).returncode == 0
                    for command in commands
                )
            except OSError:  # there is no such compiler
                return False


def describe(missing: list[tuple[str, ...]]) -> str:
    _, names, debian, fedora, alpine = (list(column) for column in zip(*missing, strict=True))
    return (
        f"wspy cannot be built without {' and '.join(names)}: install {' '.join(debian)} "
        f"(Debian, Ubuntu), {' '.join(fedora)} (Fedora) or {' '.join(alpine)} (Alpine)."
    )


def extension() -> Extension:
    compile_args = ["-std=c11", "-fvisibility=hidden", "-fstack-protector-strong"]
    compile_args += ["-Wall", "-Wextra"]
    link_args = []
    macros: list[tuple[str, str | None]] = [("_GNU_SOURCE", None)]
    if os.environ.get("WSPY_SANITIZE") == "1":
        sanitizers = "-fsanitize=address,undefined"
        # Some Pythons are configured with _FORTIFY_SOURCE, which hides overruns from ASan.
        compile_args += ["-O1", "-g", sanitizers, "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE"]
        link_args += [sanitizers]
    else:
        compile_args += ["-O3", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
    if sys.platform == "linux":
        link_args += ["-Wl,-z,relro,-z,now,--as-needed"]
    return Extension(
        "wspy._core",
        sources=sorted(glob("csrc/core/*.c") + glob("csrc/python/*.c")),
        depends=sorted(glob("csrc/*/*.h")),
        include_dirs=["csrc/core"],
        define_macros=macros,
        libraries=["crypto", "z"],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


setup(ext_modules=[extension()], cmdclass={"build_ext": BuildExt})
