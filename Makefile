# What a person or CI does here, by name. `make` alone lists it. Tools that take arguments are no
# targets: `.venv/bin/python -m tools.explain NAME`, and so on (README.md, docs/guide/operating.md).
# The first use of a target that needs Python makes .venv; nothing is installed outside this folder
# but by `make tools`.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What is compiled once is kept for every process that the tests start.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
CHECKOV_VENV := .venv-checkov
TOOLS := caddy chromium chromedriver curl node
TOOL_PACKAGES := caddy chromium chromium-driver curl nodejs

# The Pythons to try, the versions that will do, and what is said without one of them.
PYTHONS = python3 python3.13 python3.12 python3.11
VERSIONS = (3, 11) <= sys.version_info < (3, 14)
NO_PYTHON = No Python from 3.11 to 3.13 is on PATH. Install one, or name one: make setup PYTHON=...

# A shim may be there without the Python behind it, so each one is tried.
define find_python
for python in $(PYTHON) $(PYTHONS); do \
  if "$$python" -c 'import sys; sys.exit(not ($(VERSIONS)))' 2>/dev/null; then break; fi; \
  python=; \
done; \
if [ -z "$$python" ]; then echo "$(NO_PYTHON)" >&2; exit 1; fi
endef

# $(call make_venv,FOLDER,REQUIREMENTS,OPTIONS of tools/install.py)
define make_venv
@$(find_python); \
echo "==> $(1): $$("$$python" --version), packages of $(2)"; \
[ -x $(1)/bin/python ] || "$$python" -m venv $(1) || { \
  echo "$$python cannot make a virtual environment (on Debian: apt-get install python3-venv)." >&2; \
  rm -rf $(1); \
  exit 1; \
}
@$(1)/bin/python tools/install.py $(2) $(3)
@touch $@
endef

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Begin

.PHONY: setup
setup: $(VENV)/.installed ## Make .venv with what the tests and every tool need (make demo needs less)

$(VENV)/.installed: requirements-dev.txt requirements-demo.txt
	$(call make_venv,$(VENV),$<)
	@touch $(VENV)/.demo

# A part of it, for who wants no more than to see it work.
$(VENV)/.demo: requirements-demo.txt
	$(call make_venv,$(VENV),$<)

$(CHECKOV_VENV)/.installed: requirements-checkov.txt
	$(call make_venv,$(CHECKOV_VENV),$<)

.PHONY: tools
tools: ## Install Caddy, Chromium and its driver, curl and Node from the distribution (root or sudo)
	@missing=; for tool in $(TOOLS); do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if [ -z "$$missing" ]; then echo "==> tools: $(TOOLS) are there"; exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	  echo "Not on PATH:$$missing. There is no apt-get here: install them in your system's way." >&2; \
	  exit 1; \
	fi; \
	sudo=; \
	if [ "$$(id -u)" -ne 0 ]; then \
	  sudo=sudo; \
	  command -v sudo >/dev/null || { \
	    echo "Not on PATH:$$missing. As root: apt-get install $(TOOL_PACKAGES)" >&2; \
	    exit 1; \
	  }; \
	fi; \
	echo "==> tools: installing $(TOOL_PACKAGES) (where systemd runs, Debian's Caddy starts as a service)"; \
	$$sudo apt-get update; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends $(TOOL_PACKAGES)

.PHONY: terraform
terraform:
	@command -v terraform >/dev/null || { \
	  echo "terraform is not on PATH: https://developer.hashicorp.com/terraform/install (1.9 or newer)" >&2; \
	  exit 1; \
	}

.PHONY: demo
demo: terraform $(VENV)/.demo ## Play and measure it on a local AWS (ARGS=--alarm-path: both wake paths)
	@exec $(BIN)/python -m demo $(ARGS)

.PHONY: up
up: terraform $(VENV)/.demo ## Leave an estate running on a local AWS, until Ctrl-C or SIGTERM (ESTATE=environment)
	@exec $(BIN)/python -m demo --up --estate $(or $(ESTATE),staging)

##@ Change it

# For the minutes between two edits. What takes longest is left to make test: the model's explorations
# of more than two orders, the local cloud's mutants, most of the mutated events.
LONG := race_while_time or triples or other_kinds or policy_is_late or mutants_that_need_no_cloud
QUICK := tests/warmkeeper tests/tools tests/docs tests/rights tests/terraform/test_coverage.py \
  tests/model localcloud demo
.PHONY: check
check: setup terraform ## What an edit breaks soonest: ruff, mypy, terraform fmt, unit and model tests
	@echo "==> ruff"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@echo "==> mypy"
	@$(BIN)/mypy
	@echo "==> terraform fmt"
	@terraform fmt -check -diff -recursive .
	@echo "==> pytest: $(QUICK)"
	@FUZZ=2000 $(BIN)/python -m pytest $(QUICK) -m "not cloud and not terraform" -k "not ($(LONG))" \
	  --numprocesses=2 --quiet $(ARGS)

.PHONY: fmt
fmt: setup terraform ## Format Python and Terraform
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .
	@terraform fmt -recursive .

.PHONY: package
package: setup ## Build lambda/warmkeeper.zip from its sources, and lambda/time-zones.json from tzdata
	@$(BIN)/python -m tools.package
	@$(BIN)/python -m tools.time_zones

.PHONY: docs
docs: setup ## Write the tables of inputs, outputs, wake policy and clients into README and docs
	@$(BIN)/python -m tools.terraform_docs
	@$(BIN)/python -m tools.clients

.PHONY: clean
clean: ## Remove what make, Terraform and the tests left here, the virtual environments too
	@rm -rf .cache .hypothesis $(VENV) $(CHECKOV_VENV) $(COMPATIBILITY_VENV) $(JUDGE_VENV) $(LOCALSTACK_VENV)
	@find . -name .git -prune -o \( -name .terraform -o -name __pycache__ \) -type d -prune -exec rm -rf {} +
	@find . -name .git -prune -o -name .terraform.lock.hcl -type f -exec rm -f {} +

##@ Judge it

.PHONY: test
test: lint ## Static checks, then all tests but those of the next three (CI=1: a skip is a failure)
	@echo "==> pytest"
	@$(BIN)/python -m pytest

.PHONY: test-reliability
test-reliability: setup terraform ## Every order of calls, every call that fails, and mutants of the module, within narrow bounds
	@$(BIN)/python -m pytest tests/model tests/faults tests/mutants --numprocesses=3 $(ARGS)

.PHONY: test-localcloud
test-localcloud: setup ## The local cloud as it runs: load balancer, tasks, functions, events, databases, queues
	@$(BIN)/python -m pytest localcloud/tests/live --numprocesses=6 $(ARGS)

# It begins first, because it takes as long as the others beside it.
LONGEST_EXAMPLE := tests/integration/examples/test_environment.py
.PHONY: test-examples
test-examples: setup terraform ## Apply the examples of whole estates; each sleeps, wakes, is deployed to and destroyed
	@$(BIN)/python -m pytest $(LONGEST_EXAMPLE) tests/integration/examples/test_*.py --numprocesses=4 --dist=loadgroup $(ARGS)

.PHONY: lint
lint: setup terraform $(CHECKOV_VENV)/.installed ## Static checks: ruff, mypy, terraform, the tables of inputs and outputs, checkov
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target --keep-going \
	  lint-checkov lint-mypy lint-terraform lint-ruff

.PHONY: lint-ruff lint-mypy lint-terraform lint-checkov
lint-ruff:
	@echo "==> ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lint-mypy:
	@echo "==> mypy"
	@$(BIN)/mypy

lint-terraform:
	@echo "==> terraform fmt"
	@terraform fmt -check -diff -recursive .
	@echo "==> terraform validate (the examples: tests/terraform/test_plans.py)"
	@mkdir -p .cache; settings="$$($(BIN)/python -m tools.terraform_env)"; \
	eval "$$settings"; \
	export TF_DATA_DIR="$(CURDIR)/.cache/validate"; \
	terraform init -backend=false -input=false -no-color >.cache/init.log 2>&1 || { \
	  cat .cache/init.log >&2; exit 1; \
	}; \
	terraform validate -no-color
	@echo "==> tables of inputs and outputs"
	@$(BIN)/python -m tools.terraform_docs --check

lint-checkov:
	@echo "==> checkov"
	@$(CHECKOV_VENV)/bin/checkov --directory . --framework terraform --skip-download --quiet --compact \
	  --skip-path '\.venv' --skip-path '\.cache' --skip-path '\.terraform' --skip-path 'tests/terraform'

# Judges that the tests' environment has no place for. What they said stands in a table of
# docs/evidence/compatibility.md, which has to be as they said it; RECORD=1 writes it.
COMPATIBILITY_VENV := .venv-compatibility
JUDGE_VENV := .venv-judge

# $(call with_environment,TARGET,FOLDER,COMMANDS): not run where the environment cannot be made, which
# CI fails for.
define with_environment
@$(MAKE) --no-print-directory $(2)/.installed || { \
  echo "==> $(1): not run, because $(2) could not be made (see above)" >&2; \
  case "$(CI)" in "" | 0 | false) exit 0 ;; *) exit 1 ;; esac; \
}; \
$(3)
endef

# $(call judged,TARGET,FOLDER,COMMANDS): the same, and then the table is compared or written.
define judged
$(call with_environment,$(1),$(2),rm -rf .cache/judged/$(1); \
  $(3); \
  if [ -z "$(ARGS)" ]; then $(BIN)/python -m tests.judged $(1) $(if $(RECORD),--record); fi)
endef

$(COMPATIBILITY_VENV)/.installed: requirements-compatibility.txt requirements-newest.txt
	$(call make_venv,$(COMPATIBILITY_VENV),$<,--files)
	@$(COMPATIBILITY_VENV)/bin/python tools/install.py requirements-newest.txt \
	  --files=$(COMPATIBILITY_VENV)/newest

$(JUDGE_VENV)/.installed: requirements-judge.txt tests/judge/package.json tests/judge/package-lock.json
	$(call make_venv,$(JUDGE_VENV),$<,--files)
	@echo "    tests/judge/package-lock.json, by npm"
	@cp tests/judge/package*.json $(JUDGE_VENV)
	@$(JUDGE_VENV)/bin/npm ci --prefix $(JUDGE_VENV) --ignore-scripts --no-audit --no-fund --loglevel=error

# A file's tests share what they apply or read: one worker has the whole file, in the order of files.
BY_FILE := --numprocesses=2 --dist=loadfile --no-loadscope-reorder
.PHONY: compatibility with-oldest with-newest
compatibility: setup ## The module with the oldest and the newest Terraform, and AWS provider 6's schema
	$(call judged,$@,$(COMPATIBILITY_VENV),\
	  $(MAKE) --no-print-directory --jobs=2 --output-sync=target with-oldest with-newest)

with-oldest with-newest: with-%:
	@echo "==> pytest: the $* Terraform"
	@PATH="$(CURDIR)/tests/compatibility/$*:$$PATH" \
	  $(BIN)/python -m pytest @tests/compatibility/$*.txt $(BY_FILE) $(ARGS)

.PHONY: judge
judge: setup terraform ## The module judged by cfn-lint, policy-sentry, iam-simulate, MiniStack and dynalite
	$(call judged,$@,$(JUDGE_VENV),\
	  echo "==> pytest"; $(BIN)/python -m pytest tests/judge $(BY_FILE) $(ARGS))

# LocalStack wants other versions than the tests, and MiniStack beside it others again.
LOCALSTACK_VENV := .venv-localstack

# It runs on this Python alone, which may be installed beside PATH.
$(LOCALSTACK_VENV)/.installed: PYTHONS = python3.13 python3 $$HOME/.pyenv/versions/3.13*/bin/python3.13 \
  "$$(uv python find --no-python-downloads 3.13 2>/dev/null)"
$(LOCALSTACK_VENV)/.installed: VERSIONS = sys.version_info[:2] == (3, 13)
$(LOCALSTACK_VENV)/.installed: NO_PYTHON = There is no Python 3.13 here, and LocalStack runs on no other. \
  Install it (uv python install 3.13, or pyenv install 3.13), or name it: make test-localstack \
  PYTHON=/path/to/python3.13
$(LOCALSTACK_VENV)/.installed: requirements-localstack.txt
	$(call make_venv,$(LOCALSTACK_VENV),$<,--files)

.PHONY: test-localstack
test-localstack: setup terraform ## Apply examples/staging to a real LocalStack; it sleeps, wakes and is destroyed (Python 3.13)
	$(call with_environment,$@,$(LOCALSTACK_VENV),\
	  echo "==> pytest"; $(BIN)/python -m pytest tests/localstack --numprocesses=0 $(ARGS))

# One worker: another cloud is one, with one estate in it. What it cannot do is skipped, also in CI. The
# tests of the proxy and of redirects have nothing to do with it.
.PHONY: test-integration
test-integration: setup terraform ## Integration tests on a cloud of yours: LOCALSTACK_HOST=host:port
	@if [ -z "$(LOCALSTACK_HOST)$(AWS_ENDPOINT_URL)" ]; then \
	  echo "Name the cloud: make test-integration LOCALSTACK_HOST=127.0.0.1:4566" >&2; \
	  exit 1; \
	fi
	@CI= $(BIN)/python -m pytest tests/integration tests/integration/examples --numprocesses=0 \
	  --ignore=tests/integration/test_caddy_beat.py --ignore=tests/integration/test_redirects.py $(ARGS)

##@ Look further: what takes longer than a test run should

.PHONY: fidelity
fidelity: setup ## Test the local cloud against its mutants: docs/evidence/fidelity.md (ARGS=--stale)
	@$(BIN)/python -m localcloud.fidelity $(ARGS)

.PHONY: reliability
reliability: setup terraform ## Try to break it with wide bounds (hours, 20 GB of memory): docs/evidence/reliability.md
	@rm -rf .cache/figures
	@RELIABILITY=1 MODEL=1 $(BIN)/python -m pytest $$($(BIN)/python -m tests.faults.reliability --tests) \
	  --numprocesses=2
	@RELIABILITY=1 MODEL=1 $(BIN)/python -m tests.faults.reliability

.PHONY: test-upgrades
test-upgrades: setup terraform ## Change the module, and each service of an environment, in every way in every phase
	@TEST_UPGRADES=1 $(BIN)/python -m pytest tests/integration/test_changing.py \
	  tests/integration/test_lifecycle.py tests/integration/examples/test_members.py \
	  tests/integration/examples/test_environment.py::test_with_service_connect_an_environment_sleeps_and_wakes_as_one \
	  --numprocesses=0

.PHONY: mutate-validations
mutate-validations: setup terraform ## Take out each validation and check, and record which run goes red (ARGS=--stale)
	@$(BIN)/python -m tests.terraform.mutate_validations $(ARGS)

.PHONY: bench
bench: setup terraform ## Measure how long things take (RECORD=1: docs/evidence/performance.md; ARGS='drowsy ticks')
	@$(BIN)/python -m demo.bench $(if $(RECORD),--record) $(ARGS)
