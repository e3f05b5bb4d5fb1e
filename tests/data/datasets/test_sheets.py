"""Labels in spreadsheets: read as they are, or refused in one line."""

import datetime
import io
import warnings
import zipfile

import numpy as np
import pytest
from imitation import book, ods, scut_fbp5500, write, xls

from ldl_jax.data.datasets import catalogue, sheets
from ldl_jax.data.records import DataError
from ldl_jax.isolated import sheets as isolated_sheets


def complaint(name, root, **arguments):
    with pytest.raises(DataError) as caught:
        catalogue.read(name, root, **arguments)
    message = str(caught.value)
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (3, "3"),
        (3.0, "3"),
        (3.5, "3.5"),
        (2.6142857142857143, "2.6142857142857143"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (True, "TRUE"),
        (" a b ", "a b"),
        (datetime.datetime(2001, 2, 28), "2001-02-28"),
        (datetime.datetime(2001, 2, 28, 7, 5), "2001-02-28 07:05:00"),
        (datetime.time(7, 5), "07:05:00"),
    ],
)
def test_text(value, expected):
    assert isolated_sheets.text(value) == expected


FACES = [
    ["Path", "Label", "Sigma", "Subject", "Split", None],
    ["a.jpg", 30, None, 7, "train"],
    [None, None, None, None, None],
    ["b.jpg", 3.5, 0.25, "x", None, " "],
]


def faces(root, rows=FACES, **more):
    write(root, {"a.jpg": "", "b.jpg": ""})
    book(root / "faces.xlsx", {"Notes": [], "Sheet1": rows, "Sheet3": [["other"]]} | more)


def test_a_sheet_is_read_as_its_csv(tmp_path):
    faces(tmp_path)
    records = catalogue.read("csv_folder", tmp_path, csv="faces.xlsx")
    assert records.ids == ("a.jpg", "b.jpg")
    np.testing.assert_array_equal(records.labels, [30, 3.5])
    np.testing.assert_array_equal(records.sigma, [np.nan, 0.25])
    assert (records.subjects, records.split) == (("7", "x"), ("train", ""))
    assert records.sources[1] == "faces.xlsx sheet 'Sheet1' row 4"
    assert catalogue.read("csv_folder", "", csv=str(tmp_path / "faces.xlsx")).ids == records.ids


CELLS = [
    ["#Image", None, "b", None, None],
    [3, 3.5, 2.61428571428571, True, None],
    [None] * 5,
    [datetime.datetime(2001, 2, 28), datetime.datetime(2001, 2, 28, 7, 5), " a ", False, None],
]
TEXTS = [
    (1, ["#Image", "", "b"]),
    (2, ["3", "3.5", "2.61428571428571", "TRUE"]),
    (4, ["2001-02-28", "2001-02-28 07:05:00", "a", "FALSE"]),
]


@pytest.mark.parametrize("name", ["s.xlsx", "s.ods", "s.xls", "s.xlsx in truth.ods"])
def test_all_kinds_of_spreadsheets_give_the_same_texts(tmp_path, name):
    path = tmp_path / name
    {"s.ods": ods, "s.xls": xls}.get(name, book)(path, {"None": [], "One": CELLS})
    read = sheets.read(path, name)
    assert read.titles == ("None", "One")
    assert read.rows("None") == []
    assert read.rows("One") == TEXTS
    assert list(sheets.lines(path, name))[1] == (f"{name} sheet 'One' row 2", TEXTS[1][1])


@pytest.mark.parametrize("kind", ["xlsx", "ods"])
def test_an_error_in_a_cell_is_no_empty_cell(tmp_path, kind):
    path = tmp_path / f"s.{kind}"
    {"xlsx": book, "ods": ods}[kind](path, {"One": [["a", "#N/A", "#DIV/0!", 3]]})
    assert sheets.read(path, "s").rows("One") == [(1, ["a", "#N/A", "#DIV/0!", "3"])]


@pytest.mark.parametrize("kind", ["ods", "xls"])
def test_a_list_in_another_kind_of_spreadsheet(tmp_path, kind):
    write(tmp_path, {"a.jpg": "", "b.jpg": ""})
    {"ods": ods, "xls": xls}[kind](tmp_path / f"faces.{kind}", {"Sheet1": FACES})
    records = catalogue.read("csv_folder", tmp_path, csv=f"faces.{kind}")
    assert records.ids == ("a.jpg", "b.jpg")
    np.testing.assert_array_equal(records.labels, [30, 3.5])
    assert (records.subjects, records.split) == (("7", "x"), ("train", ""))
    assert records.sources[1] == f"faces.{kind} sheet 'Sheet1' row 4"


def replace(path, old, new):
    """Changes the text of the second sheet of an .xlsx file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    part = "xl/worksheets/sheet2.xml"
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_a_wrong_size_noted_in_the_file_cuts_nothing(tmp_path):
    faces(tmp_path)
    replace(tmp_path / "faces.xlsx", b'"A1:F4"', b'"A1:A2"')
    assert len(catalogue.read("csv_folder", tmp_path, csv="faces.xlsx")) == 2


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "faces.xlsx: is empty"),
        ([["path", "age"]], "faces.xlsx: no column 'label'; columns found: path, age"),
        ([["path", "label"], ["a.jpg"]], "faces.xlsx sheet 'Sheet1' row 2: label is empty"),
        (
            [["path", "label"], ["a.jpg", "=1/0"]],  # saved by a program that works nothing out
            "faces.xlsx sheet 'Sheet1' row 2: label is empty",
        ),
        (
            [["path", "label"], [], ["a.jpg", datetime.datetime(2001, 2, 28)]],
            "row 3: label must be a finite number, got '2001-02-28'",
        ),
        ([["path", "label"], ["a.jpg", True]], "label must be a finite number, got 'TRUE'"),
        ([["path", "label"], ["a.jpg", 3, 4]], "row 2: expected 2 cells (path, label), got 3"),
        ([["path", "label", "Path"]], "column 'path' is there twice"),
    ],
)
def test_a_sheet_that_cannot_be_used_is_named_with_its_row(tmp_path, rows, expected):
    write(tmp_path, {"a.jpg": ""})
    book(tmp_path / "faces.xlsx", {"Sheet1": rows})
    assert expected in complaint("csv_folder", tmp_path, csv="faces.xlsx")


def damaged(kind):
    """The bytes of a file that is no spreadsheet, and what is said of it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "hello")
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
    return {
        "text": (
            b"path,label\na.jpg,3\n",
            "is no spreadsheet (neither a zip archive nor an old .xls",
        ),
        "empty": (b"", "is no spreadsheet (neither a zip archive nor an old .xls file)"),
        "zip": (packed.getvalue(), "cannot be read as a spreadsheet ("),
        "cut": (packed.getvalue()[:60], "is no spreadsheet (neither a zip archive"),
        "old": (ole, "cannot be read as a spreadsheet ("),
        "locked": (
            ole + "EncryptedPackage".encode("utf-16-le"),
            "is protected by a password; save it without one",
        ),
    }[kind]


@pytest.mark.parametrize("kind", ["text", "empty", "zip", "cut", "old", "locked"])
@pytest.mark.parametrize("name", ["faces.xlsx", "faces.XLS", "faces.ods"])
def test_a_file_that_is_no_spreadsheet(tmp_path, kind, name):
    content, expected = damaged(kind)
    write(tmp_path, {"a.jpg": ""})
    (tmp_path / name).write_bytes(content)
    message = complaint("csv_folder", tmp_path, csv=name)
    assert message.startswith(f"{name}: {expected}")


def test_a_file_that_unpacks_to_too_much(tmp_path, monkeypatch):
    faces(tmp_path)
    monkeypatch.setattr(sheets, "LARGEST", 1000)
    message = complaint("csv_folder", tmp_path, csv="faces.xlsx")
    assert message.startswith("faces.xlsx: unpacks to 0 MiB, more than")


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (200_000, "faces.xlsx sheet 'Sheet1': has more than 10,000 cells"),
        (1_000_000_000, "faces.xlsx: cannot be read as a spreadsheet (its reader ran out of"),
    ],
)
def test_a_sheet_with_too_many_cells(tmp_path, monkeypatch, row, expected):
    """Two rows whose numbers are far apart: a small file that gives a million cells, or more."""
    faces(tmp_path)
    replace(tmp_path / "faces.xlsx", b'r="B4"', b'r="B%d"' % row)
    monkeypatch.setattr(sheets, "CELLS", 10_000)
    assert complaint("csv_folder", tmp_path, csv="faces.xlsx").startswith(expected)


def test_the_reading_warns_of_nothing_and_keeps_the_filters(tmp_path):
    faces(tmp_path)
    before = list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        catalogue.read("csv_folder", tmp_path, csv="faces.xlsx")
    assert warnings.filters == before


def scut(root, rows, name="Rating_Collection/Attractiveness label.xlsx"):
    write(root, {f"Data_Collection/SCUT-FBP-{n}.jpg": "" for n in (1, 2)})
    book(root / name, {"Sheet1": rows, "Sheet2": [], "Sheet3": []})


HEADER = ["#Image", "Attractiveness label", "Standard Deviation"]


@pytest.mark.parametrize(("kind", "write_sheet"), [("ods", ods), ("xls", xls)])
def test_official_labels_in_another_kind_of_spreadsheet(tmp_path, kind, write_sheet):
    write(tmp_path, {"Data_Collection/SCUT-FBP-1.jpg": "", "Rating_Collection/x": ""})
    rows = [HEADER, [1, 2.5, 0.5]]
    write_sheet(tmp_path / f"Rating_Collection/Attractiveness label.{kind}", {"Sheet1": rows})
    assert catalogue.read("scut_fbp", tmp_path).labels.tolist() == [2.5]
    cfd(tmp_path / "cfd")
    (tmp_path / "cfd" / BOOK).unlink()
    name = BOOK.replace("xlsx", kind)
    write_sheet(tmp_path / "cfd" / name, {MAIN: norming("R013", {"WF-001": 4.0})})
    records = catalogue.read("cfd", tmp_path / "cfd")
    assert records.sources == (f"{name} sheet '{MAIN}' row 6",)


@pytest.mark.parametrize("file", ["Attractiveness label", "AttractivenessLabel"])
def test_scut_fbp(tmp_path, file):
    name = f"Rating_Collection/{file}.xlsx"
    scut(tmp_path, [HEADER, [1, 2.6142857142857143, 0.7856107592251727], [2, 3.5, 0]], name)
    records = catalogue.read("scut_fbp", tmp_path)
    assert records.ids == ("SCUT-FBP-1.jpg", "SCUT-FBP-2.jpg")
    np.testing.assert_array_equal(records.labels, np.float32([2.6142857142857143, 3.5]))
    np.testing.assert_array_equal(records.sigma, np.float32([0.7856107592251727, 0]))
    assert records.sources[0] == f"{name} sheet 'Sheet1' row 2"
    text = "#Image,Attractiveness label,Standard Deviation\n2,4,0.5\n"
    write(tmp_path, {"Rating_Collection/Attractiveness label.csv": text})
    csv = catalogue.read("scut_fbp", tmp_path)  # the CSV file wins
    assert (csv.ids, csv.sigma.tolist()) == (("SCUT-FBP-2.jpg",), [0.5])


def test_scut_fbp_complains(tmp_path):
    scut(tmp_path, [HEADER, [1, 2.5, None]])
    message = complaint("scut_fbp", tmp_path)
    name = "Rating_Collection/Attractiveness label.xlsx"
    assert message == f"{name} sheet 'Sheet1' row 2: standard deviation is empty"
    (tmp_path / name).unlink()
    assert "label.csv' (.csv, .xlsx, .xls or .ods). Get SCUT-FBP from" in complaint(
        "scut_fbp", tmp_path
    )


def votes(root, sheets_of):
    scut_fbp5500(root, "train_test_files")
    head = ["Rater", "Filename", "Rating", "original Rating"]
    book(root / "All_Ratings.xlsx", {title: [head, *rows] for title, rows in sheets_of.items()})


ALL = [[1, "CM2.jpg", 3, None], [1, "AF1.jpg", 2, 4], [2, "CM2.jpg", 5], [2, "AF1.jpg", 2]]


@pytest.mark.parametrize("titles", [("Asian_Female", "ALL"), ("Sheet1", "Asian_Female")])
def test_scut_fbp5500_sigma_from_the_votes(tmp_path, titles):
    rows = {"Asian_Female": [[1, "AF1.jpg", 1], [2, "AF1.jpg", 5]]}
    votes(tmp_path, {title: rows.get(title, ALL) for title in titles})
    records = catalogue.read("scut_fbp5500", tmp_path)
    assert records.ids == ("Images/CM2.jpg", "Images/AF1.jpg")
    np.testing.assert_allclose(records.sigma, [2**0.5, 0])
    np.testing.assert_allclose(records.labels, [3.516667, 2.5], rtol=1e-6)
    assert records.notes[0] == "sigma is the raters' deviation, from the votes of All_Ratings"


def test_scut_fbp5500_votes_that_are_missing(tmp_path):
    votes(tmp_path, {"ALL": ALL[:3]})
    message = complaint("scut_fbp5500", tmp_path)
    assert "test.txt row 1: AF1.jpg has fewer than two votes in All_Ratings; move" in message
    votes(tmp_path, {"ALL": [*ALL, [3, "AF1.jpg", None, 2]]})
    message = complaint("scut_fbp5500", tmp_path)
    assert message == "All_Ratings.xlsx sheet 'ALL' row 6: rating is empty"


MAIN, MIXED, INDIA = (
    "CFD U.S. Norming Data",
    "CFD-MR U.S. Norming Data",
    "CFD-I INDIA Norming Data",
)
BOOK = "CFD 3.0 Norming Data and Codebook.xlsx"
PICTURES = {
    "WF-001": "Images/CFD/WF-001/CFD-WF-001-003-N.jpg",
    "BM-210": "Images/CFD/BM-210/CFD-BM-210-148-N.jpg",
    "MF-300": "Images/CFD-MR/CFD-MF-300-002-N.jpg",
    "IF601-519": "Images/CFD-INDIA/CFD-IF-601-519-N.jpg",
}


def norming(question, ratings, model="Model"):
    """A sheet of the norming data, with rows of title above and of units below its header."""
    return [
        ["Chicago Face Database"],
        [],
        [None, "A01", "R001", question],
        [model, "EthnicitySelf", "AgeRated", "Attractive", None],
        [None, None, "years", "1-7"],
        *([person, "W", 25.5, rating, 0.5] for person, rating in ratings.items()),
    ]


def cfd(root, more=None, name=BOOK):
    write(root, dict.fromkeys(PICTURES.values(), ""))
    official = {
        "Read Me": [["The Chicago Face Database"]],
        "Codebook": [["R013", "Attractive", "1-7"], ["", "Model", ""]],
        MIXED: norming("R013B", {"MF-300": 4.5}),
        MAIN: norming("R013", {"WF-001": 4.12, "BM-210": 3}),
        INDIA: norming("R013B", {"IF601-519": 5}),
    }
    book(root / name, official | (more or {}))


def test_cfd_reads_the_main_sheet(tmp_path):
    cfd(tmp_path)
    records = catalogue.read("cfd", tmp_path)
    assert records.subjects == ("WF-001", "BM-210")
    np.testing.assert_array_equal(records.labels, np.float32([4.12, 3]))
    assert records.sources[0] == f"{BOOK} sheet '{MAIN}' row 6"
    assert records.notes[:2] == (
        "2 pictures left out: the sheet does not rate the person "
        "(the first: CFD-INDIA/CFD-IF-601-519-N.jpg)",
        f"ratings are from the sheet '{MAIN}', which asks R013 (not read: '{MIXED}', '{INDIA}')",
    )
    write(tmp_path, {"norming.csv": "Target,Attractive\nWF-001,5\n"})
    assert catalogue.read("cfd", tmp_path).sources == ("norming.csv row 2",)  # the CSV file wins
    assert len(catalogue.read("cfd", tmp_path, csv=BOOK)) == 2


@pytest.mark.parametrize(("sheet", "person"), [(MIXED, "MF-300"), (INDIA, "IF601-519")])
def test_cfd_reads_another_sheet_where_it_is_named(tmp_path, sheet, person):
    cfd(tmp_path)
    records = catalogue.read("cfd", tmp_path, norming_sheet=sheet)
    assert records.subjects == (person,)
    assert f"ratings are from the sheet '{sheet}', which asks R013B" in records.notes[1]


def test_cfd_2_has_one_sheet_of_ratings(tmp_path):
    write(tmp_path, dict.fromkeys(PICTURES.values(), ""))
    rows = norming("R013", {"WF-001": 4.12}, model="Target")
    name = "CFD_2.0.3_Norming_Data_and_Codebook.xlsx"
    book(tmp_path / name, {"CFD 2.0.3 Norming Data": rows, "Codebook": [["R013"]]})
    records = catalogue.read("cfd", tmp_path)
    assert records.subjects == ("WF-001",)
    assert records.notes[1] == (
        "ratings are from the sheet 'CFD 2.0.3 Norming Data', which asks R013"
    )
    cfd(tmp_path)
    message = complaint("cfd", tmp_path)
    assert message.endswith(f"has '{BOOK}' and '{name}': name one as the csv")


def test_cfd_complains(tmp_path):
    cfd(tmp_path, {MAIN: norming("R013", {"WF-001": None})})
    message = complaint("cfd", tmp_path)
    assert message == f"{BOOK} sheet '{MAIN}' row 6: attractive is empty"
    message = complaint("cfd", tmp_path, norming_sheet="Codebook")
    known = f"'{MIXED}', '{MAIN}', '{INDIA}'"
    assert f"norming_sheet must be one of {known} (those with ratings), got 'Codebook'" in message
    cfd(tmp_path, {"CFD more": norming("R013", {"WF-001": 3})})
    message = complaint("cfd", tmp_path)
    assert message.endswith("have ratings; name one as the option norming_sheet")
    book(tmp_path / BOOK, {"Codebook": [["Model"], ["Attractive"]]})
    message = complaint("cfd", tmp_path)
    assert "no row of its sheets (Codebook) has the columns 'Model' or 'Target'" in message
    (tmp_path / BOOK).unlink()
    message = complaint("cfd", tmp_path)
    assert "has no 'norming.csv' and no 'CFD*Norming*Codebook*.xlsx'. Get Chicago" in message
    write(tmp_path, {"norming.csv": "Target,Attractive\nWF-001,5\n"})
    message = complaint("cfd", tmp_path, norming_sheet=MAIN)
    assert message == f"cfd: norming.csv has no sheets; leave out norming_sheet, got '{MAIN}'"
