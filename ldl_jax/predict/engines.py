"""The programs that can compute a predictor's answers: XLA, and ONNX Runtime on CPUs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ldl_jax import files
from ldl_jax.extras import needed
from ldl_jax.methods import Prediction
from ldl_jax.predict import answering
from ldl_jax.predict.answering import HEAD, INPUT, OUTPUTS, Traceable
from ldl_jax.train import record
from ldl_jax.train.record import Record

ENGINES = ("xla", "onnxruntime", "auto")
_MOST = 256  # pictures at a time, as many as XLA's largest program takes


class Session:
    """An ONNX model of `ldl_jax.predict.graph`, ready to answer on CPUs.

    Attributes:
      about: the record of the checkpoint that the model was made of.
      value_alone: whether its method gives a value without a distribution.
    """

    def __init__(self, content: bytes, source: str) -> None:
        """Reads a model.

        Args:
          content: that of the file.
          source: what it is, for messages.

        Raises:
          ValueError: ONNX Runtime is not installed, it is no ONNX model, none of this package, or
            one of a newer form.
        """
        runtime = needed("onnxruntime", source)
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is said by an error, once
        try:
            self._session = runtime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            texts = dict(self._session.get_modelmeta().custom_metadata_map)
        except Exception as error:  # ONNX Runtime's own kinds, of a damaged file
            reason = " ".join(str(error).split())[:300]
            raise ValueError(f"{source} is no ONNX model that can be run: {reason}") from None
        self.about, self.value_alone, self._names = _read(texts, source)
        self._check(source)

    def __call__(self, images: np.ndarray) -> Prediction:
        """Answers for stored pictures, uint8 [B, S, S, 3], in NumPy."""
        answers: dict[str, Any] = self._run(images)
        heads = {k.removeprefix(HEAD): x for k, x in answers.items() if k.startswith(HEAD)}
        return Prediction(answers["value"], answers["probs"], heads)

    def interval(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns both ends [B] of the interval that the model computes itself, of 90 %."""
        answers = self._run(images)
        return answers["low"], answers["high"]

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        parts = [
            self._session.run(self._names, {INPUT: np.ascontiguousarray(images[start:][:_MOST])})
            for start in range(0, len(images), _MOST)
        ]
        return {
            name: np.concatenate([part[index] for part in parts])
            for index, name in enumerate(self._names)
        }

    def _check(self, source: str) -> None:
        """Checks that the model takes and gives what its metadata say."""
        size, count = self.about.preprocessing.stored_size, self.about.space.size
        takes = {x.name: (x.type, x.shape[1:]) for x in self._session.get_inputs()}
        gives = {x.name: (x.type, x.shape[1:]) for x in self._session.get_outputs()}
        expected: dict[str, tuple[str, list[int]]]
        expected = {name: ("tensor(float)", []) for name in self._names}
        expected["probs"] = ("tensor(float)", [count])
        if takes != {INPUT: ("tensor(uint8)", [size, size, 3])} or gives != expected:
            raise ValueError(
                f"{source}: its metadata are those of another model: it takes {takes} and gives "
                f"{gives}"
            )


def _read(texts: Mapping[str, str], source: str) -> tuple[Record, bool, list[str]]:
    """Returns the record, whether there is a value alone, and the outputs, of a model's metadata.

    Raises:
      ValueError: they are not there, damaged, or newer than this release.
    """
    if "record" not in texts:
        raise ValueError(
            f"{source} is an ONNX model without this package's metadata; one is written by "
            "python -m launch.export RUN --to=model.onnx"
        )
    version = _parsed(texts, "format", source)
    if type(version) is not int or version > answering.FORMAT:
        raise ValueError(
            f"{source}: its format is {version!r}, and this release reads up to "
            f"{answering.FORMAT}; use the release that wrote it, or a newer one"
        )
    about = record.from_json(_parsed(texts, "record", source), Path(source))
    names = _parsed(texts, "outputs", source)
    alone = _parsed(texts, "value_alone", source)
    texts_alone = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not texts_alone or names[: len(OUTPUTS)] != [*OUTPUTS] or not isinstance(alone, bool):
        raise ValueError(f"{source}: its metadata outputs or value_alone are damaged")
    return about, alone, names


def _parsed(texts: Mapping[str, str], key: str, source: str) -> Any:
    try:
        return json.loads(texts[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{source}: its metadata {key} cannot be read: {error}") from None


def opened(path: Path) -> Session:
    """Opens an ONNX file that this package wrote.

    Raises:
      ValueError: it is no such file.
    """
    try:
        content = files.content_of(path, most=2**31)
    except OSError as error:
        raise ValueError(f"path: {path} cannot be read: {error}") from None
    return Session(content, f"path: {path}")


def check(engine: str) -> None:
    """Raises ValueError unless an engine is one of `ENGINES`."""
    if engine not in ENGINES:
        raise ValueError(f"engine: expected one of {', '.join(ENGINES)}, got {engine!r}")


def session(predictor: Traceable, engine: str) -> Session | None:
    """Returns the session of a predictor's engine, or None for XLA.

    Args:
      predictor: the model.
      engine: one of `ENGINES`. "auto" is ONNX Runtime where it is installed, there is no
        accelerator, and the network is one that it was measured to be faster with; else XLA.

    Raises:
      ValueError: the engine is unknown, or cannot run the model here.
    """
    check(engine)
    if engine == "xla" or (engine == "auto" and not _pays()):
        return None
    what = "engine: onnxruntime"
    needed("onnxruntime", what)
    needed("onnx", what)
    from ldl_jax.predict.graph import graph  # late, since it needs the package onnx

    try:
        return Session(graph(predictor).SerializeToString(), what)
    except ValueError:
        if engine == "auto":
            return None
        raise


def _pays() -> bool:
    """Returns whether ONNX Runtime can be expected to be faster than XLA here."""
    if jax.default_backend() != "cpu":
        return False
    try:
        needed("onnxruntime", "")
        needed("onnx", "")
    except ValueError:
        return False
    return True
