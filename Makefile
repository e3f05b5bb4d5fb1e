# The newest Python from 3.13 down that starts here, on the path or among pyenv's, unless PYTHON names one.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell for version in 3.13 3.12 3.11; do \
  for python in python$$version $$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin/python 2>/dev/null); do \
    $$python -c 'import ensurepip, venv' >/dev/null 2>&1 && echo $$python && exit; \
  done; \
done; echo python3)
endif
VENV := .venv
BIN := $(VENV)/bin
# The GPU build of jax where an NVIDIA driver answers, the CPU build elsewhere.
EXTRAS := $(shell nvidia-smi >/dev/null 2>&1 && echo dev,cuda12 || echo dev)
WORKDIR ?= runs/quickstart

.PHONY: install quickstart test test-oldest test-peers test-page test-workers test-trackers docs soak bench-peers \
  bench-gpu lint types dist clean

# An environment of another version than that of a PYTHON that was given is made anew.
ifneq (,$(filter command environment,$(origin PYTHON)))
ifneq ($(shell $(PYTHON) -V 2>/dev/null),$(shell $(BIN)/python -V 2>/dev/null))
.PHONY: $(VENV)/installed
endif
endif

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	@answer=$$($(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11))' 2>&1 | head -n 1); \
	case "$$answer" in \
	  True) exit 0;; \
	  False) fault="is older than Python 3.11";; \
	  *) fault="does not start ($$answer)";; \
	esac; \
	echo "error: $(PYTHON) $$fault; give another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1
	@$(PYTHON) -c 'import sys; version = "%d.%d" % sys.version_info[:2]; \
	  print(f"installing with Python {version}", end="; " if sys.version_info < (3, 12) else "\n"); \
	  sys.version_info < (3, 12) and print("3.12 and 3.13 get a newer JAX, much faster on CPUs")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

quickstart: install
	$(BIN)/python -m launch.main --config=configs/quickstart.py --workdir=$(WORKDIR)

test: install lint types
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# On the oldest Python that is supported: the pure functions, what goes by the version of jax or of
# Python, and one whole run.
OLDEST := $(addprefix tests/,encodings decoders losses methods metrics test_labels.py \
  models/test_convolution.py hostile/test_written_files.py)
test-oldest:
	$(MAKE) install PYTHON=python3.11 VENV=.venv-oldest
	.venv-oldest/bin/python -m pytest -n auto --maxprocesses 8 --dist loadfile $(OLDEST)
	.venv-oldest/bin/python -m launch.main --config=configs/quickstart.py --smoke \
	  --workdir=$$(mktemp -d)/run

# Our numbers beside coral-pytorch's, dlordinal's and PyTorch's.
test-peers: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,peers]'
	$(BIN)/python -m pytest -rs tests/peers

# The page in headless Chromium (docs/page.md).
PAGE := .cache/page
test-page: install
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
	  apt-get update --quiet=2 && apt-get install --yes --no-install-recommends --quiet=2 chromium; } || \
	  { echo "error: no chromium on the path; install it, as by: apt-get install chromium" >&2; exit 1; }
	@command -v npm >/dev/null || \
	  { echo "error: no npm on the path; it brings onnxruntime-web" >&2; exit 1; }
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(PAGE) 'onnxruntime-web@>=1.20'
	$(BIN)/pip install --quiet --disable-pip-version-check playwright
	$(BIN)/python -m pytest -rs tests/page

# Sweeps on workers of Ray and submitit, one of which is killed (docs/workers.md).
test-workers: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,ray,slurm]'
	$(BIN)/python -m pytest -rs tests/workers

# Runs that wandb, MLflow and Trackio follow without a network (docs/tracking.md).
test-trackers: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,tracking]'
	$(BIN)/python -m pytest -rs tests/trackers

# The documentation's site, .cache/site, with its notebooks run; NOTEBOOKS=0 shows them unrun. Broken
# links, names that are missing and cells that fail end it.
docs: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS),docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "the site: .cache/site/index.html"

# SSR-Net's speed beside that of its authors' network in Keras, which has an environment of its own.
PEERS := .cache/keras
bench-peers: install
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check 'keras>=3.6' \
	  "tensorflow-cpu>=2.18; platform_machine == 'x86_64'" \
	  "tensorflow>=2.18; platform_machine != 'x86_64'"
	$(BIN)/python -m benchmarks.peers --keras=$(PEERS)/bin/python

# Fifty kills of a run at random moments, and ten thousand changed files (docs/hostile-input.md);
# `make test` has three and four hundred.
soak: install
	SOAK_KILLS=50 $(BIN)/python -m pytest tests/faults
	$(BIN)/python -m tests.soak --count=10000

# The measurements and tests that need a GPU: eight minutes at most. It needs PyTorch, which is the
# benchmarks' extra; benchmarks/gpu_wheels.py is for a machine that has it, and no network.
bench-gpu: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS),benchmarks]'
	$(BIN)/python -m benchmarks.gpu

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

# The wheel and the source distribution in dist/, checked: what they hold, what the index makes of them,
# and that the wheel alone, in a new environment, trains.
dist: install
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m tests.dist dist

clean:
	rm -rf $(VENV) .venv-oldest build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .cache
