"""Prints every method with its hyper-parameters and their defaults.

python -m launch.methods
"""

import inspect
from collections.abc import Sequence

from rich.console import Console

from ldl_jax.evaluation import grid
from ldl_jax.evaluation.grid import Column, Grid
from ldl_jax.methods import METHODS, hyper_parameters
from ldl_jax.run.command import only_flags, start


def main(arguments: Sequence[str]) -> None:
    """Prints the table."""
    only_flags(arguments)
    rows = []
    for name, factory in METHODS.items():
        first_line = (inspect.getdoc(factory) or "").splitlines()[0]
        defaults = ", ".join(f"{key}={value!r}" for key, value in hyper_parameters(name).items())
        rows.append((name, first_line.rstrip("."), defaults))
    columns = (
        Column("config.method.name", right=False),
        Column("what it is", right=False, folds=True),
        Column("hyper-parameters", right=False, folds=True),
    )
    grid.show(Console(), Grid(columns, rows))


def cli() -> None:
    """Runs the command, for `python -m launch.methods` and for `ldl-methods`."""
    start(main)


if __name__ == "__main__":
    cli()
