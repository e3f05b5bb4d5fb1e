"""Reads what lies in a run's folder, checked: its config, results and rows."""

import contextlib
import json
from pathlib import Path
from typing import Any

from ldl_jax.files import links_out

Row = dict[str, Any]
# Rows of one step in the order they are written; a checkpoint is saved after "validation".
KINDS = ("train", "fault", "validation", "test")


class WorkdirError(ValueError):
    """A folder that cannot take this run; the message says why and what to do."""


def differences(old: object, new: object, name: str = "") -> list[str]:
    """Lists the differences of two nested dicts, each as "a.b: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        prefix = f"{name}." if name else ""
        return [
            text
            for key in sorted(old.keys() | new.keys())
            for text in differences(old.get(key), new.get(key), prefix + key)
        ]
    return [] if old == new else [f"{name}: {old!r} -> {new!r}"]


def check_links(path: Path) -> None:
    """Checks that no link in a run's folder, or in one of many runs, leads out of it.

    What is written into such a folder would be written elsewhere, and what is read of a run could
    be any file. The folder itself may be a link.

    Raises:
      WorkdirError: there are such links; the message lists the first.
    """
    if leading := links_out(path):
        rest = f" and {len(leading) - 3:,} more" if len(leading) > 3 else ""
        raise WorkdirError(
            f"workdir: {path} has links that lead out of it, which are not followed: "
            f"{', '.join(leading[:3])}{rest}; put the files there, or make the whole folder a link"
        )


def last_checkpoint(path: Path) -> Path | None:
    """Returns the newest whole checkpoint of the run in `path`."""
    steps = [p for p in path.glob("checkpoints/generation_*/*") if p.name.isdigit()]
    return max(steps, key=lambda p: (int(p.parent.name.split("_")[1]), int(p.name)), default=None)


def read_config(path: Path) -> dict[str, Any]:
    """Reads the description of the run in `path`; raises WorkdirError where it is none."""
    return _object(path / "config.json")


def read_results(path: Path) -> list[Row]:
    """Reads the results of the finished generations of the run in `path`, from the first.

    Raises:
      WorkdirError: a file of them is damaged.
    """
    results: list[Row] = []
    while (marker := path / f"generation_{len(results) + 1}.json").exists():
        results.append(_object(marker))
        wrong = [name for name, value in results[-1].items() if not _is_number(value)]
        if wrong:
            shown = f"{wrong[0]} is {str(results[-1][wrong[0]])[:60]!r}"
            raise WorkdirError(f"{marker}: expected numbers, but {shown}")
    return results


def read_rows(path: Path) -> list[Row]:
    """Reads the rows of a metrics.jsonl, without a last line that a kill cut short.

    Raises:
      WorkdirError: another line is no row; the message names it.
    """
    if not path.exists():
        return []
    *lines, torn = path.read_text(errors="replace").split("\n")
    rows = [_row(line, f"{path}:{number}") for number, line in enumerate(lines, start=1)]
    with contextlib.suppress(WorkdirError):  # "" after a whole line, or a row without its end
        rows.append(_row(torn, ""))
    return rows


def _row(line: str, source: str) -> Row:
    """Reads one row of a metrics.jsonl; raises WorkdirError where it is none."""
    try:
        row = json.loads(line)
        integers = ("generation", "step", "total_step")
        if row["kind"] in KINDS and all(type(row[key]) is int for key in integers):
            return dict(row)
        problem = "it has no kind, generation, step and total_step"
    except KeyError as error:
        problem = f"{error} is missing"
    except (ValueError, TypeError, RecursionError) as error:
        problem = str(error)
    raise WorkdirError(
        f"{source}: is no row of a run ({problem}): {line[:60]!r}. Mend or delete this line; "
        "nothing was changed"
    )


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise WorkdirError(f"{path}: expected an object, got a {type(content).__name__}")
    return content


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
      WorkdirError: it is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too large a number, too deep
        raise WorkdirError(f"{path}: is not JSON ({error})") from None
