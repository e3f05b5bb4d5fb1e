"""Puts finished runs into one table, or a report on them into one page of HTML.

python -m launch.report runs/mine runs/dldl_v2 runs/dex
python -m launch.report runs/mine --html=report.html
python -m launch.report runs/my_sweep evaluated/ benchmark/ --html=report.html

Of the folder of a sweep or of folds the runs in it are taken, of one that launch.evaluate wrote the
models. Each after the first is compared with it, picture by picture. The page needs no other file
and no network; it shows no picture of a person but with --pictures.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from rich.console import Console

from ldl_jax.evaluation import grid, report
from ldl_jax.evaluation.cells import plain
from ldl_jax.reports import page, subjects
from ldl_jax.run import targets
from ldl_jax.run.command import fail, quiet, start
from ldl_jax.run.progress import teller

_GENERATION = flags.DEFINE_integer("generation", 0, "which one; 0 for each run's last")
_MARKDOWN = flags.DEFINE_boolean("markdown", False, "print the table in Markdown")
_HTML = flags.DEFINE_string("html", None, "a page to write; - for standard output")
_PICTURES = flags.DEFINE_boolean("pictures", False, "show some test pictures on the page")


def main(arguments: Sequence[str]) -> None:
    """Prints the table of the runs named, or writes the page; ends with 1 where one is wrong."""
    quiet()
    if not arguments[1:]:
        fail("give the workdirs of finished runs: python -m launch.report runs/a runs/b")
    try:
        _check_flags()
        sources = subjects.read([Path(name) for name in arguments[1:]], _GENERATION.value)
        if _HTML.value is not None:
            targets.put(page.page(sources, pictures=_PICTURES.value), _HTML.value)
            if _HTML.value != "-":
                print(f"page: {plain(_HTML.value)}")
        else:
            _show(sources)
    except (ValueError, OSError) as error:
        fail(str(error))
    if sources.unfinished:
        names = ", ".join(sources.unfinished)
        sys.stderr.write(f"left out, as they have not finished a generation: {plain(names)}\n")


def _check_flags() -> None:
    """Raises ValueError where a page cannot be written, or flags do not go together."""
    if _HTML.value is None:
        if _PICTURES.value:
            raise ValueError("--pictures: is of a page; give --html=FILE too")
        return
    if _MARKDOWN.value:
        raise ValueError("--markdown and --html: give one of the two")
    if _HTML.value == "-":
        return
    targets.check("html", _HTML.value, folder=False)
    path = Path(_HTML.value)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--html: expected a name that ends in .html, got {_HTML.value!r}")


def _show(sources: subjects.Sources) -> None:
    """Prints the table, and what the numbers may be called."""
    if not sources.subjects:
        names = ", ".join(sources.benchmarks)
        raise ValueError(f"{names}: a benchmark has its table in benchmark.md; give --html=FILE")
    rows, unit = subjects.rows_of(sources.subjects, subjects.differences(sources.subjects))
    protocols = subjects.protocols_of(sources.subjects)
    pictures = subjects.pictures_of(sources.subjects)
    if _MARKDOWN.value:
        print(report.page(rows, unit, protocols, pictures), end="")
        return
    console = Console()
    grid.show(console, report.table(rows, unit, pictures=pictures))
    for line in protocols:
        teller(console)(line)


def cli() -> None:
    """Runs the command, for `python -m launch.report` and for `ldl-report`."""
    start(main)


if __name__ == "__main__":
    cli()
