# `make help` lists the targets. Everything lands in .venv/, web/dist/ and three folders node_modules/.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
INSTALL := sh requirements/install.sh
RUN    := $(VENV)/.run
DEV    := $(VENV)/.dev
SERVICES := $(VENV)/.services
PAGE   := web/dist/index.html
REAL   := tests/clients/node_modules/.package-lock.json
CODEGEN := $(VENV)/codegen/.installed

.DEFAULT_GOAL := help
.PHONY: help setup tools run services test soak fuzz bench check schema format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(RUN) $(PAGE) ## Install the packages and build the web page

tools: $(DEV) $(PAGE) $(REAL) $(CODEGEN) ## Install all that checks and tests need

run: setup ## Start everything on this machine: services, API, worker, page
	@exec $(BIN)/python server.py

services: $(SERVICES) ## Install the SDKs of the providers openai, sora and replicate

test: $(DEV) $(PAGE) $(REAL) $(CODEGEN) ## Run the tests (ARGS="-k name" to choose)
	@$(BIN)/python -m pytest $(ARGS)

soak: $(DEV) ## Run the fault tests in their long form
	@LOREKEEPER_SOAK=1 $(BIN)/python -m pytest -rP tests/faults $(ARGS)

fuzz: $(DEV) ## Send whatever fits the schema to a running server, for five minutes
	@LOREKEEPER_FUZZ_S=300 $(BIN)/python -m pytest -rP tests/fuzz $(ARGS)

bench: $(DEV) $(PAGE) ## Measure the streams against their budgets (ARGS="--quick" to see that it works)
	@$(BIN)/python -m bench.streams $(ARGS)

check: $(DEV) $(PAGE) ## Format, lint, types, import direction, schema.graphql
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@sh web/typecheck.sh $(BIN)/python
	$(BIN)/python -m pytest -q -n 0 tests/unit/test_architecture.py tests/unit/test_contract.py

schema: $(RUN) ## Write what is served to schema.graphql
	@$(BIN)/python -m schema > schema.graphql

format: $(DEV) ## Format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(DEV) ## Write the lock files anew from pyproject.toml
	@sh requirements/lock.sh $(CURDIR)/$(BIN)/uv

clean: ## Remove what was installed and built; keeps .lorekeeper/
	rm -rf $(VENV) web/node_modules web/dist tests/clients/node_modules bench/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@$(PYTHON) -m venv $(VENV)

$(RUN): requirements/run.lock | $(BIN)/python
	@echo "Installing the packages ..."
	@$(INSTALL) $(BIN)/python $<
	@touch $@

$(SERVICES): requirements/services.lock requirements/run.lock | $(RUN)
	@echo "Installing the SDKs of external services ..."
	@$(INSTALL) $(BIN)/python requirements/run.lock requirements/services.lock
	@touch $@

$(DEV): requirements/dev.lock requirements/services.lock requirements/run.lock | $(RUN)
	@echo "Installing the development packages ..."
	@$(INSTALL) $(BIN)/python requirements/run.lock requirements/services.lock requirements/dev.lock
	@touch $@

$(PAGE): schema.graphql web/package-lock.json $(shell find web/src web/*.html web/*.ts web/*.mjs web/*.json -type f -not -name operations.ts 2>/dev/null) | $(BIN)/python
	@sh web/build.sh $(BIN)/python

# ariadne-codegen wants another graphql-core than ours.
$(CODEGEN): requirements/codegen.lock | $(BIN)/python
	@echo "Installing the generator of clients ..."
	@$(BIN)/python -m venv $(VENV)/codegen
	@$(INSTALL) $(VENV)/codegen/bin/python $<
	@touch $@

$(REAL): tests/clients/package-lock.json | $(BIN)/python
	@sh tests/clients/install.sh $(BIN)/python
