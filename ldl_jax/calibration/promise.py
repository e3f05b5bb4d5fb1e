"""Says in words what a calibration was fitted on, and what a model's intervals promise."""

from collections.abc import Sequence

from ldl_jax.calibration.conformal import rank
from ldl_jax.calibration.fitted import Calibration, Cell

CONDITION = "the same cameras, people and ways of cutting faces out"


def held(known: Calibration | None, coverage: float, group: str = "") -> str:
    """Returns what intervals of a coverage hold, to stand after "intervals hold".

    Args:
      known: the model's calibration, None of one that is not calibrated.
      coverage: in (0, 1).
      group: of the people, whose intervals were asked for; "" where those of all were.

    Examples:
      >>> calibration.held(None, 0.9)
      "90% of the distribution, which is the model's own claim"
    """
    share = f"{100 * coverage:.4g}%"  # of 0.995 it is 99.5%
    if known is None:
        return f"{share} of the distribution, which is the model's own claim"
    where = " in each range of labels" if known.ranges else ""
    for cell in known.groups:
        if cell.name == group and rank(cell.count, coverage) <= cell.count:
            where = f" of the group {group}"
    return f"{share} or more of the labels{where}, of pictures like those of the calibration"


def guarantee(known: Calibration) -> str:
    """Returns the guarantee of a calibration's intervals in a sentence, with its condition.

    Examples:
      >>> space, labels = LabelSpace.range(0, 1), np.arange(40) % 4 == 0
      >>> fitted = calibration.fit(np.full((40, 2), 0.5), labels, space, calibration.Options())
      >>> calibration.guarantee(fitted).partition(", if")[0]
      'intervals of a coverage hold at least that share of the labels of new pictures'
    """
    of = "of new pictures"
    if known.ranges:
        of = "of new pictures with labels in each range"
    elif known.groups:
        of = "of new pictures of each group that is named at prediction"
    return (
        f"intervals of a coverage hold at least that share of the labels {of}, if these come as "
        f"the calibration's {known.overall.count} did (exchangeable: {CONDITION})"
    )


def facts(known: Calibration) -> list[str]:
    """Returns lines on what was fitted, on how many labels, and what that promises.

    Examples:
      >>> space, labels = LabelSpace.range(0, 1), np.arange(40) % 4 == 0
      >>> fitted = calibration.fit(np.full((40, 2), 0.5), labels, space, calibration.Options())
      >>> calibration.facts(fitted)[2]
      'intervals: split conformal, with the score cdf, of coverages up to 0.96'
    """
    maps = []
    if known.temperature != 1:
        maps.append(f"tempered by {known.temperature:.3f}")
    if known.levels:
        maps.append(f"their cumulative probabilities mapped at {len(known.levels)} levels")
    count = known.overall.count
    others = f", and about {round(count / 2):,} others for the distributions" if maps else ""
    lines = [
        f"fitted on: {known.data or 'pictures that are not known'}; {count:,} labels for the "
        f"intervals{others}",
        f"distributions: {', '.join(maps) or 'left as the network gives them'}",
        f"intervals: split conformal, with the score {known.score}{_apart(known)}, of coverages "
        f"up to {_most(known)}",
        f"guarantee: {guarantee(known)}",
        "not promised: for one person, for films' pooled answers beyond what docs/video.md says, "
        "or for pictures that come in another way",
    ]
    return lines


def _apart(known: Calibration) -> str:
    """Returns whose thresholds are apart, with the number of labels of each."""
    if known.ranges:
        return f", by range of labels: {_counts(known.ranges)}"
    if known.groups:
        return f", by group of people: {_counts(known.groups)}"
    return ""


def _counts(cells: Sequence[Cell]) -> str:
    return ", ".join(f"{cell.name} ({cell.count:,})" for cell in cells)


def _most(known: Calibration) -> str:
    """Returns the greatest coverage that there are labels enough for."""
    enough = min(len(cell.scores) for cell in known.ranges or (known.overall,))
    return f"{known.coverages[enough - 1]:g}" if enough else "none"
