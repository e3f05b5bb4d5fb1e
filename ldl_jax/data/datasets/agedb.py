"""AgeDB: 16,488 pictures of 568 famous people, aged 1-101, labelled by hand."""

from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, group_name, to_records
from ldl_jax.data.datasets.folders import Left, left_notes, named, pictures
from ldl_jax.data.records import Records


@rooted
def read(root: Path) -> Records:
    """Lists the pictures; the name is the subject. There is no official split for age.

    The first number is the picture's, not the person's. The letter at the end is the sex.

    Source: S. Moschoglou et al., "AgeDB: The First Manually Collected, In-the-Wild Age Database",
    CVPR Workshops 2017. That every one of the 16,488 names has this form (567 names, ages 1-101)
    was checked on the unified benchmark's list of the set; the pictures were not seen.
    """
    folder = root / "AgeDB" if (root / "AgeDB").is_dir() else root
    pattern, expected = r"\d+_([^_]+)_(\d+)_([mf])\.jpg", "NUMBER_Name_AGE_SEX.jpg"
    left: Left = {}
    entries = [
        Entry(
            *(file, folder / file, float(match.group(2)), file),
            subject=match.group(1),
            groups=(("sex", group_name("sex", match.group(3))),),
        )
        for file, match in named(pictures(folder, left), pattern, expected)
    ]
    return to_records("agedb", entries, notes=left_notes(left))


DATASET = Dataset(
    read=read,
    title="AgeDB",
    paper="Moschoglou et al., AgeDB: The First Manually Collected, In-the-Wild Age Database, 2017",
    licence="non-commercial research only",
    where="https://ibug.doc.ic.ac.uk/resources/agedb/",
    layout="NUMBER_Name_AGE_SEX.jpg (as 0_MariaCallas_35_f.jpg), in 'AgeDB' or the root itself",
    pictures=(16488,),
)
