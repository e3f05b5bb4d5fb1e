"""A config in small: the same stages, methods and networks on a few drawn faces."""

import dataclasses
import math
from typing import Any

from ldl_jax.data.splits.protocols import FOLDED
from ldl_jax.run.config import Config, DataConfig, InitConfig
from ldl_jax.run.sections import RANDOM
from ldl_jax.run.sweep import FREE

_SIZE = 64  # pixels; no network takes much less
_BATCH = 16  # or the next number that the devices divide
_BATCHES = 4  # of pictures
_ALIKE = 2  # runs of a sweep that differ in seed or fold
# What is drawn for a label space; ages for all others.
_KINDS = {"adience": "age_groups", "scut_fbp": "attractiveness", "cfd": "attractiveness"}


def smoke(config: Config, devices: int = 1) -> Config:
    """The run in about a minute, to see that it goes from end to end; its numbers mean nothing.

    One epoch of 64 drawn faces of at most 64 pixels in batches of 16, at most two generations, two
    folds. Weights from elsewhere are left out. Networks, methods, recipes, optimizers and stages
    stay; of a sweep's seeds and folds the first two do. Batches are larger, and faces more, where
    `devices` times `accumulate` does not divide 16.
    """
    parts = devices * config.accumulate
    batch = parts * math.ceil(_BATCH / parts)
    init = config.init if config.init.stage else InitConfig()
    if config.init.features and not config.init.stage:  # of a network of random weights
        views = min(1, config.init.features_views)
        init = InitConfig(RANDOM, freeze=True, features=True, features_views=views)
    return dataclasses.replace(
        config,
        batch_size=batch,
        epochs=1,
        log_every=1,
        data=_data(config.data, _BATCHES * batch),
        init=init,
        chain=dataclasses.replace(config.chain, generations=min(2, config.chain.generations)),
        evaluation=dataclasses.replace(config.evaluation, batch_size=batch),
        stages={name: smoke(stage, devices) for name, stage in config.stages.items()},
        sweep=tuple({key: _few(key, value) for key, value in x.items()} for x in config.sweep),
    )


def _few(key: str, values: Any) -> Any:
    """Returns a sweep's values of a key, of seeds and folds two: more run the same programs."""
    alike = key in FREE and isinstance(values, (tuple, list))
    return values[:_ALIKE] if alike else values


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
