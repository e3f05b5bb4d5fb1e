"""The loop: several steps in a call, cut where something happens, and nothing waits."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_generations import Silent, content, make_job, run
from test_step import CEN, PREPROCESSING, RECIPE, SGD, B, draw_part, feed, snapshot

from ldl_jax.placement import make_placement
from ldl_jax.train import log, programs
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.compiled import jit_train_step, jit_train_steps
from ldl_jax.train.faults import FaultConfig
from ldl_jax.train.interrupt import Interrupted
from ldl_jax.train.job import Chain, Schedule
from ldl_jax.train.loop import _calls
from ldl_jax.train.state import init_state
from ldl_jax.train.step import make_train_step


def test_calls_are_cut_at_every_end():
    assert list(_calls(0, 10, 4, [5])) == [(1, 4), (5, 5), (6, 9), (10, 10)]
    assert list(_calls(3, 9, 4, [6, 4])) == [(4, 4), (5, 6), (7, 8), (9, 9)]
    assert list(_calls(2, 5, 1, [100])) == [(3, 3), (4, 4), (5, 5)]
    assert list(_calls(7, 7, 4, [5])) == []


@pytest.fixture(scope="module")
def several(tiny_model, draw_weights):
    """`several(cuts)`: the last state and the scalars of eight steps, in calls of so many."""
    place = make_placement(1)
    pictures = feed(draw_part(), place.place, place.device_put)
    step = make_train_step(tiny_model, CEN, SGD, ema=0.9)
    many = jit_train_steps(step, pictures.fetch, RECIPE, PREPROCESSING, place, 8)
    one = jit_train_step(step, pictures.fetch, RECIPE, PREPROCESSING, place, 8)
    rng = np.random.default_rng(0)
    rows = [rng.permutation(24)[:B].astype(np.int32) for _ in range(8)]

    def take(cuts):
        weights = draw_weights(tiny_model, CEN)
        state = place.place(init_state(weights, SGD, 1, jax.random.key(5), average=True))
        found = []
        if cuts is None:
            for item in pictures.items(rows):
                state, scalars = one(state, None, pictures.store, item)
                found.append(jax.device_get(scalars))
            return snapshot(state), found
        spans = pictures.spans(rows, np.cumsum(cuts).tolist(), 0, 4)
        for cut, span in zip(cuts, spans, strict=True):
            state, scalars = many(
                state, None, pictures.store, span, None if cut == 4 else np.int32(cut)
            )
            scalars = jax.device_get(scalars)
            found += [{name: x[i] for name, x in scalars.items()} for i in range(cut)]
        return snapshot(state), found

    take.program = many
    return take


def test_any_cut_gives_the_bits_of_one_step_a_call(several):
    state, scalars = several([1] * 8)
    assert int(state.step) == 8
    for cuts in ([4, 4], [3, 4, 1]):
        other, others = several(cuts)
        jax.tree.map(np.testing.assert_array_equal, other, state)
        jax.tree.map(np.testing.assert_array_equal, others, scalars)
    # One of all four steps, whose number the compiler knows, and one of any other.
    assert several.program._cache_size() == 2


def test_the_loop_s_steps_are_the_single_ones(several):
    (loop, loops), (single, singles) = several([4, 4]), several(None)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        (loop, loops),
        (single, singles),
    )


@pytest.fixture(scope="module")
def made():
    """A job of three generations in calls of up to four steps; checkpoints cut them."""
    job, description = make_job()
    schedule = Schedule(log_every=3, checkpoint_every=5, evaluation_every=4, steps_per_call=4)
    job = dataclasses.replace(job, schedule=schedule, best="mae", use="best", chain=Chain(2))
    return job, description


def rows_of(path, kind):
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind and row["generation"] == 1]


def test_a_run_in_calls_of_several_steps(made, tmp_path, monkeypatch):
    job, description = made
    saved = []
    save = Checkpoints.save

    def spy(self, step, state, about):
        if not str(self.folder).endswith("best"):
            saved.append((step, int(state.step)))
        save(self, step, state, about)

    monkeypatch.setattr(Checkpoints, "save", spy)
    run(job, description, tmp_path / "alone")
    steps = len(job.order(1))
    assert saved == [(step, step) for step in sorted({*range(5, steps, 5), steps})] * 2
    assert [row["step"] for row in rows_of(tmp_path / "alone", "train")] == sorted(
        {*range(3, steps, 3), steps}
    )
    assert [row["step"] for row in rows_of(tmp_path / "alone", "validation")] == sorted(
        {*range(4, steps, 4), steps}
    )
    # A signal is heard between calls, and the same command goes on to the same end.
    watcher, taken = Silent(), 0

    def on_step():
        nonlocal taken
        taken += 1
        if taken == steps + 2:
            os.kill(os.getpid(), signal.SIGTERM)

    watcher.on_step = on_step
    with pytest.raises(Interrupted, match="in generation 2 after step 4"):
        run(job, description, tmp_path / "stopped", watcher)
    run(job, description, tmp_path / "stopped")
    assert content(tmp_path / "alone") == content(tmp_path / "stopped")
    best = [sorted((p / "generation_2/best").iterdir()) for p in folders(tmp_path)]
    assert [p.name for p in best[0]] == [p.name for p in best[1]]


def folders(path):
    return [path / name / "checkpoints" for name in ("alone", "stopped")]


def test_scalars_are_fetched_two_calls_late(made, tmp_path, monkeypatch):
    """Nothing waits for a step that was just sent, but what has to."""
    job, description = made
    schedule = Schedule(log_every=2, checkpoint_every=1000, evaluation_every=1000)
    job = dataclasses.replace(
        job,
        schedule=schedule,
        best="",
        use="last",
        chain=Chain(1),
    )
    watcher, sent, looked = Silent(), 0, []

    def on_step():
        nonlocal sent
        sent += 1

    watcher.on_step = on_step
    look = log.Log._look

    def spy(self, calls):
        looked.append((sent, calls[-1].last))
        look(self, calls)

    monkeypatch.setattr(log.Log, "_look", spy)
    run(job, description, tmp_path, watcher)
    steps = len(job.order(1))
    assert looked[-1] == (steps, steps)
    assert len(looked) > 2
    assert all(sent + 1 - last >= 2 for sent, last in looked[:-1])


@pytest.fixture
def sick(monkeypatch):
    """`sick(steps)`: their pictures have a NaN."""

    def make(steps):
        def broken_step(*args, **kwargs):
            inner = make_train_step(*args, **kwargs)

            def broken(state, batch, key, teacher=None):
                bad = jnp.isin(state.step + 1, jnp.asarray(steps, jnp.int32))
                images = jnp.where(bad, jnp.float32(np.nan), batch["images"])
                return inner(state, {**batch, "images": images}, key, teacher)

            return broken

        monkeypatch.setattr(programs, "make_train_step", broken_step)

    return make


@pytest.fixture(scope="module")
def short(made):
    """One generation of one-step calls that skips what is not finite."""
    job, description = made
    return dataclasses.replace(
        job,
        schedule=Schedule(log_every=1, checkpoint_every=2, evaluation_every=100),
        best="",
        use="last",
        chain=Chain(1),
        faults=FaultConfig(not_finite="skip", in_a_row=3),
    ), description


def test_skipped_steps_are_rows_and_lines(short, tmp_path, sick):
    job, description = short
    sick([2, 4, 5])
    watcher = Silent()
    run(job, description, tmp_path, watcher)
    assert [(row["step"], row["fault"]) for row in rows_of(tmp_path, "fault")] == [
        (step, "not_finite") for step in (2, 4, 5)
    ]
    assert all("loss" not in row for row in rows_of(tmp_path, "fault"))
    train = {row["step"]: row for row in rows_of(tmp_path, "train")}
    assert [step for step in train if "loss" not in train[step]] == [2, 4, 5]
    assert sum("is not finite" in line and "skipped" in line for line in watcher.lines) == 3


def test_too_many_in_a_row_stop_the_run_with_its_last_good_checkpoint(short, tmp_path, sick):
    job, description = short
    sick([3, 4, 5])
    with pytest.raises(log.NotFiniteError, match=r"3 steps in a row .*, the last one step 5 "):
        run(job, description, tmp_path)
    assert Checkpoints(tmp_path / "checkpoints/generation_1").steps() == [4, 2]


def test_spikes_and_dead_units_are_lines_and_rows():
    class Order:
        batch, steps_per_epoch = 4, 10

        def __len__(self):
            return 40

    written, faults, watcher = [], [], Silent()
    mine = log.Log(
        2,
        Order(),
        10,
        lambda step: 0.5,
        FaultConfig(),
        lambda row, speed: written.append(row),
        faults.append,
        watcher,
    )
    for step in range(1, 41):
        scalars = {
            "loss": 90.0 if step in (17, 18) else 3.0,
            "gradient_norm": 1.0,
            "dead_units": 4.0 if step >= 20 else 0.0,
            "spike": float(step in (17, 18)),
            "usual_loss": 3.0,
            "skipped": 0.0,
            "skipped_in_a_row": 0.0,
        }
        mine.add(step, step, {name: np.float32(x) for name, x in scalars.items()})
    mine.flush()
    assert [row["step"] for row in written] == [10, 20, 30, 40]
    assert [row["dead_units"] for row in written] == [0, 4, 4, 4]
    assert "spike" not in written[0]
    assert written[0]["learning_rate"] == 0.5
    assert faults == [
        {"step": 17, "epoch": 1.7, "fault": "loss_spike", "loss": 90.0, "usual_loss": 3.0},
        {"step": 18, "epoch": 1.8, "fault": "loss_spike", "loss": 90.0, "usual_loss": 3.0},
    ]
    dead, spike = watcher.lines
    assert dead == "step 20 of generation 2: 4 units are dead, they got no gradient for 100 steps"
    assert spike.startswith(
        "loss spike at step 17 of generation 2: 90 where 3 is usual, and 1 more"
    )
