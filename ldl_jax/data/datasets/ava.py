"""AVA: the aesthetics of 255,530 photographs, 1-10, by the histograms of some 210 votes each."""

from pathlib import Path

from ldl_jax.data.datasets import vote_cells
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, missing, of_rows, to_records
from ldl_jax.data.datasets.folders import Left, left_notes
from ldl_jax.data.datasets.tables import LayoutError, Row, find, read_list
from ldl_jax.data.records import DataError, Faults, Records

SCORES = tuple(range(1, 11))
COUNTS = tuple(f"votes of {score}" for score in SCORES)
COLUMNS = ("index", "image", *COUNTS, "tag 1", "tag 2", "challenge")
LISTS = {"train": "generic_ls_train.jpgl", "test": "generic_test.jpgl"}


@rooted
def read(root: Path, *, skip_missing: bool = False) -> Records:
    """Lists the photographs; the label is the votes' mean, sigma their deviation (over N - 1).

    With 'aesthetics_image_lists' its large generic lists are the official split (235,599 and 19,930
    pictures in print); a picture in neither is left out. Without them there is none. Subjects are
    not known.

    Args:
      root: the folder of the release.
      skip_missing: leaves out pictures that do not exist, and counts them; some copies lack a few.

    Source: N. Murray, L. Marchesotti and F. Perronnin, "AVA: A Large-Scale Database for Aesthetic
    Visual Analysis", CVPR 2012. Files and columns: the release's read-me and public readers of it.
    No copy was seen.
    """
    images = next((root / name for name in ("images", "image") if (root / name).is_dir()), None)
    if images is None:
        raise LayoutError(f"{root} has no 'images' or 'image'")
    faults = Faults("ava")
    split = _split(root, faults)
    rows = read_list(find(root, "AVA.txt"), root, COLUMNS, faults)
    left: Left = {}
    if split:
        left["they are in neither list"] = [
            row.source for row in rows if row.text("image") not in split
        ]
        rows = tuple(row for row in rows if row.text("image") in split)

    def entry(row: Row) -> Entry:
        name, votes = f"{row.text('image')}.jpg", _votes(row)
        mean, deviation = vote_cells.mean(votes), vote_cells.deviation(votes)
        part = split.get(row.text("image"), "")
        return Entry(name, images / name, mean, row.source, deviation, split=part, votes=votes)

    entries = of_rows(rows, entry, faults)
    if skip_missing:
        for reason, wrong in missing(entries).items():
            left[f"they {reason}"] = [f"{each.source}, {each.path}" for each in wrong]
            gone = {each.source for each in wrong}
            entries = [each for each in entries if each.source not in gone]
    notes = left_notes({reason: files for reason, files in left.items() if files})
    return to_records("ava", entries, unit="score", notes=notes, faults=faults, vote_values=SCORES)


def _votes(row: Row) -> vote_cells.Votes:
    counts = [row.number(column) for column in COUNTS]
    if min(counts) < 0 or not any(counts):
        shown = " ".join(f"{count:g}" for count in counts)
        raise DataError(f"{row.source}: counts of votes must not be negative, nor all 0: {shown}")
    return tuple(zip(map(float, SCORES), counts, strict=True))


def _split(root: Path, faults: Faults) -> dict[str, str]:
    """Returns each listed picture's part by its number; {} without the lists."""
    folder = root / "aesthetics_image_lists"
    split: dict[str, str] = {}
    sources: dict[str, str] = {}
    for part, name in LISTS.items() if folder.is_dir() else ():
        for row in read_list(find(folder, name), root, ("image",), faults):
            picture = row.text("image").removesuffix(".jpg")
            if picture in split:
                faults.add(f"{row.source}: {picture} is in {sources[picture]} already")
            sources.setdefault(picture, row.source)
            split.setdefault(picture, part)
    return split


DATASET = Dataset(
    read=read,
    title="AVA",
    paper="Murray et al., AVA: A Large-Scale Database for Aesthetic Visual Analysis, 2012",
    licence="research only; the photographs are their authors'",
    where="https://github.com/imfing/ava_downloader",
    layout="'images/NUMBER.jpg' (or 'image'), 'AVA.txt' of lines 'index number, ten counts, two "
    "tags, challenge', and for the official split 'generic_ls_train.jpgl' and 'generic_test.jpgl' "
    "in 'aesthetics_image_lists'",
    pictures=(255530, 255529),
)
