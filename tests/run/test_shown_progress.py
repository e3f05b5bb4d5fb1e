"""What a job says of how far it is where there is no terminal, and in one."""

import io

import pytest
from rich.console import Console

from ldl_jax.run import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets, in seconds."""
    now = [100.0]
    monkeypatch.setattr(progress._BarOrLines, "_line_due", progress.FIRST_LINE)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def console(**options):
    """A console that writes into a text."""
    return Console(file=io.StringIO(), width=200, **options)


def test_without_a_terminal_a_long_job_says_how_far_it_is(clock, capsys):
    shown = console(force_terminal=False)
    with progress.ProgressBar(shown, 2) as job:
        job.generation(1, 400, 0)
        for second in range(200):
            clock[0] = 100.0 + second
            job.progress(3.25, 640.0)
            job.step(1 + second // 100)
    assert shown.file.getvalue() == ""
    assert capsys.readouterr().err.splitlines() == [
        "generation 1/2  epoch 1  loss 3.250  640 images/s  11 of 400, after 10 s",
        "generation 1/2  epoch 1  loss 3.250  640 images/s  31 of 400, after 30 s",
        "generation 1/2  epoch 1  loss 3.250  640 images/s  71 of 400, after 70 s",
        "generation 1/2  epoch 2  loss 3.250  640 images/s  151 of 400, after 150 s",
    ]


def test_a_short_job_says_nothing(clock, capsys):
    shown = console(force_terminal=False)
    with progress.bar(shown) as job:
        task = job.add_task("pictures")
        for second in range(10):
            clock[0] += second and 1
            job.update(task, completed=second, total=10)
    assert capsys.readouterr() == ("", "")


def test_an_unknown_total_and_a_name_of_markup_are_shown_as_they_are(clock, capsys):
    shown = console(force_terminal=False)
    with progress.bar(shown) as job:
        task = job.add_task("[red]frames", total=None)
        for _ in range(2):
            job.update(task, advance=1)
            clock[0] += 1_000
    assert capsys.readouterr().err == "[red]frames  2, after 1,000 s\n"


def test_a_terminal_has_the_bar_and_no_lines(clock, capsys):
    shown = console(force_terminal=True)
    with progress.bar(shown) as job:
        task = job.add_task("pictures", total=2)
        for _ in range(2):
            job.update(task, advance=1)
            clock[0] += 1_000
    assert "pictures" in shown.file.getvalue()
    assert capsys.readouterr().err == ""
