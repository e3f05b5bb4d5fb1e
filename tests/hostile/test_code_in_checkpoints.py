"""A checkpoint runs no code that its user has not named, and says what it cannot vouch for."""

import os
import shutil
import warnings

import pytest

import ldl_jax
from ldl_jax import methods
from ldl_jax.labels import AGE
from ldl_jax.train import record

pytestmark = pytest.mark.usefixtures("tiny_network")
CODE = """
from pathlib import Path
Path({evidence!r}).touch()
from ldl_jax import methods
def factory(space):
    return methods.get("dldl", space=space)
"""


@pytest.fixture
def weights(tiny_model, draw_weights):
    return draw_weights(tiny_model, methods.get("dldl", space=AGE), seed=3)


@pytest.fixture
def evidence(tmp_path):
    return tmp_path / "evidence"


def write_module(folder, name, evidence):
    """Writes a package with a module, each of which leaves evidence when it is imported."""
    (folder / name).mkdir(parents=True)
    for file in ("__init__.py", "evil.py"):
        (folder / name / file).write_text(CODE.format(evidence=str(evidence)))
    return folder / name / "evil.py"


def test_a_module_that_a_checkpoint_names_is_not_imported(
    tmp_path, weights, write_checkpoint, monkeypatch, evidence
):
    file = write_module(tmp_path / "code", "hostile_a", evidence)
    monkeypatch.syspath_prepend(tmp_path / "code")
    stored = write_checkpoint(tmp_path / "c", weights, method={"name": "hostile_a.evil:factory"})
    with pytest.raises(ValueError, match=r"--trust=hostile_a\.evil") as failed:
        ldl_jax.load(stored)
    assert str(file) in str(failed.value)
    assert "\n" not in str(failed.value)
    for near in ("hostile_a", "hostile_a.evil.x", "hostile"):
        with pytest.raises(ValueError, match="runs its code with your rights"):
            ldl_jax.load(stored, trust=(near,))
    with pytest.raises(ValueError, match="trust: expected a list"):
        ldl_jax.load(stored, trust="hostile_a.evil")
    assert not evidence.exists()
    assert ldl_jax.load(stored, trust=("hostile_a.evil",)).space == AGE
    assert evidence.exists()


def test_all_modules_that_a_checkpoint_names_are_said_at_once(tmp_path, weights, write_checkpoint):
    names = {"model": {"name": "nowhere_a:network"}, "method": {"name": "nowhere_b:factory"}}
    stored = write_checkpoint(tmp_path / "c", weights, **names)
    with pytest.raises(ValueError, match=r"--trust=nowhere_a,.*--trust=nowhere_b"):
        ldl_jax.load(stored)
    with pytest.raises(ValueError, match=r"--trust=nowhere_b") as failed:
        ldl_jax.load(stored, trust=("nowhere_a",))
    assert "nowhere_a" not in str(failed.value)


def test_no_code_is_run_from_inside_a_run(
    tmp_path, weights, write_checkpoint, monkeypatch, evidence
):
    run = tmp_path / "runs" / "mine"
    name = "hostile_b.evil"
    stored = write_checkpoint(
        run / "checkpoints" / "generation_1", weights, method={"name": f"{name}:factory"}
    )
    (run / "config.json").write_text("{}")
    for folder in (run, run / "checkpoints", stored, stored / "1" / "about"):
        write_module(folder, "hostile_b", evidence)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(folder)
            for path in (stored, stored / "1"):
                with pytest.raises(ValueError, match=r"never run from there|not as they were"):
                    ldl_jax.load(path, trust=(name,))
        shutil.rmtree(folder / "hostile_b")
    assert not evidence.exists()


def test_a_module_that_is_nowhere_is_not_asked_for_either(tmp_path, weights, write_checkpoint):
    stored = write_checkpoint(tmp_path / "c", weights, method={"name": "nowhere.at_all:f"})
    with pytest.raises(ValueError, match="which is not found here"):
        ldl_jax.load(stored)
    with pytest.raises(ValueError, match=r"cannot import 'nowhere\.at_all:f'.*looked for it in"):
        ldl_jax.load(stored, trust=("nowhere.at_all",))


def test_options_that_a_record_should_not_have(tmp_path, weights, write_checkpoint):
    method = {"name": "dldl", "space": 1}
    with pytest.raises(ValueError, match="its record's model or method"):
        ldl_jax.load(write_checkpoint(tmp_path / "c", weights, method=method))


def test_a_missing_seal_is_refused_where_there_was_one(tmp_path, weights, write_checkpoint):
    stored = write_checkpoint(tmp_path / "c", weights)
    (stored / "1.sha256").unlink()
    for path in (stored, stored / "1"):
        with pytest.raises(ValueError, match=r"its seal 1\.sha256 is not beside it"):
            ldl_jax.load(path)
        with pytest.warns(UserWarning, match=r"1 has no seal \(1\.sha256\)"):
            ldl_jax.load(path, allow_unsealed=True)


def test_a_missing_seal_is_said_where_there_may_have_been_none(
    tmp_path, weights, write_checkpoint, make_record, monkeypatch
):
    old = make_record().to_json() | {"version": 1}
    monkeypatch.setattr(record.Record, "to_json", lambda self: old)
    stored = write_checkpoint(tmp_path / "c", weights)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ldl_jax.load(stored)
    (stored / "1.sha256").unlink()
    with pytest.warns(UserWarning, match="whether its files are as written is not known"):
        ldl_jax.load(stored)


def test_a_checkpoint_of_another_version_is_one_line_and_stays(
    tmp_path, weights, write_checkpoint, make_record, monkeypatch
):
    newer = make_record().to_json() | {"version": record.VERSION + 1, "method": {"name": "a.b:c"}}
    monkeypatch.setattr(record.Record, "to_json", lambda self: newer)
    stored = write_checkpoint(tmp_path / "c", weights)
    before = {path: path.stat().st_mtime_ns for path in stored.rglob("*")}
    for path in (stored, stored / "1"):
        with pytest.raises(ValueError, match=r"and this release reads up to") as failed:
            ldl_jax.load(path)
        assert "\n" not in str(failed.value)
    assert {path: path.stat().st_mtime_ns for path in stored.rglob("*")} == before


@pytest.mark.parametrize("content", ["[1]", "3", "[" * 100_000, "not JSON"])
def test_a_runs_files_that_are_no_objects_are_one_line(tmp_path, content):
    (tmp_path / "generation_1.json").write_text(content)
    with pytest.raises(ValueError, match=r"generation_1\.json|generation_N\.json") as failed:
        ldl_jax.load(tmp_path)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("content", ["[1]", "3", "[" * 100_000, "not JSON", "{}"])
def test_a_record_that_is_none_is_one_line(tmp_path, weights, write_checkpoint, content):
    stored = write_checkpoint(tmp_path / "c", weights)
    (stored / "1" / "about" / "metadata").write_text(content)
    (stored / "1.sha256").unlink()
    with pytest.raises(ValueError, match=r"/c") as failed:
        ldl_jax.load(stored, allow_unsealed=True)
    assert "\n" not in str(failed.value)


def test_pipes_in_a_runs_folder_do_not_hang(tmp_path, weights, write_checkpoint):
    stored = write_checkpoint(tmp_path / "c", weights)
    (stored / "1" / "about" / "metadata").unlink()
    os.mkfifo(stored / "1" / "about" / "metadata")
    with pytest.raises(ValueError, match="about/metadata is neither a file nor a folder"):
        ldl_jax.load(stored)
    (tmp_path / "run").mkdir()
    for name in ("run/generation_1.json", "weights.h5"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=r"generation_1\.json is no file"):
        ldl_jax.load(tmp_path / "run")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        ldl_jax.load(tmp_path / "weights.h5")


def test_arrays_that_are_larger_than_their_files_are_not_made(
    tmp_path, weights, write_checkpoint, monkeypatch
):
    stored = write_checkpoint(tmp_path / "c", weights)
    monkeypatch.setattr("ldl_jax.train.stored._SPARE", -(10**9))
    with pytest.raises(ValueError, match="its arrays would take"):
        ldl_jax.load(stored)


def test_weights_that_do_not_fit_or_are_not_finite(
    tmp_path, weights, tiny_model, draw_weights, write_checkpoint
):
    other = draw_weights(tiny_model, methods.get("regression_l1", space=AGE))
    with pytest.raises(ValueError, match=r"does not fit tiny: .*'score'"):
        ldl_jax.load(write_checkpoint(tmp_path / "other", other))
    bias = weights.params["head"]["logits"]["bias"]
    weights.params["head"]["logits"]["bias"] = bias.at[3].set(float("nan"))
    stored = write_checkpoint(tmp_path / "nan", weights)
    with pytest.raises(ValueError, match=r"NaN or infinite in .*'bias'"):
        ldl_jax.load(stored)
    assert ldl_jax.load(stored, allow_nonfinite=True).space == AGE


def test_a_deep_record_is_shown_short(tmp_path):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(record.RecordError) as failed:
        record.from_json(deep, tmp_path)
    assert len(str(failed.value)) < 300
