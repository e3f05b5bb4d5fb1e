"""What is known of a dataset beside its pictures: paper, licence, where to ask for it, layout."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

from ldl_jax.data.records import Records


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What a dataset is, where it comes from, and how it is read.

    Attributes:
      read: root -> Records; with `takes_csv`, (root, csv) -> Records. Its keyword-only arguments
        are the reader's options.
      title: its name in print.
      paper: authors, title and year; "" where there is none.
      licence: what it may be used for.
      where: where to ask for it; "" for pictures of one's own.
      layout: the files expected under the root.
      takes_csv: whether its labels are in a file that the user names.
      pictures: how many pictures the reader gives, by default, of an intact official copy: any of
        these numbers, for a set that was released more than once; empty where that is not known.
    """

    read: Callable[..., Records]
    title: str
    paper: str
    licence: str
    where: str
    layout: str
    takes_csv: bool = False
    pictures: tuple[int, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The reader's options, with their defaults."""
        parameters = inspect.signature(self.read).parameters.values()
        return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}
