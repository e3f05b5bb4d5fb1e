"""A few hundred changed files of every kind; `make soak` has ten thousand, and other seeds."""

from tests.soak import harness
from tests.soak.kinds import KINDS

SEED, COUNT = 14, 400
SLOW = ("whole ssr-net", "mat")  # seconds each; in `make soak` alone


def test_changed_files_are_read_or_refused_with_a_line(tmp_path):
    kinds = [kind for kind in KINDS if kind not in SLOW]
    faults, outcomes = harness.run(tmp_path, SEED, list(harness.plan(COUNT, kinds)))
    assert not faults, "\n".join(["python -m tests.soak with:", *map(str, faults)])
    counts = sum(outcomes.values(), start=harness.Counter())
    assert min(counts["read"], counts["refused"]) > 40, counts


def test_the_same_numbers_change_a_file_in_the_same_way(tmp_path):
    import random

    from tests.soak.mutate import mutated

    content = b"path,label\na.png,3\n" * 9
    changes = [mutated(random.Random(f"7/csv/{case}"), content) for case in range(20)]
    assert changes == [mutated(random.Random(f"7/csv/{case}"), content) for case in range(20)]
    assert len(set(changes)) > 15
