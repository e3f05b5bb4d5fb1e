"""UTKFace: about 24,000 faces, aged 0-116."""

from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, Groups, to_records
from ldl_jax.data.datasets.folders import Left, below, left_notes, named
from ldl_jax.data.records import Records

PATTERN = r"(\d{1,3})_([01])_([0-4])_\d+\.jpg(\.chip\.jpg)?"
SEXES = ("male", "female")
# As the set's page calls them.
RACES = ("White", "Black", "Asian", "Indian", "Others")


@rooted
def read(root: Path) -> Records:
    """Lists the pictures; age, sex and race are in the name, who is shown is not known.

    Ages reach 116: give the label space 0:1:116. A name that lacks a part (as
    61_1_20170109142408075.jpg) is counted in the notes and left out, though its first number is
    the age. There is no official split. One person is there several times, at times with one
    picture: audit whatever split you draw.

    Source: Z. Zhang, Y. Song and H. Qi, "Age Progression/Regression by Conditional Adversarial
    Autoencoder", CVPR 2017. The form of the names and the range of ages: the set's page; the four
    malformed names: the unified benchmark's converter; 23,708 aligned pictures, 3 of them
    malformed: from a public count. No copy was seen.

    The release's landmark_list_part1.txt to part3.txt are not read: public readers take their 68
    points as those of the aligned pictures, which are upright already, and no source was found
    that states the order of the points.
    """
    left: Left = {}
    expected = "AGE_SEX_RACE_DATE.jpg"
    entries = [
        Entry(file, root / file, float(match.group(1)), file, groups=_groups(*match.group(2, 3)))
        for file, match in named(tuple(below(root, left)), PATTERN, expected, left)
    ]
    return to_records("utkface", entries, notes=left_notes(left))


def _groups(sex: str, race: str) -> Groups:
    return ("sex", SEXES[int(sex)]), ("race", RACES[int(race)])


DATASET = Dataset(
    read=read,
    title="UTKFace",
    paper="Zhang et al., Age Progression/Regression by Conditional Adversarial Autoencoder, 2017",
    licence="non-commercial research only",
    where="https://susanqq.github.io/UTKFace/",
    layout="AGE_SEX_RACE_DATE.jpg, or as aligned AGE_SEX_RACE_DATE.jpg.chip.jpg, in the root or "
    "in folders below (as 'UTKFace' or 'part1' to 'part3')",
    pictures=(23705,),
)
