"""A few hundred changed files of every kind; `make soak` has ten thousand, and other seeds."""

import random

import pytest

from tests.soak import harness
from tests.soak.kinds import KINDS, Kind
from tests.soak.mutate import mutated
from tests.soak.worker import Sample

SEED, COUNT = 14, 400
SLOW = ("whole ssr-net", "mat")  # seconds each; in `make soak` alone


def test_changed_files_are_read_or_refused_with_a_line(tmp_path):
    kinds = [kind for kind in KINDS if kind not in SLOW]
    faults, outcomes = harness.run(tmp_path, SEED, list(harness.plan(COUNT, kinds)))
    assert not faults, "\n".join(["python -m tests.soak with:", *map(str, faults)])
    counts = sum(outcomes.values(), start=harness.Counter())
    assert min(counts["read"], counts["refused"]) > 40, counts


def test_the_same_numbers_change_a_file_in_the_same_way(tmp_path):
    content = b"path,label\na.png,3\n" * 9
    changes = [mutated(random.Random(f"7/csv/{case}"), content) for case in range(20)]
    assert changes == [mutated(random.Random(f"7/csv/{case}"), content) for case in range(20)]
    assert len(set(changes)) > 15


def fails(error):
    raise error


def writes(folder):
    (folder / "left behind").write_text("")


@pytest.mark.parametrize(
    ("read", "objects", "expected"),
    [
        (lambda folder: fails(ValueError("a.csv: row 3")), "", "refused"),
        (lambda folder: None, "", "read"),
        (lambda folder: None, "rows are lost", "answered"),
        (lambda folder: fails(KeyError("age")), "", "traceback"),
        (lambda folder: fails(MemoryError()), "", "memory"),
        (lambda folder: fails(ValueError("a\x1b[31m.csv")), "", "traceback"),
        (lambda folder: fails(UnicodeDecodeError("utf-8", b"a", 0, 1, "bad")), "", "traceback"),
        (writes, "", "written"),
    ],
)
def test_what_must_not_happen_is_seen(read, objects, expected, tmp_path):
    whole = "path,age\na.png,3\n"

    def reads(folder):
        if (folder / "a.csv").read_text(errors="replace") != whole:
            read(folder)

    kind = Kind(lambda folder: (folder / "a.csv").write_text(whole), reads, "*", lambda *_: objects)
    outcome, _ = Sample(kind, tmp_path / "sample").judge(random.Random(0))
    assert outcome == expected
    assert (tmp_path / "sample/a.csv").read_text() == whole
