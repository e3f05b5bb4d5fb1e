"""A config in small: the same stages, methods and networks on a few drawn faces."""

import contextlib
import dataclasses
import math
import tempfile
from collections.abc import Iterator
from typing import Any

import jax

from ldl_jax.data.splits.protocols import FOLDED
from ldl_jax.run import sweep
from ldl_jax.run.compile_cache import compile_cache
from ldl_jax.run.config import Config, DataConfig
from ldl_jax.run.init_section import RANDOM, InitConfig

_SIZE = 64  # pixels; no network takes much less
_BATCH = 8  # or the next number that the devices divide
_BATCHES = 3  # of pictures; half of them, a fold's, are one batch still
_RATE = 1e-3  # of learning; a stage and the run that goes on from it are then one program
# Keys that are a smoke run's own, which its sweep or its search leaves as they are; with all below.
_OWN = (
    *("batch_size", "epochs", "log_every", "evaluation.batch_size", "data.name", "data.root"),
    *("data.csv", "data.columns", "data.options", "data.test", "data.synthetic_count", "data.size"),
    *("data.stored_size", "data.crop", "data.square", "data.test_fraction", "data.leaks"),
)
# What is drawn for a label space; ages for all others.
_KINDS = {"adience": "age_groups", "scut_fbp": "attractiveness", "cfd": "attractiveness"}


def smoke(config: Config, devices: int = 1) -> Config:
    """The run in less than a minute, to see that it goes from end to end; its numbers mean nothing.

    One epoch of 24 drawn faces of at most 64 pixels in batches of 8, at most two generations, two
    folds; one learning rate. Weights from elsewhere are left out. Networks, methods, recipes,
    optimizers and stages stay; of a sweep's runs, those that `_few` returns, of a search two, and
    of neither the keys that are set here. One run has its figures drawn. Batches are larger, and
    faces more, where `devices` times `accumulate` does not divide 8.
    """
    parts = devices * config.accumulate
    batch = parts * math.ceil(_BATCH / parts)
    init = config.init if config.init.stage else InitConfig()
    if config.init.features and not config.init.stage:  # of a network of random weights
        views = min(1, config.init.features_views)
        init = InitConfig(RANDOM, freeze=True, features=True, features_views=views)
    small = dataclasses.replace(
        config,
        batch_size=batch,
        epochs=1,
        log_every=1,
        optimizer=dataclasses.replace(config.optimizer, learning_rate=_RATE),
        data=_data(config.data, _BATCHES * batch),
        init=init,
        chain=dataclasses.replace(config.chain, generations=min(2, config.chain.generations)),
        evaluation=dataclasses.replace(config.evaluation, batch_size=batch),
        stages={name: smoke(stage, devices) for name, stage in config.stages.items()},
    )
    grids: list[dict[str, Any]] = []
    for grid in map(_left, config.sweep):
        grids += [grid] if grid and grid not in grids else []
    small = dataclasses.replace(small, sweep=tuple(grids))
    search = dataclasses.replace(
        config.search,
        trials=min(2, config.search.trials),
        ranges=_left(config.search.ranges),
    )
    return dataclasses.replace(small, sweep=tuple(_few(small)), search=search)


def _left(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values by key without those of a smoke run's own keys."""
    return {
        key: value
        for key, value in values.items()
        if not any(f"{key}.".startswith(f"{own}.") for own in _OWN)
    }


@contextlib.contextmanager
def quickly_compiled(cache: str = "") -> Iterator[None]:
    """While it is entered, a smoke run's programs are compiled as quickly as they can be.

    Most of such a run's time is XLA's. For CPUs it leaves out what makes programs fast, which takes
    longer than a few steps can win; a program that is there already, as the same network's in
    another stage or method, is taken from a folder that lasts as long as the run.

    Args:
      cache: a folder that is to keep the programs, as `compile_cache` has it; "" for none.
    """
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    with contextlib.ExitStack() as opened:
        folder = cache or opened.enter_context(tempfile.TemporaryDirectory())
        opened.enter_context(compile_cache(folder))
        opened.callback(jax.config.update, name, before)
        jax.config.update(name, jax.default_backend() == "cpu")
        yield


def _few(config: Config) -> list[dict[str, Any]]:
    """Returns a grid for each run of a sweep that stays.

    Runs that differ in seed, fold and numbers alone are the same code: one of them stays. Of those
    that differ in their label space alone the first and the last stay. Of the first group of runs
    two stay, so that there is a spread; where it is the only group also its last run, so that there
    is a difference. A method has a second generation with the first of its networks alone.
    """
    if not config.sweep:
        return []
    kept: dict[str, list[tuple[sweep.Point, ...]]] = {}
    for group in sweep.groups(sweep.points(config)):
        same = kept.setdefault(sweep.program(group[0].config, ("data.space",)), [])
        same[1:] = [group]  # behind the first, in the place of what was the last
    groups = [group for same in kept.values() for group in same]
    runs = [group[0] for group in groups]
    points = groups[0]
    others = sweep.program(points[-1].config) != sweep.program(points[0].config)
    last = points[-1:] if others and len(groups) == 1 and len(points) > 2 else ()
    runs[1:1] = [*points[1:2], *last]
    grids: list[dict[str, Any]] = []
    networks: dict[str, str] = {}  # of each method, its first
    for point in runs:
        grids.append({key: (value,) for key, value in point.values.items()})
        first = networks.setdefault(point.config.method.name, point.config.model.name)
        if first != point.config.model.name and point.config.chain.generations > 1:
            grids[-1]["chain.generations"] = (1,)
    return grids


def _data(config: DataConfig, pictures: int) -> DataConfig:
    size = min(config.size, _SIZE)
    drawn, kind = DataConfig(), _KINDS.get(config.space)
    return dataclasses.replace(
        config,
        name="synthetic",
        synthetic_count=pictures,
        root="",
        csv="",
        options={} if kind is None else {"kind": kind},
        test=drawn.test,
        space=config.space if kind or config.space == "age" else "train",
        size=size,
        stored_size=0,
        crop=1.0,
        square=False,
        protocol="subject_kfold" if config.protocol in FOLDED else "official",
        test_fraction=0.5 if config.protocol in FOLDED else drawn.test_fraction,
        fold=min(config.fold, 1),
        leaks=drawn.leaks,
        feed="auto",
    )
