"""Tests the table of the networks: its rows, its numbers, and its errors on bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from absl import flags

from launch import models as launched
from ldl_jax import models
from ldl_jax.run import command

ROOT = Path(__file__).parents[2]


def cells(line: str) -> list[str]:
    return line.strip("| ").split(" | ")


def run(*arguments: str) -> None:
    flags.FLAGS.unparse_flags()
    launched.main(command.parse_flags(["models", *arguments]))


@pytest.fixture(autouse=True)
def _flags_as_they_were() -> Iterator[None]:
    saved = {name: flags.FLAGS[name].default for name in ("model", "size", "memory")}
    yield
    flags.FLAGS.unparse_flags()
    for name, value in saved.items():
        flags.FLAGS[name].value = value


def test_every_network_has_a_row_with_its_published_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("--nomemory")
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert cells(header)[:5] == ["network", "source", "pictures", "parameters", "statistics"]
    assert set(cells(rule)) == {"---", "---:"}
    table = {cells(row)[0]: cells(row) for row in rows if row.startswith("|")}
    assert list(table) == list(models.MODELS)
    assert table["ssrnet"][2:6] == ["64x64", "40,531", "384", "0.16"]
    assert table["tinyagenet"][2:6] == ["224x224", "934,869", "2,112", "3.75"]
    assert table["thinagenet"][3] == "3,708,229"
    assert table["vgg16"][3:7] == ["134,674,341", "0", "538.70", "15,466.6"]
    assert table["orcnn"][2:4] == ["60x60", "442,620"]
    for name, row in table.items():
        assert len(row) == 9, name
        assert "parameters" in row[1], f"{name}'s docstring must start with source and size"
        assert row[7] == ""


def test_one_network_at_another_size_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    run("--model=ssrnet", "--size=40")
    small = cells(capsys.readouterr().out.splitlines()[2])
    run("--model=ssrnet", "--size=64")
    large = cells(capsys.readouterr().out.splitlines()[2])
    assert (small[2], large[2]) == ("40x40", "64x64")
    for column in (3, 6, 7):  # parameters, multiply-adds, memory
        assert float(small[column].replace(",", "")) < float(large[column].replace(",", ""))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model=resnet11"], ["model.name", "'resnet11'", "resnet10, resnet18"]),
        (["--model=ssrnet", "--size=20"], ["model.size", "20x20"]),
        (["--model=tinyagenet", "--size=20"], ["images", "32x32", "20x20"]),
        (["--size=0"], ["size", "0"]),
        (["--sise=64"], ["sise"]),
        (["ssrnet"], ["unknown arguments: ssrnet"]),
    ],
)
def test_bad_input_gets_one_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for word in words:
        assert word in error


def test_the_command_runs() -> None:
    line = [sys.executable, "-m", "launch.models", "--model=orcnn", "--nomemory"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "| orcnn | OR-CNN's network" in done.stdout
    assert done.stderr == ""
