# Everything runs in .venv, which is made from nothing but python3; uv installs into it several times faster than pip.
# Byte code is written once, here: where Python may write none, every process would compile TensorFlow's sources again.
PYTHON ?= python3
BIN := .venv/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help test quick demo catalog clean

help:
	@echo "make demo     set up and take the tour: build, learn, transfer, export, report (minutes)"
	@echo "make test     set up and run every test"
	@echo "make quick    set up and run the tests that are not slow"
	@echo "make catalog  count every network again and write kerascnn/zoo/catalog.json"
	@echo "make clean    remove .venv and what tests leave behind"

$(BIN)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable ".[test]"
	$(BIN)/python -m compileall -q kerascnn apps
	@touch $@

test: $(BIN)/.ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

quick: $(BIN)/.ready
	$(BIN)/python -m pytest -n 2 -m "not slow"

demo: $(BIN)/.ready
	$(BIN)/kerascnn demo

catalog: $(BIN)/.ready
	$(BIN)/python -m kerascnn.zoo.catalog

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
