"""Groups of people: from a CSV file's columns, and from the sets that say them."""

import dataclasses

import imitation
import numpy as np
import pytest

from ldl_jax.data.datasets import catalogue, csv_folder, prepared_index
from ldl_jax.data.records import DataError
from ldl_jax.data.splits import cross


def listed(tmp_path, text, **options):
    names = {line.split(",")[0] for line in text.splitlines()[1:]}
    imitation.write(tmp_path, {**dict.fromkeys(names, ""), "ages.csv": text})
    return csv_folder.read(tmp_path, "ages.csv", **options)


def test_columns_of_groups(tmp_path):
    records = listed(
        tmp_path,
        "path,label,Group.Sex,group.skin,note\na.jpg,1,F,I-II,x\nb.jpg,2,male,,x\nc.jpg,3,,V,x\n",
    )
    assert records.groups == {"sex": ("female", "male", ""), "skin": ("I-II", "", "V")}
    some = records.take(np.array([2, 0]))
    assert some.groups == {"sex": ("", "female"), "skin": ("V", "I-II")}


def test_columns_of_other_names(tmp_path):
    text = "path,label,gender,group.skin\na.jpg,1,woman,x\nb.jpg,2,M,y\n"
    columns = {"group.sex": "gender", "group.skin": ""}
    assert listed(tmp_path, text, columns=columns).groups == {"sex": ("female", "male")}


def test_a_column_that_says_nothing_is_no_group(tmp_path):
    assert listed(tmp_path, "path,label,group.sex\na.jpg,1,\n").groups == {}


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({}, r"column group\.age has 101 different values \('0\.0', '1\.0', '10\.0', \.\.\.\): a "),
        ({"group.years": "label"}, r"column label \(group\.years\) has 101 different values"),
    ],
)
def test_a_column_of_numbers_is_refused(tmp_path, columns, found):
    rows = [f"{n}.jpg,{n},{n}.0" for n in range(101)]
    text = "\n".join(["path,label,group.age", *rows]) + "\n"
    with pytest.raises(DataError, match=found) as error:
        listed(tmp_path, text, columns=columns)
    assert "leave it out with data.columns, as {" in str(error.value)
    assert listed(tmp_path, text, columns={"group.age": ""}).groups == {}


def test_what_is_no_column_of_groups(tmp_path):
    text = "path,label,group.,sex\na.jpg,1,x,m\n"
    assert listed(tmp_path, text).groups == {}
    with pytest.raises(DataError, match=r"no column 'gender'"):
        listed(tmp_path, text, columns={"group.sex": "gender"})
    with pytest.raises(DataError, match=r"vote, group\.NAME, got sex: x"):
        listed(tmp_path, text, columns={"sex": "x"})


def test_a_pictures_votes_say_one_group(tmp_path):
    text = "path,vote,group.sex\na.jpg,1,f\na.jpg,2,{}\n"
    assert listed(tmp_path, text.format("f")).groups == {"sex": ("female",)}
    with pytest.raises(DataError, match=r"group\.sex"):
        listed(tmp_path, text.format("m"))


SETS = {
    "aaf": (
        {
            "aligned faces/00001A20.jpg": "",
            "aligned faces/00002A30.jpg": "",
            "image sets/train.txt": "00001A20.jpg 0\n",
            "image sets/val.txt": "00002A30.jpg 1\n",
        },
        {"sex": ("female", "male")},
    ),
    "utkface": (
        {"20_0_3_201701.jpg": "", "30_1_4_201702.jpg": ""},
        {"sex": ("male", "female"), "race": ("Indian", "Others")},
    ),
    "agedb": (
        {"0_MariaCallas_35_f.jpg": "", "1_JohnWayne_40_m.jpg": ""},
        {"sex": ("female", "male")},
    ),
    "afad": (
        {"15/111/1-0.jpg": "", "16/112/2-0.jpg": ""},
        {"sex": ("male", "female")},
    ),
    "morph": (
        {
            "a.jpg": "",
            "b.jpg": "",
            "morph_2008_nonCommercial.csv": "photo,age,id_num,race,gender\n"
            "a.jpg,20,1,B,M\nb.jpg,30,2,,F\n",
        },
        {"sex": ("male", "female"), "race": ("B", "")},
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_sets_that_say_them(tmp_path, name):
    files, groups = SETS[name]
    imitation.write(tmp_path, files)
    assert catalogue.read(name, str(tmp_path)).groups == groups


def test_a_sex_that_is_none_of_the_list(tmp_path):
    files = SETS["aaf"][0] | {"image sets/val.txt": "00002A30.jpg 7\n"}
    imitation.write(tmp_path, files)
    with pytest.raises(DataError, match=r"val\.txt row 1: gender must be 0 .* got '7'"):
        catalogue.read("aaf", str(tmp_path))


def test_through_a_prepared_set_and_a_combined_one(tmp_path):
    records = listed(tmp_path, "path,label,group.sex,group.a b\na.jpg,1,f,x\nb.jpg,2,,y\n")
    stored = prepared_index.from_arrays(prepared_index.to_arrays(records), [b"", b""])
    assert stored.groups == records.groups
    plain = dataclasses.replace(records, groups={})
    arrays = prepared_index.to_arrays(plain)
    assert "groups0" not in arrays
    assert prepared_index.from_arrays(arrays, [b"", b""]).groups == {}
    other = dataclasses.replace(plain, paths=(tmp_path / "c.jpg", tmp_path / "d.jpg"))
    both = cross.combine(other.take(np.array([0])), records)
    assert both.groups == {"sex": ("", "female", ""), "a b": ("", "x", "y")}


def test_a_count_that_disagrees(tmp_path):
    records = listed(tmp_path, "path,label\na.jpg,1\n")
    with pytest.raises(DataError, match=r"groups\.sex has 2 rows, not 1"):
        dataclasses.replace(records, groups={"sex": ("a", "b")})
