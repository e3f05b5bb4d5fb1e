"""Optimizers and learning-rate schedules of the papers, through optax."""

import dataclasses
import itertools

import jax
import optax


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer and its schedule; lengths in epochs.

    Attributes:
      name: "sgd" (with momentum), "adam" or "adamw".
      learning_rate: at the start, or after the warm-up.
      schedule: "step" (times `factor` every `every` epochs), "milestones" (times `factor` at each
        of `milestones`), "cosine" (to 0 at the end) or "constant".
      every: epochs between steps of the "step" schedule.
      milestones: epochs of the "milestones" schedule, rising.
      factor: of the "step" and the "milestones" schedule.
      warmup_epochs: epochs of linear rise from 0, before the schedule.
      momentum: of sgd.
      beta1: of adam and adamw.
      beta2: of adam and adamw.
      epsilon: of adam and adamw.
      weight_decay: added to the gradient as weight_decay * w (sgd, adam), or decoupled (adamw).
      ema: the decay d of a moving average of the weights and batch statistics, which is then what
        is evaluated, teaches and predicts; 0 for none, 0.999 is usual. It warms up as
        min(d, (1 + t) / (10 + t)) of step t (`ldl_jax.train.average`).
    """

    name: str = "sgd"
    learning_rate: float = 1e-3
    schedule: str = "step"
    every: float = 40.0
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 1e-4
    ema: float = 0.0

    def __post_init__(self) -> None:
        _one_of("name", self.name, ("sgd", "adam", "adamw"))
        _one_of("schedule", self.schedule, ("step", "milestones", "cosine", "constant"))
        # Those of several runs in one program are traced, and were checked before.
        known = {k: x for k, x in vars(self).items() if not isinstance(x, jax.core.Tracer)}
        for name in ("learning_rate", "every", "factor", "epsilon"):
            if not known.get(name, 1) > 0:
                raise ValueError(f"optimizer.{name}: must be > 0, got {known[name]}")
        listed = self.schedule == "milestones"
        rising = all(a < b for a, b in itertools.pairwise((0.0, *self.milestones)))
        if listed != bool(self.milestones) or not rising:
            raise ValueError(
                "optimizer.milestones: expected rising epochs > 0 with schedule='milestones', and "
                f"none with another; got {self.milestones} with {self.schedule!r}"
            )
        for name in ("momentum", "beta1", "beta2", "ema"):
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
    elif config.schedule == "milestones":
        steps_of = [max(1, round(epoch * steps_per_epoch)) for epoch in config.milestones]
        main = optax.piecewise_constant_schedule(peak, dict.fromkeys(steps_of, config.factor))
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
