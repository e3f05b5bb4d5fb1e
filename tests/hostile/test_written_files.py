"""What is written goes where the user said, and follows no link that somebody has put there."""

import ast
import os
from pathlib import Path

import pytest

from ldl_jax import files
from ldl_jax.run import config
from ldl_jax.run.config import ConfigError
from ldl_jax.workdir import Workdir

ROOT = Path(__file__).parents[2]
# Who opens a file to write it other than by `files`: what it appends to was written whole before.
APPENDS = {("ldl_jax/workdir/folder.py", "a")}


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
    assert found == APPENDS


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
    victim = tmp_path / "victim"
    victim.write_text("years of work")
    folder = tmp_path / "run"
    with Workdir(folder, {"seed": 0}):
        pass
    for name in ("config.json", "metrics.jsonl"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(victim)
    (folder / "config.json").unlink()
    files.write_json(folder / "config.json", {"seed": 0})
    (tmp_path / "victim").write_text("")  # an empty one, which a run could go on with
    with Workdir(folder, {"seed": 0}) as workdir:
        workdir.start_metrics(1, 0)
        workdir.write({"kind": "train", "generation": 1, "step": 1, "total_step": 1, "loss": 2.0})
    assert not (folder / "metrics.jsonl").is_symlink()
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
