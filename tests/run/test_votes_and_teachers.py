"""Whole small runs: votes as the target, C-Mixup, and several teachers of one student."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.data.records import DataError
from ldl_jax.evaluation import predictions
from ldl_jax.methods import Knowledge
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.run.config import ConfigError
from ldl_jax.train import generations, programs
from ldl_jax.train.ensemble import joined, knowledge
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workdir import Workdir, WorkdirError

pytestmark = [pytest.mark.usefixtures("tiny_network"), pytest.mark.usefixtures("optax_promotes")]
RATED = {"data.options": {"kind": "attractiveness", "raters": 20}, "data.space": "1:0.5:5"}


def build(**changes):
    config = schema.defaults()
    config.data.synthetic_count = 32
    config.data.size = 32
    config.model.name = "tiny"
    config.batch_size = 8
    config.epochs = 2
    config.optimizer.name = "sgd"
    config.evaluation.batch_size = 8
    config.chain.generations = 1
    for key, value in changes.items():
        *path, last = key.split(".")
        section = config
        for name in path:
            section = section[name]
        section[last] = value
    parsed = schema.parse(config)
    return experiment.build(parsed, lambda text: None, devices=1)


class Silent:
    """Says nothing."""

    def __getattr__(self, name):
        return lambda *arguments: None


def run(made, path):
    with Workdir(path, made.description) as workdir, Interrupt() as interrupt:
        generations.run(made.job, workdir, interrupt, Silent())
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def of_votes(**changes):
    given = {"method.name": "cen", "method.target": "votes", "method.target_smoothing": 0.3}
    return build(**RATED, **given, **changes)


def test_a_chain_learns_from_votes_and_is_measured_by_them(tmp_path):
    made = of_votes(**{"chain.generations": 2})
    rows = run(made, tmp_path)
    losses = [row["loss"] for row in rows if row["kind"] == "train"]
    assert np.isfinite(losses).all()
    test = [row for row in rows if row["kind"] == "test"]
    assert [row["generation"] for row in test] == [1, 2]
    measured = {"truth_kl", "truth_emd", "truth_js", "truth_euclidean", "qwk", "amae", "mmae"}
    assert measured <= test[-1].keys()
    answers = predictions.read(tmp_path / "predictions" / "generation_2.csv")
    part = made.job.data.test.part
    assert set(answers.measures) == set(predictions.MEASURES)
    # The votes are on whole numbers alone, and the truth is: it is over another grid.
    gap = np.cumsum(answers.probs.astype(np.float64) - part.votes / 20, axis=1)[:, :-1]
    np.testing.assert_allclose(
        answers.measures["truth_emd"], np.abs(gap).sum(1) * 0.5, rtol=1e-4, atol=1e-5
    )
    assert made.description["resolved"]["votes"]
    assert made.description["method"]["target"] == "votes"


def test_votes_that_have_changed_are_another_run_s(tmp_path):
    run(of_votes(), tmp_path)
    made = of_votes()
    made.description["resolved"]["votes"] = "another"
    with pytest.raises(WorkdirError):
        Workdir(tmp_path, made.description).__enter__()


def test_ages_without_votes_are_refused_before_anything_is_written():
    with pytest.raises(DataError, match=r"synthetic: no votes are known, and method.target is"):
        build(**{"method.name": "dldl_v2", "method.target": "votes"})


def test_votes_in_device_memory_and_streamed_are_one_training(tmp_path):
    kept = run(of_votes(**{"data.feed": "memory"}), tmp_path / "a")
    streamed = run(of_votes(**{"data.feed": "stream"}), tmp_path / "b")
    for one, other in zip(kept, streamed, strict=True):
        if one["kind"] == "train":
            assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)


def test_c_mixup_changes_what_is_learnt_and_votes_go_with_it(tmp_path):
    plain = run(of_votes(), tmp_path / "a")
    mixed = run(
        of_votes(**{"augment.mixup.alpha": 2.0, "augment.mixup.sigma": 1.0}), tmp_path / "b"
    )
    losses = [[row["loss"] for row in rows if row["kind"] == "train"] for rows in (plain, mixed)]
    assert np.isfinite(losses).all()
    assert losses[0] != losses[1]


# Several teachers.


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """Two finished runs, of other seeds and methods."""
    folder = tmp_path_factory.mktemp("teachers")
    with jax.numpy_dtype_promotion("standard"):
        for seed, name in enumerate(("dldl_v2", "cen")):
            given = {"seed": seed, "method.name": name, "data.space": "2:1:80"}
            run(build(**given), folder / name)
    return folder / "dldl_v2", folder / "cen"


def student(paths, **changes):
    given = {"data.space": "2:1:80", "init.teachers": tuple(map(str, paths)), "method.name": "cen"}
    return build(**given | changes)


def test_the_student_learns_from_the_mean_of_its_teachers(taught, tmp_path):
    made = student(taught, **{"chain.generations": 2})
    ensemble = made.job.init.ensemble
    assert [method.name for _, method in ensemble.members] == ["dldl_v2", "cen"]
    batch = {
        "images": jax.random.normal(jax.random.key(0), (4, 32, 32, 3)),
        "labels": jnp.asarray([20.0, 30.0, 40.0, 50.0]),
        "sigma": jnp.full(4, jnp.nan),
    }
    known = knowledge(ensemble.members, ensemble.weights, batch)
    assert isinstance(known, Knowledge)
    each = [
        knowledge([member], joined([type(ensemble.weights)(params, state)]), batch)
        for member, params, state in zip(
            ensemble.members, ensemble.weights.params, ensemble.weights.model_state, strict=True
        )
    ]
    np.testing.assert_allclose(known.probs, (each[0].probs + each[1].probs) / 2, rtol=1e-6)
    np.testing.assert_allclose(known.slack, (each[0].slack + each[1].slack) / 2, rtol=1e-6)
    np.testing.assert_allclose(known.probs.sum(1), 1, rtol=1e-5)
    rows = run(made, tmp_path / "student")
    alone = run(student(()), tmp_path / "alone")
    first = [next(row["loss"] for row in some if row["kind"] == "train") for some in (rows, alone)]
    assert np.isfinite(first).all()
    assert first[0] != first[1]
    assert [row["generation"] for row in rows if row["kind"] == "test"] == [1, 2]
    # The first weights are those of a run without teachers.
    pairs = (made, ensemble.weights), (student(()), None)
    states = [programs.first_state(each.job, 1, teacher) for each, teacher in pairs]
    jax.tree.map(np.testing.assert_array_equal, states[0].weights, states[1].weights)


def test_other_weights_of_the_teachers_are_another_run_s(taught, tmp_path):
    made = student(taught)
    run(made, tmp_path)
    made.description["resolved"]["teachers"] = "another"
    with pytest.raises(WorkdirError):
        Workdir(tmp_path, made.description).__enter__()


def test_all_that_is_wrong_with_teachers_is_said_at_once(taught, tmp_path):
    wrong = (*taught, tmp_path / "nothing")
    with pytest.raises(ConfigError) as error:
        student(wrong, **{"data.space": "2:1:90", "data.mean": (0.0, 0.0, 0.0)})
    text = str(error.value)
    assert text.startswith("init.teachers: ")
    assert text.count("has the labels 2 to 80 (79), this run 2 to 90 (89)") == 2
    assert text.count("takes pictures of mean (127.5, 127.5, 127.5), this run's are of (0.0,") == 2
    assert "nothing: " in text
    assert "does not exist" in text
