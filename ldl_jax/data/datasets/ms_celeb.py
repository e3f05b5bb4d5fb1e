"""MS-Celeb-1M: pictures of celebrities by identity, for pretraining with a softmax over people."""

from pathlib import Path

from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, to_records
from ldl_jax.data.datasets.folders import Left, left_notes, pictures, subfolders
from ldl_jax.data.datasets.tables import LayoutError
from ldl_jax.data.records import DataError, Records


@rooted
def read(root: Path, *, min_pictures: int = 10, max_identities: int = 0) -> Records:
    """Lists the pictures of every identity that has at least `min_pictures`.

    The label is the identity's number, from 0 in the order of the folders' names; it is no quantity
    (unit "identity"). DLDL-v2 "cut those identities whose number of images is lower than a
    threshold", to about 5M pictures of 54K identities; it does not give the threshold.

    Args:
      root: the folder that holds the identities' folders.
      min_pictures: least number of pictures of an identity; 1 keeps all.
      max_identities: stop after so many; 0 for all.

    The release's tab-separated files (a picture in base64 a row) must be unpacked to folders
    first. Microsoft withdrew the set in 2019.

    Source: Y. Guo et al., "MS-Celeb-1M: A Dataset and Benchmark for Large-Scale Face Recognition",
    ECCV 2016. The folders are those that public unpackers make; no copy was seen.
    """
    if min_pictures < 1 or max_identities < 0:
        raise DataError(
            "ms_celeb: min_pictures must be at least 1 and max_identities at least 0, got "
            f"{min_pictures} and {max_identities}"
        )
    entries: list[Entry] = []
    few: list[str] = []
    count = 0
    left: Left = {}
    identities = subfolders(root, left)
    for identity in identities:
        files = pictures(root / identity, left, f"{identity}/")
        if len(files) < min_pictures:
            few += [f"{identity}/{file}" for file in files]
            continue
        entries += [
            Entry(f"{identity}/{file}", root / identity / file, count, identity, subject=identity)
            for file in files
        ]
        count += 1
        if count == max_identities:
            break
    if not count:
        raise LayoutError(f"{root} has no folder of at least {min_pictures} pictures")
    notes = left_notes({**left, f"fewer than {min_pictures} of the identity": few})
    counted = f"{count:,} of {len(identities):,} identities"
    return to_records("ms_celeb", entries, unit="identity", notes=(counted, *notes))


DATASET = Dataset(
    read=read,
    title="MS-Celeb-1M",
    paper="Guo et al., MS-Celeb-1M: A Dataset and Benchmark for Large-Scale Face Recognition, 2016",
    licence="non-commercial research only",
    where="https://www.microsoft.com/en-us/research/project/ms-celeb-1m-challenge-recognizing-one-"
    "million-celebrities-real-world/ (withdrawn in 2019)",
    layout="a folder of pictures for each identity (as m.0107_f/1-FaceId-0.jpg)",
)
