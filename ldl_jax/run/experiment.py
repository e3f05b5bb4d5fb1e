"""The one junction: a config becomes the objects of a run, all checked before a file is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from ldl_jax import encodings, methods, models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.feed.feeds import Feed
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import hashes_file, protocols, split_file
from ldl_jax.evaluation import evaluate
from ldl_jax.evaluation.report import baseline_mae
from ldl_jax.heads import Head
from ldl_jax.labels import LabelSpace
from ldl_jax.metrics import table
from ldl_jax.placement import Placement, make_placement
from ldl_jax.run import data
from ldl_jax.run.config import Config, ConfigError, DataConfig, to_dict
from ldl_jax.run.data import Read, Say, read_records
from ldl_jax.train import optimizers, transfer
from ldl_jax.train.generations import Job
from ldl_jax.train.loop import Schedule
from ldl_jax.train.record import Record
from ldl_jax.train.together import group

_STEPS_PER_CALL = 16  # of an accelerator: a call costs the host about what a short step takes


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, ready to start.

    Attributes:
      job: what the chain of generations needs.
      description: what makes the run what it is, of JSON's types: kept in the workdir.
      baseline: test MAE of always answering the training labels' mean.
      protocol: what a number of this run may be called: the protocol's name, with what leaks.
      files: what else is kept in the workdir, by name: the split, and the auditor's prints.
    """

    job: Job
    description: dict[str, Any]
    baseline: float
    protocol: str
    files: dict[str, bytes]

    @property
    def feeds(self) -> dict[str, Feed]:
        """The feeds of the parts that have pictures, by name."""
        parts = {"train": self.job.train, "validation": self.job.validation, "test": self.job.test}
        return {name: one for name, one in parts.items() if one is not None}


@dataclasses.dataclass(frozen=True)
class _Resolved:
    """What a config names, but for pictures and trained weights."""

    placement: Placement
    options: dict[str, Any]  # of the network
    model: models.Model
    records: Records
    parts: protocols.Parts
    space: LabelSpace
    method: methods.Method

    def description(self, config: Config) -> dict[str, Any]:
        """The config as it is kept in the workdir."""
        method = {"name": config.method.name, **self.method.hyper_parameters}
        return to_dict(config) | {"method": method}


def check(config: Config, devices: int | None = None, read: Read = read_records) -> dict[str, Any]:
    """Checks all that needs neither pictures nor trained weights.

    Args:
      config: the run.
      devices: use only the first so many.
      read: reads the dataset; an `experiment_data.Reader` reads it once for all of a plan.

    Returns:
      The config as it will be kept in the workdir.

    Raises:
      ConfigError, DataError, ValueError: what is wrong, where, and what is expected.
    """
    resolved = _resolve(config, devices, read)
    _steps_per_epoch(config, len(resolved.parts.train))
    return resolved.description(config)


def table_columns(config: Config, read: Read = read_records) -> tuple[str, ...]:
    """The keys of `report.summary` that the run's test will have.

    Raises:
      ConfigError, DataError, ValueError: as `check`.
    """
    resolved = _resolve(config, None, read)
    part = data.labelled(config.data, resolved.records, resolved.parts.test, resolved.space)
    return evaluate.metrics_of(
        part,
        resolved.method,
        resolved.model.width,
        distributions=config.evaluation.distributions,
    )


def fold_count(config: Config, read: Read = read_records) -> int:
    """How many runs the config's protocol has; 1 where it names one of them."""
    if config.data.fold >= 0 or config.data.protocol not in protocols.FOLDED:
        return 1
    try:
        return protocols.fold_count(
            read(config.data),
            config.data.protocol,
            config.data.test_fraction,
        )
    except DataError:
        raise
    except ValueError as error:
        raise ConfigError(f"data.{error}") from None


def build(
    config: Config,
    say: Say = print,
    devices: int | None = None,
    stages: Path | None = None,
    workdir: Path | None = None,
    like: Experiment | None = None,
    read: Read = read_records,
) -> Experiment:
    """Reads and checks everything that the config names.

    Args:
      config: the run.
      say: takes lines on the data for the user.
      devices: use only the first so many.
      stages: the folder of the runs that "stage:NAME" means.
      workdir: where an earlier start of the run may have left its `files`.
      like: a run whose pictures are taken, if it is of the same data.
      read: reads the dataset, as in `check`.

    Raises:
      ConfigError, DataError, ValueError: what is wrong, where, and what is expected.
    """
    resolved = _resolve(config, devices, read)
    placement, model, method = resolved.placement, resolved.model, resolved.method
    records, parts, space = resolved.records, resolved.parts, resolved.space
    backbone = None
    if config.init.path:
        head = method.head if config.init.head else None
        backbone = pretrained_backbone(config, model, say, stages, head)
    preprocessing = _preprocessing(config.data, {} if backbone is None else backbone.inputs)
    for note in parts.notes:
        say(note)
    if like is not None and like.description["data"] == to_dict(config.data):
        protocol, feeds, files = like.protocol, like.feeds, like.files
    else:
        files = {"split.json": split_file.dumped(records, parts)}
        taken = data.prints_of(config.data, records, workdir)
        if taken is not None and records.paths:
            files[hashes_file.NAME] = hashes_file.dumped(records, taken)
        protocol = data.audited(config.data, records, parts, taken, say)
        feeds = data.feeds_of(config.data, records, parts, space, placement, say)
    steps_per_epoch = _steps_per_epoch(config, len(feeds["train"].part))
    if config.best:
        _check_best(config, feeds, method, model.width)
    rate = optimizers.learning_rate(
        config.optimizer, steps_per_epoch, steps_per_epoch * config.epochs
    )
    description = resolved.description(config)
    about = Record(
        model=resolved.options,
        method=description["method"],
        space=space,
        preprocessing=preprocessing,
        alignment=data.alignment(config.data, records),
        flip=config.evaluation.flip,
    )
    job = Job(
        model=model,
        method=method,
        optimizer=_optimizer(config, model, rate),
        rate=rate,
        recipe=config.augment,
        preprocessing=preprocessing,
        placement=placement,
        train=feeds["train"],
        validation=feeds.get("validation"),
        test=feeds["test"],
        seed=config.seed,
        batch=config.batch_size,
        evaluation_batch=config.evaluation.batch_size,
        epochs=config.epochs,
        schedule=Schedule(
            config.log_every,
            max(1, round(config.checkpoint_every * steps_per_epoch)),
            max(1, round(config.evaluation.every * steps_per_epoch)),
            config.steps_per_call or _steps_per_call(feeds["train"]),
        ),
        chain=config.chain,
        flip=config.evaluation.flip,
        backbone=None if backbone is None else (backbone.params, backbone.model_state),
        head=None if backbone is None else backbone.head,
        about=about,
        frozen=config.init.freeze,
        distributions=config.evaluation.distributions,
        accumulate=config.accumulate,
        ema=config.optimizer.ema,
        faults=config.faults,
        keep=config.keep,
        best=config.best,
        use=config.use,
    )
    description["resolved"] = {
        "space": dataclasses.asdict(space),
        "pictures": {name: len(one.part) for name, one in feeds.items()},
        "split": protocols.fingerprint(records, parts),
        "protocol": protocol,
    }
    baseline = baseline_mae(job.train.part.labels, job.test.part.labels)
    return Experiment(job, description, baseline, protocol, files)


def _resolve(config: Config, devices: int | None, read: Read) -> _Resolved:
    placement = make_placement(devices, config.mesh.fsdp)
    placement.check_batch("batch_size", config.batch_size)
    placement.check_batch("batch_size / accumulate", config.batch_size // config.accumulate)
    placement.check_batch("evaluation.batch_size", config.evaluation.batch_size)
    options = _network(config)
    model = models.build(**options)
    records = read(config.data)
    parts = data.parts_of(config.data, records)
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
    return _Resolved(placement, options, model, records, parts, space, method)


def _steps_per_epoch(config: Config, pictures: int) -> int:
    steps = pictures // config.batch_size
    if steps == 0:
        raise ConfigError(
            f"batch_size: {config.batch_size} is more than the {pictures} training pictures"
        )
    return steps


def rebuild(config: Config, job: Job) -> Callable[..., tuple[methods.Method, Any]]:
    """`rebuild(numbers)`: a run's method and optimizer, with other numbers by dotted key.

    The numbers may be traced. Keys are "method.NAME" and "optimizer.NAME".
    """
    counts = encodings.label_counts(job.train.part.labels, job.method.space)
    order = job.order(1)

    def made(numbers: Mapping[str, Any]) -> tuple[methods.Method, Any]:
        split: dict[str, dict[str, Any]] = {"method": {}, "optimizer": {}}
        for key, value in numbers.items():
            section, _, name = key.partition(".")
            split[section][name] = value
        given = config.method.hyper_parameters | split["method"]
        method = methods.get(config.method.name, space=job.method.space, counts=counts, **given)
        changed = dataclasses.replace(config.optimizer, **split["optimizer"])
        rate = optimizers.learning_rate(changed, order.steps_per_epoch, len(order))
        return method, _optimizer(dataclasses.replace(config, optimizer=changed), job.model, rate)

    return made


def kind(config: Config, job: Job) -> tuple[Any, ...]:
    """What runs of one program must share, though their configs do not say it."""
    labels = job.train.part.labels
    counted = methods.takes_counts(config.method.name)
    counts = encodings.label_counts(labels, job.method.space).tolist() if counted else ()
    return group.kind(job), tuple(counts)


def pretrained_backbone(
    config: Config,
    model: models.Model,
    say: Say,
    stages: Path | None = None,
    head: Head | None = None,
) -> transfer.Backbone:
    """The network that init.path holds, with that head; `say` takes lines on what did not fit.

    Raises:
      ConfigError: there is none that can be read, it is another network, or does not fit.
    """
    path = config.init.path
    if config.init.stage:
        if stages is None:
            raise ConfigError(f"init.path: {path} is of a run with stages; give its workdir")
        path = str(stages / config.init.stage)
    key = jax.random.key(config.seed)
    try:
        backbone = transfer.read_backbone(path, model, key, strict=config.init.strict, head=head)
    except ValueError as error:
        text = str(error).removeprefix("path: ")  # which may list every array of a network
        text = text if len(text) < 600 else f"{text[:600]} ... and more"
        raise ConfigError(f"init.path: {text}") from error
    for note in backbone.notes:
        say(f"init.path: not taken: {note}")
    return backbone


def _check_best(config: Config, feeds: dict[str, Feed], method: methods.Method, width: Any) -> None:
    metric = config.best
    if "validation" not in feeds:
        raise ConfigError(
            f"best: {metric!r} is of the validation part; hold some pictures out with "
            "data.validation_fraction"
        )
    known = evaluate.metrics_of(
        feeds["validation"].part, method, width, distributions=config.evaluation.distributions
    )
    known = tuple(name for name in known if (entry := table.find(name)) and entry.better)
    if metric not in known:
        raise ConfigError(f"best: expected one of {', '.join(known)}, got {metric!r}")


def _steps_per_call(train: Feed) -> int:
    """Many where steps may be short and an item is a row of indices; see `jit_train_steps`."""
    return 1 if jax.default_backend() == "cpu" or not train.store else _STEPS_PER_CALL


def _network(config: Config) -> dict[str, Any]:
    """What `models.build` is called with: some networks are made for one size of pictures."""
    model = config.model
    options = {"name": model.name, "dtype": model.dtype, **model.options}
    if "size" in models.known_options(config.model.name):
        options["size"] = config.data.size
    return options


def _optimizer(
    config: Config, model: models.Model, rate: optax.Schedule
) -> optax.GradientTransformation:
    made = optimizers.optimizer(config.optimizer, rate)
    init = config.init
    if init.freeze:
        return transfer.head_only(made)
    if (init.backbone_rate, init.layer_decay) != (1, 1):
        factors = transfer.learning_rate_factors(model, init.backbone_rate, init.layer_decay)
        return transfer.scaled(made, factors)
    return made


def _preprocessing(config: DataConfig, inputs: dict[str, Any]) -> Preprocessing:
    """As the config says, but for the inputs that a pre-trained network is used to."""
    own = {"channels": config.channels, "mean": config.mean, "std": config.std}
    return Preprocessing(data.stored_size(config), config.size, crop=config.crop, **(own | inputs))
