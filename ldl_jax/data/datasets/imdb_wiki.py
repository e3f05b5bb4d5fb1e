"""IMDB-WIKI: 523,051 pictures of celebrities with ages from their dates of birth; noisy."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ldl_jax.data.datasets import matlab
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.folders import Left, left_notes
from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.records import DataError, Faults, Records

NUMBERS = ("dob", "photo_taken", "face_score", "second_face_score")
NEEDED = (*NUMBERS, "full_path")
LISTED = {"imdb": 460_723, "wiki": 62_328}


@rooted
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

    The notes count what is left out, by the first filter that it does not pass. DEX also thins the
    most frequent ages at random, to 260,282 pictures; that is not done here. There is no official
    split. Subjects are IMDB's celeb_id, and Wikipedia's page number in a file's name; one person's
    two are not matched.

    Source: R. Rothe, R. Timofte and L. Van Gool, "Deep Expectation of Real and Apparent Age from a
    Single Image without Facial Landmarks", IJCV 126, 2018. Fields: the authors' page as public
    readers quote it; the formula is from memory of that page, and agrees with the rule that those
    readers use (see the tests). No copy was seen.
    """
    if only not in ("", *LISTED):
        raise DataError(f"imdb_wiki: only must be 'imdb', 'wiki' or '', got {only!r}")
    entries: list[Entry] = []
    notes: list[str] = []
    names = (only,) if only else tuple(LISTED)
    for name in names:
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
        files = " or ".join(f"'{name}_crop/{name}.mat'" for name in names)
        raise LayoutError(f"{root} has no {files}")
    return to_records("imdb_wiki", entries, notes=notes)


def ages(dob: np.ndarray, photo_taken: np.ndarray) -> np.ndarray:
    """Returns ages in years: datevec(datenum(photo_taken, 7, 1) - dob), first element.

    Args:
      dob: MATLAB serial dates (days, 1 = 1 January of the year 0), [N].
      photo_taken: years, [N].

    Returns:
      int64 [N]; negative for a birth after the photo. A dob or year that cannot be one counts as 0
      or 9999, which gives an age beyond any filter.
    """
    days = np.floor(np.where(np.abs(dob) < 1e7, dob, 0)).astype(np.int64)
    origin = np.datetime64("0000-01-01", "D")
    year = np.where(np.abs(photo_taken) < 1e4, photo_taken, 9999).astype(np.int64)
    years = (year - 1970).astype("datetime64[Y]")
    july = years.astype("datetime64[M]") + 6
    photo_day = (july.astype("datetime64[D]") - origin).astype(np.int64) + 1
    lived = origin + (photo_day - days - 1)
    return lived.astype("datetime64[Y]").astype(np.int64) + 1970


def _mat(root: Path, name: str) -> Path | None:
    paths = (root / f"{name}_crop" / f"{name}.mat", root / f"{name}.mat")
    return next((path for path in paths if path.is_file()), None)


def _fields(mat: Path, name: str) -> dict[str, np.ndarray]:
    loaded = matlab.fields(mat, name, (*NEEDED, "celeb_id"))
    missing = [field for field in NEEDED if field not in loaded]
    if missing:
        raise DataError(f"{mat.name}: has no field {', '.join(missing)}")
    paths = loaded["full_path"]
    if isinstance(paths, np.ndarray):
        raise DataError(f"{mat.name}: full_path are numbers, not paths")
    faults = Faults(mat.name)
    numbers = {
        field: faults.tried(matlab.numbers, mat, loaded, field, len(paths))
        for field in (*NUMBERS, *({"celeb_id"} & loaded.keys()))
    }
    faults.check()
    known = {field: values for field, values in numbers.items() if values is not None}
    return {**known, "full_path": np.array(paths, object)}


def _filtered(
    fields: dict[str, np.ndarray],
    source: str,
    left: Left,
    min_face_score: float,
    second_face: bool,
    low: int,
    high: int,
) -> np.ndarray:
    """Returns the rows that pass; puts ages into `fields` and the other rows into `left`."""
    fields["age"] = ages(fields["dob"], fields["photo_taken"])
    score, second = fields["face_score"], fields["second_face_score"]
    # Some copies write inf for "no face", so neither infinity is a score.
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


def _entries(
    name: str, mat: Path, fields: dict[str, np.ndarray], rows: np.ndarray
) -> Iterator[Entry]:
    people = fields.get("celeb_id")
    for row in rows:
        path = str(fields["full_path"][row])
        person = np.nan if people is None else people[row]
        subject = f"{int(person)}" if np.isfinite(person) else _page(path)
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
    layout="'imdb_crop/imdb.mat' or 'wiki_crop/wiki.mat' or both (or the .mat files themselves), "
    "each beside the numbered folders of its pictures",
)
