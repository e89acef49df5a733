#!/bin/sh
# The lines that tests run: of the core in C by the C tests, of wspy in Python by the rest. `make
# coverage` puts the tools on PATH. Fails if a test does, or if the core's share is too small; prints
# both tables in any case.
#
# usage: scripts/coverage.sh
set -u
cd "$(dirname "$0")/.." || exit 1
status=0

python scripts/gcov.py --least 95 || status=1

rm -f build/coverage/python*
echo
# These two run no line of wspy: they build it.
python -m coverage run -m pytest --quiet --ignore tests/test_c.py --ignore tests/test_packaging.py ||
    status=1
python -m coverage combine --quiet
python -m coverage report || status=1
exit $status
