# One door. `make demo` and `make test` set up what they need.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# A Python that other operating-system users can execute lets the demo give each worker a user of its own;
# one that lives under a private home directory (pyenv) still works, without that separation.
PYTHON ?= $(shell for p in /usr/bin/python3.11 /usr/local/bin/python3.11 python3.11 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

.PHONY: help setup demo test check lock clean
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

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

lock: ## resolve the dependencies anew into requirements.txt
	$(BIN)/python -m pip install -q "uv>=0.9,<1"
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --all-extras --generate-hashes \
		--no-header --no-emit-index-url --no-annotate pyproject.toml -o requirements.txt
