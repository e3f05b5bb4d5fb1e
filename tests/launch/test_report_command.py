"""The table of several runs, from their folders alone."""

import json

import numpy as np
import pytest
from absl import flags

from launch import report
from ldl_jax.evaluation import predictions
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import LabelSpace
from ldl_jax.run.command import parse_flags


def write_run(folder, method, errors, *, unit="years", ids="abcd"):
    """A folder as two generations of a run leave it."""
    folder.mkdir()
    resolved = {"protocol": "official with leaks (2 of 4 test pictures also in train)"}
    config = {"method": {"name": method}, "resolved": resolved if method == "dldl" else {}}
    (folder / "config.json").write_text(json.dumps(config))
    for generation in (1, 2):
        labels = np.array([20.0, 30, 40, 50])
        answer = Predictions(
            ids=tuple(ids),
            labels=labels,
            values=labels + np.array(errors) / generation,
            probs=np.full((4, 2), 0.5),
            space=LabelSpace((0.0, 100.0), unit),
        )
        predictions.write(folder / f"predictions/generation_{generation}.csv", answer)
        mae = float(np.abs(errors).mean() / generation)
        row = {"generation": generation, "test pictures": 4, "mae": mae, "rmse": 9.0}
        (folder / f"generation_{generation}.json").write_text(json.dumps(row))
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        write_run(tmp_path / "a", "dex", [4, 4, 4, 4]),
        write_run(tmp_path / "b", "dldl", [2, 2, 2, 2]),
        write_run(tmp_path / "c", "cen", [6, 6, 6, 6], ids="abcx"),
    ]


def call(*arguments):
    flags.FLAGS.unparse_flags()
    try:
        report.main(parse_flags(["report", *map(str, arguments)]))
    finally:
        flags.FLAGS.unparse_flags()
        for name in ("generation", "markdown", "html", "pictures"):
            flags.FLAGS[name].unparse()
        flags.FLAGS(["report"])


def test_a_row_a_run_in_markdown(runs, capsys):
    call(*runs, "--markdown")
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.split("\n")]
    assert rows[0][:3] == ["run", "method", "MAE - first's [95 %]"]
    by_run = {row[0]: row for row in rows[2:5]}
    column = rows[0].index("MAE")
    assert [by_run[name][column] for name in "abc"] == ["2.000", "1.000", "3.000"]
    column = rows[0].index("MAE - first's [95 %]")
    differences = [by_run[name][column] for name in "abc"]
    assert differences == ["–", "-1.000 [-1.000, -1.000]", "other pictures"]
    assert by_run["b"][1] == "dldl"
    assert printed.endswith("b: official with leaks (2 of 4 test pictures also in train)\n")


def test_runs_of_other_lengths_say_which_generation(runs, capsys):
    (runs[1] / "generation_2.json").unlink()
    call(*runs, "--markdown")
    printed = capsys.readouterr().out.splitlines()
    assert "generation" in printed[0]
    assert "test pictures" not in printed[0]


def test_a_generation_in_the_terminal(runs, capsys):
    call(runs[0], "--generation=1")
    printed = capsys.readouterr().out
    assert "dex" in printed
    assert "4.000" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give the workdirs of finished runs"),
        (["nowhere"], "nowhere: is not the workdir of a run with a finished generation"),
        (["a", "--generation=3"], "has finished 2 of them, got 3"),
        (["a", "--generation=-1"], "got -1"),
        (["a", "d"], "different units: score, years"),
        (["a", "--html=a"], "--html: expected a file, "),
        (["a", "--html=report.txt"], "--html: expected a name that ends in .html, got"),
        (["a", "--html="], "--html: expected a path"),
        (["a", "--html=x.html", "--markdown"], "give one of the two"),
        (["a", "--pictures"], "--pictures: is of a page; give --html=FILE too"),
        (["a", "--markdwon"], "Unknown command line flag 'markdwon'"),
    ],
)
def test_what_is_wrong_is_one_line(runs, tmp_path, capsys, arguments, says):
    write_run(tmp_path / "d", "dex", [1, 1, 1, 1], unit="score")
    given = [name if name.startswith("--") else tmp_path / name for name in arguments]
    given = [f"--html={tmp_path / 'a'}" if name == "--html=a" else name for name in given]
    with pytest.raises(SystemExit) as end:
        call(*given)
    assert end.value.code == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert says in error


def test_a_page_is_written_whole(runs, tmp_path, capsys):
    target = tmp_path / "new" / "report.html"
    target.parent.mkdir()
    target.write_text("old")
    call(*runs, f"--html={target}")
    text = target.read_text()
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
    assert "numbers are of something else: c." in text
    assert capsys.readouterr().out == f"page: {target}\n"
    call(runs[0], "--html=-")
    assert capsys.readouterr().out.startswith("<!doctype html>")


def test_a_damaged_run_is_named(runs, capsys):
    (runs[1] / "predictions/generation_2.csv").write_text("id,label\n")
    with pytest.raises(SystemExit):
        call(*runs)
    assert "generation_2.csv" in capsys.readouterr().err
