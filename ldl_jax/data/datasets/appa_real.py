"""APPA-REAL: the real and the apparent age of 7,591 faces, about 38 votes a face."""

import dataclasses
from pathlib import Path

from ldl_jax.data.datasets import vote_cells
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, from_table, to_records
from ldl_jax.data.datasets.tables import find, read_csv
from ldl_jax.data.records import DataError, Faults, Records

SPLITS = {"train": "train", "valid": "validation", "test": "test"}
COLUMNS = {"apparent": ("apparent_age_avg", "apparent_age_std"), "real": ("real_age",)}


@rooted
def read(root: Path, *, age: str = "apparent", faces: bool = True) -> Records:
    """Lists the training (4,113), validation (1,500) and test (1,978) pictures.

    Args:
      root: the folder of the release.
      age: "apparent" (the votes' mean, sigma their standard deviation) or "real" (no sigma).
      faces: the release's own crops (the face with a margin of 40 %), or else whole pictures.

    Subjects are not known. Where the votes one by one are there (gt_train.csv, gt_valid.csv and
    gt_test.csv), these are the pictures' votes on the apparent age, for method.target=votes.

    Source: E. Agustsson et al., "Apparent and Real Age Estimation in Still Images with Deep
    Residual Regressors on APPA-REAL Database", FG 2017. Layout and counts: the release's own
    description; columns: public readers of the release. No copy was seen.
    """
    if age not in COLUMNS:
        raise DataError(f"appa_real: age must be 'apparent' or 'real', got {age!r}")
    entries: list[Entry] = []
    faults = Faults("appa_real")
    for folder, split in SPLITS.items():
        find(root, folder)
        table = read_csv(find(root, f"gt_avg_{folder}.csv"), root, faults)
        file, label, *sigma = table.named(["file_name"], *([name] for name in COLUMNS[age]))
        shared = {"folder": folder, "suffix": "_face.jpg" if faces else "", "split": split}
        listed = from_table(table, root, file, label, faults, sigma="".join(sigma), **shared)
        votes = {} if age == "real" else _votes(root, folder, faults)
        for entry in listed:
            name = entry.id.removeprefix(f"{folder}/")
            if votes and name not in votes:
                faults.add(f"{entry.source}: {name} has no vote in gt_{folder}.csv")
            entries.append(dataclasses.replace(entry, votes=votes.get(name, ())))
    return to_records("appa_real", entries, faults=faults)


def _votes(root: Path, folder: str, faults: Faults) -> dict[str, vote_cells.Votes]:
    """Returns the votes on each picture of a folder by its name; {} without their file."""
    path = root / f"gt_{folder}.csv"
    if not path.exists():
        return {}
    table = read_csv(path, root, faults)
    file, age = table.named(["file_name"], ["apparent_age"])
    return vote_cells.single(table.rows, file, age, faults)


DATASET = Dataset(
    read=read,
    title="APPA-REAL",
    paper="Agustsson et al., Apparent and Real Age Estimation in Still Images with Deep Residual "
    "Regressors on APPA-REAL Database, 2017",
    licence="research only",
    where="https://chalearnlap.cvc.uab.cat/dataset/26/description/",
    layout="folders 'train', 'valid' and 'test' of NNNNNN.jpg and NNNNNN.jpg_face.jpg, "
    "'gt_avg_train.csv', 'gt_avg_valid.csv' and 'gt_avg_test.csv' with columns file_name, "
    "num_ratings, apparent_age_avg, apparent_age_std, real_age; for the single votes "
    "'gt_train.csv' and the like, with columns file_name and apparent_age, a row a vote",
    pictures=(7591,),
)
