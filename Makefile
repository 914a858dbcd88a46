# Everything runs in .venv, which the first target that needs it makes. PYTHON=python3.13 chooses another Python.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= $(shell expr $$(nproc 2> /dev/null || echo 2) + 1)
# The tests of the lowest versions wait more than they compute.
LOWEST_WORKERS ?= $(shell expr $(TEST_WORKERS) + 2)
# Who is killed for hanging is tried again by another worker: twice is enough.
PARALLEL := --dist loadgroup --max-worker-restart 2
PYTEST_ARGS ?=
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
comma := ,
# Compiled modules are kept, whatever the shell says: without them each process of the tests compiles all of ours anew.
export PYTHONDONTWRITEBYTECODE :=

# Layers 0 to 4, where every branch is tested.
space := $(subst ,, )
CORE := $(subst $(space),$(comma),$(patsubst %,*/fastapi_rooms/%.py,errors closing identity options payload statistics validation \
  inbox liveness rate send_queue ports reader writer link connection registry frames batch gather tally recipient))

.DEFAULT_GOAL := help
.PHONY: help js-tools run test test-all soak coverage test-lowest check fix docs bench bench-full build clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("fastapi-rooms needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "no uv here: pip does it, and takes longer"

# uv takes a fifth of pip's time; where it finds no index, which pip was told of, pip does it.
$(VENV)/.%-installed: pyproject.toml | $(BIN)/python
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable ".[$*]" \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch $@

run: $(VENV)/.examples-installed ## The examples gallery on http://127.0.0.1:8000; WORKERS=2 shares it between two processes
	$(BIN)/python -m fastapi_rooms examples --host $(HOST) --port $(PORT) --workers $(WORKERS)

test: $(VENV)/.test-installed ## The library, on real servers and brokers; PYTEST_ARGS chooses among all tests
	$(BIN)/python -m pytest -n $(TEST_WORKERS) $(PARALLEL) $(if $(PYTEST_ARGS),$(PYTEST_ARGS),-m "not whole")

test-all: $(VENV)/.test-installed ## And examples, tutorial and pages, in a real browser where there is one; twice the time
	$(BIN)/python -m pytest -n $(TEST_WORKERS) $(PARALLEL)

js-tools: $(VENV)/js/.installed ## TypeScript's compiler and axe-core, for tests of types and of accessibility; needs npm

$(VENV)/js/.installed:
	@mkdir -p $(@D)
	npm install --prefix $(@D) --no-save --no-audit --no-fund --loglevel=error typescript@5 axe-core@4
	@touch $@

soak: $(VENV)/.test-installed ## The tests with the deadlines that users have, ten times as long, longer stories, proofs in full
	ROOMS_SOAK=1 $(BIN)/python -m pytest -n auto $(PARALLEL) $(if $(PYTEST_ARGS),$(PYTEST_ARGS),tests/brokers tests/proofs tests/conformance/test_churn.py)
	$(if $(PYTEST_ARGS),,ROOMS_SOAK=1 $(BIN)/python -m pytest -n auto -m hypothesis --ignore tests/brokers)
	$(if $(PYTEST_ARGS),,ROOMS_SOAK=1 $(BIN)/python -m pytest -s tests/examples/test_game_load.py tests/examples/test_draw_load.py)

coverage: $(VENV)/.test-installed ## test-all, and the coverage that we promise
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -n $(TEST_WORKERS) $(PARALLEL) --cov --cov-report= $(PYTEST_ARGS)
	$(BIN)/python -m coverage report --fail-under=95
	$(BIN)/python -m coverage report --include=$(CORE) --fail-under=100

# What meets code of others: their servers, frameworks, drivers and models. What is ours alone, or tries the whole with
# many processes or for a while, needs trying on one set of versions only.
MEETINGS := auth hub testing \
  $(addprefix client/test_,client.py client_options.py client_tokens.py driver.py event_streams.py hub.py tokens.py) \
  $(addprefix conformance/test_,bad_input.py endings.py expiry.py hooks.py leaving.py refusals.py shared_frames.py shutdown.py \
    sse.py testclient.py) \
  $(addprefix brokers/test_,broker_conformance.py broker_from_url.py commands.py health.py nats_broker.py nats_credentials.py \
    nats_streams.py postgres_broker.py postgres_parts.py postgres_stream_tables.py postgres_streams.py publisher.py \
    redis_streams.py stream_conformance.py ticket_store_engines.py ticket_stores.py workers.py) \
  $(addprefix unit/test_,cancelling.py choose_transport.py connection.py event_loops.py first_message.py hooks.py \
    hub_commands.py hub_dependencies.py joined_transport.py lifecycle.py link.py payload.py protocol_events.py \
    protocol_frames.py protocol_reading.py refusals.py servers.py shared_frames_manager.py shared_frames_negotiation.py \
    shared_frames_protocol.py sse_transport.py stopping.py validation.py websocket_transport.py)

.venv-lowest/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable ".[test]"
	@touch $@

test-lowest: .venv-lowest/.installed ## What meets code of others, on the lowest versions that pyproject.toml allows
	.venv-lowest/bin/python -m pytest -n $(LOWEST_WORKERS) $(PARALLEL) $(MEETINGS:%=tests/%) -m "not hypothesis and not whole" $(PYTEST_ARGS)

check: $(VENV)/.dev-installed ## Linters, type checkers, the layer contract, the docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/mkdocs build --quiet --strict --site-dir site

fix: $(VENV)/.dev-installed ## What linters can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev-installed ## The documentation on http://127.0.0.1:8001
	$(BIN)/mkdocs serve --dev-addr 127.0.0.1:8001

bench: $(VENV)/.bench-installed ## The library beside its peers, as ratios, in 15 minutes, with plots
	$(BIN)/python -m benchmarks --quick --plots docs/assets/performance

bench-full: $(VENV)/.bench-installed ## The same with every cell, for hours
	$(BIN)/python -m benchmarks --full --plots docs/assets/performance

build: $(VENV)/.dev-installed ## Wheel and sdist, and the wheel's gallery started from an empty folder
	rm -rf dist
	$(BIN)/uv build --quiet --python $(BIN)/python --out-dir dist
	.ci/try-wheel $(PYTHON) dist/*.whl $(BIN)/uv

clean: ## Remove what the other targets made
	rm -rf .venv .venv-check .venv-lowest dist site .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis
