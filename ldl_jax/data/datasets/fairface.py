"""FairFace: 97,698 faces in nine groups of age, chosen to be even over seven groups of race."""

from functools import partial
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, group_name, of_rows, to_records
from ldl_jax.data.datasets.tables import LayoutError, Row, find, read_csv
from ldl_jax.data.records import DataError, Faults, Records
from ldl_jax.files import listed
from ldl_jax.labels import LabelSpace

# The groups as the lists write them. The last one is open; it ends where Adience's does.
AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
SPACE = LabelSpace.groups(
    [(0, 2), (3, 9), *((low, low + 9) for low in range(10, 70, 10)), (70, 100)]
)
SEXES = ("Female", "Male")
RACES = (
    *("Black", "East Asian", "Indian", "Latino_Hispanic", "Middle Eastern", "Southeast Asian"),
    "White",
)
FOLDERS = {0.25: "fairface-img-margin025-trainval", 1.25: "fairface-img-margin125-trainval"}
SPLITS = {"train": "train", "val": "test"}  # by the list's name


@rooted
def read(root: Path, *, padding: float = 0.25) -> Records:
    """Lists the training (86,744) and validation (10,954) pictures; a label is its group's middle.

    Args:
      root: the folder of the release.
      padding: the release's pictures with a padding of 0.25 (its own experiments' crops of 224
        pixels), or of 1.25 (448 pixels, whose faces can be cut out in another way). Where neither
        folder is there, 'train' and 'val' in the root are read, whatever their padding.

    The records hold the groups' bounds, so that data.space=train makes nine groups of them; "more
    than 70" is taken for 70 to 100. The release has no public test part: papers test on its
    validation pictures, which are "test" here. Groups are the sex, and the race in the
    release's own seven words. The column service_test (which pictures were shown to commercial
    services) is not read. Subjects are not known.

    Licence: CC BY 4.0, as the authors' repository says.
    Source: K. Kärkkäinen and J. Joo, "FairFace: Face Attribute Dataset for Balanced Race, Gender,
    and Age for Bias Measurement and Mitigation", WACV 2021. Paddings and licence: the authors'
    README (joojs/fairface); names of folders and files, columns, counts and sizes: MiVOLO's
    converter and README (but for the 224 pixels); the words for ages and races: public readers of
    the lists. No copy was seen.
    """
    if padding not in FOLDERS:
        raise DataError(f"fairface: padding must be 0.25 or 1.25, got {padding:g}")
    folder = _folder(root, FOLDERS[padding])
    entries: list[Entry] = []
    faults = Faults("fairface")
    for name, split in SPLITS.items():
        table = read_csv(find(root, f"fairface_label_{name}.csv"), root, faults)
        file, *labels = table.named(["file"], ["age"], ["gender"], ["race"])
        _check_words(table.rows, labels, faults)
        make = partial(_entry, folder=folder, file=file, split=split)
        entries += of_rows(table.rows, make, faults)
    return to_records("fairface", entries, bounds=SPACE.bounds, faults=faults)


def _folder(root: Path, name: str) -> Path:
    """Returns the folder that files' names are relative to."""
    if (root / name).is_dir():
        return root / name
    if any((root / other).is_dir() for other in FOLDERS.values()):
        raise LayoutError(f"{root} has no {name!r}, but the pictures of the other padding")
    find(root, "train")
    find(root, "val")
    return root


def _check_words(rows: tuple[Row, ...], columns: list[str], faults: Faults) -> None:
    """Adds a fault for each cell that is none of the release's words."""
    for row in rows:
        for column, words in zip(columns, (AGES, SEXES, RACES), strict=True):
            if row.cells[column] not in words:
                expected = f"must be one of {', '.join(words)}"
                faults.add(f"{row.source}: {column} {expected}, got {row.cells[column]!r}")


def _entry(row: Row, folder: Path, file: str, split: str) -> Entry:
    name, age = row.text(file), row.cells["age"]
    # What is no word is a fault already; any label keeps the row for the other checks.
    label = SPACE.values[AGES.index(age)] if age in AGES else 0.0
    groups = (("sex", group_name("sex", row.cells["gender"])), ("race", row.cells["race"]))
    return Entry(name, listed(folder, name), label, row.source, split=split, groups=groups)


DATASET = Dataset(
    read=read,
    title="FairFace",
    paper="Kärkkäinen and Joo, FairFace: Face Attribute Dataset for Balanced Race, Gender, and "
    "Age for Bias Measurement and Mitigation, 2021",
    licence="CC BY 4.0",
    where="https://github.com/joojs/fairface",
    layout="'fairface-img-margin025-trainval' (or, with the option padding=1.25, "
    "'fairface-img-margin125-trainval') with folders 'train' and 'val' of N.jpg, or these two "
    "folders themselves; 'fairface_label_train.csv' and 'fairface_label_val.csv' with columns "
    "file, age, gender, race, service_test",
    pictures=(97698,),
)
