"""Reads the boxes of faces in tables, and their sexes, for sets of whole pictures."""

from collections.abc import Sequence

from ldl_jax.data.datasets.entries import group_name
from ldl_jax.data.datasets.tables import Row
from ldl_jax.data.records import DataError

UNKNOWN = ("", "-1", "-1.0")  # how the lists write what is not known


def box(row: Row, columns: Sequence[str]) -> tuple[float, ...]:
    """Returns a face's left, top, right and bottom edge; () where the list has none.

    A box without an area, as (-1, -1, -1, -1), is none.

    Raises:
      DataError: naming file, row and column, where an edge is no number.
    """
    if all(row.cells[column] in UNKNOWN for column in columns):
        return ()
    left, top, right, bottom = (row.number(column) for column in columns)
    return (left, top, right, bottom) if left < right and top < bottom else ()


def sex(row: Row, column: str) -> str:
    """Returns "female" or "male"; "" where it is not known; DataError for anything else."""
    cell = row.cells[column]
    name = "" if cell in UNKNOWN else group_name("sex", cell)
    if name not in ("", "female", "male"):
        raise DataError(f"{row.source}: {column} must be M, F or -1 (not known), got {cell!r}")
    return name
