"""IMDB-WIKI: 523,051 pictures of celebrities with ages from their dates of birth; noisy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ldl_jax.data.dataset import Dataset
from ldl_jax.data.folders import Left, left_notes
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.tables import Entry, LayoutError, to_records

LAYOUT = (
    "'imdb_crop/imdb.mat' or 'wiki_crop/wiki.mat' or both (or the .mat files themselves), each "
    "beside the numbered folders of its pictures"
)
LISTED = {"imdb": 460_723, "wiki": 62_328}


def read(
    root: Path,
    *,
    only: str = "",
    min_face_score: float = 1.0,
    second_face: bool = False,
    low: int = 0,
    high: int = 100,
) -> Records:
    """Lists the pictures of IMDB, of Wikipedia, or of both, that pass the filters.

    Age = the years from the date of birth to 1 July of the year in which the photo was taken, by
    the authors' MATLAB formula datevec(datenum(photo_taken, 7, 1) - dob).

    Args:
      root: the folder of the release.
      only: "imdb", "wiki", or "" for whichever are there.
      min_face_score: least score of the face detector; -inf in the lists means that no face was
        found. 1.0 is what public readers take, the authors give no number.
      second_face: keep pictures in which a second face was found (its score is not NaN).
      low, high: least and greatest age.

    What is left out is counted in the notes, by the first filter that it does not pass. DEX besides
    thins the most frequent ages at random, to 260,282 pictures; that is not done here. There is no
    official split. Subjects are IMDB's celeb_id, and Wikipedia's page number in a file's name; one
    person's two are not matched.

    Licence: academic research only.
    Source: R. Rothe, R. Timofte and L. Van Gool, "Deep Expectation of Real and Apparent Age from a
    Single Image without Facial Landmarks", IJCV 126, 2018. Fields: the authors' page as public
    readers quote it; the formula is from memory of that page, and agrees with the rule that those
    readers use (see the tests). No copy was seen.

    Raises:
      DataError: no .mat file, one that is broken or lacks a field, a picture that passes but does
        not exist, or `only` is none of the three.
    """
    if only not in ("", *LISTED):
        raise DataError(f"imdb_wiki: only must be 'imdb', 'wiki' or '', got {only!r}")
    entries: list[Entry] = []
    notes: list[str] = []
    for name in (only,) if only else tuple(LISTED):
        mat = _mat(root, name)
        if mat is None:
            continue
        left: Left = {}
        fields = _fields(mat, name)
        keep = _filtered(fields, f"{mat.name} entry", left, min_face_score, second_face, low, high)
        entries += _entries(name, mat, fields, keep)
        notes += [f"{name}: {note}" for note in left_notes(left)]
        count = len(fields["full_path"])
        if count != LISTED[name]:
            notes.append(f"{name}: lists {count:,} pictures; the official list {LISTED[name]:,}")
    if not notes and not entries:
        raise LayoutError(f"{root} has no {' or '.join(f'{n!r}' for n in _places(only))}")
    return to_records("imdb_wiki", entries, notes=notes)


def ages(dob: np.ndarray, photo_taken: np.ndarray) -> np.ndarray:
    """Ages in years: datevec(datenum(photo_taken, 7, 1) - dob), first element.

    Args:
      dob: MATLAB serial dates (days, 1 = 1 January of the year 0), [N].
      photo_taken: years, [N].

    Returns:
      int64 [N]; negative for a birth after the photo. A dob that is not finite counts as 0, which
      gives an age beyond any filter.
    """
    days = np.floor(np.where(np.isfinite(dob), dob, 0)).astype(np.int64)
    origin = np.datetime64("0000-01-01", "D")
    years = (np.asarray(photo_taken, np.int64) - 1970).astype("datetime64[Y]")
    july = years.astype("datetime64[M]") + 6
    taken = (july.astype("datetime64[D]") - origin).astype(np.int64) + 1
    lived = origin + (taken - days - 1)
    return lived.astype("datetime64[Y]").astype(np.int64) + 1970


def _places(only: str) -> tuple[str, ...]:
    names = (only,) if only else tuple(LISTED)
    return tuple(f"{name}_crop/{name}.mat" for name in names)


def _mat(root: Path, name: str) -> Path | None:
    for path in (root / f"{name}_crop" / f"{name}.mat", root / f"{name}.mat"):
        if path.is_file():
            return path
    return None


def _fields(mat: Path, name: str) -> dict[str, Any]:
    # Needed by this reader alone; jax brings scipy.
    import scipy.io  # type: ignore[import-untyped]

    needed = ("dob", "photo_taken", "full_path", "face_score", "second_face_score")
    try:
        fields = scipy.io.loadmat(mat, simplify_cells=True, variable_names=[name])[name]
    except Exception as error:  # a broken file raises ValueError, KeyError, zlib.error, ...
        raise DataError(f"{mat.name}: cannot be read as a MATLAB file ({error})") from error
    missing = [field for field in needed if field not in fields]
    if missing:
        raise DataError(f"{mat.name}: has no field {', '.join(missing)}")
    return {field: np.atleast_1d(value) for field, value in fields.items()}


def _filtered(
    fields: dict[str, Any],
    source: str,
    left: Left,
    min_face_score: float,
    second_face: bool,
    low: int,
    high: int,
) -> np.ndarray:
    """The rows that pass, with their ages put into `fields`; the others counted in `left`."""
    fields["age"] = ages(
        np.asarray(fields["dob"], np.float64), np.asarray(fields["photo_taken"], np.int64)
    )
    score = np.asarray(fields["face_score"], np.float64)
    second = np.asarray(fields["second_face_score"], np.float64)
    # Some copies write inf for "no face"; either infinity is no score.
    filters = {
        "no face was found": np.isinf(score) | np.isnan(score),
        f"the face's score is below {min_face_score:g}": score < min_face_score,
        "a second face was found": ~np.isnan(second) & (not second_face),
        f"the age is not {low}..{high}": (fields["age"] < low) | (fields["age"] > high),
    }
    keep = np.ones(len(score), bool)
    for reason, fails in filters.items():
        left[reason] = [f"{source} {row + 1}" for row in np.flatnonzero(keep & fails)]
        keep &= ~fails
    return np.flatnonzero(keep)


def _entries(name: str, mat: Path, fields: dict[str, Any], rows: np.ndarray) -> Iterator[Entry]:
    people = fields.get("celeb_id")
    for row in rows:
        path = str(fields["full_path"][row])
        subject = _page(path) if people is None else f"{int(people[row])}"
        yield Entry(
            id=f"{name}/{path}",
            path=mat.parent / path,
            label=float(fields["age"][row]),
            source=f"{mat.name} entry {row + 1}",
            subject=subject and f"{name}:{subject}",
        )


def _page(path: str) -> str:
    match = re.fullmatch(r"(\d+)_\d+-\d+-\d+_\d+\.\w+", path.rsplit("/", 1)[-1])
    return "" if match is None else match.group(1)


DATASET = Dataset(
    read=read,
    title="IMDB-WIKI",
    paper="Rothe et al., Deep Expectation of Real and Apparent Age from a Single Image without "
    "Facial Landmarks, 2018",
    licence="academic research only",
    where="https://data.vision.ee.ethz.ch/cvl/rrothe/imdb-wiki/",
    layout=LAYOUT,
)
