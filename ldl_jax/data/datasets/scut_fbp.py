"""SCUT-FBP: the attractiveness of 500 Asian women's faces, 1-5, the mean of about 70 raters."""

import math
import re
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.tables import Row, file_name, find, find_csv, read_csv
from ldl_jax.data.records import DataError, Faults, Records

LISTS = (
    "Rating_Collection/Attractiveness label.csv",
    "Rating_Collection/AttractivenessLabel.csv",
    "Rating_Collection/Attractiveness_label.csv",
)
DEVIATIONS = ("standard deviation", "std")


@rooted
def read(root: Path, csv: str = "") -> Records:
    """Lists the pictures; sigma is the raters' standard deviation, where the sheet has it.

    The release's sheet has it: of the sample, over N - 1 raters, of the whole 1-5 votes in
    'Ratings of all raters.xlsx' (checked for all 500; that file is not read). DLDL-v2 draws each
    label's distribution with it. Columns may be called Image, score and std, too; where the sheet
    is there as .csv and as .xlsx, the .csv is read. There is no official split: the authors draw
    400 training and 100 test pictures at random (test_fraction 0.2). Everybody is there once, so
    each picture is a subject.

    Source: D. Xie et al., "SCUT-FBP: A Benchmark Dataset for Facial Beauty Perception", SMC 2015.
    The sheet's layout was checked on the release's own; names of folders and pictures are from
    public readers of the release.
    """
    images = find(root, "Data_Collection")
    file = find_csv(root, csv) if csv else find(root, *LISTS)
    faults = Faults(file_name(file, root))
    table = read_csv(file, root, faults)
    image, score = table.named(["#image", "image"], ["attractiveness label", "score"])
    std = next((name for name in DEVIATIONS if name in table.columns), "")

    def entry(row: Row) -> Entry | None:
        name, label = faults.tried(_name, row, image), faults.tried(row.number, score)
        sigma = faults.tried(row.deviation, std) if std else math.nan
        if name is None or label is None or sigma is None:
            return None
        return Entry(name, images / name, label, row.source, sigma, subject=name)

    entries = of_rows(table.rows, entry, faults)
    return to_records("scut_fbp", entries, unit="score", faults=faults)


def _name(row: Row, column: str) -> str:
    """Returns the name of a row's picture."""
    match = re.fullmatch(r"(?:SCUT-FBP-)?([0-9]+)(?:\.0)?(?:\.jpg)?", row.text(column))
    if match is None:
        raise DataError(f"{row.source}: image must be a number, got {row.text(column)!r}")
    return f"SCUT-FBP-{int(match.group(1))}.jpg"


DATASET = Dataset(
    read=read,
    title="SCUT-FBP",
    paper="Xie et al., SCUT-FBP: A Benchmark Dataset for Facial Beauty Perception, 2015",
    licence="research only",
    where="http://www.hcii-lab.net/data/SCUT-FBP/EN/introduce.html",
    layout="'Data_Collection/SCUT-FBP-N.jpg' and 'Rating_Collection/Attractiveness label.xlsx', "
    "or that sheet as .csv, with columns #Image, Attractiveness label and, if known, Standard "
    "Deviation",
    takes_csv=True,
    pictures=(500,),
)
