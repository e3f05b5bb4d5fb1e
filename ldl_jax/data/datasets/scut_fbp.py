"""SCUT-FBP: the attractiveness of 500 Asian women's faces, 1-5, the mean of about 70 raters."""

import math
import re
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.tables import Row, find, find_csv, read_csv
from ldl_jax.data.records import DataError, Records

LISTS = (
    "Rating_Collection/Attractiveness label.csv",
    "Rating_Collection/AttractivenessLabel.csv",
    "Rating_Collection/Attractiveness_label.csv",
)
DEVIATIONS = ("standard deviation", "std")


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
    table = read_csv(find_csv(root, csv) if csv else find(root, *LISTS), root)
    image, score = table.column("#image", "image"), table.column("attractiveness label", "score")
    std = next((name for name in DEVIATIONS if name in table.columns), "")
    entries = of_rows(table.rows, lambda row: _entry(row, images, image, score, std), table.file)
    return to_records("scut_fbp", entries, unit="score")


def _entry(row: Row, images: Path, image: str, score: str, std: str) -> Entry:
    match = re.fullmatch(r"(?:SCUT-FBP-)?([0-9]+)(?:\.0)?(?:\.jpg)?", row.text(image))
    if match is None:
        raise DataError(f"{row.source}: image must be a number, got {row.text(image)!r}")
    name = f"SCUT-FBP-{int(match.group(1))}.jpg"
    return Entry(
        id=name,
        path=images / name,
        label=row.number(score),
        source=row.source,
        sigma=row.deviation(std) if std else math.nan,
        subject=name,
    )


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
