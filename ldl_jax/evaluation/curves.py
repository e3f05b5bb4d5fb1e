"""The curves of a training run, from the rows of its metrics.jsonl."""

import itertools
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from ldl_jax.evaluation.canvas import BLACK, BLUE, GREEN, ORANGE, blank, lighten, save
from ldl_jax.workdir import Row

ERRORS = {"validation": (GREEN, "o"), "test": (ORANGE, "s")}  # kind -> colour, marker
Series = dict[int, tuple[np.ndarray, np.ndarray]]  # generation -> total steps, numbers


def training_curves(path: str | os.PathLike[str], rows: Sequence[Row], unit: str = "years") -> None:
    """Draws loss, MAE and learning rate over a run's steps, with its generations marked.

    A row has "kind" ("train", "validation", "test"), "generation" and "step" (within it); training
    rows "loss" and "learning_rate", and all may have "mae", in `unit`. Panels without a number are
    left out. Of a step logged twice, as after a resumption, the later row counts.

    Raises:
      ValueError: no row holds a number to draw.
    """
    starts = _starts(rows)
    loss, rate = (_series(rows, "train", key, starts) for key in ("loss", "learning_rate"))
    errors = {kind: _series(rows, kind, "mae", starts) for kind in ERRORS}
    training = _series(rows, "train", "mae", starts)
    drawn = {"loss": loss, "mae": training or any(errors.values()), "rate": rate}
    heights = {"loss": 2.0, "mae": 2.0, "rate": 1.0}
    panels = {name: height for name, height in heights.items() if drawn[name]}
    if not panels:
        raise ValueError("rows: none holds a loss, a learning_rate or an mae")
    figure = blank(8.0, 1.3 * sum(panels.values()) + 0.9)
    ratios = list(panels.values())
    grid = figure.subplots(len(panels), sharex=True, squeeze=False, height_ratios=ratios)
    axes: dict[str, Axes] = dict(zip(panels, grid[:, 0], strict=True))
    if "loss" in axes:
        _draw_loss(axes["loss"], loss)
    if "mae" in axes:
        _draw_errors(axes["mae"], training, errors, unit)
    if "rate" in axes:
        _draw_rate(axes["rate"], rate)
    for axis in axes.values():
        lighten(axis)
        _mark_generations(axis, starts, named=axis is grid[0, 0])
    grid[-1, 0].set_xlabel("training steps, all generations")
    grid[-1, 0].xaxis.set_major_formatter(EngFormatter(sep=""))
    figure.align_ylabels()
    save(figure, path)


def _starts(rows: Sequence[Row]) -> dict[int, tuple[int, int]]:
    """Returns the total steps at which each generation starts and ends."""
    lengths: dict[int, int] = {}
    for row in rows:
        if row.get("kind") in ("train", *ERRORS):
            generation = int(row["generation"])
            lengths[generation] = max(lengths.get(generation, 0), int(row["step"]))
    ordered = sorted(lengths)
    ends = itertools.accumulate(lengths[generation] for generation in ordered)
    return {g: (end - lengths[g], end) for g, end in zip(ordered, ends, strict=True)}


def _series(
    rows: Sequence[Row], kind: str, key: str, starts: Mapping[int, tuple[int, int]]
) -> Series:
    by_generation: dict[int, dict[int, float]] = {}
    for row in rows:
        value = row.get(key)
        if row.get("kind") == kind and value is not None and math.isfinite(value):
            by_generation.setdefault(int(row["generation"]), {})[int(row["step"])] = float(value)
    return {
        generation: (
            np.array(sorted(points)) + starts[generation][0],
            np.array([points[step] for step in sorted(points)]),
        )
        for generation, points in sorted(by_generation.items())
    }


def _smooth(numbers: np.ndarray) -> np.ndarray:
    """Returns the running mean over a tenth of the generation, shorter at its ends."""
    half = max(1, len(numbers) // 20)
    total = np.concatenate([[0.0], np.cumsum(numbers)])
    index = np.arange(len(numbers))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(numbers))
    return (total[high] - total[low]) / (high - low)


def _draw_loss(axis: Axes, loss: Series) -> None:
    for i, (steps, numbers) in enumerate(loss.values()):
        marker = "." if len(steps) == 1 else ""
        raw, smooth = ("each logged step", "running mean") if i == 0 else (None, None)
        axis.plot(steps, numbers, color=BLUE, alpha=0.25, linewidth=0.7, marker=marker, label=raw)
        axis.plot(steps, _smooth(numbers), color=BLUE, linewidth=1.6, marker=marker, label=smooth)
    # A few first steps of the first generation must not flatten all the rest.
    every = np.concatenate([numbers for _, numbers in loss.values()])
    top, bottom = np.quantile(every, 0.995), every.min()
    if len(every) > 200 and every.max() > top + (top - bottom):
        axis.set_ylim(top=float(top + 0.1 * (top - bottom)))
    axis.set_ylabel("training loss")
    axis.legend(fontsize=9, loc="upper right", framealpha=0.9)


def _draw_errors(axis: Axes, training: Series, errors: Mapping[str, Series], unit: str) -> None:
    for i, (steps, numbers) in enumerate(training.values()):
        label = "training batches, running mean" if i == 0 else None
        axis.plot(steps, _smooth(numbers), color=BLUE, lw=1.0, alpha=0.7, label=label)
    for kind, series in errors.items():
        color, marker = ERRORS[kind]
        for i, (steps, numbers) in enumerate(series.values()):
            size = 3.5 if len(steps) <= 40 else 0
            label = kind if i == 0 else None
            (line,) = axis.plot(steps, numbers, color=color, marker=marker, ms=size, label=label)
            line.set(linewidth=1.3, clip_on=False)
    axis.set_ylabel(f"MAE ({unit})")
    axis.legend(fontsize=9, loc="upper right", framealpha=0.9)


def _draw_rate(axis: Axes, rate: Series) -> None:
    for steps, numbers in rate.values():
        marker = "." if len(steps) == 1 else ""
        axis.plot(steps, numbers, color=BLACK, linewidth=1.3, marker=marker)
    if all((numbers > 0).all() for _, numbers in rate.values()):
        axis.set_yscale("log")
    axis.set_ylabel("learning rate")


def _mark_generations(axis: Axes, starts: Mapping[int, tuple[int, int]], named: bool) -> None:
    axis.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    last = max(end for _, end in starts.values())
    axis.set_xlim(-0.01 * last, 1.01 * last or 1.0)
    word = "generation " if len(starts) <= 6 else ""  # more would overlap
    for i, (generation, (start, end)) in enumerate(starts.items()):
        if i % 2:
            axis.axvspan(start, end, color="#f2f2f2", zorder=-1, linewidth=0)
        if named:
            axis.text(
                (start + end) / 2, 1.02, f"{word}{generation}", ha="center", va="bottom",
                fontsize=9, transform=axis.get_xaxis_transform(),
            )  # fmt: skip
