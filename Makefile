# The first two commands: make demo, make test. ARGS goes to the command: make demo ARGS="--seconds 20 --json".
# What a command prints on stdout is all that comes out there; setting up talks on stderr.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=
# Files of tests run in four processes, in the order that tests/conftest.py gives them: two cores' worth of work, and
# two wait.
IN_FOUR := --numprocesses 4 --dist loadgroup --no-loadscope-reorder
# Those that wait nearly all of their time, test by test: more processes would be busy with importing. A sixth runs what
# is emulated, on the core that they leave.
IN_SIX := --numprocesses 6 --dist loadgroup

# The benchmark's larger weights and real photos are found beside the project without being copied into it.
ifneq ($(wildcard ../shared/models),)
bench: export WHOSTHERE_PATHS__MODELS ?= ["model/artifacts", "../shared/models"]
endif
ifneq ($(wildcard ../shared/faces/lfw_dev.zip),)
bench: export WHOSTHERE_BENCH_FACES ?= ../shared/faces/lfw_dev.zip
endif
ifneq ($(wildcard ../shared/video/one_by_one_person_432p_139s.mp4),)
bench: export WHOSTHERE_BENCH_NEGATIVE ?= ../shared/video/one_by_one_person_432p_139s.mp4
endif

.PHONY: help setup demo stack dashboards test test-arm64 test-pythons test-kill test-ha fuzz openapi check bench docs \
    release clean

help:
	@echo 'make demo    see it work: a broker, a sample camera and a live table of who is seen'
	@echo 'make stack   service, mosquitto, Prometheus and, where it is installed, Grafana; says where to look'
	@echo 'make test    run the tests (real servers on loopback; ARGS goes to pytest)'
	@echo 'make test-pythons  the tests without servers, on every other Python from 3.11 to 3.13 that is here'
	@echo 'make test-arm64  test on aarch64, emulated: what a Raspberry Pi or a Jetson would answer'
	@echo 'make test-kill  kill commands and the gallery hundreds of times, at calls that write and by chance'
	@echo 'make test-ha  test against a real Home Assistant core, which it installs into .ha (Python 3.13)'
	@echo 'make fuzz    ask everything that /openapi.json has, in every way, for a quarter of an hour'
	@echo 'make dashboards  write configs/grafana/*.json anew'
	@echo 'make openapi  write docs/openapi.json and the roles of docs/api.md anew'
	@echo 'make check   lint, formatting, types, the direction of imports'
	@echo 'make bench   measure speed on this machine'
	@echo 'make docs    write the docs as a site into site/, their links checked'
	@echo 'make release  make dist/: sdist, wheel, SBOM and digests of what is committed'
	@echo 'make setup   make $(VENV) alone; the others do so themselves'
	@echo 'make clean   remove what can be made again; your data in var/ stays'

setup: $(READY)
	@:

$(READY): pyproject.toml
	@{ \
	    scripts/install-debian-packages.sh demo; \
	    python=$$(scripts/find-python.sh); \
	    if ! PYTHON=$(BIN)/python scripts/find-python.sh >/dev/null 2>&1; then \
	        echo "making $(VENV) with $$python"; \
	        "$$python" -m venv --clear $(VENV); \
	    fi; \
	    echo 'installing whosthere and what it needs into $(VENV) (the first time takes a minute or two)'; \
	    $(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[cpu,webrtc,dev]'; \
	    touch $@; \
	} >&2

demo: $(READY)
	@$(BIN)/whosthere demo $(ARGS)

stack: $(READY)
	@scripts/install-debian-packages.sh stack
	@$(BIN)/python scripts/run-stack.py $(ARGS)

test: $(READY)
	@scripts/install-debian-packages.sh test
	@# 5: there is none of these among those that ARGS names.
	@one=0; other=0; \
	$(BIN)/python -m pytest --waiting only $(IN_SIX) $(ARGS) || one=$$?; \
	$(BIN)/python -m pytest --waiting without $(IN_FOUR) $(ARGS) || other=$$?; \
	case "$$one $$other" in "0 0"|"5 0"|"0 5") ;; *) exit 1;; esac

test-pythons: $(READY)
	@scripts/test-other-pythons.sh $(ARGS)

test-arm64: $(READY)
	@scripts/make-arm64-root.sh
	@$(BIN)/python -m pytest tests/emulated/test_arm64.py $(ARGS)

test-ha: $(READY)
	@scripts/install-debian-packages.sh test
	@scripts/make-ha-venv.sh
	@$(BIN)/python -m pytest tests/home_assistant --thorough -n 0 $(ARGS)

# The seed is a new one each time, and printed; ARGS="--seed N" has the same kills again.
test-kill: $(READY)
	@$(BIN)/python -m tests.kills --every 10 --kills 30 --seed $$(date +%s) $(ARGS)

# The seed is a new one each time, and printed; ARGS="--seconds 60 --seed N" is shorter, and has the same requests again.
fuzz: $(READY)
	@$(BIN)/python -m tests.contract.fuzz --seconds 900 $(ARGS)

dashboards: $(READY)
	@$(BIN)/python -m scripts.dashboards

openapi: $(READY)
	@$(BIN)/python -m tests.contract

check: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_imports.py

bench: $(READY)
	@$(BIN)/whosthere bench $(ARGS)

# The hint is about a version of MkDocs that this keeps below.
docs: $(READY)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo 'the docs are in site/index.html; with search: $(BIN)/python -m http.server --directory site'

release:
	@scripts/make-release.sh

clean:
	@rm -rf $(VENV) .ha .pythons .arm64 .arm64.making .bench build dist site *.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
