"""Reads people's votes: cells of counts, and tables with a row a vote."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from ldl_jax.data.datasets import numbers
from ldl_jax.data.datasets.entries import Vote
from ldl_jax.data.datasets.tables import Row
from ldl_jax.data.records import DataError, Faults

_BETWEEN = re.compile(r"[\s,;|]+")
Votes = tuple[Vote, ...]
_UNREAD = ' (data.columns with {"votes": ""} leaves the column unread)'


def cell(row: Row, column: str, values: Sequence[float]) -> Votes:
    """Returns the votes of a cell: counts over `values`, as "0 3 10 2 0", or pairs, as "23:2 25:1".

    Blanks, commas, semicolons and bars part them, and brackets may enclose them.

    Raises:
      DataError: naming file and row, where something is no count, a count is negative, all are 0,
        a value is there twice, or there are more or fewer counts than values.
    """
    text = row.text(column)
    parts = [part for part in _BETWEEN.split(text.strip("[](){} \t")) if part]
    pairs = [part.split(":") for part in parts if ":" in part]
    try:
        if pairs and (len(pairs) < len(parts) or any(len(pair) != 2 for pair in pairs)):
            raise ValueError(f"expected value:count in every place, got {text!r}"[:120])
        if pairs:
            values = [numbers.number(value) for value, _ in pairs]
            counts = [numbers.number(count) for _, count in pairs]
        else:
            counts = [numbers.number(part) for part in parts]
        _check(values, counts, text)
    except ValueError as error:
        raise DataError(f"{row.source}: {column}: {error}") from None
    return tuple(zip(values, counts, strict=True))


def _check(values: Sequence[float], counts: Sequence[float], text: str) -> None:
    if not values:
        raise ValueError(
            f"has {len(counts)} counts, and over which values is not known: give data.space as "
            f"low:step:high, or the option vote_values, or write value:count{_UNREAD}"
        )
    if len(counts) != len(values):
        raise ValueError(
            f"has {len(counts)} counts, and there are {len(values)} values, {values[0]:g} to "
            f"{values[-1]:g}: is it of another label space?{_UNREAD}"
        )
    if len(set(values)) < len(values):
        raise ValueError(f"a value is there twice in {text!r}"[:120])
    if min(counts) < 0:
        raise ValueError(f"a count must not be negative, got {min(counts):g}")
    if not any(counts):
        raise ValueError("all counts are 0")


def single(rows: Iterable[Row], name: str, vote: str, faults: Faults) -> dict[str, Votes]:
    """Returns each picture's votes, of a table with a row a vote; names and votes are columns.

    Rows without a name or with an unusable vote are faults, and left out.
    """
    votes: dict[str, Counter[float]] = {}
    for row in rows:
        picture, value = faults.tried(row.text, name), faults.tried(row.number, vote)
        if picture is not None and value is not None:
            votes.setdefault(picture, Counter())[value] += 1
    return {picture: tuple(sorted(each.items())) for picture, each in votes.items()}


def mean(votes: Votes) -> float:
    """Returns the mean of votes."""
    return math.fsum(value * count for value, count in votes) / _total(votes)


def deviation(votes: Votes) -> float:
    """Returns the standard deviation of votes, over N - 1 of them; NaN of a single one."""
    total, middle = _total(votes), mean(votes)
    if total <= 1:
        return math.nan
    squares = math.fsum(count * (value - middle) ** 2 for value, count in votes)
    return math.sqrt(squares / (total - 1))


def _total(votes: Votes) -> float:
    return math.fsum(count for _, count in votes)


def contradictions(rows: Iterable[Row], path: str, columns: Sequence[str]) -> Iterator[DataError]:
    """Yields where rows of one picture, with the same path, differ in one of the columns."""
    firsts: dict[str, Row] = {}
    for row in rows:
        earlier = firsts.setdefault(row.cells[path], row)
        for column in columns:
            if row.cells[column] != earlier.cells[column]:
                yield DataError(
                    f"{row.source}: {column} is {row.cells[column]!r}, and of the same picture in "
                    f"{earlier.source} {earlier.cells[column]!r}"
                )
