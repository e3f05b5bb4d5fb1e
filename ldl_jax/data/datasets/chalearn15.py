"""ChaLearn LAP 2015: the apparent age of faces, the mean and deviation of at least ten votes."""

import dataclasses
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, from_table, to_records
from ldl_jax.data.datasets.tables import find, read_csv
from ldl_jax.data.records import Faults, Records


@rooted
def read(root: Path) -> Records:
    """Lists the training (2,476) and validation (1,136) pictures, with the votes' deviation.

    By the papers' protocol (DLDL, DLDL-v2, CEN) Train.csv is "train" and Validation.csv "test";
    the challenge's own test pictures are not read. Sigma is the votes' standard deviation, and 0
    where all votes agree. A header line and commas for semicolons are accepted.

    Source: S. Escalera et al., "ChaLearn Looking at People 2015: Apparent Age and Cultural Event
    Recognition Datasets and Results", ICCV Workshops 2015.
    """
    entries: list[Entry] = []
    faults = Faults("chalearn15")
    for folder, split in (("Train", "train"), ("Validation", "test")):
        find(root, folder)
        table = read_csv(find(root, f"{folder}.csv"), root, faults, ("file", "mean", "std"))
        if table.rows and "." not in table.rows[0].text("file"):  # no file's name, so a header
            table = dataclasses.replace(table, rows=table.rows[1:])
        shared = {"folder": folder, "sigma": "std", "split": split}
        entries += from_table(table, root, "file", "mean", faults, **shared)
    return to_records("chalearn15", entries, faults=faults)


DATASET = Dataset(
    read=read,
    title="ChaLearn LAP 2015 apparent age (V1)",
    paper="Escalera et al., ChaLearn Looking at People 2015: Apparent Age and Cultural Event "
    "Recognition Datasets and Results, 2015",
    licence="research, under the challenge's terms of use",
    where="https://chalearnlap.cvc.uab.cat/dataset/18/description/",
    layout="folders 'Train' and 'Validation' of pictures, 'Train.csv' and 'Validation.csv' of "
    "lines 'file;mean;std'",
    pictures=(3612,),
)
