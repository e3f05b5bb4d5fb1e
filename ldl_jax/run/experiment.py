"""The one junction: a config becomes the objects of a run, all checked before a file is written."""

import dataclasses
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import jax
import optax

from ldl_jax import encodings, factories, methods, models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.augment.views import Views
from ldl_jax.data.feed.feeds import Feed
from ldl_jax.data.splits import hashes_file, split_file
from ldl_jax.evaluation.report import baseline_mae
from ldl_jax.features.compute import Stop
from ldl_jax.methods import deep
from ldl_jax.metrics import table
from ldl_jax.run import data, features, feeding, network, teachers
from ldl_jax.run.config import Config, ConfigError, to_dict
from ldl_jax.run.data import LogLine, Read, read_records
from ldl_jax.run.resolved import Resolved, deepened, resolve, steps_per_epoch
from ldl_jax.train import optimizers, transfer
from ldl_jax.train.backbone import fingerprint
from ldl_jax.train.job import Feeds, Init, Job, Optimizer, Schedule
from ldl_jax.train.record import Record
from ldl_jax.train.together import group

_STEPS_PER_CALL = 16  # of an accelerator: a call costs the host about what a short step takes


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A run, ready to start, with what is kept in its workdir: the description, and `files`.

    `baseline` is the test MAE of always answering the training labels' mean, `protocol` the name
    that a number of this run may go by: the protocol's, with what leaks. `pictures` are the feeds
    of the parts' pictures: the job's own, but where it takes features in their place, `frozen`.
    `network` is what `init.path` holds.
    """

    job: Job
    description: dict[str, Any]
    baseline: float
    protocol: str
    files: dict[str, bytes]
    pictures: dict[str, Feed]
    network: transfer.Backbone | None = None
    frozen: features.Extracted | None = None

    @property
    def feeds(self) -> dict[str, Feed]:
        """The feeds of the parts that have pictures, by name."""
        data = self.job.data
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        return {name: feed for name, feed in parts.items() if feed is not None}


def build(
    config: Config,
    log: LogLine = print,
    devices: int | None = None,
    stages: Path | None = None,
    workdir: Path | None = None,
    like: Experiment | None = None,
    read: Read = read_records,
) -> Experiment:
    """Resolves a config, and makes its experiment: see `resolve` and `make`."""
    return make(resolve(config, devices, read, workdir=workdir), log, stages, workdir, like)


def make(
    resolved: Resolved,
    log: LogLine = print,
    stages: Path | None = None,
    workdir: Path | None = None,
    like: Experiment | None = None,
    stop: Stop = lambda: None,
) -> Experiment:
    """Reads and checks the pictures and trained weights of what was resolved.

    `log` takes lines on the data for the user. "stage:NAME" is a run in the folder `stages`. An
    earlier start may have left its `files` in `workdir`. The pictures of `like` are taken, if it
    is of the same data. `stop` is called while features are computed, and may raise.

    Raises:
      ConfigError, DataError, ValueError: what is wrong, where, and what is expected.
    """
    config = resolved.config
    backbone = _backbone(resolved, log, stages, like)
    # A pre-trained network takes the inputs that it is used to.
    stated = {key: getattr(config.data, key) for key in ("channels", "mean", "std")}
    inputs = stated if backbone is None else stated | backbone.inputs
    section = config.data
    shown = {"crop": section.crop, "square": section.square, **inputs}
    preprocessing = Preprocessing(data.stored_size(section), section.size, **shown)
    for note in (*resolved.notes, *resolved.parts.notes):
        log(note)
    if config.best:
        _check_best(resolved)
    if like is not None and like.description["data"] == to_dict(config.data):
        protocol, pictures, files = like.protocol, like.pictures, like.files
    else:
        protocol, pictures, files = _pictures(resolved, log, workdir)
    feeds, frozen = pictures, None
    if config.init.features:
        assert backbone is not None
        folder = stages.parent if stages is not None else workdir
        way = (pictures, folder, log, stop, None if like is None else like.frozen)
        frozen = features.extracted(resolved, backbone, preprocessing, *way)
        frozen = features.with_head(frozen, backbone.head)
        feeds, files = frozen.feeds, files | frozen.files
    job = _job(resolved, feeds, preprocessing, backbone, frozen)
    counts = {name: len(feed.part) for name, feed in feeds.items()}
    known = resolved.data | {"pictures": counts, "protocol": protocol}
    if backbone is not None:
        known["weights"] = fingerprint((backbone.params, backbone.model_state, backbone.head))
    if job.init.ensemble is not None:
        known["teachers"] = fingerprint(job.init.ensemble.weights)
    description = resolved.description | {"resolved": known}
    baseline = baseline_mae(feeds["train"].part.labels, feeds["test"].part.labels)
    return Experiment(job, description, baseline, protocol, files, pictures, backbone, frozen)


def _backbone(
    resolved: Resolved, log: LogLine, stages: Path | None, like: Experiment | None
) -> transfer.Backbone | None:
    """Returns the trained weights that `init.path` names, read once where `like` has the same."""
    config = resolved.config
    if not config.init.path:
        return None
    if like is not None and like.network is not None and network.same(like.description, resolved):
        return like.network
    head = resolved.method.head if config.init.head else None
    return network.pretrained_backbone(config, resolved.model, log, stages, head)


def _pictures(
    resolved: Resolved, log: LogLine, workdir: Path | None
) -> tuple[str, dict[str, Feed], dict[str, bytes]]:
    """Returns the audited protocol's name, the feeds, and the files that are kept."""
    config, records, parts = resolved.config.data, resolved.records, resolved.parts
    if resolved.config.init.features:  # pictures are looked at once, and are not kept
        config, log = dataclasses.replace(config, feed="stream"), features.about_pictures(log)
    files = {"split.json": split_file.dumped(records, parts)}
    protocol, hashes = data.audited(config, records, parts, workdir, log)
    if hashes is not None and records.paths:
        files[hashes_file.NAME] = hashes_file.dumped(records, hashes)
    feeds = feeding.feeds_of(config, records, parts, resolved.space, resolved.placement, log)
    return protocol, feeds, files


def _job(
    resolved: Resolved,
    feeds: dict[str, Feed],
    preprocessing: Preprocessing,
    backbone: transfer.Backbone | None,
    frozen: features.Extracted | None,
) -> Job:
    """Returns the chain's job, section by section."""
    config, model = resolved.config, resolved.model
    steps = steps_per_epoch(config, len(feeds["train"].part))
    rate = optimizers.learning_rate(config.optimizer, steps, steps * config.epochs)
    trust = [name.partition(":")[0] for name in (config.model.name, config.method.name)]
    ensemble = teachers.read(
        config.init.teachers, resolved.space, preprocessing, resolved.placement, trust
    )
    still = transfer.first_names(model, config.init.frozen_blocks)
    init = Init(freeze=config.init.freeze, still=still, ensemble=ensemble)
    if backbone is not None:
        trees = (backbone.params, backbone.model_state)
        init = dataclasses.replace(init, backbone=trees, head=backbone.head)
    inputs: Preprocessing | Views = preprocessing
    if frozen is not None:
        assert backbone is not None
        model, inputs = frozen.model, frozen.views
        head = deep.without_input(backbone.head)
        init = dataclasses.replace(init, backbone=frozen.weights, head=head, freeze=False)
    schedule = Schedule(
        config.log_every,
        max(1, round(config.checkpoint_every * steps)),
        max(1, round(config.evaluation.every * steps)),
        config.steps_per_call or _steps_per_call(feeds["train"]),
    )
    return Job(
        seed=config.seed,
        batch_size=config.batch_size,
        epochs=config.epochs,
        augment=config.augment,
        chain=config.chain,
        evaluation=config.evaluation,
        faults=config.faults,
        accumulate=config.accumulate,
        keep=config.keep,
        data=Feeds(feeds["train"], feeds.get("validation"), feeds["test"], inputs),
        model=model,
        method=resolved.method,
        optimizer=Optimizer(
            *(_transform(config, model, rate), rate, config.optimizer.ema, _by_name(config)),
            by_array=factories.is_own(config.optimizer.name),
        ),
        init=init,
        schedule=schedule,
        placement=resolved.placement,
        about=_record(resolved, preprocessing, "" if frozen is None else frozen.backbone),
        best=config.best,
        use=config.use,
        precision=config.precision,
        exchange=config.mesh.exchange,
    )


def _record(resolved: Resolved, preprocessing: Preprocessing, backbone: str) -> Record:
    """Returns what the checkpoints say of themselves."""
    config = resolved.config
    return Record(
        model=resolved.options,
        method=resolved.description["method"],
        space=resolved.space,
        preprocessing=preprocessing,
        alignment=data.alignment(config.data, resolved.records),
        flip=config.evaluation.flip,
        crops=config.evaluation.crops,
        hidden=config.model.hidden,
        standardised=config.model.standardise,
        backbone=backbone,
    )


def _steps_per_call(train: Feed) -> int:
    """Returns many where steps may be short and an item is a row of indices."""
    return 1 if jax.default_backend() == "cpu" or not train.store else _STEPS_PER_CALL


def rebuild(config: Config, job: Job) -> group.Rebuild:
    """Returns `rebuild(numbers)`: a run's method and optimizer, with other numbers by dotted key.

    The numbers may be traced. Keys are "method.NAME" and "optimizer.NAME".
    """
    counts = encodings.label_counts(job.data.train.part.labels, job.method.space)
    order = job.order(1)

    def rebuilt(numbers: group.Numbers) -> tuple[methods.Method, optax.GradientTransformation]:
        split: dict[str, dict[str, Any]] = {"method": {}, "optimizer": {}}
        for key, value in numbers.items():
            section, _, name = key.partition(".")
            split[section][name] = value
        values = config.method.hyper_parameters | split["method"]
        method = methods.get(config.method.name, space=job.method.space, counts=counts, **values)
        method = deepened(method, config)
        changed = dataclasses.replace(config.optimizer, **split["optimizer"])
        rate = optimizers.learning_rate(changed, order.steps_per_epoch, len(order))
        return method, _transform(dataclasses.replace(config, optimizer=changed), job.model, rate)

    return rebuilt


def kind(config: Config, job: Job) -> tuple[Hashable, ...]:
    """Returns what runs of one program must share, though their configs do not say it."""
    labels = job.data.train.part.labels
    counted = methods.takes_counts(config.method.name)
    counts = encodings.label_counts(labels, job.method.space).tolist() if counted else ()
    return group.kind(job), tuple(counts)


def _check_best(resolved: Resolved) -> None:
    metric, rows = resolved.config.best, resolved.parts.validation
    if not len(rows):
        raise ConfigError(
            f"best: {metric!r} is of the validation part; hold some pictures out with "
            "data.validation_fraction"
        )
    evaluated = resolved.metrics_of(rows)
    known = [name for name in evaluated if (entry := table.find(name)) and entry.better]
    if metric not in known:
        raise ConfigError(f"best: expected one of {', '.join(known)}, got {metric!r}")


def _transform(
    config: Config, model: models.Model, rate: optax.Schedule
) -> optax.GradientTransformation:
    transform = optimizers.optimizer(config.optimizer, rate)
    init = config.init
    if init.freeze and not init.features:  # with features there is no network in training
        return transfer.head_only(transform)
    if _by_name(config):
        rates = init.backbone_rate, init.layer_decay, init.frozen_blocks
        return transfer.scaled(transform, transfer.learning_rate_factors(model, *rates))
    return transform


def _by_name(config: Config) -> bool:
    """Returns whether the backbone's top-level names have learning rates of their own."""
    init = config.init
    changed = (init.backbone_rate, init.layer_decay, init.frozen_blocks) != (1, 1, 0)
    return not init.freeze and changed
