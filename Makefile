PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The GPU build of jax where an NVIDIA driver answers, the CPU build elsewhere.
EXTRAS := $(shell nvidia-smi >/dev/null 2>&1 && echo dev,cuda12 || echo dev)
WORKDIR ?= runs/quickstart

.PHONY: install quickstart test test-peers soak bench-gpu lint types clean

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
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

quickstart: install
	$(BIN)/python -m launch.main --config=configs/quickstart.py --workdir=$(WORKDIR)

test: install lint types
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

# Our numbers beside coral-pytorch's, dlordinal's and PyTorch's.
test-peers: install
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev,peers]'
	$(BIN)/python -m pytest -rs tests/peers

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

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .cache
