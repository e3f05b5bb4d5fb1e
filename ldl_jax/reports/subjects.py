"""Reads what a report is on: runs, evaluated models and benchmarks, from their folders alone."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ldl_jax.evaluation import compare, predictions, report
from ldl_jax.evaluation.analysis import Analysis
from ldl_jax.evaluation.compare import Difference
from ldl_jax.evaluation.predictions import Predictions
from ldl_jax.run.listed import runs_in
from ldl_jax.run.named import short_names
from ldl_jax.workdir import Row, check_links, read_config, read_json, read_results, read_rows

EVALUATION, BENCHMARK = "evaluation.json", "benchmark.json"
Content = Mapping[str, Any]  # of JSON's types


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A run at one of its generations, or a model of an evaluation; what is not known is empty.

    Attributes:
      name: short, and no other's.
      folder: of the run, or of the evaluation.
      trained: whether it is a run.
      network, method: their names.
      answers: for each picture of a run's test part, or of the evaluation's.
      results: the metrics of the generations up to the one that is reported; of a model its own.
      analyses: of the same generations.
      config: the run's, or the data section of the evaluation.
      split: which picture of a run is in which part.
      starts: how a run was started.
      steps: the rows of a run's metrics.jsonl.
      protocol: what a number may be called: the split's name, with what leaks.
      notes: remarks for readers of the numbers.
      record: what the checkpoint of an evaluated model says of itself.
      robustness: the errors on spoiled pictures.
      operating: its challenge ages, chosen on a validation part.
    """

    name: str
    folder: Path
    trained: bool
    network: str
    method: str
    answers: Predictions
    results: Sequence[Row]
    analyses: Sequence[Analysis]
    config: Content
    split: Content
    starts: Sequence[Content]
    steps: Sequence[Row]
    protocol: str
    notes: Sequence[str]
    record: Content
    robustness: Content
    operating: Sequence[Content]

    @property
    def result(self) -> Row:
        """The metrics of the generation, or model, that is reported."""
        return self.results[-1]

    @property
    def pictures(self) -> str:
        """The pictures that it answered, as tables call them."""
        return report.pictures_of("test" if self.trained else self.config["part"])

    @property
    def analysis(self) -> Analysis:
        """The analysis of that generation or model; empty where there is none."""
        return self.analyses[-1] if self.analyses else {}


@dataclasses.dataclass(frozen=True)
class Sources:
    """Holds what folders have.

    Attributes:
      subjects: the runs and the models.
      benchmarks: the content of each benchmark.json, by its title.
      unfinished: the names of runs that have no result yet.
    """

    subjects: Sequence[Subject]
    benchmarks: Mapping[str, Content]
    unfinished: Sequence[str]


def read(folders: Sequence[Path], generation: int = 0) -> Sources:
    """Reads the runs, sweeps, folds, evaluations and benchmarks in folders.

    A folder that holds a single run is that run, finished or not.

    Args:
      folders: of each of them.
      generation: which of each run; 0 for its last one.

    Raises:
      ValueError: a folder is none of them, a run has not finished that generation, a file is
        damaged, or units differ.
    """
    paths: list[Path] = []  # runs and evaluations, in the order in which they were named
    unfinished: list[str] = []
    benchmarks: dict[str, Content] = {}
    for folder in folders:
        check_links(folder)
        if (folder / BENCHMARK).is_file():
            content = _object(folder / BENCHMARK)
            benchmarks[f"{content.get('title', folder.name)}"] = content
        elif (folder / EVALUATION).is_file():
            paths.append(folder)
        else:
            finished, others = _runs(folder)
            paths += finished
            unfinished += others
    subjects: list[Subject] = []
    alone = sum((path / EVALUATION).is_file() for path in paths) == 1
    for name, path in zip(short_names(paths), paths, strict=True):
        try:
            if (path / EVALUATION).is_file():
                subjects += _models(path, "" if alone else f"{name}: ")
            else:
                subjects.append(_run(name, path, generation))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path}: its files are not as a run or an evaluation writes them ({error!r})"
            ) from error
    units = sorted({subject.answers.unit for subject in subjects})
    if len(units) > 1:
        raise ValueError(f"the runs' labels are in different units: {', '.join(units)}")
    return Sources(subjects, benchmarks, unfinished)


def differences(subjects: Sequence[Subject]) -> dict[str, Difference | None]:
    """Returns the paired difference of the MAE of each subject, by its name, from the first's.

    None where it was tested on other pictures than the first.
    """
    first, *others = subjects
    return {x.name: compare.paired_difference(x.answers, first.answers) for x in others}


def rows_of(
    subjects: Sequence[Subject], found: Mapping[str, Difference | None]
) -> tuple[list[Row], str]:
    """Returns a row a subject for `report.table`, and the unit of the labels.

    What is the same of all is left out. `found` is what `differences` says.
    """
    rows, pictures = [], pictures_of(subjects)
    for subject in subjects:
        row: Row = {"run": subject.name, "method": subject.method, **subject.result}
        row.pop(report.TESTED, None)
        row[pictures] = len(subject.answers)
        if subject.name in found:
            row["MAE - first's [95 %]"] = compare.text(found[subject.name])
        rows.append(row)
    for key in ("generation", pictures):
        if len({row.get(key) for row in rows}) == 1:
            rows = [{name: x for name, x in row.items() if name != key} for row in rows]
    return rows, subjects[0].answers.unit


def pictures_of(subjects: Sequence[Subject]) -> str:
    """Returns what a table of these calls their pictures: those of a part, where all have it."""
    kinds = {subject.pictures for subject in subjects}
    return kinds.pop() if len(kinds) == 1 else report.pictures_of("all")


def protocols_of(subjects: Sequence[Subject]) -> list[str]:
    """Returns a line on each subject whose numbers may not go by its protocol's plain name."""
    return [f"{x.name}: {x.protocol}" for x in subjects if " " in x.protocol]


def _runs(folder: Path) -> tuple[list[Path], list[str]]:
    runs = runs_in(folder)
    finished = [run for run in runs if runs == [folder] or read_results(run)]
    if not finished:
        raise ValueError(f"{folder}: none of its {len(runs)} runs has finished a generation")
    return finished, [run.name for run in runs if run not in finished]


def _run(name: str, workdir: Path, generation: int) -> Subject:
    finished = read_results(workdir)
    if not finished:
        raise ValueError(f"{workdir}: is not the workdir of a run with a finished generation")
    count = len(finished)
    if not 0 <= generation <= count:
        raise ValueError(f"--generation: {workdir} has finished {count} of them, got {generation}")
    last = generation or count
    config = read_config(workdir)
    protocol = (_part(config, "resolved")).get("protocol", "")
    return Subject(
        name=name,
        folder=workdir,
        trained=True,
        network=_named(config, "model"),
        method=_named(config, "method"),
        answers=predictions.read(workdir / "predictions" / f"generation_{last}.csv"),
        results=finished[:last],
        analyses=[*_analyses(workdir, last)],
        config=config,
        split=_optional(workdir / "split.json"),
        starts=_list(workdir / "started.json"),
        steps=read_rows(workdir / "metrics.jsonl"),
        protocol=str(protocol),
        notes=(),
        record={},
        robustness={},
        operating=(),
    )


def _analyses(workdir: Path, last: int) -> Iterator[Analysis]:
    for generation in range(1, last + 1):
        path = workdir / "analysis" / f"generation_{generation}.json"
        if path.is_file():
            yield dict(_object(path))


def _models(folder: Path, prefix: str) -> Iterator[Subject]:
    content = _object(folder / EVALUATION)
    for model in content["models"]:
        yield _model(f"{prefix}{model['name']}", folder, content, model)


def _model(name: str, folder: Path, content: Content, model: Content) -> Subject:
    return Subject(
        name=name,
        folder=folder,
        trained=False,
        network=_named(model["record"], "model"),
        method=_named(model["record"], "method"),
        answers=predictions.read(_inside(folder, model["predictions"])),
        results=[dict(model["metrics"])],
        analyses=[dict(_object(_inside(folder, model["analysis"])))],
        config={"data": content["data"], "part": content["part"]},
        split={},
        starts=(),
        steps=(),
        protocol=content["protocol"],
        notes=[*content["notes"], *model["notes"]],
        record=model["record"],
        robustness=model.get("robustness") or {},
        operating=[x for x in content.get("operating", ()) if x["model"] == model["name"]],
    )


def _inside(folder: Path, name: str) -> Path:
    """Returns a file of a folder; ValueError where its name leads out of it."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{folder / EVALUATION}: {name!r} leads out of the folder")
    return path


def _part(content: Content, section: str) -> Content:
    """Returns a section of a config; an empty one where it has none."""
    part = content.get(section)
    return part if isinstance(part, dict) else {}


def _named(content: Content, section: str) -> str:
    return str(_part(content, section).get("name", ""))


def _optional(path: Path) -> Content:
    return _object(path) if path.is_file() else {}


def _list(path: Path) -> list[Content]:
    content = read_json(path) if path.is_file() else []
    if not isinstance(content, list):
        raise ValueError(f"{path}: expected a list, got a {type(content).__name__}")
    return [start for start in content if isinstance(start, dict)]


def _object(path: Path) -> Content:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object, got a {type(content).__name__}")
    return content
