# One word each.  Everything that is made goes below .state/; `make clean` takes it away.
PYTHON ?= python3
export PYTHON

STATE := $(CURDIR)/.state
python := $(STATE)/venv/bin/python
unexport PYTHONDONTWRITEBYTECODE
# No tool writes beside the sources.
export PYTHONPYCACHEPREFIX := $(STATE)/cache/pycache
# One file's tests stay in one process: they share their farm.
fast := -n 2 --dist loadfile -m 'not slow and not deb'
long := -m '(slow or hypothesis) and not deb'
# They look at the whole machine, or at how fast it is: one at a time.  Of the other long ones three at a time: they wait a lot.
alone := tests/slave/building/test_chroot_builds.py tests/slave/isolation/test_limits.py tests/slave/disk/test_roots.py tests/chaos tests/test_two_hosts.py \
	tests/test_real_farm.py tests/test_run_master.py tests/test_services.py tests/actors/test_farm_survives.py \
	tests/actors/supervision/test_hanging_actors.py tests/cli/whole_farm/test_up.py tests/cli/chroots/test_making.py \
	tests/cli/chroots/test_update.py
export PYTHONPATH := $(CURDIR)

.PHONY: help demo test test-fast lint format deb test-deb bench chaos chaos-table simulate-table commands clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: ## a whole farm on this machine: builds hello from its source, shows the packages, stops
	@demo/run

test: lint ## what CI runs: lint, then every test
	@$(python) -m pytest $(fast)
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-thorough} $(python) -m pytest -n 3 --dist loadfile $(long) $(addprefix --ignore=,$(alone))
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-thorough} $(python) -m pytest $(long) $(alone)

test-fast: .state/for-test ## the tests that take under 3 s each and need no root
	@$(python) -m pytest $(fast)

lint: .state/for-test ## format, ruff, mypy, who imports whom
	@$(python) -m ruff format --check --quiet
	@$(python) -m ruff check
	@$(python) -m mypy
	@$(STATE)/venv/bin/lint-imports setup.cfg --cache-dir $(STATE)/cache/import-linter

format: .state/for-test ## lay the code out as lint wants it
	@$(python) -m ruff format
	@$(python) -m ruff check --fix

deb: ## our own Debian packages, for Debian 12 on amd64: .state/deb/
	@.ci/deb

test-deb: .state/for-test deb ## our own farm builds them, a fresh chroot installs and runs them (as root, some minutes)
	@$(python) -m pytest -m deb

bench: .state/for-test ## dispatch latency and throughput, one decision of the matcher, simulated builds: one JSON line each
	@$(python) -m bench dispatch --builders 20 --jobs 500 --json
	@$(python) -m bench matcher --json
	@$(python) -m bench simulate --json

chaos: .state/for-test ## a monkey plays with a real farm, 300 jobs: `make chaos SEED=7` (as root it fills disks, too; 2 min)
	@$(python) -m tests.chaos run --seed $(or $(SEED),1) $(if $(MIXED),--mixed)

chaos-table: ## the figures of all runs of chaos, into docs/reliability.md
	@$(python) -m tests.chaos table --into docs/reliability.md

simulate-table: ## the figures of twenty simulated farms, into docs/reliability.md (some minutes)
	@$(python) -m tests.simulation.figures --into docs/reliability.md

commands: .state/for-test ## the shapes of what `--json` prints, into docs/commands.md
	@WRITE_COMMANDS=yes $(python) -m pytest -n 0 -q tests/cli/test_json.py

clean: ## remove .state/ (nothing of it is running)
	@rm -rf $(STATE)

.PHONY: .state/for-test
.state/for-test:
	@.ci/bootstrap test
