"""Chooses where pictures are kept, by their number, their size and the free memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax

GB = 1e9
SHARE = 0.5  # of free memory that pictures may take; the rest is for training
COPIES, SHARES, STREAM = "a copy on every device", "shares on the devices", "streamed"


class Choice(NamedTuple):
    """Names where pictures are kept, one of COPIES, SHARES and STREAM, and why."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


class Memory(NamedTuple):
    """Counts free bytes; None where the system does not tell."""

    host: float | None  # of this computer
    device: float | None  # of the device with the least; None also where the devices are its cores
    devices: int  # how many share a batch
    on_host: bool  # whether the devices' memory is the host's


def measure(devices: Sequence[jax.Device]) -> Memory:
    """Measures the free memory now, of this computer and of some devices."""
    local = [device for device in devices if device.process_index == jax.process_index()]
    on_host = local[0].platform == "cpu"
    stats = [] if on_host else [device.memory_stats() for device in local]
    known = [counts["bytes_limit"] - counts["bytes_in_use"] for counts in stats if counts]
    return Memory(free_host(), min(known, default=None), len(devices), on_host)


def least(memories: Sequence[Memory]) -> Memory:
    """Returns what every process has at least: all keep their pictures in the same way."""
    hosts = [memory.host for memory in memories if memory.host is not None]
    devices = [memory.device for memory in memories if memory.device is not None]
    return memories[0]._replace(host=min(hosts, default=None), device=min(devices, default=None))


def choose(needed: float, memory: Memory, feed: str = "auto", limit: float = 0.0) -> Choice:
    """Chooses where pictures are kept that need so many bytes when decoded.

    A copy on every device is quickest, since no picture travels between devices. Where half of a
    device's free memory has no room for one, the devices share the pictures, and where there is
    none for a share either, nor in half of the host's memory for decoding, they are streamed.

    Args:
      needed: bytes, of all pictures as uint8.
      memory: the free bytes.
      feed: "auto", "memory" (never streamed) or "stream".
      limit: bytes that "auto" takes at most; 0 for as much as `memory` allows.

    Raises:
      ValueError: feed is "memory", and the free memory does not hold the pictures.
    """
    if feed == "stream":
        return Choice(STREAM, "as data.feed says")
    if feed == "auto" and 0 < limit < needed:
        return Choice(STREAM, f"more than data.memory_gb = {limit / GB:g}")
    share = SHARE if feed == "auto" else 1.0
    reasons = []
    for where, copies in ((COPIES, memory.devices), (SHARES, 1)):
        if where == SHARES and memory.devices == 1:
            continue
        full = _full(needed, copies, memory, share)
        if not full:
            unknown = memory.device is None and memory.host is None
            reasons.append("fits into free memory" + ", not known here" * unknown)
            return Choice(where, "; ".join(reasons))
        reasons.append(full)
    if feed == "memory":
        raise ValueError(
            f"data.feed: 'memory' needs {needed / GB:.2f} GB for the pictures; {reasons[-1]}. "
            "Take 'stream' or 'auto'"
        )
    return Choice(STREAM, reasons[-1])


def _full(needed: float, copies: int, memory: Memory, share: float) -> str:
    """Says which memory does not hold so many copies on the devices; "" where all do."""
    part = "half of " if share == SHARE else ""
    # Pictures are decoded in the host's memory, and then copied.
    host = needed * (1 + copies) if memory.on_host else needed
    if memory.host is not None and host > share * memory.host:
        many = " with the copies" if memory.on_host else ""
        return f"{host / GB:.3g} GB{many} exceed {part}the {memory.host / GB:.3g} GB free in memory"
    each = needed * copies / memory.devices
    if memory.device is not None and each > share * memory.device:
        free = f"{part}the {memory.device / GB:.3g} GB free there"
        return f"{each / GB:.3g} GB a device exceed {free}"
    return ""


def free_host(root: str = "/") -> float | None:
    """Returns the bytes of memory that this process may still take; None if unknown.

    Args:
      root: the folder with `proc` and `sys`.
    """
    free = []
    system = _numbers(root, "proc/meminfo")
    if "MemAvailable:" in system:
        free.append(1024 * system["MemAvailable:"])
    group = "sys/fs/cgroup/memory."  # the limits of a container
    limit, used = (_numbers(root, group + name).get("") for name in ("max", "current"))
    if limit is not None and used is not None:
        free.append(limit - used + _numbers(root, group + "stat").get("file", 0.0))
    return min(free, default=None)


def _numbers(root: str, name: str) -> dict[str, float]:
    """Reads the numbers in a system's file by the word before each; {} without the file."""
    try:
        lines = Path(root, name).read_text().splitlines()
    except OSError:
        return {}
    numbers = {}
    for line in lines:
        *before, value = line.removesuffix(" kB").split()
        if value.isdigit():
            numbers[" ".join(before)] = float(value)
    return numbers
