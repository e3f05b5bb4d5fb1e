"""The sets whose labels are in names of files and folders, on small imitations of their layouts."""

import numpy as np
import pytest
import scipy.io

from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize("folder", ["", "AFAD-Full/", "AFAD-Lite/"])
def test_afad(tmp_path, folder):
    files = ("15/111/292943-1.jpg", "15/112/671487-0.jpg", "72/111/292943-2.jpg")
    touch(tmp_path, *(folder + file for file in (*files, "15/111/Thumbs.db", "README.md")))
    records = catalogue.read("afad", tmp_path)
    assert records.ids == files
    np.testing.assert_array_equal(records.labels, [15, 15, 72])
    assert records.subjects == ("292943", "671487", "292943")
    touch(tmp_path, f"{folder}15/112/face.jpg")
    with pytest.raises(DataError, match=r"15/112/face.jpg: a file's name must be PERSON-N.jpg"):
        catalogue.read("afad", tmp_path)


@pytest.mark.parametrize("folder", ["", "AgeDB/"])
def test_agedb(tmp_path, folder):
    touch(tmp_path, f"{folder}0_MariaCallas_35_f.jpg", f"{folder}12083_ElsaMartinelli_74_f.jpg")
    records = catalogue.read("agedb", tmp_path)
    np.testing.assert_array_equal(records.labels, [35, 74])
    assert records.subjects == ("MariaCallas", "ElsaMartinelli")
    touch(tmp_path, f"{folder}7_35_f.jpg")
    with pytest.raises(DataError, match=r"7_35_f.jpg: a file's name must be NUMBER_Name_AGE_SEX"):
        catalogue.read("agedb", tmp_path)


@pytest.mark.parametrize("folder", ["", "images/"])
def test_fg_net(tmp_path, folder):
    touch(tmp_path, *(folder + name for name in ("001A02.JPG", "010A07a.jpg", "082a69.jpg")))
    records = catalogue.read("fg_net", tmp_path)
    np.testing.assert_array_equal(records.labels, [2, 7, 69])
    assert records.subjects == ("001", "010", "082")
    touch(tmp_path, f"{folder}1A2.JPG")
    with pytest.raises(DataError, match=r"1A2.JPG: a file's name must be PPPAaa.JPG"):
        catalogue.read("fg_net", tmp_path)


def test_utkface(tmp_path):
    files = (
        "UTKFace/100_1_0_20170112213303693.jpg.chip.jpg",
        "UTKFace/1_0_2_20161219205141127.jpg.chip.jpg",
        "part1/26_0_4_20170117153355923.jpg",
    )
    bad = ("part1/61_1_20170109142408075.jpg", "part2/53__0_20170116184028385.jpg")
    touch(tmp_path, *files, *bad)
    records = catalogue.read("utkface", tmp_path)
    assert records.ids == files
    np.testing.assert_array_equal(records.labels, [100, 1, 26])
    assert records.subjects == ()
    assert records.notes[0] == (
        "2 pictures left out: the name is not AGE_SEX_RACE_DATE.jpg "
        "(the first: part1/61_1_20170109142408075.jpg)"
    )


def cacd_mat(path, rows):
    """celebrity2000_meta.mat with (file, rank) rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "name": np.asarray([[name] for name, _ in rows], object),
        "rank": np.asarray([[rank] for _, rank in rows], np.uint8),
        "age": np.ones((len(rows), 1)),
    }
    scipy.io.savemat(path, {"celebrityImageData": content})


@pytest.mark.parametrize("place", ["", "CACD2000/"])
def test_cacd2000(tmp_path, place):
    files = (
        "14_Aaron_Johnson_0001.jpg",
        "53_Robin_Williams_0001.jpg",
        "53_Robin_Williams_0002.jpg",
        "36_Alexander_Skarsg\u00e5rd_0001.jpg",
        "62_Jane_O'Hara_0010.jpg",
    )
    touch(tmp_path, *(f"CACD2000/{file}" for file in files), "CACD2000/face.jpg")
    records = catalogue.read("cacd2000", tmp_path)
    assert records.split == ()
    assert records.notes[0].startswith("1 picture left out: the name is not AGE_Name_NNNN.jpg")
    rows = [("14_Aaron_Johnson_0001.jpg", 6), ("53_Robin_Williams_0001.jpg", 2)]
    rows += [("36_Alexander_Skarsga\u030ard_0001.jpg", 5), ("62_Jane_O'Hara_0010.jpg", 3)]
    cacd_mat(tmp_path / place / "celebrity2000_meta.mat", rows)
    records = catalogue.read("cacd2000", tmp_path)
    rows = zip(records.ids, records.labels, records.split, strict=True)
    by_id = {name: (label, part) for name, label, part in rows}
    assert by_id == {
        files[0]: (14, "train"),
        files[1]: (53, "validation"),
        files[2]: (53, "validation"),
        files[3]: (36, "test"),
        files[4]: (62, "test"),
    }
    assert records.subjects[records.ids.index(files[1])] == "Robin_Williams"
    touch(tmp_path, "CACD2000/20_Somebody_Else_0001.jpg")
    with pytest.raises(DataError, match="has no picture of 'Somebody_Else'"):
        catalogue.read("cacd2000", tmp_path)
    (tmp_path / place / "celebrity2000_meta.mat").write_text("broken")
    with pytest.raises(DataError, match="has no celebrityImageData with name and rank"):
        catalogue.read("cacd2000", tmp_path)


def test_ms_celeb(tmp_path):
    many = [f"m.01/{number}-FaceId-0.jpg" for number in range(3)]
    touch(tmp_path, *many, "m.02/1-FaceId-0.jpg", "m.03/1.jpg", "m.03/2.png", "m.03/x.txt")
    records = catalogue.read("ms_celeb", tmp_path, min_pictures=2)
    assert records.ids == (*many, "m.03/1.jpg", "m.03/2.png")
    np.testing.assert_array_equal(records.labels, [0, 0, 0, 1, 1])
    assert records.subjects == ("m.01",) * 3 + ("m.03",) * 2
    assert records.unit == "identity"
    assert records.notes == (
        "2 of 3 identities",
        "1 picture left out: fewer than 2 of the identity (the first: m.02/1-FaceId-0.jpg)",
    )
    assert len(catalogue.read("ms_celeb", tmp_path, min_pictures=1, max_identities=2)) == 4
    with pytest.raises(DataError, match="has no folder of at least 10 pictures"):
        catalogue.read("ms_celeb", tmp_path)
    with pytest.raises(DataError, match="min_pictures must be at least 1"):
        catalogue.read("ms_celeb", tmp_path, min_pictures=0)


def test_label_folders(tmp_path):
    touch(tmp_path, "25/a.jpg", "3.5/f/b.png", "other/c.jpg", "d.jpg")
    records = catalogue.read("label_folders", tmp_path)
    assert dict(zip(records.ids, records.labels, strict=True)) == {
        "25/a.jpg": 25,
        "3.5/f/b.png": 3.5,
    }
    assert records.split == ()
    assert records.notes == (
        "1 picture left out: the folder's name is no number (the first: other/c.jpg)",
        "1 picture left out: it lies in no folder of a label (the first: d.jpg)",
    )


def test_label_folders_with_a_split(tmp_path):
    touch(tmp_path, "train/25/a.jpg", "val/30/a.jpg", "test/25/a.jpg")
    records = catalogue.read("label_folders", tmp_path)
    assert dict(zip(records.ids, records.split, strict=True)) == {
        "train/25/a.jpg": "train",
        "val/30/a.jpg": "validation",
        "test/25/a.jpg": "test",
    }
    np.testing.assert_array_equal(np.sort(records.labels), [25, 25, 30])


def test_hidden_files_and_folders_are_no_pictures(tmp_path):
    touch(tmp_path, "25/a.jpg", "25/._a.jpg", ".trash/25/b.jpg", "25/.cache/c.jpg")
    assert catalogue.read("label_folders", tmp_path).ids == ("25/a.jpg",)
