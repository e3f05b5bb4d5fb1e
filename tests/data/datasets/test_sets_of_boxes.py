"""FairFace, IMDB-Clean and LAGENDA, on small imitations of their layouts."""

import numpy as np
import pytest
from imitation import write

from ldl_jax.data.datasets import catalogue, fairface
from ldl_jax.data.records import DataError
from ldl_jax.labels import LabelSpace

WORDS = "file,age,gender,race,service_test\n"
TRAIN = "train/1.jpg,0-2,Male,East Asian,True\ntrain/2.jpg,more than 70,Female,White,False\n"
VAL = "val/1.jpg,10-19,Female,Latino_Hispanic,True\n"


def fair(root, train=TRAIN, val=VAL, folder="fairface-img-margin025-trainval/"):
    names = ("train/1.jpg", "train/2.jpg", "val/1.jpg")
    lists = {"fairface_label_train.csv": WORDS + train, "fairface_label_val.csv": WORDS + val}
    write(root, {f"{folder}{name}": "" for name in names} | lists)


def complaint(name, root, **options):
    with pytest.raises(DataError) as caught:
        catalogue.read(name, root, **options)
    return str(caught.value)


def test_fairface(tmp_path):
    fair(tmp_path)
    records = catalogue.read("fairface", tmp_path)
    assert records.ids == ("train/1.jpg", "train/2.jpg", "val/1.jpg")
    assert records.split == ("train", "train", "test")
    np.testing.assert_array_equal(records.labels, [1, 85, 14.5])
    space = LabelSpace.groups(records.bounds)
    assert space == fairface.SPACE
    assert space.size == len(fairface.AGES) == 9
    assert space.bounds[6:] == ((50, 59), (60, 69), (70, 100))
    assert set(records.labels) <= set(space.values)
    assert records.groups == {
        "sex": ("male", "female", "female"),
        "race": ("East Asian", "White", "Latino_Hispanic"),
    }
    assert records.paths[0] == tmp_path / "fairface-img-margin025-trainval/train/1.jpg"
    assert "3 pictures of FairFace; a whole official copy gives 97,698" in records.notes[0]


def test_fairface_of_the_other_padding(tmp_path):
    fair(tmp_path, folder="fairface-img-margin125-trainval/")
    assert "but the pictures of the other padding" in complaint("fairface", tmp_path)
    records = catalogue.read("fairface", tmp_path, padding=1.25)
    assert records.paths[0].parts[-3] == "fairface-img-margin125-trainval"
    assert "padding must be 0.25 or 1.25, got 0.5" in complaint("fairface", tmp_path, padding=0.5)


def test_fairface_without_the_folder_of_its_padding(tmp_path):
    fair(tmp_path, folder="")
    assert catalogue.read("fairface", tmp_path).paths[2] == tmp_path / "val/1.jpg"


def test_fairface_says_all_faults_at_once(tmp_path):
    fair(tmp_path, "train/1.jpg,3-Sep,M,White,True\n,0-2,Male,white,True\nx.jpg,0-2,Male,White,1\n")
    message = complaint("fairface", tmp_path)
    for part in (
        "train.csv row 2: age must be one of 0-2, 3-9, 10-19, ",
        "got '3-Sep'",
        "train.csv row 2: gender must be one of Female, Male, got 'M'",
        "train.csv row 3: race must be one of Black, East Asian, ",
        "train.csv row 3: file is empty",
        "1 of 3 listed pictures do not exist",
    ):
        assert part in message


BOX = "filename,age,gender,x_min,y_min,x_max,y_max,head_roll,head_yaw,head_pitch\n"
PARTS = {
    "train": "00/nm0000313_rm1_1949-12-4_2010.jpg,61,M,139,71,184,137,-0.9,-10.8,26.8\n",
    "valid": "01/nm2679438_rm2_1989-8-15_2009.jpg,20,F,31,39,61,77,7.7,1.7,2.2\n",
    "test": "02/other.jpg,30,M,-1,-1,-1,-1,0,0,0\n",
}


def clean(root, parts=PARTS, folder="data/imdb-clean-1024", lists="csvs/", end="_1024"):
    rows = "".join(PARTS.values()).splitlines()
    write(
        root,
        {f"{folder}/{row.split(',')[0]}": "" for row in rows}
        | {f"{lists}imdb_{part}_new{end}.csv": BOX + parts[part] for part in parts},
    )


PLACES = [
    ("data/imdb-clean-1024", "csvs/", "_1024", False),
    ("data/imdb-clean-1024", "data/imdb-clean-1024/", "_1024", False),
    ("imdb-clean-1024", "", "_1024", False),
    ("imdb-clean-1024/imdb-clean-1024", "", "_1024", False),
    ("data/imdb", "csvs/", "", True),
]


@pytest.mark.parametrize(("folder", "lists", "end", "originals"), PLACES)
def test_imdb_clean(tmp_path, folder, lists, end, originals):
    clean(tmp_path, folder=folder, lists=lists, end=end)
    records = catalogue.read("imdb_clean", tmp_path, originals=originals)
    assert records.split == ("train", "validation", "test")
    assert records.subjects == ("nm0000313", "nm2679438", "")
    assert records.paths[0] == tmp_path / folder / records.ids[0]
    assert records.groups == {"sex": ("male", "female", "male")}
    np.testing.assert_array_equal(records.labels, [61, 20, 30])
    np.testing.assert_array_equal(records.boxes[:2], [[139, 71, 184, 137], [31, 39, 61, 77]])
    assert np.isnan(records.boxes[2]).all()
    assert not records.shares_pictures
    assert records.notes == ()


def test_imdb_clean_leaves_out_what_is_no_age(tmp_path):
    clean(tmp_path, PARTS | {"test": "02/other.jpg,-3,M,1,1,5,5,0,0,0\n"})
    records = catalogue.read("imdb_clean", tmp_path)
    assert len(records) == 2
    source = "csvs/imdb_test_new_1024.csv row 2"
    assert records.notes == (f"1 picture left out: the age is not 0..100 (the first: {source})",)
    assert len(catalogue.read("imdb_clean", tmp_path, low=40, high=70)) == 1


def test_imdb_clean_says_all_faults_at_once(tmp_path):
    test = "02/other.jpg,x,Q,a,1,5,5,0,0,0\n,20,M,1,1,5,5,0,0,0\n03/no.jpg,20,M,1,1,5,5,0,0,0\n"
    clean(tmp_path, PARTS | {"test": test})
    message = complaint("imdb_clean", tmp_path)
    for part in (
        "test_new_1024.csv row 2: age must be a finite number, got 'x'",
        "test_new_1024.csv row 2: gender must be M, F or -1 (not known), got 'Q'",
        "test_new_1024.csv row 2: x_min must be a finite number, got 'a'",
        "test_new_1024.csv row 3: filename is empty",
        "1 of 3 listed pictures do not exist",
    ):
        assert part in message
    (tmp_path / "csvs/imdb_valid_new_1024.csv").write_text("filename,age,gender\n")
    assert "no column 'x_min', no column 'y_min'" in complaint("imdb_clean", tmp_path)


HEAD = (
    "img_name,age,gender,face_x0,face_y0,face_x1,face_y1,person_x0,person_y0,person_x1,person_y1\n"
)
FACES = (
    "lag_benchmark/a.jpg,30,M,1,1,20,20,10,10,50,90\n"
    "lag_benchmark/a.jpg,-1,-1,3,3,40,40,60,10,90,90\n"
    "lag_benchmark/a.jpg,20.5,F,50,5,66,26,-1,-1,-1,-1\n"
    "lag_benchmark/b.jpg,50,M,-1,-1,-1,-1,80,10,90,90\n"
    "lag_benchmark/c.jpg,12,-1,1,1,9,9,10,10,40,80\n"
    "lag_benchmark/b5c8ef090f134ad5.jpg.jpg,12,F,1,1,9,9,10,10,40,80\n"
)


def lagenda(root, rows=FACES):
    files = {f"lag_benchmark/{name}.jpg": "" for name in "abc"}
    write(root, {**files, "lagenda_annotation.csv": HEAD + rows})


def test_lagenda(tmp_path):
    lagenda(tmp_path)
    records = catalogue.read("lagenda", tmp_path)
    picture = "lag_benchmark/a.jpg"
    assert records.ids == (f"{picture}#1", f"{picture}#3", "lag_benchmark/c.jpg#1")
    assert records.paths[:2] == (tmp_path / picture,) * 2
    assert records.subjects[:2] == (picture,) * 2
    assert records.groups == {"sex": ("male", "female", "")}
    assert records.split == ()
    np.testing.assert_array_equal(records.labels, [30, 20.5, 12])
    np.testing.assert_array_equal(records.boxes[1], [50, 5, 66, 26])
    assert records.shares_pictures
    assert records.take(np.array([0, 2])).boxes.shape == (2, 4)
    assert [note.split(" (")[0] for note in records.notes] == [
        "1 picture left out: there is no age",
        "1 picture left out: there is no face's box",
        "1 picture left out: the release lacks the picture",
        "subjects are pictures, not persons: who is shown is not known",
    ]


def test_lagenda_says_all_faults_at_once(tmp_path):
    lagenda(
        tmp_path,
        "lag_benchmark/a.jpg,old,X,1,1,20,y,1,1,1,1\n"
        ",30,M,1,1,20,20,1,1,1,1\n"
        "lag_benchmark/no.jpg,30,M,1,1,20,20,1,1,1,1\n"
        "lag_benchmark/b.jpg,140,M,1,1,20,20,1,1,1,1\n",
    )
    message = complaint("lagenda", tmp_path)
    for part in (
        "row 2: age must be a finite number, got 'old'",
        "row 2: gender must be M, F or -1 (not known), got 'X'",
        "row 2: face_y1 must be a finite number, got 'y'",
        "row 3: img_name is empty",
        "1 of 2 listed pictures do not exist",
        "row 5: 140 is no age of 0 to 130 years",
    ):
        assert part in message
    lagenda(tmp_path, "lag_benchmark/a.jpg,-1,-1,3,3,40,40,60,10,90,90\n")
    assert "names no face with an age and a box" in complaint("lagenda", tmp_path)
