# Two commands do everything: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
TEST_ARGS ?= -n 3
BENCH_ARGS ?=

.PHONY: help demo test lint unit nightly serve reference assets screenshots bench-plugin bench-billing bench-metering bench-rating lock clean
.DEFAULT_GOAL := help

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --only-binary kong-pdk --require-hashes -r requirements.lock 1>&2
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable . 1>&2
	@touch $@

demo: $(VENV)/.installed ## Run the zero-to-hero story (DEMO_ARGS="--once --json" prints a summary and ends)
	@$(BIN)/tollkeeper demo $(DEMO_ARGS)

test: lint unit ## Run every check and test

lint: $(VENV)/.installed ## Style, types and the order of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(VENV)/.installed ## The tests alone (TEST_ARGS="-k name" for some of them)
	@scripts/ensure_chromium.sh
	$(BIN)/pytest $(TEST_ARGS)

nightly: $(VENV)/.installed ## The long forms of the seeded suites: faults, garbage, kills, and books at 2,000 examples
	$(BIN)/pytest $(TEST_ARGS) -m nightly
	BILLING_EXAMPLES=2000 CREDIT_EXAMPLES=2000 $(BIN)/pytest $(TEST_ARGS) -k "properties" tests/invoices tests/credits

serve: $(VENV)/.installed ## Run the backend on the embedded default
	$(BIN)/tollkeeper serve

bench-metering: $(VENV)/.installed ## From HTTP to the durable commit, beside a bare insert (SIZE=month: 47,000,000 events)
	$(BIN)/python -m benchmarks.metering$(if $(filter month,$(SIZE)),.month) $(BENCH_ARGS)

bench-plugin: $(VENV)/.installed ## The plugin against kong-pdk's server and its own limits (BENCH_ARGS="--help")
	$(BIN)/python -m benchmarks.plugin $(BENCH_ARGS)

bench-rating: $(VENV)/.installed ## What rating costs, by price model and number of tiers
	$(BIN)/python benchmarks/rating/bench_rating.py

bench-billing: $(VENV)/.installed ## Draft and issue a month of 1,000 to 10,000 customers, beside a bare insert of the same rows
	$(BIN)/python -m benchmarks.billing $(BENCH_ARGS)

reference: $(VENV)/.installed ## Write the tables of docs/ that come from the code
	$(BIN)/python scripts/reference.py

assets: $(VENV)/.installed ## Copy what the pages need from npm (package.json), with its licences
	$(BIN)/python scripts/vendor_assets.py

screenshots: $(VENV)/.installed ## Take the pictures in docs/images
	@scripts/ensure_chromium.sh
	$(BIN)/python scripts/screenshots.py

lock: ## Resolve the pins of pyproject.toml into requirements.lock
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --all-extras --generate-hashes --no-header pyproject.toml -o requirements.lock

clean: ## Remove what the commands made
	rm -rf $(VENV) var
