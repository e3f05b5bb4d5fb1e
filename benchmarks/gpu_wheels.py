"""Collects the wheels that `benchmarks.gpu` needs on a machine with a GPU and without a network.

    python -m benchmarks.gpu_wheels --to .whl [--jax 0.11.2] [--python-version 3.12]
        [--check python3.12]

That machine has Python, JAX for its GPU, PyTorch, NumPy and SciPy (`THERE`), and nothing else is
counted on. All other packages that the project depends on are downloaded as wheels for Linux on
x86-64, in versions that go with that JAX, but for two that the measurements do not import. They are
checked to take 64 MiB at most. On the machine:

    python3 -m pip install --no-index --no-deps --target /tmp/site .whl/*.whl
    PYTHONPATH=/tmp/site python3 -m benchmarks.gpu

`--check` shows with that Python that they suffice: in an environment that has JAX for CPUs, NumPy,
SciPy and pytest alone, and cannot reach an index, they are installed so, and SSR-Net's training and
inference are measured on the CPU.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from benchmarks import printing

ROOT = Path(__file__).parents[1]
LIMIT = 64 * 2**20  # bytes
# Packages that the measurements do not import; fonttools is for Matplotlib's PDFs.
LEFT_OUT = ("tensorflow-datasets", "fonttools")
# JAX, NumPy and SciPy with what they need; PyTorch is there as well.
THERE = {"jax", "jaxlib", "numpy", "scipy", "ml-dtypes", "opt-einsum"}
_PLATFORMS = ("2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")


def requirements() -> list[str]:
    """Returns what the project depends on, but for what is left out."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [text for text in project["dependencies"] if not text.startswith(LEFT_OUT)]


def collect(folder: Path, python_version: str, jax: str) -> list[Path]:
    """Downloads the wheels into a folder and returns them.

    Raises:
      SystemExit: there is no set of wheels that goes together, or it is too large.
    """
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python_version]
    for platform in (*(f"manylinux_{p}_x86_64" for p in _PLATFORMS), "manylinux2014_x86_64"):
        target += ["--platform", platform]
    with tempfile.TemporaryDirectory() as empty:
        report = _pip(
            *("install", "--dry-run", "--ignore-installed", "--report", "-", "--target", empty),
            *(*target, *requirements(), f"jax=={jax}"),
        )
    chosen = {
        entry["metadata"]["name"].lower().replace("_", "-"): entry["metadata"]["version"]
        for entry in json.loads(report)["install"]
    }
    not_brought = THERE | set(LEFT_OUT)
    exact = [f"{name}=={version}" for name, version in chosen.items() if name not in not_brought]
    for old in folder.glob("*.whl"):
        old.unlink()  # two versions of a package would stop the whole installation
    _pip("download", "--no-deps", "--dest", str(folder), *target, *exact)
    return sorted(folder.glob("*.whl"))


def check(wheels: Sequence[Path], python: str, jax: str) -> None:
    """Measures SSR-Net on the CPU with the wheels and what is there.

    Raises:
      SystemExit: they do not suffice.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _run([python, "-m", "venv", str(folder / "venv")])
        inside, site = str(folder / "venv/bin/python"), str(folder / "site")
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, f"jax=={jax}", "numpy", "scipy", "pytest"])
        _run([*pip, "--no-index", "--no-deps", "--target", site, *map(str, wheels)])
        options = "--backbones ssrnet --sizes 64 --dtypes float32 --batch 8 --repeats 2 --no-torch"
        environment = os.environ | {"PYTHONPATH": site, "JAX_PLATFORMS": "cpu"}
        _run([inside, "-m", "benchmarks.train_step", *options.split()], environment)
        _run([inside, "-m", "pytest", "-q", "-rs", "tests/gpu"], environment)


def main(arguments: Sequence[str] | None = None) -> None:
    """Collects the wheels, and prints what they take."""
    parser = _parser()
    options = parser.parse_args(arguments)
    options.to.mkdir(parents=True, exist_ok=True)
    wheels = collect(options.to, options.python_version, options.jax)
    sizes = {wheel.name: wheel.stat().st_size for wheel in wheels}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / 2**20:6.1f} MiB  {name}")
    total = sum(sizes.values())
    print(f"{total / 2**20:6.1f} MiB  in all, of {LIMIT / 2**20:.0f} at most", flush=True)
    if total > LIMIT:
        raise SystemExit(f"error: the wheels take {total:,} bytes, more than {LIMIT:,}")
    if options.check:
        check([wheel.absolute() for wheel in wheels], options.check, options.jax)
        print("They suffice: SSR-Net was measured with them and JAX, NumPy and SciPy alone.")


def _pip(*arguments: str) -> str:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, text=True, capture_output=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise SystemExit(f"error: pip {arguments[0]}: {' '.join(lines) or done.stderr[-500:]}")
    return done.stdout


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> None:
    if subprocess.run(command, cwd=ROOT, env=environment).returncode:
        raise SystemExit(f"error: the wheels do not suffice: {' '.join(command[:5])} failed")


def _parser() -> argparse.ArgumentParser:
    parser = printing.parser("gpu_wheels", __doc__)
    parser.add_argument("--to", type=Path, required=True, help="a folder; its wheels are replaced")
    parser.add_argument("--python-version", default="3.12", help="the machine's")
    parser.add_argument("--jax", default="0.11.2", help="the machine's version of JAX")
    parser.add_argument("--check", metavar="PYTHON", help="a Python of that version, to try them")
    return parser


if __name__ == "__main__":
    main()
