"""Shows a running job to a person: a progress bar in a terminal, plain lines elsewhere."""

from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ldl_jax.evaluation.cells import plain_lines


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


def bar(console: Console) -> Progress:
    """Returns a bar with its count, the time taken and the time left; silent without a terminal."""
    return Progress(
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
    """Shows generation, epoch, loss, images/s and time left; silent where there is no terminal."""

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
