"""Parts that the benchmarks share: their parsers, the rows of their tables, and the device."""

import argparse
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import jax


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Returns a parser for `python -m benchmarks.NAME`, which prints the description as it is."""
    return argparse.ArgumentParser(
        prog=f"benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def line(cells: Sequence[str]) -> str:
    """Returns a row of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def head(columns: str) -> str:
    """Returns the head of a Markdown table of columns "text|number:", whose numbers stand right."""
    names = columns.split("|")
    rule = "|".join("--:" if name.endswith(":") else "---" for name in names)
    return f"{line([name.removesuffix(':') for name in names])}\n|{rule}|"


def device() -> str:
    """Returns the card's name, or the processor's name and its number of cores."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() != "cpu":
        return kind
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
