"""AFAD: about 160,000 faces of Asian students, aged 15-75, by age and sex."""

import re
from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.folders import Left, left_notes, named, pictures, subfolders
from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.records import Records

SEXES = {"111": "male", "112": "female"}  # by folder


@rooted
def read(root: Path) -> Records:
    """Lists the pictures; ages are folders, and a subject is the number before the dash.

    That this number is a person is the unified benchmark's reading of it. There is no official
    split; papers take 80-20 by picture.

    Source: Z. Niu et al., "Ordinal Regression with Multiple Output CNN for Age Estimation", CVPR
    2016, with 164,432 pictures. The layout is that of the set's description and of public readers;
    the other two counts (165,501 in AFAD-Full, 59,344 in AFAD-Lite) are from memory. No copy was
    seen.
    """
    for name in ("AFAD-Full", "AFAD-Lite", ""):
        folder = root / name
        ages = [age for age in subfolders(folder) if re.fullmatch("[0-9]+", age)]
        if ages:
            break
    else:
        raise LayoutError(f"{root} has no folder of an age, as '15'")
    left: Left = {}
    files = [
        f"{age}/{sex}/{file}"
        for age in ages
        for sex in SEXES
        for file in pictures(folder / age / sex, left, f"{age}/{sex}/")
    ]
    entries = [
        Entry(
            *(file, folder / file, float(file.split("/")[0]), file),
            subject=match.group(1),
            groups=(("sex", SEXES[file.split("/")[1]]),),
        )
        for file, match in named(files, r"(\d+)-\d+\.jpg", "PERSON-N.jpg")
    ]
    return to_records("afad", entries, notes=left_notes(left))


DATASET = Dataset(
    read=read,
    title="AFAD",
    paper="Niu et al., Ordinal Regression with Multiple Output CNN for Age Estimation, 2016",
    licence="academic research only",
    where="https://afad-dataset.github.io/",
    layout="folders of an age (15, 16, ...), in each the folders '111' (male) and '112' (female) "
    "of PERSON-N.jpg; in 'AFAD-Full', 'AFAD-Lite' or the root itself",
    pictures=(164432, 165501, 59344),
)
