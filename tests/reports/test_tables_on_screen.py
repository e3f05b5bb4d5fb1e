"""Tables on a terminal of any width, in a pipe, in Markdown: every number and name, whole."""

import io
import json

import numpy as np
import pytest
from absl import flags
from rich.console import Console

from launch import methods as methods_command
from launch import runs as runs_command
from ldl_jax.evaluation import answers, grid, report
from ldl_jax.evaluation.answers import Answer
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.labels import AGE
from ldl_jax.run.command import parse_flags
from tests.launch.test_report_command import call, write_run

NAME = "pictures of 2024/a_rather_long_file_name_0001.jpg"
ROWS = [
    {
        "run": name, "method": "dldl_v2", "mae": 5.123, "rmse": 6.5, "epsilon_error": 0.25,
        "ca3": 0.3125, "ca5": 0.5, "ca7": 0.75, "pearson": -0.739, "truth_kl": 0.125,
        "mae_regression": 5.25, "MAE - first's [95 %]": difference,
    }
    for name, difference in ((NAME, "–"), ("b", "-1.000 [-1.250, -0.750]"))
]  # fmt: skip
CELLS = ["5.123", "6.500", "0.250", "31.25", "50.00", "75.00", "-0.739", "0.125", "5.250"]


def printed(show, width, terminal=True):
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, no_color=True,
                      color_system=None)  # fmt: skip
    show(console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200])
def test_a_narrow_terminal_gets_all_numbers_and_whole_names(width):
    lines = printed(lambda console: grid.show(console, report.table(ROWS)), width)
    text = "\n".join(lines)
    for cell in (*CELLS, "[-1.250, -0.750]", "KL to"):
        assert cell in text, (cell, width)
    assert text.count("-0.739") == 2
    assert text.count(NAME) >= 1
    assert sum(NAME in line for line in lines) == text.count(NAME)
    table = [line for line in lines if "in years" not in line]
    whole = max(len(NAME), width) + 2  # a name may be longer than the terminal is wide
    assert all(len(line) <= whole for line in table)
    if width >= 60:  # blocks, each with the first column
        heads = [line for line in lines if line.startswith("run ")]
        assert text.count(NAME) == len(heads)
        assert all(len(line) <= width for line in table)


def test_a_pipe_gets_the_full_width():
    lines = printed(lambda console: grid.show(console, report.table(ROWS)), 80, terminal=False)
    (row,) = [line for line in lines if line.startswith(NAME)]
    for cell in CELLS:
        assert cell in row


def test_faces_on_a_narrow_terminal_keep_their_files_names():
    found = [Answer(NAME, 1, (10.0, 20.0, 310.0, 320.0), None, 34.25, 28.0, 41.0, np.zeros(101))]
    for width, terminal in ((30, True), (60, True), (80, True), (80, False)):
        table = answers.table(found, AGE, 0.9)
        lines = printed(lambda console, table=table: grid.show(console, table), width, terminal)
        assert any(NAME in line for line in lines)
        for cell in ("34.2", "[28, 41]", "10 20 310 320"):
            assert any(cell in line for line in lines), (cell, width)


def test_the_list_of_methods_folds_between_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    flags.FLAGS.unparse_flags()
    methods_command.main(parse_flags(["methods"]))
    assert "…" not in (text := capsys.readouterr().out)
    assert any(line.startswith("dldl_v2 ") for line in text.splitlines())


def test_wide_characters_take_two_places():
    table = Grid([Column("name", right=False), Column("x")], [("年齢", "1"), ("age", "2")])
    assert [line.plain for line in table.lines()] == [
        "name  x",
        "───────",
        "年齢  1",
        "age   2",
    ]


def test_a_sweep_and_its_folds_are_taken_apart(tmp_path, capsys):
    for folder, name in (("sweep/runs", "lam=1"), ("sweep/runs", "lam=2"), ("cv/folds", "10"),
                         ("cv/folds", "9")):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        write_run(tmp_path / folder / name, "cen", [4, 4, 4, 4])
    (tmp_path / "sweep/runs/lam=3").mkdir()
    (tmp_path / "sweep/runs/lam=3/config.json").write_text(json.dumps({"method": {"name": "cen"}}))
    call(tmp_path / "sweep", "--markdown")
    text = capsys.readouterr()
    rows = [line.split(" | ")[0].strip("| ") for line in text.out.splitlines()]
    assert rows[2:4] == ["lam=1", "lam=2"]
    assert text.err == "left out, as they have not finished a generation: lam=3\n"
    call(tmp_path / "cv", "--markdown")
    rows = [line.split(" | ")[0].strip("| ") for line in capsys.readouterr().out.splitlines()]
    assert rows[2:4] == ["9", "10"]


def test_runs_of_one_name_are_told_apart(tmp_path, capsys):
    for parent in ("mine", "theirs"):
        (tmp_path / parent).mkdir()
        write_run(tmp_path / parent / "cen", "dldl", [4, 4, 4, 4])
    call(tmp_path / "mine/cen", tmp_path / "theirs/cen", "--markdown")
    text = capsys.readouterr().out
    assert "| mine/cen |" in text
    assert "| theirs/cen |" in text
    assert "\n- theirs/cen: official with leaks" in text


def test_the_list_of_runs_says_what_differs_in_a_few_lines(tmp_path, capsys):
    for number in range(40):
        folder = tmp_path / f"run_{number:02}"
        folder.mkdir()
        config = {
            "data": {"name": "aaf", "options": {"long": "x" * 500 if number else ""}},
            "model": {"name": "tiny"},
            "method": {"name": "cen", "only_mine": 1} if number % 2 else {"name": "dldl"},
            "chain": {"generations": 1},
            "seed": number,
            **{f"key_{i}": number for i in range(30)},
        }
        (folder / "config.json").write_text(json.dumps(config))
    flags.FLAGS.unparse_flags()
    runs_command.main(parse_flags(["runs", str(tmp_path)]))
    text = capsys.readouterr().out
    lines = [line for line in text.splitlines() if ": " in line and "->" in line]
    assert len(lines) == runs_command.RUNS
    assert max(map(len, lines)) < 500
    assert all(line.endswith("more") for line in lines)
    assert "only_mine" not in text
    assert f"and {39 - runs_command.RUNS} more runs differ from the first" in text
