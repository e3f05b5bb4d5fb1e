"""Describes datasets: paper, licence, where to ask for them, and their files."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec

from ldl_jax.data.records import Records
from ldl_jax.files import from_home

P = ParamSpec("P")
OLDEST = 130  # years; nobody has lived so long


def rooted(
    read: Callable[Concatenate[Path, P], Records],
) -> Callable[Concatenate[str | Path, P], Records]:
    """Returns a reader that takes its root as a text, too; a "~" is the user's folder."""

    @functools.wraps(read)
    def reader(root: str | Path, *args: P.args, **kwargs: P.kwargs) -> Records:
        return read(Path(from_home(root)), *args, **kwargs)

    return reader


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Describes a dataset, where it comes from, and how it is read.

    `read` takes the root, with `takes_csv` also the name of the CSV file. Its keyword-only
    arguments are the reader's options. It raises DataError where a piece of the layout, a column or
    a listed picture is missing, a file is damaged or its name has another form, a cell is not a
    number, a picture is listed twice, or an option has no such value.

    `pictures` has the counts that the reader gives, by default, of an intact official copy: several
    for a set that was released more than once, none where that is not known.
    """

    read: Callable[..., Records]
    title: str  # its name in print
    layout: str  # the files expected under the root
    paper: str = ""  # authors, title and year
    licence: str = ""  # the uses that are allowed
    where: str = ""  # the address to ask for it; "" for pictures of one's own
    takes_csv: bool = False  # whether its labels are in a file that the user names
    takes_columns: bool = False  # whether the user names the file's columns, and may skip rows
    pictures: tuple[int, ...] = ()

    @property
    def options(self) -> dict[str, object]:
        """The reader's options, with their defaults."""
        parameters = inspect.signature(self.read).parameters.values()
        return {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.kind is parameter.KEYWORD_ONLY
        }
