"""Measures how long the pure packages take to import beyond JAX's own import.

Each number is the median over new interpreters, which import JAX alone and JAX with the packages in
turn, once that has compiled their modules.

python -m benchmarks.imports --count=9
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PURE = ("labels", "encodings", "losses", "decoders", "metrics", "heads", "methods", "calibration")
JAX = "import jax, jax.numpy"
# Modules are compiled once, whatever is usual where this runs.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
ALL = f"{JAX}\nfrom ldl_jax import {', '.join(PURE)}"


def seconds(program: str) -> float:
    """Returns how long a new interpreter takes to run a program, its own start included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=ENVIRONMENT, check=True)
    return time.perf_counter() - start


def measure(count: int) -> dict[str, list[float]]:
    """Returns `count` times of each program, by its name; the programs take turns."""
    programs = {"an interpreter alone": "pass", "with JAX": JAX, "with the pure packages": ALL}
    for program in programs.values():
        seconds(program)
    times: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(count):
        for name, program in programs.items():
            times[name].append(seconds(program))
    return times


def main() -> None:
    """Prints the medians, and what the packages add to JAX."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=9, help="interpreters of each kind")
    times = measure(parser.parse_args().count)
    for name, seconds in times.items():
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(f"{name}: {statistics.median(seconds):.2f} s ({spread})")
    _, jax, pure = (statistics.median(seconds) for seconds in times.values())
    print(f"the pure packages add {pure - jax:.2f} s to JAX's import")


if __name__ == "__main__":
    main()
