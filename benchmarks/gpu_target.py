"""Compiles the library's programs for a GPU on a machine without one.

XLA compiles for a GPU that it only has a description of, where the packages of the extra
`gpu-programs` are installed: neither a driver nor CUDA's libraries are needed. It gives programs,
and no times. Nothing can be tried, so cuDNN's algorithms and tile sizes are those that XLA takes
unseen.
"""

import contextlib
import dataclasses
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks import train_step_library
from benchmarks.hlo import Kernel, Module
from ldl_jax.placement import Placement
from ldl_jax.run.config import Config
from ldl_jax.train import programs
from ldl_jax.train.job import Job

# An H200, as XLA's `gpu_target_config` describes it.
DESCRIPTION = Path(__file__).parents[2] / "shared" / "gpu" / "h200.txtpb"
PLUGINS = ("jax_plugins.xla_cuda12", "jax_plugins.xla_cuda13")
# What one H200 was measured to reach: a copy's bytes/s, a product's FLOP/s in bfloat16.
BANDWIDTH, FLOPS = 4.3e12, 790e12
LAUNCH = 2e-6  # seconds that a kernel takes at least, where launches are not hidden


class Setting(NamedTuple):
    """A program to compile: what the training command runs of a network's shipped config."""

    network: str
    size: int
    batch: int | None  # on each device; None for the config's
    dtype: str
    step: str = "train"  # or "infer"
    devices: int = 1
    precision: str = "tf32"
    labels: int = 0  # 0, 1, ..., this - 1; 0 for the ages 0 to 100

    @property
    def name(self) -> str:
        """The case in words."""
        parts = [self.network, str(self.size), self.dtype, self.step]
        parts += [f"{self.devices} devices"] if self.devices > 1 else []
        return " ".join([*parts, "exact"] if self.precision == "float32" else parts)


class CompiledProgram(NamedTuple):
    """A compiled program, what it needs, and what it is given."""

    case: Setting
    module: Module
    batch: int  # pictures of a step, on all devices
    steps: int  # of a call
    state: int  # arrays that are to be given up
    temporary: int  # bytes of a device

    @property
    def kernels(self) -> list[Kernel]:
        """The kernels of a step."""
        return self.module.step()

    @property
    def nbytes(self) -> int:
        """The bytes that a step reads and writes on a device."""
        return sum(kernel.nbytes for kernel in self.kernels)

    @property
    def flops(self) -> int:
        """The FLOPs of a step's convolutions and products on a device."""
        return sum(kernel.flops for kernel in self.kernels)

    @property
    def exchanged(self) -> int:
        """The bytes of a step's results that all devices compute together."""
        # What starts an exchange has its operands beside its results.
        return sum(
            exchange.nbytes // (2 if exchange.opcode.endswith("-start") else 1)
            for exchange in self.module.collectives()
        )

    def seconds(self, launch: float = 0.0) -> float:
        """Estimates a step's time on an H200: each kernel's bytes or FLOPs, whichever is longer."""
        return sum(max(k.nbytes / BANDWIDTH, k.flops / FLOPS, launch) for k in self.kernels)


def missing() -> str:
    """Returns why nothing can be compiled for a GPU here; "" where it can."""
    with contextlib.suppress(ModuleNotFoundError):
        if any(importlib.util.find_spec(name) for name in PLUGINS):
            return "" if DESCRIPTION.is_file() else f"no description of a GPU at {DESCRIPTION}"
    return "the extra gpu-programs is not installed (pip install -e '.[gpu-programs]')"


def compile_case(
    case: Setting, steps: int = 16, description: Path = DESCRIPTION
) -> CompiledProgram:
    """Compiles a case for the GPU of a description; `steps` are those of a call in training."""
    topology = topologies.get_topology_desc(
        platform="cuda",
        topology_name="",
        topology=f"1x1x{case.devices}",
        target_config=description.read_text(),
    )
    steps = steps if case.step == "train" else 1
    config = train_step_library.config_of(case.network, case.size, case.dtype, case.batch, steps)
    space = f"0:1:{case.labels - 1}" if case.labels else config.data.space
    config = dataclasses.replace(
        config,
        batch_size=case.devices * config.batch_size,
        precision=case.precision,
        data=dataclasses.replace(config.data, space=space),
    )
    with _as_on_gpu():
        job = _job(config, topology.devices)
        lowered, state = _lowered(job, case.step)
        compiled = lowered.compile()
    temporary = int(compiled.memory_analysis().temp_size_in_bytes)
    module = Module(compiled.as_text())
    return CompiledProgram(case, module, config.batch_size, steps, state, temporary)


@contextlib.contextmanager
def _as_on_gpu() -> Iterator[None]:
    """Makes the library take the forms for GPUs, though JAX runs on the CPU."""
    with mock.patch.object(jax, "default_backend", return_value="gpu"):
        yield


def _job(config: Config, devices: Any) -> Job:
    job = train_step_library.job_of(config)
    mesh = Mesh(np.asarray(devices).reshape(-1, 1), ("data", "fsdp"))
    rows = PartitionSpec(("data", "fsdp"))
    placement = Placement(NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, rows))
    return dataclasses.replace(job, placement=placement)


def _lowered(job: Job, step: str) -> tuple[Any, int]:
    """Returns the lowered program, and how many arrays of a state it gives up."""
    placement = job.placement

    def shape(array: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=placement.replicated)

    train, predicting = programs.jitted(job)
    state, store = programs.like(job), jax.tree.map(shape, dict(job.data.train.store))
    row = (job.batch_size,)
    if step == "infer":
        item = jax.ShapeDtypeStruct(row, np.int32)
        predict: Any = predicting.test
        return predict.lower(state.weights, store, item), 0
    item = jax.ShapeDtypeStruct((job.schedule.steps_per_call, *row), np.int32)
    training: Any = train
    return training.lower(state, None, store, item, None), len(jax.tree.leaves(state))
