"""Estimates what a pre-training on millions of pictures needs: bytes, steps and hours.

    python -m benchmarks.scaling [--devices 8 64] [--networks thinagenet resnet18]
        [--compiled] [--rate NETWORK=IMAGES_PER_SECOND ...] [--measure] [--decode RATE] ...

It calculates the tables of docs/scaling.md from these numbers:

- The images/s of a training step on one device are given by --rate, measured here by --measure, or
  estimated by --compiled: the step is compiled for two H200 (`benchmarks.gpu_programs`), and each
  of its kernels takes what its bytes or its FLOPs take, in a second estimate 2 µs at least. Else
  they are assumed, as a --share of the device's --peak FLOP/s over the FLOPs of a picture. These
  are 6 times the multiply-adds that `ldl_jax.models.cost` counts: 2 FLOPs each, once forward and
  twice backward. Narrow convolutions wait for memory rather than for arithmetic, hence two shares.
- The JPEGs that one core decodes in a second are given by --decode, or else measured here on a
  drawn face.
- The run is given by --pictures, --identities, --epochs, --batch (of one device) and --size.
- A picture has --jpeg bytes, and a device exchanges gradients at --link bytes/s; both are assumed.
  The bytes exchanged are those of the compiled program, else 4 for each parameter.

Hours are those of the steps. A ring exchanges the gradients; its hours are the most that it can
add, since it overlaps the backward pass. Start, evaluation and restarts are left out.
"""

import argparse
import io
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from benchmarks import gpu_target, printing, timing, train_step_library
from ldl_jax import models
from ldl_jax.data import pictures
from ldl_jax.data.synthetic import faces
from ldl_jax.models import cost

NETWORK_COLUMNS = (
    "network|parameters with head:|GFLOP a picture:|state a device, whole:|checkpoint:|"
    "exchanged a step:|images/s a device:|which is:"
)
RUN_COLUMNS = (
    "network|images/s a device:|devices:|batch:|steps:|hours:|with exchange, at most:|"
    "state a device, split:|JPEG MB/s:|cores that decode:|cores a device:"
)
ADAM = 4  # float32 arrays of the parameters' size: themselves, the gradient and two moments


class Task(NamedTuple):
    """The data of the pre-training, and how often it is seen."""

    pictures: int
    identities: int  # the number of people, the classes of the head
    epochs: int
    size: int  # the side of a picture in pixels


class Network(NamedTuple):
    """A network with the task's head, on one device."""

    name: str
    parameters: int  # those of the head included
    flops: float  # of a training step for one picture
    rate: float  # the images/s of training on one device
    source: str  # where the rate comes from, for the table
    exchanged: int  # the bytes of a step that all devices add up


class TrainingRun(NamedTuple):
    """A network's training on several devices."""

    network: Network
    devices: int
    batch: int  # the pictures of a step on all devices
    steps: int
    seconds: float  # of all steps
    exchange: float  # the most seconds that the exchange of gradients can add

    @property
    def images_per_second(self) -> float:
        """The images/s of all devices together while they train."""
        return self.devices * self.network.rate


def network(name: str, task: Task, rate: float | None, flops: float, source: str) -> Network:
    """Counts a network's parameters and FLOPs; `flops` a second give the rate where it is None."""
    sized = {"size": task.size} if "size" in models.known_options(name) else {}
    model = models.build(name, **sized)
    params, model_state = jax.eval_shape(model.init, jax.random.key(0))
    assert isinstance(model.width, int), f"{name} has features in parts"

    def features(params: object, model_state: object, images: jax.Array) -> jax.Array:
        return model.apply(params, model_state, images, train=False)[0]

    backbone = cost.measure(features, params, model_state, task.size, activations=False)
    parameters = backbone.parameters + (model.width + 1) * task.identities
    per_picture = 6.0 * (backbone.multiply_adds + model.width * task.identities)
    rate = rate or flops / per_picture
    return Network(name, parameters, per_picture, rate, source, 4 * parameters)


def training_run(
    network: Network, devices: int, batch: int, task: Task, link: float
) -> TrainingRun:
    """Estimates a network's training on `devices` devices, each with `batch` pictures a step.

    A ring moves 2 (n - 1) / n of the exchanged bytes over each device's link, which carries `link`
    bytes/s.
    """
    steps = task.epochs * (task.pictures // (devices * batch))
    exchange = steps * 2 * (devices - 1) / devices * network.exchanged / link
    seconds = steps * batch / network.rate
    return TrainingRun(network, devices, devices * batch, steps, seconds, exchange)


def decode_rate(size: int, seconds: float = 1.0) -> float:
    """Measures how many JPEGs of a drawn face one core decodes in a second."""
    face = faces.faces(8, size=size, seed=0).images
    assert face is not None
    file = io.BytesIO()
    Image.fromarray(np.asarray(face[0])).save(file, "JPEG", quality=90)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        pictures.decode_one(file.getvalue(), size)
        count += 1
    return count / (time.perf_counter() - start)


def measured_rate(name: str, size: int, batch: int) -> float:
    """Measures images/s of the library's training step in bfloat16 on the first device."""
    config = train_step_library.config_of(name, size, "bfloat16", batch)
    step = train_step_library.functions(train_step_library.job_of(config))["train"]
    calls = timing.in_turns({"train": step.run}, repeats=5)["train"]
    return batch * step.steps / calls.median


def network_row(network: Network) -> str:
    """Returns a network's row of the table that holds for any number of devices."""
    name, parameters, flops, rate, source, exchanged = network
    state, checkpoint = _bytes(4 * ADAM * parameters), _bytes(4 * (ADAM - 1) * parameters)
    cells = [f"{parameters:,}", f"{flops / 1e9:.1f}", state, checkpoint, _bytes(exchanged)]
    return printing.line([name, *cells, f"{rate:,.0f}", source])


def run_row(run: TrainingRun, jpeg: float, decode: float) -> str:
    """Returns a run's row of the table."""
    cores, hours = run.images_per_second / decode, run.seconds / 3600
    cells = [f"{run.network.rate:,.0f}", str(run.devices), f"{run.batch:,}", f"{run.steps:,}"]
    cells += [f"{hours:.3g}", f"{(run.seconds + run.exchange) / 3600:.3g}"]
    cells.append(_bytes(4 * ADAM * run.network.parameters / run.devices))
    cells.append(f"{run.images_per_second * jpeg / 1e6:,.0f}")
    return printing.line([run.network.name, *cells, f"{cores:,.0f}", f"{cores / run.devices:.1f}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints what is assumed and the tables."""
    options = _parser().parse_args(arguments)
    if options.compiled:
        jax.config.update("jax_platforms", "cpu")  # so that the plugin does not look for a GPU
    task = Task(int(options.pictures), options.identities, options.epochs, options.size)
    rates = dict(_rate(text) for text in options.rate)
    decode = options.decode or decode_rate(task.size)
    networks = [n for name in options.networks for n in _networks(name, task, options, rates)]
    runs = [
        training_run(network, devices, options.batch, task, options.link)
        for network in networks
        for devices in options.devices
    ]
    raw, jpegs = task.pictures * task.size**2 * 3, _bytes(task.pictures * options.jpeg)
    print(f"{task.pictures:,} pictures of {task.identities:,} people, {task.epochs} epochs, Adam.")
    print(f"JPEGs: {jpegs} at {options.jpeg:,.0f} bytes each (assumed).")
    shares = ", ".join(f"{_bytes(raw / n)} a device of {n}" for n in options.devices)
    print(f"Decoded to {task.size}x{task.size}, kept on the devices: {_bytes(raw)}: {shares}.")
    source = "given" if options.decode else f"measured on a drawn face, {printing.device()}"
    print(f"One core decodes {decode:,.0f} JPEGs/s ({source}).")
    print(f"A device exchanges gradients at {options.link / 1e9:g} GB/s (assumed).\n")
    print(printing.head(NETWORK_COLUMNS), *map(network_row, networks), sep="\n", end="\n\n")
    rows = [run_row(run, options.jpeg, decode) for run in runs]
    print(printing.head(RUN_COLUMNS), *rows, sep="\n")


def _networks(
    name: str, task: Task, options: argparse.Namespace, rates: Mapping[str, float]
) -> list[Network]:
    """Returns the network at the rate that is known, or at each that is assumed."""
    if name in rates:
        return [network(name, task, rates[name], 0.0, "given")]
    if options.measure:
        rate = measured_rate(name, task.size, options.batch)
        return [network(name, task, rate, 0.0, f"measured, {printing.device()}")]
    if options.compiled:
        return _compiled(name, task, options.batch)
    peak = options.peak
    return [
        network(name, task, None, share * peak, f"assumed: {share:.0%} of {peak / 1e12:g} TFLOP/s")
        for share in options.share
    ]


def _compiled(name: str, task: Task, batch: int) -> list[Network]:
    """Returns the network at the two rates that its program for two devices lets expect."""
    if reason := gpu_target.missing():
        raise SystemExit(f"error: --compiled: {reason}")
    case = gpu_target.Setting(name, task.size, batch, "bfloat16", devices=2, labels=task.identities)
    program = gpu_target.compile_case(case)
    estimates = {"bytes and FLOPs": 0.0, "and 2 µs a kernel": gpu_target.LAUNCH}
    networks = [
        network(name, task, batch / program.seconds(launch), 0.0, f"an H200, estimate: {basis}")
        for basis, launch in estimates.items()
    ]
    return [estimate._replace(exchanged=program.exchanged) for estimate in networks]


def _rate(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if name not in models.MODELS or not rate > 0:
        raise SystemExit(f"error: --rate: expected NETWORK=IMAGES_PER_SECOND, got {text!r}")
    return name, rate


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def _parser() -> argparse.ArgumentParser:
    parser = printing.parser("scaling", __doc__)
    parser.add_argument("--networks", nargs="+", choices=models.MODELS, metavar="NETWORK")
    parser.add_argument("--devices", nargs="+", type=_count, default=[8, 64])
    parser.add_argument("--rate", nargs="+", default=[], metavar="NETWORK=IMAGES_PER_SECOND")
    parser.add_argument("--measure", action="store_true", help="images/s of this machine's device")
    parser.add_argument("--compiled", action="store_true", help="images/s as compiled for an H200")
    parser.add_argument("--decode", type=_positive, help="JPEGs a second and core")
    parser.add_argument("--peak", type=_positive, default=989e12, help="FLOP/s, an H100's in bf16")
    shares = [0.4, 0.1]
    parser.add_argument("--share", nargs="+", type=_positive, default=shares, help="of the peak")
    parser.add_argument("--pictures", type=_positive, default=5e6)
    parser.add_argument("--identities", type=_count, default=54_000)
    parser.add_argument("--epochs", type=_count, default=12)
    parser.add_argument("--batch", type=_count, default=128, help="pictures of one device")
    parser.add_argument("--size", type=_count, default=224)
    parser.add_argument("--jpeg", type=_positive, default=13_100, help="bytes, LFW's mean")
    parser.add_argument("--link", type=_positive, default=50e9, help="bytes/s, 400 Gbit/s")
    parser.set_defaults(networks=["thinagenet", "resnet18"])
    return parser


def _positive(text: str) -> float:
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {text}")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {text}")
    return value


if __name__ == "__main__":
    main()
