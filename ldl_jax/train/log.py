"""The log of a generation's steps: fetched late, so that the devices never wait for the host."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax.data.feed.feeds import EpochOrder
from ldl_jax.train import faults
from ldl_jax.train.faults import FaultConfig

Row = dict[str, Any]
# The scalars of one step: of the devices, or fetched from them.
Scalars = Mapping[str, jax.Array | np.ndarray]
_BEHIND = 2  # calls that are on their way while those before them are looked at
_AT_ONCE = 32  # steps that wait to be fetched together, at most


class NotFiniteError(RuntimeError):
    """The loss or its gradient is not a number any more; the message names the step."""


class Watcher(Protocol):
    """An onlooker of training: a progress bar, or nothing."""

    def generation(self, generation: int, steps: int, step: int) -> None:
        """A generation starts, or goes on at `step`."""

    def step(self, epoch: int) -> None:
        """A step was sent to the devices."""

    def progress(self, loss: float, speed: float) -> None:
        """The newest known loss, and the images/s since the last one."""

    def evaluation(self, done: int, count: int) -> None:
        """`done` of `count` pictures are evaluated."""

    def log(self, text: str) -> None:
        """A line for the user."""


class _Call(NamedTuple):
    """The steps that one call took; a scalar is [] of one step, [n] or longer of several."""

    first: int
    last: int
    scalars: Scalars


class Log:
    """Writes the scalars of one generation's steps as rows, in order, and looks for faults."""

    def __init__(
        self,
        generation: int,
        order: EpochOrder,
        every: int,
        rate: optax.Schedule,
        policy: FaultConfig,
        write: Callable[[Row, float | None], None],
        fault: Callable[[Row], None],
        watcher: Watcher,
    ) -> None:
        """
        Args:
          generation: its number.
          order: of the pictures.
          every: steps between rows.
          rate: the learning rate by step.
          policy: what is done about faults.
          write: takes a row of scalars, and the speed in images/s.
          fault: takes a row that names a fault.
          watcher: is told the newest loss, and of faults.
        """
        self._generation, self._order, self._every, self._policy = generation, order, every, policy
        self._write, self._fault, self._watcher = write, fault, watcher
        # All at once: one by one they would queue behind the steps.
        self._rates = np.asarray(jax.jit(jax.vmap(rate))(jnp.arange(len(order))))
        self._calls: list[_Call] = []
        self._dead = 0
        self._clock = time.perf_counter()

    def add(self, first: int, last: int, scalars: Scalars) -> None:
        """Takes the scalars of steps that were sent to the devices; looks at those of before.

        Raises:
          NotFiniteError: a loss or gradient is not finite, or too often so in a row.
        """
        self._calls.append(_Call(first, last, scalars))
        ready = self._calls[:-_BEHIND]
        if ready and ready[-1].last - ready[0].first + 1 >= min(self._every, _AT_ONCE):
            self._look(ready)
            self._calls = self._calls[-_BEHIND:]

    def flush(self) -> None:
        """Waits for all steps, and looks at them.

        Raises:
          NotFiniteError: a loss or gradient is not finite, or too often so in a row.
        """
        calls, self._calls = self._calls, []
        if calls:
            self._look(calls)

    def resume(self) -> None:
        """Training goes on after something else, which is not to count as its time."""
        self._clock = time.perf_counter()

    def _look(self, calls: list[_Call]) -> None:
        values = list(_by_step(calls))
        now = time.perf_counter()
        speed = len(values) * self._order.batch / (now - self._clock)
        self._clock = now
        spikes = []
        for step, scalars in values:
            finite = self._check(step, scalars)
            if step % self._every == 0 or step == len(self._order):
                self._row(step, scalars, speed)
            if not finite:
                self._fault_row(step, "not_finite", scalars)
            elif scalars["spike"]:
                self._fault_row(step, "loss_spike", scalars)
                spikes.append((step, scalars))
        if spikes:
            self._say_spikes(spikes)

    def _check(self, step: int, scalars: Scalars) -> bool:
        """Returns whether a step is finite; says so or raises where it is not."""
        if self._policy.not_finite == "stop":
            check_finite(scalars, self._generation, step)
            return True
        if np.isfinite(scalars["loss"]) and np.isfinite(scalars["gradient_norm"]):
            return True
        in_a_row = int(scalars["skipped_in_a_row"])
        if in_a_row >= self._policy.in_a_row:
            raise NotFiniteError(
                f"{in_a_row} steps in a row were not finite, the last one step {step} of "
                f"generation {self._generation}; the last checkpoint is kept. Lower "
                "optimizer.learning_rate or raise optimizer.warmup_epochs"
            )
        self._watcher.log(
            f"step {step} of generation {self._generation} is not finite (loss "
            f"{float(scalars['loss']):g}) and skipped, the {int(scalars['skipped'])}. so far"
        )
        return False

    def _row(self, step: int, scalars: Scalars, speed: float) -> None:
        # A skipped step does not move the schedule on.
        applied = max(0, step - 1 - int(scalars["skipped"]))
        row = row_of(step, self._order, scalars, float(self._rates[applied]))
        self._write(row, speed)
        if "loss" in row:
            self._watcher.progress(row["loss"], speed)
        dead = int(scalars["dead_units"])
        if dead > self._dead:
            self._watcher.log(
                f"step {step} of generation {self._generation}: {dead} units are dead, they got "
                f"no gradient for {self._policy.dead_after} steps"
            )
        self._dead = dead

    def _fault_row(self, step: int, fault: str, scalars: Scalars) -> None:
        epoch = round(step / self._order.steps_per_epoch, 4)
        usual = {"usual_loss": scalars["usual_loss"]} if fault == "loss_spike" else {}
        losses = _finite({"loss": scalars["loss"], **usual})
        self._fault({"step": step, "epoch": epoch, "fault": fault, **losses})

    def _say_spikes(self, spikes: list[tuple[int, Scalars]]) -> None:
        step, scalars = max(spikes, key=lambda spike: float(spike[1]["loss"]))
        others = f", and {len(spikes) - 1} more since the last look" if len(spikes) > 1 else ""
        self._watcher.log(
            f"loss spike at step {step} of generation {self._generation}: "
            f"{float(scalars['loss']):.4g} where {float(scalars['usual_loss']):.4g} is usual"
            f"{others}"
        )


def row_of(step: int, order: EpochOrder, scalars: Scalars, rate: float) -> Row:
    """Returns the row of a step: its number, its scalars and its learning rate.

    A scalar that is not finite, of a step that was skipped, is left out: JSON has none.
    """
    shown = {name: value for name, value in scalars.items() if name not in faults.SCALARS}
    epoch = round(step / order.steps_per_epoch, 4)
    return {"step": step, "epoch": epoch, **_finite(shown), "learning_rate": rate}


def check_finite(scalars: Scalars, generation: int, step: int) -> None:
    """Raises NotFiniteError where a step's loss or gradient is not finite."""
    for name in ("loss", "gradient_norm"):
        if not np.isfinite(scalars[name]):
            raise NotFiniteError(
                f"the {name.replace('_', ' ')} is {float(scalars[name])} in generation "
                f"{generation} at step {step}; the last checkpoint is kept. Lower "
                "optimizer.learning_rate or raise optimizer.warmup_epochs"
            )


def _finite(scalars: Scalars) -> dict[str, float]:
    return {name: float(np.float32(value)) for name, value in scalars.items() if np.isfinite(value)}


def _by_step(calls: list[_Call]) -> Iterator[tuple[int, Scalars]]:
    """Yields (step, scalars) of each step, fetched all together."""
    values = jax.device_get([call.scalars for call in calls])
    for call, scalars in zip(calls, values, strict=True):
        for index, step in enumerate(range(call.first, call.last + 1)):
            yield step, {name: x[index] if np.ndim(x) else x for name, x in scalars.items()}
