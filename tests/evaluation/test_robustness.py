"""The numbers of spoiled pictures, and their table."""

import numpy as np
import pytest

from ldl_jax.evaluation import robustness
from ldl_jax.evaluation.robustness import IntervalAnswers
from ldl_jax.run.spoiling import Spoiling

LABELS = np.array([10.0, 20, 30, 40], np.float32)


def estimates(error, half=3.0):
    values = LABELS + np.float32(error)
    return IntervalAnswers(values, values - np.float32(half), values + np.float32(half))


def test_the_numbers_by_corruption_and_severity():
    spoiled = {("blur", 1): estimates(2), ("blur", 5): estimates(-4), ("noise", 1): estimates(1)}
    found = robustness.measure(LABELS, estimates(1), spoiled, ("a", "a", "", ""))
    assert found["pictures"] == 4
    assert found["clean"] == {"mae": 1.0, "bias": 1.0, "coverage90": 1.0, "width90": 6.0}
    worst = found["rows"][1]
    assert (worst["corruption"], worst["severity"]) == ("blur", 5)
    assert (worst["mae"], worst["bias"], worst["coverage90"]) == (4.0, -4.0, 0.0)
    assert worst["mae_change"] == {"mean": 3.0, "low": 3.0, "high": 3.0}
    first, second = robustness.rows_of({"m": found})
    assert (first["severity 1"], first["severity 5"]) == ("2.000", "4.000")
    assert first["in 90 %, worst"] == "0.0"
    assert "severity 5" not in second
    assert "| m | blur | 1.000 | 2.000 |" in robustness.page({"m": found}, "years")


def test_a_value_alone_has_no_intervals():
    alone = IntervalAnswers(LABELS + 1)
    found = robustness.measure(LABELS, alone, {("blur", 1): alone})
    assert "coverage90" not in found["clean"]
    assert "in 90 %" not in robustness.rows_of({"m": found})[0]


def test_what_cannot_be_asked_for_is_said_at_once():
    with pytest.raises(ValueError, match=r"--corruptions: expected some of blur.*'fog'; --sev.*9"):
        Spoiling(("blur", "fog"), (1, 9))
    with pytest.raises(ValueError, match="--severities: expected some of 1 to 5, got none"):
        Spoiling(severities=())
    assert Spoiling(("noise", "noise"), (3, 1, 3)).each == [("noise", 1), ("noise", 3)]
