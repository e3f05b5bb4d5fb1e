"""The objects that a config names, but for pictures and trained weights; made and checked first."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ldl_jax import encodings, factories, methods, models
from ldl_jax.data.augment import own_change
from ldl_jax.data.records import Records
from ldl_jax.data.splits import protocols
from ldl_jax.evaluation import evaluate
from ldl_jax.labels import LabelSpace
from ldl_jax.placement import Placement, make_placement
from ldl_jax.run import data, feeding, own_network, votes
from ldl_jax.run.config import Config, ConfigError, to_dict
from ldl_jax.run.data import Read, read_records
from ldl_jax.train import optimizers, transfer
from ldl_jax.train.state import init_weights


@dataclasses.dataclass(frozen=True)
class Resolved:
    """The objects that a config names; `options` are the arguments of `models.build`.

    `notes` are lines for the user on keys that say nothing.
    """

    config: Config
    placement: Placement
    options: dict[str, Any]
    model: models.Model
    records: Records
    parts: protocols.Parts
    space: LabelSpace
    method: methods.Method
    notes: tuple[str, ...] = ()

    @property
    def description(self) -> dict[str, Any]:
        """The config as it is kept in the workdir."""
        method = {"name": self.config.method.name, **self.method.hyper_parameters}
        content = to_dict(self.config)
        if factories.is_own(self.config.model.name):  # as its factory's defaults may change
            content["model"] |= {k: x for k, x in self.options.items() if k != "size"}
        return content | {"method": method}

    @functools.cached_property
    def data(self) -> dict[str, Any]:
        """The data itself, wherever it lies: the label space, and the hash of labels and parts."""
        known: dict[str, Any] = {
            "space": dataclasses.asdict(self.space),
            "split": protocols.fingerprint(self.records, self.parts),
        }
        if votes.NEEDED in self.method.needs:
            known["votes"] = votes.fingerprint(self.records, self.parts.train)
        return known

    def metrics_of(self, rows: np.ndarray) -> tuple[str, ...]:
        """Returns the keys of `report.summary` that an evaluation of these pictures will have."""
        part = feeding.labelled(self.config.data, self.records, rows, self.space)
        keep = self.config.evaluation.distributions
        return evaluate.metrics_of(part, self.method, self.model.width, distributions=keep)


def resolve(
    config: Config,
    devices: int | None = None,
    read: Read = read_records,
    like: Resolved | None = None,
    workdir: Path | None = None,
) -> Resolved:
    """Makes and checks all that needs neither pictures nor trained weights.

    It uses the first `devices`, or all. A `data.Reader` reads a dataset once for all of a plan.
    The parts of `like` are taken, if it is of the same data. An earlier start may have left the
    pictures' hashes in `workdir`.

    Raises:
      ConfigError, DataError, ValueError: what is wrong, where, and what is expected.
    """
    placement = _placement(config, devices)
    options, model = own_network.network(config)
    if config.init.frozen_blocks:
        _check_blocks(config, model)
    records = read(config.data)
    if like is not None and like.config.data == config.data:
        parts = like.parts
    else:
        parts = data.parts_of(config.data, records, workdir)
    if config.chain.early_end and not len(parts.validation):
        raise ConfigError(
            "chain.early_end: looks at the validation error; hold some pictures out with "
            "data.validation_fraction"
        )
    space = data.label_space(config.data.space, records, parts)
    counts = encodings.label_counts(records.labels[parts.train].astype(np.float32), space)
    method = methods.get(
        config.method.name, space=space, counts=counts, **config.method.hyper_parameters
    )
    if config.method.name not in methods.METHODS:
        methods.check(method, model.width)
    if not config.augment.mixup.still and space.unit == "identity":
        raise ConfigError("augment.mixup: mixes labels that are near, and identities are not")
    if votes.NEEDED in method.needs:
        votes.check(records, parts.train, space)
    method = deepened(method, config)
    steps = steps_per_epoch(config, len(parts.train))
    if config.augment.name:
        name, options = config.augment.name, config.augment.options
        _check_change(_Change(name, config.data.size, json.dumps(options), options))
    notes = _check_optimizer(config, steps, model, method)
    return Resolved(config, placement, options, model, records, parts, space, method, notes)


def _check_blocks(config: Config, model: models.Model) -> None:
    count, most = config.init.frozen_blocks, len(transfer.blocks(model))
    if count > most:
        raise ConfigError(
            f"init.frozen_blocks: expected at most {most}, the blocks of {config.model.name}, "
            f"got {count}"
        )


@dataclasses.dataclass(frozen=True)
class _Change:
    """A change of pictures of one's own; its options are compared as JSON has them."""

    name: str
    size: int
    text: str
    options: dict[str, Any] = dataclasses.field(compare=False)


@functools.cache
def _check_change(change: _Change) -> None:
    """Checks a change once for all runs of a plan, since that compiles it."""
    own_change.check(change.name, change.options, change.size)


def _check_optimizer(
    config: Config, steps: int, model: models.Model, method: methods.Method
) -> tuple[str, ...]:
    """Checks an optimizer and a schedule of one's own; returns lines on keys they do not take."""
    if not config.optimizer.is_own:
        return ()
    key = jax.random.key(0)
    params = jax.eval_shape(functools.partial(init_weights, model, method), key).params
    if config.init.freeze:
        params = {"head": params["head"]}
    return tuple(optimizers.check(config.optimizer, steps, steps * config.epochs, params))


def deepened(method: methods.Method, config: Config) -> methods.Method:
    """Returns the method with the hidden layers that a config gives its head."""
    return method.deepened(config.model.hidden, config.model.hidden_dropout)


def fold_count(config: Config, read: Read = read_records) -> int:
    """Returns the number of runs that the config's protocol has; 1 where it names one of them."""
    if config.data.fold >= 0 or config.data.protocol not in protocols.FOLDED:
        return 1
    with data.keys_below("data."):
        section = config.data
        return protocols.fold_count(read(section), section.protocol, section.test_fraction)


def steps_per_epoch(config: Config, pictures: int) -> int:
    """Returns the steps of an epoch over so many training pictures.

    Raises:
      ConfigError: they do not make up one batch.
    """
    steps = pictures // config.batch_size
    if steps == 0:
        raise ConfigError(
            f"batch_size: {config.batch_size} is more than the {pictures} training pictures"
        )
    return steps


def _placement(config: Config, devices: int | None) -> Placement:
    """Returns where arrays lie, checked against all sizes of batches."""
    placement = make_placement(devices, config.mesh.fsdp)
    placement.check_batch("batch_size", config.batch_size)
    placement.check_batch("batch_size / accumulate", config.batch_size // config.accumulate)
    placement.check_batch("evaluation.batch_size", config.evaluation.batch_size)
    return placement
