"""Measures the library on a GPU, beside PyTorch, in eight minutes at most.

    python -m benchmarks.gpu [--minutes 8] [--only ssrnet networks tests replicas data]

It runs, each in a process of its own and in this order, as long as time is left:

- ssrnet, networks: `benchmarks.train_step` for SSR-Net at 64, and for ResNet18-Tiny and ThinAgeNet
  at 224: training and inference in bfloat16 against PyTorch (channels last, autocast,
  torch.compile), with the shares of the roofline and of its memory side;
- tests: `tests/gpu`, what is only true on a GPU if it is tested there: repeated bits, bfloat16
  against float32, TF32, going on from a checkpoint;
- replicas: eight runs in one program against one after another;
- data: pictures on the device and streamed, against a fixed batch.

A part that takes longer than its share is stopped, and what it printed until then stays. Nothing
here needs a network; `benchmarks.gpu_wheels` collects the packages for a machine without one.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import printing

ROOT = Path(__file__).parents[1]
# Each part's most seconds and its command.
PARTS = {
    "ssrnet": (80, "-m benchmarks.train_step --backbones ssrnet --dtypes bfloat16 --repeats 3"),
    "networks": (
        190,
        "-m benchmarks.train_step --backbones resnet18_tiny thinagenet --sizes 224 "
        "--dtypes bfloat16 --repeats 3",
    ),
    "tests": (100, "-m pytest -q -rs --durations=5 tests/gpu"),
    "replicas": (50, "-m benchmarks.replicas --runs 8 --networks ssrnet --repeats 3"),
    "data": (60, "-m benchmarks.pipeline --quick --only device stream"),
}


def run(name: str, seconds: float) -> str:
    """Runs a part for so many seconds at most; returns how it ended."""
    _, command = PARTS[name]
    environment = os.environ | {"LDL_JAX_TEST_GPU": "1", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *command.split()], cwd=ROOT, env=environment, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s"
    state = f"failed with exit code {done.returncode}" if done.returncode else "done"
    return f"{state} in {time.monotonic() - start:.0f} s"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the parts, and says at the end how each ended."""
    parser = printing.parser("gpu", __doc__)
    parser.add_argument("--minutes", type=_positive, default=8.0, help="in all, at most")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--any-device", action="store_true", help="try the script on a CPU")
    options = parser.parse_args(arguments)
    if not options.any_device and "gpu" not in _platform():
        raise SystemExit("error: JAX sees no GPU here; benchmarks.gpu_programs needs none")
    end = time.monotonic() + 60 * options.minutes
    states = {}
    for name in options.only:
        left = end - time.monotonic()
        print(f"\n## {name}\n", flush=True)
        states[name] = run(name, min(PARTS[name][0], left)) if left > 5 else "no time left"
        print(f"\n{name}: {states[name]}", flush=True)
    if any("failed" in state for state in states.values()):
        raise SystemExit(1)


def _platform() -> str:
    """Returns JAX's default backend, asked in another process: the memory stays the parts'."""
    code = "import jax; print(jax.default_backend())"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True)
    return done.stdout


def _positive(text: str) -> float:
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}")
    return value


if __name__ == "__main__":
    main()
