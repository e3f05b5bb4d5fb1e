"""Says what a run computes on, and warns where an NVIDIA card or build is there and not used."""

import os
import pkgutil
import re
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags

from ldl_jax.run.data import LogLine

_REQUIRE = flags.DEFINE_enum(
    "require", None, ["gpu", "tpu"], "stop where JAX does not compute on this kind of device"
)
_GB = 1e9


def check(log: LogLine) -> None:
    """Says what JAX computes on, and warns of an NVIDIA card or build that it does not use.

    Raises:
      ValueError: JAX cannot use what it is told to use, or it is not what --require asks for.
    """
    try:
        devices = jax.devices()
    except RuntimeError as error:  # JAX_PLATFORMS names what is not there
        raise ValueError(f"JAX finds no device: {error}") from None
    log(f"computes on {describe(devices)}")
    unused = "" if devices[0].platform == "gpu" else unused_nvidia()
    if unused:
        log(f"warning: {unused}; this run computes on the {devices[0].platform.upper()}")
    if _REQUIRE.value and devices[0].platform != _REQUIRE.value:
        reason = f" ({unused})" if unused and _REQUIRE.value == "gpu" else ""
        raise ValueError(f"--require={_REQUIRE.value}: JAX computes on {describe(devices)}{reason}")


def describe(devices: Sequence[jax.Device]) -> str:
    """Returns kind, count and memory of devices, as "2 x NVIDIA H200, 105 GB each for JAX"."""
    first = devices[0]
    if first.platform == "cpu":
        memory = "" if (total := _memory()) is None else f", {total / _GB:.1f} GB of memory"
        shared = f", as {len(devices)} devices" if len(devices) > 1 else ""
        return f"the CPU: {_cores()} cores{memory}{shared}"
    local = [device for device in devices if device.process_index == jax.process_index()]
    stats = local[0].memory_stats() or {}
    limit = stats.get("bytes_limit")
    memory = "" if limit is None else f", {limit / _GB:.0f} GB each for JAX"
    return f"{len(devices)} x {first.device_kind}{memory}"


def unused_nvidia(system: Path = Path("/")) -> str:
    """Says which of an NVIDIA card and an NVIDIA build of JAX is here; "" where there is neither.

    Args:
      system: the folder with `dev` and `proc`.
    """
    cards = [*system.glob("dev/nvidia[0-9]*"), *system.glob("proc/driver/nvidia/gpus/*")]
    builds = [x.name for x in pkgutil.iter_modules() if re.fullmatch(r"jax_cuda\d+_plugin", x.name)]
    asked = jax.config.values["jax_platforms"]
    if not cards and not builds:
        return ""
    if asked and "cuda" not in asked and "gpu" not in asked:
        what = "an NVIDIA card is here" if cards else "an NVIDIA build of JAX is here"
        return f"{what}, but JAX_PLATFORMS={asked} keeps JAX from it"
    if not builds:
        return "an NVIDIA card is here, but JAX has no NVIDIA build: pip install 'jax[cuda12]'"
    if not cards:
        return (
            f"an NVIDIA build of JAX is here ({builds[0]}), but no card shows: see nvidia-smi, and "
            "in a container start it with --gpus=all"
        )
    return (
        f"an NVIDIA card and an NVIDIA build of JAX ({builds[0]}) are here, but JAX cannot use "
        "them: see nvidia-smi, the driver's version, and JAX's message above"
    )


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _memory() -> float | None:
    """Returns the bytes of memory that this computer or container has; None if unknown."""
    try:
        known = [os.sysconf("SC_PAGE_SIZE") * float(os.sysconf("SC_PHYS_PAGES"))]
    except (AttributeError, ValueError, OSError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        known.append(float(text))
    return min(known)
