"""FG-NET: 1,002 pictures of 82 people, aged 0-69."""

from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.folders import Left, left_notes, named, pictures
from ldl_jax.data.records import Records


@rooted
def read(root: Path) -> Records:
    """Lists the pictures; the first three digits are the subject.

    Papers leave one person out: train on 81, test on the other, 82 times (the protocol
    "leave_one_person_out"), and average over pictures.

    Source: A. Lanitis, C. J. Taylor and T. F. Cootes, "Toward Automatic Simulation of Aging Effects
    on Face Images", IEEE TPAMI 24(4), 2002. That every one of the 1,002 names has this form (82
    people, ages 0-69, a letter after the age where there are several) was checked on the unified
    benchmark's list of the set; the pictures were not seen.
    """
    folder = root / "images" if (root / "images").is_dir() else root
    pattern = r"(\d{3})[Aa](\d{2})[A-Za-z]?\.\w+"
    left: Left = {}
    entries = [
        Entry(file, folder / file, float(match.group(2)), file, subject=match.group(1))
        for file, match in named(pictures(folder, left), pattern, "PPPAaa.JPG")
    ]
    return to_records("fg_net", entries, notes=left_notes(left))


DATASET = Dataset(
    read=read,
    title="FG-NET",
    paper="Lanitis et al., Toward Automatic Simulation of Aging Effects on Face Images, 2002",
    licence="none stated; given for research",
    where="https://yanweifu.github.io/FG_NET_data/",
    layout="PPPAaa.JPG (person 001 aged 2: 001A02.JPG), in 'images' or the root itself",
    pictures=(1002,),
)
