# The commands people type. All of them are safe to run twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Plain `torch` on Linux brings several GB of CUDA libraries; the pin in pyproject.toml is honoured either way.
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
STAMP := $(VENV)/.installed

.PHONY: help setup demo test faults fuzz bench servers lint format clean

help:            ## what there is
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */\1\t/' | expand -t 12

setup: $(STAMP)  ## make .venv and install Celadon with its test tools

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Celadon needs Python 3.11 or newer'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo 'apt-get install python3-venv, then again'; exit 1; }
	$(PIP) install -e '.[models,postgresql,test]'
	@touch $@

demo: setup      ## a real CT from a PACS, through the node, and back to the PACS
	@$(BIN)/celadon demo

servers:         ## as root on Debian: the servers and tools that the tests use
	@sh tests/install_servers.sh

test: setup servers  ## everything (one worker a core)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile

faults: setup servers  ## the matrices of faults, each with its table: kills, disks, hostile peers, fuzzing (an hour)
	$(BIN)/python -m tests.faults durability
	$(BIN)/python -m tests.faults disk
	$(BIN)/python -m tests.faults clock
	$(BIN)/python -m tests.faults kills --engine sqlite
	$(BIN)/python -m tests.faults kills --engine postgresql
	$(BIN)/python -m tests.faults.hostile_peers --peers 1000
	$(MAKE) fuzz

bench: setup servers  ## the benchmarks: tables with ratios from one run
	$(PIP) install -e '.[models,postgresql,test,bench]'
	$(BIN)/python -m tests.bench

fuzz: setup      ## 20,000 hostile conversations and 20,000 hostile files; takes about fifteen minutes
	$(BIN)/python -m tests.faults.fuzz protocol
	$(BIN)/python -m tests.faults.fuzz files

lint: setup      ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup    ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:           ## take away what the commands above made
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache celadon-demo
