"""The sections of a config: every field with its type, its default and its meaning."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ldl_jax.data.align import Alignment
from ldl_jax.data.splits.copies import GROUP, KEEP, LEAKS
from ldl_jax.data.splits.protocols import DRAWN, PROTOCOLS
from ldl_jax.files import from_home

EXCHANGES = ("network", "float32")


class ConfigError(ValueError):
    """A config that cannot be used; the message names the key, the value and what is expected."""


def expand_paths(section: str, value: object, *keys: str) -> None:
    """Replaces a "~" at the beginning of a new section's paths, as a shell does.

    Of keys that hold options, all texts are looked at, as a flag's are.
    """
    faults = []

    def expanded(key: str, given: Any) -> Any:
        if isinstance(given, Mapping):
            return {name: expanded(f"{key}.{name}", text) for name, text in given.items()}
        if isinstance(given, tuple):
            return tuple(expanded(key, text) for text in given)
        try:
            return from_home(given) if isinstance(given, str) else given
        except ValueError as error:
            faults.append(f"{section}.{key}: {error}")

    for key in keys:
        object.__setattr__(value, key, expanded(key, getattr(value, key)))
    if faults:
        raise ConfigError("; ".join(faults))


def at_least(name: str, value: float, least: int) -> None:
    """Raises ConfigError where a value is less than `least`."""
    if value < least:
        raise ConfigError(f"{name}: expected {least} or more, got {value}")


def positive(name: str, value: float) -> None:
    """Raises ConfigError where a value is not more than 0."""
    if not value > 0:
        raise ConfigError(f"{name}: expected more than 0, got {value}")


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raises ConfigError where a value is none of those that are known."""
    if value not in known:
        raise ConfigError(f"{name}: expected one of {', '.join(known)}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class TestSetConfig:
    """The dataset that is tested on, where it is another one than that trained on.

    Attributes:
      name: one of `ldl_jax.data.datasets.catalogue.DATASETS`, "synthetic" (other persons than
        are trained on), or "package.module:factory"; "" for none. The protocol is "cross_dataset".
      root: its folder.
      csv: its CSV or .xlsx file, if it takes one.
      columns: as `data.columns`.
      options: what its reader offers.
    """

    name: str = ""
    root: str = ""
    csv: str = ""
    columns: dict[str, Any] = dataclasses.field(default_factory=dict)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        expand_paths("data.test", self, "root", "csv", "options")


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The pictures, their split, and their way to the device.

    Attributes:
      name: "synthetic", one of `ldl_jax.data.datasets.catalogue.DATASETS`, or a reader of one's
        own, "package.module:factory".
      root: the dataset's folder.
      csv: the CSV or .xlsx file of datasets that take one.
      columns: the file's names of columns, where they are other ones: {"path": "file"}.
      options: what the dataset's reader offers, as Adience's `gaps`, or `synthetic.OPTIONS`.
      test: the dataset to test on, where it is another.
      space: the label values: low:step:high (as 0:1:100), a name (age, scut_fbp, cfd, adience), or
        "train", from the least to the greatest training label in steps of 1 (CEN's Eq. 1).
      size: side of the network's input in pixels, 32 or more.
      crop: share of a picture's width and height that is kept, about its middle; 1 for all of it.
      square: keep the middle square, whose side is `crop` of the shorter side; without it a picture
        that is no square is squeezed into one.
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
      leaks: what is done about pictures that two parts share: "keep" leaves them, and the result's
        name says so; "drop_train" takes what is also in test out of training and validation, with a
        list in split.json; "group" draws copies into one part or fold.
      audit: look for people, files and near-duplicates that two parts share, before training.
      test_fraction: of the pictures, where the protocol draws the test part.
      validation_fraction: of the training pictures, held out.
      seed: of what is drawn, a split or the synthetic faces; apart from the run's, so that several
        runs see the same data.
      unreadable: "stop" at a picture, or a row of a CSV file of one's own, that cannot be used, or
        "skip" and count it.
      feed: "memory" (decoded once, kept on the devices), "stream" (decoded as they come), or
        "auto", which streams what does not fit into half of the free memory.
      memory_gb: "auto" keeps at most so many GB (1e9 bytes) of decoded pictures in memory; 0 for
        what the memory allows.
      synthetic_count: how many synthetic faces are drawn.
      split_file: a split.json that another run left: its parts are taken, and the protocol's name;
        protocol, fold, leaks and fractions are not used.
    """

    name: str = "synthetic"
    root: str = ""
    csv: str = ""
    columns: dict[str, Any] = dataclasses.field(default_factory=dict)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    test: TestSetConfig = dataclasses.field(default_factory=TestSetConfig)
    space: str = "train"
    size: int = 224
    crop: float = 1.0
    square: bool = False
    stored_size: int = 0
    channels: str = "rgb"
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    std: tuple[float, float, float] = (127.5, 127.5, 127.5)
    alignment: Alignment = dataclasses.field(default_factory=Alignment)
    protocol: str = "official"
    fold: int = -1
    leaks: str = KEEP
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
        expand_paths("data", self, "root", "csv", "split_file", "options")
        at_least("data.size", self.size, 32)
        if self.stored_size and self.stored_size < self.size:
            raise ConfigError(
                f"data.stored_size: expected 0 or at least data.size = {self.size}, "
                f"got {self.stored_size}"
            )
        at_least("data.seed", self.seed, 0)
        at_least("data.fold", self.fold, -1)
        if bool(self.test.name) != (self.protocol == "cross_dataset"):
            raise ConfigError(
                "data.test.name: names the set to test on with data.protocol=cross_dataset, and "
                f"with no other; got {self.test.name!r} with {self.protocol!r}"
            )
        at_least("data.memory_gb", self.memory_gb, 0)
        at_least("data.synthetic_count", self.synthetic_count, 8)
        at_least("data.validation_fraction", self.validation_fraction, 0)
        if not self.validation_fraction < 1:
            raise ConfigError(
                f"data.validation_fraction: expected less than 1, got {self.validation_fraction}"
            )
        if not 0 < self.test_fraction < 1:
            raise ConfigError(
                f"data.test_fraction: expected between 0 and 1, got {self.test_fraction}"
            )
        one_of("data.channels", self.channels, ("rgb", "bgr"))
        for deviation in self.std:
            positive("data.std", deviation)
        one_of("data.protocol", self.protocol, PROTOCOLS)
        one_of("data.leaks", self.leaks, LEAKS)
        if self.leaks == GROUP and self.protocol not in DRAWN:
            raise ConfigError(
                f"data.leaks: {GROUP!r} draws copies into one part, and {self.protocol!r} draws no "
                f"test part; take 'drop_train', or one of the protocols {', '.join(DRAWN)}"
            )
        if self.leaks != KEEP and not self.audit:
            raise ConfigError(f"data.leaks: {self.leaks!r} needs the auditor; leave data.audit on")
        if not 0 < self.crop <= 1:
            raise ConfigError(f"data.crop: expected more than 0 and at most 1, got {self.crop}")
        one_of("data.unreadable", self.unreadable, ("stop", "skip"))
        one_of("data.feed", self.feed, ("auto", "memory", "stream"))


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The network; None takes an option's own default.

    Attributes:
      name: one of `ldl_jax.models.MODELS`, or one's own factory, "package.module:factory".
      dtype: what it computes in, "float32" or "bfloat16"; parameters are float32.
      hidden: the units of hidden layers between the network and the method's head, as (256,); each
        is a dense layer with ReLU. VGG16 takes a whole number as its own option.
      hidden_dropout: the share of the hidden units that a training step drops; of the network's
        features, where no layer is hidden.
      standardise: give the head features of mean 0 and deviation 1 over the training part; for
        init.features alone.
      options: the network's own, as ThinAgeNet's rate, or the arguments of one's own factory;
        `size` is data.size.
    """

    name: str = "resnet10_tiny"
    dtype: str = "float32"
    hidden: tuple[int, ...] = ()
    hidden_dropout: float = 0.0
    standardise: bool = False
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        expand_paths("model", self, "options")
        for units in self.hidden:
            at_least("model.hidden", units, 1)
        if not 0 <= self.hidden_dropout < 1:
            raise ConfigError(
                f"model.hidden_dropout: expected a rate in [0, 1), got {self.hidden_dropout}"
            )


@dataclasses.dataclass(frozen=True)
class MethodConfig:
    """The method and its hyper-parameters; None takes the method's own default."""

    name: str = "cen"
    hyper_parameters: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        expand_paths("method", self, "hyper_parameters")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """The way the devices share the work; a run may go on with another.

    Attributes:
      fsdp: over how many devices the weights, the optimizer's state and what goes with them are
        split, a divisor of the number of devices; 1 keeps them whole on each.
      exchange: the type in which the devices' gradients are added up: "network", the one that the
        network computes in (`model.dtype`), or "float32".
    """

    fsdp: int = 1
    exchange: str = "network"

    def __post_init__(self) -> None:
        at_least("mesh.fsdp", self.fsdp, 1)
        one_of("mesh.exchange", self.exchange, EXCHANGES)
