"""Reads whole age models from other projects' files, as `checkpoint.read` reads a run's."""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import AGE, LabelSpace
from ldl_jax.models import pretrained, weight_files
from ldl_jax.models.pretrained import HeadArrays, NonFiniteWeightsError
from ldl_jax.models.weight_files import WeightFile
from ldl_jax.train.record import Options, Record
from ldl_jax.train.weights import Arrays


class _Kind(NamedTuple):
    """A kind of file with a head for ages: its network, and the method that reads its head."""

    network: Options
    method: Options
    start: str  # of some array's name, which tells the kind without making the network
    space: LabelSpace = AGE
    alignment: Alignment = Alignment("box", 0.4)  # how faces were cut out


_SSR: Options = {"name": "ssr", "stages": [3, 3, 3], "least": 0.0}
_VALUE: Options = {"name": "regression_l1"}
_KINDS = (
    *(
        _Kind({"name": "mobilenet", "alpha": alpha, "form": "keras"}, _VALUE, f"mobilenet_{name}_")
        for alpha, name in ((0.25, "0.25"), (0.5, "0.50"))
    ),
    *(_Kind({"name": "densenet", "depth": depth}, _VALUE, "densenet/") for depth in (19, 13)),
    *(_Kind({"name": "ssrnet", "form": form}, _SSR, "") for form in ("keras", "pytorch")),
)
# VGGFace2's boxes are extended by 0.3 (Cao et al., "VGGFace2", 2018, Sec. III).
_FACERES = _Kind(
    {"name": "faceres", "features": "hidden"},
    {"name": "dex"},
    "",
    LabelSpace.range(1, 100),
    Alignment("box", 0.3),
)


def read(path: Path, *, allow_nonfinite: bool = False) -> tuple[Record, Arrays]:
    """Reads a file with a whole age model: the record and the weights that a run's would have.

    Args:
      path: the file.
      allow_nonfinite: whether weights may be NaN or infinite.

    Raises:
      ValueError: it cannot be read, is of no known kind, or holds a network without a head for
        ages; the message names that network.
    """
    with weight_files.opened(path) as file:  # raises where it is no weight file at all
        return _read_any(file, path, allow_nonfinite)


def _read_any(file: WeightFile, path: Path, allow_nonfinite: bool) -> tuple[Record, Arrays]:
    if file.graph is not None:
        return _read_graph(file, path, allow_nonfinite)
    reasons = []
    for kind in _KINDS:
        if not any(name.startswith(kind.start) for name in file.arrays):
            continue
        try:
            return _read(file, path, kind, allow_nonfinite)
        except NonFiniteWeightsError:
            raise
        except ValueError as error:
            if kind.method is _SSR:
                reasons.append(str(error))
    for network, known in pretrained.LAYOUTS.items():
        if not any(name.startswith(layout.sign) for name in file.arrays for layout in known):
            continue  # most networks take their time to be made
        try:
            pretrained.fitted(file, path, models.build(network), allow_nonfinite=True)
        except ValueError:
            continue
        raise ValueError(
            f"path: {path} holds the backbone of a {network} only, without a head for ages; train "
            f"one on it with --config.model.name={network} --config.init.path={path}"
        )
    why = min(reasons, key=len, default="it has no arrays")[:300]
    raise ValueError(
        f"path: {path} is neither a whole age model (of SSR-Net's authors, or HSE-FaceRes) nor the "
        f"backbone of one of {', '.join(pretrained.LAYOUTS)}; as an SSR-Net: {why}"
    )


def _read_graph(file: WeightFile, path: Path, allow_nonfinite: bool) -> tuple[Record, Arrays]:
    """Reads a TensorFlow.js model, which only HSE-FaceRes is read as."""
    try:
        return _read(file, path, _FACERES, allow_nonfinite)
    except NonFiniteWeightsError:
        raise
    except ValueError as error:
        text = str(error)
        raise ValueError(text if len(text) < 400 else f"{text[:400]} ... and more") from None


def _read(
    file: WeightFile, path: Path, kind: _Kind, allow_nonfinite: bool
) -> tuple[Record, Arrays]:
    model = models.build(**kind.network)
    head = methods.get(space=kind.space, **kind.method).head
    shapes = jax.eval_shape(lambda key: head.init(key, model.width), jax.random.key(0))
    if kind.method is _VALUE:
        shapes = {"age": shapes["score"]}
    loaded = pretrained.fitted(
        file, path, model, shapes, strict=True, allow_nonfinite=allow_nonfinite
    )
    inputs = loaded.inputs
    assert inputs is not None, "a whole model's layout says what pictures it takes"
    channels = inputs.colours.lower()
    preprocessing = Preprocessing(
        model.size, model.size, inputs.mean, inputs.std, channels=channels
    )
    about = Record(kind.network, kind.method, kind.space, preprocessing, kind.alignment, flip=False)
    top = _scored(loaded.head) if kind.method is _VALUE else loaded.head
    return about, {
        "params": {"backbone": loaded.params, "head": top},
        "model_state": loaded.model_state,
    }


def _scored(head: HeadArrays) -> HeadArrays:
    """Returns a head of ages in years as one of scores on the normalised scale of `AGE`."""
    kernel, bias = (head["age"][leaf] for leaf in ("kernel", "bias"))
    scale = np.float32(AGE.high - AGE.low)
    return {"score": {"kernel": kernel / scale, "bias": (bias - np.float32(AGE.low)) / scale}}
