"""The data of a run: a config's data section becomes records, parts and a label space."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ldl_jax import factories
from ldl_jax.data.align import Alignment
from ldl_jax.data.datasets import catalogue, own_reader
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.splits import audit, cross, hashes, hashes_file, protocols, split_file
from ldl_jax.data.splits.copies import KEEP
from ldl_jax.data.splits.hashes import PerceptualHashes
from ldl_jax.data.synthetic import faces
from ldl_jax.labels import LabelSpace
from ldl_jax.run.config import ConfigError, DataConfig, TestSetConfig

LogLine = Callable[[str], None]
Read = Callable[[DataConfig], Records]


def read_records(config: DataConfig) -> Records:
    """Returns the pictures and labels that the config names."""
    records = _read(config, config, "data", config.seed)
    if not config.test.name:
        return records
    # Other persons are drawn to test on than to train on.
    return cross.combine(records, _read(config, config.test, "data.test", config.seed + 1))


class Reader:
    """Reads each dataset once, as `read_records`, for all runs of a plan or a sweep.

    A list of millions of files takes minutes.
    """

    def __init__(self) -> None:
        self._known: dict[str, Records] = {}

    def __call__(self, config: DataConfig) -> Records:
        """Returns the pictures and labels that the config names."""
        sources = [
            (source.name, source.root, source.csv, source.columns, source.options)
            for source in (config, config.test)
        ]
        form = (stored_size(config), config.crop, config.square)
        drawn = (config.synthetic_count, config.seed, *form)
        names = (config.name, config.test.name)
        # Pictures of one's own may be in memory, and are then resized.
        is_drawn = "synthetic" in names or any(map(factories.is_own, names))
        values = [_vote_values(config, source) for source in (config, config.test)]
        key = repr((sources, values, config.unreadable, drawn if is_drawn else ()))
        if key not in self._known:
            self._known[key] = read_records(config)
        return self._known[key]


def _read(config: DataConfig, source: DataConfig | TestSetConfig, key: str, seed: int) -> Records:
    """Returns one dataset of the config; `key` is where the config names it."""
    is_own = factories.is_own(source.name)
    if source.name not in ("synthetic", *catalogue.DATASETS) and not is_own:
        known = ", ".join(("synthetic", *catalogue.DATASETS, "or package.module:factory"))
        raise ConfigError(f"{key}.name: expected one of {known}, got {source.name!r}")
    if source.name != "synthetic":
        try:
            records = catalogue.read(
                source.name,
                source.root,
                csv=source.csv,
                columns=source.columns,
                unreadable=config.unreadable,
                **_vote_values(config, source) | dict(source.options),
            )
        except DataError as error:  # which names the keys of data
            # A new error would be of one line, where a file's faults have a line each.
            text = own_reader.with_keys(str(error), key) if is_own else str(error)
            error.args = (text.replace("--config.data.", f"--config.{key}."),)
            raise
        _check_cut_out(records, source.name, key)
        if is_own:
            return own_reader.fitted(records, stored_size(config), config.crop, config.square)
        return records
    if source.root or source.csv:
        raise ConfigError(
            f"{key}.root, {key}.csv: synthetic faces are drawn, not read; "
            f"name a dataset with {key}.name ({', '.join(catalogue.DATASETS)})"
        )
    if config.crop != 1:
        raise ConfigError(f"data.crop: synthetic faces are drawn whole, got {config.crop}")
    for option in source.options:
        if option not in faces.OPTIONS:
            known = ", ".join(faces.OPTIONS)
            raise ConfigError(
                f"{key}.options: synthetic faces have no option {option!r}; theirs: {known}"
            )
    try:
        return faces.faces(
            config.synthetic_count, stored_size(config), seed, lazy=True, **source.options
        )
    except ValueError as error:
        raise ConfigError(f"{key}.options.{error}") from None


def _check_cut_out(records: Records, dataset: str, key: str) -> None:
    """Raises ConfigError where several faces of one picture are yet to be cut out of it."""
    if records.shares_pictures:
        raise ConfigError(
            f"{key}.name: pictures of {records.name} hold several of its faces; cut these out with "
            f"launch.prepare --dataset={dataset} --align=box, and name the prepared set"
        )


def _vote_values(config: DataConfig, source: DataConfig | TestSetConfig) -> dict[str, str]:
    """Returns the option of a reader of votes that says which values they are of: the space's."""
    if config.space == "train" or "vote_values" not in catalogue.options_of(source.name):
        return {}
    try:
        LabelSpace.parse(config.space)
    except ValueError:  # said where the space is made
        return {}
    return {"vote_values": config.space}


def parts_of(config: DataConfig, records: Records, workdir: Path | None = None) -> protocols.Parts:
    """Returns the rows of the training, validation and test pictures, as the config says.

    A run may have left the pictures' hashes in `workdir`, where leaks are looked for.
    """
    if config.split_file:
        return split_file.read(Path(config.split_file), records)
    leaks, known = config.leaks, None
    if _drawn(config):
        leaks = KEEP
    if leaks != KEEP:
        known = _hashes(records, workdir)
    fractions = config.test_fraction, config.validation_fraction
    with keys_below("data."):
        return protocols.split(
            records, config.protocol, config.seed, *fractions, max(0, config.fold), leaks, known
        )


def _drawn(config: DataConfig) -> bool:
    """Returns whether all faces are drawn one by one: those that look alike are no copies."""
    return {config.name, config.test.name} <= {"synthetic", ""}


def _hashes(records: Records, workdir: Path | None) -> PerceptualHashes:
    """Returns the pictures' hashes, those of the workdir where it has them."""
    known = hashes_file.read(workdir / hashes_file.NAME, records) if workdir else None
    return known or _taken(records)


@functools.lru_cache(maxsize=1)
def _taken(records: Records) -> PerceptualHashes:
    """Hashes pictures once for all runs that share the records."""
    return hashes.take(records)


@contextlib.contextmanager
def keys_below(prefix: str) -> Iterator[None]:
    """Puts the prefix of a config's keys before a ValueError's text; a DataError stays."""
    try:
        yield
    except DataError:
        raise
    except ValueError as error:
        raise ConfigError(f"{prefix}{error}") from None


def audited(
    config: DataConfig, records: Records, parts: protocols.Parts, workdir: Path | None, log: LogLine
) -> tuple[str, PerceptualHashes | None]:
    """Returns the name of this split beside a result, and the pictures' hashes where it is audited.

    They are those of the workdir, or new ones; `log` takes the auditor's verdict.
    """
    if _drawn(config):
        return parts.name, None
    if not config.audit:
        log("data.audit is off: whether the parts share pictures is not known")
        return f"{parts.name}, not audited", None
    known = _hashes(records, workdir)
    verdict = audit.audit(records, parts, known)
    log(str(verdict))
    return verdict.name, known


def label_space(text: str, records: Records, parts: protocols.Parts) -> LabelSpace:
    """Returns the label space of the config's text, checked against the labels it has to hold."""
    used = np.concatenate([parts.train, parts.validation, parts.test])
    if text != "train":
        try:
            space = dataclasses.replace(LabelSpace.parse(text), unit=records.unit)
        except ValueError as error:
            raise ConfigError(f"data.space: {str(error).removeprefix('space: ')}") from None
        protocols.check_labels(records, space, used)
        return space
    if records.bounds:
        groups = LabelSpace.groups(records.bounds, unit=records.unit)
        protocols.check_labels(records, groups, used)
        return groups
    finite = records.labels[np.isfinite(records.labels)]
    everything = LabelSpace.range(np.floor(finite.min()), np.ceil(finite.max()) + 1)
    protocols.check_labels(records, everything, used)
    labels = records.labels[parts.train]
    low, high = float(np.floor(labels.min())), float(np.ceil(labels.max()))
    if low == high:
        raise ConfigError(f"data.space: all training labels are {low:g}; give low:step:high")
    return LabelSpace.range(low, high, unit=records.unit)


def alignment(config: DataConfig, records: Records) -> Alignment:
    """Returns the alignment of the pictures, as the config or the prepared set says."""
    stated, known = config.alignment, records.alignment
    if known is None or stated == known:
        return stated
    if stated.kind != "none":
        raise ConfigError(
            f"data.alignment: the set was prepared with {known}, the config says {stated}; leave "
            "it out, or prepare the set so"
        )
    return known


def stored_size(config: DataConfig) -> int:
    """Returns the side that pictures are first resized to, in pixels."""
    return config.stored_size or config.size
