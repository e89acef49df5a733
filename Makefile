# make run, make test: nothing else has to be typed on a fresh Debian or Ubuntu.
# What is longer than a few lines is in scripts/.

PYTHON ?= python3
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 8000
STRATEGIES ?= select poll epoll
SECONDS ?= 60
JOBS ?= auto
REV ?= HEAD

bin := $(VENV)/bin
# Says that wspy is built as the sources are now, and installed in place with what the tests need.
stamp := $(VENV)/.wspy-installed
tools := $(VENV)/.wspy-tools
sources := setup.py pyproject.toml $(wildcard csrc/*/*.c csrc/*/*.h)
bench_venv := $(VENV)-bench

.PHONY: help run test build lint debug fuzz coverage autobahn wheel bench bench-compare clean

help:
	@echo "make run       build wspy and start the chat (HOST=$(HOST) PORT=$(PORT))"
	@echo "make test      build wspy and run every test (ARGS='-k name' goes to pytest;"
	@echo "               JOBS=0: one test after the other, in one process)"
	@echo "make lint      look at every file without running it: style, types, warnings, analysis"
	@echo "make debug     run the tests on an extension built with sanitizers (ARGS too)"
	@echo "make fuzz      feed the core what libFuzzer makes up (SECONDS=$(SECONDS) for each target)"
	@echo "make coverage  count the lines that the tests run, in C and in Python"
	@echo "make autobahn  run Autobahn's test suite against it (STRATEGIES='$(STRATEGIES)')"
	@echo "make wheel     build a wheel into dist/ (PGO=1: with the profile of a benchmark's load)"
	@echo "make bench     build wspy and measure it beside other servers, twenty minutes"
	@echo "               (ARGS='echo --workloads 32x20x16 --rounds 9': one part of it)"
	@echo "make bench-compare  measure this tree beside another revision (REV=$(REV))"
	@echo "make clean     remove everything that was built"
	@echo "PYTHON=$(PYTHON) VENV=$(VENV) can be set too."

run: $(stamp)
	@exec $(bin)/python -m wspy chat --host "$(HOST)" --port "$(PORT)"

# In the order of their names: test_c.py, which takes longest and has few tests, does not come last.
test: $(stamp)
	@$(bin)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

build: $(stamp)

# An editable install puts the extension into wspy/, so that the checkout and what is installed are
# one and the same; an edit of a Python file needs no new build.
$(stamp): $(sources) scripts/system.sh
	@sh scripts/system.sh $(PYTHON)
	@$(bin)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "building wspy for $$($(bin)/python -V) in $(VENV)"
	@$(bin)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

lint: $(tools)
	@PATH="$(abspath $(bin)):$$PATH" sh scripts/lint.sh

debug:
	@sh scripts/debug.sh $(PYTHON) $(ARGS)

# ARGS: names of targets, or --merge to keep what was found in tests/fuzz/corpus.
fuzz:
	@sh scripts/system.sh $(PYTHON)
	@$(PYTHON) scripts/fuzz.py --seconds $(SECONDS) $(ARGS)
	@$(PYTHON) scripts/gcov.py --fuzz

coverage: $(tools)
	@PATH="$(abspath $(bin)):$$PATH" sh scripts/coverage.sh

# "Error 77" says that it was skipped, because there is no Python 2.7; PYTHON27 may name one.
# ARGS=--require makes an ordinary error of it.
autobahn: $(stamp)
	@$(bin)/python tests/conformance/autobahn.py $(ARGS) $(STRATEGIES)

# The pinned tools of the extra "lint", beside what the tests need.
$(tools): $(stamp)
	@echo "installing ruff, mypy, clang-format and coverage in $(VENV)"
	@$(bin)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[test,lint]'
	@touch $@

wheel:
	@sh scripts/system.sh $(PYTHON)
	@$(PYTHON) scripts/wheel.py $(if $(filter 1,$(PGO)),--pgo)

# ARGS: benchmarks by name (echo, broadcast, handshake, latency, idle) and options; --help tells them.
bench: $(bench_venv)/.wspy-installed
	@$(bench_venv)/bin/python bench/all.py --json build/bench.json --svg build/bench.svg $(ARGS)

# Fails if a workload runs at less than 0.95 of its speed there; ARGS='--rounds 20' for more certainty.
bench-compare: $(bench_venv)/.wspy-installed
	@$(bench_venv)/bin/python bench/compare.py $(REV) $(ARGS)

# Not in place, and in an environment of its own, with the versions that bench/requirements.txt pins.
$(bench_venv)/.wspy-installed: $(sources) bench/requirements.txt $(wildcard wspy/*.py wspy/cli/*)
	@sh scripts/system.sh $(PYTHON) libuv1
	@$(bench_venv)/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(bench_venv)
	@echo "building wspy and its peers in $(bench_venv)"
	@$(bench_venv)/bin/python -m pip install --quiet --quiet --disable-pip-version-check -r bench/requirements.txt .
	@touch $@

clean:
	rm -rf $(VENV) $(bench_venv) build dist *.egg-info wspy/*.so .coverage*
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
