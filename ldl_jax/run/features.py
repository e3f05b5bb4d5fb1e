"""Puts features in the place of pictures and their frozen network, as `init.features` asks."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ldl_jax import extras, models, processes
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.augment.looks import shares
from ldl_jax.data.augment.views import Views
from ldl_jax.data.feed.choice import SHARES, Memory, choose, least, measure
from ldl_jax.data.feed.feeds import Feed, Part, feed
from ldl_jax.features.cache import Cache
from ldl_jax.features.compute import (
    Extractor,
    Stop,
    digests_of,
    features_of,
    look_names,
)
from ldl_jax.heads import total
from ldl_jax.models.stored import stored
from ldl_jax.run import own_network
from ldl_jax.run.config import Config, ConfigError, to_dict
from ldl_jax.run.data import LogLine
from ldl_jax.run.resolved import Resolved
from ldl_jax.train import backbone
from ldl_jax.train.state import PyTree
from ldl_jax.train.transfer import Backbone

FOLDER = "features"  # in the workdir of a run, or of all runs of a plan or a sweep
_LEAST = 1e-6  # a feature that deviates less is not scaled


@dataclasses.dataclass(frozen=True)
class Extracted:
    """Holds all that a run on features takes in the place of pictures and their network.

    Attributes:
      feeds: of features, by part.
      model: `models.stored`, with its `weights`.
      weights: its parameters and its statistics.
      views: which features are stored of a training picture.
      files: the frozen network's, which goes into the run's folder.
      backbone: that network's fingerprint.
      key: what all of this depends on.
    """

    feeds: dict[str, Feed]
    model: models.Model
    weights: tuple[PyTree, PyTree]
    views: Views
    files: dict[str, bytes]
    backbone: str
    key: tuple[object, ...]


def extracted(
    resolved: Resolved,
    network: Backbone,
    preprocessing: Preprocessing,
    pictures: dict[str, Feed],
    folder: Path | None,
    log: LogLine,
    stop: Stop,
    like: Extracted | None = None,
) -> Extracted:
    """Returns the features of all parts, computed where they are not kept; or `like`, if the same.

    Args:
      resolved: the run.
      network: the frozen network.
      preprocessing: of its pictures.
      pictures: the feeds of the parts' pictures.
      folder: the workdir of the plan, for features without `init.features_cache`; None keeps none.
      log: takes lines for the user.
      stop: as of `features_of`.

    Raises:
      ConfigError: there are several processes.
      ValueError: the features cannot be kept, or are not finite.
    """
    extras.check("grain", "init.features: a frozen network's answers", "stream")
    config = resolved.config
    if processes.count() > 1:
        raise ConfigError("init.features: heads on features are trained in one process")
    weights = network.params, network.model_state
    hashed = backbone.fingerprint((*weights, None))
    key = _key(resolved, hashed, preprocessing)
    if like is not None and like.key == key:
        return like
    path = Path(config.init.features_cache) if config.init.features_cache else None
    path = path or (folder / FOLDER if folder is not None else None)
    extractor = Extractor(resolved.model, weights, preprocessing, config.augment)
    of = about(resolved.model.name, resolved.options, hashed, preprocessing)
    cache = Cache(path, of, total(resolved.model.width), log)
    parts = _parts(resolved, pictures, extractor, cache, log, stop)
    model = stored(resolved.model, standardised=config.model.standardise)
    statistics = {}
    if config.model.standardise:
        statistics = _statistics(parts["train"].features)
    return Extracted(
        feeds=_feeds(resolved, parts, log),
        model=model,
        weights=({}, statistics),
        views=Views(
            config.augment.flip,
            config.init.features_views,
            len(shares(config.evaluation.crops)),
        ),
        files={backbone.NAME: backbone.dumped(*weights)},
        backbone=hashed,
        key=key,
    )


def about(
    name: str, options: Mapping[str, object], weights: str, preprocessing: Preprocessing
) -> dict[str, object]:
    """Returns what kept features are of: a network, its code where it is an own one, its inputs."""
    return {
        "name": name.replace(":", "."),  # it is part of a folder's name
        "network": dict(options),
        "weights": weights,
        "preprocessing": shown(preprocessing),
        **own_network.source(name),
    }


def shown(preprocessing: Preprocessing) -> dict[str, object]:
    """Returns what is kept of a preprocessing; features of before `square` are those without it."""
    content = dataclasses.asdict(preprocessing)
    return content if preprocessing.square else {k: x for k, x in content.items() if k != "square"}


def _key(resolved: Resolved, weights: str, preprocessing: Preprocessing) -> tuple[object, ...]:
    """Returns what a run's features, their statistics and their feeds depend on."""
    config, init = resolved.config, resolved.config.init
    network = weights, resolved.options, preprocessing
    looked = config.evaluation.flip, config.evaluation.crops
    recipe = config.augment, *looked, init.features_views
    return (
        to_dict(config)["data"],
        *network,
        *recipe,
        init.features_cache,
        init.head,
        config.model,
    )


def _parts(
    resolved: Resolved,
    pictures: dict[str, Feed],
    extractor: Extractor,
    cache: Cache,
    log: LogLine,
    stop: Stop,
) -> dict[str, Part]:
    """Returns the parts with the features of their pictures."""
    row_of = {name: row for row, name in enumerate(resolved.records.ids)}
    parts = {}
    for name, pictured in pictures.items():
        part = pictured.part
        digests = digests_of(resolved.records, [row_of[key] for key in part.ids])
        views = _views(resolved.config, extractor, training=name == "train")
        way = (extractor, cache, resolved.placement, log, stop)
        parts[name] = dataclasses.replace(part, features=features_of(part, digests, views, *way))
    return parts


def about_pictures(log: LogLine) -> LogLine:
    """Returns a log that says of streamed pictures that they are, where their features lack."""
    asked = "streamed: as data.feed says"
    return lambda text: log(text.replace(asked, "read where their features are not known"))


def with_head(frozen: Extracted, head: PyTree | None) -> Extracted:
    """Returns the same with the statistics that a trained head is used to, where one is taken."""
    if head is None or not frozen.weights[1]:
        return frozen
    statistics = frozen.weights[1]
    still = {
        "mean": np.zeros_like(statistics["mean"]),
        "deviation": np.ones_like(statistics["deviation"]),
    }
    return dataclasses.replace(frozen, weights=({}, head.get("input", still)))


def _views(config: Config, extractor: Extractor, training: bool) -> list[str]:
    """Returns the views that are stored of each picture of a part."""
    mirrored = config.augment.flip > 0 if training else config.evaluation.flip
    views = look_names(mirrored, config.evaluation.crops)
    return views + extractor.augmented(config.init.features_views) if training else views


def _feeds(resolved: Resolved, parts: dict[str, Part], log: LogLine) -> dict[str, Feed]:
    """Returns feeds of features in device memory."""
    placement = resolved.placement
    needed = float(sum(np.asarray(part.features).nbytes for part in parts.values()))
    free = Memory(*measure(placement.replicated.mesh.devices.flatten().tolist()))
    choice = choose(needed, least([free]), "memory")
    log(f"features: {needed / 1e9:.2f} GB, {choice}")
    across = placement.by_batch if choice.where == SHARES else None
    way = (placement.place, placement.device_put, across, False, placement.shard)
    return {name: feed(part, *way) for name, part in parts.items()}


def _statistics(features: np.ndarray | None) -> dict[str, np.ndarray]:
    """Returns the mean and the deviation [D] over all views of the training pictures."""
    assert features is not None
    mean = features.mean(axis=(0, 1), dtype=np.float64)
    deviation = features.std(axis=(0, 1), dtype=np.float64)
    deviation = np.where(deviation > _LEAST, deviation, 1.0)
    return {"mean": mean.astype(np.float32), "deviation": deviation.astype(np.float32)}
