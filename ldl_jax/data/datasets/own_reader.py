"""Reads a dataset by the factory of a user's own, "package.module:factory"."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from ldl_jax import factories
from ldl_jax.data.datasets import own_records
from ldl_jax.data.datasets.folders import left_notes
from ldl_jax.data.lazy import LazyImages
from ldl_jax.data.records import DataError, Records

# What the program gives a factory that has a parameter of this name.
_GIVEN = ("root", "csv", "columns")


def options(name: str) -> dict[str, object]:
    """Returns the options of a factory's with their defaults; imports its module.

    Raises:
      DataError: it cannot be imported.
    """
    known = factories.parameters(_imported(name))
    return {option: default for option, default in known.items() if option not in _GIVEN}


def read(
    name: str,
    root: str,
    csv: str,
    columns: Mapping[str, str] | None,
    skip: bool,
    options: Mapping[str, object],
) -> Records:
    """Lists the pictures and labels of one's own dataset, and checks all that it says.

    Args:
      name: of `factory(root, **options) -> Records`. Its sequences may be lists, its paths texts,
        `sources` may be left out, and pictures in memory have any size. It may have the parameters
        `csv` and `columns`, for what data.csv and data.columns say.
      root: is given as a Path; where it is "", the factory's own default is taken.
      csv: the file of data.csv.
      columns: the names of data.columns.
      skip: leaves out pictures whose files are not there, with a note, in place of an error.
      options: the factory's other arguments.

    Raises:
      DataError: the factory cannot be imported or called, or its records break the contract: all
        faults at once. It is called twice, and must list the same both times.
    """
    factory = _imported(name)
    first, second = (_called(name, factory, root, csv, columns, options) for _ in range(2))
    records, left = own_records.checked(name, first, skip)
    own_records.check_same(name, records, own_records.checked(name, second, skip)[0])
    if left:
        notes = left_notes({"their files are not there": left})
        records = dataclasses.replace(records, notes=records.notes + tuple(notes))
    return records


def _imported(name: str) -> Callable[..., object]:
    try:
        return factories.imported("dataset", name, "factory(root, ...)")
    except ValueError as error:
        raise DataError(str(error)) from error


def _called(
    name: str,
    factory: Callable[..., object],
    root: str,
    csv: str,
    columns: Mapping[str, str] | None,
    options: Mapping[str, object],
) -> object:
    """Calls the factory, and returns what it gives."""
    known = factories.parameters(factory)
    arguments: dict[str, object] = {}
    if root:
        if not Path(root).exists():
            raise DataError(f"{name}: there is no folder or file {root}")
        arguments["root"] = Path(root)
    elif "root" in known and known["root"] is factories.NO_DEFAULT:
        raise DataError(
            f"{name}: no root is given; point at the dataset's folder with --config.data.root=DIR"
        )
    arguments |= {"csv": csv} if csv else {}
    arguments |= {"columns": dict(columns)} if columns else {}
    try:
        return factories.call(
            "dataset", name, factory, arguments, options, "option ", required=tuple(arguments)
        )
    except ValueError as error:
        if isinstance(error.__cause__, DataError):  # a reader's own words, which name its file
            raise error.__cause__ from None
        raise DataError(str(error)) from error


def with_keys(text: str, key: str) -> str:
    """Returns an error's text with the keys of a config's section, as "data"."""
    text = re.sub("^dataset: ", f"{key}.name: ", text)
    return re.sub(r"(^|; )option (?=\w+: )", rf"\1{key}.options.", text)


def fitted(records: Records, size: int, crop: float, square: bool) -> Records:
    """Returns records whose pictures in memory, if any, have a size, made when they are asked for.

    Args:
      records: of any size.
      size: side of the result in pixels.
      crop: as of `ldl_jax.data.pictures.fit`.
      square: as there.
    """
    images = records.images
    if images is None or (tuple(images.shape[1:3]) == (size, size) and crop == 1):
        return records
    source = _Fitted(images, np.arange(len(records)), size, crop, square)
    return dataclasses.replace(records, images=LazyImages(len(records), size, source))


@dataclasses.dataclass(frozen=True)
class _Fitted:
    """Resizes pictures that are in memory; a `LazySource`."""

    images: np.ndarray | LazyImages
    numbers: np.ndarray
    size: int
    crop: float
    square: bool

    def draw(self, rows: np.ndarray) -> np.ndarray:
        from PIL import Image

        from ldl_jax.data import pictures

        chosen = self.images[self.numbers[rows]]
        how = self.size, self.crop, self.square
        fit = [pictures.fit(Image.fromarray(image), *how) for image in chosen]
        return np.stack(fit) if fit else np.empty((0, self.size, self.size, 3), np.uint8)

    def take(self, rows: np.ndarray) -> "_Fitted":
        return dataclasses.replace(self, numbers=self.numbers[rows])
