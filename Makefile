# Two commands matter: `make run` and `make test`. PYTHON=… picks the interpreter, VENV=… the environment's folder.
PYTHON ?=
VENV ?= .venv
# Processes that share the tests, each file in one of them; WORKERS=0 runs all in one. Three on two cores, because half of
# the time a test waits for a process that it has started. The files keep their order: the last ones have short tests.
WORKERS ?= 3
PYTEST = $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder
export PYTHON VENV
BIN := $(VENV)/bin
SCRIPTS := $(wildcard .ci/*) $(wildcard tools/*.sh) build-push.sh deploy.sh

.PHONY: help run test test-quick test-long test-soak test-cluster check format train bench monitor tools lock clean
.DEFAULT_GOAL := help

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Serve on http://localhost:8000/project, with a private Redis unless MLAPI_REDIS_URL is set; Ctrl-C stops both.
	@tools/install.sh run
	@exec $(BIN)/python -m tools.serve $(BIN)/mlapi serve

test: ## Run the checks and every test; installs PyTorch (3 GB) the first time.
	@tools/install.sh full
	@$(MAKE) --no-print-directory check
	@tools/go_tools.sh || test -z "$${CI:-}" # without them their tests are skipped, except in CI
	@tools/go_tools.sh actionlint || test -z "$${CI:-}"
	@tools/delivery_tools.sh zizmor || test -z "$${CI:-}"
	@tools/training_tools.sh || test -z "$${CI:-}"
	@tools/clients.sh || test -z "$${CI:-}"
	@tools/protocol_clients.sh || test -z "$${CI:-}"
	@tools/redis_tls.sh || test -z "$${CI:-}"
	@$(PYTEST)

test-quick: ## Run the tests that need no PyTorch.
	@tools/install.sh quick
	@$(PYTEST) -m "not torch and not cluster and not image and not long"

test-long: ## Run the tests that take minutes each; TESTS=tests/… picks some of them.
	@tools/install.sh full
	@tools/kafka.sh || test -z "$${CI:-}"
	@tools/bulk_engines.sh || test -z "$${CI:-}"
	@$(BIN)/python -m pytest $(or $(TESTS),tests) -m long

test-soak: ## Soak the service under faults and attacks for ten minutes, or DURATION=8h; RATE= requests a second. Reports to build/soak.
	@tools/install.sh quick
	@$(BIN)/python -m soak $(if $(DURATION),--duration $(DURATION)) $(if $(RATE),--rate $(RATE))

test-cluster: ## Test the image, and the service on the cluster that KUBECONFIG names; see CONTRIBUTING.md.
	@tools/install.sh quick
	@tools/go_tools.sh k6 kustomize
	@$(BIN)/python -m pytest $(or $(TESTS),tests/image tests/cluster) -m 'image or cluster'

check: ## Lint, types, layers, YAML, shell, advisories and licences.
	@tools/install.sh quick
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/yamllint --strict .
	PATH="$(BIN):$$PATH" shellcheck $(SCRIPTS)
	$(BIN)/python -m tools.advisories
	$(BIN)/python -m tools.licences

format: ## Format the code and apply the safe fixes.
	@tools/install.sh quick
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

train: ## Train the small model on made-up sentences; MODELS="lab project" both, PROFILE=full on the sets in SHARED_DIR.
	@tools/train.sh $(or $(PROFILE),small) $(MODELS)

bench: ## Compare mlapi with the naive service; PROFILE=full with every peer. Also PEERS=, ROWS=, ROUNDS=, SECONDS=.
	@tools/install.sh full
	@$(BIN)/python -m benchmarks.run --profile $(or $(PROFILE),short) $(if $(PEERS),--peers $(PEERS)) \
	  $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS))

monitor: ## Watch the service of this machine with Prometheus and Alertmanager, and the project's rules; Ctrl-C stops them.
	@tools/install.sh quick
	@exec $(BIN)/python -m tools.monitor

tools: ## Build kustomize, k6, promtool and the like, where the PATH has other versions.
	@tools/go_tools.sh

lock: ## Resolve pyproject.toml anew into poetry.lock and requirements/.
	@tools/install.sh run
	@tools/lock.sh $(BIN)/python

clean: ## Remove the environment and everything generated.
	rm -rf $(VENV) .tools .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
