"""Prints every method with its hyper-parameters and their defaults.

python -m launch.methods
"""

import inspect
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from ldl_jax.methods import METHODS, hyper_parameters
from ldl_jax.run.command import only_flags, start


def main(arguments: Sequence[str]) -> None:
    """Prints the table."""
    only_flags(arguments)
    table = Table("config.method.name", "what it is", "hyper-parameters", box=box.SIMPLE_HEAD)
    for name, factory in METHODS.items():
        first_line = (inspect.getdoc(factory) or "").splitlines()[0]
        defaults = ", ".join(f"{key}={value!r}" for key, value in hyper_parameters(name).items())
        table.add_row(name, first_line.rstrip("."), defaults)
    Console().print(table, markup=False)


def cli() -> None:
    """Runs the command, for `python -m launch.methods` and for `ldl-methods`."""
    start(main)


if __name__ == "__main__":
    cli()
