"""SCUT-FBP: the attractiveness of 500 Asian women's faces, 1-5, the mean of about 70 raters."""

from __future__ import annotations

import math
import re
from pathlib import Path

from ldl_jax.data.dataset import Dataset
from ldl_jax.data.records import DataError, Records
from ldl_jax.data.tables import Entry, Row, Table, find, find_csv, read_csv, to_records

LAYOUT = (
    "'Data_Collection/SCUT-FBP-N.jpg' and 'Rating_Collection/Attractiveness label.csv' (saved from "
    "the sheet of the same name) with columns Image, Attractiveness label and, if known, std"
)
LISTS = (
    "Rating_Collection/Attractiveness label.csv",
    "Rating_Collection/AttractivenessLabel.csv",
    "Rating_Collection/Attractiveness_label.csv",
)


def read(root: Path, csv: str = "") -> Records:
    """Lists the pictures; sigma is the raters' standard deviation, where the CSV file has one.

    DLDL-v2 draws each label's distribution with the raters' deviation; it has to be worked out
    from the release's single ratings and put into a column std. There is no official split: the
    authors draw 400 training and 100 test pictures at random (test_fraction 0.2). Everybody is
    there once, so each picture is a subject.

    Licence: research only.
    Source: D. Xie et al., "SCUT-FBP: A Benchmark Dataset for Facial Beauty Perception", SMC 2015.
    Names of folders, pictures and columns: public readers of the release; no copy was seen.

    Raises:
      DataError: a piece of the layout, a column or a listed picture is missing, an image is no
        number, a score or deviation is not a number, or a picture is listed twice.
    """
    images = find(root, "Data_Collection")
    table = read_csv(find_csv(root, csv) if csv else find(root, *LISTS), root)
    image, score = table.column("image"), table.column("attractiveness label", "score")
    return to_records(
        "scut_fbp", [_entry(row, table, images, image, score) for row in table.rows], unit="score"
    )


def _entry(row: Row, table: Table, images: Path, image: str, score: str) -> Entry:
    match = re.fullmatch(r"(?:SCUT-FBP-)?(\d+)(?:\.0)?(?:\.jpg)?", row.text(image))
    if match is None:
        raise DataError(f"{row.source}: image must be a number, got {row.text(image)!r}")
    name = f"SCUT-FBP-{int(match.group(1))}.jpg"
    return Entry(
        id=name,
        path=images / name,
        label=row.number(score),
        source=row.source,
        sigma=row.deviation("std") if "std" in table.columns else math.nan,
        subject=name,
    )


DATASET = Dataset(
    read=read,
    title="SCUT-FBP",
    paper="Xie et al., SCUT-FBP: A Benchmark Dataset for Facial Beauty Perception, 2015",
    licence="research only",
    where="http://www.hcii-lab.net/data/SCUT-FBP/EN/introduce.html",
    layout=LAYOUT,
    takes_csv=True,
    pictures=(500,),
)
