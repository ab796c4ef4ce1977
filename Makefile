# Everything a fresh machine needs is Python >= 3.11 and make. Variables: PYTHON, VENV, ROOT, PORT.
PYTHON ?= python3
VENV ?= .venv
TORCH_VENV ?= .venv-torch
ROOT ?= .platform
PORT ?= 3000
ROUNDS ?= 5
BIN := $(VENV)/bin
PLATFORM := $(BIN)/ml-data-platform
export ML_DATA_PLATFORM_ROOT := $(ROOT)

.PHONY: help demo dev test ticks faults flips fault-tools real-data globo-late real-sources bucket ministack bucket-requests backfills schedules properties late-rows planning-cost kills gates lint format lock clean browser postgres leaks shop-trace cuts torch loading

help: ## Show what can be done
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed; set PYTHON=…"; exit 1; }
	@echo "Making the environment in $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.installed ## Sample events through every stage, a table per day; the second time there is nothing to do
	@$(PLATFORM) demo

dev: $(VENV)/.installed ## Open the Dagster UI on 127.0.0.1:$(PORT) over the same root
	@$(PLATFORM) dev --port $(PORT)

test: $(VENV)/.installed ## Run the tests, on up to four processors; says which were slowest, and the CPU seconds of all
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations 25

real-data: $(VENV)/.installed ## All 192 hours of real clicks: what holds of them, and what it costs; needs the files beside the checkout
	@$(BIN)/python -m benchmarks.globo

globo-late: $(VENV)/.installed ## The same clicks hour by hour: late rows, how late, runs, same bytes as all at once; needs the files beside the checkout
	@$(BIN)/python -m benchmarks.globo_late

real-sources: $(VENV)/.installed ## Three real logs and generated events, decades apart, in one root; needs the files beside the checkout
	@$(BIN)/python -m benchmarks.four_sources

bucket: $(VENV)/.installed ## The demo and real clicks in a folder and in a bucket (served here): the same bytes, and what it costs; SERVER=ministack DAYS=1
	@$(BIN)/python -m benchmarks.bucket $(if $(SERVER),--server $(SERVER)) $(if $(DAYS),--days $(DAYS))

ministack: ## Install a second S3 server, in .ministack, for `make faults` and `make bucket SERVER=ministack`
	@$(PYTHON) -m venv .ministack
	@.ministack/bin/python -m pip install -qq --disable-pip-version-check ministack==1.5.33

schedules: $(VENV)/.installed ## SCHEDULES=500 random schedules of files, crashes and restarts, each against one clean build
	@SCHEDULES=$${SCHEDULES:-500} $(BIN)/python -m pytest ml_data_platform_tests/property/pipeline/test_any_schedule.py

properties: $(VENV)/.installed ## The properties on other examples each time; make test tries the same ones
	@EXPLORE=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 ml_data_platform_tests/property

late-rows: $(VENV)/.installed ## Five late rows in 90 built days: exactly what they touched is repaired, and what that costs
	@$(BIN)/python -m benchmarks.late_rows

planning-cost: $(VENV)/.installed ## What a look of the sensors costs among 1,000 days and 10,000 files
	@$(BIN)/python -m benchmarks.planning

bucket-requests: $(VENV)/.installed ## How many requests a look takes of a bucket with 1,000 days of all tables
	@$(BIN)/python -m benchmarks.bucket_requests

kills: $(VENV)/.installed ## A real dagster dev, fed by another process and killed again and again; ROUNDS=5
	@$(BIN)/python -m benchmarks.killed_daemons --rounds $(ROUNDS)

backfills: $(VENV)/.installed ## Eight backfills at once on one root while a late file comes, on a disk and in a bucket
	@BACKFILLS=1 $(BIN)/python -m pytest ml_data_platform_tests/faults/pipeline/test_backfills_at_once.py

ticks: $(VENV)/.installed ## The daemon's sensor loop, killed at every point of a look: before, between and after what it leaves behind
	@ALL_POINTS=1 $(BIN)/python -m pytest ml_data_platform_tests/faults/pipeline/test_killed_ticks.py

leaks: $(VENV)/.installed ## The tutorial way against ours on a real shop's log: the leaked AUC and the honest one
	@$(BIN)/python -m benchmarks.leaks

shop-trace: $(VENV)/.installed ## A model of a real shop's log, traced to file and row, looked up there by plain Python
	@$(BIN)/python -m benchmarks.shop_trace

cuts: $(VENV)/.installed ## Kill a cut at each change that it makes, under late data; every version is restored; CUTS=50 takes fewer
	@$(BIN)/python -m benchmarks.cuts $(if $(CUTS),--rounds $(CUTS))

loading: $(VENV)/.installed ## MILLIONS=2 rows of a version in batches: peak memory and speed beside pandas and plain pyarrow
	@$(BIN)/python -m benchmarks.loading --millions $(or $(MILLIONS),2)

$(TORCH_VENV)/.installed: $(VENV)/.installed
	@echo "Making an environment with PyTorch in $(TORCH_VENV); about 5 GB …"
	@$(PYTHON) -m venv $(TORCH_VENV)
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
		"$$($(TORCH_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/platform.pth"
	@$(TORCH_VENV)/bin/python -m pip install -qq --disable-pip-version-check torch
	@touch $@

torch: $(TORCH_VENV)/.installed ## The loader with real PyTorch, 0 to 8 workers; installed into $(TORCH_VENV), beside the locked packages
	@$(TORCH_VENV)/bin/python -m pytest ml_data_platform_tests/integration/datasets/test_torch_rows.py

lint: $(VENV)/.installed ## Lint, types, import contracts, format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.installed ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix --quiet . || true

lock: $(VENV)/.installed ## Resolve the newest versions into requirements.lock, with the hashes of their files
	@$(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev \
		--no-emit-index-url --no-header --generate-hashes --upgrade pyproject.toml --output-file requirements.lock

browser: ## Install a headless browser for the browser tests (Debian, needs root)
	apt-get update -qq && apt-get install -y -qq chromium

postgres: $(VENV)/.installed ## Install PostgreSQL, and try a history in it (Debian, needs root)
	apt-get update -qq && apt-get install -y -qq postgresql
	@$(BIN)/python -m pip install --quiet 'dagster-postgres>=0.29.27,<0.30'
	@$(BIN)/python -m pytest -q ml_data_platform_tests/integration/defs/test_postgres.py

faults: $(VENV)/.installed ## Strike storage in every way, in full length; LANES=kills,readers COUNT=100 SEED=1 QUICK=1 RESULTS=file
	@$(BIN)/python -m benchmarks.faults $(if $(LANES),--lanes $(LANES)) $(if $(COUNT),--count $(COUNT)) \
		$(if $(SEED),--seed $(SEED)) $(if $(QUICK),--quick) $(if $(RESULTS),--results $(RESULTS))

gates: $(VENV)/.installed ## Every lane in short and every step of its gate, with SEEDS=100 seeds one after the other; says which missed; SEED=1
	@$(BIN)/python -m benchmarks.faults --quick --seeds $(or $(SEEDS),100) $(if $(SEED),--seed $(SEED))

flips: $(VENV)/.installed ## Turn single bits of all that is stored over: built upon, found, repaired; COUNT=1500 ROUNDS=20 SEED=1
	@$(BIN)/python -m benchmarks.flips $(if $(COUNT),--count $(COUNT)) $(if $(filter command line,$(origin ROUNDS)),--rounds $(ROUNDS)) \
		$(if $(SEED),--seed $(SEED))

fault-tools: ## Install strace for the fault lanes (Debian, needs root)
	apt-get update -qq && apt-get install -y -qq strace

clean: ## Remove the environment and the default root
	rm -rf $(VENV) $(TORCH_VENV) .platform .mypy_cache .ruff_cache .pytest_cache .hypothesis
