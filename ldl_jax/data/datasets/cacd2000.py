"""CACD2000: 163,446 pictures of 2,000 celebrities, aged 14-62."""

import math
import re
import unicodedata
from pathlib import Path

from ldl_jax.data.datasets import matlab
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.folders import Left, left_notes, named, pictures
from ldl_jax.data.records import DataError, Faults, Records

PATTERN = r"([0-9]+)_(.+)_([0-9]+)\.jpg"
VALIDATION, TEST = 2, 5  # the greatest ranks in these parts


@rooted
def read(root: Path) -> Records:
    """Lists the pictures; the age is the difference of two years, so it is off by one at times.

    With celebrity2000_meta.mat, the official split: by the celebrity's rank within a year of
    birth, 1-2 "validation" (80 people, checked by hand), 3-5 "test" (120, checked by hand), the
    other 1,800 "train" (labels with errors). Without the file there is none. People are matched
    by the letters and digits of their names, since copies differ in how accents are spelled.
    Subjects are the names. A file with another name is counted in the notes.

    Source: B.-C. Chen, C.-S. Chen and W. H. Hsu, "Cross-Age Reference Coding for Age-Invariant Face
    Recognition and Retrieval", ECCV 2014. Fields, names of files and the ranks' parts: the
    authors' page and public readers, the unified benchmark's among them. No copy was seen.
    """
    folder = root / "CACD2000" if (root / "CACD2000").is_dir() else root
    places = (path / "celebrity2000_meta.mat" for path in (root, folder))
    mat = next((path for path in places if path.is_file()), None)
    ranks = {} if mat is None else _ranks(mat)
    left: Left = {}
    entries, faults = [], Faults("cacd2000")
    for file, match in named(pictures(folder, left), PATTERN, "AGE_Name_NNNN.jpg", left):
        age, person = float(match.group(1)), match.group(2)
        split = faults.tried(_split, file, person, ranks) if ranks else ""
        if split is not None:
            entries.append(Entry(file, folder / file, age, file, subject=person, split=split))
    return to_records("cacd2000", entries, notes=left_notes(left), faults=faults)


def _split(file: str, person: str, ranks: dict[str, int]) -> str:
    rank = ranks.get(_letters(person))
    if rank is None:
        raise DataError(f"{file}: celebrity2000_meta.mat has no picture of {person!r}")
    return "validation" if rank <= VALIDATION else "test" if rank <= TEST else "train"


def _ranks(mat: Path) -> dict[str, int]:
    """Reads the rank of each celebrity, by the letters of the name."""
    variable = "celebrityImageData"
    try:
        data = matlab.fields(mat, variable, ("name", "rank"))
        names, numbers = data["name"], matlab.numbers(mat, data, "rank", len(data["name"]))
    except (DataError, KeyError) as error:
        raise DataError(f"{mat.name}: has no {variable} with name and rank ({error})") from error
    ranks: dict[str, int] = {}
    for name, rank in zip(names, numbers.tolist(), strict=True):
        match = re.fullmatch(PATTERN, str(name))
        if match is not None and math.isfinite(rank):
            ranks[_letters(match.group(2))] = int(rank)
    return ranks


def _letters(person: str) -> str:
    plain = unicodedata.normalize("NFKD", person)
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum()).lower()


DATASET = Dataset(
    read=read,
    title="CACD2000",
    paper="Chen et al., Cross-Age Reference Coding for Age-Invariant Face Recognition and "
    "Retrieval, 2014",
    licence="research only",
    where="https://bcsiriuschen.github.io/CARC/",
    layout="AGE_Name_NNNN.jpg (as 53_Robin_Williams_0001.jpg), in 'CACD2000' or the root itself, "
    "and beside them or in the root, for the official split, 'celebrity2000_meta.mat'",
    pictures=(163446,),
)
