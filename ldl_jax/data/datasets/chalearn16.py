"""ChaLearn LAP 2016: the apparent age of 7,591 faces, the mean and deviation of the votes."""

from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, from_table, to_records
from ldl_jax.data.datasets.tables import find, read_csv
from ldl_jax.data.records import Faults, Records

SPLITS = {"train": "train", "valid": "validation", "test": "test"}


@rooted
def read(root: Path, *, train_on_validation: bool = False) -> Records:
    """Lists the training (4,113), validation (1,500) and test (1,978) pictures.

    Sigma is the votes' standard deviation, and 0 where all votes agree. Subjects are not known.
    With `train_on_validation` the validation pictures are training pictures, as DLDL-v2 has it
    ("We train the model on training and validation sets").

    Source: S. Escalera et al., "ChaLearn Looking at People and Faces of the World: Face Analysis
    Workshop and Challenge 2016", CVPR Workshops 2016. Counts: DLDL-v2 (IJCAI 2018), and the unified
    benchmark's list of the set (7,591 entries in these three parts). The layout is the one that
    the benchmark's converter reads; no copy of the set itself was seen.
    """
    entries: list[Entry] = []
    faults = Faults("chalearn16")
    for folder, split in SPLITS.items():
        if train_on_validation and split == "validation":
            split = "train"
        find(root, folder)
        table = read_csv(find(root, f"{folder}_gt.csv"), root, faults)
        image, mean, sigma = table.named(["image"], ["mean"], ["stdv", "std"])
        shared = {"folder": folder, "sigma": sigma, "split": split}
        entries += from_table(table, root, image, mean, faults, **shared)
    return to_records("chalearn16", entries, faults=faults)


DATASET = Dataset(
    read=read,
    title="ChaLearn LAP 2016 apparent age (V2)",
    paper="Escalera et al., ChaLearn Looking at People and Faces of the World: Face Analysis "
    "Workshop and Challenge 2016, 2016",
    licence="research, under the challenge's terms of use",
    where="https://chalearnlap.cvc.uab.cat/dataset/19/description/",
    layout="folders 'train', 'valid' and 'test' of pictures, 'train_gt.csv', 'valid_gt.csv' and "
    "'test_gt.csv' with columns image, mean, stdv",
    pictures=(7591,),
)
