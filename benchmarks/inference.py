"""Measures answers side by side: XLA, ONNX Runtime, PyTorch, and Keras for SSR-Net.

    python -m benchmarks.inference [--networks resnet10_tiny ssrnet] [--size 64]
        [--batches 1 32 256] [--int8] [--no-torch] [--keras=.cache/keras/bin/python] [--repeats 5]

Every side is given pictures as bytes and returns values, with the same weights; that they answer
alike is checked first. Preprocessing, decoding and, but for SSR-Net, the mean over mirror images
are in the time. Keras' side alone is given a ready batch of floats. The sides take turns; a number
is the median over the turns, and a ratio the median of each turn's. `make bench-peers` makes the
environment that `--keras` names. PyTorch is left out where it is not installed.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from benchmarks import peers, printing, timing
from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import AGE
from ldl_jax.predict.engines import Session
from ldl_jax.predict.graph import graph
from ldl_jax.predict.predictor import Predictor
from ldl_jax.processes.memory import keep_freed
from ldl_jax.train.record import Record
from ldl_jax.train.state import Weights

Answer = Callable[[np.ndarray], np.ndarray]  # stored pictures [B, S, S, 3] to values [B]
SIDES = {"xla": "XLA", "onnx": "ONNX Runtime", "int8": "int8", "torch": "PyTorch", "keras": "Keras"}


def predictor_of(name: str, size: int) -> tuple[Predictor, Weights]:
    """Returns a network with drawn weights, and the weights as they are before folding.

    SSR-Net has its authors' method and raw pictures, the others DLDL-v2's and mirror images.
    """
    staged = name == "ssrnet"
    method = "ssr" if staged else "dldl_v2"
    options = {"size": size} if "size" in models.known_options(name) else {}
    model, form = models.build(name, **options), methods.get(method, space=AGE)
    key = jax.random.key(0)
    backbone, model_state = model.init(key)
    weights = Weights({"backbone": backbone, "head": form.head.init(key, model.width)}, model_state)
    weights = peers.moved(weights) if staged else weights
    raw = Preprocessing(size, size, (0.0,) * 3, (1.0,) * 3)
    preprocessing = raw if staged else Preprocessing(size, size)
    network = {"name": name, **options}
    about = Record(network, {"name": method}, AGE, preprocessing, Alignment(), flip=not staged)
    return Predictor(about, weights), weights


def torch_answer(predictor: Predictor, weights: Weights) -> Answer | None:
    """Returns PyTorch's side, or None where it is not installed or lacks the network."""
    try:
        import torch

        from benchmarks import torch_networks, torch_runs
    except ImportError:
        return None
    about = predictor.about
    name, size = str(about.model["name"]), about.preprocessing.size
    if name not in torch_networks.NETWORKS:
        return None
    network = torch_runs.METHODS[about.method["name"]](torch_networks.NETWORKS[name](size))
    torch_networks.copy_weights(network, weights.params, weights.model_state)
    network.eval().to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(x) for x in (about.preprocessing.mean[0], about.preprocessing.std[0]))
    ages = torch.tensor(AGE.values)

    def values(images: torch.Tensor) -> torch.Tensor:
        outputs = network(images)
        return outputs if outputs.ndim == 1 else outputs.softmax(-1) @ ages

    def answer(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = (torch.from_numpy(images).permute(0, 3, 1, 2).float() - mean) / std
            views = [x, x.flip(3)] if about.flip else [x]
            return (sum(values(view) for view in views) / len(views)).numpy()

    return answer


def sides_of(predictor: Predictor, weights: Weights, int8: bool, torch: bool) -> dict[str, Answer]:
    """Returns the sides of this process by name."""
    sides: dict[str, Answer] = {"xla": lambda images: np.asarray(predictor.answer(images).value)}
    for name in ("onnx", "int8") if int8 else ("onnx",):
        content = graph(predictor, int8=name == "int8").SerializeToString()
        sides[name] = _values(Session(content, f"the model of {name}"))
    twin = torch_answer(predictor, weights) if torch else None
    return sides | ({} if twin is None else {"torch": twin})


def _values(session: Session) -> Answer:
    return lambda images: np.asarray(session(images).value)


def check(sides: Mapping[str, Answer], size: int) -> str:
    """Returns a line on how far the sides' values are from XLA's.

    Raises:
      ValueError: by more than 1e-4 of the ages' range; int8 may be any.
    """
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    values = {name: side(images) for name, side in sides.items()}
    apart = {name: float(np.abs(x - values["xla"]).max()) for name, x in values.items()}
    words = []
    for name, difference in apart.items():
        if name != "int8" and not difference <= 1e-4 * AGE.high:
            raise ValueError(f"{SIDES[name]} answers differently from XLA, by {difference:.3g}")
        if name != "xla":
            words.append(f"{SIDES[name]} {difference:.1e}")
    return f"Differences from XLA's values, in years, at most: {', '.join(words)}."


@contextlib.contextmanager
def keras_of(
    python: str | None, predictor: Predictor, weights: Weights
) -> Iterator[peers.Keras | None]:
    """Starts Keras' side of SSR-Net at 64 pixels, where its Python is given."""
    about = predictor.about
    if python is None or (about.model["name"], about.preprocessing.size) != ("ssrnet", 64):
        yield None
        return
    with peers.started(python, weights) as keras:
        peers.check(keras, *predictor.pure)
        yield keras


def row(name: str, batch: int, sides: Mapping[str, timing.Run], repeats: int) -> str:
    """Measures all sides on a batch; returns the row."""
    times = timing.in_turns(sides, repeats, most=10.0)
    cells = [name, str(batch)]
    cells += [f"{batch / times[s].median:,.0f}" if s in times else "-" for s in SIDES]
    for other in ("xla", "torch", "keras"):
        ratio = times[other].over(times["onnx"]) if other in times else None
        cells.append("-" if ratio is None else f"{ratio:.2f}")
    return printing.line(cells)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a row as soon as it is measured."""
    keep_freed()  # as every command does, for all sides
    parser = printing.parser("inference", __doc__)
    parser.add_argument("--networks", nargs="+", default=["resnet10_tiny", "ssrnet"])
    parser.add_argument("--size", type=int, default=64, help="the side of the pictures")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 256])
    parser.add_argument("--int8", action="store_true", help="measure 8 bits too")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--keras", help="the Python of Keras' environment")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    options = parser.parse_args(arguments)
    print(f"{printing.device()}; jax {jax.__version__}; pictures/s of {options.size} pixels\n")
    numbers = [f"{side}:" for side in SIDES.values()]
    ratios = [f"ONNX Runtime / {SIDES[other]}:" for other in ("xla", "torch", "keras")]
    print(printing.head("|".join(["network", "batch:", *numbers, *ratios])), flush=True)
    notes = []
    for name in options.networks:
        predictor, weights = predictor_of(name, options.size)
        sides = sides_of(predictor, weights, options.int8, not options.no_torch)
        notes.append(f"{name}: {check(sides, options.size)}")
        with keras_of(options.keras, predictor, weights) as keras:
            for batch in options.batches:
                shape = (batch, options.size, options.size, 3)
                images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
                runs = {key: timing.repeated(side, images) for key, side in sides.items()}
                if keras is not None:
                    runs["keras"] = functools.partial(keras.run, "infer", batch)
                print(row(name, batch, runs, options.repeats), flush=True)
    print("\n" + "\n".join(notes))


if __name__ == "__main__":
    main()
