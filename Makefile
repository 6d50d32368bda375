# Two commands for a newcomer: `make demo` and `make test`. Both install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORAGE := sandbox/storage
KUSTO := infra/kusto
PACKAGE := salesforce
NODE := $(STORAGE) $(KUSTO) $(PACKAGE)

.PHONY: help install demo up test lint format types bench bench-volume soak docs proto lock clean

help:
	@echo "make demo    the whole product on this machine, with generated data"
	@echo "make test    lint, types and all tests"
	@echo "make up      the sandbox and the app until Ctrl-C"
	@echo "make bench   API calls, time and CPU per record, beside the naive way"
	@echo "make bench-volume  a million prices and 200,000 customers (some 20 minutes)"
	@echo "make soak    more rounds of the crash test"
	@echo "make format  formats and repairs what a tool can"
	@echo "make docs    writes the generated documentation"
	@echo "make proto   writes the messages of the Pub/Sub API from their definition"
	@echo "make lock    pins the dependencies of pyproject.toml"

install: $(VENV)/.installed $(NODE:=/node_modules/.installed)

$(VENV)/.installed: requirements-dev.txt requirements-functions-host.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; set PYTHON=python3.12, for example"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install -qq --disable-pip-version-check \
		--ignore-requires-python --no-deps -r requirements-functions-host.txt
	@touch $@

%/node_modules/.installed: %/package-lock.json | $(VENV)/.installed
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/npm ci --prefix $* --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

demo: install
	$(BIN)/python -m sandbox demo

up: install
	$(BIN)/python -m sandbox up

test: install lint types
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python -m bench

bench-volume: install
	$(BIN)/python -m bench.volume

soak: install
	SOAK_ROUNDS=$${SOAK_ROUNDS:-100} $(BIN)/python -m pytest tests/end_to_end/test_crashes.py

docs: install
	$(BIN)/python docs/generate.py
	$(BIN)/python -m infra.parameters

proto: install
	cd integration/salesforce/pubsub && $(abspath $(BIN))/python -m grpc_tools.protoc -I . \
		--python_out=. --pyi_out=. pubsub_api.proto

lock: install
	$(BIN)/python -m pip install --quiet uv==0.13.8
	$(BIN)/uv pip compile -q --universal --no-header --no-annotate --no-emit-index-url \
		--python-version 3.11 pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile -q --universal --no-header --no-annotate --no-emit-index-url \
		--python-version 3.11 --group dev pyproject.toml -o requirements-dev.txt

clean:
	rm -rf $(VENV) $(NODE:=/node_modules) .mypy_cache .ruff_cache .pytest_cache .hypothesis .sandbox
