"""Faults in training, seen at the step: values that are not finite, spikes, dead units.

All of it is arrays of the state and pure functions of the step, so that a run which is resumed sees
what a run left alone sees, and several runs in one program each see their own.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ldl_jax.models.functional import Params

WINDOW = 64  # steps that a loss is compared with
_ENOUGH = 16  # losses that make a median
_LEAST = 0.05  # of the median: smaller deviations are taken for this
# The scalars of a step that are for the watch, and not for a log's row.
SCALARS = ("skipped", "skipped_in_a_row", "spike", "usual_loss")


@dataclasses.dataclass(frozen=True)
class FaultConfig:
    """The treatment of faults in training.

    Attributes:
      not_finite: "stop" at a step whose loss or gradient is not finite, or "skip" it: the state
        stays that of before the step but for its number, and the pictures are passed over.
      in_a_row: with "skip", stop at so many skipped steps in a row.
      spike: a loss is a spike where it is more than the median m of the last 64 losses by so many
        times their median deviation median(|loss - m|), which counts as 0.05 |m| at least; 0 for
        none.
      dead_after: a unit is dead after so many steps in a row in which its scale (of a
        normalisation) or its bias (of a dense layer, or in a network without normalisations) got a
        gradient of exactly 0.
    """

    not_finite: str = "stop"
    in_a_row: int = 10
    spike: float = 10.0
    dead_after: int = 100

    def __post_init__(self) -> None:
        if self.not_finite not in ("stop", "skip"):
            raise ValueError(
                f"faults.not_finite: expected one of stop, skip, got {self.not_finite!r}"
            )
        for name in ("in_a_row", "dead_after"):
            if getattr(self, name) < 1:
                raise ValueError(f"faults.{name}: expected 1 or more, got {getattr(self, name)}")
        if not self.spike >= 0:
            raise ValueError(f"faults.spike: expected 0 or more, got {self.spike}")


class Watch(NamedTuple):
    """The memory of the last steps that the next one is compared with.

    Attributes:
      losses: float32 [64], the last finite losses, latest last, infinite where there were none.
      skipped: int32 [2], steps skipped in all, and in a row up to now.
      idle: int32 [U], for each unit the steps in a row without a gradient.
    """

    losses: jax.Array
    skipped: jax.Array
    idle: jax.Array


def first_watch(params: Params) -> Watch:
    """Returns the watch before the first step of training `params`, arrays or their shapes."""
    units = sum(leaf.shape[0] for leaf in _units(params))
    return Watch(
        jnp.full(WINDOW, jnp.inf, jnp.float32),
        jnp.zeros(2, jnp.int32),
        jnp.zeros(units, jnp.int32),
    )


def observe(
    config: FaultConfig,
    watch: Watch,
    loss: jax.Array,
    gradient_norm: jax.Array,
    gradient: Params,
) -> tuple[Watch, jax.Array, dict[str, jax.Array]]:
    """Returns (the next watch, whether the step is finite, scalars) after a step.

    The scalars are float32 []: "dead_units", for a log, and those of `SCALARS`: how many steps were
    skipped, in all and in a row, whether (1 or 0) the loss is a spike, and the median that it is
    compared with (itself, where there is none yet).
    """
    finite = jnp.isfinite(loss) & jnp.isfinite(gradient_norm)
    spike, usual = _spike(config, watch.losses, loss)
    losses = jnp.where(finite, jnp.append(watch.losses[1:], loss), watch.losses)
    bad = (~finite).astype(jnp.int32)
    if config.not_finite == "skip":
        skipped = jnp.stack([watch.skipped[0] + bad, (watch.skipped[1] + 1) * bad])
    else:
        skipped = watch.skipped
    idle = watch.idle
    if idle.shape[0]:
        still = jnp.concatenate([leaf == 0 for leaf in _units(gradient)])
        idle = jnp.where(finite, jnp.where(still, idle + 1, 0), idle)
    scalars = {
        "dead_units": (idle >= config.dead_after).sum(),
        "skipped": skipped[0],
        "skipped_in_a_row": skipped[1],
        "spike": spike & finite,
        "usual_loss": usual,
    }
    scalars = {name: value.astype(jnp.float32) for name, value in scalars.items()}
    return Watch(losses, skipped, idle), finite, scalars


def _spike(config: FaultConfig, losses: jax.Array, loss: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns whether the loss is far above those before it, and their median."""
    if not config.spike:
        return jnp.zeros((), bool), loss
    known = jnp.isfinite(losses)
    losses = jnp.where(known, losses, jnp.nan)
    middle = jnp.nanmedian(losses)
    deviation = jnp.maximum(jnp.nanmedian(jnp.abs(losses - middle)), _LEAST * jnp.abs(middle))
    spike = (known.sum() >= _ENOUGH) & (loss > middle + config.spike * deviation)
    return spike, jnp.where(known.any(), middle, loss)


def _units(tree: Params) -> list[jax.Array]:
    """Returns the scales of each normalisation, and the biases of each dense layer.

    Those of convolutions where there is no normalisation at all: before one a bias has no gradient.
    """
    leaves = {path: leaf for path, leaf in jax.tree.leaves_with_path(tree)}
    names = {path: getattr(path[-1], "key", None) for path in leaves if path}
    vectors = [path for path in names if len(leaves[path].shape) == 1]
    scales = [path for path in vectors if names[path] == "scale"]
    with_scale = {path[:-1] for path in scales}
    convolutions = {
        path[:-1] for path in names if names[path] == "kernel" and len(leaves[path].shape) == 4
    }
    biases = [
        path
        for path in vectors
        if names[path] == "bias"
        and path[:-1] not in with_scale
        and not (scales and path[:-1] in convolutions)
    ]
    return [leaves[path] for path in sorted(scales + biases, key=jax.tree_util.keystr)]
