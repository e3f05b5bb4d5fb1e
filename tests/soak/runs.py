"""A run's folder with a checkpoint, and a whole model of the authors' format."""

from pathlib import Path

import jax
import jax.numpy as jnp

from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.files import write_json
from ldl_jax.labels import AGE
from ldl_jax.models.functional import functional
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.record import Record
from ldl_jax.train.state import Weights
from tests.conftest import Tiny
from tests.predict.test_predictor import write_ssrnet

TINY = functional("tiny", Tiny, 16)


def register() -> None:
    """Lists the network, in a worker: other tests of this process go through all networks."""
    models.MODELS["tiny"] = lambda dtype="float32": TINY


def make(folder: Path) -> None:
    """Writes a workdir of one finished generation, as far as `ldl_jax.load` reads it."""
    method = methods.get("dldl", space=AGE)
    backbone, model_state = jax.eval_shape(TINY.init, jax.random.key(0))
    head = jax.eval_shape(lambda key: method.head.init(key, TINY.width), jax.random.key(0))
    params = {"backbone": backbone, "head": head}
    weights = jax.tree.map(
        lambda like: jnp.full(like.shape, 0.01, like.dtype), Weights(params, model_state)
    )
    record = Record(
        {"name": "tiny", "dtype": "float32"},
        {"name": "dldl"},
        AGE,
        Preprocessing(32, 32),
        Alignment(),
        flip=False,
    )
    checkpoints = Checkpoints(folder / "checkpoints/generation_1")
    checkpoints.save(1, {"weights": weights}, record)
    checkpoints.close()
    write_json(folder / "generation_1.json", {"generation": 1, "mae": 3.5})


def sealed(path: Path, answer: object) -> str:
    """Objects to any answer from a checkpoint whose files are not as they were written."""
    return f"{path.name} is not as it was sealed"


def make_ssrnet(folder: Path) -> None:
    """Writes an SSR-Net as the authors' HDF5 files have it."""
    write_ssrnet(folder / "imdb.h5")
