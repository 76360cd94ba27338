# One door. `make demo` and `make test` set up what they need.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# A Python that other operating-system users can execute lets the demo give each worker a user of its own;
# one that lives under a private home directory (pyenv) still works, without that separation.
PYTHON ?= $(shell for p in /usr/bin/python3.11 /usr/local/bin/python3.11 python3.11 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

PYTEST := $(BIN)/python -m pytest
KINDS := unit spec properties golden boundary integration flows faults end-to-end

.PHONY: quality-coverage help setup demo test test-slow check coverage bench lock clean $(KINDS:%=test-%)
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18
	@echo "one kind of test:  $(KINDS:%=test-%)"

setup: $(VENV)/.done ## virtual environment with locked dependencies, once

$(VENV)/.done: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 with venv and ensurepip was not found; install it, or call make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q "uv>=0.9,<1"
	@$(BIN)/uv pip sync -q --python $(BIN)/python --compile-bytecode requirements.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1; $(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

demo: setup ## a whole night on real parts, then stays up until Ctrl-C
	@$(BIN)/nightlink demo

test: setup ## every test that is not slow; what `make demo` and test-slow do beside them takes minutes each
	@$(PYTEST) -m "not slow" -n 2 --no-loadscope-reorder --durations=15

test-slow: setup ## whole demos and several nights in a row
	@$(PYTEST) -m slow --durations=10

# One target a kind, slow ones included: make test-unit, test-spec, test-properties, test-golden, test-boundary,
# test-integration, test-flows, test-faults, test-end-to-end.
$(KINDS:%=test-%): test-%: setup
	@$(PYTEST) tests/$(subst -,_,$*) --durations=10

check: setup ## style, types, and which way imports point
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

coverage: setup ## branch coverage of linkage_core by the tests that need no server
	@$(PYTEST) -q --cov --cov-report=term-missing:skip-covered \
		tests/unit tests/spec tests/properties tests/golden

bench: setup peers ## how fast, on this machine, beside clkhash, anonlink, faiss and the machine's limit
	@for name in encode clk hardened sealing candidates dice_pairs threshold_join nearest; do \
		echo "== $$name"; $(BIN)/python -m tests.benchmarks.bench_$$name || exit 1; done

quality-coverage: setup ## how often the night's own 95% intervals hold the true precision, on samples of the open sets
	@$(BIN)/python -m tests.benchmarks.quality_coverage

clean: ## caches; the virtual environment stays
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov build dist
	@find $(wildcard deployments flows tasks sql linkage_core tests) -name __pycache__ -type d -prune -exec rm -rf {} +

lock: ## resolve the dependencies anew into requirements.txt
	$(BIN)/python -m pip install -q "uv>=0.9,<1"
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --all-extras --generate-hashes \
		--no-header --no-emit-index-url --no-annotate pyproject.toml -o requirements.txt

# Peers: other people's linkage software, in an environment of its own, to agree with and to race against.
PEERS := .venv-peers
.PHONY: peers test-peers lock-peers
peers: $(PEERS)/.done ## the peers' environment (anonlink, clkhash, faiss, splink), once

$(PEERS)/.done: tests/peers/requirements.txt | setup
	@test -x $(PEERS)/bin/python || $(BIN)/uv venv -q --python $(BIN)/python $(PEERS)
	@$(BIN)/uv pip sync -q --python $(PEERS)/bin/python tests/peers/requirements.txt
	@touch $@

test-peers: setup peers ## same pairs and similarities as anonlink, same distances as faiss
	@$(BIN)/python -m pytest tests/peers

lock-peers: setup ## resolve the peers' dependencies anew
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-annotate tests/peers/requirements.in -o tests/peers/requirements.txt

# Attacks: what the encodings and columns disclose, beside the quality that they give. Each keeps what it found in
# build/, so that it goes on where it was broken off.
.PHONY: attack-table attack-patterns confirm-default
attack-table: setup ## attacks on every encoding beside its quality; Markdown, and deployments/pictures/attacks.svg
	@$(BIN)/python -m tests.benchmarks.attack_table --picture deployments/pictures/attacks.svg

attack-patterns: setup ## pattern mining at 100,000 people
	@$(BIN)/python -m tests.benchmarks.attack_patterns

confirm-default: setup ## the default over five keys: attacks, and what hardening costs a whole night
	@$(BIN)/python -m tests.benchmarks.confirmed_default

# Tokens, filters and Nightlink's own vector, trained on the same labelled pairs: linkage_core/README.md. What was found
# is kept in build/.
.PHONY: compare-tokens
compare-tokens: setup ## Datavant's comparison on open data: Markdown, and deployments/pictures/compare_tokens.svg
	@$(BIN)/python -m tests.benchmarks.compare_tokens --picture deployments/pictures/compare_tokens.svg

# For machines without internet: all wheels of the custodian's command line, with hashes and scripts that install them.
.PHONY: wheelhouse
PLATFORMS ?= linux_x86_64 win_amd64
wheelhouse: setup ## dist/nightlink-custodian-PLATFORM.zip: what a custodian's machine without internet installs
	@$(BIN)/python -m deployments.wheelhouse.build $(PLATFORMS)

# Scale: a million people a side (or RECORDS=100000), deliveries made once and kept in FOLDER; JOIN=--join adds the
# exact threshold join of all with all.
RECORDS ?= 1000000
.PHONY: bench-million
bench-million: setup ## the linkage unit's night with a million people a side: seconds and memory by stage
	@$(BIN)/python -m tests.benchmarks.bench_million --records $(RECORDS) $(if $(FOLDER),--folder $(FOLDER)) $(JOIN)

.PHONY: bench-incremental
bench-incremental: setup ## the linkage unit's night with one record in a hundred changed, beside a full one: seconds, and their ratio
	@$(BIN)/python -m tests.benchmarks.bench_incremental $(if $(FOLDER),--folder $(FOLDER))

PEOPLE ?= 1000000
.PHONY: bench-custodian-million
bench-custodian-million: setup ## a custodian's night with PEOPLE people, from PostgreSQL to the exchange: seconds by stage, peak memory
	@$(BIN)/python -m tests.benchmarks.bench_custodian_million --people $(PEOPLE)

LINKS ?= 10000000
.PHONY: bench-warehouse
bench-warehouse: setup ## the cookbook's questions over LINKS generated links: times, and no sequential scan in a plan
	@$(BIN)/python -m tests.benchmarks.bench_warehouse --links $(LINKS) $(if $(FOLDER),--folder $(FOLDER))

# A month on real servers and processes, with people's lives and faults; ends with I1 to I8 checked, and a picture.
MONTH_PEOPLE := $(if $(filter file,$(origin PEOPLE)),20000,$(PEOPLE))
NIGHTS ?= 30
.PHONY: simulate-month
simulate-month: setup ## NIGHTS nights with PEOPLE a side: quality and cost by night, deployments/pictures/month.svg
	@$(BIN)/python -m tests.faults.simulate_month --people $(MONTH_PEOPLE) --nights $(NIGHTS) \
		--json build/month.json
