"""What is known of steps: fetched late, so that the devices never wait for the host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ldl_jax.data.feed.feeds import EpochOrder
from ldl_jax.train import faults
from ldl_jax.train.faults import FaultConfig

Row = dict[str, Any]
_BEHIND = 2  # calls that are on their way while those before them are looked at
_AT_ONCE = 32  # steps that wait to be fetched together, at most


class NotFiniteError(RuntimeError):
    """The loss or its gradient is not a number any more; the message names the step."""


class _Call(NamedTuple):
    """Steps that one call took; a scalar is [] of one step, [n] or longer of several."""

    first: int
    last: int
    scalars: Mapping[str, jax.Array]


class Log:
    """The scalars of one generation's steps, in order: into rows, and checked for faults."""

    def __init__(
        self,
        generation: int,
        order: EpochOrder,
        every: int,
        rate: optax.Schedule,
        policy: FaultConfig,
        write: Callable[[Row, float | None], None],
        fault: Callable[[Row], None],
        watcher: Any,
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

    def add(self, first: int, last: int, scalars: Mapping[str, jax.Array]) -> None:
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
        for number, scalars in values:
            finite = self._check(number, scalars)
            if number % self._every == 0 or number == len(self._order):
                self._row(number, scalars, speed)
            if not finite:
                self._fault_row(number, "not_finite", scalars)
            elif scalars["spike"]:
                self._fault_row(number, "loss_spike", scalars)
                spikes.append((number, scalars))
        if spikes:
            self._say_spikes(spikes)

    def _check(self, number: int, scalars: Mapping[str, Any]) -> bool:
        """Whether a step is finite; says so or raises where it is not."""
        if self._policy.not_finite == "stop":
            check_finite(scalars, self._generation, number)
            return True
        if np.isfinite(scalars["loss"]) and np.isfinite(scalars["gradient_norm"]):
            return True
        in_a_row = int(scalars["skipped_in_a_row"])
        if in_a_row >= self._policy.in_a_row:
            raise NotFiniteError(
                f"{in_a_row} steps in a row were not finite, the last one step {number} of "
                f"generation {self._generation}; the last checkpoint is kept. Lower "
                "optimizer.learning_rate or raise optimizer.warmup_epochs"
            )
        self._watcher.say(
            f"step {number} of generation {self._generation} is not finite (loss "
            f"{float(scalars['loss']):g}) and skipped, the {int(scalars['skipped'])}. so far"
        )
        return False

    def _row(self, number: int, scalars: Mapping[str, Any], speed: float) -> None:
        # A skipped step does not move the schedule on.
        taken = max(0, number - 1 - int(scalars["skipped"]))
        row = row_of(number, self._order, scalars, float(self._rates[taken]))
        self._write(row, speed)
        if "loss" in row:
            self._watcher.log(row["loss"], speed)
        dead = int(scalars["dead_units"])
        if dead > self._dead:
            self._watcher.say(
                f"step {number} of generation {self._generation}: {dead} units are dead, they got "
                f"no gradient for {self._policy.dead_after} steps"
            )
        self._dead = dead

    def _fault_row(self, number: int, fault: str, scalars: Mapping[str, Any]) -> None:
        epoch = round(number / self._order.steps_per_epoch, 4)
        usual = {"usual_loss": scalars["usual_loss"]} if fault == "loss_spike" else {}
        found = _finite({"loss": scalars["loss"], **usual})
        self._fault({"step": number, "epoch": epoch, "fault": fault, **found})

    def _say_spikes(self, spikes: list[tuple[int, Mapping[str, Any]]]) -> None:
        number, scalars = max(spikes, key=lambda spike: float(spike[1]["loss"]))
        more = f", and {len(spikes) - 1} more since the last look" if len(spikes) > 1 else ""
        self._watcher.say(
            f"loss spike at step {number} of generation {self._generation}: "
            f"{float(scalars['loss']):.4g} where {float(scalars['usual_loss']):.4g} is usual{more}"
        )


def row_of(number: int, order: EpochOrder, scalars: Mapping[str, Any], rate: float) -> Row:
    """What is written of a step: its number, its scalars and its learning rate.

    A scalar that is not finite, of a step that was skipped, is left out: JSON has none.
    """
    shown = {name: value for name, value in scalars.items() if name not in faults.SCALARS}
    epoch = round(number / order.steps_per_epoch, 4)
    return {"step": number, "epoch": epoch, **_finite(shown), "learning_rate": rate}


def check_finite(scalars: Mapping[str, Any], generation: int, number: int) -> None:
    """Raises NotFiniteError where a step's loss or gradient is not finite."""
    for name in ("loss", "gradient_norm"):
        if not np.isfinite(scalars[name]):
            raise NotFiniteError(
                f"the {name.replace('_', ' ')} is {float(scalars[name])} in generation "
                f"{generation} at step {number}; the last checkpoint is kept. Lower "
                "optimizer.learning_rate or raise optimizer.warmup_epochs"
            )


def _finite(scalars: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(np.float32(value)) for name, value in scalars.items() if np.isfinite(value)}


def _by_step(calls: list[_Call]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number, scalars) of each step, fetched all together."""
    values = jax.device_get([call.scalars for call in calls])
    for call, scalars in zip(calls, values, strict=True):
        for place, number in enumerate(range(call.first, call.last + 1)):
            yield number, {name: x[place] if np.ndim(x) else x for name, x in scalars.items()}
