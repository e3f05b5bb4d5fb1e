"""launch.calibrate: figures, a checkpoint that is calibrated, and one line for what is wrong."""

import dataclasses
import json

import numpy as np
import pytest

import ldl_jax
from launch import calibrate
from ldl_jax import methods
from ldl_jax.data.splits import split_file
from ldl_jax.data.splits.protocols import Parts
from ldl_jax.files import write_json
from ldl_jax.labels import AGE
from ldl_jax.run import config as schema
from ldl_jax.run import data
from tests.launch import in_process

pytestmark = pytest.mark.usefixtures("tiny_network")
FACES = ("--config.data.name=synthetic", "--config.data.synthetic_count=40")


def call(capsys, *arguments):
    """As of `in_process.called`, the errors in one line."""
    code, printed, errors = in_process.called(calibrate, capsys, *arguments)
    return code, printed, " ".join(errors.split())


@pytest.fixture
def run(tmp_path, tiny_model, draw_weights, write_checkpoint):
    """`run(validation)`: the folder of a run on 60 drawn faces, so many of them held out."""

    def of(validation=40):
        folder = tmp_path / "run"
        weights = draw_weights(tiny_model, methods.get("dldl", space=AGE))
        write_checkpoint(folder / "checkpoints/generation_1", weights, generation=1)
        config = schema.defaults()
        config.data.name, config.data.synthetic_count, config.data.size = "synthetic", 60, 32
        section = schema.parse(config).data
        records = data.read_records(section)
        order = np.arange(60)
        parts = Parts(order[:10], order[10 : 10 + validation], order[50:])
        write_json(folder / "config.json", {"data": dataclasses.asdict(section)})
        write_json(folder / "generation_1.json", {"generation": 1})
        (folder / "split.json").write_bytes(split_file.dumped(records, parts))
        return folder

    return of


def test_a_run_is_calibrated_on_its_validation_part(run, capsys, tmp_path):
    folder, figures = run(), tmp_path / "f.json"
    code, printed, errors = call(capsys, folder, f"--json={figures}")
    assert (code, errors) == (0, "")
    said = " ".join(printed.split())
    assert "labels in intervals of 90%" in said
    assert "40 pictures (synthetic, validation part); temperature" in said
    assert "exchangeable" in said
    loaded = ldl_jax.load(folder)
    assert loaded.about.calibration.overall.count >= 26
    assert "validation part" in loaded.about.calibration.data
    assert ldl_jax.load(folder, raw=True).about.calibration is None
    content = json.loads(figures.read_text())
    assert set(content) == {"before", "after", "notes"}
    assert content["before"]["nll"] > 0


def test_other_pictures_into_a_new_file(run, capsys, tmp_path):
    target = tmp_path / "m.safetensors"
    more = (*FACES, "--config.data.seed=3", "--part=all", "--score=rps")
    code, _, errors = call(capsys, run(), f"--to={target}", *more)
    assert (code, errors) == (0, "")
    assert ldl_jax.load(target).about.calibration.score == "rps"
    assert ldl_jax.load(tmp_path / "run").about.calibration is None
    code, _, errors = call(capsys, target, *more[:-1])  # in the file itself
    assert (code, errors) == (0, "")
    assert ldl_jax.load(target).about.calibration.score == "cdf"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one run, checkpoint or model file to calibrate, got none"),
        (("RUN", "--coverage=1.5", "--ranges=9,x"), "--ranges: expected numbers"),
        (("RUN", "--coverage=1.5"), "--coverage: expected above 0, at most 0.999, got 1.5"),
        (("RUN", "--ranges=40,20"), "--ranges: expected numbers that rise, got 40,20"),
        (("RUN", "--ranges=40", "--groups"), "by group or by label, not by both"),
        (("RUN", "--to=m.onnx"), "--to: expected a name that ends in .safetensors"),
        (("RUN", "--part=all"), "--part: is of a dataset that --config.data names"),
        (("RUN", "--config.epochs=3"), "--config.epochs: is of training"),
        (("RUN", "--coverage=0.99"), "0.99 needs 99 labels"),
        (("RUN", "--ranges=200"), "200 and above has 0"),
        (("RUN", "--groups"), "groups: none is known of these pictures"),
        (
            ("RUN", FACES[0], "--config.data.synthetic_count=60", "--part=all"),
            "the model's run has",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(run, capsys, arguments, words):
    folder = run()
    seal = folder / "checkpoints/generation_1/1.sha256"
    before = seal.read_text()
    given = [folder if argument == "RUN" else argument for argument in arguments]
    code, _, errors = call(capsys, *given)
    assert code == 1
    assert words in errors
    assert seal.read_text() == before


def test_a_run_without_a_validation_part(run, capsys):
    code, _, errors = call(capsys, run(0))
    assert code == 1
    assert "held out no validation part" in errors
    assert "data.validation_fraction" in errors


def test_a_checkpoint_of_no_run_needs_pictures(run, capsys, tmp_path):
    folder = run()
    (folder / "split.json").unlink()
    code, _, errors = call(capsys, folder)
    assert code == 1
    assert "is of no run here" in errors


def test_a_run_that_is_training_is_left_alone(run, capsys):
    from ldl_jax.files import lock

    folder = run()
    with lock(folder):
        code, _, errors = call(capsys, folder)
    assert code == 1
    assert "is in use by a running job" in errors
