"""Runs trained together: each as the run alone, whatever they differ in and wherever they die."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from ldl_jax import config as schema
from ldl_jax import experiment, sweep
from ldl_jax.evaluation import predictions
from ldl_jax.train import generations, replicas
from ldl_jax.train.checkpoint import read_weights
from ldl_jax.train.group import Group, Replica
from ldl_jax.train.interrupt import Interrupt
from ldl_jax.workdir import Workdir

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

    def log(self, loss: float, speed: float) -> None:
        assert speed > 0

    def evaluation(self, done: int, count: int) -> None:
        pass

    def say(self, text: str) -> None:
        self.lines.append(text)


@dataclasses.dataclass
class Made:
    """A group of runs, and what each is alone."""

    points: Sequence[sweep.Point]
    experiments: list[experiment.Experiment]

    def group(self, devices: int = 1) -> Group:
        numbers = sweep.numbers(self.points)
        return Group(
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


def weights(folder: Path, generation: int = 2) -> list[np.ndarray]:
    _, found = read_weights(folder / "checkpoints" / f"generation_{generation}")
    return jax.tree.leaves(found)


def assert_close(one: Path, other: Path) -> None:
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, **TOLERANCE)
    rows = [generations.report.summary(read(path)) for path in (one, other)]
    assert rows[0].keys() == rows[1].keys()
    np.testing.assert_allclose(read(one).values, read(other).values, rtol=1e-4)


def read(folder: Path) -> predictions.Predictions:
    return predictions.read(folder / "predictions" / "generation_2.csv")


@pytest.fixture(scope="module")
def seeds_and_numbers() -> Made:
    return make(
        {
            "seed": (0, 1),
            "method.lam": (0.5, 4.0),
            "method.temperature": 3.0,
            "optimizer.learning_rate": (0.01,),
        },
        {"seed": 5, "method.alpha": 0.1, "optimizer.learning_rate": 0.03},
    )


@pytest.fixture(scope="module")
def runs_alone(seeds_and_numbers: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alone")
    alone(seeds_and_numbers, path)
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
    assert len(names) == 5
    for name in names:
        assert_close(runs_together / name, runs_alone / name)
        one, other = (path / name for path in (runs_together, runs_alone))
        assert (one / "config.json").read_bytes() == (other / "config.json").read_bytes()
        files = [sorted(str(p.relative_to(x)) for p in x.glob("[!e]*/**/*")) for x in (one, other)]
        assert files[0] == files[1]  # but for the events' files, named by time
        rows = [Workdir(x, schema_of(x)).rows() for x in (one, other)]
        assert [row.keys() for row in rows[0]] == [row.keys() for row in rows[1]]
        for key in ("loss", "learning_rate", "mae"):
            a, b = ([row.get(key, 0.0) for row in run] for run in rows)
            np.testing.assert_allclose(a, b, rtol=1e-4)


def schema_of(folder: Path) -> Any:
    from ldl_jax.workdir import read_json

    return read_json(folder / "config.json")
