# Everything a newcomer needs: `make up` and `make test`. Only Python 3.11 or later, make and git must be there.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.installed
PYTEST := $(VENV)/bin/python -m pytest
FLOCK := $(if $(shell command -v flock 2>/dev/null),flock Makefile)

SEEDS ?= $(shell seq 1 20)

.PHONY: help up env prove test soak fuzz bench documents check format clean
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/; s/\$$\$$/$$/' | expand -t 16

# Of two that are started at once one installs; the other waits, and finds it done.
$(READY): pyproject.toml deploy/constraints.txt
ifndef INSTALLING
	@$(FLOCK) $(MAKE) -s INSTALLING=1 $@
else
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or later is needed: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@# Of all that pip says, the large files alone, so that one sees it go on.
	@# Nothing to stdout, which a shell may evaluate: `make -s env`.
	@rm -f $@; echo "Installing the Python packages; the first time this takes a few minutes ..." >&2
	@{ $(VENV)/bin/python -m pip install --disable-pip-version-check --progress-bar off \
		-c deploy/constraints.txt -e '.[local,dev]' 2>&1 && touch $@; } | tee $(VENV)/pip.log | \
		awk '/^ *(Downloading|Using cached) .* MB\)/ {print; fflush()} /^Installing/ {print "  " $$1 " ..."; fflush()}' >&2
	@test -f $@ || { tail -n 20 $(VENV)/pip.log >&2; exit 1; }
endif

up: $(READY)  ## start everything on this machine, at http://localhost:3000 (PORT)
	@exec $(VENV)/bin/python -m deploy.local

env: $(READY)  ## the running stack's addresses and process ids: eval "$$(make -s env)"
	@$(VENV)/bin/python -m deploy.local env

prove: $(READY)  ## prove on the running stack that it cannot double-book (ARGS="--requests 200")
	@exec $(VENV)/bin/python -m tests.proof.race $(ARGS)

test: $(READY)  ## run all tests, on real servers; or some of them (ARGS="-k hold")
ifdef ARGS
	$(PYTEST) $(ARGS)
else
	$(PYTEST) -n 3 --dist worksteal tests/unit tests/integration
	$(PYTEST) tests/browser  # one Chromium and one stack for all; skipped without chromium
	$(PYTEST) tests/proof/faults  # by themselves: a cluster takes all of a small machine
endif

soak: $(READY)  ## break a cluster for a minute a seed, and judge every answer (SEEDS="1 2 3")
	ALL_CONTROLS=1 $(PYTEST) tests/proof/faults/test_controls.py
	@for seed in $(SEEDS); do $(VENV)/bin/python -m tests.proof.faults --seconds 60 --seed $$seed || exit 1; done

fuzz: $(READY)  ## send ten minutes of wrong input over HTTP and NATS (ARGS="--seconds 60 --seed 1")
	@exec $(VENV)/bin/python -m tests.fuzz $(ARGS)

bench: $(READY)  ## measure it beside the monoliths one would write otherwise; needs wrk, node (ARGS=--quick)
	@exec $(VENV)/bin/python -m tests.bench $(ARGS)

documents: $(READY)  ## write gateway/docs/openapi.json and gateway/docs/asyncapi.json anew
	$(VENV)/bin/python -m gateway.openapi > gateway/docs/openapi.json
	$(VENV)/bin/python -m shared.worker.asyncapi > gateway/docs/asyncapi.json

check: $(READY)  ## lint, types and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(READY)  ## format the code
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:  ## remove the environment and caches; the local stack's data stays in .local
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
