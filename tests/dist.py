"""Checks the built distributions, and runs the wheel in an environment of its own.

python -m tests.dist DIST
"""

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("configs", "launch", "ldl_jax")
BESIDE = ("benchmarks", "docs", "tests")  # in the source distribution too
KEPT = ("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md")


def files(*folders: str) -> set[str]:
    """Returns the paths of all files below folders of the project, but compiled ones."""
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    kept = (path for path in paths if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in kept}


def check_wheel(path: Path) -> None:
    """Checks that a wheel holds the packages' files, what describes them, and nothing else."""
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
        about = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = importlib.metadata.PathDistribution(zipfile.Path(path, about).parent).metadata
    own = {name for name in names if ".dist-info/" not in name}
    assert own == files(*PACKAGES), own ^ files(*PACKAGES)
    assert {"ldl_jax/py.typed", "ldl_jax/export/page/index.html"} <= own
    assert metadata["Version"] == PROJECT["version"]
    extras = {name.replace("_", "-") for name in PROJECT["optional-dependencies"]}
    assert set(metadata.get_all("Provides-Extra")) == extras
    assert any(name.endswith("licenses/LICENSE") for name in names)


def check_source(path: Path) -> None:
    """Checks that a source distribution has the packages, the tests and the docs."""
    with tarfile.open(path) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    missing = (files(*PACKAGES, *BESIDE) | {*KEPT}) - names
    assert not missing, missing
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def run_wheel(path: Path) -> None:
    """Installs a wheel alone, and runs the quickstart in small from a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "env", with_pip=True)
        programs = place / "env" / ("Scripts" if os.name == "nt" else "bin")
        install = [programs / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "--disable-pip-version-check", path.absolute()], check=True)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        for arguments in (
            ["ldl-train", "--config=quickstart", "--smoke"],
            ["ldl-report", "runs/quickstart"],
        ):
            command = [programs / arguments[0], *arguments[1:]]
            subprocess.run(command, cwd=place, env=clean, check=True)
        assert (place / "runs" / "quickstart" / "generation_1.json").is_file()


def main() -> None:
    """Checks the one wheel and the one source distribution of a folder."""
    folder = Path(sys.argv[1])
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    check_wheel(wheel)
    check_source(source)
    run_wheel(wheel)
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.2f} MB" for path in (wheel, source))
    print(f"the distributions are whole, and the wheel trains where nothing else is: {sizes}")


if __name__ == "__main__":
    main()
