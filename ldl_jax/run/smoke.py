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
_BATCHES = 4  # of pictures
# What is drawn for a label space; ages for all others.
_KINDS = {"adience": "age_groups", "scut_fbp": "attractiveness", "cfd": "attractiveness"}


def smoke(config: Config, devices: int = 1) -> Config:
    """The run in less than a minute, to see that it goes from end to end; its numbers mean nothing.

    One epoch of 32 drawn faces of at most 64 pixels in batches of 8, at most two generations, two
    folds. Weights from elsewhere are left out. Networks, methods, recipes, optimizers and stages
    stay; of a sweep's runs, those that `_few` returns. Batches are larger, and faces more, where
    `devices` times `accumulate` does not divide 8.
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
        data=_data(config.data, _BATCHES * batch),
        init=init,
        chain=dataclasses.replace(config.chain, generations=min(2, config.chain.generations)),
        evaluation=dataclasses.replace(config.evaluation, batch_size=batch),
        stages={name: smoke(stage, devices) for name, stage in config.stages.items()},
    )
    return dataclasses.replace(small, sweep=tuple(_few(small)))


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
    """Returns a grid for each run of a sweep that stays: one of each network, method and space.

    Those that differ in seed, fold and numbers alone run the same code. Of the first such group two
    stay, so that there is a spread, and the last one where its numbers are others, so that there is
    a difference.
    """
    groups = sweep.groups(sweep.points(config))
    runs = [group[0] for group in groups]
    for first in groups[:1]:
        others = sweep.program(first[-1].config) != sweep.program(first[0].config)
        runs[1:1] = [*first[1:2], *(first[-1:] if others and len(first) > 2 else ())]
    return [{key: (value,) for key, value in point.values.items()} for point in runs]


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
        protocol="subject_kfold" if config.protocol in FOLDED else "official",
        test_fraction=0.5 if config.protocol in FOLDED else drawn.test_fraction,
        fold=min(config.fold, 1),
        leaks=drawn.leaks,
        feed="auto",
    )
