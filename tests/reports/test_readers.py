"""What users of folders, lists and pictures of their own ran into."""

import io
import os

import numpy as np
import pytest
import scipy.io
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.datasets import catalogue, folders, numbers, prepared_index
from ldl_jax.data.records import DataError
from ldl_jax.data.splits import hashes, protocols
from ldl_jax.labels import LabelSpace
from ldl_jax.predict import faces
from ldl_jax.run import data
from ldl_jax.run.config import Config, from_dict, to_dict


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def listed(root, text):
    touch(root, "a.jpg", "b.jpg", "c.jpg")
    (root / "faces.csv").write_text(text)


def read(root, **arguments):
    return catalogue.read("csv_folder", root, csv="faces.csv", **arguments)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# Numbers


@pytest.mark.parametrize(
    "text",
    ["4_6", "1_0", "nan", "inf", "-inf", "0x1F", "1e999", "", "-", "3,5", "٣", "1 0", "4-6", "60+"],
)
def test_what_is_no_number_is_none(text):
    with pytest.raises(ValueError, match="must be a finite number, got"):
        numbers.number(text)


def test_numbers_as_people_write_them():
    texts = ("30", "3.5", ".5", "-0.5", "+7", "3.", "3.5e1", "1E-2", " 4 ")
    assert [*map(numbers.number, texts)] == [30, 3.5, 0.5, -0.5, 7, 3, 35, 0.01, 4]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.jpg,4_6,,", "label must be a finite number, got '4_6', a range"),
        ("a.jpg,nan,,", "label must be a finite number, got 'nan'"),
        ("a.jpg,30,2_5,", "sigma must be a finite number, got '2_5'"),
        ("a.jpg,30,,1_0", "fold must be a finite number, got '1_0'"),
        ('a.jpg,"3,5",,', "label must be a finite number, got '3,5', with a decimal comma; write"),
    ],
)
def test_a_list_s_numbers_have_no_underscores_and_no_words(tmp_path, row, says):
    listed(tmp_path, f"path,label,sigma,fold\n{row}\n")
    with pytest.raises(DataError, match=f"^faces.csv row 2: {says}"):
        read(tmp_path)


def test_a_face_s_score_has_no_underscores(tmp_path):
    fields = {"dob": 7e5, "photo_taken": 1990.0, "second_face_score": np.nan}
    touch(tmp_path, "a.png")
    structure = {**fields, "full_path": "a.png", "face_score": "3_5"}
    scipy.io.savemat(tmp_path / "wiki.mat", {"wiki": structure})
    with pytest.raises(DataError, match=r"wiki.mat: face_score are no numbers"):
        catalogue.read("imdb_wiki", tmp_path)


def test_folders_of_groups_are_the_groups_of_a_space(tmp_path):
    names = ("0_2", "4-6", "(8, 13)", "15–20", "60+")
    touch(tmp_path, *(f"{part}/{name}/a.jpg" for name in names for part in ("train", "test")))
    records = catalogue.read("label_folders", tmp_path)
    assert records.bounds == ((0, 2), (4, 6), (8, 13), (15, 20), (60, 100))
    labels = {i.split("/")[1]: x for i, x in zip(records.ids, records.labels, strict=True)}
    assert [labels[name] for name in names] == [1, 5, 10.5, 17.5, 80]
    space = data.label_space("train", records, protocols.split(records, "official"))
    assert space == LabelSpace.groups(records.bounds)
    kept = prepared_index.from_arrays(prepared_index.to_arrays(records), [b""] * len(records))
    assert kept.bounds == records.bounds


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("30", "6_4"), "folder 6_4: its name must be a number .* or a group"),
        (("30", "4_6_8"), "folder 4_6_8: its name must be"),
        (
            ("3,5,", "1..2", "٣٠"),
            r"3 faults\n  - folder 1..2: .*\n  - folder 3,5,: .*\n  - folder ٣",
        ),
        (("0_2", "2_4"), "folders '0_2' and '2_4': overlap"),
        (("0_2", "1"), "folders '0_2' and '1': overlap"),
    ],
)
def test_a_folder_that_is_no_label_is_named(tmp_path, names, says):
    touch(tmp_path, *(f"{name}/a.jpg" for name in names))
    with pytest.raises(DataError, match=says):
        catalogue.read("label_folders", tmp_path)


# Folders, links, hidden files


@pytest.fixture
def walked(tmp_path):
    """A folder with a linked folder, a loop, hidden files, formats that are not read, a pipe."""
    root = tmp_path / "25"
    touch(tmp_path, "elsewhere/l.jpg")
    touch(root, "a.JPG", "b.jfif", "in/c.avif", "._a.jpg", ".cache/x.jpg", "d.heic", "e.jpg~")
    touch(root, "notes.txt")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "in/up").symlink_to(root)
    (root / "in/above").symlink_to(tmp_path)
    (root / "self.jpg").symlink_to(root / "self.jpg")
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    os.mkfifo(root / "pipe.jpg")
    return root


LEFT = {
    "its name starts with a dot": ["._a.jpg", ".cache"],
    "files with the suffix .heic are not read": ["d.heic"],
    "files with the suffix .jpg~ are not read": ["e.jpg~"],
    "it is no regular file": ["gone.jpg", "pipe.jpg", "self.jpg"],
    "the folder is listed already under another name": ["in/above", "in/up"],
}


def test_readers_and_predict_walk_a_folder_by_one_rule(walked):
    expected = ["a.JPG", "b.jfif", "in/c.avif", "linked/l.jpg"]
    left = {}
    assert list(folders.below(walked, left)) == expected
    assert left == LEFT
    left = {}
    targets = faces.walk([str(walked)], left)
    assert [str(name) for _, name in targets] == expected
    assert left == {reason: [f"{walked}/{x}" for x in names] for reason, names in LEFT.items()}
    records = catalogue.read("label_folders", walked.parent)
    assert records.ids == tuple(f"25/{name}" for name in expected)
    assert (
        records.notes[0] == "2 files left out: its name starts with a dot (the first: 25/._a.jpg)"
    )
    assert any(
        note.startswith("2 folders left out: the folder is listed") for note in records.notes
    )


def test_predict_opens_no_pipe_that_is_named(walked):
    with pytest.raises(ValueError, match=r"pipe.jpg: is no regular file and no folder"):
        faces.walk([str(walked / "pipe.jpg")])


# Modes of pictures


def grey(dtype, value):
    return encoded(Image.fromarray(np.full((8, 8), value).astype(dtype)), "TIFF")


@pytest.mark.parametrize(
    "content",
    [
        b"P5 8 8 65535\n" + np.full(64, 0x8000, ">u2").tobytes(),
        b"P5 8 8 1023\n" + np.full(64, 512, ">u2").tobytes(),
        b"P2 8 8 4095\n" + b"2050 " * 64,
        encoded(Image.fromarray(np.full((8, 8), 0x8000, np.uint16))),
        grey(np.uint16, 0x8000),
    ],
)
def test_grey_of_any_depth_is_scaled_by_its_range(content):
    np.testing.assert_array_equal(pictures.decode_one(content, 4), 128)
    assert pictures.read(content).getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("content", [grey(np.int32, 9), grey(np.float32, 0.5)])
def test_a_picture_without_a_range_is_refused(content):
    with pytest.raises(DataError, match="whose range is not defined; save it with 8 or 16 bits"):
        pictures.decode_one(content, 4)


def half_hidden(hidden):
    """The left half is dark and seen, the right half transparent over hidden pixels."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = 40, 40, 40, 255
    pixels[:, 4:] = *hidden, 0
    return Image.fromarray(pixels, "RGBA")


def test_what_is_transparent_is_white_whatever_is_hidden():
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([40, 40, 40, 9, 9, 9])
    palette.paste(1, (4, 0, 8, 8))
    contents = [
        encoded(half_hidden((255, 0, 0))),
        encoded(half_hidden((0, 0, 255))),
        encoded(half_hidden((0, 0, 0)).convert("LA")),
        encoded(half_hidden((9, 9, 9)), "WEBP", lossless=True, exact=True),
        encoded(palette, transparency=1),
        encoded(palette, "GIF", transparency=1),
        encoded(palette.convert("RGB"), transparency=(9, 9, 9)),
        encoded(palette.convert("L"), transparency=9),
    ]
    expected = np.full((8, 8, 3), 255)
    expected[:, :4] = 40
    for content in contents:
        np.testing.assert_array_equal(pictures.decode_one(content, 8), expected)
        np.testing.assert_array_equal(np.asarray(pictures.read(content)), expected)


def test_the_auditor_sees_what_the_network_sees(tmp_path):
    for name, hidden in (("a", (255, 0, 0)), ("b", (0, 90, 255))):
        (tmp_path / f"{name}.jpg").write_bytes(encoded(half_hidden(hidden)))
    listed_text = "path,label\na.jpg,30\nb.jpg,30\n"
    (tmp_path / "faces.csv").write_text(listed_text)
    taken = hashes.take(read(tmp_path))
    assert taken.hashes[0] == taken.hashes[1]
    np.testing.assert_array_equal(taken.looks[0], taken.looks[1])


# A messy list

MESSY = """path,label,sigma,split
a.jpg,x,,
b.jpg,140,,
a.jpg
c.jpg,30,-1,nowhere
no.jpg,30,,
c.jpg,31,,
c.jpg,32,,
"""


def test_all_faults_of_a_list_are_said_at_once(tmp_path):
    listed(tmp_path, MESSY)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    lines = str(caught.value).split("\n  - ")
    assert lines[0] == "faces.csv: 7 faults"
    for part, line in zip(
        (
            "row 4: expected 4 cells",
            "row 2: label must be a finite number, got 'x'",
            "row 3: 140 is no age of 0 to 130 years",
            "row 5: sigma must be positive",
            "row 5: split must be train, validation",
            "row 8: 'c.jpg' is listed already in faces.csv row 7",
            "1 of 3 listed pictures do not exist; the first is",
        ),
        lines[1:],
        strict=True,
    ):
        assert part in line


def test_a_long_list_of_faults_is_counted(tmp_path):
    listed(tmp_path, "path,label\n" + "a.jpg,x\n" * 50)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    lines = str(caught.value).split("\n  - ")
    assert (lines[0], len(lines), lines[-1]) == ("faces.csv: 50 faults", 22, "and 30 more")


def test_skip_leaves_out_rows_too_and_counts_them(tmp_path):
    listed(tmp_path, "path,label\na.jpg,30\nb.jpg,\nc.jpg,old\na.jpg,30\nno.jpg,40\nc.jpg,50\n")
    records = read(tmp_path, unreadable="skip")
    assert dict(zip(records.ids, records.labels, strict=True)) == {"a.jpg": 30, "c.jpg": 50}
    assert records.notes == (
        "2 pictures left out: its label is empty or unusable (the first: faces.csv row 3)",
        "1 picture left out: an earlier row says the same (the first: faces.csv row 5)",
        f"1 picture left out: they do not exist (the first: faces.csv row 6, {tmp_path}/no.jpg)",
    )
    listed(tmp_path, "path,label\na.jpg,30\na.jpg,31\n")  # which of them is right nobody knows
    with pytest.raises(DataError, match=r"row 3: 'a.jpg' is listed already in faces.csv row 2"):
        read(tmp_path, unreadable="skip")


def test_columns_are_named(tmp_path):
    listed(tmp_path, "file,age,label\na.jpg,30,x\nb.jpg,40,y\n")
    records = read(tmp_path, columns={"path": "File", "label": "age"})
    np.testing.assert_array_equal(records.labels, [30, 40])
    with pytest.raises(DataError, match="no column 'name'; columns found: file, age, label"):
        read(tmp_path, columns={"path": "name"})
    with pytest.raises(DataError, match="columns: expected names of columns by path, label"):
        read(tmp_path, columns={"picture": "file"})
    with pytest.raises(DataError, match=r"^agedb: reads its official columns"):
        catalogue.read("agedb", tmp_path, columns={"path": "file"})
    content = to_dict(Config())
    content["data"] |= {"name": "csv_folder", "columns": {"path": "file"}}
    assert from_dict(content).data.columns == {"path": "file"}


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "\nSEP=;\n"])
def test_a_spreadsheet_s_first_line_says_how_cells_are_parted(tmp_path, first):
    listed(tmp_path, f"{first}path;label;a,b,c,d\na.jpg;30;\n")
    records = read(tmp_path)
    assert records.labels.tolist() == [30]
    assert records.sources[0] == f"faces.csv row {2 + first.count(chr(10))}"


def test_absolute_paths_count_below_a_relative_root(tmp_path, monkeypatch):
    listed(tmp_path, f"path,label\n{tmp_path}/a.jpg,30\n")
    monkeypatch.chdir(tmp_path.parent)
    assert len(catalogue.read("csv_folder", "", csv=f"{tmp_path.name}/faces.csv")) == 1
    monkeypatch.setenv("HOME", str(tmp_path))
    listed(tmp_path, "path,label\n~/a.jpg,30\n")
    assert read(tmp_path).paths == (tmp_path / "a.jpg",)
