"""Adience: 19,370 faces from Flickr albums in eight groups of age and five official folds."""

import re
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.folders import Left, left_notes
from ldl_jax.data.datasets.tables import LayoutError, Row, Table, find, read_csv
from ldl_jax.data.records import DataError, Faults, Records
from ldl_jax.labels import ADIENCE

FOLDS = 5
# The eight groups as the lists write them; their (8, 12) is the papers' (8, 13).
GROUPS = (
    *("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)"),
    *("(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)"),
)
# Ranges that are none of the eight: two misprints and two narrower ones. (8, 23) spans two groups.
ODD_RANGES = {"(25, 23)": 4, "(27, 32)": 4, "(38, 42)": 5, "(38, 48)": 5}


@rooted
def read(root: Path, *, gaps: str = "drop") -> Records:
    """Lists the aligned faces of the five folds; a label is the middle of its group, in years.

    Args:
      root: the folder of the release.
      gaps: how ages that are none of the eight groups are treated. "drop" leaves them out, as the
        authors' own training lists do (17,321 faces once their repeats are gone). "nearest" keeps
        most (18,621): a single age takes the group it lies in, or else the one whose bound is
        nearest, at a tie the one whose middle is, then the younger (3 -> 0-2, 13 -> 8-13,
        22 -> 15-20, 23, 29, 32, 34 -> 25-32, 35, 36, 42, 45 -> 38-43, 46, 55, 56 -> 48-53, 57,
        58 -> 60-100); (25, 23) and (27, 32) -> 25-32; (38, 42) and (38, 48) -> 38-43. Rows
        without an age, and (8, 23), are left out in either case.

    The notes count what is left out. The lists repeat 117 rows; the first is kept. Subjects
    are the Flickr albums (168); no album is in two folds. Folds of `Records` are the official
    ones, so the protocol "official_folds" tests on each in turn; never merge and redraw them.

    Licence: research; the pictures are under Creative Commons licences of their owners.
    Source: E. Eidinger, R. Enbar and T. Hassner, "Age and Gender Estimation of Unfiltered Faces",
    IEEE TIFS 9(12), 2014. The counts, the ages and the repeats were checked on the five lists that
    G. Levi and T. Hassner publish with "Age and Gender Classification Using Convolutional Neural
    Networks" (2015), the choice of "drop" on their training lists. The pictures were not seen.
    """
    if gaps not in ("drop", "nearest"):
        raise DataError(f"adience: gaps must be 'drop' or 'nearest', got {gaps!r}")
    faces = find(root, "aligned")
    left: Left = {}
    listed: set[str] = set()
    entries: list[Entry] = []
    faults = Faults("adience")
    for fold in range(FOLDS):
        file = find(root, f"fold_{fold}_data.txt", f"folds/fold_{fold}_data.txt")
        table = read_csv(file, root, faults)
        entries += _entries(table, faces, fold, gaps == "nearest", listed, left, faults)
    if not entries and not faults:
        raise LayoutError("the five lists name no face with an age")
    return to_records("adience", entries, notes=left_notes(left), faults=faults)


def group(age: str, nearest: bool) -> int | None:
    """Returns the index of an age's group; None if it is left out; ValueError if it is no age."""
    if age in GROUPS:
        return GROUPS.index(age)
    single = re.fullmatch(r"[0-9]+", age)
    if single is None and age not in ("None", "") and not re.fullmatch(r"\([0-9]+, [0-9]+\)", age):
        raise ValueError(f"age must be a number, a range as (25, 32), or None, got {age!r}")
    if not nearest:
        return None
    return ODD_RANGES.get(age) if single is None else _nearest(int(age))


def _nearest(age: int) -> int:
    def far(index: int) -> tuple[float, float, int]:
        low, high = ADIENCE.bounds[index]
        return max(low - age, age - high, 0), abs(age - ADIENCE.values[index]), index

    return min(range(ADIENCE.size), key=far)


def _entries(
    table: Table,
    faces: Path,
    fold: int,
    nearest: bool,
    listed: set[str],
    left: Left,
    faults: Faults,
) -> list[Entry]:
    user, image, face, age = table.named(["user_id"], ["original_image"], ["face_id"], ["age"])

    def entry(row: Row) -> Entry | None:
        subject, name = row.text(user), f"landmark_aligned_face.{row.text(face)}.{row.text(image)}"
        file = f"{subject}/{name}"
        if file in listed:
            left.setdefault("the face is listed already", []).append(row.source)
            return None
        listed.add(file)
        try:
            index = group(row.cells[age], nearest)
        except ValueError as error:
            raise DataError(f"{row.source}: {error}") from None
        if index is None:
            reason = "there is no age" if row.cells[age] in ("None", "") else "the age is no group"
            left.setdefault(reason, []).append(row.source)
            return None
        path, label = faces / subject / name, ADIENCE.values[index]
        return Entry(file, path, label, row.source, subject=subject, fold=fold)

    return of_rows(table.rows, entry, faults)


DATASET = Dataset(
    read=read,
    title="Adience",
    paper="Eidinger et al., Age and Gender Estimation of Unfiltered Faces, 2014",
    licence="research; the pictures under their owners' Creative Commons licences",
    where="https://talhassner.github.io/home/projects/Adience/Adience-data.html",
    layout="'aligned/USER/landmark_aligned_face.FACE.PICTURE' and 'fold_0_data.txt' to "
    "'fold_4_data.txt' (in the root or in 'folds'), separated by tabs",
    pictures=(17321, 18621),
)
