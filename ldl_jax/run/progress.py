"""Shows a running job to a person: a progress bar in a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ldl_jax.evaluation.cells import plain_lines

# Seconds from the start to the first line where there is no terminal; each wait after it is twice
# as long, up to the last one.
FIRST_LINE, RAREST_LINE = 10.0, 600.0


def teller(console: Console) -> Callable[[str], None]:
    """Returns a function that prints lines as they are, with nothing in them obeyed."""

    def tell(text: str) -> None:
        console.print(plain_lines(text), markup=False, highlight=False, soft_wrap=True)

    return tell


def once(log: Callable[[str], None]) -> Callable[[str], None]:
    """Returns a function that hands on each line at its first time alone."""
    said: set[str] = set()

    def say(text: str) -> None:
        if text not in said:
            said.add(text)
            log(text)

    return say


class _BarOrLines(Progress):
    """A bar that a log file, a pipe or a notebook gets as a line now and then.

    The lines go to standard error: standard output is the same for the same run, however long.
    """

    _begun: float | None = None
    _line_due, _wait = FIRST_LINE, FIRST_LINE

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Notes what changed; says it in a line where no bar is drawn and one is due."""
        super().update(task_id, **changes)
        if not self.disable:
            return
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        if now - self._begun >= self._line_due:
            self._say(task_id, now - self._begun)
            self._wait = min(2 * self._wait, RAREST_LINE)
            self._line_due = now - self._begun + self._wait

    def _say(self, task_id: TaskID, seconds: float) -> None:
        task = next(task for task in self.tasks if task.id == task_id)
        count = f"{task.completed:,.0f}" + ("" if task.total is None else f" of {task.total:,.0f}")
        teller(Console(stderr=True))(f"{task.description}  {count}, after {seconds:,.0f} s")


def bar(console: Console) -> Progress:
    """Returns a bar with its count, the time taken and the time left.

    Where there is no terminal, a job of more than `FIRST_LINE` seconds says in a line how far it
    is, ever more rarely.
    """
    return _BarOrLines(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


class ProgressBar:
    """Shows generation, epoch, loss, images/s and time left, in a bar or in rare lines."""

    def __init__(self, console: Console, generations: int) -> None:
        self._console = console
        self._generations = generations
        self._progress = bar(console)
        self._task = self._progress.add_task("starting", total=None)
        self._generation, self._news = 0, ""

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def generation(self, generation: int, steps: int, step: int) -> None:
        """A generation starts, or goes on at `step`."""
        self._generation, self._news = generation, ""
        self._progress.reset(
            self._task, total=steps, completed=step, description=self._title("compiling")
        )
        if step:
            self.log(f"generation {generation} goes on after step {step} of {steps}")

    def step(self, epoch: int) -> None:
        """A step was sent to the devices."""
        title = self._title(f"epoch {epoch}{self._news}")
        self._progress.update(self._task, advance=1, description=title)

    def progress(self, loss: float, speed: float) -> None:
        """The newest known loss, and the images/s since the last one."""
        self._news = f"  loss {loss:.3f}  {speed:,.0f} images/s"

    def evaluation(self, done: int, count: int) -> None:
        """`done` of `count` pictures are evaluated."""
        title = self._title(f"evaluating {done:,} of {count:,}")
        self._progress.update(self._task, description=title)

    def log(self, text: str) -> None:
        """A line for the user."""
        teller(self._console)(text)

    def _title(self, text: str) -> str:
        return f"generation {self._generation}/{self._generations}  {text}"
