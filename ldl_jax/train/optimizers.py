"""Optimizers and learning-rate schedules of the papers, through optax."""

from __future__ import annotations

import dataclasses

import jax
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer and its schedule; lengths in epochs.

    Attributes:
      name: "sgd" (with momentum), "adam" or "adamw".
      learning_rate: at the start, or after the warm-up.
      schedule: "step" (times `factor` every `every` epochs), "cosine" (to 0 at the end) or
        "constant".
      every: epochs between steps of the "step" schedule.
      factor: of the "step" schedule.
      warmup_epochs: epochs of linear rise from 0, before the schedule.
      momentum: of sgd.
      beta1: of adam and adamw.
      beta2: of adam and adamw.
      epsilon: of adam and adamw.
      weight_decay: added to the gradient as weight_decay * w (sgd, adam), or decoupled (adamw).
    """

    name: str = "sgd"
    learning_rate: float = 1e-3
    schedule: str = "step"
    every: float = 40.0
    factor: float = 0.1
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        _one_of("name", self.name, ("sgd", "adam", "adamw"))
        _one_of("schedule", self.schedule, ("step", "cosine", "constant"))
        # Those of several runs in one program are traced, and were checked before.
        known = {k: x for k, x in vars(self).items() if not isinstance(x, jax.core.Tracer)}
        for name in ("learning_rate", "every", "factor", "epsilon"):
            if not known.get(name, 1) > 0:
                raise ValueError(f"optimizer.{name}: must be > 0, got {known[name]}")
        for name in ("momentum", "beta1", "beta2"):
            if not 0 <= known.get(name, 0) < 1:
                raise ValueError(f"optimizer.{name}: must be in [0, 1), got {known[name]}")
        for name in ("warmup_epochs", "weight_decay"):
            if not known.get(name, 0) >= 0:
                raise ValueError(f"optimizer.{name}: must be >= 0, got {known[name]}")


def learning_rate(config: OptimizerConfig, steps_per_epoch: int, steps: int) -> optax.Schedule:
    """The learning rate by step, over `steps` steps in all."""
    warmup = round(config.warmup_epochs * steps_per_epoch)
    peak = config.learning_rate
    if config.schedule == "step":
        every = max(1, round(config.every * steps_per_epoch))
        main = optax.exponential_decay(peak, every, config.factor, staircase=True)
    elif config.schedule == "cosine":
        main = optax.cosine_decay_schedule(peak, max(1, steps - warmup))
    else:
        main = optax.constant_schedule(peak)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), main], [warmup])


def optimizer(config: OptimizerConfig, rate: optax.Schedule) -> optax.GradientTransformation:
    """The optax optimizer that follows the schedule `rate`."""
    if config.name == "adamw":
        return optax.adamw(
            rate, config.beta1, config.beta2, config.epsilon, weight_decay=config.weight_decay
        )
    if config.name == "adam":
        main = optax.adam(rate, config.beta1, config.beta2, config.epsilon)
    else:
        main = optax.sgd(rate, config.momentum)
    return optax.chain(optax.add_decayed_weights(config.weight_decay), main)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"optimizer.{name}: expected one of {', '.join(known)}, got {value!r}")
