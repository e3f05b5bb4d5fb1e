"""Files are there whole or not at all, and a folder has one user at a time."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ldl_jax import files


@pytest.fixture
def umask():
    """Sets the permissions that the process takes from new files, for one test."""
    before = os.umask(0)
    yield os.umask
    os.umask(before)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "folder" / "a"
    files.write(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    files.write(str(path), "σ \udcff\n")  # a file name's byte that is no UTF-8
    assert path.read_bytes() == "σ ".encode() + b"\xff\n"
    files.write_json(path, {"a": [1, 2.5]})
    assert json.loads(path.read_text()) == {"a": [1, 2.5]}
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_half_way_leaves_what_was_there(tmp_path):
    path = tmp_path / "a"
    files.write(path, "before")

    def fail():
        with files.whole(path) as file:
            file.write(b"half")
            file.flush()
            assert path.read_text() == "before"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_the_disk_before_the_file_appears(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(os, "fsync", lambda number: order.append("fsync"))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda a, b: (order.append("replace"), replace(a, b))[1])
    files.write(tmp_path / "a", "text")
    assert order == ["fsync", "replace"]


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "known")
    other = tmp_path / "other"
    other.write_text("years of work")
    (tmp_path / "a.partial-known").symlink_to(other)
    with pytest.raises(FileExistsError):
        files.write(tmp_path / "a", "text")
    assert other.read_text() == "years of work"
    assert not (tmp_path / "a").exists()


def test_two_writers_at_once_do_not_meet(tmp_path):
    path = tmp_path / "a"
    with files.whole(path) as first, files.whole(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() == b"first"  # the last to finish
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, mask, mode):
    umask(mask)
    files.write(tmp_path / "a", "text")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_what_killed_processes_left_is_removed(tmp_path):
    names = ["config.json", "partial.txt", "a.partials"]
    for name in [*names, "config.json.partial-0123456789abcdef", "config.partial"]:
        (tmp_path / name).write_text("")
    files.remove_partial(tmp_path)
    files.remove_partial(tmp_path / "nowhere")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_folder_is_locked_until_the_context_is_left(tmp_path):
    with files.lock(tmp_path), pytest.raises(TimeoutError):
        files.lock(tmp_path)
    with files.lock(tmp_path):
        pass


def test_a_folder_is_unlocked_when_its_process_is_killed(tmp_path):
    code = (
        f"import pathlib, sys; from ldl_jax import files\n"
        f"held = files.lock(pathlib.Path({str(tmp_path)!r}))\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(TimeoutError):
            files.lock(tmp_path)
    finally:
        process.kill()
        process.communicate()
    with files.lock(tmp_path):
        pass
