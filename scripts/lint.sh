#!/bin/sh
# Looks at every file without running it. `make lint` puts the tools' versions of pyproject.toml on
# PATH. All checks are done, so that one run tells everything; the exit status is 1 if one failed.
#
# usage: scripts/lint.sh
set -u
cd "$(dirname "$0")/.." || exit 1

cc=${CC:-cc}
failed=
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

check() { # check NAME COMMAND ...: runs it, keeps what it says to those that fail
    name=$1
    shift
    if "$@" >"$build/out" 2>&1; then
        echo "ok    $name"
    else
        echo "FAIL  $name"
        cat "$build/out"
        failed="$failed $name"
    fi
}

each() { # each FLAGS FILE ...: compiles the files one by one, on all CPUs, and goes on after an error
    flags=$1
    shift
    # shellcheck disable=SC2086 # they are lists of words
    printf '%s\n' "$@" | xargs -P "$(nproc)" -I FILE $cc $standard $flags -c FILE -o /dev/null
}

standard="-std=c11 -D_GNU_SOURCE -O2"
strict="-Wall -Wextra -Wshadow -Wconversion -Werror"
python_headers=$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')

check "ruff" ruff check --quiet .
check "ruff format" ruff format --check --quiet --diff .
# One call each: two programs of different folders may have the same name.
check "mypy wspy" mypy --strict wspy
check "mypy tests" mypy --strict tests
check "mypy examples" mypy --strict examples
check "mypy bench" mypy --strict bench
# screenshots.py starts its browser as the tests do.
check "mypy scripts" env MYPYPATH=tests:bench mypy --strict scripts/*.py

check "clang-format" clang-format --dry-run --Werror csrc/*/*.[ch] bench/*.[ch] bench/servers/*.c tests/*/*.[ch]

check "warnings csrc/core" each "$strict -Icsrc/core" csrc/core/*.c
check "warnings csrc/python" each "$strict -Icsrc/core -isystem $python_headers" csrc/python/*.c
check "warnings tests/fuzz" each "$strict -Icsrc/core" tests/fuzz/*.c
check "warnings bench" each "$strict" bench/*.c bench/servers/*.c
# clang has no such flag; its analyzer is another program.
if echo | $cc -fanalyzer -x c -fsyntax-only - 2>/dev/null; then
    check "analyzer csrc/core" each "-g -fanalyzer -Werror -Icsrc/core" csrc/core/*.c
else
    echo "skip  analyzer csrc/core: $cc has no -fanalyzer"
fi

[ -z "$failed" ] || exit 1
