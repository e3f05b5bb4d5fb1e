"""Prints every method with its hyper-parameters and their defaults.

python -m launch.methods
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from absl import app
from rich import box
from rich.console import Console
from rich.table import Table

from ldl_jax.methods import METHODS, hyper_parameters
from ldl_jax.run.command import only_flags, parse_flags


def main(arguments: Sequence[str]) -> None:
    """Prints the table."""
    only_flags(arguments)
    table = Table("config.method.name", "what it is", "hyper-parameters", box=box.SIMPLE_HEAD)
    for name, factory in METHODS.items():
        first_line = (inspect.getdoc(factory) or "").splitlines()[0]
        defaults = ", ".join(f"{key}={value!r}" for key, value in hyper_parameters(name).items())
        table.add_row(name, first_line.rstrip("."), defaults)
    Console().print(table, markup=False)


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
