"""Optimizers and learning-rate schedules of the papers, through optax."""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ldl_jax import factories
from ldl_jax.train import own_optimizer
from ldl_jax.train.state import PyTree

# The numbers that an optimizer of one's own is given where its factory has a parameter for them.
NUMBERS = ("momentum", "beta1", "beta2", "epsilon", "weight_decay")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer and its schedule; lengths in epochs.

    Attributes:
      name: "sgd" (with momentum), "adam", "adamw", or "package.module:factory": an optimizer of
        one's own or any of Optax, as optax:lion, with the parameters learning_rate and those of
        momentum, beta1, beta2, epsilon and weight_decay that it has.
      learning_rate: at the start, or after the warm-up.
      schedule: "step" (times `factor` every `every` epochs), "milestones" (times `factor` at each
        of `milestones`), "cosine" (to 0 at the end), "constant", or "package.module:factory": one's
        own, with the parameter steps and, where it has them, learning_rate and steps_per_epoch.
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
      options: the other arguments of one's own optimizer, as options.b1=0.95.
      schedule_options: the other arguments of one's own schedule.
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
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    schedule_options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("name", self.name, ("sgd", "adam", "adamw"))
        _one_of("schedule", self.schedule, ("step", "milestones", "cosine", "constant"))
        for key, name in (("options", self.name), ("schedule_options", self.schedule)):
            if (options := getattr(self, key)) and not factories.is_own(name):
                raise ValueError(
                    f"optimizer.{key}.{next(iter(options))}: {name!r} has no options, its numbers "
                    "are keys of optimizer; options are of package.module:factory"
                )
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

    @property
    def is_own(self) -> bool:
        """True where the optimizer or the schedule is one's own."""
        return factories.is_own(self.name) or factories.is_own(self.schedule)


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
    elif factories.is_own(config.schedule):
        numbers = {"learning_rate": peak, "steps_per_epoch": steps_per_epoch}
        length = max(1, steps - warmup)
        main = own_optimizer.schedule(config.schedule, length, numbers, config.schedule_options)
        if warmup:
            peak = main(0)
    elif config.schedule == "cosine":
        main = optax.cosine_decay_schedule(peak, max(1, steps - warmup))
    else:
        main = optax.constant_schedule(peak)
    if not warmup:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), main], [warmup])


def optimizer(config: OptimizerConfig, rate: optax.Schedule) -> optax.GradientTransformation:
    """The optax optimizer that follows the schedule `rate`."""
    if factories.is_own(config.name):
        numbers = {name: getattr(config, name) for name in NUMBERS}
        return own_optimizer.transform(config.name, rate, numbers, config.options)
    if config.name == "adamw":
        return optax.adamw(
            rate, config.beta1, config.beta2, config.epsilon, weight_decay=config.weight_decay
        )
    if config.name == "adam":
        main = optax.adam(rate, config.beta1, config.beta2, config.epsilon)
    else:
        main = optax.sgd(rate, config.momentum)
    return optax.chain(optax.add_decayed_weights(config.weight_decay), main)


def check(config: OptimizerConfig, steps_per_epoch: int, steps: int, like: PyTree) -> list[str]:
    """Checks an optimizer and a schedule of one's own before they train; built-in ones are known.

    Args:
      config: names them.
      steps_per_epoch: of the training.
      steps: in all.
      like: the shapes of the parameters.

    Returns: a line on each number of the config that they do not take.
    Raises: ValueError: what broke; see `own_optimizer`.
    """
    notes = []
    rate = learning_rate(config, steps_per_epoch, steps)
    if factories.is_own(config.schedule):
        own_optimizer.check_schedule(config.schedule, rate, steps)
        if not own_optimizer.takes(config.schedule, "learning_rate"):
            notes.append(
                f"optimizer.learning_rate: {config.schedule!r} takes none, so it says nothing"
            )
    if factories.is_own(config.name):
        own_optimizer.check_transform(config.name, optimizer(config, rate), like)
        if config.weight_decay and not own_optimizer.takes(config.name, "weight_decay"):
            notes.append(
                f"optimizer.weight_decay: {config.name!r} takes none, so nothing decays "
                f"(the config has {config.weight_decay:g})"
            )
    return notes


def traces(config: OptimizerConfig, number: str) -> bool:
    """Returns whether an optimizer and its schedule can be made with a traced number."""
    if not config.is_own:
        return True

    def trial(value: jax.Array) -> PyTree:
        numbers: dict[str, Any] = {number: value}
        changed = dataclasses.replace(config, **numbers)
        transform = optimizer(changed, learning_rate(changed, 10, 100))
        params = {"head": jnp.ones(3, jnp.float32)}
        return transform.update(params, transform.init(params), params)

    try:
        jax.eval_shape(trial, jax.ShapeDtypeStruct((), jnp.float32))
    except (TypeError, ValueError):  # it decides by the value, or wants another kind of number
        return False
    return True


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known and not factories.is_own(value):
        listed = ", ".join((*known, "package.module:factory"))
        raise ValueError(f"optimizer.{name}: expected one of {listed}, got {value!r}")
