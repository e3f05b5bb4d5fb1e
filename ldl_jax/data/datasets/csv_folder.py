"""Reads any pictures that a CSV file or a spreadsheet lists."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ldl_jax.data.datasets import vote_cells
from ldl_jax.data.datasets.dataset import OLDEST, Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, check_groups, group_name, missing, to_records
from ldl_jax.data.datasets.folders import Left, left_notes
from ldl_jax.data.datasets.tables import LayoutError, Row, Table, file_name, find_csv, read_csv
from ldl_jax.data.records import DataError, Faults, Records
from ldl_jax.files import listed
from ldl_jax.labels import LabelSpace

SPLITS = {"": "", "train": "train", "validation": "validation", "val": "validation", "test": "test"}
COLUMNS = ("path", "label", "sigma", "subject", "split", "fold", "votes", "vote")
GROUP = "group."  # begins a column of groups of people, as group.sex
# What rows of one picture say of it alike.
_OF_PICTURES = ("label", "sigma", "subject", "split", "fold")
T = TypeVar("T")


@rooted
def read(
    root: Path,
    csv: str = "",
    columns: Mapping[str, str] | None = None,
    skip: bool = False,
    *,
    unit: str = "years",
    vote_values: str = "",
) -> Records:
    """Lists the pictures of a CSV file with columns path, label[, sigma, subject, split, fold].

    Columns group.NAME, as group.sex and group.skin, say to which groups of people somebody belongs,
    for errors by group; an empty cell is "not given". A column has at most 100 groups.

    Labels are in `unit`; those in "years" must be ages.

    Where people voted, `votes` has how many voted for each value, "0 3 10 2 0" over `vote_values`
    or pairs as "23:2 25:1" (`vote_cells.cell`); or a column `vote` has one vote, and the file a row
    for each vote on a picture. A label that is empty, or has no column, is then the votes' mean, an
    empty sigma their deviation (over N - 1).

    Cells are separated by comma, semicolon or tab. Of a spreadsheet the first sheet is read that is
    not empty. Other columns are left alone. An empty sigma, subject, split or fold is an unknown
    one. Split is one of train, validation (or val), test; folds are numbered from 0; a sigma is
    above 0. All faults of the file are said at once.

    Args:
      root: the folder that paths are relative to.
      csv: the file.
      columns: the file's names of columns by those above, as {"path": "file", "group.sex":
        "gender"}; one whose name is empty is not read, as {"votes": ""}.
      skip: leaves out rows whose path or label is empty or unusable, whose picture does not exist,
        and those that say again what an earlier one says, and counts them in the notes.
      unit: what labels are measured in.
      vote_values: the values that the counts in `votes` are of, as "1:1:5"; a run's data.space,
        where that says them.
    """
    if not csv:
        raise LayoutError("no CSV file is given")
    path = find_csv(root, csv)
    faults = Faults(file_name(path, root))
    table = read_csv(path, root, faults)
    names, values = _named(table, columns or {}), _values(vote_values)
    _check_groups(table, names, faults)
    reader = _Rows(root, unit, names, faults, {} if skip else None, values)
    rows = reader.pictures(table.rows) if "vote" in names else table.rows
    entries = [entry for row in rows if (entry := reader.entry(row)) is not None]
    if reader.left is not None:
        entries = _present(entries, reader.left)
    if table.rows and not entries and not faults:
        raise DataError(f"{table.file}: none of its {len(table.rows)} rows can be used")
    notes = left_notes(reader.left or {})
    return to_records(
        "csv_folder", entries, unit=unit, notes=notes, faults=faults, vote_values=values
    )


@dataclasses.dataclass
class _Rows:
    """Makes entries of rows; `left` takes those that are left out, None where none may be."""

    root: Path
    unit: str
    names: Mapping[str, str]
    faults: Faults
    left: Left | None
    values: tuple[float, ...]  # that counts of votes are of
    known: dict[str, Entry] = dataclasses.field(default_factory=dict)
    single: dict[str, vote_cells.Votes] = dataclasses.field(default_factory=dict)  # by path

    def pictures(self, rows: Sequence[Row]) -> list[Row]:
        """Returns the first row of each picture, of rows that are a vote each, and keeps these."""
        name, vote = self.names["path"], self.names["vote"]
        usable = []
        for row in rows:
            read_vote = functools.partial(row.number, vote)
            if self._tried(read_vote, "its vote is unusable", row) is not None and row.cells[name]:
                usable.append(row)
        columns = [
            column
            for key, column in self.names.items()
            if key in _OF_PICTURES or key.startswith(GROUP)
        ]
        for fault in vote_cells.contradictions(usable, name, columns):
            self.faults.add(fault)
        self.single = vote_cells.single(usable, name, vote, self.faults)
        firsts = {row.cells[name]: row for row in reversed(usable)}
        nameless = [row for row in rows if not row.cells[name]]
        return [*(firsts[path] for path in self.single), *nameless]

    def entry(self, row: Row) -> Entry | None:
        """Returns a row's entry; None where it is left out, or has faults, which are kept."""
        text = self._tried(lambda: row.text(self.names["path"]), "its path is empty", row)
        votes = self._tried(lambda: self._votes(row), "its votes are unusable", row)
        if votes is None:
            return None
        label = self._tried(lambda: self._label(row, votes), "its label is empty or unusable", row)
        sigma = self._tried(lambda: _sigma(row, self.names, votes), "", row)
        split = self._tried(lambda: _split(row, self.names), "", row)
        fold = self._tried(lambda: _fold(row, self.names), "", row)
        if text is None or label is None or sigma is None or split is None or fold is None:
            return None
        subject, file = _cell(row, self.names, "subject"), listed(self.root, text)
        groups = tuple(
            (kind, group_name(kind, row.cells[column]))
            for name, column in self.names.items()
            if (kind := name.removeprefix(GROUP)) != name
        )
        known = (sigma, subject, split, fold)
        entry = Entry(text, file, label, row.source, *known, votes=votes, groups=groups)
        earlier = self.known.setdefault(text, entry)
        if self.left is not None and earlier is not entry:
            same_row = dataclasses.replace(earlier, source=row.source)
            if repr(same_row) == repr(entry):  # an unknown sigma is NaN, and equals nothing
                self.left.setdefault("an earlier row says the same", []).append(row.source)
                return None
        return entry

    def _tried(self, value: Callable[[], T], reason: str, row: Row) -> T | None:
        """Returns a value; None after an error, which is a fault, or with a reason is left out."""
        try:
            return value()
        except DataError as error:
            if self.left is None or not reason:
                self.faults.add(error)
            elif row.source not in (listed := self.left.setdefault(reason, []))[-1:]:
                listed.append(row.source)
            return None

    def _votes(self, row: Row) -> vote_cells.Votes:
        if _cell(row, self.names, "votes"):
            return vote_cells.cell(row, self.names["votes"], self.values)
        return self.single.get(row.cells[self.names["path"]], ())

    def _label(self, row: Row, votes: vote_cells.Votes) -> float:
        if votes and not _cell(row, self.names, "label"):
            label = vote_cells.mean(votes)
        elif "label" in self.names:
            label = row.number(self.names["label"])
        else:
            raise DataError(f"{row.source}: has neither a label nor votes")
        if self.unit == "years" and not 0 <= label <= OLDEST:
            raise DataError(f"{row.source}: {label:g} is no age of 0 to {OLDEST} years")
        return label


def _named(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """Returns the file's names of the columns that it has, by ours."""
    for name, column in columns.items():
        if not (name in COLUMNS or _is_group(name)) or not isinstance(column, str):
            known = ", ".join((*COLUMNS, f"{GROUP}NAME"))
            raise DataError(f"columns: expected names of columns by {known}, got {name}: {column}")
    names = {name: columns[name].strip().lower() for name in columns}
    usable = [name for name in table.columns if name in COLUMNS or _is_group(name)]
    ordered = sorted(usable, key=lambda name: name.startswith(GROUP))
    others = {name: name for name in ordered if name not in names}
    given = {name: column for name, column in names.items() if column}
    votes = [name for name in ("votes", "vote") if name in {**others, **given}]
    if len(votes) > 1:
        raise DataError(
            f"{table.file}: has a column of counts, votes, and one of single votes, vote; leave "
            'one out with data.columns, as {"vote": ""}'
        )
    always = {name: name for name in (("path",) if votes else ("path", "label"))}
    needed = always | given
    own_names = dict(zip(needed, table.named(*([name] for name in needed.values())), strict=True))
    return others | own_names


def _is_group(name: str) -> bool:
    return name.startswith(GROUP) and name != GROUP


def _check_groups(table: Table, names: Mapping[str, str], faults: Faults) -> None:
    """Adds a fault for each column of groups that cannot be one."""
    for name, column in names.items():
        if _is_group(name):
            cells = [row.cells[column] for row in table.rows]
            title = f"column {column}" if column == name else f"column {column} ({name})"
            remedy = f'; leave it out with data.columns, as {{"{name}": ""}}'
            faults.tried(check_groups, table.file, title, cells, remedy)


def _values(text: str) -> tuple[float, ...]:
    """Returns the values that a text says, as "1:1:5"; none of an empty one."""
    try:
        return LabelSpace.parse(text).values if text else ()
    except ValueError as error:
        raise DataError(f"vote_values: {str(error).removeprefix('space: ')}") from None


def _present(entries: list[Entry], left: Left) -> list[Entry]:
    """Returns the entries whose pictures exist; `left` takes the others."""
    for reason, wrong in missing(entries).items():
        if wrong:
            left[f"they {reason}"] = [f"{entry.source}, {entry.path}" for entry in wrong]
            gone = {entry.source for entry in wrong}
            entries = [entry for entry in entries if entry.source not in gone]
    return entries


def _cell(row: Row, names: Mapping[str, str], name: str) -> str:
    """Returns a row's cell; "" where the file has no such column, though one may have no name."""
    return row.cells[names[name]] if name in names else ""


def _sigma(row: Row, names: Mapping[str, str], votes: vote_cells.Votes) -> float:
    if not _cell(row, names, "sigma"):
        return vote_cells.deviation(votes) if votes else math.nan
    column = names["sigma"]
    sigma = row.number(column)
    if sigma <= 0:
        raise DataError(f"{row.source}: {column} must be positive (or empty), got {sigma:g}")
    return sigma


def _split(row: Row, names: Mapping[str, str]) -> str:
    value = _cell(row, names, "split")
    if value.lower() not in SPLITS:
        expected = "train, validation, val or test"
        raise DataError(f"{row.source}: {names['split']} must be {expected}, got {value!r}")
    return SPLITS[value.lower()]


def _fold(row: Row, names: Mapping[str, str]) -> int:
    if not _cell(row, names, "fold"):
        return -1
    column = names["fold"]
    fold = row.number(column)
    if not 0 <= fold < 1e6 or fold != int(fold):
        raise DataError(f"{row.source}: {column} must be a whole number of 0 or more, got {fold:g}")
    return int(fold)


DATASET = Dataset(
    read=read,
    title="pictures of your own, listed in a CSV file",
    layout="a CSV file or a spreadsheet with columns path, label and, if known, sigma, subject, "
    "split, fold, votes or vote, group.NAME (or those that data.columns names), its paths relative "
    "to the root (default: the file's folder)",
    takes_csv=True,
    takes_columns=True,
)
