"""Reads whole age models from other projects' files, as `checkpoint.read` reads a run's."""

from pathlib import Path

import jax

from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import AGE
from ldl_jax.models import pretrained, weight_files
from ldl_jax.train.checkpoint import Arrays
from ldl_jax.train.record import Options, Record

# The networks of files with a head for ages, their method, and how faces were cut out for them.
_NETWORKS: tuple[Options, ...] = tuple(
    {"name": "ssrnet", "form": form} for form in ("keras", "pytorch")
)
_METHOD: Options = {"name": "ssr", "stages": [3, 3, 3], "least": 0.0}
_ALIGNMENT = Alignment("box", 0.4)


def read(path: Path, *, allow_nonfinite: bool = False) -> tuple[Record, Arrays]:
    """Reads a file with a whole age model: the record and the weights that a run's would have.

    Raises:
      ValueError: it cannot be read, is of no known kind, or holds a network without a head for
        ages; the message names that network.
    """
    weight_files.read(path)  # raises where it is no weight file at all
    reasons = []
    head = methods.get(space=AGE, **_METHOD).head
    for network in _NETWORKS:
        model = models.build(**network)
        width = model.width
        shapes = jax.eval_shape(lambda key, width=width: head.init(key, width), jax.random.key(0))
        try:
            loaded = pretrained.load(path, model, shapes, strict=True)
        except ValueError as error:
            reasons.append(str(error))
            continue
        inputs = loaded.inputs
        assert inputs is not None, "a whole model's layout says what pictures it takes"
        channels = inputs.colours.lower()
        preprocessing = Preprocessing(
            model.size, model.size, inputs.mean, inputs.std, channels=channels
        )
        about = Record(network, _METHOD, AGE, preprocessing, _ALIGNMENT, flip=False)
        return about, {
            "params": {"backbone": loaded.params, "head": loaded.head},
            "model_state": loaded.model_state,
        }
    for name in pretrained.LAYOUTS:
        try:
            pretrained.load(path, models.build(name))
        except ValueError:
            continue
        raise ValueError(
            f"path: {path} holds the backbone of a {name} only, without a head for ages; train "
            f"one on it with --config.model.name={name} --config.init.path={path}"
        )
    raise ValueError(
        f"path: {path} is neither a whole age model (an SSR-Net) nor the backbone of one of "
        f"{', '.join(pretrained.LAYOUTS)}; as an SSR-Net: {min(reasons, key=len)[:300]}"
    )
