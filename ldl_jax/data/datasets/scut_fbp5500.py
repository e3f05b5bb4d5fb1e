"""SCUT-FBP5500: the attractiveness of 5,500 faces, 1-5, the mean of 60 raters."""

import dataclasses
import math
from pathlib import Path

from ldl_jax.data.datasets import vote_cells
from ldl_jax.data.datasets.dataset import Dataset, rooted
from ldl_jax.data.datasets.entries import Entry, of_rows, to_records
from ldl_jax.data.datasets.tables import LayoutError, Row, find, read_csv, read_list
from ldl_jax.data.records import Faults, Records

FOLDERS = ("train_test_files/split_of_60%training and 40%testing", "train_test_files")
RATINGS, SCORES = "All_Ratings", range(1, 6)
FOLDS = "train_test_files/5_folders_cross_validations_files"


@rooted
def read(root: Path) -> Records:
    """Lists the pictures of the official 60/40 split (3,300 "train", 2,200 "test").

    Where the release's five test lists are there, a picture's fold is the list that it is in, and
    the protocol "official_folds" tests on each in turn (4,400 training and 1,100 test pictures).
    Where the release's single votes are there (All_Ratings.xlsx, its sheet ALL or else the first;
    a .csv of the same name is read instead), these are its votes, for method.target=votes, and
    sigma is their deviation: of the sample, over N - 1 raters, as the authors give it for SCUT-FBP.
    Reading the 330,000 takes about ten seconds; without that file there are no votes and no sigma.
    A copy without test.txt lists its training pictures alone; it then has no official test part.
    Subjects are not known: the release doesn't say whether a person is in it twice.

    Source: L. Liang et al., "SCUT-FBP5500: A Diverse Benchmark Dataset for Multi-Paradigm Facial
    Beauty Prediction", ICPR 2018. That the five test lists part the 5,500 pictures was checked on
    the lists of the release's repository; their folder's name, and the sheet's name and columns,
    are from public readers of the release.

    Raises:
      DataError: a listed picture is in no fold or in two, or has fewer than two votes.
    """
    images = find(root, "Images")
    train = find(root, *(f"{folder}/train.txt" for folder in FOLDERS))
    test = train.with_name("test.txt")
    lists = [(train, "train"), *([(test, "test")] if test.exists() else [])]
    faults = Faults("scut_fbp5500")
    folds, votes = _folds(root, faults), _votes(root, faults)
    damaged = bool(faults)  # what these lists lack is then not said of every picture
    entries = []
    for part, split in lists:

        def entry(row: Row, split: str = split) -> Entry:
            file, score = row.text("file"), row.number("score")
            if folds and file not in folds and not damaged:
                faults.add(f"{row.source}: {file} is in none of the five test lists")
            if votes and file not in votes and not damaged:
                faults.add(
                    f"{row.source}: {file} has fewer than two votes in {RATINGS}; move that file "
                    "away to go on without sigma"
                )
            counts = votes.get(file, ())
            listed_entry = Entry(f"Images/{file}", images / file, score, row.source, split=split)
            deviation = vote_cells.deviation(counts) if counts else math.nan
            fold = folds.get(file, -1)
            return dataclasses.replace(listed_entry, fold=fold, sigma=deviation, votes=counts)

        entries += of_rows(read_list(part, root, ("file", "score"), faults), entry, faults)
    notes = (f"sigma is the raters' deviation, from the votes of {RATINGS}",) if votes else ()
    return to_records(
        "scut_fbp5500", entries, unit="score", notes=notes, faults=faults, vote_values=SCORES
    )


def _votes(root: Path, faults: Faults) -> dict[str, vote_cells.Votes]:
    """Returns each picture's votes, two or more, by its file's name; {} without votes."""
    try:
        path = find(root, f"{RATINGS}.csv")
    except LayoutError:
        return {}
    # Sheets for one race and sex may follow the one with the votes on all pictures.
    table = read_csv(path, root, faults, prefer="ALL")
    file, rating = table.named(["filename"], ["rating"])
    votes = vote_cells.single(table.rows, file, rating, faults)
    return {name: each for name, each in votes.items() if sum(count for _, count in each) > 1}


def _folds(root: Path, faults: Faults) -> dict[str, int]:
    """Returns the fold, from 0, that each picture is tested in; {} without the five lists."""
    folds: dict[str, int] = {}
    for fold in range(5 if (root / FOLDS).is_dir() else 0):
        path = find(root, f"{FOLDS}/cross_validation_{fold + 1}/test_{fold + 1}.txt")
        for row in read_list(path, root, ("file", "score"), faults):
            file = row.text("file")
            if file in folds:
                faults.add(f"{row.source}: {file} is in fold {folds[file] + 1} already")
            folds.setdefault(file, fold)
    return folds


DATASET = Dataset(
    read=read,
    title="SCUT-FBP5500",
    paper="Liang et al., SCUT-FBP5500: A Diverse Benchmark Dataset for Multi-Paradigm Facial "
    "Beauty Prediction, 2018",
    licence="non-commercial research only",
    where="https://github.com/HCIILAB/SCUT-FBP5500-Database-Release",
    layout="'Images/*.jpg', 'train_test_files/split_of_60%training and 40%testing/train.txt' and "
    "'test.txt' beside it (or both in 'train_test_files') of lines 'file score', and for the five "
    "folds 'train_test_files/5_folders_cross_validations_files/cross_validation_N/test_N.txt'; "
    "for each picture's sigma 'All_Ratings.xlsx' (or .csv) with columns Filename and Rating, a "
    "row a vote",
    pictures=(5500,),
)
