"""The one junction: a config becomes the objects of a run, all checked before a file is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from ldl_jax import encodings, methods, models
from ldl_jax.config import Config, ConfigError, DataConfig, to_dict
from ldl_jax.data import audit, datasets, pictures, prints, protocols, protocols_cross, synthetic
from ldl_jax.data.augment import Preprocessing
from ldl_jax.data.pipeline import Feed, Part, feed
from ldl_jax.data.records import DataError, Records
from ldl_jax.evaluation.report import baseline_mae
from ldl_jax.labels import LabelSpace
from ldl_jax.layout import Layout, layout
from ldl_jax.train import group, optimizers, transfer
from ldl_jax.train.generations import Job
from ldl_jax.train.loop import Schedule

Say = Callable[[str], None]
_GLANCE = 8  # pixels, of a picture that is only looked at for damage


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, ready to start.

    Attributes:
      job: what the chain of generations needs.
      description: what makes the run what it is, of JSON's types: kept in the workdir.
      baseline: test MAE of always answering the training labels' mean.
      protocol: what a number of this run may be called: the protocol's name, with what leaks.
    """

    job: Job
    description: dict[str, Any]
    baseline: float
    protocol: str

    @property
    def feeds(self) -> dict[str, Feed]:
        """The feeds of the parts that have pictures, by name."""
        parts = {"train": self.job.train, "validation": self.job.validation, "test": self.job.test}
        return {name: one for name, one in parts.items() if one is not None}


def build(
    config: Config, say: Say = print, devices: int | None = None, like: Experiment | None = None
) -> Experiment:
    """Reads and checks everything that the config names.

    Args:
      config: the run.
      say: takes lines on the data for the user.
      devices: use only the first so many.
      like: a run whose pictures are taken, if it is of the same data.

    Raises:
      ConfigError, DataError, ValueError: what is wrong, where, and what is expected.
    """
    placement = layout(devices)
    placement.check_batch("batch_size", config.batch_size)
    placement.check_batch("evaluation.batch_size", config.evaluation.batch_size)
    options = _network(config)
    model = models.build(**options)
    trunk = pretrained_trunk(config, model, say) if config.init.path else None
    preprocessing = _preprocessing(config.data, {} if trunk is None else trunk.inputs)
    records = read_records(config.data)
    parts = _parts(config.data, records)
    if config.chain.early_end and not len(parts.validation):
        raise ConfigError(
            "chain.early_end: looks at the validation error; hold some pictures out with "
            "data.validation_fraction"
        )
    space = label_space(config.data.space, records, parts)
    counts = encodings.label_counts(records.labels[parts.train].astype(np.float32), space)
    method = methods.get(
        config.method.name, space=space, counts=counts, **config.method.hyper_parameters
    )
    if config.method.name not in methods.METHODS:
        methods.check(method, model.width)
    for note in parts.notes:
        say(note)
    if like is not None and like.description["data"] == to_dict(config.data):
        protocol, feeds = like.protocol, like.feeds
    else:
        protocol = _audited(config.data, records, parts, say)
        feeds = _feeds(config.data, records, parts, space, placement, say)
    steps_per_epoch = len(feeds["train"].part) // config.batch_size
    if steps_per_epoch == 0:
        raise ConfigError(
            f"batch_size: {config.batch_size} is more than the {len(feeds['train'].part)} "
            "training pictures"
        )
    rate = optimizers.learning_rate(
        config.optimizer, steps_per_epoch, steps_per_epoch * config.epochs
    )
    resolved = to_dict(config)
    resolved["method"] = {"name": config.method.name, **method.hyper_parameters}
    about = {
        "model": options,
        "method": resolved["method"],
        "space": dataclasses.asdict(space),
        "preprocessing": dataclasses.asdict(preprocessing),
        "alignment": dataclasses.asdict(config.data.alignment),
        "flip": config.evaluation.flip,
    }
    job = Job(
        model=model,
        method=method,
        optimizer=_optimizer(config, model, rate),
        rate=rate,
        recipe=config.augment,
        preprocessing=preprocessing,
        layout=placement,
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
        ),
        chain=config.chain,
        flip=config.evaluation.flip,
        trunk=None if trunk is None else (trunk.params, trunk.model_state),
        about=about,
        frozen=config.init.freeze,
    )
    description = {
        **resolved,
        "resolved": {
            "space": dataclasses.asdict(space),
            "pictures": {name: len(one.part) for name, one in feeds.items()},
            "split": protocols.fingerprint(records, parts),
            "protocol": protocol,
        },
    }
    baseline = baseline_mae(job.train.part.labels, job.test.part.labels)
    return Experiment(job, description, baseline, protocol)


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


def read_records(config: DataConfig) -> Records:
    """The pictures and labels that the config names."""
    if config.name not in ("synthetic", *datasets.DATASETS):
        known = ", ".join(("synthetic", *datasets.DATASETS))
        raise ConfigError(f"data.name: expected one of {known}, got {config.name!r}")
    if config.name != "synthetic":
        records = datasets.read(config.name, config.root, csv=config.csv, **config.options)
        if not config.test.name:
            return records
        other = config.test
        return protocols_cross.combine(
            records, datasets.read(other.name, other.root, csv=other.csv)
        )
    if config.options or config.test.name:
        raise ConfigError("data.options, data.test: are of datasets that are read, not drawn")
    if config.root or config.csv:
        raise ConfigError(
            "data.root, data.csv: synthetic faces are drawn, not read; "
            f"name a dataset with data.name ({', '.join(datasets.DATASETS)})"
        )
    if config.crop != 1:
        raise ConfigError(f"data.crop: synthetic faces are drawn whole, got {config.crop}")
    return synthetic.faces(config.synthetic_count, size=_stored(config), seed=config.seed)


def _parts(config: DataConfig, records: Records) -> protocols.Parts:
    try:
        return protocols.split(
            records,
            config.protocol,
            config.seed,
            config.test_fraction,
            config.validation_fraction,
            config.fold,
        )
    except DataError:
        raise
    except ValueError as error:
        raise ConfigError(f"data.{error}") from None


def _audited(config: DataConfig, records: Records, parts: protocols.Parts, say: Say) -> str:
    """What a number of this split may be called; `say` takes the auditor's verdict."""
    if config.name == "synthetic":  # drawn one by one: faces that look alike are no copies
        return parts.protocol
    if not config.audit:
        say("data.audit is off: whether the parts share pictures is not known")
        return f"{parts.protocol}, not audited"
    found = audit.audit(records, parts, prints.take(records))
    say(str(found))
    return found.name


def label_space(text: str, records: Records, parts: protocols.Parts) -> LabelSpace:
    """The label space of the config's text, checked against the labels it has to hold."""
    used = np.concatenate([parts.train, parts.validation, parts.test])
    if text != "train":
        try:
            space = dataclasses.replace(LabelSpace.parse(text), unit=records.unit)
        except ValueError as error:
            raise ConfigError(f"data.space: {str(error).removeprefix('space: ')}") from None
        protocols.check_labels(records, space, used)
        return space
    finite = records.labels[np.isfinite(records.labels)]
    everything = LabelSpace.range(np.floor(finite.min()), np.ceil(finite.max()) + 1)
    protocols.check_labels(records, everything, used)
    labels = records.labels[parts.train]
    low, high = float(np.floor(labels.min())), float(np.ceil(labels.max()))
    if low == high:
        raise ConfigError(f"data.space: all training labels are {low:g}; give low:step:high")
    return LabelSpace.range(low, high, unit=records.unit)


def pretrained_trunk(config: Config, model: models.Model, say: Say) -> transfer.Trunk:
    """The network that init.path holds; `say` takes lines on what did not fit.

    Raises:
      ConfigError: there is none that can be read, it is another network, or does not fit.
    """
    key = jax.random.key(config.seed)
    try:
        trunk = transfer.read_trunk(config.init.path, model, key, strict=config.init.strict)
    except ValueError as error:
        text = str(error).removeprefix("path: ")  # which may list every array of a network
        text = text if len(text) < 600 else f"{text[:600]} ... and more"
        raise ConfigError(f"init.path: {text}") from error
    for note in trunk.notes:
        say(f"init.path: not taken: {note}")
    return trunk


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
    if (init.trunk_rate, init.layer_decay) != (1, 1):
        factors = transfer.learning_rate_factors(model, init.trunk_rate, init.layer_decay)
        return transfer.scaled(made, factors)
    return made


def _preprocessing(config: DataConfig, inputs: dict[str, Any]) -> Preprocessing:
    """As the config says, but for the inputs that a pre-trained network is used to."""
    own = {"channels": config.channels, "mean": config.mean, "std": config.std}
    return Preprocessing(_stored(config), config.size, crop=config.crop, **(own | inputs))


def _stored(config: DataConfig) -> int:
    return config.stored_size or config.size


def _feeds(
    config: DataConfig,
    records: Records,
    parts: protocols.Parts,
    space: LabelSpace,
    placement: Layout,
    say: Say,
) -> dict[str, Feed]:
    """The feeds of the parts that have pictures, by name."""
    rows = {"train": parts.train, "validation": parts.validation, "test": parts.test}
    rows = {name: chosen for name, chosen in rows.items() if len(chosen)}
    size = _stored(config)
    count = sum(len(chosen) for chosen in rows.values())
    needed = count * size * size * 3 / 1e9
    streams = config.feed == "stream" or (config.feed == "auto" and needed > config.memory_gb)
    where = "streamed from disk" if streams and records.images is None else "kept on the device"
    say(
        f"{records.name}: "
        + ", ".join(f"{len(chosen):,} {name}" for name, chosen in rows.items())
        + f" pictures, labels {space.low:g} to {space.high:g} {space.unit}, "
        + f"{needed:.2f} GB at {size}x{size}, {where}"
    )
    return {
        name: feed(
            _part(config, records, chosen, space, streams, say), placement.place, placement.split
        )
        for name, chosen in rows.items()
    }


def _part(
    config: DataConfig,
    records: Records,
    rows: np.ndarray,
    space: LabelSpace,
    streams: bool,
    say: Say,
) -> Part:
    images = None
    if records.images is not None:
        images = records.images[rows]
    elif not streams or config.unreadable == "skip":
        paths = [records.paths[row] for row in rows]
        # Streamed pictures are looked through once, so that the bad ones are known at the start.
        size = _GLANCE if streams else _stored(config)
        images, kept = pictures.decode(paths, size, config.unreadable, config.crop)
        if len(kept) < len(rows):
            say(f"skipped {len(rows) - len(kept)} unreadable pictures of {len(rows)}")
        rows = rows[kept]
        images = None if streams else images
    sigma = np.full(len(records), np.nan, np.float32) if records.sigma is None else records.sigma
    truth = None
    if records.truth is not None and np.array_equal(
        np.asarray(records.truth_values, np.float32), np.asarray(space.values, np.float32)
    ):
        truth = records.truth[rows]
    return Part(
        ids=tuple(records.ids[row] for row in rows),
        labels=records.labels[rows].astype(np.float32),
        sigma=sigma[rows].astype(np.float32),
        size=_stored(config),
        crop=config.crop,
        images=images,
        paths=tuple(records.paths[row] for row in rows) if records.paths else (),
        truth=truth,
    )
