"""Images/s of a training step and of inference, for every network, in JAX and in PyTorch.

    python -m benchmarks.train_step [--quick] [--backbones resnet10_tiny] [--sizes 64 224]
        [--dtypes float32 bfloat16] [--batch 64] [--no-torch] [--repeats 5]

JAX runs the library's own jitted steps, on uint8 pictures that lie on the device: fetching a batch,
augmentation (random crop, resize, flip, normalisation), CEN's first loss, SGD, and the scalars of
the log; inference resizes and decodes the labels' distribution. PyTorch runs the same network, loss
and SGD on a batch that is ready and normalised: channels last, bfloat16 by autocast, and compiled
on CUDA. Both are measured in turns, and the ratio is the median of each turn's.

The share of the roofline is the floor of `benchmarks.roofline` over the time taken.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import printing, roofline, timing
from launch.memory import keep_freed
from ldl_jax import models
from ldl_jax.data.augment import Preprocessing, Recipe
from ldl_jax.data.pipeline import EpochOrder, Feed, Part, feed
from ldl_jax.evaluation.evaluate import jit_predict
from ldl_jax.labels import AGE
from ldl_jax.layout import Layout, layout
from ldl_jax.methods import cen
from ldl_jax.train import optimizers
from ldl_jax.train.loop import jit_train_step
from ldl_jax.train.state import init_state, init_weights
from ldl_jax.train.step import make_predict_step, make_train_step

COLUMNS = (
    "network",
    "size",
    "dtype",
    "batch",
    "step",
    "compile s",
    "JAX images/s",
    "of roofline",
    "PyTorch images/s",
    "JAX / PyTorch",
)


class Case(NamedTuple):
    """What one pair of rows is about."""

    name: str
    size: int
    dtype: str
    batch: int


class Measured(NamedTuple):
    """A jitted step, ready to be timed."""

    run: timing.Run
    compiled: Any
    compile_seconds: float


def library_steps(case: Case) -> dict[str, Measured]:
    """The library's "train" and "infer" for a case, on one device."""
    placement = layout(1)
    model, method = models.build(case.name, dtype=case.dtype), cen(AGE)
    config = optimizers.OptimizerConfig()
    optimizer = optimizers.optimizer(config, optimizers.learning_rate(config, 1000, 100_000))
    preprocessing = Preprocessing(case.size * 5 // 4, case.size)
    pictures = _pictures(4 * case.batch, preprocessing.stored_size, placement)
    weights = init_weights(model, method, jax.random.key(0))
    state = placement.place(init_state(weights, optimizer, 1, jax.random.key(1)))
    # A copy: the training state is given up step by step.
    weights = placement.place(jax.tree.map(lambda x: x.copy(), state.weights))
    train = jit_train_step(
        make_train_step(model, method, optimizer),
        pictures.fetch,
        Recipe(),
        preprocessing,
        placement,
    )
    predict = jit_predict(
        make_predict_step(model, method, flip=False), pictures.fetch, preprocessing, placement
    )
    items = _items(pictures, case.batch)
    trained, train_seconds = _compile(train, state, None, pictures.store, next(items))
    predicted, predict_seconds = _compile(predict, weights, pictures.store, next(items))

    def run_train(steps: int) -> None:
        nonlocal state
        for item in itertools.islice(items, steps):
            state, scalars = trained(state, None, pictures.store, item)
        jax.block_until_ready((state, scalars))

    def run_predict(steps: int) -> None:
        for item in itertools.islice(items, steps):
            prediction = predicted(weights, pictures.store, item)
        jax.block_until_ready(prediction)

    return {
        "train": Measured(run_train, trained, train_seconds),
        "infer": Measured(run_predict, predicted, predict_seconds),
    }


def _pictures(count: int, size: int, placement: Layout) -> Feed:
    rng = np.random.default_rng(0)
    part = Part(
        ids=tuple(str(i) for i in range(count)),
        labels=rng.uniform(AGE.low, AGE.high, count).astype(np.float32),
        sigma=np.full(count, np.nan, np.float32),
        size=size,
        images=rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8),
    )
    return feed(part, placement.place, placement.split)


def _items(pictures: Feed, batch: int) -> Any:
    order = EpochOrder(len(pictures.part), batch, epochs=10**6, seed=0, generation=1)
    return pictures.items(order, 0)


def _compile(jitted: Any, *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    compiled = jitted.lower(*arguments).compile()
    return compiled, time.perf_counter() - start


def rows(
    case: Case, ceilings: roofline.Ceilings, torch_side: ModuleType | None, repeats: int
) -> list[str]:
    """The two rows of a case: training and inference."""
    library = library_steps(case)
    twin: dict[str, Callable[[int], None]] = {}
    if torch_side is not None and case.name in torch_side.NETWORKS:
        twin = torch_side.runs(
            case.name, case.size, case.batch, case.dtype, _torch_device(), AGE.size
        )
    lines = []
    for step, measured in library.items():
        runs = {"jax": measured.run} | ({"torch": twin[step]} if twin else {})
        times = timing.in_turns(runs, repeats, most=20.0)
        jax_time, torch_time = times["jax"], times.get("torch")
        floor = ceilings.floor(measured.compiled, case.dtype)
        cells = [*map(str, case), step, f"{measured.compile_seconds:.1f}"]
        cells.append(_rate(case.batch, jax_time))
        cells.append("?" if floor is None else f"{floor / jax_time.median:.0%}")
        cells.append("-" if torch_time is None else _rate(case.batch, torch_time))
        cells.append("-" if torch_time is None else f"{torch_time.over(jax_time):.2f}")
        lines.append(printing.line(cells))
    return lines


def _rate(batch: int, timed: timing.Timing) -> str:
    rate = batch / timed.median
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def _batch(size: int) -> int:
    """A batch that keeps the device busy, and a CPU no longer than a second or so."""
    pixels = (64 if jax.default_backend() == "cpu" else 2048) * 64**2
    return max(8, 2 ** round(math.log2(pixels / size**2)))


def _import_torch() -> tuple[ModuleType | None, str]:
    """The PyTorch side and a word on it; None where there is none to compare with."""
    try:
        import torch

        from benchmarks import torch_resnet
    except ImportError:
        return None, "not installed, no comparison"
    if jax.default_backend() != "cpu" and not torch.cuda.is_available():
        return None, f"{torch.__version__} has no GPU, no comparison"
    return torch_resnet, f"{torch.__version__} on {_torch_device()}"


def _torch_device() -> str:
    return "cpu" if jax.default_backend() == "cpu" else "cuda"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a row as soon as it is measured."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.train_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="resnet10_tiny at 64 in float32")
    parser.add_argument("--backbones", nargs="+", choices=models.MODELS)
    parser.add_argument("--sizes", nargs="+", type=int)
    parser.add_argument("--dtypes", nargs="+", choices=models.DTYPES)
    parser.add_argument("--batch", type=int, help="pictures; the default goes by size and device")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--repeats", type=int, default=5, help="turns; slow steps take fewer")
    options = parser.parse_args(arguments)
    keep_freed()  # as the training command does, for both sides
    # PyTorch needs its share of the card's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    names = options.backbones or (["resnet10_tiny"] if options.quick else list(models.MODELS))
    sizes = options.sizes or ([64] if options.quick else [64, 224])
    dtypes = options.dtypes or (["float32"] if options.quick else list(models.DTYPES))

    torch_side, word = (None, "left out") if options.no_torch else _import_torch()
    ceilings = roofline.measure(dtypes)
    if torch_side is not None:  # the device's ceiling is the larger of what each reaches
        reached = {
            dtype: max(rate, torch_side.matmul_flops(roofline.side(), dtype, _torch_device()))
            for dtype, rate in ceilings.flops.items()
        }
        ceilings = ceilings._replace(flops=reached)
    print(f"{printing.device()}; jax {jax.__version__}; PyTorch: {word}")
    products = [f"{dtype} {rate / 1e12:.3g} TFLOP/s" for dtype, rate in ceilings.flops.items()]
    print(f"ceilings: {', '.join(products)}, copy {ceilings.bandwidth / 1e9:.3g} GB/s\n")
    print("JAX: uint8 pictures on the device, augmentation and the log's scalars included.")
    print("PyTorch: a ready, normalised float batch.\n")
    print(printing.line(COLUMNS))
    print("|---|--:|---|--:|---|--:|--:|--:|--:|--:|", flush=True)
    for name, size, dtype in itertools.product(names, sizes, dtypes):
        case = Case(name, size, dtype, options.batch or _batch(size))
        print("\n".join(rows(case, ceilings, torch_side, options.repeats)), flush=True)


if __name__ == "__main__":
    main()
