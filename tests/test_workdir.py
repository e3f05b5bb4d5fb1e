"""A run's folder takes one run, at one time, and its rows follow its checkpoints."""

import json
import os
import subprocess
import sys

import pytest

from ldl_jax.workdir import Workdir, WorkdirError, differences, read_results, read_rows
from ldl_jax.workdir import folder as module

DESCRIPTION = {
    "seed": 0,
    "data": {"size": 64, "scale": (0.8, 1.0)},
    "chain": {"generations": 3, "student": "pretrained"},
    "resolved": {"split": "abc"},
}


def changed(section, key, value):
    return {**DESCRIPTION, section: {**DESCRIPTION[section], key: value}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "one"


@pytest.fixture
def run(path):
    """A folder that holds a run."""
    with Workdir(path, DESCRIPTION):
        pass
    return path


def row(kind, generation, step, **values):
    total = (generation - 1) * 20 + step
    return {"kind": kind, "generation": generation, "step": step, "total_step": total, **values}


def write(path, *rows, tail=""):
    (path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows) + tail)


# Whose folder it is.


def test_a_new_folder(path):
    with Workdir(path, DESCRIPTION) as workdir:
        assert workdir.results() == []
        assert workdir.rows() == []
    assert json.loads((path / "config.json").read_text()) == json.loads(json.dumps(DESCRIPTION))
    assert sorted(p.name for p in path.iterdir()) == [".lock", "config.json"]


def test_an_empty_folder(tmp_path):
    with Workdir(tmp_path, DESCRIPTION):
        pass


def test_the_same_run_again(run):
    with Workdir(run, DESCRIPTION):
        pass
    with Workdir(run, json.loads(json.dumps(DESCRIPTION))):
        pass


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        (changed("data", "size", 32), "data.size: 64 -> 32"),
        (changed("data", "scale", (0.5, 1.0)), r"data.scale: \[0.8, 1.0\] -> \[0.5, 1.0\]"),
        ({**DESCRIPTION, "seed": 1}, "seed: 0 -> 1"),
        ({**DESCRIPTION, "batch_size": 8}, "batch_size: None -> 8"),
        (changed("chain", "student", "fresh"), "chain.student: 'pretrained' -> 'fresh'"),
        (changed("resolved", "split", "xyz"), "resolved.split: 'abc' -> 'xyz'"),
    ],
)
def test_another_configs_run(run, description, shown):
    before = {p.name: p.read_bytes() for p in run.iterdir()}
    with pytest.raises(WorkdirError, match=shown) as caught, Workdir(run, description):
        pass
    assert "holds another run" in str(caught.value)
    assert {p.name: p.read_bytes() for p in run.iterdir()} == before


def test_every_difference_is_shown(run):
    other = {**changed("data", "size", 32), "seed": 5}
    with pytest.raises(WorkdirError, match=r"data.size: 64 -> 32; seed: 0 -> 5"):
        Workdir(run, other)


def test_what_admits_a_run_is_told_the_folder_s_description_and_the_new_one(run):
    newer, asked = {**DESCRIPTION, "batch_size": 8}, []
    with Workdir(run, newer, lambda *given: asked.append(given)):
        assert json.loads((run / "config.json").read_text())["batch_size"] == 8
    plain = json.loads(json.dumps(DESCRIPTION))
    assert asked == [(run, plain, {**plain, "batch_size": 8})]


def test_other_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(WorkdirError, match="holds other files and no run; give a new folder"):
        Workdir(tmp_path, DESCRIPTION)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match="is a file; give a new folder"):
        Workdir(tmp_path / "file", DESCRIPTION)


def test_a_config_that_is_not_json(run):
    (run / "config.json").write_text('{"seed": ')
    with pytest.raises(WorkdirError, match=r"config.json: is not JSON"):
        Workdir(run, DESCRIPTION)


def test_killed_before_the_config_was_written(path):
    path.mkdir(parents=True)
    (path / ".lock").write_text("")
    (path / "config.partial").write_text('{"seed": ')
    (path / "config.json.partial-0a1b").write_text('{"seed": ')
    with Workdir(path, DESCRIPTION):
        pass
    assert sorted(p.name for p in path.iterdir()) == [".lock", "config.json"]


# One at a time.


def test_two_at_once(run):
    with (
        Workdir(run, DESCRIPTION),
        pytest.raises(WorkdirError, match="is in use by a running job"),
    ):
        Workdir(run, DESCRIPTION)
    with Workdir(run, DESCRIPTION):
        pass


def test_a_lock_of_another_process_ends_with_it(run):
    """However it ends: the system lets go of it."""
    code = (
        f"import fcntl, sys; f = open({str(run / '.lock')!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX)\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(WorkdirError, match="in use"):
            Workdir(run, DESCRIPTION)
    finally:
        process.kill()
        process.communicate()
    with Workdir(run, DESCRIPTION):
        pass


# Rows.


def test_rows_are_written_at_once_and_read_back(path):
    rows = [row("train", 1, 10, loss=2.5, epoch=0.5), row("test", 1, 20, mae=3.0)]
    with Workdir(path, DESCRIPTION) as workdir:
        workdir.start_metrics(1, 0)
        for one in rows:
            workdir.write(one, speed=123.0)
            assert workdir.rows()[-1] == one
        assert workdir.rows() == rows
    assert "123" not in (path / "metrics.jsonl").read_text()  # the speed is never the same
    assert any(p.name.startswith("events") for p in (path / "events").iterdir())


def test_start_drops_what_comes_after_the_checkpoint(run):
    kept = [
        row("train", 1, 10),
        row("train", 1, 20),
        row("validation", 1, 20),
        row("test", 1, 20),
        row("train", 2, 5),
        row("train", 2, 10),
        row("validation", 2, 10),
    ]
    later = [
        row("test", 2, 10),
        row("train", 2, 15),
        row("validation", 2, 20),
        row("train", 3, 5),
    ]
    write(run, *kept, *later, tail='{"kind": "train", "gener')
    with Workdir(run, DESCRIPTION) as workdir:
        workdir.start_metrics(2, 10)
        assert workdir.rows() == kept
        workdir.write(row("train", 2, 15, loss=1.0))
    assert read_rows(run / "metrics.jsonl") == [*kept, row("train", 2, 15, loss=1.0)]
    assert sorted(p.name for p in run.iterdir()) == [
        ".lock",
        "config.json",
        "events",
        "metrics.jsonl",
    ]


@pytest.mark.parametrize(
    ("generation", "step", "kept"), [(1, 0, 0), (1, 9, 0), (1, 10, 2), (2, 0, 3), (2, 10, 5)]
)
def test_start_at_any_place(run, generation, step, kept):
    rows = [
        row("train", 1, 10),
        row("validation", 1, 10),
        row("test", 1, 10),
        row("train", 2, 10),
        row("validation", 2, 10),
    ]
    write(run, *rows)
    with Workdir(run, DESCRIPTION) as workdir:
        workdir.start_metrics(generation, step)
        assert workdir.rows() == rows[:kept]


@pytest.mark.parametrize("cut", range(1, 40, 6))
def test_a_last_line_cut_short(run, cut):
    whole = row("train", 1, 10, loss=1.0)
    write(run, whole, tail=json.dumps(row("train", 1, 20, loss=2.0))[:cut])
    assert read_rows(run / "metrics.jsonl") == [whole]


def test_a_kill_while_rows_are_rewritten_leaves_the_old_ones(run, monkeypatch):
    rows = [row("train", 1, 10), row("train", 1, 20)]
    write(run, *rows)
    with Workdir(run, DESCRIPTION) as workdir:
        monkeypatch.setattr(module.Path, "replace", lambda *_: (_ for _ in ()).throw(KeyError))
        with pytest.raises(KeyError):
            workdir.start_metrics(1, 10)
    assert read_rows(run / "metrics.jsonl") == rows


# Generations.


def test_results_up_to_the_first_gap(run):
    with Workdir(run, DESCRIPTION) as workdir:
        for generation in (1, 2, 3):
            workdir.finish(generation, {"generation": generation, "mae": 1.5})
        assert [r["generation"] for r in workdir.results()] == [1, 2, 3]
        workdir.unfinish(2)
        workdir.unfinish(2)
        assert workdir.results() == [{"generation": 1, "mae": 1.5}]
        assert workdir.checkpoints(2) == run / "checkpoints" / "generation_2"
        assert workdir.predictions(2) == run / "predictions" / "generation_2.csv"
    assert read_results(run) == [{"generation": 1, "mae": 1.5}]
    assert read_results(run / "nowhere") == []


def test_a_mark_is_there_whole_or_not(run, monkeypatch):
    """The mark says that all before it is on disk, so it is flushed before it appears."""
    order = []
    monkeypatch.setattr(os, "fsync", lambda fd: order.append("fsync"))
    replace = module.Path.replace
    monkeypatch.setattr(
        module.Path, "replace", lambda a, b: (order.append(b.name), replace(a, b))[1]
    )
    with Workdir(run, DESCRIPTION) as workdir:
        order.clear()
        workdir.finish(1, {"mae": 1.0})
    assert order[:2] == ["fsync", "generation_1.json"]


def test_differences():
    old = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    assert differences(old, old) == []
    new = {"a": {"b": 1, "c": [1, 3]}, "d": {"e": 2}}
    assert differences(old, new) == ["a.c: [1, 2] -> [1, 3]", "d: None -> {'e': 2}"]


def test_keep_writes_what_differs_whole(tmp_path):
    with Workdir(tmp_path / "run", {"seed": 0}) as workdir:
        workdir.keep("split.json", b"one")
        path = workdir.path / "split.json"
        before = path.stat()
        workdir.keep("split.json", b"one")
        assert path.stat().st_ino == before.st_ino  # the same file still
        workdir.keep("split.json", b"two")
        assert path.read_bytes() == b"two"
        workdir.keep_analysis(2, {"unit": "years"})
    left = {item.name for item in workdir.path.iterdir()}
    assert left == {".lock", "config.json", "split.json", "analysis"}
    assert json.loads((workdir.path / "analysis/generation_2.json").read_text()) == {
        "unit": "years"
    }


def kept(folder, content=b"network", **options):
    """Keeps a file in a new run's folder and returns its path."""
    with Workdir(folder, {"seed": folder.name}) as workdir:
        workdir.keep("backbone.safetensors", content, **options)
    return folder / "backbone.safetensors"


def test_a_link_within_the_folder_stays_where_its_content_is_the_same(run):
    (run / "figures").mkdir(exist_ok=True)
    (run / "figures" / "network").write_bytes(b"network")
    (run / "backbone.safetensors").symlink_to("figures/network")
    with Workdir(run, DESCRIPTION) as workdir:
        workdir.keep("backbone.safetensors", b"network", shared=True)
    assert (run / "backbone.safetensors").is_symlink()


def test_runs_of_a_sweep_share_a_large_file_of_the_same_content(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LARGE", 7)
    files = [kept(tmp_path / name, shared=True) for name in "abc"]
    other = kept(tmp_path / "d", b"another", shared=True)
    alone, small = kept(tmp_path / "e"), [kept(tmp_path / x, b"few", shared=True) for x in "fg"]
    assert len({file.stat().st_ino for file in files}) == 1
    assert len({x.stat().st_ino for x in (files[0], other, alone, *small)}) == 5

    with Workdir(tmp_path / "a", {"seed": "a"}) as workdir:  # each has its own from then on
        workdir.keep("backbone.safetensors", b"changed", shared=True)
    files[1].unlink()
    assert files[0].read_bytes() == b"changed"
    assert files[2].read_bytes() == b"network"


def test_a_file_is_written_where_it_cannot_be_shared(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LARGE", 1)
    (tmp_path / "a").mkdir()
    (tmp_path / "elsewhere").write_bytes(b"network")
    (tmp_path / "a" / "backbone.safetensors").symlink_to(tmp_path / "elsewhere")
    first = kept(tmp_path / "b", shared=True)
    assert not first.is_symlink()

    def refused(*arguments, **options):
        raise OSError("this file system has no links")

    monkeypatch.setattr(os, "link", refused)
    second = kept(tmp_path / "c", shared=True)
    assert second.read_bytes() == first.read_bytes() == b"network"
    assert second.stat().st_ino != first.stat().st_ino
    assert sorted(x.name for x in second.parent.iterdir()) == [
        *(".lock", "backbone.safetensors", "config.json")
    ]
