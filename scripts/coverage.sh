#!/bin/sh
# The lines that tests run: of the core in C by the C tests, of wspy in Python by the rest. `make
# coverage` puts the tools on PATH. Fails if a test does, or if the core's share is too small.
#
# usage: scripts/coverage.sh
set -eu
cd "$(dirname "$0")/.."

python scripts/gcov.py --least 95

rm -f build/coverage/python*
echo
# These two run no line of wspy: they build it.
python -m coverage run -m pytest --quiet --ignore tests/test_c.py --ignore tests/test_packaging.py
python -m coverage combine --quiet
python -m coverage report
