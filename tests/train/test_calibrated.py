"""A calibration in a checkpoint: kept through kills, told from another network's, read by age."""

import dataclasses
import json

import numpy as np
import pytest

from ldl_jax import calibration, methods
from ldl_jax.calibration import Options
from ldl_jax.labels import AGE
from ldl_jax.train import calibrated
from ldl_jax.train.intact import check_seal
from ldl_jax.train.record import RecordError, from_json
from ldl_jax.train.stored import read, read_step


@pytest.fixture(scope="module")
def weights(tiny_model, draw_weights):
    return draw_weights(tiny_model, methods.get("dldl", space=AGE))


@pytest.fixture
def step(tmp_path, weights, write_checkpoint):
    return write_checkpoint(tmp_path / "generation_1", weights) / "1"


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(AGE.size), 60)
    return calibration.fit(p, rng.integers(0, 101, 60), AGE, Options(network="abc"))


def test_a_checkpoint_keeps_it_and_stays_sealed(step, make_record, fitted):
    calibrated.keep(step, make_record(calibration=fitted))
    assert check_seal(step)
    assert sorted(path.name for path in step.parent.iterdir()) == ["1", "1.sha256"]
    about, arrays = read(step.parent)
    assert about.calibration == fitted
    assert arrays["params"]["head"]
    calibrated.keep(step, make_record())
    assert read(step)[0].calibration is None


@pytest.mark.parametrize("calls", range(5))
def test_a_kill_leaves_the_old_or_the_new_record(step, make_record, fitted, monkeypatch, calls):
    """Every change of a file's name is the last one in its turn; then it is kept all the same."""
    done = []

    def limited(function):
        def call(*arguments):
            if len(done) == calls:
                raise KeyboardInterrupt
            done.append(arguments)
            return function(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(calibrated.os, "replace", limited(calibrated.os.replace))
        try:
            calibrated.keep(step, make_record(calibration=fitted))
        except KeyboardInterrupt:
            assert calls < 5
    assert check_seal(step)
    assert read_step(step, sealed=True)[0].calibration in (None, fitted)
    calibrated.keep(step, make_record(calibration=fitted))
    assert check_seal(step)
    assert read_step(step, sealed=True)[0].calibration == fitted


def test_a_damaged_checkpoint_is_not_sealed_anew(step, make_record, fitted):
    (step / "state" / "more").write_text("x")
    with pytest.raises(ValueError, match="not as they were written"):
        calibrated.keep(step, make_record(calibration=fitted))


def test_a_checkpoint_without_a_seal_stays_so(step, make_record, fitted):
    step.with_name("1.sha256").unlink()
    calibrated.keep(step, make_record(calibration=fitted))
    assert not check_seal(step)
    assert read_step(step)[0].calibration == fitted


def test_records_of_before_have_none(make_record, tmp_path):
    content = make_record().to_json()
    del content["calibration"]
    assert from_json(content | {"version": 3}, tmp_path).calibration is None
    with pytest.raises(RecordError, match="calibration is missing"):
        from_json(content, tmp_path)


def test_a_network_is_told_by_its_head_in_either_type(weights):
    head = weights.params["head"]
    mark = calibrated.network_mark(head)
    import jax

    half = jax.tree.map(lambda x: np.asarray(jax.numpy.bfloat16(x), np.float32), head)
    assert calibrated.network_mark(half) == mark
    assert calibrated.network_mark(jax.tree.map(lambda x: x + 1, head)) != mark


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c | {"temperature": "x"}, "calibration.temperature: expected float, got 'x'"),
        (lambda c: c | {"temperature": -1.0}, "calibration: temperature: expected a positive"),
        (lambda c: c | {"score": 3}, "calibration.score: expected str"),
        (lambda c: c | {"curve": c["curve"][:-1]}, "calibration: curve: expected"),
        (lambda c: c | {"overall": {}}, "calibration.overall.name is missing"),
        (lambda c: {k: v for k, v in c.items() if k != "levels"}, "calibration.levels is missing"),
        (lambda c: c | {"space": {**c["space"], "unit": "score"}}, "101 labels from 0 to 100 sc"),
        (lambda c: [c], "calibration: expected an object"),
    ],
)
def test_a_damaged_calibration_is_one_line(make_record, fitted, tmp_path, change, words):
    content = json.loads(json.dumps(make_record(calibration=fitted).to_json()))
    content["calibration"] = change(content["calibration"])
    with pytest.raises(RecordError, match=words) as failed:
        from_json(content, tmp_path / "7")
    assert str(failed.value).startswith(f"{tmp_path / '7'}: its record: ")
    assert "\n" not in str(failed.value)


def test_of_other_labels_it_is_refused(make_record, fitted):
    other = dataclasses.replace(fitted, space=dataclasses.replace(AGE, unit="score"))
    with pytest.raises(ValueError, match=r"calibration: is of 101 labels from 0 to 100 score, and"):
        make_record(calibration=other)
