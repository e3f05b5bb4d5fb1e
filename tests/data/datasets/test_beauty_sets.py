"""SCUT-FBP and CFD on small imitations of their layouts."""

import numpy as np
import pytest
from imitation import write

from ldl_jax.data.datasets import catalogue
from ldl_jax.data.records import DataError


def scut(root, text, name="Rating_Collection/Attractiveness label.csv"):
    write(root, {f"Data_Collection/SCUT-FBP-{n}.jpg": "" for n in (1, 2, 10)} | {name: text})


def test_scut_fbp(tmp_path):
    scut(tmp_path, "Image,Attractiveness label\n1,2.5\n10,3.75\n")
    records = catalogue.read("scut_fbp", tmp_path)
    assert records.ids == ("SCUT-FBP-1.jpg", "SCUT-FBP-10.jpg")
    np.testing.assert_array_equal(records.labels, [2.5, 3.75])
    assert (records.sigma, records.unit) == (None, "score")
    scut(tmp_path, "image;score;std\nSCUT-FBP-2.jpg;4;0.5\n1.0;2;0\n", "mine.csv")
    records = catalogue.read("scut_fbp", tmp_path, csv="mine.csv")
    assert records.ids == ("SCUT-FBP-2.jpg", "SCUT-FBP-1.jpg")
    np.testing.assert_array_equal(records.sigma, [0.5, 0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Image,score\nface,3\n", "row 2: image must be a number, got 'face'"),
        ("Image,score\n1,\n", "row 2: score is empty"),
        ("Image,score,std\n1,3,-1\n", "row 2: std must not be negative, got -1"),
        ("Image,rating\n1,3\n", "no column 'attractiveness label' or 'score'"),
        ("Image,score\n3,3\n", "1 of 1 listed pictures do not exist"),
        ("Image,score\n1,3\n01,3\n", "'SCUT-FBP-1.jpg' is listed already"),
    ],
)
def test_scut_fbp_complains(tmp_path, text, expected):
    scut(tmp_path, text)
    with pytest.raises(DataError, match=expected):
        catalogue.read("scut_fbp", tmp_path)


PICTURES = (
    "CFD/WF-001/CFD-WF-001-003-N.jpg",
    "CFD/WF-001/CFD-WF-001-010-HC.jpg",
    "CFD/BM-210/CFD-BM-210-148-N.jpg",
    "CFD-INDIA/IF-601/CFD-IF-601-519-N.jpg",
)
SHEET = (
    "CFD norming data,,,,\n\n,R001,R002,,R013\nModel,EthnicitySelf,AgeRated,,Attractive\n"
    ",,years,,1-7\nWF-001,W,25,,4.12\nBM-210,B,30,,3.5\n"
)


def cfd(root, sheet=SHEET, name="norming.csv"):
    write(root, {f"Images/{picture}": "" for picture in PICTURES} | {name: sheet})


def test_cfd(tmp_path):
    cfd(tmp_path)
    records = catalogue.read("cfd", tmp_path)
    assert records.ids == (PICTURES[0], PICTURES[2])
    np.testing.assert_allclose(records.labels, [4.12, 3.5], rtol=1e-6)
    assert records.subjects == ("WF-001", "BM-210")
    assert records.sources == ("norming.csv row 6", "norming.csv row 7")
    assert (records.unit, records.sigma) == ("score", None)
    assert records.notes[0] == (
        f"1 picture left out: the sheet does not rate the person (the first: {PICTURES[3]})"
    )
    cfd(tmp_path, "Target,Attractive\nIF601-519,5\n", "india.csv")
    assert catalogue.read("cfd", tmp_path, csv="india.csv").ids == (PICTURES[3],)


@pytest.mark.parametrize(
    ("sheet", "expected"),
    [
        ("Model,Age\nWF-001,5\n", "norming.csv: no row has the columns 'Model' or 'Target' and"),
        ("Model,Attractive\nWF-002,5\n", "norming.csv row 2: WF-002 has no neutral picture"),
        ("Model,Attractive\nWF-001,5\nWF-001,4\n", "norming.csv row 3: WF-001 is rated already"),
        ("Model,Attractive\nWF-001,nice\n", "row 2: attractive must be a finite number"),
    ],
)
def test_cfd_complains(tmp_path, sheet, expected):
    cfd(tmp_path, sheet)
    with pytest.raises(DataError, match=expected):
        catalogue.read("cfd", tmp_path)


def test_cfd_with_two_neutral_pictures_of_a_person(tmp_path):
    cfd(tmp_path)
    write(tmp_path, {"Images/more/CFD-WF-001-004-N.jpg": ""})
    with pytest.raises(DataError, match="WF-001 has another neutral picture"):
        catalogue.read("cfd", tmp_path)
