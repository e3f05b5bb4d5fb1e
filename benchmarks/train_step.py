"""Measures images/s of training and inference for every network, in JAX and in PyTorch.

    python -m benchmarks.train_step [--quick] [--backbones resnet10_tiny] [--sizes 64 224]
        [--dtypes float32 bfloat16] [--batch 64] [--steps_per_call 16] [--no-torch] [--repeats 5]

JAX runs the programs of `launch.main` for a network's shipped config, in the first generation:
SSR-Net by `configs.recipes.ssrnet` (its loss, Adam, its augmentation, batches of 50), ThinAgeNet,
TinyAgeNet and VGG16 by `configs.recipes.dldlv2`, all others by CEN (SGD, random resized crop and
flip). The uint8 pictures lie on the device. Fetching a batch, augmentation, normalisation and the
scalars of the log are included; decoding files is not (see `benchmarks.pipeline`). Inference is a
predictor's, with the batch normalisation folded; it fetches, normalises and decodes the labels'
distribution.

PyTorch trains the same network by the same loss and optimizer, from the same weights, on a batch
that is ready and normalised, with channels last, bfloat16 by autocast, and compiled on CUDA. Its
inference ends at the head's outputs. Both are measured in turns; the ratio is the median over the
turns.

On a GPU one call of the library takes several steps, as in training (`config.steps_per_call`), and
a call of PyTorch's side takes as many. The library's claims are for --quick on a CPU, and on a GPU
for

    python -m benchmarks.train_step --backbones resnet18_tiny thinagenet ssrnet --dtypes bfloat16

The share of the roofline is the floor of `benchmarks.roofline` over the time taken; that of memory
is the time that the bytes alone need over it.
"""

import argparse
import itertools
import math
import os
from collections.abc import Sequence
from types import ModuleType

import jax

from benchmarks import printing, roofline, timing, train_step_library
from ldl_jax import models
from ldl_jax.processes.memory import keep_freed
from ldl_jax.run.config import Config
from ldl_jax.run.resolved import resolve

COLUMNS = (
    "network|size:|dtype|batch:|step|"
    "compile s:|JAX images/s:|of roofline:|of memory:|PyTorch images/s:|JAX / PyTorch:"
)
QUICK = ("ssrnet", "resnet10_tiny")


def rows(
    config: Config, ceilings: roofline.Ceilings, torch_side: ModuleType | None, repeats: int
) -> list[str]:
    """Times training and inference by a config and returns their two rows of the table."""
    job = train_step_library.job_of(config)
    weights = train_step_library.weights_of(job)
    library = train_step_library.functions(job, weights)
    twin: dict[str, timing.Run] = {}
    if torch_side is not None and config.model.name in torch_side.NETWORKS:
        twin = torch_side.runs(config, weights, _torch_device())
    model, batch = config.model, config.batch_size
    lines = []
    for step, measured in library.items():
        runs = {"jax": measured.run}
        if twin:
            runs["torch"] = _times(twin[step], measured.steps)
        times = timing.in_turns(runs, repeats, most=20.0)
        jax_time, torch_time = times["jax"], times.get("torch")
        floors = ceilings.floor(measured.work, model.dtype), ceilings.of_memory(measured.work)
        several = "" if measured.steps == 1 else f", {measured.steps} a call"
        cells = [model.name, str(config.data.size), model.dtype, str(batch), step + several]
        pictures = batch * measured.steps
        cells += [f"{measured.compile_seconds:.1f}", _rate(pictures, jax_time)]
        cells += [f"{floor * measured.steps / jax_time.median:.0%}" for floor in floors]
        if torch_time is None:
            cells += ["-", "-"]
        else:
            cells += [_rate(pictures, torch_time), f"{torch_time.over(jax_time):.2f}"]
        lines.append(printing.line(cells))
    return lines


def _times(run: timing.Run, steps: int) -> timing.Run:
    """Returns a run whose every call takes `steps` steps."""
    return lambda calls: run(calls * steps)


def _rate(pictures: int, timed: timing.Timing) -> str:
    rate = pictures / timed.median
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def _batch(name: str, size: int) -> int | None:
    """Returns a batch that keeps the device busy, for about a second at most on a CPU.

    SSR-Net has None, which keeps the batch of its config: its row is about small steps.
    """
    if name == "ssrnet":
        return None
    pixels = (64 if jax.default_backend() == "cpu" else 2048) * 64**2
    return max(8, 2 ** round(math.log2(pixels / size**2)))


def _sizes(name: str) -> list[int]:
    """Returns 64 and 224, or the paper's size for a network that is made for small pictures."""
    size = models.build(name).size
    return [64, 224] if size == 224 else [size]


def _import_torch() -> tuple[ModuleType | None, str]:
    """Imports PyTorch's side and tells its state; None where it cannot be compared with."""
    try:
        import torch

        from benchmarks import torch_runs
    except ImportError:
        return None, "not installed, no comparison"
    if jax.default_backend() != "cpu" and not torch.cuda.is_available():
        return None, f"{torch.__version__} has no GPU, no comparison"
    return torch_runs, f"{torch.__version__} on {_torch_device()}"


def _torch_device() -> str:
    return "cpu" if jax.default_backend() == "cpu" else "cuda"


def _parser() -> argparse.ArgumentParser:
    parser = printing.parser("train_step", __doc__)
    quick = f"{' and '.join(QUICK)} at 64 in float32"
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--backbones", nargs="+", choices=models.MODELS)
    parser.add_argument("--sizes", nargs="+", type=int, help="the default goes by network")
    parser.add_argument("--dtypes", nargs="+", choices=models.DTYPES)
    parser.add_argument("--batch", type=int, help="pictures; the default goes by size and device")
    steps = "training steps; 1 on CPUs by default, else 16"
    parser.add_argument("--steps_per_call", type=int, default=0, help=steps)
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--repeats", type=int, default=5, help="turns; slow steps take fewer")
    return parser


def _configs(options: argparse.Namespace) -> list[Config]:
    """Returns the configs to measure, in order, after checking all of them."""
    names = options.backbones or (QUICK if options.quick else list(models.MODELS))
    dtypes = options.dtypes or (["float32"] if options.quick else list(models.DTYPES))
    configs = []
    for name in names:
        sizes = options.sizes or ([64] if options.quick else _sizes(name))
        for size, dtype in itertools.product(sizes, dtypes):
            batch = _batch(name, size) if options.batch is None else options.batch
            config = train_step_library.config_of(name, size, dtype, batch, options.steps_per_call)
            resolve(config, devices=1)
            configs.append(config)
    return configs


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a row as soon as it is measured."""
    parser = _parser()
    options = parser.parse_args(arguments)
    keep_freed()  # as the training command does, for both sides
    # PyTorch needs its share of the card's memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        configs = _configs(options)
    except ValueError as error:
        parser.error(str(error))
    torch_side, word = (None, "left out") if options.no_torch else _import_torch()
    ceilings = roofline.measure(list(dict.fromkeys(config.model.dtype for config in configs)))
    if torch_side is not None:  # the device's ceiling is the larger of what each reaches
        reached = {
            dtype: max(rate, torch_side.matmul_flops(roofline.side(), dtype, _torch_device()))
            for dtype, rate in ceilings.flops.items()
        }
        ceilings = ceilings._replace(flops=reached)
    print(_head(ceilings, word, configs))
    print(printing.head(COLUMNS), flush=True)
    for config in configs:
        print("\n".join(rows(config, ceilings, torch_side, options.repeats)), flush=True)


def _head(ceilings: roofline.Ceilings, word: str, configs: Sequence[Config]) -> str:
    """Returns the lines above the table: the machine, its ceilings, and what both sides do."""
    products = [f"{dtype} {rate / 1e12:.3g} TFLOP/s" for dtype, rate in ceilings.flops.items()]
    trained = {c.model.name: f"{c.method.name}, {c.optimizer.name}" for c in configs}
    methods = [f"{name} ({how})" for name, how in trained.items()]
    return f"""\
{printing.device()}; jax {jax.__version__}; PyTorch: {word}
ceilings: {", ".join(products)}, copy {ceilings.bandwidth / 1e9:.3g} GB/s

Trained by method and optimizer, on both sides: {", ".join(methods)}.
JAX: the training command's programs on uint8 pictures on the device. A batch is fetched, augmented
and normalised, and the log's scalars computed; files are not decoded.
PyTorch: a ready, normalised float batch on the device; nothing fetched, augmented or logged.
"""


if __name__ == "__main__":
    main()
