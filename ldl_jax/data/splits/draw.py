"""Random draws of rows: pure functions of a generator, so the same seed gives the same draw."""

from __future__ import annotations

import numpy as np


def by_group(rng: np.random.Generator, groups: np.ndarray, fraction: float) -> np.ndarray:
    """Whether each row is drawn: whole groups, in random order, to the nearest count of rows.

    Args:
      rng: the generator.
      groups: the group of each row, [N]; a number a row draws by row.
      fraction: the share of the rows to draw.

    Returns:
      bool [N].
    """
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    # Taking a prefix, not whichever groups fit, draws subjects with many pictures as often as
    # those with few.
    counts = np.concatenate([[0], np.cumsum(sizes[order])])
    taken = int(np.argmin(np.abs(counts - fraction * len(groups))))
    drawn = np.zeros(len(sizes), bool)
    drawn[order[:taken]] = True
    return drawn[group_of_row]


def stratified(rng: np.random.Generator, labels: np.ndarray, fraction: float) -> np.ndarray:
    """Whether each row is drawn: the same share of every range of labels.

    Systematic sampling: the rows in the order of their labels (ties in random order), of which
    row i is drawn where floor((i + 1) f + u) > floor(i f + u), u uniform on [0, 1). Every row is
    drawn with probability f, and of any range of labels with n rows between n f - 1 and n f + 1.

    Args:
      rng: the generator.
      labels: [N].
      fraction: f.

    Returns:
      bool [N].
    """
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    steps = np.floor(np.arange(len(labels) + 1) * fraction + rng.random())
    drawn = np.zeros(len(labels), bool)
    drawn[order] = np.diff(steps) > 0
    return drawn


def fold_of_each(rng: np.random.Generator, groups: np.ndarray, folds: int) -> np.ndarray:
    """The fold, 0 to folds - 1, of each row: whole groups, in random order, of about equal size.

    A group goes to the fold in which the middle of its rows falls, when the rows stand in the
    groups' random order; with a group a row, folds differ by at most one row.

    Args:
      rng: the generator.
      groups: the group of each row, [N].
      folds: how many.

    Returns:
      int64 [N].
    """
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    fold = np.empty(len(sizes), np.int64)
    fold[order] = np.floor(middles * folds / len(groups)).astype(np.int64)
    return fold[group_of_row]
