# The commands people type. All of them are safe to run twice.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Plain `torch` on Linux brings several GB of CUDA libraries; the pin in pyproject.toml is honoured either way.
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-postgresql faults fuzz attacks simulations bench phantom-trial cohort-trial study bundles trained-porcelain trained-gtrnet \
	trained-segmenter servers lint format clean

help:            ## what there is
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */\1\t/' | expand -t 16

setup: $(STAMP)  ## make .venv and install Celadon with its test tools

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Celadon needs Python 3.11 or newer'; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo 'apt-get install python3-venv, then again'; exit 1; }
	$(PIP) install -e '.[models,evaluation,postgresql,fleet,s3,test]'
	@touch $@

demo: setup      ## a real CT from a PACS, through the node, and back to the PACS
	@$(BIN)/celadon demo

servers:         ## as root on Debian: the servers and tools that the tests use
	@sh tests/install_servers.sh

AXE := build/axe/axe-core-4.11.0.tgz
$(AXE):
	@mkdir -p $(@D) && npm pack --silent --pack-destination $(@D) axe-core@4.11.0 >/dev/null 2>&1 || \
		echo 'npm does not give axe-core: the test that uses it is skipped' >&2

# In the order of the folders: what takes minutes with few tests, in tests/acceptance, begins and the quick ones of
# tests/unit fill the end. Byte code is kept whatever the environment says: tests start this program hundreds of times.
test: setup servers $(AXE)  ## everything (one worker a core)
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive \
		$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

ON_BOTH := faults fleet delivery runbook blobs_elsewhere bad_input turned_series

test-postgresql: setup servers  ## what `make test` does on SQLite of store, faults and acceptance, on PostgreSQL
	ENGINE=postgresql OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile \
		tests/unit/node/store tests/acceptance $(addprefix tests/integration/test_,$(ON_BOTH:=.py))

faults: setup servers  ## the matrices of faults, each with its table: kills, disks, hostile peers, fuzzing (an hour)
	$(BIN)/python -m tests.faults durability
	$(BIN)/python -m tests.faults disk
	$(BIN)/python -m tests.faults clock
	$(BIN)/python -m tests.faults delivery
	$(BIN)/python -m tests.faults identity
	$(BIN)/python -m tests.faults fleet
	$(BIN)/python -m tests.faults kills --engine sqlite
	$(BIN)/python -m tests.faults kills --engine postgresql
	$(BIN)/python -m tests.faults.hostile_peers --peers 1000
	$(MAKE) fuzz

bench: setup servers  ## the benchmarks: tables with ratios from one run
	$(PIP) install -e '.[models,evaluation,postgresql,fleet,s3,test,bench]'
	$(BIN)/python -m tests.bench

simulations: setup  ## whether intervals cover, tests keep their size and power grows, in 1,000 cohorts each
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.simulations

attacks: setup servers $(AXE)  ## every payload in every text in a real browser, the API against its document (half an hour)
	ATTACKS=all $(BIN)/python -m pytest tests/browser/page/test_injection.py tests/integration/test_openapi.py \
		tests/integration/test_page_attacks.py tests/integration/test_no_trace.py

phantom-trial: setup servers  ## 100 held-out phantoms through a whole node, and a table of figures with intervals (an hour)
	OMP_WAIT_POLICY=passive $(BIN)/python -m tests.trial $(TRIAL)

cohort-trial: setup  ## phantoms of three centres through a silent node, outcomes, one report, the odd centre told (half an hour)
	OMP_WAIT_POLICY=passive $(BIN)/python -m tests.cohort_trial

study: setup     ## PORCELAIN's seven models on phantoms, trained and judged: Table 2 and its figures (hours; goes on where it was)
	$(BIN)/python -m tests.study_phantoms $(STUDY)

# Where a training was stopped, the same command goes on; what is in it may be looked at and thrown away.
# One thread: with another number the sums are rounded otherwise, and the digests would not be those that ship.
RUNS := celadon-bundles
ON_PHANTOMS := --single --threads 1 --set schedule=cosine
TRAIN_PORCELAIN := $(BIN)/celadon train porcelain --phantoms 1200 --seed 31 --rough 2 --folds 5 $(ON_PHANTOMS) \
	--cache $(RUNS)/porcelain-cases
TRAIN_GTRNET := $(BIN)/celadon train gtrnet --phantoms 1600 --seed 24 --rough 2 --network small-two-stream --folds 5 $(ON_PHANTOMS) \
	--set precision=bf16 --set batch_size=16 --cache $(RUNS)/gtrnet-cases
TRAIN_SEGMENTER := $(BIN)/celadon train segmenter --folds 24 $(ON_PHANTOMS) --cache $(RUNS)/segmenter-cases
FINE_ALONE := --only fine --set hard_share=0.1 --set turned_share=0.4 --set anywhere_share=0.1
WEIGHTS := bundle/models/model.safetensors

bundles: trained-porcelain trained-gtrnet trained-segmenter   ## train again, from seeds, by the recipe of what ships (hours; -j2)
	for name in porcelain gtrnet segmenter; do rm -rf models/bundles/$$name && cp -R $(RUNS)/$$name/bundle models/bundles/$$name || exit 1; done
	$(BIN)/python -m models.bundles

trained-porcelain: setup
	$(TRAIN_PORCELAIN) --variant roi --set warm_up_epochs=1 --set epochs=20 --set patience=20 --set judge_every=2 \
		--out $(RUNS)/porcelain-image
	$(TRAIN_PORCELAIN) --variant multimodal-roi --image-from $(RUNS)/porcelain-image --max-imputed 27 \
		--set warm_up_epochs=2 --set epochs=80 --set patience=80 --out $(RUNS)/porcelain

trained-gtrnet: setup
	$(TRAIN_GTRNET) --set learning_rate=1e-3 --set warm_up_epochs=1 --set epochs=30 --set patience=30 --set judge_every=5 \
		--out $(RUNS)/gtrnet-1
	$(TRAIN_GTRNET) --start $(RUNS)/gtrnet-1/$(WEIGHTS) --set learning_rate=6e-4 --set warm_up_epochs=0.5 --set epochs=15 \
		--set patience=15 --set judge_every=3 --out $(RUNS)/gtrnet

# First what an organ is, for both networks; then, for the fine one alone, the voxels that it gets wrong, and again on
# phantoms that it has not seen: above all on those of which it misses most, then also on those in which it sees most
# that is not there, at last on those with a small lesion as well.
trained-segmenter: setup
	$(TRAIN_SEGMENTER) --phantoms 720 --seed 0 --held-out 2 --set precision=bf16 --set epochs=12 --set patience=12 \
		--out $(RUNS)/segmenter-1
	$(TRAIN_SEGMENTER) --phantoms 720 --seed 0 --held-out 2 --set precision=bf16 --set epochs=36 --set patience=36 \
		$(FINE_ALONE) --set learning_rate=3e-3 --start $(RUNS)/segmenter-1/$(WEIGHTS) --out $(RUNS)/segmenter-2
	$(TRAIN_SEGMENTER) --phantoms 384 --seed 1 --set epochs=18 --set patience=18 \
		$(FINE_ALONE) --held-out 2 --set learning_rate=2e-3 --start $(RUNS)/segmenter-2/$(WEIGHTS) --out $(RUNS)/segmenter-3
	$(TRAIN_SEGMENTER) --phantoms 520 --seed 2 --hard 360 --held-out 2 --set epochs=20 --set patience=20 $(FINE_ALONE) \
		--set learning_rate=2e-3 --start $(RUNS)/segmenter-3/$(WEIGHTS) --out $(RUNS)/segmenter-4
	$(TRAIN_SEGMENTER) --phantoms 680 --seed 3 --hard 360 --empty 160 --held-out 2 --set epochs=15 --set patience=15 \
		$(FINE_ALONE) --set learning_rate=2e-3 --start $(RUNS)/segmenter-4/$(WEIGHTS) --out $(RUNS)/segmenter-5
	$(TRAIN_SEGMENTER) --phantoms 980 --seed 3 --hard 360 --empty 160 --small 300 --held-out 150 --set epochs=12 --set patience=12 \
		$(FINE_ALONE) --set learning_rate=2e-3 --start $(RUNS)/segmenter-5/$(WEIGHTS) --out $(RUNS)/segmenter

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
