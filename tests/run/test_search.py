"""A search: what it refuses and tries, that it goes on, and that it never sees the test part."""

from __future__ import annotations

import importlib.util
import io
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ldl_jax.data.records import DataError
from ldl_jax.run import config as schema
from ldl_jax.run import search_table, searching
from ldl_jax.run.config import ConfigError
from ldl_jax.run.data import read_records
from ldl_jax.run.progress import ProgressBar
from ldl_jax.run.smoke import smoke
from ldl_jax.search import parse
from ldl_jax.workdir import WorkdirError, read_rows
from tests.launch.test_sweep_command import make

INSTALLED = importlib.util.find_spec("optuna") is not None
needs_optuna = pytest.mark.skipif(not INSTALLED, reason="optuna is not installed (its extra)")
pytestmark = pytest.mark.usefixtures("tiny_network", "optax_promotes")
RANGES = {
    "method.lam": ("log", 0.01, 1.0),
    "optimizer.learning_rate": ("uniform", 0.001, 0.1),
    "model.hidden": ("choice", (), (4,)),
}


def settings(ranges: Any = RANGES, **changes: Any) -> schema.Config:
    wanted = {"data__validation_fraction": 0.3, "epochs": 2, "search__trials": 2, **changes}
    made = make(wanted.pop("sweep", None), **wanted)
    made.search.ranges = ranges
    return schema.parse(made)


def run(config: schema.Config, path: Path) -> str:
    out = io.StringIO()
    searching.run(searching.check(config, path, read_records), Console(file=out, width=200))
    return out.getvalue()


def told(path: Path) -> dict[str, bytes]:
    return {str(x.relative_to(path)): x.read_bytes() for x in path.glob("runs/*/metrics.jsonl")}


# What it refuses.


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (0.5, r"expected \('uniform', low, high\), .*, got 0\.5"),
        ((), "expected"),
        (("normal", 0, 1), r"expected .*, got \('normal', 0, 1\)"),
        (("log", 0.1), "expected"),
        (("log", 0.1, "1"), "expected"),
        (("uniform", 0, float("nan")), "expected"),
        (("uniform", True, 2), "expected"),
        (("int", 1, 2.5), "expected"),
        (("uniform", 1, 1), "expected low < high"),
        (("log", 0, 1), "expected low > 0 on a log scale"),
        (("int_log", -1, 1), "expected low > 0"),
        (("choice", 1), "expected two different choices"),
        (("choice", 1, 1), "expected two different choices"),
    ],
)
def test_ranges_that_are_none(given: object, says: str) -> None:
    with pytest.raises(ValueError, match=rf"^search\.ranges: method\.lam: {says}"):
        parse("method.lam", given)


BAD = {
    "no validation part": ({"data__validation_fraction": 0.0}, RANGES, "search: looks at the vali"),
    "a key that is none": ({}, {"method.lamb": ("log", 0.1, 1)}, r"method\.lamb=0\.1: .*lamb"),
    "a section that is none": ({}, {"nothing.at": ("log", 0.1, 1)}, "nothing.at: unknown key"),
    "a key beside the run": ({}, {"search.seed": ("int", 1, 2)}, "search.seed: unknown key"),
    "a key of another type": ({}, {1: ("int", 1, 2)}, "search.ranges: expected dotted keys, .* 1$"),
    "the log": ({}, {"log.name": ("choice", "a", "b")}, "log.name: unknown key"),
    "the seed": ({}, {"seed": ("int", 1, 2)}, "a seed that does better is luck"),
    "a value out of range": (
        {},
        {"model.hidden_dropout": ("uniform", 0, 1)},
        r"model\.hidden_dropout=1\.0: .*expected a rate",
    ),
    "a value of another type": ({}, {"epochs": ("uniform", 1, 2)}, "epochs=1.0: .*expected int"),
    "a batch that is too large": (
        {},
        {"batch_size": ("choice", 8, 800)},
        "batch_size=800: batch_s",
    ),
    "other pictures": (
        {},
        {"data.seed": ("choice", 1, 2)},
        "data.seed=1: another value puts other",
    ),
    "no such metric": (
        {"search__metric": "ca99"},
        RANGES,
        r"search\.metric: expected one of mae, ",
    ),
    "no such order": ({"search__metric": "coverage90"}, RANGES, "search.metric: expected one of"),
    "a sweep too": ({"sweep": {"method.lam": (1.0, 2.0)}}, RANGES, "a sweep or a search"),
    "folds": ({"data__protocol": "kfold"}, RANGES, "is of one split, .* give data.fold"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_searches_leave_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, ranges, says = BAD[name]
    monkeypatch.setattr(searching.extras, "missing", lambda *asked: "")
    with pytest.raises(ConfigError, match=says) as caught:
        searching.check(settings(ranges, **changes), tmp_path / "new", read_records)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_all_faults_are_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "notes.txt").write_text("")
    ranges = {"seed": ("int", 1, 2), "method.lam": ("log", 0, 1), "epochs": ("int", 0, 2)}
    with pytest.raises(
        ValueError, match=r"search: a search needs optuna, .*: pip install 'ldl_jax\[optuna\]'"
    ) as caught:
        searching.check(settings(ranges), tmp_path, read_records)
    for text in ("is luck", "method.lam: expected low > 0", "epochs=0: ", "holds other files"):
        assert text in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("trials", -1), ("seed", -1), ("sampler", "best"), ("pruner", "all")]
)
def test_settings_of_a_search_that_are_none(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"search\.{key}: expected"):
        settings(**{f"search__{key}": value})


def test_no_ranges_or_no_trials_are_no_search() -> None:
    assert settings().search.wanted
    assert not settings(None).search.wanted
    assert not settings(search__trials=0).search.wanted


def test_a_smoke_run_keeps_its_own_keys() -> None:
    """Ranges and grids of what it sets itself, as the batch, would be too large for it."""
    ranges = {"batch_size": ("choice", 64, 128), "method.lam": ("log", 0.1, 1.0)}
    assert smoke(settings(ranges)).search.ranges == {"method.lam": ("log", 0.1, 1.0)}
    small = smoke(settings(None, sweep=({"data.options.least": (1, 2)}, {"data.root": "a"})))
    assert small.sweep == ()
    grids = ({"seed": (1, 2), "epochs": (3, 4)}, {"seed": (1, 2), "data.size": 224})
    runs = [{"seed": (1,)}, {"seed": (2,)}]
    assert list(smoke(settings(None, sweep=grids)).sweep) == runs


def test_a_sweep_of_keys_that_are_no_text() -> None:
    with pytest.raises(ConfigError, match=r"^sweep: expected dotted keys, .* got 1$"):
        settings(None, sweep={1: (1, 2)})


# What it does.


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, tiny_network: str) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("search") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv", ["main", "--config=a b.py", "--workdir", "x", "--config.epochs=2"]
        )
        return path, run(settings(), path)


@needs_optuna
def test_a_search_shows_its_trials_the_best_first(searched: tuple[Path, str]) -> None:
    path, text = searched
    maes = {}
    for number in range(2):
        folder = search_table.folder_of(path, number)
        rows = read_rows(folder / "metrics.jsonl")
        maes[number + 1] = [row["mae"] for row in rows if row["kind"] == "validation"][-1]
        given = json.loads((folder / "config.json").read_text())
        assert 0.01 <= given["method"]["lam"] <= 1
        assert 0.001 <= given["optimizer"]["learning_rate"] <= 0.1
        assert given["model"]["hidden"] in ([], [4])
    best = min(maes, key=lambda number: maes[number])
    assert f"best: trial {best}, mae {maes[best]:.6g}: method.lam=" in text
    table = (path / "table.md").read_text()
    first = next(line for line in table.splitlines() if line.startswith(f"| {best} |"))
    assert table.splitlines().index(first) == 2
    for said in (table, text):
        assert "CA(n): validation pictures with an error" in said
    assert "test pictures" not in table
    assert f"{maes[best]:.3f}" in first
    assert "finished" in first


@needs_optuna
def test_the_test_part_is_not_looked_at(searched: tuple[Path, str]) -> None:
    path, text = searched
    assert "The test part was not looked at." in text
    for folder in path.glob("runs/*"):
        assert {row["kind"] for row in read_rows(folder / "metrics.jsonl")} == {
            "train", "validation"
        }  # fmt: skip
        assert not (folder / "predictions").exists()
        assert not (folder / "figures").exists()
        results = json.loads((folder / "generation_1.json").read_text())
        assert results.keys() == {"generation", "mae_validation"}


@needs_optuna
def test_the_best_setting_is_a_command(searched: tuple[Path, str]) -> None:
    path, text = searched
    command = shlex.split(text.splitlines()[-1])
    assert command[:5] == ["python", "-m", "launch.main", "--config=a b.py", "--config.epochs=2"]
    given = dict(argument[2:].split("=", 1) for argument in command[5:])
    assert given["workdir"] == f"{path}-best"
    assert given["config.search.trials"] == "0"
    assert given["config.model.hidden"] in ("()", "(4,)")
    assert 0.01 <= float(given["config.method.lam"]) <= 1


@needs_optuna
def test_a_second_call_trains_what_is_new_alone(searched: tuple[Path, str]) -> None:
    path, _ = searched
    before = told(path)
    assert "---" not in run(settings(), path)
    more = run(settings(search__trials=3), path)
    assert "--- trial 3 of 3" in more
    assert "--- trial 2" not in more
    assert before.items() < told(path).items()
    assert len(told(path)) == 3


def test_a_check_leaves_the_config_as_it_is(tmp_path: Path) -> None:
    """Open sections are copied, so that a tried value is not the config's own from then on."""
    config = settings({"data.options.kind": ("choice", "ages", "identities")})
    with pytest.raises(ValueError, match=r"data\.options\.kind='identities': "):
        searching.check(config, tmp_path / "new", read_records)
    assert config.data.options == {}


@needs_optuna
def test_trials_with_values_that_do_not_go_together_fail_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An own network, as all it raises, says so by a ValueError; other data is none of a trial."""
    resolve, drawn = searching.resolve, []

    def resolved(config: schema.Config, **given: Any) -> Any:
        if given.get("workdir"):
            drawn.append(config.data)
            if len(drawn) == 1:
                raise ValueError("model.name: 'mine:net' raised ValueError: 3 is odd")
            raise DataError("faces.csv: cannot be read")
        return resolve(config, **given)

    monkeypatch.setattr(searching, "resolve", resolved)
    config = settings({"method.lam": ("log", 0.01, 1.0)})
    out = io.StringIO()
    checked = searching.check(config, tmp_path / "new", read_records)
    with pytest.raises(DataError, match=r"faces\.csv"):
        searching.run(checked, Console(file=out, width=200))
    assert "trial 1 failed: model.name: 'mine:net' raised ValueError: 3 is odd" in out.getvalue()


@needs_optuna
@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\x00" + bytes(100)])
def test_a_damaged_file_of_trials_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "search.db").write_bytes(content)
    with pytest.raises(WorkdirError, match=r"search\.db: the trials of a search cannot") as caught:
        study_of(tmp_path / "search.db")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "search.db").read_bytes() == content


@needs_optuna
def test_another_search_is_refused(searched: tuple[Path, str], tmp_path: Path) -> None:
    path, _ = searched
    for changes in ({"search__seed": 1}, {"epochs": 3}, {"search__metric": "rmse"}):
        key = next(iter(changes)).replace("__", ".")
        with pytest.raises(WorkdirError, match=rf"holds another search \({key}: "):
            searching.check(settings(**changes), path, read_records)
    with pytest.raises(WorkdirError, match="holds other files and no search"):
        searching.check(settings(), path / "runs" / "trial_001", read_records)


class Killed(BaseException):
    pass


@needs_optuna
def test_a_killed_search_goes_on_to_the_same_end(
    searched: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies in the second trial's second epoch, and between its end and the note of it."""
    whole, _ = searched
    path, steps = tmp_path / "killed", []

    def step(self: ProgressBar, epoch: int) -> None:
        steps.append(epoch)
        if len(steps) == 7:
            raise Killed

    monkeypatch.setattr(ProgressBar, "step", step)
    with pytest.raises(Killed):
        run(settings(), path)
    assert len(told(path)) == 2
    study = importlib.import_module("ldl_jax.search.study").Study
    with monkeypatch.context() as patch:
        patch.setattr(study, "finish", lambda *given: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run(settings(), path)
    text = run(settings(), path)
    assert "--- trial 2 of 2" in text
    assert "--- trial 1" not in text
    assert told(path).items() <= told(whole).items()
    assert len(told(path)) == 2


@needs_optuna
def test_a_trial_is_pruned_or_fails_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = importlib.import_module("ldl_jax.search.study")
    monkeypatch.setattr(study.Trial, "should_prune", lambda self: True)
    rates = iter((1e30, 0.01))
    monkeypatch.setattr(study, "_suggested", lambda *given: next(rates))
    text = run(settings({"optimizer.learning_rate": ("log", 0.01, 0.1)}), tmp_path / "new")
    assert "trial 1 failed: the " in text
    assert "pruned after evaluation 1" in text
    assert "no trial was finished" in text
    for number in range(2):
        folder = search_table.folder_of(tmp_path / "new", number)
        assert (folder / "metrics.jsonl").exists()
        assert not (folder / "generation_1.json").exists()
    lines = (tmp_path / "new" / "table.md").read_text().splitlines()
    states = [line.split("|")[2].strip() for line in lines[2:] if line.startswith("|")]
    assert states[0] == "pruned after evaluation 1"
    assert states[1].startswith("failed: the ")


# The study alone.


def study_of(path: Path, **options: Any) -> Any:
    study = importlib.import_module("ldl_jax.search.study").Study
    ranges = {"x": parse("x", ("uniform", 0, 1)), "n": parse("n", ("int", 1, 3))}
    return study(path, ranges, **{"more_is_better": False, **options})


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies write no file, as each note of one waits for the disk."""
    module = importlib.import_module("ldl_jax.search.study").optuna
    create = module.create_study
    monkeypatch.setattr(
        module, "create_study", lambda **given: create(**{**given, "storage": None})
    )


@needs_optuna
def test_a_study_is_the_same_however_often_it_is_opened(tmp_path: Path) -> None:
    whole = study_of(tmp_path / "whole.db")
    values, again = [], []
    for _ in range(3):
        trial = whole.next(20)
        values.append(trial.values)
        whole.finish(trial, trial.values["x"])
    for _ in range(3):  # each is killed, and found again
        killed = study_of(tmp_path / "opened.db").next(20)
        study = study_of(tmp_path / "opened.db")
        trial = study.next(20)
        assert (trial.number, trial.values) == (killed.number, killed.values)
        again.append(trial.values)
        study.finish(trial, trial.values["x"])
    assert values == again
    assert len({trial["x"] for trial in values}) == 3
    assert study.trials()[0].value == min(trial["x"] for trial in values)
    assert study.next(3) is None


@needs_optuna
@pytest.mark.usefixtures("in_memory")
def test_the_sampler_learns(tmp_path: Path) -> None:
    study = study_of(tmp_path / "a.db")
    tried = []
    while (trial := study.next(40)) is not None:
        tried.append(trial.values["x"])
        study.finish(trial, abs(trial.values["x"] - 0.8))
    early, late = tried[:10], tried[-10:]
    assert sum(abs(x - 0.8) for x in late) < 0.5 * sum(abs(x - 0.8) for x in early)


@needs_optuna
@pytest.mark.usefixtures("in_memory")
@pytest.mark.parametrize(("pruner", "more"), [("median", False), ("asha", True), ("none", False)])
def test_pruners(pruner: str, more: bool, tmp_path: Path) -> None:
    study = study_of(tmp_path / "a.db", more_is_better=more, pruner=pruner)
    pruned = []
    for number in range(12):
        trial = study.next(12)
        bad = number in (6, 9)
        value = (0.0 if bad else 10.0 + number) if more else (99.0 if bad else 10.0 - number / 2)
        for step in range(1, 17):
            trial.report(step, value)
            trial.report(step, 1e9)  # as a trial does that goes on before it: it is known
            if trial.should_prune():
                pruned.append(number)
                study.leave(trial, "pruned", pruned=True)
                break
        else:
            study.finish(trial, value)
    assert ({6, 9} <= {*pruned}) == (pruner != "none")
    states = [trial.state for trial in study.trials()]
    assert states == ["finished"] * (12 - len(pruned)) + ["pruned"] * len(pruned)
    assert study.trials()[0].number == 11
