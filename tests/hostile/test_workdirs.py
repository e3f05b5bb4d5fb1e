"""A run's folder with damaged files, or that goes away: one line, and nothing is lost."""

import json
import shutil

import pytest

from ldl_jax.run import identity
from ldl_jax.run.config import Config, completed, to_dict
from ldl_jax.workdir import Workdir, WorkdirError, read_results, read_rows

DESCRIPTION = {"seed": 0}


def row(step, kind="train"):
    return {"kind": kind, "generation": 1, "step": step, "total_step": step}


@pytest.fixture
def run(tmp_path):
    with Workdir(tmp_path / "run", DESCRIPTION) as opened:
        opened.start_metrics(1, 0)
        for step in range(1, 6):
            opened.write(row(step))
    return tmp_path / "run"


@pytest.mark.parametrize(
    "bad",
    [
        '{"kind": "train", "gener',
        "[1]",
        '"text"',
        "",
        '{"kind": "train"}',
        '{"kind": "tram", "generation": 1, "step": 2, "total_step": 2}',
        '{"kind": "train", "generation": "1", "step": 2, "total_step": 2}',
        '{"kind": [], "generation": 1, "step": 2, "total_step": 2}',
        "[" * 100_000,
        "9" * 5000,
        "\0\0\0",
    ],
)
def test_a_bad_line_among_the_rows_stops_with_file_and_line(run, bad):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], bad, *lines[2:], '{"torn']))
    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    with pytest.raises(WorkdirError, match=r"metrics\.jsonl:3: is no row of a run"):
        Workdir(run, DESCRIPTION)
    assert {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("torn", ['{"kind": "tr', "\0\0\0", "[1]", "\xff"])
def test_only_a_torn_last_line_is_cut(run, torn):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert read_rows(run / "metrics.jsonl") == [row(step) for step in range(1, 6)]
    with Workdir(run, DESCRIPTION) as opened:
        opened.start_metrics(1, 4)
        assert opened.rows() == [row(step) for step in range(1, 5)]


@pytest.mark.parametrize("what", ["folder", "replaced", "config.json", "metrics.jsonl"])
def test_a_workdir_that_went_away_is_noticed_at_the_next_write(run, what):
    with Workdir(run, DESCRIPTION) as opened:
        opened.start_metrics(1, 5)
        opened.write(row(6))
        if what in ("folder", "replaced"):
            shutil.move(run, run.with_name("elsewhere"))
        else:
            (run / what).unlink()
        if what == "replaced":
            run.mkdir()
            (run / "config.json").write_text("{}")
        left = sorted(run.rglob("*"))
        with pytest.raises(WorkdirError, match="was removed or replaced while this run"):
            opened.write(row(7))
        if what != "metrics.jsonl":
            for write in (
                lambda: opened.finish(1, {"generation": 1}),
                lambda: opened.keep("split.json", b""),
                lambda: opened.keep_analysis(1, {}),
            ):
                with pytest.raises(WorkdirError, match="was removed or replaced"):
                    write()
        assert sorted(run.rglob("*")) == left


@pytest.mark.parametrize(
    "content",
    ["[1]", "3", '"x"', "null", "[" * 100_000, "9" * 5000, '{"mae": ', '{"mae": [1]}', "\udcff"],
)
def test_a_finished_generation_s_mark_that_is_damaged(run, content):
    (run / "generation_1.json").write_text(content, errors="surrogateescape")
    with pytest.raises(WorkdirError, match=r"generation_1\.json: (is not JSON|expected)"):
        read_results(run)
    with pytest.raises(WorkdirError, match=r"generation_1\.json: (is not JSON|expected)"):
        Workdir(run, DESCRIPTION)


@pytest.mark.parametrize(
    "content", ["[1]", "3", "null", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000]
)
def test_a_config_that_is_none(run, content):
    (run / "config.json").write_text(content)
    with pytest.raises(WorkdirError, match=r"config\.json: (is not JSON|expected an object)"):
        Workdir(run, DESCRIPTION)
    assert (run / "config.json").read_text() == content


@pytest.mark.parametrize("section", ["data", "method", "chain", "resolved", "init", "data.test"])
def test_a_config_whose_section_is_none(section):
    for value in ([1], 3, "x", None):
        saved = json.loads(json.dumps(to_dict(Config()) | {"resolved": {}}))
        holder, _, last = section.rpartition(".")
        (saved[holder] if holder else saved)[last] = value
        with pytest.raises(ValueError, match=rf"^{section}: expected a section, got "):
            completed(saved)


def test_every_difference_of_a_damaged_config_is_text():
    new = json.loads(json.dumps(to_dict(Config())))
    old = json.loads(json.dumps(new))
    old["epochs"], old["data"]["size"] = [1], {"a": 1}
    assert identity.harmless(old, new) == []
