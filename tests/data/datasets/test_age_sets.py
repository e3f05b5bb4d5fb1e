"""The apparent-age sets, IMDB-WIKI and Adience, on small imitations of their official layouts."""

import datetime
import math

import numpy as np
import pytest
import scipy.io
from imitation import write

from ldl_jax.data.datasets import adience, catalogue, imdb_wiki
from ldl_jax.data.records import DataError
from ldl_jax.labels import ADIENCE


def chalearn16(root, train="image,mean,stdv\n1.jpg,30.5,4.25\n"):
    write(
        root,
        {f"{part}/1.jpg": "" for part in ("train", "valid", "test")}
        | {
            "train_gt.csv": train,
            "valid_gt.csv": "image,mean,stdv\n1.jpg,5,0\n",
            "test_gt.csv": "image,mean,stdv\n1.jpg,70,6\n",
        },
    )


def appa(root, std="4.5"):
    header = "file_name,num_ratings,apparent_age_avg,apparent_age_std,real_age\n"
    parts = ("train", "valid", "test")
    write(
        root,
        {f"{part}/{number}.jpg": "" for part in parts for number in (1, 2)}
        | {f"{part}/1.jpg_face.jpg": "" for part in parts}
        | {f"gt_avg_{part}.csv": f"{header}1.jpg,38,31.25,{std},29\n" for part in parts},
    )


def test_chalearn16(tmp_path):
    chalearn16(tmp_path)
    records = catalogue.read("chalearn16", tmp_path)
    assert records.ids == ("train/1.jpg", "valid/1.jpg", "test/1.jpg")
    assert records.split == ("train", "validation", "test")
    np.testing.assert_array_equal(records.labels, [30.5, 5, 70])
    np.testing.assert_array_equal(records.sigma, [4.25, 0, 6])
    assert records.sources[0] == "train_gt.csv row 2"
    records = catalogue.read("chalearn16", tmp_path, train_on_validation=True)
    assert records.split == ("train", "train", "test")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,mean,stdv\n1.jpg,old,1\n", "train_gt.csv row 2: mean must be a finite number"),
        ("image,mean,stdv\n1.jpg,30,-1\n", "train_gt.csv row 2: stdv must not be negative, got -1"),
        ("image,age,stdv\n1.jpg,30,1\n", "train_gt.csv: no column 'mean'"),
        ("image,mean,stdv\n2.jpg,30,1\n", "1 of 3 listed pictures do not exist"),
    ],
)
def test_chalearn16_complains(tmp_path, text, expected):
    chalearn16(tmp_path, text)
    with pytest.raises(DataError, match=expected):
        catalogue.read("chalearn16", tmp_path)


def test_appa_real(tmp_path):
    appa(tmp_path)
    records = catalogue.read("appa_real", tmp_path)
    assert [path.name for path in records.paths] == ["1.jpg_face.jpg"] * 3
    assert records.split == ("train", "validation", "test")
    np.testing.assert_array_equal(records.labels, [31.25] * 3)
    np.testing.assert_array_equal(records.sigma, [4.5] * 3)
    records = catalogue.read("appa_real", tmp_path, age="real", faces=False)
    assert [path.name for path in records.paths] == ["1.jpg"] * 3
    np.testing.assert_array_equal(records.labels, [29] * 3)
    assert records.sigma is None
    with pytest.raises(DataError, match="age must be 'apparent' or 'real', got 'mean'"):
        catalogue.read("appa_real", tmp_path, age="mean")
    appa(tmp_path, std="-2")
    with pytest.raises(
        DataError, match=r"gt_avg_train.csv row 2: apparent_age_std must not be neg"
    ):
        catalogue.read("appa_real", tmp_path)


def datenum(year, month, day):
    return datetime.date(year, month, day).toordinal() + 366


def mat(root, name, rows, **more):
    """A .mat file as the authors write it, and its pictures."""
    folder = root / f"{name}_crop"
    columns = ("dob", "photo_taken", "full_path", "face_score", "second_face_score")
    fields = dict(zip(columns, zip(*rows, strict=True), strict=True))
    for path in fields["full_path"]:
        write(folder, {path: ""})
    content = {
        "dob": np.asarray(fields["dob"], np.float64),
        "photo_taken": np.asarray(fields["photo_taken"], np.uint16),
        "full_path": np.asarray([np.asarray([path]) for path in fields["full_path"]], object),
        "face_score": np.asarray(fields["face_score"], np.float64),
        "second_face_score": np.asarray(fields["second_face_score"], np.float64),
        **more,
    }
    scipy.io.savemat(folder / f"{name}.mat", {name: content})


NAN = math.nan
PASSING = (datenum(1980, 3, 1), 2010, "01/nm1_a.jpg", 4.2, NAN)


def test_imdb_wiki(tmp_path):
    rows = [
        PASSING,
        (datenum(1980, 8, 1), 2010, "01/nm1_b.jpg", 1.0, NAN),
        (datenum(1980, 3, 1), 2010, "02/none.jpg", -math.inf, NAN),
        (datenum(1980, 3, 1), 2010, "02/low.jpg", 0.9, 2.0),
        (datenum(1980, 3, 1), 2010, "02/two.jpg", 3.0, 2.0),
        (datenum(1880, 3, 1), 2010, "02/old.jpg", 3.0, NAN),
        (datenum(2012, 3, 1), 2010, "02/unborn.jpg", 3.0, NAN),
    ]
    mat(tmp_path, "imdb", rows, celeb_id=np.asarray([7, 7, 8, 8, 8, 9, 9]))
    wiki = [(datenum(1990, 1, 1), 2015, "17/10000217_1990-01-01_2015.jpg", 2.0, NAN), PASSING]
    mat(tmp_path, "wiki", wiki)
    records = catalogue.read("imdb_wiki", tmp_path)
    assert records.ids == (
        "imdb/01/nm1_a.jpg",
        "imdb/01/nm1_b.jpg",
        "wiki/17/10000217_1990-01-01_2015.jpg",
        "wiki/01/nm1_a.jpg",
    )
    np.testing.assert_array_equal(records.labels, [30, 29, 25, 30])
    assert records.subjects == ("imdb:7", "imdb:7", "wiki:10000217", "")
    assert records.sources[1] == "imdb.mat entry 2"
    assert records.notes == (
        "imdb: 1 picture left out: no face was found (the first: imdb.mat entry 3)",
        "imdb: 1 picture left out: the face's score is below 1 (the first: imdb.mat entry 4)",
        "imdb: 1 picture left out: a second face was found (the first: imdb.mat entry 5)",
        "imdb: 2 pictures left out: the age is not 0..100 (the first: imdb.mat entry 6)",
        "imdb: lists 7 pictures; the official list 460,723",
        "wiki: lists 2 pictures; the official list 62,328",
    )
    assert len(catalogue.read("imdb_wiki", tmp_path, only="wiki")) == 2
    loose = catalogue.read(
        "imdb_wiki", tmp_path, only="imdb", min_face_score=0.5, second_face=True, high=130
    )
    assert [one.rsplit("/")[-1] for one in loose.ids] == [
        "nm1_a.jpg",
        "nm1_b.jpg",
        "low.jpg",
        "two.jpg",
        "old.jpg",
    ]


def test_imdb_wiki_complains(tmp_path):
    with pytest.raises(DataError, match=r"has no 'wiki_crop/wiki.mat'"):
        catalogue.read("imdb_wiki", tmp_path, only="wiki")
    with pytest.raises(DataError, match="only must be 'imdb', 'wiki' or '', got 'web'"):
        catalogue.read("imdb_wiki", tmp_path, only="web")
    write(tmp_path, {"wiki.mat": "no such thing"})
    with pytest.raises(DataError, match=r"wiki.mat: cannot be read as a MATLAB file"):
        catalogue.read("imdb_wiki", tmp_path)
    scipy.io.savemat(tmp_path / "wiki.mat", {"wiki": {"dob": np.ones(2), "full_path": ["a", "b"]}})
    with pytest.raises(DataError, match="has no field photo_taken, face_score, second_face_score"):
        catalogue.read("imdb_wiki", tmp_path)


def test_ages_are_those_of_a_calendar_but_for_leap_days():
    rng = np.random.default_rng(0)
    births = [
        datetime.date(1900, 1, 1) + datetime.timedelta(int(d)) for d in rng.integers(0, 36000, 2000)
    ]
    ages = rng.integers(0, 90, 2000)
    taken = np.asarray([birth.year + int(age) for birth, age in zip(births, ages, strict=True)])
    dob = np.asarray([birth.toordinal() + 366 for birth in births])
    found = imdb_wiki.ages(dob.astype(float), taken)
    # The rule of public readers: born before July counts as a birthday already had.
    rule = np.asarray([t - b.year - (b.month >= 7) for t, b in zip(taken, births, strict=True)])
    off = found != rule
    assert off.mean() < 0.01
    near = [
        abs((datetime.date(2001, 7, 1) - b.replace(year=2001)).days) <= 2
        for b in np.asarray(births)[off]
    ]
    assert all(near)
    assert imdb_wiki.ages(np.asarray([np.nan]), np.asarray([2000]))[0] > 1000


HEADER = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tyaw\tscore\n"


def adience_root(root, rows, place=""):
    """Lists of five folds with (fold, user, picture, face, age) rows, and the faces."""
    texts = {fold: HEADER for fold in range(5)}
    for fold, user, picture, face, age in rows:
        texts[fold] += f"{user}\t{picture}\t{face}\t{age}\tf\t0\t0\t9\t9\t0\t0\t1\n"
        write(root, {f"aligned/{user}/landmark_aligned_face.{face}.{picture}": ""})
    write(root, {f"{place}fold_{fold}_data.txt": text for fold, text in texts.items()})


ROWS = [
    (0, "30@N03", "a_o.jpg", 1, "(25, 32)"),
    (0, "30@N03", "a_o.jpg", 2, "(8, 12)"),
    (1, "31@N03", "b_o.jpg", 1, "(60, 100)"),
    (2, "32@N03", "c_o.jpg", 1, "35"),
    (3, "33@N03", "d_o.jpg", 1, "None"),
    (4, "34@N03", "e_o.jpg", 1, "(25, 23)"),
    (4, "34@N03", "e_o.jpg", 3, "(8, 23)"),
    (4, "34@N03", "e_o.jpg", 4, "(0, 2)"),
    (4, "34@N03", "e_o.jpg", 4, "(0, 2)"),
]


@pytest.mark.parametrize("place", ["", "folds/"])
def test_adience(tmp_path, place):
    adience_root(tmp_path, ROWS, place)
    records = catalogue.read("adience", tmp_path)
    assert records.ids[1] == "30@N03/landmark_aligned_face.2.a_o.jpg"
    np.testing.assert_array_equal(records.labels, [28.5, 10.5, 80, 1])
    np.testing.assert_array_equal(records.folds, [0, 0, 1, 4])
    assert records.subjects == ("30@N03", "30@N03", "31@N03", "34@N03")
    assert records.notes[:3] == (
        f"3 pictures left out: the age is no group (the first: {place}fold_2_data.txt row 2)",
        f"1 picture left out: there is no age (the first: {place}fold_3_data.txt row 2)",
        f"1 picture left out: the face is listed already (the first: {place}fold_4_data.txt row 5)",
    )
    records = catalogue.read("adience", tmp_path, gaps="nearest")
    np.testing.assert_array_equal(records.labels, [28.5, 10.5, 80, 40.5, 28.5, 1])
    assert records.notes[1].startswith("1 picture left out: the age is no group")


def test_adience_complains(tmp_path):
    adience_root(tmp_path, [(0, "30@N03", "a_o.jpg", 1, "young")])
    with pytest.raises(DataError, match=r"fold_0_data.txt row 2: age must be a number, a range"):
        catalogue.read("adience", tmp_path)
    with pytest.raises(DataError, match="gaps must be 'drop' or 'nearest', got 'keep'"):
        catalogue.read("adience", tmp_path, gaps="keep")
    adience_root(tmp_path, ROWS)
    (tmp_path / "fold_3_data.txt").unlink()
    with pytest.raises(DataError, match=r"has no 'fold_3_data.txt' or 'folds/fold_3_data.txt'"):
        catalogue.read("adience", tmp_path)
    adience_root(tmp_path, [(0, "30@N03", "a_o.jpg", 1, "None")])
    with pytest.raises(DataError, match="the five lists name no face with an age"):
        catalogue.read("adience", tmp_path)


@pytest.mark.parametrize(
    ("age", "group"),
    [
        ("2", 0), ("3", 0), ("4", 1), ("7", 1), ("13", 2), ("14", 2), ("22", 3), ("23", 4),
        ("29", 4), ("32", 4), ("34", 4), ("35", 5), ("36", 5), ("42", 5), ("45", 5), ("46", 6),
        ("55", 6), ("56", 6), ("57", 7), ("58", 7), ("101", 7), ("(27, 32)", 4), ("(38, 48)", 5),
        ("(38, 42)", 5), ("(25, 23)", 4), ("(8, 23)", None), ("None", None), ("", None),
    ],
)  # fmt: skip
def test_adience_gaps(age, group):
    assert adience.group(age, nearest=True) == group
    assert adience.group(age, nearest=False) is None


def test_adience_groups_are_the_label_space():
    assert [adience.group(text, nearest=False) for text in adience.GROUPS] == list(range(8))
    assert len(adience.GROUPS) == ADIENCE.size
