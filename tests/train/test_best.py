"""The best checkpoint by a validation metric: chosen, kept, resumed, tested and taught with."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_checkpoint import files_of, flip_a_byte
from test_generations import Silent, make_job, run

from ldl_jax import processes
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.evaluation import report
from ldl_jax.labels import AGE
from ldl_jax.train import checkpoint, generations
from ldl_jax.train.best import Best, read_best
from ldl_jax.train.checkpoint import check_seal
from ldl_jax.train.job import Chain
from ldl_jax.train.record import BestValidation, Record
from ldl_jax.train.state import Weights
from ldl_jax.workdir import Workdir


def weights_of(step):
    return Weights({"head": {"kernel": jnp.full((64, 4), step, jnp.float32)}}, {"n": jnp.zeros(2)})


RECORD = Record(
    model={"name": "none"},
    method={"name": "cen"},
    space=AGE,
    preprocessing=Preprocessing(32, 32),
    alignment=Alignment(),
    flip=False,
    generation=1,
)


def offer(best, values, metric="mae"):
    for step, value in values.items():
        best.offer(step, {metric: value}, weights_of(step), RECORD)


def open_best(folder, metric="mae"):
    best, said = Best(folder, metric), []
    best.start(said.append)
    return best, said


def read(folder):
    said = []
    found = read_best(folder, said.append)
    assert found is not None
    step, weights = found
    assert weights.params["head"]["kernel"][0, 0] == step
    return step, said


def test_the_least_error_is_kept_and_the_one_before_it(tmp_path):
    best, _ = open_best(tmp_path)
    offer(best, {10: 5.0, 20: 4.0, 30: 4.5, 40: 3.0, 50: 3.0})
    best.close()
    assert read(tmp_path) == (40, [])
    kept = {p.name for p in (tmp_path / "best").iterdir() if p.is_dir()}
    assert kept == {"20", "40"}
    assert all(check_seal(tmp_path / "best" / name) for name in kept)
    about, _ = checkpoint.read(tmp_path / "best")
    assert about.best == BestValidation("mae", 3.0, 40)
    assert (about.step, about.generation) == (40, 1)


def test_more_is_better_of_some_metrics(tmp_path):
    best, _ = open_best(tmp_path, "pearson")
    offer(best, {10: 0.2, 20: 0.5, 30: 0.4}, "pearson")
    best.offer(40, {"mae": 1.0}, weights_of(40), RECORD)  # not defined this time
    best.close()
    assert read(tmp_path)[0] == 20


def test_it_goes_on_where_it_was(tmp_path):
    best, _ = open_best(tmp_path)
    offer(best, {10: 5.0, 20: 4.0})
    best.close()
    best, said = open_best(tmp_path)
    offer(best, {20: 4.0, 30: 4.2})  # the step is reached again after a kill
    best.close()
    assert said == []
    assert read(tmp_path)[0] == 20


def test_damage_falls_back_and_the_step_may_be_saved_again(tmp_path):
    best, _ = open_best(tmp_path)
    offer(best, {10: 5.0, 20: 4.0})
    best.close()
    flip_a_byte(files_of(tmp_path / "best/20")[-1])
    step, said = read(tmp_path)
    assert step == 10
    assert len(said) == 1
    assert f"{tmp_path / 'best/20'} is damaged" in said[0]
    best, said = open_best(tmp_path)
    assert len(said) == 1
    offer(best, {20: 4.0})
    best.close()
    assert read(tmp_path) == (20, [])


def test_none_can_be_read(tmp_path):
    assert read_best(tmp_path, print) is None


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A finished run of two generations, and the validation errors that it was told."""
    job, description = make_job()
    job = dataclasses.replace(job, best="mae", use="best", chain=Chain(2), keep=1)
    job = dataclasses.replace(job, optimizer=dataclasses.replace(job.optimizer, ema=0.5))
    path = tmp_path_factory.mktemp("run") / "run"
    told = iter([3.0, 5.0, 6.0, 2.0])  # of each generation's two validations
    teachers = []
    alone = generations.Runner

    def worse(predictions):
        found = summary(predictions)
        if len(predictions.ids) == len(job.data.validation.part):
            found["mae"] = next(told)
        return found

    def spy(train, runs, states, known):
        teachers.append(jax.tree.map(np.array, known[0]))
        return alone(train, runs, states, known)

    summary = report.summary
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "summary", worse)
        patch.setattr(generations, "Runner", spy)
        run(job, description, path)
    return job, description, path, teachers


def test_the_best_weights_are_tested_teach_and_are_read(chain):
    job, description, path, teachers = chain
    results = Workdir(path, description).results()
    steps = len(job.order(1))
    assert [row["best_step"] for row in results] == [steps // 2, steps]
    assert [row["mae_validation"] for row in results] == [3.0, 2.0]
    folder = path / "checkpoints/generation_1"
    first = read_best(folder, print)
    assert first is not None
    jax.tree.map(np.testing.assert_array_equal, teachers[1], first[1])
    about, _ = checkpoint.read(path)
    assert about.best.step == steps
    # The last ones are there as well, and others.
    last = checkpoint.read(folder)[1]
    assert (
        last["params"]["head"]["score"]["kernel"] != first[1].params["head"]["score"]["kernel"]
    ).any()
    assert [p.name for p in folder.iterdir() if p.name.isdigit()] == [str(steps)]  # keep = 1


def test_the_best_is_looked_for_once_process_0_has_it_in_its_place(tmp_path, monkeypatch):
    job, description = make_job()
    job = dataclasses.replace(job, best="mae", use="best", chain=Chain(1))
    told, summary, waited = iter([3.0, 2.0]), report.summary, []
    later = tmp_path / "later"

    def better(predictions):
        found = summary(predictions)
        if len(predictions.ids) == len(job.data.validation.part):
            found["mae"] = next(told)
        return found

    def close(best):
        close_alone(best)
        place.rename(later)

    def all_gather(value):
        if later.exists():  # process 0 is done
            waited.append(later.rename(place))
        return [value]

    close_alone = Best.close
    monkeypatch.setattr(report, "summary", better)
    monkeypatch.setattr(Best, "close", close)
    monkeypatch.setattr(processes, "all_gather", all_gather)
    steps = len(job.order(1))
    place = tmp_path / f"run/checkpoints/generation_1/best/{steps}"
    run(job, description, tmp_path / "run")
    assert waited == [place]
    assert [row["best_step"] for row in Workdir(tmp_path / "run", description).results()] == [steps]


def test_a_later_command_takes_the_best_for_its_teacher(chain):
    job, description, path, _ = chain
    with Workdir(path, description) as workdir:
        teacher = generations.resume(job, workdir, Silent())
    found = read_best(path / "checkpoints/generation_2", print)
    assert found is not None
    jax.tree.map(np.testing.assert_array_equal, teacher, found[1])
