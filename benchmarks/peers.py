"""Measures SSR-Net beside its authors' network in Keras: `make bench-peers`.

    python -m benchmarks.peers --keras=.cache/keras/bin/python [--repeats 7]

`--keras` is the Python of an environment with Keras and TensorFlow, which the make target installs.
Both sides have the same weights, and give the same ages (checked first). They take turns; a ratio
is the median over the turns. The library's side is that of `benchmarks.train_step`: fetching,
augmentation (in training) and preprocessing are in its time. Keras' side is given a ready batch.
"""

import contextlib
import functools
import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from benchmarks import printing, timing, train_step_library
from ldl_jax.models.ssrnet_layouts import keras_backbone, keras_head
from ldl_jax.processes.memory import keep_freed
from ldl_jax.train.state import Weights

SHAPES = (("train", 50), ("infer", 50), ("infer", 256))


class Keras:
    """The other side, a process of its own that answers a line at a time."""

    def __init__(self, python: str, weights: Path) -> None:
        command = [python, str(Path(__file__).with_name("keras_ssrnet.py")), str(weights)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL, **pipes)

    def ask(self, **asked: object) -> dict[str, Any]:
        """Sends a line and returns its answer.

        Raises:
          RuntimeError: the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("Keras' side has ended; run benchmarks/keras_ssrnet.py by itself")
        return json.loads(line)

    def run(self, step: str, batch: int, calls: int) -> None:
        """Takes a number of steps."""
        self.ask(step=step, batch=batch, calls=calls)


@contextlib.contextmanager
def started(python: str, weights: Weights) -> Iterator[Keras]:
    """Starts Keras' side with the library's weights, and ends it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        np.savez(path, allow_pickle=False, **keras_arrays(weights))
        keras = Keras(python, path)
        try:
            yield keras
        finally:
            keras.process.kill()
            keras.process.wait()


def keras_arrays(weights: Weights) -> dict[str, np.ndarray]:
    """Returns the arrays of SSR-Net by their names in Keras."""
    backbone = flatten_dict(weights.params["backbone"]) | flatten_dict(weights.model_state)
    head = flatten_dict(weights.params["head"])
    shapes = {path: array.shape for path, array in backbone.items()}
    sources = keras_backbone(shapes)
    arrays = {sources[path].name: np.asarray(array) for path, array in backbone.items()}
    of_head = keras_head(shapes)
    return arrays | {of_head[path].name: np.asarray(array) for path, array in head.items()}


def check(keras: Keras, predict: Any, weights: Weights) -> float:
    """Returns the greatest difference between the sides' ages, as a share of an age.

    Args:
      keras: the other side.
      predict: the library's `predict(weights, images) -> Prediction`.
      weights: those of both sides.

    Raises:
      ValueError: it is above 1e-4.
    """
    images = np.random.default_rng(0).uniform(0, 255, (8, 64, 64, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, images)
        theirs = np.asarray(keras.ask(step="answer", images=str(path))["ages"])
    ours = np.asarray(jax.jit(predict)(weights, images).value)
    difference = float(np.abs(ours / theirs - 1).max())
    if not difference <= 1e-4:
        raise ValueError(f"the sides answer differently, by a share of {difference:.3g}")
    return difference


def moved(weights: Weights) -> Weights:
    """Returns weights that are moved a little upwards: fresh ones answer 0 for any picture."""
    rng = np.random.default_rng(1)

    def moved(x: jax.Array) -> jax.Array:
        return x + np.abs(rng.normal(0, 0.01, x.shape)).astype(np.float32)

    return jax.tree.map(moved, weights)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a row as soon as it is measured."""
    parser = printing.parser("peers", __doc__)
    parser.add_argument("--keras", required=True, help="the Python of Keras' environment")
    parser.add_argument("--repeats", type=int, default=7, help="turns")
    options = parser.parse_args(arguments)
    keep_freed()  # as the training command does
    library, weights = {}, None
    for batch in sorted({batch for _, batch in SHAPES}):
        config = train_step_library.config_of("ssrnet", 64, "float32", batch)
        job = train_step_library.job_of(config)
        weights = moved(train_step_library.weights_of(job)) if weights is None else weights
        library[batch] = train_step_library.functions(job, weights)
    assert weights is not None
    with started(options.keras, weights) as keras:
        difference = check(keras, train_step_library.predict_of(job), weights)
        print(f"{printing.device()}; jax {jax.__version__}; SSR-Net at 64x64, float32")
        print(f"The sides' answers differ by a share of {difference:.1e} at most.\n")
        print(printing.head("step|batch:|JAX images/s:|Keras images/s:|JAX / Keras:"), flush=True)
        for step, batch in SHAPES:
            runs: dict[str, timing.Run] = {
                "jax": library[batch][step].run,
                "keras": functools.partial(keras.run, step, batch),
            }
            times = timing.in_turns(runs, options.repeats, most=20.0)
            cells = [step, str(batch)]
            cells += [f"{batch / times[side].median:.0f}" for side in ("jax", "keras")]
            cells.append(f"{times['keras'].over(times['jax']):.2f}")
            print(printing.line(cells), flush=True)


if __name__ == "__main__":
    main()
