"""The folder that scores are written into, whole or not at all.

evaluation.json       the dataset, the verdict on its split, and the metrics of each model
table.md              the table
robustness.md         the errors on spoiled pictures, where these were asked for
predictions/NAME.csv  what a model answered for each picture
analysis/NAME.json    its errors by label and by group, confusions, calibration
figures/NAME/         estimates over labels, errors by label, the analysis, challenge, risk_coverage
"""

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ldl_jax.evaluation import gallery, predictions, report, robustness, trust_tables
from ldl_jax.files import write, write_json
from ldl_jax.run import spoiling
from ldl_jax.run.config import Config, to_dict
from ldl_jax.run.named import file_names
from ldl_jax.run.scoring import Scores
from ldl_jax.workdir import WorkdirError, read_json

_CONTENT, _KIND = "evaluation.json", "ldl_jax evaluation"
_OWN = {_CONTENT, "table.md", "robustness.md", "predictions", "analysis", "figures"}


def check(folder: Path) -> None:
    """Raises ValueError where the scores cannot go into a folder: it holds something else."""
    for parent in (folder, *folder.absolute().parents):
        if parent.exists() and not parent.is_dir():
            raise ValueError(f"--out: {folder} cannot be made, {parent} is a file")
    if not folder.exists() or not any(folder.iterdir()):
        return
    others = sorted(item.name for item in folder.iterdir() if item.name not in _OWN)
    if others or not _is_own(folder / _CONTENT):
        example = f", as {others[0]}" if others else ""
        raise ValueError(
            f"--out: {folder} holds other files than an evaluation's{example}; give a new folder"
        )


def put(
    folder: Path,
    scores: Scores,
    rows: Sequence[Mapping[str, object]],
    config: Config,
    operating: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Writes the scores; those of an earlier call give way once all of the new ones are there."""
    check(folder)
    folder = folder.resolve()  # a link to a folder stays one
    folder.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(8)
    new, old = (folder.with_name(f".{folder.name}.{kind}-{token}") for kind in ("new", "old"))
    new.mkdir()
    try:
        _fill(new, scores, rows, config, operating)
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)


def _is_own(path: Path) -> bool:
    try:
        content = read_json(path)
    except (OSError, WorkdirError):
        return False
    return isinstance(content, dict) and content.get("kind") == _KIND


def _fill(
    folder: Path,
    scores: Scores,
    rows: Sequence[Mapping[str, object]],
    config: Config,
    operating: Sequence[Mapping[str, Any]],
) -> None:
    names = file_names([model.candidate.name for model in scores.models])
    for name, model in zip(names, scores.models, strict=True):
        predictions.write(folder / "predictions" / f"{name}.csv", model.predictions)
        write_json(folder / "analysis" / f"{name}.json", model.analysis)
        gallery.draw_scores(folder / "figures" / name, model.predictions, model.analysis)
    unit = scores.models[0].predictions.unit
    _write_robustness(folder, scores, unit)
    notes = [
        *scores.notes,
        *(f"{m.candidate.name}: {note}" for m in scores.models for note in m.notes),
    ]
    page = report.page(rows, unit, [f"split: {scores.protocol}", *notes], scores.pictures)
    analyses = {model.candidate.name: model.analysis for model in scores.models}
    write(folder / "table.md", page + trust_tables.page(analyses, operating))
    content = _content(scores, names, config)
    write_json(folder / _CONTENT, content | ({"operating": [*operating]} if operating else {}))


def _write_robustness(folder: Path, scores: Scores, unit: str) -> None:
    if known := spoiling.by_model(scores):
        write(folder / "robustness.md", robustness.page(known, unit))


def _content(scores: Scores, names: Sequence[str], config: Config) -> dict[str, Any]:
    """Returns evaluation.json: all that the table says, and where it comes from."""
    return {
        "kind": _KIND,
        "version": 1,
        "data": to_dict(config.data),
        "part": scores.part,
        "pictures": len(scores.models[0].predictions),
        "unit": scores.models[0].predictions.unit,
        "protocol": scores.protocol,
        "notes": list(scores.notes),
        "models": [
            {
                "name": model.candidate.name,
                "checkpoint": str(model.candidate.checkpoint),
                "record": model.candidate.predictor.about.to_json(),
                "metrics": model.summary,
                "difference": None if model.difference is None else model.difference._asdict(),
                "notes": list(model.notes),
                "predictions": f"predictions/{name}.csv",
                "analysis": f"analysis/{name}.json",
                **({} if model.robustness is None else {"robustness": model.robustness}),
            }
            for name, model in zip(names, scores.models, strict=True)
        ],
    }
