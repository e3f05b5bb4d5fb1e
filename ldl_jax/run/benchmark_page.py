"""The page of a benchmark: tables in Markdown, JSON and HTML, and a figure, of what is finished."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ldl_jax.evaluation import cells, gallery, html_page, scored
from ldl_jax.evaluation.compare import Contrast
from ldl_jax.evaluation.scored import Scored
from ldl_jax.files import whole, write, write_json
from ldl_jax.run import benchmark_runs
from ldl_jax.run.benchmark import PEERS, Benchmark
from ldl_jax.run.benchmark_peers import PeerAnswers
from ldl_jax.run.benchmark_runs import Unit
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


@dataclasses.dataclass(frozen=True)
class PageRow:
    """A line of a table: a row, or one of its generations.

    Attributes:
      name: in the table.
      reference: the name of the line that it is compared with.
      scored: what its runs are worth.
      seeds: how many are finished, and how many there are to be.
      chosen: what the validation part chose, as text.
      seconds: of training.
    """

    name: str
    reference: str
    scored: Scored
    seeds: tuple[int, int]
    chosen: str = ""
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class ResultTable:
    """A part of the page; `missing` says what is not computed yet."""

    key: str
    title: str
    rows: tuple[PageRow, ...]
    missing: tuple[str, ...]


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
    return ResultTable(PEERS, "Models of other projects, as they are shipped", rows, missing)


def write_page(
    path: Path, bench: Benchmark, tables: Sequence[ResultTable], facts: Sequence[str], unit: str
) -> None:
    """Writes benchmark.md, .json, .html and the figure of the differences into a folder."""
    differences = {table.key: _contrasts(table) for table in tables}
    plain = {
        table.title: {name: contrast for name, (contrast, _) in differences[table.key].items()}
        for table in tables
    }
    drawn = gallery.draw_contrasts(path / FIGURE, plain, unit)
    blocks = [(table, _lines(bench, table, differences[table.key])) for table in tables]
    text = [f"# {cells.markdown(bench.title)}", "", *(f"- {cells.markdown(x)}" for x in facts), ""]
    for table, lines in blocks:
        text += [f"## {cells.markdown(table.title)}", "", *_markdown(lines), *_missing(table), ""]
    text += [_NOTE, "", *([f"![differences of MAE]({FIGURE})"] if drawn else [])]
    write(path / "benchmark.md", "\n".join(text) + "\n")
    write_json(path / "benchmark.json", _content(bench, tables, differences, facts))
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


def _contrasts(table: ResultTable) -> dict[str, tuple[Contrast, float]]:
    by_name = {row.name: row.scored for row in table.rows}
    references = {
        row.name: by_name[row.reference] for row in table.rows if row.reference in by_name
    }
    return scored.contrasts(by_name, references)


def _lines(
    bench: Benchmark, table: ResultTable, found: Mapping[str, tuple[Contrast, float]]
) -> list[list[str]]:
    """Returns the table's cells, the headings first; the least error stands above."""
    lines = [
        ["row", "seeds", *map(scored.heading, bench.metrics), "MAE - \\*'s [95 %]", "p", "chosen"]
    ]
    for row in sorted(table.rows, key=lambda row: float(row.scored.errors.mean())):
        done, wanted = row.seeds
        mark = " \\*" if any(other.reference == row.name for other in table.rows) else ""
        lines.append(
            [
                cells.markdown(row.name) + mark,
                str(done) if done == wanted else f"{done} of {wanted}",
                *(scored.cell(row.scored.numbers.get(key), key) for key in bench.metrics),
                *scored.contrast_cells(found.get(row.name)),
                cells.markdown(row.chosen),
            ]
        )
    return lines


def _markdown(lines: list[list[str]]) -> list[str]:
    if len(lines) == 1:
        return ["Nothing of this part is computed yet."]
    rule = ["---", *["---:"] * (len(lines[0]) - 2), "---"]
    return ["| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:])]


def _missing(table: ResultTable) -> list[str]:
    if not table.missing:
        return []
    return ["", f"Not computed yet: {cells.markdown(', '.join(table.missing))}."]


def _content(
    bench: Benchmark,
    tables: Sequence[ResultTable],
    found: Mapping[str, Mapping[str, tuple[Contrast, float]]],
    facts: Sequence[str],
) -> Content:
    """Returns the page as JSON has it: each run's numbers, and each contrast."""
    content: Content = {"title": bench.title, "facts": list(facts), "parts": {}}
    for table in tables:
        lines = []
        for row in table.rows:
            line: Content = {
                "row": row.name,
                "seeds": row.seeds[0],
                "of": row.seeds[1],
                "chosen": row.chosen,
                "seconds": row.seconds,
                "metrics": {k: [round(x, 6) for x in v] for k, v in row.scored.numbers.items()},
            }
            if row.name in found[table.key]:
                difference, p = found[table.key][row.name]
                line["difference"] = difference._asdict() | {"p_holm": p, "from": row.reference}
            lines.append(line)
        content["parts"][table.key] = {
            "title": table.title,
            "rows": lines,
            "missing": list(table.missing),
        }
    return content


def duration(seconds: float) -> str:
    """Returns seconds in words, as "3 min" or "1 h 20 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
