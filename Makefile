# Everything runs in .venv, which is made from nothing but python3; uv installs into it several times faster than pip.
# Byte code is written once, here: where Python may write none, every process would compile TensorFlow's sources again.
PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help test test-all demo catalog clean

help:
	@echo "make demo      set up and take the tour: build, learn, transfer, export, report (minutes)"
	@echo "make test      set up and run the tests that prove what is claimed (under 10 minutes on two cores)"
	@echo "make test-all  the same, and what is marked nightly: benches, kills, the guide, a browser, the largest networks"
	@echo "make catalog   count every network again and write kerascnn/zoo/catalog.json"
	@echo "make clean     remove .venv and what tests leave behind"

$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable ".[test]"
	$(BIN)/python -m compileall -q kerascnn apps
	@touch $@

test: $(BIN)/.ready
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not nightly"

test-all: SHELL := bash
test-all: .SHELLFLAGS := -o pipefail -c
test-all: $(BIN)/.ready
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=60 | tee durations.txt

demo: $(BIN)/.ready
	$(BIN)/kerascnn demo

catalog: $(BIN)/.ready
	$(BIN)/python -m kerascnn.zoo.catalog

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info durations.txt
