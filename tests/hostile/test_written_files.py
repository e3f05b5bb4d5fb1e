"""What is written goes where the user said, and follows no link that somebody has put there."""

import ast
import os
from pathlib import Path

import pytest

import ldl_jax
from launch import runs
from ldl_jax import files
from ldl_jax.data.datasets import prepared_folder
from ldl_jax.data.records import DataError
from ldl_jax.reports import subjects
from ldl_jax.run import config, targets
from ldl_jax.run.config import ConfigError
from ldl_jax.workdir import Workdir, WorkdirError

ROOT = Path(__file__).parents[2]
# Who opens a file to write it other than by `files`: what it appends to was written whole before,
# and a film is written to the file that `files.whole` gave.
OTHERS = {("ldl_jax/workdir/folder.py", "a"), ("ldl_jax/video/writing.py", "w")}


def opened_to_write(path):
    """The modes of `open` and `Path.open` that write, and other calls that do."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("write_text", "write_bytes", "mkstemp", "NamedTemporaryFile", "mktemp"):
            yield name
        if name == "open":
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            texts += [k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)]
            yield from (t for t in texts if isinstance(t, str) and set(t) <= set("rwaxbt+"))


def test_every_writer_writes_by_way_of_files():
    """Its temporary names can't be foreseen, and are no links (tests/test_files.py)."""
    found = {
        (str(path.relative_to(ROOT)), mode)
        for folder in ("ldl_jax", "launch")
        for path in (ROOT / folder).rglob("*.py")
        if path != ROOT / "ldl_jax/files.py"
        for mode in opened_to_write(path)
        if not set(mode) <= set("rbt")
    }
    assert found == OTHERS


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("years of work")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / files.LOCK).symlink_to(victim)
    with pytest.raises((OSError, TimeoutError)), files.lock(folder):
        pass
    assert victim.read_text() == "years of work"


def test_a_link_in_the_place_of_a_run_s_file_is_replaced(tmp_path):
    """One that somebody makes while the run is open; before, the run is refused."""
    victim = tmp_path / "victim"
    victim.write_text("")  # an empty one, which a run could go on with
    folder = tmp_path / "run"
    with Workdir(folder, {"seed": 0}) as workdir:
        for name in ("metrics.jsonl", "generation_1.json", "split.json"):
            (folder / name).symlink_to(victim)
        workdir.start_metrics(1, 0)
        workdir.write({"kind": "train", "generation": 1, "step": 1, "total_step": 1, "loss": 2.0})
        workdir.finish(1, {"generation": 1})
        workdir.keep("split.json", b"{}")
    assert not files.links_out(folder)
    assert victim.read_text() == ""


@pytest.mark.parametrize("name", ["../escaped", "/etc/ldl", "a/b", "..", "", "a\nb"])
def test_a_stage_s_name_leads_out_of_no_folder(name):
    with pytest.raises(ConfigError, match=r"stages: expected names of letters"):
        config._stages({name: {}})


def test_a_secret_file_is_its_owner_s_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        files.write(tmp_path / "secret", "x", mode=0o600)
        assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_a_run_is_its_owner_s_alone_where_the_umask_says_so(tmp_path):
    before = os.umask(0o077)
    try:
        with Workdir(tmp_path / "run", {"seed": 0}) as workdir:
            workdir.start_metrics(1, 0)
            workdir.finish(1, {"generation": 1})
            workdir.keep("split.json", b"{}")
            workdir.keep_analysis(1, {})
    finally:
        os.umask(before)
    written = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    assert len(written) > 7
    assert not [path for path in written if path.stat().st_mode & 0o077]


# Links inside of a folder that was named

LINKS = ("checkpoints", "predictions", "events", "analysis/generation_1.json", "stages/a/figures")


@pytest.mark.parametrize("link", LINKS)
def test_a_link_that_leads_out_of_a_run_is_followed_by_nobody(tmp_path, link):
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    with Workdir(run, {"seed": 0}):
        pass
    (run / link).parent.mkdir(parents=True, exist_ok=True)
    (run / link).symlink_to(elsewhere)
    before = sorted(run.rglob("*"))
    says = rf"links that lead out of it, which are not followed: {link} -> .*elsewhere;"
    for use in (
        lambda: Workdir(run, {"seed": 0}),
        lambda: ldl_jax.load(run),
        lambda: subjects.read([tmp_path / "run"]),
    ):
        with pytest.raises(WorkdirError, match=says):
            use()
    assert "lead out of it" in runs.rows_of({"run": run})[0][0]["state"]
    with pytest.raises(DataError, match=f"links that lead out of it, as {link} -> "):
        prepared_folder.claimed(run, {}).__enter__()
    assert sorted(run.rglob("*")) == before
    assert not any(elsewhere.iterdir())


def test_links_that_stay_inside_and_a_folder_that_is_a_link_are_used(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with Workdir(tmp_path / "run", {"seed": 0}):
        pass
    (tmp_path / "disk/real").mkdir()
    (tmp_path / "run/figures").symlink_to("real")
    (tmp_path / "run/again").symlink_to(tmp_path / "run/figures")
    (tmp_path / "run/gone").symlink_to("nothing")
    with Workdir(tmp_path / "run", {"seed": 0}):
        pass
    (tmp_path / "run/loop").symlink_to("loop")  # it leads nowhere, and nowhere else either
    assert files.links_out(tmp_path / "run") == []


def test_pictures_are_annotated_inside_of_the_folder_alone(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (out / "sub").symlink_to(elsewhere)
    flags = {"annotate": str(out), "score-map": None}
    for relative in ("sub/a.jpg", "../a.jpg"):
        with pytest.raises(ValueError, match=r"--annotate: .*a\.png leads out of that folder"):
            targets.drawings([(tmp_path / "a.jpg", Path(relative))], flags)
    expected = {"annotate": {tmp_path / "a.jpg": out / "in/a.png"}}
    assert targets.drawings([(tmp_path / "a.jpg", Path("in/a.jpg"))], flags) == expected
