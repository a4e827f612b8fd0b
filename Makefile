# What there is to do here. `make demo` and `make test` need nothing done before them.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON := python3
PIP := $(BIN)/pip --quiet --disable-pip-version-check install

.PHONY: help demo serve test test-hooks test-engines test-in-container test-clients test-kills test-commands test-large-outputs test-fuzz check proto format environment clean

help:
	@echo "make demo        see it all work on real data, then clean up"
	@echo "make serve       the same data, served until Ctrl-C"
	@echo "make test        run the tests, with a real Postgres and real containers (ARGS=... goes to pytest)"
	@echo "make test-clients  build and run the clients in other languages, also at a newer server (LANGUAGES=\"go rust\": those; COLD=1: from nothing)"
	@echo "make test-kills  kill a server at 50 random moments (KILLS=... says how many)"
	@echo "make test-commands  users and workers at once, in 200 stories (COMMANDS=... says how many)"
	@echo "make test-fuzz   send a server all that is wrong, for ten minutes (SECONDS=... says for how long)"
	@echo "make test-hooks  run the ill-behaved hooks, slow ones too; ROUNDS=20 runs them so many times"
	@echo "make test-engines  run the engine's tests on Docker and Podman, as root and rootless, where they can be started here"
	@echo "make test-large-outputs  publish 2 GiB of rows with 256 MiB of memory"
	@echo "make test-in-container  run the tests in a container beside its engine, as root (ARGS=\"--user 1:1\": as another)"
	@echo "make check       formatting, lint, types, import directions, the contract's own rules"
	@echo "make format      format the code and the contract"
	@echo "make proto       generate Python and docs/contract from the contract"
	@echo "make bench-NAME  measure; NAME is one of: $(patsubst bench/bench_%.py,%,$(wildcard bench/bench_*.py))"

environment: $(VENV)/installed

# Python's venv module is a package of its own on Debian; root gets it installed, others are told. uv is much faster than pip.
$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed as $(PYTHON): apt-get install python3, or make PYTHON=/path/to/python3"; exit 1; }
	@echo "Making the Python environment in $(VENV) ..."
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    echo "Installing Debian's python3-venv ..." && \
	    { apt-get -qq install -y --no-install-recommends python3-venv >/dev/null 2>&1 || \
	      { apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv >/dev/null; }; }; } || \
	  { echo "Python's venv module is missing: sudo apt-get install python3-venv"; exit 1; }
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv --clear $(VENV)
	@mkdir -p build && sed -n '/^uv==/,/^ *# via/p' requirements.lock > build/uv.lock
	@$(PIP) --require-hashes --no-deps -r build/uv.lock
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv --quiet --no-cache --system-certs pip install --require-hashes -r requirements.lock || \
	  { echo "uv could not install (it does not read pip's configuration); pip does ..."; $(PIP) --require-hashes -r requirements.lock; } || \
	  { echo "The Python packages could not be installed: a PyPI index must be reachable (pip config set global.index-url ...)"; exit 1; }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

demo: environment
	@$(BIN)/osa-grpc demo

serve: environment
	@$(BIN)/osa-grpc demo --keep

# The embedded Postgres of the tests runs as a user of its own, who must be able to reach its directory: hence not in here.
test: environment
	@scratch=$$(mktemp -d) && chmod 711 "$$scratch" && trap 'rm -rf "$$scratch"' EXIT INT TERM HUP && \
	  $(BIN)/python -m pytest --basetemp="$$scratch/pytest" $(ARGS)

test-kills: environment
	@OSA_TEST_KILLS=$${KILLS:-50} $(MAKE) --no-print-directory test ARGS="tests/system/test_killed_anytime.py -s"

test-clients: environment build/googleapis
	@[ -z "$(COLD)" ] || git clean -qfdX examples/clients
	@OSA_TEST_LANGUAGES="$${LANGUAGES:-all}" \
	  $(MAKE) --no-print-directory test ARGS="tests/clients/test_conformance.py $(ARGS)"

test-commands: environment
	@OSA_TEST_COMMANDS=$${COMMANDS:-200} $(MAKE) --no-print-directory test ARGS="tests/system/test_concurrent_commands.py -s"

test-fuzz: environment
	@OSA_TEST_FUZZ_SECONDS=$(or $(SECONDS),600) $(MAKE) --no-print-directory test ARGS="tests/system/test_fuzz.py -s $(ARGS)"

test-hooks: environment
	@OSA_TEST_ROUNDS=$${ROUNDS:-1} $(MAKE) --no-print-directory test ARGS="tests/engine/test_ill_behaved_hooks.py $(ARGS)"

test-large-outputs: environment
	@OSA_TEST_OUTPUT_MIB=2048 $(MAKE) --no-print-directory test ARGS="tests/system/test_large_outputs.py $(ARGS)"

# The engine has the tests' files at other paths than they have, and is reached through a socket that is mounted.
test-in-container: environment
	@$(BIN)/python -m tests.in_container $(ARGS)

test-engines: environment
	@$(BIN)/python -m tests.engines $(ARGS)

check: environment build/googleapis
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code proto
	proto/release --check
	PATH="$(CURDIR)/$(BIN):$$PATH" proto/generate --check
	$(BIN)/python -m reference --check

format: environment
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	$(BIN)/buf format --write proto

proto: environment
	PATH="$(CURDIR)/$(BIN):$$PATH" proto/generate
	$(BIN)/python -m reference

build/googleapis: $(VENV)/installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" proto/generate --imports

bench-%: environment
	@$(BIN)/python -m bench.bench_$(subst -,_,$*)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
