"""Loads the predictor of a run, a checkpoint, a model file or a foreign file."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ldl_jax.predict import engines, foreign, hub, one_file, recorded
from ldl_jax.predict.one_file import Notes
from ldl_jax.predict.predictor import Predictor
from ldl_jax.predict.trust import check as trust_check
from ldl_jax.train import model_file
from ldl_jax.train.intact import LogLine, warn


def load(
    path: str | Path,
    *,
    trust: Sequence[str] = (),
    allow_unsealed: bool = False,
    allow_nonfinite: bool = False,
    engine: str = "xla",
    raw: bool = False,
    log: LogLine = warn,
) -> Predictor:
    """Loads the predictor of a run's workdir (its last finished generation), of one checkpoint, of
    one file that `Predictor.save` wrote, or of a foreign file that holds a whole age model: those
    of SSR-Net's authors, or HSE-FaceRes'.

    A foreign file is always safe to open. A checkpoint may name a method of somebody's own, as
    "package.module:factory"; that code is imported only where `trust` names its module.

    Args:
      path: the folder or the file, or a model on the Hugging Face hub, as "hf://owner/name" or
        "hf://owner/name@revision" (`ldl_jax.predict.hub`).
      trust: the modules that a checkpoint may have imported, as "package.module".
      allow_unsealed: whether a checkpoint is read that was sealed once and has no seal now.
      allow_nonfinite: whether weights may be NaN or infinite.
      engine: what computes the answers, "xla", "onnxruntime" or "auto" (`ldl_jax.predict.engines`).
        Score maps and `pure` are XLA's always, and an ONNX file's answers ONNX Runtime's.
      raw: whether answers stay as the network gives them, without the model's calibration.
      log: takes a line of text on what is wrong, where there still is an answer: a newer checkpoint
        that is damaged, or one without a seal. By default it warns.

    Raises:
      ValueError: nothing that can be read is there, only a network without a head for ages, weights
        that do not fit their network or are not finite, code that is not trusted, or a calibration
        of another network.
    """
    path = hub.local(path)
    if not path.exists():
        raise ValueError(f"path: {path} does not exist")
    engines.check(engine)
    if path.suffix == ".onnx" and path.is_file():
        of_file = engines.opened(path)
        if raw and of_file.about.calibration is not None:
            raise ValueError(
                f"path: {path} has its calibration inside; load the run it was made of"
            )
        return Predictor(of_file.about, None, of_file)
    older: list[str] = []
    folders: list[Path] = []
    notes = Notes()
    if path.is_dir():
        from ldl_jax.train import checkpoint  # late, since it needs Orbax, and no file does

        about, weights = checkpoint.read(
            path, log, older.append, allow_unsealed=allow_unsealed, located=folders.append
        )
    elif path.is_file() and one_file.knows(path):
        about, weights, notes = model_file.read(path)
    elif path.is_file():
        about, weights = foreign.read(path, allow_nonfinite=allow_nonfinite)
    else:
        raise ValueError(f"path: {path} is neither a file nor a folder")
    for line in older:
        log(line)
    trust_check(about, trust, path)
    if raw:
        about = dataclasses.replace(about, calibration=None)
    predictor = Predictor(about, recorded.fitting(about, weights, path, allow_nonfinite))
    predictor.older, predictor.notes = tuple(older), notes
    predictor.session = engines.session(predictor, engine)
    predictor.folder = folders[0] if folders else None
    return predictor
