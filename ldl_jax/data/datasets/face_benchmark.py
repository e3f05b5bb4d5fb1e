"""Reads the unified facial age benchmark: databases in JSON, splits of their folders in YAML."""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped] # ml_collections brings it

from ldl_jax.data.datasets import numbers
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, group_name, to_records
from ldl_jax.data.datasets.tables import LARGEST, LayoutError, find_csv, read_text
from ldl_jax.data.records import DataError, Faults, FoldSplit, Records

PARTS = ("trn", "val", "tst")
# PyYAML raises ValueError for a wrong date, RecursionError for lists nested too deep.
_WRONG = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_LONGEST = 300_000  # characters of a YAML file, which takes seconds; the benchmark's are short
_LARGEST_JSON = 128 * 2**20  # characters; values may take thirty times as many bytes


class _Member(NamedTuple):
    """A database of a benchmark, and the folders in each part of its splits."""

    database: Path
    tag: str
    splits: list[dict[str, tuple[int, ...]]]


@rooted
def read(root: Path, csv: str = "", *, tag: str = "") -> Records:
    """Lists the pictures of a benchmark's database, with its official ways to split the folders.

    Args:
      root: the folder that the databases' img_path are relative to.
      csv: a benchmark's YAML file, [{database, tag, split: [{trn, val, tst}]}], or one database's
        JSON file, [{img_path, age, folder, ...}], which is then not split.
      tag: which database of the benchmark; "" for those it trains on. The others (cross-dataset
        tests) have no training folder: read one by its tag, and combine it with the first.

    `folds` are the entries' folders, numbered from 0 over the databases, `fold_splits` the
    benchmark's splits: the protocol "official_folds" takes one by its number. The five splits of
    most databases have overlapping test folders, so they are no cross-validation. Subjects are
    id_num or name, where the database has one (UTKFace's and CLAP2016's don't: their folders may
    share people). Sigma is std_age, the quad is aligned_bbox.

    Source: J. Paplhám and V. Franc, "A Call to Reflect on Evaluation Practices for Age Estimation:
    Comparative Analysis of the State-of-the-Art and a Unified Benchmark", CVPR 2024. Checked on
    the published lists of AgeDB, CLAP2016 and FG-NET and on the benchmark's YAML files.
    """
    if not csv:
        raise LayoutError("no benchmark's YAML file or database's JSON file is given (csv)")
    path = find_csv(root, csv)
    alone = path.suffix == ".json"
    members = [_Member(path, path.stem, [])] if alone else _members(path, tag)
    folds: dict[tuple[int, int], int] = {}
    entries: list[Entry] = []
    faults = Faults(path.name)
    for index, member in enumerate(members):
        prefix = f"{member.tag}:" if len(members) > 1 else ""
        entries += _entries(root, member.database, prefix, index, folds, faults)
    fold_splits = _splits(path, members, folds)
    return to_records("face_benchmark", entries, fold_splits=fold_splits, faults=faults)


class _Plain(yaml.SafeLoader):
    """Loads YAML without aliases, of which a few lines may stand for any number of values."""

    def compose_node(self, parent: object, index: object) -> object:
        """Returns the next node; raises ComposerError where it is an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", mark)
        return super().compose_node(parent, index)


# YAML's own rule takes 1_0 for 10 and 1:30 for 90.
_Plain.add_constructor(
    "tag:yaml.org,2002:int",
    lambda loader, node: numbers.whole_number(loader.construct_scalar(node)),
)


def _folders(values: Sequence[object]) -> tuple[int, ...]:
    """Returns folders' numbers; raises ValueError where one is none."""
    whole = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if isinstance(values, str) or len(whole) != len(values):
        raise ValueError(f"expected whole numbers of folders, got {values!r}"[:120])
    return tuple(whole)


def _members(path: Path, tag: str) -> list[_Member]:
    text = read_text(path, path.name)
    if len(text) > _LONGEST:
        raise DataError(f"{path.name}: has {len(text):,} characters, more than {_LONGEST:,}")
    try:
        members = [
            _Member(
                path.parent / item["database"],
                str(item.get("tag", Path(item["database"]).stem)),
                [{part: _folders(split[part]) for part in PARTS} for split in item["split"]],
            )
            for item in yaml.load(text, _Plain)
        ]
    except (*_WRONG, yaml.YAMLError) as e:
        raise DataError(
            f"{path.name}: expected a list of {{database, tag, split: [{{trn, val, tst}}]}} "
            f"({type(e).__name__}: {e})".replace("\n", " ")
        ) from e
    known = ", ".join(member.tag for member in members)
    if tag:
        members = [member for member in members if member.tag == tag]
    else:
        members = [member for member in members if any(split["trn"] for split in member.splits)]
    if not members:
        wanted = f"no database {tag!r}" if tag else "no database that is trained on"
        raise DataError(f"{path.name}: has {wanted}; its databases: {known}")
    return members


def _entries(
    root: Path,
    database: Path,
    prefix: str,
    index: int,
    folds: dict[tuple[int, int], int],
    faults: Faults,
) -> Iterator[Entry]:
    if not os.path.isfile(database):  # also false for a name that no file could have
        raise LayoutError(f"{database.parent} has no {database.name!r}")
    text = read_text(database, database.name)
    if len(text) > _LARGEST_JSON:
        raise DataError(f"{database.name}: has {len(text):,} characters, more than can be read")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{database.name}: is no JSON ({error})") from error
    if not isinstance(listed, list):
        raise DataError(f"{database.name}: expected a list of pictures")
    for folder in sorted({_folder(item) for item in listed} - {-1}):
        folds[index, folder] = len(folds)
    for position, item in enumerate(listed):
        source = f"{database.name} entry {position + 1}"
        fold = folds.get((index, _folder(item)), -1)
        entry = faults.tried(_entry, root, item, source, prefix, fold)
        if entry is not None:
            yield entry


def _folder(item: object) -> int:
    folder = item.get("folder") if isinstance(item, Mapping) else None
    return folder if isinstance(folder, int) and not isinstance(folder, bool) else -1


def _entry(root: Path, item: Mapping[str, Any], source: str, prefix: str, fold: int) -> Entry:
    try:
        subject = str(item.get("id_num", item.get("name", "")))
        label = numbers.value(item["age"])
        sigma = numbers.value(item.get("std_age", math.nan))
        if not abs(label) <= LARGEST or sigma < 0:
            raise ValueError(f"age is {label:g}, std_age {sigma:g}")
        return Entry(
            id=prefix + item["img_path"],
            path=root / item["img_path"],
            label=label,
            source=source,
            sigma=sigma,
            subject=prefix + subject if subject else "",
            fold=fold,
            groups=tuple(
                (kind, group_name(kind, text))
                for key, kind in (("gender", "sex"), ("race", "race"))
                if isinstance(text := item.get(key), str)
            ),
            quad=_quad(item.get("aligned_bbox", ())),
        )
    except (TypeError, LookupError, AttributeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{source}: expected {{img_path, age, folder, ...}} ({type(error).__name__}: {error})"
        ) from error


def _quad(corners: Sequence[float]) -> tuple[float, ...]:
    if len(corners) not in (0, 8):
        raise ValueError(f"aligned_bbox has {len(corners)} numbers, not 8")
    return tuple(map(numbers.value, corners))


def _splits(
    path: Path, members: Sequence[_Member], folds: Mapping[tuple[int, int], int]
) -> tuple[FoldSplit, ...]:
    counts = {len(member.splits) for member in members}
    if len(counts) > 1:
        raise DataError(f"{path.name}: its databases have different numbers of splits: {counts}")

    def folds_of(run: int, part: str) -> tuple[int, ...]:
        folders = [member.splits[run][part] for member in members]
        keys = [(index, folder) for index, listed in enumerate(folders) for folder in listed]
        return tuple(folds[key] for key in keys if key in folds)

    return tuple(FoldSplit(*(folds_of(run, part) for part in PARTS)) for run in range(counts.pop()))


DATASET = Dataset(
    read=read,
    title="the unified facial age benchmark",
    paper="Paplhám and Franc, A Call to Reflect on Evaluation Practices for Age Estimation, 2024",
    licence="MIT for the lists; the pictures have their own",
    where="https://github.com/paplhjak/Facial-Age-Estimation-Benchmark-Databases",
    layout="the pictures at the databases' img_path, and a benchmark's YAML file (its databases' "
    "paths relative to it) or one database's JSON file, as the csv",
    takes_csv=True,
)
