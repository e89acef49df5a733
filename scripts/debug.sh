#!/bin/sh
# The tests on an extension that is built with the address and undefined behaviour sanitizers, in a
# copy of the checkout with an environment of its own: build/debug. What make run and make test use
# stays as it is.
#
# usage: scripts/debug.sh PYTHON [PYTEST-ARGUMENT ...]
set -eu
cd "$(dirname "$0")/.."

python=$1
shift
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac

tree=build/debug/wspy
rm -rf "$tree"
mkdir -p "$tree"
tar -cf - --exclude='./.*' --exclude=./build --exclude=./dist --exclude='*.egg-info' \
    --exclude='*.so' --exclude=__pycache__ . | tar -xf - -C "$tree"
cd "$tree"
WSPY_SANITIZE=1 make --no-print-directory build PYTHON="$python" VENV=../venv --assume-new=setup.py

# The sanitizers have to be there before the first malloc, and Python is not linked with them.
# With PYTHONMALLOC each object is an allocation of its own that ASan watches. Python itself leaves
# memory behind at its end, so leaks are the C tests' to find: those run under LeakSanitizer.
# What was freed is kept back in a few MiB only, so that the tests that look at memory see none grow.
# No browser: Chromium, which would inherit the preload, has an allocator of its own and hangs.
exec env \
    LD_PRELOAD="$(${CC:-cc} -print-file-name=libasan.so)" \
    ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=4:thread_local_quarantine_size_kb=64 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    PYTHONMALLOC=malloc \
    ../venv/bin/python -m pytest --ignore-glob 'tests/test_browser*.py' "$@"
