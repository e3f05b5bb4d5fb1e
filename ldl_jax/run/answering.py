"""The flags of the commands that answer for pictures: the checkpoint, and how faces are found."""

import dataclasses
from collections.abc import Callable

from absl import flags

from ldl_jax.calibration import limits
from ldl_jax.data.align import Alignment, Detect
from ldl_jax.data.detect import choice
from ldl_jax.predict import engines, faces, loading
from ldl_jax.predict.predictor import Predictor
from ldl_jax.run.pairs import pairs

Tell = Callable[[str], None]

ALIGNED = flags.DEFINE_boolean(
    "aligned", False, "each picture is one face, already cut out: look for none"
)
_ALIGN = flags.DEFINE_enum(
    "align",
    None,
    ["box", "similarity", "quad"],
    "how faces are cut out; by default as the checkpoint's training pictures were",
)
_MARGIN = flags.DEFINE_float(
    "margin", None, "around a face, as a share of its box; by default the checkpoint's"
)
COVERAGE = flags.DEFINE_float(
    "coverage",
    0.9,
    "what the intervals hold: of new labels, where the model is calibrated, else of the "
    "distribution",
)
_RAW = flags.DEFINE_boolean("raw", False, "answer as the network does, without its calibration")
_DETECTOR = flags.DEFINE_string(
    "detector",
    "mtcnn",
    "what finds the faces: mtcnn, a .safetensors file of its weights, or package.module:factory",
)
_DETECTOR_OPTION = flags.DEFINE_multi_string(
    "detector-option",
    [],
    "NAME=VALUE of the detector, as smallest=40 or factor=0.8 of mtcnn's; may be repeated",
)
_THRESHOLD = flags.DEFINE_float(
    "detector-threshold", None, "the least confidence of a face that is found, from 0 to 1"
)
MEGAPIXELS = flags.DEFINE_float(
    "max-megapixels",
    None,
    "the largest picture that is read, in millions of pixels; by default 178, and 64 in a server",
)
_TRUST = flags.DEFINE_multi_string(
    "trust", [], "a module that the checkpoint may have imported, and so run: package.module"
)
_OLDER = flags.DEFINE_boolean(
    "allow-older", False, "let an older checkpoint answer where a newer one is damaged; exit with 0"
)
_UNSEALED = flags.DEFINE_boolean(
    "allow-unsealed", False, "read a checkpoint that was sealed once and has no seal now"
)
_NONFINITE = flags.DEFINE_boolean("allow-nonfinite", False, "take weights that are NaN or infinite")
_ENGINE = flags.DEFINE_enum(
    "engine",
    "auto",
    engines.ENGINES,
    "what computes the answers; auto is ONNX Runtime on CPUs that have it, and XLA elsewhere",
)


def check() -> None:
    """Checks the flags before anything is read.

    Raises:
      ValueError: a flag has a wrong value, or two flags do not go together.
    """
    if not 0 < COVERAGE.value < 1:
        raise ValueError(f"--coverage: expected between 0 and 1, got {COVERAGE.value}")
    if _THRESHOLD.value is not None and not 0 <= _THRESHOLD.value <= 1:
        raise ValueError(f"--detector-threshold: expected 0 to 1, got {_THRESHOLD.value}")
    if MEGAPIXELS.value is not None and not 0 < MEGAPIXELS.value < 1e5:
        raise ValueError(f"--max-megapixels: expected above 0, got {MEGAPIXELS.value}")
    for flag in (_ALIGN, _MARGIN, _THRESHOLD, _DETECTOR, _DETECTOR_OPTION):
        if ALIGNED.value and flag.present:
            raise ValueError(f"--{flag.name}: with --aligned no face is cut out; leave one of them")


def load(checkpoint: str, tell: Tell) -> tuple[Predictor, list[str]]:
    """Loads a checkpoint as the flags say; returns it with a line on each thing wrong with it.

    Args:
      checkpoint: a run's workdir, one checkpoint, or the file of an age model.
      tell: takes each of the lines, as a warning.

    Raises:
      ValueError, OSError: it cannot be loaded; see `ldl_jax.load`.
    """
    warnings: list[str] = []
    predictor = loading.load(
        checkpoint,
        trust=_TRUST.value,
        allow_unsealed=_UNSEALED.value,
        allow_nonfinite=_NONFINITE.value,
        engine=_ENGINE.value,
        raw=_RAW.value,
        log=warnings.append,
    )
    for line in warnings:
        tell(f"warning: {' '.join(line.split())}")
    return predictor, warnings


def interval_notes(predictor: Predictor, group: str, tell: Tell) -> list[str]:
    """Returns what is to be said of the group of people that is given, and tells it.

    Raises:
      ValueError: the model's calibration has no intervals of the coverage that is asked for.
    """
    known, notes = predictor.about.calibration, list[str]()
    if known is not None:
        try:
            limits(known, COVERAGE.value, group)
        except ValueError as error:
            raise ValueError(f"--{error}; or leave the calibration out, with --raw") from None
    names = [cell.name for cell in known.groups] if known is not None else []
    if group and group not in names:
        listed = f"it knows {', '.join(names)}" if names else "it knows none"
        notes = [f"the model is not calibrated for the group {group!r} ({listed}): all's are taken"]
    for note in notes:
        tell(f"warning: {note}")
    return notes


def older(predictor: Predictor) -> str:
    """Returns a line where an older checkpoint answers and the flags do not allow it."""
    if not predictor.older or _OLDER.value:
        return ""
    return "an older checkpoint answered; where that is wanted, give --allow-older"


def alignment(predictor: Predictor, tell: Tell) -> Alignment:
    """Returns how faces are cut out: as the flags say, else as the checkpoint's pictures were.

    `tell` takes a line where the checkpoint does not say it.
    """
    stored = predictor.alignment
    margin = stored.margin if _MARGIN.value is None else _MARGIN.value
    chosen = dataclasses.replace(stored, kind=_ALIGN.value or stored.kind, margin=margin)
    if chosen.kind == "none" and not ALIGNED.value:
        tell(
            "the checkpoint does not say how its training pictures were cut out: faces are cut "
            f"out by their box with a margin of {chosen.margin:g}; see --align and --margin, or "
            "--aligned"
        )
    return chosen


def tell_value_alone(predictor: Predictor, tell: Tell) -> None:
    """Tells where the method gives a value without a distribution."""
    if predictor.value_alone:
        tell(
            f"the method {predictor.about.method['name']} gives a value alone: its distribution "
            "is the labels next to it, and it has no interval"
        )


def detector() -> Detect | None:
    """Loads the detector that the flags name, or returns None with --aligned.

    Raises:
      ValueError: it cannot be loaded.
    """
    if ALIGNED.value:
        return None
    settings = pairs("detector-option", _DETECTOR_OPTION.value)
    if _THRESHOLD.value is not None:
        settings["threshold"] = _THRESHOLD.value
    try:
        return choice.load(_DETECTOR.value, **settings)
    except ValueError as error:
        raise ValueError(f"{error}; or give faces already cut out, with --aligned") from None


def decoders(megapixels: float | None = None) -> int | None:
    """Sets the largest picture that is read, by the flag or else `megapixels`.

    Returns:
      The threads that may read such pictures; None is one for each processor.
    """
    most = megapixels if MEGAPIXELS.value is None else MEGAPIXELS.value
    return None if most is None else faces.allow(most)
