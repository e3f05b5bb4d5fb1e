"""Describes datasets: paper, licence, where to ask for them, and their files."""

import dataclasses
import inspect
from collections.abc import Callable

from ldl_jax.data.records import Records


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Describes a dataset, where it comes from, and how it is read.

    Attributes:
      read: root -> Records; with `takes_csv`, (root, csv) -> Records. Its keyword-only arguments
        are the reader's options. Every reader raises DataError where a piece of the layout, a
        column or a listed picture is missing, a file is damaged or its name has another form, a
        cell is not a number, a picture is listed twice, or an option has no such value.
      title: its name in print.
      layout: the files expected under the root.
      paper: authors, title and year; "" where there is none.
      licence: the uses that are allowed; "" for pictures of one's own.
      where: the address to ask for it; "" for pictures of one's own.
      takes_csv: whether its labels are in a file that the user names.
      pictures: how many pictures the reader gives, by default, of an intact official copy: any of
        these numbers, for a set that was released more than once; empty where that is not known.
    """

    read: Callable[..., Records]
    title: str
    layout: str
    paper: str = ""
    licence: str = ""
    where: str = ""
    takes_csv: bool = False
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
