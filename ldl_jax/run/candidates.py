"""Loads the models that are to be scored, and says how each is compared with a dataset's labels."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.data.records import Records
from ldl_jax.data.splits import protocols
from ldl_jax.labels import LabelSpace
from ldl_jax.predict.loading import load
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run import data
from ldl_jax.run.config import DataConfig
from ldl_jax.run.named import short_names


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A model that is to be scored: its name in tables, where it was read from, and itself."""

    name: str
    checkpoint: Path
    predictor: Predictor

    def as_trained(self, config: DataConfig) -> DataConfig:
        """Returns a data section with the sizes of the pictures that the model takes."""
        known = self.predictor.preprocessing
        return dataclasses.replace(
            config,
            size=known.size,
            stored_size=known.stored_size,
            crop=known.crop,
            square=known.square,
        )

    def alignment_note(self, records: Records) -> str:
        """Returns what to say where faces were cut out in another way than the model is used to."""
        trained, alignment = self.predictor.alignment, records.alignment
        if trained.kind == "none" or trained == alignment:
            return ""
        text = f"its pictures were cut out by {trained.kind} with a margin of {trained.margin:g}"
        if alignment is None:
            return f"{text}; how these were is not known"
        these = f"{alignment.kind} with a margin of {alignment.margin:g}"
        return f"{text}, these by {these}: errors differ by that alone"


def load_all(
    checkpoints: Sequence[Path],
    trust: Sequence[str],
    log: Callable[[str], None],
    raw: bool = False,
) -> list[Candidate]:
    """Loads what `ldl_jax.load` takes, with `raw` uncalibrated; `log` takes its warnings.

    Raises:
      ValueError: naming everything that cannot be read.
    """
    candidates, faults = [], []
    for name, path in zip(short_names(checkpoints), checkpoints, strict=True):
        try:
            candidates.append(Candidate(name, path, load(path, trust=trust, raw=raw, log=log)))
        except ValueError as error:
            faults.append(str(error).removeprefix("path: "))
    if faults:
        raise ValueError(f"--checkpoint: {'; '.join(faults)}")
    return candidates


def spaces_of(
    candidates: Sequence[Candidate], records: Records, rows: np.ndarray, stated: str
) -> list[tuple[LabelSpace, str]]:
    """Returns `compared_in` of each model; `stated` is the config's data.space.

    Raises:
      ConfigError: the config's space is none.
      DataError: a label lies outside of the space that the config states.
      ValueError: naming every model that cannot be compared with the labels.
    """
    space = None
    if stated != "train":
        with data.keys_below("data."):
            space = dataclasses.replace(LabelSpace.parse(stated), unit=records.unit)
        protocols.check_labels(records, space, rows)
    spaces, faults = [], []
    for candidate in candidates:
        model_space = candidate.predictor.space
        try:
            spaces.append(compared_in(model_space, space, records.unit, records.labels[rows]))
        except ValueError as error:
            faults.append(f"{candidate.name} {error}")
    if faults:
        raise ValueError(f"--checkpoint: {'; '.join(faults)}")
    return spaces


def compared_in(
    model_space: LabelSpace, stated: LabelSpace | None, unit: str, labels: np.ndarray
) -> tuple[LabelSpace, str]:
    """Returns the space that a model is compared with labels in, and a note for the reader or "".

    In the space that is stated, if one is, else in the model's own. Years are years: of ages the
    values are compared whatever the two spaces are. Another unit, as a score, is a scale of its
    own, so the model's ends must be those that are stated, or hold all labels.

    Args:
      model_space: the space of the model's answers.
      stated: the space of the labels, where it is known.
      unit: of the labels.
      labels: [N].

    Raises:
      ValueError: the two cannot be compared; the message goes on after the model's name.
    """
    if model_space.unit != unit:
        raise ValueError(f"answers in {model_space.unit}, and the labels are in {unit}")
    if stated is not None and same_values(stated, model_space):
        return model_space, ""
    ends = f"{model_space.low:g} to {model_space.high:g}"
    outside = int((~model_space.contains(labels)).sum())
    label_ends = f"{labels.min():g} to {labels.max():g}"
    if stated is not None:
        label_ends = f"{stated.low:g} to {stated.high:g}"
    if unit != "years" and (outside or (stated is not None and label_ends != ends)):
        raise ValueError(
            f"answers from {ends} {unit}, and the labels are from {label_ends}: another scale"
        )
    note = f"{outside} of {len(labels)} labels are beyond its own, {ends} {unit}" if outside else ""
    if stated is None:
        return model_space, note
    text = "its values are compared, its distributions are over other labels and left out"
    return stated, f"{text}; {note}" if note else text


def same_values(first: LabelSpace, second: LabelSpace) -> bool:
    """Returns whether two spaces have the same values and the same groups."""
    return (first.values, first.bounds) == (second.values, second.bounds)
