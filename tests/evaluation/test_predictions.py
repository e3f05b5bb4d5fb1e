"""The predictions file: every float32 comes back to the last bit; errors say where."""

import dataclasses
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldl_jax.evaluation import predictions as files
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.files import whole
from ldl_jax.labels import ADIENCE, AGE, CFD, SCUT_FBP, LabelSpace


def made(count: int = 5, **changes: Any) -> Predictions:
    rng = np.random.default_rng(count)
    values = np.arange(16, 95, dtype=np.float32)
    labels = rng.choice(values, count)
    fields: dict[str, Any] = {
        "ids": tuple(f"folder/{i}.jpg" for i in range(count)),
        "labels": labels,
        "values": labels + rng.normal(0, 3, count),
        "probs": rng.dirichlet(np.full(79, 0.05), count),
        "space": LabelSpace.range(16, 94),
        "heads": {
            "distribution": rng.normal(40, 9, count),
            "regression": rng.normal(40, 9, count),
        },
        "sigma": np.where(rng.random(count) < 0.3, np.nan, rng.uniform(1, 5, count)),
        "truth_kl": rng.exponential(1, count),
        "measures": {"truth_emd": rng.exponential(1, count), "truth_js": np.full(count, np.nan)},
    }
    return Predictions(**(fields | changes))


def assert_same(a: Predictions, b: Predictions) -> None:
    for field in dataclasses.fields(Predictions):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype == np.float32
            np.testing.assert_array_equal(x, y, strict=True)
        elif field.name in ("heads", "measures"):
            assert list(x) == list(y)  # in order
            for name in x:
                np.testing.assert_array_equal(x[name], y[name], strict=True)
        else:
            assert x == y


def round_trip(path: Path, predictions: Predictions) -> Predictions:
    files.write(path, predictions)
    return files.read(path)


def test_round_trip(tmp_path: Path) -> None:
    predictions = made()
    path = tmp_path / "new" / "test.csv"
    assert_same(round_trip(path, predictions), predictions)
    header, first, *_ = path.read_text().splitlines()
    assert header.startswith(
        "id,label,value,distribution,regression,sigma,truth_kl,truth_emd,truth_js,p[16],p[17]"
    )
    assert header.endswith("p[94]")
    assert len(first.split(",")) == 9 + 79
    assert [entry.name for entry in path.parent.iterdir()] == ["test.csv"]


def test_round_trip_without_what_is_optional_and_in_another_unit(tmp_path: Path) -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(41), 3)
    predictions = made(
        3, probs=probs, space=SCUT_FBP, heads={}, sigma=None, truth_kl=None, measures={}
    )
    assert_same(round_trip(tmp_path / "a.csv", predictions), predictions)
    header = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert header.startswith("id,label,value,p[1],p[1.1],")
    assert header.endswith("p[5],unit")


def test_every_float32_is_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 2**32, 60_000, dtype=np.uint32).view(np.float32)
    bits = bits[np.isfinite(bits)]
    special = np.array([0.1, 1 / 3, 1e-45, 1.1754944e-38, 3.4028235e38, -0.0], np.float32)
    bits = np.concatenate([special, bits])
    bits = bits[: len(bits) // 10 * 10].reshape(-1, 10)
    count = len(bits)
    predictions = made(count, probs=bits, space=LabelSpace.range(0, 9))
    assert_same(round_trip(tmp_path / "a.csv", predictions), predictions)


def test_ids_are_quoted(tmp_path: Path) -> None:
    ids = ("a,b.jpg", 'c"d.jpg', "e\nf", "é", "")
    assert round_trip(tmp_path / "a.csv", made(ids=ids)).ids == ids


def test_a_spreadsheet_may_have_saved_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    files.write(path, made())
    path.write_text(path.read_text(), encoding="utf-8-sig", newline="\r\n")
    assert_same(files.read(path), made())


def test_large_files_are_fast(tmp_path: Path) -> None:
    predictions = made(6685)
    start = time.process_time()  # other processes may have the cores
    files.write(tmp_path / "a.csv", predictions)
    files.read(tmp_path / "a.csv")
    assert time.process_time() - start < 10  # it takes 2 s


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    files.write(path, made())
    before = path.read_bytes()

    def half_way() -> None:
        with whole(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_way()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        files.write(path, made(3))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def edited(path: Path, row: int, column: str, cell: str) -> None:
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[row - 1][lines[0].index(column)] = cell
    path.write_text("\n".join(",".join(line) for line in lines))


@pytest.mark.parametrize(
    ("row", "column", "cell", "message"),
    [
        (3, "p[20]", "x", r"row 3, column p\[20\]: expected a finite number, got 'x'"),
        (4, "label", "", "row 4, column label: expected a finite number, got ''"),
        (2, "value", "nan", "row 2, column value: expected a finite number, got 'nan'"),
        (6, "value", "1e60", "row 6, column value: expected a finite number"),
        (2, "sigma", "?", r"row 2, column sigma: expected a finite number, got '\?'"),
        (1, "value", "age", "row 1: no column value"),
        (1, "sigma", "label", "row 1: columns given twice: label"),
        (1, "p[17]", "p[10]", "values: must rise strictly"),
        (3, "id", "a,b", "row 3: expected 88 cells as in the header, got 89"),
    ],
)
def test_read_says_where(tmp_path: Path, row: int, column: str, cell: str, message: str) -> None:
    path = tmp_path / "a.csv"
    files.write(path, made())
    edited(path, row, column, cell)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: {message}"):
        files.read(path)


@pytest.mark.parametrize("text", ["", "id,label,value,p[1],p[2]\n", "id,label\na,1\n"])
def test_read_needs_rows_and_columns(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        files.read(path)


def test_a_misplaced_quote_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,label,value,p[1],p[2]\n"a"x,1,1,0.5,0.5\n')
    with pytest.raises(ValueError, match=r"a\.csv: line 2: .* expected after"):
        files.read(path)


def test_read_wants_one_unit(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,label,value,p[1],p[2],unit\na,1,2,0,1,years\nb,1,2,0,1,score\n")
    with pytest.raises(ValueError, match="column unit: expected one unit"):
        files.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(4)}, r"labels: expected shape \(5,\), got \(4,\)"),
        ({"probs": np.zeros((5, 3))}, r"probs: expected shape \(5, 79\)"),
        ({"sigma": np.zeros(4)}, "sigma: expected shape"),
        ({"heads": {"label": np.zeros(5)}}, "heads: 'label' is the name of another column"),
        ({"heads": {"p[3]": np.zeros(5)}}, "heads: 'p.3.' is the name"),
        ({"values": [1, 2, np.nan, 4, 5]}, "values: must be finite; row 2, 'folder/2.jpg', is not"),
        ({"ids": ()}, "ids: expected at least one"),
    ],
)
def test_predictions_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**changes)


def test_distributions_that_are_not_kept(tmp_path: Path) -> None:
    one = Predictions(("a", "b"), np.ones(2), np.zeros(2), np.zeros((2, 0)), AGE)
    files.write(tmp_path / "a.csv", one)
    text = "id,label,value,space\na,1.0,0.0,0:1:100\nb,1.0,0.0,0:1:100\n"
    assert (tmp_path / "a.csv").read_text() == text
    again = files.read(tmp_path / "a.csv")
    assert again.space == AGE
    assert again.probs.shape == (2, 0)
    assert again.space_values.shape == (0,)
    np.testing.assert_array_equal(again.values, one.values)


# A space, and whether the columns p[l_k] and unit do not tell it from all others.
SPACES = {
    "age": (AGE, False),
    "score": (CFD, False),
    "adience": (ADIENCE, False),
    "groups": (LabelSpace.groups([(-3, -1.5), (0, 2), (2.5, 1e6)], unit="degrees"), True),
    "adience's midpoints": (LabelSpace(ADIENCE.values), True),
    "thirds": (LabelSpace.range(0, 1, 1 / 3, unit="score"), True),
    "uneven": (LabelSpace((0.0, 1 / 3, 2.5), unit="score"), True),
}


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(("space", "told"), SPACES.values(), ids=SPACES)
def test_the_space_comes_back_whole(
    tmp_path: Path, space: LabelSpace, told: bool, kept: bool
) -> None:
    probs = np.full((5, space.size if kept else 0), 1 / space.size)
    path = tmp_path / "a.csv"
    assert_same(round_trip(path, made(probs=probs, space=space)), made(probs=probs, space=space))
    assert ("space" in path.read_text().splitlines()[0].split(",")) == (told or not kept)


def test_a_file_from_before_it_had_the_space(tmp_path: Path) -> None:
    """The groups are known by their values; without distributions only the unit is."""
    path = tmp_path / "a.csv"
    names = ",".join(f"p[{value:g}]" for value in ADIENCE.values)
    path.write_text(f"id,label,value,{names}\na,1,2,0,1,0,0,0,0,0,0\n")
    assert files.read(path).space == ADIENCE
    path.write_text("id,label,value,p[1],p[3],unit\na,1,2,0,1,score\n")
    assert files.read(path).space == LabelSpace((1.0, 3.0), "score")
    path.write_text("id,label,value,unit\na,1,2,score\nb,4,2,score\n")
    assert files.read(path).space == LabelSpace((1.0, 4.0), "score")


def test_a_space_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,label,value,space\na,1,2,0:x:3\n")
    with pytest.raises(ValueError, match=r"a\.csv: column space: '0:x:3'"):
        files.read(path)


def test_subjects_come_back(tmp_path: Path) -> None:
    predictions = made(subjects=("anna", "", "anna", "b,c", ""))
    assert_same(round_trip(tmp_path / "a.csv", predictions), predictions)
    files.write(tmp_path / "a.csv", made(subjects=("",) * 5))
    assert "subject" not in (tmp_path / "a.csv").read_text()
    with pytest.raises(ValueError, match="subjects: expected 5, got 1"):
        made(subjects=("anna",))
