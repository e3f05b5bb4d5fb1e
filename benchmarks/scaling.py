"""What a pre-training on millions of pictures needs on many devices: bytes, steps and hours.

    python -m benchmarks.scaling [--devices 8 64] [--networks thinagenet resnet18]
        [--rate NETWORK=IMAGES_PER_SECOND ...] [--measure] [--decode RATE] [--share 0.4 0.1] ...

A calculation, printed as the tables of docs/scaling.md, from these numbers:

- images/s of a training step on one device: given by --rate, measured here by --measure, or else
  assumed, as a --share of the device's --peak FLOP/s over the FLOPs of a picture. These are 6 times
  the multiply-adds that `ldl_jax.models.cost` counts: 2 FLOPs each, once forward, twice backward.
  Narrow convolutions wait for memory rather than for arithmetic, so two shares are looked at;
- JPEGs decoded a second by one core: given by --decode, or else measured here on a drawn face;
- what the run is: --pictures, --identities, --epochs, --batch (a device's), --size;
- --jpeg bytes a picture, and --link bytes/s at which a device exchanges gradients: assumed.

Hours are those of the steps; with the exchange of gradients, by a ring, they are the most that it
can add, since it overlaps the backward pass. Start, evaluation and restarts are left out.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from benchmarks import printing, timing, train_step_library
from ldl_jax import models
from ldl_jax.data import pictures
from ldl_jax.data.synthetic import faces
from ldl_jax.models import cost

NETWORK_COLUMNS = (
    "network",
    "parameters with head",
    "GFLOP a picture",
    "state a device, whole",
    "checkpoint",
    "images/s a device",
    "which is",
)
RUN_COLUMNS = (
    "network",
    "images/s a device",
    "devices",
    "batch",
    "steps",
    "hours",
    "with exchange, at most",
    "state a device, split",
    "JPEG MB/s",
    "cores that decode",
    "cores a device",
)
ADAM = 4  # float32 copies of the parameters: themselves, the gradient and two moments


class Task(NamedTuple):
    """What is trained on."""

    pictures: int
    identities: int
    epochs: int
    size: int


class Network(NamedTuple):
    """A network with the task's head, on one device.

    Attributes:
      name: of `ldl_jax.models.MODELS`.
      parameters: with those of the head.
      flops: of a training step, a picture.
      rate: images/s of training on one device.
      source: where that is from.
    """

    name: str
    parameters: int
    flops: float
    rate: float
    source: str


class Run(NamedTuple):
    """A network's training on some devices; `batch` is of all of them, `exchange` in seconds."""

    network: Network
    devices: int
    batch: int
    steps: int
    seconds: float
    exchange: float

    @property
    def images_per_second(self) -> float:
        """Of all devices, while they train."""
        return self.devices * self.network.rate


def network(name: str, task: Task, rate: float | None, flops: float, source: str) -> Network:
    """A network's numbers, of its shapes; without a rate, that of `flops` a second."""
    model = models.build(name, **_sized(name, task.size))
    params, model_state = jax.eval_shape(model.init, jax.random.key(0))
    assert isinstance(model.width, int), f"{name} has features in parts"

    def features(params: object, model_state: object, images: jax.Array) -> jax.Array:
        return model.apply(params, model_state, images, train=False)[0]

    backbone = cost.measure(features, params, model_state, task.size, activations=False)
    parameters = backbone.parameters + (model.width + 1) * task.identities
    per_picture = 6.0 * (backbone.multiply_adds + model.width * task.identities)
    return Network(name, parameters, per_picture, rate or flops / per_picture, source)


def run(one: Network, devices: int, batch: int, task: Task, link: float) -> Run:
    """A network's training on so many devices, each with `batch` pictures a step.

    A ring moves 2 (n - 1) / n of the gradient's bytes over each device's link.
    """
    steps = task.epochs * (task.pictures // (devices * batch))
    gradient = 4 * one.parameters
    exchange = steps * 2 * (devices - 1) / devices * gradient / link
    return Run(one, devices, devices * batch, steps, steps * batch / one.rate, exchange)


def decode_rate(size: int, seconds: float = 1.0) -> float:
    """JPEGs of a drawn face that one core decodes in a second."""
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
    """Images/s of the library's training step in bfloat16 on this machine's first device."""
    config = train_step_library.config_of(name, size, "bfloat16", batch)
    step = train_step_library.functions(train_step_library.job_of(config))["train"]
    calls = timing.in_turns({"train": step.run}, repeats=5)["train"]
    return batch * step.steps / calls.median


def network_row(one: Network) -> str:
    """What a network brings, on any number of devices."""
    return printing.line(
        [
            one.name,
            f"{one.parameters:,}",
            f"{one.flops / 1e9:.1f}",
            _bytes(4 * ADAM * one.parameters),
            _bytes(4 * (ADAM - 1) * one.parameters),
            f"{one.rate:,.0f}",
            one.source,
        ]
    )


def run_row(one: Run, jpeg: float, decode: float) -> str:
    """What a run takes."""
    cores = one.images_per_second / decode
    return printing.line(
        [
            one.network.name,
            f"{one.network.rate:,.0f}",
            str(one.devices),
            f"{one.batch:,}",
            f"{one.steps:,}",
            f"{one.seconds / 3600:.3g}",
            f"{(one.seconds + one.exchange) / 3600:.3g}",
            _bytes(4 * ADAM * one.network.parameters / one.devices),
            f"{one.images_per_second * jpeg / 1e6:,.0f}",
            f"{cores:,.0f}",
            f"{cores / one.devices:.1f}",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints what is assumed and the tables."""
    given = _parser().parse_args(arguments)
    task = Task(int(given.pictures), given.identities, given.epochs, given.size)
    rates = dict(_rate(text) for text in given.rate)
    decode = given.decode or decode_rate(task.size)
    known = [one for name in given.networks for one in _network(name, task, given, rates)]
    runs = [
        run(one, devices, given.batch, task, given.link)
        for one in known
        for devices in given.devices
    ]
    raw = task.pictures * task.size**2 * 3
    print(f"{task.pictures:,} pictures of {task.identities:,} people, {task.epochs} epochs, Adam.")
    print(f"JPEGs: {_bytes(task.pictures * given.jpeg)} at {given.jpeg:,.0f} bytes each (assumed).")
    shares = ", ".join(f"{_bytes(raw / n)} a device of {n}" for n in given.devices)
    print(f"Decoded to {task.size}x{task.size}, kept on the devices: {_bytes(raw)}: {shares}.")
    measured = "given" if given.decode else f"measured on a drawn face, {printing.device()}"
    print(f"One core decodes {decode:,.0f} JPEGs/s ({measured}).")
    print(f"A device exchanges gradients at {given.link / 1e9:g} GB/s (assumed).\n")
    _table(NETWORK_COLUMNS, [network_row(one) for one in known])
    print()
    _table(RUN_COLUMNS, [run_row(one, given.jpeg, decode) for one in runs])


def _network(
    name: str, task: Task, given: argparse.Namespace, rates: Mapping[str, float]
) -> list[Network]:
    """The network at the rate that is known, or at each that is assumed."""
    if name in rates:
        return [network(name, task, rates[name], 0.0, "given")]
    if given.measure:
        rate = measured_rate(name, task.size, given.batch)
        return [network(name, task, rate, 0.0, f"measured, {printing.device()}")]
    return [
        network(
            name,
            task,
            None,
            share * given.peak,
            f"assumed: {share:.0%} of {given.peak / 1e12:g} TFLOP/s",
        )
        for share in given.share
    ]


def _rate(text: str) -> tuple[str, float]:
    name, _, rate = text.partition("=")
    try:
        found = float(rate)
    except ValueError:
        found = 0.0
    if name not in models.MODELS or not found > 0:
        raise SystemExit(f"error: --rate: expected NETWORK=IMAGES_PER_SECOND, got {text!r}")
    return name, found


def _sized(name: str, size: int) -> dict[str, int]:
    return {"size": size} if "size" in models.known_options(name) else {}


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def _table(columns: Sequence[str], rows: Sequence[str]) -> None:
    print(printing.line(columns))
    print(printing.line(["---", *["--:"] * (len(columns) - 1)]))
    for row in rows:
        print(row)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks.scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--networks", nargs="+", choices=models.MODELS, metavar="NETWORK")
    parser.add_argument("--devices", nargs="+", type=_count, default=[8, 64])
    parser.add_argument("--rate", nargs="+", default=[], metavar="NETWORK=IMAGES_PER_SECOND")
    parser.add_argument("--measure", action="store_true", help="images/s of this machine's device")
    parser.add_argument("--decode", type=_positive, help="JPEGs a second and core")
    parser.add_argument("--peak", type=_positive, default=989e12, help="FLOP/s, an H100's in bf16")
    parser.add_argument(
        "--share", nargs="+", type=_positive, default=[0.4, 0.1], help="of the peak"
    )
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
