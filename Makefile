# Everything a person does with this repository. `make` lists it.
# Each target makes .venv and installs what it needs by itself; see scripts/setup.sh.

PYTHON_VENV := .venv/bin/python
PYTEST := $(PYTHON_VENV) -m pytest
SHELL_FILES := .ci/run $(wildcard scripts/*.sh)
BENCHES := bridge connections stream continuation interruption bounds stalls soak
ARGS ?=

# uv otherwise knows only its own list of authorities, and fails where a network has one of its own.
export UV_SYSTEM_CERTS := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev needs run seed diagnose migrate test test-slow demo-check conformance container-check check format docs bench lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Options go in ARGS, as in: make test ARGS='-k orders'. PYTHON names the interpreter to use."

setup: ## Make .venv with what the server and Nova Sonic Local need
	@sh scripts/setup.sh run

setup-dev: ## Make .venv with what the tests and checks need as well
	@sh scripts/setup.sh dev

needs: setup-dev ## Get what the tests need beside Python packages (Chromium, espeak-ng, ...), as far as possible
	@$(PYTHON_VENV) -m scripts.get_test_needs

run: setup ## Talk to the assistant on this machine: server, Nova Sonic Local and page, without an AWS account
	@$(PYTHON_VENV) server.py --local $(ARGS)

seed: setup ## Write the example orders, appointments and patients into the embedded database
	@STORAGE=sqlite $(PYTHON_VENV) scripts/seed_data.py $(ARGS)

diagnose: setup ## Look at the tables, and say what is wrong and what to do; the embedded ones, or with STORAGE=dynamodb those in AWS
	@STORAGE=$${STORAGE:-sqlite} $(PYTHON_VENV) scripts/diagnose_tables.py $(ARGS)

migrate: setup ## Bring tables and records to their present shape, with a copy first; likewise (ARGS=--dry-run only tells)
	@STORAGE=$${STORAGE:-sqlite} $(PYTHON_VENV) scripts/migrate.py $(ARGS)

test: needs ## Run all tests but the container and the slow ones
	@$(PYTEST) $(ARGS)

test-slow: setup-dev ## Play 10,000 simulated conversations of an hour each, on every core (about an hour)
	@$(PYTEST) tests/session -m slow -s $(ARGS)

demo-check: needs ## Run the spoken end-to-end conversations only
	@$(PYTEST) tests/e2e $(ARGS)

conformance: needs ## Ask the emulator for every believed fact of the stream, or Bedrock (NOVA_SONIC_REMOTE=1), and write the page
	@status=0; $(PYTEST) tests/conformance $(ARGS) || status=$$?; $(PYTHON_VENV) -m scripts.make_docs; exit $$status

container-check: needs ## Build the images with buildah and run them, read-only and not as root
	@$(PYTEST) tests/container -m container $(ARGS)

check: setup-dev ## Lint, type check, check the import rules, the documents and the container files
	@$(PYTHON_VENV) -m ruff check
	@$(PYTHON_VENV) -m ruff format --check
	@$(PYTHON_VENV) -m mypy
	@.venv/bin/lint-imports
	@if command -v shellcheck >/dev/null; then shellcheck $(SHELL_FILES); else echo 'shellcheck is not installed: the shell scripts were not linted'; fi
	@.venv/bin/hadolint Dockerfile
	@$(PYTHON_VENV) -m check_jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	@$(PYTHON_VENV) -m scripts.make_docs --check
	@$(PYTEST) tests/project

format: setup-dev ## Format the code
	@$(PYTHON_VENV) -m ruff check --fix
	@$(PYTHON_VENV) -m ruff format

docs: setup-dev ## Write the reference pages anew from the code
	@$(PYTHON_VENV) -m scripts.make_docs

bench: setup-dev ## Measure all that is promised of latency, cost, bounds and what conversations outlive; ARGS=--quick takes minutes
	@for name in $(BENCHES); do echo "bench.$$name"; $(PYTHON_VENV) -m bench.$$name $(ARGS) || exit 1; done

lock: setup-dev ## Compile requirements*.in into requirements*.txt (ARGS=--upgrade takes newer versions)
	@sh scripts/lock.sh $(ARGS)

clean: ## Remove .venv, local data and caches
	rm -rf .venv .local .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build
	find . -name __pycache__ -not -path './.git/*' -type d -prune -exec rm -rf {} +
