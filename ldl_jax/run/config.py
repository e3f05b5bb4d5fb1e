"""The schema of a config: every field with its type, its default and what it means.

A config file fills in a `ConfigDict` made by `defaults()`; `parse` turns it into a frozen, typed
`Config`. A key that is not in the schema, or a value of another type, is an error.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import typing
from collections.abc import Iterable
from typing import Any

import ml_collections
from ml_collections.config_dict import placeholder

from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Recipe
from ldl_jax.data.datasets import catalogue
from ldl_jax.data.splits.protocols import PROTOCOLS
from ldl_jax.data.synthetic import faces
from ldl_jax.train.faults import FaultConfig
from ldl_jax.train.generations import USES, Chain
from ldl_jax.train.optimizers import OptimizerConfig

STAGE = "stage:"  # of init.path: the rest names a stage
# Options of networks that other keys of a config give.
_ELSEWHERE = {"dtype", "size"}


class ConfigError(ValueError):
    """A config that cannot be used; the message names the key, the value and what is expected."""


def _at_least(name: str, value: float, least: int) -> None:
    if value < least:
        raise ConfigError(f"{name}: expected {least} or more, got {value}")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ConfigError(f"{name}: expected more than 0, got {value}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"{name}: expected one of {', '.join(known)}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class TestSetConfig:
    """The dataset that is tested on, where it is another one than that trained on.

    Attributes:
      name: one of `ldl_jax.data.datasets.catalogue.DATASETS`, or "synthetic" (other persons than
        are trained on), "" for none. The protocol is "cross_dataset".
      root: its folder.
      csv: its CSV or .xlsx file, if it takes one.
      options: what its reader offers.
    """

    name: str = ""
    root: str = ""
    csv: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which pictures, how they are split, and how they reach the device.

    Attributes:
      name: "synthetic", or one of `ldl_jax.data.datasets.catalogue.DATASETS`.
      root: the dataset's folder.
      csv: the CSV or .xlsx file of datasets that take one.
      options: what the dataset's reader offers, as Adience's `gaps`, or `synthetic.OPTIONS`.
      test: the dataset to test on, where it is another.
      space: the label values: low:step:high (as 0:1:100), a name (age, scut_fbp, cfd, adience), or
        "train", from the least to the greatest training label in steps of 1 (CEN's Eq. 1).
      size: side of the network's input in pixels, 32 or more.
      crop: share of a picture's width and height that is kept, about its middle; 1 for all of it.
      stored_size: side that pictures are first resized to; 0 for `size`.
      channels: the order that the network takes the colours in, "rgb" or "bgr".
      mean: subtracted from each channel, on the scale 0-255; of a network that init.path names,
        its own channels, mean and std are taken.
      std: what each channel is then divided by; SSR-Net's pictures are raw, "bgr" with a mean of 0
        and a std of 1.
      alignment: how the pictures were cut out of larger ones, where `ldl_jax.data.align` did it;
        it is kept with the weights, so that faces found later are cut in the same way. Of a
        prepared set it is known, and may be left out.
      protocol: "official", "random" (by picture), "stratified", "subject" (by person), "kfold",
        "subject_kfold", "official_folds", "leave_one_person_out" or "cross_dataset"; see
        `ldl_jax.data.splits.protocols.split`.
      fold: which of a protocol's runs, from 0; -1 for all of them, one after another, and their
        mean and spread.
      audit: look for people, files and near-duplicates that two parts share, before training.
      test_fraction: of the pictures, where the protocol draws the test part.
      validation_fraction: of the training pictures, held out.
      seed: of what is drawn, a split or the synthetic faces; apart from the run's, so that several
        runs see the same data.
      unreadable: "stop" at a picture that cannot be read, or "skip" and count it.
      feed: "memory" (decoded once, kept on the devices), "stream" (decoded as they come), or
        "auto", which streams what does not fit into half of the free memory.
      memory_gb: "auto" keeps at most so many GB (1e9 bytes) of decoded pictures in memory; 0 for
        what the memory allows.
      synthetic_count: how many synthetic faces are drawn.
      split_file: a split.json that another run left: its parts are taken, and the protocol's name;
        protocol, fold and fractions are not used.
    """

    name: str = "synthetic"
    root: str = ""
    csv: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    test: TestSetConfig = dataclasses.field(default_factory=TestSetConfig)
    space: str = "train"
    size: int = 224
    crop: float = 1.0
    stored_size: int = 0
    channels: str = "rgb"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    alignment: Alignment = dataclasses.field(default_factory=Alignment)
    protocol: str = "official"
    fold: int = -1
    audit: bool = True
    test_fraction: float = 0.2
    validation_fraction: float = 0.0
    seed: int = 0
    unreadable: str = "stop"
    feed: str = "auto"
    memory_gb: float = 0.0
    synthetic_count: int = 2000
    split_file: str = ""

    def __post_init__(self) -> None:
        _at_least("data.size", self.size, 32)
        if self.stored_size and self.stored_size < self.size:
            raise ConfigError(
                f"data.stored_size: expected 0 or at least data.size = {self.size}, "
                f"got {self.stored_size}"
            )
        _at_least("data.seed", self.seed, 0)
        _at_least("data.fold", self.fold, -1)
        if bool(self.test.name) != (self.protocol == "cross_dataset"):
            raise ConfigError(
                "data.test.name: names the set to test on with data.protocol=cross_dataset, and "
                f"with no other; got {self.test.name!r} with {self.protocol!r}"
            )
        _at_least("data.memory_gb", self.memory_gb, 0)
        _at_least("data.synthetic_count", self.synthetic_count, 8)
        _at_least("data.validation_fraction", self.validation_fraction, 0)
        if not self.validation_fraction < 1:
            raise ConfigError(
                f"data.validation_fraction: expected less than 1, got {self.validation_fraction}"
            )
        if not 0 < self.test_fraction < 1:
            raise ConfigError(
                f"data.test_fraction: expected between 0 and 1, got {self.test_fraction}"
            )
        _one_of("data.channels", self.channels, ("rgb", "bgr"))
        for deviation in self.std:
            _positive("data.std", deviation)
        _one_of("data.protocol", self.protocol, PROTOCOLS)
        if not 0 < self.crop <= 1:
            raise ConfigError(f"data.crop: expected more than 0 and at most 1, got {self.crop}")
        _one_of("data.unreadable", self.unreadable, ("stop", "skip"))
        _one_of("data.feed", self.feed, ("auto", "memory", "stream"))


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network; None takes an option's own default.

    Attributes:
      name: one of `ldl_jax.models.MODELS`.
      dtype: what it computes in, "float32" or "bfloat16"; parameters are float32.
      options: the network's own, as ThinAgeNet's rate; `size` is data.size.
    """

    name: str = "resnet10_tiny"
    dtype: str = "float32"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """The method and its hyper-parameters; None takes the method's own default."""

    name: str = "cen"
    hyper_parameters: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class InitConfig:
    """Where the first weights come from, and how far they may move.

    Attributes:
      path: whose network is taken; the head is fresh. The workdir of a finished run (its last
        generation), a checkpoint, of any method and label space, a foreign weight file that
        `ldl_jax.models.pretrained` reads, or "stage:NAME", the run of `stages.NAME`. The pictures
        are then normalised as that network's were. "" for fresh weights.
      head: take its head too, of the same method over as many labels.
      freeze: train the head alone; the network stays as it is, its batch statistics too.
      backbone_rate: factor of the network's learning rate; the head's is 1.
      layer_decay: factor of the learning rate from each block of the network to the one before it,
        starting at the head. Blocks are the top-level names of the network's parameters in the
        order it uses them, those without a kernel with the one before (`ldl_jax.train.transfer`).
      strict: whether a checkpoint must fit the network in every array; otherwise those that fit
        are taken, and the others start anew.
    """

    path: str = ""
    head: bool = False
    freeze: bool = False
    backbone_rate: float = 1.0
    layer_decay: float = 1.0
    strict: bool = True

    def __post_init__(self) -> None:
        _positive("init.backbone_rate", self.backbone_rate)
        _positive("init.layer_decay", self.layer_decay)
        if self.layer_decay > 1:
            raise ConfigError(f"init.layer_decay: expected at most 1, got {self.layer_decay}")
        if self.freeze and not self.path:
            raise ConfigError("init.freeze: keeps a trained network as it is; give init.path")
        if self.head and not self.path:
            raise ConfigError("init.head: takes a trained network's head; give init.path")
        if self.freeze and (self.backbone_rate, self.layer_decay) != (1, 1):
            raise ConfigError(
                "init.freeze: a frozen network has no learning rate; leave init.backbone_rate and "
                "init.layer_decay at 1"
            )

    @property
    def stage(self) -> str:
        """The stage that `path` names, or ""."""
        return self.path.removeprefix(STAGE) if self.path.startswith(STAGE) else ""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How a generation is evaluated.

    Attributes:
      batch_size: pictures at a time.
      flip: average over a picture and its mirror image.
      every: epochs between evaluations of the validation part.
      distributions: keep each test picture's distribution; without, no metric of them is known. A
        classifier of 54,000 people has no room for them.
    """

    batch_size: int = 256
    flip: bool = True
    every: float = 1.0
    distributions: bool = True

    def __post_init__(self) -> None:
        _at_least("evaluation.batch_size", self.batch_size, 1)
        _positive("evaluation.every", self.every)


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """How the devices share the work; a run may go on with another.

    Attributes:
      fsdp: over how many devices the weights, the optimizer's state and what goes with them are
        split, a divisor of the number of devices; 1 keeps them whole on each.
    """

    fsdp: int = 1

    def __post_init__(self) -> None:
        _at_least("mesh.fsdp", self.fsdp, 1)


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """What the table of a sweep shows.

    Attributes:
      columns: keys of `ldl_jax.evaluation.report.summary`, as "mae epsilon_error"; "" for all.
      generations: a row for each, or the last one's alone.
      heads: a row for each of the heads' estimates too.
    """

    columns: str = ""
    generations: bool = False
    heads: bool = False


# What makes no difference to a run, and is not kept with it.
_NOT_THE_RUN = ("stages", "sweep", "replicas", "table")


@dataclasses.dataclass(frozen=True)
class Config:
    """A run, or with `sweep` many.

    Attributes:
      seed: of weights, order and augmentation: the same seed gives the same run.
      batch_size: training pictures a step, over all devices.
      epochs: of each generation.
      log_every: steps between rows of metrics.jsonl.
      checkpoint_every: epochs between checkpoints.
      keep: the last so many checkpoints of a generation stay.
      best: a metric of the validation part, as "mae" or "pearson" (a key of a validation's row in
        metrics.jsonl): each generation's best weights by it are kept, too; "" for none.
      use: the weights that are tested, teach and predict: a generation's "last", or its "best".
      accumulate: the parts of a batch that a step goes through one after the other, in the memory
        of one; the gradient is the whole batch's, batch statistics are the parts'.
      steps_per_call: steps that the devices take for one call of the host; 0 for 1 on CPUs and for
        streamed pictures, else 16. Checkpoints and evaluations cut a call at their step.
      stages: whole configs, by name, of runs that come before this one: those that `init.path` =
        "stage:NAME" names, here or in another of them.
      sweep: many runs that differ in these keys, as {"method.lam": (0.1, 1.0), "seed": (0, 1)}: a
        grid, each value with each; or a tuple of such grids. See `ldl_jax.run.sweep`.
      replicas: how the runs of a sweep that differ in seed, fold or numbers alone are trained:
        "together" in one program, "one_by_one", or "auto", by what is faster.
      table: of a sweep's results.
    """

    seed: int = 0
    batch_size: int = 128
    epochs: int = 160
    log_every: int = 10
    checkpoint_every: float = 1.0
    keep: int = 2
    best: str = ""
    use: str = "last"
    accumulate: int = 1
    steps_per_call: int = 0
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    augment: Recipe = dataclasses.field(default_factory=Recipe)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    method: MethodConfig = dataclasses.field(default_factory=MethodConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    init: InitConfig = dataclasses.field(default_factory=InitConfig)
    chain: Chain = dataclasses.field(default_factory=Chain)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    stages: dict[str, Config] = dataclasses.field(default_factory=dict)
    faults: FaultConfig = dataclasses.field(default_factory=FaultConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)

    sweep: tuple[dict[str, Any], ...] = ()
    replicas: str = "auto"
    table: TableConfig = dataclasses.field(default_factory=TableConfig)

    def __post_init__(self) -> None:
        _one_of("replicas", self.replicas, ("auto", "together", "one_by_one"))
        for name in ("batch_size", "epochs", "log_every", "keep", "accumulate"):
            _at_least(name, getattr(self, name), 1)
        _at_least("steps_per_call", self.steps_per_call, 0)
        if self.batch_size % self.accumulate:
            raise ConfigError(
                f"accumulate: {self.accumulate} equal parts do not make up batch_size = "
                f"{self.batch_size}"
            )
        _one_of("use", self.use, USES)
        if self.use == "best" and not self.best:
            raise ConfigError("use: 'best' needs a validation metric; give best, as best='mae'")
        _at_least("seed", self.seed, 0)
        _positive("checkpoint_every", self.checkpoint_every)
        if self.init.freeze and self.chain.student == "fresh" and self.chain.generations > 1:
            raise ConfigError(
                "init.freeze: chain.student='fresh' gives later generations random networks; "
                "take 'pretrained' or 'teacher'"
            )


def defaults() -> ml_collections.ConfigDict:
    """A `ConfigDict` of the whole schema at its defaults, for a config file to change.

    `config.method` has the hyper-parameters of all built-in methods, `config.model` the options of
    all networks, `config.data.options` those of all datasets, unset.
    """
    config = to_dict(Config())
    renamed = (dict.fromkeys(names, 0.0) for names in methods.RENAMED.values())  # to refuse them
    config["method"] |= _unset([*renamed, *map(methods.hyper_parameters, methods.METHODS)])
    config["model"] |= _unset(map(models.known_options, models.MODELS))
    config |= {"sweep": placeholder(object), "replicas": "auto", "table": to_dict(TableConfig())}
    readers = [faces.OPTIONS, *(one.options for one in catalogue.DATASETS.values())]
    config["data"]["options"] = _unset(readers)
    config["data"]["test"]["options"] = _unset(readers)
    config["stages"] = {}
    return ml_collections.ConfigDict(config)


def parse(config: ml_collections.ConfigDict) -> Config:
    """The typed config of a `ConfigDict`.

    Raises:
      ConfigError: an unknown or missing key, a value of the wrong type or out of range.
    """
    return from_dict(config.to_dict())


def from_dict(content: dict[str, Any]) -> Config:
    """The typed config of nested dicts, by the keys of a config's file.

    Raises:
      ConfigError: an unknown or missing key, a value of the wrong type or out of range.
    """
    content = copy.deepcopy(content)
    stages = _stages(content.pop("stages", {}))
    sweep = _sweep(content.pop("sweep", None))
    method = content.pop("method", {"name": "cen"})
    model = content.pop("model", {})
    data = content.get("data")
    options = _options(data, "data")
    test_options = _options(data.get("test"), "data.test") if isinstance(data, dict) else {}
    try:
        result = _section(Config, content, "")
        test = dataclasses.replace(result.data.test, options=test_options)
        return dataclasses.replace(
            result,
            data=dataclasses.replace(result.data, options=options, test=test),
            method=_method(method),
            model=_model(model),
            stages=stages,
            sweep=sweep,
        )
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from None


def to_dict(config: Any) -> dict[str, Any]:
    """A config as nested dicts of JSON's types, by the keys of its file."""
    result: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, MethodConfig):
            value = {"name": value.name, **value.hyper_parameters}
        elif isinstance(value, ModelConfig):
            value = {"name": value.name, "dtype": value.dtype, **value.options}
        elif dataclasses.is_dataclass(value):
            value = to_dict(value)
        if field.name not in _NOT_THE_RUN:
            result[field.name] = value
    return result


def _unset(choices: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A placeholder for every option of any of the choices."""
    options = {key: value for choice in choices for key, value in choice.items()}
    return {key: placeholder(type(x)) for key, x in options.items() if key not in _ELSEWHERE}


def _stages(content: Any) -> dict[str, Config]:
    if not isinstance(content, dict):
        raise ConfigError(f"stages: expected whole configs by name, got {content!r}")
    stages = {}
    for name, stage in content.items():
        if not isinstance(stage, dict):
            raise ConfigError(f"stages.{name}: expected a whole config, got {stage!r}")
        if stage.get("stages"):
            raise ConfigError(f"stages.{name}.stages: a stage has none of its own")
        try:
            stages[name] = from_dict(stage)
        except ConfigError as error:
            raise ConfigError(f"stages.{name}.{error}") from None
    return stages


def _method(content: Any) -> MethodConfig:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ConfigError(f"method: expected a dict with a name, got {content!r}")
    given = {k: v for k, v in content.items() if k != "name" and v is not None}
    return MethodConfig(content["name"], given)


def _sweep(content: Any) -> tuple[dict[str, Any], ...]:
    grids = () if content is None else (content,) if isinstance(content, dict) else content
    if not isinstance(grids, (tuple, list)) or not all(isinstance(one, dict) for one in grids):
        raise ConfigError(
            "sweep: expected values by dotted key, as {'method.lam': (0.1, 1.0)}, or several such, "
            f"got {content!r}"
        )
    return tuple(grids)


def _options(section: Any, name: str) -> dict[str, Any]:
    """The options that a section gives, taken out of it."""
    content = section.pop("options", {}) if isinstance(section, dict) else {}
    if not isinstance(content, dict):
        raise ConfigError(f"{name}.options: expected a section, got {content!r}")
    return {k: v for k, v in content.items() if v is not None}


def _model(content: Any) -> ModelConfig:
    if not isinstance(content, dict):
        raise ConfigError(f"model: expected a section, got {content!r}")
    every = {key for name in models.MODELS for key in models.known_options(name)} - _ELSEWHERE
    given = {k: v for k, v in content.items() if k in every and v is not None}
    fixed = _section(ModelConfig, {k: v for k, v in content.items() if k not in every}, "model.")
    return dataclasses.replace(fixed, options=given)


def _section(schema: Any, content: Any, prefix: str) -> Any:
    """A dataclass of the schema from a dict, checked key by key."""
    if not isinstance(content, dict):
        raise ConfigError(f"{prefix.rstrip('.')}: expected a section, got {content!r}")
    types = typing.get_type_hints(schema)
    keys = {field.name for field in dataclasses.fields(schema)} - {"options", "stages", "sweep"}
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in keys:
            raise ConfigError(f"{prefix}{key}: unknown key; known: {', '.join(sorted(keys))}")
        values[key] = _value(types[key], value, prefix + key)
    return schema(**values)


def _value(kind: Any, value: Any, name: str) -> Any:
    if inspect.isclass(kind) and dataclasses.is_dataclass(kind):
        return _section(kind, value, name + ".")
    if typing.get_origin(kind) is tuple:
        wanted = typing.get_args(kind)
        if wanted[1:] == (...,) and isinstance(value, (list, tuple)):
            wanted = wanted[:1] * len(value)
        if not isinstance(value, (list, tuple)) or len(value) != len(wanted):
            raise ConfigError(f"{name}: expected {len(wanted)} values, got {value!r}")
        return tuple(_value(k, v, name) for k, v in zip(wanted, value, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name}: expected a finite number, got {value}")
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(
            f"{name}: expected {kind.__name__}, got {value!r} ({type(value).__name__})"
        )
    return value
