"""Takes the features that a run on features has kept, so that its pictures are not computed again.

A run of `init.features` leaves the features of its test and validation pictures in a folder, by the
SHA-256 of each picture's file, of the network and of its preprocessing. A model of such a run
answers for them by its head alone, with the numbers that the run itself had.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ldl_jax.data.augment.views import Views
from ldl_jax.data.feed.feeds import Feed, feed
from ldl_jax.data.records import Records
from ldl_jax.features.cache import Cache
from ldl_jax.features.compute import digests_of, look_names
from ldl_jax.files import from_home
from ldl_jax.heads import total
from ldl_jax.models.stored import stored
from ldl_jax.placement import Placement
from ldl_jax.predict import recorded
from ldl_jax.run import features, feeding, seen
from ldl_jax.run.candidates import Candidate
from ldl_jax.run.config import Config, completed
from ldl_jax.run.data import LogLine
from ldl_jax.run.features import FOLDER
from ldl_jax.train.predict_step import PredictStep
from ldl_jax.train.stored import read_step
from ldl_jax.train.weights import Weights
from ldl_jax.workdir import read_json

_UP = 3  # folders above a run's that the folder of several runs may be


class KeptAnswering(NamedTuple):
    """Holds what answers from features: in the place of pictures, and of the whole network."""

    feed: Feed
    predict: PredictStep
    weights: Weights
    inputs: Views


def answering(
    candidate: Candidate,
    config: Config,
    records: Records,
    rows: np.ndarray,
    placement: Placement,
    log: LogLine,
) -> KeptAnswering | None:
    """Returns what answers for some rows from kept features; None where one of them is not kept.

    Args:
      candidate: the model; of a run on pictures, or of a file, there are no features.
      config: its data section names the pictures.
      records: the pictures.
      rows: of those that are asked for.
      placement: of the devices.
      log: takes a line where features are taken.
    """
    predictor, workdir = candidate.predictor, seen.workdir_of(candidate.checkpoint)
    if predictor.folder is None or workdir is None:
        return None
    try:
        init = completed(read_json(workdir / "config.json"))["init"]
        network = read_step(predictor.folder)[0].backbone if init["features"] else ""
    except (ValueError, OSError, KeyError, TypeError, AttributeError):
        return None  # such a run's pictures are answered for by the whole network
    if not network:
        return None
    about, (model, method, weights) = predictor.about, predictor.parts
    name = str(about.model["name"])
    of = features.about(name, about.model, network, about.preprocessing)
    views = look_names(about.flip, about.crops)
    for folder in _folders(str(init["features_cache"]), workdir):
        cache = Cache.existing(folder, of, total(model.width), log)
        if cache is None:
            continue
        kept, known = cache.read(digests_of(records, rows.tolist()), views)
        if known.all():
            break
    else:
        return None
    part = feeding.labelled(candidate.as_trained(config.data), records, rows, predictor.space)
    way = (placement.place, placement.device_put, None, False, placement.shard)
    log(f"the features of all {len(rows):,} pictures are kept in {folder}: {name} is not run")
    return KeptAnswering(
        feed(dataclasses.replace(part, features=kept), *way),
        recorded.predict_step(about, stored(model), method),
        Weights({"backbone": {}, "head": weights.params["head"]}, {}),
        Views(),
    )


def _folders(cache: str, workdir: Path) -> list[Path]:
    """Returns the folders of features that a run may have left."""
    if cache:
        return [Path(from_home(cache))]
    return [folder / FOLDER for folder in (workdir, *list(workdir.parents)[:_UP])]
