# On a bare machine: python3 (3.11+) and make. Everything else goes into .venv.

PYTHON ?= python3
BIN    := .venv/bin
WORKERS ?= 2
# Random choices of a test run follow from one number; repeat a run with `make test SEED=…`.
SEED   := $(or $(SEED),$(shell date +%s))

.DEFAULT_GOAL := help
.PHONY: help demo test lint format mutants chaos interop interop-contract bench bootstrap-demo bootstrap-dev clean distclean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: bootstrap-demo  ## Run the quickstart against the reference server
	@$(BIN)/python examples/demo.py

test: bootstrap-dev  ## Run all tests that need no network (SEED=…, ARGS="-k name")
	@echo "Random seed: $(SEED) (repeat this run with: make test SEED=$(SEED))"
	@OPENHANDS_TEST_SEED=$(SEED) $(BIN)/python -m pytest -n $(WORKERS) -m "not interop" --hypothesis-seed=$(SEED) $(ARGS)

lint: bootstrap-dev  ## Check style, types, import rules and generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks scripts
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python scripts/unasync.py --check

format: bootstrap-dev  ## Format the code, and repair what can be repaired
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/unasync.py

chaos: bootstrap-dev  ## Play a thousand conversations while everything goes wrong (LIVES=…, WATCHED=…, SEED=…)
	@echo "Random seed: $(SEED) (draw the same faults again with: make chaos SEED=$(SEED))"
	@OPENHANDS_TEST_SEED=$(SEED) OPENHANDS_CHAOS_LIVES=$(or $(LIVES),1000) OPENHANDS_CHAOS_WATCHED=$(or $(WATCHED),1000) \
		$(BIN)/python -m pytest -n 0 -m "not interop" tests/chaos $(ARGS)

interop: bootstrap-dev  ## Run the quickstart against a real OpenHands server
	@$(BIN)/python -m pytest -m interop -rs tests/interop tests/chaos $(ARGS)

mutants: bootstrap-dev  ## Let the contract kit judge wrong servers, and print its score (ARGS=--quick)
	@OPENHANDS_TEST_SEED=$(SEED) $(BIN)/python -m tests.contract.mutants $(ARGS)

interop-contract: bootstrap-dev  ## Judge a real OpenHands 1.0 with the contract kit
	@$(BIN)/python -m tests.interop.judge_real_server $(ARGS)

bench: bootstrap-dev  ## Measure the speed ratios (SMOKE=1: a short run)
	@$(BIN)/python -m benchmarks $(if $(SMOKE),--smoke) $(ARGS)

bootstrap-demo bootstrap-dev: bootstrap-%:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found. Name your Python 3.11+: make PYTHON=… $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) scripts/bootstrap.py $*

clean:  ## Remove caches and build products
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .schemathesis schemathesis-report build dist
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean  ## Remove the virtual environment as well
	rm -rf .venv
