"""The chain: what a later generation starts from, and a run that dies anywhere ends the same."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ldl_jax.evaluation import predictions
from ldl_jax.models import Model
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.train import generations, log, programs
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.job import Chain, Init, Job, Schedule
from ldl_jax.workdir import Workdir

WIDTH = 6


def tiny_model() -> Model:
    """Colour means through one layer, with a running mean as its state: compiles at once."""

    def init(key: jax.Array) -> tuple[Any, Any]:
        kernel = jax.random.normal(key, (3, WIDTH), jnp.float32)
        return {"layer": {"kernel": kernel}}, {"mean": jnp.zeros((3,), jnp.float32)}

    def apply(
        params: Any, model_state: Any, images: jax.Array, *, train: bool, key: Any = None
    ) -> tuple[jax.Array, Any]:
        pooled = images.mean(axis=(1, 2))
        if train:
            mean = pooled.mean(axis=0)
            model_state = {"mean": 0.9 * model_state["mean"] + 0.1 * mean}
        else:
            mean = model_state["mean"]
        return jnp.tanh((pooled - mean[None, :]) @ params["layer"]["kernel"]), model_state

    return Model("tiny", init, apply, WIDTH)


class Silent:
    """Watches and keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.on_step: Callable[[], None] = lambda: None

    def generation(self, generation: int, steps: int, step: int) -> None:
        pass

    def step(self, epoch: int) -> None:
        self.on_step()

    def progress(self, loss: float, speed: float) -> None:
        assert speed > 0

    def evaluation(self, done: int, count: int) -> None:
        pass

    def log(self, text: str) -> None:
        self.lines.append(text)


def make_job(**changes: Any) -> tuple[Job, dict[str, Any]]:
    config = schema.defaults()
    config.data.synthetic_count = 48
    config.data.size = 32
    config.data.space = "2:1:80"
    config.data.validation_fraction = 0.25
    config.batch_size = 8
    config.epochs = 2
    config.log_every = 2
    config.evaluation.batch_size = 8
    config.optimizer.name = "sgd"  # optax.adam promotes types
    config.optimizer.learning_rate = 1e-2
    config.chain.generations = 3
    made = experiment.build(schema.parse(config), lambda text: None, devices=1)
    return dataclasses.replace(made.job, model=tiny_model(), **changes), made.description


@pytest.fixture(scope="module")
def made() -> tuple[Job, dict[str, Any]]:
    return make_job()


def run(job: Job, description: dict[str, Any], path: Path, watcher: Silent | None = None) -> Any:
    watcher = watcher or Silent()
    with Workdir(path, description) as workdir, Interrupt() as interrupt:
        return generations.run(job, workdir, interrupt, watcher)


def content(path: Path) -> dict[str, bytes]:
    """What two runs of the same config must have in common, bit by bit."""
    files = [path / "metrics.jsonl", *path.glob("generation_*.json"), *path.glob("predictions/*")]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def final_weights(job: Job, path: Path, generation: int) -> list[np.ndarray]:
    checkpoints = Checkpoints(path / "checkpoints" / f"generation_{generation}")
    state = checkpoints.restore(programs.like(job), print)
    checkpoints.close()
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def assert_same(job: Job, one: Path, other: Path) -> None:
    assert content(one) == content(other)
    for generation in (1, 2, 3):
        pairs = zip(
            final_weights(job, one, generation), final_weights(job, other, generation), strict=True
        )
        assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


class Killed(BaseException):
    """As a kill does, it passes all that catches Exception."""


def test_a_run_that_dies_at_any_point_ends_as_one_left_alone(
    made: tuple[Job, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, description = made
    alone = tmp_path / "alone"
    run(job, description, alone)

    # Every call that leaves something behind is a place to die: just before it, or just after.
    calls = 0
    die_at = -1

    def mortal(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == die_at:
                raise Killed
            result = function(*args, **kwargs)
            calls += 1
            if calls == die_at:
                raise Killed
            return result

        return call

    for owner, name in (
        (Workdir, "write"),
        (Workdir, "finish"),
        (Checkpoints, "save"),
        (predictions, "write"),
    ):
        monkeypatch.setattr(owner, name, mortal(getattr(owner, name)))
    rng = np.random.default_rng()
    lives: list[int] = []
    mortal_run = tmp_path / "mortal"
    while True:  # one life after the other on the same folder
        calls, die_at = 0, int(rng.integers(1, 25))
        lives.append(die_at)
        try:
            run(job, description, mortal_run)
            break
        except Killed:
            continue
    print("died after so many calls:", lives[:-1])
    assert len(lives) > 2
    assert_same(job, alone, mortal_run)


def test_a_run_of_before_the_watch_goes_on(
    made: tuple[Job, dict[str, Any]], tmp_path: Path
) -> None:
    job, description = made
    job = dataclasses.replace(job, chain=Chain(1), schedule=Schedule(1, 2, 1000))
    run(job, description, tmp_path / "alone")

    def old(self: Any, step: int, state: Any, about: Any) -> None:
        fields = {k: x for k, x in state._asdict().items() if k not in ("watch", "ema")}
        save(self, step, fields, about)
        self.wait()
        raise Killed

    save = Checkpoints.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "save", old)
        with pytest.raises(Killed):
            run(job, description, tmp_path / "old")
    run(job, description, tmp_path / "old")
    state, its = (final_weights(job, tmp_path / name, 1) for name in ("alone", "old"))
    weights = len(jax.tree.leaves(programs.like(job).weights))
    assert all(np.array_equal(a, b) for a, b in zip(state[:weights], its[:weights], strict=True))


def test_sigterm_saves_and_the_same_call_goes_on(
    made: tuple[Job, dict[str, Any]], tmp_path: Path
) -> None:
    job, description = made
    run(job, description, tmp_path / "alone")
    watcher, steps = Silent(), 0

    def on_step() -> None:
        nonlocal steps
        steps += 1
        if steps == 11:
            os.kill(os.getpid(), signal.SIGTERM)

    watcher.on_step = on_step
    with pytest.raises(Interrupted, match=r"SIGTERM in generation 2 after step") as caught:
        run(job, description, tmp_path / "stopped", watcher)
    assert caught.value.step in Checkpoints(tmp_path / "stopped/checkpoints/generation_2").steps()
    run(job, description, tmp_path / "stopped")
    assert_same(job, tmp_path / "alone", tmp_path / "stopped")


def test_damaged_checkpoints_fall_back_and_end_the_same(
    made: tuple[Job, dict[str, Any]], tmp_path: Path
) -> None:
    job, description = made
    run(job, description, tmp_path / "alone")
    run(dataclasses.replace(job, chain=Chain(generations=2)), description, tmp_path / "hurt")
    folder = tmp_path / "hurt/checkpoints/generation_2"
    latest = max((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    for file in latest.rglob("*"):
        if file.is_file() and file.stat().st_size > 100:
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 0xFF
            file.write_bytes(data)
            break
    watcher = Silent()
    run(job, description, tmp_path / "hurt", watcher)
    assert any("is damaged" in line and str(latest) in line for line in watcher.lines)
    assert_same(job, tmp_path / "alone", tmp_path / "hurt")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(
    made: tuple[Job, dict[str, Any]], tmp_path: Path
) -> None:
    job, description = made
    method = job.method

    def bad(outputs: Any, batch: Any, knowledge: Any = None) -> jax.Array:
        loss = method.loss(outputs, batch, knowledge)
        return loss if knowledge is None else loss * jnp.float32(np.nan)

    broken = dataclasses.replace(job, method=dataclasses.replace(method, loss=bad))
    with pytest.raises(log.NotFiniteError, match=r"nan in generation 2 at step 1\b"):
        run(broken, description, tmp_path)
    assert Checkpoints(tmp_path / "checkpoints/generation_1").steps()
    assert Checkpoints(tmp_path / "checkpoints/generation_2").steps() == []
    assert len(Workdir(tmp_path, description).results()) == 1


@pytest.mark.parametrize("student", ["pretrained", "teacher", "fresh"])
def test_what_a_generation_starts_from(
    made: tuple[Job, dict[str, Any]], tmp_path: Path, student: str
) -> None:
    job, _ = made
    backbone = tiny_model().init(jax.random.key(99))
    job = dataclasses.replace(job, init=Init(backbone), chain=Chain(3, student))
    teacher = programs.first_state(job, 1, None).weights
    teacher = teacher._replace(params=jax.tree.map(lambda x: x + 1, teacher.params))
    first = programs.first_state(job, 1, None).weights
    second = programs.first_state(job, 2, teacher).weights
    same = jax.tree_util.Partial(lambda a, b: jax.tree.all(jax.tree.map(np.array_equal, a, b)))
    assert same(first.params["backbone"], backbone[0])
    assert same(second.params["backbone"], backbone[0]) == (student == "pretrained")
    assert same(second.params, teacher.params) == (student == "teacher")
    assert not same(second.params["head"], first.params["head"])


def test_the_chain_may_end_early() -> None:
    chain = Chain(5, early_end=True)
    better, worse = [{"mae_validation": error} for error in (3.0, 2.0)], [{"mae_validation": 2.5}]
    assert not generations.finished(chain, better[:1])
    assert not generations.finished(chain, better)
    assert generations.finished(chain, better + worse)
    assert generations.finished(chain, better + better[-1:])  # no better is no gain
    assert not generations.finished(Chain(5), better + worse)  # off by default


def test_an_early_end_ends_the_run(made: tuple[Job, dict[str, Any]], tmp_path: Path) -> None:
    job, description = made

    def nothing_learnt(outputs: Any) -> Any:
        return job.method.predict(jax.tree.map(jnp.zeros_like, outputs))

    method = dataclasses.replace(job.method, predict=nothing_learnt)
    chain = Chain(4, early_end=True)
    results = run(dataclasses.replace(job, method=method, chain=chain), description, tmp_path)
    assert [row["generation"] for row in results] == [1, 2]


def test_rows_have_no_gap_and_none_doubled(
    made: tuple[Job, dict[str, Any]], tmp_path: Path
) -> None:
    job, description = made
    run(job, description, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = len(job.order(1))
    for generation in (1, 2, 3):
        mine = [row for row in rows if row["generation"] == generation]
        train = [row["step"] for row in mine if row["kind"] == "train"]
        assert train == sorted({*range(2, steps + 1, 2), steps})
        assert [row["step"] for row in mine if row["kind"] == "test"] == [steps]
        assert [row["step"] for row in mine if row["kind"] == "validation"] == [steps // 2, steps]
