# Everything runs in .venv, which `make setup` builds; no other tool is needed than Python and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types layers unit bench reference-model evaluation-weights torture test-peers test-sdks test-compiled golden check-prices clean

help:  ## Show what can be made.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP)  ## Build the environment in .venv (plain pip).

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cert-otel needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[analysis,score,quant]" --group dev
	@touch $@

demo: $(STAMP)  ## Run the main job end to end, offline: what the calls cost, how the answers score, and which are not borne out.
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/demo/run.py

test: lint types layers unit  ## Run every check.

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --ignore tests/transparency --cov --cov-report=term --cov-fail-under=90
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal tests/transparency

test-compiled: $(STAMP)  ## Build the wheel with compiled readers of spans, test and measure it (needs a C compiler).
	$(BIN)/python scripts/test_compiled.py

bench: $(STAMP)  ## Print every figure that docs/performance.md claims (about 20 minutes).
	$(BIN)/python benchmarks/pricing.py
	$(BIN)/python benchmarks/jsonl.py
	$(BIN)/python benchmarks/costs.py
	$(BIN)/python benchmarks/wire.py
	$(BIN)/python scripts/test_compiled.py
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/scoring.py --texts 16 --max-tokens 512 --threads 1

PROSE ?= build/prose.jsonl.gz
DATA ?= build/data

reference-model: $(STAMP)  ## Train the packaged reference model again: PROSE=prose.jsonl.gz, docs/reference-model.md (an hour).
	@test -f "$(PROSE)" || { echo "$(PROSE) is not there: PROSE= names the training text, see docs/reference-model.md" >&2; exit 1; }
	$(BIN)/python models/reference/train.py --data "$(PROSE)" --out build/reference --minutes 50 --threads 2
	$(BIN)/python models/reference/export.py --data "$(PROSE)" --run build/reference

evaluation-weights: $(STAMP)  ## Train the weights of confidence again: DATA=FOLDER, docs/evaluation.md (a minute).
	@test -d "$(DATA)" || { echo "$(DATA) is not there: DATA= names the folder of the labelled answers, see docs/evaluation.md" >&2; exit 1; }
	$(BIN)/python models/evaluation/train.py --data "$(DATA)"

torture: $(STAMP)  ## Damaged payloads to the readers, random texts to the scorer against float64 (minutes).
	cd tests/wire && ../../$(BIN)/python wire_mutations.py 100000 $${SEED:-0}
	$(BIN)/python -m pytest --numprocesses 2 tests/scoring/torture.py

test-peers: $(STAMP)  ## Other vendors' instrumentors installed beside ours (own environment).
	$(BIN)/python scripts/test_peers.py
	$(BIN)/python scripts/make_golden.py --check

test-sdks: $(STAMP)  ## The transparency tests with the oldest to the newest openai (own environments).
	$(BIN)/python scripts/test_sdks.py

golden: $(STAMP)  ## Record again what other vendors' instrumentors emit (own environments).
	$(BIN)/python scripts/make_golden.py

check-prices: $(STAMP)  ## The price table against LiteLLM's, from its wheel (second opinion).
	$(BIN)/python scripts/check_litellm.py

clean:  ## Remove what make made.
	rm -rf build $(VENV) .venv-* .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
