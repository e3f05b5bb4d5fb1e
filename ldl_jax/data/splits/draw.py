"""Draws rows at random, as pure functions of a generator: the same seed gives the same draw."""

import numpy as np


def by_group(rng: np.random.Generator, groups: np.ndarray, fraction: float) -> np.ndarray:
    """Draws whole groups, in random order, to the nearest count of rows.

    Args:
      rng: the generator.
      groups: the group of each row, [N]; with a group a row, rows are drawn.
      fraction: the share of the rows to draw.

    Returns:
      Whether each row is drawn, bool [N].
    """
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    # Taking a prefix, not whichever groups fit, draws subjects with many pictures as often as
    # those with few.
    counts = np.concatenate([[0], np.cumsum(sizes[order])])
    prefix = int(np.argmin(np.abs(counts - fraction * len(groups))))
    drawn = np.zeros(len(sizes), bool)
    drawn[order[:prefix]] = True
    return drawn[group_of_row]


def stratified(
    rng: np.random.Generator,
    labels: np.ndarray,
    fraction: float,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Draws the same share of every range of labels, by systematic sampling of whole groups.

    The groups stand in the order of their mean labels (ties in random order), and group i is drawn
    where floor((i + 1) f + u) > floor(i f + u), u uniform on [0, 1). Every group is drawn with
    probability f, and of any range of labels with n groups between n f - 1 and n f + 1.

    Args:
      rng: the generator.
      labels: [N].
      fraction: f.
      groups: the group of each row, [N]; None for a group a row.

    Returns:
      Whether each row is drawn, bool [N].
    """
    groups = np.arange(len(labels)) if groups is None else groups
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.bincount(group_of_row, labels) / sizes
    shuffled = rng.permutation(len(sizes))
    order = shuffled[np.argsort(means[shuffled], kind="stable")]
    steps = np.floor(np.arange(len(sizes) + 1) * fraction + rng.random())
    drawn = np.zeros(len(sizes), bool)
    drawn[order] = np.diff(steps) > 0
    return drawn[group_of_row]


def fold_of_each(rng: np.random.Generator, groups: np.ndarray, folds: int) -> np.ndarray:
    """Deals whole groups, in random order, into folds 0 to folds - 1 of about equal size.

    A group goes to the fold in which the middle of its rows falls, when the rows stand in the
    groups' random order; with a group a row, folds differ by at most one row.

    Args:
      rng: the generator.
      groups: the group of each row, [N].
      folds: how many.

    Returns:
      The fold of each row, int64 [N].
    """
    _, group_of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = rng.permutation(len(sizes))
    middles = np.cumsum(sizes[order]) - sizes[order] / 2
    fold = np.empty(len(sizes), np.int64)
    fold[order] = np.floor(middles * folds / len(groups)).astype(np.int64)
    return fold[group_of_row]
