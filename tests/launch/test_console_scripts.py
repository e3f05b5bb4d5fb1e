"""Each command has a console script, which does what `python -m launch.NAME` does."""

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
# What pip writes into a console script.
WRAPPER = "import sys; from launch.report import cli; sys.argv[0] = 'ldl-report'; sys.exit(cli())"


def test_each_command_has_a_script():
    commands = {path.stem for path in (ROOT / "launch").glob("*.py")} - {"__init__"}
    assert {target.partition(":")[0] for target in SCRIPTS.values()} == {
        f"launch.{command}" for command in commands
    }


@pytest.mark.parametrize(("script", "target"), SCRIPTS.items())
def test_a_script_names_a_function_of_its_command(script, target):
    module, _, function = target.partition(":")
    cli = getattr(importlib.import_module(module), function)
    assert cli.__module__ == module
    assert script in cli.__doc__


def test_help_is_the_command_s_and_the_current_folder_is_searched(tmp_path):
    (tmp_path / "my_loss.py").touch()
    found = "import atexit; atexit.register(lambda: __import__('my_loss') and print('imported'))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{found}; {WRAPPER}", "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "Puts finished runs into one table" in done.stdout
    assert "--generation" in done.stdout
    assert done.stdout.endswith("imported\n")
