"""The record of a checkpoint: what its weights are and how pictures are prepared for them.

Whoever adds a field raises `VERSION`, and gives older records its value in `_upgraded`.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldl_jax.calibration import Calibration
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.augment.looks import check_crops
from ldl_jax.labels import LabelSpace

# Records of release 0.1.0 have no version and count as 0. Checkpoints with a record of version 2 or
# newer are sealed, so that a missing seal is a fault.
VERSION = 5
SEALED = 2
Options = Mapping[str, Any]  # arguments by name, of JSON's types
_LARGEST = 2**1000  # of the whole numbers that are a float


class RecordError(ValueError):
    """A record that cannot be read; the message names the file and the field."""


@dataclasses.dataclass(frozen=True)
class BestValidation:
    """Why weights were kept as the best of their generation.

    Attributes:
      metric: a key of `report.summary`.
      value: its value over the validation part.
      step: the step that it was measured at.
    """

    metric: str
    value: float
    step: int


@dataclasses.dataclass(frozen=True)
class Record:
    """Everything that is needed to use the weights of a checkpoint.

    Attributes:
      model: the options of `models.build`, with the network's name.
      method: the options of `methods.get`, with the method's name.
      space: the label space of the answers.
      preprocessing: what is done to each picture before the network.
      alignment: how the training pictures were cut out of larger ones.
      flip: whether an answer is the mean over a picture and its mirror image.
      crops: the shares of a picture that an answer is the mean over; () for the picture alone.
      generation: which generation of a chain it is, from 1; 0 where no run here trained it.
      step: how many steps the generation had been trained for.
      best: the validation that these weights were kept for, where they were.
      hidden: the units of the hidden layers below the method's head.
      standardised: whether the head standardises the network's features (`methods.deep`).
      backbone: the SHA-256 of the network's arrays where they lie beside the checkpoints
        (`ldl_jax.train.backbone`), as features of it were trained on; "" where they are in it.
      calibration: what answers are calibrated by; None where `launch.calibrate` has fitted none.

    Raises:
      ValueError: the calibration is of other labels, or the crops are no shares of a picture.
    """

    model: Options
    method: Options
    space: LabelSpace
    preprocessing: Preprocessing
    alignment: Alignment
    flip: bool
    crops: tuple[float, ...] = ()
    generation: int = 0
    step: int = 0
    best: BestValidation | None = None
    hidden: tuple[int, ...] = ()
    standardised: bool = False
    backbone: str = ""
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        check_crops("crops", self.crops)
        known = self.calibration
        if known is not None and known.space != self.space:
            raise ValueError(
                f"calibration: is of {_span(known.space)}, and the answers are of "
                f"{_span(self.space)}; calibrate the model itself"
            )

    def to_json(self) -> dict[str, object]:
        """Returns the record with its version, of JSON's types."""
        return {"version": VERSION, **dataclasses.asdict(self)}


def is_sealed(content: object) -> bool:
    """Returns whether a record says that its checkpoint was sealed when it was written."""
    version = content.get("version") if isinstance(content, dict) else None
    return isinstance(version, int) and version >= SEALED


def from_json(content: object, source: Path) -> Record:
    """Reads what `Record.to_json` gave, in this version or an older one.

    Args:
      content: of JSON's types.
      source: the checkpoint, for messages.

    Raises:
      RecordError: the record is of a newer version, or a field is missing, unknown or not valid.
    """
    if not isinstance(content, dict):
        raise RecordError(f"{source}: its record: expected an object, got {_shown(content)}")
    version = content.get("version", 0)
    if type(version) is not int or version < 0:
        raise RecordError(
            f"{source}: its record: version: expected a number, got {_shown(version)}"
        )
    if version > VERSION:
        raise RecordError(
            f"{source}: its record has version {version}, and this release reads up to {VERSION}; "
            "use the release that wrote it, or a newer one"
        )
    fields = {name: value for name, value in content.items() if name != "version"}
    try:
        return typing.cast(Record, _value(Record, _upgraded(fields, version), ""))
    except ValueError as error:
        raise RecordError(f"{source}: its record: {error}") from None


def _span(space: LabelSpace) -> str:
    return f"{space.size} labels from {space.low:g} to {space.high:g} {space.unit}"


def _upgraded(fields: dict[str, object], version: int) -> dict[str, object]:
    """Returns the fields of an older record as those of this version."""
    if version < 5:
        fields = {"crops": [], **fields}
    if version < 4:
        fields = {"calibration": None, **fields}
    if version < 3:
        fields = {"hidden": [], "standardised": False, "backbone": "", **fields}
    preprocessing = fields.get("preprocessing")
    if version < 4 and isinstance(preprocessing, dict):
        fields = {**fields, "preprocessing": {"square": False, **preprocessing}}
    if version >= 1:
        return fields
    alignment = {"kind": "none", "margin": 0.4}
    fields = {"alignment": alignment, "generation": 0, "step": 0, "best": None, **fields}
    preprocessing = fields.get("preprocessing")
    if isinstance(preprocessing, dict):
        fields["preprocessing"] = {"channels": "rgb", **preprocessing}
    return fields


def _value(kind: Any, content: object, name: str) -> object:
    """Converts JSON to the type that a field is annotated with.

    Raises:
      ValueError: the content is of another type; the message names the field.
    """
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object(kind, content, name)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if content is None else _value(arguments[0], content, name)
    if origin is tuple and isinstance(content, list | tuple):
        kinds = arguments[:1] * len(content) if arguments[-1] is Ellipsis else arguments
        if len(kinds) == len(content):
            pairs = zip(kinds, content, strict=True)
            return tuple(_value(inner, item, name) for inner, item in pairs)
    if origin is Mapping and isinstance(content, dict):
        if isinstance(content.get("name"), str):
            return content
        raise ValueError(f"{name}.name: expected a text, got {_shown(content.get('name'))}")
    if kind is float and type(content) is int and abs(content) < _LARGEST:
        return float(content)
    if isinstance(kind, type) and type(content) is kind:
        return content
    expected = kind.__name__ if isinstance(kind, type) else str(kind)
    raise ValueError(f"{name}: expected {expected}, got {_shown(content)}")


def _shown(content: object) -> str:
    """Returns a value for a message, cut short."""
    try:
        text = repr(content)
    except RecursionError:
        text = f"a {type(content).__name__} nested too deep"
    return text if len(text) <= 100 else f"{text[:97]}..."


def _object(kind: type, content: object, name: str) -> object:
    """Converts a JSON object to a dataclass, with every field and no other."""
    prefix = f"{name}." if name else ""
    if not isinstance(content, dict):
        raise ValueError(f"{name}: expected an object, got {_shown(content)}")
    kinds = typing.get_type_hints(kind)
    faults = [f"{prefix}{field} is missing" for field in kinds if field not in content]
    faults += [f"{prefix}{field} is not known" for field in content if field not in kinds]
    if faults:
        raise ValueError("; ".join(faults))
    values = {field: _value(kinds[field], content[field], prefix + field) for field in kinds}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from None
