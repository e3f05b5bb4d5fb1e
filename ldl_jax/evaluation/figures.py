"""Figures from predictions and from a run's metrics; each function writes one PNG, atomically."""

import os
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ldl_jax.evaluation.canvas import BLACK, BLUE, GREEN, GREY, ORANGE, blank, lighten, save
from ldl_jax.evaluation.curves import training_curves
from ldl_jax.evaluation.predictions import Predictions

__all__ = ["error_by_label", "evolution", "pick", "predicted_against_true", "training_curves"]
Curve = tuple[np.ndarray, np.ndarray]  # label values, and their probabilities


def pick(predictions: Predictions, count: int) -> list[int]:
    """Picks rows of `count` pictures spread over the labels' range, youngest first.

    For the middle of each of `count` equal parts of the range the picture with the nearest label,
    the earliest of several; so the choice knows nothing of the estimates. At most N rows.
    """
    labels = predictions.labels.astype(np.float64)
    count = min(count, len(predictions))
    low, high = labels.min(), labels.max()
    chosen: list[int] = []
    for middle in low + (np.arange(count) + 0.5) / max(count, 1) * (high - low):
        distance = np.abs(labels - middle)
        distance[chosen] = np.inf
        chosen.append(int(np.argmin(distance)))
    return sorted(chosen, key=lambda row: (labels[row], row))


def evolution(
    path: str | os.PathLike[str],
    generations: Sequence[Predictions],
    images: np.ndarray | None,
    rows: Sequence[int],
    truth: np.ndarray | None = None,
    truth_values: np.ndarray | None = None,
) -> None:
    """Draws the learned distributions of some test pictures from generation to generation.

    A column a picture, a row a generation, as in CEN's Fig. 3.

    Args:
      path: the PNG to write.
      generations: predictions of the same pictures in the same order, first generation first.
      images: uint8 RGB [n, H, W, 3], one for each of `rows`, or None.
      rows: n rows of the predictions, as of `pick`.
      truth: [n, M], the true distribution of each of `rows` over `truth_values` [M], or None.
      truth_values: [M], rising, in the label's unit.

    Raises:
      ValueError: there is nothing to show, or images, truth or a generation does not match.
    """
    _check_evolution(generations, images, rows, truth, truth_values)
    faces, first = int(images is not None), generations[0]
    width = max(1.9 * len(rows) + 0.9, 5.2)
    figure = blank(width, 1.35 * len(generations) + 1.9 * faces + 1.3)
    heights = [1.35] * faces + [1.0] * len(generations)
    axes = figure.subplots(len(heights), len(rows), squeeze=False, height_ratios=heights)
    for j, row in enumerate(rows):
        column = axes[:, j]
        if images is not None:
            column[0].imshow(images[j], interpolation="bilinear")
            column[0].set_axis_off()
        dashed = None
        if truth is not None and truth_values is not None:
            dashed = truth_values, _same_scale(truth[j], truth_values, first.space_values)
        _evolution_column(list(column[faces:]), generations, row, dashed)
        label = f"{first.labels[row]:.1f}".removesuffix(".0")
        title = f"{label} years" if first.unit == "years" else f"{first.unit} {label}"
        column[0].set_title(title, fontsize=10, weight="bold")
    for t, axis in enumerate(axes[faces:, 0], start=1):
        axis.set_ylabel(f"generation {t}\nprobability", fontsize=9)
    figure.supxlabel(f"label ({first.unit})", fontsize=9)
    handles, names = axes[-1, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9
    )
    save(figure, path)


def predicted_against_true(path: str | os.PathLike[str], predictions: Predictions) -> None:
    """Draws estimates over labels, with the median and middle 80 % in bins of labels."""
    labels, values = predictions.labels, predictions.values
    figure = blank(5.6, 5.4)
    axis = figure.subplots()
    low, high = float(min(labels.min(), values.min())), float(max(labels.max(), values.max()))
    margin = 0.03 * (high - low or 1.0)
    limits = (low - margin, high + margin)
    axis.plot(limits, limits, color=BLACK, linewidth=1, linestyle="--", label="estimate = label")
    alpha = float(np.clip(150 / len(labels), 0.08, 0.6))
    axis.scatter(labels, values, s=9, color=BLUE, alpha=alpha, linewidths=0)
    axis.scatter([], [], s=14, color=BLUE, label=f"{len(labels):,} pictures")
    _draw_spread(axis, labels, values)
    axis.set(xlim=limits, ylim=limits, aspect="equal")
    axis.set(xlabel=f"label ({predictions.unit})", ylabel=f"estimate ({predictions.unit})")
    error = float(np.abs(values - labels).mean(dtype=np.float64))
    axis.set_title(f"MAE {error:.3f} {predictions.unit}", fontsize=11)
    lighten(axis)
    axis.legend(loc="upper left", fontsize=9, framealpha=0.9)
    save(figure, path)


def error_by_label(path: str | os.PathLike[str], predictions: Predictions) -> None:
    """Draws MAE (± its standard error) and bias in bins of labels, and the bins' counts."""
    unit, labels = predictions.unit, predictions.labels
    centres, errors = _bins(labels, predictions.values - labels)
    count = np.array([len(group) for group in errors])
    mae = np.array([np.abs(group).mean() for group in errors])
    bias = np.array([group.mean() for group in errors])
    doubt = np.array([np.abs(group).std() for group in errors]) / np.sqrt(count)
    width = 0.86 * _bin_width(labels)
    figure = blank(7.0, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    upper.bar(centres, mae, width, color=BLUE, alpha=0.75, label="MAE ± standard error")
    upper.errorbar(centres, mae, doubt, fmt="none", ecolor=BLACK, elinewidth=1, capsize=2)
    upper.plot(centres, bias, color=ORANGE, marker="o", ms=4, label="bias (estimate − label)")
    upper.axhline(0, color=BLACK, linewidth=0.8)
    whole = float(np.abs(predictions.values - labels).mean(dtype=np.float64))
    upper.axhline(whole, color=BLUE, linestyle="--", linewidth=1, label=f"MAE of all: {whole:.3f}")
    upper.set_ylabel(f"error ({unit})")
    upper.margins(y=0.12)
    upper.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9, frameon=False)
    bars = lower.bar(centres, count, width, color=GREY)
    lower.bar_label(bars, fmt="{:,.0f}", fontsize=7, padding=1)
    lower.margins(y=0.18)
    lower.set(xlabel=f"label ({unit})", ylabel="pictures")
    for axis in (upper, lower):
        lighten(axis)
    save(figure, path)


def _draw_spread(axis: Axes, labels: np.ndarray, values: np.ndarray) -> None:
    # At a bin's mean label, not its centre: whole years in [15, 20) lie about 17, not 17.5.
    groups = zip(_bins(labels, labels)[1], _bins(labels, values)[1], strict=True)
    enough = [(x.mean(), *np.quantile(y, (0.1, 0.5, 0.9))) for x, y in groups if len(y) >= 5]
    if enough:
        at, low, middle, high = np.array(enough).T
        axis.fill_between(at, low, high, color=ORANGE, alpha=0.2, lw=0, label="middle 80 %")
        axis.plot(at, middle, color=ORANGE, linewidth=1.8, marker="o", ms=3, label="median")


def _check_evolution(
    generations: Sequence[Predictions],
    images: np.ndarray | None,
    rows: Sequence[int],
    truth: np.ndarray | None,
    truth_values: np.ndarray | None,
) -> None:
    if not generations or not len(rows):
        raise ValueError(f"rows, generations: expected some, got {len(rows)}, {len(generations)}")
    if any(later.ids != generations[0].ids for later in generations):
        raise ValueError("generations: must be of the same pictures in the same order")
    if images is not None and len(images) != len(rows):
        raise ValueError(f"images: expected one for each of {len(rows)} rows, got {len(images)}")
    if truth is not None:
        if truth_values is None:
            raise ValueError("truth_values: expected the values that truth is over, got None")
        if truth.shape != (expected := (len(rows), len(truth_values))):
            raise ValueError(f"truth: expected shape {expected}, got {truth.shape}")


def _evolution_column(
    axes: Sequence[Axes], generations: Sequence[Predictions], row: int, truth: Curve | None
) -> None:
    curves = [(g.space_values, g.probs[row]) for g in generations] + ([truth] if truth else [])
    limits = _window(generations, row, curves)
    estimates = np.array([g.values[row] for g in generations])
    right = bool(estimates.mean() < sum(limits) / 2)  # the emptier side
    peak = max(float(probs.max()) for _, probs in curves)
    for axis, predictions in zip(axes, generations, strict=True):
        values, probs = predictions.space_values, predictions.probs[row]
        axis.fill_between(values, probs, color=BLUE, alpha=0.3, linewidth=0)
        axis.plot(values, probs, color=BLUE, linewidth=1.2, label="learned distribution")
        if truth:
            axis.plot(*truth, "--", color=GREEN, linewidth=1.3, label="true distribution")
        axis.axvline(predictions.labels[row], color=BLACK, linewidth=1.2, label="label")
        estimate = float(predictions.values[row])
        axis.axvline(estimate, color=ORANGE, linewidth=1.8, linestyle=":", label="estimate")
        axis.text(
            0.97 if right else 0.03, 0.93, f"{estimate:.1f}", color=ORANGE, fontsize=9,
            ha="right" if right else "left", va="top", transform=axis.transAxes,
        )  # fmt: skip
        axis.set(xlim=limits, ylim=(0, 1.12 * peak), yticks=[])
        axis.xaxis.set_major_locator(MaxNLocator(4, integer=limits[1] - limits[0] > 4))
        axis.tick_params(labelsize=8, labelbottom=axis is axes[-1])
        lighten(axis)


def _window(
    generations: Sequence[Predictions], row: int, curves: Sequence[Curve]
) -> tuple[float, float]:
    """Returns the range of labels that holds nearly all of every distribution."""
    space = generations[0].space_values
    marks = [float(generations[0].labels[row])]
    for values, probs in curves:
        inside = values[probs > 0.02 * probs.max()]
        marks += [float(inside.min()), float(inside.max())]
    marks += [float(g.values[row]) for g in generations]
    least = 0.2 * float(space[-1] - space[0])
    middle, half = (min(marks) + max(marks)) / 2, max(max(marks) - min(marks), least) / 2
    return middle - 1.08 * half, middle + 1.08 * half


def _same_scale(truth: np.ndarray, values: np.ndarray, space: np.ndarray) -> np.ndarray:
    """Rescales probabilities per step of `values` to those per step of `space`."""
    steps = np.interp(values, space, np.gradient(space))
    return truth / np.gradient(values) * steps


def _bin_width(labels: np.ndarray) -> float:
    """Returns the edges of about 12 bins, of 1, 2 or 5 times a power of ten."""
    step = float(labels.max() - labels.min()) / 12 or 1.0
    power = 10.0 ** np.floor(np.log10(step))
    return power * next(m for m in (1, 2, 5, 10) if m * power >= step * 0.999)


def _bins(labels: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns the centres of the bins of labels that hold a row, and the numbers of each bin."""
    scaled = labels.astype(np.float64) / _bin_width(labels) + 1e-6  # 0.3 / 0.1 is below 3
    index = np.floor(scaled).astype(int)
    if index.min() < index.max():  # the last bin is closed, as a histogram's is
        index = np.minimum(index, np.ceil(scaled.max() - 2e-6).astype(int) - 1)
    filled = np.unique(index)
    centres = (filled + 0.5) * _bin_width(labels)
    return centres, [numbers[index == i].astype(np.float64) for i in filled]
