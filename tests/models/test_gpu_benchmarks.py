"""The script for a machine with a GPU keeps its time, and the wheels for one are those it needs."""

import json
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The benchmarks are not installed: they are run from the repository."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def test_a_part_that_takes_too_long_is_stopped_and_the_others_run(monkeypatch, capfd):
    from benchmarks import gpu

    parts = {
        "slow": (0.5, "-c __import__('time').sleep(60)"),
        "broken": (30, "-c exit(3)"),
        "quick": (30, "-c print('measured')"),
    }
    monkeypatch.setattr(gpu, "_platform", lambda: "gpu\n")
    monkeypatch.setattr(gpu, "PARTS", parts)
    with pytest.raises(SystemExit, match=r"^1$"):
        gpu.main(["--only", "slow", "broken", "quick"])
    text = capfd.readouterr().out
    assert "slow: stopped after 0 s" in text
    assert "broken: failed with exit code 3" in text
    assert "measured\n\nquick: done in" in text
    gpu.main(["--minutes", "0.01", "--only", "quick"])
    assert "quick: no time left" in capfd.readouterr().out


def test_all_parts_together_take_eight_minutes():
    from benchmarks import gpu

    assert sum(seconds for seconds, _ in gpu.PARTS.values()) <= 8 * 60


def test_without_a_gpu_it_says_so(monkeypatch):
    from benchmarks import gpu

    monkeypatch.setattr(gpu, "_platform", lambda: "cpu\n")
    with pytest.raises(SystemExit, match=r"^error: JAX sees no GPU here"):
        gpu.main([])


def test_wheels_that_are_too_large_are_refused(monkeypatch, tmp_path, capsys):
    from benchmarks import gpu_wheels

    sizes = {"small-1.whl": 3 * 2**20, "large-2.whl": 62 * 2**20}

    def collect(folder, python_version, jax):
        for name, size in sizes.items():
            with (folder / name).open("wb") as file:
                file.truncate(size)
        return sorted(folder.glob("*.whl"))

    monkeypatch.setattr(gpu_wheels, "collect", collect)
    with pytest.raises(SystemExit, match=r"^error: the wheels take 68,157,440 bytes"):
        gpu_wheels.main(["--to", str(tmp_path / "new")])
    assert "65.0 MiB  in all, of 64 at most" in capsys.readouterr().out
    assert not [x for x in gpu_wheels.requirements() if x.startswith("tensorflow-datasets")]
    assert any(text.startswith("flax") for text in gpu_wheels.requirements())


def test_what_is_missing_for_programs_is_said(monkeypatch):
    from benchmarks import gpu_programs, gpu_target

    monkeypatch.setattr(gpu_target, "PLUGINS", ("no_such_plugin",))
    with pytest.raises(SystemExit, match=r"^error: the extra gpu-programs is not installed"):
        gpu_programs.main([])
    monkeypatch.setattr(gpu_target, "PLUGINS", ("jax",))
    monkeypatch.setattr(gpu_target, "DESCRIPTION", Path("nowhere.txtpb"))
    assert gpu_target.missing() == "no description of a GPU at nowhere.txtpb"


def test_the_facts_of_a_program_are_added_to_a_table(tmp_path):
    from benchmarks import gpu_programs
    from benchmarks.gpu_target import CompiledProgram, Setting
    from benchmarks.hlo import Module

    text = """HloModule f, input_output_alias={ {}: (0, {}, may-alias) }

ENTRY %main (x: f32[100]) -> f32[100] {
  %x = f32[100]{0} parameter(0)
  ROOT %y = f32[100]{0} negate(%x)
}
"""
    program = CompiledProgram(Setting("ssrnet", 64, 5, "float32"), Module(text), 5, 1, 1, 0)
    assert program.seconds() == 800 / 4.3e12
    assert program.seconds(2e-6) == 2e-6
    file = tmp_path / "table.json"
    gpu_programs.written(file, [program])
    other = program._replace(case=Setting("vgg16", 224, 5, "float32", devices=2))
    gpu_programs.written(file, [other])
    (table,) = json.loads(file.read_text()).values()
    assert list(table) == ["ssrnet 64 float32 train", "vgg16 224 float32 train 2 devices"]
    assert table["ssrnet 64 float32 train"]["given_up"] == 1
    assert table["ssrnet 64 float32 train"]["kernels"] == 1
    assert "| ssrnet 64 float32 train | 5 | 1 |" in gpu_programs.row(program)
