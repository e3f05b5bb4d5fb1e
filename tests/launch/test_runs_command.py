"""The list of runs: how far each has come, what it found, and how it differs."""

import json

import pytest
from absl import flags

from launch import runs
from ldl_jax.run import config as schema
from ldl_jax.run.command import parse_flags


@pytest.fixture
def folder(tmp_path):
    """Three runs: finished, at step 7, and one whose config cannot be read."""

    def write(name, results=(), rows=(), **changes):
        path = tmp_path / "runs" / name
        path.mkdir(parents=True)
        config = schema.to_dict(schema.Config()) | changes
        (path / "config.json").write_text(json.dumps(config))
        for number, row in enumerate(results, start=1):
            (path / f"generation_{number}.json").write_text(json.dumps(row))
        (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    chain = {"generations": 2, "student": "fresh", "early_end": False}
    write("a", [{"mae": 5.25}, {"mae": 4.125, "ca5": 0.5}], chain=chain)
    write(
        "b",
        [{"mae": 3.5}],
        [{"kind": "train", "generation": 1, "step": 7, "total_step": 7}],
        chain=chain,
        seed=3,
        epochs=2,
    )
    write("c")
    (tmp_path / "runs" / "c" / "config.json").write_text("{")
    return tmp_path / "runs"


def printed(capsys, *arguments):
    flags.FLAGS.unparse_flags()
    runs.main(parse_flags(["runs", *map(str, arguments)]))
    return capsys.readouterr().out


def test_each_run_has_its_state_and_last_results(folder, capsys):
    lines = {line.split()[0]: line for line in printed(capsys, folder).splitlines() if line}
    assert "2/2" in lines["a"]
    assert "finished" in lines["a"]
    assert "4.125" in lines["a"]
    assert "50.00" in lines["a"]
    assert "1/2" in lines["b"]
    assert "step 7" in lines["b"]


def test_how_a_run_differs_and_what_cannot_be_read(folder, capsys):
    text = printed(capsys, folder)
    assert "\nb: epochs: 160 -> 2, seed: 0 -> 3" in text
    assert "cannot be read" in text


def test_sorted_by_a_result(folder, capsys):
    text = printed(capsys, folder, "--sort=mae")
    assert text.index("\nb ") < text.index("\na ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["nowhere"], "nowhere: no such folder"), (["--sort=speed"], "no run has 'speed'")],
)
def test_bad_input(arguments, says, folder, capsys):
    arguments = [*arguments, *([str(folder)] if arguments != ["nowhere"] else [])]
    with pytest.raises(SystemExit):
        printed(capsys, *arguments)
    assert says in capsys.readouterr().err


def test_a_folder_without_runs(tmp_path, capsys):
    with pytest.raises(SystemExit):
        printed(capsys, tmp_path)
    assert "no run in it" in capsys.readouterr().err
