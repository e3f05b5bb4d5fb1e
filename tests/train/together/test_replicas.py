"""Runs trained together: each as the run alone, whatever they differ in and wherever they die."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from ldl_jax.evaluation import predictions
from ldl_jax.run import config as schema
from ldl_jax.run import experiment, sweep
from ldl_jax.train import generations, log, memory
from ldl_jax.train.checkpoint import read_weights
from ldl_jax.train.interrupt import Interrupt, Interrupted
from ldl_jax.train.job import Chain
from ldl_jax.train.together import group, replicas
from ldl_jax.train.together.group import Replica, Replicas
from ldl_jax.train.together.stack import shared_pictures, stack_of
from ldl_jax.workdir import Workdir, read_rows

pytestmark = pytest.mark.usefixtures("tiny_network")
# Of weights of order 1 after 10 steps: matrix products of several runs add in another order.
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


class Silent:
    def __init__(self) -> None:
        self.steps, self.stop_at, self.lines = 0, -1, []

    def generation(self, generation: int, steps: int, step: int) -> None:
        pass

    def step(self, epoch: int) -> None:
        self.steps += 1
        if self.steps == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def progress(self, loss: float, speed: float) -> None:
        assert speed > 0

    def evaluation(self, done: int, count: int) -> None:
        pass

    def log(self, text: str) -> None:
        self.lines.append(text)


@dataclasses.dataclass
class Made:
    """A group of runs, and what each is alone."""

    points: Sequence[sweep.Point]
    experiments: list[experiment.Experiment]

    def group(self, devices: int = 1) -> Replicas:
        numbers = sweep.numbers(self.points)
        return Replicas(
            tuple(
                Replica(point.name, made.job, numbers[place])
                for place, (point, made) in enumerate(
                    zip(self.points, self.experiments, strict=True)
                )
            ),
            experiment.rebuild(self.points[0].config, self.experiments[0].job),
            tuple(jax.devices()[:devices]),
        )


def make(*grids: dict[str, Any], **changes: Any) -> Made:
    config = schema.defaults()
    config.data.synthetic_count = 48
    config.data.size = 32
    config.data.space = "2:1:80"
    config.data.validation_fraction = 0.25
    config.model.name = "tiny"
    config.batch_size = 8
    config.epochs = 2
    config.log_every = 2
    config.evaluation.batch_size = 8
    config.optimizer.learning_rate = 1e-2
    config.chain.generations = 2
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (config[section] if section else config)[name] = value
    config.sweep = grids
    points = sweep.points(schema.parse(config))
    made: list[experiment.Experiment] = []
    for point in points:
        like = made[0] if made else None
        made.append(experiment.build(point.config, lambda text: None, devices=1, like=like))
    return Made(points, made)


@contextlib.contextmanager
def opened(made: Made, path: Path) -> Iterator[list[Workdir]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Workdir(path / point.name, one.description))
            for point, one in zip(made.points, made.experiments, strict=True)
        ]


def together(made: Made, path: Path, devices: int = 1, watcher: Silent | None = None) -> Any:
    with opened(made, path) as folders, Interrupt() as interrupt:
        return replicas.run(made.group(devices), folders, interrupt, watcher or Silent())


def alone(made: Made, path: Path) -> None:
    with opened(made, path) as folders:
        for one, folder in zip(made.experiments, folders, strict=True):
            generations.run(one.job, folder, Interrupt(), Silent())


def test_the_speed_is_that_of_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, speeds = [0.0], []
    clock = types.SimpleNamespace(perf_counter=lambda: seconds[0])
    monkeypatch.setattr(log, "time", clock)
    call = replicas.Lockstep.call

    def half_a_second(*arguments: Any) -> None:
        seconds[0] += 0.5
        call(*arguments)

    monkeypatch.setattr(replicas.Lockstep, "call", half_a_second)

    class Watching(Silent):
        def progress(self, loss: float, speed: float) -> None:
            speeds.append(speed)

    # So many steps between two rows that a log by itself would look in between.
    changes = {"log_every": 40, "checkpoint_every": 20.0, "data__validation_fraction": 0.0}
    made = make({"seed": (0, 1)}, epochs=20, chain__generations=1, **changes)
    together(made, tmp_path, watcher=Watching())
    assert len(speeds) >= 2
    np.testing.assert_allclose(speeds, 8 / 0.5)
    rows = read_rows(tmp_path / made.points[1].name / "metrics.jsonl")
    assert 40 in [row["step"] for row in rows if row["kind"] == "train"]


def weights(folder: Path, generation: int = 2) -> list[np.ndarray]:
    _, found = read_weights(folder / "checkpoints" / f"generation_{generation}")
    return jax.tree.leaves(found)


def assert_close(one: Path, other: Path) -> None:
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE)
    np.testing.assert_allclose(read(one).values, read(other).values, rtol=1e-4)


def read(folder: Path) -> predictions.Predictions:
    return predictions.read(folder / "predictions" / "generation_2.csv")


@pytest.fixture(scope="module")
def seeds_and_numbers() -> Made:
    return make(
        {"seed": 0, "method.lam": (0.5, 4.0), "method.temperature": 3.0},
        {"seed": 5, "method.alpha": 0.1, "optimizer.learning_rate": 0.03},
    )


@pytest.fixture(scope="module")
def runs_alone(seeds_and_numbers: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alone")
    made = seeds_and_numbers
    alone(Made(made.points[1:], made.experiments[1:]), path)  # each compiles its own numbers
    return path


@pytest.fixture(scope="module")
def runs_together(seeds_and_numbers: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("together")
    assert together(seeds_and_numbers, path) == {}
    return path


def test_each_is_the_run_alone(
    seeds_and_numbers: Made, runs_alone: Path, runs_together: Path
) -> None:
    names = [point.name for point in seeds_and_numbers.points]
    assert len(names) == 3
    for name in names[1:]:
        one, other = runs_together / name, runs_alone / name
        assert_close(one, other)
        assert (one / "config.json").read_bytes() == (other / "config.json").read_bytes()
        assert left_behind(one) == left_behind(other)
        rows = [read_rows(folder / "metrics.jsonl") for folder in (one, other)]
        assert [row.keys() for row in rows[0]] == [row.keys() for row in rows[1]]
        for key in ("step", "total_step", "loss", "learning_rate", "mae"):
            a, b = ([row.get(key, 0.0) for row in run] for run in rows)
            np.testing.assert_allclose(a, b, rtol=1e-4)


def left_behind(folder: Path) -> list[str]:
    """All files and checkpoints, but for those whose names are drawn."""
    found = [*folder.glob("*"), *folder.glob("predictions/*"), *folder.glob("checkpoints/*/*")]
    return sorted(str(path.relative_to(folder)) for path in found)


def test_what_the_runs_differ_in_is_what_changes_them(
    seeds_and_numbers: Made, runs_together: Path
) -> None:
    """No two are alike, so each number reached its own run."""
    values = [read(runs_together / point.name).values for point in seeds_and_numbers.points]
    for place, one in enumerate(values):
        assert all(np.abs(one - other).max() > 1e-3 for other in values[:place])


def test_a_run_of_the_group_can_be_gone_on_with_alone(
    seeds_and_numbers: Made, runs_together: Path, tmp_path: Path
) -> None:
    point, made = seeds_and_numbers.points[1], seeds_and_numbers.experiments[1]
    shutil.copytree(runs_together / point.name, tmp_path / "one")
    longer = dataclasses.replace(made.job, chain=Chain(3))
    with Workdir(tmp_path / "one", made.description) as folder:
        results = generations.run(longer, folder, Interrupt(), Silent())
    assert [row["generation"] for row in results] == [1, 2, 3]


def test_spread_over_devices(seeds_and_numbers: Made, runs_alone: Path, tmp_path: Path) -> None:
    """3 runs on 2 devices leave a place over; of 8 devices, 3 have one each."""
    for devices, places in ((2, (2, 2)), (8, (1, 3))):
        stack = stack_of(3, jax.devices()[:devices])
        assert (stack.each, stack.mesh.size) == places
    assert together(seeds_and_numbers, tmp_path, devices=2) == {}
    for point in seeds_and_numbers.points[1:]:
        assert_close(tmp_path / point.name, runs_alone / point.name)


def test_seeds_on_a_device_each_are_bit_by_bit_the_runs_alone(tmp_path: Path) -> None:
    made = make({"seed": (0, 1)}, chain__generations=1)
    together(made, tmp_path / "together", devices=2)
    alone(made, tmp_path / "alone")
    for point in made.points:
        pair = [weights(tmp_path / way / point.name, 1) for way in ("together", "alone")]
        assert all(np.array_equal(a, b) for a, b in zip(*pair, strict=True))
        files = ["metrics.jsonl", "generation_1.json", "predictions/generation_1.csv"]
        for file in files:
            one, other = (tmp_path / way / point.name / file for way in ("together", "alone"))
            assert one.read_bytes() == other.read_bytes()


def test_a_stopped_group_goes_on_and_ends_bit_by_bit_the_same(
    seeds_and_numbers: Made, runs_together: Path, tmp_path: Path
) -> None:
    watcher = Silent()
    watcher.stop_at = 10  # in the second generation
    with pytest.raises(Interrupted, match=r"SIGTERM in generation 2 after step"):
        together(seeds_and_numbers, tmp_path, watcher=watcher)
    # As a kill between two runs' checkpoints leaves them.
    names = [point.name for point in seeds_and_numbers.points]
    steps = sorted((tmp_path / names[1] / "checkpoints/generation_2").glob("[0-9]"))
    assert len(steps) == 2
    shutil.rmtree(steps[1])
    assert together(seeds_and_numbers, tmp_path) == {}
    for name in names:
        for file in ("metrics.jsonl", "generation_1.json", "generation_2.json"):
            one, other = (path / name / file for path in (tmp_path, runs_together))
            assert one.read_bytes() == other.read_bytes(), (name, file)
        pairs = zip(weights(tmp_path / name), weights(runs_together / name), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_runs_that_stand_at_different_generations_catch_up(
    seeds_and_numbers: Made, runs_together: Path, tmp_path: Path
) -> None:
    """As a kill between two runs' ends leaves them: nothing is trained again."""
    names = [point.name for point in seeds_and_numbers.points]
    for name in names:
        shutil.copytree(runs_together / name, tmp_path / name)
    for name in names[1:]:
        (tmp_path / name / "generation_2.json").unlink()
    watcher = Silent()
    assert together(seeds_and_numbers, tmp_path, watcher=watcher) == {}
    assert watcher.steps == 0
    for name in names:
        one, other = (path / name / "generation_2.json" for path in (tmp_path, runs_together))
        assert one.read_bytes() == other.read_bytes()


def test_folds(tmp_path: Path) -> None:
    """The folds' pictures lie on the device once, and each run sees its own."""
    made = make(
        {"data.fold": (0, 1)},
        data__protocol="kfold",
        data__test_fraction=0.5,
        data__validation_fraction=0.0,
        chain__generations=1,
    )
    parts = [one.job.data.train.part for one in made.experiments]
    store, rows = shared_pictures(parts)
    assert len(store["images"]) == 48 == len(store["labels"])
    for part, row in zip(parts, rows, strict=True):
        np.testing.assert_array_equal(store["images"][row], part.images)
        np.testing.assert_array_equal(store["labels"][row], part.labels)
    together(made, tmp_path / "together")
    alone(made, tmp_path / "alone")
    for point in made.points:
        pair = [weights(tmp_path / way / point.name, 1) for way in ("together", "alone")]
        for a, b in zip(*pair, strict=True):
            np.testing.assert_allclose(a, b, **TOLERANCE)


def test_one_that_diverges_is_left_and_the_others_go_on(tmp_path: Path) -> None:
    made = make({"optimizer.learning_rate": (0.01, 1e30)}, chain__generations=1)
    names = [point.name for point in made.points]
    lost = together(made, tmp_path)
    assert list(lost) == [names[1]]
    assert "in generation 1 at step" in lost[names[1]]
    assert (tmp_path / names[0] / "generation_1.json").exists()
    assert not (tmp_path / names[1] / "generation_1.json").exists()
    alone(Made(made.points[:1], made.experiments[:1]), tmp_path / "alone")
    for a, b in zip(
        weights(tmp_path / names[0], 1), weights(tmp_path / "alone" / names[0], 1), strict=True
    ):
        np.testing.assert_allclose(a, b, **TOLERANCE)


def test_more_runs_than_memory_holds_are_refused(
    seeds_and_numbers: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = seeds_and_numbers.group()
    group.check_memory(whole)
    one, pictures = whole.bytes_of_one, group._bytes_of_pictures(whole)
    assert pictures == sum(x.nbytes for x in whole.replicas[0].job.data.train.store.values())
    monkeypatch.setattr(memory, "memory_of", lambda device: pictures + 2 * one)
    assert group.fitting(whole) == 2
    with pytest.raises(ValueError, match=r"replicas: 3 runs together .* may hold 2;") as caught:
        group.check_memory(whole)
    assert "\n" not in str(caught.value)
    group.check_memory(seeds_and_numbers.group(devices=2))  # two on one, one on the other


def test_the_estimate_is_that_of_the_compiled_function() -> None:
    def chain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        for _ in range(5):
            x = jax.numpy.sin(x) @ kernel
        return x

    x, kernel = (jax.ShapeDtypeStruct((100, 100), np.float32) for _ in range(2))
    # Both arguments, of which the result takes the first; and one or two products in between.
    assert 3 * 40_000 <= memory.compiled_bytes(chain, x, kernel) <= 4.1 * 40_000
    assert memory.memory_of(jax.devices()[0]) > 1e7


def test_a_trial_times_both_ways(seeds_and_numbers: Made) -> None:
    seconds = replicas.measure(seeds_and_numbers.group(), steps=2)
    assert 0 < seconds.together < 60
    assert 0 < seconds.one_by_one < 60


def test_runs_that_cannot_be_one_program_are_refused() -> None:
    made = make({"seed": (0, 1)})
    job = made.experiments[1].job
    feed = dataclasses.replace(job.data.train, store={})
    streamed = dataclasses.replace(job, data=dataclasses.replace(job.data, train=feed))
    made.experiments[1] = dataclasses.replace(made.experiments[1], job=streamed)
    with pytest.raises(ValueError, match=r"data\.feed='memory'"):
        made.group()
    longer = dataclasses.replace(job, epochs=3)
    made.experiments[1] = dataclasses.replace(made.experiments[1], job=longer)
    with pytest.raises(ValueError, match="seed=0 and seed=1 have other label values or numbers"):
        made.group()
