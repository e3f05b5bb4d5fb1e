"""Every reader on a small imitation of its official layout, and on the real one where it is."""

import math
from pathlib import Path

import numpy as np
import pytest
from imitation import scut_fbp5500, write
from PIL import Image

from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError

REAL = Path(__file__).parents[3] / "../shared/data"


def aaf(root, folder="aligned faces"):
    write(
        root,
        {f"{folder}/{name}": "" for name in ("00000A02.jpg", "00001A35.jpg", "07381A80.jpg")}
        | {
            "image sets/train.txt": "00000A02.jpg 0\n07381A80 1\n",
            "image sets/val.txt": "\n00001A35.jpg 0\n",
        },
    )


def chalearn(root, train="image_1.jpg;19.5;3.2\nimage_2.jpg;4;0\n"):
    write(
        root,
        {
            "Train/image_1.jpg": "",
            "Train/image_2.jpg": "",
            "Validation/image_1.jpg": "",
            "Train.csv": train,
            "Validation.csv": "image_1.jpg;60;5.25\n",
        },
    )


def megaage(root):
    write(
        root,
        {
            "train/1.jpg": "",
            "train/2.jpg": "",
            "test/1.jpg": "",
            "list/train_name.txt": "1.jpg\n2.jpg\n",
            "list/train_age.txt": "20\n3\n",
            "list/test_name.txt": "1.jpg\n",
            "list/test_age.txt": "70\n",
        },
    )


def listed(root, text, name="faces.csv"):
    write(root, {"a.jpg": "", "b/c.jpg": "", name: text})


def complaint(name, root, csv=""):
    with pytest.raises(DataError) as caught:
        catalogue.read(name, root, csv=csv)
    assert "\n" not in str(caught.value).replace("\n  - ", "; ")  # the faults of a file
    return str(caught.value)


@pytest.mark.parametrize("folder", ["aligned faces", "aglined faces"])
def test_aaf(tmp_path, folder):
    aaf(tmp_path, folder)
    records = catalogue.read("aaf", tmp_path)
    assert records.ids == ("00000A02.jpg", "07381A80.jpg", "00001A35.jpg")
    np.testing.assert_array_equal(records.labels, [2, 80, 35])
    assert records.labels.dtype == np.float32
    assert records.subjects == ("00000", "07381", "00001")
    assert records.split == ("train", "train", "test")
    assert records.sources[2] == "image sets/val.txt row 2"  # the blank first line counts
    assert all(path.is_file() for path in records.paths)
    assert (records.name, records.unit, records.sigma) == ("aaf", "years", None)
    assert "3 pictures of All-Age-Faces; a whole official copy gives 13,322" in records.notes[0]


def test_aaf_complains(tmp_path):
    aaf(tmp_path)
    (tmp_path / "aligned faces/07381A80.jpg").unlink()
    message = complaint("aaf", tmp_path)
    assert "1 of 3" in message
    assert "07381A80.jpg (image sets/train.txt row 2)" in message
    write(tmp_path, {"image sets/train.txt": "00000A02.jpg 0\nface.jpg 1\n"})
    assert "image sets/train.txt row 2: file must be NNNNNAaa.jpg" in complaint("aaf", tmp_path)
    write(tmp_path, {"image sets/train.txt": "00000A02.jpg\n"})
    message = complaint("aaf", tmp_path)
    assert "image sets/train.txt row 1: expected 2 cells (file, gender), got 1" in message
    write(tmp_path, {"image sets/train.txt": "00001A35.jpg 0\n"})
    message = complaint("aaf", tmp_path)
    assert "image sets/val.txt row 2: '00001A35.jpg' is listed already in" in message
    assert "image sets/train.txt row 1" in message
    write(tmp_path, {"image sets/train.txt": "", "image sets/val.txt": ""})
    assert "lists no picture" in complaint("aaf", tmp_path)


@pytest.mark.parametrize(
    "folder", ["train_test_files", "train_test_files/split_of_60%training and 40%testing"]
)
def test_scut_fbp5500(tmp_path, folder):
    scut_fbp5500(tmp_path, folder)
    records = catalogue.read("scut_fbp5500", tmp_path)
    assert records.ids == ("Images/CM2.jpg", "Images/AF1.jpg")
    np.testing.assert_allclose(records.labels, [3.516667, 2.5], rtol=1e-6)
    assert records.split == ("train", "test")
    assert (records.unit, records.subjects) == ("score", ())
    (tmp_path / folder / "test.txt").unlink()
    assert catalogue.read("scut_fbp5500", tmp_path).split == ("train",)


def scut_folds(root, tests):
    """The five official test lists, given as lists of pictures."""
    folder = "train_test_files/5_folders_cross_validations_files"
    write(
        root,
        {
            f"{folder}/cross_validation_{number}/test_{number}.txt": "".join(
                f"{file} 3\n" for file in files
            )
            for number, files in enumerate(tests, start=1)
        },
    )


def test_scut_fbp5500_folds(tmp_path):
    scut_fbp5500(tmp_path)
    scut_folds(tmp_path, [["x.jpg"], [], ["AF1.jpg"], [], ["CM2.jpg"]])
    np.testing.assert_array_equal(catalogue.read("scut_fbp5500", tmp_path).folds, [4, 2])
    scut_folds(tmp_path, [["AF1.jpg"], [], ["AF1.jpg"], [], ["CM2.jpg"]])
    assert "test_3.txt row 1: AF1.jpg is in fold 1 already" in complaint("scut_fbp5500", tmp_path)
    scut_folds(tmp_path, [["AF1.jpg"], [], [], [], []])
    message = complaint("scut_fbp5500", tmp_path)
    assert message.endswith("train.txt row 1: CM2.jpg is in none of the five test lists")


def test_scut_fbp5500_complains(tmp_path):
    scut_fbp5500(tmp_path, "train_test_files")
    write(tmp_path, {"train_test_files/test.txt": "AF1.jpg good\n"})
    message = complaint("scut_fbp5500", tmp_path)
    assert message == "train_test_files/test.txt row 1: score must be a finite number, got 'good'"
    (tmp_path / "train_test_files/train.txt").unlink()
    assert "has no 'train_test_files/split_of" in complaint("scut_fbp5500", tmp_path)


@pytest.mark.parametrize("column", ["subject", "subject_id", "id", "Subject"])
def test_morph(tmp_path, column):
    listed(tmp_path, f"path,age,{column}\na.jpg,35,7\nb/c.jpg,54,8\n", "morph.csv")
    records = catalogue.read("morph", tmp_path)
    assert records.ids == ("a.jpg", "b/c.jpg")
    assert records.subjects == ("7", "8")
    assert records.split == ()
    np.testing.assert_array_equal(records.labels, [35, 54])
    assert records.sources == ("morph.csv row 2", "morph.csv row 3")


def test_morph_takes_the_releases_own_list(tmp_path):
    text = "id_num,picture_num,age,photo\n12,0,35,a.jpg\n12,1,36,b/c.jpg\n"
    listed(tmp_path, text, "morph_2008_nonCommercial.csv")
    records = catalogue.read("morph", tmp_path)
    assert records.ids == ("a.jpg", "b/c.jpg")
    assert records.subjects == ("12", "12")
    assert records.notes == (
        "2 pictures of MORPH, album 2; a whole official copy gives 55,134: numbers in print may "
        "not compare",
    )


def test_morph_takes_another_csv_and_prefers_subject_to_id(tmp_path):
    listed(tmp_path, "id,path,age,subject\n1,a.jpg,35,7\n", "lists/mine.csv")
    records = catalogue.read("morph", tmp_path, csv="lists/mine.csv")
    assert records.subjects == ("7",)
    assert records.sources == ("lists/mine.csv row 2",)


def test_morph_complains(tmp_path):
    message = complaint("morph", tmp_path)
    assert "has no 'morph.csv' or 'morph_2008_nonCommercial.csv'" in message
    assert "--config.data.csv=FILE" in message
    listed(tmp_path, "path,age\na.jpg,35\n", "morph.csv")
    message = complaint("morph", tmp_path)
    assert message == (
        "morph.csv: no column 'subject' or 'subject_id' or 'id_num' or 'id'; "
        "columns found: path, age"
    )


@pytest.mark.parametrize(
    "text",
    [
        "image_1.jpg;19.5;3.2\nimage_2.jpg;4;0\n",
        "image;mean;std\nimage_1.jpg;19.5;3.2\nimage_2.jpg;4;0\n",
        "image_1.jpg,19.5,3.2\r\nimage_2.jpg,4,0\r\n",
    ],
)
def test_chalearn15(tmp_path, text):
    chalearn(tmp_path, text)
    records = catalogue.read("chalearn15", tmp_path)
    assert records.ids == ("Train/image_1.jpg", "Train/image_2.jpg", "Validation/image_1.jpg")
    np.testing.assert_allclose(records.labels, [19.5, 4, 60])
    np.testing.assert_allclose(records.sigma, [3.2, 0, 5.25])
    assert records.split == ("train", "train", "test")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image_1.jpg;old;3\n", "Train.csv row 1: mean must be a finite number, got 'old'"),
        ("image_1.jpg;9;-1\n", "Train.csv row 1: std must not be negative, got -1"),
        ("image_1.jpg;9\n", "Train.csv row 1: expected 3 cells (file, mean, std), got 2"),
        ("", "Train.csv: is empty"),
    ],
)
def test_chalearn15_complains(tmp_path, text, expected):
    chalearn(tmp_path, text)
    assert complaint("chalearn15", tmp_path).startswith(expected)


def test_megaage_asian(tmp_path):
    megaage(tmp_path)
    records = catalogue.read("megaage_asian", tmp_path)
    assert records.ids == ("train/1.jpg", "train/2.jpg", "test/1.jpg")
    np.testing.assert_array_equal(records.labels, [20, 3, 70])
    assert records.split == ("train", "train", "test")
    assert records.sources[1] == "list/train_age.txt row 2"
    write(tmp_path, {"list/train_age.txt": "20\n"})
    message = complaint("megaage_asian", tmp_path)
    assert message == "list/train_name.txt has 2 rows, list/train_age.txt has 1"
    write(tmp_path, {"list/train_age.txt": "20\nnan\n"})
    assert "list/train_age.txt row 2: age must be a finite" in complaint("megaage_asian", tmp_path)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_folder(tmp_path, delimiter, mark):
    text = "path,label,sigma,subject,split,note\na.jpg,3.5,,Ann,val,\nb/c.jpg,4,0.5,,test,x\n"
    listed(tmp_path, mark + text.replace(",", delimiter))
    records = catalogue.read("csv_folder", tmp_path, csv="faces.csv")
    np.testing.assert_array_equal(records.labels, [3.5, 4])
    np.testing.assert_array_equal(records.sigma, [math.nan, 0.5])
    assert records.subjects == ("Ann", "")
    assert records.split == ("validation", "test")
    assert records.folds is None
    assert records.paths == (tmp_path / "a.jpg", tmp_path / "b/c.jpg")


def test_csv_folder_folds(tmp_path):
    listed(tmp_path, "path,label,fold\na.jpg,3,2\nb/c.jpg,4,\n")
    records = catalogue.read("csv_folder", tmp_path, csv="faces.csv")
    np.testing.assert_array_equal(records.folds, [2, -1])


def test_csv_folder_takes_the_csv_files_folder_as_root(tmp_path):
    listed(tmp_path, 'path,label\n"a.jpg",3\n')
    for root in ("", tmp_path):
        records = catalogue.read("csv_folder", root, csv=str(tmp_path / "faces.csv"))
        assert records.paths == (tmp_path / "a.jpg",)
        assert (records.sigma, records.subjects, records.split) == (None, (), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,label\na.jpg,3\n\nb/c.jpg,old\n", "faces.csv row 4: label must be a finite number"),
        ("path,label\na.jpg,inf\n", "row 2: label must be a finite number, got 'inf'"),
        ("path,label\na.jpg,\n", "faces.csv row 2: label is empty"),
        ("path,age\na.jpg,3\n", "faces.csv: no column 'label'; columns found: path, age"),
        ("path,label,label\na.jpg,3,4\n", "faces.csv: column 'label' is there twice"),
        ("path,label\na.jpg,3\na.jpg,4\n", "faces.csv row 3: 'a.jpg' is listed already in faces"),
        ("path,label,split\na.jpg,3,dev\n", "row 2: split must be train, validation, val or test"),
        ("path,label,sigma\na.jpg,3,0\n", "faces.csv row 2: sigma must be positive (or empty)"),
        ("path,label,sigma\na.jpg,3,-2\n", "faces.csv row 2: sigma must be positive (or empty)"),
        ("path,label,fold\na.jpg,3,-1\n", "faces.csv row 2: fold must be a whole number of 0"),
        ("path,label,fold\na.jpg,3,1.5\n", "faces.csv row 2: fold must be a whole number of 0"),
        ("path,label\na.jpg,3,4\n", "faces.csv row 2: expected 2 cells (path, label), got 3"),
        ('path,label\n"a\n.jpg",3\na.jpg,x\n', "faces.csv row 4: label must be"),
        ("path,label\n", "csv_folder: lists no picture"),
        ("\n \n", "faces.csv: is empty"),
        (
            "path,label\na.jpg,1\nz.jpg,2\nb/y.jpg,3\nno/x.jpg,3\n",
            "csv_folder: 3 of 4 listed pictures do not exist; the first is",
        ),
    ],
)
def test_csv_folder_complains(tmp_path, text, expected):
    listed(tmp_path, text)
    assert expected in complaint("csv_folder", tmp_path, csv="faces.csv")


def test_a_csv_file_in_another_encoding_is_named(tmp_path):
    listed(tmp_path, "")
    (tmp_path / "faces.csv").write_bytes("path,label\nmüller.jpg,3\n".encode("latin-1"))
    message = complaint("csv_folder", tmp_path, csv="faces.csv")
    assert message.startswith("faces.csv: is not UTF-8 text")


@pytest.mark.parametrize("name", sorted(catalogue.DATASETS))
def test_a_missing_layout_says_what_to_do(tmp_path, name):
    dataset = catalogue.DATASETS[name]
    for root in ("", tmp_path / "nowhere", tmp_path):
        message = complaint(name, root)
        assert message.startswith(f"{name}: ")
        assert dataset.layout in message
        assert dataset.where in message
        assert "--config.data.root=DIR" in message


@pytest.mark.parametrize("name", sorted(catalogue.DATASETS))
def test_a_reader_takes_its_root_as_a_text(tmp_path, name):
    readings = []
    for root in (tmp_path, str(tmp_path)):
        with pytest.raises(DataError) as caught:
            catalogue.DATASETS[name].read(root)
        readings.append(str(caught.value))
    assert readings[0] == readings[1]


def test_the_wrong_name_or_a_csv_for_official_lists(tmp_path):
    message = complaint("moprh", tmp_path)
    assert (
        "'moprh' is not one of aaf, adience, afad, agedb, appa_real, ava, cacd2000, cfd" in message
    )
    assert "aaf: reads its official lists and takes no csv" in complaint("aaf", tmp_path, "x.csv")


def test_an_option_that_a_reader_lacks(tmp_path):
    with pytest.raises(DataError, match=r"morph: has no option 'gaps'; its options: none"):
        catalogue.read("morph", tmp_path, gaps="drop")
    with pytest.raises(DataError, match=r"adience: has no option 'gap'; its options: gaps"):
        catalogue.read("adience", tmp_path, gap="drop")


@pytest.mark.parametrize("name", sorted(catalogue.DATASETS))
def test_every_dataset_says_what_it_is(name):
    dataset = catalogue.DATASETS[name]
    assert dataset.title
    assert dataset.layout
    assert bool(dataset.paper) == bool(dataset.where) == bool(dataset.licence)


@pytest.mark.skipif(not (REAL / "aaf").is_dir(), reason="All-Age-Faces is not in ../shared/data")
def test_real_aaf():
    records = catalogue.read("aaf", REAL / "aaf")
    assert records.split.count("train") == 6637
    assert records.split.count("test") == 6685
    assert len(set(records.subjects)) == 13322
    assert (records.labels.min(), records.labels.max()) == (2, 80)
    assert records.notes == ()


@pytest.mark.skipif(
    not (REAL / "scut_fbp5500").is_dir(), reason="SCUT-FBP5500 is not in ../shared/data"
)
def test_real_scut_fbp5500():
    records = catalogue.read("scut_fbp5500", REAL / "scut_fbp5500")
    assert records.split.count("train") == 3300
    assert 1 <= records.labels.min() < records.labels.max() <= 5
    with Image.open(records.paths[0]) as image:
        assert image.width == 128
