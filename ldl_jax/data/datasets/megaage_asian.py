"""MegaAge-Asian: 40,000 training and 3,945 test faces, aged 0-70."""

from collections.abc import Iterator
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.tables import find, read_list
from ldl_jax.data.records import Faults, Records


@rooted
def read(root: Path) -> Records:
    """Lists the pictures of the official split, "train" and "test". Subjects are not known.

    Source: Y. Zhang et al., "Quantifying Facial Age by Posterior of Age Comparisons", BMVC 2017.
    """
    faults = Faults("megaage_asian")
    entries = [entry for split in ("train", "test") for entry in _entries(root, split, faults)]
    return to_records("megaage_asian", entries, faults=faults)


def _entries(root: Path, split: str, faults: Faults) -> Iterator[Entry]:
    folder = find(root, split)
    names_file, ages_file = f"list/{split}_name.txt", f"list/{split}_age.txt"
    names = read_list(find(root, names_file), root, ("name",), faults)
    ages = read_list(find(root, ages_file), root, ("age",), faults)
    if len(names) != len(ages):
        faults.add(f"{names_file} has {len(names)} rows, {ages_file} has {len(ages)}")
    for name, age in zip(names, ages, strict=False):
        file, label = faults.tried(name.text, "name"), faults.tried(age.number, "age")
        if file is not None and label is not None:
            yield Entry(f"{split}/{file}", folder / file, label, age.source, split=split)


DATASET = Dataset(
    read=read,
    title="MegaAge-Asian",
    paper="Zhang et al., Quantifying Facial Age by Posterior of Age Comparisons, 2017",
    licence="non-commercial research only",
    where="http://mmlab.ie.cuhk.edu.hk/projects/MegaAge/",
    layout="folders 'train' and 'test' of pictures, 'list/train_name.txt', 'list/train_age.txt', "
    "'list/test_name.txt' and 'list/test_age.txt' of one name or age a line",
    pictures=(43945,),
)
