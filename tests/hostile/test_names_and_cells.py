"""Names and cells are text: nobody obeys markup, escape sequences, Markdown, HTML or formulas."""

import csv
import io
import json

import numpy as np
import pytest
from absl import flags
from hypothesis import given, settings
from hypothesis import strategies as st

from launch import runs as runs_command
from ldl_jax.evaluation import answers, cells, figures, predictions, report
from ldl_jax.evaluation.answers import Answer
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.labels import AGE, LabelSpace
from ldl_jax.run.command import fail, parse_flags
from tests.launch.test_report_command import call, write_run

NAMES = ["x[/foo]", "[bold]m", "a\x1b[31mred", "two\nlines", "‮gpj.exe", "\udcff.jpg"]
FORMULAS = ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "＝1", "'=1", "''+x"]
HARMLESS = ["a.jpg", "-1", "'a", "+1.5", "1=1", "年.jpg", ""]


def test_names_of_runs_are_shown_as_they_are(tmp_path, capsys):
    for name in ("x[", "[bold]m", "a\x1b[31mred", "two\nlines"):
        (tmp_path / name).mkdir()
        config = {
            "data": {"name": "[red]aaf[/red]"},
            "model": {"name": f"n{name}"},
            "method": {"name": "x[/foo]"},
            "chain": {"generations": 1},
        }
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    flags.FLAGS.unparse_flags()
    runs_command.main(parse_flags(["runs", str(tmp_path)]))
    text = capsys.readouterr().out
    for shown in ("[bold]m", "x[/foo]", "[red]aaf[/red]", "a\\x1b[31mred", "two\\nlines"):
        assert shown in text
    assert "\x1b" not in text
    assert all(line.isprintable() for line in text.splitlines())


def test_a_report_in_markdown_has_no_markup_of_others(tmp_path, capsys):
    write_run(tmp_path / "a|b<script>alert(1)<", "[x](http:y)", [1, 1, 1, 1])
    write_run(tmp_path / "c`d`\n# e", "*bold* __x__ dldl_v2", [1, 1, 1, 1])
    call(*tmp_path.iterdir(), "--markdown")
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if "1.000" in line or "0.500" in line]
    assert len(rows) == 2
    text = "\n".join(rows)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "a\\|b" in text
    assert "\\[x](http:y)" in text
    assert "\\*bold\\*" in text
    assert "dldl_v2" in text
    assert "c\\`d\\`\\\\n# e" in text


def test_errors_show_escape_sequences(capsys):
    with pytest.raises(SystemExit):
        fail("a\x1b[2Jb\nc: not there")
    assert capsys.readouterr().err == "error: a\\x1b[2Jb c: not there\n"


def make_predictions(ids, subjects=()):
    count = len(ids)
    labels = np.linspace(10, 50, count).astype(np.float32)
    probs = np.zeros((count, 101), np.float32)
    return Predictions(tuple(ids), labels, labels, probs, AGE, subjects=tuple(subjects))


def test_no_cell_of_the_predictions_is_a_formula(tmp_path):
    ids = [*FORMULAS, *HARMLESS[:-1], *NAMES]
    answer = make_predictions(ids, reversed(ids))
    predictions.write(tmp_path / "p.csv", answer)
    back = predictions.read(tmp_path / "p.csv")
    assert back.ids == tuple(ids)
    assert back.subjects == tuple(reversed(ids))
    with (tmp_path / "p.csv").open(newline="", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for key in ("id", "subject"):
            assert row[key][:1] not in {"=", "@", "\t", "＝"}
            assert not row[key].startswith(("+c", "-c"))
    assert rows[HARMLESS.index("-1") + len(FORMULAS)]["id"] == "-1"  # a number is one


def test_no_cell_of_the_answers_is_a_formula():
    found = [Answer(name, 1, None, None, -1.5, -2.0, 3.0, np.zeros(101)) for name in FORMULAS]
    rows = list(csv.DictReader(io.StringIO(answers.to_csv(found, AGE))))
    assert [cells.from_spreadsheet(row["picture"]) for row in rows] == FORMULAS
    assert all(row["picture"].startswith("'") for row in rows)
    assert {row["value"] for row in rows} == {"-1.5"}


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="'=+-@\t\r\n0.1ea＝ ,\"", max_size=6))
def test_every_cell_comes_back_as_it_was(text):
    cell = cells.spreadsheet(text)
    assert cells.from_spreadsheet(cell) == text
    if cell == text and text[:1] in {*"=+-@\t\r\n＝"}:
        float(text)


@pytest.mark.parametrize("name", NAMES)
def test_tables_escape_what_a_terminal_obeys(name):
    (*_, row, _) = report.table([{"run": name, "mae": 1.0}]).lines(80)
    assert row.plain.isprintable()
    assert cells.plain(name) in row.plain


def test_mathematics_in_a_unit_is_text(tmp_path):
    space = LabelSpace.range(0, 100, unit="$\\frac{$")
    labels = np.linspace(10, 50, 20).astype(np.float32)
    answer = Predictions(
        tuple(map(str, range(20))), labels, labels + 1, np.full((20, 101), 1 / 101), space
    )
    figures.predicted_against_true(tmp_path / "a.png", answer)
    figures.error_by_label(tmp_path / "b.png", answer)
    assert (tmp_path / "b.png").stat().st_size > 1000
