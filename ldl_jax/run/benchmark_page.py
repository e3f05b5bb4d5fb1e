"""The page of a benchmark: tables in Markdown, JSON and HTML, and a figure, of what is finished."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.evaluation import cells, gallery, html_page, scored
from ldl_jax.evaluation.scored import Scored
from ldl_jax.files import whole, write, write_json
from ldl_jax.run import benchmark_runs, benchmark_table
from ldl_jax.run.benchmark import PEERS, Benchmark
from ldl_jax.run.benchmark_peers import PeerAnswers
from ldl_jax.run.benchmark_runs import Unit
from ldl_jax.run.benchmark_table import PageRow, ResultTable
from ldl_jax.run.reading import Content
from ldl_jax.run.sweep import Point

ERRORS, SCORES = "errors.npz", "scores.json"
FIGURE = "differences.png"
_NOTE = (
    "Mean ± standard deviation over the seeds. The difference is that of the MAE from the row "
    "marked \\*, with its 95 % interval over other pictures (persons, where they are known) and "
    "other seeds; p is adjusted by Holm for all rows of a table. In 90 %: the share of labels in "
    "the central 90 % interval. Balanced MAE: the mean over ranges of labels (ten years; 0.5 of "
    "other units) of the MAE within each. A model that gives a value alone has none of the last."
)


def rows_of(
    bench: Benchmark, unit: Unit, points: Sequence[Point] | None
) -> tuple[tuple[PageRow, ...], str]:
    """Returns a row's lines, and what of it is not computed yet, "" where nothing is."""
    if points is None:
        return (), unit.row
    wanted = unit.part.seeds
    results = _scored(bench, unit, points)
    if not results:
        return (), unit.row
    several, reference = len(results) > 1, unit.part.reference
    choice = _choice_text(unit)
    lines = []
    for generation, result in results.items():
        suffix = f", generation {generation}" if several else ""
        lines.append(
            PageRow(
                f"{unit.row}{suffix}",
                f"{reference}{suffix}",
                result,
                (len(result.errors), wanted),
                choice,
                benchmark_runs.seconds(unit),
            )
        )
    done = len(next(iter(results.values())).errors)
    return tuple(lines), "" if done == wanted else f"{unit.row} ({done} of {wanted} seeds)"


def peer_table(
    bench: Benchmark, answers: Mapping[str, PeerAnswers], reference: PageRow | None
) -> ResultTable:
    """Returns the table of other projects' models, with the row that they are compared with."""
    name = "" if reference is None else f"{reference.name} ({bench.parts[0].title})"
    lines = [
        PageRow(
            peer,
            name,
            scored.score([answer.predictions], bench.metrics),
            (1, 1),
            f"crop {answer.crop:g}, {answer.channels.upper()}, moved down by {answer.shift:.0%}",
        )
        for peer, answer in answers.items()
    ]
    missing = tuple(peer for peer in bench.peers.files if peer not in answers)
    ours = None if reference is None else dataclasses.replace(reference, name=name, reference=name)
    rows = (*([] if ours is None or not lines else [ours]), *lines)
    title = "Models of other projects, as they are shipped"
    return benchmark_table.compared(PEERS, title, rows, missing)


def write_page(
    path: Path, bench: Benchmark, tables: Sequence[ResultTable], facts: Sequence[str], unit: str
) -> None:
    """Writes benchmark.md, .json, .html and the figure of the differences into a folder."""
    differences = {
        table.title: {x.row: x.difference for x in table.lines if x.difference is not None}
        for table in tables
    }
    drawn = gallery.draw_contrasts(path / FIGURE, differences, unit)
    blocks = [(table, _cells(bench, table)) for table in tables]
    text = [f"# {cells.markdown(bench.title)}", "", *(f"- {cells.markdown(x)}" for x in facts), ""]
    for table, lines in blocks:
        text += [f"## {cells.markdown(table.title)}", "", *_markdown(lines), *_missing(table), ""]
    text += [_NOTE, "", *([f"![differences of MAE]({FIGURE})"] if drawn else [])]
    write(path / "benchmark.md", "\n".join(text) + "\n")
    parts = {table.key: benchmark_table.content(table) for table in tables}
    content = {"title": bench.title, "facts": list(facts), "parts": parts}
    write_json(path / "benchmark.json", content)
    figure = (path / FIGURE).read_bytes() if drawn else b""
    with whole(path / "benchmark.html") as file:
        shown = [(table.title, lines, "; ".join(table.missing)) for table, lines in blocks]
        file.write(html_page.page(bench.title, facts, shown, _NOTE, figure).encode())


def _scored(bench: Benchmark, unit: Unit, points: Sequence[Point]) -> dict[int, Scored]:
    """Returns a row's scores by generation, those kept where no further run has finished."""
    ended = [point.name for point in points if benchmark_runs.ended(unit, point)]
    key = {"runs": ended, "metrics": list(bench.metrics)}
    stored = unit.folder / SCORES
    if stored.exists() and (unit.folder / ERRORS).exists():
        content = json.loads(stored.read_text())
        if content["of"] == key:
            return _read(unit.folder, content)
    answers = benchmark_runs.answers(unit, points)
    if not answers.seeds:
        return {}
    result = {
        generation: scored.score(runs, bench.metrics)
        for generation, runs in answers.by_generation.items()
    }
    first = next(iter(result.values()))
    with whole(unit.folder / ERRORS) as file:
        arrays = {f"generation_{generation}": x.errors for generation, x in result.items()}
        arrays |= {"ids": np.array(first.ids), "subjects": np.array(first.subjects, dtype=str)}
        np.savez_compressed(file, allow_pickle=False, **arrays)
    numbers = {str(generation): dict(x.numbers) for generation, x in result.items()}
    write_json(stored, {"of": key, "numbers": numbers})
    return result


def _read(folder: Path, content: Content) -> dict[int, Scored]:
    with np.load(folder / ERRORS, allow_pickle=False) as arrays:
        ids, subjects = (tuple(arrays[name].tolist()) for name in ("ids", "subjects"))
        return {
            int(generation): Scored(numbers, arrays[f"generation_{generation}"], ids, subjects)
            for generation, numbers in content["numbers"].items()
        }


def _choice_text(unit: Unit) -> str:
    """Returns what was chosen, of folds each value that any of them has."""
    values: dict[str, list[str]] = {}
    for fold in benchmark_runs.chosen(unit).values():
        for key, value in fold["values"].items():
            text = str(value)
            listed = values.setdefault(key.rpartition(".")[2], [])
            if text not in listed:
                listed.append(text)
    return ", ".join(f"{key} {'/'.join(texts)}" for key, texts in values.items())


def _cells(bench: Benchmark, table: ResultTable) -> list[list[str]]:
    """Returns the table's cells, the headings first; the least error stands above."""
    cells_of = [
        ["row", "seeds", *map(scored.heading, bench.metrics), "MAE - \\*'s [95 %]", "p", "chosen"]
    ]
    for line in sorted(table.lines, key=lambda line: line.error):
        mark = " \\*" if any(other.reference == line.row for other in table.lines) else ""
        contrast = None if line.difference is None else (line.difference, line.p)
        cells_of.append(
            [
                cells.markdown(line.row) + mark,
                str(line.seeds) if line.seeds == line.of else f"{line.seeds} of {line.of}",
                *(scored.cell(line.metrics.get(key), key) for key in bench.metrics),
                *scored.contrast_cells(contrast),
                cells.markdown(line.chosen),
            ]
        )
    return cells_of


def _markdown(lines: list[list[str]]) -> list[str]:
    if len(lines) == 1:
        return ["Nothing of this part is computed yet."]
    rule = ["---", *["---:"] * (len(lines[0]) - 2), "---"]
    return ["| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:])]


def _missing(table: ResultTable) -> list[str]:
    if not table.missing:
        return []
    return ["", f"Not computed yet: {cells.markdown(', '.join(table.missing))}."]


def duration(seconds: float) -> str:
    """Returns seconds in words, as "3 min" or "1 h 20 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
