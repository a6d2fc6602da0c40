# The words that people and CI use. Everything lands in .venv; packages are pinned by version and hash in requirements/.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
MANIFEST ?=
TESTS ?= tests
PLATFORMS := linux darwin win32
PACKAGES := nginx-light libnginx-mod-http-dav-ext apache2-bin fuse3 attr dosfstools git git-lfs openssl zstd docker.io docker-compose debootstrap iptables e2fsprogs \
    postgresql redis-server libmagic1

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: help run test test-full conformance live check format bench debian

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

run: .venv/run  ## deliver and read the quickstart's data; MANIFEST=path/to/gotdata.yml delivers yours
ifeq ($(MANIFEST),)
	@$(BIN)/python examples/quickstart/run.py
else
	@[ -f "$(MANIFEST)" ] || { echo "there is no $(MANIFEST)" >&2; exit 2; }
	@$(BIN)/gotdata -C "$$(dirname "$(MANIFEST)")" up
endif

test: .venv/test .venv/ckan/stamp .venv/dandi/stamp .venv/openneuro/stamp .venv/azurite/stamp debian  ## every test that fits in 20 minutes on two cores; what can't run here is listed at the end
	$(BIN)/pytest $(TESTS) -n 2 --dist loadfile

test-full: .venv/test .venv/ckan/stamp .venv/dandi/stamp .venv/openneuro/stamp .venv/azurite/stamp debian  ## the same with long campaigns: thousands of examples for each property
	$(BIN)/pytest $(TESTS) --hypothesis-profile campaign --timeout 3600

conformance: .venv/test .venv/ckan/stamp .venv/dandi/stamp .venv/openneuro/stamp .venv/azurite/stamp debian  ## write the table of docs/sources/index.md: what each source was shown to do
	$(BIN)/pytest $(wildcard tests/sources tests/clients tests/e2e/*contract* tests/e2e/*real*) -n 2 --dist loadfile --write-table

live: .venv/test  ## with the internet: one public file of each provider, and what differs from what the tests believe
	GOTDATA_LIVE=1 $(BIN)/pytest tests/live

check: .venv/test  ## ruff, mypy for each platform, the import rule, the rules of the documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	for platform in $(PLATFORMS); do $(BIN)/mypy --platform $$platform; done
	$(BIN)/pytest tests/test_imports.py tests/docs

format: .venv/test  ## let ruff write what it can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/test  ## our mount beside the local file system and rclone: a table of ratios
	@.ci/debian nginx-light fuse3 rclone
	@$(BIN)/python -m bench.run

debian:
	@.ci/debian $(PACKAGES)

# A stamp for each set of packages. test.txt holds all of run.txt, at the same versions.
.venv/run .venv/test: .venv/%: requirements/%.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q --no-deps --require-hashes -r requirements/$*.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Their pins would bind ours. Where one can't be installed, its tests say so.
.venv/ckan/stamp .venv/dandi/stamp .venv/openneuro/stamp: .venv/%/stamp: requirements/%.txt | .venv/bin/python
	@$(BIN)/python -m venv .venv/$*
	@if .venv/$*/bin/python -m pip install -q --no-deps --require-hashes -r $<; then touch $@; \
	    else echo "$* can't be installed here: what needs it can't run" >&2; fi

# Azure's storage emulator, pinned by hash. Without node and npm its tests are skipped.
.venv/azurite/stamp: requirements/azurite/package.json requirements/azurite/package-lock.json | .venv/bin/python
	@command -v npm >/dev/null || .ci/debian nodejs npm
	@mkdir -p .venv/azurite && cp $^ .venv/azurite/
	@if npm ci --prefix .venv/azurite --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error; then touch $@; \
	else echo "Azurite could not be installed: the tests against it are skipped" >&2; fi

.venv/bin/python:
	@for name in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
	    if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$${python:-}" ]; then \
	    echo "gotdata needs Python 3.11 or newer, and there is none here: apt-get install python3 (Debian 12, Ubuntu 24.04" \
	         "or newer), or name yours: make PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	venv=$$("$$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then .ci/debian $$venv; fi; \
	if ! "$$python" -m venv .venv >/dev/null; then \
	    rm -rf .venv; echo "$$python can't make a virtual environment: apt-get install $$venv, then again" >&2; exit 1; \
	fi
